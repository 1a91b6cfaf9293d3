"""The tables of a comparison: what matters, what it costs, and what explains it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pyhybrid.jobs.comparison_page.ages import age_name, ages, figures, worth
from pyhybrid.jobs.comparison_page.numbers import (
    bucket_name,
    buckets,
    bytes_of,
    decimal,
    duration,
    few,
    number,
    percent,
    signed,
    text,
    whole,
)
from pyhybrid.jobs.comparison_page.table import Column, table

if TYPE_CHECKING:
    from collections.abc import Mapping

    Models = Mapping[str, Mapping[str, Any]]

__all__ = ["by_bucket", "cost", "diagnoses", "differences", "lives", "main", "other_metrics"]

_SIDES = {"joint": "Joint", "known": "Known among all", "new": "New among all"}
_ALONE = {"warm": "Known alone", "cold": "New alone"}
_KEY = "ndcg@10"


def main(models: Models) -> str:
    """Set what matters: NDCG@10 among all items, new items' area and places, shares kept."""
    key = [_metric(models, side, _KEY, title) for side, title in _SIDES.items()]
    curve = [
        Column("Area", _read(models, "tradeoff", "area")),
        Column(
            "In the lists",
            _read(models, "tradeoff", "new_share"),
            lambda share: percent(share, 1),
            None,
            under="share of new items",
        ),
    ]
    kept = [
        Column(title, _read(models, "kept", title.lower()), percent) for title in ("Known", "New")
    ]
    caption = "NDCG@10 with all items ranked, and shares kept"
    groups = [
        ("NDCG@10 (± standard error)", key),
        ("New items", curve),
        ("Share kept", kept),
    ]
    return table("main", caption, models, groups, keep=key[:1])


def differences(models: Models) -> str:
    """Set the differences in NDCG@10 from the best pure model; empty where there is none."""
    columns = [_difference(models, side, title) for side, title in _SIDES.items()]
    caption = "Difference in NDCG@10 from the best pure model (95\u00a0% interval)"
    return table("differences", caption, models, [("", columns)])


def lives(models: Models, against: str) -> str:
    """Set the life of an item: the area and what a text is worth, then S, U, joint, and share."""
    models = {name: model for name, model in models.items() if model.get("life")}
    among = ages(models)

    def by_age(side: str, title: str) -> tuple[str, list[Column]]:
        found = [figures(model, side, among) for model in models.values()]
        share = side == "share"
        return title, [
            Column(
                age_name(age),
                [values[place] for values in found],
                (lambda value: percent(value, 1)) if share else decimal,
                None if share else max,
            )
            for place, age in enumerate(among)
        ]

    found = [worth(model) for model in models.values()]
    of_text = Column(
        "Interactions",
        [None if of is None else of.count for of in found],
        few,
        notes=[", ".join(filter(None, [of.side, of.interval])) if of else "" for of in found],
        missing=["reference" if name == against else "" for name in models],
    )
    tables = [
        table(
            "life-area",
            "Area, by how many training interactions new items have, and what a text is worth",
            models,
            [by_age("area", "Area"), ("A text is worth", [of_text])],
        ),
        table(
            "life-sides",
            "NDCG@10 of new and of known targets among all, by new items\u2019 interactions",
            models,
            [by_age("new", "New among all (U)"), by_age("known", "Known among all (S)")],
        ),
        table(
            "life-joint",
            "Joint NDCG@10 and new items\u2019 share of the lists, by new items\u2019 interactions",
            models,
            [by_age("joint", "Joint"), by_age("share", "New items\u2019 share of the lists")],
        ),
    ]
    return "\n".join(filter(None, tables))


def by_bucket(models: Models, key: str, counted: str, caption: str) -> str:
    """Set NDCG@10 by ranges of a count; `counted` names what each range holds so and so many of."""
    among = buckets(models.values(), key)
    columns = []
    for bucket in among:
        counts = _read(models, key, bucket, counted)
        alike = len(set(counts)) == 1 and counts[0] is not None
        notes = ["" if n is None else f"{whole(n)} {counted}" for n in counts]
        columns.append(
            Column(
                bucket_name(bucket, among),
                _read(models, key, bucket, _KEY),
                under=notes[0] if alike else "",
                notes=() if alike else notes,
            )
        )
    return table(key.replace("_", "-"), caption, models, [("", columns)])


def diagnoses(models: Models) -> str:
    """Set what a model finds where one kind of item is ranked alone."""
    groups = _metrics(models, _ALONE)
    return table("alone", "One kind of item ranked alone (± standard error)", models, groups)


def cost(models: Models) -> str:
    """Set time, memory and size, and how far and how popular the recommendations are."""
    columns = [
        Column("Fit", _read(models, "seconds", "fit"), duration, min),
        Column("Scoring", _read(models, "seconds", "score"), duration, min),
        Column("Memory", _read(models, "memory_bytes"), bytes_of, min),
        Column("Size on disk", _read(models, "model_bytes"), bytes_of, min),
        Column("Coverage", _read(models, "coverage"), lambda value: percent(value, 1), None),
        Column("Mean popularity", _read(models, "popularity"), lambda value: f"{value:,.1f}", None),
    ]
    return table("cost", "Time, memory, size, coverage and popularity", models, [("", columns)])


def other_metrics(models: Models) -> str:
    """Set all metrics but NDCG@10 with all items ranked; empty where there is no other one."""
    caption = "Other metrics with all items ranked (± standard error)"
    return table("other", caption, models, _metrics(models, _SIDES, leave=_KEY))


def _metrics(
    models: Models, sides: Mapping[str, str], leave: str = ""
) -> list[tuple[str, list[Column]]]:
    groups = []
    for side, title in sides.items():
        names = {name: None for m in models.values() for name in m.get(side) or {} if name != leave}
        groups.append((title, [_metric(models, side, name, name) for name in names]))
    return groups


def _read(models: Models, *path: str) -> list[float | None]:
    return [number(model, *path) for model in models.values()]


def _metric(models: Models, side: str, metric: str, title: str) -> Column:
    errors = _read(models, "standard_error", side, metric)
    return Column(
        title,
        _read(models, side, metric),
        notes=["" if error is None else f"±\u202f{decimal(error)}" for error in errors],
    )


def _difference(models: Models, side: str, title: str) -> Column:
    against = [text(model, "interval", side, "against") for model in models.values()]
    others = sorted({name for name in against if name})
    values, notes = [], []
    for model, name in zip(models.values(), against, strict=True):
        values.append(number(model, "interval", side, "difference"))
        ends = [number(model, "interval", side, end) for end in ("low", "high")]
        worded = [signed(end) for end in ends if end is not None]
        note = f"{worded[0]} to {worded[1]}" if len(worded) == 2 else ""
        notes.append(f"{note} against {name}".strip() if name and len(others) > 1 else note)
    return Column(
        title,
        values,
        signed,
        None,
        under=f"against {others[0]}" if len(others) == 1 else "",
        notes=notes,
        missing=["reference" if [name] == others else "" for name in models],
    )
