from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from pyhybrid.data import HeldOut, Interactions, Split, splits, synthetic


@pytest.fixture(scope="module")
def data() -> Interactions:
    return synthetic.topics(users=60, items=40, events_per_user=8.0)[0]


def test_the_parts_are_told(data: Interactions) -> None:
    parts = splits.cold_items(splits.strong(data, test=6, validation=3), share=0.1)
    assert list(parts.held_out) == ["test", "validation"]
    assert list(splits.random(data).held_out) == ["test"]
    text = repr(parts)
    assert "of 51 users" in text
    assert "4 cold items" in text


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


def test_cold_items_that_are_trained_on_are_refused(data: Interactions) -> None:
    parts = splits.cold_items(data)
    warm = np.setdiff1d(data.item_ids, parts.cold_items)
    with pytest.raises(ValueError, match=r"entries of cold items in train is \d+; expected 0"):
        replace(parts, cold_items=warm[:1])
    with pytest.raises(ValueError, match="number of cold_items that are on the item axis is 0"):
        replace(parts, cold_items=np.array(["i9999"], dtype=object))


def test_parts_share_their_axes(data: Interactions) -> None:
    parts = splits.strong(data)
    with pytest.raises(ValueError, match="HeldOut: user_ids is not the same in all parts"):
        HeldOut(parts.test.histories, parts.validation.targets)
    with pytest.raises(ValueError, match="Split: item_ids is not the same in all parts"):
        Split(parts.train.with_items(data.item_ids[::-1]), parts.test)
