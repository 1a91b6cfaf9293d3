#include "pyhybrid/metrics.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <charconv>
#include <cmath>
#include <limits>
#include <memory>
#include <stdexcept>
#include <utility>

#include "integers.hpp"
#include "pyhybrid/error.hpp"
#include "selection.hpp"
#include "simd/loops.hpp"

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

std::int64_t largest_cutoff(const std::vector<Metric>& metrics) {
  std::int64_t k = 0;
  for (const Metric& metric : metrics) k = std::max(k, metric.k);
  return k;
}

/// Rates one row after the other; holds what rows share, and a row's hits.
class RowMetrics {
 public:
  RowMetrics(std::string who, const Csr& targets, const std::vector<Metric>& metrics)
      : who_(std::move(who)),
        targets_(targets),
        metrics_(metrics),
        marks_(size(targets.cols), 0),
        discounts_(size(std::min(largest_cutoff(metrics), targets.cols)) + 1, 0.0),
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
    find_hits(row, ranking);
    for (std::size_t m = 0; m < metrics_.size(); ++m) {
      out[static_cast<std::int64_t>(m) * stride] =
          n_targets == 0 ? std::numeric_limits<double>::quiet_NaN() : value(metrics_[m], n_targets);
    }
  }

 private:
  // A mark tells of the row that set it: target_ for a target, named_ for an item that the ranking
  // has named. Marks are bytes, which stay in the L1 cache, and are cleared when these run out.
  std::int64_t mark_targets(std::int64_t row) {
    if (named_ >= std::numeric_limits<std::uint8_t>::max() - 1) {
      std::fill(marks_.begin(), marks_.end(), std::uint8_t{0});
      named_ = 0;
    }
    target_ = static_cast<std::uint8_t>(named_ + 1);
    named_ = static_cast<std::uint8_t>(named_ + 2);
    const auto [first, last] = targets_.extent(row);
    std::int64_t distinct = 0;
    // In locals: the compiler must fear that writing a byte changes any member.
    const auto mark = [&distinct, marks = marks_.data(), target = target_, begin = first,
                       end = last](auto columns) {
      for (std::int64_t place = begin; place < end; ++place) {
        std::uint8_t& found = marks[columns[size(place)]];
        distinct += found != target ? 1 : 0;
        found = target;
      }
    };
    std::visit(mark, targets_.indices);
    return distinct;
  }

  /// Notes the ranks, from 1, at which targets stand.
  void find_hits(std::int64_t row, std::span<const std::int32_t> ranking) {
    // The highest bit of the item itself where it is negative, of the difference where it is large.
    const auto n_items = static_cast<std::uint32_t>(targets_.cols);
    std::uint32_t flags = 0;
    for (const std::int32_t item : ranking) {
      flags |= static_cast<std::uint32_t>(item) | (n_items - 1 - static_cast<std::uint32_t>(item));
    }
    // The items before the first that is none, be it the end, -1, or one that may not be there.
    auto items = ranking;
    if ((flags >> 31) != 0) {
      const auto is_none = [n_items](std::int32_t item) {
        return static_cast<std::uint32_t>(item) >= n_items;
      };
      const auto end = std::find_if(ranking.begin(), ranking.end(), is_none);
      items = ranking.first(static_cast<std::size_t>(end - ranking.begin()));
      const auto is_end = [](std::int32_t item) { return item == -1; };
      if (!std::all_of(end, ranking.end(), is_end)) refuse(row, ranking);
    }
    hits_.resize(items.size());
    found_.resize((items.size() + 63) / 64);
    const bool repeated = loops_.mark(found_.data(), marks_.data(), items.data(),
                                      static_cast<std::int64_t>(items.size()), target_, named_);
    if (repeated) refuse(row, ranking);
    n_hits_ = 0;
    for (std::size_t word = 0; word < found_.size(); ++word) {
      for (std::uint64_t bits = found_[word]; bits != 0; bits &= bits - 1) {
        const std::size_t rank = 64 * word + size(std::countr_zero(bits)) + 1;
        hits_[size(n_hits_++)] = static_cast<std::int32_t>(rank);
      }
    }
  }

  /// Throws for the first item of the ranking that may not stand where it does.
  [[noreturn]] void refuse(std::int64_t row, std::span<const std::int32_t> ranking) const {
    for (std::size_t j = 0; j < ranking.size(); ++j) {
      const std::int32_t item = ranking[j];
      const auto before = ranking.first(j);
      const std::string what = concat("the item at rank ", j + 1, " of row ", row);
      if (item < -1 || item >= targets_.cols) {
        throw bad_value(who_, what, item, concat("-1, or 0 to ", targets_.cols - 1));
      }
      if (item < 0) continue;
      if (!before.empty() && before.back() < 0) {
        throw bad_value(who_, what, item, "-1, as the row has ended before");
      }
      if (std::find(before.begin(), before.end(), item) != before.end()) {
        throw bad_value(who_, what, item, "an item that the row has not named before");
      }
    }
    throw std::logic_error(who_ + ": a ranking was refused without a reason");
  }

  double value(const Metric& metric, std::int64_t n_targets) const {
    const auto targets = static_cast<double>(n_targets);
    const auto reachable = static_cast<double>(std::min(metric.k, n_targets));
    const auto first = hits_.begin();
    const auto last = std::upper_bound(first, first + n_hits_, metric.k);
    const auto hits = static_cast<double>(last - first);
    switch (metric.kind) {
      case MetricKind::ndcg:
        return gain(first, last) / ideal_gains_[size(std::min(metric.k, n_targets))];
      case MetricKind::recall:
        return hits / targets;
      case MetricKind::recall_min:
        return hits / reachable;
      case MetricKind::precision:
        return hits / static_cast<double>(metric.k);
      case MetricKind::hit:
        return hits > 0.0 ? 1.0 : 0.0;
      case MetricKind::mrr:
        return hits > 0.0 ? 1.0 / static_cast<double>(*first) : 0.0;
      case MetricKind::map:
        return precision_sum(first, last) / targets;
      case MetricKind::map_min:
        return precision_sum(first, last) / reachable;
    }
    return std::numeric_limits<double>::quiet_NaN();
  }

  using Hit = std::vector<std::int32_t>::const_iterator;

  double gain(Hit first, Hit last) const {
    double sum = 0.0;
    for (Hit hit = first; hit != last; ++hit) sum += discounts_[size(*hit)];
    return sum;
  }

  static double precision_sum(Hit first, Hit last) {
    double sum = 0.0;
    double found = 0.0;
    for (Hit hit = first; hit != last; ++hit) sum += ++found / static_cast<double>(*hit);
    return sum;
  }

  std::string who_;
  const Csr& targets_;
  const std::vector<Metric>& metrics_;
  std::vector<std::uint8_t> marks_;  // (items)
  std::uint8_t target_ = 0;
  std::uint8_t named_ = 0;
  std::vector<double> discounts_;     // by rank, from 1
  std::vector<double> ideal_gains_;   // by rank: the sum of the discounts up to it
  std::vector<std::int32_t> hits_;    // ranks, ascending
  std::vector<std::uint64_t> found_;  // bit by rank, from 0: whether a target stands there
  std::ptrdiff_t n_hits_ = 0;
  const simd::Loops& loops_ = simd::loops();
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
                   return [&, selection = std::make_shared<BlockSelection>(rule, 1),
                           rater = RowMetrics(who, targets, metrics),
                           best = std::vector<std::int32_t>(size(n)),
                           best_scores = std::vector<float>(size(n))](std::int64_t block,
                                                                      Ticker& ticker) mutable {
                     const std::int64_t first = block * kRowsPerBlock;
                     const std::int64_t end = std::min(rows, first + kRowsPerBlock);
                     for (std::int64_t row = first; row < end; ++row) {
                       selection->select(row, scores.data() + row * n_items);
                       selection->finish(row, best.data(), best_scores.data());
                       rater.rate(row, best, out.data() + row, rows);
                       ticker.advance(1.0);
                     }
                   };
                 });
}

}  // namespace pyhybrid
