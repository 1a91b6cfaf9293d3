"""What known items lose where new ones gain: both, as the scores of new items are let up.

A model that ranks new items among known ones can place them as high as one likes, by a factor on
their scores or an offset to them, so that one pair of figures says little of it. The curve of both
over all factors says all: S, the NDCG of known targets among all items, beside U, that of new
targets among all; and the area under it, U over S, is one number for how well new items are told
apart, whatever their price. From W.-L. Chao et al., "An Empirical Study and Analysis of Generalized
Zero-Shot Learning for Object Recognition in the Wild", ECCV 2016, who let classes up so (calibrated
stacking).

The curve is exact, at every factor at once. In a list of known items with scores a_1 >= a_2 >= ...
and new ones with b_1 >= b_2 >= ..., new item j comes before known item i from the factor a_i / b_j
on (the offset a_i - b_j). There known item i moves from rank i + j - 1 to i + j and new item j the
other way, so that with g(r) = D(r) - D(r + 1), the loss in discount of one rank, S falls by
g(i + j - 1) where i is a target, and U rises by as much where j is one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

import numpy as np

from pyhybrid.data.matrices import rows_of
from pyhybrid.errors import describe

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pyhybrid.data.interactions import Interactions
    from pyhybrid.ranking import Ranking

    By: TypeAlias = Literal["factor", "offset"]

__all__ = ["Tradeoff", "tradeoff"]

_ROWS = 4096  # users whose lists are set beside each other at once


@dataclass(frozen=True)
class Tradeoff:
    """Hold what known items lose where new ones gain.

    The first point is that of no new item in a list that known ones can fill; the k-th point of
    the curve holds from ``steps[k]`` on, up to the next one.

    Attributes:
        n: The length of the lists; the figures are NDCG@n.
        by: Whether new items' scores are multiplied by a "factor" or an "offset" is added.
        steps: float64 (points,), ascending; the first is 0 for a factor, -inf for an offset.
        known: float64 (points,), S: the mean over the users with a known target.
        new: float64 (points,), U: the mean over the users with a new target.
        joint: float64 (points,), the mean over the users with any target.
        share: float64 (points,), the share of new items in the lists.
        placed: float64 (3, n + 1): S, U and joint where each list has exactly m places for new
            items, m from 0 to n, as ``recommend(new_items=(m, m))`` fills them.

    >>> from pyhybrid import ESLER, Popularity, evaluate
    >>> from pyhybrid.data import splits, synthetic
    >>> interactions, catalog = synthetic.topics(users=200, items=50)
    >>> split = splits.cold_items(splits.strong(interactions))
    >>> model = ESLER(l2=20.0, text="tfidf").fit(split.train, catalog)
    >>> found = evaluate(model, split.test, ["ndcg@10"], name="esler").tradeoffs["esler"]
    >>> bool(found.known[0] >= found.known[-1]), bool(found.new[0] <= found.new[-1])
    (True, True)
    """

    n: int
    by: By
    steps: NDArray[np.float64]
    known: NDArray[np.float64]
    new: NDArray[np.float64]
    joint: NDArray[np.float64]
    share: NDArray[np.float64]
    placed: NDArray[np.float64]

    @property
    def area(self) -> float:
        """The area under U over S, between 0 and 1; NaN without targets of both kinds."""
        if np.isnan(self.known[0] + self.new[0]):
            return float("nan")
        return float(((self.new[1:] + self.new[:-1]) / 2 * -np.diff(self.known)).sum())

    def at(self, step: float) -> tuple[float, float, float, float]:
        """Return S, U, joint and the share of new items at a factor or an offset."""
        point = max(int(np.searchsorted(self.steps, step, side="right")) - 1, 0)
        found = (self.known, self.new, self.joint, self.share)
        return tuple(float(of[point]) for of in found)  # type: ignore[return-value]

    @property
    def as_scored(self) -> tuple[float, float, float, float]:
        """S, U, joint and the share of new items, with the scores as they are."""
        return self.at(1.0 if self.by == "factor" else 0.0)

    @property
    def best(self) -> tuple[float, float]:
        """The step from which the joint figure is largest, and that figure."""
        point = int(np.argmax(self.joint))
        return float(self.steps[point]), float(self.joint[point])


def tradeoff(
    known: Ranking,
    new: Ranking,
    targets: Interactions,
    is_new: NDArray[np.bool_],
    n: int,
    *,
    by: By,
    weights: NDArray[np.float64] | None = None,
) -> Tradeoff:
    """Make the curve from the best n known items of each user, and the best n new ones.

    Time: n^2 comparisons a user. A user whose lists come from a fallback keeps the known items:
    the scores of a fallback say nothing of new ones.

    Args:
        known: The ranking of known items alone, n items or more a user.
        new: That of new items alone, by the same model for the same users.
        targets: What they should find, on the same axes.
        is_new: bool (items,).
        n: The length of the joint lists, which NDCG@n looks at.
        by: "factor" suits scores that grow with the history, as sums over it do; "offset" logits.
            A factor moves no score of 0 or below: there the order stays that of the scores.
        weights: How often each user counts, (users,), for a bootstrap; None: once.

    Raises:
        ValueError: If the rankings have other users or items, or fewer than n items a user.
    """
    for ranking in (known, new):
        ranking.require_axes("tradeoff", targets.user_ids, targets.item_ids)
        if ranking.n < n:
            raise ValueError(describe("tradeoff", "the rankings' n", ranking.n, f"{n} or more"))
    times = np.ones(len(known)) if weights is None else np.asarray(weights, dtype=np.float64)
    discount = np.concatenate([1 / np.log2(np.arange(2, n + 2)), np.zeros(n + 1)])  # D, rank 0 on
    worth = _worth(targets, is_new, discount[:n], times)
    listed = times / (n * (times.sum() or 1.0))  # a place's share of all places, by user
    base, placed = np.zeros(4), np.zeros((3, n + 1))
    steps, changes = [np.empty(0)], [np.empty((4, 0))]
    for first in range(0, len(known), _ROWS):
        rows = np.arange(first, min(first + _ROWS, len(known)))
        lists = _Lists.of(known, new, targets, rows, n, by)
        base += lists.at_first(discount, worth[:, rows], listed[rows])
        placed += lists.placed(discount, worth[:, rows])
        own_steps, own_changes = lists.moves(discount, worth[:, rows], listed[rows])
        steps.append(own_steps)
        changes.append(own_changes)
    nobody = ~(worth != 0).any(axis=1)  # no user counts, or none has such a target
    base[:3][nobody] = placed[nobody] = np.nan
    points, values = _curve(np.concatenate(steps), np.hstack(changes), base, by)
    known_figures, new_figures, joint, shares = values
    return Tradeoff(n, by, points, known_figures, new_figures, joint, shares, placed)


@dataclass(frozen=True)
class _Lists:
    """The best items of some users, and when each new one comes before each known one.

    Attributes:
        hits: Which of the known and of the new items are targets: float64 (rows, n) each.
        there: How many known and new items there are: int64 (rows, 1) each.
        steps: From where on new item j comes before known item i: float64 (rows, n, n).
        now: The factor or offset that leaves scores as they are.
    """

    hits: tuple[NDArray[np.float64], NDArray[np.float64]]
    there: tuple[NDArray[np.int64], NDArray[np.int64]]
    steps: NDArray[np.float64]
    now: float

    @classmethod
    def of(
        cls,
        known: Ranking,
        new: Ranking,
        targets: Interactions,
        rows: NDArray[np.int64],
        n: int,
        by: By,
    ) -> _Lists:
        items = [ranking.items[rows, :n] for ranking in (known, new)]
        items[1] = np.where(new.fallback[rows, None], np.int32(-1), items[1])
        a, b = (ranking.scores[rows, :n].astype(np.float64) for ranking in (known, new))
        later = items[1][:, None, :] > items[0][:, :, None]  # of equals the lower index is first
        steps = _steps(a[:, :, None], b[:, None, :], later, by)
        now = 1.0 if by == "factor" else 0.0
        steps[np.broadcast_to((items[0] < 0)[:, :, None], steps.shape)] = -np.inf
        steps[np.broadcast_to((items[1] < 0)[:, None, :], steps.shape)] = np.inf
        hits = [_hits(of, targets, rows) for of in items]
        there = [(of >= 0).sum(axis=1, keepdims=True) for of in items]
        return cls((hits[0], hits[1]), (there[0], there[1]), steps, now)

    def at_first(
        self, discount: NDArray[np.float64], worth: NDArray[np.float64], listed: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """Return S, U, joint and share with new items behind all known ones: float64 (4,)."""
        n = self.steps.shape[1]
        known, new = self.there
        places = np.arange(n)
        ranks = np.minimum(known + places, 2 * n)  # of the new items
        gains = self.hits[0] @ discount[:n], (self.hits[1] * discount[ranks]).sum(axis=1)
        shown = np.minimum(n - known, new)[:, 0]
        return np.array([*_means(*gains, worth), listed @ shown])

    def placed(
        self, discount: NDArray[np.float64], worth: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """Return S, U and joint with m places for new items, m from 0 to n: float64 (3, n + 1)."""
        n = self.steps.shape[1]
        known, new = self.there
        order = np.arange(n)
        is_before = self.steps <= self.now  # (rows, known, new)
        found = np.empty((3, n + 1))
        for m in range(n + 1):
            places = np.maximum(np.minimum(m, new), np.minimum(n - known, new))  # (rows, 1)
            shown = order < n - places, order < places
            of_known = order + (is_before & shown[1][:, None, :]).sum(axis=2)
            of_new = order + (~is_before & shown[0][:, :, None]).sum(axis=1)
            known_gains = (self.hits[0] * shown[0] * discount[of_known]).sum(axis=1)
            new_gains = (self.hits[1] * shown[1] * discount[of_new]).sum(axis=1)
            found[:, m] = _means(known_gains, new_gains, worth)
        return found

    def moves(
        self, discount: NDArray[np.float64], worth: NDArray[np.float64], listed: NDArray[np.float64]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return where what changes: steps (moves,), and by how much, float64 (4, moves)."""
        n = self.steps.shape[1]
        rank = np.add.outer(np.arange(n), np.arange(n))  # before the move, of the known item
        lost = discount[rank] - discount[rank + 1]  # g; 0 beyond the list
        matters = (self.hits[0][:, :, None] + self.hits[1][:, None, :] > 0) & (rank < n)
        matters |= rank == n - 1
        rows, i, j = np.nonzero(matters & np.isfinite(self.steps))
        loss, gain = (
            hits[rows, of] * lost[i, j] for hits, of in zip(self.hits, (i, j), strict=True)
        )
        changes = [-loss * worth[0, rows], gain * worth[1, rows], (gain - loss) * worth[2, rows]]
        return self.steps[rows, i, j], np.stack([*changes, listed[rows] * (i + j == n - 1)])


def _steps(
    a: NDArray[np.float64], b: NDArray[np.float64], later: NDArray[np.bool_], by: By
) -> NDArray[np.float64]:
    """Return from where on a score b is before a score a, whose item may be the earlier of equals.

    A factor moves no score of 0 or below: such a one is before another at every factor, or never.
    """
    is_equal = (a == b) & later
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        if by == "offset":
            return np.where(is_equal, np.nextafter(0.0, 1.0), a - b)
        of_positive = np.where(is_equal, np.nextafter(1.0, 2.0), np.maximum(a, 0.0) / b)
        return np.where(b > 0, of_positive, np.where((b >= a) & ~is_equal, 0.0, np.inf))


def _hits(
    items: NDArray[np.int32], targets: Interactions, rows: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Mark the items that are targets of their row's user: float64, 1 or 0."""
    matrix = targets.matrix[rows]
    wanted = rows_of(matrix.indptr) * matrix.shape[1] + matrix.indices
    keys = np.arange(len(items))[:, None] * matrix.shape[1] + items
    return (np.isin(keys, wanted) & (items >= 0)).astype(np.float64)


def _worth(
    targets: Interactions,
    is_new: NDArray[np.bool_],
    discount: NDArray[np.float64],
    times: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Return what a user's gain adds to S, U and joint: float64 (3, users)."""
    ideal = np.concatenate([[np.inf], np.cumsum(discount)])
    row, column = rows_of(targets.matrix.indptr), targets.matrix.indices
    found = np.empty((3, targets.n_users))
    for place, counted in enumerate((~is_new[column], is_new[column], np.ones(len(column), bool))):
        wanted = np.bincount(row[counted], minlength=targets.n_users)
        users = times[wanted > 0].sum() or 1.0
        found[place] = times / ideal[np.minimum(wanted, len(discount))] / users
    return found


def _means(
    known: NDArray[np.float64], new: NDArray[np.float64], worth: NDArray[np.float64]
) -> tuple[float, float, float]:
    """Weigh what each user gains of known and of new targets: S, U and joint."""
    return float(worth[0] @ known), float(worth[1] @ new), float(worth[2] @ (known + new))


def _curve(
    steps: NDArray[np.float64], changes: NDArray[np.float64], base: NDArray[np.float64], by: By
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Add up the moves, those of one step together: steps, and S, U, joint, share (4, points)."""
    start = 0.0 if by == "factor" else -np.inf
    order = np.argsort(steps, kind="stable")
    steps, changes = steps[order], changes[:, order]
    is_last = np.append(steps[1:] != steps[:-1], True)[: len(steps)]
    values = base[:, None] + np.cumsum(changes, axis=1)
    points = np.concatenate([[start], steps[is_last]])
    return points, np.hstack([base[:, None], values[:, is_last]])
