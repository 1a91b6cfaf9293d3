"""Set the tables of a comparison: a row a model, a missing figure as a dash."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, Any

from pyhybrid.jobs.comparison_page.numbers import (
    bucket_name,
    buckets,
    bytes_of,
    decimal,
    duration,
    number,
    percent,
    signed,
    text,
    whole,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    Models = Mapping[str, Mapping[str, Any]]

__all__ = ["by_bucket", "cost", "main", "other_metrics"]

_EDGE = ' class="edge"'
_SIDES = ("warm", "cold", "joint")
_KEY = "ndcg@10"


@dataclass(frozen=True)
class _Column:
    """A column of figures.

    Attributes:
        title: The heading.
        values: The figure of each model, in their order.
        word: How a figure is written.
        best: `max` or `min`: which value is to be marked; None: none.
        under: A second line of the heading.
        notes: A second line of each cell.
        missing: What stands for a missing figure, by model; elsewhere a dash.
    """

    title: str
    values: Sequence[float | None]
    word: Callable[[float], str] = decimal
    best: Callable[[list[float]], float] | None = max
    under: str = ""
    notes: Sequence[str] = ()
    missing: Sequence[str] = ()

    def marked(self) -> float | None:
        """Return the value to mark; None where no model is better than another one."""
        found = [value for value in self.values if value is not None]
        return self.best(found) if self.best and len(set(found)) > 1 else None


def main(models: Models) -> str:
    """Set what matters: NDCG@10, the shares kept, and the differences from the best model."""
    return _table(
        "main",
        "NDCG@10, shares kept, and differences from the best model",
        models,
        [
            ("NDCG@10 (± standard error)", [_figures(models, side, _KEY) for side in _SIDES]),
            (
                "Share kept",
                [
                    _Column(
                        title, [number(m, "kept", title.lower()) for m in models.values()], percent
                    )
                    for title in ("Warm", "Cold")
                ],
            ),
            ("Difference (95\u00a0% interval)", [_differences(models, side) for side in _SIDES]),
        ],
    )


def by_bucket(models: Models, key: str, counted: str, caption: str) -> str:
    """Set NDCG@10 by ranges of a count; `counted` names what each range holds so and so many of."""
    among = buckets(models.values(), key)
    columns = []
    for bucket in among:
        counts = [number(model, key, bucket, counted) for model in models.values()]
        alike = len(set(counts)) == 1 and counts[0] is not None
        notes = ["" if n is None else f"{whole(n)} {counted}" for n in counts]
        columns.append(
            _Column(
                bucket_name(bucket, among),
                [number(model, key, bucket, _KEY) for model in models.values()],
                under=notes[0] if alike else "",
                notes=() if alike else notes,
            )
        )
    return _table(key.replace("_", "-"), caption, models, [("", columns)]) if among else ""


def cost(models: Models) -> str:
    """Set time, memory and size, and how far and how popular the recommendations are."""

    def read(*path: str) -> list[float | None]:
        return [number(model, *path) for model in models.values()]

    columns = [
        _Column("Fit", read("seconds", "fit"), duration, min),
        _Column("Scoring", read("seconds", "score"), duration, min),
        _Column("Memory", read("memory_bytes"), bytes_of, min),
        _Column("Size on disk", read("model_bytes"), bytes_of, min),
        _Column("Coverage", read("coverage"), lambda value: percent(value, 1), None),
        _Column("Mean popularity", read("popularity"), lambda value: f"{value:,.1f}", None),
    ]
    return _table("cost", "Time, memory, size, coverage and popularity", models, [("", columns)])


def other_metrics(models: Models) -> str:
    """Set all metrics but NDCG@10; empty where there is no other one."""
    groups = []
    for side in _SIDES:
        names = {name: None for m in models.values() for name in m.get(side) or {} if name != _KEY}
        groups.append((side.capitalize(), [_figures(models, side, name, name) for name in names]))
    groups = [(side, columns) for side, columns in groups if columns]
    caption = "Warm, cold and joint figures (± standard error)"
    return _table("other", caption, models, groups) if groups else ""


def _figures(models: Models, side: str, metric: str, title: str = "") -> _Column:
    errors = [number(model, "standard_error", side, metric) for model in models.values()]
    return _Column(
        title or side.capitalize(),
        [number(model, side, metric) for model in models.values()],
        notes=["" if error is None else f"±\u202f{decimal(error)}" for error in errors],
    )


def _differences(models: Models, side: str) -> _Column:
    against = [text(model, "interval", side, "against") for model in models.values()]
    others = sorted({name for name in against if name})
    values, notes = [], []
    for model, name in zip(models.values(), against, strict=True):
        values.append(number(model, "interval", side, "difference"))
        ends = [number(model, "interval", side, end) for end in ("low", "high")]
        worded = [signed(end) for end in ends if end is not None]
        note = f"{worded[0]} to {worded[1]}" if len(worded) == 2 else ""
        notes.append(f"{note} against {name}".strip() if name and len(others) > 1 else note)
    return _Column(
        side.capitalize(),
        values,
        signed,
        None,
        under=f"against {others[0]}" if len(others) == 1 else "",
        notes=notes,
        missing=["reference" if [name] == others else "" for name in models],
    )


def _table(
    name: str, caption: str, models: Models, groups: Sequence[tuple[str, Sequence[_Column]]]
) -> str:
    """Set a table in a box of its own, which scrolls where the table is wider than the page."""
    columns = [column for _, listed in groups for column in listed]
    marks = [column.marked() for column in columns]
    starts = {id(listed[0]) for _, listed in groups[1:]}  # a rule stands before each group
    edges = [_EDGE if id(column) in starts else "" for column in columns]
    parts = list(zip(columns, marks, edges, strict=True))
    titles = "".join(
        f'<th scope="col"{edge}>{escape(column.title)}{_small(column.under)}</th>'
        for column, _, edge in parts
    )
    head = f'<tr><th scope="col">Model</th>{titles}</tr>'
    if any(title for title, _ in groups):
        over = "".join(
            f'<th scope="colgroup" colspan="{len(listed)}"{_EDGE if place else ""}>'
            f"{escape(title)}</th>"
            for place, (title, listed) in enumerate(groups)
        )
        corner = '<th scope="col" rowspan="2">Model</th>'
        head = f"<tr>{corner}{over}</tr>\n<tr>{titles}</tr>"
    rows = []
    for row, model in enumerate(models):
        cells = "".join(
            f"<td{edge}>{_cell(column, row, mark)}</td>" for column, mark, edge in parts
        )
        rows.append(f'<tr><th scope="row">{escape(model)}</th>{cells}</tr>')
    body = "\n".join(rows)
    return (
        f'<div class="scroll" role="region" aria-labelledby="{name}-caption" tabindex="0">\n'
        f'<table>\n<caption><span id="{name}-caption">{escape(caption)}</span></caption>\n'
        f"<thead>\n{head}\n</thead>\n<tbody>\n{body}\n</tbody>\n</table>\n</div>"
    )


def _cell(column: _Column, row: int, mark: float | None) -> str:
    value = column.values[row]
    if value is None:
        instead = column.missing[row] if column.missing else ""
        return (
            f'<span class="quiet">{escape(instead)}</span>'
            if instead
            else '<span class="quiet" aria-hidden="true">&ndash;</span>'
            '<span class="unseen">no figure</span>'
        )
    worded = escape(column.word(value))
    if value == mark:
        worded = f'<strong>{worded}<span class="unseen">, best</span></strong>'
    return worded + _small(column.notes[row] if column.notes else "")


def _small(words: str) -> str:
    return f"<small>{escape(words)}</small>" if words else ""
