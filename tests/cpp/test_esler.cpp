#include <algorithm>
#include <cmath>
#include <limits>
#include <stdexcept>
#include <string>

#include "check.hpp"
#include "matrices.hpp"
#include "mirror.hpp"
#include "openblas.hpp"
#include "pyhybrid/esler.hpp"
#include "pyhybrid/gram.hpp"
#include "tiled_inverse.hpp"

using namespace pyhybrid;
using Values = std::vector<float>;

static constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
static constexpr double kInfinity = std::numeric_limits<double>::infinity();

static Values gram_of_random(std::int64_t users, std::int64_t items, int most) {
  const auto x = random_matrix(users, items, most, false);
  Values out(items * items);
  gram(x.view(), std::span<float>(out));
  return out;
}

static Values solved(Values matrix, std::int64_t items, double l2, int threads = 0,
                     Monitor* monitor = nullptr) {
  esler_weights(matrix, items, l2, openblas, threads, monitor);
  return matrix;
}

/// The largest entry off the diagonal of (G + l2 I) B - G, in some columns, beside the largest of
/// G.
static double residual(const Values& g, const Values& b, std::int64_t n, double l2,
                       std::int64_t step) {
  double worst = 0, scale = 0;
  for (std::int64_t j = 0; j < n; j += step)
    for (std::int64_t i = 0; i < n; ++i) {
      double sum = l2 * b[i * n + j] - g[i * n + j];
      for (std::int64_t k = 0; k < n; ++k) sum += static_cast<double>(g[i * n + k]) * b[k * n + j];
      if (i != j) worst = std::max(worst, std::abs(sum));
      scale = std::max(scale, static_cast<double>(std::abs(g[i * n + j])));
    }
  return worst / scale;
}

TEST(one_user_in_closed_form) {  // B_ij = 1 / (l2 + |x|^2 - 1), Sherman and Morrison
  const std::int64_t n = 5;
  const Values b = solved(Values(n * n, 1.0f), n, 3.0);
  for (std::int64_t i = 0; i < n; ++i)
    for (std::int64_t j = 0; j < n; ++j)
      CHECK(std::abs(b[i * n + j] - (i == j ? 0.0 : 1.0 / 7.0)) < 1e-6);
}

TEST(columns_are_divided_by_their_own_pivot) {  // A = (3 1; 1 2): B_01 = 1/3, B_10 = 1/2
  const Values b = solved({2, 1, 1, 1}, 2, 1.0);
  CHECK(b[0] == 0.0f && b[3] == 0.0f);
  CHECK(std::abs(b[1] - 1.0 / 3.0) < 1e-6);
  CHECK(std::abs(b[2] - 1.0 / 2.0) < 1e-6);
}

TEST(the_inverse_diagonal_is_told) {  // A = (3 1; 1 2): P = (2 -1; -1 3) / 5
  Values matrix{2, 1, 1, 1};
  Values p(2);
  esler_weights(matrix, 2, 1.0, openblas, 0, nullptr, p);
  CHECK(std::abs(p[0] - 0.4) < 1e-6 && std::abs(p[1] - 0.6) < 1e-6);
  CHECK_THROWS(std::invalid_argument, "inverse_diagonal's size is 3", [] {
    Values gram{2, 1, 1, 1};
    Values wrong(3);
    esler_weights(gram, 2, 1.0, openblas, 0, nullptr, wrong);
  }());
}

TEST(no_items_and_one_item) {
  CHECK(solved({}, 0, 1.0).empty());
  CHECK(solved({4.0f}, 1, 1.0) == Values{0.0f});
}

TEST(a_diagonal_gram_gives_zeros) { CHECK(solved({1, 0, 0, 7}, 2, 1.0) == Values(4, 0.0f)); }

TEST(the_gradient_is_diagonal) {
  for (const std::int64_t n : {2, 17, 130}) {
    const Values g = gram_of_random(200, n, 12), b = solved(g, n, 5.0);
    for (std::int64_t i = 0; i < n; ++i) CHECK(b[i * n + i] == 0.0f);
    CHECK(residual(g, b, n, 5.0, 1) < 1e-5);
  }
}

/// The inverse in tiles of at most `most`, both triangles.
static Values inverse_in_tiles(Values matrix, std::int64_t n, std::int64_t most) {
  Control control(nullptr, TiledInverse::work(n));
  TiledInverse inverse(matrix.data(), n, openblas, control, most);
  inverse.cholesky();
  inverse.invert_triangle();
  inverse.multiply_triangle();
  for (std::int64_t first = 0; first < n; first += kBand) {
    mirror_band(matrix.data(), n, first, std::min(n, first + kBand));
  }
  return matrix;
}

TEST(tiles_of_any_size_give_the_inverse) {
  for (const std::int64_t n : {7, 33, 130}) {
    Values a = gram_of_random(200, n, 12);
    for (std::int64_t i = 0; i < n; ++i) a[i * n + i] += 20.0f;
    for (const std::int64_t most : {1, 5, 16, 50, 200}) {
      const Values p = inverse_in_tiles(a, n, most);
      double worst = 0;
      for (std::int64_t i = 0; i < n; ++i)
        for (std::int64_t j = 0; j < n; ++j) {
          double sum = i == j ? -1.0 : 0.0;
          for (std::int64_t k = 0; k < n; ++k)
            sum += static_cast<double>(a[i * n + k]) * p[k * n + j];
          worst = std::max(worst, std::abs(sum));
        }
      CHECK(worst < 1e-5);
    }
  }
}

TEST(a_pivot_that_fails_is_named_whatever_its_tile) {
  for (const std::int64_t bad : {0, 15, 16, 39, 40}) {
    Values a(41 * 41);
    for (std::int64_t i = 0; i < 41; ++i) a[i * 41 + i] = i == bad ? -1.0f : 1.0f;
    CHECK_THROWS(std::invalid_argument, "item " + std::to_string(bad) + " is not positive",
                 inverse_in_tiles(a, 41, 8));
  }
}

TEST(the_number_of_blas_threads_is_given_back) {
  const int before = openblas.get_threads();
  solved({4.0f}, 1, 1.0, 1);
  CHECK(openblas.get_threads() == before);
  CHECK_THROWS(std::invalid_argument, "positive definite", solved({-2}, 1, 1.0, 1));
  CHECK(openblas.get_threads() == before);
}

TEST(the_upper_triangle_alone_is_read) {
  const std::int64_t n = 40;
  const Values g = gram_of_random(100, n, 12), b = solved(g, n, 5.0);
  Values upper = g;
  for (std::int64_t i = 0; i < n; ++i)
    for (std::int64_t j = 0; j < i; ++j) upper[i * n + j] = kNan;
  CHECK(solved(upper, n, 5.0) == b);
}

TEST(an_l2_that_is_not_positive_and_finite_is_refused) {
  for (const double l2 : {0.0, -1.0, -0.0, std::nan(""), kInfinity, -kInfinity})
    CHECK_THROWS(std::invalid_argument, "esler_weights: l2 is ", solved({1}, 1, l2));
}

TEST(what_is_not_positive_definite_is_refused) {
  CHECK_THROWS(std::invalid_argument, "positive definite", solved({1, 5, 5, 1}, 2, 1.0));
  CHECK_THROWS(std::invalid_argument, "positive definite", solved({-2}, 1, 1.0));
  for (const float bad : {kNan, std::numeric_limits<float>::infinity()}) {
    CHECK_THROWS(std::invalid_argument, "esler_weights: ", solved({1, bad, bad, 1}, 2, 1.0));
    CHECK_THROWS(std::invalid_argument, "esler_weights: ", solved({1, 0, 0, bad}, 2, 1.0));
  }
}

TEST(a_matrix_of_another_size_is_refused) {
  CHECK_THROWS(std::invalid_argument, "esler_weights: ", solved(Values(8), 3, 1.0));
  CHECK_THROWS(std::invalid_argument, "esler_weights: ", solved(Values(10), 3, 1.0));
  CHECK_THROWS(std::invalid_argument, "esler_weights: ", solved({}, -1, 1.0));
  CHECK_THROWS(std::invalid_argument, "threads is -1", solved({1}, 1, 1.0, -1));
}

TEST(a_monitor_sees_progress_and_stops_the_kernel) {
  const std::int64_t n = 2100;
  Values g(n * n);
  for (std::int64_t i = 0; i < n; ++i) g[i * n + i] = 1.0f;
  Watch watch;
  CHECK(solved(g, n, 1.0, 0, &watch) == Values(n * n, 0.0f));
  CHECK(watch.sound && watch.polls > 0);
  Watch impatient(1);
  CHECK_THROWS(Stopped, "stopped", solved(g, n, 1.0, 0, &impatient));
}
