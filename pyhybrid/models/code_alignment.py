"""The alignment of a pre-trained table's rows with a new domain's codes; needs torch.

Y. Hou, Z. He, J. McAuley, W. X. Zhao, "Learning Vector-Quantized Item Representation for
Transferable Sequential Recommenders" (VQ-Rec), WWW 2023, section 3.3. A new domain has a quantiser
of its own, whose centroids are numbered in an order of their own: code 7 there has nothing to do
with row 7 of the table. So each part's rows are put into a new order, E'[k] = Pi[k] E[k], by a
permutation Pi[k] that is learned while all else stands still.

While it is learned, Pi[k] is soft: the Gumbel-Sinkhorn of real numbers T[k] (G. Mena, D. Belanger,
S. Linderman, J. Snoek, "Learning Latent Permutations with Gumbel-Sinkhorn Networks", ICLR 2018),

    Pi[k] = S((T[k] + Gumbel noise) / temperature),

where S divides rows and columns by their sums in turns. At the end it is the permutation with the
largest sum of T[k], which is that soft one's limit at temperature 0 (Mena et al., theorem 1). The
authors' code takes the largest entry of each row instead, which is no permutation, and through a
function without a gradient, so that T stays as it was drawn.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import nn
from torch.nn import functional

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["CodeAlignment", "sinkhorn"]

_TEMPERATURE = 0.7
_ITERATIONS = 3
_SMALLEST = 1e-20  # keeps the logarithms of Gumbel noise finite


class CodeAlignment(nn.Module):
    """Put the rows of each part of a table into an order that is learned.

    In training mode the order is soft and noisy; in evaluation mode it is soft without noise.

    Args:
        parts: Parts of the table.
        entries: Rows a part.
        straight_through: Whether each row goes where its largest entry says, with the gradient of
            the soft order; rows may then meet until `permutations` parts them.

    >>> alignment = CodeAlignment(parts=2, entries=16)
    >>> alignment(torch.zeros(2, 16, 8)).shape, alignment.permutations().shape
    (torch.Size([2, 16, 8]), torch.Size([2, 16]))
    """

    def __init__(self, *, parts: int, entries: int, straight_through: bool = False) -> None:
        super().__init__()
        self.straight_through = straight_through
        self.scores = nn.Parameter(torch.randn(parts, entries, entries))  # the paper's T

    def forward(self, table: Tensor) -> Tensor:
        """Return the table (parts, entries, dim) with its rows in the present order."""
        with torch.autocast(table.device.type, enabled=False):
            return self.matrices() @ table

    def matrices(self) -> Tensor:
        """Return the present order as matrices (parts, entries, entries)."""
        scores: Tensor = self.scores
        if self.training:
            uniform = torch.rand_like(scores).clamp_min(_SMALLEST)
            scores = scores - torch.log(-torch.log(uniform) + _SMALLEST)
        soft = sinkhorn(scores / _TEMPERATURE, _ITERATIONS)
        if not self.straight_through:
            return soft
        hard = functional.one_hot(soft.argmax(-1), soft.shape[-1]).to(soft.dtype)
        return hard + (soft - soft.detach())

    def permutations(self) -> Tensor:
        """Return the rows in their final order: int64 (parts, entries), each part's all once.

        The table in that order is ``table[part, permutations[part]]``.
        """
        from scipy.optimize import linear_sum_assignment

        scores = self.scores.detach().cpu().numpy()
        orders = [linear_sum_assignment(part, maximize=True)[1] for part in scores]
        return torch.from_numpy(np.stack(orders).astype(np.int64)).to(self.scores.device)


def sinkhorn(scores: Tensor, iterations: int) -> Tensor:
    """Divide the rows and then the columns of exp(scores) by their sums, so many times.

    Args:
        scores: (..., n, n).
        iterations: The more, the nearer all sums of rows are to 1; those of columns are 1.

    Returns:
        (..., n, n), not negative.

    >>> sinkhorn(torch.tensor([[0.0, 3.0], [3.0, 0.0]]), 10).sum(-1)
    tensor([1., 1.])
    """
    logs = scores
    for _ in range(iterations):
        logs = logs - torch.logsumexp(logs, dim=-1, keepdim=True)
        logs = logs - torch.logsumexp(logs, dim=-2, keepdim=True)
    return logs.exp()
