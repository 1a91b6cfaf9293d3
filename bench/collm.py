"""CoLLM on its authors' own split of MovieLens-1M: each collaborative model, text alone, and both.

    python bench/collm.py [../shared/data/collm-ml-1m] [--full] [--runs ...] [--seeds 0 1 2]
                          [--parents] [--finished]

Rows are pairs of a user and a film, liked or not, train before valid before test in time. Rated by
AUC and user AUC on all test rows, on those whose user and film have three rows of train or more
("warm"), and on the others. The language model is all-MiniLM-L6-v2: LoRA on texts ("text"), then
the mapper for each collaborative model; then, over MF, the ablations: vectors drawn at random
(those of users whom train doesn't know are folded into random ones) and what was learned of users
handed to others. With each seed comes the mean of MF's and text's probabilities.

As a CPU has it: at most 5 titles and 64 tokens, two epochs of texts and one of a mapper, in
bfloat16 where the processor has it, models stop by AUC on `valid_small`, ablations with seed 2.
With --full, for a GPU: CoLLM's defaults, models stop by AUC on `valid`, ablations with each seed.

What is finished is kept under --runs, by table, and read back; --parents leaves it at the
collaborative models, --finished at what is there. What the result holds of other seeds stays.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from results import RESULTS, once, read, write_result

from pyhybrid import MF, Catalog, CoLLM, ESLERFactors, LightGCN, SASRec
from pyhybrid.data import read_feedback
from pyhybrid.data.ids import positions
from pyhybrid.data.text_files import find, read_table
from pyhybrid.pointwise import rate
from pyhybrid.precision import is_native

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from pyhybrid import Recommender
    from pyhybrid.data import Feedback
    from pyhybrid.models.collm_network import CoLLMNetwork

COLUMNS = {"user": "uid", "item": "iid", "label": "label"}
METRIC = "auc"
PUBLISHED = {
    "MF": (0.6482, 0.6361),
    "LightGCN": (0.5959, 0.6499),
    "SASRec": (0.7078, 0.6884),
    "text": (0.7097, 0.6818),
    "CoLLM, MF": (0.7295, 0.6875),
    "CoLLM, SASRec": (0.7235, 0.6990),
}
SASREC = {  # chosen by AUC on `valid_small`, one parameter after the other
    "layers": 1,
    "dropout": 0.5,
    "max_length": 25,
    "weight_decay": 100.0,
    "batch_size": 64,
}
PARENTS: dict[str, tuple[Callable[..., Recommender], dict[str, Any]]] = {
    "MF": (MF, {}),
    "LightGCN": (LightGCN, {}),
    "SASRec": (SASRec, SASREC),
    "ESLERFactors": (ESLERFactors, {"l2": 300.0}),  # likewise
}
FOLLOW = ("MF, biases alone", "mean of MF and text")
PRECISION = "bfloat16" if torch.cuda.is_available() or is_native("bfloat16") else "float32"
COMMON = {"precision": PRECISION, "candidates": "Popularity"}


class Size(NamedTuple):
    """What a table is made with: the result's name, CoLLM's prompts, and which seeds ablate."""

    result: str
    prompts: dict[str, Any]
    valid: str
    ablated: tuple[int, ...]


SMALL = Size(
    "collm",
    {"titles": 5, "max_tokens": 64, **COMMON, "text_epochs": 2, "mapper_epochs": 1},
    "valid_small.csv",
    (2,),
)
FULL = Size("collm_full", COMMON, "valid.csv", (0, 1, 2))


class UsersPermuted(CoLLM):
    """Hand what MF learned of each user to another one, for good."""

    def _network(self, *given: Any) -> CoLLMNetwork:
        if self._language is None:
            self._part.user_ids = np.random.default_rng(0).permutation(self._part.user_ids)
        return super()._network(*given)


class Data:
    """Hold the rows, and the films' titles.

    Args:
        folder: Where they are.
        valid: The file of the rows that models stop by.
    """

    def __init__(self, folder: Path, valid: str = SMALL.valid) -> None:
        titles = read_table(
            find(folder, "titles.csv"), {"item": "int64", "title": "string"}, header=True
        )
        self.catalog = Catalog.from_columns(
            titles["item"].to_numpy(), title=titles["title"].to_pylist()
        )
        ids = {"item_ids": self.catalog.item_ids}
        self.train = read_feedback(find(folder, "train.csv"), **COLUMNS, **ids)
        whole = read_feedback(find(folder, "valid.csv"), **COLUMNS, earlier=self.train)
        # `valid_small` is half of `valid` in no order: histories are those of the whole.
        asked = read_feedback(find(folder, valid), **COLUMNS, earlier=self.train)
        self.valid = whole.select(
            np.flatnonzero(np.isin(_pairs(whole, whole), _pairs(asked, whole)))
        )
        self.test = read_feedback(find(folder, "test.csv"), **COLUMNS, earlier=whole)
        self.warm = self.test.known(self.train, least=3)

    def rated(self, scores: NDArray[np.floating[Any]]) -> dict[str, Any]:
        """Rate scores of the test rows: all, warm and cold."""
        return rate(self.test, scores, groups={"warm": self.warm, "cold": ~self.warm})


def _pairs(rows: Feedback, axes: Feedback) -> NDArray[np.int64]:
    """Number the rows' pairs of user and item by other axes."""
    users = positions(rows.user_ids, axes.user_ids, "collm.py")[rows.users]
    items = positions(rows.item_ids, axes.item_ids, "collm.py")[rows.items]
    return users * len(axes.item_ids) + items


def fitted(model: Recommender, data: Data, folder: Path) -> dict[str, Any]:
    """Fit, keep the test scores and the model in the run's folder, and rate."""
    started = time.perf_counter()
    settings: dict[str, Any] = {"progress": True}
    if not isinstance(model, ESLERFactors):
        settings |= {"validation": data.valid, "metric": METRIC}
    learned = data.train.likes if isinstance(model, ESLERFactors) else data.train
    if isinstance(model, CoLLM):
        settings["checkpoint"] = folder / "checkpoint"
    model.fit(learned, data.catalog, **settings)
    seconds = time.perf_counter() - started
    folder.mkdir(parents=True, exist_ok=True)
    scores = model.score_rows(data.test)
    np.save(folder / "scores.npy", scores)
    if not isinstance(model, UsersPermuted):
        model.save(folder / "model")
    if isinstance(model, ESLERFactors):
        valid = rate(data.valid, model.score_rows(data.valid))[METRIC]
    else:
        valid = max(epoch.metric for epoch in model.epochs_run)
    return {"valid": valid, "seconds": seconds, **data.rated(scores)}


def arms(seed: int, runs: Path, size: Size) -> dict[str, Callable[[], Recommender]]:
    """Name what each run of a seed fits."""
    found: dict[str, Callable[[], Recommender]] = {}
    for name, (kind, params) in PARENTS.items():
        found[name] = lambda k=kind, p=params: k(**p, seed=seed)
    common = {**size.prompts, "seed": seed}
    found["text"] = lambda: CoLLM(stages="text", **common)
    text = runs / f"text_{seed}" / "model"

    def over(name: str, kind: type[CoLLM] = CoLLM, **changes: Any) -> Callable[[], Recommender]:
        params = {**PARENTS[name][1], "seed": seed, **changes}
        return lambda: kind(
            collaborative=name, collaborative_params=params, pretrained=text, **common
        )

    for name in ("MF", "SASRec", "ESLERFactors"):
        found[f"CoLLM, {name}"] = over(name)
    if seed in size.ablated:
        # One step of no length: the vectors stay as they were drawn.
        found["CoLLM, random vectors"] = over("MF", epochs=1, lr=1e-12)
        found["CoLLM, MF, users permuted"] = over("MF", UsersPermuted)
    return found


def from_finished(data: Data, runs: Path, seed: int) -> dict[str, NDArray[np.floating[Any]]]:
    """Give test scores that follow from runs of a seed: MF's biases, the mean of two parents."""
    found: dict[str, NDArray[np.floating[Any]]] = {}
    mf, text = (runs / f"{name}_{seed}" for name in ("MF", "text"))
    if (mf / "figures.json").exists():
        users, items = MF.load(mf / "model").row_vectors(data.test)
        found[FOLLOW[0]] = users[:, -1] + items[:, -2]
    if (mf / "figures.json").exists() and (text / "figures.json").exists():
        parents = [np.load(run / "scores.npy").astype(np.float64) for run in (mf, text)]
        found[FOLLOW[1]] = np.mean([1 / (1 + np.exp(-one)) for one in parents], axis=0)
    return found


def main(folder: Path, runs: Path, size: Size, seeds: list[int], only: str | None) -> None:
    data = Data(folder, size.valid)
    rows: dict[str, list[dict[str, Any]]] = {}
    for seed in seeds:
        for name, make in arms(seed, runs, size).items():
            run = runs / f"{name.replace(', ', '_').replace(' ', '_')}_{seed}"
            is_there = (run / "figures.json").exists()
            if (only == "parents" and name not in PARENTS) or (only == "finished" and not is_there):
                continue
            model = make()
            settings = {k: v for k, v in model.params.items() if k not in ("pretrained", "device")}
            figures = once(
                run / "figures.json", settings, lambda m=model, r=run: fitted(m, data, r)
            )
            rows.setdefault(name, []).append(figures)
            print(seed, name, {key: figures[key] for key in ("valid", "auc", "uauc")}, flush=True)
        for name, scores in from_finished(data, runs, seed).items():
            rows.setdefault(name, []).append({**data.rated(scores), "settings": {"seed": seed}})
    every = with_earlier(rows, size)
    found = sorted({row["settings"]["seed"] for several in every.values() for row in several})
    write_result(size.result, {"seeds": found, "published": PUBLISHED, "rows": every})


def with_earlier(
    rows: dict[str, list[dict[str, Any]]], size: Size
) -> dict[str, list[dict[str, Any]]]:
    """Add what stands in the result of other seeds, and of arms that were left out.

    Raises:
        ValueError: If those have other settings.
    """
    path = RESULTS / f"{size.result}.json"
    stood = read(size.result)["rows"] if path.exists() else {}
    every: dict[str, list[dict[str, Any]]] = {}
    for name in [*arms(size.ablated[0], Path(), size), *FOLLOW]:
        of_seeds = {
            row["settings"]["seed"]: row for row in [*stood.get(name, []), *rows.get(name, [])]
        }
        several = [of_seeds[seed] for seed in sorted(of_seeds)]
        if any(_settings(row) != _settings(several[0]) for row in several):
            raise ValueError(f"{name} stands in {path} with other settings; delete the file")
        if several:
            every[name] = several
    return every


def _settings(row: dict[str, Any]) -> Any:
    """Return a row's settings but for seeds, and for the precision that a machine has."""
    return json.loads(
        json.dumps(row["settings"]),
        object_hook=lambda part: {k: part[k] for k in part if k not in ("seed", "precision")},
    )


if __name__ == "__main__":
    root = Path(__file__).parents[1]
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "folder", type=Path, nargs="?", default=root.parent / "shared/data/collm-ml-1m"
    )
    parser.add_argument("--full", action="store_true")
    parser.add_argument("--runs", type=Path, default=root / "build/runs")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    which = parser.add_mutually_exclusive_group()
    for name in ("parents", "finished"):
        which.add_argument(f"--{name}", action="store_const", const=name, dest="only")
    given = parser.parse_args()
    table = FULL if given.full else SMALL
    main(given.folder, given.runs / table.result, table, given.seeds, given.only)
