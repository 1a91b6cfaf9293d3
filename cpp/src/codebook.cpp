#include "codebook.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "integers.hpp"
#include "pyhybrid/error.hpp"

namespace pyhybrid {
namespace {

constexpr std::int64_t kMostEntries = 256;
constexpr double kCut = 0x1p-15;
constexpr double kMostSquared = std::numeric_limits<float>::max();
constexpr double kMostSure = 1e37;
constexpr const char* kWayOut = "look for nan, infinite or huge inputs";

std::int64_t round_up(std::int64_t n, std::int64_t to) { return (n + to - 1) / to * to; }

}  // namespace

void check_shape(const char* who, const CodebookShape& shape) {
  if (shape.parts < 1) throw bad_value(who, "the number of parts", shape.parts, "1 or more");
  if (shape.dim < 1) throw bad_value(who, "the size of an entry", shape.dim, "1 or more");
  if (shape.entries < 1 || shape.entries > kMostEntries) {
    throw bad_value(who, "the number of entries a part", shape.entries, "1 to 256");
  }
}

void check_centroids(const char* who, const CodebookShape& shape,
                     std::span<const float> centroids) {
  check_size(who, "centroids", centroids.size(), shape.parts, shape.entries * shape.dim);
  for (std::size_t first = 0; first < centroids.size(); first += size(shape.dim)) {
    double squares = 0.0;
    for (const float value : centroids.subspan(first, size(shape.dim))) {
      squares += double{value} * value;
    }
    if (squares < kMostSquared) continue;
    const auto entry = static_cast<std::int64_t>(first) / shape.dim;
    throw bad_value(who,
                    concat("the squared length of centroid ", entry % shape.entries, " of part ",
                           entry / shape.entries),
                    squares, "a finite number in float", kWayOut);
  }
}

void check_size(const char* who, const char* what, std::size_t size, std::int64_t rows,
                std::int64_t width) {
  if (static_cast<std::int64_t>(size) != rows * width) {
    throw bad_value(who, concat(what, "' size"), size, concat(rows, " x ", width));
  }
}

void check_codes(const char* who, std::span<const std::uint8_t> codes, const CodebookShape& shape) {
  if (shape.entries == kMostEntries) return;
  const auto bad = std::find_if(codes.begin(), codes.end(),
                                [&](std::uint8_t code) { return code >= shape.entries; });
  if (bad == codes.end()) return;
  const std::int64_t place = bad - codes.begin();
  throw bad_value(who,
                  concat("the code of part ", place % shape.parts, " in row ", place / shape.parts),
                  static_cast<int>(*bad), concat("below ", shape.entries));
}

PartCodebook::PartCodebook(std::int64_t entries, std::int64_t dim)
    : entries_(entries),
      dim_(dim),
      origin_(size(dim)),
      halves_(size(round_up(entries, simd::kCentroids))),
      packed_(static_cast<std::int64_t>(halves_.size()) * dim) {}

void PartCodebook::set_origin(const float* centroids) {
  for (std::int64_t d = 0; d < dim_; ++d) {
    double sum = 0.0;
    for (std::int64_t c = 0; c < entries_; ++c) sum += centroids[c * dim_ + d];
    origin_[size(d)] = static_cast<float>(sum / static_cast<double>(entries_));
  }
}

void PartCodebook::take(const float* centroids) {
  centroids_ = centroids;
  std::fill(halves_.begin(), halves_.end(), std::numeric_limits<float>::infinity());
  std::fill_n(packed_.data(), static_cast<std::int64_t>(halves_.size()) * dim_, 0.0F);
  longest_squared_ = 0.0;
  for (std::int64_t c = 0; c < entries_; ++c) {
    float* to = packed_.data() + c / simd::kCentroids * dim_ * simd::kCentroids;
    double squares = 0.0;
    for (std::int64_t d = 0; d < dim_; ++d) {
      const float value = centroids[c * dim_ + d] - origin_[size(d)];
      to[d * simd::kCentroids + c % simd::kCentroids] = value;
      squares += double{value} * value;
    }
    halves_[size(c)] = static_cast<float>(squares / 2.0);
    longest_squared_ = std::max(longest_squared_, squares);
  }
  leave_out_copies();
}

/// A centroid that is the same as an earlier one is nobody's nearest; as infinitely far it can't
/// raise a doubt either.
void PartCodebook::leave_out_copies() {
  std::vector<std::int32_t> order(size(entries_));
  std::iota(order.begin(), order.end(), 0);
  const auto at = [this](std::int32_t c) { return centroids_ + c * dim_; };
  std::stable_sort(order.begin(), order.end(), [&](std::int32_t a, std::int32_t b) {
    return std::lexicographical_compare(at(a), at(a) + dim_, at(b), at(b) + dim_);
  });
  for (std::size_t k = 1; k < order.size(); ++k) {
    if (!std::equal(at(order[k]), at(order[k]) + dim_, at(order[k - 1]))) continue;
    halves_[size(order[k])] = std::numeric_limits<float>::infinity();
  }
}

void PartCodebook::nearest(const char* who, const float* points, const float* vectors,
                           std::int64_t stride, std::int64_t count, std::int64_t first,
                           std::int32_t* which) const {
  float best[simd::kPoints], second[simd::kPoints], halves[simd::kPoints];
  std::int32_t found[simd::kPoints];
  loops_.nearest(best, second, found, halves, points, packed_.data(), halves_.data(),
                 static_cast<std::int64_t>(halves_.size()), dim_);
  // How far float may be from the true half distances on both sides of the gap: each of dim + 2
  // sums, and the vector and the centroid less the origin, are rounded once. That the last 8 of 24
  // bits are cut off makes the lowest up to 2^-15 of itself larger than it is told.
  const double rounding = static_cast<double>(dim_ + 8) * std::numeric_limits<float>::epsilon();
  for (std::int64_t k = 0; k < count; ++k) {
    if (!std::isfinite(halves[k])) {
      throw bad_value(who, concat("the squared length of a part of vector ", first + k), halves[k],
                      "a finite number", kWayOut);
    }
    const double largest = 2.0 * halves[k] + longest_squared_;  // no half distance is larger
    const double low = double{best[k]} * (1.0 + kCut);
    // Beyond kMostSure a sum may have overflowed.
    const bool sure = largest<kMostSure&& double{second[k]} - low> rounding * largest;
    which[k] = sure ? found[k] : nearest_exactly(vectors + k * stride);
  }
}

std::int32_t PartCodebook::nearest_exactly(const float* vector) const {
  std::int32_t nearest = 0;
  double least = std::numeric_limits<double>::infinity();
  for (std::int64_t c = 0; c < entries_; ++c) {
    double distance = 0.0;
    for (std::int64_t d = 0; d < dim_; ++d) {
      const double gap = static_cast<double>(vector[d]) - centroids_[c * dim_ + d];
      distance += gap * gap;
    }
    if (distance < least) {
      least = distance;
      nearest = static_cast<std::int32_t>(c);
    }
  }
  return nearest;
}

}  // namespace pyhybrid
