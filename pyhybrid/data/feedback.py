"""Labelled rows: which user liked which item or not, and what the user had liked before."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from pyhybrid.checks import check_dense, count
from pyhybrid.data.columns import as_times
from pyhybrid.data.held_out import HeldOut
from pyhybrid.data.ids import as_ids, column_of, extend, positions
from pyhybrid.data.interactions import Interactions
from pyhybrid.data.labelling import (
    append_events,
    as_labels,
    likes_before,
    past_events,
    refuse_times_before,
    require_order,
    with_negatives,
)
from pyhybrid.data.matrices import bounds, fold, row_positions, rows_of
from pyhybrid.errors import describe

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pyhybrid.data.ids import Ids

__all__ = ["Feedback"]


@dataclass(frozen=True, eq=False, repr=False)
class Feedback:
    """Hold which users liked which items and which they did not, one row each.

    The history of a row is what its user had liked before: the first `seen` of the user's events
    in `likes`, never the row itself and nothing later. Made by `from_columns`, `read_feedback`,
    `sampled` and `of_held_out`.

    Attributes:
        likes: What each user liked, oldest first, on the axes of the rows. Users and items of
            negative rows alone have an empty row or column. May hold events of before the rows
            (`from_columns` with `earlier`) and of rows that `select` left out.
        users: int32 (rows,), positions on the user axis.
        items: int32 (rows,), positions on the item axis.
        labels: bool (rows,), True where the user liked the item.
        seen: int64 (rows,), how many of the user's events in `likes` come before the row.

    Raises:
        TypeError: If `likes` is no `Interactions`, or an array has another dtype.
        ValueError: If `likes` has no events, the arrays differ in length, a position is not on its
            axis, or `seen` is not between 0 and the number of the user's events.

    >>> rows = Feedback.from_columns([1, 1, 1], ["a", "b", "c"], [1, 0, 1])
    >>> rows
    Feedback(3 rows of 1 users x 3 items, 2 liked)
    >>> rows.seen.tolist()
    [0, 1, 1]
    """

    likes: Interactions
    users: NDArray[np.int32]
    items: NDArray[np.int32]
    labels: NDArray[np.bool_]
    seen: NDArray[np.int64]

    def __post_init__(self) -> None:
        who = "Feedback"
        events = require_order(self.likes, who, "likes")
        dtypes = {"users": np.int32, "items": np.int32, "labels": np.bool_, "seen": np.int64}
        for name, dtype in dtypes.items():
            check_dense(who, name, getattr(self, name), dtype, dimensions=1)
        _require_one_length(who, *(getattr(self, name) for name in dtypes))
        if not len(self):
            return
        axes = ("users", self.users, self.likes.n_users), ("items", self.items, self.likes.n_items)
        for name, rows, size in axes:
            if not 0 <= rows.min() <= rows.max() < size:
                found = f"from {rows.min()} to {rows.max()}"
                raise ValueError(describe(who, name, found, f"positions from 0 to {size - 1}"))
        most = np.diff(events.indptr)[self.users]
        bad = np.flatnonzero((self.seen < 0) | (self.seen > most))
        if len(bad):
            row = bad[0]
            expected = f"0 to {most[row]}, the number of the user's events"
            raise ValueError(describe(who, f"row {row} of seen", self.seen[row], expected))

    @classmethod
    def from_columns(
        cls,
        users: Any,
        items: Any,
        labels: Any,
        times: Any = None,
        *,
        earlier: Feedback | None = None,
        item_ids: Any = None,
    ) -> Feedback:
        """Take rows from columns of one length: NumPy arrays, lists or Arrow arrays.

        A row with a true label becomes an event of its user, and is history of the user's later
        rows. Which rows are later is told by the times; without times, and among a user's rows of
        one time, by the order of the rows. So data that is sorted needs no times, and rows that
        were logged in one second keep the order in which they were written. The rows themselves
        stay in the order given.

        Args:
            users: The users' ids.
            items: The items' ids.
            labels: bool, or 0 and 1.
            times: Finite numbers or timestamps.
            earlier: Rows whose events come before all of these: train for validation, validation
                for test. Its users and items keep their positions, and new ones follow. Its
                weights are not kept: every event weighs 1.
            item_ids: Further items for the axis, such as a catalogue's; those that are new to it
                follow in the order given.

        Raises:
            TypeError: If ids are neither whole numbers nor strings, or their kinds are mixed, or
                labels or times are of another kind.
            ValueError: If there are no rows, the columns differ in length, a value is missing,
                a label is not 0 or 1, or a row's time is before an event of its user in `earlier`.

        >>> train = Feedback.from_columns([7, 7], ["a", "b"], [True, True], times=[20, 10])
        >>> test = Feedback.from_columns([7, 7], ["c", "d"], [True, False], earlier=train)
        >>> test.seen.tolist(), test.item_ids.tolist()
        ([2, 3], ['a', 'b', 'c', 'd'])
        >>> [test.item_ids[item] for item in test.likes.events.items]
        ['b', 'a', 'c']
        """
        who = "Feedback.from_columns"
        user_column, item_column = column_of(users, who, "users"), column_of(items, who, "items")
        marks = as_labels(labels, who, "labels")
        when = None if times is None else as_times(times, who, "times")
        _require_one_length(who, user_column, item_column, marks, marks if when is None else when)
        if not len(marks):
            raise ValueError(describe(who, "the number of rows", 0, "at least one"))
        if earlier is not None:
            require_feedback(earlier, who, "earlier")
        user_ids = extend(None if earlier is None else earlier.user_ids, user_column, who)
        axis = extend(None if earlier is None else earlier.item_ids, item_column, who)
        if item_ids is not None:
            further = as_ids(item_ids, who, "item_ids")
            axis = np.concatenate([axis, further[positions(further, axis, who) < 0]])

        rows, columns = positions(user_column, user_ids), positions(item_column, axis)
        past = past_events(None if earlier is None else earlier.likes, len(user_ids))
        if when is not None:
            refuse_times_before(past, rows, when, who)
        # stable: rows of one user and time stay in the order given
        order = np.argsort(rows, kind="stable") if when is None else np.lexsort((when, rows))
        seen = likes_before(order, rows, marks) + np.diff(past.indptr)[rows]
        liked = order[marks[order]]
        events = append_events(
            past, rows[liked], columns[liked], None if when is None else when[liked]
        )
        likes = Interactions(fold(events, len(axis), "once"), user_ids, axis, events)
        return cls(likes, rows.astype(np.int32), columns.astype(np.int32), marks, seen)

    @classmethod
    def sampled(cls, interactions: Interactions, negatives: int = 4, seed: int = 0) -> Feedback:
        """Make rows where only likes are known: each event, and items that its user never took.

        Each event is a positive row, followed by `negatives` negative rows with the same history.
        Their items are drawn independently and uniformly from all that the user has no entry for,
        so one may come twice; a user who has taken every item gets none. Rows stand user by user,
        oldest first.

        Without an order of events this is refused: rows would have no before and after, so
        that either an item would be part of its own history, or a history would tell of the order
        of the item axis instead of the user.

        Args:
            interactions: With events.
            negatives: How many negative rows to draw for each event.
            seed: Of the draws.

        Raises:
            TypeError: If `interactions` is no `Interactions`, or a number is none.
            ValueError: If the order of events is unknown, or a number is negative.
            MemoryError: If the rows won't fit.

        >>> taken = Interactions.from_columns([1, 1, 2], [5, 6, 7], ordered=True)
        >>> rows = Feedback.sampled(taken, negatives=1)
        >>> rows.labels.tolist(), rows.seen.tolist()
        ([True, False, True, False, True, False], [0, 0, 1, 1, 0, 0])
        >>> rows.item_ids[rows.items[[1, 3]]].tolist()  # the only item that user 1 never took
        [7, 7]
        """
        who = "Feedback.sampled"
        negatives = count(who, "negatives", negatives, least=0)
        rng = np.random.default_rng(count(who, "seed", seed, least=0))
        events = require_order(interactions, who, "interactions")
        positives = rows_of(events.indptr), events.items
        event, users, items, labels = with_negatives(
            who, *positives, interactions.matrix, negatives, rng
        )
        return cls(interactions, users, items, labels, event - events.indptr[users])

    @classmethod
    def of_held_out(cls, held_out: HeldOut, negatives: int = 1, seed: int = 0) -> Feedback:
        """Make rows of held-out users: each target, and items neither seen nor wanted.

        So that a model can stop by AUC on a split's validation part. Each target is a positive row
        whose history is its user's whole history, followed by `negatives` negative rows, drawn as
        `sampled` draws them among the items that are neither in the history nor a target; a
        split's other parts are not looked at.

        Args:
            held_out: Such as ``split.validation``; its histories have events.
            negatives: How many negative rows to draw for each target.
            seed: Of the draws.

        Raises:
            TypeError: If `held_out` is no `HeldOut`, or a number is none.
            ValueError: If the order of the histories' events is unknown, or a number is negative.
            MemoryError: If the rows won't fit.

        >>> from pyhybrid.data import splits
        >>> taken = Interactions.from_columns([1, 1, 1, 2], [5, 6, 7, 8], ordered=True)
        >>> rows = Feedback.of_held_out(splits.leave_last(taken).test)
        >>> rows.item_ids[rows.items].tolist(), rows.labels.tolist(), rows.seen.tolist()
        ([7, 8], [True, False], [2, 2])
        """
        who = "Feedback.of_held_out"
        if not isinstance(held_out, HeldOut):
            raise TypeError(describe(who, "held_out", type(held_out).__name__, "a HeldOut"))
        negatives = count(who, "negatives", negatives, least=0)
        rng = np.random.default_rng(count(who, "seed", seed, least=0))
        histories, targets = held_out.histories, held_out.targets
        events = require_order(histories, who, "histories")
        positives = rows_of(targets.matrix.indptr), targets.matrix.indices
        taken = held_out.taken().matrix
        _, users, items, labels = with_negatives(who, *positives, taken, negatives, rng)
        return cls(histories, users, items, labels, np.diff(events.indptr)[users])

    @property
    def user_ids(self) -> Ids:
        """The ids of the user axis."""
        return self.likes.user_ids

    @property
    def item_ids(self) -> Ids:
        """The ids of the item axis."""
        return self.likes.item_ids

    @property
    def n_rows(self) -> int:
        """The number of rows."""
        return len(self.users)

    def __len__(self) -> int:
        return self.n_rows

    def __repr__(self) -> str:
        size = f"{self.n_rows} rows of {self.likes.n_users} users x {self.likes.n_items} items"
        return f"Feedback({size}, {int(self.labels.sum())} liked)"

    def select(self, rows: Any) -> Feedback:
        """Take some rows, in the order given; `likes`, and so their histories, stay as they are.

        So `likes` still tells of the rows left out: to hold rows out of a training, make the parts
        by `from_columns` with `earlier` instead.

        Args:
            rows: Their positions, or a bool mask (rows,).

        Raises:
            TypeError: If `rows` is neither.
            ValueError: If a position is out of range or there twice, or the mask is not one
                value a row.

        >>> rows = Feedback.from_columns([1, 1, 1], [5, 6, 7], [1, 1, 0])
        >>> rows.select([2]).seen
        array([2])
        """
        chosen = row_positions(rows, len(self), "select")
        return replace(
            self,
            users=self.users[chosen],
            items=self.items[chosen],
            labels=self.labels[chosen],
            seen=self.seen[chosen],
        )

    def histories(self, rows: Any = None) -> Interactions:
        """Give each row a history: the first `seen` events of its user, oldest first.

        Args:
            rows: Positions of rows, or a bool mask (rows,); None: all.

        Returns:
            One user a row, whose id is the row's number; the same item axis.

        Raises:
            TypeError: If `rows` is neither.
            ValueError: If a position is out of range or there twice, or the mask is not one
                value a row.

        >>> rows = Feedback.from_columns([1, 1, 1], [5, 6, 7], [1, 1, 0])
        >>> rows.histories([2, 0]).to_arrow().to_pylist()
        [{'user_id': 2, 'item_id': 5}, {'user_id': 2, 'item_id': 6}]
        """
        events = require_order(self.likes, "histories", "likes")
        numbers = np.arange(len(self))
        if rows is not None:
            numbers = row_positions(rows, len(self), "histories")
        sizes = self.seen[numbers]
        indptr = bounds(sizes)
        first = events.indptr[self.users[numbers]]
        past = events.take(indptr, np.repeat(first - indptr[:-1], sizes) + np.arange(indptr[-1]))
        matrix = fold(past, self.likes.n_items, self.likes.duplicates)
        return Interactions(matrix, numbers, self.item_ids, past, self.likes.duplicates)

    def known(self, train: Feedback, least: int = 3) -> NDArray[np.bool_]:
        """Mark the rows whose user and item stand in at least `least` rows of `train` each.

        Users and items are matched by their ids. These rows are the warm ones of Y. Zhang et al.,
        "CoLLM: Integrating Collaborative Embeddings into Large Language Models for Recommendation",
        with `least` 3 in the paper and 1 in the data published with it; the others are cold.

        Returns:
            bool (rows,).

        Raises:
            TypeError: If the ids of one are strings and of the other whole numbers.

        >>> train = Feedback.from_columns([1, 1, 2], [5, 6, 5], [1, 0, 1])
        >>> Feedback.from_columns([1, 1, 2], [5, 6, 5], [1, 0, 1]).known(train, least=2)
        array([ True, False, False])
        """
        require_feedback(train, "known", "train")
        least = count("known", "least", least)
        known = np.ones(len(self), np.bool_)
        for own, ids, rows, known_ids in (
            (self.users, self.user_ids, train.users, train.user_ids),
            (self.items, self.item_ids, train.items, train.item_ids),
        ):
            counts = np.bincount(rows, minlength=len(known_ids) + 1)  # the last for unknown ids
            known &= counts[positions(ids, known_ids, "known")[own]] >= least
        return known

    def with_items(self, item_ids: Any) -> Feedback:
        """Bring rows and likes to another item axis, items matched by their ids.

        Raises:
            TypeError: If one axis is strings and the other whole numbers.
            ValueError: If an item that is liked or in a row is not on the new axis.

        >>> rows = Feedback.from_columns([1, 1], [5, 6], [1, 0])
        >>> rows.with_items([6, 7, 5]).items
        array([2, 0], dtype=int32)
        """
        axis = as_ids(item_ids, "with_items", "item_ids")
        columns = positions(self.item_ids, axis, "with_items")
        used = self.likes.item_counts() > 0
        used[self.items] = True
        lost = np.flatnonzero(used & (columns < 0))
        if len(lost):
            found = f"{len(lost)}, the first {self.item_ids[lost[:1]].tolist()[0]!r}"
            raise ValueError(describe("with_items", "number of unknown items", found, "0"))
        likes = self.likes.with_items(axis)
        if likes is self.likes:
            return self
        return replace(self, likes=likes, items=columns[self.items].astype(np.int32))


def require_feedback(value: object, who: str, what: str) -> None:
    """Refuse what is no `Feedback`."""
    if not isinstance(value, Feedback):
        raise TypeError(describe(who, what, type(value).__name__, "a Feedback"))


def _require_one_length(who: str, *columns: Any) -> None:
    lengths = sorted({len(column) for column in columns})
    if len(lengths) > 1:
        found = " and ".join(map(str, lengths))
        raise ValueError(describe(who, "the columns' length", found, "one length for all"))
