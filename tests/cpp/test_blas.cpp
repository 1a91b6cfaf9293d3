#include <vector>

#include "check.hpp"
#include "openblas.hpp"
#include "pyhybrid/blas.hpp"

using Values = std::vector<float>;

static char n = 'N', l = 'L', t = 'T', r = 'R';
static int two = 2, info = -1;
static float one = 1, zero = 0;

TEST(matrices_are_column_major) {
  Values a{1, 2, 3, 4}, b{1, 0, 1, 1}, c(4);  // a = (1 3; 2 4), b = (1 1; 0 1)
  openblas.sgemm(&n, &n, &two, &two, &two, &one, a.data(), &two, b.data(), &two, &zero, c.data(),
                 &two);
  CHECK(c == Values{1, 2, 4, 6});
}

TEST(one_triangle_of_a_product_with_itself) {
  Values a{1, 2, 3, 4}, c{0, 0, 9, 0};
  openblas.ssyrk(&l, &n, &two, &two, &one, a.data(), &two, &zero, c.data(), &two);
  CHECK(c == Values{10, 14, 9, 20});
}

TEST(triangular_products_and_solves_undo_each_other) {
  Values a{2, 1, 9, 4}, b{1, 2, 3, 4};
  openblas.strmm(&r, &l, &t, &n, &two, &two, &one, a.data(), &two, b.data(), &two);
  CHECK(b == Values{2, 4, 13, 18});
  openblas.strsm(&r, &l, &t, &n, &two, &two, &one, a.data(), &two, b.data(), &two);
  CHECK(b == Values{1, 2, 3, 4});
}

TEST(factor_invert_and_multiply_give_the_inverse) {
  Values a{4, 2, 9, 2};
  openblas.spotrf(&l, &two, a.data(), &two, &info);
  CHECK(info == 0 && a == Values{2, 1, 9, 1});
  openblas.strtri(&l, &n, &two, a.data(), &two, &info);
  CHECK(info == 0 && a == Values{0.5, -0.5, 9, 1});
  openblas.slauum(&l, &two, a.data(), &two, &info);
  CHECK(info == 0 && a == Values{0.5, -0.5, 9, 1});
}

TEST(a_factorisation_that_fails_names_the_pivot) {
  Values a{1, 2, 2, 1};
  openblas.spotrf(&l, &two, a.data(), &two, &info);
  CHECK(info == 2);
}

TEST(the_number_of_threads_is_what_was_set) {
  const int before = openblas.get_threads();
  openblas.set_threads(1);
  CHECK(openblas.get_threads() == 1);
  openblas.set_threads(before);
  CHECK(openblas.get_threads() == before);
}
