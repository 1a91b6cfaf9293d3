// The loops of product quantisation at every level.
#include <cmath>
#include <limits>

#include "check.hpp"
#include "levels.hpp"

using namespace pyhybrid;
using simd::kCentroids;
using simd::kCodes;
using simd::kPoints;
using Bytes = std::vector<std::uint8_t>;

TEST(vectors_are_turned_and_taken_from_an_origin) {
  for (const std::int64_t dim : {1, 7, 16, 35}) {
    for (const std::int64_t count : {1, 17, 32}) {
      const std::int64_t stride = dim + 3;
      const Floats vectors = numbers(kPoints * stride, 9), origin = numbers(dim, 5, 2);
      for (const simd::Loops* loops : levels()) {
        Floats points(dim * kPoints, -9);
        loops->turn(points.data(), vectors.data(), stride, count, origin.data(), dim);
        for (std::int64_t d = 0; d < dim; ++d) {
          for (std::int64_t k = 0; k < kPoints; ++k) {
            const float expected = k < count ? origin[d] - vectors[k * stride + d] : 0.0F;
            CHECK(points[d * kPoints + k] == expected);
          }
        }
      }
    }
  }
}

TEST(the_lowest_two_are_found_and_the_first_place) {
  for (const std::int64_t dim : {1, 4, 9}) {
    for (const std::int64_t count : {8, 16, 256}) {
      // Whole numbers of few bits, so that nothing is cut off.
      const Floats points = numbers(dim * kPoints, 4), centroids = numbers(count * dim, 4, 2);
      Floats halves(count);
      for (std::int64_t c = 0; c < count; ++c) halves[c] = static_cast<float>(100 + c % 5);
      for (const simd::Loops* loops : levels()) {
        Floats lowest(kPoints), next(kPoints), own(kPoints);
        Items place(kPoints);
        loops->nearest(lowest.data(), next.data(), place.data(), own.data(), points.data(),
                       centroids.data(), halves.data(), count, dim);
        for (std::int64_t k = 0; k < kPoints; ++k) {
          float half = 0, low = std::numeric_limits<float>::infinity(), second = low;
          std::int32_t where = -1;
          for (std::int64_t d = 0; d < dim; ++d) {
            half += points[d * kPoints + k] * points[d * kPoints + k] / 2;
          }
          for (std::int64_t c = 0; c < count; ++c) {
            float value = half + halves[c];
            for (std::int64_t d = 0; d < dim; ++d) {
              value += points[d * kPoints + k] *
                       centroids[(c / kCentroids * dim + d) * kCentroids + c % kCentroids];
            }
            if (value < low) {
              second = low, low = value, where = static_cast<std::int32_t>(c);
            } else {
              second = std::min(second, value);
            }
          }
          CHECK(own[k] == half && lowest[k] == low && next[k] == second && place[k] == where);
        }
      }
    }
  }
}

TEST(codes_within_a_limit_are_marked) {
  for (const std::int64_t entries : {16, 256}) {
    for (const std::int64_t parts : {1, 2, 33, 257}) {
      for (const std::int64_t blocks : {1, 4, 6}) {
        std::mt19937 random(5);
        Bytes tables(parts * entries), codes(blocks * parts * kCodes);
        for (auto& entry : tables) entry = static_cast<std::uint8_t>(random());
        for (auto& code : codes) code = static_cast<std::uint8_t>(random() % entries);
        const int limit = static_cast<int>(parts) * 127;
        for (const simd::Loops* loops : levels()) {
          std::vector<std::uint64_t> bits(blocks, 9);
          (entries == 16 ? loops->scan16 : loops->scan)(bits.data(), tables.data(), codes.data(),
                                                        parts, blocks,
                                                        static_cast<std::uint16_t>(limit));
          for (std::int64_t b = 0; b < blocks; ++b) {
            for (std::int64_t k = 0; k < kCodes; ++k) {
              int sum = 0;
              for (std::int64_t p = 0; p < parts; ++p) {
                sum += tables[p * entries + codes[(b * parts + p) * kCodes + k]];
              }
              CHECK((bits[b] >> k & 1) == (sum <= limit));
            }
          }
        }
      }
    }
  }
}

TEST(entries_are_summed_and_added) {
  for (std::int64_t dim = 1; dim < 420; dim += dim < 200 ? 1 : 37) {
    const std::int64_t rows = 3, parts = 3, entries = 5;
    const Floats table = numbers(parts * entries * dim, 7), from = numbers(rows * dim, 7, 3);
    Bytes codes(rows * parts);
    for (std::size_t k = 0; k < codes.size(); ++k) codes[k] = static_cast<std::uint8_t>(k * k % 5);
    for (const simd::Loops* loops : levels()) {
      Floats sums(rows * dim + 128, -9);  // with what must stay on either side
      loops->sum_entries(sums.data() + 64, table.data(), codes.data(), rows, parts, entries, dim,
                         2.0F);
      for (std::int64_t k = 0; k < rows * dim; ++k) {
        float sum = 0;
        for (std::int64_t p = 0; p < parts; ++p) {
          sum += table[(p * entries + codes[k / dim * parts + p]) * dim + k % dim];
        }
        CHECK(sums[64 + k] == 2 * sum);
      }
      for (std::int64_t k = 0; k < 64; ++k) CHECK(sums[k] == -9 && sums[64 + rows * dim + k] == -9);
      Floats added(entries * dim, 1), expected = added;
      loops->add_entries(added.data(), from.data(), codes.data() + 1, rows, parts, dim, dim / 2,
                         dim);
      for (std::int64_t row = 0; row < rows; ++row) {
        for (std::int64_t d = dim / 2; d < dim; ++d) {
          expected[codes[row * parts + 1] * dim + d] += from[row * dim + d];
        }
      }
      CHECK(added == expected);
    }
  }
}
