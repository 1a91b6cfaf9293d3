"""Vectors of Amazon Beauty's 12,101 item texts: how long they take, and what the cache spares.

    python bench/text.py [../shared/data/amazon-beauty]

all-MiniLM-L6-v2 in float32 and in bfloat16, each twice with one cache: the second run, by a new
encoder, must encode nothing. Beside it TF-IDF with a truncated SVD. Distinct texts are encoded
once. The model's loading is within the first run.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from results import write_result

from pyhybrid.data.readers import open_folder
from pyhybrid.text import SentenceTransformerEncoder, TfidfEncoder

if TYPE_CHECKING:
    from numpy.typing import NDArray

PACKAGES = ("sentence-transformers", "transformers", "torch")
DIM = 256


def language_model(
    texts: list[str], precision: Any, cache: str
) -> tuple[NDArray[np.float32], dict[str, Any]]:
    """Encode twice, and return the vectors and the figures of both runs."""
    figures: dict[str, Any] = {}
    vectors = np.empty((0, 0), np.float32)
    for run in ("first_run", "second_run"):
        start = time.perf_counter()
        encoder = SentenceTransformerEncoder(precision=precision, device="cpu", cache=cache)
        vectors = encoder.encode(texts)
        seconds = time.perf_counter() - start
        figures[run] = {"seconds": round(seconds, 2), "texts_encoded": encoder.encoded}
        print(precision, run, figures[run], flush=True)
    figures["encoder"] = encoder.name
    figures["cache_bytes"] = sum(path.stat().st_size for path in Path(cache).iterdir())
    return vectors, figures


def words(texts: list[str]) -> dict[str, Any]:
    start = time.perf_counter()
    encoder = TfidfEncoder(DIM).fit(texts)
    fitted = time.perf_counter()
    encoder.encode(texts)
    ended = time.perf_counter()
    return {
        "dim": DIM,
        "words": len(encoder.words),
        "fit_seconds": round(fitted - start, 2),
        "encode_seconds": round(ended - fitted, 2),
    }


def main(data: Path) -> None:
    texts = open_folder(data).catalog.texts()
    vectors, rows = {}, {}
    for precision in ("float32", "bfloat16"):
        with tempfile.TemporaryDirectory() as cache:
            vectors[precision], rows[precision] = language_model(texts, precision, cache)
    cosines = (vectors["float32"] * vectors["bfloat16"]).sum(axis=1)
    figures = {
        "texts": len(texts),
        "distinct_texts": len(set(texts)),
        "packages": {name: version(name) for name in PACKAGES},
        "all-MiniLM-L6-v2": rows,
        "smallest_cosine_of_float32_and_bfloat16": float(cosines.min()),
        "tfidf": words(texts),
    }
    write_result("text", figures)


if __name__ == "__main__":
    root = Path(__file__).parents[1]
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "data", type=Path, nargs="?", default=root.parent / "shared/data/amazon-beauty"
    )
    main(parser.parse_args().data)
