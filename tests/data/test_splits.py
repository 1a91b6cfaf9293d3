from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pyhybrid.data import HeldOut, Interactions, Split, split, splits

WAYS = ("strong", "leave-last", "time", "random", "cold")


def pairs(data: Interactions) -> set[tuple[object, object]]:
    """Name the pairs by the users' and items' own ids."""
    coo = data.matrix.tocoo()
    return set(zip(data.user_ids[coo.row].tolist(), data.item_ids[coo.col].tolist(), strict=True))


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
        assert pairs(part.targets) | pairs(part.histories) <= pairs(data)
        assert np.diff(part.targets.matrix.indptr).min() >= 1
        for held_out in (part.targets, part.histories):
            np.testing.assert_array_equal(held_out.item_ids, data.item_ids)
            np.testing.assert_array_equal(held_out.user_ids, part.targets.user_ids)
    np.testing.assert_array_equal(parts.train.item_ids, data.item_ids)


@pytest.mark.parametrize("by", ["strong", "random", "cold"])
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
    assert not set(inner.train.item_ids) & set(outer.cold_items)
    assert set(inner.train.item_ids) | set(outer.cold_items) <= set(data.item_ids)
    assert len(inner.cold_items) == inner.train.n_items // 4
    assert not inner.train.item_counts()[inner.cold_columns()].any()
    known = pairs(outer.train)
    for part in (inner.train, *(h.histories for h in inner.held_out.values())):
        assert pairs(part) <= known
    for held_out in inner.held_out.values():
        assert pairs(held_out.targets) <= known
        targets = set(held_out.targets.item_ids[held_out.targets.matrix.indices].tolist())
        assert targets & set(inner.cold_items)
        assert targets - set(inner.cold_items)
        # Held-out users are not in train.
        users = held_out.targets.user_ids[np.diff(held_out.targets.matrix.indptr) > 0]
        train_users = inner.train.user_ids[np.diff(inner.train.matrix.indptr) > 0]
        assert not set(users) & set(train_users)


def test_the_seed_draws_the_pseudo_cold_items(data: Interactions) -> None:
    one, again, other = (splits.pseudo_cold(data, seed=seed) for seed in (0, 0, 1))
    assert one.cold_items.tolist() == again.cold_items.tolist() != other.cold_items.tolist()
    assert same(one.train, again.train)


def test_pseudo_cold_items_have_users_enough(data: Interactions) -> None:
    parts = splits.pseudo_cold(data, share=0.5, min_count=8)
    counts = dict(zip(data.item_ids.tolist(), data.item_counts(), strict=True))
    assert min(counts[item] for item in parts.cold_items.tolist()) >= 8


# cold_items


def test_cold_items_of_interactions(data: Interactions) -> None:
    parts = splits.cold_items(data, share=0.25, min_count=5, seed=2)
    counts = data.item_counts()
    assert len(parts.cold_items) == (counts >= 5).sum() // 4
    assert counts[parts.cold_columns()].min() >= 5
    cold = set(parts.cold_items.tolist())
    assert pairs(parts.train) == {(u, i) for u, i in pairs(data) if i not in cold}
    assert pairs(parts.test.targets) == {(u, i) for u, i in pairs(data) if i in cold}
    tested = set(parts.test.targets.user_ids.tolist())
    assert pairs(parts.test.histories) == {(u, i) for u, i in pairs(parts.train) if u in tested}


@pytest.mark.parametrize("by", ["strong", "leave-last", "time", "random"])
def test_cold_items_of_a_split(data: Interactions, by: str) -> None:
    before = split(data, by, seed=4)
    parts = splits.cold_items(before, share=0.3, seed=4)
    cold = set(parts.cold_items.tolist())
    assert parts.train.item_counts()[parts.cold_columns()].sum() == 0
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


def test_cold_items_keep_weights_and_do_not_double_repeats() -> None:
    data = sequences([1, 2, 1, 1], [2, 3, 2, 2], duplicates="count")
    before = splits.leave_last(data, repeats="keep")
    parts = splits.cold_items(before, share=0.9)  # of items 1, 2 and 3 two go
    assert len(parts.cold_items) == 2
    targets, was = parts.test.targets.matrix, before.test.targets.matrix
    np.testing.assert_array_equal(targets.toarray()[was.toarray() > 0], 1)
    assert targets.has_canonical_format


def test_a_target_of_test_is_no_target_of_validation() -> None:
    data = sequences([1, 2, 3, 4], [2, 3, 4, 5])
    parts = splits.leave_last(data)
    with pytest.raises(ValueError, match="test targets that are in validation targets is 2"):
        Split(parts.train, parts.test, parts.test)
    with pytest.raises(ValueError, match="test targets that are in validation histories is 2"):
        Split(parts.train, parts.test, HeldOut(parts.test.targets, parts.validation.targets))


def test_cold_items_twice_are_the_cold_items_of_both(data: Interactions) -> None:
    once = splits.cold_items(data, share=0.2)
    twice = splits.cold_items(once, share=0.2, seed=1)
    assert set(once.cold_items.tolist()) < set(twice.cold_items.tolist())


def test_cold_items_leave_something_to_train_on() -> None:
    with pytest.raises(ValueError, match="number of pairs in train is 0"):
        splits.cold_items(sequences([1], [1]))
    with pytest.raises(ValueError, match="number of items with at least 9 users is 0"):
        splits.cold_items(sequences([1], [1]), min_count=9)


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
    ],
)
def test_parameters_are_checked(data: Interactions, by: str, options: dict[str, object]) -> None:
    name, value = next(iter(options.items()))
    error = TypeError if isinstance(value, bool) else ValueError
    with pytest.raises(error, match=rf"\w+: .*{name}.* is .*; expected "):
        split(data, by, **options)


def test_split_names_its_ways(data: Interactions) -> None:
    with pytest.raises(ValueError, match="one of strong, leave-last, time, random, cold"):
        split(data, "loo")
    with pytest.raises(
        ValueError, match="'fold_in'; expected one of validation, repeats, min_user"
    ):
        split(data, "leave-last", fold_in=0.5)


def test_a_share_of_cold_items_by_cold(data: Interactions) -> None:
    assert len(split(data, "cold", cold=0.5).cold_items) == data.n_items // 2


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
        found |= pairs(part.targets) | pairs(part.histories)
    assert found <= pairs(data)
    if not cold:
        assert found == pairs(data)
