from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from pyhybrid.data import HeldOut, Interactions, Split, splits, synthetic
from pyhybrid.data.held_out import hold_out


@pytest.fixture(scope="module")
def data() -> Interactions:
    return synthetic.topics(users=60, items=40, events_per_user=8.0)[0]


def test_the_parts_are_told(data: Interactions) -> None:
    parts = splits.cold_items(splits.strong(data, test=6, validation=3), share=0.1)
    assert list(parts.held_out) == ["test", "validation"]
    assert list(splits.random(data).held_out) == ["test"]
    text = repr(parts)
    assert "of 51 users" in text
    assert "pairs unranked)" in text
    assert "new items: 10.0% of the items, " in text


def test_a_leak_is_refused(data: Interactions) -> None:
    parts = splits.random(data)
    with pytest.raises(
        ValueError, match=r"number of test targets that are in train is \d+ \(first"
    ):
        Split(data, parts.test)
    with pytest.raises(ValueError, match=r"validation targets that are in train"):
        Split(
            parts.train, parts.test, HeldOut(data.keep_pairs(np.zeros(data.matrix.nnz, bool)), data)
        )
    with pytest.raises(ValueError, match="HeldOut: number of targets that are in histories is"):
        HeldOut(data, data)
    HeldOut(data, data, exclude_seen=False)


def test_a_leak_is_found_by_id_and_not_by_row() -> None:
    train = Interactions.from_columns(["b", "c"], [1, 2])
    targets = Interactions.from_columns(["a", "b", "c"], [2, 2, 1])
    nothing = targets.keep_pairs(np.zeros(3, bool))
    Split(train, HeldOut(nothing, targets))
    leak = Interactions.from_columns(["a", "c"], [1, 2])
    nothing = leak.keep_pairs(np.zeros(2, bool))
    with pytest.raises(ValueError, match=r"is 1 \(first: user c, item 2\); expected 0"):
        Split(train, HeldOut(nothing, leak))


def test_a_pair_of_weight_zero_leaks_too() -> None:
    data = Interactions.from_columns([1, 1], [1, 2], weights=[0.0, 0.0])
    with pytest.raises(ValueError, match="are in histories is 2"):
        HeldOut(data, data)


def test_new_items_that_are_trained_on_are_refused(data: Interactions) -> None:
    parts = splits.cold_items(data)
    known = np.setdiff1d(data.item_ids, parts.new_items)
    most = parts.train.item_counts().max()
    with pytest.raises(
        ValueError, match=rf"training users of a new item is {most}; expected at most 0 \(kept=\)"
    ):
        replace(parts, new_items=known)
    with pytest.raises(ValueError, match=rf"expected at most {most - 1} \(kept=\)"):
        replace(parts, new_items=known, kept=int(most) - 1)
    with pytest.raises(
        ValueError, match=r"entries of new items in test histories is \d+; expected"
    ):
        replace(parts, new_items=known, kept=None)
    with pytest.raises(ValueError, match="number of new_items that are on the item axis is 0"):
        replace(parts, new_items=np.array(["i9999"], dtype=object))
    some = np.append(parts.new_items, np.array(["i9999"], dtype=object))
    with pytest.raises(ValueError, match="on the item axis is 8; expected all 9"):
        replace(parts, new_items=some)


def test_parts_share_their_axes(data: Interactions) -> None:
    parts = splits.strong(data)
    with pytest.raises(ValueError, match="HeldOut: user_ids is not the same in all parts"):
        HeldOut(parts.test.histories, parts.validation.targets)
    with pytest.raises(ValueError, match="Split: item_ids is not the same in all parts"):
        Split(parts.train.with_items(data.item_ids[::-1]), parts.test)


# What is not ranked


def three() -> tuple[Interactions, Interactions, Interactions]:
    """A history, a target, and what is neither, of two users."""
    axis = Interactions.from_columns([1, 2], ["a", "b"]).with_items(["a", "b", "c", "d"])
    history = Interactions.from_columns([1, 2], ["a", "b"], ids=axis, weights=[2.0, 3.0])
    targets = Interactions.from_columns([1, 2], ["b", "c"], ids=axis)
    unranked = Interactions.from_columns([1, 1, 2], ["c", "d", "a"], ids=axis)
    return history, targets, unranked


def test_what_is_not_ranked_has_the_same_axes_and_no_target() -> None:
    history, targets, unranked = three()
    part = HeldOut(history, targets, unranked=unranked)
    assert repr(part) == "HeldOut(2 targets of 2 users, 3 pairs unranked)"
    nothing = unranked.keep_pairs(np.zeros(3, bool))
    assert repr(HeldOut(history, targets, unranked=nothing)) == "HeldOut(2 targets of 2 users)"
    with pytest.raises(ValueError, match="HeldOut: user_ids is not the same in all parts"):
        HeldOut(history, targets, unranked=unranked.select_users([1, 0]))
    with pytest.raises(ValueError, match="HeldOut: item_ids is not the same in all parts"):
        HeldOut(history, targets, unranked=unranked.with_items(["d", "c", "b", "a"]))
    for exclude_seen in (True, False):
        with pytest.raises(
            ValueError, match=r"targets that are in unranked is 2 \(first: user 1, item b\)"
        ):
            HeldOut(history, targets, exclude_seen, unranked=targets)


def test_all_that_the_users_took() -> None:
    history, targets, unranked = three()
    assert HeldOut(history, targets).taken().matrix.toarray().tolist() == [
        [2, 1, 0, 0],
        [0, 3, 1, 0],
    ]
    taken = HeldOut(history, targets, unranked=unranked).taken()
    assert taken.matrix.toarray().tolist() == [[2, 1, 1, 1], [1, 3, 1, 0]]
    assert taken.user_ids.tolist() == [1, 2]
    assert taken.matrix.has_canonical_format


def test_another_axis_may_lack_what_is_not_ranked() -> None:
    history, targets, unranked = three()
    part = HeldOut(history, targets, unranked=unranked)
    fewer = part.with_items(["c", "b", "a"])  # d is of what is not ranked alone
    assert fewer.unranked is not None
    assert fewer.unranked.matrix.toarray().tolist() == [[1, 0, 0], [0, 0, 1]]
    assert fewer.histories.matrix.toarray().tolist() == [[0, 0, 2], [0, 3, 0]]
    assert fewer.targets.matrix.toarray().tolist() == [[0, 1, 0], [1, 0, 0]]
    with pytest.raises(ValueError, match="unknown items"):
        part.with_items(["c", "b"])
    dropped = part.with_items(["c", "b"], unknown="drop")
    assert dropped.histories.matrix.toarray().tolist() == [[0, 0], [0, 3]]
    assert (
        not HeldOut(history, targets, exclude_seen=False).with_items(["a", "b", "c"]).exclude_seen
    )


def test_users_are_held_out_with_what_is_not_ranked() -> None:
    history, targets, unranked = three()
    one = targets.keep_pairs(np.array([False, True]))
    part = hold_out("split", history, one, unranked=unranked)
    assert part.unranked is not None
    assert part.unranked.user_ids.tolist() == part.targets.user_ids.tolist() == [2]
    assert part.unranked.matrix.toarray().tolist() == [[1, 0, 0, 0]]
