import gzip
import io
import os

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet
import pytest

from pyhybrid.data.tables import (
    Column,
    open_arrow,
    open_files,
    write_parquet,
    write_text,
    written_beside,
)

TABLE = pa.table({"user": ["007", "b", "c"], "item": ["x", "y", "x"], "stars": [1.5, 2.0, 3.0]})
COLUMNS = [Column("item", "item", "string"), Column("user", "user", "string")]


def save(table, path):
    """Write a table in the format and compression that the path's endings name."""
    names = path.name.split(".")[1:]
    buffer = io.BytesIO()
    if names[0] == "parquet":
        pa.parquet.write_table(table, buffer)
    elif names[0] in ("csv", "tsv"):
        options = pa.csv.WriteOptions(delimiter={"csv": ",", "tsv": "\t"}[names[0]])
        pa.csv.write_csv(table, buffer, options)
    else:
        table.to_pandas().to_json(buffer, orient="records", lines=True)
    raw = buffer.getvalue()
    if names[-1] == "gz":
        raw = gzip.compress(raw)
    if names[-1] == "zst":
        raw = pa.Codec("zstd").compress(raw, asbytes=True)
    path.write_bytes(raw)
    return path


def rows(tables):
    return pa.Table.from_batches(tables.batches()).to_pylist()


@pytest.mark.parametrize("compression", ["", ".gz", ".zst"])
@pytest.mark.parametrize("ending", ["parquet", "csv", "tsv", "jsonl", "ndjson", "json"])
def test_every_format_reads_alike_and_again(tmp_path, ending, compression):
    path = save(TABLE, tmp_path / f"rows.{ending}{compression}")
    tables = open_files(path, COLUMNS, "read")
    assert rows(tables) == rows(tables) == TABLE.select(["item", "user"]).to_pylist()
    assert tables.untyped == (ending in ("csv", "tsv"))
    assert open_files(str(path), COLUMNS, "read", rest=True).untyped == tables.untyped
    everything = open_files(path, COLUMNS, "read", rest=True)
    assert rows(everything) == TABLE.select(["item", "user", "stars"]).to_pylist()


def test_many_files_and_folders_are_one_table(tmp_path):
    for name in ("b.parquet", "a.parquet", "_old.parquet", ".c.parquet"):
        save(TABLE.slice("ab".find(name[0]) % 2, 1), tmp_path / name)
    (tmp_path / "_SUCCESS").touch()
    assert rows(open_files(tmp_path, COLUMNS[1:], "read")) == [{"user": "007"}, {"user": "b"}]
    both = open_files((tmp_path / "b.parquet", tmp_path), COLUMNS[1:], "read")
    assert [row["user"] for row in rows(both)] == ["b", "007", "b"]


def test_compressed_members_one_after_the_other(tmp_path):
    path = tmp_path / "rows.csv.gz"
    path.write_bytes(gzip.compress(b"user,item\na,x\n") + gzip.compress(b"b,y\n"))
    assert [row["user"] for row in rows(open_files(path, COLUMNS, "read"))] == ["a", "b"]


@pytest.mark.parametrize(
    "make",
    [
        lambda t: t,
        lambda t: t.to_reader(),
        lambda t: t.to_pandas(),
        pl.from_arrow,
        lambda t: t.to_batches()[0],
    ],
)
def test_any_arrow_stream_reads_again(make):
    tables = open_arrow(make(TABLE), COLUMNS, "from_arrow")
    assert rows(tables) == rows(tables) == TABLE.select(["item", "user"]).to_pylist()


def test_a_byte_order_mark_and_quotes(tmp_path):
    path = tmp_path / "rows.csv"
    path.write_bytes('\ufeffuser,item\r\n"a,\n""b""",x\r\n'.encode())
    assert rows(open_files(path, COLUMNS, "read")) == [{"item": "x", "user": 'a,\n"b"'}]


@pytest.mark.parametrize("ending", ["parquet", "csv.gz", "csv.zst", "jsonl.gz", "parquet.zst"])
def test_a_truncated_file_is_named(tmp_path, ending):
    rng = np.random.default_rng(0)
    ids = rng.integers(0, 2**60, 20_000)
    path = save(pa.table({"user": ids, "item": ids}), tmp_path / f"rows.{ending}")
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 2 // 3])
    with pytest.raises(ValueError, match=rf"read: .*rows\.{ending} is unreadable \(.*intact"):
        rows(open_files(path, COLUMNS, "read"))


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("rows.parquet", b""),
        ("rows.csv", b""),
        ("rows.jsonl", b""),
        ("rows.csv.gz", b""),
        ("rows.csv.zst", b""),
        ("rows.csv.gz", b"user,item\n"),
        ("rows.parquet", b"user,item\n"),
        ("rows.csv", b"user,item\na,b\nc\n"),
        ("rows.csv", b"user,item\na,\xff\xff\n"),
        ("rows.jsonl", b'{"user": "a", "item": "b"}\n{"user": "a"'),
        ("rows.json", b'[{"user": "a", "item": "b"}]'),
        ("rows.jsonl", b'{"user": "a", "item": "b"}\n{"user": 1, "item": "b"}\n'),
    ],
)
def test_a_damaged_file_is_named(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match=rf"read: .*{name} is unreadable"):
        rows(open_files(tmp_path / name, COLUMNS, "read"))


@pytest.mark.parametrize("ending", ["parquet", "csv", "jsonl"])
def test_a_missing_column_is_named_with_those_there_are(tmp_path, ending):
    path = save(TABLE, tmp_path / f"rows.{ending}")
    message = "column 'uid' is missing; expected one of: user, item, stars; name it with user="
    with pytest.raises(ValueError, match=message):
        open_files(path, [Column("uid", "user")], "read")
    with pytest.raises(ValueError, match=message):
        open_arrow(TABLE, [Column("uid", "user")], "from_arrow")


def test_a_column_there_twice_is_refused(tmp_path):
    (tmp_path / "rows.csv").write_text("user,user,item\na,b,c\n")
    with pytest.raises(ValueError, match="column 'user' is there twice"):
        open_files(tmp_path / "rows.csv", COLUMNS, "read")


def test_bad_paths_are_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"gone\.csv is missing; expected a file or folder"):
        open_files(tmp_path / "gone.csv", COLUMNS, "read")
    (tmp_path / "rows.xls.gz").touch()
    known = r"is '.gz'; expected one of \.parquet, .*\.jsonl.* \.gz or \.zst"
    with pytest.raises(ValueError, match=known):
        open_files(tmp_path / "rows.xls.gz", COLUMNS, "read")
    with pytest.raises(ValueError, match=r"a folder without any; expected \*\.parquet files"):
        open_files(tmp_path, COLUMNS, "read")
    with pytest.raises(ValueError, match="paths is empty"):
        open_files([], COLUMNS, "read")
    with pytest.raises(TypeError, match=r"paths is a DataFrame; .*from_arrow takes tables"):
        open_files(pd.DataFrame(), COLUMNS, "read")
    with pytest.raises(TypeError, match="data is str; expected a table with __arrow_c_stream__"):
        open_arrow("rows.csv", COLUMNS, "from_arrow")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_forbidden_file_stays_a_permission_error(tmp_path):
    save(TABLE, tmp_path / "rows.csv").chmod(0)
    with pytest.raises(PermissionError):
        open_files(tmp_path / "rows.csv", COLUMNS, "read")


@pytest.mark.parametrize("make", [lambda t: t, lambda t: t.to_reader(), pl.from_arrow])
def test_write_parquet(tmp_path, make):
    write_parquet(make(TABLE), tmp_path / "rows.parquet")
    assert pa.parquet.read_table(tmp_path / "rows.parquet").to_pylist() == TABLE.to_pylist()
    assert list(tmp_path.iterdir()) == [tmp_path / "rows.parquet"]


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "rows.parquet"
    write_parquet(TABLE, path)
    before = path.read_bytes()

    def batches():
        yield from TABLE.to_batches()
        raise OSError("the connection is gone")

    stream = pa.RecordBatchReader.from_batches(TABLE.schema, batches())
    with pytest.raises(OSError, match="the connection is gone"):
        write_parquet(stream, path)

    def lines():
        yield "a"
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_text(lines(), path)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [tmp_path / "rows.parquet"]


def test_written_beside_replaces_at_the_end(tmp_path):
    path = tmp_path / "note.txt"
    path.write_text("old")
    with written_beside(path) as partial:
        partial.write_text("new")
        assert path.read_text() == "old"
        assert partial.parent == tmp_path
    assert path.read_text() == "new"
    write_text(["é", "b"], path)
    assert path.read_bytes() == "é\nb\n".encode()
