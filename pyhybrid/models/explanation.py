"""Why something was recommended: the history items behind it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from pyhybrid.data.ids import arrow_ids

if TYPE_CHECKING:
    import pyarrow as pa
    from numpy.typing import NDArray

    from pyhybrid.ranking import Ranking

__all__ = ["Explanation"]


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
