"""Intel's MKL through sparse_dot_mkl."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from sparse_dot_mkl import dot_product_mkl, gram_matrix_mkl

from peers.parts import best_chunk, chunks
from peers.torch_ops import select

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray
    from scipy.sparse import csr_array


def gram_csr(x: csr_array, out: NDArray[np.float32]) -> Callable[[], Any]:
    """Multiply the transpose, turned into a CSR, by `x`."""
    return lambda: dot_product_mkl(x.T.tocsr(), x, dense=True, out=out)


def gram_csc(x: csr_array, out: NDArray[np.float32]) -> Callable[[], Any]:
    """Multiply the transpose, a CSC that shares the arrays of `x`, by `x`."""
    return lambda: dot_product_mkl(x.T, x, dense=True, out=out)


def gram_syrkd(x: csr_array, out: NDArray[np.float32]) -> Callable[[], Any]:
    """Compute the upper triangle only."""
    return lambda: gram_matrix_mkl(x, dense=True, out=out, out_scalar=0.0)


def top_n(
    histories: csr_array, weights: NDArray[np.float32], n: int, exclude: csr_array
) -> Callable[[], Any]:
    """Multiply chunks of histories, then mask and select with torch."""

    def run(rows: int, size: int) -> tuple[NDArray[Any], NDArray[Any]]:
        items = torch.empty((rows, n), dtype=torch.int64)
        scores = torch.empty((rows, n))
        buffer = np.empty((size, weights.shape[1]), dtype=np.float32)
        for part in chunks(rows, size):
            out = buffer[: part.stop - part.start]
            dot_product_mkl(histories[part], weights, out=out, out_scalar=0.0)
            select(torch.from_numpy(out), n, exclude, part, (scores[part], items[part]))
        return items.numpy(), scores.numpy()

    return best_chunk(run, histories.shape[0])
