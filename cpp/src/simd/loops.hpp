// The innermost loops, compiled once for each instruction set and chosen at run time.
#pragma once

#include <cstdint>

namespace pyhybrid::simd {

/// Items are scored a tile at a time: a tile's scores fit registers, its candidates one word.
constexpr std::int64_t kTile = 64;

/// Items whose weights are added up together: the fewer, the more histories' items fit a cache.
constexpr std::int64_t kPanel = kTile / 2;

/// Users whose scores of one tile are computed together.
constexpr std::int64_t kUsers = 6;

/// Rows and columns that are transposed together: a row of them is a cache line.
constexpr std::int64_t kSquare = 16;

/// Items whose bitmaps are compared together, a word of each.
constexpr std::int64_t kWordItems = 8;

/// Vectors whose nearest centroids are found together, and centroids that stand together.
constexpr std::int64_t kPoints = 32;
constexpr std::int64_t kCentroids = 8;

/// Codes that are searched together.
constexpr std::int64_t kCodes = 64;

/// One instruction set's loops. At one level a result depends on the arguments alone; between
/// levels sums differ in the last bits, as some fuse a multiplication with its addition.
struct Loops {
  const char* name;

  /// sums[c] = sum over k of weights[k] * rows[places[k] * kPanel + c], c < kPanel, in the order of
  /// k.
  void (*add_rows)(float* sums, const float* rows, const std::int32_t* places, const float* weights,
                   std::int64_t count);

  /// scores[u * kTile + c] = sum over k of users[u][k] * items[k * kTile + c], u < kUsers, c <
  /// kTile.
  void (*multiply)(float* scores, const float* const* users, const float* items, std::int64_t dim);

  /// Bit c is set unless scores[c] <= threshold, c < kTile: also where one is not a number.
  std::uint64_t (*above)(const float* scores, float threshold);

  /// Appends the scores whose bit is set, and `first` + bit as their items; may overwrite kTile
  /// places from `kept` and `items` on. Returns how many were appended.
  std::int64_t (*append)(float* kept, std::int32_t* items, const float* scores, std::uint64_t bits,
                         std::int32_t first);

  /// Drops candidates that are not among the n best of count > n, whose items ascend; ties go to
  /// the earlier one. A few more than n may be left, in their order. Returns how many, and sets
  /// `threshold`: n or more of them are at least that good. None may be not a number.
  std::int64_t (*keep_best)(float* scores, std::int32_t* items, std::int64_t count, std::int64_t n,
                            float* threshold);

  /// places[k] = how many candidates are better than the k-th; ties go to the earlier one.
  void (*rank)(std::int32_t* places, const float* scores, std::int64_t count);

  /// to[c * to_stride + r] = from[r * from_stride + c], r and c < kSquare, where bit r is set in
  /// `wanted`; nothing else is read or written, and the two do not overlap.
  void (*transpose)(const float* from, std::int64_t from_stride, float* to, std::int64_t to_stride,
                    std::uint32_t wanted);

  /// Looks up marks[items[k]] and sets it to `named`, one k < count after the other: bit k % 64 of
  /// found[k / 64] is set where it was `target`; all words of count bits are written. Returns
  /// whether one was `named`.
  bool (*mark)(std::uint64_t* found, std::uint8_t* marks, const std::int32_t* items,
               std::int64_t count, std::uint8_t target, std::uint8_t named);

  /// counts[i * kWordItems + j] += how many bits a[w * kWordItems + i] and b[w * kWordItems + j]
  /// have in common, over w < words; i and j < kWordItems.
  void (*count_common)(std::uint64_t* counts, const std::uint64_t* a, const std::uint64_t* b,
                       std::int64_t words);

  /// points[d * kPoints + k] = origin[d] - vectors[k * stride + d], k < count, d < dim; zero for
  /// the other k.
  void (*turn)(float* points, const float* vectors, std::int64_t stride, std::int64_t count,
               const float* origin, std::int64_t dim);

  /// For each k < kPoints: h(k) = half the sum over d of points[d * kPoints + k]^2; and, of v(c) =
  /// h(k) + halves[c] + sum over d of points[d * kPoints + k] * centroids[(c / kCentroids * dim +
  /// d)
  /// * kCentroids + c % kCentroids], c < count, at most 256 and a multiple of kCentroids, the
  /// lowest one, where it stands, and the next one. These are found and told with the last 8 bits
  /// cut off, and are not to be negative.
  void (*nearest)(float* lowest, float* next, std::int32_t* place, float* halves_of_points,
                  const float* points, const float* centroids, const float* halves,
                  std::int64_t count, std::int64_t dim);

  /// Bit k of bits[b] is set if the sum over p of tables[p * 256 + codes[(b * parts + p) * kCodes +
  /// k]] is at most `limit`, k < kCodes, b < blocks; the sums must fit 16 bits.
  void (*scan)(std::uint64_t* bits, const std::uint8_t* tables, const std::uint8_t* codes,
               std::int64_t parts, std::int64_t blocks, std::uint16_t limit);

  /// The same for tables of 16 entries: tables[p * 16 + code].
  void (*scan16)(std::uint64_t* bits, const std::uint8_t* tables, const std::uint8_t* codes,
                 std::int64_t parts, std::int64_t blocks, std::uint16_t limit);

  /// sums[i * dim + d] = scale * sum over p of table[(p * entries + codes[i * parts + p]) * dim +
  /// d], in the order of p, i < rows, d < dim.
  void (*sum_entries)(float* sums, const float* table, const std::uint8_t* codes, std::int64_t rows,
                      std::int64_t parts, std::int64_t entries, std::int64_t dim, float scale);

  /// to[codes[i * parts] * dim + d] += from[i * dim + d], in the order of i, i < rows, first <= d <
  /// end.
  void (*add_entries)(float* to, const float* from, const std::uint8_t* codes, std::int64_t rows,
                      std::int64_t parts, std::int64_t dim, std::int64_t first, std::int64_t end);

  /// What count_common takes for a word of two items, beside what gram takes to add a pair of items
  /// to its sums, by which to choose between the two.
  double word_cost;
};

/// The best level that this processor has, or a lower one named by PYHYBRID_SIMD: baseline, avx2 or
/// avx512. Read once. Throws std::invalid_argument if that names no level.
const Loops& loops();

extern const Loops kBaseline;
extern const Loops kAvx2;
extern const Loops kAvx512;
extern const Loops kAvx512IceLake;  // with what Ice Lake added for bits and bytes: the same results

}  // namespace pyhybrid::simd
