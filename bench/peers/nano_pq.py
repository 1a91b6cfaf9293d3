"""nanopq: product quantisation on SciPy."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import nanopq

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np
    from numpy.typing import NDArray


def encode(vectors: NDArray[np.float32], centroids: NDArray[np.float32]) -> Callable[[], Any]:
    parts, entries, dim = centroids.shape
    quantizer = nanopq.PQ(M=parts, Ks=entries, verbose=False)
    quantizer.Ds, quantizer.codewords = dim, centroids
    return lambda: quantizer.encode(vectors)
