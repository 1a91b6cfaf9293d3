"""Draw what known targets lose where new ones gain."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any, NamedTuple

from pyhybrid.jobs.comparison_page.axes import UNDER, Axis, across, up
from pyhybrid.jobs.comparison_page.labels import Box, along
from pyhybrid.jobs.comparison_page.numbers import decimal, number, numbers
from pyhybrid.jobs.comparison_page.points import Point, labelled
from pyhybrid.jobs.comparison_page.svg import WIDTH, polyline, svg

if TYPE_CHECKING:
    from collections.abc import Mapping

    Models = Mapping[str, Mapping[str, Any]]

__all__ = ["tradeoff", "without_place"]

_AREA = Box(46, 30, WIDTH - 20, 362)


class _Course(NamedTuple):
    """What the plot shows of a model, in figures: (S, U) each."""

    curve: list[tuple[float, float]]
    stands: tuple[float, float] | None  # as scored


def tradeoff(models: Models) -> str:
    """Draw U (up) over S (across), a line a model, and a marker where the model stands as scored.

    A model without a curve is a hollow marker: on the axis, where it ranks no new item. Empty
    where no model has a curve.
    """
    found = {name: _course(model) for name, model in models.items()}
    if not any(course.curve for course in found.values()):
        return ""
    area = _AREA
    places = [place for of in found.values() for place in [*of.curve, *filter(None, [of.stands])]]
    to_x = Axis(1.02 * max(known for known, _ in places), area.left, area.right)
    to_y = Axis(1.02 * max(new for _, new in places), area.bottom, area.top)
    points, lines, avoided = [], [], []
    for index, (name, course) in enumerate(found.items()):
        path = [(to_x.at(known), to_y.at(new)) for known, new in course.curve]
        if len(path) > 1:
            lines.append(polyline(index, path))
            avoided += [box for one, next_one in pairwise(path) for box in along(*one, *next_one)]
        if course.stands is not None:
            at = to_x.at(course.stands[0]), to_y.at(course.stands[1])
        elif path:
            at = path[len(path) // 2]
        else:
            continue
        told = _told(name, models[name], course)
        points.append(Point(name, index, *at, told, not path, course.stands is not None))
    drawing = [
        *up(area, to_y, "new among all (U), NDCG@10"),
        *across(area, to_x, "known among all (S), NDCG@10"),
        *lines,
        *labelled(points, area, avoided=avoided),
    ]
    desc = (
        "Across: NDCG@10 of known targets among all items, S; up: that of new targets, U. A line a"
        " model from no new item in the lists to new items first, a marker where it stands as"
        f" scored. {'; '.join(point.told for point in points)}."
    )
    title = "What known targets lose where new ones gain, for each model"
    return svg("tradeoff", area.bottom + UNDER, title, desc, drawing)


def without_place(models: Models) -> list[str]:
    """Name the models that the plot has no place for."""
    found = {name: _course(model) for name, model in models.items()}
    return [name for name, of in found.items() if not of.curve and of.stands is None]


def _course(model: Mapping[str, Any]) -> _Course:
    sides = [numbers(model, "tradeoff", "curve", side) for side in ("known", "new")]
    curve = [(s, u) for s, u in zip(*sides, strict=False) if s is not None and u is not None]
    known, new = (number(model, side, "ndcg@10") for side in ("known", "new"))
    if known is None or (new is None and curve):
        return _Course(curve, None)
    return _Course(curve, (known, new or 0.0))


def _told(name: str, model: Mapping[str, Any], course: _Course) -> str:
    facts = []
    if course.stands is not None:
        facts.append(f"as scored S {decimal(course.stands[0])}, U {decimal(course.stands[1])}")
    if course.curve:
        facts.append(f"S {decimal(course.curve[0][0])} without new items")
        facts.append(f"U {decimal(course.curve[-1][1])} with new items first")
    else:
        facts.append("no curve")
    area = number(model, "tradeoff", "area")
    return f"{name}: {', '.join(facts)}" + ("" if area is None else f", area {decimal(area)}")
