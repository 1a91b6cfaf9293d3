#include "pyhybrid/score_factors.hpp"

#include <algorithm>

#include "factor_tiles.hpp"
#include "integers.hpp"
#include "pyhybrid/error.hpp"

namespace pyhybrid {
namespace {

using simd::kTile;

constexpr std::int64_t kMostRows = 40 * simd::kUsers;  // for which a tile of items is packed

void check_size(const char* what, std::size_t size, std::int64_t a, const char* expected,
                std::int64_t b) {
  if (a < 0 || b < 0 || static_cast<std::int64_t>(size) != a * b) {
    throw bad_value("score_factors", what, size, concat(expected, a * b));
  }
}

}  // namespace

void score_factors(std::span<const float> users, std::span<const float> items, std::int64_t rows,
                   std::int64_t n_items, std::int64_t dim, std::span<float> scores, int threads,
                   Monitor* monitor) {
  check_size("users' size", users.size(), rows, "rows x dim = ", dim);
  check_size("items' size", items.size(), n_items, "items x dim = ", dim);
  check_size("the output's size", scores.size(), rows, "rows x items = ", n_items);
  const std::int64_t wanted = std::int64_t{4} * resolve_threads(threads);  // blocks for all threads
  const std::int64_t most = std::clamp<std::int64_t>(ceil_div(rows, wanted), 1, kMostRows);
  const std::int64_t step = ceil_div(most, simd::kUsers) * simd::kUsers;
  const std::int64_t row_blocks = ceil_div(rows, step);
  // Few rows are parted by items too.
  const std::int64_t tiles = std::max<std::int64_t>(1, ceil_div(n_items, kTile));
  const std::int64_t tiles_at_once =
      std::clamp<std::int64_t>(ceil_div(tiles * row_blocks, wanted), 1, tiles);
  const std::int64_t item_blocks = ceil_div(tiles, tiles_at_once);
  const double work = static_cast<double>(rows) * static_cast<double>(n_items);

  for_each_block(row_blocks * item_blocks, work, threads, monitor, [&]() -> Worker {
    return [&, step, tiles_at_once, item_blocks, scored = FactorTiles(users, items, n_items, dim)](
               std::int64_t block, Ticker& ticker) mutable {
      const std::int64_t first = block / item_blocks * step;
      const std::int64_t end = std::min(rows, first + step);
      const std::int64_t begin = block % item_blocks * tiles_at_once * kTile;
      const std::int64_t stop = std::min(n_items, begin + tiles_at_once * kTile);
      for (std::int64_t left = begin; left < stop; left += kTile) {
        const std::int64_t width = std::min(kTile, n_items - left);
        scored.for_rows(first, end, left, [&](std::int64_t row, const float* tile) {
          std::copy_n(tile, width, scores.data() + row * n_items + left);
        });
        ticker.advance(static_cast<double>(end - first) * static_cast<double>(width));
      }
    };
  });
}

}  // namespace pyhybrid
