"""Results of benchmarks as JSON: figures with the machine, the versions and the date."""

from __future__ import annotations

import json
import os
import platform
import sys
from datetime import date
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

RESULTS = Path(__file__).parent / "results"


def write_result(name: str, figures: dict[str, Any]) -> None:
    """Write ``results/{name}.json``."""
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{name}.json"
    _write(path, {**here(), **figures})
    print(f"wrote {path}")


def once(
    path: Path, settings: dict[str, Any], compute: Callable[[], dict[str, Any]]
) -> dict[str, Any]:
    """Return the figures that an interrupted run left at `path`, or else compute and keep them.

    Beside the figures stand the settings, and where and when they were computed ("ran_on").

    Raises:
        ValueError: If what is kept has other settings.
    """
    settings = json.loads(json.dumps(settings))
    if path.exists():
        kept = json.loads(path.read_text())
        if kept["settings"] != settings:
            raise ValueError(f"{path} has other settings; delete it, and the run beside it")
        return kept
    figures = compute()
    kept = {**figures, "settings": settings, "ran_on": here()}
    path.parent.mkdir(parents=True, exist_ok=True)
    _write(path, kept)
    return kept


def _write(path: Path, content: dict[str, Any]) -> None:
    beside = path.with_suffix(".partial")
    beside.write_text(json.dumps(content, indent=2) + "\n")
    beside.replace(path)


def here() -> dict[str, Any]:
    """Say when and where, and with which versions, something is computed."""
    return {"date": date.today().isoformat(), "machine": machine(), "versions": versions()}


def machine() -> dict[str, Any]:
    """Return the processor's name, and how many of its threads this process may use.

    With its family and model, as names like AMD EPYC stand for several generations; and the GPU,
    if torch is in use and finds one.
    """
    fields: dict[str, str] = {}
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        name, _, value = line.partition(":")
        fields.setdefault(name.strip(), value.strip())
    cpu = fields.get("model name", platform.processor())
    if "cpu family" in fields:
        cpu += f" (family {fields['cpu family']}, model {fields['model']})"
    found: dict[str, Any] = {"cpu": cpu, "threads": len(os.sched_getaffinity(0))}
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        found["gpu"] = torch.cuda.get_device_name()
    return found


def versions() -> dict[str, str]:
    """Return the versions of what the figures depend on."""
    found = {"python": platform.python_version()}
    for package in ("pyhybrid", "numpy", "scipy", "pyarrow", "torch"):
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def read(name: str) -> dict[str, Any]:
    """Return what `write_result` wrote."""
    return json.loads((RESULTS / f"{name}.json").read_text())


def provenance(result: dict[str, Any]) -> str:
    """Say in words when, where and with which versions a result was computed."""
    machine, versions = result["machine"], result["versions"]
    packages = ", ".join(f"{name} {number}" for name, number in versions.items())
    gpu = f", on {machine['gpu']}" if "gpu" in machine else ""
    return f"{result['date']}, {machine['threads']} threads of {machine['cpu']}, {packages}{gpu}"


def computed_on(runs: Iterable[dict[str, Any]]) -> str:
    """Say where the runs were made, each place once."""
    return "; ".join(dict.fromkeys(provenance(run["ran_on"]) for run in runs))


def seconds(value: float) -> str:
    """Write a time with its unit."""
    if value >= 1:
        return f"{value:.1f} s"
    return f"{1000 * value:.0f} ms" if value >= 0.01 else f"{1000 * value:.1f} ms"
