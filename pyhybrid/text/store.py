"""A file of vectors by text: one SQLite database an encoder.

It is written in short transactions of its own, so that several processes can share it and what a
killed one had written stays. SQLite's rollback journal is used, not its write-ahead log, since the
log does not work on the network folders that home directories often are.
"""

from __future__ import annotations

import hashlib
import re
import sqlite3
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from pyhybrid.errors import describe

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

__all__ = ["VectorStore"]

_APPLICATION = 0x70796879  # "pyhy": tells the file from other programs' databases
_FORMAT = 1
_PATIENCE = 60.0  # seconds to wait for another process that writes
_TABLES = (
    "CREATE TABLE IF NOT EXISTS encoder (name TEXT NOT NULL, dim INTEGER NOT NULL)",
    "CREATE TABLE IF NOT EXISTS vectors (key BLOB PRIMARY KEY, vector BLOB NOT NULL)",
    f"PRAGMA application_id = {_APPLICATION}",
    f"PRAGMA user_version = {_FORMAT}",
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
        with self._open() as connection:
            dim = self._dim(connection)
            found = connection.execute(query, list(text_of)).fetchall()
        sizes = {len(vector) for _, vector in found}
        if sizes - {4 * (dim or 0)}:
            raise self._damaged(f"a vector of {max(sizes)} bytes where dim is {dim}")
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
        with self._open() as connection, connection:
            connection.execute("BEGIN IMMEDIATE")
            dim = self._dim(connection)
            if dim is None:
                row = (self.name, vectors.shape[1])
                connection.execute("INSERT INTO encoder VALUES (?, ?)", row)
            elif dim != vectors.shape[1]:
                what = f"the dimension of the vectors in {self.path}"
                expected = f"{vectors.shape[1]}, as the encoder gives"
                raise ValueError(describe(self.who, what, dim, expected, _WAY_OUT))
            connection.executemany("INSERT OR IGNORE INTO vectors VALUES (?, ?)", rows)

    def _key(self, text: str) -> bytes:
        return _digest(f"{self.name}\0{text}")

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        """Open the file, made if missing; SQLite's errors come out in words."""
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            # isolation_level=None: transactions begin where BEGIN stands, not by themselves
            opened = sqlite3.connect(self.path, timeout=_PATIENCE, isolation_level=None)
            with closing(opened) as connection:
                self._prepare(connection)
                yield connection
        except (sqlite3.Error, OSError) as error:
            # The lowest byte of a code is the kind of error.
            code = getattr(error, "sqlite_errorcode", 0) & 0xFF
            if code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
                raise self._damaged(str(error)) from error
            found, expected = f"not usable ({error})", "a file that can be read and written"
            raise OSError(
                describe(self.who, str(self.path), found, expected, _ELSEWHERE)
            ) from error

    def _prepare(self, connection: sqlite3.Connection) -> None:
        """Make the tables of a new file; refuse what is not ours."""
        # One statement sees one state, even while another process makes the tables.
        application, version, tables = connection.execute(
            "SELECT application_id, user_version, (SELECT count(*) FROM sqlite_master)"
            " FROM pragma_application_id, pragma_user_version"
        ).fetchone()
        if (application, tables) == (0, 0):
            with connection:
                connection.execute("BEGIN IMMEDIATE")
                for statement in _TABLES:
                    connection.execute(statement)
        elif application != _APPLICATION:
            raise self._damaged("another program's database")
        elif version > _FORMAT:
            what, expected = f"the format of {self.path}", f"at most {_FORMAT}"
            raise ValueError(
                describe(self.who, what, version, expected, "install a newer pyhybrid")
            )

    def _dim(self, connection: sqlite3.Connection) -> int | None:
        """Return the dimension of the file's vectors, None in a new file."""
        row: tuple[str, int] | None = connection.execute("SELECT name, dim FROM encoder").fetchone()
        if row is not None and row[0] != self.name:
            raise self._damaged(f"the cache of {row[0]!r}")
        return None if row is None else row[1]

    def _damaged(self, found: str) -> ValueError:
        expected = f"the cache of {self.name!r}"
        return ValueError(
            describe(self.who, str(self.path), f"damaged: {found}", expected, _WAY_OUT)
        )


_ELSEWHERE = "name another folder with cache=, or do without it by cache=None"
_WAY_OUT = f"delete it, {_ELSEWHERE}"


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()
