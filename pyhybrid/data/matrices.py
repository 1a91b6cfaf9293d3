"""The arrays beneath interactions: row bounds, ordered events, canonical CSR matrices."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np
from scipy.sparse import csr_array, csr_matrix

from pyhybrid.errors import describe

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

__all__ = [
    "Duplicates",
    "Events",
    "bounds",
    "canonical_csr",
    "csr",
    "fold",
    "random_places",
    "require_mask",
    "row_positions",
    "rows_of",
    "slabs",
]

Duplicates: TypeAlias = Literal["once", "sum", "count"]

_SLAB = 1 << 18  # entries worked on at a time: a few MB for each temporary array


@dataclass(frozen=True, eq=False)
class Events:
    """Each user's events oldest first, repeats kept.

    Attributes:
        indptr: int64 (users + 1,). User `u` has the events ``indptr[u]:indptr[u + 1]``.
        items: int32 (events,), positions on the item axis.
        times: int64 or float64 (events,) in the data's own unit (microseconds since 1970 where
            the data held timestamps), or None where only the order is known.
        weights: float32 (events,), or None where every event weighs 1.
    """

    indptr: NDArray[np.int64]
    items: NDArray[np.int32]
    times: NDArray[Any] | None = None
    weights: NDArray[np.float32] | None = None

    def take(self, indptr: NDArray[np.int64], index: NDArray[Any]) -> Events:
        """Return the events at `index`, positions or a mask, under a new `indptr`."""
        return Events(
            indptr,
            self.items[index],
            None if self.times is None else self.times[index],
            None if self.weights is None else self.weights[index],
        )

    def keep(self, mask: NDArray[np.bool_]) -> Events:
        """Return the events where `mask` is True, of the same users."""
        return self.take(bounds(mask)[self.indptr], mask)

    def of_users(self, rows: NDArray[np.int64]) -> Events:
        """Return the events of the users at `rows`, in that order."""
        sizes = np.diff(self.indptr)[rows]
        indptr = bounds(sizes)
        return self.take(
            indptr, np.repeat(self.indptr[rows] - indptr[:-1], sizes) + np.arange(indptr[-1])
        )


def bounds(sizes: NDArray[Any]) -> NDArray[np.int64]:
    """Return the row bounds (an indptr) of rows of the given sizes.

    >>> bounds(np.array([2, 0, 1]))
    array([0, 2, 2, 3])
    """
    return np.concatenate([np.zeros(1, np.int64), np.cumsum(sizes, dtype=np.int64)])


def csr(
    data: NDArray[np.float32], indices: NDArray[Any], indptr: NDArray[Any], shape: tuple[int, int]
) -> csr_array[np.float32]:
    """Make a matrix of its arrays, which it shares, with int32 indices wherever they fit.

    Left to itself, a ``csr_array`` keeps an int64 `indptr` and widens the indices to it.

    >>> csr(np.ones(1, np.float32), np.array([2]), np.array([0, 1]), (1, 3)).indices.dtype
    dtype('int32')
    """
    dtype = np.int32 if max(len(indices), *shape) < 2**31 else np.int64
    indices, indptr = indices.astype(dtype, copy=False), indptr.astype(dtype, copy=False)
    return csr_array((data, indices, indptr), shape=shape)


def rows_of(indptr: NDArray[Any]) -> NDArray[np.int64]:
    """Give each entry between row bounds its row.

    >>> rows_of(np.array([0, 2, 2, 3]))
    array([0, 0, 2])
    """
    return np.repeat(np.arange(len(indptr) - 1), np.diff(indptr))


def row_positions(rows: Any, size: int, who: str) -> NDArray[np.int64]:
    """Check positions of rows, or turn a mask over the rows into them.

    Raises:
        TypeError: If `rows` is neither.
        ValueError: If a position is not below `size` or stands there twice, or the mask is not
            one value a row.

    >>> row_positions(np.array([True, False, True]), 3, "select_users")
    array([0, 2])
    """
    given = np.asarray(rows)
    if given.dtype == np.bool_:
        require_mask(given, size, who, "a row")
        return np.flatnonzero(given)
    if given.size and given.dtype.kind not in "iu":
        expected = "whole numbers or a bool mask"
        raise TypeError(describe(who, "dtype of rows", given.dtype, expected))
    if given.ndim != 1:
        raise ValueError(describe(who, "rows", f"{given.ndim}-dimensional", "one dimension"))
    if given.size and not 0 <= given.min() <= given.max() < size:
        found = f"from {given.min()} to {given.max()}"
        raise ValueError(describe(who, "rows", found, f"positions from 0 to {size - 1}"))
    if len(np.unique(given)) < len(given):
        raise ValueError(describe(who, "rows", "with repeats", "each row once"))
    return given.astype(np.int64)


def require_mask(mask: Any, size: int, who: str, each: str) -> None:
    """Refuse what is not a bool array (size,), one value `each`.

    >>> require_mask(np.ones(3), 3, "keep_pairs", "a pair")
    Traceback (most recent call last):
    TypeError: keep_pairs: mask is float64 (3,); expected bool (3,), one value a pair
    """
    dtype, shape = getattr(mask, "dtype", type(mask).__name__), getattr(mask, "shape", "")
    if dtype == np.bool_ and shape == (size,):
        return
    error = ValueError if dtype == np.bool_ else TypeError
    raise error(describe(who, "mask", f"{dtype} {shape}", f"bool ({size},), one value {each}"))


def fold(
    events: Events, n_items: int, duplicates: Duplicates, *, overwrite: bool = False
) -> csr_array[np.float32]:
    """Fold each user's events into one matrix entry a pair.

    A pair weighs 1 or its largest weight ("once"), the sum of its weights ("sum"), or the number
    of its events ("count"). The result does not depend on the order of a user's events. With
    `overwrite`, the events' arrays become the matrix's, and no memory beside them is needed.

    Raises:
        ValueError: If a sum of weights leaves float32.

    >>> events = Events(np.array([0, 3]), np.array([1, 0, 1], np.int32))
    >>> fold(events, 2, "count").toarray().tolist()
    [[1.0, 2.0]]
    """
    indptr, items, weights = events.indptr, events.items, events.weights
    data = np.empty(len(items), np.float32) if weights is None else weights
    if not overwrite:
        items, data = items.copy(), data.copy()
    pairs = np.zeros(len(indptr), np.int64)
    size = 0
    for first, last in slabs(indptr):
        here = slice(indptr[first], indptr[last])
        keys = rows_of(indptr[first : last + 1]) * n_items + items[here]
        keys, values = _fold_slab(keys, None if weights is None else weights[here], duplicates)
        pairs[first + 1 : last + 1] = np.bincount(keys // n_items, minlength=last - first)
        there = slice(size, size + len(keys))  # never passes what is still to be read
        items[there], data[there] = keys % n_items, values
        size = there.stop
    items.resize(size, refcheck=False)
    data.resize(size, refcheck=False)
    if not np.isfinite(data).all():
        raise ValueError(describe("duplicates", "a pair's sum", "infinite", "finite in float32"))
    matrix = csr(data, items, np.cumsum(pairs), (len(indptr) - 1, n_items))
    matrix.has_canonical_format = True
    return matrix


def _fold_slab(
    keys: NDArray[np.int64], weights: NDArray[np.float32] | None, duplicates: Duplicates
) -> tuple[NDArray[np.int64], Any]:
    if weights is None:
        keys = np.sort(keys)
    else:  # by weight too, so that a sum is the same to the last bit in any order
        order = np.lexsort((weights, keys))
        keys, weights = keys[order], weights[order]
    starts = np.flatnonzero(np.diff(keys, prepend=-1))
    ends = np.append(starts[1:], len(keys))
    if weights is None:
        return keys[starts], 1 if duplicates == "once" else ends - starts
    if duplicates == "once":
        return keys[starts], weights[ends - 1]
    with np.errstate(over="ignore"):
        sums = np.add.reduceat(weights, starts, dtype=np.float64).astype(np.float32)
    return keys[starts], sums


def canonical_csr(matrix: Any) -> csr_array[np.float32]:
    """Refuse what could crash a kernel, and share what is canonical."""
    who = "from_csr"
    if not isinstance(matrix, csr_array | csr_matrix) or matrix.ndim != 2:
        found = f"{type(matrix).__name__} of shape {getattr(matrix, 'shape', 'unknown')}"
        raise TypeError(describe(who, "matrix", found, "a two-dimensional SciPy CSR matrix"))
    if matrix.dtype != np.float32:
        way_out = 'matrix.astype("float32")'
        raise TypeError(describe(who, "matrix.dtype", matrix.dtype, "float32", way_out))
    (users, items), indptr = matrix.shape, matrix.indptr
    size = int(indptr[-1]) if len(indptr) == users + 1 else -1
    indices, data = matrix.indices[:size], matrix.data[:size]
    fits = len(indices) == len(data) == size and indptr[0] == 0
    if not fits or (indptr[1:] < indptr[:-1]).any():
        expected = "row bounds that rise from 0 to the number of entries"
        raise ValueError(describe(who, "matrix.indptr", "out of bounds", expected))
    if size and not 0 <= indices.min() <= indices.max() < items:
        found = f"from {indices.min()} to {indices.max()}"
        raise ValueError(describe(who, "matrix.indices", found, f"columns from 0 to {items - 1}"))
    checked = csr(data, indices, indptr, matrix.shape)
    if not checked.has_canonical_format:
        checked = checked.copy()
        checked.sum_duplicates()
    infinite = np.flatnonzero(~np.isfinite(checked.data))
    if len(infinite):
        found = f"{checked.data[infinite[0]]} at entry {infinite[0]}"
        raise ValueError(describe(who, "matrix.data", found, "finite numbers"))
    return checked


def slabs(indptr: NDArray[np.int64]) -> Iterator[tuple[int, int]]:
    """Yield ranges of users with about `_SLAB` events together, at least one user each."""
    first, users = 0, len(indptr) - 1
    while first < users:
        last = int(np.searchsorted(indptr, indptr[first] + _SLAB, side="right")) - 1
        last = min(max(last, first + 1), users)
        yield first, last
        first = last


def random_places(indptr: NDArray[Any], rng: np.random.Generator) -> NDArray[np.int64]:
    """Shuffle the numbers 0, 1, ... over each row's entries: int64 (entries,)."""
    rows = rows_of(indptr)
    # One sort for all rows: by row, then by 32 random bits; stable, so that the order of two
    # equal keys depends on nothing else.
    order = np.argsort((rows << 32) | rng.integers(1 << 32, size=len(rows)), kind="stable")
    places = np.empty_like(rows)
    places[order] = np.arange(len(rows)) - indptr[rows]
    return places
