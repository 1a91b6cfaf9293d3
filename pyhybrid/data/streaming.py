"""Interactions of many users from Parquet files, some users at a time, at constant memory."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pyhybrid.data.interactions import Interactions
from pyhybrid.data.tables import Column, open_files

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    import pyarrow as pa

    from pyhybrid.data.tables import Paths

__all__ = ["rows_if_sorted", "stream_users"]


def rows_if_sorted(paths: Paths, user: str = "user_id") -> int | None:
    """Count the rows of Parquet files if their users never go down from row to row, else None.

    Where they don't, `stream_users` can read them. Reads the one column once.
    """
    import pyarrow.compute as pc

    tables = open_files(paths, [Column(user, "user")], "recommend")
    if tables.untyped:
        return None
    rows = 0
    last: Any = None
    for batch in tables.batches():
        users = batch.column(user)
        if not len(users):
            continue
        falls = pc.any(pc.less(users.slice(1), users.slice(0, len(users) - 1))).as_py()
        if falls or (last is not None and users[0].as_py() < last):
            return None
        rows += len(users)
        last = users[len(users) - 1].as_py()
    return rows


def stream_users(
    paths: Paths,
    users: int,
    *,
    user: str = "user_id",
    report: Callable[[int], object] | None = None,
    **columns: Any,
) -> Iterator[Interactions]:
    """Yield the interactions of some users after the other, from files sorted by user.

    Memory: one part and one batch of rows. Each part has its own item axis.

    Args:
        paths: Parquet files for which `rows_if_sorted` is a number.
        users: Users a part; the last part may have fewer.
        user: The column of the users' ids.
        report: Called with the number of rows that the parts so far came from.
        **columns: As `Interactions.read` takes them.
    """
    names = [Column(user, "user"), Column(columns.get("item", "item_id"), "item")]
    names += [Column(columns[k], k) for k in ("weight", "time", "rating") if columns.get(k)]
    rows = 0
    for batches in _by_users(open_files(paths, names, "recommend").batches(), user, users):
        yield _interactions(batches, user, columns)
        rows += sum(len(batch) for batch in batches)
        if report is not None:
            report(rows)


def _by_users(
    batches: Iterable[pa.RecordBatch], user: str, users: int
) -> Iterator[list[pa.RecordBatch]]:
    """Cut batches sorted by user into lists of batches with `users` users each."""
    import pyarrow.compute as pc

    held: list[pa.RecordBatch] = []
    users_held = 0
    last: Any = None
    for batch in batches:
        rest = batch
        while len(rest):
            ids = rest.column(user)
            changes = pc.not_equal(ids.slice(1), ids.slice(0, len(ids) - 1))
            firsts = [0, *(place + 1 for place in pc.indices_nonzero(changes).to_pylist())]
            if users_held and ids[0].as_py() == last:
                firsts = firsts[1:]  # the batch goes on with the user that the last one ended with
            room = users - users_held
            end = firsts[room] if room < len(firsts) else len(rest)
            if end:
                held.append(rest.slice(0, end))
                users_held += min(room, len(firsts))
                last = ids[end - 1].as_py()
            rest = rest.slice(end)
            if len(rest):
                yield held
                held, users_held = [], 0
    if held:
        yield held


def _interactions(
    batches: list[pa.RecordBatch], user: str, columns: dict[str, Any]
) -> Interactions:
    import pyarrow as pa

    return Interactions.from_arrow(pa.Table.from_batches(batches), user=user, **columns)
