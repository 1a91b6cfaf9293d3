#include "pyhybrid/metrics.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <limits>
#include <utility>

#include "pyhybrid/error.hpp"
#include "selection.hpp"

namespace pyhybrid {
namespace {

constexpr std::int64_t kRowsPerBlock = 256;

constexpr std::array<std::pair<std::string_view, MetricKind>, 8> kNames{{
    {"ndcg", MetricKind::ndcg},
    {"recall", MetricKind::recall},
    {"recall_min", MetricKind::recall_min},
    {"precision", MetricKind::precision},
    {"hit", MetricKind::hit},
    {"mrr", MetricKind::mrr},
    {"map", MetricKind::map},
    {"map_min", MetricKind::map_min},
}};

std::size_t size(std::int64_t n) { return static_cast<std::size_t>(n); }

std::int64_t largest_cutoff(const std::vector<Metric>& metrics) {
  std::int64_t k = 0;
  for (const Metric& metric : metrics) k = std::max(k, metric.k);
  return k;
}

/// Rates one row after the other; holds what rows share and a row's running sums by rank.
class RowMetrics {
 public:
  RowMetrics(std::string who, const Csr& targets, const std::vector<Metric>& metrics)
      : who_(std::move(who)),
        targets_(targets),
        metrics_(metrics),
        marks_(size(targets.cols), 0),
        discounts_(size(std::min(largest_cutoff(metrics), targets.cols)) + 1, 0.0),
        hits_(discounts_.size(), 0.0),
        gains_(discounts_.size(), 0.0),
        precisions_(discounts_.size(), 0.0),
        ideal_gains_(discounts_.size(), 0.0) {
    for (std::size_t j = 1; j < discounts_.size(); ++j) {
      discounts_[j] = 1.0 / std::log2(static_cast<double>(j) + 1.0);
      ideal_gains_[j] = ideal_gains_[j - 1] + discounts_[j];
    }
  }

  /// Writes the row's value of metric m to out[m * stride].
  void rate(std::int64_t row, std::span<const std::int32_t> ranking, double* out,
            std::int64_t stride) {
    const std::int64_t n_targets = mark_targets(row);
    accumulate(row, ranking);
    for (std::size_t m = 0; m < metrics_.size(); ++m) {
      out[static_cast<std::int64_t>(m) * stride] =
          n_targets == 0 ? std::numeric_limits<double>::quiet_NaN() : value(metrics_[m], n_targets);
    }
  }

 private:
  // A mark tells of the row that set it: epoch_ + 1 for a target, epoch_ + 2 for an item that the
  // ranking has named. Nothing is cleared between rows.
  std::int64_t mark_targets(std::int64_t row) {
    epoch_ += 2;
    targets_.copy_row(row, columns_);
    std::int64_t distinct = 0;
    for (const std::int32_t item : columns_) {
      std::int64_t& mark = marks_[size(item)];
      distinct += mark != epoch_ + 1;
      mark = epoch_ + 1;
    }
    return distinct;
  }

  void accumulate(std::int64_t row, std::span<const std::int32_t> ranking) {
    bool ended = false;
    first_hit_ = 0;
    for (std::size_t j = 1; j < hits_.size() || j <= ranking.size(); ++j) {
      double hit = 0.0;
      if (j <= ranking.size()) {
        const std::int32_t item = ranking[j - 1];
        check_item(row, j, item, ended);
        ended = item < 0;
        if (!ended) {
          std::int64_t& mark = marks_[size(item)];
          hit = mark == epoch_ + 1 ? 1.0 : 0.0;
          mark = epoch_ + 2;
        }
      }
      if (j >= hits_.size()) continue;
      hits_[j] = hits_[j - 1] + hit;
      gains_[j] = gains_[j - 1] + hit * discounts_[j];
      precisions_[j] = precisions_[j - 1] + hit * hits_[j] / static_cast<double>(j);
      if (hit > 0.0 && first_hit_ == 0) first_hit_ = static_cast<std::int64_t>(j);
    }
  }

  void check_item(std::int64_t row, std::size_t rank, std::int32_t item, bool ended) const {
    const auto what = [&] { return concat("the item at rank ", rank, " of row ", row); };
    if (item < -1 || item >= targets_.cols) {
      throw bad_value(who_, what(), item, concat("-1, or 0 to ", targets_.cols - 1));
    }
    if (item < 0) return;
    if (ended) throw bad_value(who_, what(), item, "-1, as the row has ended before");
    if (marks_[size(item)] == epoch_ + 2) {
      throw bad_value(who_, what(), item, "an item that the row has not named before");
    }
  }

  double value(const Metric& metric, std::int64_t n_targets) const {
    const std::size_t k = std::min(size(metric.k), hits_.size() - 1);  // no hit beyond the items
    const auto targets = static_cast<double>(n_targets);
    const auto reachable = static_cast<double>(std::min(metric.k, n_targets));
    switch (metric.kind) {
      case MetricKind::ndcg:
        return gains_[k] / ideal_gains_[size(std::min(metric.k, n_targets))];
      case MetricKind::recall:
        return hits_[k] / targets;
      case MetricKind::recall_min:
        return hits_[k] / reachable;
      case MetricKind::precision:
        return hits_[k] / static_cast<double>(metric.k);
      case MetricKind::hit:
        return hits_[k] > 0.0 ? 1.0 : 0.0;
      case MetricKind::mrr:
        return first_hit_ > 0 && first_hit_ <= metric.k ? 1.0 / static_cast<double>(first_hit_)
                                                        : 0.0;
      case MetricKind::map:
        return precisions_[k] / targets;
      case MetricKind::map_min:
        return precisions_[k] / reachable;
    }
    return std::numeric_limits<double>::quiet_NaN();
  }

  std::string who_;
  const Csr& targets_;
  const std::vector<Metric>& metrics_;
  std::vector<std::int64_t> marks_;  // (items)
  std::int64_t epoch_ = 0;
  std::vector<std::int32_t> columns_;
  // By rank, 1-based; the sums of the ranks up to and including it.
  std::vector<double> discounts_;
  std::vector<double> hits_;
  std::vector<double> gains_;
  std::vector<double> precisions_;
  std::vector<double> ideal_gains_;
  std::int64_t first_hit_ = 0;
};

void check_output(const std::string& who, const Csr& targets, const std::vector<Metric>& metrics,
                  std::span<double> out) {
  check(targets, who, "targets");
  const auto expected = static_cast<std::int64_t>(metrics.size()) * targets.rows;
  if (static_cast<std::int64_t>(out.size()) != expected) {
    throw bad_value(who, "the output's size", out.size(), concat("metrics x rows = ", expected));
  }
}

}  // namespace

Metric parse_metric(const std::string& who, std::string_view text) {
  const std::size_t at = text.find('@');
  const auto named = std::find_if(kNames.begin(), kNames.end(), [&](const auto& name) {
    return at != std::string_view::npos && name.first == text.substr(0, at);
  });
  std::int64_t k = 0;
  if (named != kNames.end()) {
    const char* end = text.data() + text.size();
    const auto read = std::from_chars(text.data() + at + 1, end, k);
    if (read.ec != std::errc() || read.ptr != end || k > std::numeric_limits<std::int32_t>::max()) {
      k = 0;
    }
  }
  if (k < 1) {
    std::string names;
    for (const auto& name : kNames) names += concat(names.empty() ? "" : ", ", name.first);
    throw bad_value(who, "the metric", concat("'", text, "'"),
                    concat("NAME@K such as ndcg@100, with NAME one of ", names));
  }
  return {named->second, k};
}

void ranking_metrics(std::span<const std::int32_t> items, std::int64_t rows, std::int64_t n,
                     const Csr& targets, const std::vector<Metric>& metrics, std::span<double> out,
                     int threads, Monitor* monitor) {
  const std::string who = "ranking_metrics";
  check_output(who, targets, metrics, out);
  if (rows != targets.rows) {
    throw bad_value(who, "the number of rankings", rows,
                    concat("one for each of the ", targets.rows, " rows of targets"));
  }
  if (static_cast<std::int64_t>(items.size()) != rows * n) {
    throw bad_value(who, "items' size", items.size(), concat("rows x n = ", rows * n));
  }
  const std::int64_t k = largest_cutoff(metrics);
  if (k > n) {
    throw bad_value(who, "the largest cut-off", k, concat("at most the rankings' length, ", n),
                    "recommend more items");
  }
  for_each_block((rows + kRowsPerBlock - 1) / kRowsPerBlock, static_cast<double>(rows), threads,
                 monitor, [&]() -> Worker {
                   return [&, rater = RowMetrics(who, targets, metrics)](std::int64_t block,
                                                                         Ticker& ticker) mutable {
                     const std::int64_t first = block * kRowsPerBlock;
                     const std::int64_t end = std::min(rows, first + kRowsPerBlock);
                     for (std::int64_t row = first; row < end; ++row) {
                       rater.rate(row, items.subspan(size(row * n), size(n)), out.data() + row,
                                  rows);
                     }
                     ticker.advance(static_cast<double>(end - first));
                   };
                 });
}

void score_metrics(std::span<const float> scores, const Csr& targets, const Csr* exclude,
                   const std::vector<Metric>& metrics, std::span<double> out, int threads,
                   Monitor* monitor) {
  const std::string who = "score_metrics";
  check_output(who, targets, metrics, out);
  const std::int64_t rows = targets.rows;
  const std::int64_t n_items = targets.cols;
  if (static_cast<std::int64_t>(scores.size()) != rows * n_items) {
    throw bad_value(who, "scores' size", scores.size(), concat("rows x items = ", rows * n_items));
  }
  const std::int64_t n =
      std::clamp<std::int64_t>(largest_cutoff(metrics), 1, std::max<std::int64_t>(1, n_items));
  Restriction restriction;
  restriction.exclude = exclude;
  const CandidateRule rule(who, restriction, n, rows, n_items);
  for_each_block((rows + kRowsPerBlock - 1) / kRowsPerBlock, static_cast<double>(rows), threads,
                 monitor, [&]() -> Worker {
                   return [&, selection = RowSelection(rule),
                           rater = RowMetrics(who, targets, metrics),
                           best = std::vector<std::int32_t>(size(n)),
                           best_scores = std::vector<float>(size(n))](std::int64_t block,
                                                                      Ticker& ticker) mutable {
                     const std::int64_t first = block * kRowsPerBlock;
                     const std::int64_t end = std::min(rows, first + kRowsPerBlock);
                     for (std::int64_t row = first; row < end; ++row) {
                       selection.begin(row);
                       selection.offer(scores.data() + row * n_items, 0, n_items);
                       selection.finish(best.data(), best_scores.data());
                       rater.rate(row, best, out.data() + row, rows);
                       ticker.advance(1.0);
                     }
                   };
                 });
}

}  // namespace pyhybrid
