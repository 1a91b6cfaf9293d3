"""The four jobs from files to files, against the same work in memory."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyarrow import csv

from pyhybrid import ESLER, Catalog, Interactions, Popularity, TextSimilarity, jobs, load
from pyhybrid import evaluate as evaluate_in_memory
from pyhybrid.data import splits, synthetic
from pyhybrid.data.readers import open_folder
from pyhybrid.jobs.pipeline import write_split

METRICS = ["ndcg@10", "recall@5", "mrr@20"]


@pytest.fixture(scope="module")
def events() -> pa.Table:
    interactions, _ = synthetic.topics(users=150, items=40, events_per_user=8.0, seed=6)
    table = interactions.to_arrow()
    shuffled = np.random.default_rng(0).permutation(table.num_rows)
    return table.take(pa.array(shuffled))


@pytest.fixture(scope="module")
def folder(events: pa.Table, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Events as Parquet and CSV, and what split and fit made of them."""
    folder = tmp_path_factory.mktemp("jobs")
    pq.write_table(events, folder / "events.parquet")
    csv.write_csv(events, folder / "events.csv")
    options = {"test": 0.3}
    jobs.split(folder / "events.parquet", folder / "split", cold=0.1, options=options, time="time")
    jobs.fit(
        folder / "split" / "train.parquet",
        folder / "model",
        params={"l2": 20.0},
        catalog=folder / "split" / "items.parquet",
    )
    return folder


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def as_one_table(parts: list[Path]) -> pa.Table:
    return pa.concat_tables([pq.read_table(p).replace_schema_metadata() for p in parts])


def nothing_half_written(folder: Path) -> None:
    assert not [path for path in folder.rglob("*") if path.name.startswith(".")]
    assert not [path for path in folder.rglob("*") if "partial" in path.name]


# split


def test_a_split_is_written_as_it_is_made_in_memory(folder: Path) -> None:
    parts = folder / "split"
    kinds = ("histories", "targets", "unranked")
    names = [f"{part}_{kind}" for part in ("test", "validation") for kind in kinds]
    files = {f"{name}.parquet" for name in ["train", "items", *names]} | {"split.json"}
    assert set(contents(parts)) == files
    whole = Interactions.read(folder / "events.parquet", time="time")
    made = splits.split(whole, "strong", cold=0.1, seed=0, test=0.3)
    assert made.validation is not None
    for name, wanted in {
        "train": made.train,
        "test_histories": made.test.histories,
        "test_targets": made.test.targets,
        "validation_histories": made.validation.histories,
        "validation_targets": made.validation.targets,
        "test_unranked": made.test.unranked,
        "validation_unranked": made.validation.unranked,
    }.items():
        assert wanted is not None
        assert pq.read_table(parts / f"{name}.parquet").equals(wanted.to_arrow())
    items = pq.read_table(parts / "items.parquet").to_pydict()
    assert items["item_id"] == made.train.item_ids.tolist()
    assert items["warm"] == (made.train.item_counts() > 0).tolist()
    assert items["warm"].count(False) >= len(made.new_items) > 0
    hidden = [item for item, new in zip(items["item_id"], items["new"], strict=True) if new]
    assert hidden == made.new_items.tolist()
    said = json.loads((parts / "split.json").read_text())
    assert (said["by"], said["cold"], said["seed"], said["test"]) == ("strong", 0.1, 0, 0.3)
    assert said["exclude_seen"] is True
    assert said["new_items"] == made.new_shares()._asdict()
    train = {"users": made.train.n_users, "pairs": made.train.matrix.nnz}
    assert said["parts"]["train"] == train


WAYS = ["strong", "leave-last", "time", "random", "cold", "cold-stress"]


@pytest.mark.parametrize("by", WAYS)
def test_every_way_of_splitting_writes_its_parts(folder: Path, tmp_path: Path, by: Any) -> None:
    made = jobs.split(folder / "events.csv", tmp_path / "split", by, time="time", seed=3)
    assert set(json.loads((tmp_path / "split" / "split.json").read_text())["parts"]) == {
        "train",
        *(f"{part}_{kind}" for part in made.held_out for kind in ("histories", "targets")),
        *(f"{name}_unranked" for name, part in made.held_out.items() if part.unranked is not None),
    }
    train = Interactions.read(tmp_path / "split" / "train.parquet")
    assert train.matrix.nnz == made.train.matrix.nnz
    nothing_half_written(tmp_path)


def test_csv_and_parquet_are_split_alike(folder: Path, tmp_path: Path) -> None:
    for name in ("events.csv", "events.parquet"):
        jobs.split(folder / name, tmp_path / name, time="time", cold=0.1, seed=2)
    one, other = (contents(tmp_path / name) for name in ("events.csv", "events.parquet"))
    assert one == other


def test_a_split_takes_an_empty_folder_and_no_other(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    jobs.split(folder / "events.parquet", tmp_path / "empty")
    before = contents(tmp_path / "empty")
    with pytest.raises(FileExistsError, match=r"^split: .*empty is in use; expected a new or empt"):
        jobs.split(folder / "events.parquet", tmp_path / "empty", seed=1)
    assert contents(tmp_path / "empty") == before
    (tmp_path / "file").write_text("mine")
    with pytest.raises(FileExistsError):
        jobs.split(folder / "events.parquet", tmp_path / "file")


def test_a_split_that_fails_midway_leaves_nothing(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write, calls = pq.write_table, []

    def failing(*args: Any, **options: Any) -> None:
        calls.append(args)
        if len(calls) == 3:
            raise OSError(28, "No space left")
        write(*args, **options)

    monkeypatch.setattr(pq, "write_table", failing)
    with pytest.raises(OSError, match="No space left"):
        jobs.split(folder / "events.parquet", tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def test_an_unknown_option_of_a_split_is_refused_in_words(folder: Path, tmp_path: Path) -> None:
    with pytest.raises((TypeError, ValueError), match=r"^split: .*'shuffle'.*expected one of"):
        jobs.split(folder / "events.parquet", tmp_path / "out", options={"shuffle": True})
    assert list(tmp_path.iterdir()) == []


# fit


@pytest.mark.parametrize(("name", "kind"), [("esler", ESLER), ("ESLER", ESLER)])
def test_fit_saves_the_model_that_it_returns(
    folder: Path, tmp_path: Path, name: str, kind: type[Any]
) -> None:
    train = folder / "split" / "train.parquet"
    made = jobs.fit(train, tmp_path / "model", name, params={"l2": 3})
    assert type(made) is kind
    loaded = load(tmp_path / "model")
    assert loaded.params == made.params == {**ESLER().params, "l2": 3.0}
    seen = Interactions.read(train)
    np.testing.assert_array_equal(loaded.score(seen), ESLER(l2=3.0).fit(seen).score(seen))


def test_fit_takes_several_files_and_its_columns_by_name(
    events: pa.Table, folder: Path, tmp_path: Path
) -> None:
    renamed = events.rename_columns(["who", "what", "when"])
    pq.write_table(renamed.slice(0, 500), tmp_path / "a.parquet")
    pq.write_table(renamed.slice(500), tmp_path / "b.parquet")
    files = [tmp_path / "a.parquet", tmp_path / "b.parquet"]
    made = jobs.fit(files, tmp_path / "model", "popularity", user="who", item="what")
    whole = Popularity().fit(Interactions.read(folder / "events.parquet"))
    assert made.item_ids.tolist() == whole.item_ids.tolist()
    assert made.item_counts.tolist() == whole.item_counts.tolist()


def test_the_catalogue_adds_items_without_an_event(folder: Path) -> None:
    model = load(folder / "model")
    items = pq.read_table(folder / "split" / "items.parquet").to_pydict()
    assert sorted(model.item_ids) == sorted(items["item_id"])
    assert (model.item_counts == 0).sum() == items["warm"].count(False)


def test_unknown_models_and_parameters_are_refused(folder: Path, tmp_path: Path) -> None:
    train = folder / "split" / "train.parquet"
    with pytest.raises(ValueError, match=r"model is 'oracle'; expected one of .*ESLER"):
        jobs.fit(train, tmp_path / "model", "oracle")
    message = r"^fit: ESLER's parameter is 'l3'; expected one of l2, dropout, min_count, .*seed$"
    with pytest.raises(ValueError, match=message):
        jobs.fit(train, tmp_path / "model", params={"l3": 1})
    with pytest.raises(
        ValueError,
        match=r"^fit: Popularity's parameter is 'l2'; expected one of newest, half_life$",
    ):
        jobs.fit(train, tmp_path / "model", "popularity", params={"l2": 1})
    with pytest.raises(ValueError, match="l2 is -1"):
        jobs.fit(train, tmp_path / "model", params={"l2": -1})
    assert list(tmp_path.iterdir()) == []


def test_a_folder_in_use_is_refused_before_the_work(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_work(*args: Any, **options: Any) -> None:
        pytest.fail("hours of fitting, whose result can't be saved")

    monkeypatch.setattr(ESLER, "fit", no_work)
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(FileExistsError):
        jobs.fit(folder / "split" / "train.parquet", tmp_path)


# recommend


def recommend_to(folder: Path, out: Path, histories: Any, n: int = 10, **options: Any) -> pa.Table:
    return as_one_table(jobs.recommend(folder / "model", histories, out, n, **options))


@pytest.mark.parametrize("users", [7, 1000])
def test_a_stream_and_a_whole_read_recommend_the_same(
    folder: Path, tmp_path: Path, users: int
) -> None:
    """The split's files are sorted by user: a stream. Shuffled or as CSV they are read whole."""
    path = folder / "split" / "test_histories.parquet"
    table = pq.read_table(path)
    shuffled = table.take(pa.array(np.random.default_rng(1).permutation(table.num_rows)))
    pq.write_table(shuffled, tmp_path / "shuffled.parquet")
    csv.write_csv(table, tmp_path / "same.csv")
    model = load(folder / "model")
    wanted = model.recommend(Interactions.read(path), 10).to_arrow()
    for name, histories in {
        "stream": path,
        "whole": tmp_path / "shuffled.parquet",
        "csv": tmp_path / "same.csv",
    }.items():
        assert recommend_to(folder, tmp_path / name, histories, users=users).equals(wanted)
    assert len(contents(tmp_path / "stream")) == 1 + -(
        -len(set(table["user_id"].to_pylist())) // users
    )
    nothing_half_written(tmp_path)


def test_a_stream_is_never_read_whole(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def whole(*args: Any, **options: Any) -> None:
        pytest.fail("read whole")

    monkeypatch.setattr(Interactions, "read", whole)
    recommend_to(folder, tmp_path / "out", folder / "split" / "test_histories.parquet", users=10)


def test_seen_items_are_kept_on_request(folder: Path, tmp_path: Path) -> None:
    path = folder / "split" / "test_histories.parquet"
    table = recommend_to(folder, tmp_path / "out", path, 40, exclude_seen=False)
    wanted = load(folder / "model").recommend(Interactions.read(path), 40, exclude_seen=False)
    assert table.equals(wanted.to_arrow())


@pytest.mark.parametrize("ending", ["parquet", "csv"])
def test_progress_rises_to_the_end(folder: Path, tmp_path: Path, ending: str) -> None:
    path = folder / "split" / "test_histories.parquet"
    if ending == "csv":
        csv.write_csv(pq.read_table(path), tmp_path / "h.csv")
        path = tmp_path / "h.csv"
    shares: list[float] = []
    recommend_to(folder, tmp_path / "out", path, users=5, progress=shares.append)
    assert shares == sorted(shares)
    assert len(shares) > 3
    assert shares[-1] == 1.0


def test_a_restart_makes_only_the_missing_parts(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = folder / "split" / "test_histories.parquet"
    parts = jobs.recommend(folder / "model", path, tmp_path, users=7)
    before = contents(tmp_path)
    parts[0].unlink()
    parts[-1].unlink()
    recommend, calls = ESLER.recommend, []

    def counting(self: ESLER, *args: Any, **options: Any) -> Any:
        calls.append(1)
        return recommend(self, *args, **options)

    monkeypatch.setattr(ESLER, "recommend", counting)
    assert jobs.recommend(folder / "model", path, tmp_path, users=7) == parts
    assert len(calls) == 2
    assert contents(tmp_path) == before


def test_an_interrupted_job_goes_on_and_ends_the_same(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = folder / "split" / "test_histories.parquet"
    jobs.recommend(folder / "model", path, tmp_path / "whole", users=7)
    recommend, calls = ESLER.recommend, []

    def interrupted(self: ESLER, *args: Any, **options: Any) -> Any:
        calls.append(1)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return recommend(self, *args, **options)

    with monkeypatch.context() as patch:
        patch.setattr(ESLER, "recommend", interrupted)
        with pytest.raises(KeyboardInterrupt):
            jobs.recommend(folder / "model", path, tmp_path / "out", users=7)
    assert len(contents(tmp_path / "out")) == 3
    nothing_half_written(tmp_path)
    jobs.recommend(folder / "model", path, tmp_path / "out", users=7)
    assert contents(tmp_path / "out") == contents(tmp_path / "whole")


def test_parts_of_another_job_are_refused(folder: Path, tmp_path: Path) -> None:
    path = folder / "split" / "test_histories.parquet"
    out = tmp_path / "out"
    jobs.recommend(folder / "model", path, out, users=7)
    before = contents(out)
    train = folder / "split" / "train.parquet"
    jobs.fit(train, tmp_path / "other", catalog=folder / "split" / "items.parquet")
    with pytest.raises(ValueError, match=r"^recommend: n of the job in .* is 10; expected 5"):
        jobs.recommend(folder / "model", path, out, 5, users=7)
    with pytest.raises(ValueError, match=r"^recommend: model of the job"):
        jobs.recommend(tmp_path / "other", path, out, users=7)
    with pytest.raises(ValueError, match=r"part-00000\.parquet is made from others"):
        jobs.recommend(folder / "model", train, out, users=7)
    with pytest.raises(ValueError, match=r"part-0000.\.parquet is made from others"):
        jobs.recommend(folder / "model", path, out, users=8)
    assert contents(out) == before


def test_unknown_items_are_refused_or_dropped(folder: Path, tmp_path: Path) -> None:
    model = load(folder / "model")
    known = model.item_ids[[0, 1]].tolist()
    table = pa.table({"user_id": ["a", "a", "b"], "item_id": [known[0], "new", known[1]]})
    pq.write_table(table, tmp_path / "h.parquet")
    with pytest.raises(ValueError, match="unknown items is 1, the first 'new'"):
        recommend_to(folder, tmp_path / "out", tmp_path / "h.parquet")
    nothing_half_written(tmp_path)
    found = recommend_to(folder, tmp_path / "out", tmp_path / "h.parquet", unknown_items="drop")
    wanted = model.recommend(Interactions.from_columns(["a", "b"], known), 10).to_arrow()
    assert found.equals(wanted)


@pytest.mark.parametrize("sort", [True, False])
def test_users_of_unknown_items_alone_get_the_popular_ones(
    folder: Path, tmp_path: Path, sort: bool
) -> None:
    users = ["a", "b"] if sort else ["b", "a"]
    pq.write_table(
        pa.table({"user_id": users, "item_id": ["new", "newer"]}), tmp_path / "h.parquet"
    )
    found = recommend_to(folder, tmp_path / "out", tmp_path / "h.parquet", 3, unknown_items="drop")
    assert found["user_id"].to_pylist() == ["a"] * 3 + ["b"] * 3
    assert all(found["fallback"].to_pylist())


@pytest.mark.parametrize(("n", "users"), [(0, 10), (5, 0), (5, -1)])
@pytest.mark.parametrize("ending", ["parquet", "csv"])
def test_numbers_out_of_range_are_refused_before_the_folder_is_taken(
    folder: Path, tmp_path: Path, n: int, users: int, ending: str
) -> None:
    path = tmp_path / f"h.{ending}"
    table = pq.read_table(folder / "split" / "test_histories.parquet")
    (pq.write_table if ending == "parquet" else lambda t, p: csv.write_csv(t, p))(table, path)
    what = "n is 0" if n == 0 else f"users is {users}"
    with pytest.raises(ValueError, match=f"^recommend: {what}; expected 1 or more$"):
        jobs.recommend(folder / "model", path, tmp_path / "out", n, users=users)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("users", [1, 100])
def test_ratings_filter_a_stream_as_they_filter_a_whole_read(
    folder: Path, tmp_path: Path, users: int
) -> None:
    items = load(folder / "model").item_ids[:3].tolist()
    table = pa.table({"user_id": ["a", "b", "c"], "item_id": items, "stars": [5, 1, 4]})
    pq.write_table(table, tmp_path / "sorted.parquet")
    pq.write_table(table.take(pa.array([2, 1, 0])), tmp_path / "other.parquet")
    options: dict[str, Any] = {"users": users, "rating": "stars", "min_rating": 3}
    whole = recommend_to(folder, tmp_path / "1", tmp_path / "other.parquet", **options)
    assert set(whole["user_id"].to_pylist()) == {"a", "c"}
    assert recommend_to(folder, tmp_path / "2", tmp_path / "sorted.parquet", **options).equals(
        whole
    )


def test_numbers_alone_in_a_csv_are_the_models_strings(tmp_path: Path) -> None:
    # With "B7" among them the items are strings; a file that lacks it looks like numbers.
    (tmp_path / "train.csv").write_text("user_id,item_id\nu,1\nu,2\nv,2\nv,B7\nw,1\nw,B7\n")
    (tmp_path / "few.csv").write_text("user_id,item_id\nx,1\nx,2\n")
    jobs.fit(tmp_path / "train.csv", tmp_path / "model", params={"l2": 1.0})
    found = recommend_to(tmp_path, tmp_path / "out", tmp_path / "few.csv")
    assert found["item_id"].to_pylist() == ["B7"]


def test_files_without_rows_are_refused(folder: Path, tmp_path: Path) -> None:
    empty = pa.table({"user_id": pa.array([], pa.string()), "item_id": pa.array([], pa.string())})
    pq.write_table(empty, tmp_path / "h.parquet")
    with pytest.raises(ValueError, match="the number of rows is 0; expected at least one"):
        jobs.recommend(folder / "model", tmp_path / "h.parquet", tmp_path / "out")
    nothing_half_written(tmp_path)


# evaluate


def rated_by_files(split: Path, model: Path, out: Path, n: int) -> dict[tuple[str, str], Any]:
    """Recommend in all ways that can be rated, and return the figures by candidates and metric."""
    histories, targets = split / "test_histories.parquet", split / "test_targets.parquet"
    unranked = split / "test_unranked.parquet"
    figures = {}
    for only in (None, "known", "new"):
        recs = out / f"recs-{only}"
        jobs.recommend(model, histories, recs, n, users=9, unranked=unranked, only=only)
        found = jobs.evaluate(recs, targets, split / "train.parquet", metrics=METRICS)
        assert found.users_without == found.seen == 0 or only == "new"
        figures |= {(f.candidates, f.metric): f for f in found.report.figures}
    return figures


@pytest.mark.parametrize("model", ["esler", "popularity", "textsimilarity"])
def test_figures_from_files_are_those_in_memory(folder: Path, tmp_path: Path, model: str) -> None:
    parts = folder / "split"
    train, items = parts / "train.parquet", parts / "items.parquet"
    whole = Interactions.read(folder / "events.csv", time="time")
    split = splits.split(whole, "strong", cold=0.1, seed=0, test=0.3)
    if model == "textsimilarity":
        catalog = Catalog.from_columns(
            split.train.item_ids, title=[f"{item} of {item[:2]}" for item in split.train.item_ids]
        )
        recommender: Any = TextSimilarity().fit(split.train, catalog)
        recommender.save(tmp_path / "model")
    else:
        params = {"l2": 20.0} if model == "esler" else None
        jobs.fit(train, tmp_path / "model", model, params=params, catalog=items)
        recommender = ESLER(l2=20.0) if model == "esler" else Popularity()
        recommender.fit(split.train)
    histories = pq.read_table(parts / "test_histories.parquet")["user_id"].to_pylist()
    if set(split.test.histories.user_ids) != set(histories):
        pytest.fail("the data has a user without a history; choose another seed")
    found = rated_by_files(parts, tmp_path / "model", tmp_path, 40)
    report = evaluate_in_memory(recommender, split.test, METRICS)
    assert {f.candidates for f in report.figures} >= {"joint", "known", "new", "warm"}
    for figure in report.figures:
        same = found[figure.candidates, figure.metric]
        assert (same.mean, same.standard_error) == (figure.mean, figure.standard_error)
        assert (same.users, same.left_out) == (figure.users, figure.left_out)


def test_figures_from_files_are_those_in_memory_on_real_data(tmp_path: Path) -> None:
    data = Path(__file__).parents[2].parent / "shared/data/ml-100k"
    if not data.is_dir():
        pytest.skip("real data: ../shared/data/ml-100k is absent")
    opened = open_folder(data)
    assert opened.catalog is not None
    events = replace(opened.interactions, events=None)
    split = splits.split(events, "strong", cold=0.2, seed=1)
    write_split(split, tmp_path / "split")
    catalog = opened.catalog.select(split.train.item_ids)
    model = ESLER(l2=200.0, text="tfidf", text_scale=1.0).fit(split.train, catalog)
    model.save(tmp_path / "model")
    found = rated_by_files(tmp_path / "split", tmp_path / "model", tmp_path, 40)
    report = evaluate_in_memory(model, split.test, METRICS)
    assert report["new", "ndcg@10"] > 0
    assert len(report.figures) == 5 * len(METRICS)
    for figure in report.figures:
        same = found[figure.candidates, figure.metric]
        assert (same.mean, same.standard_error) == (figure.mean, figure.standard_error)


def test_without_what_is_unranked_right_answers_count_as_wrong(
    folder: Path, tmp_path: Path
) -> None:
    parts = folder / "split"
    recommender = TextSimilarity()
    train = Interactions.read(parts / "train.parquet")
    ids = pq.read_table(parts / "items.parquet")["item_id"].to_pylist()
    recommender.fit(train, Catalog.from_columns(ids, title=[f"{i} of {i[:2]}" for i in ids]))
    recommender.save(tmp_path / "model")
    taken = pq.read_table(parts / "test_unranked.parquet").to_pylist()
    pairs = {(row["user_id"], row["item_id"]) for row in taken}
    listed = []
    for name, unranked in (("with", parts / "test_unranked.parquet"), ("without", None)):
        made = jobs.recommend(
            tmp_path / "model",
            parts / "test_histories.parquet",
            tmp_path / name,
            40,
            unranked=unranked,
        )
        rows = [row for part in made for row in pq.read_table(part).to_pylist()]
        listed.append({(row["user_id"], row["item_id"]) for row in rows})
    assert not pairs & listed[0]
    assert pairs & listed[1]


def test_lists_that_are_too_short_give_no_figure_and_say_why(folder: Path, tmp_path: Path) -> None:
    parts = folder / "split"
    train = parts / "train.parquet"
    jobs.fit(train, tmp_path / "model", "popularity", catalog=parts / "items.parquet")
    histories, targets = parts / "test_histories.parquet", parts / "test_targets.parquet"
    jobs.recommend(tmp_path / "model", histories, tmp_path / "recs", 10)
    found = jobs.evaluate(tmp_path / "recs", targets, train)
    assert {figure.metric for figure in found.report.figures} == {"ndcg@10"}
    assert {figure.candidates for figure in found.report.figures} == {"joint", "known", "new"}
    text = str(found)
    assert "no ndcg@100 or recall@20: the lists hold 10 items; recommend -n 100" in text
    assert "no figures of one kind ranked alone: recommend --only known and --only new" in text


def test_lists_of_one_kind_are_rated_as_such_or_not_at_all(folder: Path, tmp_path: Path) -> None:
    parts = folder / "split"
    train, targets = parts / "train.parquet", parts / "test_targets.parquet"
    jobs.fit(train, tmp_path / "model", "popularity", catalog=parts / "items.parquet")
    given = tmp_path / "model", parts / "test_histories.parquet"
    jobs.recommend(*given, tmp_path / "known", 10, only="known", new_below=30)
    found = jobs.evaluate(tmp_path / "known", targets, train, metrics=["hit@10"], new_below=30)
    assert [figure.candidates for figure in found.report.figures] == ["warm"]
    with pytest.raises(ValueError, match=r"^evaluate: which items are new is unknown; expected to"):
        jobs.evaluate(tmp_path / "known", targets, metrics=["hit@10"])
    with pytest.raises(ValueError, match=r"items that are not known in lists of known items alone"):
        jobs.evaluate(tmp_path / "known", targets, train, metrics=["hit@10"], new_below=10_000)
    with pytest.raises(ValueError, match=r"job|other|made"):
        jobs.recommend(*given, tmp_path / "known", 10, only="new", new_below=30)
    both = [tmp_path / "known", tmp_path / "all"]
    jobs.recommend(*given, tmp_path / "all", 10)
    with pytest.raises(ValueError, match=r"what the lists were made of is None, known; expected"):
        jobs.evaluate(
            [file for one in both for file in sorted(one.glob("*.parquet"))], targets, train
        )


def test_new_items_may_be_named_by_a_file(folder: Path, tmp_path: Path) -> None:
    parts = folder / "split"
    train, targets = parts / "train.parquet", parts / "test_targets.parquet"
    jobs.fit(train, tmp_path / "model", "popularity")
    counts = Interactions.read(train).item_counts()
    named = Interactions.read(train).item_ids[np.argsort(-counts)[:3]].tolist()
    new = table_of(tmp_path / "new.parquet", [(item,) for item in named], "item_id")
    given = tmp_path / "model", parts / "test_histories.parquet"
    made = jobs.recommend(*given, tmp_path / "recs", 5, new_items=(1, 1), new_from=new)
    rows = [row for part in made for row in pq.read_table(part).to_pylist()]
    by_user: dict[Any, int] = {}
    for row in rows:
        by_user[row["user_id"]] = by_user.get(row["user_id"], 0) + (row["item_id"] in named)
    assert max(by_user.values()) == 1
    found = jobs.evaluate(tmp_path / "recs", targets, train, metrics=["hit@5"], new_from=new)
    wanted = pq.read_table(targets).to_pylist()
    users = {row["user_id"] for row in wanted if row["item_id"] in named}
    figures = {figure.candidates: figure for figure in found.report.figures}
    assert figures["new"].users == len(users)


def table_of(path: Path, rows: list[tuple[Any, ...]], *names: str) -> Path:
    columns = zip(*rows, strict=True)
    pq.write_table(pa.table(dict(zip(names, map(list, columns), strict=True))), path)
    return path


def recommendations(path: Path, *rows: tuple[Any, Any, int]) -> Path:
    return table_of(path, list(rows), "user_id", "item_id", "rank")


def test_users_are_matched_by_id_and_rows_may_come_in_any_order(tmp_path: Path) -> None:
    recs = recommendations(
        tmp_path / "r.parquet",
        ("v", "x", 2), ("nobody", "x", 1), ("u", "y", 1), ("v", "z", 1), ("u", "w", 2),
    )  # fmt: skip
    targets = table_of(
        tmp_path / "t.parquet", [("u", "y"), ("v", "x"), ("w", "y")], "user_id", "item_id"
    )
    found = jobs.evaluate(recs, targets, metrics=["mrr@2", "hit@1"])
    assert found.report["mrr@2"] == pytest.approx((1 + 0.5 + 0) / 3)
    assert found.report["hit@1"] == pytest.approx(1 / 3)
    assert found.users_without == 1
    assert found.seen is None
    assert "1 users had no recommendation and count as misses" in str(found)
    assert str(found).startswith("model")


def test_recommendations_that_were_in_train_are_counted(tmp_path: Path) -> None:
    recs = recommendations(
        tmp_path / "r.parquet", ("u", "y", 1), ("u", "a", 2), ("v", "a", 1), ("v", "b", 2)
    )
    targets = table_of(tmp_path / "t.parquet", [("u", "y"), ("v", "b")], "user_id", "item_id")
    train = table_of(
        tmp_path / "train.parquet", [("u", "a"), ("w", "b"), ("u", "c")], "user_id", "item_id"
    )
    found = jobs.evaluate(recs, targets, train, metrics=["recall@2"])
    assert found.seen == 1
    assert "1 recommendations were in the user's training data already" in str(found)
    # y has no training event: new
    for side in ("joint", "known", "new"):
        assert found.report[side, "recall@2"] == 1.0
    users = {f.candidates: (f.users, f.left_out) for f in found.report.figures}
    assert users == {"joint": (2, 0), "known": (1, 1), "new": (1, 1)}


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([("u", "x", 1), ("u", "y", 1)], "^evaluate: .*rank.*twice"),
        ([("u", "x", 1), ("u", "x", 2)], "twice|named before"),
        ([("u", "x", 0)], "^evaluate: column 'rank' is .*; expected integers from 1$"),
        ([("u", "x", -1), ("u", "y", 1)], "rank"),
        ([("u", "x", 1)], "2"),
    ],
    ids=["rank twice", "item twice", "rank 0", "rank -1", "shorter than the cut-off"],
)
def test_lists_that_are_none_are_refused(
    tmp_path: Path, rows: list[tuple[Any, ...]], message: str
) -> None:
    recs = recommendations(tmp_path / "r.parquet", *rows)
    targets = table_of(tmp_path / "t.parquet", [("u", "y")], "user_id", "item_id")
    with pytest.raises(ValueError, match=message):
        jobs.evaluate(recs, targets, metrics=["recall@2"])


def test_what_was_taken_out_of_a_list_leaves_no_gap(tmp_path: Path) -> None:
    recs = recommendations(tmp_path / "r.parquet", ("u", "x", 10**12), ("u", "y", 3))
    targets = table_of(tmp_path / "t.parquet", [("u", "y")], "user_id", "item_id")
    assert jobs.evaluate(recs, targets, metrics=["mrr@2"]).report["mrr@2"] == 1.0


def test_ranks_are_whole_numbers(tmp_path: Path) -> None:
    recs = table_of(tmp_path / "r.parquet", [("u", "x", 1.5)], "user_id", "item_id", "rank")
    targets = table_of(tmp_path / "t.parquet", [("u", "y")], "user_id", "item_id")
    with pytest.raises(ValueError, match="expected integers from 1"):
        jobs.evaluate(recs, targets, metrics=["recall@1"])
    recs = table_of(tmp_path / "r.parquet", [("u", "x")], "user_id", "item_id")
    with pytest.raises(ValueError, match="column 'rank' is missing"):
        jobs.evaluate(recs, targets, metrics=["recall@1"])


@pytest.mark.parametrize("ids", [["007", "7"], ["1", "2"], ["u1", "u2"]])
def test_recommendations_as_csv_are_matched_as_the_other_files_are(
    tmp_path: Path, ids: list[str]
) -> None:
    one, two = ids
    (tmp_path / "r.csv").write_text(f"user_id,item_id,rank\n{one},{two},1\n{two},{one},1\n")
    (tmp_path / "t.csv").write_text(f"user_id,item_id\n{one},{two}\n{two},{two}\n")
    found = jobs.evaluate(tmp_path / "r.csv", tmp_path / "t.csv", metrics=["hit@1"])
    assert found.report["hit@1"] == 0.5


def test_parts_of_other_widths_are_one_ranking(tmp_path: Path) -> None:
    folder = tmp_path / "recs"
    folder.mkdir()
    for number, kind in enumerate((pa.int32(), pa.int64())):
        ranks = pa.array([1], kind)
        table = pa.table({"user_id": [number], "item_id": ["x"], "rank": ranks})
        pq.write_table(table, folder / f"part-{number}.parquet")
    targets = table_of(tmp_path / "t.parquet", [(0, "x"), (1, "x")], "user_id", "item_id")
    assert jobs.evaluate(folder, targets, metrics=["hit@1"]).report["hit@1"] == 1.0


def test_a_figure_counts_every_user_with_a_target(folder: Path, tmp_path: Path) -> None:
    """Users whose history became empty have a target still, and count as misses."""
    parts = tmp_path / "split"
    jobs.split(folder / "events.parquet", parts, "time", time="time")
    train, items = parts / "train.parquet", parts / "items.parquet"
    jobs.fit(train, tmp_path / "model", "popularity", catalog=items)
    jobs.recommend(tmp_path / "model", parts / "test_histories.parquet", tmp_path / "recs", 20)
    targets = parts / "test_targets.parquet"
    found = jobs.evaluate(tmp_path / "recs", targets, metrics=["recall@20"])
    users = set(pq.read_table(targets)["user_id"].to_pylist())
    known = set(pq.read_table(parts / "test_histories.parquet")["user_id"].to_pylist())
    assert found.report.figures[0].users == len(users)
    assert found.users_without == len(users - known)
