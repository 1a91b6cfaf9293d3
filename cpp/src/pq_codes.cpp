// Vectors to codes, and back.
#include <algorithm>
#include <memory>

#include "codebook.hpp"
#include "integers.hpp"

namespace pyhybrid {
namespace {

constexpr std::int64_t kGroups = 4;  // of vectors, which a thread takes at once
constexpr std::int64_t kRowsAtOnce = kGroups * simd::kPoints;

}  // namespace

void pq_encode(std::span<const float> vectors, std::int64_t rows, const CodebookShape& shape,
               std::span<const float> centroids, std::span<std::uint8_t> codes, int threads,
               Monitor* monitor) {
  check_shape("pq_encode", shape);
  const auto [parts, entries, dim] = shape;
  const std::int64_t width = parts * dim;
  check_size("pq_encode", "vectors", vectors.size(), rows, width);
  check_centroids("pq_encode", shape, centroids);
  check_size("pq_encode", "codes", codes.size(), rows, parts);
  std::vector<PartCodebook> books;
  std::vector<float> origin;
  for (std::int64_t part = 0; part < parts; ++part) {
    books.emplace_back(entries, dim);
    books.back().set_origin(centroids.data() + part * entries * dim);
    books.back().take(centroids.data() + part * entries * dim);
    origin.insert(origin.end(), books.back().origin().begin(), books.back().origin().end());
  }

  // A part's codebook stays in the L1 cache while it meets the vectors of all groups.
  for_each_block(
      ceil_div(rows, kRowsAtOnce), static_cast<double>(rows), threads, monitor, [&]() -> Worker {
        return [&, turned = std::make_shared<TurnedVectors>(width, kGroups)](std::int64_t block,
                                                                             Ticker& ticker) {
          const std::int64_t first = block * kRowsAtOnce;
          const std::int64_t end = std::min(rows, first + kRowsAtOnce);
          const float* from = vectors.data() + first * width;
          const auto count = [&](std::int64_t k) {
            return std::clamp<std::int64_t>(end - first - k * simd::kPoints, 0, simd::kPoints);
          };
          for (std::int64_t k = 0; k < kGroups && count(k) > 0; ++k) {
            turned->take(k, from + k * simd::kPoints * width, width, count(k), origin);
          }
          std::int32_t nearest[simd::kPoints];
          for (std::int64_t part = 0; part < shape.parts; ++part) {
            for (std::int64_t k = 0; k < kGroups && count(k) > 0; ++k) {
              const std::int64_t row = first + k * simd::kPoints;
              books[size(part)].nearest("pq_encode", turned->points(k, part * shape.dim),
                                        vectors.data() + row * width + part * shape.dim, width,
                                        count(k), row, nearest);
              for (std::int64_t v = 0; v < count(k); ++v) {
                codes[size((row + v) * shape.parts + part)] = static_cast<std::uint8_t>(nearest[v]);
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
  check_centroids("pq_decode", shape, centroids);
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
