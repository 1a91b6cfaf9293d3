"""Why something was recommended: the history items behind it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from pyhybrid.data.ids import arrow_ids
from pyhybrid.memory import require_memory

if TYPE_CHECKING:
    import pyarrow as pa
    from numpy.typing import NDArray
    from scipy.sparse import csr_array

    from pyhybrid.ranking import Ranking

__all__ = ["Explanation", "explain_linear"]


@dataclass(frozen=True, eq=False)
class Explanation:
    """Hold the history items behind recommendations.

    Attributes:
        ranking: What is explained.
        items: int32 (rows, ranked, n), positions on the item axis, largest contribution first;
            -1 where there are fewer.
        contributions: float32 (rows, ranked, n), the parts of the score.
    """

    ranking: Ranking
    items: NDArray[np.int32]
    contributions: NDArray[np.float32]

    def to_arrow(self) -> pa.Table:
        """Return user_id, item_id, history_item_id, contribution: one row a history item."""
        import pyarrow as pa

        row, rank, place = np.nonzero(self.items >= 0)
        item_ids = arrow_ids(self.ranking.item_ids)
        return pa.table(
            {
                "user_id": arrow_ids(self.ranking.row_ids).take(pa.array(row)),
                "item_id": item_ids.take(pa.array(self.ranking.items[row, rank])),
                "history_item_id": item_ids.take(pa.array(self.items[row, rank, place])),
                "contribution": pa.array(self.contributions[row, rank, place]),
            }
        )


def explain_linear(
    ranking: Ranking,
    histories: csr_array[np.float32],
    weights: NDArray[np.float32],
    carriers_at: NDArray[np.int32],
    rankable: NDArray[np.int32],
    n: int,
) -> Explanation:
    """Explain a score that is a sum over the history of value x weight, by its n largest terms.

    Args:
        ranking: What was recommended.
        histories: What from, (rows, carriers).
        weights: float32 (carriers, rankable), from history items to ranked ones.
        carriers_at: int32, the positions of the weights' rows on the item axis.
        rankable: int32, those of their columns, ascending.
        n: History items a recommendation.
    """
    shape = (*ranking.items.shape, n)
    needed = 8 * int(np.prod(shape))
    require_memory("explain", f"{shape} terms", needed, "them", "explain fewer rows at a time")
    carriers = np.full(shape, -1, dtype=np.int32)
    contributions = np.zeros(shape, dtype=np.float32)
    for row in np.flatnonzero(~ranking.fallback):
        entries = slice(histories.indptr[row], histories.indptr[row + 1])
        history = histories.indices[entries]
        ranked = ranking.items[row][ranking.items[row] >= 0]
        places = np.searchsorted(rankable, ranked)
        terms = histories.data[entries, None] * weights[np.ix_(history, places)]
        best = np.argsort(-terms, axis=0, kind="stable")[:n].T  # (ranked, at most n)
        carriers[row, : len(ranked), : best.shape[1]] = carriers_at[history[best]]
        contributions[row, : len(ranked), : best.shape[1]] = np.take_along_axis(
            terms.T, best, axis=1
        )
    return Explanation(ranking, carriers, contributions)
