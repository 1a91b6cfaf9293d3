// The Gram matrix of behaviour: which items the same users share.
#pragma once

#include <span>

#include "pyhybrid/csr.hpp"
#include "pyhybrid/parallel.hpp"

namespace pyhybrid {

/// Writes G = X^T X for X of shape (users, items), both triangles.
///
/// `x`: with values; a bare pattern is refused.
/// `out`: (items, items), row-major, overwritten.
/// Work: sum over users of n_u (n_u + 1) / 2 additions, each pair once; of 0/1 data the pairs
/// among the most popular items are counted on bitmaps, 64 users at once. Memory beside
/// `out`: 10 bytes a stored entry (12 above 65,535 items), 4 more and 8 a user if rows are unsorted
/// or name an item twice, up to 16 bytes an item and thread, 20 an item, and for the bitmaps at
/// most 6 a stored entry. Accumulator: integers for 0/1 data of at most 2^24 users, which float
/// then holds exactly, else double, rounded once. Row i is summed over its users in ascending
/// order, so that the result is the same bits for any number of threads; 0/1 data add exactly over
/// shards of users. Throws std::invalid_argument as check() and resolve_threads() do, or if `out`
/// has another size; Stopped if the monitor says so.
template <class Value>  // float or double
void gram(const Csr& x, std::span<Value> out, int threads = 0, Monitor* monitor = nullptr);

extern template void gram<float>(const Csr&, std::span<float>, int, Monitor*);
extern template void gram<double>(const Csr&, std::span<double>, int, Monitor*);

}  // namespace pyhybrid
