#include <algorithm>
#include <functional>
#include <limits>
#include <stdexcept>

#include "check.hpp"
#include "matrices.hpp"
#include "pyhybrid/top_n.hpp"

using namespace pyhybrid;

static constexpr float kInfinity = std::numeric_limits<float>::infinity();
static constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

struct Ranked {
  std::vector<std::int32_t> items;
  std::vector<float> scores;

  Ranked(std::int64_t rows, std::int64_t n) : items(rows * n, -7), scores(rows * n, kNan) {}
  RankingOut out(std::int64_t n) { return {n, items, scores}; }
  bool operator==(const Ranked&) const = default;
};

/// Each row's candidates, best first.
static std::vector<std::vector<std::int32_t>> sorted_rows(const std::vector<float>& scores,
                                                          std::int64_t rows, std::int64_t n_items,
                                                          const Restriction& restriction) {
  std::vector<std::vector<std::int32_t>> orders(rows);
  for (std::int64_t row = 0; row < rows; ++row) {
    std::vector<bool> allowed(n_items, !restriction.among);
    if (restriction.among) {
      const auto& [items, list_rows, cols] = *restriction.among;
      for (const std::int32_t item : items.subspan(list_rows > 1 ? row * cols : 0, cols))
        if (item >= 0) allowed[item] = true;
    }
    std::vector<std::int32_t> excluded;
    if (restriction.exclude) {
      const auto [first, last] = restriction.exclude->extent(row);
      excluded.resize(last - first);
      restriction.exclude->copy_row_ascending(row, excluded.data());
    }
    for (const std::int32_t item : excluded) allowed[item] = false;
    for (std::int32_t item = 0; item < n_items; ++item)
      if (allowed[item]) orders[row].push_back(item);
    const float* own = scores.data() + row * n_items;
    std::stable_sort(orders[row].begin(), orders[row].end(),
                     [&](auto a, auto b) { return own[a] > own[b]; });
  }
  return orders;
}

static Ranked expected(const std::vector<float>& scores, std::int64_t n_items, std::int64_t n,
                       const std::vector<std::vector<std::int32_t>>& orders) {
  const auto rows = static_cast<std::int64_t>(orders.size());
  Ranked out(rows, n);
  for (std::int64_t row = 0; row < rows; ++row)
    for (std::int64_t i = 0; i < n; ++i) {
      const bool there = i < static_cast<std::int64_t>(orders[row].size());
      out.items[row * n + i] = there ? orders[row][i] : -1;
      out.scores[row * n + i] = there ? scores[row * n_items + orders[row][i]] : -kInfinity;
    }
  return out;
}

/// Runs `rank` under every kind of restriction, several n and several numbers of threads.
static void agrees(
    const std::vector<float>& scores, std::int64_t rows, std::int64_t n_items,
    const std::function<void(const Restriction&, const RankingOut&, int threads)>& rank) {
  const auto seen = random_matrix<std::int64_t, std::int32_t>(rows, n_items, 20, true, 5);
  const Csr exclude = seen.view();
  std::vector<std::int32_t> among;
  std::mt19937 random(6);
  for (std::int64_t i = 0; i < rows * 11; ++i)
    among.push_back(static_cast<std::int32_t>(random() % (n_items + 1)) - 1);
  if (rows == 0) among.resize(11, 0);
  const AllowList all{std::span(among).first(11), 1, 11};
  const AllowList each{std::span(among).first(rows * 11), rows, 11};
  for (const Restriction& restriction :
       {Restriction{}, Restriction{&exclude}, Restriction{nullptr, all}, Restriction{nullptr, each},
        Restriction{&exclude, each}}) {
    const auto orders = sorted_rows(scores, rows, n_items, restriction);
    for (const std::int64_t n : {std::int64_t{1}, std::int64_t{10}, n_items + 2}) {
      const Ranked wanted = expected(scores, n_items, n, orders);
      for (const int threads : {1, 3}) {
        Ranked out(rows, n);
        rank(restriction, out.out(n), threads);
        CHECK(out == wanted);
      }
    }
  }
}

TEST(from_scores) {
  for (const int rows : {0, 1, 70})
    for (const int n_items : {1, 6, 2100}) {
      const auto scores = random_floats(rows * n_items, rows + n_items);
      agrees(scores, rows, n_items, [&](auto& restriction, auto& out, int threads) {
        top_n_scores(scores, rows, n_items, restriction, out, threads);
      });
    }
}

TEST(from_factors) {
  for (const int rows : {1, 70})
    for (const int n_items : {1, 300})
      for (const int dim : {0, 1, 9}) {
        const auto users = random_floats(rows * dim, 1), items = random_floats(n_items * dim, 2);
        std::vector<float> scores(rows * n_items);
        for (int row = 0; row < rows; ++row)
          for (int item = 0; item < n_items; ++item)
            for (int k = 0; k < dim; ++k)
              scores[row * n_items + item] += users[row * dim + k] * items[item * dim + k];
        agrees(scores, rows, n_items, [&](auto& restriction, auto& out, int threads) {
          top_n_factors(users, items, rows, n_items, dim, restriction, out, threads);
        });
      }
}

template <class Pointer, class Index>
static void from_histories(int rows, int known, int n_items) {
  const auto x = random_matrix<Pointer, Index>(rows, known, 8);
  const auto weights = random_floats(known * n_items);
  const auto dense = x.dense();
  std::vector<float> scores(rows * n_items);
  for (int row = 0; row < rows; ++row)
    for (int i = 0; i < known; ++i)
      for (int j = 0; dense[row * known + i] != 0 && j < n_items; ++j)
        scores[row * n_items + j] +=
            static_cast<float>(dense[row * known + i]) * weights[i * n_items + j];
  agrees(scores, rows, n_items, [&](auto& restriction, auto& out, int threads) {
    top_n(x.view(), weights, n_items, restriction, out, threads);
  });
}

TEST(from_histories_and_weights) {
  from_histories<std::int32_t, std::int32_t>(70, 40, 40);
  from_histories<std::int64_t, std::int64_t>(70, 40, 40);
  from_histories<std::int32_t, std::int64_t>(3, 1, 1);
  from_histories<std::int64_t, std::int32_t>(0, 5, 5);
  from_histories<std::int32_t, std::int32_t>(66, 2100, 2100);
  from_histories<std::int32_t, std::int32_t>(66, 30, 700);  // more items than may be in histories
  from_histories<std::int64_t, std::int32_t>(66, 700, 30);
}

TEST(a_catalogue_without_items) {
  Ranked out(2, 3);
  top_n_scores({}, 2, 0, {}, out.out(3));
  CHECK(out.items == std::vector<std::int32_t>(6, -1));
  CHECK(out.scores == std::vector<float>(6, -kInfinity));
}

TEST(minus_infinity_is_a_score) {
  const std::vector<float> scores{-kInfinity, 1, -kInfinity};
  Ranked out(1, 4);
  top_n_scores(scores, 1, 3, {}, out.out(4));
  CHECK(out.items == std::vector<std::int32_t>{1, 0, 2, -1});
}

static void rank_nan(std::int64_t place, const Restriction& restriction) {
  std::vector<float> scores(6, 1.0f);
  scores[place] = kNan;
  Ranked out(2, 1);
  top_n_scores(scores, 2, 3, restriction, out.out(1));
}

TEST(a_nan_is_refused_among_the_candidates_and_no_matter_elsewhere) {
  CHECK_THROWS(std::invalid_argument,
               "top_n_scores: the score of item 2 in row 1 is nan; expected ", rank_nan(5, {}));
  const Matrix<> seen{2, 3, {0, 0, 1}, {2}, {}};
  const Csr exclude = seen.view();
  rank_nan(5, {&exclude});
  const std::vector<std::int32_t> among{0, 1};
  rank_nan(5, {nullptr, AllowList{among, 1, 2}});
}

TEST(negative_entries_of_among_are_ignored) {
  const std::vector<float> scores{1, 2, 3};
  const std::vector<std::int32_t> among{-1, 1, std::numeric_limits<std::int32_t>::min()};
  Ranked out(1, 2);
  top_n_scores(scores, 1, 3, {nullptr, AllowList{among, 1, 3}}, out.out(2));
  CHECK(out.items == std::vector<std::int32_t>{1, -1});
}

/// Ranks 2 x 3 scores.
static void rank(std::int64_t n, const Restriction& restriction = {}, int threads = 0) {
  const std::vector<float> scores(6);
  Ranked out(2, std::max<std::int64_t>(n, 0));
  top_n_scores(scores, 2, 3, restriction, out.out(n), threads);
}

TEST(bad_arguments_are_refused) {
  CHECK_THROWS(std::invalid_argument, "top_n_scores: n is 0; expected ", rank(0));
  CHECK_THROWS(std::invalid_argument, "top_n_scores: n is -5; expected ", rank(-5));
  CHECK_THROWS(std::invalid_argument, "threads is -1", rank(1, {}, -1));
  const std::vector<std::int32_t> among{0, 1, 3, 0, 1, 2};
  const auto rank_among = [&](std::int64_t rows, std::int64_t cols, std::size_t count) {
    rank(1, {nullptr, AllowList{std::span(among).first(count), rows, cols}});
  };
  CHECK_THROWS(std::invalid_argument, " is 3; expected ", rank_among(2, 3, 6));
  CHECK_THROWS(std::invalid_argument, "top_n_scores: ", rank_among(3, 2, 6));
  CHECK_THROWS(std::invalid_argument, "top_n_scores: ", rank_among(0, 2, 0));
  CHECK_THROWS(std::invalid_argument, "top_n_scores: ", rank_among(0, 0, 0));
  CHECK_THROWS(std::invalid_argument, "top_n_scores: ", rank_among(2, 2, 6));
  CHECK_THROWS(std::invalid_argument, "top_n_scores: ", rank_among(2, 2, 3));
  CHECK_THROWS(std::invalid_argument, "top_n_scores: ", rank_among(-1, -2, 2));
  rank_among(1, 0, 0);
  rank_among(2, 0, 0);
  for (const auto& other : {random_matrix(1, 3, 2), random_matrix(2, 4, 2)}) {
    const Csr exclude = other.view();
    CHECK_THROWS(std::invalid_argument, "exclude", rank(1, {&exclude}));
  }
  const Matrix<> broken{2, 3, {0, 1, 2}, {0, 3}, {}};
  const Csr exclude = broken.view();
  CHECK_THROWS(std::invalid_argument, "exclude.indices[1] is 3; expected ", rank(1, {&exclude}));
}

TEST(shapes_that_disagree_are_refused) {
  const std::vector<float> six(6);
  Ranked out(2, 2);
  const RankingOut whole = out.out(2);
  const RankingOut few_items{2, whole.items.first(3), whole.scores};
  const RankingOut few_scores{2, whole.items, whole.scores.first(3)};
  for (const RankingOut& few : {few_items, few_scores})
    CHECK_THROWS(std::invalid_argument, "top_n_scores: ", top_n_scores(six, 2, 3, {}, few));
  CHECK_THROWS(std::invalid_argument, "top_n_scores: ", top_n_scores(six, 2, 4, {}, whole));
  CHECK_THROWS(std::invalid_argument, "top_n_scores: ", top_n_scores(six, 2, 2, {}, whole));
  CHECK_THROWS(std::invalid_argument, "top_n_scores: ", top_n_scores(six, -2, -3, {}, whole));
  CHECK_THROWS(std::invalid_argument,
               "top_n_factors: ", top_n_factors(six, six, 2, 3, 3, {}, whole));
  CHECK_THROWS(std::invalid_argument,
               "top_n_factors: ", top_n_factors(six, six, 2, 2, 2, {}, whole));
  const auto x = random_matrix(2, 3, 2);
  CHECK_THROWS(std::invalid_argument, "top_n: ", top_n(x.view(), six, 3, {}, whole));
}

TEST(what_check_refuses_is_refused) {
  auto x = random_matrix(20, 3, 5);
  const std::vector<float> weights(9);
  Ranked out(20, 1);
  x.values[1] = kNan;
  CHECK_THROWS(std::invalid_argument, "top_n: histories.data[1] is nan; expected ",
               top_n(x.view(), weights, 3, {}, out.out(1)));
}

TEST(a_monitor_sees_progress_and_stops_the_kernel) {
  const std::int64_t rows = 2000, n_items = 200;
  const auto scores = random_floats(rows * n_items), weights = random_floats(n_items * n_items);
  const auto x = random_matrix(rows, n_items, 10);
  for (const int threads : {1, 3})
    for (const int kind : {0, 1, 2}) {
      Ranked out(rows, 5);
      const auto run = [&](Watch& watch) {
        if (kind == 0) top_n_scores(scores, rows, n_items, {}, out.out(5), threads, &watch);
        if (kind == 1) top_n(x.view(), weights, n_items, {}, out.out(5), threads, &watch);
        if (kind == 2)
          top_n_factors(scores, weights, rows, n_items, n_items, {}, out.out(5), threads, &watch);
      };
      Watch watch, impatient(0);
      run(watch);
      CHECK(watch.sound);
      if (threads > 1) continue;  // the calling thread may come too late to do, and say, anything
      CHECK(watch.polls > 0);
      CHECK_THROWS(Stopped, "stopped", run(impatient));
    }
}
