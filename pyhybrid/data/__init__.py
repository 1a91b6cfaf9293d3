"""Who did what, and what is known of the items: reading, splitting and making data.

Every name is loaded at its first use; pyarrow is loaded by what reads or writes tables.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pyhybrid.data import readers, splits, synthetic
    from pyhybrid.data.catalog import Catalog
    from pyhybrid.data.domains import join_domains
    from pyhybrid.data.feedback import Feedback
    from pyhybrid.data.feedback_files import read_feedback
    from pyhybrid.data.held_out import HeldOut, Split
    from pyhybrid.data.interactions import Events, Interactions
    from pyhybrid.data.splits import split

_HOME = {
    "Catalog": "catalog",
    "Events": "interactions",
    "Feedback": "feedback",
    "HeldOut": "held_out",
    "Interactions": "interactions",
    "Split": "held_out",
    "join_domains": "domains",
    "read_feedback": "feedback_files",
    "split": "splits",
}
_MODULES = ("readers", "splits", "synthetic")

__all__ = [
    "Catalog",
    "Events",
    "Feedback",
    "HeldOut",
    "Interactions",
    "Split",
    "join_domains",
    "read_feedback",
    "readers",
    "split",
    "splits",
    "synthetic",
]


def __getattr__(name: str) -> object:
    if name in _MODULES:
        return import_module(f"pyhybrid.data.{name}")
    if name in _HOME:
        value = getattr(import_module(f"pyhybrid.data.{_HOME[name]}"), name)
        globals()[name] = value
        return value
    raise AttributeError(f"module 'pyhybrid.data' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
