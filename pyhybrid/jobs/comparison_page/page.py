"""Show what a comparison of recommenders found, as one page of HTML that needs nothing else."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from typing import Any

from pyhybrid.errors import describe
from pyhybrid.jobs.comparison_page.numbers import number, percent, text, whole
from pyhybrid.jobs.comparison_page.plots import frequency, shares
from pyhybrid.jobs.comparison_page.style import STYLE
from pyhybrid.jobs.comparison_page.tables import by_bucket, cost, main, other_metrics

__all__ = ["page"]

_TITLE = "What recommenders keep of behaviour and of text"


def page(result: Mapping[str, Any]) -> str:
    """Write a comparison as one HTML page: plots, tables, how to read them, and where from.

    The page loads nothing and runs no script. The same result gives the same page. A figure that
    is missing, None or not finite is shown as missing.

    Args:
        result: What was compared and found, as from JSON: ``models`` holds by name what was
            measured of each model, or ``{"skipped": reason}``. ``best`` names the best model of
            pure behaviour and of pure text. ``data``, ``split``, ``users``, ``items``, ``seed``,
            ``quick``, ``date``, ``machine``, ``versions`` and ``command`` say what was done.

    Raises:
        TypeError: If `result` or its ``models`` is no mapping.

    >>> html = page({"models": {"esler": {"warm": {"ndcg@10": 0.329}, "kept": {"warm": 1.0}}}})
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
        _findings(result, models),
        _section("Who was left out", _pairs(skipped.items())) if skipped else "",
        _reading(result) if models else "",
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
    """Say what was compared on what, and what came of it."""
    data = text(result, "data").rstrip(". ")
    some = f"{_spelled(len(models))} recommender{' was' if len(models) == 1 else 's were'}"
    left = f" {_spelled(skipped)} could not be run." if skipped else ""
    facts = [f"{some} compared{' on ' + data if data else ''}.{left}"]
    split = text(result, "split").rstrip(". ")
    if split:
        facts.append(f"{split[0].upper()}{split[1:]}.")
    quick = (
        '<p class="notice"><strong>A quick run.</strong> It did less than the full comparison;'
        " its figures show that all works, and no more.</p>"
        if result.get("quick")
        else ""
    )
    return (
        f"<header>\n<h1>{_TITLE}</h1>\n"
        f'<p class="answer">{escape(_answer(models))}</p>\n'
        f"<p>{escape(' '.join(facts))}</p>\n{quick}</header>"
    )


_SMALL = ["No", "One", "Two", "Three", "Four", "Five", "Six", "Seven", "Eight", "Nine", "Ten"]


def _spelled(count: int) -> str:
    return _SMALL[count] if count < len(_SMALL) else str(count)


def _answer(models: Mapping[str, Any]) -> str:
    """Name the model that keeps the most of both: the one whose smaller share is the largest."""
    if not models:
        return "No model could be run, so there is nothing to compare."
    kept = {}
    for name, model in models.items():
        warm, cold = (number(model, "kept", side) for side in ("warm", "cold"))
        if warm is not None and cold is not None:
            kept[name] = (warm, cold)
    if not kept:
        return "No model has both a warm and a cold share, so none can be said to keep both."
    name = max(kept, key=lambda name: min(kept[name]))
    most = "keeps the most of both" if len(kept) > 1 else "alone has a share of both"
    warm_kept, cold_kept = map(percent, kept[name])
    return f"{name} {most}: {warm_kept} of the warm strength and {cold_kept} of the cold strength."


def _findings(result: Mapping[str, Any], models: Mapping[str, Any]) -> str:
    """Show the plots, then the tables."""
    if not models:
        return ""
    best = result.get("best") or {}
    notes = [_NOTE_SHARES]
    apart = [n for n, m in models.items() if not _has_share(m)]
    if apart:
        notes.append(f"Without any share, and so not in the plot: {', '.join(apart)}.")
    figures = [
        _figure(shares(models, best), " ".join(notes)),
        _figure(frequency(models), _NOTE_FREQUENCY),
    ]
    drawn = "\n".join(filter(None, figures))
    drawn = drawn and f'<div class="figures">\n{drawn}\n</div>'
    parts = [
        _section("What each model keeps", drawn),
        _section("The figures", _MARKED + main(models)),
        _section(
            "By item frequency",
            by_bucket(
                models,
                "by_frequency",
                "targets",
                "NDCG@10 of the joint ranking by training interactions of the target",
            ),
        ),
        _section(
            "By length of history",
            by_bucket(
                models,
                "by_history",
                "users",
                "NDCG@10 of the joint ranking by interactions in the user\u2019s history",
            ),
        ),
        _section("What it costs", cost(models)),
        _section("Other metrics", other_metrics(models)),
    ]
    return "\n".join(filter(None, parts))


_MARKED = "<p>In each table the best value of a column is bold and underlined.</p>\n"
_NOTE_SHARES = (
    "The share of the warm strength and of the cold strength that each model keeps. Lines stand at"
    " 100\u00a0%; the tinted corner is the goal. A hollow marker on the left axis is a model"
    " without a cold share, as it ranks no cold items or none was there to compare with; one on"
    " the lower axis is a model without a warm share."
)
_NOTE_FREQUENCY = (
    "NDCG@10 in the joint ranking, by how many interactions the target item has in training."
    " Behaviour speaks on the right, text on the left; an item seen 0 times is cold."
)


def _has_share(model: Mapping[str, Any]) -> bool:
    return any(number(model, "kept", side) is not None for side in ("warm", "cold"))


def _reading(result: Mapping[str, Any]) -> str:
    """Define the words of the page."""
    behaviour, of_text = (text(result, "best", side) for side in ("behaviour", "text"))
    warm, cold, joint = (_counted(result, side) for side in ("warm", "cold", "joint"))
    return _section(
        "How to read this",
        _pairs(
            [
                (
                    "Warm",
                    "Only items with interactions in training are ranked, and only they count as"
                    f" targets. This asks what a model learned from behaviour.{warm}",
                ),
                (
                    "Cold",
                    "Only items without any interaction in training are ranked, and only they"
                    " count as targets. This asks what a model reads in item text; one that"
                    f" knows items by behaviour alone has no figure.{cold}",
                ),
                (
                    "Joint",
                    "All items are ranked and all targets count, as in a running system. A user"
                    f" without a target is left out.{joint}",
                ),
                (
                    "NDCG@10",
                    "How high the user\u2019s held-out items stand in the first ten places: 1 if"
                    " they fill the first places, 0 if none is there. The number after ± is the"
                    " standard error over users.",
                ),
                (
                    "Share kept",
                    "A model\u2019s NDCG@10 divided by that of the best pure model: warm by the"
                    f" best that knows behaviour alone ({behaviour or 'none was run'}), cold by the"
                    f" best that knows text alone ({of_text or 'none was run'}). It may pass"
                    " 100\u00a0%.",
                ),
                (
                    "Difference and interval",
                    "The model\u2019s NDCG@10 minus that of the model named in the heading, and the"
                    " 95\u00a0% interval of it: both models on the same users, the users drawn"
                    " again and again with replacement (paired bootstrap). An interval that holds"
                    " 0 shows no clear difference.",
                ),
                (
                    "Coverage, mean popularity",
                    "The share of all items that anybody is recommended in the first ten places,"
                    " and the mean number of training interactions of what is recommended.",
                ),
            ]
        ),
    )


def _counted(result: Mapping[str, Any], side: str) -> str:
    """Say how many users and items stand behind a column."""
    counts = [(number(result, what, side), what) for what in ("users", "items")]
    worded = [f"{whole(count)} {what}" for count, what in counts if count is not None]
    return f" Here: {', '.join(worded)}." if worded else ""


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


def _section(title: str, content: str) -> str:
    return f"<section>\n<h2>{title}</h2>\n{content}\n</section>" if content else ""


def _figure(svg: str, note: str) -> str:
    return f"<figure>\n{svg}\n<figcaption>{escape(note)}</figcaption>\n</figure>" if svg else ""


def _pairs(pairs: Any, code: Any = ()) -> str:
    """Set terms and what is said of them."""
    rows = []
    for term, said in pairs:
        worded = f"<code>{escape(said)}</code>" if term in code else escape(said)
        rows.append(f"<div><dt>{escape(term)}</dt><dd>{worded}</dd></div>")
    return "<dl>\n" + "\n".join(rows) + "\n</dl>" if rows else ""
