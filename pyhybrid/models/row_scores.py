"""Scores of labelled rows: how much a user likes one item, after what was liked before."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any

import numpy as np

from pyhybrid.data.feedback import require_feedback
from pyhybrid.data.ids import positions

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pyhybrid.data.feedback import Feedback
    from pyhybrid.data.interactions import Interactions

__all__ = ["RowScores"]

_ROWS = 1024  # rows whose scores of all items are in memory at once


class RowScores(ABC):
    """Give a recommender `score_rows`."""

    @property
    @abstractmethod
    def item_ids(self) -> NDArray[Any]:
        """The ids of the items on the axis, (items,)."""

    @abstractmethod
    def score(self, histories: Interactions) -> NDArray[np.float32]:
        """Score all items for each history: float32 (rows, items)."""

    def score_rows(self, rows: Feedback) -> NDArray[np.float32]:
        """Score each row's item after the row's history: float32 (rows,).

        Labels are not looked at. What the model does not know adds nothing: its items are left out
        of histories, and score 0, as does what it can't rank. A score that is no number stays one,
        so that a model that has come to grief is seen to have.

        Args:
            rows: Of any users and items, matched by their ids.

        Raises:
            NotFittedError: Before `fit`.
            TypeError: If `rows` is no `Feedback`, or the ids of one side are strings.
        """
        scores = self._score_rows(rows, self._row_items("score_rows", rows))
        return np.where(np.isneginf(scores), np.float32(0), scores)

    def _score_rows(self, rows: Feedback, items: NDArray[np.int64]) -> NDArray[np.float32]:
        """Score rows whose items are `items` on the axis, or -1: float32 (rows,)."""
        scores = np.zeros(len(rows), dtype=np.float32)
        known = np.flatnonzero(items >= 0)
        for first in range(0, len(known), _ROWS):
            part = known[first : first + _ROWS]
            whole = self.score(self._row_histories(rows, part))
            scores[part] = whole[np.arange(len(part)), items[part]]
        return scores

    def _row_items(self, who: str, rows: Feedback) -> NDArray[np.int64]:
        """Return the rows' items on the model's axis: int64 (rows,), -1 where it has none."""
        require_feedback(rows, who, "rows")
        return positions(rows.item_ids, self.item_ids, who)[rows.items]

    def _row_histories(self, rows: Feedback, part: Any = None) -> Interactions:
        """Return rows' histories on the model's item axis."""
        return rows.histories(part).with_items(self.item_ids, unknown="drop")
