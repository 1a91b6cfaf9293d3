"""How much of an item's column is learned, what its text adds, and how far up new items go.

The last is a price, and is chosen from the training data alone, as the scale up to 1 with the
largest joint figure at which that of known targets does not fall. Where times are known, the latest
tenth of the events asks, with the items that came in it: really new items are mostly rare. Else
users are held out, and some items are left few of their interactions or none; these are as popular
as all others, so that the scale comes out larger.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pyhybrid import kernels
from pyhybrid.data.cold import places_in_columns
from pyhybrid.data.held_out import HeldOut
from pyhybrid.data.splits import by_time, strong
from pyhybrid.evaluation import evaluate_ranking
from pyhybrid.ranking import Ranking

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from pyhybrid.data.interactions import Interactions
    from pyhybrid.kernels.core import CSR
    from pyhybrid.models.text_columns import TextRegression

__all__ = ["added", "chosen_texts", "reliability", "text_share", "usual_worths", "young_scale"]

SCALES = (0.2, 0.4, 0.6, 0.8, 1.0)
_USUAL = 0.2  # where there is too little to choose by
_MEANS, _LEAST_WORTH = 1.3, 100.0
_ADDED = 0.7  # of what the texts say, to what is learned
_RELIABLE = 0.1  # of the worth: interactions after which an item's column is half reliable
_N = 10  # the lists that are looked at
_USERS, _FEWEST = 2000, 50  # held out at most, and to choose by at least
_ONE_IN, _LEAST_ITEMS = 4, 2  # of how many users one is held out; the items that one needs
_YOUNG, _EMPTY, _LATEST = 0.2, 0.5, 0.1  # shares of items, of young items, of events
_KNOWN = 0.995  # of known targets' figure without texts, that is left at least
_AS_GOOD = 0.997  # of the best joint figure


def usual_worths(counts: NDArray[np.int64]) -> tuple[float, ...]:
    """Return how many interactions a text may be worth among items with so many, ascending.

    An item is young beside what the others have: half is learned of it after 1.3 times the mean
    number; where most have few, after 100.
    """
    return tuple(sorted({_LEAST_WORTH, max(_LEAST_WORTH, _MEANS * float(counts.mean()))}))


def reliability(counts: NDArray[np.int64], worth: float) -> NDArray[np.float32]:
    """Return v, how much of an item's column is learned rather than noise: float32 (items,).

    What is learned grows with the number n of interactions, its power with n^2, so that
    v = n^2 / (n^2 + (worth / 10)^2).
    """
    n = counts.astype(np.float64)
    return np.asarray(n**2 / (n**2 + (_RELIABLE * worth) ** 2), dtype=np.float32)


def text_share(
    counts: NDArray[np.int64], worth: float, texts: TextRegression
) -> NDArray[np.float32]:
    """Return w = worth^2 / (worth^2 + n^2), what is yet to be learned of an item, in power.

    An item without a text has none: float32 (items,).
    """
    n = counts.astype(np.float64)
    share = worth**2 / (worth**2 + n**2) * texts.features.any(axis=1)
    return np.asarray(share, dtype=np.float32)


def young_scale(share: NDArray[np.float32], scale: float) -> NDArray[np.float32]:
    """Return what a column is multiplied by: `scale` for a new item, towards 1 as it is known."""
    return np.asarray(1 - share * np.float32(1 - scale), dtype=np.float32)


def added(share: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return how much of what the texts say is added to what is learned."""
    return np.asarray(np.float32(_ADDED) * share, dtype=np.float32)


def chosen_texts(
    interactions: Interactions,
    solve: Callable[[CSR], NDArray[np.float32]],
    regress: Callable[[NDArray[np.int64], float], TextRegression],
    *,
    direct: float,
    worths: Sequence[float],
    seed: int,
    threads: int,
) -> tuple[float, float]:
    """Choose what a text is worth, and how far up new items go, among `SCALES`.

    Of the worths the largest is taken whose joint figure is as good as the best, but for 0.3 %: so
    that nothing is lost of an item as it grows up.

    Time: a solve of all items, a regression for each worth, and rankings of 2,000 users at most.
    Fewer than 50 users choose nothing: the largest worth, and a scale of 0.2.

    Args:
        interactions: Of training.
        solve: Learns weights, float32 (items, items), from a matrix of behaviour.
        regress: Makes a regression on texts from the items' counts and a worth.
        direct: What an item of the history adds by itself.
        worths: Interactions after which half of an item is learned, ascending.
        seed: Of what is drawn.
        threads: Of the kernels.

    Returns:
        The worth and the scale.
    """
    timed = interactions.events is not None and interactions.events.times is not None
    problem = _latest(interactions) if timed else _thinned(interactions, seed)
    if problem is None:
        return worths[-1], _USUAL
    trial = _Trial(*problem, solve, direct, threads)
    found = [(worth, *trial.best_scale(regress(trial.counts, worth), worth)) for worth in worths]
    best = max(joint for _, _, joint in found)
    return next((w, scale) for w, scale, joint in reversed(found) if joint >= _AS_GOOD * best)


class _Trial:
    """Rank held-out users by behaviour and by texts, for several strengths.

    Attributes:
        counts: Of the items' training users, int64 (items,).
    """

    def __init__(
        self,
        train: Interactions,
        users: HeldOut,
        young: NDArray[np.bool_],
        solve: Callable[[CSR], NDArray[np.float32]],
        direct: float,
        threads: int,
    ) -> None:
        self.counts, self._young, self._threads = train.item_counts(), young, threads
        self._targets, histories = users.targets, users.histories.matrix
        self._unranked = users.taken_but_targets().matrix
        self._learned = np.asarray(histories @ solve(train.matrix), dtype=np.float32)
        self._said = self._learned + np.float32(direct) * histories.toarray()

    def best_scale(self, texts: TextRegression, worth: float) -> tuple[float, float]:
        """Return the scale with the largest joint figure, of equals the larger one, and the figure.

        Those at which the figure of known targets falls are left out; where it falls at all, that
        of known targets decides.
        """
        found = {scale: self._figures(self._scores(texts, worth, scale)) for scale in SCALES}
        least = _KNOWN * self._figures(self._learned)[1]
        harmless = [scale for scale in SCALES if found[scale][1] >= least]
        if harmless:
            best = max(harmless, key=lambda scale: (found[scale][0], scale))
        else:
            best = max(SCALES, key=lambda scale: (found[scale][1], scale))
        return best, found[best][0]

    def _scores(self, texts: TextRegression, worth: float, scale: float) -> NDArray[np.float32]:
        """Score as the completed weights do: float32 (rows, items)."""
        share = text_share(self.counts, worth, texts)
        found = self._learned + added(share) * texts.of_scores(self._said)
        found *= young_scale(share, scale)
        return found

    def _figures(self, scores: NDArray[np.float32]) -> tuple[float, float]:
        """Return NDCG@10 of all targets and of known ones, all items ranked."""
        items, best = kernels.top_n_scores(
            scores, _N, exclude=self._unranked, threads=self._threads
        )
        targets, no_fallback = self._targets, np.zeros(len(items), dtype=np.bool_)
        ranking = Ranking(items, best, targets.user_ids, targets.item_ids, no_fallback)
        metric = f"ndcg@{_N}"
        report = evaluate_ranking(ranking, targets, [metric], new=self._young)
        known = report["known", metric] if self._young.any() else report[metric]
        return report[metric], 0.0 if np.isnan(known) else known


def _thinned(
    interactions: Interactions, seed: int
) -> tuple[Interactions, HeldOut, NDArray[np.bool_]] | None:
    """Hold users out, and leave some items 0, 1, ... of their interactions; None: too few users.

    Returns:
        What is learned from, the users, and which items are young: bool (items,).
    """
    able = int((np.diff(interactions.matrix.indptr) >= _LEAST_ITEMS).sum())
    users = min(_USERS, able // _ONE_IN)
    if users < _FEWEST:
        return None
    split = strong(interactions, validation=0, test=users, min_user=_LEAST_ITEMS, seed=seed)
    rng = np.random.default_rng([seed, 1])
    train, counts = split.train, split.train.item_counts()
    young = np.zeros(len(counts), dtype=np.bool_)
    candidates = rng.permutation(np.flatnonzero(counts))
    young[candidates[: max(1, int(_YOUNG * len(candidates)))]] = True
    # Half of the young ones keep nothing; the others e^u, u even between 0 and log(1 + n).
    kept = np.floor(np.expm1(rng.random(len(counts)) * np.log1p(counts)))
    kept[rng.random(len(counts)) < _EMPTY] = 0
    limits = np.where(young, kept, np.inf)
    stays = places_in_columns(train, rng) < limits[train.matrix.indices]
    histories = split.test.histories
    is_young = young[histories.matrix.indices]
    users_left = HeldOut(
        histories.keep_pairs(~is_young),
        split.test.targets,
        unranked=histories.keep_pairs(is_young),
    )
    return train.keep_pairs(stays), users_left, young


def _latest(
    interactions: Interactions,
) -> tuple[Interactions, HeldOut, NDArray[np.bool_]] | None:
    """Hold the latest tenth of the events out; None: too few users."""
    try:
        split = by_time(interactions, test=_LATEST, validation=0)
    except ValueError:  # all at one time, or nobody takes anything new
        return None
    rows = np.flatnonzero(np.diff(split.test.histories.matrix.indptr))[:_USERS]
    if len(rows) < _FEWEST:
        return None
    histories, targets = (
        part.select_users(rows) for part in (split.test.histories, split.test.targets)
    )
    return split.train, HeldOut(histories, targets), split.new_columns()
