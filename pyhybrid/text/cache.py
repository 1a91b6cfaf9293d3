"""Encode each text once: in a call, and with a cache on disk in all calls of all processes."""

from __future__ import annotations

import math
import os
import time
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from pyhybrid.checks import count
from pyhybrid.errors import describe
from pyhybrid.progress import progress_bar
from pyhybrid.text.encoders import checked_texts
from pyhybrid.text.store import VectorStore

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator, Sequence

    from numpy.typing import NDArray

    from pyhybrid.progress import Progress
    from pyhybrid.text.encoders import TextEncoder

__all__ = ["Cache", "CachedEncoder", "cache_folder", "encode_once"]

Cache: TypeAlias = "bool | str | os.PathLike[str] | None"

_WHO = "CachedEncoder"
_READ_AT_ONCE = 500  # texts; a statement of SQLite takes 999 parameters for certain
_WRITE_EVERY = 1.0  # seconds: what a killed process loses


class CachedEncoder:
    """Keep the vectors of any encoder on disk, so that no text is ever encoded twice.

    Attributes:
        encoder: Whose vectors they are. Its `name` decides the file.
        encoded: The number of texts that it has really encoded through this object.

    >>> import tempfile
    >>> class Length:
    ...     name = "length of a text"
    ...     def encode(self, texts, *, progress=False):
    ...         return np.array([[len(text)] for text in texts], np.float32)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     encoder = CachedEncoder(Length(), folder)
    ...     vectors = encoder.encode(["Heat", "Up", "Heat"])
    ...     again = encoder.encode(["Up"])
    ...     vectors.tolist(), again.tolist(), encoder.encoded
    ([[4.0], [2.0], [4.0]], [[2.0]], 2)
    """

    def __init__(
        self,
        encoder: TextEncoder,
        cache: bool | str | os.PathLike[str] = True,
        *,
        batch_size: int = 256,
    ) -> None:
        """Wrap an encoder.

        Args:
            encoder: Any encoder of texts.
            cache: The folder; True: ``~/.cache/pyhybrid/text`` (under XDG_CACHE_HOME, if set).
            batch_size: How many texts the encoder is given at a time.
        """
        self.encoder = encoder
        self.cache = cache_folder(_WHO, cache)
        self.batch_size = count(_WHO, "batch_size", batch_size)
        self.encoded = 0

    @property
    def name(self) -> str:
        """The encoder's own name, as the vectors are its."""
        return self.encoder.name

    def encode(self, texts: Sequence[str], *, progress: Progress = False) -> NDArray[np.float32]:
        """Return the texts' vectors, those that are known from disk.

        Vectors are written about every second: a run that is stopped goes on from there.

        Raises:
            OSError: If the cache can't be read or written.
            TypeError: If `texts` is no list of str.
            ValueError: If the cache is damaged or its vectors have another dimension.
        """
        checked = checked_texts(_WHO, texts)
        with progress_bar("encoding", progress) as report:
            return encode_once(
                _WHO,
                checked,
                self._encode,
                batch_size=self.batch_size,
                store=VectorStore(_WHO, self.cache, self.name),
                report=report,
            )

    def _encode(self, texts: list[str]) -> NDArray[np.float32]:
        self.encoded += len(texts)
        return self.encoder.encode(texts)


def encode_once(
    who: str,
    texts: Sequence[str],
    encode: Callable[[list[str]], NDArray[np.float32]],
    *,
    batch_size: int,
    store: VectorStore | None = None,
    report: Callable[[float], object] | None = None,
) -> NDArray[np.float32]:
    """Return float32 (rows, dim): each distinct text looked up in `store`, or else encoded.

    Texts are encoded from the longest to the shortest: those of a batch then need little padding,
    and a batch that does not fit the memory fails first.

    >>> lengths = lambda texts: np.array([[len(text)] for text in texts])
    >>> encode_once("encode", ["a", "bb", "a"], lengths, batch_size=2)
    array([[1.],
           [2.],
           [1.]], dtype=float32)
    """
    if not texts:
        return _checked(who, encode([]), [])
    rows: dict[str, list[int]] = {}
    for row, text in enumerate(texts):
        rows.setdefault(text, []).append(row)
    vectors = np.empty((0, 0), np.float32)
    done = 0
    with closing(_pieces(who, list(rows), encode, batch_size, store)) as pieces:
        for some, piece in pieces:
            if not done:
                vectors = np.empty((len(texts), piece.shape[1]), np.float32)
            for text, vector in zip(some, piece, strict=True):
                vectors[rows[text]] = vector
            done += len(some)
            if report is not None:
                report(done / len(rows))
    return vectors


def cache_folder(who: str, cache: object) -> Path:
    """Return the folder that `cache` names; True: the default one.

    >>> cache_folder("encode", "vectors")
    PosixPath('vectors')
    """
    if isinstance(cache, str | os.PathLike):
        return Path(cache)
    if cache is not True:
        expected = "a folder, or True for the default one"
        raise TypeError(describe(who, "cache", repr(cache), expected))
    given = Path(os.environ.get("XDG_CACHE_HOME", ""))
    home = given if given.is_absolute() else Path.home() / ".cache"  # as the XDG standard has it
    return home / "pyhybrid" / "text"


_Piece: TypeAlias = "tuple[list[str], NDArray[np.float32]]"


def _pieces(
    who: str,
    texts: list[str],
    encode: Callable[[list[str]], NDArray[np.float32]],
    batch_size: int,
    store: VectorStore | None,
) -> Generator[_Piece]:
    """Yield distinct texts with their vectors: first what the store has, then what it lacked."""
    missing = texts
    if store is not None:
        missing = []
        for some in _slices(texts, _READ_AT_ONCE):
            known = store.read(some)
            missing += [text for text in some if text not in known]
            if known:
                yield list(known), np.stack(list(known.values()))
    waiting: list[_Piece] = []  # for the next write
    written = -math.inf  # so that a file with vectors of another dimension is told at once
    dim = None
    try:
        for batch in _slices(sorted(missing, key=len, reverse=True), batch_size):
            vectors = _checked(who, encode(batch), batch, dim)
            waiting.append((batch, vectors))
            dim = vectors.shape[1]
            if time.monotonic() - written >= _WRITE_EVERY:
                _write(waiting, store)
                written = time.monotonic()
            yield batch, vectors
    finally:
        _write(waiting, store)


def _write(waiting: list[_Piece], store: VectorStore | None) -> None:
    if store is not None and waiting:
        store.write(
            [text for some, _ in waiting for text in some], np.concatenate([v for _, v in waiting])
        )
    waiting.clear()


def _slices(texts: list[str], size: int) -> Iterator[list[str]]:
    return (texts[start : start + size] for start in range(0, len(texts), size))


def _checked(
    who: str, vectors: object, texts: list[str], dim: int | None = None
) -> NDArray[np.float32]:
    array = np.ascontiguousarray(vectors, np.float32)
    if array.ndim != 2 or array.shape != (len(texts), dim or array.shape[1]):
        expected = f"({len(texts)}, {dim or 'dim'})"
        raise ValueError(describe(who, "the shape of the encoder's vectors", array.shape, expected))
    wrong = np.flatnonzero(~np.isfinite(array).all(axis=1))
    if len(wrong):
        what = f"the encoder's vector of {texts[wrong[0]][:60]!r}"
        raise ValueError(describe(who, what, "not finite", "finite numbers"))
    return array
