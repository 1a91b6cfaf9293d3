from __future__ import annotations

import json
import subprocess
import sys

import pytest

from pyhybrid.llm import CallableGenerator, Generation, LocalGenerator, OpenAIGenerator


def test_a_callable_may_answer_with_a_text_a_generation_or_nothing() -> None:
    recorded = {"a": "one", "b": Generation("two", prompt_tokens=3)}
    answers = CallableGenerator(recorded.get, "run 7").generate(["b", "a", "c"])
    assert answers == [recorded["b"], Generation("one"), Generation("")]
    with pytest.raises(TypeError, match="an answer is 3; expected a str, a Generation or None"):
        CallableGenerator(lambda prompt: 3, "three").generate(["a"])
    with pytest.raises(TypeError, match="function is 'a'; expected a function"):
        CallableGenerator("a", "name")
    with pytest.raises(ValueError, match="name is ''"):
        CallableGenerator(str.upper, "")


@pytest.mark.parametrize(
    ("text", "usable"),
    [
        ("", False),
        (" \n", False),
        ("I'm sorry, but I can't help with that.", False),
        ("I’m sorry, I cannot provide this.", False),  # noqa: RUF001
        ("As an AI language model, I cannot write about it.", False),
        ("I apologize, but I am unable to assist.", False),
        ("I can't help with that request", False),
        ("Sorry, Wrong Number is a film noir of 1948.", True),
        ("I, Robot", True),
        ("I can't breathe: a documentary", True),
        ("I'm Not There, a film about Bob Dylan", True),
    ],
)
def test_a_refusal_in_words_is_no_answer(text: str, usable: bool) -> None:
    assert Generation(text).usable is usable


@pytest.mark.parametrize(
    ("package", "build"),
    [
        ("openai", lambda: OpenAIGenerator("m")),
        ("transformers", lambda: LocalGenerator("m")),
        ("torch", lambda: LocalGenerator("m")),
    ],
)
def test_a_missing_package_is_told_with_the_way_out(monkeypatch, package, build) -> None:
    for module in ("openai_generator", "local_generator"):
        monkeypatch.setattr(
            f"pyhybrid.llm.{module}.find_spec", lambda name: None if name == package else name
        )
    with pytest.raises(ImportError, match=rf'needs {package}; pip install "pyhybrid\[llm\]"'):
        build()


def test_nothing_heavy_is_loaded_by_what_needs_none() -> None:
    code = """
import json, sys
from pyhybrid.llm import CachedGenerator, CallableGenerator, LocalGenerator, OpenAIGenerator
CachedGenerator(CallableGenerator(str.upper, "capitals"), None).generate(["a"])
print(json.dumps(list(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    for late in ("torch", "transformers", "openai", "huggingface_hub", "pyarrow", "rich"):
        assert late not in json.loads(done.stdout)
