"""NoiseEncoder: vectors that say nothing of a text's meaning, to tell what that is worth."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import numpy as np

from pyhybrid.checks import count
from pyhybrid.progress import progress_bar
from pyhybrid.text.encoders import checked_texts

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from pyhybrid.progress import Progress

__all__ = ["NoiseEncoder"]

_WHO = "NoiseEncoder"


class NoiseEncoder:
    """Draw each text's vector from a normal distribution, by its letters and the seed alone.

    A control for what is built on text: equal texts have equal vectors, all others are unrelated.
    With it VQ-Rec has random codes.

    Args:
        dim: The number of dimensions.
        seed: Another seed gives all texts other vectors.

    >>> heat, crime, again = NoiseEncoder(64).encode(["Heat", "Crime", "Heat"])
    >>> bool((heat == again).all()), bool((heat == crime).any())
    (True, False)
    """

    def __init__(self, dim: int, *, seed: int = 0) -> None:
        self.dim = count(_WHO, "dim", dim)
        self.seed = count(_WHO, "seed", seed, least=0)

    @property
    def name(self) -> str:
        """The settings that decide the vectors."""
        return f"noise dim={self.dim} seed={self.seed}"

    def encode(self, texts: Sequence[str], *, progress: Progress = False) -> NDArray[np.float32]:
        """Return the texts' vectors in their order: float32 (rows, dim), C-contiguous.

        Raises:
            TypeError: If `texts` is no list of str.
        """
        checked = checked_texts(_WHO, texts)
        vectors = np.empty((len(checked), self.dim), np.float32)
        with progress_bar("encoding", progress) as report:
            for row, text in enumerate(checked):
                digest = int.from_bytes(hashlib.sha256(text.encode()).digest(), "little")
                random = np.random.default_rng([self.seed, digest])
                vectors[row] = random.standard_normal(self.dim, dtype=np.float32)
                if report is not None and (row + 1) % _TELL_EVERY == 0:
                    report((row + 1) / len(checked))
        return vectors


_TELL_EVERY = 1000
