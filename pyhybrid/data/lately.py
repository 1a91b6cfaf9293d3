"""What is popular lately: items by the times at which they were taken.

A user's events of an item count once, as the last of them, as `Interactions.item_counts` counts
users and not events.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from pyhybrid.data.cold import ROUNDING

if TYPE_CHECKING:
    from typing import Self

    from numpy.typing import NDArray

    from pyhybrid.data.interactions import Interactions

__all__ = ["NEWEST", "Dated", "grades"]

NEWEST = 0.2
"""The share of the newest events that users without a history are recommended by.

Of the shares and half-lives in ``bench/lately.py`` the best on the validation parts of ml-1m and
ml-latest-small, in the mean; and a share needs no unit of time, where a half-life does.
"""


@dataclass(frozen=True, eq=False)
class Dated:
    """When users took items.

    Attributes:
        items: int32 (pairs,), positions on the item axis: one entry for each user of the item.
        times: int64 or float64 (pairs,), in the data's own unit: when that user took it last.
    """

    items: NDArray[np.int32]
    times: NDArray[Any]

    @classmethod
    def of(cls, interactions: Interactions) -> Self | None:
        """Take interactions' last times; None where they have no times.

        >>> from pyhybrid import Interactions
        >>> seen = Interactions.from_columns([1, 1, 1], [5, 6, 5], times=[10, 20, 30])
        >>> Dated.of(seen)
        Dated(items=array([1, 0], dtype=int32), times=array([20, 30]))
        """
        events = interactions.events
        if events is None or events.times is None:
            return None
        if len(events.items) == interactions.matrix.nnz:  # no repeats
            return cls(events.items, events.times)
        pairs = interactions.event_pairs()
        last = np.empty(interactions.matrix.nnz, dtype=np.int64)
        last[pairs] = np.arange(len(pairs))  # of a pair's events the last written stays
        last.sort()
        return cls(events.items[last], events.times[last])

    def joined(self, shard: Interactions) -> Dated | None:
        """Put those of other users behind; None where their times are unknown or of another dtype.

        Of another dtype they are likely in another unit: seconds beside a timestamp's microseconds.
        """
        if not shard.matrix.nnz:
            return self
        others = Dated.of(shard)
        if others is None or others.times.dtype != self.times.dtype:
            return None
        items = np.concatenate([self.items, others.items])
        return Dated(items, np.concatenate([self.times, others.times]))

    def newest(self, share: float, n_items: int) -> NDArray[np.float64]:
        """Count each item's users among the newest events: float64 (items,).

        Args:
            share: How many, of all, rounded down but at least one. Events of the same time are
                not parted, so there may be more.
            n_items: The size of the item axis.

        >>> Dated(np.array([0, 1, 1, 0], np.int32), np.array([1, 2, 3, 3])).newest(0.5, 3)
        array([1., 1., 0.])
        """
        first = len(self.times) - max(1, int(share * len(self.times) + ROUNDING))
        is_new = self.times >= np.partition(self.times, first)[first]
        return np.bincount(self.items[is_new], minlength=n_items).astype(np.float64)

    def decayed(self, half_life: float, n_items: int) -> NDArray[np.float64]:
        """Sum each item's users, halved for each half-life before the newest: float64 (items,).

        A user of more than about a thousand half-lives ago counts 0.

        >>> Dated(np.array([0, 1, 1], np.int32), np.array([30, 20, 10])).decayed(10.0, 3)
        array([1.  , 0.75, 0.  ])
        """
        order = np.argsort(self.times)  # so that a sum doesn't depend on the order of the users
        times = self.times[order].astype(np.float64)
        with np.errstate(over="ignore", under="ignore"):
            weights = np.exp2((times - times[-1]) / half_life)
        return np.asarray(np.bincount(self.items[order], weights, n_items), dtype=np.float64)


def grades(lately: NDArray[np.float64], counts: NDArray[np.int64]) -> NDArray[np.float32]:
    """Order items by how popular they are lately, equals by how popular they are at all times.

    Counts of both kinds in one float32 would lose the order of the one behind the other, so that a
    score is the place: 0 for an item that nobody took, 1 for the least popular one, one more from
    each item to a more popular one, and the same for equals. Exact up to 2^24 places.

    Args:
        lately: float64 (items,), 0 or more.
        counts: int64 (items,), the users of all times.

    Returns:
        float32 (items,).

    >>> grades(np.array([0.0, 0.0, 2.0, 0.0, 2.0]), np.array([9, 0, 2, 7, 2]))
    array([2., 0., 3., 1., 3.], dtype=float32)
    """
    order = np.lexsort((counts, lately))
    rises = np.diff(lately[order], prepend=0.0) > 0
    rises |= np.diff(counts[order], prepend=0) != 0
    found = np.empty(len(order), dtype=np.float32)
    found[order] = np.cumsum(rises)
    return found
