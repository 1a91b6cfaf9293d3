"""Losses over a whole catalogue, without all of its scores at once; needs torch.

A batch's scores are a matrix of rows x items: far larger than what it is made of, and read and
written a dozen times by a loss and its gradient that go step by step. On a CPU some rows at a time
are scored, turned into their own gradient and multiplied out, so that there is never more than one
such matrix, and for long batches never a whole one. On a GPU the steps are torch's own.

A likelihood says how a row's scores f explain what it has taken, x (D. Liang, R. G. Krishnan, M. D.
Hoffman, T. Jebara, "Variational Autoencoders for Collaborative Filtering", WWW 2018,
arXiv:1802.05814, eq. 2 to 4), where an item that is not taken has x = 0:

- multinomial: sum_i x_i log softmax(f)_i; items compete for the probability of being taken;
- logistic: sum_i x_i log sigmoid(f_i) + (1 - x_i) log(1 - sigmoid(f_i));
- gaussian: - sum_i c_i / 2 (x_i - f_i)^2, where c_i is 1 for what is not taken, else more.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypeAlias

import torch
from torch.nn import functional

if TYPE_CHECKING:
    from torch import Tensor

    Likelihood: TypeAlias = Literal["multinomial", "logistic", "gaussian"]

__all__ = ["Taken", "catalog_bytes", "catalog_loss", "softmax_loss"]

_LEAST_AT_ONCE = 128  # rows
_ITEMS_AT_ONCE = 512
_MATRICES = 3  # scores, their logarithms and their gradient, where torch goes step by step


class Taken(NamedTuple):
    """What each row has taken, row by row.

    Attributes:
        rows: int64 (entries,), ascending.
        items: int64 (entries,), each 0 .. items - 1; a row names an item once.
        weights: float (entries,): x.
    """

    rows: Tensor
    items: Tensor
    weights: Tensor


def softmax_loss(states: Tensor, items: Tensor, targets: Tensor) -> Tensor:
    """Return the mean over positions of -log softmax(states @ items.T) at the target, a scalar.

    On a CPU the gradient is computed with the loss, in the tensors' own precision whatever
    autocast says; it can be asked for once, and there is no gradient of the gradient.

    Args:
        states: (positions, dim).
        items: (items, dim).
        targets: int64 (positions,), each 0 .. items - 1.

    >>> softmax_loss(torch.zeros(2, 3), torch.ones(4, 3), torch.tensor([0, 3]))  # log(4)
    tensor(1.3863)
    """
    if states.device.type != "cpu":
        return functional.cross_entropy(states @ items.T, targets)
    taken = Taken(torch.arange(len(targets)), targets, items.new_ones(len(targets)))
    return catalog_loss(states, items, None, taken, "multinomial") / len(targets)


def catalog_loss(
    states: Tensor,
    items: Tensor,
    bias: Tensor | None,
    taken: Taken,
    likelihood: Likelihood,
    confidence: float = 1.0,
) -> Tensor:
    """Return the negative log-likelihood of scores states @ items.T + bias, summed over rows.

    On a CPU as `softmax_loss` does it.

    Args:
        states: (rows, dim).
        items: (items, dim).
        bias: (items,), or None.
        taken: What the rows have taken.
        likelihood: As the module describes them.
        confidence: The gaussian likelihood's c of what is taken.

    >>> taken = Taken(torch.tensor([0, 0, 1]), torch.tensor([1, 2, 0]), torch.ones(3))
    >>> catalog_loss(torch.zeros(2, 3), torch.ones(4, 3), None, taken, "multinomial")  # 3 log(4)
    tensor(4.1589)
    """
    if states.device.type != "cpu":
        scores = states @ items.T if bias is None else states @ items.T + bias
        return _loss_of(scores.float(), taken, likelihood, confidence)
    return _CatalogLoss.apply(  # type: ignore[no-any-return,no-untyped-call]
        states, items, bias, taken, likelihood, confidence
    )


def catalog_bytes(rows: int, items: int, dim: int, device: torch.device) -> int:
    """Return the bytes that float32 scores take in these losses, with their gradient.

    >>> catalog_bytes(3000, 12_000, 64, torch.device("cpu"))  # of 128 rows at a time
    6144000
    """
    if device.type != "cpu":
        return 4 * _MATRICES * rows * items
    return 4 * min(rows, _at_once(dim)) * items


def _at_once(dim: int) -> int:
    """Return how many rows are scored at a time.

    The gradient of the items is read and written for each time, which dim rows outweigh.
    """
    return max(_LEAST_AT_ONCE, dim)


def _loss_of(scores: Tensor, taken: Taken, likelihood: Likelihood, confidence: float) -> Tensor:
    """Return the loss of scores (rows, items), step by step, with torch's own gradient."""
    if likelihood == "multinomial":
        scores = functional.log_softmax(scores, 1)
    x, of_taken = taken.weights, scores[taken.rows, taken.items]
    if likelihood == "gaussian":
        more = confidence * (x - of_taken).square() - of_taken.square()
        return (scores.square().sum() + more.sum()) / 2
    explained = (x * of_taken).sum()
    return (
        -explained if likelihood == "multinomial" else functional.softplus(scores).sum() - explained
    )


def _turn(scores: Tensor, taken: Taken, likelihood: Likelihood, confidence: float) -> float:
    """Replace scores (items, rows) by the gradient of their loss, and return the loss.

    The places of what is taken stand in `taken.items` as numbers within the flattened scores.
    """
    rows, places, x = taken
    flat = scores.view(-1)
    if likelihood == "gaussian":
        of_taken = flat[places]
        more = confidence * (x - of_taken).square() - of_taken.square()
        loss = float((flat.dot(flat) + more.sum()) / 2)
        flat[places] = confidence * (of_taken - x)
        return loss
    if likelihood == "logistic":
        # Some items at a time, so that there is no second matrix.
        loss = -float((x * flat[places]).sum())
        for first in range(0, len(scores), _ITEMS_AT_ONCE):
            loss += float(functional.softplus(scores[first : first + _ITEMS_AT_ONCE]).sum())
        scores.sigmoid_()
    else:
        scores.sub_(scores.amax(0, keepdim=True))
        of_taken = flat[places]
        sums = scores.exp_().sum(0)
        counts = torch.zeros_like(sums).index_add_(0, rows, x)
        loss = float((counts * sums.log()).sum() - (x * of_taken).sum())
        scores.mul_(counts / sums)
    flat.index_add_(0, places, x, alpha=-1)
    return loss


class _CatalogLoss(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        states: Tensor,
        items: Tensor,
        bias: Tensor | None,
        taken: Taken,
        likelihood: Likelihood,
        confidence: float,
    ) -> Tensor:
        with torch.autocast("cpu", enabled=False):
            states = states.to(items.dtype)
            at_once, total = _at_once(states.shape[1]), 0.0
            of_states, of_items = torch.empty_like(states), torch.zeros_like(items)
            of_bias = None if bias is None else torch.zeros_like(bias)
            held = states.new_empty(min(at_once, len(states)) * len(items))
            firsts = torch.arange(0, len(states) + at_once, at_once)
            edges = torch.searchsorted(taken.rows, firsts).tolist()
            for number, first in enumerate(range(0, len(states), at_once)):
                some = states[first : first + at_once]  # (rows, dim)
                # Items down, rows across: products of that shape are the faster ones.
                scores = held[: len(items) * len(some)].view(len(items), len(some))
                if bias is None:
                    torch.mm(items, some.T, out=scores)
                else:
                    torch.addmm(bias[:, None], items, some.T, out=scores)
                rows, targets, x = (part[edges[number] : edges[number + 1]] for part in taken)
                rows = rows - first
                here = Taken(rows, targets * len(some) + rows, x.to(items.dtype))
                total += _turn(scores, here, likelihood, confidence)
                torch.mm(scores.T, items, out=of_states[first : first + at_once])
                of_items.addmm_(scores, some, beta=int(number > 0))
                if of_bias is not None:
                    of_bias += scores.sum(1)
        ctx.gradients = (of_states, of_items, of_bias)
        return states.new_tensor(total)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        if ctx.gradients is None:
            raise RuntimeError("this loss has given its gradient already; compute it anew")
        (gradient,), found, ctx.gradients = gradients, ctx.gradients, None
        # In place, since they are large, and nobody's but the caller's from here on.
        return (*(None if t is None else t.mul_(gradient) for t in found), None, None, None)
