#include "selection.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

#include "pyhybrid/error.hpp"

namespace pyhybrid {
namespace {

bool better(const Candidate& a, const Candidate& b) {
  return a.score > b.score || (a.score == b.score && a.item < b.item);
}

void sort_unique(std::vector<std::int32_t>& items) {
  std::sort(items.begin(), items.end());
  items.erase(std::unique(items.begin(), items.end()), items.end());
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

void Selector::clear() {
  kept_.clear();
  full_ = false;
}

std::int32_t Selector::offer(const float* scores, std::int32_t first, std::int32_t last) {
  constexpr std::int32_t kStride = 16;
  for (std::int32_t item = first; item < last;) {
    const std::int32_t end = std::min(last, item + kStride);
    const float* s = scores + (item - first);
    if (full_ && end - item == kStride) {
      // Most strides hold nothing of interest; written so that the compiler vectorises it. The
      // negation lets a score that is not a number through to the check below.
      int interesting = 0;
      for (std::int32_t k = 0; k < kStride; ++k) interesting |= !(s[k] <= threshold_);
      if (interesting == 0) {
        item = end;
        continue;
      }
    }
    for (; item < end; ++item, ++s) {
      if (full_ && *s <= threshold_) continue;
      if (std::isnan(*s)) return item;
      kept_.push_back({*s, item});
      if (kept_.size() == capacity_) keep_best();
    }
  }
  return -1;
}

void Selector::keep_best() {
  const auto nth = kept_.begin() + static_cast<std::ptrdiff_t>(n_ - 1);
  std::nth_element(kept_.begin(), nth, kept_.end(), better);
  threshold_ = nth->score;
  full_ = true;
  kept_.resize(n_);
}

void Selector::finish(std::int32_t* items, float* scores, std::int64_t width) {
  if (kept_.size() > n_) keep_best();
  std::sort(kept_.begin(), kept_.end(), better);
  std::size_t k = 0;
  for (; k < kept_.size(); ++k) {
    items[k] = kept_[k].item;
    scores[k] = kept_[k].score;
  }
  std::fill(items + k, items + width, -1);
  std::fill(scores + k, scores + width, -std::numeric_limits<float>::infinity());
}

CandidateRule::CandidateRule(std::string who, const Restriction& restriction, std::int64_t n,
                             std::int64_t rows, std::int64_t n_items)
    : who_(std::move(who)), restriction_(restriction), n_items_(n_items), n_(n) {
  if (n < 1) throw bad_value(who_, "n", n, "1 or more");
  if (n_items < 0 || n_items > std::numeric_limits<std::int32_t>::max()) {
    throw bad_value(who_, "the number of items", n_items, "0 to 2^31 - 1");
  }
  if (restriction.exclude != nullptr) check_exclude(who_, *restriction.exclude, rows, n_items);
  if (restriction.among) {
    check_among(who_, *restriction.among, rows, n_items);
    if (restriction.among->rows == 1) {
      const auto items = restriction.among->items;
      shared_allowed_.assign(items.begin(), items.end());
      sort_unique(shared_allowed_);
    }
  }
}

void CandidateRule::copy_excluded(std::int64_t row, std::vector<std::int32_t>& items) const {
  if (restriction_.exclude != nullptr) restriction_.exclude->copy_row_sorted(row, items);
}

std::span<const std::int32_t> CandidateRule::allowed(std::int64_t row,
                                                     std::vector<std::int32_t>& scratch) const {
  if (!restriction_.among || restriction_.among->rows == 1) return shared_allowed_;
  const auto cols = static_cast<std::size_t>(restriction_.among->cols);
  const auto items = restriction_.among->items.subspan(static_cast<std::size_t>(row) * cols, cols);
  scratch.assign(items.begin(), items.end());
  sort_unique(scratch);
  return scratch;
}

RowSelection::RowSelection(const CandidateRule& rule)
    : rule_(&rule), selector_(std::min(rule.n(), std::max<std::int64_t>(rule.n_items(), 1))) {}

void RowSelection::begin(std::int64_t row) {
  row_ = row;
  selector_.clear();
  next_excluded_ = 0;
  next_allowed_ = 0;
  rule_->copy_excluded(row, excluded_);
  allowed_ = rule_->allowed(row, scratch_);
}

void RowSelection::offer(const float* scores, std::int64_t first, std::int64_t last) {
  const auto begin = static_cast<std::int32_t>(first);
  const auto end = static_cast<std::int32_t>(last);
  if (!rule_->has_allow_list()) {
    std::int32_t item = begin;
    for (; next_excluded_ < excluded_.size() && excluded_[next_excluded_] < end; ++next_excluded_) {
      offer_run(scores + (item - begin), item, excluded_[next_excluded_]);
      item = excluded_[next_excluded_] + 1;
    }
    offer_run(scores + (item - begin), item, end);
    return;
  }
  for (; next_allowed_ < allowed_.size() && allowed_[next_allowed_] < end; ++next_allowed_) {
    const std::int32_t item = allowed_[next_allowed_];
    if (item < begin) continue;  // padding
    while (next_excluded_ < excluded_.size() && excluded_[next_excluded_] < item) ++next_excluded_;
    if (next_excluded_ < excluded_.size() && excluded_[next_excluded_] == item) continue;
    offer_run(scores + (item - begin), item, item + 1);
  }
}

void RowSelection::offer_run(const float* scores, std::int32_t first, std::int32_t last) {
  const std::int32_t bad = selector_.offer(scores, first, last);
  if (bad >= 0) {
    throw bad_value(rule_->who(), concat("the score of item ", bad, " in row ", row_), "nan",
                    "a number", "look for nan or infinite inputs");
  }
}

}  // namespace pyhybrid
