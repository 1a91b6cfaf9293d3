from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyhybrid.data import Feedback, HeldOut, Interactions, splits


def history_ids(rows: Feedback, which=None) -> list[list[object]]:
    """Give the ids in each row's history, oldest first."""
    told = rows.histories(which)
    events = told.events
    lists = np.split(events.items, events.indptr[1:-1]) if told.n_users else []
    return [told.item_ids[items].tolist() for items in lists]


def history_by_hand(users, items, labels, times) -> list[list[object]]:
    """Go through the rows, sorted by time, and remember what each user liked."""
    liked: dict[object, list[object]] = {}
    found = {}
    for row in sorted(range(len(users)), key=lambda row: times[row]):
        found[row] = list(liked.setdefault(users[row], []))
        if labels[row]:
            liked[users[row]].append(items[row])
    return [found[row] for row in range(len(users))]


logs = st.lists(
    st.tuples(st.integers(5, 8), st.integers(10, 15), st.booleans(), st.integers(0, 3)),
    min_size=1,
    max_size=30,
)


# what a history holds


@given(logs)
def test_a_history_is_what_the_user_liked_before(log) -> None:
    users, items, labels, times = map(list, zip(*log, strict=True))
    in_order = Feedback.from_columns(users, items, labels)
    assert history_ids(in_order) == history_by_hand(users, items, labels, range(len(log)))
    by_time = Feedback.from_columns(users, items, labels, times)
    assert history_ids(by_time) == history_by_hand(users, items, labels, times)
    for rows in (in_order, by_time):  # the rows stay where they are
        assert rows.user_ids[rows.users].tolist() == users
        assert rows.item_ids[rows.items].tolist() == items
        assert rows.labels.tolist() == labels
        assert rows.likes.user_ids.tolist() == sorted(set(users))
        assert rows.item_ids.tolist() == sorted(set(items))
        assert len(rows.likes.events.items) == sum(labels)
        told = rows.histories()
        assert told.user_ids.tolist() == list(range(len(log)))
        for row, ids in enumerate(history_ids(rows)):
            entries = told.matrix[[row]]
            assert told.item_ids[entries.indices].tolist() == sorted(set(ids))
            assert (entries.data == 1).all()


@given(logs, st.data())
def test_parts_one_after_the_other_are_the_whole(log, data) -> None:
    log.sort(key=lambda row: row[3])
    columns = [list(column) for column in zip(*log, strict=True)]
    cut = data.draw(st.integers(1, len(log)))
    with_times = data.draw(st.booleans())

    def part(rows: slice, earlier: Feedback | None = None) -> Feedback:
        users, items, labels, times = (column[rows] for column in columns)
        when = times if with_times else None
        return Feedback.from_columns(users, items, labels, when, earlier=earlier)

    whole = part(slice(None))
    first = part(slice(cut))
    assert history_ids(whole)[:cut] == history_ids(first)
    if cut < len(log):
        second = part(slice(cut, None), first)
        assert second.seen.tolist() == whole.seen[cut:].tolist()
        assert history_ids(second) == history_ids(whole)[cut:]
        assert second.user_ids[: len(first.user_ids)].tolist() == first.user_ids.tolist()
        assert second.item_ids[: len(first.item_ids)].tolist() == first.item_ids.tolist()
        assert len(second.likes.events.items) == len(whole.likes.events.items)
        assert (second.likes.events.times is not None) == with_times


def test_rows_of_one_time_keep_their_order() -> None:
    rows = Feedback.from_columns([1] * 4, [5, 6, 7, 8], [1, 1, 0, 1], times=[9, 9, 9, 2])
    assert history_ids(rows) == [[8], [8, 5], [8, 5, 6], []]
    assert rows.likes.events.times.tolist() == [2, 9, 9]


def test_a_repeated_like_stands_in_the_history_twice() -> None:
    rows = Feedback.from_columns([1, 1, 1], [5, 5, 6], [1, 1, 0])
    assert history_ids(rows, [2]) == [[5, 5]]
    assert rows.histories([2]).matrix.nnz == 1


def test_negative_rows_alone_are_on_the_axes() -> None:
    rows = Feedback.from_columns(["b", "a"], ["y", "x"], [True, False])
    assert rows.user_ids.tolist() == ["a", "b"]
    assert rows.item_ids.tolist() == ["x", "y"]
    assert rows.likes.matrix.toarray().tolist() == [[0, 0], [0, 1]]
    none = Feedback.from_columns([1, 2], [5, 5], [0, 0])
    assert history_ids(none) == [[], []]
    assert repr(none) == "Feedback(2 rows of 2 users x 1 items, 0 liked)"


def test_further_items_follow_in_their_order() -> None:
    train = Feedback.from_columns([1], [5], [1], item_ids=[9, 5, 3])
    assert train.item_ids.tolist() == [5, 9, 3]
    test = Feedback.from_columns([1, 1], [4, 3], [1, 1], earlier=train, item_ids=[1, 4])
    assert test.item_ids.tolist() == [5, 9, 3, 4, 1]
    assert history_ids(test) == [[5], [5, 4]]


def test_a_row_before_an_earlier_event_is_refused() -> None:
    train = Feedback.from_columns([1, 2], [5, 5], [1, 1], times=[10, 50])
    rows = {"users": [2, 1, 1], "items": [6, 6, 7], "labels": [0, 1, 0]}
    Feedback.from_columns(*rows.values(), times=[50, 10, 11], earlier=train)
    message = r"row 1 of times is 9; expected 10, its user's last in earlier, or later; split by"
    with pytest.raises(ValueError, match=message):
        Feedback.from_columns(*rows.values(), times=[50, 9, 11], earlier=train)
    # without times the caller says which comes first
    untimed = Feedback.from_columns(*rows.values(), earlier=train)
    assert history_ids(untimed) == [[5], [5], [5, 6]]
    assert untimed.likes.events.times is None


# taking rows


def test_select_keeps_the_histories() -> None:
    rows = Feedback.from_columns([1, 2, 1, 1], [5, 6, 6, 7], [1, 1, 1, 0])
    some = rows.select([3, 0])
    assert history_ids(some) == [[5, 6], []]
    assert some.labels.tolist() == [False, True]
    assert len(some) == some.n_rows == 2
    assert some.likes is rows.likes
    assert rows.select(rows.labels).items.tolist() == [0, 1, 1]
    assert history_ids(rows.select(np.zeros(4, bool))) == []
    assert rows.histories([3, 1]).user_ids.tolist() == [3, 1]
    for take in (rows.select, rows.histories):
        with pytest.raises(ValueError, match=r"rows is from 0 to 4; expected positions"):
            take([0, 4])
        with pytest.raises(ValueError, match=r"mask is bool \(3,\); expected bool \(4,\)"):
            take(np.ones(3, bool))


def test_another_item_axis() -> None:
    rows = Feedback.from_columns([1, 2, 1], [5, 6, 7], [1, 0, 0])
    other = rows.with_items([9, 7, 6, 5])
    assert other.item_ids[other.items].tolist() == [5, 6, 7]
    assert other.items.dtype == np.int32
    assert history_ids(other) == history_ids(rows)
    assert rows.with_items([5, 6, 7]) is rows
    for axis, lost in (([5, 7], "1, the first 6"), ([6, 7], "1, the first 5"), ([7], "2, the")):
        with pytest.raises(ValueError, match=f"with_items: number of unknown items is {lost}"):
            rows.with_items(axis)
    assert rows.select([0, 2]).with_items([7, 5]).items.tolist() == [1, 0]
    with pytest.raises(TypeError, match="ids is whole numbers; expected strings"):
        rows.with_items(["5", "6", "7"])


# warm and cold rows


@given(logs, logs, st.integers(1, 4))
def test_known_rows_by_hand(log, other, least) -> None:
    users, items, labels, _ = map(list, zip(*log, strict=True))
    train = Feedback.from_columns(*map(list, zip(*[row[:3] for row in other], strict=True)))
    by_user = Counter(row[0] for row in other)
    by_item = Counter(row[1] for row in other)
    expected = [
        by_user[user] >= least and by_item[item] >= least
        for user, item in zip(users, items, strict=True)
    ]
    apart = Feedback.from_columns(users, items, labels)  # axes of its own
    after = Feedback.from_columns(users, items, labels, earlier=train)
    for rows in (apart, after):
        assert rows.known(train, least).tolist() == expected


def test_known_checks_its_arguments() -> None:
    rows = Feedback.from_columns([1], [5], [1])
    with pytest.raises(ValueError, match="known: least is 0; expected 1 or more"):
        rows.known(rows, 0)
    with pytest.raises(TypeError, match="known: train is Interactions; expected a Feedback"):
        rows.known(rows.likes)
    with pytest.raises(TypeError, match="known: ids is whole numbers; expected strings"):
        rows.known(Feedback.from_columns(["1"], [5], [1]))


# sampled rows


@given(
    st.lists(st.tuples(st.integers(0, 4), st.integers(0, 6)), min_size=1, max_size=25),
    st.integers(0, 3),
    st.integers(0, 2),
)
def test_sampled_rows_by_hand(pairs, negatives, seed) -> None:
    taken = Interactions.from_columns(*map(list, zip(*pairs, strict=True)), ordered=True)
    rows = Feedback.sampled(taken, negatives, seed)
    assert rows.likes is taken
    row = 0
    for user, user_id in enumerate(taken.user_ids):
        events = [item for u, item in pairs if u == user_id]
        drawn = negatives if len(set(events)) < taken.n_items else 0
        for place, item in enumerate(events):
            here = slice(row, row + 1 + drawn)
            assert rows.users[here].tolist() == [user] * (1 + drawn)
            assert rows.labels[here].tolist() == [True] + [False] * drawn
            assert rows.seen[here].tolist() == [place] * (1 + drawn)
            found = taken.item_ids[rows.items[here]].tolist()
            assert found[0] == item
            assert set(found[1:]).isdisjoint(events)
            row += 1 + drawn
    assert row == len(rows)


def test_every_item_not_taken_is_drawn_alike() -> None:
    # user 0 took items 1, 2 and 5 of six, user 1 the first two
    taken = Interactions.from_columns(
        [0, 0, 0, 1, 1, 2, 2], [1, 2, 5, 0, 1, 3, 4], ordered=True, duplicates="count"
    )
    rows = Feedback.sampled(taken, negatives=6000, seed=3)
    for user, untaken in ((0, [0, 3, 4]), (1, [2, 3, 4, 5]), (2, [0, 1, 2, 5])):
        drawn = Counter(rows.items[(rows.users == user) & ~rows.labels].tolist())
        assert sorted(drawn) == untaken
        share = np.array(list(drawn.values())) / drawn.total()
        assert np.abs(share - 1 / len(untaken)).max() < 0.02


def test_the_seed_decides_the_draws() -> None:
    taken = Interactions.from_columns(np.arange(50), np.arange(50), ordered=True)
    one, again, other = (Feedback.sampled(taken, seed=seed).items for seed in (1, 1, 2))
    assert (one == again).all()
    assert (one != other).any()


def test_without_an_order_nothing_is_sampled() -> None:
    taken = Interactions.from_columns([1, 2], [5, 6])
    message = r"the order of interactions is unknown; expected events; read .* ordered=True"
    with pytest.raises(ValueError, match=message):
        Feedback.sampled(taken)
    with pytest.raises(ValueError, match="negatives is -1; expected 0 or more"):
        Feedback.sampled(taken, -1)
    with pytest.raises(TypeError, match="interactions is csr_array; expected Interactions"):
        Feedback.sampled(taken.matrix)


def test_rows_of_held_out_users_by_hand() -> None:
    taken = Interactions.from_columns(
        [1, 1, 1, 1, 2, 2, 2], [5, 6, 7, 8, 8, 6, 5], times=[4, 3, 2, 1, 1, 2, 3]
    )
    held_out = splits.leave_last(taken).test  # user 1: 5 after 8, 7, 6; user 2: 5 after 8, 6
    rows = Feedback.of_held_out(held_out, negatives=2)
    # user 1 has taken all; user 2 all but 7
    assert rows.user_ids[rows.users].tolist() == [1, 2, 2, 2]
    assert rows.item_ids[rows.items].tolist() == [5, 5, 7, 7]
    assert rows.labels.tolist() == [True, True, False, False]
    assert rows.histories().to_arrow()["item_id"].to_pylist() == [8, 7, 6, *[8, 6] * 3]


def test_a_held_out_user_is_asked_about_nothing_taken_or_wanted() -> None:
    random = np.random.default_rng(0)
    pairs = random.integers(0, 30, (2, 400))
    taken = Interactions.from_columns(*pairs, ordered=True)
    held_out = splits.strong(taken, seed=1, test=0.3).test
    rows = Feedback.of_held_out(held_out, negatives=3, seed=2)
    known = (held_out.histories.matrix + held_out.targets.matrix).toarray() > 0
    assert not known[rows.users, rows.items][~rows.labels].any()
    wanted = held_out.targets.matrix.toarray() > 0
    assert wanted[rows.users, rows.items][rows.labels].all()
    assert rows.labels.sum() == held_out.targets.matrix.nnz
    assert len(rows) == 4 * rows.labels.sum()
    other = Feedback.of_held_out(held_out, negatives=3, seed=3)
    assert (rows.items != other.items).any()


def test_without_an_order_of_histories_no_rows_are_made() -> None:
    seen = Interactions.from_columns([1, 1, 2, 2], [5, 6, 6, 7])
    half = np.array([True, False, True, False])
    held_out = HeldOut(seen.keep_pairs(half), seen.keep_pairs(~half))
    with pytest.raises(ValueError, match="the order of histories is unknown; expected events"):
        Feedback.of_held_out(held_out)
    with pytest.raises(TypeError, match="held_out is Interactions; expected a HeldOut"):
        Feedback.of_held_out(seen)


def test_weights_of_sampled_likes_end_with_them() -> None:
    taken = Interactions.from_columns([1, 1], [5, 6], [2.0, 3.0], times=[1, 2])
    rows = Feedback.sampled(taken, 0)
    assert rows.histories().matrix.toarray().tolist() == [[0, 0], [2, 0]]
    later = Feedback.from_columns([1], [5], [0], times=[3], earlier=rows)
    assert later.histories().matrix.toarray().tolist() == [[1, 1]]


# what is refused


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"users": np.array([0, 1])}, TypeError, "users's dtype is int64; expected int32"),
        ({"labels": np.array([0, 1])}, TypeError, "labels's dtype is int64; expected bool"),
        ({"seen": [0, 1]}, TypeError, "seen's dtype is that of a list; expected int64"),
        ({"seen": np.zeros((2, 1), int)}, ValueError, "number of dimensions is 2; expected 1"),
        ({"seen": np.zeros(3, int)}, ValueError, "length is 2 and 3; expected one length"),
        ({"users": np.array([0, 2], np.int32)}, ValueError, "users is from 0 to 2; expected pos"),
        ({"items": np.array([-1, 0], np.int32)}, ValueError, "items is from -1 to 0; expected"),
        ({"seen": np.array([0, -1])}, ValueError, "row 1 of seen is -1; expected 0 to 1, the"),
        ({"seen": np.array([3, 0])}, ValueError, "row 0 of seen is 3; expected 0 to 2, the"),
        ({"likes": None}, TypeError, "likes is NoneType; expected Interactions"),
        (
            {"likes": Interactions.from_columns([1, 2], [5, 6])},
            ValueError,
            "the order of likes is unknown; expected events",
        ),
    ],
)
def test_what_does_not_fit_together_is_refused(change, error, message) -> None:
    likes = Interactions.from_columns([1, 1, 2], [5, 6, 5], ordered=True)
    zeros = np.zeros(2, np.int32)
    rows = Feedback(likes, np.array([0, 1], np.int32), zeros, zeros == 0, np.array([2, 1]))
    with pytest.raises(error, match=f"^Feedback: .*{message}"):
        replace(rows, **change)


@pytest.mark.parametrize(
    ("columns", "error", "message"),
    [
        (([], [], []), ValueError, "number of rows is 0; expected at least one"),
        (([1], [5, 6], [1]), ValueError, "the columns' length is 1 and 2; expected one"),
        (([1], [5], [1], [1, 2]), ValueError, "the columns' length is 1 and 2; expected one"),
        (([1], [5], [2]), ValueError, r"row 0 of labels is 2; expected 0 or 1; compare ratings"),
        (([1], [5], ["yes"]), TypeError, "dtype of labels is <U3; expected numbers"),
        (([1, 1.5], [5, 6], [1, 0]), TypeError, r"row 1 of users is 1.5 \(float\)"),
        (([1], [None], [1]), ValueError, "row 0 of items is missing"),
        (([1], [5], [1], [np.nan]), ValueError, "row 0 of times is nan"),
    ],
)
def test_wrong_columns_are_refused(columns, error, message) -> None:
    with pytest.raises(error, match=message):
        Feedback.from_columns(*columns)


def test_ids_of_another_kind_are_refused() -> None:
    train = Feedback.from_columns([1], [5], [1])
    for columns in ((["1"], [5], [1]), ([1], ["5"], [1])):
        with pytest.raises(TypeError, match="ids is strings; expected whole numbers"):
            Feedback.from_columns(*columns, earlier=train)
    with pytest.raises(TypeError, match="earlier is Interactions; expected a Feedback"):
        Feedback.from_columns([1], [5], [1], earlier=train.likes)
    with pytest.raises(ValueError, match="row 1 of item_ids is 5, which stands there before"):
        Feedback.from_columns([1], [5], [1], item_ids=[5, 5])
