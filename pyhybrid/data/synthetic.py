"""Seeded data whose truth is known: what text explains, what only behaviour shows, and noise."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING

import numpy as np

from pyhybrid.data.catalog import Catalog
from pyhybrid.data.interactions import Interactions
from pyhybrid.errors import describe

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["topics"]

# A topic's name is its genre; its words make titles. One topic's words are in no other topic.
_WORDS = {
    "Space": "rocket orbit galaxy comet planet astronaut nebula asteroid lunar starship",
    "Cooking": "recipe kitchen oven spice bakery chef soup butter noodle roast",
    "Sailing": "harbour anchor sail captain reef tide voyage mast lighthouse island",
    "Crime": "detective alibi heist suspect murder inspector robbery verdict clue gangster",
    "Music": "guitar melody choir violin concert rhythm piano ballad drummer chorus",
    "Sports": "stadium goalkeeper marathon sprint coach trophy boxer league referee tennis",
    "Magic": "wizard dragon spell enchanted sorcerer potion unicorn witch prophecy elf",
    "War": "soldier battalion trench siege general tank regiment armistice bunker front",
    "Gardening": "orchid greenhouse pruning compost tulip hedge seedling orchard lawn herb",
    "Finance": "banker stock ledger dividend bond merger audit broker inflation mortgage",
    "Medicine": "surgeon clinic vaccine diagnosis nurse virus pharmacy patient anatomy cure",
    "Robots": "android circuit algorithm cyborg sensor drone automaton hacker network processor",
}
_NOISE = "last secret little return first long night great story other day lost new dark house end"

_FIRST_DAY, _DAYS, _DAY = 1_577_836_800, 366, 86_400  # the year 2020, in seconds of Unix time
_CELLS_AT_ONCE = 1 << 22  # users x items scored at a time: 32 MB of float64


def topics(
    users: int = 2000,
    items: int = 600,
    *,
    events_per_user: float = 25.0,
    topics: int = 8,
    styles: int = 4,
    seed: int = 0,
) -> tuple[Interactions, Catalog]:
    """Make interactions and a catalogue in which text and behaviour each know something.

    Every item has a topic, which its title and genres tell, and a style, which no text tells and
    which is independent of the topic. Every user likes some topics and some styles. User `u`
    draws items without replacement with probability proportional to
    ``popularity[i] * topic_taste[u, topic[i]] * style_taste[u, style[i]]``, where popularity
    falls with the square root of an item's rank. So a model of text alone finds the topic, a
    model of behaviour also finds the style and the popularity, and neither helps with the noise.

    Args:
        users: Number of users, named ``u0001`` onwards.
        items: Number of items, named ``i0001`` onwards; a few may have no interaction.
        events_per_user: Mean number of events of a user (Poisson, at least 1, at most `items`).
        topics: Number of topics, 1 to 12.
        styles: Number of styles.
        seed: The same seed gives the same data.

    Returns:
        Interactions (users, items) with int64 times in seconds of the year 2020, one event a
        pair, and the catalogue of all items with the fields ``title`` and ``genres``.

    Raises:
        ValueError: If a number is out of its range.

    >>> interactions, catalog = topics(users=50, items=30, events_per_user=5.0)
    >>> interactions.shape
    (50, 30)
    >>> catalog.texts()[0]
    'Story spell unicorn sorcerer. Genres: Magic'
    """
    _check(users, items, events_per_user, topics, styles)
    rng = np.random.default_rng(seed)
    topic = rng.integers(topics, size=items)
    style = rng.integers(styles, size=items)
    catalog = Catalog(_names("i", items), _text(rng, topic))

    popularity = -0.5 * np.log(rng.permutation(items) + 1.0)
    topic_taste = _log_taste(rng, users, topics)
    style_taste = _log_taste(rng, users, styles)
    counts = np.clip(rng.poisson(events_per_user, users), 1, items)

    chosen = []
    for rows in np.array_split(np.arange(users), 1 + users * items // _CELLS_AT_ONCE):
        scores = popularity + topic_taste[rows][:, topic] + style_taste[rows][:, style]
        chosen.append(_draw(rng, scores, counts[rows]))
    axes = SimpleNamespace(user_ids=_names("u", users), item_ids=catalog.item_ids)
    interactions = Interactions.from_columns(
        np.repeat(axes.user_ids, counts),
        axes.item_ids[np.concatenate(chosen)],
        times=rng.integers(_FIRST_DAY, _FIRST_DAY + _DAYS * _DAY, size=counts.sum()),
        ids=axes,
    )
    return interactions, catalog


def _check(users: int, items: int, events_per_user: float, topics: int, styles: int) -> None:
    for what, value in (("users", users), ("items", items), ("styles", styles)):
        if value < 1:
            raise ValueError(describe("topics", what, value, "a positive number"))
    if not 0 < events_per_user <= items:
        raise ValueError(
            describe("topics", "events_per_user", events_per_user, f"a number in (0, {items}]")
        )
    if not 1 <= topics <= len(_WORDS):
        raise ValueError(describe("topics", "topics", topics, f"1 to {len(_WORDS)}"))


def _names(prefix: str, number: int) -> NDArray[np.object_]:
    """Name things so that the order of the names is the order of their numbers."""
    width = max(4, len(str(number)))
    return np.array([f"{prefix}{n:0{width}}" for n in range(1, number + 1)], dtype=object)


def _text(rng: np.random.Generator, topic: NDArray[np.int64]) -> dict[str, NDArray[np.object_]]:
    """Give each item a title of three words of its topic and one that says nothing."""
    words = np.array([line.split() for line in _WORDS.values()], dtype=object)
    noise = np.array(_NOISE.split(), dtype=object)
    picks = rng.permuted(np.tile(np.arange(words.shape[1]), (len(topic), 1)), axis=1)[:, :3]
    titles = np.column_stack([rng.choice(noise, len(topic)), words[topic[:, None], picks]])
    genres = np.empty(len(topic), dtype=object)
    genres[:] = [(name,) for name in np.array(list(_WORDS), dtype=object)[topic]]
    return {
        "title": np.array([" ".join(title).capitalize() for title in titles], dtype=object),
        "genres": genres,
    }


def _log_taste(rng: np.random.Generator, users: int, kinds: int) -> NDArray[np.float64]:
    """Draw each user's liking of each kind, peaked on few, as logarithms: (users, kinds)."""
    # The floor keeps the logarithm finite and lets everybody try anything now and then.
    return np.log(rng.dirichlet(np.full(kinds, 0.3), users) + 0.02)


def _draw(
    rng: np.random.Generator, scores: NDArray[np.float64], counts: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Draw counts[r] items of row r without replacement, with probability ~ exp(score)."""
    # Gumbel noise turns the draw into a top-n: the largest noisy scores are the sample.
    order = np.argsort(-(scores + rng.gumbel(size=scores.shape)), axis=1)
    return order[np.arange(scores.shape[1]) < counts[:, None]]
