"""New items on MovieLens-1M: text-completed ESLER beside its peers, warm, cold and joint.

    python bench/cold_items.py [../shared/data/ml-1m] [--runs build/runs/cold_items] [--seeds 10 11]

For each seed 1,000 users are held out with a fifth of their items as targets, and a fifth of the
items with 20 ratings or more is hidden from training. Every arm is tuned the same way: on items
hidden once more from the training part (`splits.pseudo_cold`), by NDCG@10 over all items, from a
grid that includes by how much the columns of cold items are multiplied, and, where it reads texts,
whether TF-IDF vectors stand beside those of MiniLM. Texts are titles and genres, or these and the
descriptions that a language model wrote (data/ml-1m/colakg). What is found for a seed is kept under
--runs; interrupted, the script goes on where it was.
"""

from __future__ import annotations

import argparse
import itertools
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from results import once, write_result

from pyhybrid import ESLER, kernels
from pyhybrid.data import splits
from pyhybrid.data.readers import open_folder
from pyhybrid.models.item_texts import item_texts, text_vectors

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

    from pyhybrid import Catalog, HeldOut, Interactions, Split

    Weights = NDArray[np.float32]

SEEDS = (10, 11, 12, 13, 14)
METRIC = "ndcg@10"
MINILM, BOTH = "all-MiniLM-L6-v2", ["all-MiniLM-L6-v2", "tfidf"]
LEVELS: dict[str, list[str]] = {"titles": [], "titles and descriptions": ["description"]}
SCALES = [1.0, 1.5, 2.0, 3.0, 5.0]
DRAWS = 2000


class Problem:
    """Hold a split with what the arms share: the Gram matrix, which items are warm, the texts."""

    def __init__(self, split: Split, catalog: Catalog, augmentations: list[str]) -> None:
        self.split, self.catalog, self.augmentations = split, catalog, augmentations
        self.warm = split.train.item_counts() > 0
        self.gram = kernels.gram(split.train.matrix)
        columns = item_texts("bench", catalog, split.train.item_ids, augmentations)
        self.vectors = {
            names: text_vectors(names.split("+"), columns, self.warm, seed=0)
            for names in (MINILM, "+".join(BOTH))
        }


def ease(gram: Weights, l2: float) -> Weights:
    return kernels.esler_weights(gram.copy(), l2)


def esler(problem: Problem, **params: Any) -> Weights:
    found = np.zeros_like(problem.gram)
    found[np.ix_(problem.warm, problem.warm)] = (
        ESLER(**params).fit(problem.split.train, problem.catalog).weights
    )
    return found


def completed(problem: Problem, **params: Any) -> Weights:
    model = ESLER(augmentations=problem.augmentations, **params)
    return model.fit(problem.split.train, problem.catalog).weights


def cosine(problem: Problem, *, names: str) -> Weights:
    v = problem.vectors[names]
    return v @ v.T


def ridge(problem: Problem, *, names: str, l2: float, ridge: float) -> Weights:
    """Predict cold columns of ESLER's weights by a ridge regression on text vectors."""
    warm, v = problem.warm, problem.vectors[names].astype(np.float64)
    found = esler(problem, l2=l2)
    known = v[warm]
    solved = np.linalg.solve(known.T @ known + ridge * np.eye(v.shape[1]), v[~warm].T)
    a = (known @ solved).astype(np.float32)
    found[np.ix_(warm, ~warm)] = found[np.ix_(warm, warm)] @ a
    return found


def l3ae(problem: Problem, *, names: str, l2: float, prior: float, l_f: float) -> Weights:
    """L3AE as its authors have it: EASE over the embeddings, distilled into EASE."""
    c = ease(problem.vectors[names] @ problem.vectors[names].T, l_f)
    p = np.empty(len(c), dtype=np.float32)
    b = kernels.esler_weights(problem.gram.copy(), l2 + prior, inverse_diagonal=p)
    found = (np.eye(len(b), dtype=np.float32) - b) @ (p[:, None] * c) * np.float32(prior)
    found = found + b * (1 + np.diag(found))
    np.fill_diagonal(found, 0)
    return found


def cease(problem: Problem, *, names: str, l2: float, weight: float) -> Weights:
    """Stack text vectors below the users: EASE of X^T X + weight F F^T."""
    v = problem.vectors[names]
    return ease(problem.gram + np.float32(weight) * (v @ v.T), l2)


def addease(problem: Problem, *, names: str, l2: float, l_f: float, share: float) -> Weights:
    """Add EASE over the embeddings to EASE over behaviour."""
    v = problem.vectors[names]
    return (1 - share) * ease(problem.gram, l2) + share * ease(v @ v.T, l_f)


L2 = [300.0, 500.0]
NAMES = [MINILM, "+".join(BOTH)]
# For each arm: what gives its weights, its grid, and what cold columns are multiplied by.
ARMS: dict[str, tuple[Callable[..., Weights], dict[str, list[Any]], list[float]]] = {
    "ESLER": (esler, {"l2": [300.0, 500.0, 700.0]}, [1.0]),
    "text alone": (cosine, {"names": NAMES}, SCALES),
    "ridge to the columns": (ridge, {"names": NAMES, "l2": L2, "ridge": [0.1, 0.5, 2.0]}, SCALES),
    "L3AE": (
        l3ae,
        {"names": NAMES, "l2": L2, "prior": [100.0, 500.0, 2000.0], "l_f": [1.0, 10.0]},
        SCALES,
    ),
    "cEASE": (cease, {"names": NAMES, "l2": L2, "weight": [100.0, 1000.0, 10_000.0]}, SCALES),
    "addEASE": (
        addease,
        {"names": NAMES, "l2": [500.0], "l_f": [1.0, 10.0], "share": [0.1, 0.3, 0.5, 0.7]},
        SCALES,
    ),
    "ESLER with texts": (
        completed,
        {
            "text": [BOTH],
            "l2": [300.0],
            "dropout": [0.33],
            "text_l2": [0.1, 0.3],
            "text_prior": [0.0, 100.0],
            "text_scale": [1.0],
        },
        SCALES,
    ),
}
TEXTLESS = ("ESLER",)


def rated(weights: Weights, part: HeldOut, warm: NDArray[np.bool_]) -> dict[str, Any]:
    """Return each user's NDCG@10 over all items, the warm ones, and the cold ones."""
    histories, targets = part.histories.matrix, part.targets
    found = {}
    for name, kept in (("joint", np.ones_like(warm)), ("warm", warm), ("cold", ~warm)):
        among = np.flatnonzero(kept).astype(np.int32)
        items, _ = kernels.top_n(histories, weights, 10, exclude=histories, among=among)
        wanted = targets.keep_pairs(kept[targets.matrix.indices]).matrix
        found[name] = kernels.ranking_metrics(items, wanted, [METRIC])[METRIC]
    return found


def scaled(weights: Weights, warm: NDArray[np.bool_], scale: float) -> Weights:
    return np.ascontiguousarray(weights * np.where(warm, 1, scale).astype(np.float32))


def settings_of(grid: dict[str, list[Any]]) -> Iterator[dict[str, Any]]:
    return (dict(zip(grid, v, strict=True)) for v in itertools.product(*grid.values()))


def tuned(name: str, inner: Problem) -> tuple[dict[str, Any], float]:
    """Choose an arm's settings and scale on items hidden once more; both held-out parts count."""
    fit, grid, scales = ARMS[name]
    found = []
    for params in settings_of(grid):
        weights = fit(inner, **params)
        for scale in scales:
            columns = scaled(weights, inner.warm, scale)
            parts = (rated(columns, part, inner.warm)["joint"] for part in held_out(inner))
            found.append((float(np.nanmean(np.concatenate(list(parts)))), params, scale))
    _, params, scale = max(found, key=lambda row: row[0])
    return params, scale


def held_out(problem: Problem) -> list[HeldOut]:
    return [part for part in (problem.split.validation, problem.split.test) if part is not None]


def one_split(
    interactions: Interactions, catalog: Catalog, seed: int, level: str
) -> dict[str, Any]:
    """Tune and rate every arm on one split: each user's figures, and what was chosen."""
    parts = splits.strong(interactions, validation=1, test=1000, seed=seed)
    split = splits.cold_items(parts, share=0.2, min_count=20, seed=seed)
    inside = splits.pseudo_cold(split.train, min_count=20, seed=seed)
    known = catalog.select(inside.train.item_ids)
    inner = Problem(inside, known, LEVELS[level])
    outer = Problem(split, catalog.select(split.train.item_ids), LEVELS[level])
    found: dict[str, Any] = {}
    for name, (fit, _, _) in ARMS.items():
        params, scale = tuned(name, inner)
        weights = scaled(fit(outer, **params), outer.warm, scale)
        users = rated(weights, split.test, outer.warm)
        if name in TEXTLESS:
            del users["cold"]
        means = {key: float(np.nanmean(rows)) for key, rows in users.items()}
        print(
            seed, level, name, {k: round(v, 4) for k, v in means.items()}, params, scale, flush=True
        )
        found[name] = {
            "chosen": params,
            "scale": scale,
            "users": {key: np.nan_to_num(rows, nan=-1.0).tolist() for key, rows in users.items()},
        }
    return {"arms": found}


def interval(gaps: list[NDArray[np.float64]]) -> list[float]:
    """Bootstrap over splits and the users within: the mean difference and its 95 % interval."""
    rng = np.random.default_rng(0)
    means = []
    for _ in range(DRAWS):
        chosen = rng.integers(0, len(gaps), len(gaps))
        means.append(np.mean([rng.choice(gaps[k], len(gaps[k])).mean() for k in chosen]))
    low, high = np.quantile(means, [0.025, 0.975])
    return [float(np.mean([gap.mean() for gap in gaps])), float(low), float(high)]


def summary(runs: list[dict[str, Any]]) -> dict[str, Any]:
    """Average the splits, and set the last arm beside each other one."""
    users = {
        (name, key): [np.array(run["arms"][name]["users"][key]) for run in runs]
        for name, arm in runs[0]["arms"].items()
        for key in arm["users"]
    }
    rows: dict[str, Any] = {name: {} for name in runs[0]["arms"]}
    ours = list(ARMS)[-1]
    for (name, key), parts in users.items():
        means = [float(part[part >= 0].mean()) for part in parts]
        rows[name][key] = {"mean": float(np.mean(means)), "splits": means}
        if name != ours:
            gaps = [a[a >= 0] - b[a >= 0] for a, b in zip(users[ours, key], parts, strict=True)]
            rows[name][key]["ours over it"] = interval(gaps)
    for name, row in rows.items():
        row["chosen"] = [[run["arms"][name]["chosen"], run["arms"][name]["scale"]] for run in runs]
    return rows


def main(data: Path, runs: Path, seeds: list[int]) -> None:
    folder = open_folder(data)
    levels: dict[str, Any] = {}
    for level in LEVELS:
        found = []
        for seed in seeds:
            path = runs / f"{level.replace(' ', '_')}_{seed}" / "figures.json"
            settings = {"seed": seed, "level": level}
            found.append(
                once(
                    path,
                    settings,
                    lambda seed=seed, level=level: one_split(
                        folder.interactions, folder.catalog, seed, level
                    ),
                )
            )
        levels[level] = summary(found)
        for name, row in levels[level].items():
            figures = {k: round(v["mean"], 4) for k, v in row.items() if k != "chosen"}
            print(level, name, figures, flush=True)
    write_result("cold_items", {"seeds": seeds, "levels": levels})


if __name__ == "__main__":
    root = Path(__file__).parents[1]
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path, nargs="?", default=root.parent / "shared/data/ml-1m")
    parser.add_argument("--runs", type=Path, default=root / "build/runs/cold_items")
    parser.add_argument("--seeds", type=int, nargs="+", default=list(SEEDS))
    given = parser.parse_args()
    main(given.data, given.runs, given.seeds)
