"""Split, fit and recommend: steps of a batch job, each from files to files.

Columns are named as `Interactions.read` takes them (``user=``, ``item=``, ``weight=``, ``time=``,
``rating=``, ``min_rating=``, ``duplicates=``, ``ordered=``). Outputs are written beside their
target and renamed, so that what exists is whole.
"""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal
from uuid import uuid4

import numpy as np

from pyhybrid.checks import count
from pyhybrid.data.catalog import Catalog
from pyhybrid.data.held_out import HeldOut
from pyhybrid.data.ids import arrow_ids, as_strings, column_of, extend, positions
from pyhybrid.data.interactions import Interactions
from pyhybrid.data.splits import split as split_interactions
from pyhybrid.data.streaming import rows_if_sorted, stream_users
from pyhybrid.data.tables import is_delimited, write_parquet
from pyhybrid.errors import describe
from pyhybrid.jobs.columns import described, known_items, on_axis, read_ids, told, users_alone
from pyhybrid.models import load, model_class
from pyhybrid.models.batches import parts_of, write_parts
from pyhybrid.models.torch_base import TorchRecommender
from pyhybrid.progress import progress_bar
from pyhybrid.storage import require_free

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Iterator, Mapping

    import pyarrow as pa
    from numpy.typing import NDArray

    from pyhybrid.data.held_out import Split
    from pyhybrid.data.ids import Ids
    from pyhybrid.data.tables import Paths
    from pyhybrid.models.base import Recommender
    from pyhybrid.progress import Progress

    Folder = str | os.PathLike[str]
    Way = Literal["strong", "leave-last", "time", "random", "cold"]

__all__ = ["fit", "recommend", "split", "write_split"]


def split(
    events: Paths,
    out: Folder,
    by: Way = "strong",
    *,
    cold: float = 0.0,
    seed: int = 0,
    options: Mapping[str, Any] | None = None,
    **columns: Any,
) -> Split:
    """Split a file of events and write the parts as Parquet; see `write_split` for the files.

    Args:
        events: Files of events.
        out: A new or empty folder.
        by: "strong", "leave-last", "time", "random" or "cold".
        cold: The share of items to take out of training altogether, besides.
        seed: Of every random choice.
        options: Further keywords of the splitter, such as ``{"test": 0.2}``.
        **columns: As `Interactions.read` takes them.
    """
    _require_new("split", Path(out))
    given = {"by": by, "cold": cold, "seed": seed}
    for name in given.keys() & (options or {}).keys():
        expected = f"given as {name}=, or --{name} on the command line"
        raise ValueError(describe("split", f"{name!r}", "among the options", expected))
    said: dict[str, Any] = {**given, **(options or {})}
    made = split_interactions(Interactions.read(events, **told(events, columns)), **said)
    write_split(made, out, said)
    return made


def write_split(split: Split, out: Folder, made_by: Mapping[str, Any] | None = None) -> None:
    """Write a split to a new folder.

    The files know how they are to be read (`pyhybrid.jobs.columns`): a weight, a time or an order
    that the split was made from is taken up by `fit` and `recommend` without being named again.

    ``train.parquet``; for each held-out part ``test_histories.parquet`` and
    ``test_targets.parquet``; ``items.parquet`` with the item axis and which items are warm (have a
    training interaction); ``split.json`` with how it was made and what is in it.
    """
    out = Path(out)
    _require_new("split", out)
    beside = out.with_name(f".{out.name}.{uuid4().hex[:8]}")
    beside.mkdir(parents=True)
    try:
        counts = {}
        parts = {"train": split.train}
        for name, part in split.held_out.items():
            parts |= {f"{name}_histories": part.histories, f"{name}_targets": part.targets}
        for name, interactions in parts.items():
            write_parquet(described(interactions), beside / f"{name}.parquet")
            counts[name] = {"users": interactions.n_users, "pairs": int(interactions.matrix.nnz)}
        write_parquet(_items_table(split), beside / "items.parquet")
        said = {"exclude_seen": split.test.exclude_seen, "parts": counts, **(made_by or {})}
        (beside / "split.json").write_text(json.dumps(said, indent=2) + "\n")
        if out.exists():
            out.rmdir()
        beside.rename(out)
    except BaseException:
        shutil.rmtree(beside, ignore_errors=True)
        raise


def fit(
    train: Paths,
    out: Folder,
    model: str = "esler",
    *,
    params: Mapping[str, Any] | None = None,
    catalog: Paths | None = None,
    validation: Folder | None = None,
    metric: str = "ndcg@10",
    checkpoint: Folder | None = None,
    threads: int = 0,
    progress: Progress = False,
    **columns: Any,
) -> Recommender:
    """Fit a model on files of events and save it.

    What is trained in epochs can be stopped by validation users, and taken up where it was killed.

    Args:
        train: Files of events.
        out: The model's folder; an earlier model there is replaced once the new one is whole.
        model: Its name, such as "esler" or "popularity".
        params: Its hyper-parameters by name.
        catalog: Files of items, for items without an event.
        validation: A folder that `split` wrote: after each epoch the model is rated on its
            validation users, and the best epoch is kept. None: all epochs are run.
        metric: What it is rated by.
        checkpoint: A folder for the state of this run alone: the same job, run again, goes on from
            it, or reads it back if it had ended.
        threads: 0 for all that this process may use.
        progress: True for a bar, or a callable that is handed the share done.
        **columns: As `Interactions.read` takes them.

    Raises:
        FileNotFoundError: If the folder has no validation users.
        ValueError: If the model or a parameter is unknown, if a model that is not trained in epochs
            is given `validation` or `checkpoint`, or if validation users have items that are
            neither in training nor in the catalogue; besides what reading and fitting raise.
    """
    kind = model_class(model)
    kind.check_params("fit", params or {})
    for name, folder in (("validation", validation), ("checkpoint", checkpoint)):
        if folder is not None and not issubclass(kind, TorchRecommender):
            rule = f"none for {kind.__name__}, which is not trained in epochs"
            raise ValueError(describe("fit", name, str(folder), rule, "leave it out"))
    recommender = kind(**(params or {}))
    require_free(out)  # before the work, whose result could not be saved
    interactions = Interactions.read(train, **told(train, columns))
    items = None
    if catalog is not None:
        items = Catalog.read(catalog, item=columns.get("item", "item_id"))
        if is_delimited(train) and items.item_ids.dtype == object:
            interactions = replace(interactions, item_ids=as_strings(interactions.item_ids))
        elif is_delimited(catalog) and interactions.item_ids.dtype == object:
            items = Catalog(as_strings(items.item_ids), items.fields)
    settings: dict[str, Any] = {} if checkpoint is None else {"checkpoint": checkpoint}
    if validation is not None:
        axis = interactions.item_ids
        if items is not None:
            axis = extend(axis, column_of(items.item_ids, "fit", "items"), "fit")
        settings |= {"validation": _validation_users(Path(validation), axis), "metric": metric}
    recommender.fit(interactions, items, threads=threads, progress=progress, **settings)
    recommender.save(out)
    return recommender


def _validation_users(folder: Path, item_ids: Ids) -> HeldOut:
    """Read the validation users of a split who have a history, on a model's item axis."""
    files = [folder / f"validation_{kind}.parquet" for kind in ("histories", "targets")]
    if not all(file.is_file() for file in files):
        expected = f"a folder that split wrote, with {files[0].name} and {files[1].name}"
        raise FileNotFoundError(describe("fit", "validation", str(folder), expected))
    parts = [Interactions.read(file, **told(file, {})) for file in files]
    for file, part in zip(files, parts, strict=True):
        unknown = np.flatnonzero(positions(part.item_ids, item_ids, "fit") < 0)
        if len(unknown):
            what = f"number of unknown items in {file.name}"
            found = f"{len(unknown)}, the first {part.item_ids[unknown[0]]!r}"
            way_out = f"name all items by catalog=, as {folder / 'items.parquet'} does"
            raise ValueError(describe("fit", what, found, "0", way_out))
    histories, targets = (part.with_items(item_ids) for part in parts)
    # Users without a history are recommended the same whatever is learned: they tell nothing.
    rows = positions(targets.user_ids, histories.user_ids, "fit")
    exclude_seen = json.loads((folder / "split.json").read_text())["exclude_seen"]
    return HeldOut(
        histories.select_users(rows[rows >= 0]), targets.select_users(rows >= 0), exclude_seen
    )


def recommend(
    model: Folder,
    histories: Paths,
    out: Folder,
    n: int = 10,
    *,
    users_from: Paths | None = None,
    among: Paths | None = None,
    deny: Paths | None = None,
    exclude_seen: bool = True,
    unknown_items: Literal["error", "drop"] = "error",
    users: int = 20_000,
    threads: int = 0,
    progress: Progress = False,
    **columns: Any,
) -> list[Path]:
    """Write each user's top n as Parquet parts of `users` users.

    Parquet files that are sorted by user are read as a stream, at constant memory; others are read
    whole first (8 bytes an event). A job that was interrupted goes on at the first missing part.

    Args:
        model: A folder that `fit` wrote.
        histories: Files of events.
        out: A new or empty folder, or an interrupted job's.
        n: Items a user.
        users_from: Files with a column of users: those are ranked for and nobody else, and who of
            them has no history gets popular items. None: everybody who has a history.
        among: Files with a column of items: only those are recommended.
        deny: Files with a column of items that nobody is recommended.
        exclude_seen: Leave out what is in the user's history.
        unknown_items: What to do about items that the model doesn't know: "error" or "drop".
        users: Users a part.
        threads: 0 for all that this process may use.
        progress: True for a bar, or a callable that is handed the share done.
        **columns: As `Interactions.read` takes them.

    Returns:
        The parts. Columns: user_id, item_id, rank, score, fallback.
    """
    users = count("recommend", "users", users)
    recommender = load(model)
    columns = told(histories, columns)
    item, user = columns.get("item", "item_id"), columns.get("user", "user_id")

    def positions_in(files: Paths | None) -> NDArray[np.int32] | None:
        return None if files is None else known_items(files, item, recommender.item_ids)

    with progress_bar("recommending", progress) as report:
        parts = _parts(histories, users, report, columns)
        if users_from is not None:
            parts = users_alone(parts, read_ids(users_from, user, "recommend"), users)
        return write_parts(
            recommender,
            (on_axis(part, recommender.item_ids, histories, unknown_items) for part in parts),
            out,
            n,
            exclude_seen=exclude_seen,
            among=positions_in(among),
            deny=positions_in(deny),
            threads=threads,
        )


def _parts(
    histories: Paths,
    users: int,
    report: Callable[[float], object] | None,
    columns: Mapping[str, Any],
) -> Iterator[Interactions]:
    total = rows_if_sorted(histories, columns.get("user", "user_id"), who="recommend")
    if total is None:
        return parts_of(Interactions.read(histories, **columns), users, report)
    done = None if report is None else lambda rows: report(rows / total)
    return stream_users(histories, users, report=done, **columns)


def _require_new(who: str, out: Path) -> None:
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        expected = "a new or empty folder"
        raise FileExistsError(describe(who, str(out), "in use", expected, "choose another"))


def _items_table(split: Split) -> pa.Table:
    import pyarrow as pa

    warm = split.train.item_counts() > 0
    return pa.table({"item_id": arrow_ids(split.train.item_ids), "warm": pa.array(warm)})
