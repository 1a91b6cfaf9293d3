"""The ridge that ESLER takes where none is given: the edge of the noise.

V. Marchenko, L. Pastur, "Distribution of eigenvalues for some sets of random matrices", Mathematics
of the USSR-Sbornik 1, 1967. Were it chance alone who takes what, with n interactions of each of I
items by U users, the eigenvalues of X^T X would end at

    n (1 + sqrt(I / U))^2

What is below can't be told from noise, and the ridge l2 halves what has an eigenvalue of l2: so the
edge is the ridge. It asks for nothing but counts. How near it comes to the best of a grid stands in
``bench/l2.py``.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["noise_edge"]


def noise_edge(diagonal: NDArray[np.float32], users: int) -> float:
    """Return the largest eigenvalue that a Gram matrix of chance alone would have.

    Args:
        diagonal: That of the Gram matrix, (items,): for 0/1 data the items' users. Items without
            any are none.
        users: Users with an interaction, 1 or more.

    >>> noise_edge(np.array([4.0, 2.0, 0.0]), users=8)
    6.75
    """
    counts = diagonal[diagonal > 0]
    mean = float(counts.mean(dtype=np.float64)) if len(counts) else 1.0
    return mean * (1 + math.sqrt(len(counts) / users)) ** 2
