#include "pyhybrid/csr.hpp"

#include <algorithm>
#include <bit>
#include <cstdint>
#include <limits>
#include <type_traits>

#include "pyhybrid/error.hpp"

namespace pyhybrid {
namespace {

std::int64_t length(const Indices& indices) {
  return std::visit([](auto span) { return static_cast<std::int64_t>(span.size()); }, indices);
}

std::int64_t at(const Indices& indices, std::int64_t place) {
  return std::visit([&](auto span) { return std::int64_t{span[static_cast<std::size_t>(place)]}; },
                    indices);
}

/// The first element whose `flag`, an unsigned number, has its highest bit set, or the end. Looks
/// at a chunk whole, which compilers turn into vector instructions, before it looks for the place.
template <class Value, class Flag>
auto find_bad(std::span<const Value> values, Flag flag) {
  using Bits = decltype(flag(Value{}));
  constexpr std::size_t kChunk = 4096;
  constexpr Bits kHighest = Bits{1} << (std::numeric_limits<Bits>::digits - 1);
  for (std::size_t first = 0; first < values.size(); first += kChunk) {
    const auto chunk = values.subspan(first, std::min(kChunk, values.size() - first));
    Bits any = 0;
    for (const Value value : chunk) any |= flag(value);
    if ((any & kHighest) != 0) {
      return std::find_if(values.begin() + static_cast<std::ptrdiff_t>(first), values.end(),
                          [flag](Value value) { return (flag(value) & kHighest) != 0; });
    }
  }
  return values.end();
}

template <class Index>
void check_indptr(std::span<const Index> indptr, std::int64_t stored, const std::string& who,
                  const std::string& what) {
  if (indptr.front() != 0) {
    throw bad_value(who, what + ".indptr[0]", indptr.front(), "0");
  }
  for (std::size_t row = 0; row + 1 < indptr.size(); ++row) {
    if (indptr[row + 1] < indptr[row]) {
      throw bad_value(who, concat(what, ".indptr[", row + 1, "]"), indptr[row + 1],
                      concat("at least indptr[", row, "] = ", indptr[row]));
    }
  }
  if (indptr.back() != stored) {
    throw bad_value(who, concat(what, ".indptr[", indptr.size() - 1, "]"), indptr.back(),
                    concat("the number of stored entries, ", stored));
  }
}

template <class Index>
void check_columns(std::span<const Index> indices, std::int64_t cols, const std::string& who,
                   const std::string& what) {
  using Bits = std::make_unsigned_t<Index>;
  // The highest bit of the column itself where it is negative, of the difference where it is large.
  const auto bad = find_bad(indices, [last = static_cast<Bits>(cols - 1)](Index column) -> Bits {
    return static_cast<Bits>(column) | (last - static_cast<Bits>(column));
  });
  if (bad != indices.end()) {
    throw bad_value(who, concat(what, ".indices[", bad - indices.begin(), "]"), *bad,
                    concat("0 to ", cols - 1, " (", what, " has ", cols, " columns)"));
  }
}

}  // namespace

std::int64_t Csr::stored() const { return length(indices); }

std::pair<std::int64_t, std::int64_t> Csr::extent(std::int64_t row) const {
  return {at(indptr, row), at(indptr, row + 1)};
}

void Csr::copy_row_ascending(std::int64_t row, std::int32_t* columns) const {
  const auto [first, last] = extent(row);
  std::visit([&, begin = first, end = last](
                 auto span) { std::copy(span.begin() + begin, span.begin() + end, columns); },
             indices);
  std::int32_t* end = columns + (last - first);
  if (!std::is_sorted(columns, end)) std::sort(columns, end);
}

void check(const Csr& matrix, const std::string& who, const std::string& what) {
  if (matrix.rows < 0 || matrix.cols < 0 ||
      matrix.cols > std::numeric_limits<std::int32_t>::max()) {
    throw bad_value(who, what + "'s shape", concat("(", matrix.rows, ", ", matrix.cols, ")"),
                    "rows and columns of 0 or more, and fewer than 2^31 columns");
  }
  if (length(matrix.indptr) - 1 != matrix.rows) {
    throw bad_value(who, what + ".indptr's length", length(matrix.indptr),
                    concat("one more than the rows, ", matrix.rows));
  }
  const std::int64_t stored = matrix.stored();
  std::visit([&](auto indptr) { check_indptr(indptr, stored, who, what); }, matrix.indptr);
  std::visit([&](auto indices) { check_columns(indices, matrix.cols, who, what); }, matrix.indices);
  if (matrix.values.empty()) return;
  if (static_cast<std::int64_t>(matrix.values.size()) != stored) {
    throw bad_value(who, what + ".data's length", matrix.values.size(),
                    concat("the number of stored entries, ", stored));
  }
  // All bits of the exponent are set where it is infinite or no number: one more overflows them.
  const auto bad = find_bad(matrix.values, [](float value) -> std::uint32_t {
    return (std::bit_cast<std::uint32_t>(value) & 0x7f800000U) + 0x00800000U;
  });
  if (bad != matrix.values.end()) {
    throw bad_value(who, concat(what, ".data[", bad - matrix.values.begin(), "]"), *bad,
                    "a finite number");
  }
}

}  // namespace pyhybrid
