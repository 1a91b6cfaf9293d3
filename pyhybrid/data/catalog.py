"""What is known of the items: their own ids and text fields."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from pyhybrid.data.ids import arrow_ids, as_ids, column_of, is_text, join, positions, whole_numbers
from pyhybrid.data.tables import Column, Paths, Tables, open_arrow, open_files
from pyhybrid.errors import describe

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    import pyarrow as pa
    from numpy.typing import NDArray

    from pyhybrid.data.ids import Ids

__all__ = ["Catalog"]


@dataclass(frozen=True, eq=False, repr=False)
class Catalog:
    """Hold the items' ids and their text fields; some items may have no interaction.

    Attributes:
        item_ids: int64, or dtype object holding str; in the order given, each once.
        fields: By name, a value an item: an object array (items,) of str, or of tuples of str
            (genres, the path of a category). Where nothing is known stands ``""`` or ``()``.

    Raises:
        TypeError: If a value is no text and no list of texts, or the two are mixed in a field.
        ValueError: If an id stands there twice or a field is not one value an item.

    >>> movies = Catalog([3, 1], {"title": ["Heat", "Alien"], "genres": [["Crime"], None]})
    >>> movies
    Catalog(2 items: title, genres)
    >>> movies.fields["genres"].tolist()
    [('Crime',), ()]
    """

    item_ids: Ids
    fields: Mapping[str, NDArray[np.object_]]

    def __post_init__(self) -> None:
        ids = as_ids(self.item_ids, "Catalog", "item_ids")
        fields = {name: _field(name, values, len(ids)) for name, values in self.fields.items()}
        object.__setattr__(self, "item_ids", ids)
        object.__setattr__(self, "fields", fields)

    @classmethod
    def read(
        cls, paths: Paths, *, item: str = "item_id", fields: Sequence[str] | None = None
    ) -> Catalog:
        """Read a catalogue from Parquet, CSV, TSV or JSON lines, perhaps compressed.

        Args:
            paths: As in `Interactions.read`, where it is also told how ids are read.
            item: The column of the items' ids.
            fields: The columns to read; None: all others that hold text or lists of texts. Of
                lists of lists, such as several paths of categories, the first is taken.

        Raises:
            FileNotFoundError: If a path is missing.
            TypeError: If ids are neither whole numbers nor strings, or a field is no text.
            ValueError: If a file is damaged or without rows, a column is missing, or an id is
                missing or there twice.

        >>> import tempfile
        >>> with tempfile.NamedTemporaryFile("w", suffix=".jsonl") as file:
        ...     _ = file.write('{"item_id": 7, "title": "Heat"}'); file.flush()
        ...     Catalog.read(file.name).texts()
        ['Heat']
        """
        who = "Catalog.read"
        opened = open_files(paths, _columns(item, fields), who, rest=fields is None)
        return cls._from_tables(opened, item, fields, who)

    @classmethod
    def from_arrow(
        cls, data: Any, *, item: str = "item_id", fields: Sequence[str] | None = None
    ) -> Catalog:
        """Take a catalogue from a table in memory: anything with ``__arrow_c_stream__``.

        The arguments and errors are those of `read`.
        """
        who = "Catalog.from_arrow"
        opened = open_arrow(data, _columns(item, fields), who, rest=fields is None)
        return cls._from_tables(opened, item, fields, who)

    @classmethod
    def from_columns(cls, item_ids: Any, **fields: Any) -> Catalog:
        """Take a catalogue from columns of one length.

        >>> Catalog.from_columns(["a", "b"], title=["Heat", "Alien"]).fields["title"][1]
        'Alien'
        """
        return cls(item_ids, fields)

    @classmethod
    def _from_tables(
        cls, tables: Tables, item: str, fields: Sequence[str] | None, who: str
    ) -> Catalog:
        ids = []
        columns: dict[str, Any] = {}
        row = 0
        for batch in tables.batches():
            ids.append(column_of(batch.column(item), who, f"column {item!r}", row=row))
            for name in fields if fields is not None else _text_fields(batch, item):
                # None for the rows of earlier files without the column
                values = columns.setdefault(name, [])
                values += [None] * (row - len(values)) + batch.column(name).to_pylist()
            row += len(batch)
        if not row:
            raise ValueError(describe(who, "the number of rows", 0, "at least one"))
        joined = join(ids, who, f"column {item!r}")
        numbers = whole_numbers(joined) if tables.untyped else None
        padded: dict[str, Any] = {
            name: values + [None] * (row - len(values)) for name, values in columns.items()
        }
        return cls(joined if numbers is None else numbers, padded)

    def __len__(self) -> int:
        return len(self.item_ids)

    def __repr__(self) -> str:
        return f"Catalog({len(self)} items: {', '.join(self.fields) or 'no fields'})"

    def texts(self, item_ids: Any = None, fields: Sequence[str] | None = None) -> list[str]:
        """Word each item as one text, leaving out what is not known of it.

        Args:
            item_ids: Whose texts, in this order; None: all items'.
            fields: Which fields, each under its name. None: the title, then the genres or else
                the categories: ``title. Genres: a, b``.

        Raises:
            ValueError: If an item or a field is unknown, or `fields` is None and there is none
                of title, genres and categories.

        >>> movies = Catalog.from_columns([1, 2], title=["Heat", ""], genres=[["Crime", "War"]] * 2)
        >>> movies.texts()
        ['Heat. Genres: Crime, War', 'Genres: Crime, War']
        >>> movies.texts([1], fields=["genres", "title"])
        ['Genres: Crime, War. Title: Heat']
        """
        names = self._usual_fields() if fields is None else fields
        labels = {name: f"{_label(name)}: " for name in names}
        if fields is None and "title" in labels:
            labels["title"] = ""
        unknown = [name for name in labels if name not in self.fields]
        if unknown or not labels:
            found = f"unknown: {', '.join(unknown)}" if unknown else "without title and genres"
            expected = f"some of: {', '.join(self.fields)}"
            raise ValueError(describe("texts", "fields", found, expected, "name them with fields="))
        index = slice(None) if item_ids is None else self._index(item_ids, "texts")
        rows = zip(*(self.fields[name][index] for name in labels), strict=True)
        return [_sentences(labels.values(), values) for values in rows]

    def _usual_fields(self) -> list[str]:
        lists = [name for name in ("genres", "categories") if name in self.fields]
        return ["title", *lists[:1]] if "title" in self.fields else lists[:1]

    def select(self, item_ids: Any) -> Catalog:
        """Take some items, in the order given.

        Raises:
            ValueError: If an id is unknown or there twice.

        >>> Catalog.from_columns([1, 2], title=["Heat", "Alien"]).select([2]).texts()
        ['Alien']
        """
        index = self._index(item_ids, "select")
        chosen = {name: values[index] for name, values in self.fields.items()}
        return Catalog(self.item_ids[index], chosen)

    def _index(self, item_ids: Any, who: str) -> NDArray[np.int64]:
        wanted = column_of(item_ids, who, "item_ids")
        index = positions(wanted, self.item_ids, who)
        unknown = np.flatnonzero(index < 0)
        if len(unknown):
            first = wanted[unknown[0] : unknown[0] + 1].tolist()[0]
            found = f"{len(unknown)}, the first {first!r}"
            raise ValueError(describe(who, "number of unknown items", found, "0"))
        return index

    def to_arrow(self) -> pa.Table:
        """Return a table of item_id and the fields, strings or lists of strings.

        >>> Catalog.from_columns(["a"], genres=[["War"]]).to_arrow().to_pylist()
        [{'item_id': 'a', 'genres': ['War']}]
        """
        import pyarrow as pa

        columns = {"item_id": arrow_ids(self.item_ids)}
        for name, values in self.fields.items():
            is_list = len(values) and isinstance(values[0], tuple)
            columns[name] = pa.array(values, pa.list_(pa.string()) if is_list else pa.string())
        return pa.table(columns)


def _columns(item: str, fields: Sequence[str] | None) -> list[Column]:
    return [
        Column(item, "item", "string"),
        *(Column(name, "fields", "string") for name in fields or ()),
    ]


def _text_fields(batch: pa.RecordBatch, item: str) -> list[str]:
    """Name the columns, but the ids', that hold text or lists of texts."""
    from pyarrow import types

    def innermost(kind: pa.DataType) -> pa.DataType:
        while types.is_list(kind) or types.is_large_list(kind) or types.is_dictionary(kind):
            kind = kind.value_type
        return kind

    return [
        field.name
        for field in batch.schema
        if field.name != item and is_text(innermost(field.type))
    ]


def _field(name: str, values: Any, size: int) -> NDArray[np.object_]:
    """Check a field's values and make each a str or a tuple of str."""
    if name == "item_id":
        raise ValueError(describe("Catalog", "the name of a field", name, "another name"))
    values = [_plain(name, row, value) for row, value in enumerate(values)]
    if len(values) != size:
        expected = f"{size}, one value an item"
        raise ValueError(describe("Catalog", f"length of {name}", len(values), expected))
    kinds = {type(value) for value in values} - {type(None)}
    if len(kinds) > 1:
        expected = "texts or lists of texts"
        raise TypeError(describe("Catalog", name, "texts beside lists of texts", expected))
    nothing = () if tuple in kinds else ""
    field = np.empty(size, object)  # np.array would take tuples of one length for a second axis
    field[:] = [nothing if value is None else value for value in values]
    return field


def _plain(name: str, row: int, value: Any) -> str | tuple[str, ...] | None:
    if isinstance(value, str):
        return value
    if value is None or (isinstance(value, float) and np.isnan(value)):
        return None
    if isinstance(value, list | tuple | np.ndarray):
        parts = [part for part in value if part is not None]
        if parts and not isinstance(parts[0], str):  # several paths of categories
            parts = [part for part in parts[0] if part is not None]
        if all(isinstance(part, str) for part in parts):
            return tuple(parts)
    found = f"{value!r} ({type(value).__name__})"
    raise TypeError(describe("Catalog", f"row {row} of {name}", found, "a text or a list of texts"))


def _label(name: str) -> str:
    return name.replace("_", " ").capitalize()


def _sentences(labels: Iterable[str], values: Iterable[str | tuple[str, ...]]) -> str:
    """Join what is known: ``Heat. Genres: Crime, War``; "Monsters, Inc." brings its own dot."""
    texts = (value if isinstance(value, str) else ", ".join(value) for value in values)
    known = [label + text for label, text in zip(labels, texts, strict=True) if text]
    return ". ".join([text.removesuffix(".") for text in known[:-1]] + known[-1:])
