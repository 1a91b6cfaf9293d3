"""TextGenerator: what answers prompts, and the answers; CallableGenerator: any function does."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, TypeAlias

from pyhybrid.errors import describe
from pyhybrid.text.encoders import checked_texts

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    Keep: TypeAlias = Callable[[Mapping[int, "Generation"]], object]

__all__ = ["CallableGenerator", "Generation", "TextGenerator", "name_of", "whole_text"]


@dataclass(frozen=True, slots=True)
class Generation:
    """Hold what a model answered to one prompt.

    Attributes:
        text: The answer, ``""`` where there is none.
        refused: The model or its server declined to answer.
        prompt_tokens: The prompt's length in the model's tokens, None where it is not known.
        completion_tokens: The answer's, likewise.

    >>> Generation("crime, heist").usable, Generation(" ").usable
    (True, False)
    """

    text: str
    refused: bool = False
    prompt_tokens: int | None = None
    completion_tokens: int | None = None

    @property
    def usable(self) -> bool:
        """Whether it is an answer: neither empty nor refused, nor worded as a refusal.

        >>> Generation("I'm sorry, but I can't help with that.").usable
        False
        """
        start = self.text.lstrip().replace("\u2019", "'")
        return bool(start) and not (self.refused or _REFUSAL.match(start))


# How models decline that have no field to say so, at the very start of their answer
_REFUSAL = re.compile(
    r"((i'm |i am )?sorry,? |i apologi[sz]e,? |as an ai\b[^.]*?,? )?(but |however,? )?"
    r"i('m| am)? ?(can't|cannot|can not|won't|unable to|not able to) "
    r"(help|assist|answer|fulfil|comply|provide|do that|continue|generate|create|write|say)",
    re.IGNORECASE,
)


class TextGenerator(Protocol):
    """Answer prompts by a language model; write a class of this shape to bring another one."""

    @property
    def name(self) -> str:
        """What model it is, and all settings that change its texts; caches go by it."""
        ...

    def generate(self, prompts: Sequence[str], *, keep: Keep | None = None) -> list[Generation]:
        """Answer each prompt.

        Args:
            prompts: Any number of them.
            keep: Handed answers by their prompts' positions as they come in, from any thread.

        Returns:
            The prompts' answers in their order.
        """
        ...


class CallableGenerator:
    """Answer prompts by a function, one after the other.

    A function that is quick has its answers kept about ten times a second; one that takes longer
    for an answer has each kept at once.

    Args:
        function: From a prompt to a text, a `Generation`, or None where it knows none. For the
            replay of texts recorded earlier: a mapping's ``get``.
        name: What tells its texts from another's.

    >>> recorded = {"Tags for: Heat": "crime, heist"}
    >>> [g.text for g in CallableGenerator(recorded.get, "run 7").generate(["Tags for: Heat", "?"])]
    ['crime, heist', '']
    """

    def __init__(self, function: Callable[[str], str | Generation | None], name: str) -> None:
        if not callable(function):
            raise TypeError(describe("CallableGenerator", "function", repr(function), "a function"))
        self.function, self.name = function, name_of("CallableGenerator", "name", name)

    def generate(self, prompts: Sequence[str], *, keep: Keep | None = None) -> list[Generation]:
        """Return the prompts' answers in their order.

        Raises:
            TypeError: If `prompts` is no list of str, or the function returns anything else.
        """
        answers: list[Generation] = []
        kept, written = 0, time.monotonic()
        try:
            for prompt in checked_texts("CallableGenerator", prompts):
                answers.append(self._answer(prompt))
                if keep is not None and time.monotonic() - written >= _KEEP_EVERY:
                    keep(dict(enumerate(answers[kept:], kept)))
                    kept, written = len(answers), time.monotonic()
        finally:
            if keep is not None and kept < len(answers):
                keep(dict(enumerate(answers[kept:], kept)))
        return answers

    def _answer(self, prompt: str) -> Generation:
        answer: object = self.function(prompt)
        if isinstance(answer, Generation):
            return answer
        if not isinstance(answer, str | None):
            found, expected = repr(answer), "a str, a Generation or None"
            raise TypeError(describe("CallableGenerator", "an answer", found, expected))
        return Generation(whole_text(answer or ""))


_KEEP_EVERY = 0.1  # seconds


def name_of(who: str, what: str, value: object) -> str:
    """Return `value` if it is a str that is not empty.

    >>> name_of("OpenAIGenerator", "model", "qwen3")
    'qwen3'
    """
    if not isinstance(value, str):
        raise TypeError(describe(who, what, repr(value), "a str"))
    if not value:
        raise ValueError(describe(who, what, repr(value), "a str that is not empty"))
    return value


def whole_text(text: str) -> str:
    r"""Return a model's text with halves of characters, which no file can hold, replaced.

    >>> whole_text("Heat \ud83d")
    'Heat ?'
    """
    return text.encode(errors="replace").decode()
