#include <algorithm>
#include <limits>
#include <memory>
#include <utility>

#include "codebook.hpp"
#include "integers.hpp"
#include "pyhybrid/error.hpp"

namespace pyhybrid {
namespace {

/// Lloyd's iterations on one part of all vectors.
class PartTraining {
 public:
  PartTraining(const CodebookShape& shape, std::int64_t rows)
      : entries_(shape.entries),
        dim_(shape.dim),
        rows_(rows),
        book_(shape.entries, shape.dim),
        vectors_(rows * shape.dim),
        turned_(shape.dim, (rows + simd::kPoints - 1) / simd::kPoints),
        nearest_(size(rows)),
        sums_(size(shape.entries * shape.dim)),
        counts_(size(shape.entries)) {}

  /// Takes a part of vectors that are `width` long, and the centroids that they begin with; the
  /// vectors are finite once assign() has seen them.
  void take(const float* vectors, std::int64_t width, const float* centroids) {
    book_.set_origin(centroids);
    for (std::int64_t row = 0; row < rows_; ++row) {
      std::copy_n(vectors + row * width, dim_, vectors_.data() + row * dim_);
    }
    for_each_group([&](std::int64_t group, std::int64_t row, std::int64_t count) {
      turned_.take(group, vectors_.data() + row * dim_, dim_, count, book_.origin());
    });
    std::fill(nearest_.begin(), nearest_.end(), -1);
  }

  /// Moves the centroids (entries, dim); `tick` is called with how many vectors were assigned
  /// since.
  template <class Tick>
  void run(std::int64_t iterations, float* centroids, Tick tick) {
    for (std::int64_t iteration = 0; iteration < iterations; ++iteration) {
      const bool changed = assign(centroids, tick);
      if (!changed) return;
      move(centroids, tick);
    }
  }

 private:
  template <class Tick>
  bool assign(const float* centroids, Tick tick) {
    book_.take(centroids);
    bool changed = false;
    for_each_group([&](std::int64_t group, std::int64_t row, std::int64_t count) {
      std::int32_t nearest[simd::kPoints];
      book_.nearest("pq_train", turned_.points(group, 0), vectors_.data() + row * dim_, dim_, count,
                    row, nearest);
      for (std::int64_t k = 0; k < count; ++k) {
        changed |= std::exchange(nearest_[size(row + k)], nearest[k]) != nearest[k];
      }
      tick(count);
    });
    return changed;
  }

  /// Calls visit(group, first row, rows) for the groups of turned vectors.
  template <class Visit>
  void for_each_group(Visit visit) {
    for (std::int64_t group = 0; group * simd::kPoints < rows_; ++group) {
      const std::int64_t row = group * simd::kPoints;
      visit(group, row, std::min(simd::kPoints, rows_ - row));
    }
  }

  /// Moves each centroid to the mean of its vectors.
  template <class Tick>
  void move(float* centroids, Tick tick) {
    std::fill(sums_.begin(), sums_.end(), 0.0);
    std::fill(counts_.begin(), counts_.end(), 0);
    for (std::int64_t row = 0; row < rows_; ++row) {
      double* sum = &sums_[size(nearest_[size(row)] * dim_)];
      const float* vector = vectors_.data() + row * dim_;
      for (std::int64_t d = 0; d < dim_; ++d) sum[d] += vector[d];
      ++counts_[size(nearest_[size(row)])];
    }
    bool all = true;
    for (std::int64_t c = 0; c < entries_; ++c) {
      const std::int64_t count = counts_[size(c)];
      all &= count > 0;
      for (std::int64_t d = 0; count > 0 && d < dim_; ++d) {
        const double mean = sums_[size(c * dim_ + d)] / static_cast<double>(count);
        centroids[c * dim_ + d] = static_cast<float>(mean);
      }
    }
    if (!all) move_unused(centroids, tick);
  }

  /// Moves the centroids without vectors to the vectors that are farthest from their own, each to
  /// another one; those for which there is none stay.
  template <class Tick>
  void move_unused(float* centroids, Tick tick) {
    std::vector<double> distances(size(rows_));
    for (std::int64_t row = 0; row < rows_; ++row) {
      const float* centroid = centroids + nearest_[size(row)] * dim_;
      distances[size(row)] = distance(vectors_.data() + row * dim_, centroid);
    }
    for (std::int64_t c = 0; c < entries_; ++c) {
      if (counts_[size(c)] > 0) continue;
      tick(0);
      const auto farthest = std::max_element(distances.begin(), distances.end());
      if (!(*farthest > 0.0)) return;
      const float* vector = vectors_.data() + (farthest - distances.begin()) * dim_;
      std::copy_n(vector, dim_, centroids + c * dim_);
      for (std::int64_t row = 0; row < rows_; ++row) {
        if (std::equal(vector, vector + dim_, vectors_.data() + row * dim_)) {
          distances[size(row)] = 0.0;
        }
      }
    }
  }

  double distance(const float* a, const float* b) const {
    double sum = 0.0;
    for (std::int64_t d = 0; d < dim_; ++d) {
      const double gap = static_cast<double>(a[d]) - b[d];
      sum += gap * gap;
    }
    return sum;
  }

  std::int64_t entries_, dim_, rows_;
  PartCodebook book_;
  Scratch<float> vectors_;  // (rows, dim)
  TurnedVectors turned_;    // the same
  std::vector<std::int32_t> nearest_;
  std::vector<double> sums_;  // (entries, dim)
  std::vector<std::int64_t> counts_;
};

}  // namespace

void pq_train(std::span<const float> vectors, std::int64_t rows, const CodebookShape& shape,
              std::int64_t iterations, std::span<float> centroids, int threads, Monitor* monitor) {
  check_shape("pq_train", shape);
  check_size("pq_train", "vectors", vectors.size(), rows, shape.parts * shape.dim);
  check_centroids("pq_train", shape, centroids);
  if (iterations < 0) throw bad_value("pq_train", "iterations", iterations, "0 or more");
  const auto per_part = static_cast<double>(rows * iterations);
  for_each_block(
      shape.parts, per_part * static_cast<double>(shape.parts), threads, monitor, [&]() -> Worker {
        return [&, training = std::make_shared<PartTraining>(shape, rows)](std::int64_t part,
                                                                           Ticker& ticker) {
          float* own = centroids.data() + part * shape.entries * shape.dim;
          training->take(vectors.data() + part * shape.dim, shape.parts * shape.dim, own);
          double done = 0.0;
          training->run(iterations, own, [&](std::int64_t count) {
            ticker.advance(static_cast<double>(count));
            done += static_cast<double>(count);
          });
          ticker.advance(per_part - done);  // an early end counts as all
        };
      });
}

}  // namespace pyhybrid
