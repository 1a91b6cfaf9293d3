#include "columns.hpp"

#include <algorithm>
#include <atomic>
#include <utility>

#include "integers.hpp"

namespace pyhybrid {
namespace {

constexpr std::int64_t kRowsPerTick = 1024;
constexpr std::int64_t kEntriesPerRange = 1 << 16;  // at least, if there is more than one

/// The row in which the entry stands, or one shortly before, where a range of rows may begin.
std::int64_t range_start(const Csr& x, std::int64_t place) {
  const std::int64_t row = std::visit(
      [&](auto indptr) {
        const auto after = std::upper_bound(indptr.begin(), indptr.end(), place);
        return std::min<std::int64_t>(x.rows, after - indptr.begin() - 1);
      },
      x.indptr);
  return row / CommonUsers::kUsersTogether * CommonUsers::kUsersTogether;
}

}  // namespace

template <class Column>
ColumnOrder<Column>::ColumnOrder(const Csr& x, int threads, Control& control)
    : x_(x),
      ranges_(std::clamp<std::int64_t>(x.stored() / kEntriesPerRange, 1, resolve_threads(threads))),
      control_(control),
      columns_(x.stored()) {
  copy_columns();
  if (!canonical_) make_canonical();
  count_entries();
  if (binary()) set_popular_last(threads);
  order_entries();
}

template <class Column>
template <class Visit>
void ColumnOrder<Column>::for_rows(Visit visit) {
  for_each_block(ranges_, static_cast<int>(ranges_), control_, [&]() -> Worker {
    return [&](std::int64_t range, Ticker& ticker) {
      const std::int64_t stored = x_.stored();
      const std::int64_t first = range == 0 ? 0 : range_start(x_, stored * range / ranges_);
      const std::int64_t last =
          range + 1 == ranges_ ? x_.rows : range_start(x_, stored * (range + 1) / ranges_);
      for (std::int64_t row = first; row < last; ++row) {
        const auto [begin, end] = x_.extent(row);
        visit(range, row, begin, row_ends_.empty() ? end : row_ends_[size(row)]);
        if (row % kRowsPerTick == 0) ticker.advance(0.0);
      }
    };
  });
}

template <class Column>
void ColumnOrder<Column>::copy_columns() {
  std::atomic<bool> canonical{true};
  std::atomic<bool> all_ones{true};
  std::visit(
      [&](auto indices) {
        for_rows([&](std::int64_t, std::int64_t, std::int64_t first, std::int64_t end) {
          bool ascending = true;
          bool ones = true;
          for (std::int64_t place = first; place < end; ++place) {
            const auto column = indices[size(place)];
            ascending &= place == first || indices[size(place - 1)] < column;
            ones &= x_.values[size(place)] == 1.0F;
            columns_[place] = static_cast<Column>(column);
          }
          if (!ascending) canonical = false;
          if (!ones) all_ones = false;
        });
      },
      x_.indices);
  canonical_ = canonical;
  all_ones_ = all_ones;
}

/// Sorts each row by column, and sums the values of a column that it names twice.
template <class Column>
void ColumnOrder<Column>::make_canonical() {
  own_values_.reserve(x_.stored());
  std::vector<std::int64_t> row_ends(size(x_.rows));
  std::vector<std::vector<std::pair<Column, float>>> scratch(size(ranges_));
  std::atomic<bool> all_ones{true};
  for_rows([&](std::int64_t range, std::int64_t row, std::int64_t first, std::int64_t end) {
    auto& entries = scratch[size(range)];
    entries.clear();
    for (std::int64_t place = first; place < end; ++place) {
      entries.emplace_back(columns_[place], x_.values[size(place)]);
    }
    std::stable_sort(entries.begin(), entries.end(),
                     [](const auto& a, const auto& b) { return a.first < b.first; });
    std::int64_t place = first;
    for (auto entry = entries.begin(); entry != entries.end(); ++place) {
      const Column column = entry->first;
      double sum = 0.0;
      for (; entry != entries.end() && entry->first == column; ++entry) sum += entry->second;
      columns_[place] = column;
      own_values_[place] = static_cast<float>(sum);
      if (own_values_[place] != 1.0F) all_ones = false;
    }
    row_ends[size(row)] = place;
  });
  row_ends_ = std::move(row_ends);
  all_ones_ = all_ones;
}

/// Counts each range's entries by column.
template <class Column>
void ColumnOrder<Column>::count_entries() {
  next_.resize(size(ranges_));
  for (auto& counts : next_) counts.resize(size(x_.cols), 0);
  for_rows([&](std::int64_t range, std::int64_t, std::int64_t first, std::int64_t end) {
    std::int64_t* counts = next_[size(range)].data();
    for (std::int64_t place = first; place < end; ++place) ++counts[columns_[place]];
  });
}

/// Chooses the popular columns and, if there are any, moves them to the end of each row and tells
/// popular() who has them.
template <class Column>
void ColumnOrder<Column>::set_popular_last(int threads) {
  std::vector<std::int64_t> totals(size(x_.cols), 0);
  for (const auto& counts : next_) {
    for (std::size_t col = 0; col < totals.size(); ++col) totals[col] += counts[col];
  }
  auto items = items_worth_bitmaps(totals, x_.rows);
  if (items.empty()) return;
  popular_ = CommonUsers(std::move(items), x_.cols, x_.rows, threads, control_);
  for (auto& counts : next_) {
    for (const std::int32_t col : popular_.items()) counts[size(col)] = 0;
  }
  std::vector<std::vector<std::int32_t>> scratch(size(ranges_));
  for (auto& numbers : scratch) numbers.resize(popular_.items().size() + 1);
  for_rows([&](std::int64_t range, std::int64_t row, std::int64_t first, std::int64_t end) {
    // Without a branch on what can't be foretold.
    std::int32_t* numbers = scratch[size(range)].data();
    std::int64_t unpopular = 0, popular = 0;
    for (std::int64_t place = first; place < end; ++place) {
      const Column column = columns_[place];
      const std::int32_t number = popular_.number(column);
      columns_[first + unpopular] = column;
      numbers[popular] = number;
      unpopular += number < 0 ? 1 : 0;
      popular += number < 0 ? 0 : 1;
    }
    for (std::int64_t k = 0; k < popular; ++k) {
      popular_.add(numbers[k], row);
      columns_[first + unpopular + k] = static_cast<Column>(popular_.items()[size(numbers[k])]);
    }
  });
}

/// Finds where each range's entries begin in every column, so that ranges can be written in
/// parallel.
template <class Column>
void ColumnOrder<Column>::order_entries() {
  starts_.resize(size(x_.cols) + 1);
  std::int64_t start = 0;
  for (std::size_t col = 0; col < size(x_.cols); ++col) {
    starts_[col] = start;
    for (auto& counts : next_) start += std::exchange(counts[col], start);
  }
  starts_.back() = start;
  entries_.reserve(start);
  for_rows([&](std::int64_t range, std::int64_t, std::int64_t first, std::int64_t end) {
    std::int64_t* next = next_[size(range)].data();
    for (std::int64_t place = first; place < end; ++place) {
      const Column column = columns_[place];
      if (popular_.number(column) >= 0) break;  // so are all that follow
      entries_[next[column]++] = Entry(place, end - place);
    }
  });
  next_.clear();
}

template class ColumnOrder<std::uint16_t>;
template class ColumnOrder<std::int32_t>;

}  // namespace pyhybrid
