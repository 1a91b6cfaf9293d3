from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pyhybrid.data import HeldOut, Interactions, Split, split, splits

WAYS = ("strong", "leave-last", "time", "random", "cold", "cold-stress")


def pairs(data: Interactions) -> set[tuple[object, object]]:
    """Name the pairs by the users' and items' own ids."""
    coo = data.matrix.tocoo()
    return set(zip(data.user_ids[coo.row].tolist(), data.item_ids[coo.col].tolist(), strict=True))


def unranked(part: HeldOut) -> set[tuple[object, object]]:
    return set() if part.unranked is None else pairs(part.unranked)


def order(data: Interactions, user: object) -> list[object]:
    """A user's items, oldest first."""
    row = data.user_ids.tolist().index(user)
    events = data.events
    return data.item_ids[events.items[events.indptr[row] : events.indptr[row + 1]]].tolist()


def same(one: Interactions, other: Interactions) -> bool:
    return (
        np.array_equal(one.user_ids, other.user_ids)
        and np.array_equal(one.item_ids, other.item_ids)
        and (one.matrix != other.matrix).nnz == 0
    )


def sequences(*items: list[int], **options: object) -> Interactions:
    """One user a list, oldest first; users 1, 2, ..."""
    users = np.repeat(np.arange(1, len(items) + 1), [len(row) for row in items])
    return Interactions.from_columns(users, np.concatenate(items), ordered=True, **options)


@pytest.fixture(scope="module")
def data() -> Interactions:
    rng = np.random.default_rng(1)
    users = np.concatenate([rng.integers(0, 200, 3000), np.arange(200, 220)])  # 20 with one event
    items = np.minimum(rng.geometric(0.03, len(users)), 80)
    return Interactions.from_columns(users, items, times=rng.integers(0, 10_000, len(users)))


@pytest.mark.parametrize("cold", [0.0, 0.2])
@pytest.mark.parametrize("by", WAYS)
def test_no_held_out_pair_is_in_train(data: Interactions, by: str, cold: float) -> None:
    parts = split(data, by, cold=cold, seed=3)
    assert parts.held_out
    for part in parts.held_out.values():
        assert pairs(part.targets)
        assert not pairs(part.targets) & pairs(parts.train)
        assert not pairs(part.targets) & pairs(part.histories)
        assert pairs(part.targets) | pairs(part.histories) | unranked(part) <= pairs(data)
        assert not unranked(part) & (pairs(part.targets) | pairs(part.histories))
        assert np.diff(part.targets.matrix.indptr).min() >= 1
        others = [] if part.unranked is None else [part.unranked]
        for held_out in (part.targets, part.histories, *others):
            np.testing.assert_array_equal(held_out.item_ids, data.item_ids)
            np.testing.assert_array_equal(held_out.user_ids, part.targets.user_ids)
    np.testing.assert_array_equal(parts.train.item_ids, data.item_ids)


@pytest.mark.parametrize("by", ["strong", "random", "cold", "cold-stress"])
def test_the_seed_decides(data: Interactions, by: str) -> None:
    one, again, other = (split(data, by, seed=seed) for seed in (5, 5, 6))
    assert same(one.train, again.train)
    assert same(one.test.targets, again.test.targets)
    assert same(one.test.histories, again.test.histories)
    assert not same(one.test.targets, other.test.targets)


def test_a_split_does_not_depend_on_the_order_of_rows() -> None:
    rng = np.random.default_rng(0)
    users, items = rng.integers(0, 30, 300), rng.integers(0, 20, 300)
    shuffle = rng.permutation(300)
    one = Interactions.from_columns(users, items)
    other = Interactions.from_columns(users[shuffle], items[shuffle])
    assert same(splits.strong(one).test.targets, splits.strong(other).test.targets)


# strong


def test_strong_takes_whole_users_out_of_train(data: Interactions) -> None:
    parts = splits.strong(data, test=0.2, validation=30, fold_in=0.8)
    eligible = int((np.diff(data.matrix.indptr) >= 2).sum())
    assert parts.test.targets.n_users == eligible // 5
    assert parts.validation.targets.n_users == 30
    users = [set(p.targets.user_ids.tolist()) for p in parts.held_out.values()]
    users.append(set(parts.train.user_ids.tolist()))
    assert sum(map(len, users)) == data.n_users
    assert set.union(*users) == set(data.user_ids.tolist())
    for part in parts.held_out.values():
        targets = np.diff(part.targets.matrix.indptr)
        sizes = targets + np.diff(part.histories.matrix.indptr)
        np.testing.assert_array_equal(targets, np.maximum(sizes // 5, 1))


@pytest.mark.parametrize(("n", "expected"), [(2, 1), (5, 1), (9, 1), (10, 2), (15, 3), (25, 5)])
def test_a_fold_in_share_is_not_spoilt_by_rounding(n: int, expected: int) -> None:
    parts = splits.strong(sequences(list(range(n)), [1, 2]), test=1, validation=0, min_user=n)
    if n > 2:
        assert len(pairs(parts.test.targets)) == expected


def test_strong_histories_keep_their_order(data: Interactions) -> None:
    histories = splits.strong(data).test.histories
    for user in histories.user_ids[:5].tolist():
        kept = {item for u, item in pairs(histories) if u == user}
        assert order(histories, user) == [item for item in order(data, user) if item in kept]


def test_strong_leaves_small_users_in_train(data: Interactions) -> None:
    parts = splits.strong(data, test=0.5, validation=0.3, min_user=12)
    small = set(data.user_ids[np.diff(data.matrix.indptr) < 12].tolist())
    assert small <= set(parts.train.user_ids.tolist())


def test_strong_without_validation(data: Interactions) -> None:
    assert splits.strong(data, validation=0).validation is None


def test_strong_refuses_to_hold_everybody_out() -> None:
    with pytest.raises(ValueError, match=r"strong: test \+ validation is 3; expected at most 2"):
        splits.strong(sequences([1, 2], [1, 2], [1, 2]), test=2, validation=1)


# leave_last


def test_leave_last_by_hand() -> None:
    parts = splits.leave_last(sequences([4, 3, 2, 1], [1, 2], [5], [2, 4, 5]))
    assert pairs(parts.test.targets) == {(1, 1), (4, 5)}
    assert pairs(parts.validation.targets) == {(1, 2), (4, 4)}
    assert order(parts.test.histories, 1) == [4, 3, 2]
    assert order(parts.validation.histories, 1) == [4, 3]
    assert pairs(parts.train) == {(1, 4), (1, 3), (2, 1), (2, 2), (3, 5), (4, 2)}
    assert order(parts.train, 1) == [4, 3]
    assert parts.train.n_users == 4


def test_leave_last_without_validation() -> None:
    parts = splits.leave_last(sequences([4, 3, 2, 1], [1, 2]), validation=False, min_user=2)
    assert parts.validation is None
    assert pairs(parts.test.targets) == {(1, 1), (2, 2)}
    assert pairs(parts.train) == {(1, 4), (1, 3), (1, 2), (2, 1)}


def test_leave_last_drops_or_keeps_repeats() -> None:
    data = sequences([1, 2, 1, 3, 1], [2, 2, 2], duplicates="count")
    dropped = splits.leave_last(data, repeats="drop")
    assert dropped.test.exclude_seen
    assert pairs(dropped.test.targets) == {(1, 3)}
    assert order(dropped.test.histories, 1) == [1, 2]
    assert order(dropped.train, 1) == [1]
    assert order(dropped.train, 2) == [2]  # one item is too few to be tested
    kept = splits.leave_last(data, repeats="keep")
    assert not kept.test.exclude_seen
    assert pairs(kept.test.targets) == {(1, 1), (2, 2)}
    assert order(kept.test.histories, 1) == [1, 2, 1, 3]
    assert pairs(kept.validation.targets) == {(1, 3), (2, 2)}
    assert order(kept.train, 1) == [1, 2, 1]
    np.testing.assert_array_equal(kept.train.matrix.toarray(), [[2, 1, 0], [0, 1, 0]])


def test_leave_last_needs_an_order_and_long_enough_users() -> None:
    with pytest.raises(ValueError, match=r"read with time= or ordered=True"):
        splits.leave_last(Interactions.from_columns([1, 1, 1], [1, 2, 3]))
    with pytest.raises(ValueError, match="number of users with a target is 0"):
        splits.leave_last(sequences([1, 2], [1, 1, 1]))


# by_time


def timed() -> Interactions:
    users = [1, 1, 1, 1, 2, 2, 3]
    items = [1, 2, 3, 1, 1, 2, 3]
    return Interactions.from_columns(users, items, times=[10, 20, 30, 40, 15, 20, 40])


def test_by_time_holds_out_from_a_time_on() -> None:
    parts = splits.by_time(timed(), test_from=30, validation_from=20)
    assert pairs(parts.train) == {(1, 1), (2, 1)}
    assert pairs(parts.validation.targets) == {(1, 2), (2, 2)}
    assert pairs(parts.validation.histories) == {(1, 1), (2, 1)}
    assert pairs(parts.test.targets) == {(1, 3), (3, 3)}  # user 1 has seen item 1 before
    assert pairs(parts.test.histories) == {(1, 1), (1, 2)}
    assert order(parts.test.histories, 1) == [1, 2]
    assert order(parts.test.histories, 3) == []


def test_by_time_shares(data: Interactions) -> None:
    times = data.events.times
    parts = splits.by_time(data, test=0.2, validation=0.1)
    test_from = np.sort(times)[-len(times) // 5]
    train, histories = parts.train.events.times, parts.test.histories.events.times
    assert parts.test.targets.events.times.min() >= test_from > histories.max() > train.max()
    assert len(train) == pytest.approx(0.7 * len(times), abs=5)
    assert splits.by_time(data, validation=0).validation is None


def test_by_time_does_not_part_events_of_one_time() -> None:
    data = Interactions.from_columns([1, 1, 1, 2], [1, 2, 3, 1], times=[1, 2, 2, 2])
    parts = splits.by_time(data, test=0.25, validation=0)
    assert pairs(parts.test.targets) == {(1, 2), (1, 3), (2, 1)}


def test_by_time_refuses() -> None:
    data = timed()
    with pytest.raises(ValueError, match=r"times is missing; .* read with time="):
        splits.by_time(sequences([1, 2]))
    with pytest.raises(ValueError, match=r"expected a time before test_from, which is 20"):
        splits.by_time(data, test_from=20, validation_from=20)
    with pytest.raises(ValueError, match="None without test_from"):
        splits.by_time(data, validation_from=20)
    with pytest.raises(ValueError, match="number of users with a target is 0"):
        splits.by_time(data, test_from=41)
    with pytest.raises(ValueError, match="number of pairs in train is 0"):
        splits.by_time(data, test_from=10)


# random


def test_random_takes_a_share_of_each_user() -> None:
    data = sequences(list(range(10)), [1, 2], [3])
    parts = splits.random(data, test=0.2, validation=0.1)
    counts = [np.diff(p.matrix.indptr).tolist() for p in (parts.train, parts.test.targets)]
    assert counts == [[7, 1, 1], [2, 1]]
    assert len(pairs(parts.validation.targets)) == 1
    # both histories are the train pairs
    assert pairs(parts.test.histories) == {(u, i) for u, i in pairs(parts.train) if u != 3}
    assert pairs(parts.validation.histories) == {(u, i) for u, i in pairs(parts.train) if u == 1}


def test_random_over_all_pairs(data: Interactions) -> None:
    parts = splits.random(data, test=0.2, validation=0.1, per_user=False)
    size = data.matrix.nnz
    assert len(pairs(parts.test.targets)) == pytest.approx(0.2 * size, abs=1)
    assert len(pairs(parts.validation.targets)) == pytest.approx(0.1 * size, abs=1)
    assert len(pairs(parts.train)) == size - int(0.3 * size)


# pseudo_cold


def test_choosing_for_new_items_has_no_look_at_those_of_the_test(data: Interactions) -> None:
    outer = split(data, "strong", cold=0.2, seed=1)
    inner = splits.pseudo_cold(outer.train, share=0.25, seed=2)
    assert not set(inner.train.item_ids) & set(outer.new_items)
    assert set(inner.train.item_ids) | set(outer.new_items) <= set(data.item_ids)
    assert len(inner.new_items) == inner.train.n_items // 4
    assert not inner.train.item_counts()[inner.new_positions()].any()
    known = pairs(outer.train)
    for part in (inner.train, *(h.histories for h in inner.held_out.values())):
        assert pairs(part) <= known
    for held_out in inner.held_out.values():
        assert pairs(held_out.targets) <= known
        targets = set(held_out.targets.item_ids[held_out.targets.matrix.indices].tolist())
        assert targets & set(inner.new_items)
        assert targets - set(inner.new_items)
        # Held-out users are not in train.
        users = held_out.targets.user_ids[np.diff(held_out.targets.matrix.indptr) > 0]
        train_users = inner.train.user_ids[np.diff(inner.train.matrix.indptr) > 0]
        assert not set(users) & set(train_users)


def test_the_seed_draws_the_pseudo_cold_items(data: Interactions) -> None:
    one, again, other = (splits.pseudo_cold(data, seed=seed) for seed in (0, 0, 1))
    assert one.new_items.tolist() == again.new_items.tolist() != other.new_items.tolist()
    assert same(one.train, again.train)


def test_pseudo_cold_items_have_users_enough(data: Interactions) -> None:
    parts = splits.pseudo_cold(data, share=0.5, min_count=8)
    counts = dict(zip(data.item_ids.tolist(), data.item_counts(), strict=True))
    assert min(counts[item] for item in parts.new_items.tolist()) >= 8


def test_a_target_of_test_is_no_target_of_validation() -> None:
    data = sequences([1, 2, 3, 4], [2, 3, 4, 5])
    parts = splits.leave_last(data)
    with pytest.raises(ValueError, match="test targets that are in validation targets is 2"):
        Split(parts.train, parts.test, parts.test)
    with pytest.raises(ValueError, match="test targets that are in validation histories is 2"):
        Split(parts.train, parts.test, HeldOut(parts.test.targets, parts.validation.targets))


# cold_items

BY_SPLIT = ("strong", "leave-last", "time", "random")


@pytest.fixture(scope="module")
def many() -> Interactions:
    """800 users with 5 to 30 of 60 items each, some popular, taken in an order of no meaning."""
    rng = np.random.default_rng(7)
    sizes = rng.integers(5, 31, 800)
    liked = np.linspace(0, 2, 60) + rng.gumbel(size=(800, 60))
    items = np.argsort(-liked, axis=1)
    taken = np.concatenate([rng.permutation(row[:k]) for row, k in zip(items, sizes, strict=True)])
    users = np.repeat(np.arange(800), sizes)
    return Interactions.from_columns(users, taken, times=rng.permutation(len(users)))


def by_hand() -> Split:
    """Three users train, three are held out; "n" alone has three training users."""
    ids = ("n", "p", "q", "r")

    def those(**taken: str) -> Interactions:
        users = [user for user, items in taken.items() for _ in items]
        data = Interactions.from_columns(users, list("".join(taken.values())), ordered=True)
        return data.with_items(ids)

    test = HeldOut(those(x="np", y="p", z="nr"), those(x="q", y="n", z="pq"))
    return Split(those(a="np", b="qn", c="nr"), test)


def test_masking_by_hand() -> None:
    parts = splits.cold_items(by_hand(), share=0.5, min_count=3)
    assert parts.new_items.tolist() == ["n"]
    assert pairs(parts.train) == {("a", "p"), ("b", "q"), ("c", "r")}
    assert parts.train.n_users == 3
    assert pairs(parts.test.histories) == {("x", "p"), ("y", "p"), ("z", "r")}
    assert pairs(parts.test.targets) == {("x", "q"), ("y", "n"), ("z", "p"), ("z", "q")}
    assert unranked(parts.test) == {("x", "n"), ("z", "n")}
    assert order(parts.test.histories, "z") == ["r"]
    assert parts.validation is None
    assert parts.kept == 0


def test_thinning_by_hand() -> None:
    masked = splits.cold_items(by_hand(), share=0.5, min_count=3)
    known = {("a", "p"), ("b", "q"), ("c", "r")}
    of_new = {("a", "n"), ("b", "n"), ("c", "n")}
    before: set[tuple[object, object]] = set()
    for keep, left in ((0, 0), (1, 1), (2, 2), (3, 3), (9, 3), (None, 3)):
        parts = splits.cold_items(by_hand(), share=0.5, min_count=3, keep=keep)
        kept = pairs(parts.train) - known
        assert known <= pairs(parts.train)
        assert kept <= of_new
        assert before <= kept  # those that are kept are among those of a larger number
        assert len(kept) == left
        assert parts.new_items.tolist() == ["n"]
        assert parts.cold_items.tolist() == ["n"] * (left == 0)
        assert parts.kept == keep
        assert same(parts.test.histories, masked.test.histories)
        assert same(parts.test.targets, masked.test.targets)
        assert same(parts.test.unranked, masked.test.unranked)
        before = kept
    seeds = [splits.cold_items(by_hand(), share=0.5, min_count=3, keep=1, seed=s) for s in range(9)]
    assert {next(iter(pairs(p.train) - known)) for p in seeds} == of_new  # drawn at random


def test_the_shares_of_new_items_by_hand() -> None:
    parts = splits.cold_items(by_hand(), share=0.5, min_count=3)
    assert parts.new_shares() == (1 / 4, 3 / 9, 1 / 4)
    told = "25.0% of the items, 33.3% of the events, 25.0% of the targets"
    assert str(parts.new_shares()) == told
    assert repr(parts).endswith(f", new items: {told})")
    for keep, words in ((2, "new items (2 kept)"), (None, "new items (all kept)")):
        thinned = splits.cold_items(by_hand(), share=0.5, min_count=3, keep=keep)
        assert thinned.new_shares() == parts.new_shares()
        assert repr(thinned).endswith(f", {words}: {told})")
    # p, q and r have one training user each.
    assert parts.new_columns().tolist() == [True, False, False, False]
    assert parts.new_columns(1).tolist() == [True, False, False, False]
    assert parts.new_columns(2).all()
    assert parts.new_shares(2) == (1.0, 1.0, 1.0)
    plain = by_hand()
    assert not plain.new_columns().any()
    assert plain.new_columns(2).tolist() == [False, True, True, True]
    assert plain.new_shares() == (0.0, 0.0, 0.0)
    assert plain.new_shares(2) == (3 / 4, 6 / 9, 3 / 4)
    stress = splits.cold_stress(by_hand(), share=0.5, min_count=3)
    assert stress.new_shares() == (1 / 4, 3 / 9, 3 / 6)
    assert "33.3% of the events, 50.0% of the targets" in repr(stress)


def test_items_that_nobody_took_in_training_are_new_by_themselves() -> None:
    parts = splits.by_time(timed(), test_from=30)  # item 3 is of nobody before
    assert parts.new_items.tolist() == []
    assert parts.new_columns().tolist() == [False, False, True]
    assert parts.new_shares() == (1 / 3, 2 / 4, 1.0)
    assert repr(parts).endswith(
        "new items: 33.3% of the items, 50.0% of the events, 100.0% of the targets)"
    )


@pytest.mark.parametrize(
    ("by", "name"),
    [*((by, name) for by in BY_SPLIT for name in ("test", "validation")), ("cold", "test")],
)
def test_known_and_new_items_are_targets_in_the_same_share(
    many: Interactions, by: str, name: str
) -> None:
    options = {"strong": {"test": 0.4, "validation": 0.4}, "random": {"validation": 0.2}}
    if by == "cold":
        parts = splits.cold_items(many, share=0.3, seed=5)
        stress = splits.cold_stress(many, share=0.3, seed=5)
    else:
        before = split(many, by, seed=5, **options.get(by, {}))
        parts = splits.cold_items(before, share=0.3, seed=5)
        stress = splits.cold_stress(before, share=0.3, seed=5)

    def surprise(parts: Split) -> float:
        """By how many standard deviations there are more new targets than by chance.

        Which of a user's t targets are new is a draw of t out of what the user took, of which a
        share f is new: t f are, with a variance below t f (1 - f).
        """
        part, new = parts.held_out[name], parts.new_columns()
        sizes, taken = (np.diff(of.matrix.indptr) for of in (part.targets, part.taken()))
        of_new = np.diff(part.taken().keep_pairs(new[part.taken().matrix.indices]).matrix.indptr)
        share = of_new / taken
        found = new[part.targets.matrix.indices].sum()
        spread = np.sqrt((sizes * share * (1 - share)).sum())
        return float((found - (sizes * share).sum()) / spread)

    assert len(parts.new_items) == 18
    assert abs(surprise(parts)) < 3
    if name == "test":
        assert surprise(stress) > 9


@pytest.mark.parametrize("by", [*BY_SPLIT, "cold"])
def test_a_larger_keep_adds_training_users_and_changes_nothing_else(
    many: Interactions, by: str
) -> None:
    def made(keep: int | None, seed: int = 3) -> Split:
        if by == "cold":
            return splits.cold_items(many, share=0.25, min_count=20, keep=keep, seed=seed)
        before = split(many, by, seed=1)
        return splits.cold_items(before, share=0.25, min_count=20, keep=keep, seed=seed)

    everything = made(None)
    new, counts = set(everything.new_items.tolist()), everything.train.item_counts()
    assert len(new) == (counts >= 20).sum() // 4
    assert counts[everything.new_positions()].min() >= 20
    if by != "cold":
        assert same(everything.train, split(many, by, seed=1).train)
    before: set[tuple[object, object]] = set()
    known = {(user, item) for user, item in pairs(everything.train) if item not in new}
    for keep in (0, 1, 5, 20, 100, 10_000, None):
        parts = made(keep)
        assert set(parts.new_items.tolist()) == new
        now = pairs(parts.train)
        assert before <= now
        assert {(user, item) for user, item in now if item not in new} == known
        most = np.inf if keep is None else keep
        places = parts.new_positions()
        np.testing.assert_array_equal(
            parts.train.item_counts()[places], np.minimum(counts[places], most)
        )
        for name, part in everything.held_out.items():
            other = parts.held_out[name]
            assert same(other.histories, part.histories)
            assert same(other.targets, part.targets)
            assert same(other.unranked, part.unranked)
        before = now
    assert before == pairs(everything.train)
    assert set(made(0, seed=4).new_items.tolist()) != new


@pytest.mark.parametrize("by", BY_SPLIT)
def test_cold_items_of_a_split_ask_for_the_same_targets(data: Interactions, by: str) -> None:
    before = split(data, by, seed=4)
    parts = splits.cold_items(before, share=0.3, seed=4)
    new = set(parts.new_items.tolist())
    assert pairs(parts.train) == {(u, i) for u, i in pairs(before.train) if i not in new}
    assert list(parts.held_out) == list(before.held_out)
    for name, part in parts.held_out.items():
        was = before.held_out[name]
        assert same(part.targets, was.targets)
        assert {item for _, item in pairs(part.targets)} & new
        hidden = {(u, i) for u, i in pairs(was.histories) if i in new}
        assert hidden
        assert pairs(part.histories) == pairs(was.histories) - hidden
        assert unranked(part) == hidden | unranked(was)
        assert pairs(part.taken()) == pairs(was.taken())
        assert part.exclude_seen


def test_cold_items_of_interactions_hold_out_a_share_of_each_user(data: Interactions) -> None:
    parts = splits.cold_items(data, share=0.25, min_count=5, targets=0.4, seed=2)
    new = set(parts.new_items.tolist())
    sizes = dict(zip(data.user_ids.tolist(), np.diff(data.matrix.indptr).tolist(), strict=True))
    test = parts.test
    assert set(test.targets.user_ids.tolist()) == {user for user, k in sizes.items() if k > 1}
    for user, k in zip(
        test.targets.user_ids.tolist(), np.diff(test.targets.matrix.indptr).tolist(), strict=True
    ):
        assert k == max(1, int(0.4 * sizes[user] + 1e-9))
    tested = set(test.targets.user_ids.tolist())
    rest = pairs(data) - pairs(test.targets)
    assert pairs(parts.train) == {(u, i) for u, i in rest if i not in new}
    assert pairs(test.histories) == {(u, i) for u, i in rest if i not in new and u in tested}
    assert unranked(test) == {(u, i) for u, i in rest if i in new and u in tested}
    before = splits.cold_items(data, share=0.25, min_count=5, targets=0.4, keep=None, seed=2)
    counts = before.train.item_counts()  # of the interactions that are no targets
    assert len(new) == (counts >= 5).sum() // 4
    assert counts[before.new_positions()].min() >= 5


def test_a_hidden_validation_target_is_not_ranked_in_test() -> None:
    before = splits.leave_last(sequences([1, 2, 3, 4], [1, 3, 2], [3, 1, 4]))
    for seed in range(8):
        parts = splits.cold_items(before, share=0.3, seed=seed)
        hidden = parts.new_items.tolist()
        assert len(hidden) == 1
        assert same(parts.validation.targets, before.validation.targets)
        wanted = {(user, item) for user, item in pairs(before.validation.targets) if item in hidden}
        assert wanted <= unranked(parts.test)
        assert not wanted & unranked(parts.validation)


def test_a_new_item_taken_again_is_not_ranked() -> None:
    users, items, times = [1, 1, 1, 2, 2], [1, 2, 1, 1, 2], [10, 20, 40, 10, 40]
    before = splits.by_time(Interactions.from_columns(users, items, times=times), test_from=30)
    assert pairs(before.test.targets) == {(2, 2)}
    users, items, times = [*users, 1], [*items, 3], [*times, 50]
    before = splits.by_time(Interactions.from_columns(users, items, times=times), test_from=30)
    parts = splits.cold_items(before, share=0.5, min_count=2)
    assert parts.new_items.tolist() == [1]
    assert pairs(parts.test.targets) == {(1, 3), (2, 2)}  # not item 1, which user 1 has seen
    assert unranked(parts.test) == {(1, 1), (2, 1)}


def test_a_hidden_item_may_be_the_answer_once_more() -> None:
    before = splits.leave_last(sequences([1, 2, 1, 1], [2, 3, 2, 2], [1, 4, 3]), repeats="keep")
    assert pairs(before.test.targets) == {(1, 1), (2, 2), (3, 3)}
    both = 0
    for seed in range(8):
        parts = splits.cold_items(before, share=0.5, seed=seed)
        new = set(parts.new_items.tolist())
        assert not parts.test.exclude_seen
        for name, part in parts.held_out.items():
            was = before.held_out[name]
            hidden = {(user, item) for user, item in pairs(was.histories) if item in new}
            assert same(part.targets, was.targets)
            assert pairs(part.histories) == pairs(was.histories) - hidden
            assert unranked(part) == hidden - pairs(part.targets)
            both += len(hidden & pairs(part.targets))
        assert parts.train.item_counts()[parts.new_positions()].sum() == 0
    assert both  # or the test would show nothing


def test_cold_items_twice_hide_both(data: Interactions) -> None:
    before = splits.random(data, validation=0.1)
    once = splits.cold_items(before, share=0.2)
    twice = splits.cold_items(once, share=0.2, seed=1)
    new = set(twice.new_items.tolist())
    assert set(once.new_items.tolist()) < new
    assert len(new) == 16 + 64 // 5  # the second time, of those that are left
    for name, part in twice.held_out.items():
        was = before.held_out[name]
        assert same(part.targets, was.targets)
        hidden = {(u, i) for u, i in pairs(was.histories) if i in new}
        assert pairs(part.histories) == pairs(was.histories) - hidden
        assert unranked(part) == hidden | unranked(was)
        assert unranked(once.held_out[name]) < unranked(part)
    assert pairs(twice.train) == {(u, i) for u, i in pairs(before.train) if i not in new}


@pytest.mark.parametrize("keep", [3, None])
def test_thinning_twice_keeps_as_much_of_all_new_items(
    data: Interactions, keep: int | None
) -> None:
    once = splits.cold_items(data, share=0.2, min_count=9, keep=keep)
    twice = splits.cold_items(once, share=0.2, min_count=9, keep=keep, seed=1)
    assert set(once.new_items.tolist()) < set(twice.new_items.tolist())
    assert twice.kept == keep
    assert pairs(twice.train) <= pairs(once.train)
    if keep is not None:
        assert (twice.train.item_counts()[twice.new_positions()] == keep).all()
    for other in {0, 2, None} - {keep}:
        with pytest.raises(ValueError, match=r"^cold_items: keep is .*; expected .*hidden already"):
            splits.cold_items(once, keep=other)


def test_cold_items_leave_something_to_train_on() -> None:
    with pytest.raises(ValueError, match="number of users with a target is 0"):
        splits.cold_items(sequences([1], [1]))
    with pytest.raises(ValueError, match="number of items with at least 9 users is 0"):
        splits.cold_items(sequences([1, 2], [1, 2]), min_count=9)
    with pytest.raises(ValueError, match="number of pairs in train is 0"):
        splits.cold_items(splits.random(sequences([1, 2], [1, 2])), share=0.99)


def test_all_that_is_kept_is_known_and_in_no_history(data: Interactions) -> None:
    parts = splits.cold_items(splits.strong(data), keep=None)
    assert parts.cold_items.tolist() == []
    assert parts.train.item_counts()[parts.new_positions()].all()
    for part in parts.held_out.values():
        assert not part.histories.item_counts()[parts.new_positions()].any()


def test_a_split_of_the_function_is_that_of_the_two_ways(data: Interactions) -> None:
    parts = split(data, "strong", cold=0.2, seed=6)
    by_step = splits.cold_items(splits.strong(data, seed=6), share=0.2, seed=6)
    assert same(parts.train, by_step.train)
    assert same(parts.test.unranked, by_step.test.unranked)
    thinned = split(data, "cold", keep=2, targets=0.5, seed=6)
    assert thinned.kept == 2
    assert same(thinned.train, splits.cold_items(data, keep=2, targets=0.5, seed=6).train)


# cold_items and random


def test_test_does_not_rank_what_validation_asks_for(data: Interactions) -> None:
    for per_user in (True, False):
        parts = splits.random(data, validation=0.2, per_user=per_user)
        tested = set(parts.test.targets.user_ids.tolist())
        asked = {(u, i) for u, i in pairs(parts.validation.targets) if u in tested}
        assert asked
        assert unranked(parts.test) == asked
        assert parts.validation.unranked is None  # not to rank test targets would be to know
    assert splits.random(data).test.unranked is None


# cold_stress


def test_cold_stress_of_interactions(data: Interactions) -> None:
    parts = splits.cold_stress(data, share=0.25, min_count=5, seed=2)
    counts = data.item_counts()
    assert len(parts.new_items) == (counts >= 5).sum() // 4
    assert counts[parts.new_positions()].min() >= 5
    cold = set(parts.new_items.tolist())
    assert pairs(parts.train) == {(u, i) for u, i in pairs(data) if i not in cold}
    assert pairs(parts.test.targets) == {(u, i) for u, i in pairs(data) if i in cold}
    tested = set(parts.test.targets.user_ids.tolist())
    assert pairs(parts.test.histories) == {(u, i) for u, i in pairs(parts.train) if u in tested}


@pytest.mark.parametrize("by", ["strong", "leave-last", "time", "random"])
def test_cold_stress_of_a_split(data: Interactions, by: str) -> None:
    before = split(data, by, seed=4)
    parts = splits.cold_stress(before, share=0.3, seed=4)
    cold = set(parts.new_items.tolist())
    assert parts.train.item_counts()[parts.new_positions()].sum() == 0
    assert pairs(parts.train) == {(u, i) for u, i in pairs(before.train) if i not in cold}
    for name, part in parts.held_out.items():
        was = before.held_out[name]
        moved = {(u, i) for u, i in pairs(was.histories) if i in cold}
        assert moved
        of_test = set() if name == "test" else pairs(parts.test.targets)
        assert pairs(part.targets) == (pairs(was.targets) | moved) - of_test
        left = set(part.targets.user_ids.tolist())
        assert pairs(part.histories) == {
            (u, i) for u, i in pairs(was.histories) - moved if u in left
        }


def test_cold_stress_keep_weights_and_do_not_double_repeats() -> None:
    data = sequences([1, 2, 1, 1], [2, 3, 2, 2], duplicates="count")
    before = splits.leave_last(data, repeats="keep")
    parts = splits.cold_stress(before, share=0.9)  # of items 1, 2 and 3 two go
    assert len(parts.new_items) == 2
    targets, was = parts.test.targets.matrix, before.test.targets.matrix
    np.testing.assert_array_equal(targets.toarray()[was.toarray() > 0], 1)
    assert targets.has_canonical_format


def test_cold_stress_twice_are_the_cold_items_of_both(data: Interactions) -> None:
    once = splits.cold_stress(data, share=0.2)
    twice = splits.cold_stress(once, share=0.2, seed=1)
    assert set(once.new_items.tolist()) < set(twice.new_items.tolist())


def test_cold_stress_leave_something_to_train_on() -> None:
    with pytest.raises(ValueError, match="number of pairs in train is 0"):
        splits.cold_stress(sequences([1], [1]))
    with pytest.raises(ValueError, match="number of items with at least 9 users is 0"):
        splits.cold_stress(sequences([1], [1]), min_count=9)


# parameters


@pytest.mark.parametrize(
    ("by", "options"),
    [
        ("strong", {"test": 0}),
        ("strong", {"test": 1.0}),
        ("strong", {"test": True}),
        ("strong", {"test": -3}),
        ("strong", {"validation": 1.5}),
        ("strong", {"fold_in": 1.0}),
        ("strong", {"min_user": 1}),
        ("leave-last", {"repeats": "first"}),
        ("leave-last", {"min_user": 2}),
        ("time", {"test": 1.0}),
        ("time", {"test": 0.6, "validation": 0.4}),
        ("random", {"test": 0.0}),
        ("random", {"test": 0.6, "validation": 0.4}),
        ("random", {"validation": -0.1}),
        ("random", {"test": float("nan")}),
        ("cold", {"share": 0.0}),
        ("cold", {"share": 2}),
        ("cold", {"min_count": 0}),
        ("cold", {"keep": -1}),
        ("cold", {"keep": True}),
        ("cold", {"targets": 0.0}),
        ("cold", {"targets": 1.0}),
        ("cold-stress", {"share": 0.0}),
        ("cold-stress", {"share": 2}),
        ("cold-stress", {"min_count": 0}),
    ],
)
def test_parameters_are_checked(data: Interactions, by: str, options: dict[str, object]) -> None:
    name, value = next(iter(options.items()))
    error = TypeError if isinstance(value, bool) else ValueError
    with pytest.raises(error, match=rf"\w+: .*{name}.* is .*; expected "):
        split(data, by, **options)


def test_split_names_its_ways(data: Interactions) -> None:
    with pytest.raises(
        ValueError, match="one of strong, leave-last, time, random, cold, cold-stress"
    ):
        split(data, "loo")
    with pytest.raises(
        ValueError, match="'fold_in'; expected one of validation, repeats, min_user"
    ):
        split(data, "leave-last", fold_in=0.5)


def test_a_share_of_cold_items_by_cold(data: Interactions) -> None:
    for by in ("cold", "cold-stress"):
        parts = split(data, by, cold=0.5)
        assert len(parts.new_items) == data.n_items // 2
        np.testing.assert_array_equal(parts.cold_items, parts.new_items)


def test_whole_number_ids_are_split_without_pyarrow() -> None:
    code = (
        "import sys, numpy as np; from pyhybrid.data import Interactions, split;"
        "users = np.repeat(np.arange(20), 10); items = np.tile(np.arange(50), 4);"
        "data = Interactions.from_columns(users, items, times=np.arange(200));"
        f"[split(data, by, cold=0.1) for by in {WAYS}];"
        "sys.exit('pyarrow' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@settings(max_examples=60)
@given(
    rows=st.lists(st.tuples(st.integers(0, 8), st.integers(0, 8)), min_size=4, max_size=60),
    by=st.sampled_from(WAYS),
    cold=st.sampled_from([0.0, 0.3]),
    seed=st.integers(0, 3),
)
def test_no_split_leaks_or_loses_a_pair(
    rows: list[tuple[int, int]], by: str, cold: float, seed: int
) -> None:
    users, items = zip(*rows, strict=True)
    data = Interactions.from_columns(users, items, times=range(len(rows)))
    try:
        parts = split(data, by, cold=cold, seed=seed)
    except ValueError as error:  # too little data for this way; never a leak
        assert "that are in" not in str(error)  # noqa: PT017
        return
    found = pairs(parts.train)
    for part in parts.held_out.values():
        assert not pairs(part.targets) & pairs(parts.train)
        assert not pairs(part.targets) & pairs(part.histories)
        assert not unranked(part) & (pairs(part.targets) | pairs(part.histories))
        found |= pairs(part.targets) | pairs(part.histories) | unranked(part)
    assert found <= pairs(data)
    tested = {user for part in parts.held_out.values() for user in part.targets.user_ids.tolist()}
    new = set(parts.new_items.tolist())
    # What of the new items is nobody's that is asked about is hidden, and nothing else.
    assert all(item in new and user not in tested for user, item in pairs(data) - found)
    if by == "cold-stress" or not (cold or by == "cold"):
        assert cold or found == pairs(data)
