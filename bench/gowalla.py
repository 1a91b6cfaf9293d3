"""ESLER on gowalla's published split: Recall@20 and NDCG@20 beside BARS, with time and memory.

    python bench/gowalla.py [../shared/data/gowalla]

BARS reports Recall@20 0.176493 and NDCG@20 0.146657 for EASE^R with l2 = 80. Each step runs in its
own process, so that its peak memory is its own.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from results import write_result

if TYPE_CHECKING:
    from pyhybrid import HeldOut
    from pyhybrid.models import Recommender

PUBLISHED = {"recall@20": 0.176493, "ndcg@20": 0.146657}
METRICS = (*PUBLISHED, "recall@50", "hit@20", "ndcg@100")
L2 = 80.0


def whole(data: Path, model: Path) -> dict[str, float]:
    """Fit, evaluate and save in one process: what a user's script does."""
    import pyhybrid
    from pyhybrid.data.readers import open_folder

    folder = open_folder(data)
    started = time.perf_counter()
    fitted = pyhybrid.ESLER(l2=L2, keep_gram=False).fit(folder.split.train, progress=True)
    fit_seconds = time.perf_counter() - started
    figures = evaluate_model(fitted, folder.split.test)
    fitted.save(model)
    return {"fit_seconds": fit_seconds, **figures}


def saved(data: Path, model: Path) -> dict[str, float]:
    """Evaluate the saved model, memory-mapped."""
    import pyhybrid
    from pyhybrid.data.readers import open_folder

    return evaluate_model(pyhybrid.load(model), open_folder(data).split.test)


def evaluate_model(model: Recommender, test: HeldOut) -> dict[str, float]:
    import pyhybrid

    started = time.perf_counter()
    report = pyhybrid.evaluate(model, test, METRICS)
    seconds = time.perf_counter() - started
    return {"evaluate_seconds": seconds, **{metric: report[metric] for metric in METRICS}}


STEPS = {"whole": whole, "saved": saved}


def main(data: Path) -> None:
    found = {}
    with tempfile.TemporaryDirectory() as scratch:
        for step in STEPS:
            command = [sys.executable, __file__, step, str(data), f"{scratch}/model"]
            done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
            found[step] = json.loads(done.stdout)
            print(step, found[step], flush=True)
    for metric, published in PUBLISHED.items():
        ours = found["whole"][metric]
        print(f"{metric}: {ours:.6f}, published {published:.6f}, off by {ours - published:+.6f}")
    write_result("gowalla", {"l2": L2, "published": PUBLISHED, **found})


if __name__ == "__main__":
    if sys.argv[1:2] and sys.argv[1] in STEPS:
        step, data, model = sys.argv[1:]
        figures = STEPS[step](Path(data), Path(model))
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        print(json.dumps({**figures, "peak_bytes": peak}))
    else:
        default = Path(__file__).parents[2] / "shared/data/gowalla"
        main(Path(sys.argv[1]) if len(sys.argv) > 1 else default)
