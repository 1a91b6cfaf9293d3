"""The rows of kernels.py about ranking: the best items, and metrics from scores and rankings."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import peers
import workloads
from contest import OURS, Contender, contest

from pyhybrid import kernels

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from scipy.sparse import csr_array

N = 100
USERS = 20_000
METRICS = ("ndcg@100", "recall@20")


def first_users(scale: float, users: int = USERS) -> tuple[csr_array, csr_array]:
    """Return all events, and those of the first users."""
    x = workloads.scaled_events(scale)
    return x, x[: min(max(round(users * scale), 50), x.shape[0])]


def top_n(scale: float, repetitions: int, threads: int) -> dict[str, Any]:
    """Rank for histories by the data's own ESLER weights."""
    x, histories = first_users(scale)
    weights = workloads.weights_of(x, threads)
    task = (histories, weights, N, histories)

    def ours() -> Any:
        return kernels.top_n(histories, weights, N, exclude=histories, threads=threads)

    contenders = {
        OURS: Contender(lambda: ours),
        "numba": Contender(lambda: peers.numba_loops.top_n(*task)),
        "MKL, torch.topk": Contender(lambda: peers.mkl_sparse.top_n(*task)),
        "SciPy, NumPy": Contender(lambda: peers.scipy_numpy.top_n(*task), most=1, warm_up=False),
    }
    return _ranked(contenders, histories, repetitions)


def top_n_factors(dim: int, scale: float, repetitions: int, threads: int) -> dict[str, Any]:
    """Rank by inner products of standard normal vectors."""
    _, histories = first_users(scale)
    users, items = factors(histories, dim)
    task = (users, items, N, histories)

    def ours() -> Any:
        return kernels.top_n_factors(users, items, N, exclude=histories, threads=threads)

    contenders = {
        OURS: Contender(lambda: ours),
        "torch": Contender(lambda: peers.torch_ops.top_n_factors(*task)),
        "implicit": Contender(lambda: peers.implicit_topk.top_n_factors(*task, threads)),
    }
    return {**_ranked(contenders, histories, repetitions), "dim": dim}


def factors(histories: csr_array, dim: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Draw vectors for the rows and the items."""
    random = np.random.default_rng(dim)
    users, items = (random.standard_normal((n, dim), dtype=np.float32) for n in histories.shape)
    return users, items


def _ranked(
    contenders: dict[str, Contender], histories: csr_array, repetitions: int
) -> dict[str, Any]:
    found = contest(contenders, same_rankings, repetitions=repetitions, units=histories.shape[0])
    return {
        "workload": {**workloads.shape_of(histories), "n": N, "excluded": "the histories"},
        "checked": (
            "scores rank by rank, to 1e-5 of the row's largest; lists differ where scores tie"
        ),
        **found,
    }


def same_rankings(ours: tuple[Any, Any], theirs: tuple[Any, Any]) -> dict[str, Any]:
    """Compare rankings: scores rank by rank, and the lists that name the same items."""
    (items, scores), (other_items, other_scores) = ours, theirs
    there = np.isfinite(scores)
    alike = bool(np.array_equal(there, np.isfinite(other_scores)))
    off = np.abs(np.where(there, scores, 0) - np.where(there, other_scores, 0))
    size = np.abs(np.where(there, scores, 0))
    by_row = float((off / np.maximum(size.max(axis=1, keepdims=True), 1e-30)).max())
    identical = (np.where(there, items, -1) == np.where(there, other_items, -1)).all(axis=1)
    return {
        "agrees": alike and by_row <= 1e-5,
        "largest_difference_to_row": by_row,
        "largest_difference_to_score": float((off / np.maximum(size, 1e-30)).max()),
        "identical_lists": float(identical.mean()),
    }


def score_metrics(scale: float, repetitions: int, threads: int) -> dict[str, Any]:
    """Rate a score matrix; targets are 20 % of each user's items, the rest is excluded."""
    _, events = first_users(scale)
    histories, targets = workloads.hold_out(events)
    scores = workloads.noisy_popularity(histories)
    task = (scores, targets, histories)

    def ours() -> Any:
        return kernels.score_metrics(scores, targets, METRICS, exclude=histories, threads=threads)

    contenders = {
        OURS: Contender(lambda: ours),
        "torch": Contender(lambda: peers.torch_ops.score_metrics(*task)),
        "NumPy": Contender(lambda: peers.scipy_numpy.score_metrics(*task)),
        "bare scan of the scores": Contender(lambda: peers.numba_loops.scan(scores), bound=True),
    }
    # Where scores tie, a peer may order the items otherwise.
    return _rated(contenders, targets, repetitions, tied=1e-3)


def ranking_metrics(scale: float, repetitions: int, threads: int) -> dict[str, Any]:
    """Rate given rankings, five times over; ranx and pytrec_eval get them once."""
    _, events = first_users(scale)
    histories, once = workloads.hold_out(events)
    scores = workloads.noisy_popularity(histories)
    best, _ = kernels.top_n_scores(scores, N, exclude=histories, threads=threads)
    del scores
    items, targets = np.tile(best, (5, 1)), workloads.repeated(once, 5)

    def ours() -> Any:
        return kernels.ranking_metrics(items, targets, METRICS, threads=threads)

    def fewer(make: Any) -> Contender:
        return Contender(make, units=len(best))

    contenders = {
        OURS: Contender(lambda: ours),
        "numba": Contender(lambda: peers.numba_loops.ranking_metrics(items, targets)),
        "NumPy": Contender(lambda: peers.scipy_numpy.ranking_metrics(items, targets)),
        "ranx": fewer(lambda: peers.evaluators.ranx(best, once, threads)),
        "pytrec_eval": fewer(lambda: peers.evaluators.pytrec_eval(best, once)),
    }
    return _rated(contenders, targets, repetitions, tied=0)


def _rated(
    contenders: dict[str, Contender], targets: csr_array, repetitions: int, tied: float
) -> dict[str, Any]:
    compare = partial(same_metrics, tied)
    found = contest(contenders, compare, repetitions=repetitions, units=targets.shape[0])
    rows, items = targets.shape
    return {
        "workload": {"rows": rows, "items": items, "targets": targets.nnz, "metrics": METRICS},
        "checked": f"each row's metrics to 1e-9 but for a share of {tied:g}, the same rows nan",
        **found,
    }


def same_metrics(tied: float, ours: dict[str, Any], theirs: dict[str, Any]) -> dict[str, Any]:
    """Compare metrics row by row, over the rows that both have; a share `tied` may differ."""
    largest, alike, unequal = 0.0, True, 0
    for name, values in theirs.items():
        known = ours[name][: len(values)]
        alike &= bool(np.array_equal(np.isnan(known), np.isnan(values)))
        off = np.abs(np.nan_to_num(known) - np.nan_to_num(values))
        largest = max(largest, float(off.max()))
        unequal = max(unequal, int((off > 1e-9).sum()))
    agrees = alike and unequal <= tied * len(values)
    return {"agrees": agrees, "largest_difference": largest, "rows_off_by_1e-9": unequal}
