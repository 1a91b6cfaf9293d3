#include "pyhybrid/esler.hpp"

#include <algorithm>
#include <cmath>
#include <mutex>
#include <optional>
#include <vector>

#include "mirror.hpp"
#include "pyhybrid/error.hpp"

namespace pyhybrid {
namespace {

// No BLAS call is longer than a product of two such tiles with half of one, a moment on any
// machine; larger is faster on several threads, and evenly large is faster than not
// (bench/README.md).
constexpr std::int64_t kMostTile = 4096;
constexpr std::int64_t kStretch = kMostTile / 2;
constexpr std::int64_t kMaxItems = 1 << 30;

/// Holds a BLAS library to a number of threads while any of these lives, whoever made it first.
class BlasThreads {
 public:
  /// `threads` = 0 stands for no more than the library uses now, nor than resolve_threads says.
  BlasThreads(const Blas& blas, int threads) : blas_(blas) {
    const int wanted = resolve_threads(threads);
    const std::lock_guard lock(mutex_);
    if (users_++ > 0) return;
    before_ = blas_.get_threads();
    blas_.set_threads(threads == 0 ? std::min(wanted, before_) : wanted);
  }
  ~BlasThreads() {
    const std::lock_guard lock(mutex_);
    if (--users_ == 0) blas_.set_threads(before_);
  }
  BlasThreads(const BlasThreads&) = delete;
  BlasThreads& operator=(const BlasThreads&) = delete;

 private:
  const Blas& blas_;
  // The library's number of threads is one for the process, and so is who changed it.
  inline static std::mutex mutex_;
  inline static int users_ = 0;
  inline static int before_ = 1;
};

/// The inverse of a symmetric positive definite matrix, in place and in tiles.
///
/// Column-major, lower triangle: element (r, c) with r >= c stands at r + c * n. Read row-major,
/// that is the upper triangle.
class TiledInverse {
 public:
  TiledInverse(float* matrix, std::int64_t n, const Blas& blas, Control& control)
      : a_(matrix),
        n_(n),
        ld_(static_cast<int>(n)),
        tile_(even_tile(n)),
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
  static std::int64_t even_tile(std::int64_t n) {
    const std::int64_t tiles = (n + kMostTile - 1) / kMostTile;
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
    for (std::int64_t first = 0; first < length; first += kStretch) {
      int k = static_cast<int>(std::min(kStretch, length - first));
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
  const Blas& blas_;
  Ticker ticker_;
};

/// P's upper triangle (row-major) -> B, both triangles: B_ij = -P_ij / P_jj, B_jj = 0.
void weights_from_inverse(float* p, std::int64_t n, int threads, Control& control) {
  std::vector<float> diagonal(static_cast<std::size_t>(n));
  for (std::int64_t i = 0; i < n; ++i) diagonal[static_cast<std::size_t>(i)] = p[i * n + i];
  const float* d = diagonal.data();
  // 0 - x, not -x: items that share nobody get +0.
  for_each_block((n + kBand - 1) / kBand, threads, control, [&]() -> Worker {
    return [=](std::int64_t band, Ticker& ticker) {
      const std::int64_t first = band * kBand;
      const std::int64_t end = std::min(n, first + kBand);
      mirror_band(p, n, first, end);
      for (std::int64_t i = first; i < end; ++i) {
        for (std::int64_t j = i; j < n; ++j) p[i * n + j] = 0.0F - p[i * n + j] / d[j];
      }
      ticker.advance(0.0);
    };
  });
  // By now column i of the lower triangle holds P_ij: its row's turn.
  for_each_block((n + kBand - 1) / kBand, threads, control, [&]() -> Worker {
    return [=](std::int64_t band, Ticker& ticker) {
      const std::int64_t end = std::min(n, (band + 1) * kBand);
      for (std::int64_t i = band * kBand; i < end; ++i) {
        for (std::int64_t j = 0; j < i; ++j) p[i * n + j] = 0.0F - p[i * n + j] / d[j];
        p[i * n + i] = 0.0F;
      }
      ticker.advance(0.0);
    };
  });
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
    std::optional<BlasThreads> held;
    if (blas.get_threads != nullptr && blas.set_threads != nullptr) held.emplace(blas, threads);
    TiledInverse inverse(matrix.data(), items, blas, control);
    inverse.cholesky();
    inverse.invert_triangle();
    inverse.multiply_triangle();
  }
  weights_from_inverse(matrix.data(), items, threads, control);
}

}  // namespace pyhybrid
