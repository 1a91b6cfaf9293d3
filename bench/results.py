"""Results of benchmarks as JSON: figures with the machine, the versions and the date."""

from __future__ import annotations

import json
import os
import platform
from datetime import date
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent / "results"


def write_result(name: str, figures: dict[str, Any]) -> None:
    """Write ``results/{name}.json``."""
    RESULTS.mkdir(exist_ok=True)
    said = {"date": date.today().isoformat(), "machine": machine(), "versions": versions()}
    path = RESULTS / f"{name}.json"
    path.write_text(json.dumps({**said, **figures}, indent=2) + "\n")
    print(f"wrote {path}")


def machine() -> dict[str, Any]:
    """Return the processor's name, and how many of its threads this process may use.

    With its family and model, as names like AMD EPYC stand for several generations.
    """
    fields: dict[str, str] = {}
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        name, _, value = line.partition(":")
        fields.setdefault(name.strip(), value.strip())
    cpu = fields.get("model name", platform.processor())
    if "cpu family" in fields:
        cpu += f" (family {fields['cpu family']}, model {fields['model']})"
    return {"cpu": cpu, "threads": len(os.sched_getaffinity(0))}


def versions() -> dict[str, str]:
    """Return the versions of what the figures depend on."""
    found = {"python": platform.python_version()}
    for package in ("pyhybrid", "numpy", "scipy", "pyarrow"):
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found
