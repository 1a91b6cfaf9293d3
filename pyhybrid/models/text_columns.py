"""What an item's text says of its weights: kernel ridge regression on the known items' texts.

C. Saunders, A. Gammerman, V. Vovk, "Ridge Regression Learning Algorithm in Dual Variables", ICML
1998; with landmarks as in C. Williams, M. Seeger, "Using the Nystrom Method to Speed Up Kernel
Machines", NIPS 2000. Let the known items have text vectors v_i and columns of weights b_i. Then a
new item's column is predicted as a mixture of theirs,

    b = sum_i a_i b_i,    a = (K + l2 I)^-1 k,    K_ij = k(v_i, v_j),    k_i = k(v_i, v)

with k(v, w) = exp(-gamma |v - w|^2), or v . w where gamma is 0: plain ridge regression. The mixture
needs the texts alone, and holds for whatever is known of the known items: their weights, their
scores for a user.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["TextRegression", "predicted", "spread"]

_ROWS = 2048  # of the kernel that are in memory in float64 at once
_JITTER = 1e-6  # on the kernel of the landmarks, whose diagonal is 1: two may have the same text


class TextRegression:
    """Regress whatever is known of the known items on their texts.

    Exact where there are no more known items than landmarks. Else the kernel is approximated from
    m = `landmarks` of them, drawn by the seed. Time: some 2 known m^2 floating-point operations.
    Memory: float32 (known, m).

    Args:
        known: Text vectors, float32 (known, dim), of length 1 or 0.
        l2: The ridge, beside the kernel's 1 on the diagonal.
        gamma: How fast texts grow unlike; 0 for the linear kernel.
        landmarks: Known items that stand for all.
        seed: Of the draw.

    >>> known = np.eye(3, dtype=np.float32)
    >>> TextRegression(known, l2=1.0, gamma=1.0, landmarks=3, seed=0).mixtures(known[:1]).round(2)
    array([[0.5 ],
           [0.03],
           [0.03]], dtype=float32)
    """

    def __init__(
        self, known: NDArray[np.float32], *, l2: float, gamma: float, landmarks: int, seed: int
    ) -> None:
        order = np.random.default_rng(seed).permutation(len(known))[:landmarks]
        self._marks, self._gamma = known[np.sort(order)], gamma
        # (K + l2 I)^-1 K is about K' S^-1 K'^T, with K' = K_known,marks, S = l2 K_marks + K'^T K'
        # and S = T T^T. In float64, as S is as good as singular where texts are near each other.
        marks = self._marks.astype(np.float64)
        inner: NDArray[np.float64] = _kernel(marks, marks, gamma)
        inner[np.diag_indices(len(inner))] += _JITTER
        inner *= l2
        self._kernel = self._to_marks(known)
        for rows in _blocks(len(known)):
            block = self._kernel[rows].astype(np.float64)
            inner += block.T @ block
        self._root = np.linalg.cholesky(inner)

    def mixtures(self, new: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return by how much each known item counts for each new one, a: float32 (known, new).

        Args:
            new: Text vectors, float32 (new, dim), of length 1 or 0. One of zeros gets zeros.
        """
        from scipy.linalg import cho_solve

        kernel = self._to_marks(new).astype(np.float64)
        solved = cho_solve((self._root, True), kernel.T, overwrite_b=True, check_finite=False)
        return self._kernel @ solved.astype(np.float32)

    def features(self) -> NDArray[np.float32]:
        """Return F, float32 (known, m), with F F^T the known items' mixtures of each other.

        Its rows are no longer than 1. Time: some known m^2 floating-point operations more.
        """
        from scipy.linalg import solve_triangular

        found = np.empty_like(self._kernel)  # F = K' T^-T
        for rows in _blocks(len(found)):
            block = self._kernel[rows].T.astype(np.float64)
            found[rows] = solve_triangular(
                self._root, block, lower=True, overwrite_b=True, check_finite=False
            ).T
        return found

    def _to_marks(self, vectors: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the vectors' kernel with the landmarks', zeros where there is no text."""
        kernel = np.empty((len(vectors), len(self._marks)), dtype=np.float32)
        for rows in _blocks(len(vectors)):
            _kernel(vectors[rows], self._marks, self._gamma, out=kernel[rows])
        kernel[~vectors.any(axis=1)] = 0
        return kernel


def _blocks(rows: int) -> list[slice]:
    return [slice(first, first + _ROWS) for first in range(0, rows, _ROWS)]


def _kernel(
    a: NDArray[Any], b: NDArray[Any], gamma: float, out: NDArray[Any] | None = None
) -> NDArray[Any]:
    kernel: NDArray[Any] = np.matmul(a, b.T, out=out)
    if gamma == 0:
        return kernel
    kernel *= 2
    kernel -= (a**2).sum(1)[:, None]
    kernel -= (b**2).sum(1)
    np.minimum(kernel, 0, out=kernel)  # less the squared distance
    kernel *= gamma
    np.exp(kernel, out=kernel)
    return kernel


def predicted(
    weights: NDArray[np.float32], mixture: NDArray[np.float32], *, direct: float, scale: float
) -> NDArray[np.float32]:
    """Return the columns that new items get, scale (B + direct I) a: float32 (known, new).

    Args:
        weights: B, float32 (known, known), C-contiguous.
        mixture: a, float32 (known, new), C-contiguous.
        direct: What the known item itself adds.
        scale: What all is multiplied by.

    >>> weights = np.array([[0, 1], [2, 0]], dtype=np.float32)
    >>> predicted(weights, np.array([[1], [3]], dtype=np.float32), direct=1.0, scale=10.0)
    array([[40.],
           [50.]], dtype=float32)
    """
    from scipy.linalg.blas import sgemm

    columns = mixture * np.float32(scale * direct)
    if columns.size:  # transposed, they are all as BLAS has them: columns^T += scale a^T B^T
        sgemm(scale, mixture.T, weights.T, beta=1.0, c=columns.T, overwrite_c=True)
    return columns


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
