"""What texts add to the time of a fit of ESLER: 20,000 items, 1,000 of them cold.

    python bench/text_fit.py [--turns 3] [--items 20000]

Made-up histories of the size of MovieLens-20M and vectors of 384 numbers, which stand ready: no
text is encoded here. The fits, without texts and with 1,000 and 2,000 landmarks, take turns; the
median of each counts.
"""

from __future__ import annotations

import argparse
import time
from statistics import median
from typing import Any

import numpy as np
import workloads
from results import write_result

from pyhybrid import ESLER, Catalog, Interactions
from pyhybrid.text import GivenVectors

DIM, COLD_SHARE, LANDMARKS = 384, 0.05, (1000, 2000)


def without_cold(items: int) -> Interactions:
    """Draw histories and empty the columns of some items."""
    x = workloads.scaled_events(1.0, items=items).tocoo()
    cold = np.random.default_rng(0).permutation(items) < COLD_SHARE * items
    kept = ~cold[x.col]
    x.data, x.coords = x.data[kept], (x.row[kept], x.col[kept])
    return Interactions.from_csr(x.tocsr())


def seconds(model: ESLER, *data: Any) -> float:
    started = time.perf_counter()
    model.fit(*data)
    return time.perf_counter() - started


def main(turns: int, items: int) -> None:
    interactions = without_cold(items)
    catalog = Catalog.from_columns(
        interactions.item_ids, title=[f"item {item}" for item in interactions.item_ids]
    )
    vectors = np.random.default_rng(1).standard_normal((items, DIM), dtype=np.float32)
    encoder = GivenVectors("drawn", catalog.texts(interactions.item_ids), vectors)
    arms: dict[str, tuple[ESLER, tuple[Any, ...]]] = {
        "ESLER": (ESLER(l2=500.0), (interactions,)),
    }
    for count in LANDMARKS:
        model = ESLER(l2=500.0, text=encoder, text_landmarks=count)
        arms[f"with texts, {count} landmarks"] = model, (interactions, catalog)
    times: dict[str, list[float]] = {name: [] for name in arms}
    for turn in range(turns):
        for name, (model, data) in arms.items():
            times[name].append(seconds(model, *data))
            print(turn, name, round(times[name][-1], 1), flush=True)
    medians = {name: median(row) for name, row in times.items()}
    ratios = {name: seconds / medians["ESLER"] for name, seconds in medians.items()}
    print({name: round(ratio, 3) for name, ratio in ratios.items()}, "(must: 1.2)")
    cold = int((interactions.item_counts() == 0).sum())
    shape = {"users": interactions.n_users, "items": items, "cold": cold, "dim": DIM}
    write_result("text_fit", {**shape, "seconds": times, "medians": medians, "ratios": ratios})


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--items", type=int, default=20_000)
    given = parser.parse_args()
    main(given.turns, given.items)
