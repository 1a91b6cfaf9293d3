"""MultVAE and MultDAE on MovieLens-1M, strong generalisation, beside ESLER: likelihoods and KL.

    python bench/multvae_ml1m.py [../shared/data/ml-1m/pairs.csv.zst] [--runs build/runs/ml1m]

The split is that of ``ml1m_strong.py``. Each arm's hyper-parameters are chosen from its grid with
seed 0 by NDCG@100 on the validation users, whose best epoch is also what is rated; then it is
fitted with three seeds and rated on the test users. Standard errors are over the test users, as in
Liang et al. (WWW 2018), deviations over the seeds. Interrupted, the script goes on where it was;
--only replaces the rows of some arms.
"""

from __future__ import annotations

import argparse
import itertools
import json
import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from ml1m_strong import protocol
from results import RESULTS, once, write_result

import pyhybrid
from pyhybrid import ESLER, MultDAE, MultVAE

if TYPE_CHECKING:
    from pyhybrid import Split

METRICS = ("ndcg@100", "recall_min@20", "recall_min@50")
SEEDS = (0, 1, 2)
EPOCHS = 200
DROPOUT = [0.5, 0.7]
CAPPED = {"beta": [0.2, 0.5], "dropout": DROPOUT}
VAE = {"anneal_steps": 2_000, "batch_size": 100}  # 41 steps an epoch
SHALLOW = {**VAE, "hidden_dim": 0}
# What all fits of an arm share, and what validation chooses from.
ARMS: dict[str, tuple[type, dict[str, Any], dict[str, list[Any]]]] = {
    "MultVAE": (MultVAE, VAE, CAPPED),
    "MultDAE": (MultDAE, {"batch_size": 100}, {"l2": [2e-6, 2e-5], "dropout": DROPOUT}),
    "MultVAE, no KL": (MultVAE, {**VAE, "beta": 0.0, "anneal_steps": 0}, {"dropout": DROPOUT}),
    "MultVAE, all of KL": (
        MultVAE,
        {**VAE, "beta": 1.0},
        {"anneal_steps": [0, 200], "dropout": DROPOUT},
    ),
    "MultVAE, logistic": (MultVAE, {**VAE, "likelihood": "logistic"}, CAPPED),
    "MultVAE, gaussian": (MultVAE, {**VAE, "likelihood": "gaussian"}, CAPPED),
    "MultVAE, no hidden layers": (MultVAE, SHALLOW, CAPPED),
    "the same, no KL": (
        MultVAE,
        {**SHALLOW, "beta": 0.0, "anneal_steps": 0},
        {"dropout": DROPOUT},
    ),
    "the same, all of KL": (
        MultVAE,
        {**SHALLOW, "beta": 1.0},
        {"anneal_steps": [0, 200], "dropout": DROPOUT},
    ),
    "the same, logistic": (MultVAE, {**SHALLOW, "likelihood": "logistic"}, CAPPED),
    "the same, gaussian": (MultVAE, {**SHALLOW, "likelihood": "gaussian"}, CAPPED),
}


def fitted(kind: type, params: dict[str, Any], split: Split, folder: Path) -> Any:
    model = kind(epochs=EPOCHS, **params)
    return model.fit(split.train, validation=split.validation, metric="ndcg@100", checkpoint=folder)


def rate(kind: type, params: dict[str, Any], split: Split, folder: Path) -> dict[str, Any]:
    """Fit once: the best figure on validation, and the figures on test with their errors."""

    def compute() -> dict[str, Any]:
        model = fitted(kind, params, split, folder)
        figures = [epoch.metric for epoch in model.epochs_run]
        best = int(np.argmax(figures))
        beta = None
        if isinstance(model, MultVAE):
            steps = (best + 1) * -(-split.train.n_users // model.batch_size)
            beta = min(model.beta_cap, steps / model.anneal_steps if model.anneal_steps else np.inf)
        seconds = sum(epoch.seconds for epoch in model.epochs_run)
        return {
            "validation": figures[best],
            "epoch": best + 1,
            "epochs": len(figures),
            "beta": beta,
            "seconds": seconds,
            "test": tested(model, split),
        }

    return once(folder / "figures.json", {**params, "epochs": EPOCHS}, compute)


def tested(model: Any, split: Split) -> dict[str, dict[str, float]]:
    report = pyhybrid.evaluate(model, split.test, METRICS)
    return {f.metric: {"mean": f.mean, "standard_error": f.standard_error} for f in report.figures}


def choose(name: str, split: Split, runs: Path) -> dict[str, Any]:
    """Rate an arm's grid on validation with the first seed, and return the best parameters."""
    kind, shared, grid = ARMS[name]
    rows = [dict(zip(grid, values, strict=True)) for values in itertools.product(*grid.values())]
    found = []
    for row in rows:
        params = {**shared, **row, "seed": SEEDS[0]}
        rated = rate(kind, params, split, folder_of(runs, name, {**row, "seed": SEEDS[0]}))
        found.append((rated["validation"], rated["epoch"]))
        print(name, row, f"validation {found[-1][0]:.4f} in epoch {found[-1][1]}", flush=True)
    best = max(range(len(rows)), key=lambda k: found[k][0])
    return {"params": {**shared, **rows[best]}, "grid": rows, "validation": found}


def folder_of(runs: Path, name: str, params: dict[str, Any]) -> Path:
    parts = [name, *(f"{key}={value:g}" for key, value in params.items())]
    return runs / "_".join(parts).replace(" ", "_").replace(",", "")


def main(pairs: Path, runs: Path, only: list[str]) -> None:
    split = protocol(pairs)
    rows: dict[str, Any] = {}
    for name in only or ARMS:
        kind = ARMS[name][0]
        chosen = choose(name, split, runs)
        seeds = []
        for seed in SEEDS:
            params = {**chosen["params"], "seed": seed}
            folder = folder_of(runs, name, {**{k: params[k] for k in ARMS[name][2]}, "seed": seed})
            seeds.append(rate(kind, params, split, folder))
            print(name, seed, {m: round(f["mean"], 4) for m, f in seeds[-1]["test"].items()})
        rows[name] = {**chosen, "seeds": seeds, **summary([run["test"] for run in seeds])}
    esler = tested(ESLER(l2=700.0).fit(split.train), split)
    rows["ESLER"] = {"params": {"l2": 700.0}, **summary([esler])}
    result = RESULTS / "multvae_ml1m.json"
    rows = (json.loads(result.read_text())["rows"] if result.exists() else {}) | rows
    write_result(
        "multvae_ml1m", {"rows": {name: rows[name] for name in ("ESLER", *ARMS) if name in rows}}
    )


def summary(runs: list[dict[str, dict[str, float]]]) -> dict[str, Any]:
    """Average runs: their means, their standard errors over users, and their deviation."""
    return {
        metric: {
            "mean": float(np.mean([run[metric]["mean"] for run in runs])),
            "standard_error": float(np.mean([run[metric]["standard_error"] for run in runs])),
            "deviation": float(np.std([run[metric]["mean"] for run in runs], ddof=1))
            if len(runs) > 1
            else None,
        }
        for metric in METRICS
    }


if __name__ == "__main__":
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    root = Path(__file__).parents[1]
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "pairs", type=Path, nargs="?", default=root.parent / "shared/data/ml-1m/pairs.csv.zst"
    )
    parser.add_argument("--runs", type=Path, default=root / "build/runs/ml1m")
    parser.add_argument("--only", nargs="*", choices=ARMS, default=[])
    given = parser.parse_args()
    main(given.pairs, given.runs, given.only)
