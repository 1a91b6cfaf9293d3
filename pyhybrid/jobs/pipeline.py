"""Split and recommend: steps of a batch job, each from files to files.

Columns are named as `Interactions.read` takes them (``user=``, ``item=``, ``weight=``, ``time=``,
``rating=``, ``min_rating=``, ``duplicates=``, ``ordered=``). Outputs are written beside their
target and renamed, so that what exists is whole.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal
from uuid import uuid4

import numpy as np

from pyhybrid.checks import count
from pyhybrid.data.ids import arrow_ids
from pyhybrid.data.interactions import Interactions
from pyhybrid.data.splits import split as split_interactions
from pyhybrid.data.streaming import rows_if_sorted, stream_users
from pyhybrid.data.tables import write_parquet
from pyhybrid.errors import describe
from pyhybrid.jobs.columns import described, known_items, on_axis, read_ids, told, users_alone
from pyhybrid.models import load
from pyhybrid.models.batches import parts_of, write_parts
from pyhybrid.progress import progress_bar

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Iterator, Mapping

    import pyarrow as pa
    from numpy.typing import NDArray

    from pyhybrid.data.held_out import Split
    from pyhybrid.data.tables import Paths
    from pyhybrid.jobs.evaluation import Only
    from pyhybrid.progress import Progress

    Folder = str | os.PathLike[str]
    Way = Literal["strong", "leave-last", "time", "random", "cold", "cold-stress"]

__all__ = ["recommend", "split", "write_split"]


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
        by: "strong", "leave-last", "time", "random", "cold" or "cold-stress".
        cold: The share of items to hide from training, besides.
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
    ``test_targets.parquet``, and ``test_unranked.parquet`` where users took more that is not to be
    ranked for them; ``items.parquet`` with the item axis, which items are warm (have a training
    interaction) and which were hidden as new; ``split.json`` with how it was made, what is in it,
    and the new items' share of the items, of the test users' events and of the targets.
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
            if part.unranked is not None and part.unranked.matrix.nnz:
                parts[f"{name}_unranked"] = part.unranked
        for name, interactions in parts.items():
            write_parquet(described(interactions), beside / f"{name}.parquet")
            counts[name] = {"users": interactions.n_users, "pairs": int(interactions.matrix.nnz)}
        write_parquet(_items_table(split), beside / "items.parquet")
        said = {
            "exclude_seen": split.test.exclude_seen,
            "parts": counts,
            "new_items": split.new_shares()._asdict(),
            **(made_by or {}),
        }
        (beside / "split.json").write_text(json.dumps(said, indent=2) + "\n")
        if out.exists():
            out.rmdir()
        beside.rename(out)
    except BaseException:
        shutil.rmtree(beside, ignore_errors=True)
        raise


def recommend(
    model: Folder,
    histories: Paths,
    out: Folder,
    n: int = 10,
    *,
    users_from: Paths | None = None,
    among: Paths | None = None,
    deny: Paths | None = None,
    unranked: Paths | None = None,
    only: Only | None = None,
    new_items: tuple[int, int] | None = None,
    new_below: int = 0,
    new_from: Paths | None = None,
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
        unranked: Files of pairs, each of which is not ranked for its user: a split's
            ``test_unranked.parquet``.
        only: "known" or "new": rank these items alone, a diagnosis; `evaluate` is told by the
            parts.
        new_items: The least and the most places of each list that new items get.
        new_below: Items with fewer training users than this number are new, and those without any.
        new_from: Files with a column of items: these are new, and no others.
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

    if only not in (None, "known", "new"):
        raise ValueError(describe("recommend", "only", repr(only), "'known' or 'new'"))
    named = positions_in(new_from)
    new = new_below if named is None else named
    allowed = positions_in(among)
    if only is not None:
        kind = recommender.axis.new_columns(new) == (only == "new")
        of_kind = np.flatnonzero(kind).astype(np.int32)
        allowed = of_kind if allowed is None else np.intersect1d(allowed, of_kind)
    pairs = None
    if unranked is not None:
        own = Interactions.read(unranked, **{**told(unranked, columns), "user": user, "item": item})
        pairs = on_axis(own, recommender.item_ids, unranked, "drop")

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
            among=allowed,
            deny=positions_in(deny),
            unranked=pairs,
            new_items=new_items,
            new=new,
            made_of=None if only is None else {"only": only},
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

    warm, new = split.train.item_counts() > 0, np.zeros(split.train.n_items, dtype=np.bool_)
    new[split.new_positions()] = True
    ids = arrow_ids(split.train.item_ids)
    return pa.table({"item_id": ids, "warm": pa.array(warm), "new": pa.array(new)})
