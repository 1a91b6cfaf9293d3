"""Set a table of figures: a row a model, a missing figure as a dash, the best one marked."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING

from pyhybrid.jobs.comparison_page.numbers import decimal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

__all__ = ["Column", "table"]

_EDGE = ' class="edge"'
_MANY = 12  # columns, from which on they stand closer


@dataclass(frozen=True)
class Column:
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

    @property
    def is_empty(self) -> bool:
        """Whether no model has a figure."""
        return all(value is None for value in self.values)

    def marked(self) -> float | None:
        """Return the value to mark; None where no model is better than another one."""
        found = [value for value in self.values if value is not None]
        return self.best(found) if self.best and len(set(found)) > 1 else None


def table(
    name: str,
    caption: str,
    models: Iterable[str],
    groups: Sequence[tuple[str, Sequence[Column]]],
    keep: Sequence[Column] = (),
) -> str:
    """Set a table in a box of its own, which scrolls where the table is wider than the page.

    A column in which no model has a figure is left out, unless it is among those to keep; a table
    without columns is empty.
    """
    kept = [(title, [c for c in of if not c.is_empty or c in keep]) for title, of in groups]
    groups = [(title, of) for title, of in kept if of]
    columns = [column for _, listed in groups for column in listed]
    if not columns:
        return ""
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
    close = ' class="close"' if len(columns) > _MANY else ""
    return (
        f'<div class="scroll" role="region" aria-labelledby="{name}-caption" tabindex="0">\n'
        f'<table{close}>\n<caption><span id="{name}-caption">{escape(caption)}</span></caption>\n'
        f"<thead>\n{head}\n</thead>\n<tbody>\n{body}\n</tbody>\n</table>\n</div>"
    )


def _cell(column: Column, row: int, mark: float | None) -> str:
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
