"""MovieLens-1M from files to files with string ids: the four commands, one shell line each.

python bench/ml1m_files.py [../shared/data/ml-1m/pairs.csv.zst]
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pyarrow as pa
from pyarrow import csv
from results import write_result

COMMANDS = (
    "pyhybrid split events.csv --by strong --seed 7 --out split",
    "pyhybrid fit split/train.parquet --catalog split/items.parquet -p l2=700 --out model",
    "pyhybrid recommend model split/test_histories.parquet -n 100 --out recs",
    "pyhybrid evaluate recs --targets split/test_targets.parquet --train split/train.parquet"
    " -m ndcg@100 -m recall@20",
)


def write_events(pairs: Path, target: Path) -> None:
    """Write the pairs as user_id,item_id with ids such as u17 and m1193."""
    with pa.CompressedInputStream(str(pairs), "zstd") as stream:
        table = csv.read_csv(stream)
    names = {"user_id": ("u", "userId"), "item_id": ("m", "movieId")}
    columns = {
        name: pa.array([f"{letter}{value}" for value in table[source].to_pylist()])
        for name, (letter, source) in names.items()
    }
    csv.write_csv(pa.table(columns), target)


def main(pairs: Path) -> None:
    steps = []
    with tempfile.TemporaryDirectory() as scratch:
        write_events(pairs, Path(scratch) / "events.csv")
        for command in COMMANDS:
            started = time.perf_counter()
            done = subprocess.run(
                command, shell=True, check=True, cwd=scratch, stdout=subprocess.PIPE, text=True
            )
            seconds = time.perf_counter() - started
            print(f"$ {command}\n{done.stdout}({seconds:.1f} s)\n", flush=True)
            steps.append({"command": command, "output": done.stdout, "seconds": seconds})
    write_result("ml1m_files", {"steps": steps})


if __name__ == "__main__":
    default = Path(__file__).parents[2] / "shared/data/ml-1m/pairs.csv.zst"
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else default)
