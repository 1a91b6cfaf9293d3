"""What LLM-Rec gains from a language model's texts, and what of it is what they say.

    python bench/llmrec.py [artists films books] [--runs build/runs/llmrec] [--seeds 0 1]

Five random splits (8:1:1 of each user's items, of readers' few books 6:2:2; of the items with 20
training users or more a fifth is hidden from training). The texts are those that language models
wrote of each item, replayed through `CallableGenerator`: artists of Last.fm and films of
MovieLens-1M (data/*/colakg), books of Goodreads (data/goodreads-once). Of films and books a sample
of the users takes part, drawn once. Arms: the item's own text; that and the augmentation; the same
width with its own text twice; the augmentations shuffled between items; the texts of an item's
neighbours as a further text, and of random items in their place. NDCG@10; what is finished is kept
under --runs and read back.
"""

from __future__ import annotations

import argparse
import re
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from results import once, write_result

from pyhybrid import Catalog, LLMRec, TextSimilarity, evaluate
from pyhybrid.data import splits
from pyhybrid.data.readers import open_folder
from pyhybrid.llm import CallableGenerator
from pyhybrid.text.augment import augment, catalog_neighbours, duplicated, prompt, shuffled
from pyhybrid.text.neighbours import random_neighbours

if TYPE_CHECKING:
    from pyhybrid import Interactions, Split

METRIC = "ndcg@10"
SEEDS = (0, 1, 2, 3, 4)
MINILM = "all-MiniLM-L6-v2"
ASKED = "inference"  # what the recorded texts come nearest to: traits, genre, audience
PARAMS = {"text": MINILM, "epochs": 60, "patience": 8}


class Source(NamedTuple):
    """Say where interactions and texts are, how many users take part (None: all), what is held out.

    `share` is that of a user's items in the test part, and again in the validation part.
    """

    folder: str
    recorded: str
    users: int | None
    share: float


SOURCES = {
    "artists": Source("lastfm-hetrec/colakg", "description", None, 0.1),
    "films": Source("ml-1m", "description", 1000, 0.1),
    "books": Source("goodreads-once", "llm_description", 3000, 0.2),
}


def opened(source: Source, data: Path) -> tuple[Interactions, Catalog, dict[str, str]]:
    """Read the items, and by the prompt what the language model had answered."""
    folder = open_folder(data / source.folder)
    catalog, interactions = folder.catalog, folder.interactions
    texts, written = catalog.texts(), catalog.fields[source.recorded]
    answers = {prompt(ASKED, own)[0]: text for own, text in zip(texts, written, strict=True)}
    fields = {"title": np.array(texts, dtype=object)}
    if source.users:
        drawn = np.random.default_rng(0).permutation(interactions.n_users)[: source.users]
        interactions = interactions.select_users(np.sort(drawn))
    return interactions, Catalog.from_columns(catalog.item_ids, **fields), answers


def split_of(interactions: Interactions, share: float, seed: int) -> Split:
    parts = splits.random(interactions, test=share, validation=share, seed=seed)
    return splits.cold_stress(parts, share=0.2, min_count=20, seed=seed)


def related_texts(asked: str) -> str:
    """Answer an engagement-guided prompt by the texts of the related items that it names."""
    blocks = asked.split("\n\n")
    return ", ".join(b.partition("\n")[2] for b in blocks if b.startswith("Related item"))


ARMS = {  # with the fields that each adds
    "own text": [],
    "own text and augmentation": [f"llm_{ASKED}"],
    "own text twice": [f"llm_{ASKED}"],
    "augmentations shuffled": [f"llm_{ASKED}"],
    "own text and neighbours' texts": ["llm_engagement"],
    "own text and random items' texts": ["llm_engagement"],
}


def catalogs(
    catalog: Catalog, answers: dict[str, str], split: Split, seed: int
) -> dict[str, Catalog]:
    """Make each arm's catalogue."""
    known = catalog.select([item for item in split.train.item_ids if item in set(catalog.item_ids)])
    replay = CallableGenerator(answers.get, "recorded")
    richer = augment(known, None, replay, strategies=[ASKED], cache=None)
    near = catalog_neighbours(known, split.train, 3)
    naming = CallableGenerator(related_texts, "texts of related items")

    def named(neighbours: Any) -> Catalog:
        return augment(
            known, None, naming, strategies=["engagement"], neighbours=neighbours, cache=None
        )

    made = [
        known,
        richer,
        duplicated(known, [ASKED]),
        shuffled(richer, seed=seed),
        named(near),
        named(random_neighbours(near, seed=seed)),
    ]
    return dict(zip(ARMS, made, strict=True))


def rate(split: Split, catalog: Catalog, fields: list[str], seed: int) -> dict[str, Any]:
    model = LLMRec(**PARAMS, augmentations=fields, seed=seed)
    model.fit(split.train, catalog, validation=split.validation, metric=METRIC)
    text = TextSimilarity(text=MINILM, augmentations=fields).fit(split.train, catalog)
    found = {"epochs": len(model.epochs_run)}
    for name, fitted in (("LLMRec", model), ("TextSimilarity", text)):
        report = evaluate(fitted, split.test, [METRIC], name=name)
        found[name] = {f.candidates: f.mean for f in report.figures}
    return found


def compared(name: str, data: Path, runs: Path, seeds: list[int]) -> dict[str, Any]:
    interactions, catalog, answers = opened(SOURCES[name], data)
    found: dict[str, list[dict[str, Any]]] = {}
    for seed in seeds:
        split = split_of(interactions, SOURCES[name].share, seed)
        made = cache(partial(catalogs, catalog, answers, split, seed))
        for arm, fields in ARMS.items():
            path = runs / name / f"{re.sub(r'[^a-z]+', '_', arm)}_{seed}" / "figures.json"
            settings = {**PARAMS, "fields": fields, "seed": seed}

            def fit(
                arm: str = arm,
                fields: Any = fields,
                made: Any = made,
                split: Any = split,
                seed: int = seed,
            ) -> dict[str, Any]:
                return rate(split, made()[arm], fields, seed)

            figures = once(path, settings, fit)
            found.setdefault(arm, []).append(figures)
            print(name, seed, arm, figures["LLMRec"], figures["epochs"], flush=True)
    rows = {
        arm: {
            model: {
                key: [float(np.mean(values)), float(np.std(values, ddof=1))]
                for key in ("warm", "cold", "joint")
                if len(values := [part[model][key] for part in parts]) > 1
            }
            for model in ("LLMRec", "TextSimilarity")
        }
        for arm, parts in found.items()
    }
    shape = {"users": interactions.n_users, "items": interactions.n_items}
    return {**shape, "rows": rows, "splits": found}


def main(names: list[str], data: Path, runs: Path, seeds: list[int]) -> None:
    sets = {name: compared(name, data, runs, seeds) for name in names}
    write_result("llmrec", {"seeds": seeds, "params": PARAMS, "sets": sets})


if __name__ == "__main__":
    root = Path(__file__).parents[1]
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", choices=SOURCES, metavar="NAME", default=list(SOURCES))
    parser.add_argument("--data", type=Path, default=root.parent / "shared/data")
    parser.add_argument("--runs", type=Path, default=root / "build/runs/llmrec")
    parser.add_argument("--seeds", type=int, nargs="+", default=list(SEEDS))
    given = parser.parse_args()
    main(given.names, given.data, given.runs, given.seeds)
