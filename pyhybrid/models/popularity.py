"""Popularity: the baseline that every other model must beat, of all times or lately."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from pyhybrid.checks import positive, share_of
from pyhybrid.errors import describe
from pyhybrid.models.base import Recommender
from pyhybrid.ranking import popular

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from numpy.typing import NDArray
    from scipy.sparse import csr_array

    from pyhybrid.data.catalog import Catalog
    from pyhybrid.data.interactions import Interactions
    from pyhybrid.data.lately import Dated
    from pyhybrid.evaluation.curve import By
    from pyhybrid.kernels.core import TopN

__all__ = ["Popularity"]


class Popularity(Recommender):
    """Rank all users' items by the number of training users that took them, of all times or lately.

    With `newest` or `half_life` the training events need times. Items that are equal lately, such
    as all that stand behind the newest events, are in the order of their users of all times. A
    user's events of an item count once, as the last of them.

    Scores are the numbers of training users; with `newest` or `half_life` they are places: 1 for
    the least popular item, one more from each item to a more popular one, and the same for equals.

    Args:
        newest: Rank by the users among the newest events alone: a share of all events, above 0
            and up to 1. Events of the same time are not parted, so there may be more.
        half_life: Let a user count half as much for each half-life between the event and the
            newest one; in the unit of the times (microseconds for Arrow timestamps).

    Raises:
        ValueError: If both are given; from `fit`, if one is given and the events have no times.

    >>> from pyhybrid import Interactions
    >>> users, items = [1, 2, 3, 4, 5], ["old", "old", "old", "new", "new"]
    >>> seen = Interactions.from_columns(users, items, times=[1, 2, 3, 4, 5])
    >>> for model in (Popularity(), Popularity(newest=0.4), Popularity(half_life=1.0)):
    ...     ranking = model.fit(seen).recommend(seen, n=2, exclude_seen=False)
    ...     print(model, model.item_ids[ranking.items[0]], ranking.scores[0])
    Popularity() ['old' 'new'] [3. 2.]
    Popularity(newest=0.4) ['new' 'old'] [2. 1.]
    Popularity(half_life=1.0) ['new' 'old'] [2. 1.]
    """

    let_up_by: ClassVar[By] = "factor"

    def __init__(self, *, newest: float | None = None, half_life: float | None = None) -> None:
        who = "Popularity"
        self.newest = None if newest is None else share_of(who, "newest", newest)
        self.half_life = None if half_life is None else positive(who, "half_life", half_life)
        if newest is not None and half_life is not None:
            expected = f"None beside newest={newest}"
            way_out = "what is new is told by the one or by the other"
            raise ValueError(describe(who, "half_life", half_life, expected, way_out))

    def _fit(
        self,
        interactions: Interactions,
        catalog: Catalog | None,
        threads: int,
        report: Callable[[float], object] | None,
    ) -> None:
        del interactions, catalog, threads, report  # what every model keeps of the items is all

    def _lately(self, dated: Dated | None, n_items: int) -> NDArray[np.float64] | None:
        if dated is None:
            if self.newest is None and self.half_life is None:
                return None
            what, expected = "the events' times", f"events with times for {self!r}"
            way_out = "read with time=; a bare CSR and an order alone have no times"
            raise ValueError(describe("Popularity", what, "missing", expected, way_out))
        if self.newest is not None:
            return dated.newest(self.newest, n_items)
        return None if self.half_life is None else dated.decayed(self.half_life, n_items)

    def _score(self, histories: Interactions) -> NDArray[np.float32]:
        return np.tile(self.axis.popularity, (histories.n_users, 1))

    def _rank(
        self,
        histories: Interactions,
        n: int,
        exclude: csr_array[np.float32] | None,
        among: NDArray[np.int32] | None,
        threads: int,
    ) -> TopN:
        return popular(histories.n_users, self.axis.popularity, n, exclude, among, threads)

    def _arrays(self) -> dict[str, NDArray[Any]]:
        return {}

    def _restore(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        del arrays
