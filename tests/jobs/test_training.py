"""Fitting from files what is trained in epochs: stopped by validation users, and taken up again."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from pyhybrid import Interactions, evaluate, jobs, load, models
from pyhybrid.data import HeldOut, splits, synthetic
from pyhybrid.data.matrices import rows_of
from pyhybrid.jobs.pipeline import write_split

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
    every = models.model_class(name)(**params).fit(split.train)
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
    assert run(shares.append).fingerprint() == resumed.fingerprint()
    assert not shares or shares[0] > 0.9  # it had ended: nothing is learned again


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


@pytest.mark.parametrize("name", ["validation", "checkpoint"])
def test_a_model_without_epochs_takes_neither(folder: Path, tmp_path: Path, name: str) -> None:
    message = f"^fit: {name} is .*; expected none for ESLER, which is not trained in epochs; leave"
    with pytest.raises(ValueError, match=message):
        jobs.fit(folder / "split/train.parquet", tmp_path / "m", **{name: folder / "split"})
    assert list(tmp_path.iterdir()) == []


def test_validation_users_that_are_not_there_or_have_other_items_are_refused(
    folder: Path, tmp_path: Path
) -> None:
    given: dict[str, Any] = {"model": "MultDAE", "params": PARAMS["MultDAE"]}
    train, out = folder / "split/train.parquet", tmp_path / "model"
    with pytest.raises(FileNotFoundError, match=r"^fit: validation is .*; expected a folder that"):
        jobs.fit(train, out, validation=folder, **given)
    jobs.split(folder / "events.parquet", tmp_path / "split", cold=0.2, time="time")
    few = Interactions.read(tmp_path / "split/train.parquet").select_users([0])
    pq.write_table(few.to_arrow(), tmp_path / "few.parquet")
    message = r"^fit: number of unknown items in validation_histories.parquet is \d+, the first .*"
    with pytest.raises(ValueError, match=message + r"; expected 0; name all items by catalog="):
        jobs.fit(tmp_path / "few.parquet", out, validation=tmp_path / "split", **given)
    assert not out.exists()
    items = tmp_path / "split/items.parquet"
    given["params"] = given["params"] | {"epochs": 1}
    jobs.fit(tmp_path / "few.parquet", out, validation=tmp_path / "split", catalog=items, **given)
