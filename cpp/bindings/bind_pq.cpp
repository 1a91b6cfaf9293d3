#include "bind.hpp"
#include "pyhybrid/pq.hpp"

namespace pyhybrid::bindings {
namespace {

using Codes = Array<std::uint8_t>;

/// Of centroids or a table, (parts, entries, dim).
CodebookShape shape_of(const Array<float>& entries) {
  return {entries.shape(0), entries.shape(1), entries.shape(2)};
}

void train(const Array<float>& vectors, Array<float>& centroids, std::int64_t iterations,
           int threads, const py::object& progress) {
  const auto target = write(centroids);
  run(progress, [&](Monitor* monitor) {
    pq_train(read(vectors), vectors.shape(0), shape_of(centroids), iterations, target, threads,
             monitor);
  });
}

Codes encode(const Array<float>& vectors, const Array<float>& centroids, int threads,
             const py::object& progress) {
  Codes codes({vectors.shape(0), centroids.shape(0)});
  const auto target = write(codes);
  run(progress, [&](Monitor* monitor) {
    pq_encode(read(vectors), vectors.shape(0), shape_of(centroids), read(centroids), target,
              threads, monitor);
  });
  return codes;
}

Array<float> decode(const Codes& codes, const Array<float>& centroids, int threads,
                    const py::object& progress) {
  Array<float> vectors({codes.shape(0), centroids.shape(0) * centroids.shape(2)});
  const auto target = write(vectors);
  run(progress, [&](Monitor* monitor) {
    pq_decode(read(codes), codes.shape(0), shape_of(centroids), read(centroids), target, threads,
              monitor);
  });
  return vectors;
}

py::tuple search(const Array<float>& queries, const Codes& codes, const Array<float>& centroids,
                 std::int64_t n, bool product, int threads, const py::object& progress) {
  const std::int64_t rows = queries.shape(0), width = n < 1 ? 0 : n;  // the kernel refuses n < 1
  Array<std::int32_t> items({rows, width});
  Array<float> scores({rows, width});
  const RankingOut out{n, write(items), write(scores)};
  const auto similarity = product ? Similarity::product : Similarity::distance;
  run(progress, [&](Monitor* monitor) {
    pq_search(read(queries), rows, read(codes), codes.shape(0), shape_of(centroids),
              read(centroids), similarity, out, threads, monitor);
  });
  return py::make_tuple(items, scores);
}

Array<float> lookup(const Array<float>& table, const Codes& codes, float scale, int threads,
                    const py::object& progress) {
  Array<float> sums({codes.shape(0), table.shape(2)});
  const auto target = write(sums);
  run(progress, [&](Monitor* monitor) {
    pq_lookup(read(table), shape_of(table), read(codes), codes.shape(0), scale, target, threads,
              monitor);
  });
  return sums;
}

Array<float> lookup_gradient(const Array<float>& gradient, const Codes& codes, std::int64_t entries,
                             float scale, int threads, const py::object& progress) {
  const CodebookShape shape{codes.shape(1), entries, gradient.shape(1)};
  Array<float> table({shape.parts, shape.entries, shape.dim});
  const auto target = write(table);
  run(progress, [&](Monitor* monitor) {
    pq_lookup_gradient(read(gradient), read(codes), codes.shape(0), shape, scale, target, threads,
                       monitor);
  });
  return table;
}

}  // namespace

void bind_pq(py::module_& m) {
  m.def("pq_train", &train, py::arg("vectors").noconvert(), py::arg("centroids").noconvert(),
        py::arg("iterations"), py::arg("threads"), py::arg("progress"));
  m.def("pq_encode", &encode, py::arg("vectors").noconvert(), py::arg("centroids").noconvert(),
        py::arg("threads"), py::arg("progress"));
  m.def("pq_decode", &decode, py::arg("codes").noconvert(), py::arg("centroids").noconvert(),
        py::arg("threads"), py::arg("progress"));
  m.def("pq_search", &search, py::arg("queries").noconvert(), py::arg("codes").noconvert(),
        py::arg("centroids").noconvert(), py::arg("n"), py::arg("product"), py::arg("threads"),
        py::arg("progress"));
  m.def("pq_lookup", &lookup, py::arg("table").noconvert(), py::arg("codes").noconvert(),
        py::arg("scale"), py::arg("threads"), py::arg("progress"));
  m.def("pq_lookup_gradient", &lookup_gradient, py::arg("gradient").noconvert(),
        py::arg("codes").noconvert(), py::arg("entries"), py::arg("scale"), py::arg("threads"),
        py::arg("progress"));
}

}  // namespace pyhybrid::bindings
