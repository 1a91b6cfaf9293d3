"""Draw what each model keeps of the known strength and of the new one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pyhybrid.jobs.comparison_page.axes import UNDER, Axis, across, up
from pyhybrid.jobs.comparison_page.labels import Box, width
from pyhybrid.jobs.comparison_page.numbers import number, percent, text
from pyhybrid.jobs.comparison_page.points import Point, labelled
from pyhybrid.jobs.comparison_page.svg import WIDTH, brief, line, rectangle, svg, words

if TYPE_CHECKING:
    from collections.abc import Mapping

    Models = Mapping[str, Mapping[str, Any]]

__all__ = ["shares", "without_share"]

_AREA = Box(50, 30, WIDTH - 20, 362)
_ROOM = 1.04  # of the largest share, so that no marker lies on the plot's edge


def shares(models: Models, best: Mapping[str, Any]) -> str:
    """Draw the share of the new strength (across) and of the known strength (up) of each model.

    Empty where no model has one of the two: what is kept of one alone stands in the tables.
    """
    kept = {name: _kept(model) for name, model in models.items()}
    news = [new for new, _ in kept.values() if new is not None]
    knowns = [known for _, known in kept.values() if known is not None]
    if not news or not knowns:
        return ""
    area = _AREA
    most_new, most_known = (max(1.2, max(side) * _ROOM) for side in (news, knowns))
    to_x = Axis(most_new, area.left, area.right, percent)
    to_y = Axis(most_known, area.bottom, area.top, percent)
    x, y = to_x.at(1), to_y.at(1)
    goal = Box(area.right - width("goal") - 4, area.top + 3, area.right - 4, area.top + 18)
    points = [
        Point(
            name, index, to_x.at(new or 0), to_y.at(known or 0), _told(name, new, known),
            hollow=None in (new, known),
        )
        for index, (name, (new, known)) in enumerate(kept.items())
        if (new, known) != (None, None)
    ]  # fmt: skip
    lines = [Box(x, area.top, x, area.bottom), Box(area.left, y, area.right, y)]
    drawing = [
        rectangle("goal", Box(x, area.top, area.right, y)),
        *up(area, to_y, f"share kept on known items{_of(best, 'behaviour')}"),
        *across(area, to_x, f"share kept on new items{_of(best, 'text')}"),
        *(line("one", *box) for box in lines),
        words("goal", goal.right, goal.bottom - 3.5, "goal", "end"),
        *labelled(points, area, [goal], lines),
    ]
    desc = (
        "A scatter plot. Across: the share kept on new items; up: the share kept on known items."
        " Lines mark 100 %, the top right corner is the goal."
        f" {'; '.join(point.told for point in points)}."
    )
    title = "Share that each model keeps of the known and of the new strength"
    return svg("shares", area.bottom + UNDER, title, desc, drawing)


def without_share(models: Models) -> list[str]:
    """Name the models that the plot has no place for."""
    return [name for name, model in models.items() if _kept(model) == (None, None)]


def _kept(model: Mapping[str, Any]) -> tuple[float | None, float | None]:
    return number(model, "kept", "new"), number(model, "kept", "known")


def _of(best: Mapping[str, Any], side: str) -> str:
    name = text(best, side)
    return f" (100\u00a0% = {brief(name)})" if name else ""


def _told(name: str, new: float | None, known: float | None) -> str:
    worded = [
        f"{side} {percent(share)}" if share is not None else f"no {side} share"
        for side, share in (("known", known), ("new", new))
    ]
    return f"{name}: {', '.join(worded)}"
