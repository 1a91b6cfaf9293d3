// A symmetric matrix from one triangle, a band of rows at a time.
#pragma once

#include <algorithm>
#include <cstdint>

namespace pyhybrid {

constexpr std::int64_t kBand = 64;  // rows that are mirrored at once

/// Squares that are transposed at once: a row of one is a cache line or two.
constexpr std::int64_t kSquare = 16;

/// to(c, r) = from(r, c) for rows x cols elements, at most kSquare each, through a copy that does
/// not alias.
template <class Value>
void transpose(const Value* from, std::int64_t from_stride, Value* to, std::int64_t to_stride,
               std::int64_t rows, std::int64_t cols) {
  Value square[kSquare][kSquare];
  for (std::int64_t r = 0; r < rows; ++r) {
    for (std::int64_t c = 0; c < cols; ++c) square[c][r] = from[r * from_stride + c];
  }
  for (std::int64_t c = 0; c < cols; ++c) {
    std::copy(square[c], square[c] + rows, to + c * to_stride);
  }
}

/// Copies the rows first .. end-1 of the upper triangle of a row-major (n, n) matrix onto their
/// columns of the lower one.
template <class Value>
void mirror_band(Value* matrix, std::int64_t n, std::int64_t first, std::int64_t end) {
  for (std::int64_t row = first; row < end; ++row) {
    for (std::int64_t col = first; col < row; ++col) matrix[row * n + col] = matrix[col * n + row];
  }
  for (std::int64_t col = end; col < n; col += kSquare) {
    const std::int64_t cols = std::min(kSquare, n - col);
    for (std::int64_t row = first; row < end; row += kSquare) {
      transpose(matrix + row * n + col, n, matrix + col * n + row, n, std::min(kSquare, end - row),
                cols);
    }
  }
}

}  // namespace pyhybrid
