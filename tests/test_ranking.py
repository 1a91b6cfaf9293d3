from __future__ import annotations

from dataclasses import FrozenInstanceError
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from pyhybrid import Ranking


def ranking(rows: Any = ((2, 0), (1, -1), (-1, -1)), **changes: Any) -> Ranking:
    given = np.array(rows, dtype=np.int32)
    made: dict[str, Any] = {
        "items": given,
        "scores": np.where(given >= 0, 1.0 - 0.25 * given, -np.inf).astype(np.float32),
        "row_ids": np.array([30, 10, 20]),
        "item_ids": np.array(["x", "y", "ü"], dtype=object),
        "fallback": np.array([False, True, False]),
    }
    return Ranking(**{**made, **changes})


def test_the_table_has_one_row_a_recommendation_in_order_of_row_and_rank() -> None:
    table = ranking().to_arrow()
    text = table["item_id"].type
    assert text in (pa.string(), pa.large_string())
    assert table.schema == pa.schema(
        {
            "user_id": pa.int64(),
            "item_id": text,
            "rank": pa.int32(),
            "score": pa.float32(),
            "fallback": pa.bool_(),
        }
    )
    assert table.to_pydict() == {
        "user_id": [30, 30, 10],
        "item_id": ["ü", "x", "y"],
        "rank": [1, 2, 1],
        "score": [0.5, 1.0, 0.75],
        "fallback": [False, False, True],
    }


def test_the_rows_column_can_be_named() -> None:
    assert ranking().to_arrow("item").column_names[0] == "item"


def test_rows_without_a_recommendation_are_not_in_the_table() -> None:
    assert 20 not in ranking().to_arrow()["user_id"].to_pylist()
    none = ranking(np.full((3, 4), -1))
    assert none.to_arrow().num_rows == 0
    assert none.to_arrow().schema == ranking().to_arrow().schema


def test_integer_item_ids_and_string_rows_come_back_too() -> None:
    table = ranking(
        row_ids=np.array(["b", "", "a"], dtype=object), item_ids=np.array([5, 6, 2**60])
    ).to_arrow()
    assert table["user_id"].to_pylist() == ["b", "b", ""]
    assert table["item_id"].to_pylist() == [2**60, 5, 6]


def test_length_and_width() -> None:
    made = ranking()
    assert (len(made), made.n) == (3, 2)
    assert ranking(np.empty((3, 0))).n == 0


def test_a_ranking_is_frozen() -> None:
    with pytest.raises(FrozenInstanceError):
        ranking().items = np.zeros((3, 2), dtype=np.int32)


def test_keeping_some_items_moves_up_what_follows() -> None:
    wide = ranking([[2, 0, 1], [1, 2, -1], [0, -1, -1]])
    kept = wide.keep(np.array([True, True, False]))
    assert kept.items.tolist() == [[0, 1, -1], [1, -1, -1], [0, -1, -1]]
    assert kept.items.dtype == np.int32
    assert kept.scores.dtype == np.float32
    inf = np.inf
    assert kept.scores.tolist() == [[1.0, 0.75, -inf], [0.75, -inf, -inf], [1.0, -inf, -inf]]
    assert kept.row_ids.tolist() == [30, 10, 20]
    assert kept.fallback.tolist() == [False, True, False]
    assert wide.items.tolist() == [[2, 0, 1], [1, 2, -1], [0, -1, -1]]


def test_keeping_the_last_item_does_not_keep_the_padding() -> None:
    # -1 as an index means the last item
    kept = ranking([[0, -1], [-1, -1], [2, 0]]).keep(np.array([False, False, True]))
    assert kept.items.tolist() == [[-1, -1], [-1, -1], [2, -1]]
    assert ranking().keep(np.array([False] * 3)).items.tolist() == [[-1, -1]] * 3


def test_keeping_all_items_changes_nothing() -> None:
    made = ranking()
    kept = made.keep(np.ones(3, dtype=np.bool_))
    np.testing.assert_array_equal(kept.items, made.items)
    np.testing.assert_array_equal(kept.scores, made.scores)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"items": np.zeros((3, 2))}, "items's dtype is float64; expected int32"),
        ({"items": [[0, 1]]}, "items's dtype"),
        ({"scores": np.zeros((3, 2))}, "scores's dtype is float64; expected float32"),
        ({"items": np.zeros((2, 3), dtype=np.int32).T}, "items's layout is not C-contiguous"),
    ],
)
def test_wrong_dtypes_and_layouts_are_type_errors(changes: Any, message: str) -> None:
    with pytest.raises(TypeError, match=f"^Ranking: {message}"):
        ranking(**changes)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"items": np.zeros(3, dtype=np.int32)}, "items's number of dimensions is 1; expected 2"),
        ({"scores": np.zeros((3, 3), dtype=np.float32)}, r"scores' shape is \(3, 3\); expected"),
        ({"row_ids": np.arange(2)}, "row_ids's length is 2; expected the rows, 3"),
        ({"fallback": np.zeros(4, dtype=np.bool_)}, "fallback's length is 4; expected the rows"),
    ],
)
def test_wrong_shapes_are_value_errors(changes: Any, message: str) -> None:
    with pytest.raises(ValueError, match=f"^Ranking: {message}"):
        ranking(**changes)
