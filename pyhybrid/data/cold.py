"""Items that training is not to know."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pyhybrid.checks import check_share, count
from pyhybrid.data.held_out import HeldOut, Split, hold_out, pairs_in, union
from pyhybrid.errors import describe

if TYPE_CHECKING:
    from pyhybrid.data.interactions import Interactions

__all__ = ["ROUNDING", "cold_items", "number_of"]

ROUNDING = 1e-9  # so that 20 % of 5, 0.9999999999999998 in floating point, is 1


def cold_items(
    data: Interactions | Split, *, share: float = 0.2, min_count: int = 1, seed: int = 0
) -> Split:
    """Remove a random share of the items from training altogether.

    On interactions, the users of cold items are the test part: their warm items the history,
    their cold items the targets. On a split, the cold items leave train and all histories, and
    whatever a held-out user has of them, in the history or as a target, becomes a target; of test
    alone where the user is in validation too.

    Args:
        data: Interactions, or what another way of splitting gave.
        share: Share of the items with at least `min_count` users in train (or in the
            interactions), rounded down but at least one.
        min_count: At least 1.
        seed: The same seed gives the same items.

    Raises:
        ValueError: If a number is out of its range or nothing is left to train on.

    >>> from pyhybrid.data import Interactions
    >>> data = Interactions.from_columns([1, 1, 2, 2], [10, 11, 10, 12])
    >>> parts = cold_items(data, share=0.4)
    >>> len(parts.cold_items), parts.train.item_counts()[parts.cold_columns()]
    (1, array([0]))
    """
    check_share("cold_items", "share", share)
    count("cold_items", "min_count", min_count, least=1)
    whole = data.train if isinstance(data, Split) else data
    candidates = np.flatnonzero(whole.item_counts() >= min_count)
    if not len(candidates):
        what = f"number of items with at least {min_count} users"
        raise ValueError(describe("cold_items", what, 0, "at least one", "lower min_count="))
    number = number_of("cold_items", "share", share, len(candidates))
    cold = np.zeros(whole.n_items, dtype=np.bool_)
    cold[np.random.default_rng(seed).permutation(candidates)[:number]] = True

    def warm(part: Interactions) -> Interactions:
        return part.keep_pairs(~cold[part.matrix.indices])

    def remove(part: HeldOut) -> HeldOut:
        now_targets = part.histories.keep_pairs(cold[part.histories.matrix.indices])
        targets = union(part.targets, now_targets)
        return HeldOut(warm(part.histories), targets, part.exclude_seen)

    if isinstance(data, Split):
        parts = {name: remove(part) for name, part in data.held_out.items()}
        validation = parts.get("validation")
        if validation is not None and validation.exclude_seen:
            # What a user had of cold items would be a target of both parts; test keeps it.
            del parts["validation"]
            own = ~pairs_in(validation.targets, parts["test"].targets)
            if own.any():
                targets = validation.targets.keep_pairs(own)
                parts["validation"] = hold_out("cold_items", validation.histories, targets)
        cold |= data.cold_columns()
    else:
        targets = data.keep_pairs(cold[data.matrix.indices])
        parts = {"test": hold_out("cold_items", warm(data), targets)}
    return Split(warm(whole), **parts, cold_items=whole.item_ids[cold])


def number_of(who: str, what: str, share: float, of: int) -> int:
    """Turn a share of `of` into a number, rounded down but at least 1; an int is a number."""
    if isinstance(share, (int, np.integer)) and not isinstance(share, bool) and share >= 1:
        return int(share)
    check_share(who, what, share)
    return max(1, int(share * of + ROUNDING))
