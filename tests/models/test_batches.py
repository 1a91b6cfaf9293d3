"""Recommendations in parts: what a restart keeps, makes anew and refuses."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from scipy.sparse import csr_array

from pyhybrid import ESLER, Catalog, Interactions, Popularity
from pyhybrid.data import synthetic
from pyhybrid.models.batches import parts_of, write_parts

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(scope="module")
def seen() -> Interactions:
    return synthetic.topics(users=50, items=30, events_per_user=6.0, seed=4)[0]


@pytest.fixture(scope="module")
def model(seen: Interactions) -> ESLER:
    return ESLER(l2=5.0).fit(seen)


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def parts_in(folder: Path) -> list[str]:
    """Name the parts, after checking that beside them there is the job's description alone."""
    found = [path.name for path in sorted(folder.iterdir())]
    parts = [name for name in found if name.startswith("part-") and name.endswith(".parquet")]
    (job,) = set(found) - set(parts)
    assert json.loads((folder / job).read_text())["n"] >= 1
    return parts


def names(parts: list[Path]) -> list[str]:
    return [part.name for part in parts]


def fail_at(monkeypatch: pytest.MonkeyPatch, call: int, error: BaseException) -> list[int]:
    """Make the recommendation number `call` fail; return a list that counts the calls."""
    recommend, calls = ESLER.recommend, []

    def failing(self: ESLER, *args: Any, **options: Any) -> Any:
        calls.append(1)
        if len(calls) == call:
            raise error
        return recommend(self, *args, **options)

    monkeypatch.setattr(ESLER, "recommend", failing)
    return calls


# Parts


@pytest.mark.parametrize(("rows", "sizes"), [(20, [20, 20, 10]), (50, [50]), (99, [50])])
def test_histories_are_cut_in_order(seen: Interactions, rows: int, sizes: list[int]) -> None:
    shares: list[float] = []
    parts = list(parts_of(seen, rows, shares.append))
    assert [part.n_users for part in parts] == sizes
    assert np.concatenate([part.user_ids for part in parts]).tolist() == seen.user_ids.tolist()
    assert shares == [size / 50 for size in np.cumsum(sizes)]


def test_parts_hold_the_columns_that_are_promised(
    model: ESLER, seen: Interactions, tmp_path: Path
) -> None:
    parts = model.recommend_batches(seen, tmp_path / "out", 4, rows=20)
    assert names(parts) == ["part-00000.parquet", "part-00001.parquet", "part-00002.parquet"]
    table = pa.concat_tables([pq.read_table(part) for part in parts])
    text = table["item_id"].type
    assert text in (pa.string(), pa.large_string())
    assert table.replace_schema_metadata().schema == pa.schema(
        {
            "user_id": text,
            "item_id": text,
            "rank": pa.int32(),
            "score": pa.float32(),
            "fallback": pa.bool_(),
        }
    )
    assert table.replace_schema_metadata().equals(model.recommend(seen, 4).to_arrow())


def test_a_folder_of_parts_is_read_back_as_one_table(
    model: ESLER, seen: Interactions, tmp_path: Path
) -> None:
    model.recommend_batches(seen, tmp_path / "out", 4, rows=20)
    again = Interactions.read(tmp_path / "out")
    assert again.user_ids.tolist() == sorted(seen.user_ids)


def test_a_folder_of_parts_is_a_data_set_to_other_readers(
    model: ESLER, seen: Interactions, tmp_path: Path
) -> None:
    # Arrow, pandas and Spark pass over names that begin with a dot or an underscore, no others.
    model.recommend_batches(seen, tmp_path / "out", 4, rows=20)
    table = pq.read_table(tmp_path / "out")
    assert table.num_rows == model.recommend(seen, 4).to_arrow().num_rows


def test_progress_is_reported(model: ESLER, seen: Interactions, tmp_path: Path) -> None:
    shares: list[float] = []
    model.recommend_batches(seen, tmp_path / "out", rows=20, progress=shares.append)
    assert shares == [0.4, 0.8, 1.0]


def test_anonymous_histories_are_numbered_through(model: ESLER, tmp_path: Path) -> None:
    x = csr_array(np.eye(5, 30, dtype=np.float32))
    parts = model.recommend_batches(x, tmp_path / "out", 1, rows=2)
    users = [pq.read_table(part)["user_id"].to_pylist() for part in parts]
    assert users == [[0, 1], [2, 3], [4]]


# Restarting


def test_only_missing_parts_are_made_anew(
    model: ESLER, seen: Interactions, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    first = model.recommend_batches(seen, out, 4, rows=10)
    before = contents(out)
    for lost in (1, 3):
        first[lost].unlink()
    stamps = {part: part.stat().st_mtime_ns for part in first if part.exists()}
    calls = fail_at(monkeypatch, 99, ValueError())
    assert model.recommend_batches(seen, out, 4, rows=10) == first
    assert len(calls) == 2
    assert contents(out) == before
    assert stamps == {part: part.stat().st_mtime_ns for part in stamps}


def test_a_finished_job_does_nothing(
    model: ESLER, seen: Interactions, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    parts = model.recommend_batches(seen, tmp_path / "out", 4, rows=10)
    calls = fail_at(monkeypatch, 99, ValueError())
    assert model.recommend_batches(seen, tmp_path / "out", 4, rows=10) == parts
    assert calls == []


@pytest.mark.parametrize("error", [KeyboardInterrupt(), MemoryError(), OSError(28, "full")])
def test_an_interrupted_job_goes_on(
    model: ESLER,
    seen: Interactions,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    error: BaseException,
) -> None:
    whole = tmp_path / "whole"
    model.recommend_batches(seen, whole, 4, rows=10)
    out = tmp_path / "out"
    with monkeypatch.context() as patch:
        fail_at(patch, 3, error)
        with pytest.raises(type(error)):
            model.recommend_batches(seen, out, 4, rows=10)
    assert parts_in(out) == ["part-00000.parquet", "part-00001.parquet"]
    calls = fail_at(monkeypatch, 99, ValueError())
    model.recommend_batches(seen, out, 4, rows=10)
    assert len(calls) == 3
    assert contents(out) == contents(whole)


def test_a_write_that_fails_leaves_nothing_half_written(
    model: ESLER, seen: Interactions, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = pq.write_table

    def half(table: pa.Table, path: Any, **options: Any) -> None:
        write(table, path, **options)
        path.write_bytes(path.read_bytes()[:100])
        raise OSError(28, "No space left")

    with monkeypatch.context() as patch:
        patch.setattr(pq, "write_table", half)
        with pytest.raises(OSError, match="No space left"):
            model.recommend_batches(seen, tmp_path / "out", 4, rows=10)
    assert parts_in(tmp_path / "out") == []
    model.recommend_batches(seen, tmp_path / "out", 4, rows=10)
    assert len(parts_in(tmp_path / "out")) == 5


def test_a_loaded_model_goes_on_where_the_fitted_one_stopped(
    model: ESLER, seen: Interactions, tmp_path: Path
) -> None:
    model.save(tmp_path / "model")
    parts = model.recommend_batches(seen, tmp_path / "out", 4, rows=10)
    before = contents(tmp_path / "out")
    parts[2].unlink()
    ESLER.load(tmp_path / "model").recommend_batches(seen, tmp_path / "out", 4, rows=10)
    assert contents(tmp_path / "out") == before


# Another job's parts


def refuses(out: Path, message: str, model: Any, histories: Any, n: int, **options: Any) -> None:
    before = contents(out)
    with pytest.raises(ValueError, match=f"(?s)^recommend: .*{message}.*another folder") as caught:
        model.recommend_batches(histories, out, n, **{"rows": 10, **options})
    assert "\n" not in str(caught.value)
    assert contents(out) == before


@pytest.fixture
def out(model: ESLER, seen: Interactions, tmp_path: Path) -> Path:
    parts = model.recommend_batches(seen, tmp_path / "out", 4, rows=10)
    parts[4].unlink()  # an interrupted job
    return tmp_path / "out"


def test_another_n_is_refused(out: Path, model: ESLER, seen: Interactions) -> None:
    refuses(out, "n of the job in .* is 4; expected 5", model, seen, 5)


@pytest.mark.parametrize(
    "options",
    [{"exclude_seen": False}, {"deny": [3]}, {"among": np.arange(9)}],
    ids=lambda options: next(iter(options)),
)
def test_other_options_are_refused(
    out: Path, model: ESLER, seen: Interactions, options: dict[str, Any]
) -> None:
    refuses(out, f"{next(iter(options))} of the job", model, seen, 4, **options)


def test_another_model_is_refused(out: Path, seen: Interactions) -> None:
    refuses(out, "model of the job", ESLER(l2=6.0).fit(seen), seen, 4)
    refuses(out, "model of the job", Popularity().fit(seen), seen, 4)
    refuses(out, "model of the job", ESLER(l2=5.0).fit(seen.select_users(range(30))), seen, 4)
    wider = Catalog.from_columns([*seen.item_ids, "more"])
    refuses(out, "model of the job", ESLER(l2=5.0).fit(seen, wider), seen, 4)


def test_a_model_with_other_weights_is_refused(tmp_path: Path) -> None:
    # The same items with the same numbers of users, but other pairs of items go together.
    one = Interactions.from_columns([1, 1, 2, 2], ["a", "b", "c", "d"])
    other = Interactions.from_columns([1, 1, 2, 2], ["a", "c", "b", "d"])
    histories = Interactions.from_columns([7, 8], ["a", "b"])
    model = ESLER(l2=5.0).fit(one)
    parts = model.recommend_batches(histories, tmp_path / "out", 1, rows=1)
    parts[1].unlink()
    refuses(tmp_path / "out", "model", ESLER(l2=5.0).fit(other), histories, 1, rows=1)


def test_other_histories_are_refused(out: Path, model: ESLER, seen: Interactions) -> None:
    fewer = seen.keep_pairs(np.arange(seen.matrix.nnz) != 3)
    others = seen.select_users(np.arange(50)[::-1])
    for histories in (fewer, others):
        refuses(out, r"part-00000\.parquet is made from others", model, histories, 4)
    refuses(out, r"part-0000.\.parquet is made from others", model, seen, 4, rows=7)


def test_histories_of_other_weights_are_refused(
    out: Path, model: ESLER, seen: Interactions
) -> None:
    rng = np.random.default_rng(0)
    weighted = seen.matrix.copy()
    weighted.data = rng.uniform(0.1, 9.0, weighted.nnz).astype(np.float32)
    histories = Interactions.from_csr(weighted, seen.user_ids, seen.item_ids)
    assert (model.recommend(histories, 4).items != model.recommend(seen, 4).items).any()
    refuses(out, "is made from others", model, histories, 4)


def test_parts_beyond_the_histories_are_refused(
    model: ESLER, seen: Interactions, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    model.recommend_batches(seen, out, 4, rows=10)
    refuses(out, r"part-00002\.parquet is left over", model, seen.select_users(range(20)), 4)


def test_a_part_that_is_no_parquet_is_refused(out: Path, model: ESLER, seen: Interactions) -> None:
    (out / "part-00001.parquet").write_bytes(b"mine")
    with pytest.raises(ValueError, match=r"part-00001\.parquet"):
        model.recommend_batches(seen, out, 4, rows=10)


# Folders in use, arguments


def test_a_folder_with_other_content_is_refused(
    model: ESLER, seen: Interactions, tmp_path: Path
) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(FileExistsError, match=r"^recommend: .* is in use; expected a new or empty"):
        model.recommend_batches(seen, tmp_path)
    with pytest.raises(FileExistsError):
        model.recommend_batches(seen, tmp_path / "notes.txt")
    assert sorted(contents(tmp_path)) == ["notes.txt"]


def test_an_empty_folder_will_do(model: ESLER, seen: Interactions, tmp_path: Path) -> None:
    assert len(model.recommend_batches(seen, tmp_path)) == 1
    assert parts_in(tmp_path) == ["part-00000.parquet"]


@pytest.mark.parametrize("rows", [0, -1])
def test_rows_are_one_or_more(model: ESLER, seen: Interactions, tmp_path: Path, rows: int) -> None:
    with pytest.raises(ValueError, match=f"^recommend_batches: rows is {rows}; expected 1 or more"):
        model.recommend_batches(seen, tmp_path / "out", rows=rows)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"n": 0}, ValueError, "n is 0; expected 1 or more"),
        ({"n": 2.5}, TypeError, "n is 2.5; expected an integer"),
        ({"among": np.array([30])}, ValueError, "among"),
        ({"deny": [30]}, ValueError, "deny"),
        ({"among": np.zeros((50, 2), dtype=np.int32)}, ValueError, "among's number of dimensions"),
    ],
)
def test_wrong_arguments_are_refused_before_the_folder_is_taken(
    model: ESLER,
    seen: Interactions,
    tmp_path: Path,
    options: dict[str, Any],
    error: type[Exception],
    message: str,
) -> None:
    with pytest.raises(error, match=message):
        model.recommend_batches(seen, tmp_path / "out", **options)
    # Else a corrected run would be taken for another job and refused.
    assert list(tmp_path.iterdir()) == []
    model.recommend_batches(seen, tmp_path / "out")


def test_parts_may_come_from_a_stream(model: ESLER, seen: Interactions, tmp_path: Path) -> None:
    stream = (seen.select_users([row]) for row in range(3))
    parts = write_parts(model, stream, tmp_path / "out", 2)
    assert len(parts) == 3
    tables = [pq.read_table(part).replace_schema_metadata() for part in parts]
    wanted = model.recommend(seen.select_users([0, 1, 2]), 2).to_arrow()
    assert pa.concat_tables(tables).equals(wanted)
