"""Checks of what callers pass in, worded alike everywhere."""

from __future__ import annotations

import math
from numbers import Real
from typing import TYPE_CHECKING, Any

import numpy as np

from pyhybrid.errors import describe

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["check_dense", "check_dtype", "check_out", "count", "positive"]


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
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, (Real, np.number)):
        raise TypeError(describe(who, what, repr(value), "a positive number"))
    number = float(value)
    if not (math.isfinite(number) and number > 0):
        raise ValueError(describe(who, what, value, "a positive number"))
    return number


def check_dtype(who: str, what: str, array: object, dtype: type[np.generic]) -> None:
    """Raise TypeError unless `array` is a NumPy array of that dtype."""
    name = np.dtype(dtype).name
    found = array.dtype if isinstance(array, np.ndarray) else f"that of a {type(array).__name__}"
    if found != np.dtype(dtype):
        way_out = f"use np.asarray({what}, dtype=np.{name})"
        raise TypeError(describe(who, f"{what}'s dtype", found, name, way_out))


def check_dense(who: str, what: str, array: NDArray[Any], dtype: type[np.generic]) -> None:
    """Raise TypeError or ValueError unless `array` is a C-contiguous matrix of that dtype."""
    check_dtype(who, what, array, dtype)
    if array.ndim != 2:
        raise ValueError(describe(who, f"{what}'s number of dimensions", array.ndim, "2"))
    if not array.flags.c_contiguous:
        way_out = f"use np.ascontiguousarray({what})"
        raise TypeError(describe(who, f"{what}'s layout", "not C-contiguous", "C order", way_out))


def check_out(who: str, out: NDArray[Any], shape: tuple[int, ...], dtype: type[np.generic]) -> None:
    """Raise TypeError or ValueError unless a result of that shape and dtype can go to `out`."""
    check_dense(who, "out", out, dtype)
    if out.shape != shape:
        raise ValueError(describe(who, "out's shape", out.shape, str(shape)))
    if not out.flags.writeable:
        raise ValueError(describe(who, "out", "read-only", "an array that can be written to"))
