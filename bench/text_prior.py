"""Text in closed form on Amazon Beauty: ESLER with and without a text prior, L3AE, text alone.

    python bench/text_prior.py [../shared/data/amazon-beauty] [--runs build/runs/text_prior]

Leave-one-out, all 12,101 items ranked: models are fitted on all but each user's last two items,
chosen by NDCG@10 on the last but one, each from a grid of its own, and rated on the last one with
the history of all before it. L3AE is written here as its authors have it: a linear kernel over the
MiniLM vectors of title and categories, exact. Text alone is its first phase (EASE over the
embeddings). Each fit's figure is kept under --runs; interrupted, the script goes on where it was.
"""

from __future__ import annotations

import argparse
import itertools
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from results import once, write_result
from scipy.linalg.lapack import spotrf, spotri

from pyhybrid import ESLER, kernels
from pyhybrid.comparison import paired_interval
from pyhybrid.data import splits
from pyhybrid.data.readers import open_folder
from pyhybrid.text import SentenceTransformerEncoder
from pyhybrid.text.encoders import unit_rows

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from pyhybrid import Catalog, HeldOut, Split

    Weights = NDArray[np.float32]
    Arm = tuple[Callable[..., Weights], dict[str, list[Any]]]

METRICS = ("recall@10", "ndcg@10")
BUCKETS = ("0", "1-5", "6-20", "more")
EDGES = (1, 6, 21)
ENCODER = "all-MiniLM-L6-v2"


class Bench:
    """Hold what all arms share: the data, their Gram matrix, and the texts' vectors."""

    def __init__(self, split: Split, catalog: Catalog) -> None:
        self.split, self.catalog = split, catalog
        self.gram = kernels.gram(split.train.matrix)
        texts = catalog.texts(split.train.item_ids)
        self.vectors = unit_rows(SentenceTransformerEncoder(ENCODER).encode(texts))

    def esler(self, **params: Any) -> Weights:
        """Fit the library's model; its weights on all items, zero where it has none."""
        model = ESLER(**params).fit(self.split.train, self.catalog)
        n = len(model.item_ids)
        weights = np.zeros((n, n), dtype=np.float32)
        weights[np.ix_(model.rankable, model.rankable)] = model.weights
        return weights

    def semantic(self, l_f: float) -> Weights:
        """L3AE's first phase: C = I - P1 diag(1 / diag P1), P1 = (F F^T + l_f I)^-1."""
        inverse = _inverse(self.vectors @ self.vectors.T, l_f)
        c = -inverse / np.diag(inverse)
        np.fill_diagonal(c, 0)
        return c

    def l3ae(self, l2: float, prior: float, l_f: float) -> Weights:
        """L3AE's second phase, with P2 = (G + (l2 + prior) I)^-1."""
        inverse = _inverse(self.gram.copy(), l2 + prior)
        weights = inverse @ self.semantic(l_f)
        weights *= np.float32(prior)
        scale = (1 + np.diag(weights)) / np.diag(inverse)
        weights -= inverse * scale
        np.fill_diagonal(weights, 0)
        return weights


def _inverse(matrix: Weights, l2: float) -> Weights:
    matrix[np.diag_indices(len(matrix))] += np.float32(l2)
    factor, failed = spotrf(matrix.T, overwrite_a=True)
    inverse, failed_too = spotri(factor, overwrite_c=True)
    if failed or failed_too:
        raise ArithmeticError(f"not positive definite at l2={l2}")
    upper = np.triu(inverse)
    return np.ascontiguousarray(upper + np.triu(upper, 1).T)


def arms(bench: Bench) -> dict[str, Arm]:
    return {
        "ESLER": (bench.esler, {"l2": [20.0, 50.0, 100.0, 200.0]}),
        "ESLER, dropout": (bench.esler, {"l2": [20.0, 50.0], "dropout": [0.2, 0.33]}),
        "text alone": (bench.semantic, {"l_f": [1.0, 10.0, 50.0]}),
        "L3AE": (
            bench.l3ae,
            {"l2": [20.0, 50.0], "prior": [100.0, 200.0, 500.0], "l_f": [1.0, 10.0]},
        ),
        "ESLER, texts' prior": (
            bench.esler,
            {
                "text": [[ENCODER, "tfidf"]],
                "l2": [20.0, 50.0],
                "text_prior": [100.0, 200.0],
                "dropout": [0.2],
                "text_l2": [2.0, 5.0],
                "text_gamma": [0.2],
            },
        ),
    }


def rated(weights: Weights, part: HeldOut) -> dict[str, NDArray[np.float64]]:
    histories = part.histories.matrix
    items, _ = kernels.top_n(histories, weights, 10, exclude=histories)
    return kernels.ranking_metrics(items, part.targets.matrix, METRICS)


def main(data: Path, runs: Path) -> None:
    folder = open_folder(data)
    split = splits.leave_last(folder.interactions)
    bench = Bench(split, folder.catalog)
    counts = split.train.item_counts()
    bucket = np.digitize(counts[split.test.targets.matrix.indices], EDGES)
    rows: dict[str, Any] = {}
    tested: dict[str, dict[str, NDArray[np.float64]]] = {}
    for name, (fit, grid) in arms(bench).items():
        settings = [dict(zip(grid, v, strict=True)) for v in itertools.product(*grid.values())]
        found = []
        for number, params in enumerate(settings):

            def compute(fit: Any = fit, params: dict[str, Any] = params) -> dict[str, Any]:
                figures = rated(fit(**params), split.validation)
                return {metric: float(np.nanmean(rows)) for metric, rows in figures.items()}

            path = runs / f"{name.replace(' ', '_').replace(',', '')}_{number}" / "figures.json"
            found.append(once(path, params, compute))
            print(name, params, f"validation {found[-1]['ndcg@10']:.4f}", flush=True)
        best = max(range(len(found)), key=lambda k: found[k]["ndcg@10"])
        tested[name] = rated(fit(**settings[best]), split.test)
        hits = tested[name]["recall@10"]
        rows[name] = {
            "chosen": settings[best],
            "validation": [(s, f["ndcg@10"]) for s, f in zip(settings, found, strict=True)],
            **{metric: float(np.nanmean(values)) for metric, values in tested[name].items()},
            "hit@10 by count": {
                label: float(np.nanmean(hits[bucket == k])) for k, label in enumerate(BUCKETS)
            },
        }
        print(name, {metric: round(rows[name][metric], 4) for metric in METRICS}, flush=True)
    ours, peer = tested["ESLER, texts' prior"], tested["L3AE"]
    gaps = {metric: paired_interval(ours[metric], peer[metric]) for metric in METRICS}
    for metric, (gap, low, high) in gaps.items():
        print(f"{metric}: {gap:+.4f} of L3AE, 95 % {low:+.4f} to {high:+.4f}")
    targets = {label: int((bucket == k).sum()) for k, label in enumerate(BUCKETS)}
    write_result("text_prior", {"rows": rows, "over L3AE": gaps, "targets": targets})


if __name__ == "__main__":
    root = Path(__file__).parents[1]
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "data", type=Path, nargs="?", default=root.parent / "shared/data/amazon-beauty"
    )
    parser.add_argument("--runs", type=Path, default=root / "build/runs/text_prior")
    given = parser.parse_args()
    main(given.data, given.runs)
