"""Fit: the step of a batch job that makes a model of files, and stops its training by others.

Columns are named as for the other steps (`pyhybrid.jobs.pipeline`).
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pyhybrid.data.catalog import Catalog
from pyhybrid.data.held_out import HeldOut, of_users, refuse_leak
from pyhybrid.data.ids import as_strings, column_of, extend, positions
from pyhybrid.data.interactions import Interactions
from pyhybrid.data.tables import is_delimited
from pyhybrid.errors import describe
from pyhybrid.jobs.columns import told
from pyhybrid.kernels import largest_cutoff
from pyhybrid.models import model_class
from pyhybrid.models.torch_base import TorchRecommender
from pyhybrid.storage import require_free

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping

    from pyhybrid.data.tables import Paths
    from pyhybrid.models.base import Recommender
    from pyhybrid.progress import Progress

    Folder = str | os.PathLike[str]

__all__ = ["fit"]


def fit(
    train: Paths,
    out: Folder,
    model: str = "esler",
    *,
    params: Mapping[str, Any] | None = None,
    catalog: Paths | None = None,
    validation: Folder | None = None,
    metric: str | None = None,
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
        validation: A folder that `split` wrote: after each epoch the model is rated on those of
            its validation users who have a history, and the best epoch is kept. None: all epochs
            are run.
        metric: What it is rated by; None: "ndcg@10".
        checkpoint: A folder for the state of this run alone: the same job, run again, goes on from
            it, or reads it back if it had ended.
        threads: 0 for all that this process may use.
        progress: True for a bar, or a callable that is handed the share done.
        **columns: As `Interactions.read` takes them.

    Raises:
        FileNotFoundError: If the folder has no validation users.
        ValueError: If the model or a parameter is unknown; if a model that is not trained in epochs
            is given `validation` or `checkpoint`; if the checkpoint would lie in `out`; if
            validation users have items that are neither in training nor in the catalogue, or
            targets that are in training; besides what reading and fitting raise.
    """
    kind = model_class(model)
    kind.check_params("fit", params or {})
    recommender = kind(**(params or {}))
    _check_settings(kind, validation, metric, checkpoint)
    require_free(out)  # before the work, whose result could not be saved
    if checkpoint is not None and Path(checkpoint).resolve().is_relative_to(Path(out).resolve()):
        rule = f"a folder outside the model's, {out}"
        raise ValueError(describe("fit", "checkpoint", str(checkpoint), rule))
    settings: dict[str, Any] = {} if checkpoint is None else {"checkpoint": checkpoint}
    if validation is None:
        interactions, items = _read(train, catalog, None, columns)
    else:
        held_out = _validation_users(Path(validation))
        interactions, items = _read(train, catalog, held_out, columns)
        held_out = _as_in_training(held_out, interactions, items, Path(validation))
        settings |= {"validation": held_out, "metric": metric or "ndcg@10"}
    recommender.fit(interactions, items, threads=threads, progress=progress, **settings)
    recommender.save(out)
    return recommender


def _check_settings(
    kind: type[Recommender],
    validation: Folder | None,
    metric: str | None,
    checkpoint: Folder | None,
) -> None:
    for name, folder in (("validation", validation), ("checkpoint", checkpoint)):
        if folder is not None and not issubclass(kind, TorchRecommender):
            rule = f"none for {kind.__name__}, which is not trained in epochs"
            raise ValueError(describe("fit", name, str(folder), rule, "leave it out"))
    if metric is not None:
        largest_cutoff([metric])
        if validation is None:
            way_out = "name a folder that split wrote by validation=, or --validation"
            raise ValueError(describe("fit", "metric", repr(metric), "validation with it", way_out))


def _read(
    train: Paths, catalog: Paths | None, held_out: HeldOut | None, columns: Mapping[str, Any]
) -> tuple[Interactions, Catalog | None]:
    """Read events and items; ids in text files become strings where others show that they are."""
    interactions = Interactions.read(train, **told(train, columns))
    items = None
    if catalog is not None:
        items = Catalog.read(catalog, item=columns.get("item", "item_id"))
    known = [some.item_ids for some in (interactions, items) if some is not None]
    known += [] if held_out is None else [held_out.targets.item_ids]
    are_strings = any(ids.dtype == object for ids in known)
    if are_strings and items is not None and catalog is not None and is_delimited(catalog):
        items = Catalog(as_strings(items.item_ids), items.fields)
    if is_delimited(train):
        if are_strings:
            interactions = replace(interactions, item_ids=as_strings(interactions.item_ids))
        if held_out is not None and held_out.targets.user_ids.dtype == object:
            interactions = replace(interactions, user_ids=as_strings(interactions.user_ids))
    return interactions, items


def _validation_users(folder: Path) -> HeldOut:
    """Read the validation users of a split who have a history."""
    import pyarrow.parquet as pq

    files = [folder / f"validation_{kind}.parquet" for kind in ("histories", "targets")]
    said = folder / "split.json"
    missing = [file.name for file in [*files, said] if not file.is_file()]
    if missing:
        rule = f"a folder that split wrote with validation users; it has no {missing[0]}"
        way_out = "split by strong or leave-last has them, by random or time with -p validation=0.1"
        raise FileNotFoundError(describe("fit", "validation", str(folder), rule, way_out))
    exclude_seen = json.loads(said.read_text()).get("exclude_seen")
    if exclude_seen not in (True, False):
        what = f"exclude_seen in {said}"
        raise ValueError(describe("fit", what, repr(exclude_seen), "true or false, as split says"))
    if not pq.read_metadata(files[0]).num_rows:
        what, way_out = "number of validation users with a history", "split otherwise, or without"
        raise ValueError(describe("fit", what, 0, "one or more", way_out))
    more = folder / "validation_unranked.parquet"
    files += [more] * more.is_file()
    histories, targets, *others = (Interactions.read(file, **told(file, {})) for file in files)
    axis = extend(histories.item_ids, column_of(targets.item_ids, "fit", "validation items"), "fit")
    # Users without a history are recommended the same whatever is learned: they tell nothing.
    rows = positions(targets.user_ids, histories.user_ids, "fit")
    histories, targets = histories.select_users(rows[rows >= 0]), targets.select_users(rows >= 0)
    histories, targets = histories.with_items(axis), targets.with_items(axis)
    unranked = None
    if others:
        unranked = of_users(others[0].with_items(axis, unknown="drop"), histories.user_ids)
    return HeldOut(histories, targets, exclude_seen, unranked)


def _as_in_training(
    held_out: HeldOut, interactions: Interactions, items: Catalog | None, folder: Path
) -> HeldOut:
    """Bring validation users to the items that can be learned; refuse unknown ones, and leaks."""
    known = interactions.item_ids
    if items is not None:
        known = extend(known, column_of(items.item_ids, "fit", "items"), "fit")
    own = held_out.targets.item_ids
    unknown = np.flatnonzero(positions(own, known, "fit") < 0)
    if len(unknown):
        found = f"{len(unknown)}, the first {own[unknown[:1]].tolist()[0]!r}"
        way_out = f"name all items by catalog=, or --catalog: {folder / 'items.parquet'} has them"
        raise ValueError(
            describe("fit", "number of unknown items of validation users", found, "0", way_out)
        )
    on_axis = held_out.with_items(known)
    if on_axis.exclude_seen:
        way_out = f"fit on {folder / 'train.parquet'}"
        train = interactions.with_items(known)
        refuse_leak("fit", "validation targets", on_axis.targets, "train", train, way_out)
    return on_axis
