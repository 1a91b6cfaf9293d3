#include "common_users.hpp"

#include <algorithm>
#include <array>
#include <numeric>
#include <utility>

#include "integers.hpp"
#include "simd/loops.hpp"

namespace pyhybrid {
namespace {

constexpr std::int64_t kFewest = 16;       // items; fewer are not worth a pass of their own
constexpr std::int64_t kTilesAtOnce = 4;   // whose words are used as often while they are cached
constexpr std::int64_t kWordsAtOnce = 64;  // 2 x 4 tiles of so many words take 32 KB
constexpr std::int64_t kWordsPerTick = 16 * kWordsAtOnce;

}  // namespace

std::vector<std::int32_t> items_worth_bitmaps(std::span<const std::int64_t> users_of,
                                              std::int64_t users) {
  std::vector<std::int32_t> items(users_of.size());
  std::iota(items.begin(), items.end(), 0);
  std::stable_sort(items.begin(), items.end(), [&](std::int32_t a, std::int32_t b) {
    return users_of[size(a)] > users_of[size(b)];
  });
  // An item's pairs with the more popular ones: what they take to visit, were users to choose
  // independently; and what their words take, and its row and column, which are then written apart.
  // One item alone may not be worth it where it and the next ones together are.
  const auto words = static_cast<double>(ceil_div(users, CommonUsers::kUsersTogether));
  const auto cells = static_cast<double>(items.size());
  double entries = 0.0, saved = 0.0, most_saved = 0.0;
  std::size_t worth = 0;
  for (std::size_t k = 0; k < items.size(); ++k) {
    const auto popularity = static_cast<double>(users_of[size(items[k])]);
    entries += popularity;
    const double visits = popularity * entries / static_cast<double>(users);
    saved += visits - simd::loops().word_cost * words * static_cast<double>(k + 1) - cells;
    if (saved > most_saved) {
      most_saved = saved;
      worth = k + 1;
    }
  }
  items.resize(static_cast<std::int64_t>(worth) < kFewest ? 0 : worth);
  std::sort(items.begin(), items.end());
  return items;
}

CommonUsers::CommonUsers(std::vector<std::int32_t> items, std::int64_t n_items, std::int64_t users,
                         int threads, Control& control)
    : items_(std::move(items)),
      numbers_(size(n_items), -1),
      words_(ceil_div(users, kUsersTogether)) {
  for (std::size_t k = 0; k < items_.size(); ++k) {
    numbers_[size(items_[k])] = static_cast<std::int32_t>(k);
  }
  const std::int64_t tiles = ceil_div(static_cast<std::int64_t>(items_.size()), kTogether);
  bits_.reserve(tiles * words_ * kTogether);
  for_each_block(tiles, threads, control, [&]() -> Worker {
    return [&](std::int64_t tile, Ticker& ticker) {
      std::fill_n(bits_.data() + tile * words_ * kTogether, words_ * kTogether, 0);
      ticker.advance(0.0);
    };
  });
}

template <class Value>
void CommonUsers::count(Value* matrix, double work, int threads, Control& control) const {
  static_assert(kTogether == simd::kWordItems);
  const auto items = static_cast<std::int64_t>(items_.size());
  const auto n_items = static_cast<std::int64_t>(numbers_.size());
  const std::int64_t tiles = ceil_div(items, kTogether);
  const std::int64_t blocks = ceil_div(tiles, kTilesAtOnce);
  const double work_per_word = work / static_cast<double>(blocks * (blocks + 1) / 2 * words_);
  const simd::Loops& loops = simd::loops();
  using Counts = std::array<std::uint64_t, kTogether * kTogether>;

  // Each block holds the pairs of some tiles with some others, not before them.
  for_each_block(blocks * blocks, threads, control, [&]() -> Worker {
    return [&, counts = std::vector<Counts>(size(kTilesAtOnce * kTilesAtOnce))](
               std::int64_t block, Ticker& ticker) mutable {
      const std::int64_t top = block / blocks * kTilesAtOnce, left = block % blocks * kTilesAtOnce;
      if (left < top) return;
      const std::int64_t bottom = std::min(tiles, top + kTilesAtOnce);
      const std::int64_t right = std::min(tiles, left + kTilesAtOnce);
      std::fill(counts.begin(), counts.end(), Counts{});
      for (std::int64_t first = 0, told = 0; first < words_; first += kWordsAtOnce) {
        const std::int64_t words = std::min(kWordsAtOnce, words_ - first);
        auto* sums = counts.data();
        for (std::int64_t a = top; a < bottom; ++a) {
          for (std::int64_t b = left; b < right; ++b) {
            loops.count_common((sums++)->data(), &bits_[(a * words_ + first) * kTogether],
                               &bits_[(b * words_ + first) * kTogether], words);
          }
        }
        const std::int64_t done = first + words;
        if (done - told < kWordsPerTick && done < words_) continue;
        ticker.advance(work_per_word * static_cast<double>(done - told));
        told = done;
      }
      // Row by row in both triangles, as a row's cells lie close together.
      const std::int64_t first_i = top * kTogether, end_i = std::min(items, bottom * kTogether);
      const std::int64_t first_j = left * kTogether, end_j = std::min(items, right * kTogether);
      const auto common = [&](std::int64_t i, std::int64_t j) {
        const std::int64_t a = i / kTogether - top, b = j / kTogether - left;
        const Counts& found = counts[size(a * (right - left) + b)];
        return static_cast<Value>(
            static_cast<std::int64_t>(found[size(i % kTogether * kTogether + j % kTogether)]));
      };
      for (std::int64_t i = first_i; i < end_i; ++i) {
        Value* row = matrix + items_[size(i)] * n_items;
        for (std::int64_t j = first_j; j < end_j; ++j) row[items_[size(j)]] = common(i, j);
      }
      if (left == top) return;
      for (std::int64_t j = first_j; j < end_j; ++j) {
        Value* row = matrix + items_[size(j)] * n_items;
        for (std::int64_t i = first_i; i < end_i; ++i) row[items_[size(i)]] = common(i, j);
      }
    };
  });
}

template void CommonUsers::count<float>(float*, double, int, Control&) const;
template void CommonUsers::count<double>(double*, double, int, Control&) const;

}  // namespace pyhybrid
