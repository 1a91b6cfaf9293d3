"""The axes of a plot: round ticks from 0 on, the grid, and the titles at their ends."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pyhybrid.jobs.comparison_page.svg import line, words

if TYPE_CHECKING:
    from collections.abc import Callable

    from pyhybrid.jobs.comparison_page.labels import Box

__all__ = ["UNDER", "Axis", "across", "baseline", "up"]

UNDER = 48.0  # what ticks and title of the lower axis need
_TICK = 18.5  # from the axis to the line its ticks' words stand on


@dataclass(frozen=True)
class Axis:
    """Map figures from 0 on to places in a plot.

    Attributes:
        most: A figure that must have a place.
        start: Where 0 stands.
        end: Where the last tick stands, the first round figure not below `most`.
        word: How a tick is written; None: with as many decimals as its step needs.
    """

    most: float
    start: float
    end: float
    word: Callable[[float], str] | None = None

    @property
    def ticks(self) -> list[float]:
        """Round figures, eight at most.

        >>> Axis(1.2, 0, 100).ticks, Axis(0, 0, 100).ticks[-1]
        ([0.0, 0.2, 0.4, 0.6, 0.8, 1.0, 1.2], 0.1)
        >>> Axis(0.34, 0, 100).ticks
        [0.0, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.35]
        """
        most = self.most if self.most > 0 else 0.1
        power = 10.0 ** (math.floor(math.log10(most)) - 1)
        steps = [power * factor for factor in (1, 2, 5, 10, 20, 50)]
        step = next(step for step in steps if most / step < 7 + 1e-9)
        count = math.ceil(most / step - 1e-9)
        return [float(f"{step * place:.12g}") for place in range(count + 1)]

    def at(self, figure: float) -> float:
        """Return the place of a figure.

        >>> Axis(1.2, 0, 120).at(0.5)
        50.0
        """
        return self.start + (self.end - self.start) * figure / self.ticks[-1]

    def marks(self) -> list[tuple[float, str]]:
        """Return the places and the words of the ticks."""
        ticks = self.ticks
        places = max(0, -math.floor(math.log10(ticks[1]) + 1e-9))
        return [
            (self.at(tick), self.word(tick) if self.word else f"{tick:.{places}f}")
            for tick in ticks
        ]


def up(area: Box, axis: Axis, title: str) -> list[str]:
    """Draw a grid of lines across, their ticks on the left, and the title above."""
    drawing = [words("title", 2, area.top - 14, f"↑ {title}", "start")]
    for y, said in axis.marks():
        drawing.append(line("grid", area.left, y, area.right, y))
        drawing.append(words("tick", area.left - 6, y + 4, said, "end"))
    return drawing


def across(area: Box, axis: Axis, title: str) -> list[str]:
    """Draw a grid of upright lines, the axis they stand on with its ticks, and both axes."""
    drawing = [line("grid", x, area.top, x, area.bottom) for x, _ in axis.marks()]
    drawing += baseline(area, axis.marks(), title)
    drawing.append(line("axis", area.left, area.top, area.left, area.bottom))
    return drawing


def baseline(area: Box, marks: list[tuple[float, str]], title: str) -> list[str]:
    """Draw the lower axis, the words at their places under it, and the title."""
    drawing = [words("tick", x, area.bottom + _TICK, said, "middle") for x, said in marks]
    drawing.append(line("axis", area.left, area.bottom, area.right, area.bottom))
    drawing.append(words("title", area.right, area.bottom + 38, f"{title} →", "end"))
    return drawing
