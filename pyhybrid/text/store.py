"""A file of vectors by text: one SQLite database an encoder."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from pyhybrid.errors import describe
from pyhybrid.text.database import WAY_OUT, CacheFile

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Sequence

    from numpy.typing import NDArray

__all__ = ["VectorStore"]

_APPLICATION, _FORMAT = 0x70796879, 1  # "pyhy"
_TABLES = (
    "CREATE TABLE IF NOT EXISTS encoder (name TEXT NOT NULL, dim INTEGER NOT NULL)",
    "CREATE TABLE IF NOT EXISTS vectors (key BLOB PRIMARY KEY, vector BLOB NOT NULL)",
)


class VectorStore:
    """Keep one encoder's vectors, float32 in little-endian order, under the texts' SHA-256.

    Attributes:
        path: The file; it need not exist yet.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     store = VectorStore("encode", folder, "length of a text")
    ...     store.write(["Heat"], np.array([[4]], np.float32))
    ...     store.read(["Up", "Heat"])
    {'Heat': array([4.], dtype=float32)}
    """

    def __init__(self, who: str, folder: str | Path, name: str) -> None:
        self.who, self.name = who, name
        readable = re.sub(r"[^\w.-]+", "-", name)[:60].strip("-.")
        self.path = Path(folder) / f"{readable}-{_digest(name).hex()[:16]}.sqlite"
        holds = f"the cache of {name!r}"
        self._file = CacheFile(who, self.path, holds, _APPLICATION, _FORMAT, _TABLES)

    def read(self, texts: Sequence[str]) -> dict[str, NDArray[np.float32]]:
        """Return the vectors (dim,) of those texts that have one; 500 texts or fewer at a time.

        Raises:
            OSError: If the file can't be read.
            ValueError: If it is damaged, of a newer format, or of something else.
        """
        if not self.path.exists():
            return {}
        text_of = {self._key(text): text for text in texts}
        marks = ",".join("?" * len(text_of))
        query = f"SELECT key, vector FROM vectors WHERE key IN ({marks})"  # noqa: S608
        with self._file.open() as connection:
            dim = self._dim(connection)
            found = connection.execute(query, list(text_of)).fetchall()
        sizes = {len(vector) for _, vector in found}
        if sizes - {4 * (dim or 0)}:
            raise self._file.damaged(f"a vector of {max(sizes)} bytes where dim is {dim}")
        return {text_of[key]: np.frombuffer(vector, "<f4") for key, vector in found}

    def write(self, texts: Sequence[str], vectors: NDArray[np.float32]) -> None:
        """Add the texts' vectors, all or none; what is there already stays.

        Raises:
            OSError: If the file can't be written.
            ValueError: As `read`, and if the file has vectors of another dimension.
        """
        rows = [
            (self._key(text), vector.astype("<f4").tobytes())
            for text, vector in zip(texts, vectors, strict=True)
        ]
        with self._file.open() as connection, connection:
            connection.execute("BEGIN IMMEDIATE")
            dim = self._dim(connection)
            if dim is None:
                row = (self.name, vectors.shape[1])
                connection.execute("INSERT INTO encoder VALUES (?, ?)", row)
            elif dim != vectors.shape[1]:
                what = f"the dimension of the vectors in {self.path}"
                expected = f"{vectors.shape[1]}, as the encoder gives"
                raise ValueError(describe(self.who, what, dim, expected, WAY_OUT))
            connection.executemany("INSERT OR IGNORE INTO vectors VALUES (?, ?)", rows)

    def _key(self, text: str) -> bytes:
        return _digest(f"{self.name}\0{text}")

    def _dim(self, connection: sqlite3.Connection) -> int | None:
        """Return the dimension of the file's vectors, None in a new file."""
        row: tuple[str, int] | None = connection.execute("SELECT name, dim FROM encoder").fetchone()
        if row is not None and row[0] != self.name:
            raise self._file.damaged(f"the cache of {row[0]!r}")
        return None if row is None else row[1]


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()
