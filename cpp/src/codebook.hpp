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

/// Vectors as simd::Loops::nearest reads them: less an origin, negated, and in groups of
/// simd::kPoints that are turned to (width, simd::kPoints).
class TurnedVectors {
 public:
  TurnedVectors(std::int64_t width, std::int64_t groups)
      : size_(width * simd::kPoints), points_(size_ * groups) {}

  /// Takes a group's `count` vectors, `stride` apart, of the origin's length; the others are zero.
  void take(std::int64_t group, const float* vectors, std::int64_t stride, std::int64_t count,
            std::span<const float> origin) {
    simd::loops().turn(points_.data() + group * size_, vectors, stride, count, origin.data(),
                       static_cast<std::int64_t>(origin.size()));
  }

  /// A group's vectors from their `first` number on.
  const float* points(std::int64_t group, std::int64_t first) const {
    return points_.data() + group * size_ + first * simd::kPoints;
  }

 private:
  std::int64_t size_;  // of a group
  Scratch<float> points_;
};

/// One part's centroids.
class PartCodebook {
 public:
  PartCodebook(std::int64_t entries, std::int64_t dim);

  /// Takes the mean of centroids (entries, dim) as the origin that distances are computed from, so
  /// that they do not drown in a common offset.
  void set_origin(const float* centroids);
  std::span<const float> origin() const { return origin_; }

  /// Takes centroids (entries, dim), which must outlive what follows.
  void take(const float* centroids);

  /// which[k] = the nearest centroid of the vector at vectors + k * stride, k < count: as if
  /// distances were in double precision, ties to the lowest. `points`: the vectors among
  /// TurnedVectors, less origin(). Throws in the name of `who` if a vector is nan, infinite or
  /// huge; `first` is the number of the first one.
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
  double longest_squared_ = 0.0;
};

}  // namespace pyhybrid
