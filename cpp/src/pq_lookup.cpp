#include <algorithm>

#include "codebook.hpp"
#include "integers.hpp"

namespace pyhybrid {
namespace {

constexpr std::int64_t kRowsAtOnce = 256;  // rows that are summed together
constexpr std::int64_t kRowsPerTick = 1 << 16;
constexpr std::int64_t kColumnsAtOnce = 64;  // of a table, whose gradient a thread sums at once

}  // namespace

void pq_lookup(std::span<const float> table, const CodebookShape& shape,
               std::span<const std::uint8_t> codes, std::int64_t rows, float scale,
               std::span<float> sums, int threads, Monitor* monitor) {
  check_shape("pq_lookup", shape);
  check_size("pq_lookup", "table", table.size(), shape.parts, shape.entries * shape.dim);
  check_size("pq_lookup", "codes", codes.size(), rows, shape.parts);
  check_size("pq_lookup", "sums", sums.size(), rows, shape.dim);
  check_codes("pq_lookup", codes, shape);
  const simd::Loops& loops = simd::loops();
  for_each_block(ceil_div(rows, kRowsAtOnce), static_cast<double>(rows), threads, monitor,
                 [&]() -> Worker {
                   return [&](std::int64_t block, Ticker& ticker) {
                     const std::int64_t first = block * kRowsAtOnce;
                     const std::int64_t count = std::min(rows - first, kRowsAtOnce);
                     loops.sum_entries(sums.data() + first * shape.dim, table.data(),
                                       codes.data() + first * shape.parts, count, shape.parts,
                                       shape.entries, shape.dim, scale);
                     ticker.advance(static_cast<double>(count));
                   };
                 });
}

void pq_lookup_gradient(std::span<const float> gradient, std::span<const std::uint8_t> codes,
                        std::int64_t rows, const CodebookShape& shape, float scale,
                        std::span<float> table, int threads, Monitor* monitor) {
  check_shape("pq_lookup_gradient", shape);
  check_size("pq_lookup_gradient", "gradient", gradient.size(), rows, shape.dim);
  check_size("pq_lookup_gradient", "codes", codes.size(), rows, shape.parts);
  check_size("pq_lookup_gradient", "table", table.size(), shape.parts, shape.entries * shape.dim);
  check_codes("pq_lookup_gradient", codes, shape);
  const simd::Loops& loops = simd::loops();
  const std::int64_t pieces = ceil_div(shape.dim, kColumnsAtOnce);
  const std::int64_t blocks = shape.parts * pieces;

  // Columns outside, so that the threads read the same columns of the gradient at the same time.
  for_each_block(blocks, static_cast<double>(blocks), threads, monitor, [&]() -> Worker {
    return [&](std::int64_t block, Ticker& ticker) {
      const std::int64_t part = block % shape.parts;
      const std::int64_t first = block / shape.parts * kColumnsAtOnce;
      const std::int64_t end = std::min(shape.dim, first + kColumnsAtOnce);
      float* to = table.data() + part * shape.entries * shape.dim;
      for (std::int64_t entry = 0; entry < shape.entries; ++entry) {
        std::fill(to + entry * shape.dim + first, to + entry * shape.dim + end, 0.0F);
      }
      for (std::int64_t row = 0; row < rows; row += kRowsPerTick) {
        loops.add_entries(to, gradient.data() + row * shape.dim,
                          codes.data() + row * shape.parts + part,
                          std::min(kRowsPerTick, rows - row), shape.parts, shape.dim, first, end);
        ticker.advance(0.0);
      }
      for (std::int64_t entry = 0; entry < shape.entries; ++entry) {
        for (std::int64_t d = first; d < end; ++d) to[entry * shape.dim + d] *= scale;
      }
      ticker.advance(1.0);
    };
  });
}

}  // namespace pyhybrid
