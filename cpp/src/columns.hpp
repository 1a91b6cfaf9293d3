// A behaviour matrix in column order: for each item the users that have it, and the rest of what
// they have.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

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

/// A copy of a matrix's columns, each row's ascending and named once, with its entries by column.
/// Memory: 8 bytes and a Column a stored entry, while it is made 8 bytes a column and thread; the
/// values too, 4 bytes, and 8 bytes a row if a row was unsorted or named a column twice (values are
/// then summed in double precision and rounded once).
template <class Column>  // std::uint16_t or std::int32_t
class ColumnOrder {
 public:
  ColumnOrder(const Csr& x, int threads, Control& control);

  /// The entries of one column, rows ascending.
  std::span<const Entry> entries(std::int64_t column) const {
    const auto c = static_cast<std::size_t>(column);
    return {entries_.data() + starts_[c], entries_.data() + starts_[c + 1]};
  }

  /// By place: the entries' columns and values, row after row.
  const Column* columns() const { return columns_.data(); }
  const float* values() const { return own_values_ ? own_values_.data() : x_.values.data(); }

  bool all_ones() const { return all_ones_; }

 private:
  /// Calls visit(range, row, first, end) for all rows, with the places of their entries:
  /// the ranges of rows, of about as many entries each, in parallel, a range's rows in order.
  template <class Visit>
  void for_rows(Visit visit);

  void copy_columns();
  void make_canonical();
  void order_entries();

  const Csr& x_;
  std::int64_t ranges_;  // one a thread, none too small to be worth one
  Control& control_;
  Scratch<Column> columns_;             // (stored)
  std::vector<std::int64_t> row_ends_;  // (rows), or empty: rows end where the next one starts
  Scratch<float> own_values_;           // (stored), or empty: the matrix's own serve
  std::vector<std::int64_t> starts_;    // (cols + 1)
  Scratch<Entry> entries_;              // (stored)
  bool canonical_ = true;
  bool all_ones_ = true;
};

extern template class ColumnOrder<std::uint16_t>;
extern template class ColumnOrder<std::int32_t>;

}  // namespace pyhybrid
