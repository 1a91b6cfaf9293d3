"""Several data sets as one, for what is trained on all of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.sparse import block_diag, csr_array

from pyhybrid.data.catalog import Catalog
from pyhybrid.data.interactions import Interactions
from pyhybrid.data.matrices import Events, bounds, canonical_csr
from pyhybrid.errors import describe

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from numpy.typing import NDArray

__all__ = ["join_domains"]

_WHO = "join_domains"


def join_domains(
    domains: Mapping[str, tuple[Interactions, Catalog]],
) -> tuple[Interactions, Catalog]:
    """Put data sets side by side: no user and no item of one is one of another's.

    Args:
        domains: By name, which must hold no "/", a data set's interactions and items. Events stay
            in their order where all domains have one; their times are kept where all
            have some of one dtype.

    Returns:
        The interactions and the catalogue of all. Ids are strings ``domain/id``; the catalogue's
        one field, ``title``, is each item's text as its own catalogue words it (`Catalog.texts`).

    Raises:
        ValueError: If there is no domain, a name is empty or holds "/", the domains differ in how
            duplicates count, or a catalogue has no field that its texts could be made of.

    >>> books = Interactions.from_columns([1, 1], [7, 8], ordered=True)
    >>> films = Interactions.from_columns(["ann"], [7], ordered=True)
    >>> both, texts = join_domains({
    ...     "books": (books, Catalog.from_columns([7, 8], title=["Emma", "Ulysses"])),
    ...     "films": (films, Catalog.from_columns([7], title=["Heat"]))})
    >>> both.item_ids.tolist(), texts.texts()
    (['books/7', 'books/8', 'films/7'], ['Emma', 'Ulysses', 'Heat'])
    >>> both.matrix.toarray().tolist()
    [[1.0, 1.0, 0.0], [0.0, 0.0, 1.0]]
    """
    if not domains:
        raise ValueError(describe(_WHO, "number of domains", 0, "1 or more"))
    for name in domains:
        if not name or "/" in name:
            raise ValueError(describe(_WHO, "a domain's name", repr(name), "a word without '/'"))
    parts = [interactions for interactions, _ in domains.values()]
    ways = sorted({part.duplicates for part in parts})
    if len(ways) > 1:
        raise ValueError(describe(_WHO, "duplicates=", ", ".join(ways), "one for all domains"))
    joined = Interactions(
        canonical_csr(csr_array(block_diag([part.matrix for part in parts], format="csr"))),
        _ids((name, part.user_ids) for name, part in zip(domains, parts, strict=True)),
        _ids((name, part.item_ids) for name, part in zip(domains, parts, strict=True)),
        _events(parts),
        parts[0].duplicates,
    )
    catalogs = {name: catalog for name, (_, catalog) in domains.items()}
    ids = _ids((name, catalog.item_ids) for name, catalog in catalogs.items())
    texts = [text for catalog in catalogs.values() for text in catalog.texts()]
    return joined, Catalog.from_columns(ids, title=texts)


def _ids(named: Iterable[tuple[str, NDArray[Any]]]) -> NDArray[np.object_]:
    return np.array([f"{name}/{one}" for name, ids in named for one in ids.tolist()], dtype=object)


def _events(parts: list[Interactions]) -> Events | None:
    events = [part.events for part in parts if part.events is not None]
    if len(events) < len(parts):
        return None
    first_columns = bounds(np.array([part.n_items for part in parts]))[:-1]
    items = [one.items + first for one, first in zip(events, first_columns, strict=True)]
    return Events(
        bounds(np.concatenate([np.diff(one.indptr) for one in events])),
        np.concatenate(items).astype(np.int32),
        _times(events),
        _weights(events),
    )


def _times(events: list[Events]) -> NDArray[Any] | None:
    times = [one.times for one in events if one.times is not None]
    is_one_kind = len(times) == len(events) and len({column.dtype for column in times}) == 1
    return np.concatenate(times) if is_one_kind else None


def _weights(events: list[Events]) -> NDArray[np.float32] | None:
    if all(one.weights is None for one in events):
        return None
    return np.concatenate(
        [
            np.ones(len(one.items), np.float32) if one.weights is None else one.weights
            for one in events
        ]
    )
