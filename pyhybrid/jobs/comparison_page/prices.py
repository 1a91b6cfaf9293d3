"""What places for new items cost: a sentence for the strongest model, and a table of all."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pyhybrid.jobs.comparison_page.numbers import (
    decimal,
    number,
    numbers,
    percent,
    signed,
    spelled,
    text,
)
from pyhybrid.jobs.comparison_page.table import Column, table

if TYPE_CHECKING:
    from collections.abc import Mapping

    Models = Mapping[str, Mapping[str, Any]]

__all__ = ["price", "prices"]

_PLACES = (0, 1, 2, 3, 5)


def price(models: Models, first: str | None) -> str:
    """Say what one place for new items costs: of the model `first`, or else of any."""
    named = sorted(models, key=lambda name: name != first)
    for name in named:
        known, new, joint = (_placed(models[name], side)[:2] for side in ("known", "new", "joint"))
        if len(known) < 2 or known[0] is None or known[1] is None:
            continue
        lost = (
            f"{_loss(known[1], known[0])} of S ({decimal(known[0])} to {decimal(known[1])})"
            if known[0] > known[1]
            else "nothing"
        )
        gains = [
            f"{verb} from {decimal(pair[0])} to {decimal(pair[1])}"
            for verb, pair in (("takes U", new), ("the joint figure", joint))
            if len(pair) == 2 and pair[0] is not None and pair[1] is not None
        ]
        length = number(models[name], "tradeoff", "n")
        of = "" if length is None else f" of {spelled(int(length)).lower()}"
        gained = f", and {' and '.join(gains)}" if gains else ""
        return f"With {name}, one place{of} for new items costs known targets {lost}{gained}."
    return ""


def prices(models: Models) -> str:
    """Set S, U and joint with 0, 1, 2, 3 and 5 places for new items; empty where none is known."""
    models = {name: model for name, model in models.items() if model.get("tradeoff")}
    groups = [
        (title, _columns(models, side))
        for side, title in (
            ("known", "Known among all (S)"),
            ("new", "New among all (U)"),
            ("joint", "Joint"),
        )
    ]
    best = Column(
        "best scale",
        [number(model, "tradeoff", "best", "joint") for model in models.values()],
        notes=[_scale(model) for model in models.values()],
    )
    groups[-1][1].append(best)
    caption = "NDCG@10 with 0, 1, 2, ... places of each list for new items, and the change from 0"
    return table("prices", caption, models, groups)


def _columns(models: Models, side: str) -> list[Column]:
    found = [_placed(model, side) for model in models.values()]
    columns = []
    for places in _PLACES:
        values = [of[places] if places < len(of) else None for of in found]
        if side == "new" and not any(values):  # as where there is no place
            continue
        notes = [
            _change(value, of[0])
            if side != "new" and places and value is not None and of[0]
            else ""
            for value, of in zip(values, found, strict=True)
        ]
        columns.append(Column(str(places), values, notes=notes))
    return columns


def _placed(model: Mapping[str, Any], side: str) -> list[float | None]:
    return numbers(model, "tradeoff", "placed", side)


def _loss(value: float, before: float) -> str:
    return percent(1 - value / before, 1)


def _change(value: float, before: float) -> str:
    change = 100 * (value / before - 1)
    return f"{signed(change, 1 if abs(change) < 9.95 else 0)}\u00a0%"


def _scale(model: Mapping[str, Any]) -> str:
    """Say how far new items are let up where the joint figure is largest."""
    step, by = number(model, "tradeoff", "best", "step"), text(model, "tradeoff", "by")
    if step is None or (by == "factor" and step == 0):
        return "no new"
    return f"\u00d7\u202f{step:.3g}" if by == "factor" else signed(step, 2)
