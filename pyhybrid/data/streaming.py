"""Interactions of many users from Parquet files, some users at a time, at constant memory."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from pyhybrid.checks import count
from pyhybrid.data.building import build
from pyhybrid.data.columns import Rows
from pyhybrid.data.ids import column_of, encode
from pyhybrid.data.interactions import Interactions
from pyhybrid.data.tables import Column, open_files
from pyhybrid.errors import describe

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from numpy.typing import NDArray

    from pyhybrid.data.columns import Chunk
    from pyhybrid.data.ids import IdColumn
    from pyhybrid.data.matrices import Duplicates
    from pyhybrid.data.tables import Paths

__all__ = ["rows_if_sorted", "stream_users"]


def rows_if_sorted(paths: Paths, user: str = "user_id", *, who: str = "stream_users") -> int | None:
    """Count the rows of Parquet files if their users never go down from row to row, else None.

    Where they don't, `stream_users` can read them. Reads the one column once.

    Raises:
        ValueError: If the column is missing, or a user is.
    """
    tables = open_files(paths, [Column(user, "user")], who)
    if tables.untyped:
        return None
    rows = 0
    last: Any = None
    for batch in tables.batches():
        users = column_of(batch.column(user), who, f"column {user!r}", row=rows)
        if len(users) and (_falls(users) or (last is not None and _first(users) < last)):
            return None
        rows += len(users)
        last = _first(users[-1:]) if len(users) else last
    return rows


def stream_users(
    paths: Paths,
    users: int,
    *,
    user: str = "user_id",
    item: str = "item_id",
    weight: str | None = None,
    time: str | None = None,
    rating: str | None = None,
    min_rating: float | None = None,
    duplicates: Duplicates = "once",
    ordered: bool = False,
    report: Callable[[int], object] | None = None,
) -> Iterator[Interactions]:
    """Yield the interactions of some users after the other, from files sorted by user.

    Memory: one part and one batch of rows. Each part has its own item axis. The columns, and what
    is refused, are those of `Interactions.read`.

    Args:
        paths: Parquet files for which `rows_if_sorted` is a number.
        users: Users a part; the last part may have fewer.
        user: As `Interactions.read` takes it, and so on to `ordered`.
        item: The column of the items' ids.
        weight: A column of weights.
        time: A column that orders each user's events.
        rating: A column of ratings.
        min_rating: Rows rated lower are left out, and users without another row.
        duplicates: What a pair in several rows weighs.
        ordered: Each user's rows stand oldest first.
        report: Called with the number of rows that the parts so far came from.
    """
    who = "stream_users"
    users = count(who, "users", users)
    columns = Rows(user, item, weight, time, rating, min_rating)
    chunks = columns.chunks(open_files(paths, columns.columns(who), who), who)
    rows = 0
    for part in _by_users(chunks, users):
        yield Interactions(*build(partial(iter, part), who, duplicates, ordered))
        rows += sum(len(chunk.users) for chunk in part)
        if report is not None:
            report(rows)
    if not rows:
        raise ValueError(describe(who, "the number of rows", 0, "at least one"))


def _by_users(chunks: Iterable[Chunk], users: int) -> Iterator[list[Chunk]]:
    """Cut rows sorted by user into lists of chunks with `users` users each."""
    held: list[Chunk] = []
    users_held = 0
    last: Any = None
    for chunk in chunks:
        rest = chunk
        while len(rest.users):
            firsts = _starts(rest.users)
            if users_held and _first(rest.users) == last:
                firsts = firsts[1:]  # the chunk goes on with the user that the last one ended with
            room = users - users_held
            end = int(firsts[room]) if room < len(firsts) else len(rest.users)
            if end:
                held.append(rest.cut(slice(0, end)))
                users_held += min(room, len(firsts))
                last = _first(rest.users[end - 1 : end])
            rest = rest.cut(slice(end, None))
            if len(rest.users):
                yield held
                held, users_held = [], 0
    if held:
        yield held


def _starts(users: IdColumn) -> NDArray[np.int64]:
    """Return where another user's rows begin, 0 included."""
    _, codes = encode(users)
    return np.flatnonzero(np.concatenate([[True], codes[1:] != codes[:-1]]))


def _first(users: IdColumn) -> Any:
    return users[:1].tolist()[0]


def _falls(users: IdColumn) -> bool:
    if isinstance(users, np.ndarray):
        return bool((users[1:] < users[:-1]).any())
    import pyarrow.compute as pc

    return bool(pc.any(pc.less(users[1:], users[:-1])).as_py())
