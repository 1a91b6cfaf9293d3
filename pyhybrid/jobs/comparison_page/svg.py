"""The elements that the plots of a comparison are drawn from, and how each model looks in them.

They take their colours from the page's style sheet (`--c0` to `--c6`, `--ink`, `--paper` and so
on). A model has one colour and one shape in all plots: those of its index among the models.
"""

from __future__ import annotations

import math
from html import escape
from typing import TYPE_CHECKING

from pyhybrid.jobs.comparison_page.labels import FONT, Box, shorten

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

__all__ = [
    "COLOURS",
    "WIDTH",
    "brief",
    "colour",
    "group",
    "line",
    "marker",
    "polyline",
    "rectangle",
    "svg",
    "words",
]

COLOURS = 7
WIDTH = 380.0
_LONGEST = 108.0  # of a model's name, in the plot's units
_RADIUS = 5.5
_SHAPES = (  # corners, turn in degrees, the radius of every other corner
    (0, 0.0, 0.0),  # circle
    (4, 45.0, 0.0),  # square
    (3, 0.0, 0.0),  # triangle
    (4, 0.0, 0.0),  # diamond
    (10, 0.0, 0.5),  # star
    (3, 180.0, 0.0),  # triangle that points down
    (8, 0.0, 0.4),  # cross
    (6, 0.0, 0.0),  # hexagon
    (3, 90.0, 0.0),  # triangle that points right
    (8, 45.0, 0.4),  # cross, turned
    (5, 0.0, 0.0),  # pentagon
    (3, 270.0, 0.0),  # triangle that points left
    (6, 0.0, 0.4),  # star with three points
)


def svg(name: str, height: float, title: str, desc: str, drawing: Iterable[str]) -> str:
    """Put a drawing in an image that says in words what it shows."""
    return (
        f'<svg role="img" aria-labelledby="{name}-title {name}-desc" font-size="{FONT:g}"'
        f' viewBox="0 0 {WIDTH:g} {height:g}">\n'
        f'<title id="{name}-title">{escape(title)}</title>\n'
        f'<desc id="{name}-desc">{escape(desc)}</desc>\n' + "\n".join(drawing) + "\n</svg>"
    )


def line(kind: str, x: float, y: float, to_x: float, to_y: float) -> str:
    """Draw a straight line."""
    return f'<line class="{kind}" x1="{x:.1f}" y1="{y:.1f}" x2="{to_x:.1f}" y2="{to_y:.1f}"/>'


def rectangle(kind: str, box: Box) -> str:
    """Draw a rectangle."""
    size = f'width="{box.right - box.left:.1f}" height="{box.bottom - box.top:.1f}"'
    return f'<rect class="{kind}" x="{box.left:.1f}" y="{box.top:.1f}" {size}/>'


def words(kind: str, x: float, y: float, said: str, anchor: str) -> str:
    """Write a line of text; `anchor` is start, middle or end."""
    place = f'x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"'
    return f'<text class="{kind}" {place}>{escape(said)}</text>'


def group(told: str, drawing: Iterable[str]) -> str:
    """Join what tells the same when it is pointed at."""
    return f"<g><title>{escape(told)}</title>{''.join(drawing)}</g>"


def brief(name: str) -> str:
    """Shorten a model's name to what a plot has room for."""
    return shorten(name, _LONGEST)


def colour(index: int) -> str:
    """Return the class of a model's colour."""
    return f"c{index % COLOURS}"


def polyline(index: int, points: Sequence[tuple[float, float]]) -> str:
    """Draw a model's line; once the colours are used up, a dashed one."""
    dashed = " dashed" if index // COLOURS % 2 else ""
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    return f'<polyline class="line {colour(index)}{dashed}" points="{path}"/>'


def marker(index: int, x: float, y: float, *, hollow: bool = False) -> str:
    """Draw one of thirteen shapes in one of seven colours: 91 models differ."""
    kind = f'class="mark {colour(index)}{" hollow" if hollow else ""}"'
    corners, turn, inner = _SHAPES[index % len(_SHAPES)]
    if not corners:
        return f'<circle {kind} cx="{x:.1f}" cy="{y:.1f}" r="{_RADIUS - 0.6}"/>'
    points = []
    for corner in range(corners):
        angle = math.radians(turn + 360 * corner / corners)
        radius = _RADIUS * (inner if inner and corner % 2 else 1.1)
        points.append(f"{x + radius * math.sin(angle):.1f},{y - radius * math.cos(angle):.1f}")
    return f'<polygon {kind} points="{" ".join(points)}"/>'
