"""What a comparison found, in sentences."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pyhybrid.jobs.comparison_page.ages import worth
from pyhybrid.jobs.comparison_page.numbers import few, number, percent, spelled, text, whole

if TYPE_CHECKING:
    from collections.abc import Mapping

    Models = Mapping[str, Mapping[str, Any]]

__all__ = ["answer", "compared", "most_of_both", "new_items", "texts_worth"]


def answer(models: Models, best: Mapping[str, Any]) -> str:
    """Say which model keeps the most of both."""
    if not models:
        return "No model could be run, so there is nothing to compare."
    name = most_of_both(models)
    if name is None:
        return "No model has a known and a new share, so none can be said to keep both."
    most = "keeps the most of both" if len(_both(models)) > 1 else "alone has a share of both"
    known, new = (percent(share) for share in _both(models)[name])
    return (
        f"{name} {most}: {known} of the strength on known items{_of(best, 'behaviour')} and"
        f" {new} of that on new items{_of(best, 'text')}."
    )


def most_of_both(models: Models) -> str | None:
    """Name the model whose smaller share is the largest; None where none has both."""
    kept = _both(models)
    return max(kept, key=lambda name: min(kept[name])) if kept else None


def texts_worth(models: Models, against: str) -> str:
    """Say how many interactions a text is worth to each model that reads texts."""
    found = [(of, name) for name, model in models.items() if (of := worth(model)) is not None]
    if not found:
        return ""
    found.sort(key=lambda pair: -pair[0].count)
    parts = list[str]()
    for of, name in found:
        unit = "" if parts else " interactions"
        interval = f" ({of.interval})".replace(" to ", "\u00a0to\u00a0") if of.interval else ""
        parts.append(f"{of.side} {few(of.count)}{unit}{interval} to {name}".strip())
    other = f"{against}, which knows behaviour alone," if against else "behaviour alone"
    return f"A text is worth {_listed(parts)}: with so many of a new item, {other} gets as far."


def new_items(result: Mapping[str, Any]) -> str:
    """Say which items are new, and what share they have; empty where there is none."""
    named = [(name, number(result, "new_shares", name)) for name in ("items", "events", "targets")]
    shares = [f"{percent(share, 1)} of the {name}" for name, share in named if share is not None]
    count = number(result, "new", "items")
    if count == 0 or not any(share for _, share in named):
        return ""
    some = "New items" if count is None else f"{whole(count)} new items"
    return f"{some} are {_listed(shares)}."


def compared(result: Mapping[str, Any], models: Models, skipped: int) -> str:
    """Say what was compared on what."""
    data = text(result, "data").rstrip(". ")
    some = f"{spelled(len(models))} recommender{' was' if len(models) == 1 else 's were'}"
    facts = [f"{some} compared{' on ' + data if data else ''}."]
    if skipped:
        facts.append(f"{spelled(skipped)} could not be run.")
    split = text(result, "split").rstrip(". ")
    if split:
        facts.append(f"{split[0].upper()}{split[1:]}.")
    return " ".join([*facts, new_items(result)]).strip()


def _both(models: Models) -> dict[str, tuple[float, float]]:
    kept = {}
    for name, model in models.items():
        known, new = (number(model, "kept", side) for side in ("known", "new"))
        if known is not None and new is not None:
            kept[name] = (known, new)
    return kept


def _of(best: Mapping[str, Any], side: str) -> str:
    name = text(best, side)
    return f" (100\u00a0% is {name}, the best of {side} alone)" if name else ""


def _listed(parts: list[str]) -> str:
    return f"{', '.join(parts[:-1])} and {parts[-1]}" if len(parts) > 1 else "".join(parts)
