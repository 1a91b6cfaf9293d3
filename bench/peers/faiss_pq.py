"""faiss' product quantiser, with our centroids where codes are to be compared."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import faiss
import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray


def encode(
    vectors: NDArray[np.float32], centroids: NDArray[np.float32], *, transposed: bool
) -> Callable[[], Any]:
    """Encode; `transposed` is a second layout of the centroids that faiss has other loops for."""
    quantizer = _quantizer(centroids)
    if transposed:
        quantizer.sync_transposed_centroids()
    return lambda: quantizer.compute_codes(vectors)


def encode_by_index(
    vectors: NDArray[np.float32], centroids: NDArray[np.float32]
) -> Callable[[], Any]:
    """Encode by searching each part's centroids in an exact index."""
    quantizer = _quantizer(centroids)
    index = faiss.IndexFlatL2(centroids.shape[2])
    quantizer.assign_index = index

    def run() -> NDArray[np.uint8]:
        codes = np.empty((len(vectors), quantizer.code_size), dtype=np.uint8)
        quantizer.compute_codes_with_assign_index(
            faiss.swig_ptr(vectors), faiss.swig_ptr(codes), len(vectors)
        )
        return codes

    run.index = index  # type: ignore[attr-defined]  # faiss keeps no reference
    return run


def unpacked(codes: NDArray[np.uint8], parts: int, entries: int) -> NDArray[np.uint8]:
    """Give each part a byte of its own; the lower half of a byte comes first."""
    if entries > 16:
        return codes
    return np.stack([codes & 15, codes >> 4], axis=2).reshape(len(codes), -1)[:, :parts]


def packed(codes: NDArray[np.uint8], entries: int) -> NDArray[np.uint8]:
    return codes if entries > 16 else codes[:, ::2] | codes[:, 1::2] << 4


def train(
    vectors: NDArray[np.float32], parts: int, entries: int, iterations: int
) -> Callable[[], Any]:
    def run() -> NDArray[np.float32]:
        quantizer = faiss.ProductQuantizer(vectors.shape[1], parts, (entries - 1).bit_length())
        quantizer.cp.niter = iterations
        quantizer.train(vectors)
        found = faiss.vector_to_array(quantizer.centroids)
        return found.reshape(parts, entries, vectors.shape[1] // parts)

    return run


def rotate(
    vectors: NDArray[np.float32], parts: int, entries: int
) -> Callable[[], tuple[NDArray[np.float32], NDArray[np.float32]]]:
    """Learn a rotation (to multiply rows by) and then centroids, with faiss' own settings."""

    def run() -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        size = vectors.shape[1]
        opq = faiss.OPQMatrix(size, parts)
        opq.train(vectors)
        rotation = faiss.vector_to_array(opq.A).reshape(size, size).T.copy()
        quantizer = faiss.ProductQuantizer(size, parts, (entries - 1).bit_length())
        quantizer.train(vectors @ rotation)
        centroids = faiss.vector_to_array(quantizer.centroids)
        return rotation, centroids.reshape(parts, entries, size // parts)

    return run


def search(
    queries: NDArray[np.float32],
    codes: NDArray[np.uint8],
    centroids: NDArray[np.float32],
    n: int,
    *,
    fast_scan: bool,
    implementation: int = 0,
) -> Callable[[], Any]:
    """Search; 0 lets IndexPQFastScan choose among its implementations."""
    quantizer = _quantizer(centroids)
    index = faiss.IndexPQ(quantizer.d, quantizer.M, quantizer.nbits)
    index.pq, index.is_trained = quantizer, True
    index.add_sa_codes(np.ascontiguousarray(packed(codes, centroids.shape[1])))
    searched = faiss.IndexPQFastScan(index) if fast_scan else index
    if implementation:
        searched.implem = implementation

    def run() -> tuple[NDArray[np.int32], NDArray[np.float32]]:
        distances, items = searched.search(queries, n)
        return items.astype(np.int32), distances

    return run


def _quantizer(centroids: NDArray[np.float32]) -> Any:
    parts, entries, dim = centroids.shape
    quantizer = faiss.ProductQuantizer(parts * dim, parts, (entries - 1).bit_length())
    faiss.copy_array_to_vector(np.ascontiguousarray(centroids).ravel(), quantizer.centroids)
    return quantizer
