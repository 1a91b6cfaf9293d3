"""Show what a comparison of recommenders found, as one page of HTML that needs nothing else."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from html import escape
from typing import Any

from pyhybrid.errors import describe
from pyhybrid.jobs.comparison_page.frequency import frequency
from pyhybrid.jobs.comparison_page.life import life
from pyhybrid.jobs.comparison_page.numbers import text
from pyhybrid.jobs.comparison_page.prices import price, prices
from pyhybrid.jobs.comparison_page.reading import reading
from pyhybrid.jobs.comparison_page.sentences import (
    answer,
    compared,
    most_of_both,
    new_items,
    texts_worth,
)
from pyhybrid.jobs.comparison_page.shares import shares, without_share
from pyhybrid.jobs.comparison_page.style import STYLE
from pyhybrid.jobs.comparison_page.tables import (
    by_bucket,
    cost,
    diagnoses,
    differences,
    lives,
    main,
    other_metrics,
)
from pyhybrid.jobs.comparison_page.tradeoff import tradeoff, without_place

__all__ = ["page"]

_TITLE = "What recommenders keep of behaviour and of text"


def page(result: Mapping[str, Any]) -> str:
    """Write a comparison as one HTML page: plots, tables, how to read them, and where from.

    The page loads nothing and runs no script. The same result gives the same page. A figure that
    is missing, None or not finite is shown as missing; what no model has a figure of is left out.

    Args:
        result: What was compared and found, as from JSON: ``models`` holds by name what was
            measured of each model, or ``{"skipped": reason}``. ``best`` names the best model of
            pure behaviour and of pure text. ``new``, ``new_shares``, ``users`` and ``items`` count
            what the figures are of; ``life`` says what new items' lives were drawn and set against.
            ``data``, ``split``, ``seed``, ``quick``, ``date``, ``machine``, ``versions`` and
            ``command`` say what was done.

    Raises:
        TypeError: If `result` or its ``models`` is no mapping.

    >>> html = page({"models": {"esler": {"joint": {"ndcg@10": 0.329}, "kept": {"known": 1.0}}}})
    >>> html.startswith("<!DOCTYPE html>"), "0.329" in html, "<script" in html
    (True, True, False)
    """
    listed = result.get("models") if isinstance(result, Mapping) else None
    if not isinstance(listed, Mapping):
        found = f"a {type(listed if isinstance(result, Mapping) else result).__name__}"
        raise TypeError(describe("page", "result's models", found, "a mapping of names to figures"))
    skipped = {name: text(model, "skipped") for name, model in listed.items() if "skipped" in model}
    models = {name: model for name, model in listed.items() if name not in skipped}
    title = escape(": ".join(filter(None, [_TITLE, text(result, "data").partition(":")[0]])))
    sections = [
        _opening(result, models, len(skipped)),
        _findings(result, models) if models else "",
        _section("Who was left out", _pairs(skipped.items())),
        _section("How to read this", _pairs(reading(result, models))) if models else "",
        _origin(result, models),
    ]
    body = "\n".join(filter(None, sections))
    return (
        f'<!DOCTYPE html>\n<html lang="en">\n<head>\n{_HEAD}\n<title>{title}</title>\n'
        f"<style>\n{STYLE}</style>\n</head>\n<body>\n<main>\n{body}\n</main>\n</body>\n</html>\n"
    )


# Nothing may be loaded or run, whatever a name in the result might hold.
_HEAD = """<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta http-equiv="Content-Security-Policy"
 content="default-src 'none'; style-src 'unsafe-inline'; img-src data:">
<link rel="icon" href="data:,">"""


def _opening(result: Mapping[str, Any], models: Mapping[str, Any], skipped: int) -> str:
    """Say what came of it, and what was compared on what."""
    best = result.get("best") or {}
    parts = [
        _paragraph(answer(models, best), "answer"),
        _paragraph(texts_worth(models, text(result, "life", "against")), "answer"),
        _paragraph(compared(result, models, skipped)),
        _QUICK if result.get("quick") else "",
    ]
    told = "\n".join(filter(None, parts))
    return f"<header>\n<h1>{_TITLE}</h1>\n{told}\n</header>"


_QUICK = (
    '<p class="notice"><strong>A quick run.</strong> It did less than the full comparison;'
    " its figures show that all works, and no more.</p>"
)


def _findings(result: Mapping[str, Any], models: Mapping[str, Any]) -> str:
    """Show the plots, then the tables."""
    best = result.get("best") or {}
    figures = [
        _figure("What is kept", shares(models, best), _NOTE_SHARES, without_share(models)),
        _figure("The trade-off", tradeoff(models), _NOTE_TRADEOFF, without_place(models)),
        _figure("The life of an item", life(models), _NOTE_LIFE),
        _figure("By item frequency", frequency(models), _NOTE_FREQUENCY),
    ]
    drawn = "\n".join(filter(None, figures))
    drawn = drawn and f'<div class="figures">\n{drawn}\n</div>'
    shares_told = _paragraph(" ".join(filter(None, [new_items(result), _MARKED])))
    tables = "\n".join(filter(None, [shares_told, main(models), differences(models)]))
    cost_of_places = prices(models)
    sentence = _paragraph(price(models, most_of_both(models)))
    parts = [
        _section("In pictures", drawn),
        _section("The figures", tables),
        _section("What places for new items cost", cost_of_places and sentence + cost_of_places),
        _section("The life of an item", lives(models, text(result, "life", "against"))),
        _section("By item frequency", by_bucket(models, "by_frequency", "targets", _BY_FREQUENCY)),
        _section("By length of history", by_bucket(models, "by_history", "users", _BY_HISTORY)),
        _section("Diagnoses: one kind ranked alone", diagnoses(models), _NOTE_ALONE),
        _section("What it costs", cost(models)),
        _section("Other metrics", other_metrics(models)),
    ]
    return "\n".join(filter(None, parts))


_MARKED = "In each table the best value of a column is bold and underlined."
_NOTE_SHARES = (
    "The share that each model keeps of the best that behaviour alone reaches on known items, and"
    " of the best that text alone reaches on new ones. Lines stand at 100\u00a0%; the tinted"
    " corner is the goal. A hollow marker on an axis is a model without the other share: on the"
    " left, one that ranks no new items."
)
_NOTE_TRADEOFF = (
    "What known targets lose where new ones gain: each line runs from no new item in the lists,"
    " below on the right, to new items first, above on the left. The marker is where the model"
    " stands as scored. The further out a line, the better. A hollow marker ranks no new items."
)
_NOTE_LIFE = (
    "The area under each model\u2019s trade-off, as new items gather interactions. Dotted: from"
    " what a model reads in texts alone to the number of interactions that a text is worth."
)
_NOTE_FREQUENCY = (
    "NDCG@10 in the joint ranking, by how many interactions the target item has in training."
    " Behaviour speaks on the right, text on the left."
)
_NOTE_ALONE = (
    "They explain the figures and are no part of the answer: no running system ranks one kind of"
    " item alone."
)
_BY_FREQUENCY = "NDCG@10 of the joint ranking by training interactions of the target"
_BY_HISTORY = "NDCG@10 of the joint ranking by interactions in the user\u2019s history"


def _origin(result: Mapping[str, Any], models: Mapping[str, Any]) -> str:
    """Say how to make this page again."""
    machine = result.get("machine") or {}
    parts = [text(machine, "cpu")] + [
        f"{value} {key}" if key == "threads" else f"{key} {value}"
        for key, value in machine.items()
        if key != "cpu" and value is not None
    ]
    versions = (result.get("versions") or {}).items()
    pairs = [
        ("Command", text(result, "command")),
        ("Seed", text(result, "seed")),
        ("Versions", ", ".join(f"{name} {version}" for name, version in versions)),
        ("Machine", ", ".join(filter(None, parts))),
        ("Date", text(result, "date")),
    ]
    told = _pairs([(name, value) for name, value in pairs if value], code=("Command",))
    settings = [(name, text(model, "params")) for name, model in models.items()]
    settings = [(name, params) for name, params in settings if params]
    if settings:
        told += "\n<h3>Settings</h3>\n"
        told += _pairs(settings, code=[name for name, _ in settings])
    return _section("Where it comes from", told)


def _section(title: str, content: str, note: str = "") -> str:
    above = _paragraph(note) + "\n" if note else ""
    return f"<section>\n<h2>{title}</h2>\n{above}{content}\n</section>" if content else ""


def _paragraph(said: str, kind: str = "") -> str:
    named = f' class="{kind}"' if kind else ""
    return f"<p{named}>{escape(said)}</p>" if said else ""


def _figure(title: str, svg: str, note: str, absent: Collection[str] = ()) -> str:
    if not svg:
        return ""
    if absent:
        note += f" Without a figure, and so not in the plot: {', '.join(absent)}."
    return f"<figure>\n<h3>{title}</h3>\n{svg}\n<figcaption>{escape(note)}</figcaption>\n</figure>"


def _pairs(pairs: Iterable[tuple[str, str]], code: Collection[str] = ()) -> str:
    """Set terms and what is said of them."""
    rows = []
    for term, said in pairs:
        worded = f"<code>{escape(said)}</code>" if term in code else escape(said)
        rows.append(f"<div><dt>{escape(term)}</dt><dd>{worded}</dd></div>")
    return "<dl>\n" + "\n".join(rows) + "\n</dl>" if rows else ""
