"""The cross-entropy of the softmax over a catalogue, without all of its scores; needs torch.

A batch's scores are a matrix of positions x items: far larger than what it is made of, and read
and written a dozen times by a loss and its gradient that go step by step. On a CPU some positions
at a time are scored, brought to probabilities and multiplied out into the gradient, while they are
in the cache, so that no matrix of that size comes into being. On a GPU the steps are torch's own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch.nn import functional

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["softmax_bytes", "softmax_loss"]

_LEAST_AT_ONCE = 128  # positions
_MATRICES = 3  # scores, their logarithms and their gradient, where torch goes step by step


def softmax_loss(states: Tensor, items: Tensor, targets: Tensor) -> Tensor:
    """Return the mean over positions of -log softmax(states @ items.T) at the target, a scalar.

    On a CPU the gradient is computed with the loss, in the tensors' own precision whatever
    autocast says, and there is no gradient of the gradient.

    Args:
        states: (positions, dim).
        items: (items, dim).
        targets: int64 (positions,), each 0 .. items - 1.

    >>> softmax_loss(torch.zeros(2, 3), torch.ones(4, 3), torch.tensor([0, 3]))  # log(4)
    tensor(1.3863)
    """
    if states.device.type != "cpu":
        return functional.cross_entropy(states @ items.T, targets)
    return _SoftmaxLoss.apply(states, items, targets)  # type: ignore[no-any-return,no-untyped-call]


def softmax_bytes(positions: int, items: int, dim: int, device: torch.device) -> int:
    """Return the bytes that float32 scores take in `softmax_loss`, with their gradient.

    >>> softmax_bytes(3000, 12_000, 64, torch.device("cpu"))  # of 128 positions at a time
    6144000
    """
    if device.type != "cpu":
        return 4 * _MATRICES * positions * items
    return 4 * min(positions, _at_once(dim)) * items


def _at_once(dim: int) -> int:
    """Return how many positions are scored at a time.

    The gradient of the items is read and written for each time, which dim positions outweigh.
    """
    return max(_LEAST_AT_ONCE, dim)


class _SoftmaxLoss(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, states: Tensor, items: Tensor, targets: Tensor) -> Tensor:
        with torch.autocast("cpu", enabled=False):
            states = states.to(items.dtype)
            at_once, total = _at_once(states.shape[1]), 0.0
            of_states, of_items = torch.empty_like(states), torch.zeros_like(items)
            held = states.new_empty(min(at_once, len(states)) * len(items))
            for first in range(0, len(states), at_once):
                some = states[first : first + at_once]  # (rows, dim)
                wanted = targets[None, first : first + at_once]  # (1, rows)
                # Items down, positions across: products of that shape are the faster ones.
                scores = held[: len(items) * len(some)].view(len(items), len(some))
                torch.mm(items, some.T, out=scores)
                scores.sub_(scores.amax(0, keepdim=True))
                of_targets = scores.gather(0, wanted)
                sums = scores.exp_().sum(0, keepdim=True)
                total += float((sums.log() - of_targets).sum())
                # The gradient: probabilities, less 1 at the target, for the mean over positions.
                scores.div_(sums * len(states))
                scores.scatter_add_(0, wanted, torch.full_like(sums, -1 / len(states)))
                torch.mm(scores.T, items, out=of_states[first : first + at_once])
                of_items.addmm_(scores, some)
        ctx.save_for_backward(of_states, of_items)
        return states.new_tensor(total / len(states))

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, None]:
        of_states, of_items = ctx.saved_tensors
        return of_states * gradients[0], of_items * gradients[0], None
