"""Users as a stream, against the same users read whole."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pyhybrid import Interactions
from pyhybrid.data import tables
from pyhybrid.data.streaming import rows_if_sorted, stream_users

if TYPE_CHECKING:
    from pathlib import Path


def write(path: Path, users: list[Any], items: list[Any] | None = None, **more: Any) -> Path:
    columns = {"user_id": users, "item_id": list("abcdefghijkl") if items is None else items}
    columns["item_id"] = columns["item_id"][: len(users)]
    pq.write_table(pa.table({**columns, **more}), path)
    return path


def triples(data: Interactions) -> list[tuple[Any, Any, float]]:
    matrix = data.matrix.tocoo()
    users, items = data.user_ids[matrix.row], data.item_ids[matrix.col]
    return sorted(zip(users.tolist(), items.tolist(), matrix.data.tolist(), strict=True))


def same_as_read_whole(paths: Any, users: int, **columns: Any) -> list[Interactions]:
    parts = list(stream_users(paths, users, **columns))
    whole = Interactions.read(paths, **columns)
    assert [user for part in parts for user in part.user_ids] == whole.user_ids.tolist()
    assert [triple for part in parts for triple in triples(part)] == triples(whole)
    return parts


@pytest.fixture(params=[1, 2, 3, 5, 1 << 18])
def small_batches(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    """Read so many rows at a time, so that users go from one batch to the next."""
    monkeypatch.setattr(tables, "_BATCH", request.param)
    return request.param


# Sorted or not


@pytest.mark.parametrize(
    ("users", "expected"),
    [
        (["a", "a", "b", "d"], True),
        (["b", "a"], False),
        (["a", "b", "a"], False),
        ([1, 2, 10], True),
        (["1", "10", "2"], True),
        ([10, 9], False),
        (["a"], True),
        (["Z", "a", "ß", "日", "🎬"], True),
    ],
)
def test_rows_are_counted_where_users_never_go_down(
    small_batches: int, tmp_path: Path, users: list[Any], expected: bool
) -> None:
    found = rows_if_sorted(write(tmp_path / "x.parquet", users))
    assert found == (len(users) if expected else None)


def test_order_goes_on_from_file_to_file(tmp_path: Path) -> None:
    one = write(tmp_path / "one.parquet", ["a", "b"])
    two = write(tmp_path / "two.parquet", ["b", "c"])
    assert rows_if_sorted([one, two]) == 4
    assert rows_if_sorted(tmp_path) == 4
    assert rows_if_sorted([two, one]) is None


def test_another_column_may_hold_the_users(tmp_path: Path) -> None:
    pq.write_table(pa.table({"who": [1, 2], "user_id": [2, 1]}), tmp_path / "x.parquet")
    assert rows_if_sorted(tmp_path / "x.parquet", "who") == 2
    assert rows_if_sorted(tmp_path / "x.parquet") is None
    with pytest.raises(ValueError, match="column 'nobody' is missing"):
        rows_if_sorted(tmp_path / "x.parquet", "nobody")


def test_text_files_are_no_streams(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_text("user_id,item_id\n1,a\n2,b\n")
    assert rows_if_sorted(tmp_path / "x.csv") is None


# Streams


@pytest.mark.parametrize("per_part", [1, 2, 3, 4, 100])
def test_a_stream_holds_what_the_files_hold(
    small_batches: int, tmp_path: Path, per_part: int
) -> None:
    path = write(tmp_path / "x.parquet", ["a", "a", "a", "b", "c", "c", "d", "e", "e", "e", "e"])
    parts = same_as_read_whole(path, per_part)
    sizes = [part.n_users for part in parts]
    assert sizes == [per_part] * (5 // per_part) + [5 % per_part] * bool(5 % per_part)


@pytest.mark.parametrize("per_part", [1, 2, 7])
def test_users_that_go_from_file_to_file_are_whole(
    small_batches: int, tmp_path: Path, per_part: int
) -> None:
    write(tmp_path / "a.parquet", [1, 1, 2], [7, 8, 7])
    write(tmp_path / "b.parquet", [2, 2], [8, 9])
    write(tmp_path / "c.parquet", [2, 3], [6, 7])
    parts = same_as_read_whole(tmp_path, per_part)
    assert sum(part.n_users for part in parts) == 3


def test_random_files_come_out_as_read_whole(small_batches: int, tmp_path: Path) -> None:
    rng = np.random.default_rng(small_batches)
    users = np.sort(rng.integers(0, 12, 60))
    items = rng.integers(0, 9, 60)
    weights = rng.integers(1, 5, 60).astype(np.float64)
    pq.write_table(
        pa.table({"user_id": users, "item_id": items, "w": weights}),
        tmp_path / "x.parquet",
        row_group_size=7,
    )
    for per_part in (1, 4, 5):
        same_as_read_whole(tmp_path / "x.parquet", per_part)
        same_as_read_whole(tmp_path / "x.parquet", per_part, weight="w", duplicates="sum")
        same_as_read_whole(tmp_path / "x.parquet", per_part, duplicates="count")


def test_the_order_of_events_is_kept(tmp_path: Path) -> None:
    path = write(tmp_path / "x.parquet", [1, 1, 1, 2, 2], [5, 6, 5, 6, 5], t=[3, 1, 2, 9, 8])
    (part,) = stream_users(path, 5, time="t")
    assert part.events is not None
    assert part.item_ids[part.events.items].tolist() == [6, 5, 5, 5, 6]
    (part,) = stream_users(path, 5, ordered=True)
    assert part.events is not None
    assert part.item_ids[part.events.items].tolist() == [5, 6, 5, 6, 5]


def test_columns_are_named_as_for_read(tmp_path: Path) -> None:
    table = pa.table({"u": [1, 1, 2], "i": ["a", "b", "a"], "stars": [5.0, 1.0, 4.0]})
    pq.write_table(table, tmp_path / "x.parquet")
    names = {"user": "u", "item": "i", "rating": "stars", "min_rating": 3.0}
    parts = same_as_read_whole(tmp_path / "x.parquet", 1, **names)
    assert [triples(part) for part in parts] == [[(1, "a", 1.0)], [(2, "a", 1.0)]]


def test_users_whose_rows_are_all_rated_low_are_left_out(tmp_path: Path) -> None:
    table = pa.table({"user_id": [1, 2, 3], "item_id": [7, 7, 8], "stars": [5.0, 1.0, 4.0]})
    pq.write_table(table, tmp_path / "x.parquet")
    for per_part in (3, 2, 1):
        same_as_read_whole(tmp_path / "x.parquet", per_part, rating="stars", min_rating=3.0)


def test_files_of_other_widths_of_ids_are_one_stream(tmp_path: Path) -> None:
    narrow = pa.table({"user_id": pa.array([1, 2], pa.int32()), "item_id": ["a", "b"]})
    wide = pa.table({"user_id": pa.array([2, 3], pa.int64()), "item_id": ["c", "d"]})
    pq.write_table(narrow, tmp_path / "a.parquet")
    pq.write_table(wide, tmp_path / "b.parquet")
    for per_part in (3, 1):
        same_as_read_whole(tmp_path, per_part)


def test_files_of_other_kinds_of_strings_are_one_stream(tmp_path: Path) -> None:
    one = pa.table({"user_id": ["a", "b"], "item_id": ["a", "b"]})
    two = pa.table({"user_id": pa.array(["b", "c"], pa.large_string()), "item_id": ["c", "d"]})
    pq.write_table(one, tmp_path / "a.parquet")
    pq.write_table(two, tmp_path / "b.parquet")
    for per_part in (3, 1):
        same_as_read_whole(tmp_path, per_part)


def test_categories_as_pandas_writes_them_are_read(tmp_path: Path) -> None:
    users = pa.array(["a", "a", "b", "c"]).dictionary_encode()
    table = pa.table({"user_id": users, "item_id": ["x", "y", "x", "z"]})
    pq.write_table(table, tmp_path / "x.parquet")
    assert Interactions.read(tmp_path / "x.parquet").n_users == 3
    if rows_if_sorted(tmp_path / "x.parquet") is not None:
        same_as_read_whole(tmp_path / "x.parquet", 2)


@pytest.mark.parametrize("place", [0, 1, 2, 3])
def test_a_missing_user_is_refused_in_words(small_batches: int, tmp_path: Path, place: int) -> None:
    users: list[Any] = ["a", "b", "c", "d"]
    users[place] = None
    path = write(tmp_path / "x.parquet", users)

    def read() -> None:
        if rows_if_sorted(path) is None:
            Interactions.read(path)
        else:
            list(stream_users(path, 2))

    with pytest.raises(ValueError, match=r"'user_id' is missing"):
        read()


def test_files_without_rows_are_refused_as_read_does(tmp_path: Path) -> None:
    empty = pa.table({"user_id": pa.array([], pa.string()), "item_id": pa.array([], pa.string())})
    pq.write_table(empty, tmp_path / "x.parquet")
    with pytest.raises(ValueError, match="the number of rows is 0; expected at least one"):
        Interactions.read(tmp_path / "x.parquet")
    with pytest.raises(ValueError, match="the number of rows is 0; expected at least one"):
        list(stream_users(tmp_path / "x.parquet", 3))


@pytest.mark.parametrize("per_part", [0, -1])
def test_a_part_has_one_user_or_more(tmp_path: Path, per_part: int) -> None:
    path = write(tmp_path / "x.parquet", ["a", "b", "c"])
    with pytest.raises(ValueError, match=f"users is {per_part}; expected 1 or more"):
        list(stream_users(path, per_part))


def test_the_rows_done_are_reported(small_batches: int, tmp_path: Path) -> None:
    path = write(tmp_path / "x.parquet", ["a", "a", "b", "c", "c", "c", "d"])
    done: list[int] = []
    list(stream_users(path, 2, report=done.append))
    assert done == [3, 7]


def test_nan_weights_are_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "x.parquet", ["a", "b"], w=[1.0, float("nan")])
    with pytest.raises(ValueError, match=r"row \d of column 'w' is nan; expected a finite number"):
        list(stream_users(path, 5, weight="w"))
