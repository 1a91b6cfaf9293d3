"""MultVAE on gowalla's published split: chosen on a part of train, refitted on all of it.

    python bench/multvae_gowalla.py [../shared/data/gowalla] [--runs build/runs/gowalla] [--only X]

BARS reports Recall@20 .1641 and NDCG@20 .1335 for its MultVAE. `valid_lightgcnpp.txt` is a
published part of train: each configuration is fitted on the rest of train for at most 60 epochs and
rated on that part after each; the best one, by NDCG@20, is fitted once more on all of train for the
epochs that it took, and rated on test. Each fit keeps a checkpoint under --runs: run again after an
interruption, the script goes on where it was; what is finished is read back. --only fits one
configuration and stops there, for as many processes as there are cores.
"""

from __future__ import annotations

import argparse
import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from results import once, write_result

import pyhybrid
from pyhybrid import HeldOut, Interactions, MultVAE
from pyhybrid.data.readers import open_folder
from pyhybrid.data.text_files import find, ids_of, read_lists

if TYPE_CHECKING:
    from pyhybrid import Split

PUBLISHED = {"recall@20": 0.1641, "ndcg@20": 0.1335}
METRICS = (*PUBLISHED, "recall@50", "ndcg@50")
EPOCHS = 60
RATED_USERS = 5_000  # of those with an item in the validation part, drawn once
# At most six; each step is about a sixtieth of an epoch at batch_size=500.
CONFIGURATIONS: dict[str, dict[str, Any]] = {
    "beta 0.2": {"beta": 0.2, "anneal_steps": 10_000},
    "beta 0.5": {"beta": 0.5, "anneal_steps": 5_000},
    "beta 0.8, sooner": {"beta": 0.8, "anneal_steps": 2_000},
    "beta 0.6, sooner, dropout 0.2": {"beta": 0.6, "anneal_steps": 2_000, "dropout": 0.2},
    "beta 0.8, sooner, no hidden layers": {"hidden_dim": 0, "beta": 0.8, "anneal_steps": 2_000},
}


def without_validation(split: Split, valid: Path) -> tuple[Interactions, HeldOut]:
    """Take the validation part out of train, and return the rest and some users to be rated."""
    table = read_lists(valid)
    users, items = ids_of(table["user_id"]), ids_of(table["item_id"])
    held_out = Interactions.from_columns(users, items, ids=split.train)
    rest = split.train.matrix - held_out.matrix
    rest.eliminate_zeros()
    train = Interactions.from_csr(
        rest, user_ids=split.train.user_ids, item_ids=split.train.item_ids
    )
    rows = np.flatnonzero((np.diff(held_out.matrix.indptr) > 0) & (np.diff(rest.indptr) > 0))
    rows = np.sort(np.random.default_rng(0).permutation(rows)[:RATED_USERS])
    return train, HeldOut(train.select_users(rows), held_out.select_users(rows))


def fitted(train: Interactions, folder: Path, params: dict[str, Any], **fit: Any) -> MultVAE:
    model = MultVAE(**{"epochs": EPOCHS, "patience": 10, **params})
    return model.fit(train, metric="ndcg@20", checkpoint=folder, progress=True, **fit)


def rate(
    names: list[str], train: Interactions, validation: HeldOut, runs: Path
) -> dict[str, dict[str, Any]]:
    """Rate each configuration on the validation part."""
    rated = {}
    for name in names:
        params = CONFIGURATIONS[name]
        folder = runs / name.replace(" ", "_")

        def compute(folder: Path = folder, params: dict[str, Any] = params) -> dict[str, Any]:
            epochs = fitted(train, folder, params, validation=validation).epochs_run
            figures = [epoch.metric for epoch in epochs]
            best = int(np.argmax(figures))
            return {"ndcg@20": figures[best], "epoch": best + 1, "epochs": len(epochs)}

        rated[name] = once(folder / "figures.json", {**params, "epochs": EPOCHS}, compute)
        print(name, {k: rated[name][k] for k in ("ndcg@20", "epoch", "epochs")}, flush=True)
    return rated


def main(data: Path, runs: Path, only: str | None) -> None:
    split = open_folder(data).split
    valid = find(data, "valid_lightgcnpp.txt")
    train, validation = without_validation(split, valid)
    rated = rate([only] if only else list(CONFIGURATIONS), train, validation, runs)
    if only:
        return
    best = max(rated, key=lambda name: rated[name]["ndcg@20"])
    params = {**CONFIGURATIONS[best], "epochs": rated[best]["epoch"]}
    folder = runs / "refitted"

    def compute() -> dict[str, Any]:
        model = fitted(split.train, folder, params)
        model.save(folder / "model")
        seconds = sum(epoch.seconds for epoch in model.epochs_run)
        report = pyhybrid.evaluate(model, split.test, METRICS)
        return {"seconds": seconds, **{metric: report[metric] for metric in METRICS}}

    tested = once(folder / "figures.json", params, compute)
    for metric, published in PUBLISHED.items():
        print(f"{metric}: {tested[metric]:.4f}, published {published:.4f}")
    write_result(
        "multvae_gowalla",
        {"published": PUBLISHED, "validation": rated, "chosen": best, "test": tested},
    )


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    root = Path(__file__).parents[1]
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path, nargs="?", default=root.parent / "shared/data/gowalla")
    parser.add_argument("--runs", type=Path, default=root / "build/runs/gowalla")
    parser.add_argument("--only", choices=CONFIGURATIONS)
    given = parser.parse_args()
    main(given.data, given.runs, given.only)
