"""SciPy and NumPy: sparse products, LAPACK's inverse in place, selection by argpartition."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.linalg.lapack import get_lapack_funcs

from peers.parts import CUTOFF, best_chunk, chunks, places, rate

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray
    from scipy.sparse import csr_array

MOST_ITEMS = 24_000  # above, OpenBLAS' threaded spotrf crashes the process


def gram(x: csr_array) -> Callable[[], Any]:
    return lambda: (x.T @ x).toarray()


def inverse_in_place(a: NDArray[Any]) -> Callable[[], Any]:
    """Cholesky and inverse within `a`, of which the upper triangle then holds the inverse."""
    if len(a) > MOST_ITEMS:
        raise ValueError(f"LAPACK's potrf is refused {len(a)} items, expected at most {MOST_ITEMS}")
    potrf, potri = get_lapack_funcs(("potrf", "potri"), (a,))

    def run() -> NDArray[Any]:
        # LAPACK's lower triangle of the Fortran-ordered view is the upper one of `a`.
        factor, failed = potrf(a.T, lower=1, clean=0, overwrite_a=1)
        inverse, failed_too = potri(factor, lower=1, overwrite_c=1)
        if failed or failed_too or not np.shares_memory(inverse, a):
            raise RuntimeError(f"potrf and potri returned {failed} and {failed_too}, or a copy")
        return a

    return run


def numpy_inverse(a: NDArray[np.float32]) -> Callable[[], Any]:
    return lambda: np.linalg.inv(a)


def top_n(
    histories: csr_array, weights: NDArray[np.float32], n: int, exclude: csr_array
) -> Callable[[], Any]:
    def run(rows: int, size: int) -> tuple[NDArray[Any], NDArray[Any]]:
        found = [
            _select(histories[part] @ weights, n, places(exclude, part))
            for part in chunks(rows, size)
        ]
        return tuple(np.concatenate(parts) for parts in zip(*found, strict=True))

    return lambda: run(histories.shape[0], 512)


def score_metrics(
    scores: NDArray[np.float32], targets: csr_array, exclude: csr_array
) -> Callable[[], Any]:
    counts = np.diff(targets.indptr)

    def run(rows: int, size: int) -> dict[str, NDArray[np.float64]]:
        hits = np.empty((rows, CUTOFF), dtype=bool)
        is_target = np.zeros(size * targets.shape[1], dtype=bool)
        for part in chunks(rows, size):
            chunk, masked = scores[part], places(exclude, part)
            held = chunk.reshape(-1)[masked]
            items, _ = _select(chunk, CUTOFF, masked)
            chunk.reshape(-1)[masked] = held
            hits[part] = _hits(items, is_target, places(targets, part), targets.shape[1])
        return rate(hits, counts[:rows])

    return best_chunk(run, len(scores))


def ranking_metrics(items: NDArray[np.int32], targets: csr_array) -> Callable[[], Any]:
    counts = np.diff(targets.indptr)

    def run(rows: int, size: int) -> dict[str, NDArray[np.float64]]:
        hits = np.empty((rows, CUTOFF), dtype=bool)
        is_target = np.zeros(size * targets.shape[1], dtype=bool)
        for part in chunks(rows, size):
            hits[part] = _hits(items[part], is_target, places(targets, part), targets.shape[1])
        return rate(hits, counts[:rows])

    return best_chunk(run, len(items))


def _select(
    scores: NDArray[np.float32], n: int, masked: NDArray[np.int64]
) -> tuple[NDArray[Any], NDArray[Any]]:
    scores.reshape(-1)[masked] = -np.inf
    best = np.argpartition(scores, -n, axis=1)[:, -n:]
    found = np.take_along_axis(scores, best, axis=1)
    order = np.argsort(-found, axis=1)
    return np.take_along_axis(best, order, axis=1), np.take_along_axis(found, order, axis=1)


def _hits(
    items: NDArray[Any], is_target: NDArray[np.bool_], held: NDArray[np.int64], n_items: int
) -> NDArray[np.bool_]:
    is_target[held] = True
    hits = is_target[items + n_items * np.arange(len(items))[:, None]]
    is_target[held] = False
    return hits
