// A borrowed compressed-sparse-row matrix, the form in which behaviour reaches the core.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <utility>
#include <variant>

namespace pyhybrid {

/// int32 or int64, as the caller has them: never converted as a whole.
using Indices = std::variant<std::span<const std::int32_t>, std::span<const std::int64_t>>;

/// Rows x cols. Row r holds the columns indices[indptr[r] .. indptr[r + 1]) with the values at the
/// same places, in any order; a column that is named twice counts with the sum of its values.
/// A pattern (which entries are stored, whatever they hold) has no values.
struct Csr {
  std::int64_t rows = 0;
  std::int64_t cols = 0;
  Indices indptr;                 // (rows + 1)
  Indices indices;                // (stored)
  std::span<const float> values;  // (stored), or empty for a pattern

  std::int64_t stored() const;

  /// The places [first, second) of the row's entries.
  std::pair<std::int64_t, std::int64_t> extent(std::int64_t row) const;

  /// Writes the row's columns, ascending, from `columns` on.
  void copy_row_ascending(std::int64_t row, std::int32_t* columns) const;
};

/// Throws std::invalid_argument, in the name of `who` and of the argument `what`, unless every
/// place that a kernel will read lies inside: lengths that fit, indptr from 0 ascending to the
/// number of entries, columns in 0 .. cols-1, at most 2^31 - 1 columns, and finite values.
void check(const Csr& matrix, const std::string& who, const std::string& what);

}  // namespace pyhybrid
