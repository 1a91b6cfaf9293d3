"""RecBole's atomic files: tab-separated text whose header names each column and its type."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pyhybrid.data.catalog import Catalog
from pyhybrid.data.tables import write_text
from pyhybrid.data.text_files import find, ids_of, interactions_of, read_table, read_text
from pyhybrid.errors import describe

if TYPE_CHECKING:
    from collections.abc import Iterable
    from os import PathLike

    import pyarrow as pa

    from pyhybrid.data.interactions import Interactions

__all__ = ["read_recbole", "write_recbole"]

_TYPES = {"token": "string", "token_seq": "string", "float": None, "float_seq": "string"}
# What RecBole's own data sets call the title, which they hold as a sequence of words, and genres.
_TITLE, _GENRES = "movie_title", ("class", "genre")


def read_recbole(
    folder: Path, min_rating: float | None = None
) -> tuple[Interactions, Catalog | None]:
    """Read ``*.inter``, the folder's namesake if there are several, and its ``*.item`` if any.

    Timestamps order a user's events; without that column there is no order. A column ``weight``
    holds weights, ratings don't. Of an item's columns the tokens and token sequences are fields.

    Raises:
        ValueError: If a file is not what its header says.
    """
    path = find(folder, f"{folder.name}.inter") or find(folder, "*.inter")
    if path is None:
        raise FileNotFoundError(
            describe("open_folder", str(folder), "a folder", "a file *.inter in it")
        )
    table, _ = _read(path, ("user_id", "item_id"))
    items = find(folder, path.name.split(".inter")[0] + ".item")
    return interactions_of(table, min_rating), _read_catalog(items) if items else None


def _read_catalog(path: Path) -> Catalog:
    table, kinds = _read(path, ("item_id",))
    fields: dict[str, list[Any]] = {}
    for name, kind in kinds.items():
        values = table[name].to_pylist()
        if name == _TITLE and kind == "token_seq":
            fields["title"] = values
        elif kind == "token_seq":
            lists = [tuple(word for word in value.split(" ") if word) for value in values]
            fields["genres" if name in _GENRES else name] = lists
        elif kind == "token" and name != "item_id":
            fields[name] = values
    return Catalog.from_columns(ids_of(table["item_id"]), **fields)


def _read(path: Path, required: Iterable[str]) -> tuple[pa.Table, dict[str, str]]:
    header = read_text(path).split("\n", 1)[0].rstrip("\r")
    kinds = dict(column.rsplit(":", 1) for column in header.split("\t") if ":" in column)
    if len(kinds) <= header.count("\t") or not _TYPES.keys() >= set(kinds.values()):
        expected = f"name:type by tabs, the type one of {', '.join(_TYPES)}"
        raise ValueError(describe("open_folder", f"header of {path}", repr(header), expected))
    for name in required:
        if name not in kinds:
            expected = f"one of: {', '.join(kinds)}"
            raise ValueError(describe("open_folder", f"column {name}", "missing", expected))
    types = {name: _TYPES[kind] for name, kind in kinds.items()}
    return read_table(path, types, header=True), kinds


def write_recbole(
    folder: str | PathLike[str],
    name: str,
    interactions: Interactions,
    catalog: Catalog | None = None,
) -> None:
    """Write ``name.inter`` and, with a catalogue, ``name.item`` into a folder, made if need be.

    There is one row an event, or a pair where there are no events. RecBole knows no order but
    by time: events in an order without times get the times 0, 1, 2, ... of their user. Users and
    items with no entry are not in ``name.inter``, and ids that spell whole numbers are read back
    as numbers.

    Raises:
        ValueError: If an id or a field holds a tab or a line break, or an element of a list a
            blank: the format has no quotes.

    >>> import tempfile
    >>> from pyhybrid.data import Interactions
    >>> data = Interactions.from_columns(["ann", "bob"], [10, 11], times=[5, 6])
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_recbole(folder, "tiny", data)
    ...     print((Path(folder) / "tiny.inter").read_text().expandtabs(16))
    user_id:token   item_id:token   timestamp:float
    ann             10              5
    bob             11              6
    <BLANKLINE>
    """
    Path(folder).mkdir(parents=True, exist_ok=True)
    table = interactions.to_arrow()
    columns: dict[str, Iterable[Any]] = {
        "user_id:token": table["user_id"].to_pylist(),
        "item_id:token": table["item_id"].to_pylist(),
    }
    if "weight" in table.column_names:
        columns["weight:float"] = table["weight"].to_pylist()
    if interactions.events is not None:
        times, indptr = interactions.events.times, interactions.events.indptr
        if times is None:
            times = np.arange(indptr[-1]) - np.repeat(indptr[:-1], np.diff(indptr))
        columns["timestamp:float"] = times.tolist()
    _write(Path(folder) / f"{name}.inter", columns)
    if catalog is not None:
        columns = {"item_id:token": catalog.item_ids.tolist()}
        for field, values in catalog.fields.items():
            is_list = any(isinstance(value, tuple) for value in values)
            columns[f"{field}:token_seq" if is_list else f"{field}:token"] = (
                [_sequence(field, value) for value in values] if is_list else values
            )
        _write(Path(folder) / f"{name}.item", columns)


def _sequence(field: str, words: tuple[str, ...]) -> str:
    for word in words:
        if not word or " " in word:
            expected, way_out = "words without a blank", "replace it, for instance by _"
            raise ValueError(describe("write_recbole", field, repr(word), expected, way_out))
    return " ".join(words)


def _write(path: Path, columns: dict[str, Iterable[Any]]) -> None:
    lines = ["\t".join(columns)]
    lines += ["\t".join(map(str, row)) for row in zip(*columns.values(), strict=True)]
    for line in lines:
        if line.count("\t") >= len(columns) or "\n" in line or "\r" in line:
            expected = "ids and fields without tabs and line breaks"
            raise ValueError(describe("write_recbole", "a row", repr(line), expected))
    write_text(lines, path)
