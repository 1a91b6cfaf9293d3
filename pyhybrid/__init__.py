"""Recommenders that keep both what text says and what behaviour shows.

An embeddable C++ core (sparse Gram matrix, ESLER solve, top-n ranking, metrics) under a thin
Python API. Every public name is loaded at its first use: ``import pyhybrid`` itself needs NumPy
and SciPy alone.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pyhybrid import data, kernels
    from pyhybrid.data import Catalog, HeldOut, Interactions, Split, split
    from pyhybrid.errors import NotFittedError
    from pyhybrid.evaluation import Report, compare, evaluate, tune
    from pyhybrid.models import (
        ESLER,
        MF,
        CoLLM,
        ESLERFactors,
        LightGCN,
        LLMRec,
        MultDAE,
        MultVAE,
        Popularity,
        SASRec,
        TextSimilarity,
        VQRec,
        load,
    )
    from pyhybrid.quantize import ProductQuantizer
    from pyhybrid.ranking import Ranking

    __version__: str

_HOME = {
    "Catalog": "data",
    "CoLLM": "models",
    "ESLER": "models",
    "ESLERFactors": "models",
    "HeldOut": "data",
    "Interactions": "data",
    "LLMRec": "models",
    "LightGCN": "models",
    "MF": "models",
    "MultDAE": "models",
    "MultVAE": "models",
    "NotFittedError": "errors",
    "Popularity": "models",
    "ProductQuantizer": "quantize",
    "Ranking": "ranking",
    "Report": "evaluation",
    "SASRec": "models",
    "Split": "data",
    "TextSimilarity": "models",
    "VQRec": "models",
    "compare": "evaluation",
    "evaluate": "evaluation",
    "load": "models",
    "split": "data",
    "tune": "evaluation",
}
_MODULES = ("data", "kernels")

__all__ = [
    "ESLER",
    "MF",
    "Catalog",
    "CoLLM",
    "ESLERFactors",
    "HeldOut",
    "Interactions",
    "LLMRec",
    "LightGCN",
    "MultDAE",
    "MultVAE",
    "NotFittedError",
    "Popularity",
    "ProductQuantizer",
    "Ranking",
    "Report",
    "SASRec",
    "Split",
    "TextSimilarity",
    "VQRec",
    "compare",
    "data",
    "evaluate",
    "kernels",
    "load",
    "split",
    "tune",
]


def __getattr__(name: str) -> object:
    if name in _MODULES:
        return import_module(f"pyhybrid.{name}")
    if name in _HOME:
        value = getattr(import_module(f"pyhybrid.{_HOME[name]}"), name)
        globals()[name] = value
        return value
    if name == "__version__":
        from importlib.metadata import version

        return version("pyhybrid")
    raise AttributeError(f"module 'pyhybrid' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
