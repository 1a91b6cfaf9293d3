"""Models as labelled markers in a plot."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pyhybrid.jobs.comparison_page.labels import beside, width
from pyhybrid.jobs.comparison_page.svg import brief, colour, group, line, marker, words

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pyhybrid.jobs.comparison_page.labels import Box

__all__ = ["Point", "labelled"]


@dataclass(frozen=True)
class Point:
    """A model's place in a plot.

    Attributes:
        name: The model's.
        index: The model's among all, which its colour and shape follow.
        x: Across, in the plot's units.
        y: Down.
        told: What is said when it is pointed at.
        hollow: Whether the marker is.
        marked: Whether there is one; else only the label stands there.
    """

    name: str
    index: int
    x: float
    y: float
    told: str
    hollow: bool = False
    marked: bool = True


def labelled(
    points: Sequence[Point], area: Box, taken: Sequence[Box] = (), avoided: Sequence[Box] = ()
) -> list[str]:
    """Draw markers and names: on no other, in the area, and off what is to be avoided."""
    names = [brief(point.name) for point in points]
    places = [(point.x, point.y) for point in points]
    labels = beside(places, [width(name) for name in names], area, taken, avoided)
    drawing = [
        line(f"leader {colour(point.index)}", *label.leader)
        for point, label in zip(points, labels, strict=True)
        if label and label.leader
    ]
    for point, label, name in zip(points, labels, names, strict=True):
        if point.marked:
            mark = marker(point.index, point.x, point.y, hollow=point.hollow)
            drawing.append(group(point.told, [mark]))
        if label is not None:
            middle = (label.box.left + label.box.right) / 2
            drawing.append(words("label", middle, label.box.bottom - 3.5, name, "middle"))
    return drawing
