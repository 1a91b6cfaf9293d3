// A codebook as the loop that finds nearest centroids reads it.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "pyhybrid/pq.hpp"
#include "scratch.hpp"
#include "simd/loops.hpp"

namespace pyhybrid {

/// Throws in the name of `who` unless the shape is one, and `size` values make `rows` rows of
/// `width`.
void check_shape(const char* who, const CodebookShape& shape);
void check_size(const char* who, const char* what, std::size_t size, std::int64_t rows,
                std::int64_t width);

/// Throws unless there are as many centroids as the shape says, and none is nan, infinite or huge.
void check_centroids(const char* who, const CodebookShape& shape, std::span<const float> centroids);

/// Throws unless all codes are below the number of entries.
void check_codes(const char* who, std::span<const std::uint8_t> codes, const CodebookShape& shape);

/// Some vectors as simd::Loops::nearest reads them: less an origin, negated, and turned to (width,
/// simd::kPoints).
class PointGroup {
 public:
  explicit PointGroup(std::int64_t width) : points_(width * simd::kPoints) {}

  /// Takes `count` vectors, `stride` apart, of the origin's length; the others are zero.
  void take(const float* vectors, std::int64_t stride, std::int64_t count,
            std::span<const float> origin) {
    simd::loops().turn(points_.data(), vectors, stride, count, origin.data(),
                       static_cast<std::int64_t>(origin.size()));
  }

  /// The vectors from their `first` number on.
  const float* points(std::int64_t first) const { return points_.data() + first * simd::kPoints; }

 private:
  Scratch<float> points_;
};

/// One part's centroids.
class PartCodebook {
 public:
  PartCodebook(std::int64_t entries, std::int64_t dim);

  /// Takes centroids (entries, dim), which must outlive what follows; distances are computed from
  /// their mean on, so that they do not drown in a common offset.
  void take(const float* centroids);
  std::span<const float> origin() const { return origin_; }

  /// which[k] = the nearest centroid of the vector at vectors + k * stride, k < count: as if
  /// distances were in double precision, ties to the lowest. `points`: the vectors in a PointGroup,
  /// less origin(). Throws in the name of `who` if a vector is nan, infinite or
  /// huge; `first` is the number of
  /// the first one.
  void nearest(const char* who, const float* points, const float* vectors, std::int64_t stride,
               std::int64_t count, std::int64_t first, std::int32_t* which) const;

 private:
  void leave_out_copies();
  std::int32_t nearest_exactly(const float* vector) const;

  const simd::Loops& loops_ = simd::loops();
  std::int64_t entries_, dim_;
  const float* centroids_ = nullptr;
  std::vector<float> origin_;
  std::vector<float> halves_;  // half the squared lengths, infinite beyond the last entry
  Scratch<float> packed_;      // (entries / simd::kCentroids, dim, simd::kCentroids), less origin
  double longest_ = 0.0;
};

}  // namespace pyhybrid
