// Ranking metrics, per row, from given rankings or straight from scores.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "pyhybrid/csr.hpp"
#include "pyhybrid/parallel.hpp"

namespace pyhybrid {

/// With h_j = 1 if the item at rank j is a target, and R the row's number of targets:
///   ndcg        sum_{j<=k} h_j / log2(j + 1), over the same sum for h_1 = .. = h_min(k,R) = 1
///   recall      hits / R             recall_min  hits / min(k, R)
///   precision   hits / k             hit         1 if there is a hit, else 0
///   mrr         1 / rank of the first hit, 0 without one
///   map         sum_{j<=k} h_j precision@j / R      map_min  the same over min(k, R)
enum class MetricKind { ndcg, recall, recall_min, precision, hit, mrr, map, map_min };

struct Metric {
  MetricKind kind;
  std::int64_t k;  // the cut-off, 1 or more
};

/// Reads "ndcg@100". Throws std::invalid_argument in the name of `who` for anything else.
Metric parse_metric(const std::string& who, std::string_view text);

/// Rates rankings `items` (rows, n), row-major, best first, -1 from where a row ends, against the
/// items stored in each row of `targets` (rows, items; values are not read).
///
/// `out`: (metrics, rows), row-major; NaN in rows without a target. Accumulator: double.
/// Throws std::invalid_argument if a cut-off is above n, or a row names an item twice, an item
/// outside the catalogue, or one after a -1; Stopped if the monitor says so.
void ranking_metrics(std::span<const std::int32_t> items, std::int64_t rows, std::int64_t n,
                     const Csr& targets, const std::vector<Metric>& metrics, std::span<double> out,
                     int threads = 0, Monitor* monitor = nullptr);

/// The same from scores (rows, items), row-major, in one pass: mask what `exclude` stores, take the
/// best items up to the largest cut-off, rate them. `exclude` may be null. Cut-offs above the
/// number of items are allowed.
void score_metrics(std::span<const float> scores, const Csr& targets, const Csr* exclude,
                   const std::vector<Metric>& metrics, std::span<double> out, int threads = 0,
                   Monitor* monitor = nullptr);

}  // namespace pyhybrid
