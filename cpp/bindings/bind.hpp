// From Python objects to what the core reads, and back. No algorithms.
#pragma once

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <chrono>
#include <cstdint>
#include <optional>
#include <span>
#include <utility>

#include "pyhybrid/csr.hpp"
#include "pyhybrid/parallel.hpp"
#include "pyhybrid/top_n.hpp"

namespace pyhybrid::bindings {

namespace py = pybind11;

template <class T>
using Array = py::array_t<T, py::array::c_style>;

void bind_arrays(py::module_& m);
void bind_gram(py::module_& m);
void bind_esler(py::module_& m);
void bind_top_n(py::module_& m);
void bind_metrics(py::module_& m);
void bind_pq(py::module_& m);

template <class T>
std::span<const T> read(const Array<T>& array) {
  return {array.data(), static_cast<std::size_t>(array.size())};
}

template <class T>
std::span<T> write(Array<T>& array) {
  return {array.mutable_data(), static_cast<std::size_t>(array.size())};
}

/// A Csr that keeps its arrays alive.
struct HeldCsr {
  HeldCsr(std::int64_t rows, std::int64_t cols, py::array indptr, py::array indices,
          const std::optional<Array<float>>& values);

  py::array indptr;
  py::array indices;
  std::optional<Array<float>> values;
  Csr view;
};

/// Turns Ctrl-C and an exception of the `progress` callable into a stop of the kernel.
class PythonMonitor : public Monitor {
 public:
  explicit PythonMonitor(py::object progress) : progress_(std::move(progress)) {}

  bool poll(double fraction) override;
  void rethrow() const;

 private:
  py::object progress_;  // None, or callable with a float
  std::chrono::steady_clock::time_point next_{};
  std::optional<py::error_already_set> error_;
};

/// Runs `kernel(monitor)` with the GIL released.
template <class Kernel>
void run(const py::object& progress, Kernel&& kernel) {
  PythonMonitor monitor(progress);
  try {
    const py::gil_scoped_release release;
    kernel(&monitor);
  } catch (const Stopped&) {
    monitor.rethrow();
  }
}

}  // namespace pyhybrid::bindings
