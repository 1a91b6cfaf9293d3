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
/// `inverse_diagonal`: (items), where P_jj go, so that P = (I - B) diag(P_jj) is known too; or
/// empty. Work: items^3 floating-point operations (Cholesky, triangular inverse, and their
/// product), in square tiles, a BLAS call or two a tile: no LAPACK routine ever sees more than a
/// tile, and the monitor is asked between any two. Memory beside `matrix`: `items` floats. The
/// calls into `blas` come from the calling thread, and run on `threads` threads of that library (0:
/// no more than it uses now), which other callers in this process feel meanwhile (the first of
/// several calls at once decides); on its own number of threads if
/// `blas` can't say how to set it. Between numbers of threads weights agree to 1e-6 relative.
///
/// Throws std::invalid_argument if l2 is not positive and finite, if an array has another size, or
/// if G + l2 I is not positive definite (then `matrix` is left half-way); Stopped if the monitor
/// says so.
void esler_weights(std::span<float> matrix, std::int64_t items, double l2, const Blas& blas,
                   int threads = 0, Monitor* monitor = nullptr,
                   std::span<float> inverse_diagonal = {});

}  // namespace pyhybrid
