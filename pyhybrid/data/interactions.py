"""Who did what, when: a CSR matrix of users x items with the users' and the items' own ids."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from pyhybrid.data.building import build
from pyhybrid.data.columns import Chunk, Rows, as_times, as_weights
from pyhybrid.data.ids import arrow_ids, as_ids, column_of, positions
from pyhybrid.data.matrices import (
    Duplicates,
    Events,
    bounds,
    canonical_csr,
    csr,
    fold,
    require_mask,
    row_positions,
    rows_of,
)
from pyhybrid.data.tables import Paths, open_arrow, open_files
from pyhybrid.errors import describe

if TYPE_CHECKING:
    import pyarrow as pa
    from numpy.typing import NDArray
    from scipy.sparse import csr_array

    from pyhybrid.data.building import Axes
    from pyhybrid.data.ids import Ids

__all__ = ["Events", "Interactions"]


@dataclass(frozen=True, eq=False, repr=False)
class Interactions:
    """Hold which users took which items, and in which order where that is known.

    Made by `read`, `from_arrow`, `from_columns` and `from_csr`, which check what they are given;
    the constructor trusts its arguments to fit together.

    Attributes:
        matrix: float32 ``csr_array`` (users, items): sorted indices, no duplicates. The weights
            are 1 unless a weight column was named.
        user_ids: The ids of the matrix's rows: int64, or dtype object holding str.
        item_ids: The ids of its columns, likewise.
        events: Each user's events oldest first, repeats kept; None where no order is known.
        duplicates: How the events of a pair make its weight: "once", "sum" or "count".

    >>> seen = Interactions.from_columns(["ann", "bob", "ann"], [30, 30, 10])
    >>> seen
    Interactions(2 users x 2 items, 3 pairs)
    >>> seen.matrix.toarray().tolist(), seen.item_ids.tolist()
    ([[1.0, 1.0], [0.0, 1.0]], [10, 30])
    """

    matrix: csr_array[np.float32]
    user_ids: Ids
    item_ids: Ids
    events: Events | None = None
    duplicates: Duplicates = "once"

    @classmethod
    def read(
        cls,
        paths: Paths,
        *,
        user: str = "user_id",
        item: str = "item_id",
        weight: str | None = None,
        time: str | None = None,
        rating: str | None = None,
        min_rating: float | None = None,
        duplicates: Duplicates = "once",
        ordered: bool = False,
        ids: Axes | None = None,
    ) -> Interactions:
        r"""Read interactions from Parquet, CSV, TSV or JSON lines, perhaps compressed.

        Parquet and CSV are read twice in batches and never held whole: the memory needed is the
        matrix's own, 8 bytes a row (with an order 12 to 28 more), the distinct ids and one batch.

        The users and items are sorted by their ids, so the order of rows and files does not
        matter. In CSV and TSV all ids are strings at first ("007" is not 7); if every id of an
        axis is a plain whole number, the axis becomes int64. Parquet ids keep their type.

        Args:
            paths: A file, a list of files, or a folder of Parquet files. The endings: .parquet,
                .csv, .tsv, .jsonl, .ndjson or .json, then perhaps .gz or .zst.
            user: The column of the users' ids.
            item: The column of the items' ids.
            weight: A column of finite weights; None: each row weighs 1.
            time: A column of numbers or timestamps that orders each user's events; rows of one
                time stay in their order.
            rating: A column of ratings, of which `min_rating` decides what is kept.
            min_rating: Rows rated lower are left out.
            duplicates: What a pair in several rows weighs: "once" 1 or its largest weight, "sum"
                the sum of its weights, "count" the number of its rows.
            ordered: Each user's rows stand oldest first.
            ids: Earlier interactions whose users and items keep their positions; new ones follow.

        Raises:
            FileNotFoundError: If a path is missing.
            TypeError: If ids are neither whole numbers nor strings, or their kinds are mixed.
            ValueError: If a file is damaged or without rows, a column is missing, an id is
                missing, a number is not finite, or the arguments contradict each other.
            MemoryError: If the matrix won't fit.

        >>> import tempfile
        >>> with tempfile.NamedTemporaryFile("w", suffix=".csv") as file:
        ...     _ = file.write("user,film,seen\n7,b,2\n7,a,1\n"); file.flush()
        ...     Interactions.read(file.name, user="user", item="film", time="seen")
        Interactions(1 users x 2 items, 2 pairs, ordered)
        """
        rows = Rows(user, item, weight, time, rating, min_rating)
        tables = open_files(paths, rows.columns("read"), "read")
        chunks = partial(rows.chunks, tables, "read")
        return cls(*build(chunks, "read", duplicates, ordered, ids, tables.untyped))

    @classmethod
    def from_arrow(
        cls,
        data: Any,
        *,
        user: str = "user_id",
        item: str = "item_id",
        weight: str | None = None,
        time: str | None = None,
        rating: str | None = None,
        min_rating: float | None = None,
        duplicates: Duplicates = "once",
        ordered: bool = False,
        ids: Axes | None = None,
    ) -> Interactions:
        """Take interactions from a table in memory: pandas, polars, pyarrow, a duckdb result.

        Anything with ``__arrow_c_stream__`` will do; a stream that runs only once is held in
        memory meanwhile. The arguments and errors are those of `read`.

        >>> import pyarrow as pa
        >>> table = pa.table({"user_id": ["u", "v", "u"], "item_id": [1, 1, 1]})
        >>> Interactions.from_arrow(table, duplicates="count").matrix.toarray().tolist()
        [[2.0], [1.0]]
        """
        rows = Rows(user, item, weight, time, rating, min_rating)
        tables = open_arrow(data, rows.columns("from_arrow"), "from_arrow")
        chunks = partial(rows.chunks, tables, "from_arrow")
        return cls(*build(chunks, "from_arrow", duplicates, ordered, ids, tables.untyped))

    @classmethod
    def from_columns(
        cls,
        users: Any,
        items: Any,
        weights: Any = None,
        times: Any = None,
        *,
        duplicates: Duplicates = "once",
        ordered: bool = False,
        ids: Axes | None = None,
    ) -> Interactions:
        """Take interactions from columns of one length: NumPy arrays, lists or Arrow arrays.

        The arguments and errors are those of `read`.

        >>> seen = Interactions.from_columns([1, 1, 2], [5, 6, 5], times=[20, 10, 30])
        >>> seen.events.items.tolist(), seen.events.times.tolist()
        ([1, 0, 0], [10, 20, 30])
        """
        who = "from_columns"
        chunk = Chunk(
            column_of(users, who, "users"),
            column_of(items, who, "items"),
            None if weights is None else as_weights(weights, who, "weights"),
            None if times is None else as_times(times, who, "times"),
        )
        lengths = {len(column) for column in chunk if column is not None}
        if len(lengths) > 1:
            found = " and ".join(map(str, sorted(lengths)))
            raise ValueError(describe(who, "the columns' length", found, "one length for all"))
        return cls(*build(lambda: [chunk], who, duplicates, ordered, ids))

    @classmethod
    def from_csr(cls, matrix: Any, user_ids: Any = None, item_ids: Any = None) -> Interactions:
        """Take the entries of a float32 SciPy CSR matrix of users x items, in no order.

        The matrix's arrays are shared, not copied, unless its indices are unsorted or stand
        there twice (duplicates are summed then), or are int64 without need. The caller's matrix
        never changes.

        Args:
            matrix: A ``csr_array`` or ``csr_matrix``.
            user_ids: An id for each row; None: the row numbers.
            item_ids: An id for each column; None: the column numbers.

        Raises:
            TypeError: If `matrix` is no CSR matrix of float32, or the ids are no ids.
            ValueError: If its indptr or indices are out of bounds, an entry is not finite, or
                the ids are not one a row or column.

        >>> from scipy.sparse import csr_array
        >>> matrix = csr_array(np.eye(2, dtype=np.float32))
        >>> Interactions.from_csr(matrix, item_ids=["a", "b"])
        Interactions(2 users x 2 items, 2 pairs)
        """
        checked = canonical_csr(matrix)
        rows, columns = checked.shape
        users = np.arange(rows) if user_ids is None else user_ids
        items = np.arange(columns) if item_ids is None else item_ids
        return cls(
            checked,
            as_ids(users, "from_csr", "user_ids", size=rows),
            as_ids(items, "from_csr", "item_ids", size=columns),
        )

    @property
    def shape(self) -> tuple[int, int]:
        """The numbers of users and of items."""
        return self.n_users, self.n_items

    @property
    def n_users(self) -> int:
        """The number of users."""
        return len(self.user_ids)

    @property
    def n_items(self) -> int:
        """The number of items."""
        return len(self.item_ids)

    def __repr__(self) -> str:
        order = "" if self.events is None else ", ordered"
        size = f"{self.n_users} users x {self.n_items} items, {self.matrix.nnz} pairs"
        return f"Interactions({size}{order})"

    def item_counts(self) -> NDArray[np.int64]:
        """Count each item's users: int64 (items,).

        >>> Interactions.from_columns([1, 2, 1], [5, 5, 6]).item_counts()
        array([2, 1])
        """
        return np.bincount(self.matrix.indices, minlength=self.n_items)

    def event_pairs(self) -> NDArray[np.int64]:
        """Give each event the place of its pair among the matrix entries: int64 (events,).

        Raises:
            ValueError: If there are no events.

        >>> Interactions.from_columns([1, 1, 1], [6, 5, 6], ordered=True).event_pairs()
        array([1, 0, 1])
        """
        events = self._events("event_pairs")
        pairs = rows_of(self.matrix.indptr) * self.n_items + self.matrix.indices
        return np.searchsorted(pairs, rows_of(events.indptr) * self.n_items + events.items)

    def select_users(self, rows: Any) -> Interactions:
        """Take some users, in the order given, on the same item axis.

        Args:
            rows: Their positions, or a bool mask (users,).

        Raises:
            TypeError: If `rows` is neither.
            ValueError: If a position is out of range or there twice, or the mask is not one
                value a user.

        >>> seen = Interactions.from_columns([1, 2, 3], [5, 5, 6])
        >>> seen.select_users([2, 0]).user_ids
        array([3, 1])
        """
        chosen = row_positions(rows, self.n_users, "select_users")
        events = None if self.events is None else self.events.of_users(chosen)
        return replace(
            self, matrix=self.matrix[chosen], user_ids=self.user_ids[chosen], events=events
        )

    def with_items(
        self, item_ids: Any, *, unknown: Literal["error", "drop"] = "error"
    ) -> Interactions:
        """Bring the interactions to another item axis, items matched by their ids.

        Args:
            item_ids: The ids of the new axis.
            unknown: What becomes of pairs whose item is not on it: "error" or "drop".

        Returns:
            The same object where the axis is the same already.

        Raises:
            TypeError: If one axis is strings and the other whole numbers.
            ValueError: If items that have entries are not on the new axis.

        >>> seen = Interactions.from_columns([1, 2], [5, 6])
        >>> seen.with_items([6, 7, 5]).matrix.toarray().tolist()
        [[0.0, 0.0, 1.0], [1.0, 0.0, 0.0]]
        """
        if unknown not in ("error", "drop"):
            found, expected = repr(unknown), "'error' or 'drop'"
            raise ValueError(describe("with_items", "unknown", found, expected))
        if item_ids is self.item_ids:
            return self
        item_ids = as_ids(item_ids, "with_items", "item_ids")
        if np.array_equal(item_ids, self.item_ids):
            return self
        columns = positions(self.item_ids, item_ids, "with_items")
        lost = np.flatnonzero((columns < 0) & (self.item_counts() > 0))
        if len(lost) and unknown == "error":
            found = f"{len(lost)}, the first {self.item_ids[lost[:1]].tolist()[0]!r}"
            way_out = 'leave their pairs out with unknown="drop"'
            raise ValueError(describe("with_items", "number of unknown items", found, "0", way_out))
        kept = self.keep_pairs(columns[self.matrix.indices] >= 0) if len(lost) else self
        pairs = kept.matrix
        shape = (self.n_users, len(item_ids))
        matrix = csr(pairs.data.copy(), columns[pairs.indices], pairs.indptr, shape)
        matrix.sort_indices()
        events = kept.events
        if events is not None:
            events = replace(events, items=columns[events.items].astype(np.int32))
        return replace(self, matrix=matrix, item_ids=item_ids, events=events)

    def keep_pairs(self, mask: NDArray[np.bool_]) -> Interactions:
        """Keep some matrix entries, and the events that belong to them, on the same axes.

        Args:
            mask: Which to keep: bool (pairs,), in the order of ``matrix.data``.

        Raises:
            ValueError: If `mask` is not one value a pair.

        >>> seen = Interactions.from_columns([1, 1, 2], [5, 6, 5])
        >>> seen.keep_pairs(np.array([True, False, True])).matrix.toarray().tolist()
        [[1.0, 0.0], [1.0, 0.0]]
        """
        require_mask(mask, self.matrix.nnz, "keep_pairs", "a pair")
        indptr = bounds(mask)[self.matrix.indptr]
        matrix = csr(self.matrix.data[mask], self.matrix.indices[mask], indptr, self.shape)
        events = self.events and self.events.keep(mask[self.event_pairs()])
        return replace(self, matrix=matrix, events=events)

    def keep_events(self, mask: NDArray[np.bool_]) -> Interactions:
        """Keep some events, and weigh the pairs by what is left of them, on the same axes.

        Args:
            mask: Which to keep: bool (events,).

        Raises:
            ValueError: If there are no events, or `mask` is not one value an event.

        >>> seen = Interactions.from_columns([1, 1], [5, 5], duplicates="count", ordered=True)
        >>> seen.keep_events(np.array([True, False])).matrix.toarray().tolist()
        [[1.0]]
        """
        events = self._events("keep_events")
        require_mask(mask, len(events.items), "keep_events", "an event")
        kept = events.keep(mask)
        matrix = fold(kept, self.n_items, self.duplicates)
        return replace(self, matrix=matrix, events=kept)

    def to_arrow(self) -> pa.Table:
        """Return a table of user_id, item_id, and weight and time where there are any.

        One row an event, in order, where there are events, else one a pair; a user's rows stand
        together. The column weight is left out where all is 1.

        >>> Interactions.from_columns([7, 7], ["b", "a"], times=[2, 1]).to_arrow().to_pylist()
        [{'user_id': 7, 'item_id': 'a', 'time': 1}, {'user_id': 7, 'item_id': 'b', 'time': 2}]
        """
        import pyarrow as pa

        matrix = self.matrix
        indptr = matrix.indptr.astype(np.int64)
        data = self.events or Events(indptr, matrix.indices, weights=matrix.data)
        users = arrow_ids(self.user_ids)
        items = arrow_ids(self.item_ids)
        columns = {
            "user_id": users.take(pa.array(rows_of(data.indptr))),
            "item_id": items.take(pa.array(data.items)),
        }
        if data.weights is not None and (data.weights != 1).any():
            columns["weight"] = data.weights
        if data.times is not None:
            columns["time"] = data.times
        return pa.table(columns)

    def _events(self, who: str) -> Events:
        if self.events is None:
            way_out = "read the data with time= or ordered=True"
            raise ValueError(describe(who, "the order of events", "unknown", "events", way_out))
        return self.events
