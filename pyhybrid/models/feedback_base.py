"""What the models share that can learn from labelled rows as well as from interactions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

import numpy as np

from pyhybrid.data.feedback import Feedback
from pyhybrid.data.matrices import rows_of
from pyhybrid.models.axis import ItemAxis
from pyhybrid.models.base import Recommender

if TYPE_CHECKING:
    from pyhybrid.data.catalog import Catalog
    from pyhybrid.data.interactions import Interactions
    from pyhybrid.kernels.core import CSR

__all__ = ["LearnsFromRows"]


class LearnsFromRows(Recommender):
    """Learn from labelled rows, or from interactions and items drawn among those not taken.

    A model looks at `_feedback` in its hooks: what is being fitted on, on the model's own items;
    None where that is interactions.
    """

    _feedback: Feedback | None

    def fit(
        self,
        interactions: Interactions | CSR | Feedback,
        catalog: Catalog | None = None,
        **settings: Any,
    ) -> Self:
        """Learn from training interactions, or from labelled rows.

        Rows are learned from as they are labelled; of interactions each is a positive, and
        negatives are drawn. On rows, an item counts as known from training where somebody rated
        it, be it ill.

        Args:
            interactions: Who took what; or `Feedback`.
            catalog: As `TorchRecommender.fit` has it.
            **settings: `validation`, `metric`, `checkpoint`, `threads`, `progress`, as
                `TorchRecommender.fit` has them.

        Returns:
            The model itself.

        Raises:
            ImportError: Without torch.
            ValueError: As `TorchRecommender.fit` has it.
            MemoryError: If the job won't fit.
        """
        if not isinstance(interactions, Feedback):
            return super().fit(interactions, catalog, **settings)
        self._feedback = interactions  # None but for the time of a fit
        try:
            return super().fit(interactions.likes, catalog, **settings)
        finally:
            self._feedback = None

    def _new_axis(self, interactions: Interactions, catalog: Catalog | None) -> ItemAxis:
        axis = super()._new_axis(interactions, catalog)
        if self._feedback is None:
            return axis
        rows = self._feedback
        matrix = interactions.matrix
        users = np.concatenate([rows_of(matrix.indptr), rows.users])
        items = np.concatenate([matrix.indices, rows.items]).astype(np.int64)
        pairs = np.unique(users * interactions.n_items + items)
        counts = np.bincount(pairs % interactions.n_items, minlength=len(axis.item_ids))
        axis = ItemAxis.of_counts(axis.item_ids, counts, self._least_count)
        self._feedback = rows.with_items(axis.item_ids[axis.rankable])
        return axis
