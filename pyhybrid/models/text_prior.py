"""Learn an item's weights from behaviour towards those that its text predicts.

J. Moon, S. Park, J. Lee, CIKM 2025, arXiv:2508.13500 (L3AE), whose first phase predicts each item's
text vector from the others', by C with a zero diagonal, and whose second one solves

    min ||X - X B||^2 + l2 ||B||^2 + prior ||B - C||^2,    diag(B) = 0

so that a pair of items with little behaviour keeps what the texts say, and one with much loses it.
Here C is the leave-one-out prediction of the kernel ridge regression that also serves items without
any behaviour (`pyhybrid.models.text_columns`), where the paper has a linear one: with A = F F^T the
mixture that each known item is of all known items, and h its diagonal,

    C_ij = A_ij / (1 - h_j)  (i != j)

With B_0 and P of `pyhybrid.models.esler` at the ridge l2 + prior, and R_j = prior / (1 - h_j) F_j,
the solution is

    B = B_0 diag(1 + q) + (P F) R^T  off the diagonal,    q the diagonal of (P F) R^T

and needs two products of an items x items matrix with one of F's width, but neither C nor P.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["add_prior"]

_ROWS = 2048  # of the weights that are changed at once


def add_prior(
    weights: NDArray[np.float32],
    inverse_diagonal: NDArray[np.float32],
    features: NDArray[np.float32],
    prior: float,
) -> None:
    """Turn the weights without a prior into those with one, in place.

    Args:
        weights: B_0, float32 (items, items).
        inverse_diagonal: p, the diagonal of P = (I - B_0) diag(p), float32 (items,).
        features: F, float32 (items, width); an item with zeros has no prior.
        prior: What the distance from C weighs, in interactions.
    """
    leverage = np.einsum("ij,ij->i", features, features)  # h, below 1
    right = features * (np.float32(prior) / (1 - leverage))[:, None]
    left = features * inverse_diagonal[:, None]
    left -= weights @ left  # P F
    weights *= 1 + np.einsum("ij,ij->i", left, right)
    for first in range(0, len(weights), _ROWS):
        rows = slice(first, first + _ROWS)
        weights[rows] += left[rows] @ right.T
    np.fill_diagonal(weights, 0)
