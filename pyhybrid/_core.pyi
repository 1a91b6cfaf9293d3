from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

_Progress = Callable[[float], object] | None

class Csr:
    def __init__(
        self,
        rows: int,
        cols: int,
        indptr: NDArray[np.int32] | NDArray[np.int64],
        indices: NDArray[np.int32] | NDArray[np.int64],
        values: NDArray[np.float32] | None = None,
    ) -> None: ...

def check(matrix: Csr, who: str, what: str) -> None: ...
def cutoff(who: str, metric: str) -> int: ...
def simd_level() -> str: ...
def resolve_threads(threads: int) -> int: ...
def gram(
    x: Csr, out: NDArray[np.float32] | NDArray[np.float64], threads: int, progress: _Progress
) -> None: ...
def esler_weights(
    matrix: NDArray[np.float32],
    l2: float,
    inverse_diagonal: NDArray[np.float32] | None,
    threads: int,
    progress: _Progress,
) -> None: ...
def top_n(
    histories: Csr,
    weights: NDArray[np.float32],
    n: int,
    exclude: Csr | None,
    among: NDArray[np.int32] | None,
    threads: int,
    progress: _Progress,
) -> tuple[NDArray[np.int32], NDArray[np.float32]]: ...
def top_n_factors(
    users: NDArray[np.float32],
    items: NDArray[np.float32],
    n: int,
    exclude: Csr | None,
    among: NDArray[np.int32] | None,
    threads: int,
    progress: _Progress,
) -> tuple[NDArray[np.int32], NDArray[np.float32]]: ...
def score_factors(
    users: NDArray[np.float32], items: NDArray[np.float32], threads: int, progress: _Progress
) -> NDArray[np.float32]: ...
def top_n_scores(
    scores: NDArray[np.float32],
    n: int,
    exclude: Csr | None,
    among: NDArray[np.int32] | None,
    threads: int,
    progress: _Progress,
) -> tuple[NDArray[np.int32], NDArray[np.float32]]: ...
def ranking_metrics(
    items: NDArray[np.int32],
    targets: Csr,
    metrics: Sequence[str],
    threads: int,
    progress: _Progress,
) -> NDArray[np.float64]: ...
def score_metrics(
    scores: NDArray[np.float32],
    targets: Csr,
    exclude: Csr | None,
    metrics: Sequence[str],
    threads: int,
    progress: _Progress,
) -> NDArray[np.float64]: ...
def pq_train(
    vectors: NDArray[np.float32],
    centroids: NDArray[np.float32],
    iterations: int,
    threads: int,
    progress: _Progress,
) -> None: ...
def pq_encode(
    vectors: NDArray[np.float32], centroids: NDArray[np.float32], threads: int, progress: _Progress
) -> NDArray[np.uint8]: ...
def pq_decode(
    codes: NDArray[np.uint8], centroids: NDArray[np.float32], threads: int, progress: _Progress
) -> NDArray[np.float32]: ...
def pq_search(
    queries: NDArray[np.float32],
    codes: NDArray[np.uint8],
    centroids: NDArray[np.float32],
    n: int,
    product: bool,
    threads: int,
    progress: _Progress,
) -> tuple[NDArray[np.int32], NDArray[np.float32]]: ...
def pq_lookup(
    table: NDArray[np.float32],
    codes: NDArray[np.uint8],
    scale: float,
    threads: int,
    progress: _Progress,
) -> NDArray[np.float32]: ...
def pq_lookup_gradient(
    gradient: NDArray[np.float32],
    codes: NDArray[np.uint8],
    entries: int,
    scale: float,
    threads: int,
    progress: _Progress,
) -> NDArray[np.float32]: ...
