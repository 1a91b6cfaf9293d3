// A behaviour matrix in column order: for each item the users that have it, and what else they
// have.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "common_users.hpp"
#include "pyhybrid/csr.hpp"
#include "pyhybrid/parallel.hpp"
#include "scratch.hpp"

namespace pyhybrid {

/// One entry: where it stands among all entries, and how many its row holds from there on.
class Entry {
 public:
  Entry() = default;
  Entry(std::int64_t place, std::int64_t rest)
      : packed_(static_cast<std::uint64_t>(place) << kRestBits | static_cast<std::uint64_t>(rest)) {
  }

  std::int64_t place() const { return static_cast<std::int64_t>(packed_ >> kRestBits); }
  std::int64_t rest() const { return static_cast<std::int64_t>(packed_ & kRestMask); }

 private:
  // A row has no more entries than there are items, and items x items must fit memory.
  static constexpr int kRestBits = 24;
  static constexpr std::uint64_t kRestMask = (std::uint64_t{1} << kRestBits) - 1;
  std::uint64_t packed_;
};

/// A copy of a matrix's columns, each named once in a row, with the entries by column. A row's
/// columns ascend; but where all values are ones and some columns are popular, those stand last in
/// each row, and have no entries of their own: popular() counts their pairs.
/// Memory: 8 bytes and a Column a stored entry, while it is made 8 bytes a column and thread; the
/// values too, 4 bytes, and 8 bytes a row if a row was unsorted or named a column twice (values are
/// then summed in double precision and rounded once); popular()'s if some are popular.
template <class Column>  // std::uint16_t or std::int32_t
class ColumnOrder {
 public:
  ColumnOrder(const Csr& x, int threads, Control& control);

  /// The entries of one column, rows ascending; none of a popular one.
  std::span<const Entry> entries(std::int64_t column) const {
    const auto c = static_cast<std::size_t>(column);
    return {entries_.data() + starts_[c], entries_.data() + starts_[c + 1]};
  }

  /// By place: the entries' columns and, unless binary(), values, row after row.
  const Column* columns() const { return columns_.data(); }
  const float* values() const { return own_values_ ? own_values_.data() : x_.values.data(); }

  /// Whether all values are ones, and so few that float counts them exactly.
  bool binary() const { return all_ones_ && x_.rows <= kExactCount; }

  /// The popular columns, with the rows that have them.
  const CommonUsers& popular() const { return popular_; }

  /// How many stored entries have no Entry, as they are popular() ones' or merged with another.
  std::int64_t without_entry() const { return x_.stored() - starts_.back(); }

 private:
  static constexpr std::int64_t kExactCount = 1 << 24;  // float holds every integer up to here

  /// Calls visit(range, row, first, end) for all rows, with the places of their entries:
  /// the ranges of rows, of about as many entries each, in parallel, a range's rows in order. Rows
  /// whose bits share a word of popular() are in one range.
  template <class Visit>
  void for_rows(Visit visit);

  void copy_columns();
  void make_canonical();
  void count_entries();
  void set_popular_last(int threads);
  void order_entries();

  const Csr& x_;
  std::int64_t ranges_;  // one a thread, none too small to be worth one
  Control& control_;
  Scratch<Column> columns_;             // (stored)
  std::vector<std::int64_t> row_ends_;  // (rows), or empty: rows end where the next one starts
  Scratch<float> own_values_;           // (stored), or empty: the matrix's own serve
  CommonUsers popular_;
  std::vector<std::vector<std::int64_t>> next_;  // (ranges, cols): where its next entry goes
  std::vector<std::int64_t> starts_;             // (cols + 1)
  Scratch<Entry> entries_;                       // (stored)
  bool canonical_ = true;
  bool all_ones_ = true;
};

extern template class ColumnOrder<std::uint16_t>;
extern template class ColumnOrder<std::int32_t>;

}  // namespace pyhybrid
