"""What LLM-Rec gains from a language model's texts, and what of it is what they say: Last.fm.

    python bench/llmrec.py [../shared/data/lastfm-hetrec] [--runs build/runs/llmrec] [--seeds 0 1]

Five random splits (8:1:1 of each user's artists; of the artists with 20 training users or more a
fifth is hidden from training). The texts are those that a language model wrote of each artist
(data/lastfm-hetrec/colakg), replayed through `CallableGenerator`. Arms: the artist's name; the name
and the augmentation; the same width with the name twice; the augmentations shuffled between
artists; the names of an artist's neighbours as a further text, and of random artists in their
place. NDCG@10; what is finished is kept under --runs and read back.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from results import once, write_result

from pyhybrid import Catalog, Interactions, LLMRec, TextSimilarity, evaluate
from pyhybrid.data import splits
from pyhybrid.data.readers import open_folder
from pyhybrid.data.text_files import find, read_json_lines
from pyhybrid.llm import CallableGenerator
from pyhybrid.text.augment import augment, catalog_neighbours, duplicated, prompt, shuffled
from pyhybrid.text.neighbours import random_neighbours

if TYPE_CHECKING:
    from pyhybrid import Split

METRIC = "ndcg@10"
SEEDS = (0, 1, 2, 3, 4)
MINILM = "all-MiniLM-L6-v2"
ASKED = "inference"  # what the recorded texts come nearest to: traits, genre, audience
PARAMS = {"text": MINILM, "epochs": 60, "patience": 8}


def recorded(folder: Path) -> tuple[Catalog, dict[str, str]]:
    """Read the artists, and by the prompt what the language model had answered."""
    rows = list(read_json_lines(find(folder, "colakg/llm_response_item.jsonl")))
    catalog = Catalog.from_columns(
        [row["item"] for row in rows], title=[row["name"] for row in rows]
    )
    answers = {prompt(ASKED, row["name"])[0]: row["text"] for row in rows}
    return catalog, answers


def split_of(interactions: Interactions, seed: int) -> Split:
    parts = splits.random(interactions, test=0.1, validation=0.1, seed=seed)
    return splits.cold_items(parts, share=0.2, min_count=20, seed=seed)


def related_names(asked: str) -> str:
    """Answer an engagement-guided prompt by the texts of the related items that it names."""
    blocks = asked.split("\n\n")
    return ", ".join(b.partition("\n")[2] for b in blocks if b.startswith("Related item"))


def catalogs(catalog: Catalog, answers: dict[str, str], split: Split, seed: int) -> dict[str, Any]:
    """Make each arm's catalogue, with the names of the fields that it adds."""
    known = catalog.select([item for item in split.train.item_ids if item in set(catalog.item_ids)])
    replay = CallableGenerator(answers.get, "recorded")
    richer = augment(known, None, replay, strategies=[ASKED], cache=None)
    near = catalog_neighbours(known, split.train, 3)
    naming = CallableGenerator(related_names, "names of related items")

    def named(neighbours: Any) -> Catalog:
        return augment(
            known, None, naming, strategies=["engagement"], neighbours=neighbours, cache=None
        )

    field, engagement = [f"llm_{ASKED}"], ["llm_engagement"]
    return {
        "name": (known, []),
        "name and augmentation": (richer, field),
        "name twice": (duplicated(known, [ASKED]), field),
        "augmentations shuffled": (shuffled(richer, seed=seed), field),
        "name and neighbours' names": (named(near), engagement),
        "name and random artists' names": (named(random_neighbours(near, seed=seed)), engagement),
    }


def rate(split: Split, catalog: Catalog, fields: list[str], seed: int) -> dict[str, Any]:
    model = LLMRec(**PARAMS, augmentations=fields, seed=seed)
    model.fit(split.train, catalog, validation=split.validation, metric=METRIC)
    text = TextSimilarity(text=MINILM, augmentations=fields).fit(split.train, catalog)
    found = {"epochs": len(model.epochs_run)}
    for name, fitted in (("LLMRec", model), ("TextSimilarity", text)):
        report = evaluate(fitted, split.test, [METRIC], name=name)
        found[name] = {f.candidates: f.mean for f in report.figures}
    return found


def main(data: Path, runs: Path, seeds: list[int]) -> None:
    interactions = open_folder(data / "colakg").interactions
    catalog, answers = recorded(data)
    found: dict[str, list[dict[str, Any]]] = {}
    for seed in seeds:
        split = split_of(interactions, seed)
        for name, (known, fields) in catalogs(catalog, answers, split, seed).items():
            path = runs / f"{name.replace(' ', '_')}_{seed}" / "figures.json"
            settings = json.loads(json.dumps({**PARAMS, "fields": fields, "seed": seed}))
            figures = once(
                path, settings, lambda k=known, f=fields, s=split, n=seed: rate(s, k, f, n)
            )
            found.setdefault(name, []).append(figures)
            print(seed, name, figures["LLMRec"], figures["epochs"], flush=True)
    rows = {
        name: {
            model: {
                key: [float(np.mean(values)), float(np.std(values, ddof=1))]
                for key in ("warm", "cold", "joint")
                if (values := [part[model][key] for part in parts])
            }
            for model in ("LLMRec", "TextSimilarity")
        }
        for name, parts in found.items()
    }
    write_result("llmrec", {"seeds": seeds, "params": PARAMS, "rows": rows, "splits": found})


if __name__ == "__main__":
    root = Path(__file__).parents[1]
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "data", type=Path, nargs="?", default=root.parent / "shared/data/lastfm-hetrec"
    )
    parser.add_argument("--runs", type=Path, default=root / "build/runs/llmrec")
    parser.add_argument("--seeds", type=int, nargs="+", default=list(SEEDS))
    given = parser.parse_args()
    main(given.data, given.runs, given.seeds)
