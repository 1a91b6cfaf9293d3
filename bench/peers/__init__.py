"""The peers: each kernel's task as one would do it well with another package.

A module a package, imported when first used, so that a missing package is an ImportError at the
peer that needs it: ``peers.numba_loops.gram_half(x, out)``. Every function gets ready and returns
the function to time.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from types import ModuleType


def __getattr__(name: str) -> ModuleType:
    if name.startswith("_"):
        raise AttributeError(name)
    return import_module(f"peers.{name}")
