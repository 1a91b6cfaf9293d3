"""A fit on Amazon Beauty that is killed in its second epoch and resumed, beside an unbroken one.

    python bench/resume.py [../shared/data/amazon-beauty]

On one CPU and with as many threads both must end with the same bits.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

import numpy as np

import pyhybrid
from pyhybrid.data.readers import open_folder
from pyhybrid.data.splits import leave_last

METRICS = ("recall@10", "ndcg@10")


def new() -> pyhybrid.SASRec:
    return pyhybrid.SASRec(dropout=0.5, epochs=2, device="cpu")


def kill(share: float) -> None:
    if share > 0.75:
        raise KeyboardInterrupt


def main(data: Path) -> bool:
    split = leave_last(open_folder(data).interactions)
    with tempfile.TemporaryDirectory() as folder:
        try:
            new().fit(split.train, validation=split.validation, checkpoint=folder, progress=kill)
        except KeyboardInterrupt:
            print("killed in the second epoch")
        resumed = new().fit(split.train, validation=split.validation, checkpoint=folder)
    whole = new().fit(split.train, validation=split.validation)
    for name, model in (("resumed", resumed), ("unbroken", whole)):
        report = pyhybrid.evaluate(model, split.test, METRICS)
        print(name, *(f"{metric} {report[metric]!r}" for metric in METRICS))
    same = np.array_equal(resumed.item_vectors, whole.item_vectors)
    print("the same bits" if same else "not the same bits")
    return same


if __name__ == "__main__":
    root = Path(__file__).parents[1]
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "data", type=Path, nargs="?", default=root.parent / "shared/data/amazon-beauty"
    )
    sys.exit(not main(parser.parse_args().data))
