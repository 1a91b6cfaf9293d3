"""Language models: those that answer prompts in words, and the backbone of recommenders.

Every name is loaded at its first use; openai, torch and transformers when they are needed.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pyhybrid.llm.backbone import Backbone, Prefix
    from pyhybrid.llm.generation_store import CachedGenerator
    from pyhybrid.llm.generators import CallableGenerator, Generation, TextGenerator
    from pyhybrid.llm.local_generator import LocalGenerator
    from pyhybrid.llm.openai_generator import OpenAIGenerator
    from pyhybrid.llm.prompts import History, Prompt, Slot
    from pyhybrid.llm.tokens import TokenBatch

_HOME = {
    "Backbone": "backbone",
    "CachedGenerator": "generation_store",
    "CallableGenerator": "generators",
    "Generation": "generators",
    "History": "prompts",
    "LocalGenerator": "local_generator",
    "OpenAIGenerator": "openai_generator",
    "Prefix": "backbone",
    "Prompt": "prompts",
    "Slot": "prompts",
    "TextGenerator": "generators",
    "TokenBatch": "tokens",
}

__all__ = [
    "Backbone",
    "CachedGenerator",
    "CallableGenerator",
    "Generation",
    "History",
    "LocalGenerator",
    "OpenAIGenerator",
    "Prefix",
    "Prompt",
    "Slot",
    "TextGenerator",
    "TokenBatch",
]


def __getattr__(name: str) -> object:
    if name in _HOME:
        value = getattr(import_module(f"pyhybrid.llm.{_HOME[name]}"), name)
        globals()[name] = value
        return value
    raise AttributeError(f"module 'pyhybrid.llm' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
