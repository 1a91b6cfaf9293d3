"""What pre-training on other domains brings VQ-Rec on Amazon Beauty, and what random codes bring.

    python bench/transfer.py [../shared/data] [--runs build/runs/transfer] [--only NAME]

One VQRec is pre-trained on Yelp and Amazon Sports together (30 epochs, one seed), and one whose
codes are random, the published control. From each, and from nothing, models are trained on Beauty
with three seeds: as in the paper, with aligned rows (5 epochs) and a frozen encoder, and with
everything trained from where it is. All have 20 epochs, of which validation chooses the best. Where
training is still gaining after 20 epochs, "best_epoch" says so. The shape is that of ``beauty.py``
(64 dimensions for the paper's 300), and so is the protocol. Sports has no titles: its
items' texts are the few words that IDGenRec's language model made of them. It shares no product
with Beauty (none of their 12,101 and 18,357 ASINs).
"""

from __future__ import annotations

import argparse
import json
import logging
from pathlib import Path
from statistics import mean, stdev
from typing import TYPE_CHECKING, Any

from beauty import CHOSEN_BY, METRICS, rated
from results import once, write_result

import pyhybrid
from pyhybrid import VQRec
from pyhybrid.data import join_domains
from pyhybrid.data.readers import open_folder
from pyhybrid.data.splits import leave_last

if TYPE_CHECKING:
    from pyhybrid import Catalog, Interactions

TEXTS = {"text": "all-MiniLM-L6-v2", "random": "noise"}
VALIDATION = f"validation {CHOSEN_BY}"
SEEDS = (0, 1, 2)
EPOCHS = 20
SHAPE = {"dim": 64, "dropout": 0.3}
PAPERS = {"alignment": "sinkhorn", "freeze_encoder": True}
ALL_TRAINED = {"alignment": "none", "freeze_encoder": False}
# By name: which codes, and how the pre-trained model is gone on from; None: from nothing.
ARMS: dict[str, tuple[str, dict[str, Any] | None]] = {
    "text codes, not pre-trained": ("text", None),
    "text codes, pre-trained, as in the paper": ("text", PAPERS),
    "text codes, pre-trained, all trained": ("text", ALL_TRAINED),
    "random codes, not pre-trained": ("random", None),
    "random codes, pre-trained, as in the paper": ("random", PAPERS),
    "random codes, pre-trained, all trained": ("random", ALL_TRAINED),
}


def sources(data: Path) -> tuple[Interactions, Catalog]:
    """Join Yelp and Sports, all events of all users."""
    yelp, sports = open_folder(data / "yelp"), open_folder(data / "amazon-sports")
    words = pyhybrid.Catalog.from_columns(
        sports.catalog.item_ids, title=sports.catalog.fields["llm_id"]
    )
    return join_domains(
        {"yelp": (yelp.interactions, yelp.catalog), "sports": (sports.interactions, words)}
    )


def pretrained(codes: str, data: Path, runs: Path) -> Path:
    """Return the folder of the model that is pre-trained with such codes; train it if need be."""
    folder = runs / f"source-{codes}"
    model = VQRec(text=TEXTS[codes], loss="contrastive", epochs=30, **SHAPE)

    def compute() -> dict[str, Any]:
        interactions, texts = sources(data)
        model.fit(interactions, texts, checkpoint=folder / "run", progress=True)
        model.save(folder / "model")
        return {"losses": [epoch.loss for epoch in model.epochs_run], **times(model)}

    once(folder / "pretraining.json", model.params, compute)
    return folder / "model"


def times(model: VQRec) -> dict[str, Any]:
    return {
        "training_seconds": sum(epoch.seconds for epoch in model.epochs_run),
        "alignment_seconds": sum(epoch.seconds for epoch in model.alignment_run),
    }


def fine_tuned(name: str, seed: int, data: Path, runs: Path) -> dict[str, Any]:
    """Fit one arm on Beauty, and rate it on validation and test."""
    codes, how = ARMS[name]
    start = {} if how is None else {"pretrained": pretrained(codes, data, runs), **how}
    model = VQRec(text=TEXTS[codes], epochs=EPOCHS, patience=EPOCHS, seed=seed, **SHAPE, **start)
    folder = runs / f"{name}-{seed}".replace(" ", "-").replace(",", "")

    def compute() -> dict[str, Any]:
        beauty = open_folder(data / "amazon-beauty")
        split = leave_last(beauty.interactions)
        model.fit(
            split.train,
            beauty.catalog,
            validation=split.validation,
            metric=CHOSEN_BY,
            checkpoint=folder,
            progress=True,
        )
        by_epoch = [epoch.metric for epoch in model.epochs_run]
        said = {VALIDATION: max(by_epoch), "best_epoch": 1 + by_epoch.index(max(by_epoch))}
        return {**said, **times(model), **rated(model, split)}

    settings = {key: value for key, value in model.params.items() if key != "pretrained"}
    return once(folder / "figures.json", settings, compute)


def row_of(name: str, data: Path, runs: Path) -> dict[str, Any]:
    """Say what all seeds give."""
    each = [fine_tuned(name, seed, data, runs) for seed in SEEDS]
    values = {metric: [figures[metric] for figures in each] for metric in METRICS}
    row = {
        "mean": {metric: mean(found) for metric, found in values.items()},
        "standard_deviation": {metric: stdev(found) for metric, found in values.items()},
        "seeds": each,
    }
    print(f"{name}:", *(f"{metric} {row['mean'][metric]:.4f}" for metric in METRICS), flush=True)
    return row


def main(data: Path, runs: Path, only: str | None) -> None:
    rows = {name: row_of(name, data, runs) for name in (ARMS if only is None else [only])}
    if only is None:
        protocol = {
            "pre-training": "yelp + amazon-sports, 30 epochs, one seed",
            "fine-tuning": f"amazon-beauty, {EPOCHS} epochs, the best by {VALIDATION}",
            "shape": SHAPE,
            "ranked": "all items but those in the history",
        }
        kept = {codes: runs / f"source-{codes}" / "pretraining.json" for codes in TEXTS}
        runs_before = {codes: json.loads(path.read_text()) for codes, path in kept.items()}
        figures = {"protocol": protocol, "pretraining": runs_before, "rows": rows}
        write_result("transfer", figures)


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    root = Path(__file__).parents[1]
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path, nargs="?", default=root.parent / "shared/data")
    parser.add_argument("--runs", type=Path, default=root / "build/runs/transfer")
    parser.add_argument("--only", choices=list(ARMS), default=None)
    given = parser.parse_args()
    main(given.data, given.runs, given.only)
