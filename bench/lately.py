"""What users without a history are recommended: what is popular of all times, or lately.

    python bench/lately.py

NDCG@10 of `Popularity` with each share of the newest events and each half-life, by time: on the
validation part (the tenth of the events before the last one), by which `data.lately.NEWEST` was
chosen, and on the last tenth. Half-lives are shares of the time that training spans.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from cold_items import timed
from results import write_result

from pyhybrid import ESLER, Popularity, evaluate
from pyhybrid.data import splits
from pyhybrid.data.readers import open_folder

DATA = Path(__file__).parents[2] / "shared/data"
SHARES = (0.02, 0.05, 0.1, 0.2, 0.3, 0.5)
HALF_LIVES = (0.01, 0.03, 0.1, 0.3)


def main() -> None:
    with timed(DATA / "ml-1m") as folder:
        sets = {"ml-1m timed": open_folder(folder).interactions}
    sets["ml-latest-small"] = open_folder(DATA / "ml-latest-small").interactions
    found: dict[str, Any] = {}
    for name, interactions in sets.items():
        split = splits.by_time(interactions)
        times = split.train.events.times
        span = float(times.max() - times.min())
        models: dict[str, Any] = {"all": Popularity()}
        models |= {f"newest {share}": Popularity(newest=share) for share in SHARES}
        models |= {f"half-life {of}": Popularity(half_life=of * span) for of in HALF_LIVES}
        models["ESLER"] = ESLER()
        rows = {}
        for label, model in models.items():
            model.fit(split.train)
            rows[label] = {
                part: evaluate(model, of, ["ndcg@10"], candidates=["joint"])["ndcg@10"]
                for part, of in (("validation", split.validation), ("test", split.test))
            }
            print(name, label, rows[label], flush=True)
        found[name] = rows
    write_result("lately", {"sets": found})


if __name__ == "__main__":
    main()
