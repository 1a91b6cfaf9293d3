// All scores of users' and items' factors.
#pragma once

#include <cstdint>
#include <span>

#include "pyhybrid/parallel.hpp"

namespace pyhybrid {

/// scores = users x items^T (rows, n_items), for row-major factors (rows, dim) and (n_items, dim).
///
/// A score is summed as `top_n_factors` sums it, so that the two agree to the last bit, and items
/// of equal factors have equal scores. Throws std::invalid_argument for sizes that disagree;
/// Stopped if the monitor says so.
void score_factors(std::span<const float> users, std::span<const float> items, std::int64_t rows,
                   std::int64_t n_items, std::int64_t dim, std::span<float> scores, int threads = 0,
                   Monitor* monitor = nullptr);

}  // namespace pyhybrid
