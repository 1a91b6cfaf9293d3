"""The example in docs/examples: models on MovieLens-1M, in one `pyhybrid compare`.

    python bench/compare_ml1m.py [../shared/data/ml-1m] [--out build/comparison] [--quick]
                                 [--models NAMES] [--life 3]

Of the whole of MovieLens-1M there are pairs without times, and VQ-Rec needs an order; so the users
1 to 2,999 take part, all of whose 487,650 ratings are there with their times. The script links
their files to where `pyhybrid compare` finds the format that it knows, and runs the command.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

MODELS = "popularity,text,esler,esler+text"
FILES = {
    "ratings.dat.zst": "ratings_first487650.dat.zst",
    "movies.dat.zst": "movies.dat.zst",
    "colakg": "colakg",
}


def linked(data: Path, folder: Path) -> Path:
    """Make a folder in which the ratings have the name that they have in the original."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, source in FILES.items():
        link = folder / name
        if not link.is_symlink():
            link.symlink_to((data / source).resolve())
    return folder


def main(data: Path, out: Path, *, models: str, life: int, quick: bool) -> None:
    folder = linked(data, out.parent / "ml-1m-users-1-to-2999")
    command = ["pyhybrid", "compare", "--data", str(folder), "--models", models]
    command += ["--text", "all-MiniLM-L6-v2", "--augmentation", "description"]
    command += [*(["--quick"] if quick else []), "--life", str(life), "--out", str(out)]
    print(" ".join(command), flush=True)
    sys.exit(subprocess.run(command, check=False).returncode)


if __name__ == "__main__":
    root = Path(__file__).parents[1]
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path, nargs="?", default=root.parent / "shared/data/ml-1m")
    parser.add_argument("--out", type=Path, default=Path("build/comparison"))
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--models", default=MODELS)
    parser.add_argument("--life", type=int, default=3)
    given = parser.parse_args()
    main(given.data, given.out, models=given.models, life=given.life, quick=given.quick)
