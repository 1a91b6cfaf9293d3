"""What files carry from one command to the next, so that both roads give the same figures."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyarrow import csv

from pyhybrid import ESLER, evaluate, jobs, load
from pyhybrid.data import synthetic

if TYPE_CHECKING:
    from pathlib import Path

METRICS = ["ndcg@10", "recall@5"]


@pytest.fixture(scope="module")
def events(tmp_path_factory: pytest.TempPathFactory) -> Path:
    interactions, _ = synthetic.topics(users=120, items=40, events_per_user=7.0, seed=3)
    table = interactions.to_arrow()
    rng = np.random.default_rng(0)
    repeated = pa.concat_tables([table, table.take(rng.integers(0, table.num_rows, 150))])
    path = tmp_path_factory.mktemp("events") / "events.parquet"
    weights = pa.array(rng.integers(1, 6, repeated.num_rows).astype(np.float32))
    pq.write_table(repeated.append_column("plays", weights), path)
    return path


@pytest.mark.parametrize(
    ("by", "options"),
    [
        ("strong", {}),
        ("leave-last", {}),
        ("leave-last", {"repeats": "keep"}),
        ("time", {"test": 0.3}),
        ("random", {}),
        ("cold", {}),
    ],
)
def test_files_give_the_figures_that_memory_gives(
    events: Path, tmp_path: Path, by: Any, options: dict[str, Any]
) -> None:
    split, folder = tmp_path / "split", tmp_path / "model"
    made = jobs.split(events, split, by, options=options, time="time")
    model = ESLER(l2=20.0).fit(made.train)
    jobs.fit(split / "train.parquet", folder, params={"l2": 20.0}, catalog=split / "items.parquet")
    jobs.recommend(
        folder,
        split / "test_histories.parquet",
        tmp_path / "recs",
        10,
        users_from=split / "test_targets.parquet",
        exclude_seen=made.test.exclude_seen,
    )
    found = jobs.evaluate(
        tmp_path / "recs", split / "test_targets.parquet", split / "train.parquet", metrics=METRICS
    )
    assert found.users_without == 0
    wanted = evaluate(model, made.test, METRICS)
    for metric in METRICS:
        assert found.report[metric] == pytest.approx(wanted[metric], abs=1e-12)


@pytest.mark.parametrize(
    "columns",
    [
        {"weight": "plays"},
        {"weight": "plays", "duplicates": "sum", "time": "time"},
        {"duplicates": "count", "time": "time"},
    ],
)
def test_weights_and_order_are_carried_along(
    events: Path, tmp_path: Path, columns: dict[str, Any]
) -> None:
    made = jobs.split(events, tmp_path / "split", **columns)
    assert (made.train.matrix.data != 1).any()
    jobs.fit(tmp_path / "split" / "train.parquet", tmp_path / "model", params={"l2": 20.0})
    ours = load(tmp_path / "model")
    wanted = ESLER(l2=20.0).fit(made.train)
    items = ours.item_positions(wanted.item_ids[wanted.rankable])
    order = np.searchsorted(ours.rankable, items)
    np.testing.assert_allclose(ours.weights[np.ix_(order, order)], wanted.weights, rtol=1e-4)


def test_users_are_chosen_by_a_file(events: Path, tmp_path: Path) -> None:
    jobs.fit(events, tmp_path / "model")
    pq.write_table(pa.table({"user_id": ["u0003", "nobody", "u0001"]}), tmp_path / "who.parquet")
    parts = jobs.recommend(
        tmp_path / "model", events, tmp_path / "recs", 3, users_from=tmp_path / "who.parquet"
    )
    table = pa.concat_tables([pq.read_table(part) for part in parts]).to_pydict()
    assert set(table["user_id"]) == {"u0001", "u0003", "nobody"}
    fallback = dict(zip(table["user_id"], table["fallback"], strict=True))
    assert fallback == {"u0001": False, "u0003": False, "nobody": True}


def test_items_are_allowed_and_denied_by_files(events: Path, tmp_path: Path) -> None:
    jobs.fit(events, tmp_path / "model")
    stock = [f"i{number:04}" for number in range(1, 21)] + ["gone"]
    pq.write_table(pa.table({"item_id": stock}), tmp_path / "stock.parquet")
    pq.write_table(pa.table({"item_id": stock[:5]}), tmp_path / "denied.parquet")
    parts = jobs.recommend(
        tmp_path / "model",
        events,
        tmp_path / "recs",
        30,
        among=tmp_path / "stock.parquet",
        deny=tmp_path / "denied.parquet",
    )
    items = {item for part in parts for item in pq.read_table(part)["item_id"].to_pylist()}
    assert items
    assert items <= set(stock[5:20])


def write_csv(path: Path, users: list[Any], items: list[Any]) -> Path:
    csv.write_csv(pa.table({"user_id": users, "item_id": items}), path)
    return path


def test_one_new_item_that_is_no_number_stops_no_job(tmp_path: Path) -> None:
    train = write_csv(tmp_path / "train.csv", [1, 1, 2, 2, 3], [10, 11, 10, 12, 11])
    jobs.fit(train, tmp_path / "model", params={"l2": 1.0})
    histories = write_csv(tmp_path / "now.csv", [1, 2], ["10", "B00X"])
    parts = jobs.recommend(
        tmp_path / "model", histories, tmp_path / "recs", 2, unknown_items="drop"
    )
    assert set(pq.read_table(parts[0])["item_id"].to_pylist()) <= {10, 11, 12}
    with pytest.raises(ValueError, match="unknown items is 1, the first 'B00X'"):
        jobs.recommend(tmp_path / "model", histories, tmp_path / "again", 2)


def test_a_catalogue_of_strings_makes_strings_of_the_events_ids(tmp_path: Path) -> None:
    train = write_csv(tmp_path / "train.csv", [1, 1, 2], [10, 11, 10])
    (tmp_path / "items.csv").write_text("item_id,title\n10,Heat\nB00X,Alien\n11,Jaws\n")
    model = jobs.fit(train, tmp_path / "model", catalog=tmp_path / "items.csv")
    assert sorted(model.item_ids.tolist()) == ["10", "11", "B00X"]


def test_a_failed_job_claims_no_folder(events: Path, tmp_path: Path) -> None:
    jobs.fit(events, tmp_path / "model")
    with pytest.raises(ValueError, match="column 'uid' is missing"):
        jobs.recommend(tmp_path / "model", events, tmp_path / "recs", 10, user="uid")
    assert not (tmp_path / "recs").exists()
    jobs.recommend(tmp_path / "model", events, tmp_path / "recs", 20)


def test_short_lists_are_rated_by_the_metrics_they_allow(events: Path, tmp_path: Path) -> None:
    jobs.split(events, tmp_path / "split")
    jobs.fit(tmp_path / "split" / "train.parquet", tmp_path / "model")
    for n, metrics in ((10, {"ndcg@10"}), (100, {"ndcg@10", "ndcg@100", "recall@20"})):
        recs = tmp_path / f"recs{n}"
        histories = tmp_path / "split" / "test_histories.parquet"
        jobs.recommend(tmp_path / "model", histories, recs, n, unknown_items="drop")
        found = jobs.evaluate(recs, tmp_path / "split" / "test_targets.parquet")
        assert {figure.metric for figure in found.report.figures} == metrics
