// The core's kernels on made-up behaviour, without Python: for profilers.
//
//   cmake -S . -B build/bench -G Ninja -DCMAKE_BUILD_TYPE=Release -DPYHYBRID_BENCH=ON
//   cmake --build build/bench && build/bench/bench/kernels gram 136677 20108 73 2 5
//
// Arguments: gram, top_n, factors, scores, rankings, weights, panels or encode; users, items, items
// a user (encode: vectors, their size, parts), threads, repetitions. Prints the seconds of each
// repetition. `panels` is top_n's additions alone, again and again from the same packed weights: a
// bound on what it could reach.
#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <numeric>
#include <optional>
#include <random>
#include <stdexcept>
#include <string>
#include <variant>
#include <vector>

#include "integers.hpp"
#include "openblas.hpp"
#include "pyhybrid/esler.hpp"
#include "pyhybrid/gram.hpp"
#include "pyhybrid/metrics.hpp"
#include "pyhybrid/pq.hpp"
#include "pyhybrid/simd.hpp"
#include "pyhybrid/top_n.hpp"
#include "scratch.hpp"
#include "simd/loops.hpp"

namespace {

using namespace pyhybrid;

constexpr std::int64_t kTop = 100;
constexpr std::int64_t kDim = 64;
constexpr std::int64_t kRowsAtOnce = 64;
constexpr std::int64_t kMostScored = 20000;  // rows that are ranked; all are counted

/// Users whose activity is log-normal, items whose popularity falls as rank^-0.9, shuffled.
struct Behaviour {
  std::vector<std::int64_t> indptr{0};
  std::vector<std::int32_t> indices;
  std::vector<float> values;
  std::int64_t items;

  Behaviour(std::int64_t users, std::int64_t n_items, double mean) : items(n_items) {
    std::mt19937_64 random(7);
    std::vector<double> shares(size(items));
    for (std::int64_t r = 0; r < items; ++r) {
      shares[size(r)] = std::pow(static_cast<double>(r + 1), -0.9);
    }
    std::shuffle(shares.begin(), shares.end(), random);
    std::discrete_distribution<std::int32_t> item(shares.begin(), shares.end());
    std::lognormal_distribution<double> activity(std::log(mean) - 0.605, 1.1);
    std::vector<std::int32_t> row;
    for (std::int64_t user = 0; user < users; ++user) {
      const double wanted = std::clamp(activity(random), 5.0, 0.4 * static_cast<double>(items));
      row.clear();
      while (static_cast<double>(row.size()) < wanted) {
        for (auto k = static_cast<double>(row.size()); k < wanted; ++k) row.push_back(item(random));
        std::sort(row.begin(), row.end());
        row.erase(std::unique(row.begin(), row.end()), row.end());
      }
      indices.insert(indices.end(), row.begin(), row.end());
      indptr.push_back(static_cast<std::int64_t>(indices.size()));
    }
    values.assign(indices.size(), 1.0F);
  }

  Csr first(std::int64_t rows) const {
    rows = std::min(rows, static_cast<std::int64_t>(indptr.size()) - 1);
    const std::size_t stored = size(indptr[size(rows)]);
    return {rows, items, std::span(indptr).first(size(rows + 1)),
            std::span<const std::int32_t>(indices).first(stored), std::span(values).first(stored)};
  }
};

std::vector<float> normal(std::int64_t count) {
  std::mt19937 random(11);
  std::normal_distribution<float> distribution;
  std::vector<float> sample(size(std::min<std::int64_t>(count, 1 << 20)));
  for (float& value : sample) value = distribution(random);
  std::vector<float> values(size(count));
  for (std::size_t k = 0; k < values.size(); ++k) values[k] = sample[k % sample.size()];
  return values;
}

/// Adds up one panel of weights for all histories, as often as there are panels.
void add_panels(const Csr& histories, const Scratch<float>& panel, Scratch<float>& sums,
                int threads) {
  const auto indptr = std::get<std::span<const std::int64_t>>(histories.indptr);
  const auto indices = std::get<std::span<const std::int32_t>>(histories.indices);
  const std::int64_t panels = (histories.cols + simd::kPanel - 1) / simd::kPanel;
  const std::int64_t blocks = (histories.rows + kRowsAtOnce - 1) / kRowsAtOnce;
  for (std::int64_t k = 0; k < panels; ++k) {
    for_each_block(blocks, 1.0, threads, nullptr, [&]() -> Worker {
      return [&](std::int64_t block, Ticker&) {
        const std::int64_t end = std::min(histories.rows, (block + 1) * kRowsAtOnce);
        for (std::int64_t row = block * kRowsAtOnce; row < end; ++row) {
          const std::int64_t first = indptr[size(row)];
          simd::loops().add_rows(&sums[row * simd::kPanel], panel.data(), &indices[size(first)],
                                 &histories.values[size(first)], indptr[size(row + 1)] - first);
        }
      };
    });
  }
}

void time(int repetitions, const std::function<void()>& kernel);

/// Codes of 8 bits for normal vectors, the first 256 of which are the centroids.
void encode(std::int64_t rows, std::int64_t width, std::int64_t parts, int threads,
            int repetitions) {
  const CodebookShape shape{parts, 256, width / parts};
  const auto vectors = normal(rows * width);
  const auto centroids = normal(256 * width);
  std::vector<std::uint8_t> codes(size(rows * parts));
  time(repetitions, [&] { pq_encode(vectors, rows, shape, centroids, codes, threads); });
}

void time(int repetitions, const std::function<void()>& kernel) {
  for (int repetition = 0; repetition < repetitions; ++repetition) {
    const auto start = std::chrono::steady_clock::now();
    kernel();
    const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;
    std::printf("%.4f s\n", seconds.count());
  }
}

void run(const std::string& kernel, const Behaviour& behaviour, int threads, int repetitions) {
  const std::int64_t n = behaviour.items;
  const Csr all = behaviour.first(std::int64_t{1} << 60);
  const Csr histories = behaviour.first(kMostScored);
  const std::vector<Metric> metrics{parse_metric("bench", "ndcg@100"),
                                    parse_metric("bench", "recall@20")};
  std::vector<double> rated(size(2 * histories.rows));
  std::vector<std::int32_t> items(size(histories.rows * kTop));
  std::vector<float> scores(items.size());
  const RankingOut out{kTop, items, scores};
  const Restriction unseen{&histories, std::nullopt};

  if (kernel == "gram") {
    std::vector<float> g(size(n * n));
    time(repetitions, [&] { gram(all, std::span(g), threads); });
  } else if (kernel == "weights") {
    std::vector<float> g(size(n * n));
    for (int repetition = 0; repetition < repetitions; ++repetition) {
      gram(all, std::span(g), threads);
      time(1, [&] { esler_weights(g, n, 500.0, openblas, threads); });
    }
  } else if (kernel == "top_n") {
    const auto weights = normal(n * n);
    time(repetitions, [&] { top_n(histories, weights, n, unseen, out, threads); });
  } else if (kernel == "panels") {
    const auto numbers = normal(n * simd::kPanel);
    Scratch<float> panel(n * simd::kPanel);  // as top_n holds its own
    std::copy(numbers.begin(), numbers.end(), panel.data());
    Scratch<float> sums(histories.rows * simd::kPanel);
    time(repetitions, [&] { add_panels(histories, panel, sums, threads); });
  } else if (kernel == "factors") {
    const auto users = normal(histories.rows * kDim);
    const auto vectors = normal(n * kDim);
    time(repetitions,
         [&] { top_n_factors(users, vectors, histories.rows, n, kDim, unseen, out, threads); });
  } else if (kernel == "scores") {
    const auto dense = normal(histories.rows * n);
    time(repetitions, [&] { score_metrics(dense, histories, nullptr, metrics, rated, threads); });
  } else if (kernel == "rankings") {
    const auto dense = normal(histories.rows * n);
    top_n_scores(dense, histories.rows, n, {}, out, threads);
    time(repetitions,
         [&] { ranking_metrics(items, histories.rows, kTop, histories, metrics, rated, threads); });
  } else {
    throw std::invalid_argument("no such kernel: " + kernel);
  }
}

}  // namespace

int main(int count, char** arguments) try {
  if (count != 7) {
    std::fprintf(stderr, "kernels KERNEL USERS ITEMS ITEMS_A_USER THREADS REPETITIONS\n");
    return 2;
  }
  if (std::string(arguments[1]) == "encode") {
    encode(std::atoll(arguments[2]), std::atoll(arguments[3]), std::atoll(arguments[4]),
           std::atoi(arguments[5]), std::atoi(arguments[6]));
    return 0;
  }
  const Behaviour behaviour(std::atoll(arguments[2]), std::atoll(arguments[3]),
                            std::atof(arguments[4]));
  std::printf("%zu events, %s\n", behaviour.indices.size(), simd_level());
  run(arguments[1], behaviour, std::atoi(arguments[5]), std::atoi(arguments[6]));
  return 0;
} catch (const std::exception& error) {
  std::fprintf(stderr, "%s\n", error.what());
  return 2;
}
