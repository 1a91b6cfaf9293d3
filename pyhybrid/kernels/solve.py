"""From behaviour to weights: the Gram matrix, and ESLER's solve."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from pyhybrid.checks import check_dense, check_out, positive, running, sparse_arrays
from pyhybrid.errors import describe
from pyhybrid.kernels.core import _core, core_csr
from pyhybrid.memory import require_memory

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from scipy.sparse import csc_array, csc_matrix

    from pyhybrid.kernels.core import CSR, Progress

__all__ = ["esler_weights", "gram"]

_FEWER_ITEMS = "use fewer items (min_count=) or a larger machine"


def gram(
    x: CSR | csc_array[Any] | csc_matrix[Any],
    *,
    dtype: type[np.float32 | np.float64] = np.float32,
    out: NDArray[Any] | None = None,
    threads: int = 0,
    progress: Progress | None = None,
) -> NDArray[Any]:
    """Compute the Gram matrix X^T X of behaviour as a dense matrix.

    For 0/1 data entry (i, j) is the number of users that have both items: exact in float32 up to
    16.7 million users, and additive bit for bit over shards of users. Weights are summed in
    float64 and rounded once.

    One items x items matrix: 1.6 GB in float32 at 20,000 items. Time: the sum over users of
    n_u (n_u + 1) / 2 multiply-adds, n_u being the user's number of items.

    Args:
        x: float32 CSR (users, items). A CSC is turned into a CSR first, which takes its size again.
        dtype: float32 or float64, of the result.
        out: C-contiguous (items, items) array to write to, in place of a new one.
        threads: 0 for all that this process may use.
        progress: Called with the share done.

    Returns:
        (items, items), `out` if that was given.

    Raises:
        TypeError: If `x` is no float32 CSR or CSC, or `out` has the wrong dtype or layout.
        ValueError: If a value is not finite, or an index is out of range.
        MemoryError: If the matrix won't fit.

    >>> from scipy.sparse import csr_array
    >>> x = csr_array(np.array([[1, 1, 0], [1, 0, 1]], dtype=np.float32))
    >>> gram(x)
    array([[2., 1., 1.],
           [1., 1., 0.],
           [1., 0., 1.]], dtype=float32)
    """
    if getattr(x, "format", None) == "csc":
        # SciPy turns it into a CSR without looking whether its indices are in range.
        _core.check(_core.Csr(*sparse_arrays("gram", "x", x, layout="csc")), "gram", "x")
        x = x.tocsr()
    held = core_csr("gram", "x", x)
    running_as = running("gram", threads, progress)
    items = int(x.shape[1])
    if dtype not in ("float32", "float64", np.float32, np.float64):
        raise TypeError(describe("gram", "dtype", _name(dtype), "float32 or float64"))
    if out is None:
        needed = items * items * np.dtype(dtype).itemsize
        require_memory("gram", f"{items} items", needed, "the Gram matrix", _FEWER_ITEMS)
        out = np.empty((items, items), dtype)
    check_out("gram", out, (items, items), dtype)
    _core.gram(held, out, *running_as)
    return out


def esler_weights(
    gram: NDArray[np.float32],
    l2: float,
    *,
    overwrite: bool = False,
    out: NDArray[np.float32] | None = None,
    inverse_diagonal: NDArray[np.float32] | None = None,
    threads: int = 0,
    progress: Progress | None = None,
) -> NDArray[np.float32]:
    """Solve for ESLER's item-to-item weights from a Gram matrix.

    With P = (G + l2 I)^-1: B[i, j] = -P[i, j] / P[j, j] for i != j, and B[j, j] = 0 (Steck,
    "Embarrassingly Shallow Autoencoders for Sparse Data", WWW 2019, eq. 8). Column j holds the
    ridge regression of item j on all other items; negative weights are kept.

    Time: items^3 floating-point operations in float32, by Cholesky in tiles. Memory: with
    ``overwrite=True`` none beside `gram` itself, else one more items x items array.

    Args:
        gram: C-contiguous float32 (items, items), symmetric; one triangle is read.
        l2: The regularisation added to the diagonal, in units of `gram`. Positive.
        overwrite: Solve within `gram`, whose content is lost, also if the solve fails.
        out: Array like `gram` to write to, in place of a new one.
        inverse_diagonal: float32 (items,) to write P's diagonal p to: P = (I - B) diag(p).
        threads: 0 for all that this process may use. SciPy's OpenBLAS is held to that number while
            this runs, for the whole process; another BLAS uses as many as it is set to.
        progress: Called with the share done.

    Returns:
        float32 (items, items): `gram` itself with ``overwrite=True``, `out` if that was given.

    Raises:
        TypeError: If an array is not C-contiguous and float32.
        ValueError: If an array has another shape, `l2` is not positive, or gram + l2 I is not
            positive definite.
        MemoryError: If the copy won't fit.

    >>> x = np.array([[1, 1, 0], [1, 1, 1]], dtype=np.float32)
    >>> esler_weights(x.T @ x, l2=1.0).round(3)
    array([[0. , 0.6, 0.2],
           [0.6, 0. , 0.2],
           [0.2, 0.2, 0. ]], dtype=float32)
    """
    check_dense("esler_weights", "gram", gram, np.float32)
    running_as = running("esler_weights", threads, progress)
    items = gram.shape[0]
    if gram.shape != (items, items):
        raise ValueError(describe("esler_weights", "gram's shape", gram.shape, "(items, items)"))
    if overwrite:
        if out is not None:
            raise ValueError(
                describe("esler_weights", "out", "given", "None with overwrite=True", "pass one")
            )
        out = gram
    elif out is None:
        needed = gram.nbytes
        require_memory(
            "esler_weights", f"{items} items", needed, "the weights", "pass overwrite=True"
        )
        out = np.empty_like(gram)
    check_out("esler_weights", out, gram.shape, np.float32)
    if inverse_diagonal is not None:
        check_out("esler_weights", inverse_diagonal, (items,), np.float32, "inverse_diagonal")
    l2 = positive("esler_weights", "l2", l2)
    if out is not gram:
        _copy(out, gram)
    _core.esler_weights(out, l2, inverse_diagonal, *running_as)
    return out


def _copy(target: NDArray[np.float32], source: NDArray[np.float32]) -> None:
    """Copy some rows at a time, between which Ctrl-C is heard."""
    if np.may_share_memory(target, source):
        np.copyto(target, source)
        return
    for first in range(0, len(source), 512):
        target[first : first + 512] = source[first : first + 512]


def _name(dtype: object) -> str:
    return dtype.__name__ if isinstance(dtype, type) else str(dtype)
