#include "bind.hpp"
#include "pyhybrid/score_factors.hpp"
#include "pyhybrid/top_n.hpp"

namespace pyhybrid::bindings {
namespace {

using Among = std::optional<Array<std::int32_t>>;

Restriction restriction_of(const HeldCsr* exclude, const Among& among) {
  Restriction restriction;
  if (exclude != nullptr) restriction.exclude = &exclude->view;
  if (among) {
    const std::int64_t rows = among->ndim() == 1 ? 1 : among->shape(0);
    restriction.among = AllowList{read(*among), rows, among->shape(among->ndim() - 1)};
  }
  return restriction;
}

/// Allocates the ranking of `rows` rows, has `kernel(out, monitor)` fill it, and returns it.
template <class Kernel>
py::tuple rank(std::int64_t rows, std::int64_t n, const py::object& progress, Kernel&& kernel) {
  const std::int64_t width = n < 1 ? 0 : n;  // the kernel refuses n < 1
  Array<std::int32_t> items({rows, width});
  Array<float> scores({rows, width});
  const RankingOut out{n, write(items), write(scores)};
  run(progress, [&](Monitor* monitor) { kernel(out, monitor); });
  return py::make_tuple(items, scores);
}

py::tuple top_n_of_histories(const HeldCsr& histories, const Array<float>& weights, std::int64_t n,
                             const HeldCsr* exclude, const Among& among, int threads,
                             const py::object& progress) {
  return rank(histories.view.rows, n, progress, [&](const RankingOut& out, Monitor* monitor) {
    top_n(histories.view, read(weights), weights.shape(1), restriction_of(exclude, among), out,
          threads, monitor);
  });
}

py::tuple top_n_of_factors(const Array<float>& users, const Array<float>& items, std::int64_t n,
                           const HeldCsr* exclude, const Among& among, int threads,
                           const py::object& progress) {
  const std::int64_t rows = users.shape(0);
  return rank(rows, n, progress, [&](const RankingOut& out, Monitor* monitor) {
    top_n_factors(read(users), read(items), rows, items.shape(0), users.shape(1),
                  restriction_of(exclude, among), out, threads, monitor);
  });
}

py::tuple top_n_of_scores(const Array<float>& scores, std::int64_t n, const HeldCsr* exclude,
                          const Among& among, int threads, const py::object& progress) {
  const std::int64_t rows = scores.shape(0);
  return rank(rows, n, progress, [&](const RankingOut& out, Monitor* monitor) {
    top_n_scores(read(scores), rows, scores.shape(1), restriction_of(exclude, among), out, threads,
                 monitor);
  });
}

Array<float> scores_of_factors(const Array<float>& users, const Array<float>& items, int threads,
                               const py::object& progress) {
  const std::int64_t rows = users.shape(0);
  Array<float> scores({rows, std::int64_t{items.shape(0)}});
  run(progress, [&](Monitor* monitor) {
    score_factors(read(users), read(items), rows, items.shape(0), users.shape(1), write(scores),
                  threads, monitor);
  });
  return scores;
}

}  // namespace

void bind_top_n(py::module_& m) {
  m.def("top_n", &top_n_of_histories, py::arg("histories"), py::arg("weights").noconvert(),
        py::arg("n"), py::arg("exclude"), py::arg("among").noconvert(), py::arg("threads"),
        py::arg("progress"));
  m.def("top_n_factors", &top_n_of_factors, py::arg("users").noconvert(),
        py::arg("items").noconvert(), py::arg("n"), py::arg("exclude"),
        py::arg("among").noconvert(), py::arg("threads"), py::arg("progress"));
  m.def("score_factors", &scores_of_factors, py::arg("users").noconvert(),
        py::arg("items").noconvert(), py::arg("threads"), py::arg("progress"));
  m.def("top_n_scores", &top_n_of_scores, py::arg("scores").noconvert(), py::arg("n"),
        py::arg("exclude"), py::arg("among").noconvert(), py::arg("threads"), py::arg("progress"));
}

}  // namespace pyhybrid::bindings
