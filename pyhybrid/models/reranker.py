"""What the models share that score pairs one by one: they rank what a sooner model has chosen."""

from __future__ import annotations

from abc import abstractmethod
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from pyhybrid.checks import count
from pyhybrid.data.ids import positions
from pyhybrid.data.matrices import rows_of
from pyhybrid.models.base import Recommender
from pyhybrid.models.parts import new_part, part_params

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from numpy.typing import NDArray
    from scipy.sparse import csr_array

    from pyhybrid.data.catalog import Catalog
    from pyhybrid.data.feedback import Feedback
    from pyhybrid.data.interactions import Interactions
    from pyhybrid.kernels.core import TopN

__all__ = ["Reranker"]

_ROWS = 256  # histories whose pairs are scored at once

# Of the models that choose candidates; with texts, so that new items are among them.
_USUAL: dict[str, dict[str, Any]] = {"ESLER": {"text": "tfidf"}}


class Reranker(Recommender):
    """Rank the `top` candidates of another model anew, by a score of each pair.

    Where `among` allows a row no more than `top` items, these are its candidates. `score` gives
    -inf to all other items than the candidates; `score_rows` asks for no candidates. Candidates
    come from histories, so that a user's are the same whoever else is asked about.

    A model implements `_pair_scores`, and calls `_set_candidates` and `_fit_candidates`.
    """

    scores_cold_items: bool = True
    candidate_params: dict[str, Any] | None
    _first: Recommender

    def _set_candidates(
        self, who: str, candidates: str, candidate_params: Mapping[str, Any] | None, top: int
    ) -> None:
        """Check and keep which model chooses the candidates, and how many."""
        self.candidates = candidates
        self.candidate_params = None
        usual = _USUAL.get(candidates) if candidate_params is None else candidate_params
        self._first_params = part_params(who, "candidate", candidates, usual)
        if candidate_params is not None:
            self.candidate_params = self._first_params
        self.top = count(who, "top", top)

    def _fit_candidates(
        self,
        interactions: Interactions,
        catalog: Catalog | None,
        threads: int,
        report: Callable[[float], object] | None,
    ) -> None:
        self._first = new_part(self.candidates, self._first_params, self)
        self._first.fit(interactions, catalog, threads=threads, progress=report or False)

    @abstractmethod
    def _pair_scores(
        self, histories: Interactions, rows: NDArray[np.int64], items: NDArray[np.int64]
    ) -> NDArray[np.float32]:
        """Score pairs of a history and an item: float32 (pairs,), finite.

        `rows` says whose history, ascending; `items` are positions on the axis.
        """

    def _held_to(self, threads: int) -> AbstractContextManager[object]:
        """Hold what scores pairs to a number of threads."""
        del threads
        return nullcontext()

    def _rank(
        self,
        histories: Interactions,
        n: int,
        exclude: csr_array[np.float32] | None,
        among: NDArray[np.int32] | None,
        threads: int,
    ) -> TopN:
        candidates = self._candidates(histories, exclude, among, threads)  # (rows, top)
        with self._held_to(threads):
            scores = self._scores_of(histories, candidates)
        order = np.lexsort((candidates, -scores), axis=1)[:, :n]
        items = np.full((len(candidates), n), -1, dtype=np.int32)
        best = np.full((len(candidates), n), -np.inf, dtype=np.float32)
        items[:, : order.shape[1]] = np.take_along_axis(candidates, order, axis=1)
        best[:, : order.shape[1]] = np.take_along_axis(scores, order, axis=1)
        return items, best

    def _score(self, histories: Interactions) -> NDArray[np.float32]:
        candidates = self._candidates(histories, None, None, 0)
        found = np.full((histories.n_users, len(self.item_ids)), -np.inf, dtype=np.float32)
        rows, places = np.nonzero(candidates >= 0)
        found[rows, candidates[rows, places]] = self._scores_of(histories, candidates)[rows, places]
        return found

    def _score_rows(self, rows: Feedback, items: NDArray[np.int64]) -> NDArray[np.float32]:
        known = np.flatnonzero(items >= 0)
        scores = np.zeros(len(rows), dtype=np.float32)
        histories, candidates = self._row_histories(rows, known), items[known, None]
        scores[known] = self._scores_of(histories, candidates.astype(np.int32))[:, 0]
        return scores

    def _scores_of(
        self, histories: Interactions, candidates: NDArray[np.int32]
    ) -> NDArray[np.float32]:
        """Score candidates, (rows, c), and give -inf to the places without one."""
        scores = np.full(candidates.shape, -np.inf, dtype=np.float32)
        for first in range(0, len(candidates), _ROWS):
            part = np.arange(first, min(first + _ROWS, len(candidates)))
            rows, places = np.nonzero(candidates[part] >= 0)
            if len(rows):
                own = histories.select_users(part)
                items = candidates[part[rows], places].astype(np.int64)
                scores[part[rows], places] = self._pair_scores(own, rows, items)
        return scores

    def _candidates(
        self,
        histories: Interactions,
        exclude: csr_array[np.float32] | None,
        among: NDArray[np.int32] | None,
        threads: int,
    ) -> NDArray[np.int32]:
        """Return each history's candidates on the axis: int32 (rows, top), -1 for none."""
        found = np.full((histories.n_users, self.top), -1, dtype=np.int32)
        many = np.arange(histories.n_users)  # rows for which the sooner model chooses
        if among is not None:
            given, are_few = _given(among, self.top)
            found[:, : given.shape[-1]] = given
            many = many[~np.broadcast_to(are_few, many.shape)]
        if len(many):
            own = among if among is None or among.ndim == 1 else among[many]
            unranked = None if exclude is None else exclude[many]
            found[many] = self._chosen(histories.select_users(many), unranked, own, threads)
        return found if exclude is None else _without(found, exclude)

    def _chosen(
        self,
        histories: Interactions,
        exclude: csr_array[np.float32] | None,
        among: NDArray[np.int32] | None,
        threads: int,
    ) -> NDArray[np.int32]:
        """Return the sooner model's best: int32 (rows, top), -1 for none."""
        first = self._first
        if among is not None:
            there = positions(self.item_ids, first.item_ids, "recommend")  # -1: it has no such
            among = np.where(among >= 0, there[among], -1).astype(np.int32)
        seen = histories.with_items(first.item_ids, unknown="drop")
        unranked = None if exclude is None else replace(histories, matrix=exclude, events=None)
        chosen = first.recommend(
            seen, self.top, exclude_seen=False, among=among, unranked=unranked, threads=threads
        ).items
        here = positions(first.item_ids, self.item_ids, "recommend")
        return np.where(chosen >= 0, here[chosen], -1).astype(np.int32)


def _given(among: NDArray[np.int32], top: int) -> tuple[NDArray[np.int32], NDArray[np.bool_]]:
    """Return the last `top` of the allowed items, each once, and whether these are all of them."""
    among = np.sort(among, axis=-1)
    among[..., 1:][among[..., 1:] == among[..., :-1]] = -1
    return np.sort(among, axis=-1)[..., -top:], (among >= 0).sum(axis=-1) <= top


def _without(candidates: NDArray[np.int32], exclude: csr_array[np.float32]) -> NDArray[np.int32]:
    """Put -1 in the place of candidates that a row's history holds."""
    width = exclude.shape[1]
    taken = rows_of(exclude.indptr) * width + exclude.indices  # ascending: rows are canonical
    wanted = np.arange(len(candidates))[:, None] * width + candidates
    is_taken = np.isin(wanted, taken) & (candidates >= 0)
    return np.where(is_taken, np.int32(-1), candidates)
