// Product quantisation: a vector is cut into parts, each named by the nearest of a few centroids
// (Jegou, Douze, Schmid, "Product quantization for nearest neighbor search", PAMI 2011).
//
// Layouts, all row-major: vectors float (rows, parts * dim), centroids float (parts, entries, dim),
// codes std::uint8_t (rows, parts), each below `entries`.
// What all functions share. They throw std::invalid_argument for sizes that disagree, a code of
// `entries` or more, and a part of a vector or centroid that is not finite or whose squared length
// is 1e36 or more; Stopped if the monitor says so. The result is the same for any number of
// threads.
#pragma once

#include <cstdint>
#include <span>

#include "pyhybrid/parallel.hpp"
#include "pyhybrid/top_n.hpp"

namespace pyhybrid {

struct CodebookShape {
  std::int64_t parts = 0;
  std::int64_t entries = 0;  // a part, 1 to 256
  std::int64_t dim = 0;      // of a part
};

/// Moves the given centroids to where Lloyd's iterations take them: in each, every vector goes to
/// its nearest centroid, and every centroid to the mean of its vectors. A centroid without vectors
/// moves to the one that is farthest from its own. Ends early once no vector changes its centroid.
/// Accumulator: double, over the vectors in order. Threads share out the parts. Scratch a
/// thread: a part of all vectors, and 4 bytes a vector, or 12 if centroids had to be moved.
void pq_train(std::span<const float> vectors, std::int64_t rows, const CodebookShape& shape,
              std::int64_t iterations, std::span<float> centroids, int threads = 0,
              Monitor* monitor = nullptr);

/// Names each part's nearest centroid, by distances in double precision; ties go to the lowest.
void pq_encode(std::span<const float> vectors, std::int64_t rows, const CodebookShape& shape,
               std::span<const float> centroids, std::span<std::uint8_t> codes, int threads = 0,
               Monitor* monitor = nullptr);

/// Puts the named centroids together again.
void pq_decode(std::span<const std::uint8_t> codes, std::int64_t rows, const CodebookShape& shape,
               std::span<const float> centroids, std::span<float> vectors, int threads = 0,
               Monitor* monitor = nullptr);

/// What search compares by: squared distances, of which the least are the best, or products.
enum class Similarity { distance, product };

/// Finds the codes whose decoded vectors are best for each query, which itself is not quantised.
/// Scores are float sums, in order of the parts, of a table that holds each part's distance (or
/// product) to each centroid; ties go to the lower code. Out: items (rows, n) are rows of `codes`.
/// Threads share out the queries. Scratch a thread: for each of up to 256 queries its table, 5
/// bytes a centroid, 256 KB of which are bytes, and 16 bytes for each of n.
void pq_search(std::span<const float> queries, std::int64_t rows,
               std::span<const std::uint8_t> codes, std::int64_t n_codes,
               const CodebookShape& shape, std::span<const float> centroids, Similarity similarity,
               const RankingOut& out, int threads = 0, Monitor* monitor = nullptr);

/// sums[i] = scale * sum over p of table[p, codes[i, p]]: each code's rows of a table (parts,
/// entries, dim). Accumulator: float, in order of the parts.
void pq_lookup(std::span<const float> table, const CodebookShape& shape,
               std::span<const std::uint8_t> codes, std::int64_t rows, float scale,
               std::span<float> sums, int threads = 0, Monitor* monitor = nullptr);

/// pq_lookup's gradient: table[p, c] = scale * sum over the rows i with codes[i, p] = c of
/// gradient[i], in order of the rows. Accumulator: float.
void pq_lookup_gradient(std::span<const float> gradient, std::span<const std::uint8_t> codes,
                        std::int64_t rows, const CodebookShape& shape, float scale,
                        std::span<float> table, int threads = 0, Monitor* monitor = nullptr);

}  // namespace pyhybrid
