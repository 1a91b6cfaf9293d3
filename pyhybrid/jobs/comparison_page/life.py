"""Draw the life of an item: the area by how many training interactions new items have."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from pyhybrid.jobs.comparison_page.ages import age_name, ages, figures, worth
from pyhybrid.jobs.comparison_page.labels import Box, width
from pyhybrid.jobs.comparison_page.numbers import decimal, few
from pyhybrid.jobs.comparison_page.series import Besides, Field, Text, series
from pyhybrid.jobs.comparison_page.svg import colour, group, line, words

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    Models = Mapping[str, Mapping[str, Any]]

__all__ = ["life"]

_GUIDES = 3  # more of them hide the lines
_SHORTEST = 12.0  # across, in the plot's units: shorter ones hide behind their own marker


def life(models: Models) -> str:
    """Draw the area (up) over training interactions (across), a line a model.

    Dotted guides lead from the area that a model reaches without interactions to as many as its
    texts are worth. Empty where no model has a figure.
    """
    among = ages(models)
    named = [age_name(age) for age in among]
    said = Text(
        name="life",
        title="Area under the curve of known and new targets by new items\u2019 interactions",
        up="area under U over S",
        across="training interactions of each new item",
        places=named,
        told=named,
        missing="no figure",
    )
    lines = {name: figures(model, "area", among) for name, model in models.items()}
    return series(
        said, lines, list(models), decimal, lambda field: _guides(models, lines, among, field)
    )


def _guides(
    models: Models,
    lines: Mapping[str, Sequence[float | None]],
    among: Sequence[float],
    field: Field,
) -> Besides:
    """Draw guides where texts are worth the most, and the numbers at their corners."""
    shown = []
    for index, (name, model) in enumerate(models.items()):
        found, least = worth(model), next(iter(lines[name]), None)
        if found is None or least is None:
            continue
        corner = _place(found.count, among, field.places), field.axis.at(least)
        if corner[0] - field.places[0] > _SHORTEST:
            shown.append((found, corner, index, name))
    shown = sorted(shown, key=lambda guide: -guide[0].count)[:_GUIDES]
    under, over, taken = [], [], list[Box]()
    for found, (x, y), index, name in shown:
        said, kind = few(found.count), colour(index)
        parts = [
            line(f"guide {kind}", field.places[0], y, x, y),
            line(f"guide {kind}", x, y, x, field.area.bottom),
        ]
        number = f"{found.side} {said}".strip()
        under.append(group(f"{name}: a text is worth {number} interactions", parts))
        box = Box(x - 3 - width(said), y - 16, x - 3, y - 3)  # above the line of behaviour
        if not any(box.meets(other) for other in taken):
            over.append(words(f"number {kind}", box.right, box.bottom - 1, said, "end"))
            taken.append(box)
    return Besides(under, over)


def _place(count: float, among: Sequence[float], places: Sequence[float]) -> float:
    """Place a number between those looked at, in proportion to log(1 + n), as it was found."""
    pairs = [(math.log1p(age), x) for age, x in zip(among, places, strict=True) if age < math.inf]
    at = math.log1p(max(count, 0.0))
    for (low, left), (high, right) in pairwise(pairs):
        if at <= high:
            return left + (right - left) * max(at - low, 0.0) / (high - low)
    return pairs[-1][1] if pairs else places[0]
