// Choosing each row's best n among its candidates, a tile of items at a time.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "pyhybrid/top_n.hpp"
#include "scratch.hpp"
#include "simd/loops.hpp"

namespace pyhybrid {

/// A checked restriction: which items are candidates in which row.
class CandidateRule {
 public:
  /// Throws std::invalid_argument, in the name of `who`, unless n and the restriction fit
  /// rows x n_items.
  CandidateRule(std::string who, const Restriction& restriction, std::int64_t n, std::int64_t rows,
                std::int64_t n_items);

  const std::string& who() const { return who_; }
  const Restriction& restriction() const { return restriction_; }
  std::int64_t n() const { return n_; }
  std::int64_t n_items() const { return n_items_; }

  /// The items of one tile that all rows share, as bits: all of them, or the one allow-list's.
  std::uint64_t shared_candidates(std::int64_t first) const;

  /// Whether each row has an allow-list of its own.
  bool has_own_lists() const { return restriction_.among && restriction_.among->rows != 1; }

 private:
  std::string who_;
  Restriction restriction_;
  std::int64_t n_items_;
  std::int64_t n_;
  std::vector<std::uint64_t> shared_;  // (tiles), or empty: all items
};

/// The selections of a block of rows. Rows are independent: threads may work on different ones.
class BlockSelection {
 public:
  /// For blocks of at most `rows` rows.
  BlockSelection(const CandidateRule& rule, std::int64_t rows);

  /// A row's memory in bytes, beside its excluded and allowed items.
  static std::int64_t row_bytes(const CandidateRule& rule);

  /// Makes room for the rows first .. first+count-1; each is to begin() before it is offered.
  void reset(std::int64_t first, std::int64_t count);
  void begin(std::int64_t row);

  /// Offers the row scores[0 .. kTile) of the items from `first_item` on, a multiple of kTile,
  /// which must ascend from call to call: a later item needs a strictly higher score to displace an
  /// earlier one. Beyond the last item the scores are not looked at.
  void offer(std::int64_t row, const float* scores, std::int64_t first_item);

  /// Fetches what offer() will read of a row, which the caches of many rows have lost.
  void prefetch(std::int64_t row) const {
    const Row& state = rows_[static_cast<std::size_t>(row - first_)];
    __builtin_prefetch(excluded_.data() + state.next_excluded);
    __builtin_prefetch(scores_.data() + (row - first_) * capacity_ + state.count, 1);
    __builtin_prefetch(items_.data() + (row - first_) * capacity_ + state.count, 1);
  }

  /// Resets, begins and offers all of one row's scores (items).
  void select(std::int64_t row, const float* scores);

  /// Writes the row's best, best first, and pads with -1 and -infinity to n.
  void finish(std::int64_t row, std::int32_t* items, float* scores);

 private:
  struct Row {
    float threshold;  // what to beat: n kept candidates reach it; not a number before there are n
    std::int32_t count;     // candidates kept
    std::int64_t excluded;  // the next excluded item, kNone after the last
    std::int64_t next_excluded, end_excluded;
    std::int64_t next_allowed, end_allowed;
  };

  Row& at(std::int64_t row) { return rows_[static_cast<std::size_t>(row - first_)]; }
  std::uint64_t candidates(Row& row, std::int64_t first_item) const;
  void refuse_nan(std::int64_t row, const float* scores, std::uint64_t bits,
                  std::int64_t first_item) const;

  const CandidateRule& rule_;
  const simd::Loops& loops_;
  std::int64_t capacity_;
  std::int64_t first_ = 0;
  std::vector<Row> rows_;
  Scratch<float> scores_;           // (rows, capacity): the candidates kept, items ascending
  Scratch<std::int32_t> items_;     // (rows, capacity)
  Scratch<std::int32_t> excluded_;  // each row's, ascending, one row after the other
  Scratch<std::int32_t> allowed_;   // each row's own, ascending, one row after the other
};

}  // namespace pyhybrid
