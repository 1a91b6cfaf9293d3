#include <algorithm>
#include <memory>

#include "codebook.hpp"

namespace pyhybrid {
namespace {

constexpr std::int64_t kRowsAtOnce = 256;  // rows that are summed together
constexpr std::int64_t kRowsPerTick = 1 << 16;
constexpr std::int64_t kColumnsAtOnce = 64;  // of a table, whose gradient a thread sums at once
constexpr std::int64_t kStrip = 16;          // columns: a cache line of each of a table's rows
constexpr std::int64_t kRowsAStrip = 1 << 14;
constexpr std::int64_t kCached = std::int64_t{1} << 20;  // bytes, about a core's L2 cache
constexpr std::int64_t kReadsToPay = 4;  // of each of the table's rows, for copying it to pay

std::int64_t ceil_div(std::int64_t a, std::int64_t b) { return (a + b - 1) / b; }

/// Some columns of a table, its rows next to each other: they fit the L2 cache where the table does
/// not.
class Strip {
 public:
  Strip(std::int64_t rows, std::int64_t widest) : rows_(rows), columns_(rows * widest) {}

  /// Takes `width` columns from `first` on, unless they are here already.
  const float* take(const float* table, std::int64_t dim, std::int64_t first, std::int64_t width) {
    if (first == first_) return columns_.data();
    first_ = first;
    for (std::int64_t row = 0; row < rows_; ++row) {
      std::copy_n(table + row * dim + first, width, columns_.data() + row * width);
    }
    return columns_.data();
  }

 private:
  std::int64_t rows_;
  std::int64_t first_ = -1;
  Scratch<float> columns_;
};

/// Whether to sum strip by strip: the table is read often, is too large for the cache, and a strip
/// of it is not.
bool pays_by_strips(const CodebookShape& shape, std::int64_t rows) {
  const std::int64_t column =
      shape.parts * shape.entries * static_cast<std::int64_t>(sizeof(float));
  return kStrip * column <= kCached && shape.dim * column > kCached && shape.dim >= 2 * kStrip &&
         rows >= kReadsToPay * shape.entries;
}

void look_up_by_strips(std::span<const float> table, const CodebookShape& shape,
                       std::span<const std::uint8_t> codes, std::int64_t rows, float scale,
                       std::span<float> sums, int threads, Monitor* monitor) {
  const simd::Loops& loops = simd::loops();
  const std::int64_t strips = shape.dim / kStrip;  // the last one has the columns that are left too
  const std::int64_t widest = kStrip + shape.dim % kStrip;
  const std::int64_t pieces = ceil_div(rows, kRowsAStrip);
  const std::int64_t blocks = strips * pieces;
  for_each_block(blocks, static_cast<double>(blocks), threads, monitor, [&]() -> Worker {
    auto strip = std::make_shared<Strip>(shape.parts * shape.entries, widest);
    return [&, strip](std::int64_t block, Ticker& ticker) {
      const std::int64_t number = block / pieces;
      const std::int64_t width = number + 1 < strips ? kStrip : widest;
      const std::int64_t first = block % pieces * kRowsAStrip;
      loops.sum_entries(sums.data() + first * shape.dim + number * kStrip, shape.dim,
                        strip->take(table.data(), shape.dim, number * kStrip, width),
                        codes.data() + first * shape.parts, std::min(rows - first, kRowsAStrip),
                        shape.parts, shape.entries, width, scale);
      ticker.advance(1.0);
    };
  });
}

}  // namespace

void pq_lookup(std::span<const float> table, const CodebookShape& shape,
               std::span<const std::uint8_t> codes, std::int64_t rows, float scale,
               std::span<float> sums, int threads, Monitor* monitor) {
  check_shape("pq_lookup", shape);
  check_size("pq_lookup", "table", table.size(), shape.parts, shape.entries * shape.dim);
  check_size("pq_lookup", "codes", codes.size(), rows, shape.parts);
  check_size("pq_lookup", "sums", sums.size(), rows, shape.dim);
  check_codes("pq_lookup", codes, shape);
  if (pays_by_strips(shape, rows)) {
    look_up_by_strips(table, shape, codes, rows, scale, sums, threads, monitor);
    return;
  }
  const simd::Loops& loops = simd::loops();
  for_each_block(ceil_div(rows, kRowsAtOnce), static_cast<double>(rows), threads, monitor,
                 [&]() -> Worker {
                   return [&](std::int64_t block, Ticker& ticker) {
                     const std::int64_t first = block * kRowsAtOnce;
                     const std::int64_t count = std::min(rows - first, kRowsAtOnce);
                     loops.sum_entries(sums.data() + first * shape.dim, shape.dim, table.data(),
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
