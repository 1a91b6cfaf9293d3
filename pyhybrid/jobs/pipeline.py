"""The four steps of a batch job, each from files to files.

Columns are named as `Interactions.read` takes them (``user=``, ``item=``, ``weight=``, ``time=``,
``rating=``, ``min_rating=``, ``duplicates=``, ``ordered=``). Outputs are written beside their
target and renamed, so that what exists is whole.
"""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal
from uuid import uuid4

import numpy as np

from pyhybrid.data.catalog import Catalog
from pyhybrid.data.ids import arrow_ids, column_of, extend, positions
from pyhybrid.data.interactions import Interactions
from pyhybrid.data.splits import split as split_interactions
from pyhybrid.data.streaming import rows_if_sorted, stream_users
from pyhybrid.data.tables import Column, open_files, write_parquet
from pyhybrid.errors import describe
from pyhybrid.evaluation import METRICS, Report, evaluate_ranking
from pyhybrid.models import load, model_class
from pyhybrid.models.batches import parts_of, write_parts
from pyhybrid.progress import progress_bar
from pyhybrid.ranking import Ranking

if TYPE_CHECKING:
    import os
    from collections.abc import Iterator, Mapping, Sequence

    import pyarrow as pa

    from pyhybrid.data.held_out import Split
    from pyhybrid.data.tables import Paths
    from pyhybrid.models.base import Recommender
    from pyhybrid.progress import Progress

    Folder = str | os.PathLike[str]
    Way = Literal["strong", "leave-last", "time", "random", "cold"]

__all__ = ["Evaluation", "evaluate", "fit", "recommend", "split", "write_split"]


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
    interactions = Interactions.read(events, **columns)
    made = split_interactions(interactions, by, cold=cold, seed=seed, **(options or {}))
    write_split(made, out, {"by": by, "cold": cold, "seed": seed, **(options or {})})
    return made


def write_split(split: Split, out: Folder, made_by: Mapping[str, Any] | None = None) -> None:
    """Write a split to a new folder.

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
            write_parquet(interactions.to_arrow(), beside / f"{name}.parquet")
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
    threads: int = 0,
    progress: Progress = False,
    **columns: Any,
) -> Recommender:
    """Fit a model on files of events and save it.

    Args:
        train: Files of events.
        out: The model's folder; an earlier model there is replaced once the new one is whole.
        model: Its name, such as "esler" or "popularity".
        params: Its hyper-parameters by name.
        catalog: Files of items, for items without an event.
        threads: 0 for all that this process may use.
        progress: True for a bar, or a callable that is handed the share done.
        **columns: As `Interactions.read` takes them.

    Raises:
        ValueError: If the model or a parameter is unknown, besides what reading and fitting raise.
    """
    kind = model_class(model)
    kind.check_params("fit", params or {})
    recommender = kind(**(params or {}))
    interactions = Interactions.read(train, **columns)
    items = None
    if catalog is not None:
        items = Catalog.read(catalog, item=columns.get("item", "item_id"))
    recommender.fit(interactions, items, threads=threads, progress=progress)
    recommender.save(out)
    return recommender


def recommend(
    model: Folder,
    histories: Paths,
    out: Folder,
    n: int = 10,
    *,
    users: int = 100_000,
    exclude_seen: bool = True,
    unknown_items: Literal["error", "drop"] = "error",
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
        users: Users a part.
        exclude_seen: Leave out what is in the user's history.
        unknown_items: What to do about items that the model doesn't know: "error" or "drop".
        threads: 0 for all that this process may use.
        progress: True for a bar, or a callable that is handed the share done.
        **columns: As `Interactions.read` takes them.

    Returns:
        The parts. Columns: user_id, item_id, rank, score, fallback.
    """
    recommender = load(model)
    with progress_bar("recommending", progress) as report:

        def parts() -> Iterator[Interactions]:
            total = rows_if_sorted(histories, columns.get("user", "user_id"), who="recommend")
            if total is None:
                found = parts_of(Interactions.read(histories, **columns), users, report)
            else:
                told = None if report is None else lambda done: report(done / total)
                found = stream_users(histories, users, report=told, **columns)
            for part in found:
                yield part.with_items(recommender.item_ids, unknown=unknown_items)

        return write_parts(recommender, parts(), out, n, exclude_seen=exclude_seen, threads=threads)


@dataclass(frozen=True)
class Evaluation:
    """Hold what `evaluate` found in files; prints as a table.

    Attributes:
        report: The figures. Warm and cold ones come from the given lists (`evaluate_ranking`).
        users_without: Users with targets but no recommendation; they count as misses.
        seen: Recommendations that the user had in train already.
    """

    report: Report
    users_without: int
    seen: int | None

    def __str__(self) -> str:
        lines = [str(self.report)]
        if self.users_without:
            lines.append(f"{self.users_without} users had no recommendation and count as misses")
        if self.seen:
            lines.append(f"{self.seen} recommendations were in the user's training data already")
        return "\n".join(lines)


def evaluate(
    recommendations: Paths,
    targets: Paths,
    train: Paths | None = None,
    *,
    metrics: Sequence[str] = METRICS,
    **columns: Any,
) -> Evaluation:
    """Rate recommendations in files against held-out targets in files, matched by id.

    Args:
        recommendations: Files with the columns user_id, item_id and rank (from 1); a folder of
            parts will do.
        targets: Files of held-out events.
        train: Files of training events, to tell warm items from cold ones.
        metrics: As `kernels.ranking_metrics` names them.
        **columns: Of `targets` and `train`, as `Interactions.read` takes them.

    Raises:
        ValueError: If a user has two items of one rank, or one item twice, or if lists are
            shorter than a cut-off.
    """
    wanted = Interactions.read(targets, **columns)
    trained = None if train is None else Interactions.read(train, **columns)
    table = _read_recommendations(recommendations)
    items = column_of(table["item_id"], "evaluate", "item_id")
    item_ids = extend(wanted.item_ids, items)
    if trained is not None:
        item_ids = extend(item_ids, column_of(trained.item_ids, "evaluate", "item_id"))
    ranking = _ranking(table, items, wanted.user_ids, item_ids)
    warm = seen = None
    if trained is not None:
        trained = trained.with_items(item_ids)
        warm = trained.item_counts() > 0
        seen = _count_seen(ranking, trained)
    report = evaluate_ranking(
        ranking, wanted.with_items(item_ids), metrics, warm=warm, name="recommendations"
    )
    return Evaluation(report, int((ranking.items[:, 0] < 0).sum()), seen)


def _require_new(who: str, out: Path) -> None:
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        expected = "a new or empty folder"
        raise FileExistsError(describe(who, str(out), "in use", expected, "choose another"))


def _items_table(split: Split) -> pa.Table:
    import pyarrow as pa

    warm = split.train.item_counts() > 0
    return pa.table({"item_id": arrow_ids(split.train.item_ids), "warm": pa.array(warm)})


def _read_recommendations(paths: Paths) -> pa.Table:
    import pyarrow as pa

    names = ("user_id", "item_id", "rank")
    tables = open_files(paths, [Column(name, name) for name in names], "evaluate")
    return pa.Table.from_batches(list(tables.batches())).select(names)


def _ranking(table: pa.Table, items: Any, user_ids: Any, item_ids: Any) -> Ranking:
    """Arrange recommendations as one row a target user; other users' are left aside."""
    rows = positions(column_of(table["user_id"], "evaluate", "user_id"), user_ids)
    ranks = table["rank"].to_numpy()
    if not np.issubdtype(ranks.dtype, np.integer) or (len(ranks) and ranks.min() < 1):
        value = f"{ranks.dtype}, from {ranks.min() if len(ranks) else 0}"
        raise ValueError(describe("evaluate", "column 'rank'", value, "integers from 1"))
    n = int(ranks.max(initial=1))
    asked = rows >= 0
    places = rows[asked] * n + ranks[asked] - 1
    if len(np.unique(places)) != len(places):
        value = "there twice for one user"
        raise ValueError(describe("evaluate", "a rank", value, "each rank once a user"))
    flat = np.full(len(user_ids) * n, -1, dtype=np.int32)
    flat[places] = positions(items, item_ids)[asked]
    ranked = flat.reshape(len(user_ids), n)
    scores = np.where(ranked >= 0, np.float32(0), np.float32(-np.inf))
    return Ranking(ranked, scores, user_ids, item_ids, np.zeros(len(user_ids), dtype=np.bool_))


def _count_seen(ranking: Ranking, trained: Interactions) -> int:
    """Count the recommendations that stand in the user's training row."""
    users = positions(ranking.row_ids, trained.user_ids)
    row, rank = np.nonzero((ranking.items >= 0) & (users >= 0)[:, None])
    matrix, width = trained.matrix, trained.n_items
    trained_rows = np.repeat(np.arange(trained.n_users), np.diff(matrix.indptr))
    known = trained_rows * width + matrix.indices
    return int(np.isin(users[row] * width + ranking.items[row, rank], known).sum())
