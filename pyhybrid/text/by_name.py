"""Vectors of a catalogue's texts by an encoder that a hyper-parameter names."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pyhybrid.text.encoders import TextEncoder

__all__ = ["encode_by_name"]


def encode_by_name(
    name: str | TextEncoder,
    texts: NDArray[np.object_],
    is_known: NDArray[np.bool_],
    *,
    dim: int,
    seed: int = 0,
    device: str | None = None,
) -> NDArray[np.float32]:
    """Encode items' texts: float32 (items, dim), or as wide as the named model's vectors.

    The known items' texts are encoded in a call of their own: no other item changes their bits.

    Args:
        name: "tfidf", which is fitted on the known items' texts; "noise", the control; a model of
            sentence-transformers, by name or folder; or any encoder.
        texts: str, (items,).
        is_known: bool (items,), the items with training interactions.
        dim: The vectors' size where a name leaves that open.
        seed: Of "noise".
        device: What a model of sentence-transformers runs on.

    >>> texts = np.array(["crime drama", "cake recipes", "crime story"], dtype=object)
    >>> found = encode_by_name("tfidf", texts, np.array([True, True, False]), dim=2)
    >>> bool(found[2] @ found[0] > 0.99)
    True
    """
    from pyhybrid.text import NoiseEncoder, SentenceTransformerEncoder, TfidfEncoder

    known, new = texts[is_known].tolist(), texts[~is_known].tolist()
    encoder: TextEncoder
    if not isinstance(name, str):
        encoder = name
    elif name == "tfidf":
        encoder = TfidfEncoder(dim).fit(known)
    elif name == "noise":
        encoder = NoiseEncoder(dim, seed=seed)
    else:
        encoder = SentenceTransformerEncoder(name, device=device)
    found = encoder.encode(known)
    vectors = np.empty((len(texts), found.shape[1]), dtype=np.float32)
    vectors[is_known] = found
    if new:
        vectors[~is_known] = encoder.encode(new)
    return vectors
