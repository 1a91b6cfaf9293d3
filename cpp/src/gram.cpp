#include "pyhybrid/gram.hpp"

#include <algorithm>
#include <atomic>
#include <limits>
#include <type_traits>
#include <vector>

#include "columns.hpp"
#include "mirror.hpp"
#include "pyhybrid/error.hpp"

namespace pyhybrid {
namespace {

constexpr std::int64_t kItemsPerBlock = 4;  // rows of G that a thread takes at once
constexpr std::int64_t kAhead = 4;          // entries: how far ahead their rows are fetched

/// Adds row `item` of G, from the diagonal on and for all popular items, to `sums`, which is
/// indexed by item.
template <bool kBinary, class Column, class Sum>
void add_row(std::int64_t item, const ColumnOrder<Column>& order, const float* values, Sum* sums) {
  const auto entries = order.entries(item);
  for (std::size_t e = 0; e < entries.size(); ++e) {
    if (e + kAhead < entries.size()) {
      __builtin_prefetch(order.columns() + entries[e + kAhead].place());
    }
    const Column* columns = order.columns() + entries[e].place();
    const std::int64_t rest = entries[e].rest();
    if constexpr (kBinary) {
      for (std::int64_t k = 0; k < rest; ++k) sums[columns[k]] += Sum{1};
    } else {
      const float* weights = values + entries[e].place();
      const Sum weight = weights[0];
      for (std::int64_t k = 0; k < rest; ++k) sums[columns[k]] += weight * Sum{weights[k]};
    }
  }
}

/// One thread's sums of one row of G. The counts of 0/1 data are no higher than the item's number
/// of users: 16 bits for most items, whose counters then fit the L1 cache.
template <bool kBinary>
class RowSums {
 public:
  explicit RowSums(std::int64_t n) : n_(n) {}

  /// Writes row `item` of `matrix` from the diagonal on, and for the popular items before it.
  template <class Column, class Value>
  void write_row(std::int64_t item, const ColumnOrder<Column>& order, const float* values,
                 Value* matrix) {
    if constexpr (!kBinary) {
      write_row(item, order, values, matrix, wide_);
    } else if (order.entries(item).size() <= std::numeric_limits<std::uint16_t>::max()) {
      write_row(item, order, values, matrix, narrow_);
    } else {
      write_row(item, order, values, matrix, wide_);
    }
  }

 private:
  template <class Column, class Value, class Sum>
  void write_row(std::int64_t item, const ColumnOrder<Column>& order, const float* values,
                 Value* matrix, std::vector<Sum>& sums) {
    sums.assign(static_cast<std::size_t>(n_), Sum{0});
    add_row<kBinary>(item, order, values, sums.data());
    Value* row = matrix + item * n_;
    for (std::int64_t j = item; j < n_; ++j) {
      row[j] = static_cast<Value>(sums[static_cast<std::size_t>(j)]);
    }
    for (const std::int32_t j : order.popular().items()) {
      if (j > item) break;
      row[j] = static_cast<Value>(sums[static_cast<std::size_t>(j)]);
    }
  }

  std::int64_t n_;
  std::vector<std::uint16_t> narrow_;
  std::vector<std::conditional_t<kBinary, std::uint32_t, double>> wide_;
};

/// Copies a band's rows first .. end-1, once they are written, to their columns.
template <class Column, class Value>
void mirror_rows(const ColumnOrder<Column>& order, Value* out, std::int64_t n, std::int64_t first,
                 std::int64_t end) {
  std::uint64_t unpopular = 0;
  for (std::int64_t row = first; row < end; ++row) {
    if (order.popular().number(row) < 0) unpopular |= std::uint64_t{1} << (row - first);
  }
  mirror_band(out, n, first, end, unpopular);
  for (const std::int32_t j : order.popular().items()) {  // in whose rows nothing else is written
    if (j >= end) break;
    for (std::int64_t row = std::max<std::int64_t>(first, j); row < end; ++row) {
      if ((unpopular >> (row - first) & 1) != 0) out[j * n + row] = out[row * n + j];
    }
  }
}

/// Fills G but for the pairs of popular items: rows of the upper triangle in small blocks, and as
/// soon as a band of rows is whole, while the caches still hold it, its mirror image.
template <bool kBinary, class Column, class Value>
void fill(const ColumnOrder<Column>& order, const float* values, Value* out, std::int64_t n,
          int threads, Control& control) {
  const std::int64_t bands = (n + kBand - 1) / kBand;
  std::vector<std::atomic<std::int64_t>> missing(static_cast<std::size_t>(bands));
  for (std::int64_t band = 0; band < bands; ++band) {
    missing[static_cast<std::size_t>(band)] = std::min(kBand, n - band * kBand);
  }
  const std::int64_t blocks = (n + kItemsPerBlock - 1) / kItemsPerBlock;
  for_each_block(blocks, threads, control, [&]() -> Worker {
    return [&, n, out, values, sums = RowSums<kBinary>(n)](std::int64_t block,
                                                           Ticker& ticker) mutable {
      const std::int64_t first = block * kItemsPerBlock;
      const std::int64_t end = std::min(n, first + kItemsPerBlock);
      for (std::int64_t item = first; item < end; ++item) {
        if (order.popular().number(item) < 0) sums.write_row(item, order, values, out);
        ticker.advance(static_cast<double>(order.entries(item).size()));
      }
      const std::int64_t band = first / kBand;
      if (missing[static_cast<std::size_t>(band)].fetch_sub(end - first) == end - first) {
        mirror_rows(order, out, n, band * kBand, std::min(n, (band + 1) * kBand));
        ticker.advance(0.0);
      }
    };
  });
}

template <class Column, class Value>
void gram_of(const Csr& x, Value* out, int threads, Control& control) {
  const ColumnOrder<Column> order(x, threads, control);
  order.popular().count(out, static_cast<double>(order.without_entry()), threads, control);
  if (order.binary()) {
    fill<true>(order, order.values(), out, x.cols, threads, control);
  } else {
    fill<false>(order, order.values(), out, x.cols, threads, control);
  }
}

}  // namespace

template <class Value>
void gram(const Csr& x, std::span<Value> out, int threads, Monitor* monitor) {
  check(x, "gram", "x");
  if (static_cast<std::int64_t>(x.values.size()) != x.stored()) {
    throw bad_value("gram", "x.data's length", x.values.size(),
                    concat("the number of stored entries, ", x.stored()));
  }
  if (static_cast<std::int64_t>(out.size()) != x.cols * x.cols) {
    throw bad_value("gram", "out's size", out.size(), concat("items x items = ", x.cols * x.cols));
  }
  Control control(monitor, static_cast<double>(x.stored()));
  if (x.cols <= std::numeric_limits<std::uint16_t>::max()) {
    gram_of<std::uint16_t>(x, out.data(), threads, control);
  } else {
    gram_of<std::int32_t>(x, out.data(), threads, control);
  }
}

template void gram<float>(const Csr&, std::span<float>, int, Monitor*);
template void gram<double>(const Csr&, std::span<double>, int, Monitor*);

}  // namespace pyhybrid
