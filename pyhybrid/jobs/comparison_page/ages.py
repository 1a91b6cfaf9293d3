"""Read the life of an item: figures by how many interactions new items have, and a text's worth."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pyhybrid.jobs.comparison_page.numbers import few, number, numbers, whole

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["Worth", "age_name", "ages", "figures", "worth"]


@dataclass(frozen=True)
class Worth:
    """How many interactions a text is worth, in words.

    Attributes:
        count: The number.
        side: "at least" or "at most" where the number is a bound; else empty.
        interval: Its 95 % interval; empty where there is none.
    """

    count: float
    side: str
    interval: str


def worth(model: Mapping[str, Any]) -> Worth | None:
    """Read what a text is worth to a model; None where nothing is known of it.

    >>> found = {"interactions": 11.6, "low": 8.2, "high": 15.4, "at_least": False}
    >>> worth({"life": {"worth": found}})
    Worth(count=11.6, side='', interval='8.2 to 15')
    """
    found = (model.get("life") or {}).get("worth") or {}
    count, *ends = (number(found, key) for key in ("interactions", "low", "high"))
    if count is None:
        return None
    bounds = [side for side in ("least", "most") if found.get(f"at_{side}")]
    worded = [few(end) for end in ends if end is not None]
    return Worth(
        count,
        f"at {bounds[0]}" if len(bounds) == 1 else "",
        " to ".join(worded) if len(worded) == 2 else "",
    )


def ages(models: Mapping[str, Mapping[str, Any]]) -> list[float]:
    """List the numbers of interactions that were looked at, ascending; infinity stands for all.

    >>> ages({"esler": {"life": {"interactions": [0, 5, None]}}, "text": {"life": None}})
    [0.0, 5.0, inf]
    """
    return sorted({age for model in models.values() for age in _ages(model)})


def age_name(age: float) -> str:
    """Name a number of interactions that was looked at.

    >>> age_name(5.0), age_name(math.inf)
    ('5', 'all')
    """
    return "all" if age == math.inf else whole(age)


def figures(model: Mapping[str, Any], side: str, among: Sequence[float]) -> list[float | None]:
    """Return a model's figure at each number of interactions, None where it has none."""
    found = dict(zip(_ages(model), numbers(model, "life", side), strict=False))
    return [found.get(age) for age in among]


def _ages(model: Mapping[str, Any]) -> list[float]:
    return [math.inf if age is None else age for age in numbers(model, "life", "interactions")]
