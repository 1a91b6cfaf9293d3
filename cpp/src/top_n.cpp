#include "pyhybrid/top_n.hpp"

#include <algorithm>
#include <memory>
#include <tuple>
#include <utility>
#include <variant>
#include <vector>

#include "factor_tiles.hpp"
#include "integers.hpp"
#include "pyhybrid/error.hpp"
#include "scratch.hpp"
#include "selection.hpp"
#include "simd/loops.hpp"

namespace pyhybrid {
namespace {

using simd::kPanel;
using simd::kTile;

constexpr std::int64_t kScratch = 128 << 20;  // bytes that a block's selections and scores may take
constexpr std::int64_t kMostHistories = 32768;  // ranked together: each reads all weights once
constexpr std::int64_t kAhead = 16;             // items: how far ahead their weights are fetched
constexpr std::int64_t kPackedItems = 256;      // items that a thread packs at once
constexpr std::int64_t kGroup = 4 * kTile;      // items whose weights are packed together
constexpr std::int64_t kMostRows = 64;          // rows that a thread takes at once
constexpr std::int64_t kLine = 16;              // floats in a cache line
constexpr std::int64_t kMostUsers = 40 * simd::kUsers;  // for whom a tile of items is packed

/// How many rows a thread takes at once: few enough that all threads have some.
std::int64_t rows_per_block(std::int64_t rows, int threads, std::int64_t most) {
  return std::clamp<std::int64_t>(ceil_div(rows, std::int64_t{4} * resolve_threads(threads)), 1,
                                  most);
}

void check_output(const std::string& who, const RankingOut& out, std::int64_t rows) {
  for (const std::size_t length : {out.items.size(), out.scores.size()}) {
    if (static_cast<std::int64_t>(length) != rows * out.n) {
      throw bad_value(who, "the output's size", length, concat("rows x n = ", rows * out.n));
    }
  }
}

void write_row(BlockSelection& selection, std::int64_t row, const RankingOut& out) {
  selection.finish(row, &out.items[size(row * out.n)], &out.scores[size(row * out.n)]);
}

/// Some rows' histories, each by ascending item, with the items that they name numbered anew.
class Histories {
 public:
  explicit Histories(const Csr& x) : x_(x), number_(size(x.cols), -1) {}

  void reset(std::int64_t first, std::int64_t count) {
    first_ = first;
    starts_.resize(size(count) + 1);
    const std::int64_t start = x_.extent(first).first;
    starts_[0] = 0;
    for (std::int64_t k = 0; k < count; ++k) {
      starts_[size(k + 1)] = x_.extent(first + k).second - start;
    }
    items_.reserve(starts_.back());
    weights_.reserve(starts_.back());
  }

  void copy_row(std::int64_t row) {
    const auto [first, last] = x_.extent(row);
    std::int32_t* items = items_.data() + start(row);
    float* weights = weights_.data() + start(row);
    std::visit([&, begin = first, end = last](
                   auto span) { std::copy(span.begin() + begin, span.begin() + end, items); },
               x_.indices);
    std::copy(x_.values.begin() + first, x_.values.begin() + last, weights);
    if (!std::is_sorted(items, items + (last - first))) sort_row(items, weights, last - first);
  }

  /// Numbers the items that any row names, ascending; entries then hold the number.
  void number_items() {
    named_.clear();
    for (std::int64_t k = 0; k < entries(); ++k) number_[size(items_[k])] = 0;
    for (std::size_t item = 0; item < number_.size(); ++item) {
      if (number_[item] < 0) continue;
      number_[item] = static_cast<std::int32_t>(named_.size());
      named_.push_back(static_cast<std::int32_t>(item));
    }
    for (std::int64_t k = 0; k < entries(); ++k) items_[k] = number_[size(items_[k])];
    for (const std::int32_t item : named_) number_[size(item)] = -1;
  }

  /// The items that any row names, by their number.
  std::span<const std::int32_t> named() const { return named_; }
  std::int64_t entries() const { return starts_.back(); }  // of all rows
  std::int64_t length(std::int64_t row) const { return start(row + 1) - start(row); }
  const std::int32_t* numbers(std::int64_t row) const { return items_.data() + start(row); }
  const float* weights(std::int64_t row) const { return weights_.data() + start(row); }

 private:
  static void sort_row(std::int32_t* items, float* weights, std::int64_t count) {
    std::vector<std::pair<std::int32_t, float>> entries;
    for (std::int64_t k = 0; k < count; ++k) entries.emplace_back(items[k], weights[k]);
    std::stable_sort(entries.begin(), entries.end(),
                     [](const auto& a, const auto& b) { return a.first < b.first; });
    for (std::int64_t k = 0; k < count; ++k) std::tie(items[k], weights[k]) = entries[size(k)];
  }

  std::int64_t start(std::int64_t row) const { return starts_[size(row - first_)]; }

  const Csr& x_;
  std::int64_t first_ = 0;
  std::vector<std::int64_t> starts_;  // (rows + 1): where each row's entries begin
  Scratch<std::int32_t> items_;       // (entries)
  Scratch<float> weights_;            // (entries)
  std::vector<std::int32_t> number_;  // (items), -1 between blocks
  std::vector<std::int32_t> named_;
};

/// Ranks blocks of histories, for each of which the weights are read once, a group of items at a
/// time: packed as panels, so that a panel's rows lie close together and its most used ones stay in
/// a core's own cache. All histories are added up from one panel, then from the next, and offered
/// the group's scores.
class HistoryRanker {
 public:
  HistoryRanker(const Csr& histories, std::span<const float> weights, std::int64_t n_items,
                const CandidateRule& rule, const RankingOut& out, int threads, Control& control)
      : weights_(weights),
        n_items_(n_items),
        rule_(rule),
        out_(out),
        threads_(resolve_threads(threads)),
        control_(control),
        rows_at_once_(std::min(histories.rows,
                               std::clamp(kScratch / row_bytes(rule), kMostRows, kMostHistories))),
        histories_(histories),
        selection_(rule, rows_at_once_),
        sums_(rows_at_once_ * kGroup) {}

  void run(std::int64_t rows) {
    for (std::int64_t first = 0; first < rows; first += rows_at_once_) {
      first_ = first;
      count_ = std::min(rows_at_once_, rows - first);
      rank_block();
    }
  }

 private:
  static std::int64_t row_bytes(const CandidateRule& rule) {
    return BlockSelection::row_bytes(rule) + kGroup * static_cast<std::int64_t>(sizeof(float));
  }

  void rank_block() {
    selection_.reset(first_, count_);
    histories_.reset(first_, count_);
    for_rows([this](std::int64_t row, std::int64_t) {
      selection_.begin(row);
      histories_.copy_row(row);
    });
    histories_.number_items();
    packed_.reserve(kGroup * named());
    for (std::int64_t first = 0; first < n_items_; first += kGroup) rank_group(first);
    for_rows([this](std::int64_t row, std::int64_t) { write_row(selection_, row, out_); });
  }

  void rank_group(std::int64_t first) {
    const std::int64_t end = std::min(n_items_, first + kGroup);
    wanted_.clear();
    for (std::int64_t tile = first; tile < end; tile += kTile) {
      if (rule_.shared_candidates(tile) != 0) wanted_.push_back(tile);
    }
    const auto all = static_cast<double>(histories_.entries() * (end - first));
    if (wanted_.empty()) {
      control_.advance(all, true);
      return;
    }
    pack(first);
    add(first, all);
    for_rows([&](std::int64_t row, std::int64_t next) {
      selection_.prefetch(next);
      for (const std::int64_t tile : wanted_) {
        selection_.offer(row, sums(row, tile - first), tile);
      }
    });
  }

  /// Copies the named items' weights for the group's wanted items to the panels.
  void pack(std::int64_t first) {
    for_each_block(ceil_div(named(), kPackedItems), threads_, control_, [&]() -> Worker {
      return [&](std::int64_t block, Ticker& ticker) {
        const std::int64_t last = std::min(named(), (block + 1) * kPackedItems);
        for (std::int64_t k = block * kPackedItems; k < last; ++k) {
          const float* row = weights_of(k);
          const float* later = weights_of(std::min(k + kAhead, named() - 1));
          for (const std::int64_t tile : wanted_) {
            for (std::int64_t left = tile; left < tile + kTile; left += kPanel) {
              const std::int64_t width = std::clamp<std::int64_t>(n_items_ - left, 0, kPanel);
              for (std::int64_t c = 0; c < width; c += kLine) __builtin_prefetch(later + left + c);
              float* to = panel(left - first) + k * kPanel;
              if (width > 0) std::copy_n(row + left, width, to);
              std::fill(to + width, to + kPanel, 0.0F);
            }
          }
        }
        ticker.advance(0.0);
      };
    });
  }

  /// Adds up the rows' scores: all rows' from one panel, then from the next, without waiting for
  /// each other in between. Counts `work` as done.
  void add(std::int64_t first, double work) {
    const std::int64_t step = rows_per_block(count_, threads_, kMostRows);
    const std::int64_t blocks = ceil_div(count_, step);
    const auto panels = static_cast<std::int64_t>(wanted_.size()) * (kTile / kPanel);
    const double per_block = work / static_cast<double>(panels * blocks);
    for_each_block(panels * blocks, threads_, control_, [&]() -> Worker {
      return [&](std::int64_t block, Ticker& ticker) {
        const std::int64_t which = block / blocks * kPanel;
        const std::int64_t left = wanted_[size(which / kTile)] + which % kTile - first;
        const std::int64_t begin = block % blocks * step;
        for (std::int64_t row = first_ + begin; row < first_ + std::min(count_, begin + step);
             ++row) {
          loops_.add_rows(sums(row, left), panel(left), histories_.numbers(row),
                          histories_.weights(row), histories_.length(row));
        }
        ticker.advance(per_block);
      };
    });
  }

  std::int64_t named() const { return static_cast<std::int64_t>(histories_.named().size()); }

  /// The weights of the k-th named item.
  const float* weights_of(std::int64_t k) const {
    return weights_.data() + histories_.named()[size(k)] * n_items_;
  }

  /// The named items' weights for kPanel items, from the group's `left`-th on.
  float* panel(std::int64_t left) { return packed_.data() + left * named(); }

  /// The row's scores of a tile of the group's items, from the group's `left`-th on.
  float* sums(std::int64_t row, std::int64_t left) {
    return sums_.data() + (left / kTile * rows_at_once_ + row - first_) * kTile + left % kTile;
  }

  /// Calls visit(row, next row) for the block's rows, in parallel.
  template <class Visit>
  void for_rows(Visit visit) {
    const std::int64_t step = rows_per_block(count_, threads_, kMostRows);
    for_each_block(ceil_div(count_, step), threads_, control_, [&]() -> Worker {
      return [&](std::int64_t block, Ticker& ticker) {
        const std::int64_t end = first_ + std::min(count_, (block + 1) * step);
        for (std::int64_t row = first_ + block * step; row < end; ++row) {
          visit(row, std::min(row + 1, end - 1));  // never a row of another thread
        }
        ticker.advance(0.0);
      };
    });
  }

  const simd::Loops& loops_ = simd::loops();
  std::span<const float> weights_;
  std::int64_t n_items_;
  const CandidateRule& rule_;
  RankingOut out_;
  int threads_;
  Control& control_;
  std::int64_t rows_at_once_;
  Histories histories_;
  BlockSelection selection_;
  std::int64_t first_ = 0;
  std::int64_t count_ = 0;
  std::vector<std::int64_t> wanted_;  // the group's tiles that hold a candidate
  Scratch<float> sums_;               // (the tiles of a group, rows, kTile)
  Scratch<float> packed_;             // (the group's panels, named items, kPanel)
};

}  // namespace

void top_n(const Csr& histories, std::span<const float> weights, std::int64_t n_items,
           const Restriction& restriction, const RankingOut& out, int threads, Monitor* monitor) {
  check(histories, "top_n", "histories");
  if (static_cast<std::int64_t>(histories.values.size()) != histories.stored()) {
    throw bad_value("top_n", "histories.data's length", histories.values.size(),
                    concat("the number of stored entries, ", histories.stored()));
  }
  if (n_items < 0 || static_cast<std::int64_t>(weights.size()) != histories.cols * n_items) {
    throw bad_value("top_n", "weights' size", weights.size(),
                    concat("history items x items = ", histories.cols * n_items));
  }
  const CandidateRule rule("top_n", restriction, out.n, histories.rows, n_items);
  check_output("top_n", out, histories.rows);
  Control control(monitor, static_cast<double>(histories.stored()) * static_cast<double>(n_items));
  HistoryRanker(histories, weights, n_items, rule, out, threads, control).run(histories.rows);
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
  const std::int64_t step =
      ceil_div(rows_per_block(rows, threads, kMostUsers), simd::kUsers) * simd::kUsers;

  for_each_block(ceil_div(rows, step), work, threads, monitor, [&]() -> Worker {
    return [&, step, selection = std::make_shared<BlockSelection>(rule, std::min(rows, step)),
            tiles = FactorTiles(users, items, n_items, dim)](std::int64_t block,
                                                             Ticker& ticker) mutable {
      const std::int64_t first = block * step;
      const std::int64_t end = std::min(rows, first + step);
      selection->reset(first, end - first);
      for (std::int64_t row = first; row < end; ++row) selection->begin(row);
      for (std::int64_t left = 0; left < n_items; left += kTile) {
        ticker.advance(static_cast<double>(end - first) *
                       static_cast<double>(std::min(kTile, n_items - left)));
        if (rule.shared_candidates(left) == 0) continue;
        tiles.for_rows(first, end, left, [&](std::int64_t row, const float* scores) {
          selection->offer(row, scores, left);
        });
      }
      for (std::int64_t row = first; row < end; ++row) write_row(*selection, row, out);
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
  const std::int64_t step = rows_per_block(rows, threads, kMostRows);

  for_each_block(ceil_div(rows, step), static_cast<double>(rows), threads, monitor,
                 [&]() -> Worker {
                   return [&, step, selection = std::make_shared<BlockSelection>(rule, 1)](
                              std::int64_t block, Ticker& ticker) mutable {
                     const std::int64_t end = std::min(rows, (block + 1) * step);
                     for (std::int64_t row = block * step; row < end; ++row) {
                       selection->select(row, scores.data() + row * n_items);
                       write_row(*selection, row, out);
                       ticker.advance(1.0);
                     }
                   };
                 });
}

}  // namespace pyhybrid
