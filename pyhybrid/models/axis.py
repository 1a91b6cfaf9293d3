"""The item axis of a fitted model, and the part of it that the model can rank."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from pyhybrid.checks import count, integers
from pyhybrid.data.ids import column_of, positions
from pyhybrid.data.interactions import Interactions
from pyhybrid.data.lately import grades
from pyhybrid.errors import describe

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Self

    from numpy.typing import ArrayLike, NDArray

    from pyhybrid.data.catalog import Catalog

__all__ = ["ItemAxis", "as_interactions"]


@dataclass(frozen=True, eq=False)
class ItemAxis:
    """Hold which items there are, and translate between the axis and a model's own items.

    A model's own items are those that it can rank, numbered anew in axis order.

    Attributes:
        item_ids: (items,), the training interactions' items, then the catalogue's others.
        item_counts: int64 (items,), the training users of each item.
        rankable: int32 (model items,), the positions of the model's own items, ascending.
        lately: float32 (items,), `pyhybrid.data.lately.grades` of how popular each item is by now;
            None where that is told by `item_counts`.
    """

    item_ids: NDArray[Any]
    item_counts: NDArray[np.int64]
    rankable: NDArray[np.int32]
    lately: NDArray[np.float32] | None = None

    @classmethod
    def of_counts(cls, item_ids: NDArray[Any], item_counts: NDArray[np.int64], least: int) -> Self:
        """Make the axis on which items with at least `least` training users can be ranked."""
        rankable = np.flatnonzero(item_counts >= least).astype(np.int32)
        return cls(item_ids, item_counts, rankable)

    @classmethod
    def of_training(cls, interactions: Interactions, catalog: Catalog | None, least: int) -> Self:
        """Make the axis of training interactions and of the catalogue's items beyond them."""
        item_ids, item_counts = interactions.item_ids, interactions.item_counts()
        if catalog is not None:
            others = catalog.item_ids[positions(catalog.item_ids, item_ids) < 0]
            item_ids = np.concatenate([item_ids, others])
            item_counts = np.concatenate([item_counts, np.zeros(len(others), dtype=np.int64)])
        return cls.of_counts(item_ids, item_counts, least)

    @classmethod
    def of_arrays(cls, arrays: Mapping[str, NDArray[Any]], least: int) -> Self:
        """Make the axis again from what `arrays` returned, now or before there was `lately`."""
        axis = cls.of_counts(arrays["item_ids"], np.asarray(arrays["item_counts"]), least)
        return replace(axis, lately=arrays.get("item_lately"))

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return what a save needs to hold of the axis."""
        own: dict[str, Any] = {"item_ids": self.item_ids, "item_counts": self.item_counts}
        return own if self.lately is None else {**own, "item_lately": self.lately}

    def with_lately(self, lately: NDArray[np.float64] | None) -> Self:
        """Grade the items by how popular they are by now.

        Args:
            lately: float64 (training items,), 0 for an item that nobody takes any more; None where
                the counts of all times are to tell.
        """
        if lately is None:
            return replace(self, lately=None)
        others = np.zeros(len(self.item_ids) - len(lately))  # the catalogue's
        return replace(self, lately=grades(np.concatenate([lately, others]), self.item_counts))

    @property
    def popularity(self) -> NDArray[np.float32]:
        """What the model's own items are ranked by where a history says nothing: (model items,)."""
        popularity = self.item_counts if self.lately is None else self.lately
        return popularity[self.rankable].astype(np.float32)

    @property
    def is_whole(self) -> bool:
        """Whether the model can rank every item, so that there is nothing to translate."""
        return len(self.rankable) == len(self.item_ids)

    def view(self, interactions: Interactions) -> Interactions:
        """Bring interactions to the model's own items, dropping those that it can't rank."""
        on_axis = interactions.with_items(self.item_ids)
        if self.is_whole:
            return on_axis
        return on_axis.with_items(self.item_ids[self.rankable], unknown="drop")

    def back(self, items: NDArray[np.int32]) -> NDArray[np.int32]:
        """Turn the model's own items into positions on the axis; -1 stays -1."""
        return items if self.is_whole else np.where(items >= 0, self.rankable[items], np.int32(-1))

    def own(self, who: str, items: ArrayLike) -> tuple[NDArray[np.int64], NDArray[np.integer[Any]]]:
        """Turn positions on the axis into the model's own items; return both, (items,).

        Raises:
            TypeError: If they are not integers.
            ValueError: If the model has nothing on one of them.
        """
        items = integers(who, "items", items)
        places = np.minimum(np.searchsorted(self.rankable, items), len(self.rankable) - 1)
        unknown = np.flatnonzero(self.rankable[places] != items)
        if len(unknown):
            value = f"{items[unknown[0]]}, which the model has no weights for"
            raise ValueError(describe(who, "item", value, "one of model.rankable"))
        return places, items

    def allowed(
        self, among: ArrayLike | None, deny: ArrayLike | None, rows: int = 1
    ) -> NDArray[np.int32] | None:
        """Turn `among` and `deny` of `recommend` into the model's own items; None if that is all.

        Raises:
            TypeError: If they are not integers.
            ValueError: If they are not on the axis, or `among` has another number of rows.
        """
        if among is None and deny is None:
            return None
        items = len(self.item_ids)
        own = np.full(items + 1, -1, dtype=np.int32)  # the last place stands for -1
        own[self.rankable] = np.arange(len(self.rankable), dtype=np.int32)
        if deny is not None:
            own[self._checked("deny", deny, least=0)] = -1
        if among is None:
            return own[own >= 0]
        among = self._checked("among", among, least=-1)
        if among.ndim not in (1, 2) or (among.ndim == 2 and len(among) != rows):
            expected = f"(allowed,) or (rows, allowed) with {rows} rows"
            raise ValueError(describe("recommend", "among's shape", among.shape, expected))
        allowed: NDArray[np.int32] = own[among]
        return allowed

    def new_columns(self, new: int | ArrayLike) -> NDArray[np.bool_]:
        """Mark the new items on the axis: bool (items,).

        Args:
            new: Items with fewer training users than this number are new, and those without any;
                or the new items' positions on the axis.

        Raises:
            TypeError: If it is neither a whole number nor whole numbers.
            ValueError: If the number is negative, or a position is not on the axis.
        """
        if np.ndim(new) == 0:
            return np.asarray(self.item_counts < max(count("recommend", "new", new, least=0), 1))
        is_new = np.zeros(len(self.item_ids), dtype=np.bool_)
        is_new[self._checked("new", new, least=0)] = True
        return is_new

    def positions(self, ids: ArrayLike, who: str) -> NDArray[np.int32]:
        """Find items by their own ids: int32 (ids,).

        Raises:
            ValueError: If one of them is not on the axis.
        """
        wanted = column_of(ids, who, "ids")
        found = positions(wanted, self.item_ids, who)
        unknown = np.flatnonzero(found < 0)
        if len(unknown):
            first = wanted[unknown[0] : unknown[0] + 1].tolist()[0]
            value = f"{len(unknown)} (first: {first!r})"
            raise ValueError(describe(who, "number of unknown items", value, "0"))
        return found.astype(np.int32)

    def _checked(self, what: str, values: ArrayLike, *, least: int) -> NDArray[np.integer[Any]]:
        indices = integers("recommend", what, values)
        last = len(self.item_ids) - 1
        if indices.size and (indices.min() < least or indices.max() > last):
            value = f"{indices.min()} to {indices.max()}"
            raise ValueError(describe("recommend", what, value, f"items in {least} to {last}"))
        return indices


def as_interactions(who: str, interactions: Any) -> Interactions:
    """Return interactions; those of a bare CSR have row and column numbers for ids."""
    if isinstance(interactions, Interactions):
        return interactions
    if getattr(interactions, "format", None) == "csr":
        return Interactions.from_csr(interactions)
    found = f"a {type(interactions).__name__}"
    raise TypeError(describe(who, "interactions", found, "Interactions or a SciPy CSR"))
