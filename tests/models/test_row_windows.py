"""Tests for windows of sequences that rows' histories end in."""

from __future__ import annotations

import numpy as np
import pytest

from pyhybrid.data import Feedback
from pyhybrid.models.row_windows import RowWindows


def drawn(rows: int, seed: int) -> Feedback:
    random = np.random.default_rng(seed)
    users, items = random.integers(0, 12, rows), random.integers(0, 50, rows)
    return Feedback.from_columns(users, items, random.random(rows) < 0.6)


@pytest.mark.parametrize("length", [1, 2, 5, 8, 100])
@pytest.mark.parametrize("seed", range(3))
def test_every_row_finds_its_history_once(length: int, seed: int) -> None:
    rows = drawn(300, seed)
    windows = RowWindows(rows, length)
    found = []
    for batch in windows.batches(4, np.random.default_rng(0)):
        assert batch.items.shape[1] <= length
        sizes = (batch.items > 0).sum(1)
        assert (np.diff(sizes) <= 0).all()  # longest first
        flat = batch.items[batch.items > 0] - 1
        starts = np.concatenate([[0], np.cumsum(sizes)])
        for place, target, label in zip(batch.places, batch.targets, batch.labels, strict=True):
            start = starts[np.searchsorted(starts, place, side="right") - 1]
            found.append((int(target) - 1, bool(label), tuple(flat[start : place + 1].tolist())))
    wanted = {}
    for row in range(len(rows)):
        events = rows.likes.events
        first = events.indptr[rows.users[row]]
        history = events.items[first : first + rows.seen[row]].tolist()
        wanted.setdefault((int(rows.items[row]), bool(rows.labels[row])), []).append(history)
    assert len(found) == (rows.seen > 0).sum()
    for item, label, context in found:
        # As much of the history as there is, or more than half a window of its end.
        matching = [
            history
            for history in wanted[(item, label)]
            if history[-len(context) :] == list(context)
            and (len(context) == len(history) or len(context) > length / 2)
        ]
        assert matching
        wanted[(item, label)].remove(matching[0])


def test_an_order_of_the_generators_own() -> None:
    windows = RowWindows(drawn(200, 0), 5)
    one, same, other = (
        np.concatenate([b.targets for b in windows.batches(4, np.random.default_rng(seed))])
        for seed in (0, 0, 1)
    )
    np.testing.assert_array_equal(one, same)
    assert (one != other).any()
    np.testing.assert_array_equal(np.sort(one), np.sort(other))


def test_rows_without_a_history_have_no_window() -> None:
    rows = Feedback.from_columns([1, 2, 2], [5, 6, 7], [True, False, False])
    assert len(RowWindows(rows, 5)) == 0
