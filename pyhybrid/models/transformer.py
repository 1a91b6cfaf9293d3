"""The causal Transformer that encodes a sequence of embedded items; needs torch.

A. Vaswani et al., "Attention Is All You Need", NeurIPS 2017, as SASRec uses it: each layer's input
is normalised, its output dropped out and added to the input (Kang & McAuley 2018, section III-B):

    x <- x + Dropout(Attention(LayerNorm(x)))
    x <- x + Dropout(FFN(LayerNorm(x))),   FFN(x) = ReLU(x W1 + b1) W2 + b2    (eq. 4)
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F  # noqa: N812
from torch import nn

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

__all__ = ["SequenceEncoder", "states_at"]

_INITIAL_DEVIATION = 0.02
_SHORT = 8  # positions: rows of no more are encoded together


class SequenceEncoder(nn.Module):
    """Encode each position of sequences of embedded items by that position and those before it.

    Rows are padded on their right: a padded position is after all real ones, so that none of them
    sees it and no mask is needed.

    Args:
        dim: Of the embedded items, and of what is returned.
        layers: Attention and feed-forward layers, one pair each.
        heads: Attention heads; they share `dim`.
        dropout: Of the embedded items, the attention weights and each layer's output.
        max_length: The longest sequence.
        inner: Width of the feed-forward layers; None: `dim`.

    >>> encoder = SequenceEncoder(dim=8, layers=1, heads=2, dropout=0.0, max_length=5)
    >>> encoder(torch.zeros(3, 4, 8)).shape
    torch.Size([3, 4, 8])
    """

    def __init__(
        self,
        *,
        dim: int,
        layers: int,
        heads: int,
        dropout: float,
        max_length: int,
        inner: int | None = None,
    ) -> None:
        super().__init__()
        self.positions = nn.Parameter(torch.zeros(max_length, dim))
        self.dropout = nn.Dropout(dropout)
        self.layers = nn.ModuleList(
            layer
            for _ in range(layers)
            for layer in (_Attention(dim, heads, dropout), _FeedForward(dim, inner or dim, dropout))
        )
        self.norm = nn.LayerNorm(dim)
        nn.init.normal_(self.positions, std=_INITIAL_DEVIATION)
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.normal_(module.weight, std=_INITIAL_DEVIATION)
                nn.init.zeros_(module.bias)

    def forward(self, embedded: Tensor) -> Tensor:
        """Return the hidden states: (batch, length, dim), of embedded items of that shape."""
        x = self.dropout(embedded + self.positions[: embedded.shape[1]])  # (batch, length, dim)
        for layer in self.layers:
            x = x + layer(x)
        normed: Tensor = self.norm(x)
        return normed


def states_at(
    encoder: SequenceEncoder, embed: Callable[[Tensor], Tensor], items: Tensor, is_real: Tensor
) -> Tensor:
    """Encode rows and return the states at their real positions: (positions, dim), row by row.

    On a CPU, rows are encoded with others of at least half their length, so that little of what is
    computed is padding; a GPU takes all at once, as it would wait for many small steps.

    Args:
        encoder: What encodes.
        embed: Gives the embeddings (rows, length, dim) of items (rows, length).
        items: int64 (batch, length).
        is_real: bool (batch, length), True at the first so many positions of each row. Only rows
            that come from the longest to the shortest are encoded apart.

    >>> encoder = SequenceEncoder(dim=4, layers=1, heads=1, dropout=0.0, max_length=3)
    >>> items = torch.tensor([[1, 2, 1], [2, 0, 0]])
    >>> states_at(encoder, torch.ones(3, 4).__getitem__, items, items > 0).shape
    torch.Size([4, 4])
    """
    sizes = is_real.sum(1)
    if items.device.type != "cpu" or bool((sizes[1:] > sizes[:-1]).any()):
        every: Tensor = encoder(embed(items))[is_real]
        return every
    states = []
    first = 0
    while first < len(items):
        length = int(sizes[first])
        last = int((sizes > (length // 2 if length > _SHORT else 0)).sum())
        real = is_real[first:last, :length]
        states.append(encoder(embed(items[first:last, :length]))[real])
        first = last
    return torch.cat(states)


class _Attention(nn.Module):
    """Let each position gather from itself and those before it."""

    def __init__(self, dim: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.heads = heads
        self.norm = nn.LayerNorm(dim)
        self.into = nn.Linear(dim, 3 * dim)  # queries, keys and values
        self.out = nn.Linear(dim, dim)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        batch, length, dim = x.shape
        parts = self.into(self.norm(x)).view(batch, length, 3, self.heads, dim // self.heads)
        queries, keys, values = parts.permute(
            2, 0, 3, 1, 4
        )  # each (batch, heads, length, dim / heads)
        gathered = F.scaled_dot_product_attention(
            queries,
            keys,
            values,
            dropout_p=self.dropout.p if self.training else 0.0,
            is_causal=True,
        )
        joined = gathered.transpose(1, 2).reshape(batch, length, dim)
        dropped: Tensor = self.dropout(self.out(joined))
        return dropped


class _FeedForward(nn.Module):
    """Transform each position by itself."""

    def __init__(self, dim: int, inner: int, dropout: float) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(dim)
        self.into = nn.Linear(dim, inner)
        self.out = nn.Linear(inner, dim)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        hidden = self.dropout(F.relu(self.into(self.norm(x))))  # (batch, length, inner)
        dropped: Tensor = self.dropout(self.out(hidden))
        return dropped
