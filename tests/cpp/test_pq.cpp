#include <cmath>
#include <limits>
#include <random>
#include <stdexcept>
#include <vector>

#include "check.hpp"
#include "pyhybrid/pq.hpp"

using namespace pyhybrid;
using Floats = std::vector<float>;
using Codes = std::vector<std::uint8_t>;

static Floats normal(std::int64_t count, unsigned seed = 1) {
  std::mt19937 random(seed);
  std::normal_distribution<float> distribution;
  Floats values(count);
  for (float& value : values) value = distribution(random);
  return values;
}

static double distance(const float* a, const float* b, std::int64_t dim) {
  double sum = 0;
  for (std::int64_t d = 0; d < dim; ++d) sum += (double{a[d]} - b[d]) * (double{a[d]} - b[d]);
  return sum;
}

static Codes encode(const Floats& vectors, std::int64_t rows, const CodebookShape& shape,
                    const Floats& centroids, int threads = 0) {
  Codes codes(rows * shape.parts);
  pq_encode(vectors, rows, shape, centroids, codes, threads);
  return codes;
}

TEST(codes_are_the_nearest_by_double_precision) {
  for (const CodebookShape shape :
       {CodebookShape{3, 256, 8}, {2, 16, 5}, {1, 100, 17}, {4, 1, 1}}) {
    for (const std::int64_t rows : {1, 31, 33, 300}) {
      Floats vectors = normal(rows * shape.parts * shape.dim);
      Floats centroids = normal(shape.parts * shape.entries * shape.dim, 2);
      for (float& value : vectors) value = std::round(value * 4) / 4 + 100;  // with many ties
      for (float& value : centroids) value = std::round(value * 4) / 4 + 100;
      const Codes codes = encode(vectors, rows, shape, centroids);
      for (std::int64_t k = 0; k < rows * shape.parts; ++k) {
        const float* book = &centroids[k % shape.parts * shape.entries * shape.dim];
        std::int64_t nearest = 0;
        for (std::int64_t c = 1; c < shape.entries; ++c) {
          const float* vector = &vectors[k * shape.dim];
          if (distance(vector, book + c * shape.dim, shape.dim) <
              distance(vector, book + nearest * shape.dim, shape.dim)) {
            nearest = c;
          }
        }
        CHECK(codes[k] == nearest);
      }
      CHECK(encode(vectors, rows, shape, centroids, 3) == codes);
    }
  }
}

TEST(decoding_puts_centroids_together) {
  const CodebookShape shape{2, 3, 2};
  const Floats centroids{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11};
  Floats vectors(8);
  pq_decode(Codes{2, 0, 1, 2}, 2, shape, centroids, vectors);
  CHECK(vectors == Floats{4, 5, 6, 7, 2, 3, 10, 11});
}

TEST(training_ends_where_centroids_are_means_and_all_are_used) {
  const CodebookShape shape{2, 8, 3};
  const std::int64_t rows = 500;
  const Floats vectors = normal(rows * 6);
  const Floats start(shape.parts * shape.entries * shape.dim, 50.0F);  // all the same
  Floats centroids = start;
  pq_train(vectors, rows, shape, 200, centroids, 1);
  const Codes codes = encode(vectors, rows, shape, centroids);
  for (std::int64_t part = 0; part < shape.parts; ++part) {
    for (std::int64_t c = 0; c < shape.entries; ++c) {
      double sums[3] = {}, count = 0;
      for (std::int64_t row = 0; row < rows; ++row) {
        if (codes[row * shape.parts + part] != c) continue;
        ++count;
        for (std::int64_t d = 0; d < 3; ++d) sums[d] += vectors[row * 6 + part * 3 + d];
      }
      CHECK(count > 0);
      for (std::int64_t d = 0; d < 3; ++d) {
        CHECK(centroids[(part * 8 + c) * 3 + d] == static_cast<float>(sums[d] / count));
      }
    }
  }
  Floats again = start;
  pq_train(vectors, rows, shape, 200, again, 2);
  CHECK(again == centroids);
}

TEST(fewer_distinct_vectors_than_centroids_are_all_met) {
  const CodebookShape shape{1, 5, 1};
  const Floats vectors{1, 1, 1, 4, 4, 9};
  Floats centroids{1, 1, 1, 1, 1};
  pq_train(vectors, 6, shape, 25, centroids);
  for (const float vector : vectors) {
    CHECK(std::find(centroids.begin(), centroids.end(), vector) != centroids.end());
  }
}

TEST(a_search_finds_what_sums_of_tables_say) {
  for (const std::int64_t entries : {16, 256, 100}) {
    for (const std::int64_t n_codes : {1, 64, 65, 3000}) {
      const CodebookShape shape{5, entries, 2};
      const std::int64_t rows = 3, n = 7;
      const Floats queries = normal(rows * 10), centroids = normal(5 * entries * 2, 3);
      Codes codes(n_codes * 5);
      std::mt19937 random(4);
      for (auto& code : codes) code = static_cast<std::uint8_t>(random() % entries % 7);
      std::vector<std::int32_t> items(rows * n);
      Floats scores(rows * n);
      pq_search(queries, rows, codes, n_codes, shape, centroids, Similarity::distance,
                {n, items, scores}, 2);
      for (std::int64_t row = 0; row < rows; ++row) {
        std::vector<std::pair<float, std::int32_t>> all;
        for (std::int64_t k = 0; k < n_codes; ++k) {
          float sum = 0;
          for (std::int64_t part = 0; part < 5; ++part) {
            float entry = 0;
            for (std::int64_t d = 0; d < 2; ++d) {
              const float gap = queries[row * 10 + part * 2 + d] -
                                centroids[(part * entries + codes[k * 5 + part]) * 2 + d];
              entry += gap * gap;
            }
            sum += entry;
          }
          all.emplace_back(sum, static_cast<std::int32_t>(k));
        }
        std::sort(all.begin(), all.end());
        for (std::int64_t k = 0; k < n; ++k) {
          const bool there = k < n_codes;
          CHECK(items[row * n + k] == (there ? all[k].second : -1));
          CHECK(scores[row * n + k] ==
                (there ? all[k].first : std::numeric_limits<float>::infinity()));
        }
      }
    }
  }
}

TEST(a_lookup_and_its_gradient_are_adjoint) {
  for (const std::int64_t dim : {1, 5, 16, 70}) {
    const CodebookShape shape{3, 4, dim};
    const std::int64_t rows = 40;
    const Floats table = normal(3 * 4 * dim), gradient = normal(rows * dim, 2);
    Codes codes(rows * 3);
    std::mt19937 random(4);
    for (auto& code : codes) code = static_cast<std::uint8_t>(random() % 4);
    Floats sums(rows * dim), back(table.size());
    pq_lookup(table, shape, codes, rows, 0.5F, sums, 2);
    pq_lookup_gradient(gradient, codes, rows, shape, 0.5F, back, 2);
    double there = 0, here = 0;
    for (std::size_t k = 0; k < sums.size(); ++k) there += double{sums[k]} * gradient[k];
    for (std::size_t k = 0; k < table.size(); ++k) here += double{table[k]} * back[k];
    CHECK(std::abs(there - here) < 1e-3);
    CHECK(std::abs(sums[dim - 1] -
                   0.5F * (table[codes[0] * dim + dim - 1] + table[(4 + codes[1]) * dim + dim - 1] +
                           table[(8 + codes[2]) * dim + dim - 1])) < 1e-5F);
  }
}

TEST(bad_input_is_refused) {
  const CodebookShape shape{1, 2, 1};
  const Floats centroids{0, 1};
  Codes codes(1);
  const float nan = std::numeric_limits<float>::quiet_NaN();
  CHECK_THROWS(std::invalid_argument, "vector 0", encode({nan}, 1, shape, centroids));
  CHECK_THROWS(std::invalid_argument, "vector 0", encode({1e30F}, 1, shape, centroids));
  CHECK_THROWS(std::invalid_argument, "vectors' size is 3", encode({1, 2, 3}, 1, shape, centroids));
  CHECK_THROWS(std::invalid_argument, "1 to 256", encode({1}, 1, {1, 257, 1}, centroids));
  Floats vectors(1);
  CHECK_THROWS(std::invalid_argument, "part 0 in row 0 is 2",
               pq_decode(Codes{2}, 1, shape, centroids, vectors));
}
