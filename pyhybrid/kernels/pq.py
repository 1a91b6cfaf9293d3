"""Product quantisation: vectors to codes of a few bytes, and what can be computed from codes.

H. Jegou, M. Douze, C. Schmid, "Product quantization for nearest neighbor search" (PAMI 2011).
`pyhybrid.ProductQuantizer` is the model around these functions. Centroids, and tables that codes
look rows up in, are float32 (parts, entries, dim of a part); codes are uint8 (rows, parts).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from pyhybrid.checks import check_dense, count, running
from pyhybrid.errors import describe
from pyhybrid.kernels.core import _core
from pyhybrid.memory import require_memory

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pyhybrid.kernels.core import Progress, TopN

__all__ = ["pq_decode", "pq_encode", "pq_lookup", "pq_lookup_gradient", "pq_search", "pq_train"]

_FEWER_ROWS = "pass fewer rows at a time"


def pq_train(
    vectors: NDArray[np.float32],
    start: NDArray[np.float32],
    *,
    iterations: int = 25,
    threads: int = 0,
    progress: Progress | None = None,
) -> NDArray[np.float32]:
    """Fit each part's centroids by k-means, from given ones on (Lloyd's algorithm).

    A centroid that is nobody's nearest moves to the vector that is farthest from its own. Ends
    early once no vector changes its centroid. Means are float64, over the vectors in order. The
    threads share out the parts, and each holds a part of all vectors.

    Args:
        vectors: C-contiguous float32 (rows, parts x dim of a part).
        start: C-contiguous float32 (parts, entries, dim of a part); at most 256 entries. Vectors
            that were drawn at random serve well.
        iterations: At most so many.
        threads: 0 for all that this process may use.
        progress: Called with the share done.

    Returns:
        The centroids, as `start`, which is left as it is.

    Raises:
        TypeError: If a dtype or layout is not as above.
        ValueError: If shapes disagree, or a vector or centroid is nan, infinite or huge (1e19).

    >>> vectors = np.array([[0.0], [0.2], [5.0], [5.2]], dtype=np.float32)
    >>> pq_train(vectors, np.array([[[0.0], [0.2]]], dtype=np.float32)).round(3)
    array([[[0.1],
            [5.1]]], dtype=float32)
    """
    _check_vectors("pq_train", "vectors", vectors, "start", start)
    iterations = count("pq_train", "iterations", iterations, least=0)
    centroids = start.copy()
    _core.pq_train(vectors, centroids, iterations, *running("pq_train", threads, progress))
    return centroids


def pq_encode(
    vectors: NDArray[np.float32],
    centroids: NDArray[np.float32],
    *,
    threads: int = 0,
    progress: Progress | None = None,
) -> NDArray[np.uint8]:
    """Name each part of each vector by its nearest centroid.

    The nearest by distances in float64, ties to the lowest: float32 decides where it can't err, so
    that codes are the same at every level of SIMD too.

    Args:
        vectors: C-contiguous float32 (rows, parts x dim of a part).
        centroids: C-contiguous float32 (parts, entries, dim of a part); at most 256 entries.
        threads: 0 for all that this process may use.
        progress: Called with the share done.

    Returns:
        Codes, uint8 (rows, parts).

    Raises:
        TypeError: If a dtype or layout is not as above.
        ValueError: If shapes disagree, or a vector or centroid is nan, infinite or huge (1e19).

    >>> centroids = np.array([[[0.0], [1.0]], [[5.0], [6.0]]], dtype=np.float32)
    >>> pq_encode(np.array([[0.9, 5.2], [0.5, 7.0]], dtype=np.float32), centroids)
    array([[1, 0],
           [0, 1]], dtype=uint8)
    """
    _check_vectors("pq_encode", "vectors", vectors, "centroids", centroids)
    return _core.pq_encode(vectors, centroids, *running("pq_encode", threads, progress))


def pq_decode(
    codes: NDArray[np.uint8],
    centroids: NDArray[np.float32],
    *,
    threads: int = 0,
    progress: Progress | None = None,
) -> NDArray[np.float32]:
    """Put the centroids that codes name together again: float32 (rows, parts x dim of a part).

    Raises:
        TypeError: If `codes` is not uint8 or `centroids` not float32, or one not C-contiguous.
        ValueError: If shapes disagree, or a code names no centroid.

    >>> centroids = np.array([[[0.0], [1.0]], [[5.0], [6.0]]], dtype=np.float32)
    >>> pq_decode(np.array([[1, 0], [0, 1]], dtype=np.uint8), centroids)
    array([[1., 5.],
           [0., 6.]], dtype=float32)
    """
    _check_codes("pq_decode", codes, "centroids", centroids)
    size = f"{len(codes)} rows"
    needed = 4 * len(codes) * centroids.shape[0] * centroids.shape[2]
    require_memory("pq_decode", size, needed, "the vectors", _FEWER_ROWS)
    return _core.pq_decode(codes, centroids, *running("pq_decode", threads, progress))


def pq_search(
    queries: NDArray[np.float32],
    codes: NDArray[np.uint8],
    centroids: NDArray[np.float32],
    n: int,
    *,
    similarity: str = "distance",
    threads: int = 0,
    progress: Progress | None = None,
) -> TopN:
    """Find the n codes whose vectors are nearest to each query, which is not quantised itself.

    Asymmetric distances (section III of the paper): for each query and part a table of its
    distance to each centroid, of which a code's entries are summed in float32 in order of the
    parts. The result is that of all these sums, ties to the lower row of `codes`: tables of bytes,
    summed for 64 codes at once, only rule out codes that can't be among the best.

    Args:
        queries: C-contiguous float32 (rows, parts x dim of a part).
        codes: C-contiguous uint8 (codes, parts).
        centroids: C-contiguous float32 (parts, entries, dim of a part); at most 256 entries, 16 or
            fewer are searched sooner.
        n: Codes a query, 1 or more; may exceed the number of codes.
        similarity: "distance", squared, least first; or "product", largest first.
        threads: 0 for all that this process may use.
        progress: Called with the share done.

    Returns:
        Rows of `codes` int32 (rows, n) and their distances or products float32 (rows, n), best
        first; where there are fewer codes, -1 with inf or -inf.

    Raises:
        TypeError: If a dtype or layout is not as above.
        ValueError: If shapes disagree, a code names no centroid, or a query or centroid is nan,
            infinite or huge (1e19).

    >>> centroids = np.array([[[0.0], [1.0]], [[5.0], [6.0]]], dtype=np.float32)
    >>> codes = np.array([[0, 0], [0, 1], [1, 1]], dtype=np.uint8)
    >>> pq_search(np.array([[0.0, 7.0]], dtype=np.float32), codes, centroids, 2)
    (array([[1, 2]], dtype=int32), array([[1., 2.]], dtype=float32))
    """
    _check_vectors("pq_search", "queries", queries, "centroids", centroids)
    _check_codes("pq_search", codes, "centroids", centroids)
    if similarity not in ("distance", "product"):
        raise ValueError(describe("pq_search", "similarity", repr(similarity), _SIMILARITIES))
    n = count("pq_search", "n", n)
    product = similarity == "product"
    options = running("pq_search", threads, progress)
    return _core.pq_search(queries, codes, centroids, n, product, *options)


def pq_lookup(
    table: NDArray[np.float32],
    codes: NDArray[np.uint8],
    *,
    mean: bool = False,
    threads: int = 0,
    progress: Progress | None = None,
) -> NDArray[np.float32]:
    """Sum, for each code, the rows of a table that its parts name.

    Row i is the sum over p of table[p, codes[i, p]], in float32 and in order of the parts.

    Args:
        table: C-contiguous float32 (parts, entries, dim); at most 256 entries.
        codes: C-contiguous uint8 (rows, parts).
        mean: The mean over the parts in place of the sum.
        threads: 0 for all that this process may use.
        progress: Called with the share done.

    Returns:
        float32 (rows, dim).

    Raises:
        TypeError: If a dtype or layout is not as above.
        ValueError: If shapes disagree, or a code names no entry.

    >>> table = np.array([[[1.0], [2.0]], [[10.0], [20.0]]], dtype=np.float32)
    >>> pq_lookup(table, np.array([[0, 1], [1, 1]], dtype=np.uint8))
    array([[21.],
           [22.]], dtype=float32)
    """
    _check_codes("pq_lookup", codes, "table", table)
    needed = 4 * len(codes) * table.shape[2]
    require_memory("pq_lookup", f"{len(codes)} rows", needed, "the sums", _FEWER_ROWS)
    scale = 1.0 / len(table) if mean else 1.0
    return _core.pq_lookup(table, codes, scale, *running("pq_lookup", threads, progress))


def pq_lookup_gradient(
    gradient: NDArray[np.float32],
    codes: NDArray[np.uint8],
    entries: int,
    *,
    mean: bool = False,
    threads: int = 0,
    progress: Progress | None = None,
) -> NDArray[np.float32]:
    """Compute the gradient of `pq_lookup` with respect to its table.

    Entry (p, c) is the sum of the rows of `gradient` whose code's part p is c, in float32 and in
    order of the rows.

    Args:
        gradient: C-contiguous float32 (rows, dim), with respect to the sums.
        codes: C-contiguous uint8 (rows, parts).
        entries: Entries a part of the table, 1 to 256.
        mean: Whether the means were taken.
        threads: 0 for all that this process may use.
        progress: Called with the share done.

    Returns:
        float32 (parts, entries, dim).

    Raises:
        TypeError: If a dtype or layout is not as above.
        ValueError: If shapes disagree, or a code names no entry.

    >>> gradient = np.array([[1.0], [3.0]], dtype=np.float32)
    >>> pq_lookup_gradient(gradient, np.array([[0, 1], [1, 1]], dtype=np.uint8), 2)
    array([[[1.],
            [3.]],
    <BLANKLINE>
           [[0.],
            [4.]]], dtype=float32)
    """
    who = "pq_lookup_gradient"
    check_dense(who, "gradient", gradient, np.float32)
    check_dense(who, "codes", codes, np.uint8)
    if len(gradient) != len(codes):
        expected = f"{len(codes)}, as many as codes"
        raise ValueError(describe(who, "number of gradient's rows", len(gradient), expected))
    scale = 1.0 / max(codes.shape[1], 1) if mean else 1.0
    entries = count(who, "entries", entries)
    options = running(who, threads, progress)
    return _core.pq_lookup_gradient(gradient, codes, entries, scale, *options)


_SIMILARITIES = '"distance" or "product"'


def _check_vectors(
    who: str, what: str, vectors: NDArray[Any], named: str, centroids: NDArray[Any]
) -> None:
    check_dense(who, what, vectors, np.float32)
    check_dense(who, named, centroids, np.float32, dimensions=3)
    parts, _, dim = centroids.shape
    if vectors.shape[1] != parts * dim:
        expected = f"{parts * dim}, as {named} has {parts} parts of {dim}"
        raise ValueError(describe(who, f"number of {what}' columns", vectors.shape[1], expected))


def _check_codes(who: str, codes: NDArray[Any], named: str, entries: NDArray[Any]) -> None:
    check_dense(who, named, entries, np.float32, dimensions=3)
    check_dense(who, "codes", codes, np.uint8)
    if codes.shape[1] != len(entries):
        expected = f"{len(entries)}, the number of parts of {named}"
        raise ValueError(describe(who, "number of codes' columns", codes.shape[1], expected))
