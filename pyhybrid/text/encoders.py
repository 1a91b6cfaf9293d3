"""What every encoder of texts promises, and the checks that all share."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from pyhybrid.errors import describe

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from pyhybrid.progress import Progress

__all__ = ["TextEncoder", "checked_texts", "unit_rows"]


class TextEncoder(Protocol):
    """What turns texts into vectors; any class with these two members is one.

    >>> class Length:
    ...     name = "length of a text"
    ...     def encode(self, texts, *, progress=False):
    ...         return np.array([[len(text)] for text in texts], np.float32)
    >>> encoder: TextEncoder = Length()
    >>> encoder.encode(["Heat", "Up"])
    array([[4.],
           [2.]], dtype=float32)
    """

    @property
    def name(self) -> str:
        """Name the model with its weights and all settings that change its numbers.

        Two encoders of one name give the same vectors: caches and fingerprints go by it.
        """

    def encode(self, texts: Sequence[str], *, progress: Progress = False) -> NDArray[np.float32]:
        """Return the texts' vectors in their order: float32 (rows, dim), C-contiguous."""


def checked_texts(who: str, texts: Any) -> list[str]:
    r"""Return `texts` as a list if it is a collection of str.

    Raises:
        TypeError: If it is a single str, or one of them is none; its position is told.
        ValueError: If one holds half a surrogate pair, which neither UTF-8 nor a tokenizer takes.

    >>> checked_texts("encode", ("Heat", "Up"))
    ['Heat', 'Up']
    """
    if isinstance(texts, str):
        way_out = "put it into a list"
        raise TypeError(describe(who, "texts", f"the str {texts!r}", "a list of str", way_out))
    try:
        listed: list[Any] = list(texts)
    except TypeError as error:
        found = f"a {type(texts).__name__}"
        raise TypeError(describe(who, "texts", found, "a list of str")) from error
    for position, text in enumerate(listed):
        if not isinstance(text, str):
            way_out = "use '' where nothing is known"
            raise TypeError(describe(who, f"text {position}", repr(text), "a str", way_out))
        try:
            text.encode()
        except UnicodeEncodeError as error:
            expected = "whole characters"
            way_out = "use text.encode(errors='replace').decode()"
            raise ValueError(
                describe(who, f"text {position}", ascii(text), expected, way_out)
            ) from error
    return listed


def unit_rows(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """Divide each row by its length, in place; a row of zeros stays.

    >>> unit_rows(np.array([[3, 4], [0, 0]], np.float32))
    array([[0.6, 0.8],
           [0. , 0. ]], dtype=float32)
    """
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    np.divide(vectors, lengths, out=vectors, where=lengths > 0)
    return vectors
