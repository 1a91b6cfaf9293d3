"""Find a place for the labels of a plot, so that none lies on another nor on a marker."""

from __future__ import annotations

import math
import unicodedata
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

__all__ = ["FONT", "Box", "Label", "along", "beside", "shorten", "spread", "width"]

FONT = 13.0  # the labels' size, in the plot's units
_LINE = 15.0  # from one line to the next
_MARKER = 7.0  # half of the square that a marker keeps free
_ON_LINE = 30.0  # how much further off a label may stand so as not to lie on a line
_OVER_LEADER = 40.0  # or so that its leader crosses no other one
_UNDER_LABEL = 150.0  # or crosses no label or marker
_EM = 0.64  # the mean width of a character in the widest of the usual system fonts


class Box(NamedTuple):
    """A rectangle by its edges; y grows downwards."""

    left: float
    top: float
    right: float
    bottom: float

    def meets(self, other: Box) -> bool:
        """Tell whether two rectangles share more than an edge.

        >>> Box(0, 0, 2, 2).meets(Box(1, 1, 3, 3)), Box(0, 0, 2, 2).meets(Box(2, 0, 4, 2))
        (True, False)
        """
        across = self.left < other.right and other.left < self.right
        return across and self.top < other.bottom and other.top < self.bottom

    def within(self, other: Box) -> bool:
        """Tell whether this rectangle lies in the other one."""
        across = other.left <= self.left and self.right <= other.right
        return across and other.top <= self.top and self.bottom <= other.bottom


class Label(NamedTuple):
    """Where a label stands, and the line from its marker if it stands too far off to be clear."""

    box: Box
    leader: tuple[float, float, float, float] | None


def width(text: str) -> float:
    """Estimate how wide a text can be, in the plot's units.

    >>> width("esler") < width("popularity") < width("ランキングの推薦")
    True
    """
    wide = sum(unicodedata.east_asian_width(letter) in "WF" for letter in text)
    return FONT * (_EM * (len(text) - wide) + 1.05 * wide)


def shorten(name: str, room: float) -> str:
    """Leave out the middle of a name that is too wide, as names often differ at their ends.

    >>> shorten("esler+text", 120), shorten("multvae with two hundred dimensions", 120)
    ('esler+text', 'multvae…nsions')
    """
    kept = len(name)
    short = name
    while width(short) > room and kept > 2:
        kept -= 1
        short = f"{name[: (kept + 1) // 2].rstrip()}…{name[len(name) - kept // 2 :].lstrip()}"
    return short


def beside(
    points: Sequence[tuple[float, float]],
    widths: Sequence[float],
    area: Box,
    taken: Sequence[Box] = (),
    avoided: Sequence[Box] = (),
) -> list[Label | None]:
    """Place a label of each width by its point: the nearest free place in the area.

    None stands for a label that has no place left. The upper points come first. A label lies on
    what is to be avoided, and its leader crosses others, only where it would otherwise stand much
    further from its point.
    """
    markers = [_around(x, y, _MARKER) for x, y in points]
    filled, leaders = [*taken, *markers], list[Box]()
    labels: list[Label | None] = [None] * len(points)
    for row in sorted(range(len(points)), key=lambda row: (points[row][1], points[row][0], row)):
        # a line out of a crowd of markers has to cross those that its own marker lies on
        others = [box for box in filled if box not in markers or not box.meets(markers[row])]
        best = math.inf
        for distance, label in _places(*points[row], widths[row]):
            if distance >= best:
                break
            if not label.box.within(area) or _any_meets([label.box], filled + leaders):
                continue
            path = along(*label.leader) if label.leader else []
            cost = distance + _ON_LINE * _any_meets([label.box], avoided)
            cost += _OVER_LEADER * _any_meets(path, leaders)
            cost += _UNDER_LABEL * _any_meets(path, others)
            if cost < best:
                best, labels[row] = cost, label
        chosen = labels[row]
        if chosen is not None:
            filled.append(chosen.box)
            leaders += along(*chosen.leader) if chosen.leader else []
    return labels


def spread(heights: Sequence[float], top: float, bottom: float) -> list[float]:
    """Move labels of one column up and down until each has a line of its own, order kept.

    >>> spread([50.0, 52.0, 10.0], 0, 100)
    [50.0, 65.0, 10.0]
    >>> spread([98.0, 99.0], 0, 100)
    [85.0, 100.0]
    """
    order = sorted(range(len(heights)), key=lambda row: (heights[row], row))
    moved = list(heights)
    before = top - _LINE
    for row in order:
        moved[row] = before = max(moved[row], before + _LINE)
    after = max(bottom, top + _LINE * (len(heights) - 1)) + _LINE
    for row in reversed(order):
        moved[row] = after = min(moved[row], after - _LINE)
    return moved


def along(x: float, y: float, end_x: float, end_y: float) -> list[Box]:
    """Cover a line with small squares, from its start to short of its end.

    >>> [box.left for box in along(0, 0, 9, 0)]
    [-1.5, 1.5, 4.5]
    """
    steps = max(1, math.ceil(math.hypot(end_x - x, end_y - y) / 3))
    return [
        _around(x + (end_x - x) * step / steps, y + (end_y - y) * step / steps, 1.5)
        for step in range(steps)
    ]


def _places(x: float, y: float, width: float) -> Iterator[tuple[float, Label]]:
    """Yield distances and places of a label, from near to far, to the right of the point first."""
    for distance in (10.0, 14.0, *range(24, 420, 12)):
        steps = 8 if distance < 20 else 24
        for turn in sorted(range(steps), key=lambda turn: min(turn, steps - turn)):
            angle = 2 * math.pi * turn / steps
            across, down = math.cos(angle), -math.sin(angle)
            middle_x = x + (distance + width / 2) * across
            middle_y = y + (distance + _LINE / 2) * down
            box = Box(
                middle_x - width / 2,
                middle_y - _LINE / 2,
                middle_x + width / 2,
                middle_y + _LINE / 2,
            )
            end_x, end_y = min(max(x, box.left), box.right), min(max(y, box.top), box.bottom)
            yield distance, Label(box, (x, y, end_x, end_y) if distance > 20 else None)


def _any_meets(some: Sequence[Box], others: Sequence[Box]) -> bool:
    return any(box.meets(other) for box in some for other in others)


def _around(x: float, y: float, half: float) -> Box:
    return Box(x - half, y - half, x + half, y + half)
