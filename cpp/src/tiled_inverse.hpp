// The inverse of a large symmetric matrix by BLAS on its tiles.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>

#include "pyhybrid/blas.hpp"
#include "pyhybrid/error.hpp"
#include "pyhybrid/parallel.hpp"

namespace pyhybrid {

// No BLAS call is longer than a product of two such tiles over half of one, a moment on any
// machine; larger is faster on several threads, and evenly large is faster than not
// (bench/README.md).
constexpr std::int64_t kMostTile = 4096;

/// The inverse of a symmetric positive definite matrix, in place and in tiles.
///
/// Column-major, lower triangle: element (r, c) with r >= c stands at r + c * n. Read row-major,
/// that is the upper triangle.
class TiledInverse {
 public:
  TiledInverse(float* matrix, std::int64_t n, const Blas& blas, Control& control,
               std::int64_t most = kMostTile)
      : a_(matrix),
        n_(n),
        ld_(static_cast<int>(n)),
        tile_(even_tile(n, most)),
        stretch_(std::max<std::int64_t>(1, most / 2)),
        blas_(blas),
        ticker_(control, true) {}

  static double work(std::int64_t n) {
    const auto items = static_cast<double>(n);
    return items * items * items;
  }

  /// A -> L with A = L L^T.
  void cholesky() {
    for (std::int64_t k = 0; k < n_; k += tile_) {
      factor(k);
      for (std::int64_t i = k + tile_; i < n_; i += tile_) {
        triangular(blas_.strsm, 'R', 'T', 1.0F, k, k, i, k);
      }
      for (std::int64_t j = k + tile_; j < n_; j += tile_) {
        symmetric('N', -1.0F, j, k, j);
        for (std::int64_t i = j + tile_; i < n_; i += tile_)
          product('N', 'T', -1.0F, i, k, j, k, i, j);
      }
    }
  }

  /// L -> W = L^-1, from the last column of tiles to the first: below the diagonal tile,
  /// W_j = -W_trailing L_j L_jj^-1, and within a column from the bottom up, so that each product
  /// reads tiles that are still L's.
  void invert_triangle() {
    for (std::int64_t j = last_tile(); j >= 0; j -= tile_) {
      for (std::int64_t i = last_tile(); i > j; i -= tile_) {
        triangular(blas_.strmm, 'L', 'N', 1.0F, i, i, i, j);
        for (std::int64_t k = j + tile_; k < i; k += tile_)
          product('N', 'N', 1.0F, i, k, k, j, i, j);
      }
      for (std::int64_t i = j + tile_; i < n_; i += tile_) {
        triangular(blas_.strsm, 'R', 'N', -1.0F, j, j, i, j);
      }
      int size = extent(j);
      int info = 0;
      blas_.strtri(text("L"), text("N"), &size, tile(j, j), &ld_, &info);
      advance(size, size, size, 1.0 / 3.0);
    }
  }

  /// W -> P = W^T W, from the first row of tiles to the last: row i needs rows i and below of W.
  void multiply_triangle() {
    for (std::int64_t i = 0; i < n_; i += tile_) {
      for (std::int64_t j = 0; j < i; j += tile_) {
        triangular(blas_.strmm, 'L', 'T', 1.0F, i, i, i, j);
        for (std::int64_t k = i + tile_; k < n_; k += tile_)
          product('T', 'N', 1.0F, k, i, k, j, i, j);
      }
      int size = extent(i);
      int info = 0;
      blas_.slauum(text("L"), &size, tile(i, i), &ld_, &info);
      advance(size, size, size, 1.0 / 3.0);
      for (std::int64_t k = i + tile_; k < n_; k += tile_) symmetric('T', 1.0F, k, i, i);
    }
  }

 private:
  /// Tiles as few and as even as the largest allows.
  static std::int64_t even_tile(std::int64_t n, std::int64_t most) {
    const std::int64_t tiles = (n + most - 1) / most;
    return (n + tiles - 1) / tiles;
  }

  // Fortran takes its flags by address and does not write to them.
  static char* text(const char* flag) { return const_cast<char*>(flag); }

  float* tile(std::int64_t row, std::int64_t col) { return a_ + row + col * n_; }
  int extent(std::int64_t start) const { return static_cast<int>(std::min(tile_, n_ - start)); }
  std::int64_t last_tile() const { return (n_ - 1) / tile_ * tile_; }

  void advance(int m, int n, int k, double share) {
    ticker_.advance(share * static_cast<double>(m) * static_cast<double>(n) *
                    static_cast<double>(k));
  }

  void factor(std::int64_t k) {
    int size = extent(k);
    int info = 0;
    blas_.spotrf(text("L"), &size, tile(k, k), &ld_, &info);
    for (int step = 0; info == 0 && step < size; ++step) {
      // A pivot that is not a number passes LAPACK's test for a positive one.
      if (!std::isfinite(*tile(k + step, k + step))) info = step + 1;
    }
    if (info != 0) {
      throw bad_value("esler_weights", concat("the pivot of item ", k + info - 1), "not positive",
                      "gram + l2 I to be positive definite", "raise l2, or check gram");
    }
    advance(size, size, size, 1.0 / 3.0);
  }

  /// B <- alpha op(T) B ('L') or alpha B op(T) ('R') with T the triangular tile (tr, tc), or its
  /// inverse, and B the tile (br, bc).
  template <class Routine>
  void triangular(Routine routine, char side, char trans, float alpha, std::int64_t tr,
                  std::int64_t tc, std::int64_t br, std::int64_t bc) {
    int m = extent(br);
    int n = extent(bc);
    routine(&side, text("L"), &trans, text("N"), &m, &n, &alpha, tile(tr, tc), &ld_, tile(br, bc),
            &ld_);
    advance(m, n, side == 'L' ? m : n, 1.0);
  }

  /// C += alpha op(A) op(B) for the tiles A = (ar, ac), B = (br, bc), C = (cr, cc).
  void product(char transa, char transb, float alpha, std::int64_t ar, std::int64_t ac,
               std::int64_t br, std::int64_t bc, std::int64_t cr, std::int64_t cc) {
    int m = extent(cr);
    int n = extent(cc);
    const std::int64_t length = extent(transa == 'N' ? ac : ar);
    float one = 1.0F;
    for (std::int64_t first = 0; first < length; first += stretch_) {
      int k = static_cast<int>(std::min(stretch_, length - first));
      float* a = tile(ar, ac) + first * (transa == 'N' ? n_ : 1);
      float* b = tile(br, bc) + first * (transb == 'N' ? 1 : n_);
      blas_.sgemm(&transa, &transb, &m, &n, &k, &alpha, a, &ld_, b, &ld_, &one, tile(cr, cc), &ld_);
      advance(m, n, k, 2.0);
    }
  }

  /// C += alpha A A^T ('N') or alpha A^T A ('T') for A = (ar, ac) and C the diagonal tile at c.
  void symmetric(char trans, float alpha, std::int64_t ar, std::int64_t ac, std::int64_t c) {
    int n = extent(c);
    int k = extent(trans == 'N' ? ac : ar);
    float one = 1.0F;
    blas_.ssyrk(text("L"), &trans, &n, &k, &alpha, tile(ar, ac), &ld_, &one, tile(c, c), &ld_);
    advance(n, n, k, 1.0);
  }

  float* a_;
  std::int64_t n_;
  int ld_;
  std::int64_t tile_;
  std::int64_t stretch_;  // the inner dimension of one product
  const Blas& blas_;
  Ticker ticker_;
};

}  // namespace pyhybrid
