"""Compare models on one data set: fit each, rate all, and write what each keeps."""

from __future__ import annotations

import json
import platform
import shutil
import tempfile
import time
from contextlib import contextmanager
from datetime import date
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pyhybrid import comparison
from pyhybrid.checks import count
from pyhybrid.data import splits, synthetic
from pyhybrid.data.readers import open_folder
from pyhybrid.data.tables import write_text
from pyhybrid.jobs import roster
from pyhybrid.jobs.comparison_page.page import page
from pyhybrid.kernels import thread_count

if TYPE_CHECKING:
    import os
    from collections.abc import Iterator, Mapping, Sequence

    from pyhybrid.data.catalog import Catalog
    from pyhybrid.data.held_out import Split
    from pyhybrid.data.interactions import Interactions
    from pyhybrid.models.base import Recommender

__all__ = ["compare", "compare_on", "read", "table"]

_COLD_SHARE, _COLD_MIN_COUNT = 0.2, 20
# Why a model is skipped. A language model that is named and is not here is a missing file.
_REASONS = ImportError, FileNotFoundError, NotImplementedError, ValueError, MemoryError
_PACKAGES = ("numpy", "scipy", "torch", "sentence-transformers")


def compare(
    data: str | os.PathLike[str] | None,
    out: str | os.PathLike[str],
    *,
    models: Sequence[str] | None = None,
    text: str = "tfidf",
    augmentations: Sequence[str] = (),
    quick: bool = False,
    seed: int = 0,
    command: str | None = None,
) -> dict[str, Any]:
    """Fit and rate models by name; write ``compare.json`` and ``compare.html``.

    Held-out users are tested (strong generalisation), and of the items with 20 training users or
    more a fifth is hidden from training; a folder with a published split keeps that. Both files
    are rewritten after each model: a comparison that is stopped keeps what was found.

    Args:
        data: A folder that `readers.open_folder` knows; None: `synthetic.topics`.
        out: A folder; earlier files are replaced.
        models: Names of `roster.NAMES`; None: all.
        text: What encodes texts: "tfidf", or a model of sentence-transformers, which is then also
            the language model that CoLLM asks (with "tfidf": all-MiniLM-L6-v2).
        augmentations: Further text fields that models read, such as a language model's.
        quick: Few epochs and no search over hyper-parameters.
        seed: Of the data, the split, and whatever models draw.
        command: What the page says that it was made by.

    Returns:
        What ``compare.json`` holds; see `compare_on`.

    Raises:
        ValueError: If a model's name is unknown, or the data can't be read.
    """
    names = roster.names_of("compare", models)
    seed = count("compare", "seed", seed, least=0)
    split, catalog, source = read(data, seed)
    result, _ = compare_on(
        split,
        catalog,
        names,
        out,
        text=text,
        augmentations=augmentations,
        quick=quick,
        seed=seed,
        source=source,
        command=command,
    )
    return result


def read(data: str | os.PathLike[str] | None, seed: int) -> tuple[Split, Catalog | None, str]:
    """Read a data set, or make one up, and split it; say in words what it is."""
    if data is None:
        interactions, catalog = synthetic.topics(seed=seed)
        split = splits.cold_items(splits.strong(interactions, seed=seed), share=0.1, seed=seed)
        return split, catalog, f"made up: {_size(interactions)}"
    folder = open_folder(data)
    source = f"{folder.name}: {_size(folder.interactions)}"
    if folder.split is not None:
        return folder.split, folder.catalog, f"{source}, with its published split"
    split = splits.strong(folder.interactions, seed=seed)
    if (split.train.item_counts() >= _COLD_MIN_COUNT).any():
        split = splits.cold_items(split, share=_COLD_SHARE, min_count=_COLD_MIN_COUNT, seed=seed)
    return split, folder.catalog, source


def _size(interactions: Interactions) -> str:
    users, items, pairs = interactions.n_users, interactions.n_items, interactions.matrix.nnz
    return f"{users:,} users, {items:,} items, {pairs:,} interactions"


def compare_on(
    split: Split,
    catalog: Catalog | None,
    names: Sequence[str],
    out: str | os.PathLike[str],
    *,
    text: str = "tfidf",
    augmentations: Sequence[str] = (),
    quick: bool = False,
    seed: int = 0,
    source: str = "",
    command: str | None = None,
) -> tuple[dict[str, Any], dict[str, Recommender]]:
    """Fit and rate models on a split that there is already.

    Returns:
        What ``compare.json`` holds, and the fitted models by name. Under ``models`` stands by name
        what was found of each model (`comparison.kept`), with its seconds and bytes; or, where it
        could not be fitted, ``{"skipped": reason}``.
    """
    out = Path(out)
    out.mkdir(parents=True, exist_ok=True)
    about = {
        "data": source,
        "split": _worded(split),
        "seed": seed,
        "quick": quick,
        "date": date.today().isoformat(),
        "machine": {"cpu": _processor(), "threads": thread_count()},
        "versions": _versions(),
        "command": command,
        "users": {"joint": split.test.targets.n_users},
        "items": {
            "warm": int((split.train.item_counts() > 0).sum()),
            "cold": int((split.train.item_counts() == 0).sum()),
        },
    }
    measured: dict[str, comparison.Measured] = {}
    costs: dict[str, dict[str, Any]] = {}
    kept: dict[str, Recommender] = {}
    skipped: dict[str, str] = {}
    result: dict[str, Any] = {}
    for name in names:
        try:
            with _measured_cost() as cost:
                kept[name] = roster.fitted(
                    name,
                    split,
                    catalog,
                    text=text,
                    augmentations=augmentations,
                    quick=quick,
                    seed=seed,
                    progress=True,
                )
        except _REASONS as error:
            skipped[name] = str(error)
            print(f"{name}: skipped: {error}", flush=True)
        else:
            measured[name] = comparison.measure(kept[name], split.test, name=name)
            costs[name] = cost | {"model_bytes": _saved_bytes(kept[name], out)}
            seconds = costs[name]["fit_seconds"]
            print(f"{name}: fitted in {seconds:.1f} s: {kept[name]!r}", flush=True)
        result = {**about, **_assembled(names, measured, costs, kept, skipped, seed)}
        result["users"] |= _users(measured)
        write_text([json.dumps(result, indent=2)], out / "compare.json")
        write_text([page(result)], out / "compare.html")
    return result, kept


def _assembled(
    names: Sequence[str],
    measured: Mapping[str, comparison.Measured],
    costs: Mapping[str, dict[str, Any]],
    fitted: Mapping[str, Recommender],
    skipped: Mapping[str, str],
    seed: int,
) -> dict[str, Any]:
    found = comparison.kept(measured, behaviour=roster.BEHAVIOUR, text=roster.TEXT, seed=seed)
    models: dict[str, Any] = {}
    for name in names:
        if name in skipped:
            models[name] = {"skipped": skipped[name]}
        elif name in measured:
            cost = costs[name]
            models[name] = found["models"][name] | {
                "seconds": {"fit": cost["fit_seconds"], "score": measured[name].scoring_seconds},
                "memory_bytes": cost["memory_bytes"],
                "model_bytes": cost["model_bytes"],
                "params": repr(fitted[name]),
            }
    return {"best": found["best"], "models": models}


def _worded(split: Split) -> str:
    train, test = split.train, split.test
    targets, users = test.targets.matrix.nnz, test.targets.n_users
    learned = f"Trained on {train.matrix.nnz:,} pairs of {train.n_users:,} users"
    asked = f"rated on {targets:,} held-out items of {users:,}"
    cold = f"; {len(split.cold_items):,} items are hidden from training" * bool(
        len(split.cold_items)
    )
    return f"{learned}, {asked}{cold}"


def _users(measured: Mapping[str, comparison.Measured]) -> dict[str, int]:
    """Count the users whose targets are warm or cold: those that a figure is the mean of."""
    figures = [figure for found in measured.values() for figure in found.report.figures]
    return {f.candidates: f.users for f in figures if f.metric == comparison.KEY_METRIC}


def table(result: Mapping[str, Any]) -> str:
    """Set a comparison's main figures as a table for the terminal."""
    lines = [f"{'model':<12}{'warm':>8}{'kept':>7}{'cold':>9}{'kept':>7}{'joint':>9}"]
    for name, row in result["models"].items():
        if "skipped" in row:
            lines.append(f"{name:<12}skipped: {row['skipped']}")
            continue
        cells = [f"{name:<12}"]
        for candidates, width in (("warm", 8), ("cold", 9), ("joint", 9)):
            figures = row[candidates]
            value = figures and figures[comparison.KEY_METRIC]
            cells.append(f"{'-' if value is None else format(value, '.4f'):>{width}}")
            if candidates != "joint":
                share = row["kept"].get(candidates)
                cells.append(f"{'-' if share is None else format(share, '.0%'):>7}")
        lines.append("".join(cells))
    best = result["best"]
    lines.append(
        f"NDCG@10; kept: as a share of the best of pure behaviour ({best['behaviour'] or 'none'}) "
        f"on warm items, of pure text ({best['text'] or 'none'}) on cold ones"
    )
    return "\n".join(lines)


@contextmanager
def _measured_cost() -> Iterator[dict[str, Any]]:
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


def _saved_bytes(model: Recommender, out: Path) -> int:
    folder = Path(tempfile.mkdtemp(dir=out, prefix=".model-"))
    try:
        model.save(folder / "model")
        return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
    finally:
        shutil.rmtree(folder)


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.processor())


def _versions() -> dict[str, str]:
    found = {"python": platform.python_version(), "pyhybrid": version("pyhybrid")}
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found
