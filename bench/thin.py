"""ESLER with texts where behaviour is thin: Amazon Beauty, whose items have 7 users in the median.

    python bench/thin.py [../shared/data/amazon-beauty]

Each user's last item is to be found among all; models are fitted on all but the last two and rated
with the history of all before it. Of each arm l2 alone is chosen, by NDCG@10 on the last item but
one; all else are the defaults of the library.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
from results import write_result

from pyhybrid import ESLER, kernels
from pyhybrid.data import splits
from pyhybrid.data.readers import open_folder

METRICS = ("recall@10", "ndcg@10")
TEXT = ["all-MiniLM-L6-v2", "tfidf"]
ARMS: dict[str, dict[str, Any]] = {"ESLER": {}, "ESLER with texts": {"text": TEXT}}
L2 = (10.0, 20.0, 50.0)


def rated(model: ESLER, part: Any) -> dict[str, float]:
    ranking = model.recommend(part.histories, 10)
    targets = part.targets.with_items(model.item_ids).matrix
    values = kernels.ranking_metrics(ranking.items, targets, METRICS)
    counts = model.item_counts[targets.indices]
    found = {metric: float(np.nanmean(values[metric])) for metric in METRICS}
    for name, low, high in (("0", 0, 1), ("1-5", 1, 6), ("6-20", 6, 21), ("more", 21, 10**9)):
        found[name] = float(values["recall@10"][(counts >= low) & (counts < high)].mean())
    return found


def main(data: Path) -> None:
    folder = open_folder(data)
    split = splits.leave_last(folder.interactions)
    catalog = folder.catalog.select(split.train.item_ids)
    rows: dict[str, Any] = {}
    for name, params in ARMS.items():
        tried = []
        for l2 in L2:
            model = ESLER(l2=l2, **params).fit(split.train, catalog)
            scale = model.chosen_scale
            figures = {part: rated(model, of) for part, of in split.held_out.items()}
            tried.append({"l2": l2, "scale": scale, **figures})
            print(name, tried[-1], flush=True)
        best = max(tried, key=lambda row: row["validation"]["ndcg@10"])
        rows[name] = {"chosen": best["l2"], "test": best["test"], "tried": tried}
        write_result("thin", {"rows": rows})


if __name__ == "__main__":
    root = Path(__file__).parents[2]
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path, nargs="?", default=root / "shared/data/amazon-beauty")
    main(parser.parse_args().data)
