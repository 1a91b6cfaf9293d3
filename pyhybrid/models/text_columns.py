"""What an item's text says of its weights: kernel ridge regression on the known items' texts.

C. Saunders, A. Gammerman, V. Vovk, "Ridge Regression Learning Algorithm in Dual Variables", ICML
1998; with landmarks as in C. Williams, M. Seeger, "Using the Nystrom Method to Speed Up Kernel
Machines", NIPS 2000. Let the known items have text vectors v_i and columns of weights b_i. Then a
new item's column is predicted as a mixture of theirs,

    b = sum_i a_i b_i,    a = (K + l2 I)^-1 k,    K_ij = k(v_i, v_j),    k_i = k(v_i, v)

with k(v, w) = exp(-gamma |v - w|^2). The mixture needs the texts alone, and holds for whatever is
known of the known items: their weights, their scores for a user.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

__all__ = ["TextRegression", "spread"]

_ROWS = 4096  # of the kernel that are in memory at once
_JITTER = 1e-6  # on the kernel of the landmarks, whose diagonal is 1: two may have the same text


class TextRegression:
    """Regress whatever is known of the known items on their texts.

    Exact where there are no more known items than landmarks. Else the kernel is approximated from
    m = `landmarks` of them, drawn by the seed. Time: some 4 known m^2 floating-point operations.
    Memory: float32 (known, m).

    Args:
        known: Text vectors, float32 (known, dim), of length 1 or 0.
        l2: The ridge, beside the kernel's 1 on the diagonal.
        gamma: How fast texts grow unlike.
        landmarks: Known items that stand for all.
        seed: Of the draw.

    Attributes:
        features: F, float32 (known, m), with F F^T the known items' mixtures of each other.

    >>> known = np.eye(3, dtype=np.float32)
    >>> TextRegression(known, l2=1.0, gamma=1.0, landmarks=3, seed=0).mixtures(known[:1]).round(2)
    array([[0.5 ],
           [0.03],
           [0.03]], dtype=float32)
    """

    features: NDArray[np.float32]

    def __init__(
        self, known: NDArray[np.float32], *, l2: float, gamma: float, landmarks: int, seed: int
    ) -> None:
        order = np.random.default_rng(seed).permutation(len(known))[:landmarks]
        self._marks, self._gamma = known[np.sort(order)], gamma
        within = _kernel(self._marks, self._marks, gamma)
        within[np.diag_indices(len(within))] += _JITTER
        # (K + l2 I)^-1 K is about K' S^-1 K'^T, with K' = K_known,marks, S = l2 K_marks + K'^T K'
        # and S = T T^T: so F = K' T^-T, whose rows are no longer than 1.
        self.features = np.zeros((len(known), len(within)), dtype=np.float32)
        inner = l2 * within
        for rows, kernel in self._kernels(known):
            self.features[rows] = kernel
            inner += kernel.T @ kernel
        self._root = np.linalg.cholesky(inner)
        for rows, kernel in self._kernels(known, self.features):
            self.features[rows] = self._whitened(kernel)

    def mixtures(self, new: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return by how much each known item counts for each new one, a: float32 (known, new).

        Args:
            new: Text vectors, float32 (new, dim), of length 1 or 0. One of zeros gets zeros.
        """
        features = np.zeros((len(new), len(self._marks)), dtype=np.float32)
        for rows, kernel in self._kernels(new):
            features[rows] = self._whitened(kernel)
        return self.features @ features.T

    def _kernels(
        self, vectors: NDArray[np.float32], computed: NDArray[np.float32] | None = None
    ) -> Iterator[tuple[NDArray[np.int64], NDArray[np.float64]]]:
        """Give the rows of the vectors that are not zero, some at a time, with their kernel."""
        has_text = np.flatnonzero(vectors.any(axis=1))
        for first in range(0, len(has_text), _ROWS):
            rows = has_text[first : first + _ROWS]
            if computed is None:
                yield rows, _kernel(vectors[rows], self._marks, self._gamma)
            else:
                yield rows, computed[rows].astype(np.float64)

    def _whitened(self, kernel: NDArray[np.float64]) -> NDArray[np.float64]:
        from scipy.linalg import solve_triangular

        found: NDArray[np.float64] = solve_triangular(
            self._root, kernel.T, lower=True, overwrite_b=True, check_finite=False
        ).T
        return found


def _kernel(a: NDArray[Any], b: NDArray[Any], gamma: float) -> NDArray[np.float64]:
    a, b = a.astype(np.float64), b.astype(np.float64)
    squares = (a**2).sum(1)[:, None] + (b**2).sum(1) - 2 * (a @ b.T)
    kernel: NDArray[np.float64] = np.exp(-gamma * np.maximum(squares, 0))
    return kernel


def spread(
    whole: NDArray[np.float32], learned: NDArray[np.int64], columns: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Move the learned items' weights from the matrix' front to their rows and columns.

    `columns`: those of the other items, (learned, others). Rows move from the last on, each
    behind all that are still to be moved.
    """
    others = np.setdiff1d(np.arange(len(whole)), learned)
    place = np.argsort(np.concatenate([learned, others]))  # where each item's weight stands now
    flat = whole.reshape(-1)
    for k in range(len(learned) - 1, -1, -1):
        row = np.concatenate([flat[k * len(learned) : (k + 1) * len(learned)], columns[k]])
        np.take(row, place, out=whole[learned[k]], mode="clip")
    whole[others] = 0
    return whole
