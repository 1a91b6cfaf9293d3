"""Checks of what callers pass in, worded alike everywhere."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from numbers import Real
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from pyhybrid.errors import describe

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

__all__ = [
    "check_dense",
    "check_dtype",
    "check_layout",
    "check_out",
    "check_share",
    "count",
    "integers",
    "metric_names",
    "not_negative",
    "one_of",
    "positive",
    "running",
    "share",
    "share_of",
    "sparse_arrays",
    "switch",
]


_MOST_THREADS = 4096


def count(who: str, what: str, value: object, *, least: int = 1) -> int:
    """Return `value` as an int if it is an integer of at least `least`.

    >>> count("ESLER", "min_count", 5)
    5
    """
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)):
        raise TypeError(describe(who, what, repr(value), "an integer"))
    if value < least:
        raise ValueError(describe(who, what, value, f"{least} or more"))
    return int(value)


def positive(who: str, what: str, value: object) -> float:
    """Return `value` as a float if it is a finite number above 0.

    >>> positive("ESLER", "l2", 500)
    500.0
    """
    if isinstance(value, bool) or not isinstance(value, Real):
        raise TypeError(describe(who, what, repr(value), "a positive number"))
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not (math.isfinite(number) and number > 0):
        raise ValueError(describe(who, what, value, "a positive number"))
    return number


def not_negative(who: str, what: str, value: object) -> float:
    """Return `value` as a float if it is a finite number of at least 0.

    >>> not_negative("SASRec", "weight_decay", 0)
    0.0
    """
    return _between(who, what, value, "a number of at least 0", math.inf)


def share(who: str, what: str, value: object) -> float:
    """Return `value` as a float if it is a share that may be 0 but not 1.

    >>> share("SASRec", "dropout", 0.5)
    0.5
    """
    return _between(who, what, value, "a share of at least 0 and below 1", 1.0)


def share_of(who: str, what: str, value: object) -> float:
    """Return `value` as a float if it is a share of something: above 0, and all of it at most.

    >>> share_of("Popularity", "newest", 1)
    1.0
    """
    expected = "a share above 0 and up to 1"
    found = _between(who, what, value, expected, math.nextafter(1.0, 2.0))
    if not found:
        raise ValueError(describe(who, what, value, expected))
    return found


def probability(who: str, what: str, value: object) -> float:
    """Return `value` as a float if it is a number from 0 to 1, both included.

    >>> probability("VQRec", "rho", 1)
    1.0
    """
    return _between(who, what, value, "a number from 0 to 1", math.nextafter(1.0, 2.0))


def _between(who: str, what: str, value: object, expected: str, below: float) -> float:
    if isinstance(value, bool) or not isinstance(value, Real):
        raise TypeError(describe(who, what, repr(value), expected))
    if not 0 <= float(value) < below:
        raise ValueError(describe(who, what, value, expected))
    return float(value)


Choice = TypeVar("Choice")


def one_of(who: str, what: str, value: Choice, choices: Sequence[Choice]) -> Choice:
    """Return `value` if it is one of the choices.

    >>> one_of("SASRec", "loss", "bce", ("softmax", "bce"))
    'bce'
    """
    if value not in choices:
        raise ValueError(describe(who, what, repr(value), " or ".join(map(repr, choices))))
    return value


def check_share(who: str, what: str, value: object) -> None:
    """Raise TypeError or ValueError unless `value` is a number between 0 and 1, neither included.

    >>> check_share("strong", "fold_in", 0.8)
    """
    if isinstance(value, bool) or not isinstance(value, Real):
        raise TypeError(describe(who, what, repr(value), "a share between 0 and 1"))
    if not 0 < float(value) < 1:
        raise ValueError(describe(who, what, value, "a share between 0 and 1"))


def integers(who: str, what: str, values: ArrayLike) -> NDArray[np.integer[Any]]:
    """Return positions of items as an array, if they are integers.

    >>> integers("recommend", "deny", [3, 1])
    array([3, 1])
    """
    array = np.asarray(values)
    if array.size and not np.issubdtype(array.dtype, np.integer):
        way_out = "find positions by id with item_positions"
        raise TypeError(describe(who, f"{what}'s dtype", array.dtype, "integer", way_out))
    return array if array.size else array.astype(np.int32)


def switch(who: str, what: str, value: object) -> bool:
    """Return `value` if it is True or False.

    >>> switch("ESLER", "keep_gram", True)
    True
    """
    if not isinstance(value, (bool, np.bool_)):
        raise TypeError(describe(who, what, repr(value), "True or False"))
    return bool(value)


def running(who: str, threads: object, progress: object) -> tuple[int, Any]:
    """Return how a kernel is to run, if `threads` is a number of them and `progress` callable.

    >>> running("gram", 2, None)
    (2, None)
    """
    if progress is not None and not callable(progress):
        raise TypeError(describe(who, "progress", repr(progress), "None or a callable"))
    return min(count(who, "threads", threads, least=0), _MOST_THREADS), progress


def metric_names(who: str, metrics: object) -> list[str]:
    """Return distinct names of metrics, in order.

    >>> metric_names("evaluate", ["ndcg@10", "recall@20", "ndcg@10"])
    ['ndcg@10', 'recall@20']
    """
    listed = list(metrics) if isinstance(metrics, Iterable) else [metrics]
    names = [name for name in listed if isinstance(name, str)]
    if isinstance(metrics, str) or len(names) < len(listed):
        expected = 'a list of names such as "ndcg@100"'
        raise TypeError(describe(who, "metrics", repr(metrics), expected))
    return list(dict.fromkeys(names))


def sparse_arrays(
    who: str, what: str, x: Any, *, layout: str = "csr", values: bool = True
) -> tuple[int, int, NDArray[Any], NDArray[Any], NDArray[np.float32] | None]:
    """Take a SciPy CSR (or CSC) apart: rows, columns (a CSC's the other way round), its arrays.

    The entries' values are left out with ``values=False``, whatever their dtype. That indices are
    in range is left to the core.

    Raises:
        TypeError: If it has another layout, or a dtype other than float32, or indices other than
            int32 or int64.
        ValueError: If it is not a matrix.
    """
    if getattr(x, "format", None) != layout:
        found = f"a {x.format} matrix" if hasattr(x, "format") else f"a {type(x).__name__}"
        way_out = f"use {layout}_array({what})"
        raise TypeError(describe(who, what, found, f"a SciPy {layout.upper()}", way_out))
    if x.ndim != 2:
        raise ValueError(describe(who, f"{what}'s number of dimensions", x.ndim, "2"))
    if values and x.dtype != np.float32:
        way_out = f"use {what}.astype(np.float32)"
        raise TypeError(describe(who, f"{what}'s dtype", x.dtype, "float32", way_out))
    for name in ("indptr", "indices", *(("data",) if values else ())):
        array = getattr(x, name)
        if name != "data" and getattr(array, "dtype", None) not in _INDEX_DTYPES:
            found = getattr(array, "dtype", f"that of a {type(array).__name__}")
            raise TypeError(describe(who, f"{what}.{name}'s dtype", found, "int32 or int64"))
        if array.ndim != 1 or not (array.flags.c_contiguous and array.flags.aligned):
            found = f"{array.ndim}-dimensional with strides {array.strides}"
            if not array.flags.aligned:
                found = "not aligned in memory"
            raise TypeError(describe(who, f"{what}.{name}", found, "a contiguous, aligned vector"))
    rows, columns = (int(size) for size in (x.shape if layout == "csr" else x.shape[::-1]))
    return rows, columns, x.indptr, x.indices, x.data if values else None


_INDEX_DTYPES = (np.dtype(np.int32), np.dtype(np.int64))


def check_dtype(who: str, what: str, array: object, dtype: type[np.generic]) -> None:
    """Raise TypeError unless `array` is a NumPy array of that dtype."""
    name = np.dtype(dtype).name
    found = array.dtype if isinstance(array, np.ndarray) else f"that of a {type(array).__name__}"
    if found != np.dtype(dtype):
        way_out = f"use np.asarray({what}, dtype=np.{name})"
        raise TypeError(describe(who, f"{what}'s dtype", found, name, way_out))


def check_dense(
    who: str, what: str, array: NDArray[Any], dtype: type[np.generic], *, dimensions: int = 2
) -> None:
    """Raise TypeError or ValueError unless `array` is a C-contiguous matrix of that dtype.

    Or, with another number of `dimensions`, an array of so many.
    """
    check_dtype(who, what, array, dtype)
    if array.ndim != dimensions:
        expected = str(dimensions)
        raise ValueError(describe(who, f"{what}'s number of dimensions", array.ndim, expected))
    check_layout(who, what, array)


def check_layout(who: str, what: str, array: NDArray[Any]) -> None:
    """Raise TypeError unless `array` is C-contiguous and aligned."""
    if not array.flags.aligned:
        way_out = f"use {what}.copy()"
        raise TypeError(describe(who, what, "not aligned in memory", "aligned numbers", way_out))
    if not array.flags.c_contiguous:
        way_out = f"use np.ascontiguousarray({what})"
        raise TypeError(describe(who, f"{what}'s layout", "not C-contiguous", "C order", way_out))


def check_out(
    who: str,
    out: NDArray[Any],
    shape: tuple[int, ...],
    dtype: type[np.generic],
    what: str = "out",
) -> None:
    """Raise TypeError or ValueError unless a result of that shape and dtype can go to `out`."""
    name = np.dtype(dtype).name
    if isinstance(out, np.ndarray) and out.dtype != dtype:
        way_out = f"pass an {what} of that dtype"
        raise TypeError(describe(who, f"{what}'s dtype", out.dtype, name, way_out))
    check_dense(who, what, out, dtype, dimensions=len(shape))
    if out.shape != shape:
        raise ValueError(describe(who, f"{what}'s shape", out.shape, str(shape)))
    if not out.flags.writeable:
        raise ValueError(describe(who, what, "read-only", "an array that can be written to"))
