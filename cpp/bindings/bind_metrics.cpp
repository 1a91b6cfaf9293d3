#include <string>
#include <vector>

#include "bind.hpp"
#include "pyhybrid/metrics.hpp"

namespace pyhybrid::bindings {
namespace {

std::vector<Metric> parse(const std::string& who, const std::vector<std::string>& names) {
  std::vector<Metric> metrics;
  metrics.reserve(names.size());
  for (const auto& name : names) metrics.push_back(parse_metric(who, name));
  return metrics;
}

Array<double> rate_rankings(const Array<std::int32_t>& items, const HeldCsr& targets,
                            const std::vector<std::string>& names, int threads,
                            const py::object& progress) {
  const auto metrics = parse("ranking_metrics", names);
  Array<double> out({static_cast<py::ssize_t>(metrics.size()), py::ssize_t{targets.view.rows}});
  const auto target = write(out);
  run(progress, [&](Monitor* monitor) {
    ranking_metrics(read(items), items.shape(0), items.shape(1), targets.view, metrics, target,
                    threads, monitor);
  });
  return out;
}

Array<double> rate_scores(const Array<float>& scores, const HeldCsr& targets,
                          const HeldCsr* exclude, const std::vector<std::string>& names,
                          int threads, const py::object& progress) {
  const auto metrics = parse("score_metrics", names);
  Array<double> out({static_cast<py::ssize_t>(metrics.size()), py::ssize_t{targets.view.rows}});
  const auto target = write(out);
  run(progress, [&](Monitor* monitor) {
    score_metrics(read(scores), targets.view, exclude == nullptr ? nullptr : &exclude->view,
                  metrics, target, threads, monitor);
  });
  return out;
}

}  // namespace

void bind_metrics(py::module_& m) {
  m.def(
      "cutoff",
      [](const std::string& who, const std::string& name) { return parse_metric(who, name).k; },
      py::arg("who"), py::arg("metric"));
  m.def("ranking_metrics", &rate_rankings, py::arg("items").noconvert(), py::arg("targets"),
        py::arg("metrics"), py::arg("threads"), py::arg("progress"));
  m.def("score_metrics", &rate_scores, py::arg("scores").noconvert(), py::arg("targets"),
        py::arg("exclude"), py::arg("metrics"), py::arg("threads"), py::arg("progress"));
}

}  // namespace pyhybrid::bindings
