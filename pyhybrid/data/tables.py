"""Tables from files and from memory, as batches that can be read again and again.

A file is Parquet, CSV, TSV or JSON lines, told by its ending, and may be compressed (.gz, .zst).
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias
from uuid import uuid4

from pyhybrid.errors import describe

if TYPE_CHECKING:
    from collections.abc import Iterable

    import pyarrow as pa

__all__ = [
    "Column",
    "Paths",
    "Tables",
    "open_arrow",
    "open_files",
    "write_parquet",
    "write_text",
    "written_beside",
]

Paths: TypeAlias = str | os.PathLike[str] | Sequence[str | os.PathLike[str]]

_BATCH = 1 << 18  # rows
_BLOCK = 1 << 22  # bytes of text at a time; a line of JSON must fit
_Batches: TypeAlias = "Callable[[], Iterator[pa.RecordBatch]]"
_Chooser: TypeAlias = Callable[[Sequence[str]], list[str]]

_COMPRESSION = {".gz": "gzip", ".zst": "zstd"}
_PARQUET = (".parquet", ".pq")
_DELIMITED = {".csv": ",", ".tsv": "\t"}
_JSON = (".jsonl", ".ndjson", ".json")


class Column(NamedTuple):
    """A column to read.

    Attributes:
        name: Its name in the table.
        keyword: The keyword that names it, which errors point to.
        kind: The Arrow type to read it as where the file is text; None: by its look.
    """

    name: str
    keyword: str
    kind: str | None = None


@dataclass(frozen=True)
class Tables:
    """Record batches of one or several tables, the same ones at each call of `batches`.

    Attributes:
        untyped: Whether all is CSV or TSV, where numbers and strings look alike.
    """

    untyped: bool
    parts: tuple[_Batches, ...]

    def batches(self) -> Iterator[pa.RecordBatch]:
        """Yield the tables' batches in order."""
        for part in self.parts:
            yield from part()


def open_files(paths: Paths, columns: Sequence[Column], who: str, *, rest: bool = False) -> Tables:
    """Open a file, several files, or a folder of Parquet files.

    Parquet and CSV are read batch by batch, JSON lines and compressed Parquet at once.

    Args:
        paths: A path, or a list or tuple of paths; of a folder, its Parquet files in order of name.
        columns: The columns that each file must have.
        who: Who asks, as errors name it.
        rest: Read the files' other columns too.

    Raises:
        FileNotFoundError: If a path is missing.
        ValueError: If a file's ending is unknown, a file is damaged or a column is missing.

    >>> open_files("ratings.xls", [Column("user", "user")], "read")
    Traceback (most recent call last):
    FileNotFoundError: read: ratings.xls is missing; expected a file or folder
    """
    files = _files(paths, who)
    choose = _chooser(columns, who, rest)
    kinds = {column.name: column.kind for column in columns if column.kind}
    parts = tuple(_open_file(file, kinds, choose, who) for file in files)
    return Tables(all(_ending(file) in _DELIMITED for file in files), parts)


def is_delimited(paths: Paths) -> bool:
    """Tell whether all of the files are CSV or TSV, in which numbers and strings look alike.

    >>> is_delimited(["a.csv", "b.tsv.gz"]), is_delimited("c.parquet")
    (True, False)
    """
    several = [paths] if isinstance(paths, str | os.PathLike) else paths
    return all(_ending(Path(path)) in _DELIMITED for path in several)


def open_arrow(data: Any, columns: Sequence[Column], who: str, *, rest: bool = False) -> Tables:
    """Open anything that gives Arrow batches: a pandas, polars or pyarrow table, a query's result.

    The columns asked for are held in memory, so that a stream that runs only once will do;
    otherwise as `open_files`.

    Raises:
        TypeError: If `data` has no ``__arrow_c_stream__``.
        ValueError: If a column is missing.
    """
    import pyarrow as pa

    if not hasattr(data, "__arrow_c_stream__"):
        expected = "a table with __arrow_c_stream__ (pandas, polars, pyarrow, duckdb)"
        raise TypeError(describe(who, "data", type(data).__name__, expected))
    reader = pa.RecordBatchReader.from_stream(data)
    names = _chooser(columns, who, rest)(reader.schema.names)
    batches = [batch.select(names) for batch in reader]
    return Tables(False, (lambda: _slices(batches),))


@contextmanager
def written_beside(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Give a name beside `path` to write to, and rename it to `path` if all went well.

    Whatever fails or is interrupted, an earlier file at `path` stays whole and nothing half
    written stays behind.
    """
    path = Path(path)
    partial = path.with_name(f".{path.name}.{uuid4().hex}.partial")
    try:
        yield partial
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def write_parquet(data: Any, path: str | os.PathLike[str]) -> None:
    """Write a table, or a stream of batches as they come, to a Parquet file, all or nothing.

    >>> import pyarrow as pa, pyarrow.parquet, tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_parquet(pa.table({"user": [1, 2]}), f"{folder}/users.parquet")
    ...     pa.parquet.read_table(f"{folder}/users.parquet")["user"].to_pylist()
    [1, 2]
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    with written_beside(path) as partial:
        if isinstance(data, pa.Table):
            pq.write_table(data, partial)
            return
        reader = pa.RecordBatchReader.from_stream(data)
        with pq.ParquetWriter(partial, reader.schema) as writer:
            for batch in reader:
                writer.write_batch(batch)


def write_text(lines: Iterable[str], path: str | os.PathLike[str]) -> None:
    """Write lines, which end in no newline of their own, to a UTF-8 file, all or nothing."""
    with written_beside(path) as partial, partial.open("w", encoding="utf-8", newline="\n") as file:
        file.writelines(f"{line}\n" for line in lines)


def _files(paths: Any, who: str) -> list[Path]:
    given = paths if isinstance(paths, list | tuple) else [paths]
    for path in given:
        if not isinstance(path, str | os.PathLike):
            way_out = "from_arrow takes tables"
            found, rule = f"a {type(path).__name__}", "a path or a list of paths"
            raise TypeError(describe(who, "paths", found, rule, way_out))
    files = [file for path in given for file in _files_at(Path(path), who)]
    if not files:
        raise ValueError(describe(who, "paths", "empty", "at least one path"))
    return files


def _files_at(path: Path, who: str) -> list[Path]:
    if not path.exists():
        raise FileNotFoundError(describe(who, str(path), "missing", "a file or folder"))
    if path.is_dir():
        hidden = (".", "_")  # such as "_temporary.parquet", left by an engine
        parts = sorted(p for p in path.glob("*.parquet") if not p.name.startswith(hidden))
        if not parts:
            raise ValueError(describe(who, str(path), "a folder without any", "*.parquet files"))
        return parts
    known = (*_PARQUET, *_DELIMITED, *_JSON)
    if _ending(path) not in known:
        rule = f"one of {', '.join(known)}, each perhaps with .gz or .zst"
        raise ValueError(describe(who, f"the ending of {path}", repr(path.suffix), rule))
    return [path]


def _ending(path: Path) -> str:
    """Return the ending that tells the format, without the one that tells the compression."""
    if path.suffix.lower() in _COMPRESSION:
        path = path.with_suffix("")
    return path.suffix.lower()


def _chooser(columns: Sequence[Column], who: str, rest: bool) -> _Chooser:
    """Return what picks the columns to read from those that there are."""

    def choose(names: Sequence[str]) -> list[str]:
        for name, keyword, _ in columns:
            if names.count(name) != 1:
                found = "there twice" if name in names else "missing"
                way_out = f"name it with {keyword}="
                rule = f"one of: {', '.join(names)}"
                raise ValueError(describe(who, f"column {name!r}", found, rule, way_out))
        return list(dict.fromkeys([*(column.name for column in columns), *(names if rest else ())]))

    return choose


def _open_file(path: Path, kinds: dict[str, str], choose: _Chooser, who: str) -> _Batches:
    ending = _ending(path)
    with _readable(path, who):
        if ending in _PARQUET:
            batches = _parquet(path, choose)
        elif ending in _DELIMITED:
            batches = _delimited(path, kinds, choose)
        else:
            batches = _json_lines(path, choose)

    def guarded() -> Iterator[pa.RecordBatch]:
        with _readable(path, who):
            yield from batches()

    return guarded


def _parquet(path: Path, choose: _Chooser) -> _Batches:
    import pyarrow as pa
    import pyarrow.parquet as pq

    def opened() -> pq.ParquetFile:
        # a small buffer in place of whole column chunks: row groups may be large
        source = pa.py_buffer(_stream(path).read()) if path.suffix.lower() in _COMPRESSION else path
        return pq.ParquetFile(source, buffer_size=1 << 20, pre_buffer=False)

    with opened() as file:
        names = choose(file.schema_arrow.names)

    def batches() -> Iterator[pa.RecordBatch]:
        with opened() as file:
            yield from file.iter_batches(_BATCH, columns=names)

    return batches


def _delimited(path: Path, kinds: dict[str, str], choose: _Chooser) -> _Batches:
    from pyarrow import csv

    def opened(names: list[str] | None = None) -> csv.CSVStreamingReader:
        return csv.open_csv(
            _stream(path),
            csv.ReadOptions(block_size=_BLOCK),
            csv.ParseOptions(delimiter=_DELIMITED[_ending(path)], newlines_in_values=True),
            csv.ConvertOptions(
                column_types=kinds,
                include_columns=names,
                null_values=[""],
                strings_can_be_null=True,
            ),
        )

    with opened() as reader:
        names = choose(reader.schema.names)

    def batches() -> Iterator[pa.RecordBatch]:
        with opened(names) as reader:
            yield from reader

    return batches


def _json_lines(path: Path, choose: _Chooser) -> _Batches:
    from pyarrow import json

    table = json.read_json(_stream(path), json.ReadOptions(block_size=_BLOCK))
    batches = table.select(choose(table.column_names)).to_batches()
    return lambda: _slices(batches)


def _stream(path: Path) -> pa.NativeFile:
    import pyarrow as pa

    return pa.input_stream(str(path), compression=_COMPRESSION.get(path.suffix.lower()))


@contextmanager
def _readable(path: Path, who: str) -> Iterator[None]:
    """Turn what Arrow and zlib say of a damaged file into one error that names the file."""
    import pyarrow as pa

    try:
        yield
    except (PermissionError, MemoryError, KeyboardInterrupt):  # Arrow has its own of these
        raise
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        reason = str(error).strip().partition("\n")[0]
        found, rule = f"unreadable ({reason})", f"an intact {_ending(path)} file"
        raise ValueError(describe(who, str(path), found, rule)) from error


def _slices(batches: Sequence[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    for batch in batches:
        for start in range(0, len(batch), _BATCH):
            yield batch.slice(start, _BATCH)
