"""Labelled rows from files."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from pyhybrid.data.columns import Rows
from pyhybrid.data.feedback import Feedback, require_feedback
from pyhybrid.data.ids import column_of, join, whole_numbers
from pyhybrid.data.labelling import as_labels
from pyhybrid.data.tables import Column, Paths, open_files

if TYPE_CHECKING:
    from pyhybrid.data.ids import IdColumn

__all__ = ["read_feedback"]


def read_feedback(
    paths: Paths,
    *,
    user: str,
    item: str,
    label: str,
    time: str | None = None,
    earlier: Feedback | None = None,
    item_ids: Any = None,
) -> Feedback:
    r"""Read labelled rows from Parquet, CSV, TSV or JSON lines, perhaps compressed.

    In CSV and TSV ids that are all plain whole numbers become int64, unless the axis that they
    continue (`earlier`, `item_ids`) is strings.

    Args:
        paths: As `Interactions.read` takes them; the rows of several files follow one another.
        user: The column of the users' ids.
        item: The column of the items' ids.
        label: The column of the labels: bool, or 0 and 1.
        time: A column of numbers or timestamps; None: each user's rows stand oldest first.
        earlier: As in `Feedback.from_columns`.
        item_ids: As in `Feedback.from_columns`.

    Raises:
        FileNotFoundError: If a path is missing.
        TypeError: If a column is of another kind.
        ValueError: If a file is damaged or without rows, or a column or value is missing, or for
            what `Feedback.from_columns` refuses.

    >>> import tempfile
    >>> with tempfile.NamedTemporaryFile("w", suffix=".csv") as file:
    ...     _ = file.write("uid,iid,liked\n7,1,1\n7,2,0\n"); file.flush()
    ...     read_feedback(file.name, user="uid", item="iid", label="liked")
    Feedback(2 rows of 1 users x 2 items, 1 liked)
    """
    who = "read_feedback"
    if earlier is not None:
        require_feedback(earlier, who, "earlier")
    rows = Rows(user, item, None, time, None, None)
    tables = open_files(paths, [*rows.columns(who), Column(label, "label")], who)
    chunks = list(rows.chunks(tables, who))
    users = join([chunk.users for chunk in chunks], who, "the users' ids")
    items = join([chunk.items for chunk in chunks], who, "the items' ids")
    times = [chunk.times for chunk in chunks if chunk.times is not None]
    labels, size = [np.empty(0, np.bool_)], 0
    for batch in tables.batches():
        labels.append(as_labels(batch.column(label), who, f"column {label!r}", row=size))
        size += len(batch)
    if tables.untyped:
        users = _typed(users, None if earlier is None else earlier.user_ids)
        items = _typed(items, item_ids if earlier is None else earlier.item_ids)
    return Feedback.from_columns(
        users,
        items,
        np.concatenate(labels),
        np.concatenate(times) if times else None,
        earlier=earlier,
        item_ids=item_ids,
    )


def _typed(column: IdColumn, axis: Any) -> IdColumn:
    """Take strings for the whole numbers that all of them spell, unless `axis` is strings."""
    known = np.empty(0, np.int64) if axis is None else column_of(axis, "read_feedback", "item_ids")
    numbers = whole_numbers(column) if isinstance(known, np.ndarray) else None
    return column if numbers is None else numbers
