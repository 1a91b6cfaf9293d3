#include <dlfcn.h>

#include <algorithm>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "bind.hpp"
#include "pyhybrid/esler.hpp"

namespace pyhybrid::bindings {
namespace {

/// The C signature that SciPy wrote into a capsule's name, with Cython's own type names undone.
std::string plain_signature(std::string_view name) {
  std::string plain;
  for (std::size_t at = 0; at < name.size();) {
    const std::size_t alias = name.find("__pyx_t_", at);
    plain += name.substr(at, alias - at);
    if (alias == std::string_view::npos) break;
    plain += "float";  // ..._s, the only alias in single-precision routines
    at = std::min(name.find(' ', alias), name.size());
  }
  return plain;
}

template <class Function>
void fetch(Function& function, const py::module_& module, const char* name,
           const std::string& signature) {
  const py::capsule capsule = module.attr("__pyx_capi__")[name];
  if (plain_signature(capsule.name()) != signature) {
    throw py::import_error(std::string("pyhybrid: SciPy's ") + name + " has the signature '" +
                           capsule.name() + "'; expected '" + signature +
                           "'; install a SciPy whose BLAS has 32-bit integers");
  }
  function = reinterpret_cast<Function>(PyCapsule_GetPointer(capsule.ptr(), capsule.name()));
}

/// The function `name` in the library that holds `inside`, or in one that it was linked against;
/// null if there is none.
template <class Function>
Function find_beside(const void* inside, const char* name) {
  Dl_info library;
  if (dladdr(inside, &library) == 0) return nullptr;
  void* handle = dlopen(library.dli_fname, RTLD_LAZY | RTLD_NOLOAD);
  if (handle == nullptr) return nullptr;
  void* function = dlsym(handle, name);
  dlclose(handle);
  return reinterpret_cast<Function>(function);
}

/// OpenBLAS' number of threads, under the names that its builds go by; left null for another BLAS.
void fetch_threads(Blas& blas) {
  const auto* inside = reinterpret_cast<const void*>(blas.sgemm);
  for (const std::string prefix : {"scipy_openblas", "openblas"}) {
    const auto get =
        find_beside<decltype(blas.get_threads)>(inside, (prefix + "_get_num_threads").c_str());
    const auto set =
        find_beside<decltype(blas.set_threads)>(inside, (prefix + "_set_num_threads").c_str());
    if (get == nullptr || set == nullptr) continue;
    blas.get_threads = get;
    blas.set_threads = set;
    return;
  }
}

/// The BLAS and LAPACK that SciPy's own linear algebra runs on, so that the wheel bundles none.
Blas scipy_blas() {
  const auto blas_module = py::module_::import("scipy.linalg.cython_blas");
  const auto lapack_module = py::module_::import("scipy.linalg.cython_lapack");
  const std::string c = "char *, ";
  const std::string i = "int *, ";
  const std::string s = "float *, ";
  Blas blas{};
  fetch(blas.sgemm, blas_module, "sgemm",
        "void (" + c + c + i + i + i + s + s + i + s + i + s + s + "int *)");
  fetch(blas.ssyrk, blas_module, "ssyrk", "void (" + c + c + i + i + s + s + i + s + s + "int *)");
  fetch(blas.strsm, blas_module, "strsm",
        "void (" + c + c + c + c + i + i + s + s + i + s + "int *)");
  fetch(blas.strmm, blas_module, "strmm",
        "void (" + c + c + c + c + i + i + s + s + i + s + "int *)");
  fetch(blas.spotrf, lapack_module, "spotrf", "void (" + c + i + s + i + "int *)");
  fetch(blas.strtri, lapack_module, "strtri", "void (" + c + c + i + s + i + "int *)");
  fetch(blas.slauum, lapack_module, "slauum", "void (" + c + i + s + i + "int *)");
  fetch_threads(blas);
  return blas;
}

}  // namespace

void bind_esler(py::module_& m) {
  m.def(
      "esler_weights",
      [](Array<float>& matrix, double l2, std::optional<Array<float>>& inverse_diagonal,
         int threads, const py::object& progress) {
        const Blas blas = scipy_blas();
        const std::int64_t items = matrix.ndim() == 2 ? matrix.shape(0) : -1;
        const auto target = write(matrix);
        const auto diagonal = inverse_diagonal ? write(*inverse_diagonal) : std::span<float>{};
        run(progress, [&](Monitor* monitor) {
          esler_weights(target, items, l2, blas, threads, monitor, diagonal);
        });
      },
      py::arg("matrix").noconvert(), py::arg("l2"), py::arg("inverse_diagonal").noconvert(),
      py::arg("threads"), py::arg("progress"));
}

}  // namespace pyhybrid::bindings
