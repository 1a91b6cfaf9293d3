"""What CoLLM's prompts are made of: titles of items and histories, and batches of labelled rows."""

from __future__ import annotations

from bisect import bisect_left
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from pyhybrid.data.feedback import Feedback
from pyhybrid.data.ids import positions
from pyhybrid.errors import describe
from pyhybrid.models.collm_prompts import prompts_of
from pyhybrid.models.sequential import ordered_events

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

    from pyhybrid.data.catalog import Catalog
    from pyhybrid.data.interactions import Interactions
    from pyhybrid.llm.backbone import Backbone

__all__ = ["Batch", "Titles", "drawn_rows", "row_batches", "some_rows"]

_TITLE = 80  # characters of a title
_ENCODED = 1000  # titles whose tokens are counted at once
_POOL = 16  # batches whose rows are sorted by length, so that little of a batch is padding


class Batch(NamedTuple):
    """Some labelled rows: what a user liked, and which item is asked about.

    Attributes:
        liked: Titles of each row, oldest first.
        titles: The items'.
        vectors: float32 (rows, 2, dim), the collaborative vectors of user and item; or None.
        labels: float32 (rows,), 0 and 1.
    """

    liked: list[list[str]]
    titles: list[str]
    vectors: NDArray[np.float32] | None
    labels: NDArray[np.float32]


class Titles:
    """Hold the items' titles on an axis.

    Args:
        texts: str, (items,).
        item_ids: The axis.
        last: So many titles of a history count, the last ones.
    """

    def __init__(self, texts: list[str], item_ids: NDArray[Any], last: int) -> None:
        self.texts, self.item_ids, self.last = texts, item_ids, last

    @classmethod
    def of_catalog(
        cls, who: str, catalog: Catalog | None, item_ids: NDArray[Any], last: int
    ) -> Titles:
        """Take the titles, or where there are none the texts, cut to a length.

        Raises:
            ValueError: Without a catalogue, or if it lacks an item.
        """
        if catalog is None:
            way_out = "pass fit() a Catalog of titles"
            raise ValueError(describe(who, "catalog", None, "the items' titles", way_out))
        known = catalog.select(item_ids)
        titles: Any = known.fields["title"] if "title" in known.fields else known.texts()
        return cls([str(title)[:_TITLE] for title in titles], item_ids, last)

    def fitted_to(self, backbone: Backbone, tokens: int) -> Titles:
        """Cut the ends of titles for which a prompt has no room, though it name no history.

        Args:
            backbone: What reads the prompts.
            tokens: Soft tokens of an item in them, and of a user.
        """

        def is_too_long(some: list[str]) -> NDArray[np.bool_]:
            asked = prompts_of([[]] * len(some), some, tokens)
            found: NDArray[np.bool_] = backbone.lengths(asked) > backbone.max_tokens
            return found

        texts = list(self.texts)
        for first in range(0, len(texts), _ENCODED):
            for place in first + np.flatnonzero(is_too_long(texts[first : first + _ENCODED])):
                text = texts[place]
                ends = range(1, len(text) + 1)
                kept = bisect_left(ends, True, key=lambda end: is_too_long([text[:end]])[0])
                texts[place] = text[:kept]
        return Titles(texts, self.item_ids, self.last)

    def of(self, items: NDArray[Any]) -> list[str]:
        """Return the titles of items at some positions of the axis."""
        return [self.texts[item] for item in items.tolist()]

    def liked(self, histories: Interactions) -> list[list[str]]:
        """Return the last titles of each history, oldest first; unknown items are left out."""
        known = histories.with_items(self.item_ids, unknown="drop")
        events = ordered_events("CoLLM", known)
        ends, sizes = events.indptr[1:], np.diff(events.indptr)
        starts = ends - np.minimum(sizes, self.last)
        return [
            self.of(events.items[start:end])
            for start, end in zip(starts.tolist(), ends.tolist(), strict=True)
        ]


def drawn_rows(who: str, interactions: Interactions, negatives: int, seed: int) -> Feedback:
    """Make labelled rows of events, with negatives drawn as `Feedback.sampled` does.

    An item that nobody took is never drawn: it would be negative in all its rows, and its title
    one that nobody likes.

    Raises:
        ValueError: If the order of events is unknown.
    """
    ordered_events(who, interactions)
    taken = interactions.with_items(interactions.item_ids[interactions.item_counts() > 0])
    return Feedback.sampled(taken, negatives, seed).with_items(interactions.item_ids)


def some_rows(rows: Feedback, most: int | None, seed: int) -> Feedback:
    """Draw `most` rows, each once and in the order in which they stand; all if there are no more.

    >>> rows = Feedback.from_columns([1, 1, 2], [5, 6, 5], [1, 0, 1])
    >>> some_rows(rows, 2, seed=0).users.tolist()
    [0, 1]
    """
    if most is None or most >= len(rows):
        return rows
    return rows.select(np.sort(np.random.default_rng(seed).permutation(len(rows))[:most]))


def row_batches(
    rows: Feedback,
    titles: Titles,
    vectors: Callable[[Feedback], NDArray[np.float32]] | None,
    size: int,
    generator: np.random.Generator,
) -> Iterator[Batch]:
    """Give all rows once, `size` at a time, rows of like lengths together.

    Args:
        rows: Labelled rows, whose items all have a title.
        titles: The items'.
        vectors: Gives rows' collaborative vectors, (rows, 2, dim); None for batches without.
        size: Rows a batch.
        generator: Decides the order.
    """
    items = positions(rows.item_ids, titles.item_ids, "CoLLM")[rows.items]
    order = generator.permutation(len(rows))
    for first in range(0, len(order), _POOL * size):
        pool = order[first : first + _POOL * size]
        liked = titles.liked(rows.select(pool).histories())
        own_vectors = None if vectors is None else vectors(rows.select(pool))  # of many at once
        near = np.argsort([len("".join(some)) for some in liked], kind="stable")
        for start in generator.permutation(np.arange(0, len(pool), size)):
            own = near[start : start + size]
            chosen = pool[own]
            yield Batch(
                [liked[place] for place in own],
                titles.of(items[chosen]),
                None if own_vectors is None else own_vectors[own],
                rows.labels[chosen].astype(np.float32),
            )
