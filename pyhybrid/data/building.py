"""From rows in any order to a CSR matrix, in two passes over them.

The first pass collects the ids and counts each user's rows, the second writes every row to its
place in arrays of the final size. What is held beside those arrays is the distinct ids and one
batch, so that a file larger than memory can be read.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, get_args

import numpy as np

from pyhybrid.data.ids import (
    as_ids,
    column_of,
    encode,
    extend,
    join,
    positions,
    spelled,
    whole_numbers,
)
from pyhybrid.data.matrices import Duplicates, Events, bounds, fold, rows_of, slabs
from pyhybrid.errors import describe
from pyhybrid.memory import require_memory

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Any, Protocol

    from numpy.typing import NDArray
    from scipy.sparse import csr_array

    from pyhybrid.data.columns import Chunk
    from pyhybrid.data.ids import IdColumn, Ids

    class Axes(Protocol):
        """Anything with ids of users and items, such as earlier interactions."""

        @property
        def user_ids(self) -> Any: ...
        @property
        def item_ids(self) -> Any: ...


__all__ = ["Built", "build"]

_PENDING = 1 << 18  # distinct ids of single chunks that wait to be merged


class Built(NamedTuple):
    """What the two passes give, as `Interactions` holds it."""

    matrix: csr_array[np.float32]
    user_ids: Ids
    item_ids: Ids
    events: Events | None
    duplicates: Duplicates


def build(
    chunks: Callable[[], Iterable[Chunk]],
    who: str,
    duplicates: Duplicates = "once",
    ordered: bool = False,
    ids: Axes | None = None,
    untyped: bool = False,
) -> Built:
    """Read `chunks` twice: first the ids, then the rows.

    Args:
        chunks: Gives the same chunks at each call.
        who: Who asks, as errors name it.
        duplicates: What becomes of a pair's repeats, as in `fold`.
        ordered: Keep each user's events in the order of the rows. Where the rows have times, the
            events are kept in the order of the times anyway.
        ids: Earlier ids that keep their positions.
        untyped: The ids come from text, where "7" may well be a number.

    Raises:
        TypeError: If ids or times are of one kind here and of another there.
        ValueError: If there are no rows, they change between the passes, or the arguments
            contradict each other.
        MemoryError: If the arrays won't fit.

    >>> from pyhybrid.data.columns import Chunk
    >>> rows = Chunk(np.array([8, 7, 8]), np.array([1, 2, 1]))
    >>> built = build(lambda: [rows], "read", "sum")
    >>> built.user_ids, built.matrix.toarray().tolist()
    (array([7, 8]), [[0.0, 1.0], [2.0, 0.0]])
    """
    if duplicates not in get_args(Duplicates):
        expected = "one of: " + ", ".join(get_args(Duplicates))
        raise ValueError(describe(who, "duplicates", repr(duplicates), expected))
    known_users, known_items = _known(ids, who)
    users, items = _Tally(who, "the users' ids"), _Tally(who, "the items' ids")
    rows = 0
    for chunk in chunks():
        _check_arguments(chunk, who, duplicates, ordered)
        rows += len(chunk.users)
        users.add(chunk.users)
        items.add(chunk.items)
    if not rows:
        raise ValueError(describe(who, "the number of rows", 0, "at least one"))
    keep_events = ordered or chunk.times is not None
    needed = rows * (24 if keep_events else 8)
    require_memory(who, f"{rows} rows", needed, "the matrix and events", "read fewer rows")

    user_ids, user_keys, counts = users.axis(known_users, untyped=untyped)
    item_ids, item_keys, _ = items.axis(known_items, untyped=untyped)
    coded = (
        chunk._replace(
            users=positions(chunk.users, user_keys, who),
            items=positions(chunk.items, item_keys, who),
        )
        for chunk in chunks()
        if len(chunk.users)
    )
    events = _scatter(coded, bounds(counts), who)
    if events.times is not None:
        _sort_by_time(events, events.times)
    matrix = fold(events, len(item_ids), duplicates, overwrite=not keep_events)
    return Built(matrix, user_ids, item_ids, events if keep_events else None, duplicates)


def _known(ids: Axes | None, who: str) -> tuple[Ids | None, Ids | None]:
    if ids is None:
        return None, None
    if not (hasattr(ids, "user_ids") and hasattr(ids, "item_ids")):
        expected = "earlier interactions, or None"
        raise TypeError(describe(who, "ids", type(ids).__name__, expected))
    return as_ids(ids.user_ids, who, "ids.user_ids"), as_ids(ids.item_ids, who, "ids.item_ids")


def _check_arguments(chunk: Chunk, who: str, duplicates: Duplicates, ordered: bool) -> None:
    if chunk.weights is not None and duplicates == "count":
        found, way_out = "'count' beside weights", "leave the weights out to count rows"
        raise ValueError(describe(who, "duplicates", found, "'once' or 'sum'", way_out))
    if chunk.times is not None and ordered:
        way_out = "the times alone decide the order"
        raise ValueError(describe(who, "ordered", "True beside times", "one of the two", way_out))


def _scatter(chunks: Iterable[Chunk], indptr: NDArray[np.int64], who: str) -> Events:
    """Write rows of positions to their users' places, a user's rows in the order they come."""
    changed = ValueError(describe(who, "the data", "changed during the read", "the same twice"))
    free = indptr[:-1].copy()
    events: Events | None = None
    for chunk in chunks:
        if events is None:
            items = np.empty(indptr[-1], np.int32)
            weights = None if chunk.weights is None else np.empty(len(items), np.float32)
            times = None if chunk.times is None else np.empty(len(items), chunk.times.dtype)
            events = Events(indptr, items, times, weights)
        if min(chunk.users.min(), chunk.items.min()) < 0:
            raise changed
        counts = np.bincount(chunk.users, minlength=len(free))
        if (free + counts > indptr[1:]).any():
            raise changed
        order = np.argsort(chunk.users, kind="stable")
        shift = free - (np.cumsum(counts) - counts)
        slots = shift[chunk.users[order]] + np.arange(len(order))
        free += counts
        events.items[slots] = chunk.items[order]
        if events.weights is not None and chunk.weights is not None:
            events.weights[slots] = chunk.weights[order]
        if events.times is not None and chunk.times is not None:
            if events.times.dtype != chunk.times.dtype:
                found = f"{chunk.times.dtype} after {events.times.dtype}"
                raise TypeError(describe(who, "the time column", found, "one kind throughout"))
            events.times[slots] = chunk.times[order]
    if events is None or (free != indptr[1:]).any():
        raise changed
    return events


def _sort_by_time(events: Events, times: NDArray[Any]) -> None:
    """Sort each user's events by time in place; ties stay in the order they came."""
    for first, last in slabs(events.indptr):
        here = slice(events.indptr[first], events.indptr[last])
        rows = rows_of(events.indptr[first : last + 1])
        order = np.lexsort((times[here], rows))
        for array in (events.items, times, events.weights):
            if array is not None:
                array[here] = array[here][order]


class _Tally:
    """The distinct ids of a column and how often each stands there, merged as they come."""

    def __init__(self, who: str, what: str) -> None:
        self.who, self.what = who, what
        self.ids: IdColumn = np.empty(0, np.int64)
        self.counts: NDArray[np.int64] = np.empty(0, np.int64)
        self._parts: list[tuple[IdColumn, NDArray[np.int64]]] = []
        self._pending = 0

    def add(self, column: IdColumn) -> None:
        if len(column):
            distinct, codes = encode(column)
            self._parts.append((distinct, np.bincount(codes)))
            self._pending += len(distinct)
        if self._pending > len(self.ids) + _PENDING:  # rarely, so that merging stays linear
            self._merge()

    def _merge(self) -> None:
        ids, counts = zip((self.ids, self.counts), *self._parts, strict=True)
        self.ids, codes = encode(join(list(ids), self.who, self.what))
        # sums below 2^53 are exact in bincount's float64
        self.counts = np.bincount(codes, np.concatenate(counts)).astype(np.int64)
        self._parts, self._pending = [], 0

    def axis(
        self, previous: Ids | None, *, untyped: bool
    ) -> tuple[Ids, IdColumn, NDArray[np.int64]]:
        """Return the axis, the same ids as the rows spell them, and each one's count."""
        self._merge()
        numbers = None
        if untyped and (previous is None or previous.dtype == np.int64):
            numbers = whole_numbers(self.ids)
        ids = extend(previous, self.ids if numbers is None else numbers, self.who)
        keys = column_of(ids, self.who, self.what)
        if isinstance(keys, np.ndarray) and not isinstance(self.ids, np.ndarray):
            keys = spelled(keys)
        counts = np.zeros(len(ids), np.int64)
        counts[positions(self.ids, keys)] = self.counts
        return ids, keys, counts
