#include <algorithm>
#include <random>
#include <vector>

#include "check.hpp"
#include "common_users.hpp"
#include "matrices.hpp"

using namespace pyhybrid;

TEST(items_are_worth_it_if_many_users_have_them) {
  const std::int64_t users = 6400;
  std::vector<std::int64_t> users_of(300, 1);
  for (int item = 100; item < 140; ++item) users_of[item] = users - item;
  const auto items = items_worth_bitmaps(users_of, users);
  CHECK(items.size() >= 40);
  CHECK(std::is_sorted(items.begin(), items.end()));
  for (int item = 100; item < 140; ++item) {
    CHECK(std::binary_search(items.begin(), items.end(), item));
  }
  CHECK(items.size() < 300);
}

TEST(items_are_worth_it_together_where_the_first_alone_is_not) {
  // Half of the users have each: visiting the first one's own pairs is sooner than writing its row.
  const std::int64_t users = 6400, n = 4000;
  const auto items = items_worth_bitmaps(std::vector<std::int64_t>(n, users / 2), users);
  CHECK(static_cast<std::int64_t>(items.size()) == n);
}

TEST(few_items_or_rare_ones_are_not_worth_it) {
  CHECK(items_worth_bitmaps(std::vector<std::int64_t>(), 0).empty());
  CHECK(items_worth_bitmaps(std::vector<std::int64_t>(10, 5000), 5000).empty());
  CHECK(items_worth_bitmaps(std::vector<std::int64_t>(1000, 10), 1 << 20).empty());
  CHECK(items_worth_bitmaps(std::vector<std::int64_t>(1000, 0), 100).empty());
}

TEST(nobody_is_popular_by_default) {
  const CommonUsers none;
  CHECK(none.items().empty());
  CHECK(none.number(7) == -1);
}

/// More items than a block holds, and users that fill no last word.
TEST(pairs_are_counted_in_both_triangles_and_nothing_else_is_written) {
  for (const std::int64_t users : {1, 64, 200, 64 * 130 + 1}) {
    for (const int count : {1, 8, 33, 75}) {
      std::mt19937 random(count);
      const std::int64_t n = 2 * count + 3;
      std::vector<std::int32_t> items;
      for (int k = 0; k < count; ++k) items.push_back(2 * k + 1);
      Control control(nullptr, 1.0);
      CommonUsers common(items, n, users, 2, control);
      std::vector<char> has(users * n);
      for (std::int64_t user = 0; user < users; ++user) {
        for (int k = 0; k < count; ++k) {
          if (random() % 3 == 0) continue;
          common.add(k, user);
          has[user * n + items[k]] = 1;
        }
      }
      std::vector<double> expected(n * n, -9.0);
      for (const int i : items) {
        for (const int j : items) {
          double both = 0;
          for (std::int64_t user = 0; user < users; ++user) {
            both += has[user * n + i] & has[user * n + j];
          }
          expected[i * n + j] = both;
        }
      }
      for (const int threads : {1, 3}) {
        std::vector<double> matrix(n * n, -9.0);
        common.count(matrix.data(), 1.0, threads, control);
        CHECK(matrix == expected);
        std::vector<float> single(n * n, -9.0F);
        common.count(single.data(), 1.0, threads, control);
        CHECK(std::equal(single.begin(), single.end(), expected.begin()));
      }
      for (std::int64_t item = 0; item < n; ++item) {
        CHECK(common.number(item) == (item % 2 == 1 && item < 2 * count ? item / 2 : -1));
      }
    }
  }
}

TEST(counting_tells_of_its_work_and_can_be_stopped) {
  const std::int64_t n = 100, users = 64 * 3000;
  std::vector<std::int32_t> items(n);
  for (std::int32_t item = 0; item < n; ++item) items[item] = item;
  std::vector<float> matrix(n * n);
  for (const bool patient : {true, false}) {
    Control unwatched(nullptr, 1.0);
    const CommonUsers common(items, n, users, 1, unwatched);
    Watch watch(patient ? 1 << 30 : 1);
    Control control(&watch, 8.0);
    if (patient) {
      common.count(matrix.data(), 6.0, 1, control);
      CHECK(watch.sound);
      CHECK(watch.polls > 3);
      CHECK(watch.last > 0.74 && watch.last < 0.76);
    } else {
      CHECK_THROWS(Stopped, "stopped", common.count(matrix.data(), 6.0, 1, control));
      CHECK(watch.polls == 2);
    }
  }
}
