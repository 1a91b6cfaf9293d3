// Matrices that own their arrays, and monitors, for the tests.
#pragma once

#include <cstdint>
#include <random>
#include <thread>
#include <vector>

#include "pyhybrid/csr.hpp"
#include "pyhybrid/parallel.hpp"

template <class Pointer = std::int32_t, class Index = std::int32_t>
struct Matrix {
  std::int64_t rows, cols;
  std::vector<Pointer> indptr;
  std::vector<Index> indices;
  std::vector<float> values;  // empty for a pattern

  pyhybrid::Csr view() const {
    return {rows, cols, std::span<const Pointer>(indptr), std::span<const Index>(indices), values};
  }

  std::vector<double> dense() const {
    std::vector<double> out(rows * cols);
    for (std::int64_t row = 0; row < rows; ++row)
      for (auto p = indptr[row]; p < indptr[row + 1]; ++p)
        out[row * cols + indices[p]] += values.empty() ? 1.0 : values[p];
    return out;
  }
};

/// Up to `most` entries a row, in any order, with duplicates; small integers, or ones.
template <class Pointer = std::int32_t, class Index = std::int32_t>
Matrix<Pointer, Index> random_matrix(std::int64_t rows, std::int64_t cols, int most,
                                     bool weighted = true, unsigned seed = 0) {
  std::mt19937 random(seed);
  Matrix<Pointer, Index> x{rows, cols, {0}, {}, {}};
  for (std::int64_t row = 0; row < rows; ++row) {
    for (int left = cols ? static_cast<int>(random() % (most + 1)) : 0; left > 0; --left) {
      x.indices.push_back(static_cast<Index>(random() % cols));
      x.values.push_back(weighted ? static_cast<float>(random() % 5) - 2.0f : 1.0f);
    }
    x.indptr.push_back(static_cast<Pointer>(x.indices.size()));
  }
  return x;
}

/// `count` small integers.
inline std::vector<float> random_floats(std::int64_t count, unsigned seed = 0) {
  std::mt19937 random(seed);
  std::vector<float> out(count);
  for (float& value : out) value = static_cast<float>(random() % 5) - 2.0f;
  return out;
}

/// Lets a kernel run for `allowed` polls, and notes what it is told.
struct Watch : pyhybrid::Monitor {
  explicit Watch(int polls = 1 << 30) : allowed(polls) {}

  bool poll(double fraction) override {
    sound = sound && fraction >= last && fraction <= 1.0 && std::this_thread::get_id() == caller;
    last = fraction;
    return ++polls <= allowed;
  }

  int allowed, polls = 0;
  double last = 0.0;
  bool sound = true;  // fractions rise within 0 .. 1, on the calling thread alone
  std::thread::id caller = std::this_thread::get_id();
};
