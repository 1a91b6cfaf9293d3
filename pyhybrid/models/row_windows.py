"""Batches of labelled rows for sequence models: many rows share one encoding of their user."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from pyhybrid.data.matrices import Events, bounds
from pyhybrid.models.sequential import latest, ordered_events

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from pyhybrid.data.feedback import Feedback

__all__ = ["RowBatch", "RowWindows"]


class RowBatch(NamedTuple):
    """Some windows of users' sequences, and the rows whose history ends within one of them.

    Attributes:
        items: int64 (windows, length), numbered from 1, 0 for none on the right; longest first.
        places: int64 (rows,), where the row's history ends, counted over all windows' items.
        targets: int64 (rows,), the rows' items, numbered from 1.
        labels: float32 (rows,), 0 and 1.
    """

    items: NDArray[np.int64]
    places: NDArray[np.int64]
    targets: NDArray[np.int64]
    labels: NDArray[np.float32]


class RowWindows:
    """Cut users' sequences into windows, so that each row has one that its history ends in.

    Windows overlap by half: a row's window holds all of its history, or more than half a window's
    length of it. Rows without a history have none and are left out.

    Args:
        rows: The labelled rows.
        length: Events a window, at most.
    """

    def __init__(self, rows: Feedback, length: int) -> None:
        events, used = ordered_events("fit", rows.likes), np.flatnonzero(rows.seen > 0)
        users, last = rows.users[used].astype(np.int64), rows.seen[used] - 1
        step = max(1, length // 2)
        number = np.maximum(0, -((length - 1 - last) // step))  # of the row's window in its user
        keys = users * (number.max(initial=0) + 1) + number
        order = np.argsort(keys, kind="stable")
        _, first, sizes = np.unique(keys[order], return_index=True, return_counts=True)
        self._row_bounds, self._used = bounds(sizes), used[order]
        starts = events.indptr[users[order][first]] + step * number[order][first]
        ends = events.indptr[users] + last + 1
        lengths = np.maximum.reduceat(ends[order], first) - starts if len(first) else first
        within = np.repeat(starts - bounds(lengths)[:-1], lengths) + np.arange(lengths.sum())
        self._windows = Events(bounds(lengths), events.items[within])
        self._within = ends[order] - 1 - np.repeat(starts, sizes)  # the row's place in its window
        self._rows = rows

    def __len__(self) -> int:
        return len(self._row_bounds) - 1

    def batches(self, size: int, generator: np.random.Generator) -> Iterator[RowBatch]:
        """Give all rows once, `size` windows at a time, in an order that the generator decides."""
        order = generator.permutation(len(self))
        lengths = np.diff(self._windows.indptr)
        for first in range(0, len(order), size):
            chosen = order[first : first + size]
            chosen = chosen[np.argsort(-lengths[chosen], kind="stable")]
            sizes = np.diff(self._row_bounds)[chosen]
            begins = np.repeat(self._row_bounds[chosen] - bounds(sizes)[:-1], sizes)
            places = begins + np.arange(sizes.sum())
            rows = self._used[places]
            yield RowBatch(
                latest(self._windows, chosen, int(lengths.max())),
                np.repeat(bounds(lengths[chosen])[:-1], sizes) + self._within[places],
                self._rows.items[rows].astype(np.int64) + 1,
                self._rows.labels[rows].astype(np.float32),
            )
