"""The kernels beside their peers: the same task, threads and minute, and results that agree.

    python bench/kernels.py [ROW ...] [--repetitions 3] [--threads 2] [--scale 1.0]

Without a ROW all are measured; `ROWS` lists them. Each runs in its own process and writes
bench/results/kernels_ROW.json. With a scale other than 1, a trial, the figures are printed and
nothing is written. Peers that aren't installed are named as absent:

    pip install -c constraints.txt -e '.[bench]'
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import processes
import quantizing
import ranking
import solving
import workloads
from contest import disagreeing, show
from results import write_result
from surroundings import environment, found_here

if TYPE_CHECKING:
    from collections.abc import Callable


def gram(scale: float, repetitions: int, threads: int) -> dict[str, Any]:
    return solving.gram(workloads.scaled_events(scale), repetitions, threads)


def gram_ml1m(scale: float, repetitions: int, threads: int) -> dict[str, Any]:
    x = workloads.ml1m()
    users = max(round(x.shape[0] * scale), 50)
    return solving.gram(x if scale == 1 else x[:users], repetitions, threads)


def solve(items: int, scale: float, repetitions: int, threads: int) -> dict[str, Any]:
    x = workloads.most_popular(workloads.scaled_events(scale), round(items * scale))
    return solving.solve(x, repetitions, threads)


# Each takes (scale, repetitions, threads) and returns its figures.
ROWS: dict[str, Callable[[float, int, int], dict[str, Any]]] = {
    "gram": gram,
    "gram_ml1m": gram_ml1m,
    "solve_10000": partial(solve, 10_000),
    "solve_20108": partial(solve, 20_108),
    "large_solve": solving.large_solve,
    "top_n": ranking.top_n,
    "top_n_factors_64": partial(ranking.top_n_factors, 64),
    "top_n_factors_128": partial(ranking.top_n_factors, 128),
    "score_metrics": ranking.score_metrics,
    "ranking_metrics": ranking.ranking_metrics,
    "pq_encode_384_48": partial(quantizing.encode, 384, 48, 256),
    "pq_encode_768_32": partial(quantizing.encode, 768, 32, 256),
    "pq_encode_768_48": partial(quantizing.encode, 768, 48, 256),
    "pq_encode_384_48_4bit": partial(quantizing.encode, 384, 48, 16),
    "pq_train": quantizing.train,
    "pq_rotate": quantizing.rotate,
    "pq_search": partial(quantizing.search, 256),
    "pq_search_4bit": partial(quantizing.search, 16),
    "pq_lookup": quantizing.lookup,
    "pq_lookup_gradient": quantizing.lookup_gradient,
    "sizes": processes.sizes,
    "end_to_end": processes.end_to_end,
    "simd": processes.simd,
}


def measure(row: str, scale: float, repetitions: int, threads: int) -> int:
    """Measure one row in this process; return the number of peers that disagree."""
    found = ROWS[row](scale, repetitions, threads)
    asked = {"row": row, "threads": threads, "repetitions": repetitions}
    figures = {**asked, **found_here(), **found}
    if "contenders" in found:
        show(row, found)
    if scale == 1:
        write_result(f"kernels_{row}", figures)
    if scale != 1 or "contenders" not in found:
        print(json.dumps({"scale": scale, **figures}, indent=2))
    return len(disagreeing(found))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("rows", nargs="*", metavar="ROW", help=", ".join(ROWS))
    parser.add_argument("--repetitions", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--scale", type=float, default=1.0)
    parser.add_argument("--here", action="store_true", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    unknown = [row for row in asked.rows if row not in ROWS]
    if unknown:
        parser.error(f"no row {unknown[0]!r}; there are {', '.join(ROWS)}")
    how = (asked.scale, asked.repetitions, asked.threads)
    if asked.here:
        sys.exit(min(sum(measure(row, *how) for row in asked.rows), 1))
    options = [f"--scale={how[0]}", f"--repetitions={how[1]}", f"--threads={how[2]}", "--here"]
    failed = []
    for row in asked.rows or ROWS:
        command = [sys.executable, str(Path(__file__)), row, *options]
        if subprocess.run(command, env=environment(asked.threads), check=False).returncode:
            failed.append(row)
    if failed:
        sys.exit(f"failed, or a peer disagrees: {', '.join(failed)}")


if __name__ == "__main__":
    main()
