#include <stdexcept>
#include <tuple>

#include "check.hpp"
#include "matrices.hpp"
#include "pyhybrid/score_factors.hpp"

using namespace pyhybrid;

TEST(scores_are_the_inner_products_for_any_number_of_threads) {
  for (const auto& [rows, n_items, dim] :
       {std::tuple{0, 3, 2}, {3, 0, 2}, {3, 2, 0}, {1, 1, 1}, {7, 63, 5}, {700, 130, 9}}) {
    const auto users = random_floats(rows * dim, 1), items = random_floats(n_items * dim, 2);
    for (const int threads : {1, 3}) {
      std::vector<float> scores(rows * n_items, -7.0f);
      score_factors(users, items, rows, n_items, dim, scores, threads);
      for (std::int64_t row = 0; row < rows; ++row)
        for (std::int64_t item = 0; item < n_items; ++item) {
          float expected = 0;  // whole numbers
          for (std::int64_t k = 0; k < dim; ++k)
            expected += users[row * dim + k] * items[item * dim + k];
          CHECK(scores[row * n_items + item] == expected);
        }
    }
  }
}

TEST(sizes_that_disagree_are_refused) {
  const std::vector<float> six(6);
  std::vector<float> four(4), many(6);
  score_factors(six, six, 2, 2, 3, four);
  CHECK_THROWS(std::invalid_argument, "score_factors: users' size is 6; expected rows x dim = 9",
               score_factors(six, six, 3, 2, 3, four));
  CHECK_THROWS(std::invalid_argument, "score_factors: items' size is 6; expected items x dim = 9",
               score_factors(six, six, 2, 3, 3, four));
  CHECK_THROWS(std::invalid_argument,
               "score_factors: the output's size is 6; expected rows x items = 4",
               score_factors(six, six, 2, 2, 3, many));
  CHECK_THROWS(std::invalid_argument, "users' size", score_factors(six, six, -2, -2, -3, four));
}

TEST(a_monitor_sees_progress_and_stops_the_kernel) {
  const std::int64_t rows = 2000, n_items = 200, dim = 50;
  const auto users = random_floats(rows * dim), items = random_floats(n_items * dim);
  std::vector<float> scores(rows * n_items);
  Watch watch, impatient(0);
  score_factors(users, items, rows, n_items, dim, scores, 1, &watch);
  CHECK(watch.sound);
  CHECK(watch.polls > 0);
  CHECK_THROWS(Stopped, "stopped",
               score_factors(users, items, rows, n_items, dim, scores, 1, &impatient));
}
