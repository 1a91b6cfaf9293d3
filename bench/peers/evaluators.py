"""ranx and pytrec_eval: evaluation from dictionaries, which are made beforehand, untimed."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray
    from scipy.sparse import csr_array


def ranx(items: NDArray[np.int32], targets: csr_array, threads: int) -> Callable[[], Any]:
    package = import_module("ranx")
    held, ranked = _dictionaries(items, targets)
    qrels, run = package.Qrels(held), package.Run({row: ranked[row] for row in held})
    names = ["ndcg@100", "recall@20"]

    def evaluate() -> dict[str, NDArray[np.float64]]:
        values = package.evaluate(qrels, run, names, return_mean=False, threads=threads)
        return {name: _all_rows(list(held), values[name], len(items)) for name in names}

    return evaluate


def pytrec_eval(items: NDArray[np.int32], targets: csr_array) -> Callable[[], Any]:
    package = import_module("pytrec_eval")
    held, ranked = _dictionaries(items, targets)
    evaluator = package.RelevanceEvaluator(held, {"ndcg_cut.100", "recall.20"})
    names = {"ndcg@100": "ndcg_cut_100", "recall@20": "recall_20"}

    def evaluate() -> dict[str, NDArray[np.float64]]:
        rows = evaluator.evaluate(ranked)
        return {
            ours: _all_rows(list(rows), [row[theirs] for row in rows.values()], len(items))
            for ours, theirs in names.items()
        }

    return evaluate


def _dictionaries(items: NDArray[np.int32], targets: csr_array) -> tuple[dict, dict]:
    """Name the rows by zero-padded numbers; a row without targets is left out of the held."""
    names = [str(item) for item in range(targets.shape[1])]
    ranked = {
        f"{row:08}": {names[item]: float(len(best) - rank) for rank, item in enumerate(best)}
        for row, best in enumerate(items.tolist())
    }
    held = {
        f"{row:08}": {names[item]: 1 for item in targets.indices[start:end].tolist()}
        for row, (start, end) in enumerate(
            zip(targets.indptr[:-1], targets.indptr[1:], strict=True)
        )
        if end > start
    }
    return held, ranked


def _all_rows(rows: list[str], values: Any, size: int) -> NDArray[np.float64]:
    everything = np.full(size, np.nan)
    everything[[int(row) for row in rows]] = values
    return everything
