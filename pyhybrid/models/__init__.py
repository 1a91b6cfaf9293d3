"""The recommenders, one paper a file."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from pyhybrid.errors import describe

if TYPE_CHECKING:
    import os

    from pyhybrid.models.base import Recommender
    from pyhybrid.models.collm import CoLLM
    from pyhybrid.models.esler import ESLER
    from pyhybrid.models.esler_factors import ESLERFactors
    from pyhybrid.models.lightgcn import LightGCN
    from pyhybrid.models.llmrec import LLMRec
    from pyhybrid.models.mf import MF
    from pyhybrid.models.multvae import MultDAE, MultVAE
    from pyhybrid.models.popularity import Popularity
    from pyhybrid.models.sasrec import SASRec
    from pyhybrid.models.text_similarity import TextSimilarity
    from pyhybrid.models.vqrec import VQRec

_HOME = {
    "CoLLM": "collm",
    "ESLER": "esler",
    "ESLERFactors": "esler_factors",
    "LLMRec": "llmrec",
    "LightGCN": "lightgcn",
    "MF": "mf",
    "MultDAE": "multvae",
    "MultVAE": "multvae",
    "Popularity": "popularity",
    "Recommender": "base",
    "SASRec": "sasrec",
    "TextSimilarity": "text_similarity",
    "VQRec": "vqrec",
}
MODELS = (
    "CoLLM",
    "ESLER",
    "ESLERFactors",
    "LLMRec",
    "LightGCN",
    "MF",
    "MultDAE",
    "MultVAE",
    "Popularity",
    "SASRec",
    "TextSimilarity",
    "VQRec",
)

__all__ = [
    "ESLER",
    "MF",
    "MODELS",
    "CoLLM",
    "ESLERFactors",
    "LLMRec",
    "LightGCN",
    "MultDAE",
    "MultVAE",
    "Popularity",
    "Recommender",
    "SASRec",
    "TextSimilarity",
    "VQRec",
    "load",
    "model_class",
]


def __getattr__(name: str) -> object:
    if name in _HOME:
        value = getattr(import_module(f"pyhybrid.models.{_HOME[name]}"), name)
        globals()[name] = value
        return value
    raise AttributeError(f"module 'pyhybrid.models' has no attribute {name!r}")


def model_class(name: str) -> type[Recommender]:
    """Find a model's class by its name, in upper or lower case.

    >>> model_class("esler").__name__
    'ESLER'
    """
    for model in MODELS:
        if model.lower() == name.lower():
            found: type[Recommender] = getattr(
                import_module(f"pyhybrid.models.{_HOME[model]}"), model
            )
            return found
    raise ValueError(describe("pyhybrid", "the model", repr(name), f"one of {', '.join(MODELS)}"))


def load(folder: str | os.PathLike[str]) -> Recommender:
    """Read a model that `save` wrote, whatever its class.

    Raises:
        FileNotFoundError: If there is no such folder.
        ValueError: If it is no model, of a newer format or class, or damaged.
    """
    from pyhybrid.storage import read_folder

    config, _ = read_folder(folder)
    return model_class(config["class"]).load(folder)
