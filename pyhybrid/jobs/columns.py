"""What the files of a batch job say of users, items and of how they are to be read.

A file that `split` wrote holds the way to read it in its Parquet metadata. Ids in CSV and TSV look
like numbers or strings by chance of what is in the file; beside a model or another file they are
read as the ids there are.
"""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from scipy.sparse import csr_array

from pyhybrid.data.ids import as_strings, column_of, extend, join, positions, whole_numbers
from pyhybrid.data.interactions import Interactions
from pyhybrid.data.tables import Column, is_delimited, open_files

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    import pyarrow as pa
    from numpy.typing import NDArray

    from pyhybrid.data.ids import Ids
    from pyhybrid.data.tables import Paths

__all__ = ["described", "known_items", "on_axis", "parquet_metadata", "read_ids", "told"]

_KEY = b"pyhybrid.read"
_DEFAULTS: dict[str, Any] = {"weight": None, "time": None, "duplicates": "once", "ordered": False}


def described(interactions: Interactions) -> pa.Table:
    """Return the interactions' table with the way to read it in its metadata."""
    table, events = interactions.to_arrow(), interactions.events
    read = {
        "weight": "weight" if "weight" in table.column_names else None,
        "time": "time" if "time" in table.column_names else None,
        "duplicates": "once" if events is None else interactions.duplicates,
        "ordered": events is not None and events.times is None,
    }
    return table.replace_schema_metadata({_KEY: json.dumps(read)})


def told(paths: Paths, columns: Mapping[str, Any]) -> dict[str, Any]:
    """Fill in from the files' metadata what the caller has left at its default."""
    found = [json.loads(data[_KEY]) for data in parquet_metadata(paths) if _KEY in data]
    read = dict(columns)
    for name, default in _DEFAULTS.items():
        if found and columns.get(name, default) == default:
            read[name] = found[0].get(name, default)
    return read


def parquet_metadata(paths: Paths) -> list[dict[bytes, bytes]]:
    """Return the metadata of the Parquet files among some paths and folders."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    several = [paths] if isinstance(paths, str | os.PathLike) else paths
    found = []
    for path in map(Path, several):
        for file in sorted(path.glob("*.parquet")) if path.is_dir() else [path]:
            if file.suffix == ".parquet" and file.is_file():
                try:
                    found.append(pq.read_schema(file).metadata or {})
                except (pa.ArrowException, OSError):
                    continue  # whoever reads the file says what is wrong with it
    return found


def read_ids(paths: Paths, column: str, who: str) -> Ids:
    """Read the distinct ids of a column, sorted."""
    tables = open_files(paths, [Column(column, "item", "string")], who)
    named = f"column {column!r}"
    ids = join([column_of(b.column(column), who, named) for b in tables.batches()], who, named)
    numbers = whole_numbers(ids) if tables.untyped else None
    return extend(None, ids if numbers is None else numbers, who)


def known_items(paths: Paths, column: str, item_ids: Ids) -> NDArray[np.int32]:
    """Find the items of a file on a model's axis, without those that the model doesn't know."""
    ids, known = _alike(read_ids(paths, column, "recommend"), item_ids, paths)
    found = positions(ids, known, "recommend")
    return found[found >= 0].astype(np.int32)


def on_axis(
    part: Interactions, item_ids: Ids, paths: Paths, unknown: Literal["error", "drop"]
) -> Interactions:
    """Bring what was read from `paths` to a model's item axis."""
    own, axis = _alike(part.item_ids, item_ids, paths)
    moved = replace(part, item_ids=own).with_items(axis, unknown=unknown)
    return replace(moved, item_ids=item_ids)


def users_alone(parts: Iterable[Interactions], user_ids: Ids, users: int) -> Iterator[Interactions]:
    """Yield the parts with some users alone, then those of them who were in no part."""
    found = np.zeros(len(user_ids), dtype=np.bool_)
    for part in parts:
        places = positions(part.user_ids, user_ids, "recommend")
        found[places[places >= 0]] = True
        if (places >= 0).any():
            yield part.select_users(places >= 0)
    without = user_ids[~found]
    for first in range(0, len(without), users):
        ids = without[first : first + users]
        yield Interactions.from_csr(csr_array(np.zeros((len(ids), 0), np.float32)), user_ids=ids)


def _alike(ids: Ids, known: Ids, paths: Paths) -> tuple[Ids, Ids]:
    """Spell both as strings where one is strings and `ids` comes from CSV or TSV."""
    if is_delimited(paths) and ids.dtype != known.dtype:
        return as_strings(ids), as_strings(known)
    return ids, known
