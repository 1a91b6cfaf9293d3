#include <string>

#include "bind.hpp"
#include "pyhybrid/simd.hpp"

namespace pyhybrid::bindings {
namespace {

Indices indices_of(const py::array& array, const char* name) {
  if (py::isinstance<Array<std::int32_t>>(array)) return read(Array<std::int32_t>(array));
  if (py::isinstance<Array<std::int64_t>>(array)) return read(Array<std::int64_t>(array));
  throw py::type_error(std::string(name) + " has dtype " +
                       py::str(array.dtype()).cast<std::string>() +
                       "; expected contiguous int32 or int64");
}

}  // namespace

HeldCsr::HeldCsr(std::int64_t rows, std::int64_t cols, py::array indptr_, py::array indices_,
                 const std::optional<Array<float>>& values_)
    : indptr(std::move(indptr_)),
      indices(std::move(indices_)),
      values(values_),
      view{rows, cols, indices_of(indptr, "indptr"), indices_of(indices, "indices"),
           values ? read(*values) : std::span<const float>()} {}

bool PythonMonitor::poll(double fraction) {
  const auto now = std::chrono::steady_clock::now();
  if (now < next_) return true;
  next_ = now + std::chrono::milliseconds(50);
  const py::gil_scoped_acquire acquire;
  try {
    if (PyErr_CheckSignals() != 0) throw py::error_already_set();
    if (!progress_.is_none()) progress_(fraction);
    return true;
  } catch (py::error_already_set& error) {
    error_.emplace(error);
    return false;
  }
}

void PythonMonitor::rethrow() const {
  if (error_) throw *error_;
  throw Stopped();
}

void bind_arrays(py::module_& m) {
  py::class_<HeldCsr>(m, "Csr").def(py::init<std::int64_t, std::int64_t, py::array, py::array,
                                             const std::optional<Array<float>>&>(),
                                    py::arg("rows"), py::arg("cols"), py::arg("indptr").noconvert(),
                                    py::arg("indices").noconvert(),
                                    py::arg("values").noconvert() = py::none());
  m.def(
      "check",
      [](const HeldCsr& matrix, const std::string& who, const std::string& what) {
        check(matrix.view, who, what);
      },
      py::arg("matrix"), py::arg("who"), py::arg("what"), py::call_guard<py::gil_scoped_release>());
  m.def("simd_level", &simd_level);
  m.def("resolve_threads", &resolve_threads, py::arg("threads"));
}

}  // namespace pyhybrid::bindings
