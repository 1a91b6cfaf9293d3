#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <set>
#include <stdexcept>

#include "check.hpp"
#include "matrices.hpp"
#include "pyhybrid/metrics.hpp"
#include "pyhybrid/top_n.hpp"

using namespace pyhybrid;
using Items = std::vector<std::int32_t>;
using Values = std::vector<double>;

static const MetricKind kKinds[] = {
    MetricKind::ndcg, MetricKind::recall, MetricKind::recall_min, MetricKind::precision,
    MetricKind::hit,  MetricKind::mrr,    MetricKind::map,        MetricKind::map_min};

/// One row by the definitions.
static double rated(Metric metric, const std::int32_t* ranking, std::int64_t n,
                    const std::set<std::int32_t>& targets) {
  const double k = static_cast<double>(metric.k), r = static_cast<double>(targets.size());
  double hits = 0, gain = 0, ideal = 0, precisions = 0, first = 0;
  for (std::int64_t j = 1; j <= metric.k; ++j) {
    if (j <= r) ideal += 1 / std::log2(j + 1.0);
    if (j > n || !targets.contains(ranking[j - 1])) continue;
    hits += 1;
    gain += 1 / std::log2(j + 1.0);
    precisions += hits / static_cast<double>(j);
    if (first == 0) first = static_cast<double>(j);
  }
  if (r == 0) return std::numeric_limits<double>::quiet_NaN();
  switch (metric.kind) {
    case MetricKind::ndcg:
      return gain / ideal;
    case MetricKind::recall:
      return hits / r;
    case MetricKind::recall_min:
      return hits / std::min(k, r);
    case MetricKind::precision:
      return hits / k;
    case MetricKind::hit:
      return hits > 0;
    case MetricKind::mrr:
      return first > 0 ? 1 / first : 0;
    case MetricKind::map:
      return precisions / r;
    case MetricKind::map_min:
      return precisions / std::min(k, r);
  }
  return -1;
}

static bool same(double a, double b) {
  return (std::isnan(a) && std::isnan(b)) || std::abs(a - b) <= 1e-14;
}

static Values rate(const Items& items, std::int64_t rows, std::int64_t n, const Csr& targets,
                   const std::vector<Metric>& metrics, int threads = 0,
                   Monitor* monitor = nullptr) {
  Values out(metrics.size() * rows, -7);
  ranking_metrics(items, rows, n, targets, metrics, out, threads, monitor);
  return out;
}

static std::vector<Metric> all_metrics(std::initializer_list<std::int64_t> cut_offs) {
  std::vector<Metric> metrics;
  for (const MetricKind kind : kKinds)
    for (const std::int64_t k : cut_offs) metrics.push_back({kind, k});
  return metrics;
}

template <class Pointer, class Index>
static void definitions() {
  const std::int64_t rows = 70, n_items = 40, n = 30;
  const auto targets = random_matrix<Pointer, Index>(rows, n_items, 9);
  std::mt19937 random(1);
  Items items;
  for (std::int64_t row = 0; row < rows; ++row) {
    Items order(n_items);
    std::iota(order.begin(), order.end(), 0);
    std::shuffle(order.begin(), order.end(), random);
    std::fill(order.begin() + random() % (n + 1), order.end(), -1);
    items.insert(items.end(), order.begin(), order.begin() + n);
  }
  const auto metrics = all_metrics({1, 7, 30});
  const Values one = rate(items, rows, n, targets.view(), metrics, 1);
  for (const int threads : {0, 2, 3, 7}) {
    const Values more = rate(items, rows, n, targets.view(), metrics, threads);
    CHECK(std::equal(one.begin(), one.end(), more.begin(), [](double a, double b) {
      return a == b || (std::isnan(a) && std::isnan(b));
    }));
  }
  for (std::size_t m = 0; m < metrics.size(); ++m)
    for (std::int64_t row = 0; row < rows; ++row) {
      const auto [first, last] = targets.view().extent(row);
      Items stored(static_cast<std::size_t>(last - first));
      targets.view().copy_row_ascending(row, stored.data());
      CHECK(same(one[m * rows + row],
                 rated(metrics[m], items.data() + row * n, n, {stored.begin(), stored.end()})));
    }
}

TEST(rankings_are_rated_by_the_definitions) {
  definitions<std::int32_t, std::int32_t>();
  definitions<std::int64_t, std::int64_t>();
  definitions<std::int32_t, std::int64_t>();
}

TEST(scores_are_rated_as_their_ranking_is) {
  const std::int64_t rows = 70, n = 60;
  for (const std::int64_t n_items : {1, 40, 2100}) {
    const auto scores = random_floats(rows * n_items);
    const auto targets = random_matrix(rows, n_items, 9), seen = random_matrix(rows, n_items, 30);
    const Csr excluded = seen.view();
    for (const Csr* exclude : {static_cast<const Csr*>(nullptr), &excluded}) {
      Items items(rows * n);
      std::vector<float> best(rows * n);
      top_n_scores(scores, rows, n_items, {exclude}, {n, items, best});
      const auto metrics = all_metrics({1, 5, 60});
      const Values expected = rate(items, rows, n, targets.view(), metrics);
      for (const int threads : {1, 3}) {
        Values out(metrics.size() * rows, -7);
        score_metrics(scores, targets.view(), exclude, metrics, out, threads);
        CHECK(std::equal(out.begin(), out.end(), expected.begin(), same));
      }
    }
  }
}

TEST(names_are_read) {
  const char* names[] = {"ndcg", "recall", "recall_min", "precision",
                         "hit",  "mrr",    "map",        "map_min"};
  for (std::size_t i = 0; i < std::size(names); ++i) {
    const Metric metric = parse_metric("who", std::string(names[i]) + "@100");
    CHECK(metric.kind == kKinds[i] && metric.k == 100);
  }
  CHECK(parse_metric("who", std::string_view("hit@12345").substr(0, 6)).k == 12);
}

TEST(other_names_are_refused) {
  for (const char* text :
       {"", "@", "ndcg", "ndcg@", "@5", "ndcg@0", "ndcg@-1", "ndcg@+1", "ndcg@x", "ndcg@1x",
        "ndcg@1.5", "ndcg@ 1", " ndcg@1", "ndcg@1 ", "ndgc@5", "NDCG@5", "ndcg@1@2",
        "ndcg@9223372036854775808", "ndcg@99999999999999999999999"}) {
    CHECK_THROWS(std::invalid_argument, "who: ", parse_metric("who", text));
    CHECK_THROWS(std::invalid_argument, "; expected ", parse_metric("who", text));
  }
}

TEST(no_rows_and_no_metrics) {
  const Matrix<> none{0, 5, {0}, {}, {}};
  CHECK(rate({}, 0, 3, none.view(), {{MetricKind::hit, 3}}).empty());
  const Matrix<> one{1, 5, {0, 1}, {2}, {}};
  CHECK(rate({1}, 1, 1, one.view(), {}).empty());
}

/// Rates (0, 1, 2) and `row` against one target each.
static void rate_row(const Items& row, std::int64_t k = 1) {
  Items items{0, 1, 2};
  items.insert(items.end(), row.begin(), row.end());
  const Matrix<> targets{2, 3, {0, 1, 2}, {0, 1}, {}};
  rate(items, 2, 3, targets.view(), {{MetricKind::hit, k}});
}

TEST(rows_that_are_no_ranking_are_refused) {
  rate_row({2, 1, 0});
  rate_row({-1, -1, -1});
  for (const Items& row : {Items{2, 0, 2}, Items{1, 1, -1}, Items{0, -1, 1}, Items{0, 3, 1},
                           Items{0, -2, -1}, Items{std::numeric_limits<std::int32_t>::max(), 0, 1}})
    CHECK_THROWS(std::invalid_argument, "of row 1 is ", rate_row(row));
}

TEST(a_cut_off_beyond_the_rankings_is_refused) {
  CHECK_THROWS(std::invalid_argument, " is 4; expected ", rate_row({0, 1, 2}, 4));
}

TEST(shapes_that_disagree_are_refused) {
  const Matrix<> targets{2, 3, {0, 1, 2}, {0, 1}, {}};
  const std::vector<Metric> hit{{MetricKind::hit, 1}};
  const Items items{0, 1, 2, 1};
  const std::vector<float> scores(6);
  Values two(2), three(3);
  const auto rank = [&](std::int64_t rows, std::int64_t n, Values& out) {
    ranking_metrics(items, rows, n, targets.view(), hit, out);
  };
  rank(2, 2, two);
  CHECK_THROWS(std::invalid_argument, "ranking_metrics: ", rank(2, 2, three));
  CHECK_THROWS(std::invalid_argument, "ranking_metrics: ", rank(2, 3, two));
  CHECK_THROWS(std::invalid_argument, "ranking_metrics: ", rank(1, 4, two));
  CHECK_THROWS(std::invalid_argument, "ranking_metrics: ", rank(4, 1, two));
  const auto score = [&](std::size_t count, const Csr* exclude, Values& out) {
    score_metrics(std::span(scores).first(count), targets.view(), exclude, hit, out);
  };
  score(6, nullptr, two);
  CHECK_THROWS(std::invalid_argument, "score_metrics: ", score(5, nullptr, two));
  CHECK_THROWS(std::invalid_argument, "score_metrics: ", score(6, nullptr, three));
  const Matrix<> narrow{2, 2, {0, 0, 0}, {}, {}};
  const Csr exclude = narrow.view();
  CHECK_THROWS(std::invalid_argument, "score_metrics: exclude", score(6, &exclude, two));
}

TEST(what_check_refuses_is_refused) {
  const Matrix<> targets{1, 3, {0, 1}, {3}, {}};
  CHECK_THROWS(std::invalid_argument, "ranking_metrics: targets.indices[0] is 3; expected ",
               rate({0}, 1, 1, targets.view(), {{MetricKind::hit, 1}}));
}

TEST(a_candidate_whose_score_is_nan_is_refused) {
  const Matrix<> targets{1, 2, {0, 1}, {0}, {}};
  const std::vector<float> scores{1.0f, std::numeric_limits<float>::quiet_NaN()};
  Values out(1);
  CHECK_THROWS(std::invalid_argument,
               "score_metrics: the score of item 1 in row 0 is nan; expected ",
               score_metrics(scores, targets.view(), nullptr, {{MetricKind::hit, 1}}, out));
}

TEST(a_monitor_sees_progress_and_stops_the_kernel) {
  const std::int64_t rows = 5000, n_items = 50;
  const auto targets = random_matrix(rows, n_items, 9);
  const auto scores = random_floats(rows * n_items);
  Items items;
  for (std::int64_t row = 0; row < rows; ++row)
    for (std::int32_t item = 0; item < n_items; ++item) items.push_back(item);
  const auto metrics = all_metrics({10});
  for (const int threads : {1, 3}) {
    Watch watch, other, impatient(0), hasty(0);
    Values out(metrics.size() * rows);
    rate(items, rows, n_items, targets.view(), metrics, threads, &watch);
    score_metrics(scores, targets.view(), nullptr, metrics, out, threads, &other);
    CHECK(watch.sound && other.sound);
    if (threads > 1) continue;  // the calling thread may come too late to do, and say, anything
    CHECK(watch.polls > 0 && other.polls > 0);
    CHECK_THROWS(Stopped, "stopped",
                 rate(items, rows, n_items, targets.view(), metrics, threads, &impatient));
    CHECK_THROWS(Stopped, "stopped",
                 score_metrics(scores, targets.view(), nullptr, metrics, out, threads, &hasty));
  }
}

TEST(marks_last_for_more_rows_than_a_byte_can_tell_apart) {
  const std::int64_t rows = 300, n = 4;  // on one thread: one worker rates them all
  Matrix<> targets{rows, n, {0}, {}, {}};
  Items items;
  for (std::int64_t row = 0; row < rows; ++row) {
    targets.indices.push_back(static_cast<std::int32_t>(row % n));
    targets.indptr.push_back(static_cast<std::int32_t>(row + 1));
    for (std::int32_t rank = 0; rank < n; ++rank) items.push_back(rank);
  }
  Values out(rows);
  ranking_metrics(items, rows, n, targets.view(), {{MetricKind::mrr, n}}, out, 1);
  for (std::int64_t row = 0; row < rows; ++row) CHECK(out[row] == 1.0 / (row % n + 1.0));
}
