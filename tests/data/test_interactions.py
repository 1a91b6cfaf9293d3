import subprocess
import sys

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_array

from pyhybrid.data import Interactions, building, matrices
from pyhybrid.data.tables import write_parquet, write_text

quick = settings(max_examples=40)
RULES = ("once", "sum", "count")
numbers = st.integers(-50, 50)
rows_of_any = st.lists(
    st.tuples(numbers, numbers, st.floats(-1e6, 1e6, width=32), st.integers(0, 5)), min_size=1
)


def columns(rows):
    """Return the users, items, weights and times of rows as lists."""
    return [list(column) for column in zip(*rows, strict=True)]


def same(one, other):
    """Tell whether two interactions are equal to the last bit."""
    if (one.events is None) != (other.events is None):
        return False
    pairs = [(one.user_ids, other.user_ids), (one.item_ids, other.item_ids)]
    names = ("indptr", "indices", "data")
    pairs += [(getattr(one.matrix, name), getattr(other.matrix, name)) for name in names]
    if one.events is not None:
        names = ("indptr", "items", "times", "weights")
        pairs += [(getattr(one.events, name), getattr(other.events, name)) for name in names]
    return all(a is b is None or (a.dtype == b.dtype and np.array_equal(a, b)) for a, b in pairs)


def history(interactions, user):
    """Return the ids of a user's items, oldest first."""
    row = list(interactions.user_ids).index(user)
    start, stop = interactions.events.indptr[row : row + 2]
    return interactions.item_ids[interactions.events.items[start:stop]].tolist()


def check_canonical(interactions):
    matrix = interactions.matrix
    assert isinstance(matrix, csr_array)
    assert matrix.dtype == np.float32
    assert matrix.indices.dtype == matrix.indptr.dtype == np.int32
    assert matrix.shape == interactions.shape == (interactions.n_users, interactions.n_items)
    fresh = csr_array((matrix.data, matrix.indices, matrix.indptr), shape=matrix.shape)
    assert fresh.has_canonical_format


# ---- what the rows become


@quick
@given(rows_of_any, st.sampled_from(RULES), st.booleans())
def test_the_matrix_is_what_a_dictionary_would_hold(rows, duplicates, weighted):
    users, items, weights, _ = columns(rows)
    if duplicates == "count":
        weighted = False
    seen = Interactions.from_columns(
        users, items, weights if weighted else None, duplicates=duplicates
    )
    check_canonical(seen)
    pairs = {}
    for user, item, weight, _ in rows:
        pairs.setdefault((user, item), []).append(weight if weighted else 1)
    assert seen.user_ids.tolist() == sorted(set(users))
    assert seen.item_ids.tolist() == sorted(set(items))
    assert seen.matrix.nnz == len(pairs)
    fold = max if duplicates == "once" else sum
    for (user, item), values in pairs.items():
        row = np.searchsorted(seen.user_ids, user)
        column = np.searchsorted(seen.item_ids, item)
        assert seen.matrix[row, column] == pytest.approx(fold(sorted(values)), rel=1e-6, abs=1e-3)


@quick
@given(rows_of_any, st.randoms(use_true_random=False), st.sampled_from(("once", "sum")))
def test_permuting_rows_gives_the_same_to_the_last_bit(rows, random, duplicates):
    users, items, weights, _ = columns(rows)
    one = Interactions.from_columns(users, items, weights, duplicates=duplicates)
    random.shuffle(rows)
    users, items, weights, _ = columns(rows)
    assert same(one, Interactions.from_columns(users, items, weights, duplicates=duplicates))


@quick
@given(rows_of_any, st.integers(1, 4), st.booleans())
def test_small_batches_give_what_one_gives(rows, size, as_text):
    table = pa.table(dict(zip(("user_id", "item_id", "w", "t"), columns(rows), strict=True)))
    if as_text:
        for place, name in enumerate(("user_id", "item_id")):
            table = table.set_column(place, name, table[name].cast(pa.string()))
    keywords = {"weight": "w", "time": "t", "duplicates": "sum"}
    one = Interactions.from_arrow(table, **keywords)
    batches = pa.Table.from_batches(table.to_batches(max_chunksize=size))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(building, "_PENDING", 1)
        patch.setattr(matrices, "_SLAB", 2)
        assert same(one, Interactions.from_arrow(batches, **keywords))
        check_canonical(one)


@quick
@given(rows_of_any)
def test_events_stand_in_time_order_with_ties_in_row_order(rows):
    users, items, weights, times = columns(rows)
    seen = Interactions.from_columns(users, items, weights, times)
    for row, user in enumerate(seen.user_ids):
        expected = sorted((r for r in rows if r[0] == user), key=lambda r: r[3])
        here = slice(*seen.events.indptr[row : row + 2])
        assert history(seen, user) == [r[1] for r in expected]
        assert seen.events.times[here].tolist() == [r[3] for r in expected]
        assert seen.events.weights[here].tolist() == [r[2] for r in expected]
    ordered = Interactions.from_columns(users, items, ordered=True)
    assert ordered.events.times is None
    assert ordered.events.weights is None
    for user in ordered.user_ids:
        assert history(ordered, user) == [r[1] for r in rows if r[0] == user]


@quick
@given(rows_of_any, rows_of_any)
def test_earlier_ids_keep_their_positions(earlier, later):
    first = Interactions.from_columns(*columns(earlier)[:2])
    second = Interactions.from_columns(*columns(later)[:2], ids=first)
    for axis, place in (("user_ids", 0), ("item_ids", 1)):
        old, new = getattr(first, axis).tolist(), getattr(second, axis).tolist()
        assert new[: len(old)] == old
        assert new[len(old) :] == sorted({row[place] for row in later} - set(old))
    assert {
        (second.user_ids[row], second.item_ids[column])
        for row, column in zip(*second.matrix.nonzero(), strict=True)
    } == {row[:2] for row in later}
    check_canonical(second)


def test_repr_and_counts():
    seen = Interactions.from_columns([1, 2, 1], ["a", "a", "b"], ordered=True)
    assert repr(seen) == "Interactions(2 users x 2 items, 3 pairs, ordered)"
    assert seen.item_counts().dtype == np.int64
    assert seen.item_counts().tolist() == [2, 1]


def test_explicit_zero_and_negative_weights_are_entries():
    seen = Interactions.from_columns([1, 1], [1, 2], [0.0, -2.0])
    assert seen.matrix.data.tolist() == [0.0, -2.0]


def test_a_sum_beyond_float32_is_refused():
    with pytest.raises(ValueError, match="a pair's sum is infinite"):
        Interactions.from_columns([1, 1], [1, 1], [3e38, 3e38], duplicates="sum")


# ---- ids of text and of typed columns


def test_text_ids_become_numbers_only_if_all_are_plain_ones(tmp_path):
    write_text(["user_id,item_id", "10,007", "9,7"], tmp_path / "rows.csv")
    seen = Interactions.read(tmp_path / "rows.csv")
    assert seen.user_ids.tolist() == [9, 10]
    assert seen.user_ids.dtype == np.int64
    assert seen.item_ids.tolist() == ["007", "7"]
    assert seen.matrix.toarray().tolist() == [[0, 1], [1, 0]]


def test_string_ids_of_parquet_stay_strings(tmp_path):
    write_parquet(pa.table({"user_id": ["10", "9"], "item_id": [3, 4]}), tmp_path / "a.parquet")
    seen = Interactions.read(tmp_path / "a.parquet")
    assert seen.user_ids.tolist() == ["10", "9"]
    assert seen.item_ids.tolist() == [3, 4]


def test_text_ids_follow_the_kind_of_earlier_ids(tmp_path):
    write_text(["user_id,item_id", "10,7", "9,8"], tmp_path / "rows.csv")
    by_number = Interactions.from_columns([9], [8])
    seen = Interactions.read(tmp_path / "rows.csv", ids=by_number)
    assert (seen.user_ids.tolist(), seen.item_ids.tolist()) == ([9, 10], [8, 7])
    by_name = Interactions.from_columns(["9"], ["8"])
    seen = Interactions.read(tmp_path / "rows.csv", ids=by_name)
    assert (seen.user_ids.tolist(), seen.item_ids.tolist()) == (["9", "10"], ["8", "7"])
    write_text(["user_id,item_id", "x,7"], tmp_path / "rows.csv")
    with pytest.raises(TypeError, match="read: ids is strings; expected whole numbers"):
        Interactions.read(tmp_path / "rows.csv", ids=by_number)


def test_files_whose_ids_differ_in_kind_are_refused(tmp_path):
    write_parquet(pa.table({"user_id": [1], "item_id": [3]}), tmp_path / "a.parquet")
    write_parquet(pa.table({"user_id": ["1"], "item_id": [3]}), tmp_path / "b.parquet")
    with pytest.raises(TypeError, match="the users' ids is strings after whole numbers"):
        Interactions.read(tmp_path)


@pytest.mark.parametrize("ending", ["csv", "tsv.gz", "jsonl", "jsonl.zst", "parquet"])
def test_every_format_gives_the_same(tmp_path, ending):
    users, items, times = [12, 7, 7, 12], ["b", "a", "b", "b"], [4, 3, 2, 1]
    path = tmp_path / f"rows.{ending}"
    if ending == "parquet":
        write_parquet(pa.table({"user_id": users, "item_id": items, "time": times}), path)
    else:
        frame = pd.DataFrame({"user_id": users, "item_id": items, "time": times})
        if "json" in ending:
            frame.to_json(path.with_suffix(".raw"), orient="records", lines=True)
        else:
            separator = "\t" if "tsv" in ending else ","
            frame.to_csv(path.with_suffix(".raw"), index=False, sep=separator)
        kind = {"gz": "gzip", "zst": "zstd"}.get(ending.split(".")[-1])
        with pa.output_stream(path, compression=kind) as file:
            file.write(path.with_suffix(".raw").read_bytes())
    seen = Interactions.read(path, time="time")
    assert same(seen, Interactions.from_columns(users, items, times=times))
    assert history(seen, 12) == ["b", "b"]
    assert history(seen, 7) == ["b", "a"]


@pytest.mark.parametrize(
    "make",
    [
        pa.table,
        pd.DataFrame,
        pl.DataFrame,
        lambda data: pa.table(data).to_reader(),
        lambda data: pd.DataFrame(data).astype({"item_id": "category"}),
        lambda data: pl.DataFrame(data).with_columns(pl.col("item_id").cast(pl.Categorical)),
    ],
)
def test_any_arrow_table_gives_the_same(make):
    data = {"user_id": [7, 9, 7], "item_id": ["b", "a", "c"], "w": [0.5, 2.0, 3.0]}
    seen = Interactions.from_arrow(make(data), weight="w")
    assert same(seen, Interactions.from_columns(*data.values()))


def test_timestamps_order_events():
    moments = pd.to_datetime(["2024-01-02", "2024-01-01"])
    frame = pd.DataFrame({"user_id": [1, 1], "item_id": [5, 6], "at": moments})
    seen = Interactions.from_arrow(frame, time="at")
    assert history(seen, 1) == [6, 5]
    assert seen.events.times.tolist() == [1704067200000000, 1704153600000000]
    assert same(seen, Interactions.from_columns([1, 1], [5, 6], times=moments.to_numpy()))


def test_ratings_below_the_threshold_leave_no_trace():
    table = pa.table({"user_id": [1, 2, 1], "item_id": [5, 6, 7], "stars": [3.3, 1.0, 3.2]})
    seen = Interactions.from_arrow(table, rating="stars", min_rating=3.3)
    assert (seen.user_ids.tolist(), seen.item_ids.tolist()) == ([1], [5])
    with pytest.raises(ValueError, match="number of rows is 0"):
        Interactions.from_arrow(table, rating="stars", min_rating=5)


# ---- what is refused


@pytest.mark.parametrize(
    ("keywords", "error", "message"),
    [
        ({"weight": "w"}, ValueError, "from_arrow: row 1 of column 'w' is nan"),
        ({"time": "w"}, ValueError, "from_arrow: row 1 of column 'w' is nan"),
        ({"rating": "w", "min_rating": 1}, ValueError, "from_arrow: row 1 of column 'w' is nan"),
        ({"user": "w"}, TypeError, r"from_arrow: row 0 of column 'w' is 1\.0 \(float\)"),
        ({"item": "gap"}, ValueError, "from_arrow: row 2 of column 'gap' is missing"),
        ({"time": "gap"}, ValueError, "from_arrow: row 2 of column 'gap' is missing"),
        ({"time": "item_id"}, TypeError, r"from_arrow: row 0 of column 'item_id' is 'a' \(str\)"),
        ({"weight": "x"}, ValueError, "column 'x' is missing; .*name it with weight="),
        ({"rating": "item_id"}, ValueError, "rating is 'item_id' and min_rating None"),
        ({"min_rating": 3}, ValueError, "rating is None and min_rating 3"),
        ({"duplicates": "max"}, ValueError, "duplicates is 'max'; expected one of: once, sum"),
        ({"duplicates": "count", "weight": "t"}, ValueError, "duplicates is 'count' beside wei"),
        ({"ordered": True, "time": "t"}, ValueError, "ordered is True beside times"),
        ({"ids": [1, 2]}, TypeError, "ids is list; expected earlier interactions"),
    ],
)
def test_bad_tables_and_arguments_are_named(keywords, error, message):
    table = pa.table(
        {
            "user_id": [1, 2, 1],
            "item_id": ["a", "b", "c"],
            "w": [1.0, float("nan"), 1.0],
            "t": [1, 2, 3],
            "gap": [1, 2, None],
        }
    )
    batches = pa.Table.from_batches(table.to_batches(max_chunksize=1))
    for data in (table, batches):
        with pytest.raises(error, match=message):
            Interactions.from_arrow(data, **keywords)


@pytest.mark.parametrize(
    ("lines", "keywords", "message"),
    [
        (["user_id,item_id"], {}, "read: the number of rows is 0; expected at least one"),
        (["user_id,item_id", "1,"], {}, "row 0 of column 'item_id' is missing"),
        (["user_id,item_id,w", "1,2,x"], {"weight": "w"}, r"rows\.csv is unreadable"),
        (["user_id,item_id,w", "1,2,"], {"weight": "w"}, "row 0 of column 'w' is missing"),
        (["user_id,item_id,w", "1,2,inf"], {"weight": "w"}, "row 0 of column 'w' is inf"),
    ],
)
def test_bad_text_is_named(tmp_path, lines, keywords, message):
    write_text(lines, tmp_path / "rows.csv")
    with pytest.raises(ValueError, match=message):
        Interactions.read(tmp_path / "rows.csv", **keywords)


def test_columns_of_different_length_are_refused():
    with pytest.raises(ValueError, match="the columns' length is 1 and 2"):
        Interactions.from_columns([1, 2], [1])
    with pytest.raises(ValueError, match="the number of rows is 0"):
        Interactions.from_columns([], [])


@pytest.mark.parametrize(
    ("times", "message"),
    [(pa.array([1.5]), "float64 after int64"), (pa.array([1], pa.timestamp("s")), "timestamps")],
)
def test_times_of_two_kinds_are_refused(tmp_path, times, message):
    write_parquet(pa.table({"user_id": [1], "item_id": [3], "t": [1]}), tmp_path / "a.parquet")
    write_parquet(pa.table({"user_id": [1], "item_id": [4], "t": times}), tmp_path / "b.parquet")
    with pytest.raises(TypeError, match=message):
        Interactions.read(tmp_path, time="t")


def test_a_file_that_changes_between_the_passes_is_refused(tmp_path, monkeypatch):
    path = tmp_path / "rows.csv"
    write_text(["user_id,item_id", "1,2"], path)
    tally = building._Tally.axis

    def meddle(self, *args, **keywords):
        write_text(["user_id,item_id", "1,2", "1,3"], path)
        return tally(self, *args, **keywords)

    monkeypatch.setattr(building._Tally, "axis", meddle)
    with pytest.raises(ValueError, match="the data is changed during the read"):
        Interactions.read(path)


def test_a_matrix_that_cannot_fit_is_refused(monkeypatch):
    monkeypatch.setattr("pyhybrid.memory.available_bytes", lambda: 100)
    with pytest.raises(MemoryError, match="from_columns: 50 rows need"):
        Interactions.from_columns(range(50), range(50))


# ---- memory


def test_a_large_parquet_file_needs_little_beside_the_matrix(tmp_path):
    n, rng = 3_000_000, np.random.default_rng(0)
    table = pa.table({"user_id": rng.permutation(n) % 30_000, "item_id": np.arange(n) % 20_011})
    pa.parquet.write_table(table, tmp_path / "rows.parquet")
    script = (
        "import sys, tracemalloc, pyarrow.parquet, pyarrow.compute, scipy.sparse\n"
        "from pyhybrid.data import Interactions\n"
        "import pyhybrid.data.interactions\n"
        "tracemalloc.start()\n"
        "seen = Interactions.read(sys.argv[1])\n"
        "arrow = pyarrow.default_memory_pool().max_memory()\n"
        "print(seen.matrix.nnz, tracemalloc.get_traced_memory()[1] + arrow)"
    )
    command = [sys.executable, "-c", script, str(tmp_path / "rows.parquet")]
    pairs, peak = map(int, subprocess.run(command, check=True, capture_output=True).stdout.split())
    assert 2_900_000 < pairs <= n
    # 24 MB for the matrix; the table itself would be 48, a dictionary of pairs 600
    assert peak < 8 * n + 60e6
