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

/// Throws unless all codes are below the number of entries.
void check_codes(const char* who, std::span<const std::uint8_t> codes, const CodebookShape& shape);

/// One part's vectors, simd::kPoints together, as simd::Loops::nearest reads them: less `origin`,
/// negated, and turned to (dim, kPoints).
class PointGroup {
 public:
  explicit PointGroup(std::int64_t dim) : points_(dim * simd::kPoints) {}

  /// Takes `count` vectors, `stride` apart; the others are zero. Throws in the name of `who` if one
  /// is not finite: `first` is the number of its row.
  void take(const char* who, const float* vectors, std::int64_t stride, std::int64_t count,
            std::span<const float> origin, std::int64_t first);

  const float* points() const { return points_.data(); }
  const float* halves() const { return halves_; }  // of the squared lengths

 private:
  Scratch<float> points_;
  float halves_[simd::kPoints] = {};
};

/// One part's centroids.
class PartCodebook {
 public:
  PartCodebook(std::int64_t entries, std::int64_t dim);

  /// Takes centroids (entries, dim), which must outlive what follows; distances are computed from
  /// their mean on, so that they do not drown in a common offset.
  void take(const float* centroids);
  std::span<const float> origin() const { return origin_; }

  /// which[k] = the nearest centroid of the group's k-th vector, which lies at vectors + k *
  /// stride, for k < count: as if distances were in double precision, ties to the lowest.
  void nearest(const PointGroup& group, const float* vectors, std::int64_t stride,
               std::int64_t count, std::int32_t* which) const;

 private:
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
