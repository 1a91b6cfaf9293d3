"""What a model reads of the items: their texts, and one vector an item made of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from pyhybrid.errors import describe
from pyhybrid.text.by_name import encode_by_name
from pyhybrid.text.encoders import unit_rows

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from pyhybrid.data.catalog import Catalog
    from pyhybrid.text.encoders import TextEncoder

    Encoders: TypeAlias = str | TextEncoder | list[str | TextEncoder]

__all__ = [
    "checked_augmentations",
    "checked_encoders",
    "item_texts",
    "join_vectors",
    "text_vectors",
]

_TFIDF_DIM = 512


def checked_encoders(who: str, text: object) -> Encoders | None:
    """Return what encodes texts, one name or encoder or a list of several; None stays.

    Raises:
        TypeError: If it is anything else.
    """
    if text is None:
        return None
    listed: list[Any] = list(text) if isinstance(text, list | tuple) else [text]
    if not listed:
        raise TypeError(describe(who, "text", repr(text), "an encoder, or a list of several"))
    for encoder in listed:
        is_encoder = hasattr(encoder, "encode") and isinstance(getattr(encoder, "name", None), str)
        if not encoder or not (is_encoder or isinstance(encoder, str)):
            expected = "the name or folder of a text model, 'tfidf', or an encoder"
            raise TypeError(describe(who, "text", repr(encoder), expected))
    return listed if isinstance(text, list | tuple) else listed[0]


def checked_augmentations(who: str, augmentations: object) -> tuple[str, ...]:
    """Return the names of a catalogue's fields as a tuple.

    Raises:
        TypeError: If it is no list of names.
    """
    names = tuple(augmentations) if isinstance(augmentations, list | tuple) else (None,)
    if not all(isinstance(name, str) for name in names):
        expected = "a list of names of text fields"
        raise TypeError(describe(who, "augmentations", repr(augmentations), expected))
    return names


def item_texts(
    who: str, catalog: Catalog | None, item_ids: NDArray[Any], augmentations: Sequence[str]
) -> list[NDArray[np.object_]]:
    """Return the items' own texts, and those of each further field: str (items,) each.

    Where a field has nothing to say of an item, its own text stands.

    Raises:
        ValueError: Without a catalogue, or if it lacks a field or an item.
    """
    if catalog is None:
        way_out = "pass fit() a Catalog, for instance of titles"
        raise ValueError(describe(who, "catalog", None, "the items' texts", way_out))
    for name in augmentations:
        if name not in catalog.fields:
            what, expected = "a field of augmentations", f"one of {', '.join(catalog.fields)}"
            raise ValueError(describe(who, what, repr(name), expected))
    own = np.array(catalog.texts(item_ids), dtype=object)
    known = catalog.select(item_ids).fields
    texts = [own]
    for name in augmentations:
        made = [value if isinstance(value, str) else ", ".join(value) for value in known[name]]
        is_empty = np.array([not text.strip() for text in made], dtype=np.bool_)
        texts.append(np.where(is_empty, own, np.array(made, dtype=object)))
    return texts


def text_vectors(
    encoders: Encoders,
    columns: list[NDArray[np.object_]],
    is_known: NDArray[np.bool_],
    *,
    seed: int,
) -> NDArray[np.float32]:
    """Encode the items' texts: float32 (items, dim), of length 1 or 0.

    Args:
        encoders: As `encode_by_name` takes them; the vectors of all columns by all of them are
            joined.
        columns: Texts, str (items,) each. An empty one gets zeros.
        is_known: bool (items,).
        seed: Of "noise".
    """
    parts = []
    for texts in columns:
        for encoder in encoders if isinstance(encoders, list) else [encoders]:
            part = encode_by_name(encoder, texts, is_known, dim=_TFIDF_DIM, seed=seed)
            part[texts == ""] = 0
            parts.append(part)
    return join_vectors(parts, is_known)


def join_vectors(
    parts: list[NDArray[np.float32]], is_known: NDArray[np.bool_]
) -> NDArray[np.float32]:
    """Join several vectors an item into one, of length 1: float32 (items, sum of their sizes).

    Each part is centred on the known items' mean and scaled to length 1 first, so that all count
    the same. A text without a vector (zeros) has none in that part.

    Args:
        parts: float32 (items, size) each.
        is_known: bool (items,).
    """
    joined = []
    for part in parts:
        has_vector = part.any(axis=1)
        centred = part.copy()
        if (is_known & has_vector).any():
            centred[has_vector] -= part[is_known & has_vector].mean(axis=0)
        joined.append(unit_rows(centred))
    return unit_rows(np.hstack(joined))
