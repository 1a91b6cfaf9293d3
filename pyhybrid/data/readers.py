"""Open the public data sets' folders as their authors ship them."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import chain, compress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pyhybrid.data.catalog import Catalog
from pyhybrid.data.held_out import HeldOut, Split
from pyhybrid.data.interactions import Interactions
from pyhybrid.data.recbole import read_recbole, write_recbole
from pyhybrid.data.text_files import (
    find,
    ids_of,
    interactions_of,
    read_json_lines,
    read_lists,
    read_table,
    table_of,
)
from pyhybrid.errors import describe

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from os import PathLike

__all__ = ["Folder", "open_folder", "write_recbole"]

_WHO = "open_folder"


@dataclass(frozen=True, eq=False)
class Folder:
    """What a data set's folder holds.

    Attributes:
        name: The folder's name.
        interactions: All of its interactions.
        catalog: Its items' text, or None; may know items with no interaction.
        split: The train and test parts that the folder is published with, or None.
    """

    name: str
    interactions: Interactions
    catalog: Catalog | None = None
    split: Split | None = None


def open_folder(path: str | PathLike[str], *, min_rating: float | None = None) -> Folder:
    r"""Read a data set whose format is told by the names of its files.

    Every file may also end in .gz or .zst. These formats are known, tried in this order:

    - MovieLens 1M: ``ratings.dat``, or ``pairs.csv`` (the same pairs without rating and time);
      ``movies.dat``; texts made from it as ``colakg/llm_response_item.jsonl``.
    - MovieLens 100K: ``u.data``, or ``u.item`` with a RecBole ``*.inter``; ``u.item``.
    - MovieLens latest: ``ratings.csv``; ``movies.csv``.
    - RecBole atomic files: ``*.inter``; ``*.item``.
    - Sequences: ``sequences.txt``, a line ``user item item ...`` each user, oldest first, or
      ``users.jsonl`` with the keys ``user`` and ``history``; ``items.jsonl`` with the key ``item``.
    - Train and test lists: ``train.txt`` and ``test.txt``, lines as above in no order; items'
      names and texts as ``llm_response_item.jsonl`` with the keys ``item``, ``name``, ``text``.

    Ratings are no weights: all weights are 1 (but for a RecBole column ``weight``).

    Args:
        path: The folder.
        min_rating: Keep only events rated at least so; None keeps all.

    Raises:
        FileNotFoundError: If there is no such folder.
        ValueError: If no format is recognised, a file cannot be read, or `min_rating` is given
            where there are no ratings.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     _ = (Path(folder) / "sequences.txt").write_text("1 10 11 10\n2 11\n")
    ...     open_folder(folder).interactions
    Interactions(2 users x 2 items, 3 pairs, ordered)
    """
    folder = Path(path)
    if not folder.is_dir():
        raise FileNotFoundError(describe(_WHO, "path", folder, "a folder"))
    for read in _FORMATS.values():
        found = read(folder, min_rating)
        if found:
            return found
    files = ", ".join(sorted(file.name for file in folder.iterdir())[:8]) or "no files"
    expected = f"the files of one of: {'; '.join(_FORMATS)} (each perhaps with .gz or .zst)"
    raise ValueError(describe(_WHO, str(folder), f"a folder with {files}", expected))


def _movielens_1m(folder: Path, min_rating: float | None) -> Folder | None:
    ratings, pairs = find(folder, "ratings.dat"), find(folder, "pairs.csv")
    if ratings:
        table = read_table(ratings, _RATED, delimiter="::")
    elif pairs:
        table = read_table(pairs, _PAIR, delimiter=",", header=True)
    else:
        return None
    movies = find(folder, "movies.dat")
    catalog = _movies_1m(folder, movies) if movies else None
    return Folder(folder.name, interactions_of(table, min_rating), catalog)


def _movies_1m(folder: Path, movies: Path) -> Catalog:
    types = dict.fromkeys(("item_id", "title", "genres"), "string")
    columns = read_table(movies, types, delimiter="::").to_pydict()
    fields = {"title": columns["title"], "genres": _genres(columns["genres"])}
    written = find(folder, "colakg/llm_response_item.jsonl")
    if written:
        texts = {str(row["movieId"]): row["text"] for row in read_json_lines(written)}
        fields["description"] = [texts.get(item, "") for item in columns["item_id"]]
    return Catalog.from_columns(ids_of(columns["item_id"]), **fields)


def _movielens_100k(folder: Path, min_rating: float | None) -> Folder | None:
    ratings, movies = find(folder, "u.data"), find(folder, "u.item")
    if ratings:
        interactions = interactions_of(read_table(ratings, _RATED), min_rating)
    elif movies and find(folder, "*.inter"):
        interactions = read_recbole(folder, min_rating)[0]
    else:
        return None
    return Folder(folder.name, interactions, _movies_100k(movies) if movies else None)


def _movies_100k(movies: Path) -> Catalog:
    texts = dict.fromkeys(("item_id", "title", "released", "video released", "url"), "string")
    flags = dict.fromkeys(_GENRES_100K, "string")
    table = read_table(movies, texts | flags, delimiter="|")
    marks = zip(*(table[genre].to_pylist() for genre in flags), strict=True)
    genres = [tuple(compress(flags, map("1".__eq__, row))) for row in marks]
    items = ids_of(table["item_id"])
    return Catalog.from_columns(items, title=table["title"].to_pylist(), genres=genres)


def _movielens_latest(folder: Path, min_rating: float | None) -> Folder | None:
    ratings, movies = find(folder, "ratings.csv"), find(folder, "movies.csv")
    if not ratings:
        return None
    table = read_table(ratings, _RATED, delimiter=",", header=True)
    catalog = None
    if movies:
        texts = Catalog.read(movies, item="movieId", fields=["title", "genres"])
        fields = {"title": texts.fields["title"], "genres": _genres(texts.fields["genres"])}
        catalog = Catalog.from_columns(texts.item_ids, **fields)
    return Folder(folder.name, interactions_of(table, min_rating), catalog)


def _recbole(folder: Path, min_rating: float | None) -> Folder | None:
    return (
        Folder(folder.name, *read_recbole(folder, min_rating)) if find(folder, "*.inter") else None
    )


def _sequences(folder: Path, min_rating: float | None) -> Folder | None:
    sequences, users = find(folder, "sequences.txt"), find(folder, "users.jsonl")
    items = find(folder, "items.jsonl")
    if sequences:
        table = read_lists(sequences)
    elif users:
        table = table_of((row["user"], row["history"]) for row in _rows(users, "user", "history"))
    else:
        return None
    interactions = interactions_of(table, min_rating, ordered=True)
    return Folder(folder.name, interactions, _items(items) if items else None)


def _items(path: Path) -> Catalog:
    """Read the keys that hold text; unlike `Catalog.read`, a lone text among lists is a list."""
    rows = _rows(path, "item")
    fields: dict[str, list[Any]] = {}
    for name in dict.fromkeys(chain.from_iterable(rows)):
        values = [row.get(name) for row in rows]
        if name != "item" and all(map(_is_text, values)):
            is_list = any(isinstance(value, list) for value in values)
            fields[name] = [
                [value] if is_list and isinstance(value, str) else value for value in values
            ]
    return Catalog.from_columns(ids_of([row["item"] for row in rows]), **fields)


def _is_text(value: Any) -> bool:
    if isinstance(value, list):
        return all(isinstance(part, (str, list)) for part in value)
    return value is None or isinstance(value, str)


def _lists(folder: Path, min_rating: float | None) -> Folder | None:
    import pyarrow as pa

    train_path, test_path = find(folder, "train.txt"), find(folder, "test.txt")
    if not train_path or not test_path:
        return None
    written = find(folder, "llm_response_item.jsonl")
    lists = [read_lists(path) for path in (train_path, test_path)]
    table = pa.concat_tables(lists)
    both = interactions_of(table, min_rating)
    users, items = ids_of(table["user_id"]), ids_of(table["item_id"])
    train, test = (
        Interactions.from_columns(users[part], items[part], ids=both)
        for part in (slice(lists[0].num_rows), slice(lists[0].num_rows, None))
    )
    rows = np.flatnonzero(np.diff(test.matrix.indptr))
    held_out = HeldOut(train.select_users(rows), test.select_users(rows))
    catalog = _written(written) if written else None
    return Folder(folder.name, both, catalog, Split(train, held_out))


def _written(path: Path) -> Catalog:
    rows = _rows(path, "item", "name", "text")
    fields = {"title": [row["name"] for row in rows], "description": [row["text"] for row in rows]}
    return Catalog.from_columns(ids_of([row["item"] for row in rows]), **fields)


def _rows(path: Path, *keys: str) -> list[dict[str, Any]]:
    """Read JSON lines that all have some keys."""
    rows = read_json_lines(path)
    for number, row in enumerate(rows, start=1):
        missing = [key for key in keys if key not in row]
        if missing:
            place = f"object {number} of {path}"
            raise ValueError(describe(_WHO, place, f"without {missing[0]!r}", "one with that key"))
    return rows


def _genres(texts: Iterable[str]) -> list[tuple[str, ...]]:
    return [() if text in ("", "(no genres listed)") else tuple(text.split("|")) for text in texts]


_GENRES_100K = (
    *("unknown", "Action", "Adventure", "Animation", "Children's", "Comedy", "Crime"),
    *("Documentary", "Drama", "Fantasy", "Film-Noir", "Horror", "Musical", "Mystery"),
    *("Romance", "Sci-Fi", "Thriller", "War", "Western"),
)
_PAIR: dict[str, str | None] = {"user_id": "string", "item_id": "string"}
_RATED = _PAIR | {"rating": "double", "timestamp": "int64"}
_FORMATS: dict[str, Callable[[Path, float | None], Folder | None]] = {
    "ml-1m (ratings.dat or pairs.csv, movies.dat)": _movielens_1m,
    "ml-100k (u.data or *.inter, u.item)": _movielens_100k,
    "ml-latest-small (ratings.csv, movies.csv)": _movielens_latest,
    "RecBole (*.inter, *.item)": _recbole,
    "sequences (sequences.txt or users.jsonl, items.jsonl)": _sequences,
    "train/test lists (train.txt, test.txt)": _lists,
}
