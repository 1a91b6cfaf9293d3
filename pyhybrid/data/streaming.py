"""Interactions of many users from Parquet files, some users at a time, at constant memory."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pyhybrid.data.interactions import Interactions
from pyhybrid.data.tables import Column, open_files

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pyarrow as pa

    from pyhybrid.data.tables import Paths

__all__ = ["is_sorted_by_user", "stream_users"]


def is_sorted_by_user(paths: Paths, user: str = "user_id") -> bool:
    """Tell whether files are Parquet whose users never go down from row to row.

    Then `stream_users` can read them. Reads the one column once.
    """
    import pyarrow.compute as pc

    tables = open_files(paths, [Column(user, "user")], "recommend")
    if tables.untyped:
        return False
    last: Any = None
    for batch in tables.batches():
        users = batch.column(user)
        if not len(users):
            continue
        falls = pc.any(pc.less(users.slice(1), users.slice(0, len(users) - 1))).as_py()
        if falls or (last is not None and users[0].as_py() < last):
            return False
        last = users[len(users) - 1].as_py()
    return True


def stream_users(
    paths: Paths, rows: int, *, user: str = "user_id", **columns: Any
) -> Iterator[Interactions]:
    """Yield the interactions of `rows` users after the other, from files sorted by user.

    Memory: one part and one batch of rows. Each part has its own item axis.

    Args:
        paths: Parquet files for which `is_sorted_by_user` holds.
        rows: Users a part; the last part may have fewer.
        user: The column of the users' ids.
        **columns: As `Interactions.read` takes them.
    """
    import pyarrow.compute as pc

    names = [Column(user, "user"), Column(columns.get("item", "item_id"), "item")]
    names += [Column(columns[k], k) for k in ("weight", "time", "rating") if columns.get(k)]
    held: list[pa.RecordBatch] = []
    users_held = 0
    last: Any = None
    for batch in open_files(paths, names, "recommend").batches():
        while len(batch):
            ids = batch.column(user)
            starts = pc.indices_nonzero(pc.not_equal(ids.slice(1), ids.slice(0, len(ids) - 1)))
            firsts = [0, *(start + 1 for start in starts.to_pylist())]
            if users_held and ids[0].as_py() == last:
                firsts = firsts[1:]
            room = rows - users_held
            end = firsts[room] if room < len(firsts) else len(batch)
            held.append(batch.slice(0, end))
            users_held += min(room, len(firsts))
            last = ids[end - 1].as_py() if end else last
            batch = batch.slice(end)
            if len(batch):
                yield _interactions(held, user, columns)
                held, users_held = [], 0
    if users_held:
        yield _interactions(held, user, columns)


def _interactions(
    batches: list[pa.RecordBatch], user: str, columns: dict[str, Any]
) -> Interactions:
    import pyarrow as pa

    return Interactions.from_arrow(pa.Table.from_batches(batches), user=user, **columns)
