"""Draw a comparison as SVG: what each model keeps, and NDCG@10 by item frequency.

The plots take their colours from the page's style sheet (`--c0` to `--c6`, `--ink`, `--paper` and
so on). A model has the same colour and the same shape in both of them.
"""

from __future__ import annotations

import math
from html import escape
from typing import TYPE_CHECKING, Any

from pyhybrid.jobs.comparison_page.labels import FONT, Box, beside, shorten, spread, width
from pyhybrid.jobs.comparison_page.numbers import (
    bucket_name,
    buckets,
    decimal,
    number,
    percent,
    text,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    Models = Mapping[str, Mapping[str, Any]]

__all__ = ["COLOURS", "frequency", "shares"]

COLOURS = 7
_WIDTH = 380.0
_LONGEST = 108.0  # of a model's name, in the plot's units
_RADIUS = 5.5


def shares(models: Models, best: Mapping[str, Any]) -> str:
    """Draw the share of the cold strength (across) and of the warm strength (up) of each model.

    Empty where no model has a share.
    """
    kept = {
        name: (number(model, "kept", "cold"), number(model, "kept", "warm"))
        for name, model in models.items()
    }
    kept = {name: pair for name, pair in kept.items() if pair != (None, None)}
    if not kept:
        return ""
    area = Box(46, 30, _WIDTH - 20, 362)
    most = max(share for pair in kept.values() for share in pair if share is not None)
    ticks = _ticks(max(1.2, most * 1.04))
    scale_x = (area.right - area.left) / ticks[-1]
    scale_y = (area.bottom - area.top) / ticks[-1]
    places = {
        name: (area.left + (cold or 0) * scale_x, area.bottom - (warm or 0) * scale_y)
        for name, (cold, warm) in kept.items()
    }
    at_one = area.left + scale_x, area.bottom - scale_y
    drawing = [
        f'<rect class="goal" x="{at_one[0]:.1f}" y="{area.top:.1f}"'
        f' width="{area.right - at_one[0]:.1f}" height="{at_one[1] - area.top:.1f}"/>'
    ]
    for tick in ticks:
        x, y = area.left + tick * scale_x, area.bottom - tick * scale_y
        drawing += [
            _line("grid", x, area.top, x, area.bottom),
            _line("grid", area.left, y, area.right, y),
            _words("tick", x, area.bottom + 17, percent(tick), "middle"),
            _words("tick", area.left - 6, y + 4, percent(tick), "end"),
        ]
    drawing += [
        _line("axis", area.left, area.top, area.left, area.bottom),
        _line("axis", area.left, area.bottom, area.right, area.bottom),
        _line("one", at_one[0], area.top, at_one[0], area.bottom),
        _line("one", area.left, at_one[1], area.right, at_one[1]),
        _words("title", 2, 16, f"↑ warm share kept{_of(best, 'behaviour')}", "start"),
        _words("title", area.right, 398, f"cold share kept{_of(best, 'text')} →", "end"),
    ]
    lines = [
        Box(at_one[0], area.top, at_one[0], area.bottom),
        Box(area.left, at_one[1], area.right, at_one[1]),
    ]
    goal = Box(area.right - width("goal") - 4, area.top + 3, area.right - 4, area.top + 18)
    drawing.append(_words("goal", goal.right, goal.bottom - 3.5, "goal", "end"))
    names = list(places)
    short = [shorten(name, _LONGEST) for name in names]
    labels = beside(list(places.values()), [width(name) for name in short], area, [goal], lines)
    order = list(models)
    drawing += [_line("leader", *label.leader) for label in labels if label and label.leader]
    for name, label, brief in zip(names, labels, short, strict=True):
        hollow = None in kept[name]
        told = f"{name}: {_pair(*kept[name])}"
        drawing.append(
            f"<g>{_tooltip(told)}{_marker(order.index(name), *places[name], hollow)}</g>"
        )
        if label is not None:
            middle = (label.box.left + label.box.right) / 2
            drawing.append(_words("label", middle, label.box.bottom - 3.5, brief, "middle"))
    title = "Share of the warm and of the cold strength that each model keeps"
    told = "; ".join(f"{name}: {_pair(*pair)}" for name, pair in kept.items())
    desc = (
        "A scatter plot. Across: the cold share kept; up: the warm share kept. Lines mark 100 %,"
        f" the top right corner is the goal. {told}."
    )
    return _svg("shares", 408, title, desc, drawing)


def frequency(models: Models) -> str:
    """Draw NDCG@10 of the joint ranking over the buckets of the targets' training counts.

    Empty where no model has a figure.
    """
    among = buckets(models.values(), "by_frequency")
    lines = {
        name: [number(model, "by_frequency", bucket, "ndcg@10") for bucket in among]
        for name, model in models.items()
    }
    lines = {name: line for name, line in lines.items() if any(v is not None for v in line)}
    if not lines:
        return ""
    names = list(lines)
    short = [shorten(name, _LONGEST) for name in names]
    side = max(map(width, short)) + 24
    bottom = max(362.0, 38 + 15.0 * (len(names) - 1))
    area = Box(40, 30, _WIDTH - side, bottom)
    most = max(value for line in lines.values() for value in line if value is not None)
    ticks = _ticks(most or 0.1)
    across = [_across(area, place, len(among)) for place in range(len(among))]
    drawing = []
    for tick in ticks:
        y = area.bottom - (area.bottom - area.top) * tick / ticks[-1]
        drawing += [
            _line("grid", area.left, y, area.right, y),
            _words("tick", area.left - 6, y + 4, _tick(tick, ticks[1]), "end"),
        ]
    for x, bucket in zip(across, among, strict=True):
        named = bucket_name(bucket, among).replace("over ", ">")
        drawing.append(_words("tick", x, area.bottom + 17, named, "middle"))
    drawing += [
        _line("axis", area.left, area.bottom, area.right, area.bottom),
        _words("title", 2, 16, "↑ NDCG@10, joint ranking", "start"),
        _words("title", area.left, bottom + 36, "training interactions of the target →", "start"),
    ]
    order = list(models)
    paths = {
        name: [
            (x, area.bottom - (area.bottom - area.top) * value / ticks[-1])
            for x, value in zip(across, line, strict=True)
            if value is not None
        ]
        for name, line in lines.items()
    }
    ends = spread([paths[name][-1][1] for name in names], area.top + 4, area.bottom - 4)
    for name in names:
        drawing += _path(order.index(name), across, lines[name], paths[name])
    for name, end, brief in zip(names, ends, short, strict=True):
        index, x = order.index(name), area.right + 10
        drawing.append(_line(f"leader c{index % COLOURS}", *paths[name][-1], x, end))
        told = [_marker(index, *point) for point in paths[name]]
        drawing.append(f"<g>{_tooltip(_series(name, among, lines[name]))}{''.join(told)}</g>")
        drawing.append(_marker(index, x, end))
        drawing.append(_words("label", x + 10, end + 4, brief, "start"))
    title = "NDCG@10 of the joint ranking by how often the target item was seen in training"
    told = [_series(name, among, line) for name, line in lines.items()]
    desc = f"A line a model over {len(among)} ranges of training counts. {'; '.join(told)}."
    return _svg("frequency", bottom + 46, title, desc, drawing)


def _path(
    index: int,
    across: Sequence[float],
    values: Sequence[float | None],
    points: Sequence[tuple[float, float]],
) -> list[str]:
    """Draw a model's line, broken where a bucket has no figure."""
    place = dict(points)
    runs: list[list[str]] = [[]]
    for x, value in zip(across, values, strict=True):
        if value is None:
            runs.append([])
        else:
            runs[-1].append(f"{x:.1f},{place[x]:.1f}")
    dashed = " dashed" if index // COLOURS % 2 else ""
    return [
        f'<polyline class="line c{index % COLOURS}{dashed}" points="{" ".join(run)}"/>'
        for run in runs
        if len(run) > 1
    ]


def _marker(index: int, x: float, y: float, hollow: bool = False) -> str:
    """Draw one of thirteen shapes in one of seven colours: 91 models differ."""
    kind = f'class="mark c{index % COLOURS}{" hollow" if hollow else ""}"'
    corners, turn, inner = _SHAPES[index % len(_SHAPES)]
    if not corners:
        return f'<circle {kind} cx="{x:.1f}" cy="{y:.1f}" r="{_RADIUS - 0.6}"/>'
    points = []
    for corner in range(corners):
        angle = math.radians(turn + 360 * corner / corners)
        radius = _RADIUS * (inner if inner and corner % 2 else 1.1)
        points.append(f"{x + radius * math.sin(angle):.1f},{y - radius * math.cos(angle):.1f}")
    return f'<polygon {kind} points="{" ".join(points)}"/>'


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


def _ticks(most: float) -> list[float]:
    """Choose round values from 0 to the first one that is not below `most`, eight at most.

    >>> _ticks(1.2), _ticks(0.34)
    ([0.0, 0.2, 0.4, 0.6, 0.8, 1.0, 1.2], [0.0, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.35])
    """
    power = 10.0 ** (math.floor(math.log10(most)) - 1)
    steps = [power * factor for factor in (1, 2, 5, 10, 20, 50)]
    step = next(step for step in steps if most / step < 7 + 1e-9)
    count = math.ceil(most / step - 1e-9)
    return [float(f"{step * place:.12g}") for place in range(count + 1)]


def _tick(value: float, step: float) -> str:
    return f"{value:.{max(0, -math.floor(math.log10(step) + 1e-9))}f}"


def _across(area: Box, place: int, count: int) -> float:
    inset = 16.0
    share = place / (count - 1) if count > 1 else 0.5
    return area.left + inset + share * (area.right - area.left - 2 * inset)


def _of(best: Mapping[str, Any], side: str) -> str:
    name = text(best, side)
    return f" (100\u00a0% = {shorten(name, _LONGEST)})" if name else ""


def _pair(cold: float | None, warm: float | None) -> str:
    worded = [
        f"{side} {percent(share)}" if share is not None else f"no {side} share"
        for side, share in (("warm", warm), ("cold", cold))
    ]
    return ", ".join(worded)


def _series(name: str, among: list[str], line: Sequence[float | None]) -> str:
    told = [
        f"{bucket_name(bucket, among)}: {'no target' if value is None else decimal(value)}"
        for bucket, value in zip(among, line, strict=True)
    ]
    return f"{name}: {', '.join(told)}"


def _svg(name: str, height: float, title: str, desc: str, drawing: list[str]) -> str:
    return (
        f'<svg role="img" aria-labelledby="{name}-title {name}-desc" font-size="{FONT:g}"'
        f' viewBox="0 0 {_WIDTH:g} {height:g}">\n'
        f'<title id="{name}-title">{escape(title)}</title>\n'
        f'<desc id="{name}-desc">{escape(desc)}</desc>\n' + "\n".join(drawing) + "\n</svg>"
    )


def _line(kind: str, x: float, y: float, to_x: float, to_y: float) -> str:
    return f'<line class="{kind}" x1="{x:.1f}" y1="{y:.1f}" x2="{to_x:.1f}" y2="{to_y:.1f}"/>'


def _words(kind: str, x: float, y: float, words: str, anchor: str) -> str:
    place = f'x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"'
    return f'<text class="{kind}" {place}>{escape(words)}</text>'


def _tooltip(words: str) -> str:
    return f"<title>{escape(words)}</title>"
