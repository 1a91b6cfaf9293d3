"""Measure what a fitted model costs: seconds, peak memory, and its size on disk."""

from __future__ import annotations

import shutil
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pyhybrid.models.base import Recommender

__all__ = ["measured_cost", "saved_bytes"]


@contextmanager
def measured_cost() -> Iterator[dict[str, Any]]:
    """Measure seconds and peak memory of what is done inside."""
    found: dict[str, Any] = {}
    before = _reset_peak()
    started = time.perf_counter()
    yield found
    found["fit_seconds"] = time.perf_counter() - started
    peak = _status("VmHWM")
    found["memory_bytes"] = None if before is None or peak is None else max(0, peak - before)


def _reset_peak() -> int | None:
    """Begin to measure this process' peak memory anew; return what it holds now, if Linux tells."""
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return None
    return _status("VmRSS")


def _status(field: str) -> int | None:
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError:
        return None
    return next((1024 * int(line.split()[1]) for line in lines if line.startswith(field)), None)


def saved_bytes(model: Recommender, out: Path) -> int:
    """Save a model beside what is written to `out`, and return how many bytes that takes."""
    folder = Path(tempfile.mkdtemp(dir=out, prefix=".model-"))
    try:
        model.save(folder / "model")
        return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
    finally:
        shutil.rmtree(folder)
