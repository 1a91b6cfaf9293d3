"""implicit: what its factor models rank with."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from implicit.cpu.topk import topk
from scipy.sparse import csr_matrix

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np
    from numpy.typing import NDArray
    from scipy.sparse import csr_array


def top_n_factors(
    users: NDArray[np.float32],
    items: NDArray[np.float32],
    n: int,
    exclude: csr_array,
    threads: int,
) -> Callable[[], Any]:
    # It knows SciPy's older matrices only.
    seen = csr_matrix((exclude.data, exclude.indices, exclude.indptr), shape=exclude.shape)
    return lambda: topk(items, users, n, filter_query_items=seen, num_threads=threads)
