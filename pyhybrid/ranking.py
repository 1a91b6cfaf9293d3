"""A ranking: the best items of each user."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from pyhybrid import kernels
from pyhybrid.checks import check_dense
from pyhybrid.data.ids import arrow_ids
from pyhybrid.errors import describe

if TYPE_CHECKING:
    import pyarrow as pa
    from numpy.typing import NDArray
    from scipy.sparse import csr_array

    from pyhybrid.kernels.core import TopN

__all__ = ["Ranking", "popular"]


@dataclass(frozen=True, eq=False)
class Ranking:
    """Hold the top-n items of some rows (users, or items in `similar_items`), best first.

    Scores order the items of one row. They are not probabilities, and not to be compared between
    rows or models.

    Attributes:
        items: int32 (rows, n), positions on the model's item axis; a row with fewer than n
            candidates ends in -1.
        scores: float32 (rows, n); -inf where the item is -1.
        row_ids: (rows,), the rows' own ids; the row numbers where histories were anonymous.
        item_ids: (items,), the item axis.
        fallback: bool (rows,), True where the row had no history to go by and got the most
            popular items, lately where that is known.

    >>> ranking = Ranking(
    ...     items=np.array([[1, 0], [1, -1]], dtype=np.int32),
    ...     scores=np.array([[0.9, 0.1], [0.5, -np.inf]], dtype=np.float32),
    ...     row_ids=np.array([7, 8]),
    ...     item_ids=np.array(["x", "y"], dtype=object),
    ...     fallback=np.array([False, False]),
    ... )
    >>> ranking.to_arrow().select(["user_id", "item_id", "rank"]).to_pylist()
    [{'user_id': 7, 'item_id': 'y', 'rank': 1}, {'user_id': 7, 'item_id': 'x', 'rank': 2}, \
{'user_id': 8, 'item_id': 'y', 'rank': 1}]
    """

    items: NDArray[np.int32]
    scores: NDArray[np.float32]
    row_ids: NDArray[Any]
    item_ids: NDArray[Any]
    fallback: NDArray[np.bool_]

    def __post_init__(self) -> None:
        check_dense("Ranking", "items", self.items, np.int32)
        check_dense("Ranking", "scores", self.scores, np.float32)
        if self.scores.shape != self.items.shape:
            expected = f"items' shape, {self.items.shape}"
            raise ValueError(describe("Ranking", "scores' shape", self.scores.shape, expected))
        for name in ("row_ids", "fallback"):
            length = len(getattr(self, name))
            if length != len(self.items):
                raise ValueError(
                    describe("Ranking", f"{name}'s length", length, f"the rows, {len(self.items)}")
                )

    def __len__(self) -> int:
        return len(self.items)

    @property
    def n(self) -> int:
        """The number of items a row, counting what pads short rows."""
        return int(self.items.shape[1])

    def require_axes(self, who: str, row_ids: NDArray[Any], item_ids: NDArray[Any]) -> None:
        """Raise ValueError unless the rows and the item axis are these, in this order."""
        for what, own, other in (
            ("row_ids", self.row_ids, row_ids),
            ("item_ids", self.item_ids, item_ids),
        ):
            if own is not other and not np.array_equal(own, other):
                expected = "the same ids in the same order"
                raise ValueError(describe(who, f"the ranking's {what}", "another axis", expected))

    def keep(self, columns: NDArray[np.bool_]) -> Ranking:
        """Leave out all items but some, moving up what follows.

        Args:
            columns: bool (items,), True for the items to keep.

        >>> ranking = Ranking(
        ...     np.array([[1, 0]], dtype=np.int32), np.array([[0.9, 0.1]], dtype=np.float32),
        ...     np.array([7]), np.array([20, 30]), np.array([False]))
        >>> ranking.keep(np.array([True, False])).items
        array([[ 0, -1]], dtype=int32)
        """
        kept = (self.items >= 0) & columns[self.items]
        order = np.argsort(~kept, axis=1, kind="stable")
        items = np.where(kept, self.items, np.int32(-1))
        scores = np.where(kept, self.scores, np.float32(-np.inf))
        return Ranking(
            np.take_along_axis(items, order, axis=1),
            np.take_along_axis(scores, order, axis=1),
            self.row_ids,
            self.item_ids,
            self.fallback,
        )

    def to_arrow(self, row_name: str = "user_id") -> pa.Table:
        """Return a table with one row a recommendation, in order of row and rank.

        Columns: `row_name` and item_id with the callers' own ids, rank (int32, from 1), score
        (float32), fallback (bool).
        """
        import pyarrow as pa

        kept = self.items >= 0
        lengths = kept.sum(axis=1)
        ranks = np.broadcast_to(np.arange(1, self.n + 1, dtype=np.int32), self.items.shape)
        return pa.table(
            {
                row_name: arrow_ids(self.row_ids).take(
                    pa.array(np.arange(len(self)).repeat(lengths))
                ),
                "item_id": arrow_ids(self.item_ids).take(pa.array(self.items[kept])),
                "rank": pa.array(ranks[kept]),
                "score": pa.array(self.scores[kept]),
                "fallback": pa.array(self.fallback.repeat(lengths)),
            }
        )


def popular(
    rows: int,
    popularity: NDArray[np.float32],
    n: int,
    exclude: csr_array[np.float32] | None,
    among: NDArray[np.int32] | None,
    threads: int,
) -> TopN:
    """Rank by popularity, float32 (items,), alone: a factor model of dimension one."""
    ones = np.ones((rows, 1), dtype=np.float32)
    factors = np.ascontiguousarray(popularity[:, None])
    return kernels.top_n_factors(ones, factors, n, exclude=exclude, among=among, threads=threads)
