"""TfidfEncoder: weighted words in fewer dimensions, without a language model."""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections import Counter
from itertools import chain
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from pyhybrid.checks import count
from pyhybrid.errors import NotFittedError, describe
from pyhybrid.progress import progress_bar
from pyhybrid.storage import read_folder, write_folder
from pyhybrid.text.encoders import checked_texts, unit_rows

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray
    from scipy.sparse import csr_array

    from pyhybrid.progress import Progress

__all__ = ["TfidfEncoder"]

_WHO = "TfidfEncoder"
_AT_ONCE = 10_000  # texts
_DENSE = 1 << 22  # entries of a matrix (32 MB) whose whole decomposition takes a second or two
_WORD = re.compile(r"\w+")


class TfidfEncoder:
    """Encode texts by TF-IDF and a truncated SVD (latent semantic analysis).

    A word that stands t times in a text and in d of the n texts of `fit` weighs
    ``(1 + ln t) (1 + ln((1 + n) / (1 + d)))``; each text's weights are scaled to length 1. Their
    matrix (texts, words) is U S V^T: a text x becomes x V, scaled to length 1. A text without any
    known word becomes zeros, as do dimensions beyond the matrix' rank. Words are lower-case and in
    Unicode's form NFKC.

    Needs SciPy alone. It knows no meaning but that of words that come together: an encoder by a
    language model is better where there are few texts, and another choice, never made in silence.
    `fit` takes 5 s for 12,101 titles of 10,370 words (256 dimensions, one core).

    Args:
        dim: The number of dimensions.
        min_df: Words in fewer texts than that are left out.
        seed: Where the search for V starts; the outcome depends on it in its last bits only.

    Attributes:
        words: The words of the columns of V, sorted.

    >>> encoder = TfidfEncoder(2).fit(["crime drama", "crime story", "cake recipes", "cake story"])
    >>> crime, cake = encoder.encode(["Crime!", "cake"])
    >>> bool(crime @ crime > 0.99), bool(abs(crime @ cake) < 0.6)
    (True, True)
    >>> encoder.encode(["", "unheard of"]).any()
    np.False_
    """

    words: list[str]
    _idf: NDArray[np.float32]
    _axes: NDArray[np.float32]  # V: (words, dim)

    def __init__(self, dim: int = 256, *, min_df: int = 1, seed: int = 0) -> None:
        self.dim = count(_WHO, "dim", dim)
        self.min_df = count(_WHO, "min_df", min_df)
        self.seed = count(_WHO, "seed", seed, least=0)

    def fit(self, texts: Sequence[str]) -> Self:
        """Learn the words, their weights and V from texts, in float64.

        Raises:
            TypeError: If `texts` is no list of str.
            ValueError: If no word is in `min_df` of them.
        """
        counted = [Counter(_words(text)) for text in checked_texts(_WHO, texts)]
        found = Counter(chain.from_iterable(counted))
        words = sorted(word for word, texts_with in found.items() if texts_with >= self.min_df)
        if not words:
            what, expected = f"number of words in {self.min_df} texts", "at least one"
            raise ValueError(describe(_WHO, what, 0, expected, "give more texts or lower min_df="))
        column_of = {word: column for column, word in enumerate(words)}
        texts_with = np.array([found[word] for word in words], np.float64)
        idf = 1 + np.log((1 + len(counted)) / (1 + texts_with))
        axes = _axes(_weights(counted, column_of, idf), self.dim, self.seed)
        self._take(words, idf.astype(np.float32), axes)
        return self

    def encode(self, texts: Sequence[str], *, progress: Progress = False) -> NDArray[np.float32]:
        """Return the texts' vectors in their order: float32 (rows, dim), of length 1 or 0.

        Raises:
            NotFittedError: Before `fit`.
            TypeError: If `texts` is no list of str.
        """
        self._require_fitted()
        checked = checked_texts(_WHO, texts)
        vectors = np.empty((len(checked), self.dim), np.float32)
        with progress_bar("encoding", progress) as report:
            for start in range(0, len(checked), _AT_ONCE):
                part = [Counter(_words(text)) for text in checked[start : start + _AT_ONCE]]
                rows = _weights(part, self._column_of, self._idf) @ self._axes
                vectors[start : start + len(part)] = unit_rows(rows)
                if report is not None:
                    report((start + len(part)) / len(checked))
        return vectors

    @property
    def name(self) -> str:
        """What was learnt, as a digest."""
        self._require_fitted()
        digest = hashlib.sha256("\n".join(self.words).encode())
        digest.update(self._idf.tobytes() + self._axes.tobytes())
        return f"tfidf-{self.dim}@{digest.hexdigest()[:16]}"

    @property
    def params(self) -> dict[str, int]:
        """The constructor's arguments."""
        return {"dim": self.dim, "min_df": self.min_df, "seed": self.seed}

    def save(self, folder: str | os.PathLike[str]) -> None:
        """Write the encoder to a folder, or replace the one that is there.

        Raises:
            NotFittedError: Before `fit`.
            FileExistsError: If the folder holds something else.
        """
        self._require_fitted()
        arrays = {"words": np.array(self.words, object), "idf": self._idf, "axes": self._axes}
        write_folder(folder, {"class": _WHO, "params": self.params}, arrays)

    @classmethod
    def load(cls, folder: str | os.PathLike[str]) -> Self:
        """Read an encoder that `save` wrote.

        Raises:
            FileNotFoundError: If there is no such folder.
            ValueError: If it is no encoder, of a newer format, or damaged.

        >>> import tempfile
        >>> encoder = TfidfEncoder(2).fit(["a heist film", "a cook book"])
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     encoder.save(folder)
        ...     TfidfEncoder.load(folder).name == encoder.name
        True
        """
        config, arrays = read_folder(folder)
        if config["class"] != _WHO:
            what = f"what is saved in {folder}"
            raise ValueError(describe("load", what, config["class"], f"a {_WHO}"))
        encoder = cls(**config["params"])
        encoder._take(arrays["words"].tolist(), arrays["idf"], arrays["axes"])
        return encoder

    def _take(self, words: list[str], idf: NDArray[np.float32], axes: NDArray[np.float32]) -> None:
        self.words, self._idf, self._axes = words, idf, axes
        self._column_of = {word: column for column, word in enumerate(words)}

    def _require_fitted(self) -> None:
        if not hasattr(self, "words"):
            raise NotFittedError(describe(_WHO, "the encoder", "not fitted", "fit(texts) first"))


def _words(text: str) -> list[str]:
    """List a text's words.

    >>> _words("Amélie's 2nd film")
    ['amélie', 's', '2nd', 'film']
    """
    # NFKC first: \w+ would break a word at an accent that is a character of its own.
    return _WORD.findall(unicodedata.normalize("NFKC", text).lower())


def _weights(
    counted: Sequence[Mapping[str, int]], column_of: Mapping[str, int], idf: NDArray[Any]
) -> csr_array[Any]:
    """Return the texts' weights as a CSR (texts, words) of idf's dtype; rows have length 1 or 0."""
    from scipy.sparse import csr_array

    columns: list[int] = []
    times: list[int] = []
    ends = [0]
    for words in counted:
        for word, n in words.items():
            if word in column_of:
                columns.append(column_of[word])
                times.append(n)
        ends.append(len(columns))
    indices = np.array(columns, np.int64)
    weights = ((1 + np.log(np.array(times, np.float64))) * idf[indices]).astype(idf.dtype)
    indptr = np.array(ends, np.int64)
    matrix = csr_array((weights, indices, indptr), (len(counted), len(column_of)))
    row = np.repeat(np.arange(len(counted)), np.diff(indptr))
    lengths = np.sqrt(np.bincount(row, weights.astype(np.float64) ** 2, len(counted)))
    matrix.data /= lengths[row].astype(idf.dtype)
    return matrix


def _axes(weights: csr_array[np.float64], dim: int, seed: int) -> NDArray[np.float32]:
    """Return V, float32 (words, dim), by falling singular value; columns beyond the rank are 0."""
    values: NDArray[Any]
    rows: NDArray[Any]
    smaller = min(weights.shape)
    if weights.shape[0] * weights.shape[1] <= _DENSE:
        from scipy.linalg import svd

        _, values, rows = svd(weights.toarray(), full_matrices=False)
    else:
        from scipy.sparse.linalg import svds

        start = np.random.default_rng(seed).standard_normal(smaller)
        _, values, rows = svds(weights, k=min(dim, smaller - 1), v0=start)
    best = np.argsort(-values, kind="stable")[:dim]
    best = best[values[best] > 1e-6 * values.max()]  # below is rounding, not the texts
    found = rows[best]
    # A singular vector's sign is free: the largest entry is made positive.
    largest = found[np.arange(len(found)), np.abs(found).argmax(axis=1)]
    axes = np.zeros((weights.shape[1], dim), np.float32)
    axes[:, : len(found)] = (found * np.sign(largest)[:, None]).T
    return axes
