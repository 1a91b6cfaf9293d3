"""What several peers share: chunks of rows, where a CSR's entries lie in them, DCG's constants."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray
    from scipy.sparse import csr_array

CUTOFF, RECALL = 100, 20  # NDCG@100 and Recall@20
CHUNKS = (128, 512, 2048)
DISCOUNTS = 1 / np.log2(np.arange(2, CUTOFF + 2))
IDEAL = np.concatenate([[np.inf], np.cumsum(DISCOUNTS)])  # by number of targets


def chunks(rows: int, size: int) -> Iterator[slice]:
    for first in range(0, rows, size):
        yield slice(first, min(first + size, rows))


def places(x: csr_array, rows: slice) -> NDArray[np.int64]:
    """Return the flat places of some rows' entries in a dense chunk of these rows."""
    lengths = np.diff(x.indptr[rows.start : rows.stop + 1])
    starts = np.repeat(np.arange(len(lengths), dtype=np.int64) * x.shape[1], lengths)
    return starts + x.indices[x.indptr[rows.start] : x.indptr[rows.stop]]


def best_chunk(run: Callable[[int, int], Any], rows: int) -> Callable[[], Any]:
    """Return ``run(rows, size)`` with the chunk size that is fastest on the first rows."""
    some = min(rows, 4096)
    taken = {}
    for size in CHUNKS:
        run(some, size)
        started = time.perf_counter()
        run(some, size)
        taken[size] = time.perf_counter() - started
    fastest = min(taken, key=taken.__getitem__)
    return lambda: run(rows, fastest)


def rate(hits: NDArray[np.bool_], targets: NDArray[Any]) -> dict[str, NDArray[np.float64]]:
    """Compute NDCG@100 and Recall@20 from hits (rows, 100) and numbers of targets; 0/0 is nan."""
    with np.errstate(invalid="ignore", divide="ignore"):
        ndcg = (hits @ DISCOUNTS) / IDEAL[np.minimum(targets, CUTOFF)]
        recall = hits[:, :RECALL].sum(axis=1) / targets
    return {"ndcg@100": np.where(targets > 0, ndcg, np.nan), "recall@20": recall}
