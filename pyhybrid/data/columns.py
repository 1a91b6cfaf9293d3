"""The columns of a table of interactions, checked and brought to the dtypes worked with."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from pyhybrid.data.ids import column_of, pick
from pyhybrid.data.tables import Column
from pyhybrid.errors import describe

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import pyarrow as pa
    from numpy.typing import NDArray

    from pyhybrid.data.ids import IdColumn
    from pyhybrid.data.tables import Tables

__all__ = ["Chunk", "Rows", "as_numbers", "as_times", "as_weights"]


class Chunk(NamedTuple):
    """Some rows, checked: ids as `column_of` gives them, finite weights and times."""

    users: IdColumn
    items: IdColumn
    weights: NDArray[np.float32] | None = None
    times: NDArray[Any] | None = None

    def filter(self, mask: NDArray[np.bool_]) -> Chunk:
        """Return the rows where `mask` is True."""
        return Chunk(
            pick(self.users, mask),
            pick(self.items, mask),
            None if self.weights is None else self.weights[mask],
            None if self.times is None else self.times[mask],
        )

    def cut(self, rows: slice) -> Chunk:
        """Return some rows that stand together, without a copy."""
        return Chunk(
            self.users[rows],
            self.items[rows],
            None if self.weights is None else self.weights[rows],
            None if self.times is None else self.times[rows],
        )


class Rows(NamedTuple):
    """Name the columns of a table that hold users, items, weights, times and ratings."""

    user: str
    item: str
    weight: str | None
    time: str | None
    rating: str | None
    min_rating: float | None

    def columns(self, who: str) -> list[Column]:
        """Return the columns to read.

        Raises:
            ValueError: If of `rating` and `min_rating` one is given without the other.
        """
        if (self.rating is None) != (self.min_rating is None):
            found = f"{self.rating!r} and min_rating {self.min_rating!r}"
            raise ValueError(describe(who, "rating", found, "both or neither"))
        kinds = {"user": "string", "item": "string", "weight": "float64", "rating": "float64"}
        named = [(name, keyword) for keyword, name in zip(self._fields[:5], self[:5], strict=True)]
        return [Column(name, keyword, kinds.get(keyword)) for name, keyword in named if name]

    def chunks(self, tables: Tables, who: str) -> Iterator[Chunk]:
        """Check the tables' rows and yield those that are rated high enough."""
        row = 0
        kinds = set()
        for batch in tables.batches():
            yield self._chunk(batch, who, row)
            row += len(batch)
            if self.time is not None:  # both become int64: seconds beside microseconds
                kinds.add(_is_temporal(batch.schema.field(self.time).type))
            if len(kinds) > 1:
                what, found = f"column {self.time!r}", "timestamps here and numbers there"
                raise TypeError(describe(who, what, found, "one kind throughout"))

    def _chunk(self, batch: pa.RecordBatch, who: str, row: int) -> Chunk:
        def read(name: str | None, check: Callable[..., Any]) -> Any:
            if name is None:
                return None
            return check(batch.column(name), who, f"column {name!r}", row=row)

        chunk = Chunk(
            read(self.user, column_of),
            read(self.item, column_of),
            read(self.weight, as_weights),
            read(self.time, as_times),
        )
        ratings = read(self.rating, as_numbers)
        return chunk if ratings is None else chunk.filter(ratings >= self.min_rating)


def as_numbers(values: Any, who: str, what: str, *, row: int = 0) -> NDArray[Any]:
    """Check a column of finite numbers; `row` numbers its first in errors.

    Returns:
        An array of the numbers' own dtype, whole or floating.

    Raises:
        TypeError: If a value is no number.
        ValueError: If a value is missing, NaN or infinite.

    >>> as_numbers([1.0, float("nan")], "read", "column 'weight'")
    Traceback (most recent call last):
    ValueError: read: row 1 of column 'weight' is nan; expected a finite number
    """
    array = _arrow(values)
    numbers = np.asarray(values) if array is None else _from_arrow(array, who, what, row)
    if numbers.ndim != 1:
        raise ValueError(describe(who, what, f"{numbers.ndim}-dimensional", "one dimension"))
    if numbers.dtype == object:
        for place, value in enumerate(numbers.tolist(), row):
            _require_number(value, who, f"row {place} of {what}")
        numbers = numbers.astype(np.float64)
    if numbers.dtype.kind not in "iuf":
        raise TypeError(describe(who, f"dtype of {what}", numbers.dtype, "numbers"))
    return _finite(numbers, numbers, who, what, row)


def as_weights(values: Any, who: str, what: str, *, row: int = 0) -> NDArray[np.float32]:
    """Check a column as `as_numbers` does and bring it to float32.

    Raises:
        TypeError: If a value is no number.
        ValueError: If a value is missing, NaN, infinite or beyond float32.

    >>> as_weights([1, 0.5], "read", "column 'weight'")
    array([1. , 0.5], dtype=float32)
    """
    numbers = as_numbers(values, who, what, row=row)
    with np.errstate(over="ignore"):
        return _finite(numbers.astype(np.float32, copy=False), numbers, who, what, row)


def as_times(values: Any, who: str, what: str, *, row: int = 0) -> NDArray[Any]:
    """Check a column of times: numbers stay as they are, timestamps become microseconds.

    Returns:
        An int64 or float64 array.

    Raises:
        TypeError: If a value is neither a number nor a timestamp.
        ValueError: If a value is missing, NaN or infinite.

    >>> as_times(np.array(["1970-01-02"], "datetime64[D]"), "read", "column 'time'")
    array([86400000000])
    """
    if isinstance(values, np.ndarray) and values.dtype.kind == "M":
        _refuse_missing(np.isnat(values), who, what, row)
        values = values.astype("datetime64[us]").astype(np.int64)
    array = _arrow(values)
    if array is not None:
        import pyarrow as pa

        if _is_temporal(array.type):
            zone = getattr(array.type, "tz", None)
            array = array.cast(pa.timestamp("us", zone), safe=False).cast(pa.int64())
        values = array
    numbers = as_numbers(values, who, what, row=row)
    if numbers.dtype.kind == "f":
        return numbers.astype(np.float64, copy=False)
    if numbers.dtype == np.uint64 and len(numbers) and numbers.max() >= 2**63:
        raise ValueError(describe(who, f"{what} at its largest", numbers.max(), "a 64-bit number"))
    return numbers.astype(np.int64, copy=False)


def _is_temporal(kind: pa.DataType) -> bool:
    from pyarrow import types

    return bool(types.is_timestamp(kind) or types.is_date(kind))


def _arrow(values: Any) -> pa.Array | None:
    """Return what is an Arrow array or stream as one array, and None for all else."""
    if hasattr(values, "__arrow_c_array__"):
        import pyarrow as pa

        return pa.array(values)
    if hasattr(values, "__arrow_c_stream__"):
        import pyarrow as pa

        return pa.concat_arrays(pa.chunked_array(values).chunks or [pa.nulls(0)])
    return None


def _from_arrow(array: pa.Array, who: str, what: str, row: int) -> NDArray[Any]:
    from pyarrow import float64, types

    if array.null_count:
        _refuse_missing(np.asarray(array.is_null()), who, what, row)
    if types.is_decimal(array.type):
        array = array.cast(float64())
    return np.asarray(array.to_numpy(zero_copy_only=False))


def _refuse_missing(mask: NDArray[np.bool_], who: str, what: str, row: int) -> None:
    if mask.any():
        place = f"row {row + int(mask.argmax())} of {what}"
        raise ValueError(describe(who, place, "missing", "a finite number"))


def _require_number(value: object, who: str, what: str) -> None:
    if value is None:
        raise ValueError(describe(who, what, "missing", "a finite number"))
    if isinstance(value, bool) or not isinstance(value, int | float):
        found = f"{value!r} ({type(value).__name__})"
        raise TypeError(describe(who, what, found, "a finite number"))


def _finite(
    numbers: NDArray[Any], shown: NDArray[Any], who: str, what: str, row: int
) -> NDArray[Any]:
    bad = ~np.isfinite(numbers)
    if bad.any():
        first = int(bad.argmax())
        place = f"row {row + first} of {what}"
        raise ValueError(describe(who, place, shown[first], "a finite number"))
    return numbers
