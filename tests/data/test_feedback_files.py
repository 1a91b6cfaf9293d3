from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pyhybrid.data import Feedback, Interactions, read_feedback
from pyhybrid.data.labelling import as_labels

REAL = Path(__file__).parents[2] / ".." / "shared" / "data" / "collm-ml-1m"


def write(path: Path, text: str) -> Path:
    """Write text, compressed as the name's ending says."""
    if path.suffix == ".gz":
        path.write_bytes(gzip.compress(text.encode()))
    elif path.suffix == ".zst":
        with pa.CompressedOutputStream(str(path), "zstd") as stream:
            stream.write(text.encode())
    else:
        path.write_text(text)
    return path


def history_ids(rows: Feedback, which=None) -> list[list[object]]:
    """Give the ids in each row's history, oldest first."""
    told = rows.histories(which)
    events = told.events
    lists = np.split(events.items, events.indptr[1:-1]) if told.n_users else []
    return [told.item_ids[items].tolist() for items in lists]


# labels


@pytest.mark.parametrize("make", [list, np.array, pa.array, pd.Series, pl.Series])
@pytest.mark.parametrize("labels", [[True, False, True], [1, 0, 1], [1.0, 0.0, 1.0]])
def test_labels_of_any_make(make, labels) -> None:
    found = as_labels(make(labels), "read", "labels")
    assert found.dtype == np.bool_
    assert found.tolist() == [True, False, True]


@pytest.mark.parametrize(
    ("bad", "error", "message"),
    [
        ([1, 0.5], ValueError, "row 8 of labels is 0.5; expected 0 or 1"),
        ([1, -1], ValueError, "row 8 of labels is -1; expected 0 or 1"),
        (pa.array([True, None]), ValueError, "row 8 of labels is missing"),
        (pa.array([1, None]), ValueError, "row 8 of labels is missing"),
        ([True, None], ValueError, "row 8 of labels is missing"),
        (pa.array(["1", "0"]), TypeError, r"row 7 of labels is '1' \(str\)"),
        (np.ones((2, 1), bool), ValueError, "labels is 2-dimensional"),
    ],
)
def test_what_is_no_label_is_named(bad, error, message) -> None:
    with pytest.raises(error, match=message):
        as_labels(bad, "read", "labels", row=7)


def test_columns_with_gaps_between_their_values() -> None:
    wide = np.arange(12).reshape(4, 3) % 2
    rows = Feedback.from_columns(wide[:, 0], wide[:, 1], (wide == 1)[:, 2])
    assert rows.labels.tolist() == (wide[:, 2] == 1).tolist()


# files

LINES = "uid,iid,liked,at\n7,b,1,30\n7,a,1,10\n8,a,0,20\n7,c,0,20\n"


@pytest.mark.parametrize("ending", ["csv", "csv.gz", "csv.zst", "tsv", "parquet", "jsonl"])
def test_files(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"rows.{ending}"
    table = pd.DataFrame(
        {"uid": [7, 7, 8, 7], "iid": ["b", "a", "a", "c"], "liked": [1, 1, 0, 0]}
    ).assign(at=[30, 10, 20, 20])
    if ending == "parquet":
        pq.write_table(pa.Table.from_pandas(table.astype({"liked": bool})), path)
    elif ending == "jsonl":
        table.astype({"liked": bool}).to_json(path, orient="records", lines=True)
    else:
        write(path, LINES.replace(",", "\t") if ending == "tsv" else LINES)
    names = {"user": "uid", "item": "iid", "label": "liked"}
    rows = read_feedback(path, **names, time="at")
    assert rows.user_ids.tolist() == [7, 8]
    assert history_ids(rows) == [["a"], [], [], ["a"]]
    assert history_ids(read_feedback(path, **names)) == [[], ["b"], [], ["b", "a"]]


def test_bool_labels_and_timestamps_in_text(tmp_path: Path) -> None:
    text = "u,i,y,t\n1,5,true,2020-01-02 00:00:00\n1,6,false,2020-01-03 00:00:00\n"
    rows = read_feedback(write(tmp_path / "a.csv", text), user="u", item="i", label="y", time="t")
    assert rows.labels.tolist() == [True, False]
    assert rows.seen.tolist() == [0, 1]
    assert rows.likes.events.times.tolist() == [1_577_923_200_000_000]


def test_several_files_follow_one_another(tmp_path: Path) -> None:
    paths = [
        write(tmp_path / "a.csv", "u,i,y\n1,5,1\n2,5,0\n"),
        write(tmp_path / "b.csv", "u,i,y\n1,6,1\n1,7,0\n"),
    ]
    rows = read_feedback(paths, user="u", item="i", label="y")
    assert history_ids(rows) == [[], [], [5], [5, 6]]


def test_numbers_in_text_go_on_the_axis_that_they_continue(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", "u,i,y\n1,5,1\n")
    names = {"user": "u", "item": "i", "label": "y"}
    words = Feedback.from_columns(["1", "x"], ["5", "y"], [1, 1])
    assert read_feedback(path, **names, earlier=words).user_ids.tolist() == ["1", "x"]
    numbers = Feedback.from_columns([1], [9], [1])
    assert read_feedback(path, **names, earlier=numbers).item_ids.tolist() == [9, 5]
    assert read_feedback(path, **names, item_ids=["y"]).item_ids.tolist() == ["5", "y"]
    other = write(tmp_path / "b.csv", "u,i,y\nx,5,1\n")
    with pytest.raises(TypeError, match="ids is strings; expected whole numbers"):
        read_feedback(other, **names, earlier=numbers)


@pytest.mark.parametrize(
    ("text", "error", "message"),
    [
        ("u,i,y\n1,5,1\n1,6,4\n", ValueError, "read_feedback: row 1 of column 'y' is 4; expected"),
        ("u,i,y\n1,5,1\n1,6,\n", ValueError, "read_feedback: row 1 of column 'y' is missing"),
        ("u,i,y\n1,5,no\n", TypeError, "read_feedback: row 0 of column 'y' is 'no'"),
        ("u,i,y\n1,,1\n", ValueError, "read_feedback: row 0 of column 'i' is missing"),
        ("u,i\n1,5\n", ValueError, "column 'y' is missing; .* name it with label="),
        ("u,i,y\n", ValueError, "the number of rows is 0; expected at least one"),
    ],
)
def test_wrong_files_are_refused(tmp_path: Path, text, error, message) -> None:
    path = write(tmp_path / "rows.csv", text)
    with pytest.raises(error, match=message):
        read_feedback(path, user="u", item="i", label="y")


def test_wrong_arguments_are_refused(tmp_path: Path) -> None:
    names = {"user": "u", "item": "i", "label": "y"}
    with pytest.raises(FileNotFoundError, match=r"read_feedback: .*nowhere\.csv is missing"):
        read_feedback(tmp_path / "nowhere.csv", **names)
    path = write(tmp_path / "a.csv", "u,i,y\n1,5,1\n")
    with pytest.raises(TypeError, match="read_feedback: earlier is Interactions; expected"):
        read_feedback(path, **names, earlier=Interactions.from_columns([1], [5]))


# the real data set: MovieLens 1M as published with CoLLM, split by time into 10, 5 and 5 months


@pytest.fixture(scope="module")
def real() -> dict[str, Feedback]:
    if not REAL.is_dir():
        pytest.skip("the real data set collm-ml-1m is not at ../shared/data")
    parts: dict[str, Feedback] = {}
    earlier = None
    for name in ("train", "valid", "test"):
        earlier = parts[name] = read_feedback(
            REAL / f"{name}.csv.zst", user="uid", item="iid", label="label", earlier=earlier
        )
    return parts


def test_real_sizes(real) -> None:
    assert [len(rows) for rows in real.values()] == [33_891, 10_401, 7331]
    assert repr(real["test"]) == "Feedback(7331 rows of 838 users x 3255 items, 3998 liked)"
    assert len(real["test"].likes.events.items) == sum(int(r.labels.sum()) for r in real.values())


def test_real_histories_are_those_published(real) -> None:
    for name, rows in real.items():
        stream = pa.input_stream(str(REAL / f"{name}.csv.zst"), compression="zstd")
        published = pd.read_csv(stream, usecols=["his"], dtype=str, keep_default_na=False)["his"]
        lists = published.str.split()
        assert rows.seen.tolist() == lists.str.len().tolist()
        events = rows.histories().events
        expected = np.array(" ".join(published).split(), dtype=np.int64)
        assert np.array_equal(rows.item_ids[events.items], expected)
    assert (real["test"].seen == 0).sum() == 62


def test_real_rows_that_were_drawn_have_the_histories_of_the_whole(real) -> None:
    stream = pa.input_stream(str(REAL / "valid_small.csv.zst"), compression="zstd")
    small = pd.read_csv(stream, usecols=["uid", "iid", "his"], dtype={"his": str})
    whole = real["valid"]
    pairs = zip(whole.user_ids[whole.users], whole.item_ids[whole.items], strict=True)
    places = {pair: place for place, pair in enumerate(pairs)}
    rows = whole.select([places[pair] for pair in zip(small["uid"], small["iid"], strict=True)])
    expected = [[int(item) for item in str(his).split()] for his in small["his"].fillna("")]
    assert history_ids(rows) == expected
    # In the order in which they were drawn, they would not.
    read = read_feedback(
        REAL / "valid_small.csv.zst", user="uid", item="iid", label="label", earlier=real["train"]
    )
    assert np.mean([own == his for own, his in zip(history_ids(read), expected, strict=True)]) < 0.1


def test_real_histories_by_time_are_the_same(real) -> None:
    earlier = None
    for name, rows in real.items():
        earlier = read_feedback(
            REAL / f"{name}.csv.zst",
            user="uid",
            item="iid",
            label="label",
            time="timestamp",
            earlier=earlier,
        )
        assert np.array_equal(earlier.seen, rows.seen)
        assert np.array_equal(earlier.likes.events.items, rows.likes.events.items)


@pytest.mark.parametrize(("least", "warm", "cold"), [(3, 3682, 3649), (1, 4153, 3178)])
def test_real_warm_and_cold_rows(real, least: int, warm: int, cold: int) -> None:
    test = real["test"]
    mask = test.known(real["train"], least)
    assert (mask.sum(), (~mask).sum()) == (warm, cold)
    assert len(test.select(mask)) + len(test.select(~mask)) == 7331
    if least == 1:
        stream = pa.input_stream(str(REAL / "test.csv.zst"), compression="zstd")
        published = pd.read_csv(stream, usecols=["not_cold"])["not_cold"]
        assert np.array_equal(mask, published == 1)
    else:
        assert test.known(real["train"], 1)[mask].all()
