"""Compare models on one data set: fit each, rate all, and write what each keeps."""

from __future__ import annotations

import json
import math
import platform
from dataclasses import asdict
from datetime import date
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from pyhybrid import comparison
from pyhybrid.checks import count
from pyhybrid.data import splits, synthetic
from pyhybrid.data.held_out import NewShares
from pyhybrid.data.readers import open_folder
from pyhybrid.data.tables import write_text
from pyhybrid.errors import describe
from pyhybrid.evaluation import life as life_of
from pyhybrid.evaluation import worth
from pyhybrid.jobs import roster
from pyhybrid.jobs.comparison_page.page import page
from pyhybrid.jobs.costs import measured_cost, saved_bytes
from pyhybrid.kernels import thread_count

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping, Sequence

    from pyhybrid.data.catalog import Catalog
    from pyhybrid.data.held_out import Split
    from pyhybrid.data.interactions import Interactions
    from pyhybrid.evaluation import Life, Worth
    from pyhybrid.models.base import Recommender

__all__ = ["Compared", "compare", "compare_on", "read", "table"]

_NEW_SHARE, _NEW_MIN_COUNT = 0.2, 20
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
    by: Literal["hidden", "time"] = "hidden",
    life: int = 0,
    quick: bool = False,
    seed: int = 0,
    command: str | None = None,
) -> dict[str, Any]:
    """Fit and rate models by name; write ``compare.json`` and ``compare.html``.

    Held-out users are tested (strong generalisation), and of the items with 20 training users or
    more a fifth is hidden from training, at their natural share of the targets; or the latest
    tenth of the events is. A folder with a published split keeps that. Both files are rewritten
    after each model: a comparison that is stopped keeps what was found.

    Args:
        data: A folder that `readers.open_folder` knows; None: `synthetic.topics`.
        out: A folder; earlier files are replaced.
        models: Names of `roster.NAMES`; None: all.
        text: What encodes texts: "tfidf", or a model of sentence-transformers, which is then also
            the language model that CoLLM asks (with "tfidf": all-MiniLM-L6-v2).
        augmentations: Further text fields that models read, such as a language model's.
        by: "hidden": new items are drawn; "time": they are those that came last.
        life: How often new items are drawn to see how models fare with 0, 1, 5, ... interactions
            of each: 7 fits a draw of the best model of behaviour and of each that reads texts. 0:
            not at all.
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
    life = count("compare", "life", life, least=0)
    given = read(data, seed, by)
    if life and given.whole is None:
        rule = "0 with a published split, by time, or with too few interactions of each item"
        raise ValueError(describe("compare", "life", life, rule))
    result, kept = compare_on(
        given,
        names,
        out,
        text=text,
        augmentations=augmentations,
        quick=quick,
        seed=seed,
        command=command,
    )
    return _with_life(result, kept, given, life, seed, Path(out)) if life else result


class Compared(NamedTuple):
    """What models are compared on.

    Attributes:
        split: What they learn from and are rated by.
        catalog: The items' texts, or None.
        source: The data in words.
        whole: The same held-out users where no item is hidden, or None.
        min_count: The least number of training users of what is hidden.
    """

    split: Split
    catalog: Catalog | None
    source: str = ""
    whole: Split | None = None
    min_count: int = 1


def read(
    data: str | os.PathLike[str] | None, seed: int, by: Literal["hidden", "time"] = "hidden"
) -> Compared:
    """Read a data set, or make one up, and split it; say in words what it is.

    Raises:
        ValueError: If `by` is no way to split, or the data have no times to split by.
    """
    if by not in ("hidden", "time"):
        raise ValueError(describe("compare", "by", repr(by), "'hidden' or 'time'"))
    catalog: Catalog | None
    if data is None:
        interactions, catalog = synthetic.topics(seed=seed)
        source, least = f"made up: {_size(interactions)}", 1
    else:
        folder = open_folder(data)
        interactions, catalog = folder.interactions, folder.catalog
        source, least = f"{folder.name}: {_size(interactions)}", _NEW_MIN_COUNT
        if folder.split is not None:
            return Compared(folder.split, catalog, f"{source}, with its published split")
    if by == "time":
        return Compared(splits.by_time(interactions), catalog, source)
    whole = splits.strong(interactions, seed=seed)
    if not (whole.train.item_counts() >= least).any():
        return Compared(whole, catalog, source)
    split = splits.cold_items(whole, share=_NEW_SHARE, min_count=least, seed=seed)
    return Compared(split, catalog, source, whole, least)


def _size(interactions: Interactions) -> str:
    users, items, pairs = interactions.n_users, interactions.n_items, interactions.matrix.nnz
    return f"{users:,} users, {items:,} items, {pairs:,} interactions"


def compare_on(
    given: Compared,
    names: Sequence[str],
    out: str | os.PathLike[str],
    *,
    text: str = "tfidf",
    augmentations: Sequence[str] = (),
    quick: bool = False,
    seed: int = 0,
    command: str | None = None,
) -> tuple[dict[str, Any], dict[str, Recommender]]:
    """Fit and rate models on a split that there is already.

    Returns:
        What ``compare.json`` holds, and the fitted models by name. Under ``models`` stands by name
        what was found of each model (`comparison.kept`), with its seconds and bytes; or, where it
        could not be fitted, ``{"skipped": reason}``.
    """
    split, catalog = given.split, given.catalog
    out = Path(out)
    out.mkdir(parents=True, exist_ok=True)
    is_new = split.new_columns()
    about = {
        "data": given.source,
        "split": _worded(split),
        "new_shares": split.new_shares()._asdict(),
        "new": {"fewer_than": 0, "items": int(is_new.sum())},
        "seed": seed,
        "quick": quick,
        "date": date.today().isoformat(),
        "machine": {"cpu": _processor(), "threads": thread_count()},
        "versions": _versions(),
        "command": command,
        "users": {"joint": split.test.targets.n_users},
        "items": {"known": int((~is_new).sum()), "new": int(is_new.sum())},
        "life": None,
    }
    measured: dict[str, comparison.Measured] = {}
    costs: dict[str, dict[str, Any]] = {}
    kept: dict[str, Recommender] = {}
    skipped: dict[str, str] = {}
    result: dict[str, Any] = {}
    for name in names:
        try:
            with measured_cost() as cost:
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
            costs[name] = cost | {"model_bytes": saved_bytes(kept[name], out)}
            seconds = costs[name]["fit_seconds"]
            print(f"{name}: fitted in {seconds:.1f} s: {kept[name]!r}", flush=True)
        result = {**about, **_assembled(names, measured, costs, kept, skipped, seed)}
        result["users"] |= _users(measured)
        _write(result, out)
    return result, kept


def _write(result: Mapping[str, Any], out: Path) -> None:
    write_text([json.dumps(result, indent=2)], out / "compare.json")
    write_text([page(result)], out / "compare.html")


def _with_life(
    result: dict[str, Any],
    fitted: Mapping[str, Recommender],
    given: Compared,
    draws: int,
    seed: int,
    out: Path,
) -> dict[str, Any]:
    """Add the life of an item of the best model of behaviour, and of those that read texts."""
    whole, against = given.whole, result["best"]["behaviour"]
    if whole is None or against is None:
        return result
    lives: dict[str, Life] = {}
    result = {**result, "life": {"splits": draws, "against": against}}
    readers = [name for name in fitted if name in roster.READERS]
    for name in [against, *readers]:
        print(f"{name}: the life of an item, {draws} draws", flush=True)
        lives[name] = life_of(
            partial(roster.refitted, fitted[name], catalog=given.catalog),
            whole,
            share=_NEW_SHARE,
            min_count=given.min_count,
            draws=draws,
            seed=seed,
            progress=True,
        )
        of_text = None if name == against else worth(lives[name], lives[against])
        row = {**result["models"][name], "life": _life_figures(lives[name], of_text)}
        result = {**result, "models": {**result["models"], name: row}}
        _write(result, out)
    return result


def _life_figures(found: Life, of_text: Worth | None) -> dict[str, Any]:
    """Return the mean figures over the draws as JSON takes them."""
    sides = ("area", "known", "new", "joint", "share")
    figures = {side: getattr(found, side).mean(axis=0).tolist() for side in sides}
    ends = None if of_text is None else asdict(of_text)
    if ends is not None and (ends["at_least"] or math.isnan(ends["low"])):
        ends |= {"low": None, "high": None}
    return {"interactions": list(found.interactions), **figures, "worth": ends}


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
                "life": None,
            }
    return {"best": found["best"], "models": models}


def _worded(split: Split) -> str:
    train, test = split.train, split.test
    targets, users = test.targets.matrix.nnz, test.targets.n_users
    learned = f"Trained on {train.matrix.nnz:,} pairs of {train.n_users:,} users"
    asked = f"rated on {targets:,} held-out items of {users:,}"
    hidden = f"; {len(split.new_items):,} items are hidden from training" * bool(
        len(split.new_items)
    )
    return f"{learned}, {asked}{hidden}"


def _users(measured: Mapping[str, comparison.Measured]) -> dict[str, int]:
    """Count the users that a figure is the mean of."""
    figures = [figure for found in measured.values() for figure in found.report.figures]
    return {f.candidates: f.users for f in figures if f.metric == comparison.KEY_METRIC}


def table(result: Mapping[str, Any]) -> str:
    """Set a comparison's main figures as a table for the terminal."""
    lines = [
        f"{'model':<12}{'joint':>8}{'known':>9}{'kept':>7}{'new':>9}{'area':>9}{'kept':>7}{'shown':>8}"
    ]
    for name, row in result["models"].items():
        if "skipped" in row:
            lines.append(f"{name:<12}skipped: {row['skipped']}")
            continue
        sides = ("joint", "known", "new")
        figures = {side: (row[side] or {}).get(comparison.KEY_METRIC) for side in sides}
        curve = row["tradeoff"] or {}
        cells = (
            _cell(figures["joint"], 8),
            _cell(figures["known"], 9),
            _cell(row["kept"]["known"], 7, ".0%"),
            _cell(figures["new"], 9),
            _cell(curve.get("area"), 9),
            _cell(row["kept"]["new"], 7, ".0%"),
            _cell(curve.get("new_share"), 8, ".1%"),
        )
        lines.append(f"{name:<12}{''.join(cells)}")
    best, shares = result["best"], NewShares(**result["new_shares"])
    lines.append(
        "NDCG@10 over all items, of known and of new targets; area under the curve of both as new "
        f"items are let up; shown: new items' share of the lists; new items are {shares}; kept: as "
        f"a share of the best of pure behaviour ({best['behaviour'] or 'none'}) on known targets, "
        f"of pure text ({best['text'] or 'none'}) in area"
    )
    return "\n".join(lines)


def _cell(value: float | None, width: int, form: str = ".4f") -> str:
    return f"{'-' if value is None else format(value, form):>{width}}"


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
