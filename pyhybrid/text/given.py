"""GivenVectors: an encoder of vectors that were computed elsewhere."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pyhybrid.checks import check_dense
from pyhybrid.errors import describe
from pyhybrid.text.encoders import checked_texts

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from pyhybrid.progress import Progress

__all__ = ["GivenVectors"]

_WHO = "GivenVectors"


class GivenVectors:
    """Give each text the vector that it is told to have.

    Args:
        name: What the vectors are, such as the model and its version.
        texts: What they stand for, in their order: ``catalog.texts()`` for a catalogue's items.
        vectors: float32 (texts, dim), C-contiguous.

    Raises:
        TypeError: If an argument is of another kind.
        ValueError: If the numbers differ, or a text stands there twice with different vectors.

    >>> from pyhybrid import Catalog
    >>> films = Catalog.from_columns([1, 2], title=["Heat", "Up"])
    >>> vectors = np.array([[1, 0], [0, 1]], dtype=np.float32)
    >>> GivenVectors("house model 3", films.texts(), vectors).encode(["Up"])
    array([[0., 1.]], dtype=float32)
    """

    def __init__(self, name: str, texts: Sequence[str], vectors: NDArray[np.float32]) -> None:
        if not isinstance(name, str) or not name:
            raise TypeError(describe(_WHO, "name", repr(name), "what the vectors are, in words"))
        check_dense(_WHO, "vectors", vectors, np.float32)
        listed = checked_texts(_WHO, texts)
        if len(listed) != len(vectors):
            expected = f"{len(listed)}, one a text"
            raise ValueError(describe(_WHO, "number of vectors", len(vectors), expected))
        self.name, self._vectors = name, vectors
        self._rows: dict[str, int] = {}
        for row, text in enumerate(listed):
            first = self._rows.setdefault(text, row)
            if not np.array_equal(vectors[first], vectors[row]):
                found = f"at {first} and {row} with different vectors"
                raise ValueError(describe(_WHO, f"the text {text!r}", found, "one vector a text"))

    def encode(self, texts: Sequence[str], *, progress: Progress = False) -> NDArray[np.float32]:
        """Return the texts' vectors in their order: float32 (rows, dim), C-contiguous.

        Raises:
            TypeError: If `texts` is no list of str.
            ValueError: If a text has no vector.
        """
        del progress
        checked = checked_texts(_WHO, texts)
        unknown = [text for text in checked if text not in self._rows]
        if unknown:
            way_out = "give the texts that the catalogue makes: catalog.texts()"
            raise ValueError(
                describe(_WHO, "a text", repr(unknown[0]), "one with a vector", way_out)
            )
        return self._vectors[np.array([self._rows[text] for text in checked], dtype=np.int64)]
