#include "selection.hpp"

#include <algorithm>
#include <bit>
#include <limits>
#include <numeric>
#include <utility>

#include "integers.hpp"
#include "pyhybrid/error.hpp"

namespace pyhybrid {
namespace {

constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
constexpr std::int64_t kNone = std::numeric_limits<std::int64_t>::max();  // no item: above all
constexpr std::int64_t kMostRanked = 512;  // above, sorting beats counting who is better

/// The candidates that a row has room for: n and an eighth stay when others are dropped, and a tile
/// must fit then.
std::int64_t capacity(const CandidateRule& rule) {
  return std::min(2 * rule.n(), rule.n_items()) + 2 * simd::kTile;
}

void check_exclude(const std::string& who, const Csr& exclude, std::int64_t rows,
                   std::int64_t n_items) {
  check(exclude, who, "exclude");
  if (exclude.rows != rows || exclude.cols != n_items) {
    throw bad_value(who, "exclude's shape", concat("(", exclude.rows, ", ", exclude.cols, ")"),
                    concat("(rows, items) = (", rows, ", ", n_items, ")"));
  }
}

void check_among(const std::string& who, const AllowList& among, std::int64_t rows,
                 std::int64_t n_items) {
  if (among.rows != 1 && among.rows != rows) {
    throw bad_value(who, "the number of rows in among", among.rows,
                    concat("1, or one for each of the ", rows, " rows"));
  }
  const auto size = static_cast<std::int64_t>(among.items.size());
  if (size != among.rows * among.cols) {
    throw bad_value(who, "among's size", size, concat(among.rows, " x ", among.cols));
  }
  const auto bad = std::find_if(among.items.begin(), among.items.end(),
                                [n_items](std::int32_t item) { return item >= n_items; });
  if (bad != among.items.end()) {
    throw bad_value(who, concat("among's entry ", bad - among.items.begin()), *bad,
                    concat("an item below ", n_items, ", or -1 for none"));
  }
}

}  // namespace

CandidateRule::CandidateRule(std::string who, const Restriction& restriction, std::int64_t n,
                             std::int64_t rows, std::int64_t n_items)
    : who_(std::move(who)), restriction_(restriction), n_items_(n_items), n_(n) {
  if (n < 1) throw bad_value(who_, "n", n, "1 or more");
  if (n_items < 0 || n_items > std::numeric_limits<std::int32_t>::max()) {
    throw bad_value(who_, "the number of items", n_items, "0 to 2^31 - 1");
  }
  if (restriction.exclude != nullptr) check_exclude(who_, *restriction.exclude, rows, n_items);
  if (!restriction.among) return;
  check_among(who_, *restriction.among, rows, n_items);
  if (has_own_lists()) return;
  shared_.resize(size((n_items + simd::kTile - 1) / simd::kTile), 0);
  for (const std::int32_t item : restriction.among->items) {
    if (item >= 0) shared_[size(item / simd::kTile)] |= std::uint64_t{1} << (item % simd::kTile);
  }
}

std::uint64_t CandidateRule::shared_candidates(std::int64_t first) const {
  const std::int64_t left = n_items_ - first;
  const std::uint64_t inside = ~std::uint64_t{0} >> (left < simd::kTile ? simd::kTile - left : 0);
  if (!restriction_.among || has_own_lists()) return inside;
  return shared_[size(first / simd::kTile)];
}

BlockSelection::BlockSelection(const CandidateRule& rule, std::int64_t rows)
    : rule_(rule),
      loops_(simd::loops()),
      capacity_(capacity(rule)),
      rows_(size(rows)),
      scores_(rows * capacity_),
      items_(rows * capacity_) {}

std::int64_t BlockSelection::row_bytes(const CandidateRule& rule) {
  return static_cast<std::int64_t>(sizeof(Row)) + 8 * capacity(rule);
}

void BlockSelection::reset(std::int64_t first, std::int64_t count) {
  first_ = first;
  if (const Csr* exclude = rule_.restriction().exclude) {
    const std::int64_t start = exclude->extent(first).first;
    excluded_.reserve(exclude->extent(first + count - 1).second - start);
  }
  if (rule_.has_own_lists()) allowed_.reserve(count * rule_.restriction().among->cols);
}

void BlockSelection::begin(std::int64_t row) {
  Row& state = at(row);
  state = {kNan, 0, kNone, 0, 0, 0, 0};
  if (const Csr* exclude = rule_.restriction().exclude) {
    const std::int64_t start = exclude->extent(first_).first;
    const auto [first, last] = exclude->extent(row);
    state.next_excluded = first - start;
    state.end_excluded = last - start;
    exclude->copy_row_ascending(row, excluded_.data() + state.next_excluded);
    if (first < last) state.excluded = excluded_[state.next_excluded];
  }
  if (rule_.has_own_lists()) {
    const AllowList& among = *rule_.restriction().among;
    state.next_allowed = (row - first_) * among.cols;
    state.end_allowed = state.next_allowed + among.cols;
    std::int32_t* begin = allowed_.data() + state.next_allowed;
    std::copy_n(among.items.begin() + row * among.cols, among.cols, begin);
    std::sort(begin, begin + among.cols);
  }
}

void BlockSelection::offer(std::int64_t row, const float* scores, std::int64_t first_item) {
  Row& state = at(row);
  std::uint64_t bits = loops_.above(scores, state.threshold);
  if (bits == 0) return;
  bits &= candidates(state, first_item);
  if (bits == 0) return;
  refuse_nan(row, scores, bits, first_item);
  const std::int64_t place = (row - first_) * capacity_;
  float* kept = scores_.data() + place;
  std::int32_t* items = items_.data() + place;
  if (state.count + simd::kTile > capacity_) {
    state.count = static_cast<std::int32_t>(
        loops_.keep_best(kept, items, state.count, rule_.n(), &state.threshold));
  }
  state.count +=
      static_cast<std::int32_t>(loops_.append(kept + state.count, items + state.count, scores, bits,
                                              static_cast<std::int32_t>(first_item)));
}

void BlockSelection::select(std::int64_t row, const float* scores) {
  reset(row, 1);
  begin(row);
  const std::int64_t n_items = rule_.n_items();
  std::int64_t item = 0;
  for (; item + simd::kTile <= n_items; item += simd::kTile) offer(row, scores + item, item);
  if (item < n_items) {
    float last[simd::kTile] = {};
    std::copy(scores + item, scores + n_items, last);
    offer(row, last, item);
  }
}

/// The row's candidates among the items of one tile, as bits.
std::uint64_t BlockSelection::candidates(Row& row, std::int64_t first_item) const {
  const std::int64_t end_item = first_item + simd::kTile;
  std::uint64_t bits = rule_.shared_candidates(first_item);
  if (rule_.has_own_lists()) {
    std::uint64_t allowed = 0;
    for (; row.next_allowed < row.end_allowed; ++row.next_allowed) {
      const std::int32_t item = allowed_[row.next_allowed];
      if (item >= end_item) break;
      if (item >= first_item) allowed |= std::uint64_t{1} << (item - first_item);
    }
    bits &= allowed;
  }
  while (row.excluded < end_item) {
    if (row.excluded >= first_item) bits &= ~(std::uint64_t{1} << (row.excluded - first_item));
    ++row.next_excluded;
    row.excluded = row.next_excluded < row.end_excluded ? excluded_[row.next_excluded] : kNone;
  }
  return bits;
}

void BlockSelection::refuse_nan(std::int64_t row, const float* scores, std::uint64_t bits,
                                std::int64_t first_item) const {
  // Nothing but what is not a number is above infinity.
  const std::uint64_t bad = bits & loops_.above(scores, std::numeric_limits<float>::infinity());
  if (bad == 0) return;
  throw bad_value(rule_.who(),
                  concat("the score of item ", first_item + std::countr_zero(bad), " in row ", row),
                  "nan", "a number", "look for nan or infinite inputs");
}

void BlockSelection::finish(std::int64_t row, std::int32_t* items, float* scores) {
  Row& state = at(row);
  const std::int64_t n = rule_.n();
  float* kept = scores_.data() + (row - first_) * capacity_;
  std::int32_t* kept_items = items_.data() + (row - first_) * capacity_;
  if (state.count > n) {
    state.count = static_cast<std::int32_t>(
        loops_.keep_best(kept, kept_items, state.count, n, &state.threshold));
  }
  const std::int64_t filled = std::min<std::int64_t>(state.count, n);
  if (state.count <= kMostRanked) {
    std::int32_t places[kMostRanked];
    loops_.rank(places, kept, state.count);
    for (std::int64_t k = 0; k < state.count; ++k) {
      if (places[k] >= n) continue;
      items[places[k]] = kept_items[k];
      scores[places[k]] = kept[k];
    }
  } else {
    std::vector<std::int32_t> order(size(state.count));
    std::iota(order.begin(), order.end(), 0);
    std::stable_sort(order.begin(), order.end(),
                     [kept](std::int32_t a, std::int32_t b) { return kept[a] > kept[b]; });
    for (std::int64_t k = 0; k < filled; ++k) {
      items[k] = kept_items[order[size(k)]];
      scores[k] = kept[order[size(k)]];
    }
  }
  std::fill(items + filled, items + n, -1);
  std::fill(scores + filled, scores + n, -std::numeric_limits<float>::infinity());
}

}  // namespace pyhybrid
