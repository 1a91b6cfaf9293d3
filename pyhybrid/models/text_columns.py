"""What an item's text says of its weights: kernel ridge regression on the other items' texts.

C. Saunders, A. Gammerman, V. Vovk, "Ridge Regression Learning Algorithm in Dual Variables", ICML
1998; with landmarks as in C. Williams, M. Seeger, "Using the Nystrom Method to Speed Up Kernel
Machines", NIPS 2000. Let item i have a text vector x_i, whatever is known of it y_i (a column of
weights, a score for a user), and the reliability v_i between 0 and 1 of that. Minimising
sum_i v_i (y_i - f(x_i))^2 + l2 |f|^2, what the texts say of item j is a mixture of the others,

    f(x_j) = sum_i a_ij y_i,    a_.j = V K (K V K + l2 K)^-1 k_j,    K_ij = k(x_i, x_j)

with k(x, y) = exp(-gamma |x - y|^2), or x . y where gamma is 0. An item says nothing of itself: as
in any linear smoother, its own part is taken out by (f(x_j) - a_jj y_j) / (1 - a_jj). The mixture
needs texts and reliabilities alone, and holds for whatever is known.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["TextRegression", "complete"]

_ROWS = 2048  # of the kernel that are in memory in float64 at once
_JITTER = 1e-6  # on the kernel of the landmarks, whose diagonal is 1: two may have the same text


class TextRegression:
    """Regress whatever is known of items on their texts.

    Exact where there are no more items to learn from than landmarks. Else the kernel is
    approximated from m = `landmarks` of them, drawn by the seed, reliable ones sooner. Time: some
    3 items m^2 floating-point operations. Memory: float32 (items, m).

    Args:
        vectors: Text vectors, float32 (items, dim), of length 1 or 0.
        reliability: v, (items,), between 0 and 1; 0: nothing is learned from the item.
        l2: The ridge, beside the kernel's 1 on the diagonal.
        gamma: How fast texts grow unlike; 0 for the linear kernel.
        landmarks: Items that stand for all.
        seed: Of the draw.

    Attributes:
        reliability: v, float32 (items,).
        features: F, float32 (items, m): a_ij = v_i F_i . F_j. Zeros for an item without a text.
        leverage: a_jj, float32 (items,).

    >>> vectors = np.eye(3, dtype=np.float32)
    >>> texts = TextRegression(vectors, np.array([1, 1, 0]), l2=1.0, gamma=1.0, landmarks=3, seed=0)
    >>> texts.of_scores(np.array([[3.0, 1.0, 9.0]], dtype=np.float32)).round(2)
    array([[0.07, 0.2 , 0.25]], dtype=float32)
    """

    def __init__(
        self,
        vectors: NDArray[np.float32],
        reliability: NDArray[Any],
        *,
        l2: float,
        gamma: float,
        landmarks: int,
        seed: int,
    ) -> None:
        from scipy.linalg import solve_triangular

        self.reliability = np.asarray(reliability, dtype=np.float32)
        sources = np.flatnonzero((self.reliability > 0) & vectors.any(axis=1))
        # Drawn in proportion to v: P. Efraimidis, P. Spirakis, "Weighted Random Sampling with a
        # Reservoir", Information Processing Letters 97, 2006.
        keys = np.log(np.random.default_rng(seed).random(len(sources))) / self.reliability[sources]
        order = np.argsort(-keys, kind="stable")[:landmarks]
        marks = vectors[sources[np.sort(order)]]
        # With K' = K_items,marks and S = l2 K_marks + K'^T V K' = T T^T, F = K' T^-T. In float64,
        # as S is as good as singular where texts are near each other.
        wide = marks.astype(np.float64)
        inner: NDArray[np.float64] = _kernel(wide, wide, gamma)
        inner[np.diag_indices(len(inner))] += _JITTER
        inner *= l2
        self.features = np.empty((len(vectors), len(marks)), dtype=np.float32)
        for rows in _blocks(len(vectors)):
            block = _kernel(vectors[rows].astype(np.float64), wide, gamma)
            block[~vectors[rows].any(axis=1)] = 0
            inner += (block * self.reliability[rows, None]).T @ block
            self.features[rows] = block
        root = np.linalg.cholesky(inner)
        for rows in _blocks(len(vectors)):
            block = self.features[rows].T.astype(np.float64)
            self.features[rows] = solve_triangular(
                root, block, lower=True, overwrite_b=True, check_finite=False
            ).T
        self.leverage = self.reliability * np.einsum("ij,ij->i", self.features, self.features)

    def of_scores(self, scores: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return what the texts say of each item's score, from those of the others.

        Args:
            scores: float32 (rows, items).

        Returns:
            float32 (rows, items).
        """
        found = ((scores * self.reliability) @ self.features) @ self.features.T
        found -= scores * self.leverage
        found /= 1 - self.leverage
        return np.asarray(found, dtype=np.float32)


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


def complete(
    whole: NDArray[np.float32],
    learned: NDArray[np.int64],
    texts: TextRegression,
    *,
    direct: float,
    share: NDArray[np.float32],
    scale: NDArray[np.float32],
) -> None:
    """Add to each item's column what the texts say of it, in place: scale (b + share f).

    With B the learned items' weights, f = (B + direct I) a without the item's own part. Time: two
    products of (learned, learned or items) by (learned, m). Memory: float32 (learned, m).

    Args:
        whole: Float32 (learned, items); the learned items' weights B, (learned, learned), begin
            in its front.
        learned: Their places among the items, ascending, int64 (learned,).
        texts: On all items.
        direct: What an item of the history adds by itself.
        share: float32 (items,).
        scale: float32 (items,).

    >>> texts = TextRegression(np.eye(2, dtype=np.float32), np.array([1, 0]), l2=1.0, gamma=1.0,
    ...                        landmarks=2, seed=0)
    >>> whole, ones = np.zeros((1, 2), dtype=np.float32), np.ones(2, dtype=np.float32)
    >>> complete(whole, np.array([0]), texts, direct=1.0, share=ones, scale=ones)
    >>> whole.round(3)  # item 1 is like item 0 by exp(-2), of which half is the ridge's
    array([[0.   , 0.068]], dtype=float32)
    """
    width = len(learned)
    front = whole.reshape(-1)[: width * width].reshape(width, width)
    known = texts.features[learned] * texts.reliability[learned, None]
    factors = front @ known + np.float32(direct) * known  # (learned, m)
    _spread(whole, learned)
    for rows in _blocks(width):
        own = learned[rows]
        block = whole[rows]
        places = np.arange(len(own)), own
        block[places] = direct  # so that (B + direct I)'s own part goes out with B's
        found = factors[rows] @ texts.features.T
        found -= block * texts.leverage
        found /= 1 - texts.leverage
        found *= share
        block += found
        block *= scale
        block[places] = 0


def _spread(whole: NDArray[np.float32], learned: NDArray[np.int64]) -> None:
    """Move the learned items' weights from the matrix' front to their columns, zeros beside them.

    Rows move from the last on, each behind all that are still to be moved.
    """
    flat, width = whole.reshape(-1), len(learned)
    for k in range(width - 1, -1, -1):
        row = flat[k * width : (k + 1) * width].copy()
        whole[k] = 0
        whole[k, learned] = row
