#include "pyhybrid/esler.hpp"

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <cmath>
#include <mutex>
#include <optional>
#include <thread>
#include <utility>
#include <vector>

#include "mirror.hpp"
#include "pyhybrid/error.hpp"
#include "scratch.hpp"

namespace pyhybrid {
namespace {

// With threads of our own over one-threaded BLAS: large enough for BLAS at full speed, small enough
// that all threads have work. With BLAS' own threads: large enough to share out.
constexpr std::int64_t kTile = 512;
constexpr std::int64_t kSharedTile = 2048;
constexpr std::int64_t kMaxItems = 1 << 30;

/// Holds a BLAS library to one thread a call while any of these lives, whichever thread made it.
class OneBlasThread {
 public:
  explicit OneBlasThread(const Blas& blas) : blas_(blas) {
    const std::lock_guard lock(mutex_);
    if (users_++ == 0) {
      before_ = blas_.get_threads();
      blas_.set_threads(1);
    }
  }
  ~OneBlasThread() {
    const std::lock_guard lock(mutex_);
    if (--users_ == 0) blas_.set_threads(before_);
  }
  OneBlasThread(const OneBlasThread&) = delete;
  OneBlasThread& operator=(const OneBlasThread&) = delete;

 private:
  const Blas& blas_;
  // The library's number of threads is one for the process, and so is who changed it.
  inline static std::mutex mutex_;
  inline static int users_ = 0;
  inline static int before_ = 1;
};

/// Which steps of a task list are done. Tasks are handed out in order and wait for earlier ones.
class Progress {
 public:
  explicit Progress(std::int64_t steps) : done_(static_cast<std::size_t>(steps)) {}

  void finish(std::int64_t step) { done_[static_cast<std::size_t>(step)] = true; }

  /// Returns when the step is done; throws Stopped if the call is to end or another thread failed.
  void wait(std::int64_t step, Ticker& ticker) const {
    for (int turn = 0; !done_[static_cast<std::size_t>(step)]; ++turn) {
      ticker.advance(0.0);
      if (failed_) throw Stopped();
      if (turn < 100) {
        std::this_thread::yield();
      } else {
        std::this_thread::sleep_for(std::chrono::microseconds(50));
      }
    }
  }

  void fail() { failed_ = true; }

 private:
  std::vector<std::atomic<bool>> done_;
  std::atomic<bool> failed_{false};
};

/// The inverse of a symmetric positive definite matrix, in place and in tiles.
///
/// Column-major, lower triangle: element (r, c) with r >= c stands at r + c * n. Read row-major,
/// that is the upper triangle. A tile is named by its row and column of tiles. Each task computes
/// one tile by long products over everything left of it or below it: BLAS is at its best there, and
/// every tile is written once.
class TiledInverse {
 public:
  TiledInverse(float* matrix, std::int64_t n, std::int64_t tile, const Blas& blas, int threads,
               Control& control)
      : a_(matrix),
        n_(n),
        ld_(static_cast<int>(n)),
        tile_(tile),
        tiles_((n + tile - 1) / tile),
        blas_(blas),
        threads_(threads),
        control_(control) {}

  static double work(std::int64_t n) {
    const auto items = static_cast<double>(n);
    return items * items * items;
  }

  /// A -> L with A = L L^T, by columns of tiles from the left:
  /// L_ij = (A_ij - sum_{k<j} L_ik L_jk^T) L_jj^-T.
  void cholesky() {
    std::vector<std::pair<std::int64_t, std::int64_t>> tasks;
    for (std::int64_t j = 0; j < tiles_; ++j) {
      for (std::int64_t i = j; i < tiles_; ++i) tasks.emplace_back(i, j);
    }
    Progress progress(tiles_ * tiles_);
    run(static_cast<std::int64_t>(tasks.size()), progress, [&](std::int64_t task, Ticker& ticker) {
      const auto [i, j] = tasks[static_cast<std::size_t>(task)];
      for (std::int64_t k = 0; k < j; ++k) {
        progress.wait(i * tiles_ + k, ticker);
        progress.wait(j * tiles_ + k, ticker);
      }
      if (i == j) {
        symmetric(-1.0F, at(j, 0), j * tile_, at(j, j), extent(j));
        factor(j);
      } else {
        product('N', 'T', -1.0F, at(i, 0), ld_, at(j, 0), ld_, 1.0F, at(i, j), extent(i), extent(j),
                j * tile_);
        progress.wait(j * tiles_ + j, ticker);
        divide(at(i, j), ld_, extent(i), 'T', j);
      }
      progress.finish(i * tiles_ + j);
      const double rows = static_cast<double>(extent(i)) * (i == j ? 0.5 : 1.0);
      ticker.advance(rows * extent(j) * (2.0 * static_cast<double>(j * tile_) + extent(j)));
    });
  }

  /// L -> P = A^-1, by columns of tiles from the right. With t the tiles after column i, and
  /// S = L_ti L_ii^-1 (kept aside, as it is read until its place is full):
  /// P_ti = -P_tt S,  P_ii = L_ii^-T L_ii^-1 - S^T P_ti.
  /// Tiles on the diagonal are filled on both sides.
  void invert() {
    struct Task {
      std::int64_t row, col;
      bool aside;  // whether it sets L's tile aside, or computes P's
    };
    std::vector<Task> tasks;
    for (std::int64_t i = tiles_ - 1; i >= 0; --i) {
      for (std::int64_t k = i + 1; k < tiles_; ++k) tasks.push_back({k, i, true});
      for (std::int64_t k = tiles_ - 1; k >= i; --k) tasks.push_back({k, i, false});
    }
    // Two columns at most are under way at once.
    for (auto& column : aside_) column.reserve(n_ * tile_);
    Progress progress(2 * tiles_ * tiles_);
    run(static_cast<std::int64_t>(tasks.size()), progress, [&](std::int64_t task, Ticker& ticker) {
      const auto [k, i, aside] = tasks[static_cast<std::size_t>(task)];
      if (aside) {
        set_aside(k, i, progress, ticker);
      } else {
        for (std::int64_t l = i + 1; l < tiles_; ++l) progress.wait(aside_step(l, i), ticker);
        if (k == i) {
          for (std::int64_t l = i + 1; l < tiles_; ++l) progress.wait(step(l, i), ticker);
          invert_diagonal(i);
        } else {
          for (std::int64_t l = i + 1; l < tiles_; ++l) {
            progress.wait(l <= k ? step(k, l) : step(l, k), ticker);
          }
          multiply(k, i);
        }
        const double rows = static_cast<double>(extent(k)) * (k == i ? 0.5 : 1.0);
        ticker.advance(2.0 * rows * extent(i) * static_cast<double>(n_ - i * tile_));
      }
      progress.finish(aside ? aside_step(k, i) : step(k, i));
    });
  }

 private:
  // Fortran takes its flags by address and does not write to them.
  static char* text(const char* flag) { return const_cast<char*>(flag); }

  float* at(std::int64_t row, std::int64_t col) { return a_ + row * tile_ + col * tile_ * n_; }
  float* aside(std::int64_t row, std::int64_t col) { return aside_[col % 2].data() + row * tile_; }
  int extent(std::int64_t t) const {
    return static_cast<int>(std::min(tile_, n_ - t * tile_));
  }
  std::int64_t step(std::int64_t row, std::int64_t col) const { return row * tiles_ + col; }
  std::int64_t aside_step(std::int64_t row, std::int64_t col) const {
    return tiles_ * tiles_ + step(row, col);
  }

  template <class Perform>
  void run(std::int64_t tasks, Progress& progress, Perform perform) {
    for_each_block(tasks, threads_, control_, [&]() -> Worker {
      return [&](std::int64_t task, Ticker& ticker) {
        try {
          perform(task, ticker);
        } catch (...) {
          progress.fail();
          throw;
        }
      };
    });
  }

  /// Copies L's tile (k, i) times L_ii^-1 to the column kept aside, once the column before last, of
  /// which it takes the place, is no longer read.
  void set_aside(std::int64_t k, std::int64_t i, const Progress& progress, Ticker& ticker) {
    if (i + 2 < tiles_) {
      for (std::int64_t l = i + 2; l < tiles_; ++l) progress.wait(step(l, i + 2), ticker);
    }
    for (std::int64_t c = 0; c < extent(i); ++c) {
      const float* from = at(k, i) + c * n_;
      std::copy(from, from + extent(k), aside(k, i) + c * n_);
    }
    divide(aside(k, i), ld_, extent(k), 'N', i);
  }

  /// P_ki = -sum_{l>i} P_kl S_l, where P_kl stands as such up to the diagonal, transposed below it.
  void multiply(std::int64_t k, std::int64_t i) {
    const std::int64_t left = (k - i - 1) * tile_ + extent(k);
    product('N', 'N', -1.0F, at(k, i + 1), ld_, aside(i + 1, i), ld_, 0.0F, at(k, i), extent(k),
            extent(i), left);
    if (k + 1 == tiles_) return;
    product('T', 'N', -1.0F, at(k + 1, k), ld_, aside(k + 1, i), ld_, 1.0F, at(k, i), extent(k),
            extent(i), n_ - (k + 1) * tile_);
  }

  void invert_diagonal(std::int64_t i) {
    int size = extent(i);
    int info = 0;
    float* tile = at(i, i);
    blas_.strtri(text("L"), text("N"), &size, tile, &ld_, &info);
    blas_.slauum(text("L"), &size, tile, &ld_, &info);
    if (i + 1 < tiles_) {
      product('T', 'N', -1.0F, aside(i + 1, i), ld_, at(i + 1, i), ld_, 1.0F, tile, size, size,
              n_ - (i + 1) * tile_);
    }
    for (std::int64_t c = 1; c < size; ++c) {
      for (std::int64_t r = 0; r < c; ++r) tile[r + c * n_] = tile[c + r * n_];
    }
  }

  void factor(std::int64_t j) {
    int size = extent(j);
    int info = 0;
    float* tile = at(j, j);
    blas_.spotrf(text("L"), &size, tile, &ld_, &info);
    for (int k = 0; info == 0 && k < size; ++k) {
      // A pivot that is not a number passes LAPACK's test for a positive one.
      if (!std::isfinite(tile[k + k * n_])) info = k + 1;
    }
    if (info != 0) {
      throw bad_value("esler_weights", concat("the pivot of item ", j * tile_ + info - 1),
                      "not positive", "gram + l2 I to be positive definite",
                      "raise l2, or check gram");
    }
  }

  /// B <- B op(L_ii)^-1 for B of so many rows.
  void divide(float* b, int ldb, int rows, char trans, std::int64_t i) {
    int cols = extent(i);
    float one = 1.0F;
    blas_.strsm(text("R"), text("L"), &trans, text("N"), &rows, &cols, &one, at(i, i), &ld_, b,
                &ldb);
  }

  /// C <- alpha op(A) op(B) + beta C, with C of m x n and op(A) of m x k, at the matrix's stride.
  void product(char transa, char transb, float alpha, float* a, int lda, float* b, int ldb,
               float beta, float* c, int m, int n, std::int64_t k) {
    int inner = static_cast<int>(k);
    if (inner == 0) return;  // only ever with beta = 1
    blas_.sgemm(&transa, &transb, &m, &n, &inner, &alpha, a, &lda, b, &ldb, &beta, c, &ld_);
  }

  /// C += alpha A A^T, the lower triangle, with A of n x k.
  void symmetric(float alpha, float* a, std::int64_t k, float* c, int n) {
    int inner = static_cast<int>(k);
    float one = 1.0F;
    if (inner == 0) return;
    blas_.ssyrk(text("L"), text("N"), &n, &inner, &alpha, a, &ld_, &one, c, &ld_);
  }

  float* a_;
  std::int64_t n_;
  int ld_;
  std::int64_t tile_;
  std::int64_t tiles_;
  const Blas& blas_;
  int threads_;
  Control& control_;
  std::array<Scratch<float>, 2> aside_;  // (n, tile), column-major: S of the last two columns
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

void invert(float* matrix, std::int64_t n, const Blas& blas, int threads, Control& control) {
  std::optional<OneBlasThread> held;
  const bool ours = blas.get_threads != nullptr && blas.set_threads != nullptr;
  if (ours) held.emplace(blas);
  TiledInverse inverse(matrix, n, ours ? kTile : kSharedTile, blas, ours ? threads : 1, control);
  inverse.cholesky();
  inverse.invert();
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
  if (items > 0) invert(matrix.data(), items, blas, threads, control);
  weights_from_inverse(matrix.data(), items, threads, control);
}

}  // namespace pyhybrid
