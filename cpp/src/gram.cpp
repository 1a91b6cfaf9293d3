#include "pyhybrid/gram.hpp"

#include <algorithm>
#include <type_traits>
#include <utility>
#include <vector>

#include "pyhybrid/error.hpp"

namespace pyhybrid {
namespace {

constexpr std::int64_t kItemsPerBlock = 4;     // rows of G that a thread takes at once
constexpr std::int64_t kMirrorTile = 64;       // a tile and its mirror image stay in the L1 cache
constexpr std::int64_t kExactCount = 1 << 24;  // float holds every integer up to here

template <class Visitor>
auto visit_indices(const Csr& x, Visitor visitor) {
  return std::visit([&](auto indices) { return visitor(indices); }, x.indices);
}

bool sorted_without_duplicates(const Csr& x) {
  return visit_indices(x, [&](auto indices) {
    for (std::int64_t row = 0; row < x.rows; ++row) {
      const auto [first, last] = x.extent(row);
      for (auto place = first + 1; place < last; ++place) {
        const auto k = static_cast<std::size_t>(place);
        if (indices[k] <= indices[k - 1]) return false;
      }
    }
    return true;
  });
}

/// A copy of a matrix with each row's columns ascending and named once, their values summed.
struct CanonicalCopy {
  std::vector<std::int64_t> indptr;
  std::vector<std::int32_t> indices;
  std::vector<float> values;

  explicit CanonicalCopy(const Csr& x) : indptr{0} {
    indices.reserve(static_cast<std::size_t>(x.stored()));
    values.reserve(static_cast<std::size_t>(x.stored()));
    std::vector<std::int32_t> columns;
    std::vector<std::pair<std::int32_t, float>> row_entries;
    for (std::int64_t row = 0; row < x.rows; ++row) {
      x.copy_row(row, columns);
      const auto first = static_cast<std::size_t>(x.extent(row).first);
      row_entries.clear();
      for (std::size_t k = 0; k < columns.size(); ++k) {
        row_entries.emplace_back(columns[k], x.values[first + k]);
      }
      std::stable_sort(row_entries.begin(), row_entries.end(),
                       [](const auto& a, const auto& b) { return a.first < b.first; });
      append(row_entries);
      indptr.push_back(static_cast<std::int64_t>(indices.size()));
    }
  }

  Csr view(const Csr& x) const {
    return {x.rows, x.cols, std::span<const std::int64_t>(indptr),
            std::span<const std::int32_t>(indices), values};
  }

 private:
  void append(const std::vector<std::pair<std::int32_t, float>>& entries) {
    for (std::size_t k = 0; k < entries.size(); ++k) {
      if (k > 0 && entries[k].first == entries[k - 1].first) {
        values.back() += entries[k].second;
      } else {
        indices.push_back(entries[k].first);
        values.push_back(entries[k].second);
      }
    }
  }
};

/// The entries of a CSR in column order: for each item the places of its entries, users ascending,
/// and where those users' rows end.
struct ColumnOrder {
  std::vector<std::int64_t> indptr;     // (cols + 1)
  std::vector<std::int64_t> places;     // (stored)
  std::vector<std::int32_t> row_rests;  // (stored): entries of the row from the place on

  template <class Index>
  ColumnOrder(const Csr& x, std::span<const Index> indices)
      : indptr(static_cast<std::size_t>(x.cols) + 1, 0),
        places(indices.size()),
        row_rests(indices.size()) {
    for (const Index column : indices) ++indptr[static_cast<std::size_t>(column) + 1];
    for (std::size_t c = 1; c < indptr.size(); ++c) indptr[c] += indptr[c - 1];
    std::vector<std::int64_t> next(indptr.begin(), indptr.end() - 1);
    for (std::int64_t row = 0; row < x.rows; ++row) {
      const auto [first, last] = x.extent(row);
      for (auto place = first; place < last; ++place) {
        const auto column = static_cast<std::size_t>(indices[static_cast<std::size_t>(place)]);
        const auto slot = static_cast<std::size_t>(next[column]++);
        places[slot] = place;
        row_rests[slot] = static_cast<std::int32_t>(last - place);
      }
    }
  }
};

/// Adds row `item` of G, from the diagonal on, to `sums`, which is indexed by item.
template <bool kBinary, class Index, class Sum>
void add_row(std::int64_t item, const ColumnOrder& order, std::span<const Index> indices,
             std::span<const float> values, Sum* sums) {
  const auto i = static_cast<std::size_t>(item);
  for (auto entry = order.indptr[i]; entry < order.indptr[i + 1]; ++entry) {
    const auto place = static_cast<std::size_t>(order.places[static_cast<std::size_t>(entry)]);
    const std::int32_t rest = order.row_rests[static_cast<std::size_t>(entry)];
    const Index* columns = &indices[place];
    if constexpr (kBinary) {
      for (std::int32_t k = 0; k < rest; ++k) sums[columns[k]] += Sum{1};
    } else {
      const float* weights = &values[place];
      const Sum weight = weights[0];
      for (std::int32_t k = 0; k < rest; ++k) sums[columns[k]] += weight * Sum{weights[k]};
    }
  }
}

/// Makes the worker that fills rows of the upper triangle.
///
/// 0/1 data are counted in place; weights are summed in double precision and rounded once.
template <bool kBinary, class Index, class Value>
Worker upper_triangle_worker(const Csr& x, const ColumnOrder& order, std::span<const Index> indices,
                             Value* out) {
  using Sum = std::conditional_t<kBinary, Value, double>;
  constexpr bool in_place = std::is_same_v<Sum, Value>;
  const std::int64_t n = x.cols;
  return [=, &order, sums = std::vector<Sum>(in_place ? 0 : static_cast<std::size_t>(n)),
          values = x.values](std::int64_t block, Ticker& ticker) mutable {
    const std::int64_t end = std::min(n, (block + 1) * kItemsPerBlock);
    for (std::int64_t item = block * kItemsPerBlock; item < end; ++item) {
      Value* row = out + item * n;
      if constexpr (in_place) {
        std::fill(row + item, row + n, Value{0});
        add_row<kBinary>(item, order, indices, values, row);
      } else {
        std::fill(sums.begin() + item, sums.end(), Sum{0});
        add_row<kBinary>(item, order, indices, values, sums.data());
        for (std::int64_t j = item; j < n; ++j) {
          row[j] = static_cast<Value>(sums[static_cast<std::size_t>(j)]);
        }
      }
      const auto i = static_cast<std::size_t>(item);
      ticker.advance(static_cast<double>(order.indptr[i + 1] - order.indptr[i]));
    }
  };
}

/// Copies the upper triangle onto the lower one, a square tile at a time.
template <class Value>
void mirror(Value* out, std::int64_t n, int threads, Monitor* monitor) {
  const std::int64_t tiles = (n + kMirrorTile - 1) / kMirrorTile;
  const Worker worker = [=](std::int64_t tile, Ticker& ticker) {
    const std::int64_t top = tile * kMirrorTile;
    const std::int64_t bottom = std::min(n, top + kMirrorTile);
    for (std::int64_t left = 0; left <= top; left += kMirrorTile) {
      for (std::int64_t row = top; row < bottom; ++row) {
        const std::int64_t right = std::min(row, left + kMirrorTile);
        for (std::int64_t col = left; col < right; ++col) out[row * n + col] = out[col * n + row];
      }
    }
    ticker.advance(0.0);
  };
  for_each_block(tiles, 0.0, threads, monitor, [&] { return worker; });
}

template <class Value>
void gram_of_canonical(const Csr& x, Value* out, int threads, Monitor* monitor) {
  const bool binary =
      std::all_of(x.values.begin(), x.values.end(), [](float value) { return value == 1.0F; }) &&
      x.rows <= kExactCount;
  visit_indices(x, [&]<class Index>(std::span<const Index> indices) {
    const ColumnOrder order(x, indices);
    const std::int64_t blocks = (x.cols + kItemsPerBlock - 1) / kItemsPerBlock;
    for_each_block(blocks, static_cast<double>(x.stored()), threads, monitor, [&] {
      return binary ? upper_triangle_worker<true>(x, order, indices, out)
                    : upper_triangle_worker<false>(x, order, indices, out);
    });
  });
  mirror(out, x.cols, threads, monitor);
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
  if (sorted_without_duplicates(x)) {
    gram_of_canonical(x, out.data(), threads, monitor);
  } else {
    const CanonicalCopy copy(x);
    gram_of_canonical(copy.view(x), out.data(), threads, monitor);
  }
}

template void gram<float>(const Csr&, std::span<float>, int, Monitor*);
template void gram<double>(const Csr&, std::span<double>, int, Monitor*);

}  // namespace pyhybrid
