"""What CoLLM asks a language model: would a user who liked these items like that one?"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pyhybrid.llm.prompts import History, Prompt, Slot

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["about_item", "about_user", "prompts_of"]


def about_user(titles: Sequence[str], tokens: int = 0) -> Prompt:
    """Tell of a user: the part of the prompt that all candidates share.

    Args:
        titles: What the user liked, oldest first; the oldest are left out where there is no room.
        tokens: Soft tokens of the user; 0 for a prompt without.

    >>> about_user(["Heat", "Up"]).texts
    ['Liked: "Heat", "Up".']
    """
    liked = History(tuple(f'"{title}"' for title in titles), empty="nothing yet")
    taste = (" Taste:", Slot("user", tokens), ".") if tokens else ()
    return Prompt(("Liked: ", liked, ".", *taste))


def about_item(title: str, tokens: int = 0) -> Prompt:
    """Ask about an item.

    Args:
        title: The item's.
        tokens: Soft tokens of the item; 0 for a prompt without.

    >>> about_item("Alien").texts
    [' Will "Alien" be liked? Answer:']
    """
    features = (Slot("item", tokens), " ") if tokens else ()
    return Prompt((" Will ", *features, f'"{title}" be liked? Answer:'))


def prompts_of(
    liked: Sequence[Sequence[str]], titles: Sequence[str], tokens: int = 0
) -> list[Prompt]:
    """Put whole prompts together, one for each item and what its user liked."""
    return [
        about_user(some, tokens) + about_item(title, tokens)
        for some, title in zip(liked, titles, strict=True)
    ]
