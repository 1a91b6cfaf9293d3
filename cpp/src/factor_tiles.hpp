// Inner products of users and items, a tile of items at a time.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <span>
#include <vector>

#include "simd/loops.hpp"

namespace pyhybrid {

/// One thread's tile of items, and the scores of a few users.
class FactorTiles {
 public:
  /// Of row-major factors (rows, dim) and (n_items, dim).
  FactorTiles(std::span<const float> users, std::span<const float> items, std::int64_t n_items,
              std::int64_t dim)
      : users_(users),
        items_(items),
        n_items_(n_items),
        dim_(dim),
        packed_(static_cast<std::size_t>(simd::kTile * dim)) {}

  /// Calls visit(row, scores[0 .. kTile)) for the rows first .. end-1 and the items from `left` on;
  /// beyond the last item the scores are 0.
  template <class Visit>
  void for_rows(std::int64_t first, std::int64_t end, std::int64_t left, Visit visit) {
    pack(left);
    for (std::int64_t row = first; row < end; row += simd::kUsers) {
      const float* together[simd::kUsers];  // beyond the block's end the last one again
      for (std::int64_t u = 0; u < simd::kUsers; ++u) {
        together[u] = users_.data() + std::min(row + u, end - 1) * dim_;
      }
      loops_.multiply(scores_.data(), together, packed_.data(), dim_);
      for (std::int64_t u = 0; u < std::min<std::int64_t>(simd::kUsers, end - row); ++u) {
        visit(row + u, scores_.data() + u * simd::kTile);
      }
    }
  }

 private:
  /// items[first .. first+kTile) -> packed[k * kTile + c], zeros beyond the last item.
  void pack(std::int64_t first) {
    const std::int64_t width = std::min(simd::kTile, n_items_ - first);
    for (std::int64_t c = 0; c < width; ++c) {
      const float* item = items_.data() + (first + c) * dim_;
      for (std::int64_t k = 0; k < dim_; ++k) packed(k, c) = item[k];
    }
    for (std::int64_t c = width; c < simd::kTile; ++c) {
      for (std::int64_t k = 0; k < dim_; ++k) packed(k, c) = 0.0F;
    }
  }

  float& packed(std::int64_t k, std::int64_t c) {
    return packed_[static_cast<std::size_t>(k * simd::kTile + c)];
  }

  const simd::Loops& loops_ = simd::loops();
  std::span<const float> users_, items_;
  std::int64_t n_items_, dim_;
  std::vector<float> packed_;
  std::array<float, simd::kUsers * simd::kTile> scores_{};
};

}  // namespace pyhybrid
