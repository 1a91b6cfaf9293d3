// The best items of each row, without ever holding a rows x items score matrix.
//
// What all three share. Ties go to the lower item index. A row with fewer candidates than n ends in
// item -1 with score -infinity; a candidate whose own score is -infinity is a candidate still, as
// exclusion goes by item and never by score. Throws std::invalid_argument for n < 1, shapes that
// disagree, what check() refuses, an item of `among` outside the catalogue, or a candidate's score
// that is not a number; Stopped if the monitor says so.
// Accumulator: float, over a row's items (or factors) in ascending order, a product fused with its
// sum where the processor can: the same bits for any number of threads, and at one level of
// simd_level() on any processor.
#pragma once

#include <cstdint>
#include <optional>
#include <span>

#include "pyhybrid/csr.hpp"
#include "pyhybrid/parallel.hpp"

namespace pyhybrid {

/// Allowed items: rows x cols, row-major, in any order; negative entries stand for none. One row
/// stands for all rows of a ranking.
struct AllowList {
  std::span<const std::int32_t> items;
  std::int64_t rows = 0;
  std::int64_t cols = 0;
};

/// Which items may stand in which row.
struct Restriction {
  /// (rows, items): the entries stored in a row are never returned in it. May be null.
  const Csr* exclude = nullptr;

  /// Without it all items are allowed.
  std::optional<AllowList> among;
};

/// Where a ranking is written: (rows, n) each, row-major, best first.
struct RankingOut {
  std::int64_t n = 0;
  std::span<std::int32_t> items;
  std::span<float> scores;
};

/// scores = histories x weights, for sparse histories (rows, history items) with values and dense
/// row-major weights (history items, n_items). Work: stored entries x items multiply-adds. Scratch:
/// up to 128 MB, or what 64 rows take, for the candidates and 256 scores of the rows that are
/// ranked together; their entries; and 256 columns of the weights.
void top_n(const Csr& histories, std::span<const float> weights, std::int64_t n_items,
           const Restriction& restriction, const RankingOut& out, int threads = 0,
           Monitor* monitor = nullptr);

/// scores = users x items^T, for dense row-major factors (rows, dim) and (items, dim).
void top_n_factors(std::span<const float> users, std::span<const float> items, std::int64_t rows,
                   std::int64_t n_items, std::int64_t dim, const Restriction& restriction,
                   const RankingOut& out, int threads = 0, Monitor* monitor = nullptr);

/// From given scores (rows, items), row-major.
void top_n_scores(std::span<const float> scores, std::int64_t rows, std::int64_t n_items,
                  const Restriction& restriction, const RankingOut& out, int threads = 0,
                  Monitor* monitor = nullptr);

}  // namespace pyhybrid
