"""What the models that are trained with torch share, by the example of SASRec."""

from __future__ import annotations

import math
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch

import pyhybrid
from pyhybrid import Catalog, Interactions, NotFittedError, SASRec, evaluate
from pyhybrid.data import splits

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.usefixtures("one_thread")

ITEMS = 12
SMALL: dict[str, Any] = {
    "dim": 16,
    "layers": 1,
    "heads": 2,
    "max_length": 10,
    "lr": 0.01,
    "batch_size": 16,
    "epochs": 3,
    "device": "cpu",
}


@pytest.fixture(scope="module")
def seen() -> Interactions:
    """Each user goes round the items from a random place, in steps of one or (odd users) of two."""
    starts = np.random.default_rng(1).integers(ITEMS, size=80)
    steps = 1 + np.arange(80) % 2
    items = (starts[:, None] + steps[:, None] * np.arange(8)) % ITEMS
    return Interactions.from_columns(np.repeat(np.arange(80), 8), items.ravel(), ordered=True)


@pytest.fixture(scope="module")
def split(seen: Interactions) -> splits.Split:
    return splits.leave_last(seen)


def test_validation_keeps_the_best_epoch(split: splits.Split) -> None:
    model = SASRec(**SMALL | {"epochs": 40, "patience": 4, "lr": 0.03})
    model.fit(split.train, validation=split.validation, metric="mrr@5")
    figures = [epoch.metric for epoch in model.epochs_run]
    assert len(figures) == min(40, int(np.argmax(figures)) + 5)
    found = evaluate(model, split.validation, ["mrr@5"])["mrr@5"]
    assert found == pytest.approx(max(figures), abs=1e-12)


def test_an_unknown_metric_is_refused_before_the_fit(split: splits.Split) -> None:
    with pytest.raises(ValueError, match="metric"):
        SASRec(**SMALL).fit(split.train, validation=split.validation, metric="accuracy")


_KILLED = """
import signal
signal.signal(signal.SIGINT, signal.default_int_handler)  # a background job ignores it
import sys
import numpy as np
import pyhybrid
from pyhybrid.data import splits
data = pyhybrid.Interactions.read(sys.argv[1], ordered=True)
split = splits.leave_last(data)
model = pyhybrid.SASRec(**eval(sys.argv[2]))
model.fit(split.train, validation=split.validation, checkpoint=sys.argv[3])
"""


@pytest.mark.parametrize("kill", [signal.SIGKILL, signal.SIGINT])
def test_a_killed_fit_goes_on_to_the_same_bits(
    kill: signal.Signals, seen: Interactions, split: splits.Split, tmp_path: Path
) -> None:
    import pyarrow.parquet as pq

    params = SMALL | {"epochs": 60, "patience": 60}
    pq.write_table(seen.to_arrow(), tmp_path / "data.parquet")
    folder = tmp_path / "run"
    arguments = [str(tmp_path / "data.parquet"), repr(params), str(folder)]
    child = subprocess.Popen(
        [sys.executable, "-c", _KILLED, *arguments],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stderr=subprocess.PIPE,
    )
    deadline = time.monotonic() + 120
    while not (folder / "checkpoint.npz").exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    time.sleep(0.2)
    child.send_signal(kill)
    child.communicate()
    assert child.returncode != 0
    shares: list[float] = []
    fit = {"validation": split.validation}
    resumed = SASRec(**params).fit(split.train, checkpoint=folder, progress=shares.append, **fit)
    assert shares[0] > 1 / 60  # it did not start anew
    unbroken = SASRec(**params).fit(split.train, **fit)
    assert resumed.fingerprint() == unbroken.fingerprint()
    figures = [[epoch.metric for epoch in m.epochs_run] for m in (resumed, unbroken)]
    assert figures[0] == figures[1]


def test_a_checkpoint_of_other_parameters_or_data_is_refused(
    split: splits.Split, tmp_path: Path
) -> None:
    SASRec(**SMALL).fit(split.train, checkpoint=tmp_path)
    before = (tmp_path / "checkpoint.npz").read_bytes()
    known = Catalog.from_columns(split.train.item_ids, title=[f"t{i}" for i in range(ITEMS)])
    reordered = replace(
        split.train, events=replace(split.train.events, items=split.train.events.items[::-1].copy())
    )
    attempts = {
        "lr of the checkpoint .* is 0.01; expected 0.02, as in this run": {"lr": 0.02},
        "epochs of the checkpoint": {"epochs": 4},
        "the interactions' fingerprint of the checkpoint": {"interactions": reordered},
        "the catalogue's fingerprint of the checkpoint": {"catalog": known},
        "the validation part's fingerprint of the checkpoint": {"validation": split.validation},
    }
    for message, change in attempts.items():
        params = SMALL | {k: v for k, v in change.items() if k in SMALL}
        given = {k: v for k, v in change.items() if k not in SMALL}
        fit: dict[str, Any] = {"interactions": split.train, "checkpoint": tmp_path} | given
        with pytest.raises(ValueError, match=f"^SASRec: {message}"):
            SASRec(**params).fit(**fit)
    assert (tmp_path / "checkpoint.npz").read_bytes() == before
    shares: list[float] = []
    SASRec(**SMALL).fit(split.train, checkpoint=tmp_path, progress=shares.append)
    assert shares == []  # finished before


def test_a_loss_that_is_not_finite_says_what_to_do(
    seen: Interactions, monkeypatch: pytest.MonkeyPatch
) -> None:
    loss = SASRec._loss
    monkeypatch.setattr(SASRec, "_loss", lambda *given: loss(*given) * math.nan)
    model = SASRec(**SMALL)
    message = r"^SASRec: the loss in epoch 1, step 1 is nan; expected a finite number; lower lr=$"
    with pytest.raises(ValueError, match=message):
        model.fit(seen)
    with pytest.raises(NotFittedError):
        model.recommend(seen)


def test_a_model_from_a_gpu_is_scored_on_what_there_is(
    seen: Interactions, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    elsewhere = SASRec(**SMALL).fit(seen)
    elsewhere.device = "cuda"
    elsewhere.save(tmp_path / "model")
    loaded = pyhybrid.load(tmp_path / "model")
    assert loaded.params["device"] is None
    assert len(loaded.recommend(seen, 3)) == seen.n_users
    assert SASRec.load(tmp_path / "model", device="cpu").device == "cpu"
    with pytest.raises(ValueError, match=r"^load: device is 'cuda'; expected 'cpu', or one of the"):
        SASRec.load(tmp_path / "model", device="cuda")
    with pytest.raises(ValueError, match=r"^SASRec: device is 'cuda'"):
        SASRec(device="cuda").fit(seen)
