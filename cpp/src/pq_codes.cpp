// Vectors to codes, and back.
#include <algorithm>
#include <memory>

#include "codebook.hpp"

namespace pyhybrid {
namespace {

constexpr std::int64_t kGroups = 8;  // of vectors, which a thread takes at once
constexpr std::int64_t kRowsAtOnce = kGroups * simd::kPoints;

std::int64_t ceil_div(std::int64_t a, std::int64_t b) { return (a + b - 1) / b; }

}  // namespace

void pq_encode(std::span<const float> vectors, std::int64_t rows, const CodebookShape& shape,
               std::span<const float> centroids, std::span<std::uint8_t> codes, int threads,
               Monitor* monitor) {
  check_shape("pq_encode", shape);
  const auto [parts, entries, dim] = shape;
  const std::int64_t width = parts * dim;
  check_size("pq_encode", "vectors", vectors.size(), rows, width);
  check_size("pq_encode", "centroids", centroids.size(), parts, entries * dim);
  check_size("pq_encode", "codes", codes.size(), rows, parts);
  std::vector<PartCodebook> books;
  for (std::int64_t part = 0; part < parts; ++part) {
    books.emplace_back(entries, dim);
    books.back().take(centroids.data() + part * entries * dim);
  }

  // A part's codebook stays in the L1 cache while it meets the vectors of all groups.
  for_each_block(ceil_div(rows, kRowsAtOnce), static_cast<double>(rows), threads, monitor,
                 [&]() -> Worker {
                   return [&, group = std::make_shared<PointGroup>(shape.dim)](std::int64_t block,
                                                                               Ticker& ticker) {
                     const std::int64_t first = block * kRowsAtOnce;
                     const std::int64_t end = std::min(rows, first + kRowsAtOnce);
                     std::int32_t nearest[simd::kPoints];
                     for (std::int64_t part = 0; part < shape.parts; ++part) {
                       const PartCodebook& book = books[static_cast<std::size_t>(part)];
                       for (std::int64_t row = first; row < end; row += simd::kPoints) {
                         const std::int64_t count = std::min(simd::kPoints, end - row);
                         const float* from = vectors.data() + row * width + part * shape.dim;
                         group->take("pq_encode", from, width, count, book.origin(), row);
                         book.nearest(*group, from, width, count, nearest);
                         for (std::int64_t k = 0; k < count; ++k) {
                           codes[static_cast<std::size_t>((row + k) * shape.parts + part)] =
                               static_cast<std::uint8_t>(nearest[k]);
                         }
                       }
                     }
                     ticker.advance(static_cast<double>(end - first));
                   };
                 });
}

void pq_decode(std::span<const std::uint8_t> codes, std::int64_t rows, const CodebookShape& shape,
               std::span<const float> centroids, std::span<float> vectors, int threads,
               Monitor* monitor) {
  check_shape("pq_decode", shape);
  const auto [parts, entries, dim] = shape;
  check_size("pq_decode", "codes", codes.size(), rows, parts);
  check_size("pq_decode", "centroids", centroids.size(), parts, entries * dim);
  check_size("pq_decode", "vectors", vectors.size(), rows, parts * dim);
  check_codes("pq_decode", codes, shape);
  for_each_block(
      ceil_div(rows, kRowsAtOnce), static_cast<double>(rows), threads, monitor, [&]() -> Worker {
        return [&](std::int64_t block, Ticker& ticker) {
          const std::int64_t first = block * kRowsAtOnce * shape.parts;
          const std::int64_t end = std::min(rows * shape.parts, first + kRowsAtOnce * shape.parts);
          for (std::int64_t k = first; k < end; ++k) {
            const std::int64_t entry =
                k % shape.parts * shape.entries + codes[static_cast<std::size_t>(k)];
            std::copy_n(centroids.data() + entry * shape.dim, shape.dim,
                        vectors.data() + k * shape.dim);
          }
          ticker.advance(static_cast<double>((end - first) / shape.parts));
        };
      });
}

}  // namespace pyhybrid
