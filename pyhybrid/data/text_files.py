"""Text files of the public data sets: found under any compression, read whole into tables."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from pyhybrid.data.ids import column_of, whole_numbers
from pyhybrid.data.interactions import Interactions
from pyhybrid.errors import describe

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    import pyarrow as pa

    from pyhybrid.data.ids import IdColumn

__all__ = [
    "find",
    "ids_of",
    "interactions_of",
    "read_json_lines",
    "read_lists",
    "read_table",
    "read_text",
    "table_of",
]

_WHO = "open_folder"


def find(folder: Path, pattern: str) -> Path | None:
    """Find the first file of a name or glob pattern: plain, or else with .gz or .zst."""
    for ending in ("", ".gz", ".zst"):
        for path in sorted(folder.glob(pattern + ending)):
            return path
    return None


def read_text(path: Path) -> str:
    """Read a file of UTF-8 or, as old data sets have it, Latin-1.

    Raises:
        ValueError: If the file is cut off or corrupt.
    """
    import pyarrow as pa

    try:
        with pa.input_stream(str(path)) as stream:  # decompresses by the path's ending
            data = stream.read()
    except OSError as error:
        raise ValueError(
            describe(_WHO, str(path), f"unreadable ({error})", "a whole file")
        ) from error
    try:
        return str(data, "utf-8")
    except UnicodeDecodeError:
        return str(data, "latin-1")


def read_table(
    path: Path, types: Mapping[str, str | None], *, delimiter: str = "\t", header: bool = False
) -> pa.Table:
    r"""Read delimited text without quotes.

    Args:
        path: The file.
        types: Each column's name and Arrow type; None lets the values tell.
        delimiter: One or more characters.
        header: Whether the first line is one, to be skipped.

    Raises:
        ValueError: If the file is corrupt, or its columns are not these.

    >>> import pathlib, tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = pathlib.Path(folder) / "ratings.dat"
    ...     _ = path.write_text("7::5\n8::3\n")
    ...     read_table(path, {"user_id": "string", "rating": None}, delimiter="::").to_pydict()
    {'user_id': ['7', '8'], 'rating': [5, 3]}
    """
    import pyarrow as pa
    from pyarrow import csv

    text = read_text(path)
    if delimiter != "\t":
        text = text.replace(delimiter, "\t")  # Arrow's reader knows single characters alone
    try:
        return csv.read_csv(
            pa.BufferReader(text.encode()),
            csv.ReadOptions(column_names=list(types), skip_rows=int(header)),
            csv.ParseOptions(delimiter="\t", quote_char=False),
            csv.ConvertOptions(column_types={name: kind for name, kind in types.items() if kind}),
        )
    except pa.ArrowInvalid as error:
        expected = f"rows of {', '.join(types)}"
        raise ValueError(describe(_WHO, str(path), f"unreadable ({error})", expected)) from error


def read_lists(path: Path) -> pa.Table:
    r"""Read lines ``user item item ...`` into a table of user_id and item_id, a row a pair.

    >>> import pathlib, tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = pathlib.Path(folder) / "train.txt"
    ...     _ = path.write_text("7 a b\n8 a\n")
    ...     read_lists(path).to_pydict()
    {'user_id': ['7', '7', '8'], 'item_id': ['a', 'b', 'a']}
    """
    rows = [line.split() for line in read_text(path).split("\n")]
    return table_of((row[0], row[1:]) for row in rows if row)


def table_of(histories: Iterable[tuple[object, Sequence[object]]]) -> pa.Table:
    """Turn users with their items into a table of user_id and item_id, a row a pair.

    >>> table_of([(7, ["a", "b"]), (8, [])]).to_pydict()
    {'user_id': ['7', '7'], 'item_id': ['a', 'b']}
    """
    import pyarrow as pa

    pairs = [(str(user), str(item)) for user, items in histories for item in items]
    columns = {"user_id": [user for user, _ in pairs], "item_id": [item for _, item in pairs]}
    return pa.table(columns, schema=pa.schema(dict.fromkeys(columns, pa.string())))


def read_json_lines(path: Path) -> list[dict[str, Any]]:
    """Read one JSON object a line.

    Raises:
        ValueError: If a line is none.
    """
    rows = []
    for number, line in enumerate(read_text(path).split("\n"), start=1):
        if line.strip():
            try:
                rows.append(dict(json.loads(line)))
            except (TypeError, ValueError) as error:
                place = f"line {number} of {path}"
                message = describe(_WHO, place, f"unreadable ({error})", "a JSON object")
                raise ValueError(message) from error
    return rows


def ids_of(column: Any) -> IdColumn:
    """Take strings for whole numbers where all of them spell one.

    >>> ids_of(["7", "10"])
    array([ 7, 10])
    """
    ids = column_of(column, _WHO, "ids")
    numbers = whole_numbers(ids)
    return ids if numbers is None else numbers


def interactions_of(
    table: pa.Table, min_rating: float | None = None, *, ordered: bool = False
) -> Interactions:
    """Build interactions from the columns user_id, item_id and perhaps timestamp, rating, weight.

    Raises:
        ValueError: If `min_rating` is given and there are no ratings.

    >>> import pyarrow as pa
    >>> rated = {"user_id": ["1", "1"], "item_id": ["a", "b"], "rating": [5, 2]}
    >>> interactions_of(pa.table(rated), min_rating=4)
    Interactions(1 users x 1 items, 1 pairs)
    """
    if min_rating is not None:
        if "rating" not in table.column_names:
            expected = "None, as the folder holds no ratings"
            raise ValueError(describe(_WHO, "min_rating", min_rating, expected))
        table = table.filter(table["rating"].to_numpy() >= min_rating)
    weights, times = (
        table[name].to_numpy() if name in table.column_names else None
        for name in ("weight", "timestamp")
    )
    users, items = ids_of(table["user_id"]), ids_of(table["item_id"])
    return Interactions.from_columns(users, items, weights, times, ordered=ordered)
