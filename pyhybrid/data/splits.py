"""Ways to hold interactions out: by user, by order, by time, at random, by new item.

Each is determined by the data and the seed, works on all users at once and gives a `Split`.
Users without a target are left out of the held-out parts.
"""

from __future__ import annotations

from inspect import signature
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from pyhybrid.checks import check_share, count
from pyhybrid.data.cold import ROUNDING, cold_items, cold_stress, held_out_sizes, number_of
from pyhybrid.data.held_out import HeldOut, Split, hold_out, pairs_in
from pyhybrid.data.matrices import random_places, rows_of
from pyhybrid.errors import describe

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from pyhybrid.data.interactions import Interactions
    from pyhybrid.data.matrices import Events

__all__ = [
    "HeldOut",
    "Split",
    "by_time",
    "cold_items",
    "cold_stress",
    "leave_last",
    "pseudo_cold",
    "random",
    "split",
    "strong",
]


def strong(
    interactions: Interactions,
    *,
    validation: float = 0.1,
    test: float = 0.1,
    fold_in: float = 0.8,
    min_user: int = 2,
    seed: int = 0,
) -> Split:
    """Hold out whole users: train has no row of theirs (strong generalisation).

    Of a held-out user's items a random share ``1 - fold_in``, rounded down but at least one,
    are targets; the others are the history.

    Args:
        interactions: What to split.
        validation: Share of the users with at least `min_user` items, or (an int) how many
            users; 0 for no validation part.
        test: The same for the test part, above 0.
        fold_in: Share of a held-out user's items that make the history, between 0 and 1.
        min_user: Users with fewer items stay in train; at least 2.
        seed: The same seed gives the same split.

    Raises:
        ValueError: If a number is out of its range or no user is left to train on.

    >>> from pyhybrid.data import synthetic
    >>> interactions, _ = synthetic.topics(users=100, items=50, events_per_user=10.0)
    >>> parts = strong(interactions, test=0.2, validation=10)
    >>> parts.train.n_users, parts.test.targets.n_users, parts.validation.targets.n_users
    (70, 20, 10)
    """
    check_share("strong", "fold_in", fold_in)
    count("strong", "min_user", min_user, least=2)
    rng = np.random.default_rng(seed)
    users = rng.permutation(np.flatnonzero(np.diff(interactions.matrix.indptr) >= min_user))
    n_test = number_of("strong", "test", test, len(users))
    n_validation = number_of("strong", "validation", validation, len(users)) if validation else 0
    n_held_out, limit = n_test + n_validation, min(len(users), interactions.n_users - 1)
    if n_held_out > limit:
        expected = f"at most {limit} users"
        raise ValueError(describe("strong", "test + validation", n_held_out, expected))

    def fold(rows: NDArray[np.int64]) -> HeldOut:
        part = interactions.select_users(np.sort(rows))
        indptr = part.matrix.indptr
        sizes = held_out_sizes(np.diff(indptr), 1 - fold_in)
        is_target = random_places(indptr, rng) < sizes[rows_of(indptr)]
        return hold_out("strong", part.keep_pairs(~is_target), part.keep_pairs(is_target))

    in_train = np.ones(interactions.n_users, dtype=np.bool_)
    in_train[users[:n_held_out]] = False
    return Split(
        interactions.select_users(in_train),
        fold(users[:n_test]),
        fold(users[n_test:n_held_out]) if n_validation else None,
    )


def leave_last(
    interactions: Interactions,
    *,
    validation: bool = True,
    repeats: Literal["drop", "keep"] = "drop",
    min_user: int = 3,
) -> Split:
    """Hold out each user's last event for test and the last but one for validation.

    A test history is all that came before, the validation target included; a validation history
    is the user's part of train.

    Args:
        interactions: What to split; needs events.
        validation: Whether to hold out the last but one too.
        repeats: "drop" keeps a user's first event of an item alone, so that every target is new
            to its user. "keep" keeps all events; a target may then be a seen item, and
            `HeldOut.exclude_seen` is False.
        min_user: Users with fewer events (after "drop") are wholly in train; at least 2, with
            validation 3.

    Raises:
        ValueError: If there are no events, a parameter is out of its range, or no user has
            `min_user` events.

    >>> from pyhybrid.data import Interactions
    >>> data = Interactions.from_columns([1, 1, 1, 1], [10, 11, 12, 10], ordered=True)
    >>> dropped, kept = leave_last(data), leave_last(data, repeats="keep")
    >>> dropped.test.targets.item_ids[dropped.test.targets.matrix.indices]
    array([12])
    >>> kept.test.targets.item_ids[kept.test.targets.matrix.indices]
    array([10])
    """
    if repeats not in ("drop", "keep"):
        raise ValueError(describe("leave_last", "repeats", repr(repeats), "'drop' or 'keep'"))
    count("leave_last", "min_user", min_user, least=3 if validation else 2)
    events = _events("leave_last", interactions)
    if repeats == "drop" and len(events.items) > interactions.matrix.nnz:
        interactions = interactions.keep_events(_first_events(interactions))
        events = _events("leave_last", interactions)
    users = rows_of(events.indptr)
    after = events.indptr[1:][users] - np.arange(1, len(users) + 1)  # 0 for a user's last event
    after[np.diff(events.indptr)[users] < min_user] = len(users)  # never held out

    def held_out(place: int) -> HeldOut:
        histories = interactions.keep_events(after > place)
        targets = interactions.keep_events(after == place)
        return hold_out("leave_last", histories, targets, exclude_seen=repeats == "drop")

    train = interactions.keep_events(after > (1 if validation else 0))
    return Split(train, held_out(0), held_out(1) if validation else None)


def by_time(
    interactions: Interactions,
    *,
    test: float = 0.1,
    validation: float = 0.1,
    test_from: float | None = None,
    validation_from: float | None = None,
) -> Split:
    """Hold out the latest events: train has nothing from the held-out time on.

    A user's targets are the items of the events in the part's time that the user had not come
    across before it; the history is all of the user's earlier events, and may be empty.

    Args:
        interactions: What to split; needs events with times.
        test: Share of all events, the latest, that are test. A boundary does not part events of
            the same time, so a part may come out larger than its share.
        validation: Share of all events, the latest before test, that are validation; 0 for none.
        test_from: The first time of test, in the unit of the times (microseconds for Arrow
            timestamps); takes the place of both shares.
        validation_from: The first time of validation, with `test_from`; None for none.

    Raises:
        ValueError: If there are no times, a boundary is out of its range, or a part is empty.

    >>> from pyhybrid.data import Interactions
    >>> data = Interactions.from_columns([1, 1, 2, 1], [10, 11, 10, 10], times=[1, 5, 6, 7])
    >>> by_time(data, test_from=5)
    Split(1 pairs of 2 users, test=HeldOut(2 targets of 2 users), new items: 50.0% of the items, \
33.3% of the events, 50.0% of the targets)
    """
    times = _events("by_time", interactions).times
    if times is None:
        expected = "events with times"
        raise ValueError(describe("by_time", "times", "missing", expected, "read with time="))
    if test_from is None:
        if validation_from is not None:
            expected = "None without test_from"
            raise ValueError(describe("by_time", "validation_from", validation_from, expected))
        check_share("by_time", "test", test)
        latest = np.sort(times)[::-1]
        test_from = latest[number_of("by_time", "test", test, len(times)) - 1]
        if validation:
            check_share("by_time", "validation", validation)
            number = number_of("by_time", "test + validation", test + validation, len(times))
            validation_from = latest[number - 1]
    if validation_from is not None and not validation_from < test_from:
        expected = f"a time before test_from, which is {test_from}"
        raise ValueError(describe("by_time", "validation_from", validation_from, expected))

    def window(start: float, stop: float = np.inf) -> HeldOut:
        histories = interactions.keep_events(times < start)
        future = interactions.keep_events((times >= start) & (times < stop))
        return hold_out("by_time", histories, future.keep_pairs(~pairs_in(future, histories)))

    train_until = test_from if validation_from is None else validation_from
    return Split(
        interactions.keep_events(times < train_until),
        window(test_from),
        None if validation_from is None else window(validation_from, test_from),
    )


def random(
    interactions: Interactions,
    *,
    test: float = 0.2,
    validation: float = 0.0,
    per_user: bool = True,
    seed: int = 0,
) -> Split:
    """Hold out random pairs; the histories of both held-out parts are the users' train pairs.

    In the test part a user's validation targets are not ranked: they are neither history nor
    wrong. In the validation part test targets are ranked, as not to rank them would be to know.

    Args:
        interactions: What to split.
        test: Share of the pairs that are test targets.
        validation: Share of the pairs that are validation targets; 0 for none.
        per_user: Hold out the share of every user's pairs, rounded down but at least one where
            the user has two; a user keeps at least one pair in train, and a user's only held-out
            pair is a test target. False: hold out the share of all pairs, whosever they are, so
            that a history may be empty.
        seed: The same seed gives the same split.

    Raises:
        ValueError: If a share is out of its range or a part is empty.

    >>> from pyhybrid.data import Interactions
    >>> data = Interactions.from_columns([1] * 10 + [2], [*range(10), 3])
    >>> random(data, test=0.2, validation=0.1)
    Split(8 pairs of 2 users, test=HeldOut(2 targets of 1 users, 1 pairs unranked), \
validation=HeldOut(1 targets of 1 users), new items: 30.0% of the items, 30.0% of the events, \
100.0% of the targets)
    """
    check_share("random", "test", test)
    if validation:
        check_share("random", "validation", validation)
    check_share("random", "test + validation", test + validation)
    indptr = interactions.matrix.indptr
    bounds = indptr if per_user else indptr[[0, -1]]
    sizes = held_out_sizes(np.diff(bounds), test + validation)
    n_validation = np.floor(sizes * (validation / (test + validation)) + ROUNDING)
    rows, places = rows_of(bounds), random_places(bounds, np.random.default_rng(seed))
    is_train, is_validation = places >= sizes[rows], places < n_validation[rows]
    train = interactions.keep_pairs(is_train)

    other = interactions.keep_pairs(is_validation)
    unranked = other if other.matrix.nnz else None
    test_targets = interactions.keep_pairs(~is_train & ~is_validation)
    return Split(
        train,
        hold_out("random", train, test_targets, unranked=unranked),
        hold_out("random", train, other) if validation else None,
    )


def pseudo_cold(
    train: Interactions,
    *,
    share: float = 0.2,
    min_count: int = 1,
    users: float = 0.1,
    fold_in: float = 0.8,
    seed: int = 0,
) -> Split:
    """Split a train once more, to choose how new items are to be ranked.

    What no user of `train` has, such as the cold items of the split that it comes from, is left
    out altogether, so that choosing has no look at them; give models a catalogue of the others,
    ``catalog.select(split.train.item_ids)``. Of these a share is hidden as in `cold_items`, at its
    natural share of the targets; a share of the users, and as many once more, are held out as in
    `strong`.

    Args:
        train: A split's train, or other interactions.
        share: Share of the items with at least `min_count` users that are hidden.
        min_count: At least 1.
        users: Share of the users (or, an int, how many) in each of validation and test.
        fold_in: Share of a held-out user's items that make the history.
        seed: The same seed gives the same split.

    Raises:
        ValueError: If a number is out of its range or nothing is left to train on.

    >>> from pyhybrid.data import synthetic
    >>> interactions, _ = synthetic.topics(users=100, items=50)
    >>> outer = split(interactions, cold=0.2)
    >>> inner = pseudo_cold(outer.train)
    >>> len(inner.new_items), set(inner.train.item_ids) & set(outer.new_items)
    (8, set())
    """
    known = train.with_items(train.item_ids[train.item_counts() > 0])
    parts = strong(known, validation=users, test=users, fold_in=fold_in, seed=seed)
    return cold_items(parts, share=share, min_count=min_count, seed=seed)


_WAYS: dict[str, Callable[..., Split]] = {
    "strong": strong,
    "leave-last": leave_last,
    "time": by_time,
    "random": random,
    "cold": cold_items,
    "cold-stress": cold_stress,
}
_SEEDED = ("strong", "random", "cold", "cold-stress")
_GIVEN = ("interactions", "data", "seed")  # what `split` itself passes on


def split(
    interactions: Interactions,
    by: Literal["strong", "leave-last", "time", "random", "cold", "cold-stress"] = "strong",
    *,
    cold: float = 0.0,
    seed: int = 0,
    **options: Any,
) -> Split:
    """Split interactions the way that `by` names, and hide a share of the items from training.

    Args:
        interactions: What to split.
        by: "strong", "leave-last", "time", "random", "cold" or "cold-stress".
        cold: Share of the items to hide from training as `cold_items` does; 0 for none.
        seed: The same seed gives the same split.
        options: What `strong`, `leave_last`, `by_time`, `random`, `cold_items` or `cold_stress`
            takes.

    Raises:
        ValueError: If `by` is no way to split, or what that way raises.

    >>> from pyhybrid.data import synthetic
    >>> interactions, _ = synthetic.topics(users=100, items=50)
    >>> len(split(interactions, "leave-last", cold=0.1).new_items)
    5
    """
    if by not in _WAYS:
        raise ValueError(describe("split", "by", repr(by), f"one of {', '.join(_WAYS)}"))
    known = [name for name in signature(_WAYS[by]).parameters if name not in _GIVEN]
    for name in options:
        if name not in known:
            expected = f"one of {', '.join(known)}"
            raise ValueError(describe("split", f"the option for {by!r}", repr(name), expected))
    if by in _SEEDED:
        options["seed"] = seed
    hides = by in ("cold", "cold-stress")
    if hides and cold:
        options["share"] = cold
    parts = _WAYS[by](interactions, **options)
    return cold_items(parts, share=cold, seed=seed) if cold and not hides else parts


def _events(who: str, interactions: Interactions) -> Events:
    if interactions.events is None:
        way_out = "read with time= or ordered=True"
        raise ValueError(describe(who, "the events' order", "unknown", "events", way_out))
    return interactions.events


def _first_events(interactions: Interactions) -> NDArray[np.bool_]:
    """Mark each user's first event of each item."""
    pairs = interactions.event_pairs()
    first = np.empty(interactions.matrix.nnz, dtype=np.int64)
    first[pairs[::-1]] = np.arange(len(pairs))[::-1]  # of a pair's events the last written stays
    is_first = np.zeros(len(pairs), dtype=np.bool_)
    is_first[first] = True
    return is_first
