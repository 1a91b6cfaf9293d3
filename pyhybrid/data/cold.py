"""Items that training is not to know, or not well: what a running system's new items are like.

How it asks decides what an answer is worth. `cold_items` hides items at their natural share: of
what a held-out user took, known and new items are targets in the same share, and what becomes
neither history nor target is not ranked. `cold_stress` makes all that the user took of the hidden
items a target, so that most of the targets may be new where few of the items are: a stress test,
which texts look better in than they serve.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from pyhybrid.checks import check_share, count
from pyhybrid.data.held_out import HeldOut, Split, hold_out, pairs_in, union
from pyhybrid.data.matrices import random_places, rows_of
from pyhybrid.errors import describe

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pyhybrid.data.interactions import Interactions

__all__ = [
    "ROUNDING",
    "cold_items",
    "cold_stress",
    "held_out_sizes",
    "number_of",
    "places_in_columns",
]

ROUNDING = 1e-9  # so that 20 % of 5, 0.9999999999999998 in floating point, is 1


def cold_items(
    data: Interactions | Split,
    *,
    share: float = 0.2,
    min_count: int = 1,
    keep: int | None = 0,
    targets: float = 0.2,
    seed: int = 0,
) -> Split:
    """Hide a random share of the items from training, at their natural share of the targets.

    On a split, the drawn items leave train and all histories. Which of a held-out user's items are
    targets stays as it was: a target that is hidden now is one nevertheless, and what the user
    has of hidden items besides is not ranked (`HeldOut.unranked`). On interactions, a share
    `targets` of each user's items is held out first, at random, and what is left is both train
    and history.

    Args:
        data: Interactions, or what another way of splitting gave.
        share: Share of the items with at least `min_count` users in train, rounded down but at
            least one.
        min_count: At least 1.
        keep: How many training users each drawn item keeps, drawn at random: an item as it is
            some time after its first day. None: all, so that items are known and yet in no
            history. The seed gives the same items whatever is kept, and those that are kept are
            among those of a larger `keep`.
        targets: Share of each user's items, where `data` are interactions.
        seed: The same seed gives the same items.

    Raises:
        ValueError: If a number is out of its range or nothing is left to train on.

    >>> from pyhybrid.data import Interactions
    >>> data = Interactions.from_columns([1, 1, 1, 2, 2, 2], [10, 11, 12, 10, 11, 12])
    >>> for keep in (0, 1):
    ...     parts = cold_items(data, share=0.4, min_count=2, keep=keep)
    ...     parts.new_items, parts.train.item_counts()[parts.new_positions()]
    (array([12]), array([0]))
    (array([12]), array([1]))
    """
    if keep is not None:
        count("cold_items", "keep", keep, least=0)
    check_share("cold_items", "targets", targets)
    rng = np.random.default_rng(seed)
    if isinstance(data, Split):
        split = data
    else:
        split = _with_targets(data, targets, np.random.default_rng([seed, 1]))
    hidden = _drawn("cold_items", split.train, share, min_count, rng)

    def hide(part: HeldOut) -> HeldOut:
        is_hidden = hidden[part.histories.matrix.indices]
        unranked = part.histories.keep_pairs(is_hidden)
        if not part.exclude_seen:  # what was taken before and is the right answer once more
            unranked = unranked.keep_pairs(~pairs_in(unranked, part.targets))
        if part.unranked is not None:
            unranked = union(part.unranked, unranked)
        histories = part.histories.keep_pairs(~is_hidden)
        return replace(part, histories=histories, unranked=unranked)

    train = split.train
    stays = ~hidden[train.matrix.indices]
    if keep != 0:
        stays |= places_in_columns(train, rng) < (np.inf if keep is None else keep)
    validation = None if split.validation is None else hide(split.validation)
    if len(split.new_items) and split.kept != keep:
        rule = f"{split.kept}, as of the items that are hidden already"
        raise ValueError(describe("cold_items", "keep", keep, rule))
    hidden[split.new_positions()] = True
    new_items = train.item_ids[hidden]
    return Split(train.keep_pairs(stays), hide(split.test), validation, new_items, keep)


def cold_stress(
    data: Interactions | Split, *, share: float = 0.2, min_count: int = 1, seed: int = 0
) -> Split:
    """Hide items, and make all that held-out users have of them targets: a stress test.

    It asks whether new items can be ranked at all, with as many targets as there can be. It does
    not ask what a running system meets: a user's new items are targets in a larger share than the
    known ones. What is chosen by its joint figures lets new items push out what users want;
    choose by `cold_items`, or by time.

    On interactions, the users of hidden items are the test part: their other items the history,
    the hidden ones the targets. On a split, the hidden items leave train and all histories, and
    whatever a held-out user has of them becomes a target; of test alone where the user is in
    validation too.

    Args:
        data: Interactions, or what another way of splitting gave.
        share: As `cold_items` has it.
        min_count: At least 1.
        seed: The same seed gives the same items.

    Raises:
        ValueError: If a number is out of its range or nothing is left to train on.

    >>> from pyhybrid.data import Interactions
    >>> data = Interactions.from_columns([1, 1, 2, 2], [10, 11, 10, 12])
    >>> cold_stress(data, share=0.4).new_shares().targets
    1.0
    """
    whole = data.train if isinstance(data, Split) else data
    cold = _drawn("cold_stress", whole, share, min_count, np.random.default_rng(seed))

    def warm(part: Interactions) -> Interactions:
        return part.keep_pairs(~cold[part.matrix.indices])

    def remove(part: HeldOut) -> HeldOut:
        now_targets = part.histories.keep_pairs(cold[part.histories.matrix.indices])
        targets = union(part.targets, now_targets)
        return replace(part, histories=warm(part.histories), targets=targets)

    if isinstance(data, Split):
        parts = {name: remove(part) for name, part in data.held_out.items()}
        validation = parts.get("validation")
        if validation is not None and validation.exclude_seen:
            # What a user had of cold items would be a target of both parts; test keeps it.
            del parts["validation"]
            own = ~pairs_in(validation.targets, parts["test"].targets)
            if own.any():
                targets = validation.targets.keep_pairs(own)
                parts["validation"] = hold_out(
                    "cold_stress", validation.histories, targets, unranked=validation.unranked
                )
        cold[data.new_positions()] = True
    else:
        targets = data.keep_pairs(cold[data.matrix.indices])
        parts = {"test": hold_out("cold_stress", warm(data), targets)}
    return Split(
        warm(whole), parts["test"], parts.get("validation"), new_items=whole.item_ids[cold]
    )


def held_out_sizes(sizes: NDArray[np.int64], share: float) -> NDArray[np.int64]:
    """Take a share of each size, rounded down: at least 1 and all but 1 at most, of 1 none."""
    held_out: NDArray[np.int64] = np.floor(sizes * share + ROUNDING).astype(np.int64)
    return held_out.clip(min=1).clip(max=sizes - 1)


def number_of(who: str, what: str, share: float, of: int) -> int:
    """Turn a share of `of` into a number, rounded down but at least 1; an int is a number."""
    if isinstance(share, (int, np.integer)) and not isinstance(share, bool) and share >= 1:
        return int(share)
    check_share(who, what, share)
    return max(1, int(share * of + ROUNDING))


def _drawn(
    who: str, train: Interactions, share: float, min_count: int, rng: np.random.Generator
) -> NDArray[np.bool_]:
    """Draw the items to hide: bool (items,)."""
    check_share(who, "share", share)
    count(who, "min_count", min_count, least=1)
    candidates = np.flatnonzero(train.item_counts() >= min_count)
    if not len(candidates):
        what = f"number of items with at least {min_count} users"
        raise ValueError(describe(who, what, 0, "at least one", "lower min_count="))
    number = number_of(who, "share", share, len(candidates))
    drawn = np.zeros(train.n_items, dtype=np.bool_)
    drawn[rng.permutation(candidates)[:number]] = True
    return drawn


def _with_targets(data: Interactions, share: float, rng: np.random.Generator) -> Split:
    """Hold out a share of each user's items; what is left is train and histories."""
    indptr = data.matrix.indptr
    sizes = held_out_sizes(np.diff(indptr), share)
    is_target = random_places(indptr, rng) < sizes[rows_of(indptr)]
    rest = data.keep_pairs(~is_target)
    return Split(rest, hold_out("cold_items", rest, data.keep_pairs(is_target)))


def places_in_columns(train: Interactions, rng: np.random.Generator) -> NDArray[np.int64]:
    """Number each item's pairs in random order, from 0: int64 (pairs,)."""
    items = train.matrix.indices
    order = np.lexsort((rng.random(len(items)), items))
    first = np.searchsorted(items[order], items[order])
    places = np.empty(len(items), dtype=np.int64)
    places[order] = np.arange(len(items)) - first
    return places
