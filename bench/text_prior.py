"""Texts in closed form on three data sets: ESLER with and without a text prior, L3AE, text alone.

    python bench/text_prior.py [amazon-beauty lastfm-hetrec goodreads-once] [--runs ...]

Amazon Beauty and Goodreads: each user's last item is to be found among all; models are fitted on
all but the last two and rated with the history of all before it. Last.fm: its published test part;
a seeded tenth of each user's train part is held out from the fit. Texts: titles and categories;
artists' names and titles of books, with what a language model wrote of them.

Each arm is tuned the same way by NDCG@10 on the held-out part: from given settings, one parameter
after the other (ours: the kernel and its ridge together) takes the best of its values, twice
around. L3AE is written here as its authors have it, a linear kernel over the texts' vectors, exact.
Beside MiniLM's vectors as they are it may choose centred ones, and in an arm of its own these with
TF-IDF's beside them, which ours reads. Text alone is its first phase (EASE over the embeddings).
Each fit's figure is kept under --runs; interrupted, the script goes on where it was.
"""

from __future__ import annotations

import argparse
import itertools
import re
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from results import once, write_result
from scipy.linalg.lapack import spotrf, spotri

from pyhybrid import ESLER, Split, kernels
from pyhybrid.comparison import paired_interval
from pyhybrid.data import splits
from pyhybrid.data.matrices import rows_of
from pyhybrid.data.readers import open_folder
from pyhybrid.models.item_texts import item_texts, text_vectors
from pyhybrid.text import TfidfEncoder
from pyhybrid.text.by_name import encode_by_name
from pyhybrid.text.encoders import unit_rows

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from pyhybrid import Catalog, HeldOut

    Weights = NDArray[np.float32]
    Arm = tuple[Callable[..., Weights], dict[str, Any], list[list[dict[str, Any]]]]

METRICS = ("recall@10", "ndcg@10")
BUCKETS = ("0", "1-5", "6-20", "more")
EDGES = (1, 6, 21)
MINILM, TFIDF = "all-MiniLM-L6-v2", "with TF-IDF"
OURS, PEERS = "ESLER, texts' prior", ("L3AE", "L3AE with TF-IDF")


def beauty(data: Path) -> tuple[Split, Catalog, list[str]]:
    folder = open_folder(data / "amazon-beauty")
    return splits.leave_last(folder.interactions), folder.catalog, []


def lastfm(data: Path) -> tuple[Split, Catalog, list[str]]:
    folder = open_folder(data / "lastfm-hetrec/colakg")
    assert folder.split is not None
    tenth = splits.random(folder.split.train, test=0.1, validation=0, seed=0)
    return Split(tenth.train, folder.split.test, tenth.test), folder.catalog, ["description"]


def goodreads(data: Path) -> tuple[Split, Catalog, list[str]]:
    folder = open_folder(data / "goodreads-once")
    return splits.leave_last(folder.interactions), folder.catalog, ["llm_description"]


SETS = {"amazon-beauty": beauty, "lastfm-hetrec": lastfm, "goodreads-once": goodreads}


class Bench:
    """Hold what all arms share: the data, their Gram matrix, and the texts' vectors."""

    def __init__(self, split: Split, catalog: Catalog, fields: list[str]) -> None:
        self.split, self.catalog, self.fields = split, catalog, fields
        self.gram = kernels.gram(split.train.matrix)
        self.is_known = split.train.item_counts() > 0
        self.texts = item_texts("bench", catalog, split.train.item_ids, fields)
        known = np.concatenate([texts[self.is_known] for texts in self.texts])
        self.tfidf = TfidfEncoder(512).fit(known.tolist())  # once for all fits
        self.first_phase = lru_cache(maxsize=2)(self._first_phase)
        self.inverse = lru_cache(maxsize=1)(lambda l2: _inverse(self.gram.copy(), l2))

    def esler(self, **params: Any) -> Weights:
        """Fit the library's model; its weights on all items, zero where it has none."""
        if "text_l2" in params:
            params |= {"text": [MINILM, self.tfidf], "augmentations": self.fields}
            # The prior alone: known items' columns are not completed, and new ones are as far up
            # as they were when the table was made.
            params |= {"text_worth": 1e-3, "text_scale": 2.0 / 0.7, "text_landmarks": 2000}
        model = ESLER(**params).fit(self.split.train, self.catalog)
        n = len(model.item_ids)
        weights = np.zeros((n, n), dtype=np.float32)
        weights[np.ix_(model.learned, model.rankable)] = model.weights
        return weights

    def vectors(self, name: str) -> Weights:
        """Encode the texts: by MiniLM as it is, or centred, or centred with TF-IDF's beside it."""
        if name == MINILM:
            parts = [
                encode_by_name(MINILM, texts, self.is_known, dim=0, seed=0) for texts in self.texts
            ]
            return unit_rows(np.hstack([unit_rows(part) for part in parts]))
        encoders = [MINILM, self.tfidf] if name == TFIDF else [MINILM]
        return text_vectors(encoders, self.texts, self.is_known, seed=0)

    def semantic(self, texts: str, l_f: float) -> Weights:
        """L3AE's first phase: C = I - P1 diag(1 / diag P1)."""
        vectors, right, diagonal = self.first_phase(texts, l_f)
        c = vectors @ right.T
        c /= (l_f * diagonal).astype(np.float32)
        np.fill_diagonal(c, 0)
        return c

    def _first_phase(self, texts: str, l_f: float) -> tuple[Weights, Weights, NDArray[np.float64]]:
        """Return F, R and the diagonal of P1 = (F F^T + l_f I)^-1 = (I - F R^T) / l_f."""
        vectors = self.vectors(texts)
        wide = vectors.astype(np.float64)
        inner = wide.T @ wide + l_f * np.eye(wide.shape[1])
        right = np.linalg.solve(inner, wide.T).T
        diagonal = (1 - np.einsum("ij,ij->i", wide, right)) / l_f
        return vectors, right.astype(np.float32), diagonal

    def l3ae(self, texts: str, l2: float, prior: float, l_f: float) -> Weights:
        """L3AE's second phase, with P2 = (G + (l2 + prior) I)^-1."""
        vectors, right, diagonal = self.first_phase(texts, l_f)
        inverse = self.inverse(l2 + prior)
        # P2 C = P2 - P2 P1 diag(1 / diag P1), where P2 P1 = (P2 - (P2 F) R^T) / l_f
        weights = (inverse @ vectors) @ right.T
        weights -= inverse
        weights /= (l_f * diagonal).astype(np.float32)
        weights += inverse
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


L2 = [5.0, 10.0, 20.0, 50.0, 100.0, 200.0]
PRIOR = [10.0, 20.0, 50.0, 100.0, 200.0, 500.0]
L_F = [0.3, 1.0, 3.0, 10.0, 50.0]


def values(**lists: list[Any]) -> list[dict[str, Any]]:
    """Return each combination of values of some parameters."""
    return [dict(zip(lists, some, strict=True)) for some in itertools.product(*lists.values())]


LINEAR = [values(l2=L2), values(prior=PRIOR), values(l_f=L_F)]


def arms(bench: Bench) -> dict[str, Arm]:
    """Name what gives an arm's weights, its first settings, and what it chooses after what."""
    l3ae = {"texts": MINILM, "l2": 50.0, "prior": 200.0, "l_f": 1.0}
    ours = {
        "l2": 50.0,
        "dropout": 0.2,
        "text_prior": 200.0,
        "text_l2": 2.0,
        "text_gamma": 0.2,
    }
    return {
        "ESLER": (bench.esler, {"l2": 50.0}, [values(l2=L2)]),
        "ESLER, dropout": (
            bench.esler,
            {"l2": 50.0, "dropout": 0.2},
            [values(l2=L2), values(dropout=[0.1, 0.2, 0.33])],
        ),
        "text alone": (
            bench.semantic,
            {"texts": MINILM, "l_f": 1.0},
            [values(texts=[MINILM, "centred", TFIDF]), values(l_f=L_F)],
        ),
        PEERS[0]: (bench.l3ae, l3ae, [values(texts=[MINILM, "centred"]), *LINEAR]),
        PEERS[1]: (bench.l3ae, l3ae | {"texts": TFIDF}, LINEAR),
        OURS: (
            bench.esler,
            ours,
            [
                values(l2=L2),
                values(text_prior=PRIOR),
                # Together, as the ridge means something else with each kernel.
                values(text_gamma=[0.0, 0.1, 0.2], text_l2=[0.5, 1.0, 2.0, 5.0]),
                values(dropout=[0.0, 0.1, 0.2, 0.33]),
            ],
        ),
    }


def tuned(
    settings: dict[str, Any],
    steps: list[list[dict[str, Any]]],
    rate: Callable[[dict[str, Any]], float],
) -> dict[str, Any]:
    """Let one parameter after the other take its best value, twice around."""
    for step in steps * (1 if len(steps) == 1 else 2):
        settings = max(({**settings, **change} for change in step), key=rate)
    return settings


def rated(weights: Weights, part: HeldOut) -> tuple[dict[str, NDArray[np.float64]], NDArray[Any]]:
    """Return the metrics, (users,) each, and which targets are among the first 10, (targets,)."""
    histories, targets = part.histories.matrix, part.targets.matrix
    items, _ = kernels.top_n(histories, weights, 10, exclude=histories)
    rows = rows_of(targets.indptr)
    is_hit = (items[rows] == targets.indices[:, None]).any(axis=1)
    return kernels.ranking_metrics(items, targets, METRICS), is_hit


def compared(name: str, data: Path, runs: Path) -> dict[str, Any]:
    """Tune all arms on a data set, and rate each once on its test part."""
    split, catalog, fields = SETS[name](data)
    bench = Bench(split, catalog.select(split.train.item_ids), fields)
    counts = split.train.item_counts()
    bucket = np.digitize(counts[split.test.targets.matrix.indices], EDGES)
    rows: dict[str, Any] = {}
    tested: dict[str, dict[str, NDArray[np.float64]]] = {}
    for arm, (fit, first, steps) in arms(bench).items():
        tried: dict[str, tuple[dict[str, Any], float]] = {}

        def rate(
            params: dict[str, Any], arm: str = arm, fit: Any = fit, tried: Any = tried
        ) -> float:
            def compute() -> dict[str, Any]:
                figures, _ = rated(fit(**params), split.validation)
                return {metric: float(np.nanmean(users)) for metric, users in figures.items()}

            label = re.sub(r"[^\w.-]+", "_", f"{arm} {' '.join(map(str, params.values()))}")
            found = once(runs / name / label / "figures.json", params, compute)["ndcg@10"]
            if label not in tried:
                tried[label] = (params, found)
                print(name, arm, params, f"validation {found:.4f}", flush=True)
            return float(found)

        chosen = tuned(first, steps, rate)
        tested[arm], is_hit = rated(fit(**chosen), split.test)
        rows[arm] = {
            "chosen": chosen,
            "validation": list(tried.values()),
            **{metric: float(np.nanmean(values)) for metric, values in tested[arm].items()},
            "hits by count": {
                label: float(is_hit[bucket == k].mean())
                for k, label in enumerate(BUCKETS)
                if (bucket == k).any()
            },
        }
        print(name, arm, {metric: round(rows[arm][metric], 4) for metric in METRICS}, flush=True)
    gaps = {
        peer: {
            metric: paired_interval(tested[OURS][metric], tested[peer][metric])
            for metric in METRICS
        }
        for peer in PEERS
    }
    for peer, found in gaps.items():
        for metric, (gap, low, high) in found.items():
            print(f"{name} {metric}: {gap:+.4f} of {peer}, 95 % {low:+.4f} to {high:+.4f}")
    targets = {label: int((bucket == k).sum()) for k, label in enumerate(BUCKETS)}
    shape = {"users": split.test.targets.n_users, "items": split.train.n_items}
    return {**shape, "rows": rows, "ours over": gaps, "targets": targets}


def main(names: list[str], data: Path, runs: Path) -> None:
    write_result("text_prior", {"sets": {name: compared(name, data, runs) for name in names}})


if __name__ == "__main__":
    root = Path(__file__).parents[1]
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", choices=SETS, metavar="NAME", default=list(SETS))
    parser.add_argument("--data", type=Path, default=root.parent / "shared/data")
    parser.add_argument("--runs", type=Path, default=root / "build/runs/text_prior")
    given = parser.parse_args()
    main(given.names, given.data, given.runs)
