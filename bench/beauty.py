"""The next item on Amazon Beauty: sequence models beside ESLER, over all items.

    python bench/beauty.py [../shared/data/amazon-beauty] [--runs build/runs/beauty] [--only NAME]

Leave-one-out: fit on all but each user's last two items, choose on the last but one, rate on the
last with all before it as the history. All 12,101 items are ranked but for those in the history,
as S3-Rec's published full ranking does; there SASRec (binary cross-entropy) has Recall@10 .0605 and
NDCG@10 .0318. Each configuration keeps a checkpoint under --runs: run again after an interruption,
the script goes on where it was; what is finished is read back. How hyper-parameters were chosen
is told in ``README.md`` beside this file.
"""

from __future__ import annotations

import argparse
import itertools
import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from results import once, write_result

import pyhybrid
from pyhybrid.data.readers import open_folder
from pyhybrid.data.splits import leave_last
from pyhybrid.models.torch_base import TorchRecommender

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pyhybrid import Catalog, Split
    from pyhybrid.models import Recommender

METRICS = ("recall@10", "ndcg@10", "recall@50", "ndcg@50")
PUBLISHED = {
    "SASRec (S3-Rec's table)": {"recall@10": 0.0605, "ndcg@10": 0.0318},
    "S3-Rec": {"recall@10": 0.0647, "ndcg@10": 0.0327},
}
BUCKETS = {"0": (0, 0), "1-5": (1, 5), "6-20": (6, 20), "more": (21, np.inf)}
CHOSEN_BY = "ndcg@10"


class Entry(NamedTuple):
    """A model, and what validation chooses from."""

    model: Recommender
    grid: dict[str, list[Any]]


MODELS = {
    "Popularity": Entry(pyhybrid.Popularity(), {}),
    "ESLER": Entry(pyhybrid.ESLER(), {"l2": [20.0, 50.0, 100.0, 200.0]}),
    "SASRec": Entry(pyhybrid.SASRec(dropout=0.5), {}),
    "VQRec, not pre-trained": Entry(pyhybrid.VQRec(dim=64, dropout=0.3), {}),
}


def grid_of(name: str) -> list[dict[str, Any]]:
    """List what validation chooses from."""
    grid = MODELS[name].grid
    return [dict(zip(grid, values, strict=True)) for values in itertools.product(*grid.values())]


def folder_of(name: str, params: dict[str, Any], runs: Path) -> Path:
    said = "_".join([name, *(f"{key}={value}" for key, value in params.items())])
    return runs / said.replace(" ", "-").replace(",", "")


def model_of(name: str, params: dict[str, Any]) -> Recommender:
    return MODELS[name].model.with_params(**params)


def fitted(
    name: str, params: dict[str, Any], split: Split, texts: Catalog, runs: Path
) -> Recommender:
    """Fit on train, looking at validation alone; what a run under --runs has is read back."""
    model = model_of(name, params)
    if not isinstance(model, TorchRecommender):
        return model.fit(split.train)
    return model.fit(
        split.train,
        texts if isinstance(model, pyhybrid.VQRec) else None,
        validation=split.validation,
        metric=CHOSEN_BY,
        checkpoint=folder_of(name, params, runs),
        progress=True,
    )


def validated(
    name: str, params: dict[str, Any], split: Split, texts: Catalog, runs: Path
) -> dict[str, Any]:
    """Say what a configuration gives on validation."""

    def compute() -> dict[str, Any]:
        model = fitted(name, params, split, texts, runs)
        figure = pyhybrid.evaluate(model, split.validation, [CHOSEN_BY])[CHOSEN_BY]
        epochs = getattr(model, "epochs_run", [])
        seconds = sum(epoch.seconds for epoch in epochs)
        print(f"{name} {params}: validation {CHOSEN_BY} {figure:.4f}", flush=True)
        return {CHOSEN_BY: figure, "epochs": len(epochs), "training_seconds": seconds}

    path = folder_of(name, params, runs) / "validation.json"
    return once(path, model_of(name, params).params, compute)


def row_of(name: str, split: Split, texts: Catalog, runs: Path) -> dict[str, Any]:
    """Rate on test the configuration that validation likes best, the first of equal ones."""
    found = [(params, validated(name, params, split, texts, runs)) for params in grid_of(name)]
    best, chosen = max(found, key=lambda one: one[1][CHOSEN_BY])

    def compute() -> dict[str, Any]:
        return rated(fitted(name, best, split, texts, runs), split)

    path = folder_of(name, best, runs) / "test.json"
    return {**once(path, chosen["settings"], compute), "validation": [one for _, one in found]}


def rated(model: Recommender, split: Split) -> dict[str, Any]:
    """Rate on test: all users, and by how often train has a user's target."""
    report = pyhybrid.evaluate(model, split.test, METRICS, name="it")
    counts = split.train.item_counts()[split.test.targets.matrix.indices]  # one target a user
    values = {metric: report.per_user["it", "joint", metric] for metric in METRICS}
    buckets = {}
    for bucket, (least, most) in BUCKETS.items():
        users: NDArray[np.bool_] = (counts >= least) & (counts <= most)
        means = {
            metric: float(rows[users].mean()) if users.any() else None
            for metric, rows in values.items()
        }
        buckets[bucket] = {"users": int(users.sum()), **means}
    return {**{metric: report[metric] for metric in METRICS}, "by_training_frequency": buckets}


def main(data: Path, runs: Path, only: str | None) -> None:
    found = open_folder(data)
    split = leave_last(found.interactions)
    print(split)
    rows = {}
    for name in MODELS if only is None else [only]:
        rows[name] = row_of(name, split, found.catalog, runs)
        print(name, *(f"{metric} {rows[name][metric]:.4f}" for metric in METRICS), flush=True)
    if only is None:
        protocol = {
            "histories": "all but the last item",
            "ranked": "all items but those in the history",
            "epochs_and_l2_chosen_by": f"{CHOSEN_BY} on the last item but one",
        }
        write_result("beauty", {"protocol": protocol, "published": PUBLISHED, "rows": rows})


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    root = Path(__file__).parents[1]
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "data", type=Path, nargs="?", default=root.parent / "shared/data/amazon-beauty"
    )
    parser.add_argument("--runs", type=Path, default=root / "build/runs/beauty")
    parser.add_argument("--only", choices=list(MODELS), default=None)
    given = parser.parse_args()
    main(given.data, given.runs, given.only)
