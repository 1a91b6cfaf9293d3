"""What a split gives: interactions to train on, and held-out histories with their targets."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np

from pyhybrid.data.ids import positions
from pyhybrid.data.matrices import bounds, csr, rows_of
from pyhybrid.errors import describe

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pyhybrid.data.ids import Ids
    from pyhybrid.data.interactions import Interactions

__all__ = [
    "HeldOut",
    "NewShares",
    "Split",
    "hold_out",
    "of_users",
    "pairs_in",
    "refuse_leak",
    "union",
]


@dataclass(frozen=True, eq=False)
class HeldOut:
    """Hold what a model sees of some users and what it should then recommend to them.

    Attributes:
        histories: What a model scores from.
        targets: What it should find: the same users in the same rows, on the same item axis.
        exclude_seen: Whether what is in a history may be left out of the ranking. False where a
            seen item may be the right answer (``leave_last(repeats="keep")``).
        unranked: What the users took besides, the same users in the same rows: not known to a
            model, and no target either, so that to rank it would be counted as wrong where it is
            right. It is never ranked for them. None: nothing.

    Raises:
        ValueError: If the users or the items of the parts differ, if a target is in its user's
            history although `exclude_seen` is True, or among what is not ranked.

    >>> from pyhybrid.data import Interactions
    >>> seen = Interactions.from_columns([1, 2], [10, 11])
    >>> HeldOut(seen, seen)
    Traceback (most recent call last):
    ...
    ValueError: HeldOut: number of targets that are in histories is 2 (first: user 1, item 10); \
expected 0
    """

    histories: Interactions
    targets: Interactions
    exclude_seen: bool = True
    unranked: Interactions | None = None

    def __post_init__(self) -> None:
        histories, targets = self.histories, self.targets
        for part in (targets,) if self.unranked is None else (targets, self.unranked):
            _require_same("HeldOut", "user_ids", histories.user_ids, part.user_ids)
            _require_same("HeldOut", "item_ids", histories.item_ids, part.item_ids)
        if self.exclude_seen:
            refuse_leak("HeldOut", "targets", targets, "histories", histories)
        if self.unranked is not None:
            refuse_leak("HeldOut", "targets", targets, "unranked", self.unranked)

    def taken(self) -> Interactions:
        """Return all that the users took: history, targets, and what is not ranked."""
        both = union(self.targets, self.histories)
        return both if self.unranked is None else union(both, self.unranked)

    def taken_but_targets(self) -> Interactions:
        """Return what is not ranked for the users if what they have seen is not."""
        return self.histories if self.unranked is None else union(self.unranked, self.histories)

    def with_items(self, item_ids: Ids, *, unknown: Literal["error", "drop"] = "error") -> HeldOut:
        """Bring all parts to another item axis; what it lacks is an error, or left out.

        What is not ranked is left out where the axis lacks it, as it can't be ranked.
        """
        others = self.unranked
        return HeldOut(
            self.histories.with_items(item_ids, unknown=unknown),
            self.targets.with_items(item_ids, unknown=unknown),
            self.exclude_seen,
            None if others is None else others.with_items(item_ids, unknown="drop"),
        )

    def __repr__(self) -> str:
        unranked = 0 if self.unranked is None else self.unranked.matrix.nnz
        more = f", {unranked} pairs unranked" * bool(unranked)
        size = f"{self.targets.matrix.nnz} targets of {self.targets.n_users} users"
        return f"HeldOut({size}{more})"


class NewShares(NamedTuple):
    """Hold the share that new items have of what there is in a split; prints as percentages.

    Attributes:
        items: Of the items on the axis.
        events: Of all that the test users took: history, targets, and what is not ranked.
        targets: Of the test targets. Above the share of the events, more of the new items'
            events are targets than of the others', as in `splits.cold_stress`.
    """

    items: float
    events: float
    targets: float

    def __str__(self) -> str:
        named = zip(self._fields, self, strict=True)
        return ", ".join(f"{share:.1%} of the {name}" for name, share in named)


@dataclass(frozen=True, eq=False)
class Split:
    """Hold train, test and perhaps validation, with no held-out pair in train.

    All parts share one item axis, so that train may have items without an entry.

    Attributes:
        train: What models learn from.
        test: Held-out histories and targets.
        validation: The same for choosing hyper-parameters, or None.
        new_items: Ids of the items that were hidden from training on purpose, wholly or but for
            `kept` of their users.
        kept: How many training users a new item has at most; None: all that it had.

    Raises:
        ValueError: If train is empty, the item axes differ, a target is in train (unless its
            part has `exclude_seen` False), or a new item is unknown, in a history, or has more
            than `kept` users in train.

    >>> from pyhybrid.data import Interactions, splits
    >>> data = Interactions.from_columns([1, 1, 1, 2], [10, 11, 12, 10], ordered=True)
    >>> splits.leave_last(data)
    Split(2 pairs of 2 users, test=HeldOut(1 targets of 1 users), \
validation=HeldOut(1 targets of 1 users), new items: 66.7% of the items, 66.7% of the events, \
100.0% of the targets)
    """

    train: Interactions
    test: HeldOut
    validation: HeldOut | None = None
    new_items: NDArray[Any] = field(default_factory=lambda: np.empty(0, dtype=np.int64))
    kept: int | None = 0

    def __post_init__(self) -> None:
        if not self.train.matrix.nnz:
            raise ValueError(describe("Split", "number of pairs in train", 0, "at least one"))
        columns = positions(self.train.item_ids, self.new_items) >= 0
        known = int(columns.sum())
        if known < len(self.new_items):
            what = "number of new_items that are on the item axis"
            raise ValueError(describe("Split", what, known, f"all {len(self.new_items)}"))
        most = int(self.train.item_counts()[columns].max(initial=0))
        if self.kept is not None and most > self.kept:
            what = "largest number of training users of a new item"
            raise ValueError(describe("Split", what, most, f"at most {self.kept} (kept=)"))
        for name, part in self.held_out.items():
            _require_same("Split", "item_ids", self.train.item_ids, part.targets.item_ids)
            if part.exclude_seen:
                refuse_leak("Split", f"{name} targets", part.targets, "train", self.train)
            entries = int(part.histories.item_counts()[columns].sum())
            if entries:
                what = f"number of entries of new items in {name} histories"
                raise ValueError(describe("Split", what, entries, "0"))
        if self.validation is not None and self.test.exclude_seen:
            wanted, other = self.test.targets, self.validation
            refuse_leak("Split", "test targets", wanted, "validation targets", other.targets)
            refuse_leak("Split", "test targets", wanted, "validation histories", other.histories)

    @property
    def held_out(self) -> dict[str, HeldOut]:
        """Name the held-out parts there are: "test", then "validation"."""
        parts = {"test": self.test, "validation": self.validation}
        return {name: part for name, part in parts.items() if part is not None}

    @property
    def cold_items(self) -> NDArray[Any]:
        """Ids of the `new_items` that training has nothing of."""
        has_none = self.train.item_counts()[self.new_positions()] == 0
        return np.asarray(self.new_items[has_none])

    def new_columns(self, fewer_than: int = 0) -> NDArray[np.bool_]:
        """Mark the new items on the item axis: bool (items,).

        Args:
            fewer_than: Items with fewer training users than this are new; so are those without
                any, and `new_items`.
        """
        columns = self.train.item_counts() < max(fewer_than, 1)
        columns[self.new_positions()] = True
        return np.asarray(columns)

    def new_shares(self, fewer_than: int = 0) -> NewShares:
        """Return the share of new items among the items, the test users' events, and the targets.

        Args:
            fewer_than: As `new_columns` has it.
        """
        is_new, test = self.new_columns(fewer_than), self.test
        counts = np.ones(len(is_new)), test.taken().item_counts(), test.targets.item_counts()
        return NewShares(*(float(of[is_new].sum() / of.sum()) for of in counts))

    def new_positions(self) -> NDArray[np.int64]:
        """Find `new_items` on the item axis: int64 (new items,)."""
        return positions(self.new_items, self.train.item_ids)

    def __repr__(self) -> str:
        size = f"{self.train.matrix.nnz} pairs of {self.train.n_users} users"
        held_out = ", ".join(f"{name}={part}" for name, part in self.held_out.items())
        kept = "" if self.kept == 0 else f" ({'all' if self.kept is None else self.kept} kept)"
        return f"Split({size}, {held_out}, new items{kept}: {self.new_shares()})"


def pairs_in(part: Interactions, whole: Interactions) -> NDArray[np.bool_]:
    """Mark the pairs of `part` that are in `whole`, users matched by id: bool (pairs of part,).

    Both are on one item axis.

    >>> from pyhybrid.data import Interactions
    >>> whole = Interactions.from_columns([1, 1, 2], [10, 11, 10])
    >>> part = Interactions.from_columns([2, 2, 3], [10, 11, 10])
    >>> pairs_in(part, whole)
    array([ True, False, False])
    """
    if not whole.matrix.nnz:
        return np.zeros(part.matrix.nnz, dtype=np.bool_)
    users = positions(part.user_ids, whole.user_ids)  # -1 where unknown: a key below all others
    wanted = _keys(users[rows_of(part.matrix.indptr)], part)
    known = _keys(rows_of(whole.matrix.indptr), whole)  # ascending: the matrix is canonical
    places = np.minimum(np.searchsorted(known, wanted), len(known) - 1)
    return np.equal(known[places], wanted)


def hold_out(
    who: str,
    histories: Interactions,
    targets: Interactions,
    *,
    exclude_seen: bool = True,
    unranked: Interactions | None = None,
) -> HeldOut:
    """Take the users that have a target; `who` splits, as errors name it.

    Raises:
        ValueError: If nobody has one.

    >>> from pyhybrid.data import Interactions
    >>> data = Interactions.from_columns([1, 2], [10, 11])
    >>> is_target = np.array([True, False])
    >>> hold_out("split", data.keep_pairs(~is_target), data.keep_pairs(is_target))
    HeldOut(1 targets of 1 users)
    """
    rows = np.flatnonzero(np.diff(targets.matrix.indptr))
    if not len(rows):
        raise ValueError(describe(who, "number of users with a target", 0, "at least one"))
    others = None if unranked is None else unranked.select_users(rows)
    return HeldOut(histories.select_users(rows), targets.select_users(rows), exclude_seen, others)


def of_users(some: Interactions, user_ids: Ids) -> Interactions:
    """Return what some users have, in their order; nothing where they are unknown, and no events.

    >>> from pyhybrid.data import Interactions
    >>> of_users(Interactions.from_columns([1, 2], [10, 11]), np.array([2, 3])).matrix.toarray()
    array([[0., 1.],
           [0., 0.]], dtype=float32)
    """
    rows, matrix = positions(user_ids, some.user_ids), some.matrix
    sizes = np.where(rows >= 0, np.diff(matrix.indptr)[rows], 0)
    indptr = bounds(sizes)
    entries = np.repeat(matrix.indptr[rows] - indptr[:-1], sizes) + np.arange(indptr[-1])
    shape = (len(user_ids), some.n_items)
    own = csr(matrix.data[entries], matrix.indices[entries], indptr, shape)
    return replace(some, user_ids=user_ids, matrix=own, events=None)


def union(targets: Interactions, more: Interactions) -> Interactions:
    """Add to `targets` the pairs of the same users that it has not; the order of events is lost.

    >>> from pyhybrid.data import Interactions
    >>> both = Interactions.from_columns([1, 1], [10, 11])
    >>> one = both.keep_pairs(np.array([False, True]))
    >>> union(one, both).matrix.toarray().tolist()
    [[1.0, 1.0]]
    """
    parts = targets, more.keep_pairs(~pairs_in(more, targets))
    rows = np.concatenate([rows_of(part.matrix.indptr) for part in parts])
    columns = np.concatenate([part.matrix.indices for part in parts])
    weights = np.concatenate([part.matrix.data for part in parts])
    order = np.lexsort((columns, rows))
    indptr = bounds(np.bincount(rows, minlength=targets.n_users))
    matrix = csr(weights[order], columns[order], indptr, targets.shape)
    return replace(targets, matrix=matrix, events=None)


def _keys(rows: NDArray[np.int64], data: Interactions) -> NDArray[np.int64]:
    return rows * data.n_items + data.matrix.indices


def _require_same(who: str, axis: str, ids: NDArray[Any], others: NDArray[Any]) -> None:
    if ids is not others and not np.array_equal(ids, others):
        raise ValueError(describe(who, axis, "not the same in all parts", "one axis for all"))


def refuse_leak(
    who: str,
    what: str,
    targets: Interactions,
    where: str,
    seen: Interactions,
    way_out: str | None = None,
) -> None:
    """Raise ValueError if a target is among the pairs in `seen`, which are on the same item axis.

    >>> from pyhybrid.data import Interactions
    >>> data = Interactions.from_columns([1, 2], [10, 11])
    >>> refuse_leak("fit", "targets", data, "train", data)
    Traceback (most recent call last):
    ValueError: fit: number of targets that are in train is 2 (first: user 1, item 10); expected 0
    """
    leaks = np.flatnonzero(pairs_in(targets, seen))
    if len(leaks):
        user = targets.user_ids[rows_of(targets.matrix.indptr)[leaks[0]]]
        item = targets.item_ids[targets.matrix.indices[leaks[0]]]
        found = f"{len(leaks)} (first: user {user}, item {item})"
        what = f"number of {what} that are in {where}"
        raise ValueError(describe(who, what, found, "0", way_out))
