#include "pyhybrid/top_n.hpp"

#include <algorithm>
#include <vector>

#include "pyhybrid/error.hpp"
#include "selection.hpp"

namespace pyhybrid {
namespace {

constexpr std::int64_t kRows = 64;  // rows scored together: a row of weights is read once for all
constexpr std::int64_t kWeightCols = 2048;  // columns scored together: 64 x 2,048 sums stay in L2
constexpr std::int64_t kFactorCols = 512;   // items packed together for the dense product

std::size_t size(std::int64_t n) { return static_cast<std::size_t>(n); }

/// What every worker has: the selections of a block of rows, and where they end up.
class BlockSelection {
 public:
  BlockSelection(const CandidateRule& rule, const RankingOut& out, std::int64_t rows)
      : out_(out), rows_(rows), selections_(size(std::min(rows, kRows)), RowSelection(rule)) {}

  /// Returns the number of rows in the block.
  std::int64_t begin(std::int64_t block) {
    first_ = block * kRows;
    count_ = std::min(kRows, rows_ - first_);
    for (std::int64_t k = 0; k < count_; ++k) selections_[size(k)].begin(first_ + k);
    return count_;
  }

  std::int64_t first() const { return first_; }

  /// Offers scores (count, stride), the items first_item .. last_item-1 of every row in the block.
  void offer(const float* scores, std::int64_t stride, std::int64_t first_item,
             std::int64_t last_item) {
    for (std::int64_t k = 0; k < count_; ++k) {
      selections_[size(k)].offer(scores + k * stride, first_item, last_item);
    }
  }

  void finish() {
    for (std::int64_t k = 0; k < count_; ++k) {
      const std::int64_t place = (first_ + k) * out_.n;
      selections_[size(k)].finish(&out_.items[size(place)], &out_.scores[size(place)]);
    }
  }

 private:
  RankingOut out_;
  std::int64_t rows_;
  std::int64_t first_ = 0;
  std::int64_t count_ = 0;
  std::vector<RowSelection> selections_;
};

void check_output(const std::string& who, const RankingOut& out, std::int64_t rows) {
  for (const std::size_t length : {out.items.size(), out.scores.size()}) {
    if (static_cast<std::int64_t>(length) != rows * out.n) {
      throw bad_value(who, "the output's size", length, concat("rows x n = ", rows * out.n));
    }
  }
}

std::int64_t blocks_of(std::int64_t rows) { return (rows + kRows - 1) / kRows; }

/// A block's history entries, by item, so that a row of weights serves every history that names it.
struct HistoryEntry {
  std::int32_t item;
  std::int32_t row;  // within the block
  float weight;
};

void gather(const Csr& histories, std::int64_t first, std::int64_t count,
            std::vector<std::int32_t>& columns, std::vector<HistoryEntry>& entries) {
  entries.clear();
  for (std::int64_t k = 0; k < count; ++k) {
    histories.copy_row(first + k, columns);
    const std::int64_t place = histories.extent(first + k).first;
    for (std::size_t c = 0; c < columns.size(); ++c) {
      entries.push_back(
          {columns[c], static_cast<std::int32_t>(k), histories.values[size(place) + c]});
    }
  }
  std::stable_sort(entries.begin(), entries.end(),
                   [](const HistoryEntry& a, const HistoryEntry& b) { return a.item < b.item; });
}

/// target += weight * source, over n floats that do not overlap.
void add_scaled(float* __restrict target, const float* __restrict source, float weight,
                std::int64_t n) {
  for (std::int64_t k = 0; k < n; ++k) target[k] += weight * source[k];
}

/// sums += sum over k of factors[k] * packed[k, :], in the order of k; four at a time to spare
/// sums.
void add_factors(float* __restrict sums, const float* factors, const float* __restrict packed,
                 std::int64_t dim, std::int64_t n) {
  std::int64_t k = 0;
  for (; k + 4 <= dim; k += 4) {
    const float* p = packed + k * n;
    const float f0 = factors[k];
    const float f1 = factors[k + 1];
    const float f2 = factors[k + 2];
    const float f3 = factors[k + 3];
    for (std::int64_t c = 0; c < n; ++c) {
      float sum = sums[c];
      sum += f0 * p[c];
      sum += f1 * p[n + c];
      sum += f2 * p[2 * n + c];
      sum += f3 * p[3 * n + c];
      sums[c] = sum;
    }
  }
  for (; k < dim; ++k) add_scaled(sums, packed + k * n, factors[k], n);
}

}  // namespace

void top_n(const Csr& histories, std::span<const float> weights, const Restriction& restriction,
           const RankingOut& out, int threads, Monitor* monitor) {
  check(histories, "top_n", "histories");
  const std::int64_t items = histories.cols;
  if (static_cast<std::int64_t>(histories.values.size()) != histories.stored()) {
    throw bad_value("top_n", "histories.data's length", histories.values.size(),
                    concat("the number of stored entries, ", histories.stored()));
  }
  if (static_cast<std::int64_t>(weights.size()) != items * items) {
    throw bad_value("top_n", "weights' size", weights.size(),
                    concat("items x items = ", items * items));
  }
  const CandidateRule rule("top_n", restriction, out.n, histories.rows, items);
  check_output("top_n", out, histories.rows);
  const double work = static_cast<double>(histories.stored()) * static_cast<double>(items);

  for_each_block(blocks_of(histories.rows), work, threads, monitor, [&]() -> Worker {
    return [&, selection = BlockSelection(rule, out, histories.rows),
            sums = std::vector<float>(size(kRows * kWeightCols)),
            columns = std::vector<std::int32_t>(),
            entries = std::vector<HistoryEntry>()](std::int64_t block, Ticker& ticker) mutable {
      const std::int64_t count = selection.begin(block);
      gather(histories, selection.first(), count, columns, entries);
      for (std::int64_t left = 0; left < items; left += kWeightCols) {
        const std::int64_t width = std::min(kWeightCols, items - left);
        std::fill(sums.begin(), sums.begin() + count * kWeightCols, 0.0F);
        for (const HistoryEntry& entry : entries) {
          add_scaled(&sums[size(entry.row * kWeightCols)],
                     &weights[size(entry.item * items + left)], entry.weight, width);
        }
        selection.offer(sums.data(), kWeightCols, left, left + width);
        ticker.advance(static_cast<double>(entries.size()) * static_cast<double>(width));
      }
      selection.finish();
    };
  });
}

void top_n_factors(std::span<const float> users, std::span<const float> items, std::int64_t rows,
                   std::int64_t n_items, std::int64_t dim, const Restriction& restriction,
                   const RankingOut& out, int threads, Monitor* monitor) {
  if (static_cast<std::int64_t>(users.size()) != rows * dim) {
    throw bad_value("top_n_factors", "users' size", users.size(),
                    concat("rows x dim = ", rows * dim));
  }
  if (static_cast<std::int64_t>(items.size()) != n_items * dim) {
    throw bad_value("top_n_factors", "items' size", items.size(),
                    concat("items x dim = ", n_items * dim));
  }
  const CandidateRule rule("top_n_factors", restriction, out.n, rows, n_items);
  check_output("top_n_factors", out, rows);
  const double work = static_cast<double>(rows) * static_cast<double>(n_items);

  for_each_block(blocks_of(rows), work, threads, monitor, [&]() -> Worker {
    return [&, selection = BlockSelection(rule, out, rows),
            packed = std::vector<float>(size(kFactorCols * dim)),
            sums = std::vector<float>(size(kRows * kFactorCols))](std::int64_t block,
                                                                  Ticker& ticker) mutable {
      const std::int64_t count = selection.begin(block);
      for (std::int64_t left = 0; left < n_items; left += kFactorCols) {
        const std::int64_t width = std::min(kFactorCols, n_items - left);
        for (std::int64_t c = 0; c < width; ++c) {
          const float* item = items.data() + (left + c) * dim;
          for (std::int64_t k = 0; k < dim; ++k) packed[size(k * width + c)] = item[k];
        }
        std::fill(sums.begin(), sums.end(), 0.0F);
        for (std::int64_t k = 0; k < count; ++k) {
          add_factors(&sums[size(k * kFactorCols)], users.data() + (selection.first() + k) * dim,
                      packed.data(), dim, width);
        }
        selection.offer(sums.data(), kFactorCols, left, left + width);
        ticker.advance(static_cast<double>(count) * static_cast<double>(width));
      }
      selection.finish();
    };
  });
}

void top_n_scores(std::span<const float> scores, std::int64_t rows, std::int64_t n_items,
                  const Restriction& restriction, const RankingOut& out, int threads,
                  Monitor* monitor) {
  if (static_cast<std::int64_t>(scores.size()) != rows * n_items) {
    throw bad_value("top_n_scores", "scores' size", scores.size(),
                    concat("rows x items = ", rows * n_items));
  }
  const CandidateRule rule("top_n_scores", restriction, out.n, rows, n_items);
  check_output("top_n_scores", out, rows);

  for_each_block(blocks_of(rows), static_cast<double>(rows), threads, monitor, [&]() -> Worker {
    return [&, selection = BlockSelection(rule, out, rows)](std::int64_t block,
                                                            Ticker& ticker) mutable {
      const std::int64_t count = selection.begin(block);
      selection.offer(scores.data() + selection.first() * n_items, n_items, 0, n_items);
      selection.finish();
      ticker.advance(static_cast<double>(count));
    };
  });
}

}  // namespace pyhybrid
