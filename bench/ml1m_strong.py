"""ESLER and popularity on MovieLens-1M, strong generalisation: all rows of the protocol.

    python bench/ml1m_strong.py [../shared/data/ml-1m/pairs.csv.zst]

The protocol: all ratings are positives; of the 6,040 users, permuted with NumPy's legacy
generator seeded 98765, the last 1,000 are test users and the 1,000 before them validation users;
the item axis is what the other 4,040 took. The generator is seeded again before each held-out part;
then, user by user in order of id, 20 % of the user's items on that axis (rounded down, in file
order) become targets. Metrics as in Liang et al. (WWW 2018): recall is over min(k, targets).
"""

from __future__ import annotations

import re
import sys
import time
from pathlib import Path

import numpy as np
from results import write_result

import pyhybrid
from pyhybrid import ESLER, HeldOut, Interactions, Popularity, Split

METRICS = ("recall_min@20", "recall_min@50", "ndcg@100", "ndcg@10", "recall@20")
SEED = 98765
# Measured before, independently of this library: the figures to reproduce within 0.0002.
EXPECTED = {
    "popularity": (0.1837, 0.2173, 0.2193, 0.1964, 0.1103),
    "esler 50": (0.3682, 0.4371, 0.4325, 0.4011, 0.2547),
    "esler 100": (0.3912, 0.4572, 0.4552, 0.4222, 0.2686),
    "esler 200": (0.4061, 0.4737, 0.4714, 0.4364, 0.2776),
    "esler 500": (0.4148, 0.4881, 0.4813, 0.4469, 0.2816),
    "esler 700": (0.4142, 0.4882, 0.4823, 0.4469, 0.2803),
    "esler 1000": (0.4099, 0.4859, 0.4812, 0.4454, 0.2763),
    "esler 2000": (0.4022, 0.4752, 0.4711, 0.4373, 0.2699),
    "esler 300, dropout=0.33": (0.4183, 0.4900, 0.4845, 0.4488, 0.2836),
}


def protocol(pairs: Path) -> Split:
    """Split MovieLens-1M's pairs as the module's docstring says."""
    everything = Interactions.read(pairs, user="userId", item="movieId", ordered=True)
    order = np.random.RandomState(SEED).permutation(everything.n_users)
    parts = {"train": order[:-2000], "validation": order[-2000:-1000], "test": order[-1000:]}
    train = everything.select_users(np.sort(parts["train"]))
    seen = train.item_ids[train.item_counts() > 0]
    train = train.with_items(seen)
    held_out = {
        name: fold(everything.select_users(np.sort(parts[name])), seen)
        for name in ("validation", "test")
    }
    return Split(train, held_out["test"], held_out["validation"])


def fold(users: Interactions, item_ids: np.ndarray) -> HeldOut:
    """Leave out the items that train does not have, then draw each user's targets."""
    users = users.with_items(item_ids, unknown="drop")
    random = np.random.RandomState(SEED)
    is_target = np.zeros(len(users.events.items), dtype=bool)
    for first, end in zip(users.events.indptr[:-1], users.events.indptr[1:], strict=True):
        drawn = random.choice(end - first, size=int(0.2 * (end - first)), replace=False)
        is_target[first + drawn] = True
    return HeldOut(users.keep_events(~is_target), users.keep_events(is_target))


def main(pairs: Path) -> None:
    split = protocol(pairs)
    print(split)
    models = {"popularity": Popularity()}
    for row in list(EXPECTED)[1:]:
        l2, *dropout = (float(number) for number in re.findall(r"[\d.]+", row))
        models[row] = ESLER(l2=l2, dropout=dropout[0] if dropout else 0.0)
    rows = {}
    worst = 0.0
    for name, model in models.items():
        started = time.perf_counter()
        report = pyhybrid.evaluate(model.fit(split.train), split.test, METRICS)
        seconds = time.perf_counter() - started
        figures = [report[metric] for metric in METRICS]
        off = max(abs(a - b) for a, b in zip(figures, EXPECTED[name], strict=True))
        worst = max(worst, off)
        rows[name] = {**dict(zip(METRICS, figures, strict=True)), "seconds": seconds, "off_by": off}
        print(f"{name:<24}", *(f"{figure:.4f}" for figure in figures), f"off by {off:.6f}")
    print(f"worst difference {worst:.6f}, allowed 0.0002")
    write_result("ml1m_strong", {"rows": rows, "worst_difference": worst})


if __name__ == "__main__":
    default = Path(__file__).parents[2] / "shared/data/ml-1m/pairs.csv.zst"
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else default)
