"""numba: loops compiled for this machine, rows dealt out to the threads like cards."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numba import get_num_threads, njit, prange
from scipy.sparse import csr_array

from peers.parts import CUTOFF, DISCOUNTS, IDEAL, RECALL

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

# No score is nan, and sums may be reordered; -inf occurs, so that "ninf" must stay away.
FAST = {"nnan", "nsz", "reassoc", "contract"}


def gram_full(x: csr_array, out: NDArray[np.float32]) -> Callable[[], Any]:
    """Gustavson's rows, all entries; the weights are taken to be ones."""

    def run() -> NDArray[np.float32]:
        columns = x.tocsc()
        arrays = (columns.indptr, columns.indices, x.indptr, x.indices)
        return _gram_full(*arrays, out, get_num_threads())

    return run


def gram_half(x: csr_array, out: NDArray[np.float32]) -> Callable[[], Any]:
    """Gustavson's rows from the diagonal on, then mirrored; the weights are taken to be ones."""

    def run() -> NDArray[np.float32]:
        entries = np.arange(x.nnz, dtype=np.int32)  # tells where in its row an entry stands
        columns = csr_array((entries, x.indices, x.indptr), shape=x.shape).tocsc()
        arrays = (columns.indptr, columns.indices, columns.data, x.indptr, x.indices)
        _gram_upper(*arrays, out, get_num_threads())
        return _mirror(out, get_num_threads())

    return run


@njit(parallel=True)
def _gram_full(starts, users, indptr, indices, out, threads):
    for thread in prange(threads):
        for item in range(thread, len(out), threads):
            row = out[item]
            row[:] = 0
            for user in users[starts[item] : starts[item + 1]]:
                for other in indices[indptr[user] : indptr[user + 1]]:
                    row[other] += np.float32(1)
    return out


@njit(parallel=True)
def _gram_upper(starts, users, entries, indptr, indices, out, threads):
    for thread in prange(threads):
        for item in range(thread, len(out), threads):
            row = out[item]
            row[item:] = 0
            for k in range(starts[item], starts[item + 1]):
                for other in indices[entries[k] : indptr[users[k] + 1]]:
                    row[other] += np.float32(1)


@njit(parallel=True)
def _mirror(out, threads):
    blocks = (len(out) + 63) // 64
    for thread in prange(threads):
        for block in range(thread, blocks, threads):
            top, bottom = 64 * block, min(64 * block + 64, len(out))
            for left in range(0, top + 1, 64):
                for i in range(top, bottom):
                    for j in range(left, min(left + 64, i)):
                        out[i, j] = out[j, i]
    return out


def top_n(
    histories: csr_array, weights: NDArray[np.float32], n: int, exclude: csr_array
) -> Callable[[], Any]:
    rows = histories.shape[0]
    items = np.empty((rows, n), dtype=np.int32)
    scores = np.empty((rows, n), dtype=np.float32)
    history = (histories.indptr, histories.indices, histories.data)
    excluded = (exclude.indptr, exclude.indices)
    return lambda: _top_n(*history, weights, *excluded, items, scores, get_num_threads())


@njit(parallel=True, fastmath=FAST)
def _top_n(indptr, indices, data, weights, out_starts, out_indices, items, scores, threads):
    for thread in prange(threads):
        row = np.empty(len(weights), dtype=np.float32)
        for user in range(thread, len(items), threads):
            _score(row, indices[indptr[user] : indptr[user + 1]], data[indptr[user] :], weights)
            for item in out_indices[out_starts[user] : out_starts[user + 1]]:
                row[item] = -np.inf
            _select(row, items[user], scores[user])
    return items, scores


@njit(fastmath=FAST)
def _score(row, history, data, weights):
    """Add up the history's rows of weights, four at a time."""
    row[:] = 0
    whole = len(history) // 4 * 4
    for k in range(0, whole, 4):
        a, b = weights[history[k]], weights[history[k + 1]]
        c, d = weights[history[k + 2]], weights[history[k + 3]]
        # In locals, as the compiler must fear that writing to the row changes the data.
        by_a, by_b, by_c, by_d = data[k], data[k + 1], data[k + 2], data[k + 3]
        for i in range(len(row)):
            row[i] += by_a * a[i] + by_b * b[i] + by_c * c[i] + by_d * d[i]
    for k in range(whole, len(history)):
        a, by_a = weights[history[k]], data[k]
        for i in range(len(row)):
            row[i] += by_a * a[i]


@njit(fastmath=FAST)
def _select(row, items, scores):
    """Keep the best in a heap whose root is the worst kept; look only into blocks that beat it."""
    items[:] = -1
    scores[:] = -np.inf
    for first in range(0, len(row), 64):
        block = row[first : first + 64]
        best = np.float32(-np.inf)
        for i in range(len(block)):
            best = max(best, block[i])
        if best > scores[0]:
            for i in range(len(block)):
                if block[i] > scores[0]:
                    _sift(items, scores, np.int32(first + i), block[i], len(items))
    for last in range(len(items) - 1, 0, -1):  # the worst goes last: the heap becomes sorted
        item, score = items[last], scores[last]
        items[last], scores[last] = items[0], scores[0]
        _sift(items, scores, item, score, last)


@njit
def _sift(items, scores, item, score, size):
    """Replace the root of a heap, the worst kept, and let the new one sink."""
    at = 0
    while 2 * at + 1 < size:
        child = 2 * at + 1
        if child + 1 < size and _worse(items, scores, child + 1, child):
            child += 1
        if scores[child] > score or (scores[child] == score and items[child] < item):
            break
        items[at], scores[at] = items[child], scores[child]
        at = child
    items[at], scores[at] = item, score


@njit
def _worse(items, scores, a, b):
    return scores[a] < scores[b] or (scores[a] == scores[b] and items[a] > items[b])


def ranking_metrics(items: NDArray[np.int32], targets: csr_array) -> Callable[[], Any]:
    values = np.empty((2, len(items)))
    arrays = (items, targets.indptr, targets.indices, targets.shape[1], values, DISCOUNTS, IDEAL)

    def run() -> dict[str, NDArray[np.float64]]:
        ndcg, recall = _ranking_metrics(*arrays, get_num_threads())
        return {"ndcg@100": ndcg, "recall@20": recall}

    return run


@njit(parallel=True, error_model="numpy")
def _ranking_metrics(items, indptr, indices, n_items, values, discounts, ideal, threads):
    for thread in prange(threads):
        is_target = np.zeros(n_items, dtype=np.bool_)
        for row in range(thread, len(items), threads):
            held = indices[indptr[row] : indptr[row + 1]]
            for item in held:
                is_target[item] = True
            dcg, hits = 0.0, 0
            for rank in range(CUTOFF):
                if is_target[items[row, rank]]:
                    dcg += discounts[rank]
                    hits += rank < RECALL
            for item in held:
                is_target[item] = False
            found = len(held)
            values[0, row] = dcg / ideal[min(found, CUTOFF)] if found else np.nan
            values[1, row] = hits / found if found else np.nan
    return values


def scan(scores: NDArray[np.float32]) -> Callable[[], Any]:
    """Read all scores once, for their maximum: what memory allows."""
    return lambda: _scan(scores, get_num_threads())


@njit(parallel=True, fastmath=FAST)
def _scan(scores, threads):
    best = np.full(threads, -np.inf, dtype=np.float32)
    for thread in prange(threads):
        largest = np.float32(-np.inf)
        for row in range(thread, len(scores), threads):
            for value in scores[row]:
                largest = max(largest, value)
        best[thread] = largest
    return best.max()
