"""The life of an item: how well a model ranks new items that have 0, 1, 5, ... interactions.

Items are hidden from training but for k of their interactions (`splits.cold_items`), the model is
fitted anew for each k, and the same users, histories and targets are rated each time. Where the
area under the curve of known and new targets (`Tradeoff.area`) that a model of behaviour alone
reaches with N interactions is the area that another one has with none, that one's texts are worth
N interactions.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from pyhybrid.checks import count
from pyhybrid.data.splits import cold_items
from pyhybrid.errors import describe
from pyhybrid.evaluation.rating import evaluate
from pyhybrid.progress import progress_bar

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from pyhybrid.data.held_out import Split
    from pyhybrid.models.base import Recommender
    from pyhybrid.progress import Progress

__all__ = ["INTERACTIONS", "Life", "Worth", "life", "worth"]

INTERACTIONS: tuple[int | None, ...] = (0, 1, 5, 20, 50, 100, None)
# Two-sided 95 % quantiles of Student's t with 1, 2, ... degrees of freedom; 1.96 beyond.
_QUANTILES = (12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262)


@dataclass(frozen=True)
class Life:
    """Hold the figures of new items by how many training interactions they have.

    Attributes:
        interactions: How many each new item keeps at most; None: all that it had.
        area: float64 (draws, len(interactions)), of `Tradeoff`; 0 where none can be ranked.
        known: S, the same shape: NDCG@n of known targets among all items.
        new: U, that of new targets among all items.
        joint: That of all targets.
        share: The share of new items in the lists.
    """

    interactions: tuple[int | None, ...]
    area: NDArray[np.float64]
    known: NDArray[np.float64]
    new: NDArray[np.float64]
    joint: NDArray[np.float64]
    share: NDArray[np.float64]


@dataclass(frozen=True)
class Worth:
    """Hold how many interactions a text is worth.

    Attributes:
        interactions: N, the geometric mean of 1 + N over the draws, less 1.
        low: The lower end of its 95 % interval over the draws; NaN for a single draw.
        high: The upper end.
        at_least: Whether in some draw behaviour alone stays below with all that is looked at.
    """

    interactions: float
    low: float
    high: float
    at_least: bool

    def __str__(self) -> str:
        more = "at least " * self.at_least
        no_ends = math.isnan(self.low) or self.at_least
        ends = "" if no_ends else f" ({self.low:.0f} to {self.high:.0f})"
        return f"a text is worth {more}{self.interactions:.0f} interactions{ends}"


def life(
    fit: Callable[[Split], Recommender],
    split: Split,
    *,
    share: float = 0.2,
    min_count: int = 20,
    interactions: Sequence[int | None] = INTERACTIONS,
    draws: int = 3,
    n: int = 10,
    seed: int = 0,
    threads: int = 0,
    progress: Progress = False,
) -> Life:
    """Fit and rate a model with new items of each age.

    Time: ``draws * len(interactions)`` fits and evaluations.

    Args:
        fit: Fits a model on a split's train; has a look at its validation part at most.
        split: Held-out users, with all items known; a split that hides items already is refused.
        share: Share of the items with at least `min_count` training users that are new.
        min_count: At least 1.
        interactions: How many a new item keeps, ascending; None: all.
        draws: How often the new items are drawn anew: what the interval of `worth` is over.
        n: The length of the lists; figures are NDCG@n.
        seed: Of the first draw; the next one has the next seed.
        threads: 0 for all that this process may use.
        progress: True for a bar, or a callable that is handed the share done.

    Raises:
        ValueError: If the split hides items, or there is nothing to draw.

    >>> from pyhybrid import TextSimilarity
    >>> from pyhybrid.data import splits, synthetic
    >>> data, catalog = synthetic.topics(users=200, items=50)
    >>> split = splits.strong(data)
    >>> found = life(
    ...     lambda split: TextSimilarity().fit(split.train, catalog), split, interactions=[0, 5]
    ... )
    >>> found.area.shape
    (3, 2)
    """
    draws = count("life", "draws", draws)
    ages = tuple(interactions)
    if not ages:
        raise ValueError(describe("life", "interactions", "empty", "one number or more"))
    if len(split.new_items):
        rule = "0: life hides items itself"
        raise ValueError(describe("life", "number of hidden items", len(split.new_items), rule))
    found = np.zeros((5, draws, len(ages)))
    with progress_bar("the life of an item", progress) as report:
        for draw in range(draws):
            for place, keep in enumerate(ages):
                thinned = cold_items(
                    split, share=share, min_count=min_count, keep=keep, seed=seed + draw
                )
                found[:, draw, place] = _figures(fit(thinned), thinned, n, threads)
                if report is not None:
                    report((draw * len(ages) + place + 1) / (draws * len(ages)))
    return Life(ages, *found)


def worth(text: Life, behaviour: Life) -> Worth | None:
    """Tell how many interactions the texts that one model reads are worth to another one.

    By draw, N is where the area of `behaviour`, between two ages in proportion to log(1 + k), first
    reaches the area that `text` has without interactions. Beyond the last number that is looked
    at, N is at least that number.

    Args:
        text: Of a model that reads texts.
        behaviour: Of a model of behaviour alone, for the same draws.

    Returns:
        None if the ages do not begin with 0, or hold no two numbers.

    Raises:
        ValueError: If the two have other draws or ages.

    >>> zeros = np.zeros((1, 3))
    >>> ages = (0, 10, 100)
    >>> one = Life(ages, np.array([[0.5, 0.6, 0.7]]), zeros, zeros, zeros, zeros)
    >>> other = Life(ages, np.array([[0.0, 0.5, 0.9]]), zeros, zeros, zeros, zeros)
    >>> print(worth(one, other))
    a text is worth 10 interactions
    """
    if text.interactions != behaviour.interactions or text.area.shape != behaviour.area.shape:
        found, expected = (f"{of.area.shape} of {of.interactions}" for of in (text, behaviour))
        raise ValueError(describe("worth", "the figures' shape", found, expected))
    ages = [age for age in text.interactions if age is not None]
    if len(ages) < 2 or text.interactions[0] != 0:
        return None
    numbers = np.log1p(ages)
    reached = [
        _reached(own[0], other[: len(ages)], numbers)
        for own, other in zip(text.area, behaviour.area, strict=True)
    ]
    at_least = any(number is None for number in reached)
    values = np.array([numbers[-1] if number is None else number for number in reached])
    mean, low, high = float(values.mean()), math.nan, math.nan
    if len(values) > 1:
        quantile = _QUANTILES[len(values) - 2] if len(values) - 2 < len(_QUANTILES) else 1.96
        half = quantile * float(values.std(ddof=1)) / math.sqrt(len(values))
        low, high = math.expm1(max(mean - half, 0.0)), math.expm1(mean + half)
    return Worth(math.expm1(mean), low, high, at_least)


def _figures(model: Recommender, split: Split, n: int, threads: int) -> list[float]:
    """Return area, S, U, joint and the share of new items."""
    metric = f"ndcg@{n}"
    new = model.item_positions(split.new_items)
    report = evaluate(model, split.test, [metric], new=new, name="model", threads=threads)
    sides = [report[side, metric] for side in ("known", "new", "joint")]
    curve = report.tradeoffs.get("model")
    area, share = (0.0, 0.0) if curve is None else (curve.area, curve.as_scored[3])
    return [area, *sides, share]


def _reached(area: float, areas: NDArray[np.float64], numbers: NDArray[np.float64]) -> float | None:
    """Return where areas first reach one, on the scale of `numbers`; None: nowhere."""
    above: Any = np.flatnonzero(areas >= area)
    if not len(above):
        return None
    place = int(above[0])
    if place == 0:
        return float(numbers[0])
    low, high = areas[place - 1], areas[place]
    part = (area - low) / (high - low)
    return float(numbers[place - 1] + part * (numbers[place] - numbers[place - 1]))
