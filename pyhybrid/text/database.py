"""A cache's file: one SQLite database that several threads and processes can share.

It is written in short transactions of its own, so that what a killed process had written stays.
SQLite's rollback journal is used, not its write-ahead log, since the log does not work on the
network folders that home directories often are.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pyhybrid.errors import describe

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

__all__ = ["WAY_OUT", "CacheFile"]

_PATIENCE = 60.0  # seconds to wait for another process that writes
_ELSEWHERE = "name another folder with cache=, or do without it by cache=None"
WAY_OUT = f"delete it, {_ELSEWHERE}"


@dataclass(frozen=True)
class CacheFile:
    """Open a file of one format, made if missing; SQLite's errors come out in words.

    Attributes:
        who: Whom errors name.
        path: The file.
        holds: What it holds, in words, for errors.
        application: A number that tells the file from other programs' databases.
        version: Of the format; a newer one is refused.
        tables: The statements that make a new file's tables.
    """

    who: str
    path: Path
    holds: str
    application: int
    version: int
    tables: Sequence[str]

    @contextmanager
    def open(self) -> Iterator[sqlite3.Connection]:
        """Give a connection in which transactions begin where BEGIN stands.

        Raises:
            OSError: If the file can't be read or written.
            ValueError: If it is damaged, of a newer format, or of something else.
        """
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
                raise self.damaged(str(error)) from error
            found, expected = f"not usable ({error})", "a file that can be read and written"
            raise OSError(
                describe(self.who, str(self.path), found, expected, _ELSEWHERE)
            ) from error

    def damaged(self, found: str) -> ValueError:
        """Return the error that says what is wrong with the file's content."""
        return ValueError(
            describe(self.who, str(self.path), f"damaged: {found}", self.holds, WAY_OUT)
        )

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
                for statement in self.tables:
                    connection.execute(statement)
                connection.execute(f"PRAGMA application_id = {self.application}")
                connection.execute(f"PRAGMA user_version = {self.version}")
        elif application != self.application:
            raise self.damaged("another program's database")
        elif version > self.version:
            what, expected = f"the format of {self.path}", f"at most {self.version}"
            raise ValueError(
                describe(self.who, what, version, expected, "install a newer pyhybrid")
            )
