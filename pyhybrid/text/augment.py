"""Item text made richer by a language model, as in LLM-Rec (Lyu et al., 2024).

Each strategy asks the model something about an item's text; the answer becomes a further text
field of the item. The prompts are this project's own words for the paper's strategies.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from pyhybrid.checks import count
from pyhybrid.data.catalog import Catalog
from pyhybrid.data.ids import positions
from pyhybrid.errors import describe
from pyhybrid.llm.generation_store import CachedGenerator
from pyhybrid.progress import part_of, progress_bar, tell
from pyhybrid.text.neighbours import item_neighbours

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from numpy.typing import NDArray

    from pyhybrid.data import Interactions
    from pyhybrid.llm import TextGenerator
    from pyhybrid.progress import Progress
    from pyhybrid.text.cache import Cache

__all__ = [
    "STRATEGIES",
    "AugmentedCatalog",
    "Outcome",
    "Strategy",
    "augment",
    "catalog_neighbours",
    "duplicated",
    "prompt",
    "shuffled",
]

FIELD = "llm_"  # what the names of the fields begin with


class Strategy(NamedTuple):
    """Say what the model is asked about an item.

    Attributes:
        question: Stands below the item's text and, if it has them, its neighbours'.
        engagement: Whether it is asked about the neighbours too.
        version: Counts up with every change to the prompt, so that a cache does not mix them.
    """

    question: str
    engagement: bool = False
    version: int = 1


_ONLY = "Answer with {} alone, without any introduction."
_PARAPHRASE = _ONLY.format("the new description")
_TAGS = _ONLY.format("the tags, separated by commas,")
_TRAITS = _ONLY.format("broad categories, separated by commas,")
_SUMMARY = _ONLY.format("the description")

STRATEGIES: Mapping[str, Strategy] = {
    "paraphrase": Strategy(
        "Reword this description. Keep everything it tells and add nothing to it. " + _PARAPHRASE
    ),
    "tags": Strategy("Sum this description up as tags. " + _TAGS),
    "inference": Strategy(
        "What characteristics of the item can be inferred from this description? Name them as "
        "broad categories. " + _TRAITS
    ),
    "paraphrase_rec": Strategy(
        "Suppose you recommend this item to somebody. Which description would you give? "
        + _PARAPHRASE
    ),
    "tags_rec": Strategy(
        "Suppose you recommend this item to somebody. Which tags would you give it? " + _TAGS
    ),
    "inference_rec": Strategy(
        "Suppose you recommend this item to somebody. Which of its characteristics speak for it? "
        "Name them as broad categories. " + _TRAITS
    ),
    "engagement": Strategy(
        "People who took this item also took the related items. Describe what the item and the "
        "related items have in common. " + _SUMMARY,
        engagement=True,
    ),
    "engagement_rec": Strategy(
        "Suppose you recommend this item to somebody. What appeals to people in the related items "
        "appeals to them in this item too. Which description would you give of it? " + _SUMMARY,
        engagement=True,
    ),
}

_WITHOUT_NEIGHBOURS = "paraphrase_rec"


class Outcome(NamedTuple):
    """Count what became of a strategy's prompts.

    Attributes:
        answered: Items with an answer.
        unusable: Items whose answer was empty or refused, and that keep their original text.
        without_neighbours: Items asked about by ``paraphrase_rec``, for lack of neighbours.
        without_text: Items that were not asked about, as nothing is known of them.
    """

    answered: int = 0
    unusable: int = 0
    without_neighbours: int = 0
    without_text: int = 0


@dataclass(frozen=True, eq=False, repr=False)
class AugmentedCatalog(Catalog):
    """Hold a catalogue with a further text field a strategy, and how it came to them.

    Attributes:
        outcomes: What became of each strategy's prompts.
        calls: The number of prompts that the generator was really asked, not the cache.
        prompt_tokens: Their length, as far as the generator tells it.
        completion_tokens: That of the answers.
    """

    outcomes: Mapping[str, Outcome] = field(default_factory=dict)
    calls: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0

    def __repr__(self) -> str:
        unusable = sum(outcome.unusable for outcome in self.outcomes.values())
        asked = unusable + sum(outcome.answered for outcome in self.outcomes.values())
        counts = f"{unusable} of {asked} answers empty or refused; {self.calls} calls"
        return f"Augmented{super().__repr__()[:-1]}; {counts})"


def augment(
    catalog: Catalog,
    interactions: Interactions | None,
    generator: TextGenerator,
    *,
    strategies: Iterable[str] = tuple(STRATEGIES),
    neighbours: int | NDArray[np.int32] = 3,
    fields: Sequence[str] | None = None,
    cache: Cache = True,
    progress: Progress = False,
) -> AugmentedCatalog:
    """Ask a language model about each item, and add a text field for each strategy.

    The field ``llm_tags`` holds the answers to the strategy ``tags``. An empty or refused answer
    is replaced by the item's original text. An item without neighbours is asked about by
    ``paraphrase_rec`` where the strategy needs them; with a cache, that costs no second call if
    ``paraphrase_rec`` itself is asked for. An item without text is not asked about.

    Args:
        catalog: The items.
        interactions: The training interactions; None if no strategy needs neighbours, or they are
            given. Their items without text are part of the graph and never neighbours.
        generator: Any generator of texts.
        strategies: Names of `STRATEGIES`.
        neighbours: How many an item; or positions in the catalogue, int (items, n) padded with
            -1, such as `catalog_neighbours` and `random_neighbours` return.
        fields: What an item's original text is made of, as in `Catalog.texts`.
        cache: The folder of the answers on disk; True: ``~/.cache/pyhybrid/text`` (under
            XDG_CACHE_HOME, if set); None or False: none.
        progress: True for a bar, or a callable that is handed the share done.

    Returns:
        The catalogue's items and fields with one field more for each strategy, and the counts.

    Raises:
        OSError: If the cache can't be read or written.
        TypeError: If an argument is of the wrong kind.
        ValueError: If a strategy or field is unknown, or interactions are missing.

    >>> from pyhybrid.llm import CallableGenerator
    >>> movies = Catalog.from_columns([1, 2], title=["Heat", "Up"])
    >>> answer = lambda prompt: "crime, heist" if "Heat" in prompt else ""
    >>> richer = augment(movies, None, CallableGenerator(answer, "two films"),
    ...                  strategies=["tags"], cache=None)
    >>> richer
    AugmentedCatalog(2 items: title, llm_tags; 1 of 2 answers empty or refused; 2 calls)
    >>> richer.fields["llm_tags"].tolist()
    ['crime, heist', 'Up']
    """
    chosen = _checked(strategies)
    texts = catalog.texts(fields=fields)
    related: list[list[int]] = [[] for _ in texts]
    with progress_bar("augmenting", progress) as report:
        asking = report
        if any(STRATEGIES[name].engagement for name in chosen):
            if isinstance(neighbours, np.ndarray):
                related = _listed(neighbours, texts)
            else:
                tell(report, "finding neighbours")
                part = part_of(report, 0.0, _NEIGHBOURS_SHARE) or False
                found = catalog_neighbours(
                    catalog, interactions, neighbours, fields=fields, progress=part
                )
                related = _listed(found, texts)
                asking = part_of(report, _NEIGHBOURS_SHARE, 1.0)
        cached = CachedGenerator(generator, cache)
        columns: dict[str, Any] = {}
        outcomes: dict[str, Outcome] = {}
        for place, name in enumerate(chosen):
            tell(report, name)
            part = part_of(asking, place / len(chosen), (place + 1) / len(chosen)) or False
            columns[FIELD + name], outcomes[name] = _answers(name, texts, related, cached, part)
            if callable(part):
                part(1.0)  # answers from the cache tell nothing
    return AugmentedCatalog(
        catalog.item_ids,
        {**catalog.fields, **columns},
        outcomes,
        cached.calls,
        cached.prompt_tokens,
        cached.completion_tokens,
    )


_NEIGHBOURS_SHARE = 0.1  # of a bar


def prompt(strategy: str, text: str, neighbours: Sequence[str] = ()) -> tuple[str, str]:
    """Word what a model is asked about an item, and the version of these words.

    Args:
        strategy: One of `STRATEGIES`.
        text: The item's own text; it stands in the prompt once, letter by letter.
        neighbours: The texts of its neighbours, best first; left out where the strategy does not
            ask about them. Where it does and there are none, ``paraphrase_rec`` takes its place.

    >>> words, version = prompt("tags", "Heat")
    >>> words.splitlines()[:2], version
    (['Item:', 'Heat'], 'llm-rec/tags/1')
    """
    if STRATEGIES[strategy].engagement and not neighbours:
        strategy = _WITHOUT_NEIGHBOURS
    asked = STRATEGIES[strategy]
    parts = [f"Item:\n{text}"]
    if asked.engagement:
        parts += [f"Related item {n}:\n{other}" for n, other in enumerate(neighbours, 1)]
    return "\n\n".join([*parts, asked.question]), f"llm-rec/{strategy}/{asked.version}"


def catalog_neighbours(
    catalog: Catalog,
    interactions: Interactions | None,
    n: int = 3,
    *,
    fields: Sequence[str] | None = None,
    progress: Progress = False,
) -> NDArray[np.int32]:
    """Find the neighbours of a catalogue's items among those that have text.

    Returns:
        int32 (items, n): positions in the catalogue, best first, padded with -1; see
        `item_neighbours`.

    Raises:
        TypeError: If `n` is no integer, or only one side's ids are strings.
        ValueError: If `n` is no positive number or interactions are missing.
    """
    n = count("augment", "neighbours", n)
    if interactions is None:
        expected = "the training interactions, for strategies that ask about neighbours"
        way_out = "choose other strategies= or pass neighbours= as positions"
        raise ValueError(describe("augment", "interactions", None, expected, way_out))
    has_text = np.array([bool(text) for text in catalog.texts(fields=fields)], bool)
    place = positions(interactions.item_ids, catalog.item_ids, "augment")  # in the catalogue
    among = np.flatnonzero(place >= 0)
    among = among[has_text[place[among]]]
    best = item_neighbours(interactions, n, among=among, progress=progress)
    known = place >= 0
    found = np.full((len(catalog), n), -1, np.int32)
    found[place[known]] = np.where(best[known] >= 0, place[best[known]], -1)
    return found


def duplicated(
    catalog: Catalog,
    strategies: Iterable[str] = tuple(STRATEGIES),
    *,
    fields: Sequence[str] | None = None,
) -> Catalog:
    """Give each strategy's field the original text: a control for the length of the text alone.

    >>> duplicated(Catalog.from_columns([1], title=["Heat"]), ["tags"]).fields["llm_tags"].tolist()
    ['Heat']
    """
    texts = catalog.texts(fields=fields)
    columns: dict[str, Any] = {FIELD + name: texts for name in _checked(strategies)}
    return Catalog(catalog.item_ids, {**catalog.fields, **columns})


def shuffled(catalog: Catalog, *, seed: int = 0) -> Catalog:
    """Hand each item's ``llm_`` fields, all together, to another item drawn at random.

    A control for what the augmentation tells: the texts are as many and as long, and of no item
    that they stand with.

    Raises:
        ValueError: If the catalogue has no such field.

    >>> richer = Catalog.from_columns([1, 2], title=["Heat", "Up"], llm_tags=["crime", "balloon"])
    >>> shuffled(richer).fields["llm_tags"].tolist()
    ['balloon', 'crime']
    """
    names = [name for name in catalog.fields if name.startswith(FIELD)]
    if not names:
        found, expected = f"only {', '.join(catalog.fields) or 'none'}", f"some named {FIELD}..."
        raise ValueError(describe("shuffled", "fields", found, expected, "use augment first"))
    # One cycle through all items in random order: nobody keeps their own.
    order = np.random.default_rng(count("shuffled", "seed", seed, least=0)).permutation(
        len(catalog)
    )
    giver = np.empty(len(catalog), np.int64)
    giver[order] = np.roll(order, 1)
    moved = {name: catalog.fields[name][giver] for name in names}
    return Catalog(catalog.item_ids, {**catalog.fields, **moved})


def _answers(
    strategy: str,
    texts: list[str],
    related: list[list[int]],
    generator: CachedGenerator,
    progress: Progress,
) -> tuple[list[str], Outcome]:
    """Return the strategy's text of each item, asked in one call a version of prompts."""
    asked: dict[str, dict[int, str]] = {}  # by version: the prompts by item
    for item, text in enumerate(texts):
        if text:
            words, version = prompt(strategy, text, [texts[other] for other in related[item]])
            asked.setdefault(version, {})[item] = words
    found = list(texts)
    unusable, done = 0, 0
    total = sum(map(len, asked.values()))
    report = progress if callable(progress) else None
    for version, prompts in asked.items():
        part = part_of(report, done / total, (done + len(prompts)) / total) or False
        answers = generator.generate(list(prompts.values()), version=version, progress=part)
        for item, answer in zip(prompts, answers, strict=True):
            if answer.usable:
                found[item] = answer.text.strip()
            else:
                unusable += 1
        done += len(prompts)
    alone = 0
    if STRATEGIES[strategy].engagement:
        alone = sum(bool(text) and not others for text, others in zip(texts, related, strict=True))
    return found, Outcome(total - unusable, unusable, alone, len(texts) - total)


def _listed(neighbours: NDArray[np.int32], texts: list[str]) -> list[list[int]]:
    """Check neighbours, and leave out the padding and what has no text to show."""
    who, what, items = "augment", "neighbours", len(texts)
    if neighbours.ndim != 2 or len(neighbours) != items:
        expected = f"({items}, n), a row an item of the catalogue"
        raise ValueError(describe(who, f"the shape of {what}", neighbours.shape, expected))
    if not np.issubdtype(neighbours.dtype, np.integer):
        raise TypeError(describe(who, f"{what}'s dtype", neighbours.dtype, "integer"))
    wrong = neighbours[(neighbours < -1) | (neighbours >= items)]
    if len(wrong):
        raise ValueError(describe(who, what, wrong[0], f"positions from 0 to {items - 1}, or -1"))
    return [[other for other in row if other >= 0 and texts[other]] for row in neighbours.tolist()]


def _checked(strategies: Iterable[str]) -> list[str]:
    if isinstance(strategies, str):
        expected, way_out = "a list of names", "put it into a list"
        raise TypeError(describe("augment", "strategies", repr(strategies), expected, way_out))
    names = list(dict.fromkeys(strategies))
    unknown = [name for name in names if name not in STRATEGIES]
    if unknown:
        expected = f"some of: {', '.join(STRATEGIES)}"
        raise ValueError(describe("augment", "a strategy", repr(unknown[0]), expected))
    return names
