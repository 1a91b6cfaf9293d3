// Choosing a row's best n among its candidates, a run of items at a time.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "pyhybrid/top_n.hpp"

namespace pyhybrid {

struct Candidate {
  float score;
  std::int32_t item;
};

/// Keeps the n best candidates of one row. Items must be offered in ascending order, so that a
/// later one needs a strictly higher score to displace an earlier one.
class Selector {
 public:
  explicit Selector(std::int64_t n) : n_(static_cast<std::size_t>(n)), capacity_(2 * n_ + 64) {}

  void clear();

  /// Offers the items first .. last-1; scores[0] is the score of item `first`. Returns the item
  /// whose score is not a number, or -1.
  std::int32_t offer(const float* scores, std::int32_t first, std::int32_t last);

  /// Writes the best, best first, and pads up to `width` with -1 and -infinity.
  void finish(std::int32_t* items, float* scores, std::int64_t width);

 private:
  void keep_best();

  std::size_t n_;
  std::size_t capacity_;
  bool full_ = false;  // n candidates are kept, none of them below threshold_
  float threshold_ = 0.0F;
  std::vector<Candidate> kept_;
};

/// A checked restriction: which items are candidates in which row.
class CandidateRule {
 public:
  /// Throws std::invalid_argument, in the name of `who`, unless n and the restriction fit
  /// rows x n_items.
  CandidateRule(std::string who, const Restriction& restriction, std::int64_t n, std::int64_t rows,
                std::int64_t n_items);

  const std::string& who() const { return who_; }
  std::int64_t n_items() const { return n_items_; }
  std::int64_t n() const { return n_; }
  bool has_allow_list() const { return restriction_.among.has_value(); }

  /// Writes the row's excluded items, ascending, over `items`.
  void copy_excluded(std::int64_t row, std::vector<std::int32_t>& items) const;

  /// The row's allowed items, ascending; in `scratch` unless all rows share them.
  std::span<const std::int32_t> allowed(std::int64_t row, std::vector<std::int32_t>& scratch) const;

 private:
  std::string who_;
  Restriction restriction_;
  std::int64_t n_items_;
  std::int64_t n_;
  std::vector<std::int32_t> shared_allowed_;
};

/// The selection of one row: ascending runs of its candidates go to its selector.
class RowSelection {
 public:
  explicit RowSelection(const CandidateRule& rule);

  void begin(std::int64_t row);

  /// Offers the scores of the items first .. last-1; ranges must come in ascending order.
  void offer(const float* scores, std::int64_t first, std::int64_t last);

  void finish(std::int32_t* items, float* scores) { selector_.finish(items, scores, rule_->n()); }

 private:
  void offer_run(const float* scores, std::int32_t first, std::int32_t last);

  const CandidateRule* rule_;
  std::int64_t row_ = 0;
  Selector selector_;
  std::vector<std::int32_t> excluded_;  // ascending
  std::vector<std::int32_t> scratch_;
  std::span<const std::int32_t> allowed_;  // ascending
  std::size_t next_excluded_ = 0;
  std::size_t next_allowed_ = 0;
};

}  // namespace pyhybrid
