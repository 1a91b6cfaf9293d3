// A symmetric matrix from one triangle, a band of rows at a time.
#pragma once

#include <algorithm>
#include <cstdint>
#include <type_traits>

#include "simd/loops.hpp"

namespace pyhybrid {

constexpr std::int64_t kBand = 64;  // rows that are mirrored at once; a word has a bit for each

/// to(c, r) = from(r, c) for rows x cols elements, at most simd::kSquare each, and of the rows
/// those whose bit is set in `wanted`.
template <class Value>
void transpose_square(const Value* from, Value* to, std::int64_t stride, std::int64_t rows,
                      std::int64_t cols, std::uint32_t wanted) {
  if constexpr (std::is_same_v<Value, float>) {
    if (rows == simd::kSquare && cols == simd::kSquare) {
      simd::loops().transpose(from, stride, to, stride, wanted);
      return;
    }
  }
  // Through a copy, so that reading and writing each pass along rows.
  Value square[simd::kSquare][simd::kSquare];
  for (std::int64_t r = 0; r < rows; ++r) {
    if ((wanted >> r & 1) == 0) continue;
    for (std::int64_t c = 0; c < cols; ++c) square[c][r] = from[r * stride + c];
  }
  for (std::int64_t c = 0; c < cols; ++c) {
    for (std::int64_t r = 0; r < rows; ++r) {
      if ((wanted >> r & 1) != 0) to[c * stride + r] = square[c][r];
    }
  }
}

/// Copies the rows first .. end-1 of the upper triangle of a row-major (n, n) matrix onto their
/// columns of the lower one: of at most kBand rows those whose bit is set in `wanted`. Of the
/// others nothing is read or written.
template <class Value>
void mirror_band(Value* matrix, std::int64_t n, std::int64_t first, std::int64_t end,
                 std::uint64_t wanted = ~std::uint64_t{0}) {
  for (std::int64_t row = first; row < end; ++row) {
    for (std::int64_t col = first; col < row; ++col) {
      if ((wanted >> (col - first) & 1) != 0) matrix[row * n + col] = matrix[col * n + row];
    }
  }
  for (std::int64_t col = end; col < n; col += simd::kSquare) {
    for (std::int64_t row = first; row < end; row += simd::kSquare) {
      const auto rows = static_cast<std::uint32_t>(wanted >> (row - first) & 0xFFFF);
      if (rows == 0) continue;
      transpose_square(matrix + row * n + col, matrix + col * n + row, n,
                       std::min(simd::kSquare, end - row), std::min(simd::kSquare, n - col), rows);
    }
  }
}

}  // namespace pyhybrid
