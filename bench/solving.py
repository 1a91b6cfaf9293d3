"""The rows of kernels.py about solving: Gram matrices, ESLER's weights, and how close they come."""

from __future__ import annotations

import time
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

import numpy as np
import peers
import workloads
from contest import OURS, Contender, contest
from threadpoolctl import threadpool_limits
from workloads import L2

from pyhybrid import kernels

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray
    from scipy.sparse import csr_array

BLOCK = 1024


def gram(x: csr_array, repetitions: int, threads: int) -> dict[str, Any]:
    """Compute X^T X; the peers know that the weights are ones, ours looks."""
    out = np.zeros((x.shape[1], x.shape[1]), dtype=np.float32)

    def spoil() -> None:  # all write to one buffer: none may find another's result there
        out.fill(-1)

    def ours() -> NDArray[np.float32]:
        return kernels.gram(x, out=out, threads=threads)

    def peer(make: Any, finish: Any = None) -> Contender:
        return Contender(make, before=spoil, finish=finish)

    contenders = {
        OURS: Contender(lambda: ours, before=spoil, finish=np.copy),
        "numba, half and mirror": peer(lambda: peers.numba_loops.gram_half(x, out)),
        "numba, all entries": peer(lambda: peers.numba_loops.gram_full(x, out)),
        "MKL spmmd, CSR": peer(lambda: peers.mkl_sparse.gram_csr(x, out)),
        "MKL spmmd, CSC": peer(lambda: peers.mkl_sparse.gram_csc(x, out)),
        "MKL syrkd, upper triangle": peer(
            lambda: peers.mkl_sparse.gram_syrkd(x, out), finish=mirrored
        ),
        "SciPy": Contender(lambda: peers.scipy_numpy.gram(x), most=1, warm_up=False),
    }
    found = contest(contenders, _equal, repetitions=repetitions)
    return {"workload": workloads.shape_of(x), "checked": "every entry equal", **found}


def _equal(ours: NDArray[Any], theirs: NDArray[Any]) -> dict[str, Any]:
    different = sum(int((ours[part] != theirs[part]).sum()) for part in blocks(len(ours)))
    return {"agrees": different == 0, "different_entries": different}


def solve(x: csr_array, repetitions: int, threads: int) -> dict[str, Any]:
    """Invert and make weights; of the peers only the inverse is timed."""
    matrix = kernels.gram(x, threads=threads)
    buffer = np.empty_like(matrix)
    large = len(matrix) > 12_000

    def restore() -> None:
        np.copyto(buffer, matrix)

    def restore_with_l2() -> None:
        restore()
        np.einsum("ii->i", buffer)[:] += np.float32(L2)

    def peer(make: Any, most: int | None = None) -> Contender:
        return Contender(make, restore_with_l2, as_weights, most, warm_up=most is None)

    def ours() -> NDArray[np.float32]:
        return kernels.esler_weights(buffer, L2, overwrite=True, threads=threads)

    contenders = {
        OURS: Contender(lambda: ours, before=restore, finish=np.copy),
        "SciPy potrf + potri": Contender(
            lambda: peers.scipy_numpy.inverse_in_place(buffer),
            before=restore_with_l2,
            finish=lambda inverse: as_weights(mirrored(inverse)),
        ),
        "torch cholesky_inverse": peer(
            lambda: peers.torch_ops.inverse(buffer), 1 if large else None
        ),
        "numpy.linalg.inv": peer(lambda: peers.scipy_numpy.numpy_inverse(buffer), 1),
    }
    found = contest(contenders, _close, repetitions=repetitions)
    for figures in found["contenders"].values():
        figures["gflops"] = len(matrix) ** 3 / figures["median"] / 1e9
    restore()
    weights = ours()
    return {
        "workload": {**workloads.shape_of(x), "l2": L2},
        "checked": "weights from each peer's inverse: relative Frobenius difference at most 1e-4",
        **found,
        "sgemm_gflops": sgemm_rate(),
        "accuracy": accuracy(matrix, weights),
    }


def _close(ours: NDArray[np.float32], theirs: NDArray[np.float32]) -> dict[str, Any]:
    error = frobenius(ours, theirs)
    return {"agrees": error <= 1e-4, "relative_frobenius": error}


def large_solve(scale: float, repetitions: int, threads: int) -> dict[str, Any]:
    """Solve at gowalla's 40,981 items, once, and check the normal equations of some columns."""
    del repetitions
    x = workloads.gowalla() if scale == 1 else workloads.scaled_events(scale)
    if x is None:
        x = workloads.scaled_events(1, items=40_981)
    weights = kernels.gram(x, threads=threads)
    started = time.perf_counter()
    kernels.esler_weights(weights, L2, overwrite=True, threads=threads)
    seconds = time.perf_counter() - started
    columns = np.random.default_rng(0).choice(x.shape[1], min(200, x.shape[1]), replace=False)
    behaviour, solved = x.astype(np.float64), weights[:, columns].astype(np.float64)
    # G B_j + l2 B_j - G_j = 0 but in row j: the ridge regression of item j on the others.
    wanted = behaviour.T @ behaviour[:, columns].toarray()
    residual = behaviour.T @ (behaviour @ solved) + L2 * solved - wanted
    residual[columns, np.arange(len(columns))] = 0
    return {
        "workload": {**workloads.shape_of(x), "l2": L2},
        "seconds": seconds,
        "gflops": x.shape[1] ** 3 / seconds / 1e9,
        "checked": "normal equations of 200 columns: residual over right side, Frobenius norms",
        "relative_residual": float(np.linalg.norm(residual) / np.linalg.norm(wanted)),
        "sgemm_gflops": sgemm_rate(),
    }


def blocks(rows: int) -> Iterator[slice]:
    for first in range(0, rows, BLOCK):
        yield slice(first, min(first + BLOCK, rows))


def mirrored(a: NDArray[Any]) -> NDArray[Any]:
    """Copy the upper triangle to the lower one, in place, block by block."""
    for part in blocks(len(a)):
        a[part.stop :, part] = a[part, part.stop :].T
        corner = np.triu(a[part, part])
        a[part, part] = corner + np.triu(corner, 1).T
    return a


def as_weights(inverse: NDArray[Any]) -> NDArray[Any]:
    """Turn the inverse into ESLER's weights, in place."""
    inverse /= -inverse.diagonal().copy()
    np.fill_diagonal(inverse, 0)
    return inverse


def frobenius(ours: NDArray[Any], theirs: NDArray[Any]) -> float:
    """Return the norm of the difference over that of the second, summed in float64."""
    off = whole = 0.0
    for part in blocks(len(ours)):
        exact = theirs[part].astype(np.float64)
        off += float(np.sum((ours[part] - exact) ** 2))
        whole += float(np.sum(exact**2))
    return (off / whole) ** 0.5


def accuracy(matrix: NDArray[np.float32], weights: NDArray[np.float32]) -> dict[str, Any]:
    """Compare weights with float64's: relative Frobenius error, overlap of columns' top 20."""
    available = next(
        int(line.split()[1]) * 1024
        for line in Path("/proc/meminfo").read_text().splitlines()
        if line.startswith("MemAvailable")
    )
    if available < 2.2 * 8 * len(matrix) ** 2:
        return {"left_out": f"the float64 oracle needs more than the {available / 1e9:.1f} GB left"}
    exact = matrix.astype(np.float64)
    np.einsum("ii->i", exact)[:] += L2
    # Threaded potrf crashes on large matrices, in float64 sooner than in float32.
    with threadpool_limits(1 if len(matrix) > 12_000 else None):
        exact = peers.scipy_numpy.inverse_in_place(exact)()
    exact = as_weights(mirrored(exact))
    error = frobenius(weights, exact)
    shares = np.concatenate(
        [_overlap(weights[:, part].T, exact[:, part].T) for part in blocks(len(exact))]
    )
    return {
        "oracle": "float64 potrf and potri",
        "relative_frobenius": error,
        "top_20_overlap_mean": float(shares.mean()),
        "top_20_overlap_min": float(shares.min()),
        "holds": bool(error <= 2e-5 and shares.mean() >= 0.9999),
        "expected": "relative_frobenius <= 2e-5, top_20_overlap_mean >= 0.9999",
    }


def _overlap(ours: NDArray[Any], theirs: NDArray[Any], n: int = 20) -> NDArray[np.float64]:
    is_best = np.zeros(ours.shape, dtype=bool)
    np.put_along_axis(is_best, np.argpartition(-theirs, n, axis=1)[:, :n], True, axis=1)
    best = np.argpartition(-ours, n, axis=1)[:, :n]
    return np.take_along_axis(is_best, best, axis=1).mean(axis=1)


def sgemm_rate(size: int = 4096) -> float:
    """Return SciPy's float32 product rate in GFLOP/s: the machine's, for such kernels."""
    from scipy.linalg.blas import sgemm

    a = np.ones((size, size), dtype=np.float32, order="F")
    out = np.zeros_like(a)
    taken = []
    for _ in range(6):
        started = time.perf_counter()
        sgemm(1.0, a, a, c=out, overwrite_c=1)
        taken.append(time.perf_counter() - started)
    return 2 * size**3 / median(taken[1:]) / 1e9
