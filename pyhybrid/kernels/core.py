"""The compiled core, and how SciPy's matrices reach it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

from pyhybrid.checks import sparse_arrays

try:
    from pyhybrid import _core
except ImportError as error:
    raise ImportError(
        "pyhybrid's C++ core (pyhybrid._core) can't be loaded. In a source folder install it "
        "first: pip install -c constraints.txt -e . ; a wheel must be used from outside the "
        f"source folder ({error})"
    ) from error

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np
    from numpy.typing import NDArray
    from scipy.sparse import csr_array, csr_matrix

    CSR: TypeAlias = csr_array[Any] | csr_matrix[Any]
    Progress: TypeAlias = Callable[[float], object]
    TopN: TypeAlias = tuple[NDArray[np.int32], NDArray[np.float32]]

__all__ = ["_core", "core_csr", "simd_level", "thread_count"]


def core_csr(who: str, what: str, x: Any, *, values: bool = True) -> _core.Csr:
    """Hand a SciPy CSR to the core, without a copy; see `pyhybrid.checks.sparse_arrays`."""
    return _core.Csr(*sparse_arrays(who, what, x, values=values))


def simd_level() -> str:
    """Return the instruction set that the innermost loops use: baseline, avx2 or avx512.

    The best that this processor has, unless PYHYBRID_SIMD in the environment named a lower one when
    this, or a kernel that asks, was first called.

    Raises:
        ValueError: If PYHYBRID_SIMD names none of the three.

    >>> simd_level() in ("baseline", "avx2", "avx512")
    True
    """
    return _core.simd_level()


def thread_count(threads: int = 0) -> int:
    """Return how many threads a kernel runs on that is asked for `threads`.

    >>> thread_count(2), thread_count() >= 1
    (2, True)
    """
    return _core.resolve_threads(threads)
