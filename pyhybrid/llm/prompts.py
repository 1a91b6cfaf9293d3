"""Prompts with slots, in which soft tokens stand."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TypeAlias

from pyhybrid.checks import count
from pyhybrid.errors import describe

__all__ = ["History", "Prompt", "Slot"]


@dataclass(frozen=True, slots=True)
class Slot:
    """Mark where soft tokens stand: vectors in the place of words' embeddings.

    Attributes:
        name: What they stand for, such as "user".
        tokens: How many they are.
    """

    name: str
    tokens: int = 1

    def __post_init__(self) -> None:
        count("Slot", "tokens", self.tokens)


@dataclass(frozen=True, slots=True)
class History:
    """Hold titles of which a prompt that is too long leaves out the first ones, the oldest.

    Attributes:
        titles: Oldest first.
        separator: Stands between two of them.
        empty: Stands where there is none, or none is left.
    """

    titles: tuple[str, ...]
    separator: str = ", "
    empty: str = ""

    def __post_init__(self) -> None:
        if not isinstance(self.titles, tuple):
            raise TypeError(describe("History", "titles", repr(self.titles), "a tuple of str"))

    @property
    def text(self) -> str:
        """The titles, as they stand in the prompt."""
        return self.separator.join(self.titles) if self.titles else self.empty


Part: TypeAlias = str | Slot | History


@dataclass(frozen=True, slots=True)
class Prompt:
    """Hold a prompt: a sequence of texts, slots and histories.

    Neighbouring texts and histories are one text to the tokenizer; a slot parts two texts.

    >>> question = Prompt((", would enjoy", Slot("item"), "? Answer:"))
    >>> whole = Prompt(("A user", Slot("user"), " of ", History(("Heat", "Up")))) + question
    >>> whole.texts
    ['A user', ' of Heat, Up, would enjoy', '? Answer:']
    >>> whole.without(1).texts[1]
    ' of Up, would enjoy'
    """

    parts: tuple[Part, ...]

    def __post_init__(self) -> None:
        parts = self.parts if isinstance(self.parts, tuple) else (self.parts,)
        wrong = [part for part in parts if not isinstance(part, str | Slot | History)]
        if parts is not self.parts or wrong:
            found = repr(wrong[0] if wrong else self.parts)
            raise TypeError(describe("Prompt", "a part", found, "a tuple of str, Slot and History"))

    def __add__(self, other: Prompt) -> Prompt:
        return Prompt(self.parts + other.parts)

    @property
    def slots(self) -> tuple[Slot, ...]:
        """The slots in their order."""
        return tuple(part for part in self.parts if isinstance(part, Slot))

    @property
    def texts(self) -> list[str]:
        """The texts before, between and after the slots: one more than there are slots."""
        texts = [""]
        for part in self.parts:
            if isinstance(part, Slot):
                texts.append("")
            else:
                texts[-1] += part if isinstance(part, str) else part.text
        return texts

    @property
    def titles(self) -> int:
        """How many titles the histories have."""
        return sum(len(part.titles) for part in self.parts if isinstance(part, History))

    def without(self, dropped: int) -> Prompt:
        """Drop so many titles: always the oldest of the history with the most titles left."""
        left = [len(part.titles) if isinstance(part, History) else 0 for part in self.parts]
        for _ in range(dropped):
            left[left.index(max(left))] -= 1
        return Prompt(
            tuple(
                replace(part, titles=part.titles[len(part.titles) - kept :])
                if isinstance(part, History)
                else part
                for part, kept in zip(self.parts, left, strict=True)
            )
        )
