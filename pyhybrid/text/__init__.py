"""From an item's text to a vector: encoders, and their vectors kept on disk.

Every name is loaded at its first use; torch and sentence-transformers when a text is encoded.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pyhybrid.text.cache import CachedEncoder
    from pyhybrid.text.encoders import TextEncoder
    from pyhybrid.text.given import GivenVectors
    from pyhybrid.text.noise import NoiseEncoder
    from pyhybrid.text.sentence_transformer import SentenceTransformerEncoder
    from pyhybrid.text.tfidf import TfidfEncoder

_HOME = {
    "CachedEncoder": "cache",
    "GivenVectors": "given",
    "NoiseEncoder": "noise",
    "SentenceTransformerEncoder": "sentence_transformer",
    "TextEncoder": "encoders",
    "TfidfEncoder": "tfidf",
}

__all__ = [
    "CachedEncoder",
    "GivenVectors",
    "NoiseEncoder",
    "SentenceTransformerEncoder",
    "TextEncoder",
    "TfidfEncoder",
]


def __getattr__(name: str) -> object:
    if name in _HOME:
        value = getattr(import_module(f"pyhybrid.text.{_HOME[name]}"), name)
        globals()[name] = value
        return value
    raise AttributeError(f"module 'pyhybrid.text' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
