"""The arrays beneath labelled rows: checked labels, likes in order, and items never taken."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from pyhybrid.data.columns import as_numbers
from pyhybrid.data.interactions import Interactions
from pyhybrid.data.matrices import Events, bounds, rows_of
from pyhybrid.errors import describe
from pyhybrid.memory import require_memory

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from scipy.sparse import csr_array

__all__ = [
    "append_events",
    "as_labels",
    "draw_untaken",
    "likes_before",
    "past_events",
    "refuse_times_before",
    "require_order",
    "with_negatives",
]


def as_labels(values: Any, who: str, what: str, *, row: int = 0) -> NDArray[np.bool_]:
    """Check a column of labels, which are bool or the numbers 0 and 1; `row` numbers its first.

    Raises:
        TypeError: If a value is neither bool nor a number.
        ValueError: If a value is missing, or a number other than 0 and 1.

    >>> as_labels([0, 1, 5], "read_feedback", "column 'stars'")
    Traceback (most recent call last):
    ValueError: read_feedback: row 2 of column 'stars' is 5; expected 0 or 1; \
compare ratings with a threshold first
    """
    array = np.asarray(values)
    if array.ndim != 1:
        raise ValueError(describe(who, what, f"{array.ndim}-dimensional", "one dimension"))
    if array.dtype == np.bool_:
        return np.ascontiguousarray(array)
    if array.dtype == object:  # bools among which some are missing
        kept = [int(value) if isinstance(value, bool) else value for value in array.tolist()]
        values = np.array(kept, object)
    numbers = as_numbers(values, who, what, row=row)
    wrong = np.flatnonzero((numbers != 0) & (numbers != 1))
    if len(wrong):
        place, way_out = f"row {row + wrong[0]} of {what}", "compare ratings with a threshold first"
        raise ValueError(describe(who, place, numbers[wrong[0]], "0 or 1", way_out))
    labels: NDArray[np.bool_] = numbers == 1
    return labels


def past_events(likes: Interactions | None, n_users: int) -> Events:
    """Return the events of earlier likes, without weights, and none for users beyond theirs."""
    if likes is None:
        return Events(np.zeros(n_users + 1, np.int64), np.empty(0, np.int32))
    events = require_order(likes, "Feedback.from_columns", "earlier.likes")
    new = n_users - likes.n_users
    return replace(events, indptr=np.pad(events.indptr, (0, new), mode="edge"), weights=None)


def refuse_times_before(
    past: Events, rows: NDArray[np.int64], times: NDArray[Any], who: str
) -> None:
    """Refuse a row that is older than the last of its user's past events."""
    if past.times is None:
        return
    known = np.flatnonzero(np.diff(past.indptr)[rows])
    last = past.times[past.indptr[rows[known] + 1] - 1]
    early = np.flatnonzero(times[known] < last)
    if len(early):
        row, expected = known[early[0]], f"{last[early[0]]}, its user's last in earlier, or later"
        way_out = "split by time"
        raise ValueError(describe(who, f"row {row} of times", times[row], expected, way_out))


def likes_before(
    order: NDArray[np.int64], users: NDArray[np.int64], labels: NDArray[np.bool_]
) -> NDArray[np.int64]:
    """Count for each row its user's positive rows that stand before it in `order`."""
    likes = bounds(labels[order])
    starts = bounds(np.bincount(users))[users]  # where the row's user begins in the order
    before = np.empty_like(starts)
    before[order] = likes[:-1]
    return before - likes[starts]


def append_events(
    past: Events, users: NDArray[np.int64], items: NDArray[np.int64], times: NDArray[Any] | None
) -> Events:
    """Put further events, user by user, behind each user's past ones.

    Times are kept where all have some of one dtype.
    """
    owners = np.concatenate([rows_of(past.indptr), users])
    order = np.argsort(owners, kind="stable")
    indptr = bounds(np.bincount(owners, minlength=len(past.indptr) - 1))
    merged = np.concatenate([past.items, items.astype(np.int32)])[order]
    if times is not None and len(past.items):
        same = past.times is not None and past.times.dtype == times.dtype
        times = np.concatenate([past.times, times])[order] if same else None
    return Events(indptr, merged, times)


def draw_untaken(
    taken: csr_array[np.float32], users: NDArray[np.int64], rng: np.random.Generator
) -> NDArray[np.int32]:
    """Draw for each of `users`, rows of `taken`, a column without an entry; there must be one.

    The r-th untaken item is r plus the number of taken items before it. A taken item is before it
    if no more than r untaken ones are before the taken one.
    """
    indptr, items = taken.indptr.astype(np.int64), taken.shape[1]
    owners, width = rows_of(indptr), items + 1
    untaken_before = taken.indices - (np.arange(len(owners)) - indptr[owners])
    draws = rng.integers(items - np.diff(indptr)[users])
    keys = owners * width + untaken_before  # ascending, so that one search serves all users
    places = np.searchsorted(keys, users * width + draws, side="right")
    return (draws + places - indptr[users]).astype(np.int32)


def with_negatives(
    who: str,
    users: NDArray[np.int64],
    items: NDArray[np.int32],
    taken: csr_array[np.float32],
    negatives: int,
    rng: np.random.Generator,
) -> tuple[NDArray[np.int64], NDArray[np.int32], NDArray[np.int32], NDArray[np.bool_]]:
    """Put after each positive the negatives drawn for it, where its user has untaken items.

    Returns:
        Which positive each row belongs to; the rows' users, items and labels: all (rows,).
    """
    size = len(users) * (1 + negatives)
    way_out = "draw fewer negatives, or rows of fewer users at a time"
    require_memory(who, f"{size} rows", 80 * size, "them and their draws", way_out)
    free = taken.shape[1] - np.diff(taken.indptr)[users] > 0
    positive = np.repeat(np.arange(len(users)), 1 + negatives * free)
    labels = np.diff(positive, prepend=-1) > 0
    owners, columns = users[positive], items[positive]
    columns[~labels] = draw_untaken(taken, owners[~labels], rng)
    return positive, owners.astype(np.int32), columns.astype(np.int32), labels


def require_order(interactions: object, who: str, what: str) -> Events:
    """Return the events of interactions that have some."""
    if not isinstance(interactions, Interactions):
        raise TypeError(describe(who, what, type(interactions).__name__, "Interactions"))
    if interactions.events is None:
        way_out = "read the data with time= or ordered=True"
        raise ValueError(describe(who, f"the order of {what}", "unknown", "events", way_out))
    return interactions.events
