"""Embeddings of items by their product-quantisation codes; needs torch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from pyhybrid import kernels

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray
    from torch import Tensor

__all__ = ["CodeEmbedding", "ItemCodes", "look_up"]

_INITIAL_DEVIATION = 0.02


class CodeEmbedding(nn.Module):
    """Embed an item as the mean of the table rows that its code names.

    Y. Hou, Z. He, J. McAuley, W. X. Zhao, "Learning Vector-Quantized Item Representation for
    Transferable Sequential Recommenders" (VQ-Rec), WWW 2023, eq. 3. Each part has rows of its own,
    so that items share an embedding's parts where their texts are alike, and what a part stands for
    is learned anew in each domain.

    Args:
        parts: Parts of a code.
        entries: Rows a part, at most 256.
        dim: Of the embeddings.

    >>> embedding = CodeEmbedding(parts=2, entries=16, dim=8)
    >>> embedding(torch.zeros(5, 2, dtype=torch.uint8)).shape
    torch.Size([5, 8])
    """

    def __init__(self, *, parts: int, entries: int, dim: int) -> None:
        super().__init__()
        self.table = nn.Parameter(torch.empty(parts, entries, dim))
        nn.init.normal_(self.table, std=_INITIAL_DEVIATION)

    def forward(self, codes: Tensor) -> Tensor:
        """Return embeddings (rows, dim) of codes uint8 (rows, parts)."""
        return look_up(self.table, codes)


class ItemCodes(nn.Module):
    """Hold a catalogue's codes and what made them; nothing here is trained.

    Part of the network, and so of its checkpoints: a run that goes on has the codes that it began
    with, even where its quantiser would now come out otherwise in some bit.

    Args:
        codes: uint8 (items, parts).
        is_warm: bool (items,), the items that are trained on.
        quantizer: The arrays of the `ProductQuantizer` that made the codes, by name.
    """

    codes: Tensor
    warm: Tensor
    place: Tensor
    kind: Tensor

    def __init__(
        self,
        codes: NDArray[np.uint8],
        is_warm: NDArray[np.bool_],
        quantizer: Mapping[str, NDArray[np.float32]],
    ) -> None:
        super().__init__()
        warm = np.flatnonzero(is_warm)
        # Where an item, numbered from 1, stands among the warm ones, numbered from 1; 0 for none.
        place = np.zeros(1 + len(codes), dtype=np.int64)
        place[1 + warm] = 1 + np.arange(len(warm))
        # Which items have one code: those of one kind.
        kind = np.unique(codes, axis=0, return_inverse=True)[1].reshape(-1)
        self.quantizer_names = list(quantizer)
        arrays = {"codes": codes, "warm": codes[warm], "place": place, "kind": kind, **quantizer}
        for name, array in arrays.items():
            self.register_buffer(name, torch.from_numpy(array))

    def quantizer_arrays(self) -> dict[str, NDArray[np.float32]]:
        """Return the arrays of the quantizer, by name."""
        return {name: getattr(self, name).cpu().numpy() for name in self.quantizer_names}


def look_up(table: Tensor, codes: Tensor) -> Tensor:
    """Average the rows of a table that codes name, with a gradient to the table.

    On a CPU, for a float32 table, the core computes both (`pyhybrid.kernels.pq_lookup`); elsewhere
    torch's ``embedding_bag``.

    Args:
        table: (parts, entries, dim).
        codes: uint8 (rows, parts), on the table's device.

    Returns:
        (rows, dim).

    Raises:
        ValueError: If shapes disagree, or, on a CPU, a code names no entry.
    """
    if table.device.type == "cpu" and table.dtype == torch.float32:
        return _LookUp.apply(table, codes)  # type: ignore[no-any-return,no-untyped-call]
    parts, entries, dim = table.shape
    first_rows = torch.arange(parts, device=table.device) * entries  # (parts,)
    places = codes.long() + first_rows  # (rows, parts)
    return functional.embedding_bag(places, table.reshape(-1, dim), mode="mean")


class _LookUp(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, table: Tensor, codes: Tensor) -> Tensor:
        ctx.save_for_backward(codes)
        ctx.entries = table.shape[1]
        threads = torch.get_num_threads()
        sums = kernels.pq_lookup(
            table.detach().contiguous().numpy(),
            codes.contiguous().numpy(),
            mean=True,
            threads=threads,
        )
        return torch.from_numpy(sums)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        (codes,) = ctx.saved_tensors
        found = kernels.pq_lookup_gradient(
            gradients[0].contiguous().numpy(),
            codes.contiguous().numpy(),
            ctx.entries,
            mean=True,
            threads=torch.get_num_threads(),
        )
        return torch.from_numpy(found), None
