"""What the models share that score by the inner product of a history's vector and an item's."""

from __future__ import annotations

from abc import abstractmethod
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING

import numpy as np

from pyhybrid import kernels
from pyhybrid.data.matrices import csr
from pyhybrid.models.base import Recommender
from pyhybrid.models.torch_base import TorchRecommender
from pyhybrid.ranking import Ranking
from pyhybrid.training.devices import threads_of

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray
    from scipy.sparse import csr_array

    from pyhybrid.data.feedback import Feedback
    from pyhybrid.data.interactions import Interactions
    from pyhybrid.kernels.core import CSR, TopN

__all__ = ["VectorRecommender", "VectorScores"]


class VectorScores(Recommender):
    """Score items by the inner product of their vectors and a history's.

    A model sets `item_vectors` and implements `_user_vectors`.

    Attributes:
        item_vectors: float32 (rankable, dim), one row for each item that `rankable` lists; what an
            index for nearest neighbours by inner product needs, beside `user_vectors`.
    """

    item_vectors: NDArray[np.float32]

    def user_vectors(self, histories: Interactions | CSR) -> NDArray[np.float32]:
        """Encode histories: float32 (rows, dim); zeros for an empty one, but a 1 for a bias.

        A row's vector is the same bits whatever the other rows are.

        Raises:
            NotFittedError: Before `fit`.
            ValueError: If a history names an unknown item, or is in no order and the model needs
                one.
        """
        return self._user_vectors(self.axis.view(self._histories("user_vectors", histories)))

    def row_vectors(self, rows: Feedback) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Return the vectors of each row's user and item, whose inner product is the row's score.

        Args:
            rows: As `score_rows` takes them.

        Returns:
            float32 (rows, dim) each; zeros for a user with nothing to go by, but a 1 where items
            have a bias, and for an item that the model can't rank.
        """
        items = self._row_items("row_vectors", rows)
        return self._row_user_vectors(rows), self._item_table()[items]

    def _stranger_vectors(self, histories: Interactions) -> NDArray[np.float32]:
        """Encode histories for single pairs, where an item's bias counts after an empty one too."""
        return self.user_vectors(histories)

    def _item_table(self) -> NDArray[np.float32]:
        """Return the vectors of all items on the axis, and last one for any other item."""
        table = np.zeros((len(self.item_ids) + 1, self.item_vectors.shape[1]), dtype=np.float32)
        table[self.rankable] = self.item_vectors
        return table

    def _row_user_vectors(self, rows: Feedback) -> NDArray[np.float32]:
        return self._stranger_vectors(self._row_histories(rows))

    def _score_rows(self, rows: Feedback, items: NDArray[np.int64]) -> NDArray[np.float32]:
        del items
        users, vectors = self.row_vectors(rows)
        scores: NDArray[np.float32] = np.einsum("ij,ij->i", users, vectors)
        return scores

    def similar_items(self, items: ArrayLike, n: int = 10) -> Ranking:
        """Rank the items whose vectors have the largest cosine with each given item's.

        Args:
            items: Positions on the item axis, (rows,).
            n: Items a row.

        Returns:
            A ranking whose rows are named by the given items' ids.
        """
        places, items = self._fitted("similar_items").own("similar_items", items)
        directions = self._item_directions()
        lengths = np.linalg.norm(directions, axis=1, keepdims=True)
        directions = directions / np.maximum(lengths, np.float32(1e-12))
        indptr = np.arange(len(places) + 1)
        ones = np.ones(len(places), dtype=np.float32)
        itself = csr(ones, places, indptr, (len(places), len(directions)))
        found, scores = kernels.top_n_factors(directions[places], directions, n, exclude=itself)
        no_fallback = np.zeros(len(items), dtype=np.bool_)
        ranked = self.axis.back(found)
        return Ranking(ranked, scores, self.item_ids[items], self.item_ids, no_fallback)

    @abstractmethod
    def _user_vectors(self, histories: Interactions) -> NDArray[np.float32]:
        """Encode histories on the model's items: float32 (rows, dim)."""

    def _item_directions(self) -> NDArray[np.float32]:
        """Return what items are alike by: float32 (rankable, any width)."""
        return self.item_vectors

    def _score(self, histories: Interactions) -> NDArray[np.float32]:
        return kernels.score_factors(self._user_vectors(histories), self.item_vectors)

    def _rank(
        self,
        histories: Interactions,
        n: int,
        exclude: csr_array[np.float32] | None,
        among: NDArray[np.int32] | None,
        threads: int,
    ) -> TopN:
        with self._held_to(threads):
            users = self._user_vectors(histories)
        return kernels.top_n_factors(
            users, self.item_vectors, n, exclude=exclude, among=among, threads=threads
        )

    def _held_to(self, threads: int) -> AbstractContextManager[object]:
        """Hold what encodes histories to a number of threads."""
        del threads
        return nullcontext()


class VectorRecommender(VectorScores, TorchRecommender):
    """Score by vectors that are trained with torch; `item_vectors` is set in the hook `_take`."""

    def _held_to(self, threads: int) -> AbstractContextManager[object]:
        return threads_of(threads)
