#include <algorithm>
#include <bit>
#include <limits>
#include <numeric>
#include <random>
#include <string>

#include "check.hpp"
#include "levels.hpp"
#include "pyhybrid/simd.hpp"
#include "simd/loops.hpp"

using namespace pyhybrid;
using simd::kPanel;
using simd::kSquare;
using simd::kTile;
using simd::kUsers;
using simd::kWordItems;

TEST(a_named_level_says_its_name) {
  const std::vector<std::string> names{"baseline", "avx2", "avx512", "avx512"};
  const auto all = levels();
  for (std::size_t k = 0; k < all.size(); ++k) CHECK(all[k]->name == names[k]);
}

TEST(rows_are_added_in_order) {
  const Floats rows = numbers(5 * kPanel, 7);
  const Items places{3, 0, 3, 4};
  const Floats weights{2, -1, 1, 3};
  for (const simd::Loops* loops : levels()) {
    Floats sums(kPanel, -9);
    loops->add_rows(sums.data(), rows.data(), places.data(), weights.data(), 4);
    for (std::int64_t c = 0; c < kPanel; ++c) {
      CHECK(sums[c] == 3 * rows[3 * kPanel + c] - rows[c] + 3 * rows[4 * kPanel + c]);
    }
    loops->add_rows(sums.data(), rows.data(), places.data(), weights.data(), 0);
    CHECK(sums == Floats(kPanel, 0));
  }
}

TEST(users_are_multiplied_with_a_tile_of_items) {
  for (const std::int64_t dim : {0, 1, 5, 33}) {
    const Floats users = numbers(kUsers * dim, 9), items = numbers(dim * kTile, 5, 2);
    const float* together[kUsers];
    for (std::int64_t u = 0; u < kUsers; ++u) together[u] = users.data() + u * dim;
    for (const simd::Loops* loops : levels()) {
      Floats scores(kUsers * kTile, -9);
      loops->multiply(scores.data(), together, items.data(), dim);
      for (std::int64_t u = 0; u < kUsers; ++u) {
        for (std::int64_t c = 0; c < kTile; ++c) {
          float sum = 0;
          for (std::int64_t k = 0; k < dim; ++k) sum += users[u * dim + k] * items[k * kTile + c];
          CHECK(scores[u * kTile + c] == sum);
        }
      }
    }
  }
}

TEST(bits_are_set_above_the_threshold_and_where_there_is_no_number) {
  constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
  Floats scores = numbers(kTile, 7);
  scores[5] = kNan;
  scores[63] = -std::numeric_limits<float>::infinity();
  for (const simd::Loops* loops : levels()) {
    for (const float threshold : {-4.0F, 0.0F, 1.0F, kNan}) {
      const std::uint64_t bits = loops->above(scores.data(), threshold);
      for (std::int64_t c = 0; c < kTile; ++c) {
        CHECK(((bits >> c & 1) != 0) == !(scores[c] <= threshold));
      }
    }
  }
}

TEST(marks_are_looked_up_and_set_one_after_the_other) {
  constexpr std::uint8_t kTarget = 7, kNamed = 8;
  for (const std::size_t count : {0, 1, 15, 16, 64, 81, 130}) {
    Items items(count);
    std::vector<std::uint8_t> marks(count);
    for (std::size_t k = 0; k < count; ++k) {
      items[k] = static_cast<std::int32_t>(count - 1 - k);
      marks[count - 1 - k] = k % 5 == 0 ? kTarget : 3;
    }
    for (const simd::Loops* loops : levels()) {
      auto held = marks;
      std::vector<std::uint64_t> found((count + 63) / 64, ~std::uint64_t{0});
      const auto n = static_cast<std::int64_t>(count);
      CHECK(!loops->mark(found.data(), held.data(), items.data(), n, kTarget, kNamed));
      for (std::size_t k = 0; k < count; ++k) {
        CHECK((found[k / 64] >> (k % 64) & 1) == (k % 5 == 0 ? 1 : 0));
        CHECK(held[k] == kNamed);
      }
      if (count % 64 != 0) CHECK(found.back() >> (count % 64) == 0);
      if (count < 2) continue;
      // The last item again, in its own group of lanes or in another.
      for (const std::size_t earlier : {count - 2, std::size_t{0}}) {
        held = marks;
        Items twice = items;
        twice[earlier] = twice.back();
        CHECK(loops->mark(found.data(), held.data(), twice.data(), n, kTarget, kNamed));
      }
    }
  }
}

TEST(what_is_set_is_appended_in_order) {
  const Floats scores = numbers(kTile, 100);
  for (const simd::Loops* loops : levels()) {
    for (const std::uint64_t bits : {std::uint64_t{0}, std::uint64_t{1} << 63,
                                     std::uint64_t{0x8001400020001001}, ~std::uint64_t{0}}) {
      Floats kept(kTile, -9);
      Items items(kTile, -9);
      const auto count = loops->append(kept.data(), items.data(), scores.data(), bits, 640);
      CHECK(count == std::popcount(bits));
      std::int64_t k = 0;
      for (std::int64_t c = 0; c < kTile; ++c) {
        if ((bits >> c & 1) == 0) continue;
        CHECK(kept[k] == scores[c] && items[k] == 640 + c);
        ++k;
      }
    }
  }
}

/// Whether what was kept holds the n best, and only candidates, in their order.
static bool holds_best(const Floats& kept, const Items& kept_items, std::int64_t count,
                       const Floats& scores, std::int64_t n) {
  Items order(scores.size());
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(),
                   [&](std::int32_t a, std::int32_t b) { return scores[a] > scores[b]; });
  const auto end = kept_items.begin() + count;
  for (std::int64_t k = 0; k < n; ++k) {
    if (std::find(kept_items.begin(), end, order[k]) == end) return false;
  }
  for (std::int64_t k = 0; k < count; ++k) {
    if (kept[k] != scores[kept_items[k]]) return false;
    if (k > 0 && kept_items[k] <= kept_items[k - 1]) return false;
  }
  return true;
}

TEST(the_best_are_kept_and_few_more) {
  for (const simd::Loops* loops : levels()) {
    for (const int distinct : {1, 2, 5, 1000}) {
      for (const std::int64_t count : {2, 17, 100, 333}) {
        for (const std::int64_t n : {1, 2, 10, 99}) {
          if (n >= count) continue;
          const Floats scores = numbers(count, distinct);
          Floats kept = scores;
          Items items(count);
          std::iota(items.begin(), items.end(), 0);
          float threshold = 99;
          const auto left = loops->keep_best(kept.data(), items.data(), count, n, &threshold);
          CHECK(left >= n && left <= n + n / 8);
          CHECK(holds_best(kept, items, left, scores, n));
          CHECK(std::count_if(kept.begin(), kept.begin() + left,
                              [&](float score) { return score >= threshold; }) >= n);
        }
      }
    }
  }
}

TEST(infinite_scores_and_both_zeros_are_ordered) {
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  const Floats scores{-0.0F, 0.0F, -kInfinity, kInfinity, -0.0F, -kInfinity};
  for (const simd::Loops* loops : levels()) {
    Items places(scores.size());
    loops->rank(places.data(), scores.data(), 6);
    CHECK(places == Items{1, 2, 4, 0, 3, 5});
    for (std::int64_t n = 1; n < 6; ++n) {
      Floats kept = scores;
      Items items{0, 1, 2, 3, 4, 5};
      float threshold;
      const auto left = loops->keep_best(kept.data(), items.data(), 6, n, &threshold);
      CHECK(left == n && holds_best(kept, items, left, scores, n));
    }
  }
}

TEST(ties_rank_by_their_order) {
  const Floats scores = numbers(77, 6);
  for (const simd::Loops* loops : levels()) {
    Items places(77, -1);
    loops->rank(places.data(), scores.data(), 77);
    for (int k = 0; k < 77; ++k) {
      int better = 0;
      for (int j = 0; j < 77; ++j) {
        better += scores[j] > scores[k] || (scores[j] == scores[k] && j < k);
      }
      CHECK(places[k] == better);
    }
  }
}

TEST(a_square_is_transposed) {
  const Floats from = numbers(kSquare * 21, 1000);
  for (const std::uint32_t wanted : {0xFFFFU, 0U, 1U, 0x8000U, 0xFEFFU, 0x00FFU, 0x0F3CU}) {
    for (const simd::Loops* loops : levels()) {
      Floats to(kSquare * 19, -9);
      loops->transpose(from.data(), 21, to.data(), 19, wanted);
      for (std::int64_t c = 0; c < kSquare; ++c) {
        for (std::int64_t r = 0; r < 19; ++r) {
          const bool written = r < kSquare && (wanted >> r & 1) != 0;
          CHECK(to[c * 19 + r] == (written ? from[r * 21 + c] : -9));
        }
      }
    }
  }
}

TEST(common_bits_are_counted_and_added) {
  for (const std::int64_t words : {0, 1, 3, 70}) {
    std::mt19937_64 random(3);
    std::vector<std::uint64_t> a(kWordItems * words), b(kWordItems * words);
    for (auto* bits : {&a, &b}) std::generate(bits->begin(), bits->end(), random);
    if (words > 1) std::fill_n(a.begin(), kWordItems, ~std::uint64_t{0});
    for (const simd::Loops* loops : levels()) {
      std::vector<std::uint64_t> counts(kWordItems * kWordItems, 5);
      loops->count_common(counts.data(), a.data(), b.data(), words);
      for (std::int64_t i = 0; i < kWordItems; ++i) {
        for (std::int64_t j = 0; j < kWordItems; ++j) {
          std::uint64_t common = 5;
          for (std::int64_t w = 0; w < words; ++w) {
            common += std::popcount(a[w * kWordItems + i] & b[w * kWordItems + j]);
          }
          CHECK(counts[i * kWordItems + j] == common);
        }
      }
    }
  }
}
