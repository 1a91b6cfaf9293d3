#include <algorithm>
#include <limits>
#include <random>
#include <stdexcept>
#include <utility>

#include "check.hpp"
#include "matrices.hpp"
#include "pyhybrid/gram.hpp"

using namespace pyhybrid;

template <class Value>
static std::vector<Value> gram_of(const Csr& x, int threads = 0, Monitor* monitor = nullptr) {
  std::vector<Value> out(x.cols * x.cols, std::numeric_limits<Value>::quiet_NaN());
  gram(x, std::span<Value>(out), threads, monitor);
  return out;
}

template <class Value, class M>
static std::vector<Value> expected(const M& x) {
  const auto dense = x.dense();
  std::vector<double> out(x.cols * x.cols);
  for (std::int64_t row = 0; row < x.rows; ++row)
    for (std::int64_t i = 0; i < x.cols; ++i)
      for (std::int64_t j = 0; j < x.cols; ++j)
        out[i * x.cols + j] += dense[row * x.cols + i] * dense[row * x.cols + j];
  return {out.begin(), out.end()};
}

template <class Pointer, class Index>
static void agrees() {
  for (const bool weighted : {false, true})
    for (const int rows : {0, 1, 5, 40})
      for (const int cols : {0, 1, 7, 30}) {
        const auto x = random_matrix<Pointer, Index>(rows, cols, 9, weighted, rows + cols);
        CHECK(gram_of<float>(x.view()) == expected<float>(x));
        CHECK(gram_of<double>(x.view()) == expected<double>(x));
      }
}

TEST(equals_the_product_for_every_index_type) {
  agrees<std::int32_t, std::int32_t>();
  agrees<std::int64_t, std::int64_t>();
  agrees<std::int32_t, std::int64_t>();
  agrees<std::int64_t, std::int32_t>();
}

/// Ones: the first half of the items by most users, every third by few. Some rows descend, and some
/// name an item twice, with halves.
template <class Index>
static Matrix<std::int64_t, Index> popular_matrix(std::int64_t rows, std::int64_t cols,
                                                  unsigned seed) {
  std::mt19937 random(seed);
  Matrix<std::int64_t, Index> x{rows, cols, {0}, {}, {}};
  for (std::int64_t row = 0; row < rows; ++row) {
    for (std::int64_t col = 0; col < cols; ++col) {
      if (random() % 100 < (col % 3 == 0 ? 3U : col < cols / 2 ? 80U : 20U)) {
        x.indices.push_back(static_cast<Index>(col));
      }
    }
    if (row % 3 == 1) std::reverse(x.indices.begin() + x.indptr.back(), x.indices.end());
    x.values.resize(x.indices.size(), 1.0F);
    if (row % 3 == 2 && !x.indices.empty()) {
      x.indices.push_back(x.indices.back());
      x.values.back() = 0.5F;
      x.values.push_back(0.5F);
    }
    x.indptr.push_back(static_cast<std::int64_t>(x.indices.size()));
  }
  return x;
}

TEST(popular_items_are_counted_exactly) {
  // The last has enough entries for several threads to fill the bitmaps.
  for (const auto& [rows, cols] : {std::pair{63, 40}, {400, 64}, {130, 200}, {4001, 130}}) {
    const auto x = popular_matrix<std::int32_t>(rows, cols, rows + cols);
    const auto exact = expected<double>(x);
    for (const int threads : {1, 2, 7}) {
      CHECK(gram_of<double>(x.view(), threads) == exact);
      CHECK(gram_of<float>(x.view(), threads) == std::vector<float>(exact.begin(), exact.end()));
    }
    Watch watch;
    gram_of<float>(x.view(), 1, &watch);
    CHECK(watch.sound);
    CHECK(watch.last > 0.99);
  }
}

TEST(weights_are_summed_in_double) {
  Matrix<> x{1001, 1, {0}, std::vector<std::int32_t>(1001), std::vector<float>(1001, 1.0f)};
  for (int row = 1; row <= 1001; ++row) x.indptr.push_back(row);
  x.values[0] = 4096.0f;  // 2^24 + 1 is no float
  CHECK(gram_of<float>(x.view())[0] == 16777216.0f + 1000.0f);
}

TEST(the_same_bits_for_any_number_of_threads) {
  auto x = random_matrix(400, 130, 30);
  for (std::size_t i = 0; i < x.values.size(); ++i) x.values[i] /= 3.0f;
  const auto one = gram_of<float>(x.view(), 1);
  for (const int threads : {0, 2, 3, 7, 500}) CHECK(gram_of<float>(x.view(), threads) == one);
}

TEST(a_pattern_is_refused_as_it_has_no_values) {
  auto x = random_matrix(30, 12, 1, false);
  x.values.clear();
  CHECK_THROWS(std::invalid_argument, "gram: x.data's length is 0; expected ",
               gram_of<float>(x.view()));
}

TEST(an_out_of_another_size_is_refused) {
  const auto x = random_matrix(5, 4, 3);
  for (const int size : {0, 15, 17}) {
    std::vector<float> out(size);
    CHECK_THROWS(std::invalid_argument, "gram: ", gram(x.view(), std::span<float>(out)));
  }
}

TEST(what_check_refuses_is_refused) {
  auto x = random_matrix(5, 4, 3);
  x.indices[0] = 4;
  CHECK_THROWS(std::invalid_argument, "gram: x.indices[0] is 4; expected ",
               gram_of<float>(x.view()));
  CHECK_THROWS(std::invalid_argument, "threads is -1",
               gram_of<float>(random_matrix(5, 4, 3).view(), -1));
}

TEST(a_monitor_sees_progress_and_stops_the_kernel) {
  const auto x = random_matrix(2000, 300, 60);
  for (const int threads : {1, 3}) {
    Watch watch;
    gram_of<float>(x.view(), threads, &watch);
    CHECK(watch.sound);
    if (threads > 1) continue;  // the calling thread may come too late to do, and say, anything
    CHECK(watch.polls > 0);
    Watch impatient(0);
    CHECK_THROWS(Stopped, "stopped", gram_of<float>(x.view(), threads, &impatient));
  }
}
