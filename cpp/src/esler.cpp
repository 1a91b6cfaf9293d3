#include "pyhybrid/esler.hpp"

#include <algorithm>
#include <cmath>
#include <mutex>
#include <optional>
#include <vector>

#include "mirror.hpp"
#include "pyhybrid/error.hpp"
#include "tiled_inverse.hpp"

namespace pyhybrid {
namespace {

constexpr std::int64_t kMaxItems = 1 << 30;

/// Holds a BLAS library to a number of threads while any of these lives, whoever made it first.
class BlasThreads {
 public:
  /// `threads` = 0 stands for no more than the library uses now, nor than resolve_threads says.
  BlasThreads(const Blas& blas, int threads) {
    const int wanted = resolve_threads(threads);
    const std::lock_guard lock(mutex_);
    if (users_++ > 0) return;
    before_ = blas.get_threads();
    restore_ = blas.set_threads;
    blas.set_threads(threads == 0 ? std::min(wanted, before_) : wanted);
  }
  ~BlasThreads() {
    const std::lock_guard lock(mutex_);
    if (--users_ == 0) restore_(before_);
  }
  BlasThreads(const BlasThreads&) = delete;
  BlasThreads& operator=(const BlasThreads&) = delete;

 private:
  // The library's number of threads is one for the process, and so is who changed it.
  inline static std::mutex mutex_;
  inline static int users_ = 0;
  inline static int before_ = 1;
  inline static void (*restore_)(int) = nullptr;
};

/// P's upper triangle (row-major) -> B, both triangles: B_ij = -P_ij / P_jj, B_jj = 0.
/// Returns P's diagonal.
std::vector<float> weights_from_inverse(float* p, std::int64_t n, int threads, Control& control) {
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
  return diagonal;
}

}  // namespace

void esler_weights(std::span<float> matrix, std::int64_t items, double l2, const Blas& blas,
                   int threads, Monitor* monitor, std::span<float> inverse_diagonal) {
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
  if (!inverse_diagonal.empty() && static_cast<std::int64_t>(inverse_diagonal.size()) != items) {
    throw bad_value("esler_weights", "inverse_diagonal's size", inverse_diagonal.size(),
                    concat("items = ", items));
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
  const auto diagonal = weights_from_inverse(matrix.data(), items, threads, control);
  if (!inverse_diagonal.empty()) std::ranges::copy(diagonal, inverse_diagonal.begin());
}

}  // namespace pyhybrid
