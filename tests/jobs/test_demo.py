from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import pyhybrid
from pyhybrid.data import synthetic
from pyhybrid.jobs.demo import run

if TYPE_CHECKING:
    from pathlib import Path

COLUMNS = ["user_id", "item_id", "rank", "score", "fallback"]
WRITTEN = ["compare.html", "compare.json", "model", "recommendations.parquet"]


def test_the_demo_runs_from_end_to_end_on_made_up_data(tmp_path: Path) -> None:
    # One BLAS thread: two that spin on a busy machine take ten times as long.
    code = f"from pyhybrid.jobs.demo import run; run(None, {str(tmp_path / 'demo')!r}, n=7)"
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "OPENBLAS_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert sorted(path.name for path in (tmp_path / "demo").iterdir()) == WRITTEN
    table = pq.read_table(tmp_path / "demo" / "recommendations.parquet")
    assert table.column_names == COLUMNS
    assert table.schema.types[2:] == [pa.int32(), pa.float32(), pa.bool_()]
    users = table["user_id"].to_pylist()
    assert len(users) == 7 * len(set(users))
    assert table["rank"].to_pylist()[:7] == list(range(1, 8))
    model = pyhybrid.load(tmp_path / "demo" / "model")
    assert set(table["item_id"].to_pylist()) <= set(model.item_ids)
    for said in ("made up", "Split(", "Popularity()", "ESLER(l2=", "text='tfidf'", "joint"):
        assert said in done.stdout
    assert "recommendations.parquet" in done.stdout


@pytest.fixture
def public(tmp_path: Path) -> Path:
    """A small folder in the format of MovieLens's latest."""
    interactions, _ = synthetic.topics(users=60, items=25, events_per_user=8.0, seed=1)
    matrix = interactions.matrix.tocoo()
    lines = ["userId,movieId,rating,timestamp"]
    lines += [f"{u + 1},{i + 1},4.0,{u + i}" for u, i in zip(matrix.row, matrix.col, strict=True)]
    folder = tmp_path / "ml-tiny"
    folder.mkdir()
    (folder / "ratings.csv").write_text("\n".join(lines) + "\n")
    movies = [f"{item},Film {item},Drama|War" for item in range(1, 30)]
    (folder / "movies.csv").write_text("\n".join(["movieId,title,genres", *movies]) + "\n")
    return folder


def test_the_demo_runs_on_a_public_data_set(
    public: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    result = run(public, tmp_path / "out", n=3)
    said = capsys.readouterr().out
    assert "ml-tiny" in said
    assert list(result["models"]) == ["popularity", "text", "esler", "esler+text"]
    assert json.loads((tmp_path / "out" / "compare.json").read_text()) == result
    for name, row in result["models"].items():
        assert f"{name}: fitted in" in said
        assert row["joint"]["ndcg@10"] >= 0
    table = pq.read_table(tmp_path / "out" / "recommendations.parquet")
    assert table.column_names == COLUMNS
    assert table["user_id"].type == table["item_id"].type == pa.int64()
    assert len(pyhybrid.load(tmp_path / "out" / "model").item_ids) == 29


def test_the_demo_is_the_same_each_time_and_replaces_its_files(
    public: Path, tmp_path: Path
) -> None:
    first = run(public, tmp_path / "out", n=3)
    table = pq.read_table(tmp_path / "out" / "recommendations.parquet")
    again = run(public, tmp_path / "out", n=3)
    for name, row in again["models"].items():
        assert row["joint"] == first["models"][name]["joint"]
    assert pq.read_table(tmp_path / "out" / "recommendations.parquet").equals(table)
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == WRITTEN
    run(public, tmp_path / "out", n=2, seed=1)
    assert max(pq.read_table(tmp_path / "out" / "recommendations.parquet")["rank"].to_pylist()) == 2


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="nowhere"):
        run(tmp_path / "nowhere", tmp_path / "out")
    assert list(tmp_path.iterdir()) == []
