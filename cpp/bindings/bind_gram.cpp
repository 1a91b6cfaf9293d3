#include "bind.hpp"
#include "pyhybrid/gram.hpp"

namespace pyhybrid::bindings {
namespace {

template <class Value>
void bind(py::module_& m) {
  m.def(
      "gram",
      [](const HeldCsr& x, Array<Value>& out, int threads, const py::object& progress) {
        const auto target = write(out);
        run(progress, [&](Monitor* monitor) { gram(x.view, target, threads, monitor); });
      },
      py::arg("x"), py::arg("out").noconvert(), py::arg("threads"), py::arg("progress"));
}

}  // namespace

void bind_gram(py::module_& m) {
  bind<float>(m);
  bind<double>(m);
}

}  // namespace pyhybrid::bindings
