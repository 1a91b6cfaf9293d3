// ESLER, the literature's EASE^R: item-to-item weights in closed form.
#pragma once

#include <cstdint>
#include <span>

#include "pyhybrid/blas.hpp"
#include "pyhybrid/parallel.hpp"

namespace pyhybrid {

/// Turns a Gram matrix into ESLER's weights, in place.
///
/// With P = (G + l2 I)^-1:  B_ij = -P_ij / P_jj for i != j,  B_jj = 0   (Steck, WWW 2019, eq. 8).
///
/// `matrix`: (items, items), row-major; G on entry (the upper triangle alone is read), B on exit.
/// Work: items^3 floating-point operations (Cholesky, and the inverse from it), in square tiles:
/// no LAPACK routine ever sees more than a tile, and the monitor is asked between any two. Memory
/// beside `matrix`: 1,025 floats an item, and what `blas` takes.
///
/// Tiles are computed on `threads` threads with `blas` held to one thread a call for that time,
/// which other callers of that library in this process feel; the result is then the same bits for
/// any number of threads. If `blas` can't say how many threads it uses, one thread calls it and it
/// uses its own.
///
/// Throws std::invalid_argument if l2 is not positive and finite, if `matrix` has another size, or
/// if G + l2 I is not positive definite (then `matrix` is left half-way); Stopped if the monitor
/// says so.
void esler_weights(std::span<float> matrix, std::int64_t items, double l2, const Blas& blas,
                   int threads = 0, Monitor* monitor = nullptr);

}  // namespace pyhybrid
