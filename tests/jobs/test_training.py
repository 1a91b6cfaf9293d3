"""Fitting from files what is trained in epochs: stopped by validation users, and taken up again."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from pyarrow import csv

from pyhybrid import Interactions, MultDAE, evaluate, jobs, load, models
from pyhybrid.data import HeldOut, splits, synthetic
from pyhybrid.data.ids import as_strings, positions
from pyhybrid.data.matrices import rows_of
from pyhybrid.jobs.pipeline import write_split
from pyhybrid.jobs.training import _validation_users

if TYPE_CHECKING:
    from pathlib import Path

pytest.importorskip("torch", reason="needs torch")

PARAMS: dict[str, dict[str, Any]] = {
    "MultDAE": {"latent_dim": 8, "lr": 0.02, "batch_size": 20, "epochs": 12, "device": "cpu"},
    "MF": {"dim": 8, "lr": 0.02, "batch_size": 50, "epochs": 12, "device": "cpu"},
}


@pytest.fixture(scope="module")
def events() -> Interactions:
    return synthetic.topics(users=120, items=20, events_per_user=8.0, seed=6)[0]


@pytest.fixture(scope="module")
def folder(events: Interactions, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("training")
    pq.write_table(events.to_arrow(), folder / "events.parquet")
    jobs.split(folder / "events.parquet", folder / "split", time="time")
    return folder


@pytest.mark.parametrize("name", PARAMS)
def test_validation_users_choose_the_epoch_as_in_memory(
    events: Interactions, folder: Path, tmp_path: Path, name: str
) -> None:
    params = PARAMS[name] | {"patience": 2}
    given = {"params": params, "validation": folder / "split", "metric": "recall@5"}
    made: Any = jobs.fit(folder / "split/train.parquet", tmp_path / "model", name, **given)
    split = splits.strong(events, seed=0)
    stops = {"validation": split.validation, "metric": "recall@5"}
    alone = getattr(models, name)(**params).fit(split.train, **stops)
    assert [epoch.metric for epoch in made.epochs_run] == [e.metric for e in alone.epochs_run]
    assert made.fingerprint() == alone.fingerprint() == load(tmp_path / "model").fingerprint()
    every = getattr(models, name)(**params).fit(split.train)
    assert every.fingerprint() != alone.fingerprint()


def test_a_job_that_was_stopped_goes_on(folder: Path, tmp_path: Path) -> None:
    train, params = folder / "split/train.parquet", PARAMS["MultDAE"]

    def stop(share: float) -> None:
        if share > 0.5:
            raise KeyboardInterrupt

    def run(progress: Any) -> Any:
        shares.clear()
        given = {"validation": folder / "split", "checkpoint": tmp_path / "run"}
        return jobs.fit(
            train, tmp_path / "model", "MultDAE", params=params, progress=progress, **given
        )

    shares: list[float] = []
    with pytest.raises(KeyboardInterrupt):
        run(stop)
    assert not (tmp_path / "model").exists()
    resumed = run(shares.append)
    assert shares[0] > 0.4
    unbroken = jobs.fit(
        train, tmp_path / "other", "MultDAE", params=params, validation=folder / "split"
    )
    assert resumed.fingerprint() == unbroken.fingerprint()
    state = (tmp_path / "run/checkpoint.npz").read_bytes()
    assert run(shares.append).fingerprint() == resumed.fingerprint()
    assert (tmp_path / "run/checkpoint.npz").read_bytes() == state  # nothing is learned again


def test_users_without_a_history_and_seen_targets_are_no_obstacle(
    events: Interactions, tmp_path: Path
) -> None:
    made = splits.leave_last(events, repeats="keep")
    assert made.validation is not None
    targets = made.validation.targets
    of_others = rows_of(targets.matrix.indptr) != 3
    seen = HeldOut(targets.keep_pairs(of_others), targets, exclude_seen=False)
    write_split(replace(made, validation=seen), tmp_path / "split")
    train, given = tmp_path / "split/train.parquet", {"validation": tmp_path / "split"}
    fitted: Any = jobs.fit(train, tmp_path / "m", "MultDAE", params=PARAMS["MultDAE"], **given)
    with_history = np.arange(targets.n_users) != 3
    held_out = HeldOut(
        seen.histories.select_users(with_history), targets.select_users(with_history), False
    )
    found = evaluate(fitted, held_out, ["ndcg@10"])["ndcg@10"]
    assert found == pytest.approx(max(epoch.metric for epoch in fitted.epochs_run), abs=1e-12)


@pytest.mark.parametrize("kind", ["strings", "numbers"])
def test_text_files_are_read_as_the_ids_that_the_split_has(
    events: Interactions, tmp_path: Path, kind: str
) -> None:
    ids = [np.arange(10, 10 + events.n_items), np.arange(100, 100 + events.n_users)]
    item_ids, user_ids = (as_strings(some) for some in ids) if kind == "strings" else ids
    renamed = replace(events, item_ids=item_ids, user_ids=user_ids)
    write_split(splits.strong(renamed, seed=0), tmp_path / "split")
    table = pq.read_table(tmp_path / "split/train.parquet").select(["user_id", "item_id"])
    csv.write_csv(table, tmp_path / "train.csv")
    given: dict[str, Any] = {"params": PARAMS["MultDAE"], "validation": tmp_path / "split"}
    fitted: Any = [
        jobs.fit(train, tmp_path / "model", "MultDAE", **given)
        for train in (tmp_path / "train.csv", tmp_path / "split/train.parquet")
    ]
    assert fitted[0].epochs_run[-1].metric == fitted[1].epochs_run[-1].metric
    assert fitted[0].item_ids.tolist() == fitted[1].item_ids.tolist() == item_ids.tolist()


@pytest.mark.parametrize("name", ["validation", "checkpoint"])
def test_a_model_without_epochs_takes_neither(folder: Path, tmp_path: Path, name: str) -> None:
    message = f"^fit: {name} is .*; expected none for ESLER, which is not trained in epochs; leave"
    with pytest.raises(ValueError, match=message):
        jobs.fit(folder / "split/train.parquet", tmp_path / "m", **{name: folder / "split"})
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"metric": "mrr@5"},
            "^fit: metric is 'mrr@5'; expected validation with it; name a folder",
        ),
        ({"metric": "nonsense"}, "nonsense"),
        ({"checkpoint": "model"}, "^fit: checkpoint is .*; expected a folder outside the model's"),
        ({"checkpoint": "model/run"}, "^fit: checkpoint is .*; expected a folder outside"),
        (
            {"validation": "nowhere"},
            r"^fit: validation is .* it has no validation_histories\.parquet",
        ),
    ],
)
def test_settings_that_can_not_be_are_refused_before_the_work(
    folder: Path, tmp_path: Path, settings: dict[str, str], message: str
) -> None:
    given = {k: v if k == "metric" else tmp_path / v for k, v in settings.items()}
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        jobs.fit(folder / "split/train.parquet", tmp_path / "model", "MultDAE", **given)
    assert list(tmp_path.iterdir()) == []


def test_targets_that_the_training_has_are_refused(folder: Path, tmp_path: Path) -> None:
    given = {"params": PARAMS["MultDAE"], "validation": folder / "split"}
    message = (
        r"^fit: number of validation targets that are in train is \d+ \(first: user .*\); "
        r"expected 0; fit on .*train\.parquet$"
    )
    with pytest.raises(ValueError, match=message):
        jobs.fit(folder / "events.parquet", tmp_path / "model", "MultDAE", **given)


def test_items_that_only_validation_users_have_belong_in_the_catalogue(
    events: Interactions, tmp_path: Path
) -> None:
    numbered = replace(events, item_ids=np.arange(events.n_items))
    split = splits.cold_stress(splits.strong(numbered, seed=0), share=0.2, seed=0)
    write_split(split, tmp_path / "split")
    given: dict[str, Any] = {"model": "MultDAE", "params": PARAMS["MultDAE"] | {"epochs": 2}}
    given |= {"train": tmp_path / "split/train.parquet", "out": tmp_path / "model"}
    message = (
        r"^fit: number of unknown items of validation users is \d+, the first \d+; expected 0; "
        r"name all items by catalog=, or --catalog: .*items\.parquet has them$"
    )
    with pytest.raises(ValueError, match=message):
        jobs.fit(validation=tmp_path / "split", **given)
    assert not (tmp_path / "model").exists()
    items = tmp_path / "split/items.parquet"
    made: Any = jobs.fit(validation=tmp_path / "split", catalog=items, **given)
    part = split.validation
    assert part is not None
    assert part.targets.item_counts()[split.new_columns()].sum() > 0
    some = np.diff(part.histories.matrix.indptr) > 0
    part = HeldOut(part.histories.select_users(some), part.targets.select_users(some))
    found = evaluate(made, part, ["ndcg@10"])["ndcg@10"]
    assert found == pytest.approx(max(epoch.metric for epoch in made.epochs_run), abs=1e-12)


def test_a_split_without_validation_users_says_how_to_get_some(
    events: Interactions, folder: Path, tmp_path: Path
) -> None:
    given: dict[str, Any] = {"model": "MultDAE", "params": PARAMS["MultDAE"]}
    jobs.split(folder / "events.parquet", tmp_path / "random", "random", time="time")
    train, out = tmp_path / "random/train.parquet", tmp_path / "model"
    with pytest.raises(FileNotFoundError, match=r"it has no .*; .*with -p validation=0\.1"):
        jobs.fit(train, out, validation=tmp_path / "random", **given)
    made = splits.strong(events, seed=0)
    assert made.validation is not None
    nothing = made.validation.histories.keep_pairs(
        np.zeros(made.validation.histories.matrix.nnz, dtype=np.bool_)
    )
    emptied = replace(made, validation=replace(made.validation, histories=nothing))
    write_split(emptied, tmp_path / "empty")
    with pytest.raises(ValueError, match=r"^fit: number of validation users with a history is 0;"):
        jobs.fit(tmp_path / "empty/train.parquet", out, validation=tmp_path / "empty", **given)
    (tmp_path / "empty/split.json").write_text("{}")
    with pytest.raises(ValueError, match=r"^fit: exclude_seen in .*split\.json is None; expected"):
        jobs.fit(tmp_path / "empty/train.parquet", out, validation=tmp_path / "empty", **given)


def test_whether_seen_items_are_ranked_is_part_of_the_run(
    events: Interactions, tmp_path: Path
) -> None:
    split = splits.strong(events, seed=0)
    assert split.validation is not None
    model = MultDAE(**PARAMS["MultDAE"] | {"epochs": 1})
    model.fit(split.train, validation=split.validation, checkpoint=tmp_path)
    other = replace(split.validation, exclude_seen=False)
    with pytest.raises(ValueError, match="validation part's fingerprint of the checkpoint"):
        model.fit(split.train, validation=other, checkpoint=tmp_path)


def test_what_is_not_ranked_for_validation_users_is_read_too(
    events: Interactions, tmp_path: Path
) -> None:
    split = splits.cold_items(splits.strong(events, validation=30, seed=0), share=0.3, seed=0)
    write_split(split, tmp_path / "split")
    part = split.validation
    assert part is not None
    assert part.unranked is not None
    assert part.unranked.matrix.nnz
    found = _validation_users(tmp_path / "split")
    assert found.unranked is not None
    rows = positions(found.histories.user_ids, part.histories.user_ids)
    wanted = part.unranked.select_users(rows).matrix.toarray()
    own = found.unranked.with_items(events.item_ids).matrix.toarray()
    known = np.isin(events.item_ids, found.histories.item_ids)  # others can't be ranked there
    np.testing.assert_array_equal(own[:, known], wanted[:, known])
