"""Popularity: the baseline that every other model must beat."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from pyhybrid.models.base import Recommender
from pyhybrid.ranking import popular

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from numpy.typing import NDArray
    from scipy.sparse import csr_array

    from pyhybrid.data.catalog import Catalog
    from pyhybrid.data.interactions import Interactions
    from pyhybrid.evaluation.curve import By
    from pyhybrid.kernels.core import TopN

__all__ = ["Popularity"]


class Popularity(Recommender):
    """Rank all users' items by the number of training users that took them.

    >>> import numpy as np
    >>> from scipy.sparse import csr_array
    >>> x = csr_array(np.array([[1, 1, 0], [0, 1, 0], [0, 1, 1]], dtype=np.float32))
    >>> Popularity().fit(x).recommend(x, n=2).items
    array([[ 2, -1],
           [ 0,  2],
           [ 0, -1]], dtype=int32)
    """

    let_up_by: ClassVar[By] = "factor"

    def _fit(
        self,
        interactions: Interactions,
        catalog: Catalog | None,
        threads: int,
        report: Callable[[float], object] | None,
    ) -> None:
        del interactions, catalog, threads, report  # the counts that every model keeps are all

    def _popularity(self) -> NDArray[np.float32]:
        return self.item_counts[self.rankable].astype(np.float32)

    def _score(self, histories: Interactions) -> NDArray[np.float32]:
        return np.tile(self._popularity(), (histories.n_users, 1))

    def _rank(
        self,
        histories: Interactions,
        n: int,
        exclude: csr_array[np.float32] | None,
        among: NDArray[np.int32] | None,
        threads: int,
    ) -> TopN:
        return popular(histories.n_users, self._popularity(), n, exclude, among, threads)

    def _arrays(self) -> dict[str, NDArray[Any]]:
        return {}

    def _restore(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        del arrays
