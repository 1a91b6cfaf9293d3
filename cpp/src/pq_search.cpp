// Each query's scores of the codes are looked up twice: in tables of bytes, which are never above
// the true ones and sum up to a bound for 64 codes at once, and exactly where the bound is no worse
// than the worst of the best so far.
#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>
#include <memory>
#include <numeric>

#include "codebook.hpp"
#include "integers.hpp"
#include "pyhybrid/error.hpp"

namespace pyhybrid {
namespace {

constexpr std::int64_t kMostQueries = 256;     // that a thread answers together, for which it turns
constexpr std::int64_t kMostTables = 1 << 18;  // codes once, if their tables take no more bytes
constexpr std::int64_t kBlocks = 16;           // of codes between two looks at the threshold
constexpr std::int64_t kCodesAtOnce = kBlocks * simd::kCodes;
constexpr double kMostSum = 65535.0;  // of a code's bytes
constexpr double kMostByte = 255.0;

/// The bytes of a part's table.
std::int64_t table_stride(const CodebookShape& shape) { return shape.entries <= 16 ? 16 : 256; }

/// One query: its tables, and the best codes so far. What search wants least is called the cost.
class Query {
 public:
  Query(const CodebookShape& shape, std::int64_t n)
      : shape_(shape),
        n_(n),
        capacity_(2 * n + simd::kCodes),
        stride_(table_stride(shape)),
        costs_(shape.parts * shape.entries),
        bytes_(shape.parts * stride_),
        scores_(capacity_),
        items_(capacity_) {}

  void begin(const float* query, std::int64_t row, const float* centroids, Similarity similarity) {
    count_ = 0;
    full_ = false;
    limit_ = static_cast<std::int64_t>(kMostSum);
    fill_costs(query, row, centroids, similarity);
    fill_bytes();
  }

  /// Offers `blocks` blocks of codes, turned (blocks, parts, kCodes), of which `count` are codes:
  /// the first is the code `first`, at `codes`.
  void offer(const std::uint8_t* turned, std::int64_t blocks, const std::uint8_t* codes,
             std::int64_t first, std::int64_t count) {
    if (limit_ < 0) return;  // nothing can be better
    const auto scan = stride_ == 16 ? loops_.scan16 : loops_.scan;
    std::uint64_t bits[kBlocks];
    scan(bits, bytes_.data(), turned, shape_.parts, blocks, static_cast<std::uint16_t>(limit_));
    for (std::int64_t b = 0; b < blocks; ++b) {
      for (std::uint64_t left = bits[b]; left != 0; left &= left - 1) {
        const std::int64_t k = b * simd::kCodes + std::countr_zero(left);
        if (k >= count) break;
        offer_one(codes + k * shape_.parts, static_cast<std::int32_t>(first + k));
      }
    }
  }

  /// Writes the best, best first, and pads with -1 to `n`.
  void finish(std::int32_t* items, float* scores, std::int64_t n, Similarity similarity) {
    std::vector<std::int32_t> order(size(count_));
    std::iota(order.begin(), order.end(), 0);
    std::stable_sort(order.begin(), order.end(),
                     [this](std::int32_t a, std::int32_t b) { return scores_[a] > scores_[b]; });
    const float sign = similarity == Similarity::distance ? -1.0F : 1.0F;
    const std::int64_t kept = std::min(n_, count_);
    for (std::int64_t k = 0; k < kept; ++k) {
      items[k] = items_[order[size(k)]];
      scores[k] = sign * scores_[order[size(k)]] + 0.0F;  // no -0
    }
    std::fill(items + kept, items + n, -1);
    std::fill(scores + kept, scores + n, -sign * std::numeric_limits<float>::infinity());
  }

 private:
  void fill_costs(const float* query, std::int64_t row, const float* centroids,
                  Similarity similarity) {
    for (std::int64_t part = 0; part < shape_.parts; ++part) {
      const float* x = query + part * shape_.dim;
      for (std::int64_t c = 0; c < shape_.entries; ++c) {
        const std::int64_t entry = part * shape_.entries + c;
        const float* centroid = centroids + entry * shape_.dim;
        float sum = 0.0F;
        for (std::int64_t d = 0; d < shape_.dim; ++d) {
          const float gap = x[d] - centroid[d];
          sum += similarity == Similarity::distance ? gap * gap : -x[d] * centroid[d];
        }
        costs_[entry] = sum;
        if (!std::isfinite(sum)) {
          throw bad_value("pq_search", concat("the cost of a part of query ", row), sum,
                          "a finite number", "look for nan, infinite or huge inputs");
        }
      }
    }
  }

  /// Rounds the costs down to bytes: cost >= its part's least + step * byte.
  void fill_bytes() {
    double widest = 0.0, rounded = 0.0;
    least_ = 0.0;
    for (std::int64_t part = 0; part < shape_.parts; ++part) {
      const auto [low, high] = extremes(part);
      widest = std::max(widest, double{high} - low);
      least_ += low;
      rounded += std::max(std::abs(low), std::abs(high));
    }
    // Sums in float may be too low by so much.
    slack_ = rounded * static_cast<double>(shape_.parts) * std::numeric_limits<float>::epsilon();
    const double most = std::min(kMostByte, kMostSum / static_cast<double>(shape_.parts));
    step_ = widest > 0.0 ? widest / std::floor(most) : 1.0;
    std::fill_n(bytes_.data(), shape_.parts * stride_, std::uint8_t{0});
    for (std::int64_t part = 0; part < shape_.parts; ++part) {
      const double low = extremes(part).first;
      for (std::int64_t c = 0; c < shape_.entries; ++c) {
        const double over = costs_[part * shape_.entries + c] - low;
        double byte = std::min(std::floor(over / step_), std::floor(most));
        if (byte * step_ > over) byte -= 1.0;  // where the division rounded up
        bytes_[part * stride_ + c] = static_cast<std::uint8_t>(std::max(byte, 0.0));
      }
    }
  }

  std::pair<float, float> extremes(std::int64_t part) const {
    const float* costs = costs_.data() + part * shape_.entries;
    const auto [low, high] = std::minmax_element(costs, costs + shape_.entries);
    return {*low, *high};
  }

  void offer_one(const std::uint8_t* code, std::int32_t item) {
    float cost = 0.0F;
    for (std::int64_t part = 0; part < shape_.parts; ++part) {
      cost += costs_[part * shape_.entries + code[part]];
    }
    if (full_ && !(-cost > threshold_)) return;  // a later code needs a strictly lower cost
    scores_[count_] = -cost;
    items_[count_++] = item;
    if (count_ == capacity_) drop();
  }

  /// Drops all but about the n best, and bounds what may still be one of them.
  void drop() {
    count_ = loops_.keep_best(scores_.data(), items_.data(), count_, n_, &threshold_);
    full_ = true;
    const double most = -double{threshold_} + slack_ - least_;
    limit_ = static_cast<std::int64_t>(std::clamp(std::floor(most / step_) + 1.0, -1.0, kMostSum));
    if (most < 0.0) limit_ = -1;
  }

  const simd::Loops& loops_ = simd::loops();
  CodebookShape shape_;
  std::int64_t n_, capacity_, stride_;
  Scratch<float> costs_;         // (parts, entries)
  Scratch<std::uint8_t> bytes_;  // (parts, stride)
  double least_ = 0.0, step_ = 1.0, slack_ = 0.0;
  Scratch<float> scores_;  // (capacity): less the costs of the codes kept, items ascending
  Scratch<std::int32_t> items_;
  std::int64_t count_ = 0;
  bool full_ = false;       // whether there are n, and a threshold to beat
  float threshold_ = 0.0F;  // n kept codes reach it
  std::int64_t limit_ = 0;  // of a sum of bytes that may be better; below 0 none is
};

/// Turns `count` codes to (blocks, parts, kCodes); beyond the last one they are 0.
void turn_codes(const std::uint8_t* codes, std::int64_t count, std::int64_t parts,
                std::uint8_t* turned) {
  for (std::int64_t first = 0; first < count; first += simd::kCodes) {
    std::uint8_t* to = turned + first * parts;
    const std::int64_t inside = std::min(simd::kCodes, count - first);
    for (std::int64_t part = 0; part < parts; ++part) {
      const std::uint8_t* from = codes + first * parts + part;
      std::uint8_t* row = to + part * simd::kCodes;
      for (std::int64_t k = 0; k < inside; ++k) row[k] = from[k * parts];
      std::fill(row + inside, row + simd::kCodes, std::uint8_t{0});
    }
  }
}

}  // namespace

void pq_search(std::span<const float> queries, std::int64_t rows,
               std::span<const std::uint8_t> codes, std::int64_t n_codes,
               const CodebookShape& shape, std::span<const float> centroids, Similarity similarity,
               const RankingOut& out, int threads, Monitor* monitor) {
  const char* who = "pq_search";
  check_shape(who, shape);
  check_size(who, "queries", queries.size(), rows, shape.parts * shape.dim);
  check_size(who, "codes", codes.size(), n_codes, shape.parts);
  check_centroids(who, shape, centroids);
  check_codes(who, codes, shape);
  if (out.n < 1) throw bad_value(who, "n", out.n, "1 or more");
  if (n_codes > std::numeric_limits<std::int32_t>::max()) {
    throw bad_value(who, "the number of codes", n_codes, "at most 2^31 - 1");
  }
  check_size(who, "items", out.items.size(), rows, out.n);
  check_size(who, "scores", out.scores.size(), rows, out.n);
  const std::int64_t n = std::min(out.n, std::max<std::int64_t>(n_codes, 1));
  const std::int64_t most =
      std::clamp<std::int64_t>(kMostTables / (shape.parts * table_stride(shape)), 1, kMostQueries);
  const std::int64_t together =
      std::clamp<std::int64_t>(ceil_div(rows, resolve_threads(threads)), 1, most);

  for_each_block(
      ceil_div(rows, together), static_cast<double>(rows) * static_cast<double>(n_codes), threads,
      monitor, [&]() -> Worker {
        std::vector<std::shared_ptr<Query>> held;
        for (std::int64_t q = 0; q < together; ++q)
          held.push_back(std::make_shared<Query>(shape, n));
        return [&, held = std::move(held),
                turned = std::make_shared<Scratch<std::uint8_t>>(kCodesAtOnce * shape.parts)](
                   std::int64_t block, Ticker& ticker) {
          const std::int64_t begin = block * together, end = std::min(rows, begin + together);
          for (std::int64_t row = begin; row < end; ++row) {
            held[size(row - begin)]->begin(queries.data() + row * shape.parts * shape.dim, row,
                                           centroids.data(), similarity);
          }
          for (std::int64_t first = 0; first < n_codes; first += kCodesAtOnce) {
            const std::int64_t count = std::min(kCodesAtOnce, n_codes - first);
            const std::uint8_t* from = codes.data() + first * shape.parts;
            turn_codes(from, count, shape.parts, turned->data());
            for (std::int64_t row = begin; row < end; ++row) {
              held[size(row - begin)]->offer(turned->data(), ceil_div(count, simd::kCodes), from,
                                             first, count);
            }
            ticker.advance(static_cast<double>((end - begin) * count));
          }
          for (std::int64_t row = begin; row < end; ++row) {
            held[size(row - begin)]->finish(out.items.data() + row * out.n,
                                            out.scores.data() + row * out.n, out.n, similarity);
            ticker.advance(0.0);
          }
        };
      });
}

}  // namespace pyhybrid
