"""The ids of users and items: whole numbers or strings, checked once and matched by value.

An axis of ids is a NumPy array: int64, or dtype object holding str. A column of ids, which may
repeat, is an int64 array or an Arrow array of strings, so that millions of rows never become
millions of Python strings. Numbers never match strings: 7 is not "7".
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from pyhybrid.errors import describe

if TYPE_CHECKING:
    import pyarrow as pa
    from numpy.typing import NDArray

    Ids: TypeAlias = NDArray[Any]
    IdColumn: TypeAlias = NDArray[np.int64] | pa.Array

__all__ = [
    "as_ids",
    "column_of",
    "encode",
    "extend",
    "join",
    "pick",
    "positions",
    "spelled",
    "whole_numbers",
]

_RULE = "whole numbers or strings, one kind throughout"


def as_ids(values: Any, who: str, what: str, *, size: int | None = None) -> Ids:
    """Check the ids of an axis, each of which stands there once.

    Args:
        values: A list, a NumPy array or an Arrow array of whole numbers or strings.
        who: Who asks, as errors name it.
        what: The values' name in errors.
        size: How many there must be, if that is known.

    Returns:
        An int64 array, or an array of dtype object holding str, in the order given.

    Raises:
        TypeError: If a value is neither a whole number nor a string, or the kinds are mixed.
        ValueError: If a value is missing, does not fit 64 bits, or stands there twice, or if
            there are not `size`.

    >>> as_ids([30, 10, 20], "fit", "items")
    array([30, 10, 20])
    >>> as_ids(["b", "a", "b"], "fit", "items")
    Traceback (most recent call last):
    ValueError: fit: row 2 of items is 'b', which stands there before; expected each id once
    """
    column = column_of(values, who, what)
    if size is not None and len(column) != size:
        raise ValueError(describe(who, f"the number of {what}", len(column), str(size)))
    distinct, codes = encode(column)
    if len(distinct) < len(column):
        _, first = np.unique(codes, return_index=True)
        row = np.setdiff1d(np.arange(len(column)), first)[0]
        seen = f"{column[row : row + 1].tolist()[0]!r}, which stands there before"
        raise ValueError(describe(who, f"row {row} of {what}", seen, "each id once"))
    return _axis(column)


def positions(values: Any, ids: Any, who: str = "positions") -> NDArray[np.int64]:
    """Find each value's index in `ids`, -1 where `ids` does not hold it.

    Raises:
        TypeError: If one is strings and the other whole numbers.

    >>> positions([7, 9, 8], [9, 7])
    array([ 1,  0, -1])
    >>> positions(["7"], [9, 7])
    Traceback (most recent call last):
    TypeError: positions: ids is strings; expected whole numbers, like the ids looked up among
    """
    values, ids = column_of(values, who, "ids"), column_of(ids, who, "known ids")
    if not len(values) or not len(ids):
        return np.full(len(values), -1)
    if _kind(values) != _kind(ids):
        expected = f"{_kind(ids)}, like the ids looked up among"
        raise TypeError(describe(who, "ids", _kind(values), expected))
    if isinstance(ids, np.ndarray):
        distinct, codes = encode(values)
        order = np.argsort(ids)
        slot = np.searchsorted(ids, distinct, sorter=order).clip(max=len(ids) - 1)
        return np.where(ids[order[slot]] == distinct, order[slot], -1)[codes]
    import pyarrow.compute as pc

    found = pc.index_in(values, value_set=ids).fill_null(-1)
    return np.asarray(found.to_numpy(), np.int64)


def extend(previous: Ids | None, values: IdColumn, who: str = "extend") -> Ids:
    """Append to `previous` the ids it does not hold yet, sorted among themselves.

    Numbers sort by value and strings by code point, so that the result depends on which ids
    there are and never on the order of rows or files.

    Raises:
        TypeError: If one is strings and the other whole numbers.

    >>> extend(None, np.array([3, 1, 2, 3]))
    array([1, 2, 3])
    >>> extend(np.array([5, 2]), np.array([3, 1, 2, 3]))
    array([5, 2, 1, 3])
    """
    distinct, _ = encode(values)
    if not isinstance(distinct, np.ndarray):
        import pyarrow.compute as pc

        distinct = distinct.take(pc.array_sort_indices(distinct))
    if previous is None or not len(previous):
        return _axis(distinct)
    new = _axis(distinct)[positions(distinct, previous, who) < 0]
    return np.concatenate([previous, new]) if len(new) else previous


def encode(column: IdColumn) -> tuple[IdColumn, NDArray[np.int64]]:
    """Return a column's distinct ids, and for each row the index of its id among them.

    >>> encode(np.array([30, 10, 30]))
    (array([10, 30]), array([1, 0, 1]))
    """
    if not isinstance(column, np.ndarray):
        encoded = column.dictionary_encode()
        return encoded.dictionary, np.asarray(encoded.indices.to_numpy(), np.int64)
    low, high = (int(column.min()), int(column.max())) if len(column) else (0, 0)
    if high - low > 2 * len(column) + 65536:
        return np.unique(column, return_inverse=True)
    present = np.zeros(high - low + 1, bool)  # ids are mostly dense: 30 times faster than sorting
    present[column - low] = True
    return np.flatnonzero(present) + low, (np.cumsum(present) - 1)[column - low]


def join(columns: list[IdColumn], who: str, what: str) -> IdColumn:
    """Put columns of one kind one after the other; empty ones are of any kind.

    Raises:
        TypeError: If some are strings and others whole numbers.

    >>> join([np.array([3, 1]), np.array([2])], "read", "user ids")
    array([3, 1, 2])
    """
    columns = [column for column in columns if len(column)]
    kinds = {_kind(column): None for column in columns}
    if len(kinds) > 1:
        raise TypeError(describe(who, what, " after ".join(reversed(kinds)), _RULE))
    if len(columns) <= 1:
        return columns[0] if columns else np.empty(0, np.int64)
    if isinstance(columns[0], np.ndarray):
        return np.concatenate(columns)
    import pyarrow as pa

    return pa.concat_arrays(columns)


def pick(column: IdColumn, mask: NDArray[np.bool_]) -> IdColumn:
    """Return the rows of a column where `mask` is True."""
    if isinstance(column, np.ndarray):
        return column[mask]
    import pyarrow as pa

    return column.filter(pa.array(mask))


def whole_numbers(column: IdColumn) -> NDArray[np.int64] | None:
    """Return the numbers that all strings of a column spell, or None if one spells none.

    Only the one way to write a number counts, so that numbers and strings stand one to one:
    "7" is a number, "007", "+7", "7.0" and " 7" are not.

    >>> import pyarrow as pa
    >>> whole_numbers(pa.array(["7", "-12", "0"]))
    array([  7, -12,   0])
    >>> whole_numbers(pa.array(["7", "007"])) is None
    True
    """
    if isinstance(column, np.ndarray):
        return column
    import pyarrow.compute as pc

    spelled = pc.match_substring_regex(column, r"^(0|-?[1-9][0-9]{0,17})$")
    return np.asarray(column.cast("int64")) if pc.all(spelled).as_py() else None


def spelled(numbers: NDArray[np.int64]) -> IdColumn:
    """Return numbers as the strings that `whole_numbers` reads them from."""
    import pyarrow as pa

    return pa.array(numbers).cast(pa.large_string())


def column_of(values: Any, who: str, what: str, *, row: int = 0) -> IdColumn:
    """Check a column of ids and bring it to int64 or to Arrow strings.

    Args:
        values: A list, a NumPy array or an Arrow array of whole numbers or strings.
        who: Who asks, as errors name it.
        what: The values' name in errors.
        row: The number of the first row in errors.

    Raises:
        TypeError: If a value is neither a whole number nor a string, or the kinds are mixed.
        ValueError: If a value is missing or does not fit 64 bits.

    >>> column_of([1, 2.5], "read", "column 'user'")
    Traceback (most recent call last):
    TypeError: read: row 1 of column 'user' is 2.5 (float); expected whole numbers or strings, \
one kind throughout
    """
    if hasattr(values, "__arrow_c_array__") or hasattr(values, "__arrow_c_stream__"):
        return _from_arrow(values, who, what, row)
    array = np.asarray(values) if hasattr(values, "__array__") else np.array(values, object)
    if array.ndim != 1:
        raise ValueError(describe(who, what, f"{array.ndim}-dimensional", "one dimension"))
    if not len(array):
        return np.empty(0, np.int64)
    if array.dtype.kind in "OUT":
        return _from_objects(array.tolist(), who, what, row)
    if array.dtype.kind not in "iu":
        found = f"{array[0]} ({array.dtype})"
        raise TypeError(describe(who, f"row {row} of {what}", found, _RULE))
    if array.dtype == np.uint64 and array.max() > np.iinfo(np.int64).max:
        raise _fault(array.tolist(), who, what, row)
    return array.astype(np.int64, copy=False)


def is_text(kind: pa.DataType) -> bool:
    """Tell whether an Arrow type is one of its types of string."""
    from pyarrow import types

    tests = (types.is_string, types.is_large_string, types.is_string_view)
    return any(test(kind) for test in tests)


def as_strings(ids: Ids) -> Ids:
    """Spell ids that are whole numbers; strings stay as they are.

    What text files hold is read as numbers where all of it looks like numbers. This undoes it
    where other files show that the ids are strings.

    >>> as_strings(np.array([7, -1]))
    array(['7', '-1'], dtype=object)
    """
    return ids if ids.dtype == object else _axis(spelled(ids))


def arrow_ids(ids: Ids) -> pa.Array:
    """Return ids as an Arrow array, of the same type whether there are any or none.

    >>> str(arrow_ids(np.empty(0, object)).type)
    'large_string'
    """
    import pyarrow as pa

    # large_string: its offsets don't overflow when ids are repeated over many rows
    return pa.array(ids, type=pa.large_string() if ids.dtype == object else pa.int64())


def _from_objects(values: list[Any], who: str, what: str, row: int) -> IdColumn:
    kinds = {_kind_of_type(kind) for kind in set(map(type, values))}
    if kinds == {"strings"}:
        import pyarrow as pa

        return pa.array(values, pa.large_string())
    if kinds == {"whole numbers"}:
        with suppress(OverflowError):
            return np.array(values, np.int64)
    raise _fault(values, who, what, row)


def _from_arrow(values: Any, who: str, what: str, row: int) -> IdColumn:
    import pyarrow as pa

    if hasattr(values, "__arrow_c_array__"):
        return _from_arrow_array(pa.array(values), who, what, row)
    parts = []
    for chunk in pa.chunked_array(values).chunks:
        if len(chunk):
            parts.append(_from_arrow_array(chunk, who, what, row))
        row += len(chunk)
    return join(parts, who, what)


def _from_arrow_array(array: pa.Array, who: str, what: str, row: int) -> IdColumn:
    import pyarrow as pa

    if not len(array):
        return np.empty(0, np.int64)
    if pa.types.is_dictionary(array.type):
        values = array.dictionary
        if pa.types.is_string_view(values.type):  # has no kernel for take
            values = values.cast(pa.large_string())
        array = values.take(array.indices)
    if not array.null_count:
        if pa.types.is_integer(array.type):
            with suppress(pa.ArrowInvalid):  # beyond 64 bits
                return np.asarray(array.cast(pa.int64()).to_numpy())
        elif is_text(array.type):
            return array.cast(pa.large_string())
    raise _fault(array.to_pylist(), who, what, row)


def _fault(values: list[Any], who: str, what: str, row: int) -> TypeError | ValueError:
    """Word the error for the first value that is no id, or not of the first one's kind."""
    first = _kind_of_type(type(values[0]))
    for index, value in enumerate(values, row):
        kind = _kind_of_type(type(value))
        place = f"row {index} of {what}"
        if value is None or value != value:
            return ValueError(describe(who, place, "missing", _RULE))
        if kind is None or kind != first:
            return TypeError(describe(who, place, f"{value!r} ({type(value).__name__})", _RULE))
        if kind == "whole numbers" and not -(2**63) <= value < 2**63:
            return ValueError(describe(who, place, value, "a number of 64 bits"))
    return TypeError(describe(who, what, "not readable", _RULE))


def _kind_of_type(kind: type) -> str | None:
    if issubclass(kind, str):
        return "strings"
    whole = issubclass(kind, (int, np.integer)) and kind is not bool
    return "whole numbers" if whole else None


def _kind(column: IdColumn) -> str:
    return "whole numbers" if isinstance(column, np.ndarray) else "strings"


def _axis(column: IdColumn) -> Ids:
    if isinstance(column, np.ndarray):
        return column
    return np.asarray(column.to_numpy(zero_copy_only=False), object)
