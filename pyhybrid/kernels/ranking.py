"""The best n items of each row, from histories, factors or scores; and all scores of factors."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pyhybrid.checks import check_dense, check_dtype, check_layout, count, running
from pyhybrid.errors import describe
from pyhybrid.kernels.core import _core, core_csr
from pyhybrid.memory import require_memory

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pyhybrid.kernels.core import CSR, Progress, TopN

__all__ = ["restriction", "score_factors", "top_n", "top_n_factors", "top_n_scores"]


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
        histories: float32 CSR (rows, history items).
        weights: C-contiguous float32 (history items, items); both are often the same items.
        n: Items a row, 1 or more; may exceed the number of items.
        exclude: CSR (rows, items) whose stored entries, whatever their value, are never returned
            in that row; the histories themselves, to leave out what was seen, if they are on
            the same items.
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
    held = core_csr("top_n", "histories", histories)
    check_dense("top_n", "weights", weights, np.float32)
    known = int(histories.shape[1])
    if weights.shape[0] != known:
        expected = f"({known}, items), as histories has {known} columns"
        raise ValueError(describe("top_n", "weights' shape", weights.shape, expected))
    options = *restriction("top_n", exclude, among), *running("top_n", threads, progress)
    return _core.top_n(held, weights, _length("top_n", n, histories.shape[0]), *options)


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
    _check_factors("top_n_factors", users, items)
    options = (
        *restriction("top_n_factors", exclude, among),
        *running("top_n_factors", threads, progress),
    )
    n = _length("top_n_factors", n, users.shape[0])
    return _core.top_n_factors(users, items, n, *options)


def score_factors(
    users: NDArray[np.float32],
    items: NDArray[np.float32],
    *,
    threads: int = 0,
    progress: Progress | None = None,
) -> NDArray[np.float32]:
    """Return all inner products of user and item vectors, as `top_n_factors` computes them.

    A score depends on its two vectors alone, to the last bit, where a product of BLAS depends on
    their places too: items of equal vectors have equal scores.

    Args:
        users: C-contiguous float32 (rows, dim).
        items: C-contiguous float32 (items, dim).
        threads: 0 for all that this process may use.
        progress: Called with the share done.

    Returns:
        float32 (rows, items).

    Raises:
        MemoryError: If the scores won't fit.
        TypeError: If a dtype or layout is not as above.
        ValueError: If shapes disagree.

    >>> users = np.array([[1.0, 2.0]], dtype=np.float32)
    >>> items = np.array([[3.0, 0.0], [0.5, 1.0]], dtype=np.float32)
    >>> score_factors(users, items)
    array([[3. , 2.5]], dtype=float32)
    """
    _check_factors("score_factors", users, items)
    needed, way_out = 4 * len(users) * len(items), "score fewer rows at a time"
    require_memory("score_factors", f"{len(users)} rows", needed, "the scores", way_out)
    return _core.score_factors(users, items, *running("score_factors", threads, progress))


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
    options = (
        *restriction("top_n_scores", exclude, among),
        *running("top_n_scores", threads, progress),
    )
    n = _length("top_n_scores", n, scores.shape[0])
    return _core.top_n_scores(scores, n, *options)


def _check_factors(who: str, users: NDArray[np.float32], items: NDArray[np.float32]) -> None:
    check_dense(who, "users", users, np.float32)
    check_dense(who, "items", items, np.float32)
    if users.shape[1] != items.shape[1]:
        expected = f"(items, {users.shape[1]}), as users' shape is {users.shape}"
        raise ValueError(describe(who, "items' shape", items.shape, expected))


def _length(who: str, n: object, rows: int) -> int:
    """Return `n` as an int if rankings of that length fit 32 bits and memory."""
    length = count(who, "n", n)
    if length > _MOST_INT32:
        raise ValueError(describe(who, "n", length, f"at most {_MOST_INT32}"))
    way_out = "rank fewer items, or fewer rows at a time"
    require_memory(who, f"{length} items for {rows} rows", 8 * rows * length, "rankings", way_out)
    return length


_MOST_INT32 = 2**31 - 1


def restriction(
    who: str, exclude: CSR | None, among: NDArray[np.int32] | None
) -> tuple[_core.Csr | None, NDArray[np.int32] | None]:
    """Check what restricts a ranking, as `top_n` has it, and hand it to the core."""
    held = None if exclude is None else core_csr(who, "exclude", exclude, values=False)
    if among is not None:
        check_dtype(who, "among", among, np.int32)
        if among.ndim not in (1, 2):
            expected = "1 (allowed items for all rows) or 2 (rows, allowed)"
            raise ValueError(describe(who, "among's number of dimensions", among.ndim, expected))
        check_layout(who, "among", among)
    return held, among
