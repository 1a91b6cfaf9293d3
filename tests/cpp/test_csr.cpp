#include <limits>
#include <stdexcept>

#include "check.hpp"
#include "matrices.hpp"
#include "pyhybrid/csr.hpp"

using namespace pyhybrid;
using Columns = std::vector<std::int32_t>;

// Rows: (2, 0, 2), (), (1).
template <class Pointer, class Index>
static Matrix<Pointer, Index> sample() {
  return {3, 3, {0, 3, 3, 4}, {2, 0, 2, 1}, {1, 2, 3, 4}};
}

template <class Pointer, class Index>
static void read() {
  const auto x = sample<Pointer, Index>();
  const Csr view = x.view();
  check(view, "who", "x");
  CHECK(view.stored() == 4);
  CHECK(view.extent(0) == std::pair<std::int64_t, std::int64_t>(0, 3));
  CHECK(view.extent(1) == std::pair<std::int64_t, std::int64_t>(3, 3));
  CHECK(view.extent(2) == std::pair<std::int64_t, std::int64_t>(3, 4));
  Columns ascending{7, 7, 7, 7};
  view.copy_row_ascending(0, ascending.data());
  CHECK(ascending == (Columns{0, 2, 2, 7}));
}

TEST(indices_of_32_bits) { read<std::int32_t, std::int32_t>(); }
TEST(indices_of_64_bits) { read<std::int64_t, std::int64_t>(); }
TEST(mixed_indices) {
  read<std::int32_t, std::int64_t>();
  read<std::int64_t, std::int32_t>();
}

TEST(a_pattern_has_no_values) {
  auto x = sample<std::int32_t, std::int32_t>();
  x.values.clear();
  check(x.view(), "who", "x");
  CHECK(x.view().stored() == 4);
}

TEST(empty_matrices) {
  check(Matrix<>{0, 0, {0}, {}, {}}.view(), "who", "x");
  check(Matrix<>{2, 0, {0, 0, 0}, {}, {}}.view(), "who", "x");
  check(Matrix<>{0, 5, {0}, {}, {}}.view(), "who", "x");
  CHECK((Matrix<>{0, 5, {0}, {}, {}}.view().stored() == 0));
}

template <class Pointer, class Index>
static void refused(const char* text, void (*spoil)(Matrix<Pointer, Index>&)) {
  auto x = sample<Pointer, Index>();
  spoil(x);
  CHECK_THROWS(std::invalid_argument, text, check(x.view(), "who", "x"));
  CHECK_THROWS(std::invalid_argument, "; expected ", check(x.view(), "who", "x"));
}

template <class Pointer, class Index>
static void all_refused() {
  using M = Matrix<Pointer, Index>;
  refused<Pointer, Index>("who: x.indptr[0] is 1", [](M& x) { x.indptr[0] = 1; });
  refused<Pointer, Index>("who: x.indptr[2] is 2", [](M& x) { x.indptr[2] = 2; });
  refused<Pointer, Index>("who: x.indptr", [](M& x) { x.indptr[1] = -1; });
  refused<Pointer, Index>("who: x.indptr", [](M& x) { x.indptr[1] = 1 << 30; });
  refused<Pointer, Index>("who: x.indptr[3] is 5", [](M& x) { x.indptr[3] = 5; });
  refused<Pointer, Index>("who: x.indptr[3] is 3", [](M& x) { x.indptr[3] = 3; });
  refused<Pointer, Index>("who: x.indptr", [](M& x) { x.indptr.pop_back(); });
  refused<Pointer, Index>("who: x.indptr", [](M& x) { x.indptr.push_back(4); });
  refused<Pointer, Index>("who: x.indptr", [](M& x) { x.indptr.clear(); });
  refused<Pointer, Index>("who: x.indices[1] is -1", [](M& x) { x.indices[1] = -1; });
  refused<Pointer, Index>("who: x.indices[3] is 3", [](M& x) { x.indices[3] = 3; });
  refused<Pointer, Index>("who: x.data", [](M& x) { x.values.pop_back(); });
  refused<Pointer, Index>("who: x.data[2] is ",
                          [](M& x) { x.values[2] = std::numeric_limits<float>::quiet_NaN(); });
  refused<Pointer, Index>("who: x.data[0] is ",
                          [](M& x) { x.values[0] = -std::numeric_limits<float>::infinity(); });
  refused<Pointer, Index>("who: x", [](M& x) { x.rows = -1; });
  refused<Pointer, Index>("who: x", [](M& x) { x.cols = -1; });
  refused<Pointer, Index>("who: x", [](M& x) { x.cols = std::int64_t{1} << 31; });
  refused<Pointer, Index>("who: x",
                          [](M& x) { x.rows = std::numeric_limits<std::int64_t>::max(); });
}

TEST(malformed_matrices_are_refused) {
  all_refused<std::int32_t, std::int32_t>();
  all_refused<std::int64_t, std::int64_t>();
  all_refused<std::int32_t, std::int64_t>();
}

TEST(an_index_that_wraps_to_a_sound_one_is_refused) {
  refused<std::int32_t, std::int64_t>(
      "who: x.indices[1] is 4294967296",
      [](Matrix<std::int32_t, std::int64_t>& x) { x.indices[1] = std::int64_t{1} << 32; });
}
