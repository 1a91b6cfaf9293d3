"""How to read the page: each word that it uses, briefly."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pyhybrid.jobs.comparison_page.numbers import number, percent, spelled, text, whole

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    Models = Mapping[str, Mapping[str, Any]]

__all__ = ["has", "reading"]


def reading(result: Mapping[str, Any], models: Models) -> list[tuple[str, str]]:
    """Return the words of the page and what they mean; those that it does not use are left out."""
    words = [("NDCG@10", _NDCG), *_targets(result, models)]
    if has(models, "tradeoff", "area"):
        words += _CURVE
    if has(models, "kept", "known") or has(models, "kept", "new"):
        words.append(("Share kept", _kept(result)))
    if any(has(models, "interval", side, "difference") for side in ("joint", "known", "new")):
        words.append(("Difference and interval", _DIFFERENCE))
    if has(models, "tradeoff", "best", "joint"):
        words.append(("Places for new items", _PLACES))
    if any(model.get("life") for model in models.values()):
        words += _life(result)
    for side, (name, kind, question) in _ALONE.items():
        if has(models, side, "ndcg@10"):
            told = f"{kind} items alone are ranked, and they alone are targets: {question}"
            words.append((name, f"{told} No running system sees this.{_counted(result, side)}"))
    words.append(("Coverage, mean popularity", _COVERAGE))
    return words


def has(models: Models, *path: str) -> bool:
    """Tell whether any model has such a figure."""
    return any(number(model, *path) is not None for model in models.values())


_NDCG = (
    "How high a user\u2019s held-out items, the targets, stand in the first ten places: 1 if they"
    " fill the first places, 0 if none is there. Each figure is the mean over the users who have a"
    " target of its kind; the number after ± is its standard error over users."
)
_CURVE = [
    (
        "Trade-off, area",
        "New items can be let up as high as one likes, by a factor on their scores or an offset to"
        " them; the higher, the more U gains and S loses. The curve is U over S for all such steps"
        " at once, and the area under it says how well a model tells new items apart, however far"
        " up it happens to place them. As scored: without any factor or offset.",
    ),
    (
        "New items\u2019 share of the lists",
        "How many of all first ten places hold a new item, as scored.",
    ),
]
_DIFFERENCE = (
    "The model\u2019s NDCG@10 minus that of the model named in the heading, and the 95\u00a0%"
    " interval of it: both models on the same users, the users drawn again and again with"
    " replacement (paired bootstrap). An interval that holds 0 shows no clear difference."
)
_PLACES = (
    "Each list is given so and so many places for new items, no more and no fewer, and the model"
    " orders what stands in it; what known targets lose against a list without new items is the"
    " price. Best scale: new items\u2019 scores let up or down, by the factor or offset below the"
    " figure, to where the joint figure is largest; it was read off the targets themselves."
)
_ALONE = {
    "warm": ("Known alone", "Known", "what was learned from behaviour?"),
    "cold": ("New alone", "New", "what is read in item texts?"),
}
_COVERAGE = (
    "The share of all items that anybody is recommended in the first ten places, and the mean"
    " number of training interactions of what is recommended."
)


def _targets(result: Mapping[str, Any], models: Models) -> Iterable[tuple[str, str]]:
    """Define what is new, and the figures with all items ranked."""
    joint = (
        "Joint",
        "All items are ranked and all targets count, as in a running system."
        f"{_counted(result, 'joint')}",
    )
    if not has(models, "new", "ndcg@10"):
        return [joint]
    least = number(result, "new", "fewer_than")
    few = (
        "no interaction"
        if least is None or least <= 1
        else f"fewer than {spelled(int(least)).lower()} interactions"
    )
    return [
        (
            "Known, new",
            f"An item is new if training has {few} of it; all others are known. How easy a figure"
            " is to reach depends on how many of the items and of the targets are new, so these"
            " shares stand beside the figures.",
        ),
        joint,
        (
            "Known among all (S)",
            "The same lists of all items, but only known targets count: a new item in a list takes"
            f" a place from them.{_counted(result, 'known')}",
        ),
        (
            "New among all (U)",
            "The same lists of all items, but only new targets count: to be found they have to"
            f" stand before known items.{_counted(result, 'new')}",
        ),
    ]


def _kept(result: Mapping[str, Any]) -> str:
    behaviour, of_text = (text(result, "best", side) for side in ("behaviour", "text"))
    return (
        "On known items: the model\u2019s S divided by that of the best model that knows behaviour"
        f" alone ({behaviour or 'none was run'}). On new items: its area divided by that of the"
        f" best model that knows text alone ({of_text or 'none was run'}). Both may pass"
        f" {percent(1)}; the second does so where a model keeps S high while new items come up,"
        " which text alone cannot."
    )


def _life(result: Mapping[str, Any]) -> Iterable[tuple[str, str]]:
    draws, against = number(result, "life", "splits"), text(result, "life", "against")
    many = (
        f" The figures are means over {spelled(int(draws)).lower()} draws of the new items."
        if draws is not None and draws > 1
        else ""
    )
    return [
        (
            "The life of an item",
            "The new items are given back 0, 1, 5 and more of their training interactions, and each"
            f" model learns anew each time; the same users and targets are asked for.{many}",
        ),
        (
            "A text is worth N interactions",
            "With N interactions of each new item, the best model that knows behaviour alone"
            f" ({against or 'none was run'}) reaches the area that this model reaches with none."
            " In brackets the 95\u00a0% interval over draws of the new items. At least: in some"
            " draw N lies beyond the largest number looked at; at most: below the smallest.",
        ),
    ]


def _counted(result: Mapping[str, Any], side: str) -> str:
    """Say how many users and items stand behind a figure."""
    users = number(result, "users", side)
    items = number(result, "items", {"warm": "known", "cold": "new"}.get(side, ""))
    counts = [(users, "users"), (items, "items")]
    worded = [f"{whole(count)} {what}" for count, what in counts if count is not None]
    return f" Here: {', '.join(worded)}." if worded else ""
