"""PyTorch on the CPU: its LAPACK, its gemm and its topk."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from peers.parts import CUTOFF, best_chunk, chunks, places, rate

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray
    from scipy.sparse import csr_array


def inverse(a: NDArray[np.float32]) -> Callable[[], Any]:
    matrix = torch.from_numpy(a)
    factor = torch.empty_like(matrix)
    out = torch.empty_like(matrix)

    def run() -> NDArray[np.float32]:
        torch.linalg.cholesky(matrix, out=factor)
        return torch.cholesky_inverse(factor, out=out).numpy()

    return run


def top_n_factors(
    users: NDArray[np.float32], items: NDArray[np.float32], n: int, exclude: csr_array
) -> Callable[[], Any]:
    queries, vectors = torch.from_numpy(users), torch.from_numpy(items).T

    def run(rows: int, size: int) -> tuple[NDArray[Any], NDArray[Any]]:
        found = torch.empty((rows, n), dtype=torch.int64)
        scores = torch.empty((rows, n))
        buffer = torch.empty((size, len(items)))
        for part in chunks(rows, size):
            chunk = torch.mm(queries[part], vectors, out=buffer[: part.stop - part.start])
            select(chunk, n, exclude, part, (scores[part], found[part]))
        return found.numpy(), scores.numpy()

    return best_chunk(run, len(users))


def score_metrics(
    scores: NDArray[np.float32], targets: csr_array, exclude: csr_array
) -> Callable[[], Any]:
    """Mask, select and look up the hits chunk by chunk; what was masked is put back."""
    everything = torch.from_numpy(scores)
    counts = np.diff(targets.indptr)

    def run(rows: int, size: int) -> dict[str, NDArray[np.float64]]:
        hits = torch.empty((rows, CUTOFF), dtype=torch.bool)
        is_target = torch.zeros((size, targets.shape[1]), dtype=torch.bool)
        best = torch.empty((size, CUTOFF)), torch.empty((size, CUTOFF), dtype=torch.int64)
        for part in chunks(rows, size):
            chunk, here = everything[part], part.stop - part.start
            masked = places(exclude, part)
            held = scores[part].reshape(-1)[masked]
            select(chunk, CUTOFF, exclude, part, (best[0][:here], best[1][:here]))
            scores[part].reshape(-1)[masked] = held
            marks = places(targets, part)
            is_target.view(-1).numpy()[marks] = True
            torch.gather(is_target[:here], 1, best[1][:here], out=hits[part])
            is_target.view(-1).numpy()[marks] = False
        return rate(hits.numpy(), counts[:rows])

    return best_chunk(run, len(scores))


def select(
    scores: torch.Tensor, n: int, exclude: csr_array, rows: slice, out: tuple[torch.Tensor, ...]
) -> None:
    """Mask a chunk of scores in place, and write the best scores and items to `out`."""
    scores.view(-1).numpy()[places(exclude, rows)] = -np.inf  # faster than torch's own indexing
    torch.topk(scores, n, dim=1, out=out)
