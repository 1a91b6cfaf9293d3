"""Draw a line a model over a row of ranges or counts, each named at its end."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from pyhybrid.jobs.comparison_page.axes import UNDER, Axis, baseline, up
from pyhybrid.jobs.comparison_page.labels import Box, spread, width
from pyhybrid.jobs.comparison_page.svg import (
    WIDTH,
    brief,
    colour,
    group,
    line,
    marker,
    polyline,
    svg,
    words,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    Path = Sequence[tuple[float, float] | None]
    Values = Sequence[float | None]

__all__ = ["Besides", "Field", "Text", "series"]

_INSET = 16.0  # from the plot's sides to its first and last place
_LEGEND = 15.0  # a line of the legend


class Text(NamedTuple):
    """What a plot of series says.

    Attributes:
        name: Of the plot, for ids.
        title: What it shows, for those who do not see it.
        up: The title of the upper end.
        across: The title of the lower axis.
        places: What stands under each place.
        told: The places in full.
        missing: What stands for a figure that is missing.
    """

    name: str
    title: str
    up: str
    across: str
    places: Sequence[str]
    told: Sequence[str]
    missing: str


class Field(NamedTuple):
    """Where figures stand in a plot: its area, the places across, the axis up, and each line."""

    area: Box
    places: Sequence[float]
    axis: Axis
    paths: Mapping[str, Path]


class Besides(NamedTuple):
    """What is drawn besides the lines, under and over them."""

    under: Sequence[str] = ()
    over: Sequence[str] = ()


def series(
    said: Text,
    lines: Mapping[str, Values],
    order: Sequence[str],
    word: Callable[[float], str],
    besides: Callable[[Field], Besides] | None = None,
) -> str:
    """Draw lines over evenly spaced places, broken where a figure is missing.

    Args:
        said: The plot's words.
        lines: By model its figure at each place; those without any are left out.
        order: All models; colours and shapes follow their places in it.
        word: How a figure is told.
        besides: What else is to be drawn.

    Returns:
        Empty where no model has a figure.
    """
    lines = {name: of for name, of in lines.items() if any(v is not None for v in of)}
    if not lines:
        return ""
    side = max(width(brief(name)) for name in lines) + 24
    bottom = max(362.0, 38 + _LEGEND * (len(lines) - 1))
    area = Box(46, 30, WIDTH - side, bottom)
    most = max(value for of in lines.values() for value in of if value is not None)
    places, axis = _evenly(area, len(said.places)), Axis(most, area.bottom, area.top)
    paths = {
        name: [
            None if value is None else (x, axis.at(value))
            for x, value in zip(places, of, strict=True)
        ]
        for name, of in lines.items()
    }
    more = besides(Field(area, places, axis, paths)) if besides else Besides()
    told = {name: f"{name}: {_figures(said, of, word)}" for name, of in lines.items()}
    drawing = [
        *up(area, axis, said.up),
        *baseline(area, list(zip(places, said.places, strict=True)), said.across),
        *more.under,
    ]
    for name, path in paths.items():
        drawing += [polyline(order.index(name), run) for run in _runs(path) if len(run) > 1]
    ends = [[point for point in path if point][-1] for path in paths.values()]
    heights = spread([y for _, y in ends], area.top + 4, area.bottom - 4)
    for (name, path), end, height in zip(paths.items(), ends, heights, strict=True):
        index, x = order.index(name), area.right + 10
        drawing.append(line(f"leader {colour(index)}", *end, x, height))
        drawing.append(group(told[name], [marker(index, *point) for point in path if point]))
        drawing.append(marker(index, x, height))
        drawing.append(words("label", x + 10, height + 4, brief(name), "start"))
    drawing += more.over
    desc = f"A line a model over {len(said.places)} places. {'; '.join(told.values())}."
    return svg(said.name, bottom + UNDER, said.title, desc, drawing)


def _evenly(area: Box, count: int) -> list[float]:
    inner = area.right - area.left - 2 * _INSET
    return [
        area.left + _INSET + inner * (place / (count - 1) if count > 1 else 0.5)
        for place in range(count)
    ]


def _runs(path: Path) -> list[list[tuple[float, float]]]:
    """Cut a line where a figure is missing."""
    runs: list[list[tuple[float, float]]] = [[]]
    for point in path:
        if point is None:
            runs.append([])
        else:
            runs[-1].append(point)
    return runs


def _figures(said: Text, values: Values, word: Callable[[float], str]) -> str:
    return ", ".join(
        f"{place}: {said.missing if value is None else word(value)}"
        for place, value in zip(said.told, values, strict=True)
    )
