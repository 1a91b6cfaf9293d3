"""The core's kernels as functions: checked arguments in, NumPy arrays out.

What all of them share:

- Inputs are never converted in silence: another dtype or layout is a TypeError that names the
  right one. CSR inputs may have int32 or int64 indices, rows in any order, and entries that
  stand twice (they count with their sum).
- ``threads=0`` means OMP_NUM_THREADS if set, else the smaller of the CPUs that this process may
  run on and its container's CPU quota. Results are the same bits for every number of threads
  (`esler_weights`, which stands on BLAS, to 1e-6 relative).
- ``progress`` is called from time to time with the share of the work that is done, 0.0 to 1.0.
- The GIL is released while a kernel runs, and Ctrl-C stops it within a second.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from pyhybrid.checks import check_dense, check_dtype, check_out, count, positive
from pyhybrid.errors import describe
from pyhybrid.memory import require_memory

try:
    from pyhybrid import _core
except ImportError as error:
    raise ImportError(
        "pyhybrid's C++ core (pyhybrid._core) can't be loaded. In a source folder install it "
        "first: pip install -c constraints.txt -e . ; a wheel must be used from outside the "
        f"source folder ({error})"
    ) from error

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import TypeAlias

    from numpy.typing import NDArray
    from scipy.sparse import csc_array, csc_matrix, csr_array, csr_matrix

    CSR: TypeAlias = csr_array[Any] | csr_matrix[Any]
    Progress: TypeAlias = Callable[[float], object]
    TopN: TypeAlias = tuple[NDArray[np.int32], NDArray[np.float32]]

__all__ = [
    "esler_weights",
    "gram",
    "largest_cutoff",
    "ranking_metrics",
    "score_metrics",
    "top_n",
    "top_n_factors",
    "top_n_scores",
]

_FEWER_ITEMS = "use fewer items (min_count=) or a larger machine"


def gram(
    x: CSR | csc_array[Any] | csc_matrix[Any],
    *,
    dtype: type[np.float32 | np.float64] = np.float32,
    out: NDArray[Any] | None = None,
    threads: int = 0,
    progress: Progress | None = None,
) -> NDArray[Any]:
    """Compute the Gram matrix X^T X of behaviour as a dense matrix.

    For 0/1 data entry (i, j) is the number of users that have both items: exact in float32 up to
    16.7 million users, and additive bit for bit over shards of users. Weights are summed in
    float64 and rounded once.

    One items x items matrix: 1.6 GB in float32 at 20,000 items. Time: the sum over users of
    n_u (n_u + 1) / 2 multiply-adds, n_u being the user's number of items.

    Args:
        x: float32 CSR (users, items). A CSC is turned into a CSR first, which takes its size again.
        dtype: float32 or float64, of the result.
        out: C-contiguous (items, items) array to write to, in place of a new one.
        threads: 0 for all that this process may use.
        progress: Called with the share done.

    Returns:
        (items, items), `out` if that was given.

    Raises:
        TypeError: If `x` is no float32 CSR or CSC, or `out` has the wrong dtype or layout.
        ValueError: If a value is not finite, or an index is out of range.
        MemoryError: If the matrix won't fit.

    >>> from scipy.sparse import csr_array
    >>> x = csr_array(np.array([[1, 1, 0], [1, 0, 1]], dtype=np.float32))
    >>> gram(x)
    array([[2., 1., 1.],
           [1., 1., 0.],
           [1., 0., 1.]], dtype=float32)
    """
    held = _csr("gram", "x", x.tocsr() if getattr(x, "format", None) == "csc" else x)
    items = int(x.shape[1])
    if np.dtype(dtype) not in (np.dtype(np.float32), np.dtype(np.float64)):
        raise TypeError(describe("gram", "dtype", np.dtype(dtype), "float32 or float64"))
    if out is None:
        needed = items * items * np.dtype(dtype).itemsize
        require_memory("gram", f"{items} items", needed, "the Gram matrix", _FEWER_ITEMS)
        out = np.empty((items, items), dtype)
    check_out("gram", out, (items, items), dtype)
    _core.gram(held, out, threads, progress)
    return out


def esler_weights(
    gram: NDArray[np.float32],
    l2: float,
    *,
    overwrite: bool = False,
    out: NDArray[np.float32] | None = None,
    threads: int = 0,
    progress: Progress | None = None,
) -> NDArray[np.float32]:
    """Solve for ESLER's item-to-item weights from a Gram matrix.

    With P = (G + l2 I)^-1: B[i, j] = -P[i, j] / P[j, j] for i != j, and B[j, j] = 0 (Steck,
    "Embarrassingly Shallow Autoencoders for Sparse Data", WWW 2019, eq. 8). Column j holds the
    ridge regression of item j on all other items; negative weights are kept.

    Time: items^3 floating-point operations in float32, by Cholesky in tiles. Memory: with
    ``overwrite=True`` none beside `gram` itself, else one more items x items array.

    Args:
        gram: C-contiguous float32 (items, items), symmetric; one triangle is read.
        l2: The regularisation added to the diagonal, in units of `gram`. Positive.
        overwrite: Solve within `gram`, whose content is lost, also if the solve fails.
        out: Array like `gram` to write to, in place of a new one.
        threads: Of the core's own loops. The solve runs on as many threads as SciPy's BLAS does
            (OPENBLAS_NUM_THREADS, threadpoolctl).
        progress: Called with the share done.

    Returns:
        float32 (items, items): `gram` itself with ``overwrite=True``, `out` if that was given.

    Raises:
        TypeError: If `gram` or `out` is not a C-contiguous float32 matrix.
        ValueError: If `l2` is not positive, or gram + l2 I is not positive definite.
        MemoryError: If the copy won't fit.

    >>> x = np.array([[1, 1, 0], [1, 1, 1]], dtype=np.float32)
    >>> esler_weights(x.T @ x, l2=1.0).round(3)
    array([[0. , 0.6, 0.2],
           [0.6, 0. , 0.2],
           [0.2, 0.2, 0. ]], dtype=float32)
    """
    check_dense("esler_weights", "gram", gram, np.float32)
    items = gram.shape[0]
    if gram.shape != (items, items):
        raise ValueError(describe("esler_weights", "gram's shape", gram.shape, "(items, items)"))
    if overwrite:
        if out is not None:
            raise ValueError(
                describe("esler_weights", "out", "given", "None with overwrite=True", "pass one")
            )
        out = gram
    elif out is None:
        needed = gram.nbytes
        require_memory(
            "esler_weights", f"{items} items", needed, "the weights", "pass overwrite=True"
        )
        out = np.empty_like(gram)
    check_out("esler_weights", out, gram.shape, np.float32)
    l2 = positive("esler_weights", "l2", l2)
    if out is not gram:
        np.copyto(out, gram)
    _core.esler_weights(out, l2, threads, progress)
    return out


def top_n(
    histories: CSR,
    weights: NDArray[np.float32],
    n: int,
    *,
    exclude: CSR | None = None,
    among: NDArray[np.int32] | None = None,
    threads: int = 0,
    progress: Progress | None = None,
) -> TopN:
    """Rank the best n items of histories @ weights, block by block.

    The rows x items score matrix never exists. Ties go to the lower item index. What is excluded
    is excluded by item, never by a score, so that a row with fewer candidates than `n` ends in
    item -1 with score -inf.

    Args:
        histories: float32 CSR (rows, items).
        weights: C-contiguous float32 (items, items).
        n: Items a row, 1 or more; may exceed the number of items.
        exclude: CSR (rows, items) whose stored entries, whatever their value, are never returned
            in that row; the histories themselves, to leave out what was seen.
        among: The allowed items: int32 (allowed,) for all rows, or int32 (rows, allowed) padded
            with -1. None allows all.
        threads: 0 for all that this process may use.
        progress: Called with the share done.

    Returns:
        items int32 (rows, n) and scores float32 (rows, n), best first.

    Raises:
        TypeError: If a dtype or layout is not as above.
        ValueError: If shapes disagree, an index is out of range, or a candidate's score is nan.

    >>> from scipy.sparse import csr_array
    >>> histories = csr_array(np.array([[1, 0, 0], [0, 1, 0]], dtype=np.float32))
    >>> weights = np.array([[0, 0.6, 0.2], [0.6, 0, 0.2], [0.2, 0.2, 0]], dtype=np.float32)
    >>> items, scores = top_n(histories, weights, 3, exclude=histories)
    >>> items
    array([[ 1,  2, -1],
           [ 0,  2, -1]], dtype=int32)
    """
    held = _csr("top_n", "histories", histories)
    check_dense("top_n", "weights", weights, np.float32)
    items = int(histories.shape[1])
    if weights.shape != (items, items):
        expected = f"(items, items) = {(items, items)}, as histories has {items} columns"
        raise ValueError(describe("top_n", "weights' shape", weights.shape, expected))
    restriction = _restriction("top_n", exclude, among)
    return _core.top_n(held, weights, count("top_n", "n", n), *restriction, threads, progress)


def top_n_factors(
    users: NDArray[np.float32],
    items: NDArray[np.float32],
    n: int,
    *,
    exclude: CSR | None = None,
    among: NDArray[np.int32] | None = None,
    threads: int = 0,
    progress: Progress | None = None,
) -> TopN:
    """Rank the best n items by the inner product of user and item vectors.

    Args:
        users: C-contiguous float32 (rows, dim).
        items: C-contiguous float32 (items, dim).
        n: Items a row.
        exclude: As in `top_n`.
        among: As in `top_n`.
        threads: 0 for all that this process may use.
        progress: Called with the share done.

    Returns:
        items int32 (rows, n) and scores float32 (rows, n), as `top_n` orders and pads them.

    Raises:
        TypeError: If a dtype or layout is not as above.
        ValueError: If shapes disagree, an index is out of range, or a candidate's score is nan.

    >>> users = np.array([[1.0, 0.0]], dtype=np.float32)
    >>> items = np.array([[0.1, 5.0], [0.9, 0.0], [0.1, 0.0]], dtype=np.float32)
    >>> top_n_factors(users, items, 2)[0]
    array([[1, 0]], dtype=int32)
    """
    check_dense("top_n_factors", "users", users, np.float32)
    check_dense("top_n_factors", "items", items, np.float32)
    if users.shape[1] != items.shape[1]:
        expected = f"(items, {users.shape[1]}), as users' shape is {users.shape}"
        raise ValueError(describe("top_n_factors", "items' shape", items.shape, expected))
    restriction = _restriction("top_n_factors", exclude, among)
    n = count("top_n_factors", "n", n)
    return _core.top_n_factors(users, items, n, *restriction, threads, progress)


def top_n_scores(
    scores: NDArray[np.float32],
    n: int,
    *,
    exclude: CSR | None = None,
    among: NDArray[np.int32] | None = None,
    threads: int = 0,
    progress: Progress | None = None,
) -> TopN:
    """Rank the best n items of each row of a score matrix.

    Args:
        scores: C-contiguous float32 (rows, items). A score of -inf is a score: the item comes last.
        n: Items a row.
        exclude: As in `top_n`.
        among: As in `top_n`.
        threads: 0 for all that this process may use.
        progress: Called with the share done.

    Returns:
        items int32 (rows, n) and scores float32 (rows, n), as `top_n` orders and pads them.

    Raises:
        TypeError: If a dtype or layout is not as above.
        ValueError: If shapes disagree, an index is out of range, or a candidate's score is nan.

    >>> scores = np.array([[0.5, 2.0, 0.5]], dtype=np.float32)
    >>> top_n_scores(scores, 2)[0]
    array([[1, 0]], dtype=int32)
    """
    check_dense("top_n_scores", "scores", scores, np.float32)
    restriction = _restriction("top_n_scores", exclude, among)
    n = count("top_n_scores", "n", n)
    return _core.top_n_scores(scores, n, *restriction, threads, progress)


def ranking_metrics(
    items: NDArray[np.int32],
    targets: CSR,
    metrics: Sequence[str] = ("ndcg@100", "recall@20"),
    *,
    threads: int = 0,
    progress: Progress | None = None,
) -> dict[str, NDArray[np.float64]]:
    """Rate rankings against held-out targets: all metrics at any set of cut-offs in one pass.

    With h_j = 1 if the item at rank j is a target, and R the row's number of targets:

    - ``ndcg@k``: sum of h_j / log2(j + 1) over the ranks up to k, over its largest possible value
      with min(k, R) hits;
    - ``recall@k``: hits / R; ``recall_min@k``: hits / min(k, R) (Liang et al., WWW 2018);
    - ``precision@k``: hits / k; ``hit@k``: 1 if there is a hit; ``mrr@k``: 1 / rank of the first;
    - ``map@k``: the sum of precision@j over the hits' ranks j, over R; ``map_min@k``: over
      min(k, R).

    Args:
        items: C-contiguous int32 (rows, n), best first; -1 from where a row ends.
        targets: CSR (rows, items) whose stored entries, whatever their value, are the targets.
        metrics: ``"name@k"`` each, with k at most n.
        threads: 0 for all that this process may use.
        progress: Called with the share done.

    Returns:
        For each metric float64 (rows,): NaN in a row without a target, to be left out of the mean
        (``np.nanmean``), not averaged as zero.

    Raises:
        TypeError: If `items` is not C-contiguous int32, or `targets` no CSR.
        ValueError: If a metric is unknown, k exceeds n, or a row names an item twice or one out of
            range.

    >>> from scipy.sparse import csr_array
    >>> targets = csr_array(np.array([[0, 1, 1], [0, 0, 0]], dtype=np.float32))
    >>> ranking = np.array([[0, 1], [2, 1]], dtype=np.int32)
    >>> ranking_metrics(ranking, targets, ["recall@2", "mrr@2"])
    {'recall@2': array([0.5, nan]), 'mrr@2': array([0.5, nan])}
    """
    check_dense("ranking_metrics", "items", items, np.int32)
    held = _csr("ranking_metrics", "targets", targets, values=False)
    names = _names("ranking_metrics", metrics)
    values = _core.ranking_metrics(items, held, names, threads, progress)
    return dict(zip(names, values, strict=True))


def largest_cutoff(metrics: Sequence[str]) -> int:
    """Return the largest k of some metrics: how long a ranking they need.

    Raises:
        ValueError: If there is no metric, or one is unknown.

    >>> largest_cutoff(["ndcg@100", "recall@20"])
    100
    """
    names = _names("metrics", metrics)
    if not names:
        raise ValueError(describe("metrics", "the list", "empty", "one metric or more"))
    return max(_core.cutoff("metrics", name) for name in names)


def score_metrics(
    scores: NDArray[np.float32],
    targets: CSR,
    metrics: Sequence[str] = ("ndcg@100", "recall@20"),
    *,
    exclude: CSR | None = None,
    threads: int = 0,
    progress: Progress | None = None,
) -> dict[str, NDArray[np.float64]]:
    """Rate a score matrix: mask, rank and rate each row in one pass.

    Equal to `top_n_scores` followed by `ranking_metrics`, without the rankings in between.

    Args:
        scores: C-contiguous float32 (rows, items).
        targets: CSR (rows, items) whose stored entries are the targets.
        metrics: As in `ranking_metrics`; k may exceed the number of items.
        exclude: CSR (rows, items) whose stored entries are not ranked.
        threads: 0 for all that this process may use.
        progress: Called with the share done.

    Returns:
        For each metric float64 (rows,); NaN in a row without a target.

    Raises:
        TypeError: If a dtype or layout is not as above.
        ValueError: If shapes disagree, a metric is unknown, or a candidate's score is nan.

    >>> from scipy.sparse import csr_array
    >>> scores = np.array([[0.9, 0.5, 0.1]], dtype=np.float32)
    >>> targets = csr_array(np.array([[0, 1, 0]], dtype=np.float32))
    >>> score_metrics(scores, targets, ["mrr@3"])
    {'mrr@3': array([0.5])}
    """
    check_dense("score_metrics", "scores", scores, np.float32)
    held = _csr("score_metrics", "targets", targets, values=False)
    if scores.shape != tuple(targets.shape):
        expected = f"targets' shape, {tuple(targets.shape)}"
        raise ValueError(describe("score_metrics", "scores' shape", scores.shape, expected))
    held_exclude, _ = _restriction("score_metrics", exclude, None)
    names = _names("score_metrics", metrics)
    values = _core.score_metrics(scores, held, held_exclude, names, threads, progress)
    return dict(zip(names, values, strict=True))


def _csr(who: str, what: str, x: Any, *, values: bool = True) -> _core.Csr:
    if getattr(x, "format", None) != "csr":
        found = f"a {x.format} matrix" if hasattr(x, "format") else f"a {type(x).__name__}"
        raise TypeError(describe(who, what, found, "a SciPy CSR", f"use csr_array({what})"))
    if x.ndim != 2:
        raise ValueError(describe(who, f"{what}'s number of dimensions", x.ndim, "2"))
    if values and x.dtype != np.float32:
        raise TypeError(
            describe(who, f"{what}'s dtype", x.dtype, "float32", f"use {what}.astype(np.float32)")
        )
    indptr, indices = (_index_array(who, f"{what}.{name}", x, name) for name in _INDEX_NAMES)
    data = np.ascontiguousarray(x.data) if values else None
    return _core.Csr(int(x.shape[0]), int(x.shape[1]), indptr, indices, data)


_INDEX_NAMES = ("indptr", "indices")


def _index_array(who: str, what: str, x: Any, name: str) -> NDArray[Any]:
    array: NDArray[Any] = getattr(x, name)
    if array.dtype not in (np.dtype(np.int32), np.dtype(np.int64)):
        raise TypeError(describe(who, f"{what}'s dtype", array.dtype, "int32 or int64"))
    return np.ascontiguousarray(array)


def _restriction(
    who: str, exclude: CSR | None, among: NDArray[np.int32] | None
) -> tuple[_core.Csr | None, NDArray[np.int32] | None]:
    held = None if exclude is None else _csr(who, "exclude", exclude, values=False)
    if among is not None:
        check_dtype(who, "among", among, np.int32)
        if among.ndim not in (1, 2):
            expected = "1 (allowed items for all rows) or 2 (rows, allowed)"
            raise ValueError(describe(who, "among's number of dimensions", among.ndim, expected))
        among = np.ascontiguousarray(among)
    return held, among


def _names(who: str, metrics: Sequence[str]) -> list[str]:
    if isinstance(metrics, str):
        raise TypeError(describe(who, "metrics", repr(metrics), "a list of names", "use [...]"))
    return list(dict.fromkeys(metrics))
