"""From a prompt to a text: what asks language models, and their answers kept on disk.

Every name is loaded at its first use; openai, torch and transformers when a prompt is answered.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pyhybrid.llm.generation_store import CachedGenerator
    from pyhybrid.llm.generators import CallableGenerator, Generation, TextGenerator
    from pyhybrid.llm.local_generator import LocalGenerator
    from pyhybrid.llm.openai_generator import OpenAIGenerator

_HOME = {
    "CachedGenerator": "generation_store",
    "CallableGenerator": "generators",
    "Generation": "generators",
    "LocalGenerator": "local_generator",
    "OpenAIGenerator": "openai_generator",
    "TextGenerator": "generators",
}

__all__ = [
    "CachedGenerator",
    "CallableGenerator",
    "Generation",
    "LocalGenerator",
    "OpenAIGenerator",
    "TextGenerator",
]


def __getattr__(name: str) -> object:
    if name in _HOME:
        value = getattr(import_module(f"pyhybrid.llm.{_HOME[name]}"), name)
        globals()[name] = value
        return value
    raise AttributeError(f"module 'pyhybrid.llm' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
