"""PyTorch on the CPU: codes by batched gemm and argmin, sums of table rows by embedding_bag."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from peers.parts import best_chunk, chunks

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray


def encode(vectors: NDArray[np.float32], centroids: NDArray[np.float32]) -> Callable[[], Any]:
    parts, entries, dim = centroids.shape
    everything = torch.from_numpy(vectors)
    turned = torch.from_numpy(centroids).transpose(1, 2).contiguous()  # (parts, dim, entries)
    halves = (turned**2).sum(1, keepdim=True) / 2

    def run(rows: int, size: int) -> NDArray[np.uint8]:
        codes = torch.empty((rows, parts), dtype=torch.uint8)
        scores = torch.empty((parts, size, entries))
        for part in chunks(rows, size):
            count = part.stop - part.start
            chunk = everything[part].view(count, parts, dim).transpose(0, 1)
            out = scores[:, :count] if count == size else torch.empty((parts, count, entries))
            torch.baddbmm(halves, chunk, turned, alpha=-1, out=out)
            codes[part] = out.argmin(2).T.to(torch.uint8)
        return codes.numpy()

    return best_chunk(run, len(vectors))


def lookup(table: NDArray[np.float32], codes: NDArray[np.uint8]) -> Callable[[], Any]:
    rows, places = _rows(table), _places(table, codes)
    return lambda: torch.nn.functional.embedding_bag(places, rows, mode="sum").numpy()


def lookup_gradient(
    table: NDArray[np.float32], codes: NDArray[np.uint8], gradient: NDArray[np.float32]
) -> Callable[[], Any]:
    rows, places = _rows(table).requires_grad_(), _places(table, codes)
    sums = torch.nn.functional.embedding_bag(places, rows, mode="sum")
    given = torch.from_numpy(gradient)

    def run() -> NDArray[np.float32]:
        (found,) = torch.autograd.grad(sums, rows, given, retain_graph=True)
        return found.numpy().reshape(table.shape)

    return run


def _rows(table: NDArray[np.float32]) -> torch.Tensor:
    return torch.from_numpy(table.reshape(-1, table.shape[2]))


def _places(table: NDArray[np.float32], codes: NDArray[np.uint8]) -> torch.Tensor:
    return torch.from_numpy(codes + np.arange(len(table)) * table.shape[1])
