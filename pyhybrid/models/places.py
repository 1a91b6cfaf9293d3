"""Places for new items in each list: a price that a user sets, whatever the scores say.

With c new items in the joint list of n, `least` to `most` are wished: m = c held to these bounds.
The list is then made of the best n - m known items and the best m new ones, in the order of their
scores, so that new items which would not have been there come where their scores put them: behind.
What it costs stands in `pyhybrid.evaluation.Tradeoff.placed`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pyhybrid.checks import count
from pyhybrid.errors import describe

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from pyhybrid.kernels.core import TopN

__all__ = ["checked_places", "with_places"]


def checked_places(new_items: object, n: int) -> tuple[int, int]:
    """Return the least and the most new items of a list.

    Raises:
        TypeError: If it is no pair of whole numbers.
        ValueError: If the least is above the most, one is negative, or the most above `n`.
    """
    if not isinstance(new_items, tuple | list) or len(new_items) != 2:
        expected = "(least, most), two whole numbers"
        raise TypeError(describe("recommend", "new_items", repr(new_items), expected))
    least, most = (count("recommend", "new_items", value, least=0) for value in new_items)
    if not least <= most <= n:
        rule = f"least up to most, and most up to n, which is {n}"
        raise ValueError(describe("recommend", "new_items", (least, most), rule))
    return least, most


def with_places(
    rank: Callable[[NDArray[np.int32] | None], TopN],
    among: NDArray[np.int32] | None,
    is_new: NDArray[np.bool_],
    places: tuple[int, int],
) -> TopN:
    """Rank with the least and the most new items that a list is to hold.

    There are fewer than the least only where fewer new ones can be ranked for the user, and more
    than the most only where too few known ones can.

    Args:
        rank: Ranks the best n items of each row among some, as `kernels.top_n` does.
        among: The allowed items, (allowed,) or (rows, allowed) padded with -1; None: all.
        is_new: bool (items,), of the model's items.
        places: The least and the most.

    >>> def rank(among):
    ...     kept = [item for item in (3, 2, 1, 0) if among is None or item in among][:2]
    ...     scores = np.array([kept], dtype=np.float32)
    ...     return np.array([kept], dtype=np.int32), scores
    >>> with_places(rank, None, np.array([True, True, False, False]), (1, 1))[0]
    array([[3, 1]], dtype=int32)
    """
    joint = rank(among)[0]
    width = joint.shape[1]
    sides = [rank(_of_kind(among, is_new == kind)) for kind in (False, True)]
    known, new = ((items >= 0).sum(axis=1) for items, _ in sides)
    wanted = (is_new[joint] & (joint >= 0)).sum(axis=1).clip(*places)
    shown_new = np.maximum(np.minimum(wanted, new), np.minimum(width - known, new))
    shown = [np.minimum(width - shown_new, known), shown_new]
    order = np.arange(width)
    items = np.hstack([side[0] for side in sides])  # (rows, 2 width)
    scores = np.hstack([side[1] for side in sides])
    kept = np.hstack([order < number[:, None] for number in shown])
    items = np.where(kept, items, np.int32(-1))
    scores = np.where(kept, scores, np.float32(-np.inf))
    best = np.lexsort((items, -scores, items < 0), axis=1)[:, :width]
    return np.take_along_axis(items, best, axis=1), np.take_along_axis(scores, best, axis=1)


def _of_kind(among: NDArray[np.int32] | None, kind: NDArray[np.bool_]) -> NDArray[np.int32]:
    """Leave the items of one kind."""
    if among is None:
        return np.flatnonzero(kind).astype(np.int32)
    kept = (among >= 0) & kind[among]
    return among[kept] if among.ndim == 1 else np.where(kept, among, np.int32(-1))
