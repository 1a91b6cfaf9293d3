#include "pyhybrid/esler.hpp"

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "pyhybrid/error.hpp"

namespace pyhybrid {
namespace {

constexpr std::int64_t kTile = 2048;  // large enough for BLAS-3 at full speed, well under a second
constexpr std::int64_t kScaleTile = 64;  // a tile and its mirror image stay in the L1 cache
constexpr std::int64_t kMaxItems = 1 << 30;

/// The inverse of a symmetric positive definite matrix, in place and in tiles.
///
/// Column-major, lower triangle: element (r, c) with r >= c stands at r + c * n. Read row-major,
/// that is the upper triangle.
class TiledInverse {
 public:
  TiledInverse(float* matrix, std::int64_t n, const Blas& blas, Control& control)
      : a_(matrix), n_(n), ld_(static_cast<int>(n)), blas_(blas), ticker_(control, true) {}

  static double work(std::int64_t n) {
    const auto items = static_cast<double>(n);
    return items * items * items;
  }

  /// A -> L with A = L L^T.
  void cholesky() {
    for (std::int64_t k = 0; k < n_; k += kTile) {
      factor(k);
      for (std::int64_t i = k + kTile; i < n_; i += kTile) {
        triangular(blas_.strsm, 'R', 'T', 1.0F, k, k, i, k);
      }
      for (std::int64_t j = k + kTile; j < n_; j += kTile) {
        symmetric('N', -1.0F, j, k, j);
        for (std::int64_t i = j + kTile; i < n_; i += kTile)
          product('N', 'T', -1.0F, i, k, j, k, i, j);
      }
    }
  }

  /// L -> W = L^-1, from the last column of tiles to the first: below the diagonal tile,
  /// W_j = -W_trailing L_j L_jj^-1, and within a column from the bottom up, so that each product
  /// reads tiles that are still L's.
  void invert_triangle() {
    for (std::int64_t j = last_tile(); j >= 0; j -= kTile) {
      for (std::int64_t i = last_tile(); i > j; i -= kTile) {
        triangular(blas_.strmm, 'L', 'N', 1.0F, i, i, i, j);
        for (std::int64_t k = j + kTile; k < i; k += kTile)
          product('N', 'N', 1.0F, i, k, k, j, i, j);
      }
      for (std::int64_t i = j + kTile; i < n_; i += kTile) {
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
    for (std::int64_t i = 0; i < n_; i += kTile) {
      for (std::int64_t j = 0; j < i; j += kTile) {
        triangular(blas_.strmm, 'L', 'T', 1.0F, i, i, i, j);
        for (std::int64_t k = i + kTile; k < n_; k += kTile)
          product('T', 'N', 1.0F, k, i, k, j, i, j);
      }
      int size = extent(i);
      int info = 0;
      blas_.slauum(text("L"), &size, tile(i, i), &ld_, &info);
      advance(size, size, size, 1.0 / 3.0);
      for (std::int64_t k = i + kTile; k < n_; k += kTile) symmetric('T', 1.0F, k, i, i);
    }
  }

 private:
  // Fortran takes its flags by address and does not write to them.
  static char* text(const char* flag) { return const_cast<char*>(flag); }

  float* tile(std::int64_t row, std::int64_t col) { return a_ + row + col * n_; }
  int extent(std::int64_t start) const { return static_cast<int>(std::min(kTile, n_ - start)); }
  std::int64_t last_tile() const { return (n_ - 1) / kTile * kTile; }

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
    int k = extent(transa == 'N' ? ac : ar);
    float one = 1.0F;
    blas_.sgemm(&transa, &transb, &m, &n, &k, &alpha, tile(ar, ac), &ld_, tile(br, bc), &ld_, &one,
                tile(cr, cc), &ld_);
    advance(m, n, k, 2.0);
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
  const Blas& blas_;
  Ticker ticker_;
};

/// P's upper triangle (row-major) -> B, both triangles: B_ij = -P_ij / P_jj, B_jj = 0.
void weights_from_inverse(float* p, std::int64_t n, int threads, Monitor* monitor) {
  std::vector<float> diagonal(static_cast<std::size_t>(n));
  for (std::int64_t i = 0; i < n; ++i) diagonal[static_cast<std::size_t>(i)] = p[i * n + i];
  const float* d = diagonal.data();
  const Worker worker = [=](std::int64_t tile, Ticker& ticker) {
    const std::int64_t top = tile * kScaleTile;
    const std::int64_t bottom = std::min(n, top + kScaleTile);
    for (std::int64_t left = top; left < n; left += kScaleTile) {
      for (std::int64_t i = top; i < bottom; ++i) {
        const std::int64_t right = std::min(n, left + kScaleTile);
        for (std::int64_t j = std::max(left, i + 1); j < right; ++j) {
          const float p_ij = p[i * n + j];
          // 0 - x, not -x: items that share nobody get +0.
          p[i * n + j] = 0.0F - p_ij / d[j];
          p[j * n + i] = 0.0F - p_ij / d[i];
        }
      }
    }
    for (std::int64_t i = top; i < bottom; ++i) p[i * n + i] = 0.0F;
    ticker.advance(0.0);
  };
  for_each_block((n + kScaleTile - 1) / kScaleTile, 0.0, threads, monitor, [&] { return worker; });
}

}  // namespace

void esler_weights(std::span<float> matrix, std::int64_t items, double l2, const Blas& blas,
                   int threads, Monitor* monitor) {
  if (!(static_cast<float>(l2) > 0.0F) || !std::isfinite(static_cast<float>(l2))) {
    throw bad_value("esler_weights", "l2", l2, "a positive number that float32 can hold");
  }
  if (items < 0 || items > kMaxItems) {
    throw bad_value("esler_weights", "items", items, concat("0 to ", kMaxItems));
  }
  if (static_cast<std::int64_t>(matrix.size()) != items * items) {
    throw bad_value("esler_weights", "gram's size", matrix.size(),
                    concat("items x items = ", items * items));
  }
  for (std::int64_t i = 0; i < items; ++i) {
    float& g = matrix[static_cast<std::size_t>(i * items + i)];
    g = static_cast<float>(g + l2);
  }
  Control control(monitor, TiledInverse::work(items));
  if (items > 0) {
    TiledInverse inverse(matrix.data(), items, blas, control);
    inverse.cholesky();
    inverse.invert_triangle();
    inverse.multiply_triangle();
  }
  weights_from_inverse(matrix.data(), items, threads, monitor);
}

}  // namespace pyhybrid
