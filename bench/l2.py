"""The ridge that ESLER chooses without being given one, beside a grid of ridges.

    python bench/l2.py [ml-100k amazon-beauty ...]

For each data set NDCG@10 on its test part with each l2 of a grid, and with the one that the counts
choose (`pyhybrid.models.noise_edge`), which looks at no held-out item. "strong": a fifth of the
users are held out with a fifth of their items as targets; "last": each user's last item is to be
found, by models of all but the last two.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from cold_items import books, instruments, timed
from results import write_result

from pyhybrid import ESLER, evaluate
from pyhybrid.data import splits
from pyhybrid.data.readers import open_folder

if TYPE_CHECKING:
    from pyhybrid import Interactions

GRID = (5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1000.0)
SETS = {
    "ml-100k": "strong",
    "ml-latest-small": "strong",
    "ml-1m": "strong",
    "ml-1m timed": "strong",
    "amazon-electronics": "strong",
    "lastfm-hetrec/colakg": "strong",
    "amazon-musical-instruments-5core": "last",
    "amazon-beauty": "last",
    "goodreads-once": "last",
    "book-crossing": "strong",
}
DATA = Path(__file__).parents[2] / "shared/data"


def interactions_of(name: str) -> Interactions:
    if name == "ml-1m timed":
        with timed(DATA / "ml-1m") as folder:
            return open_folder(folder).interactions
    if name == "book-crossing":
        data = books(DATA / name)[0]
        return data.with_items(data.item_ids[data.item_counts() >= 5], unknown="drop")
    if name == "amazon-musical-instruments-5core":
        return instruments(DATA / name)[0]
    return open_folder(DATA / name).interactions


def one_set(name: str, way: str) -> dict[str, Any]:
    data = interactions_of(name)
    if way == "strong":
        split = splits.strong(data, validation=0, test=0.2, seed=0)
    else:
        split = splits.leave_last(data)
    rows = {}
    for l2 in (None, *GRID):
        started = time.perf_counter()
        model = ESLER(l2=l2).fit(split.train)
        seconds = time.perf_counter() - started
        figure = evaluate(model, split.test, ["ndcg@10"], candidates=["joint"])["ndcg@10"]
        rows[str(l2)] = {"l2": model.chosen_l2, "ndcg@10": figure, "seconds": seconds}
        print(name, l2, rows[str(l2)], flush=True)
    best = max(row["ndcg@10"] for row in rows.values())
    counts = split.train.item_counts()
    return {
        "way": way,
        "users": split.train.n_users,
        "items": int((counts > 0).sum()),
        "median": float(np.median(counts[counts > 0])),
        "rows": rows,
        "kept": rows["None"]["ndcg@10"] / best,
        "kept by 500": rows["500.0"]["ndcg@10"] / best,
    }


def main(names: list[str]) -> None:
    found: dict[str, Any] = {}
    for name in names:
        found[name] = one_set(name, SETS[name])
        write_result("l2", {"sets": found})


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("sets", nargs="*", default=list(SETS))
    main(parser.parse_args().sets)
