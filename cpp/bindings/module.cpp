#include "bind.hpp"

PYBIND11_MODULE(_core, m, pybind11::mod_gil_not_used()) {
  m.doc() = "The core's kernels over bare arrays; pyhybrid.kernels is the documented interface.";
  namespace bindings = pyhybrid::bindings;
  bindings::bind_arrays(m);
  bindings::bind_gram(m);
  bindings::bind_esler(m);
  bindings::bind_top_n(m);
  bindings::bind_metrics(m);
  bindings::bind_pq(m);
}
