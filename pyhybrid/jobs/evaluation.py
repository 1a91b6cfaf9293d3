"""Evaluate a batch job's recommendations, from files."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypeAlias

import numpy as np

from pyhybrid.checks import count
from pyhybrid.data.columns import Rows
from pyhybrid.data.ids import as_strings, column_of, extend, join, positions, spelled, whole_numbers
from pyhybrid.data.interactions import Interactions
from pyhybrid.data.matrices import rows_of
from pyhybrid.data.tables import Column, is_delimited, open_files
from pyhybrid.errors import describe
from pyhybrid.evaluation import METRICS, Report, evaluate_ranking
from pyhybrid.jobs.columns import known_items, parquet_metadata, told
from pyhybrid.kernels import largest_cutoff
from pyhybrid.memory import require_memory
from pyhybrid.ranking import Ranking

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from pyhybrid.data.ids import IdColumn, Ids
    from pyhybrid.data.tables import Paths

__all__ = ["Evaluation", "Only", "evaluate"]

Only: TypeAlias = Literal["known", "new"]


@dataclass(frozen=True)
class Evaluation:
    """Hold what `evaluate` found in files; prints as a table.

    Attributes:
        report: The figures that the lists can give, as `pyhybrid.evaluate` has them: joint, known
            and new from lists of all items; one kind alone from lists made of it alone.
        users_without: Users with targets but no recommendation; they count as misses.
        seen: Recommendations that the user had in train already.
        notes: What there is no figure of, and why.
    """

    report: Report
    users_without: int
    seen: int | None
    notes: tuple[str, ...] = ()

    def __str__(self) -> str:
        lines = [str(self.report), *self.notes]
        if self.users_without:
            lines.append(
                f"{self.users_without} users had no recommendation and count as misses; recommend "
                "--users-from takes the users to rank for, with a history or without"
            )
        if self.seen:
            lines.append(f"{self.seen} recommendations were in the user's training data already")
        return "\n".join(lines)


def evaluate(
    recommendations: Paths,
    targets: Paths,
    train: Paths | None = None,
    *,
    metrics: Sequence[str] | None = None,
    new_below: int = 0,
    new_from: Paths | None = None,
    **columns: Any,
) -> Evaluation:
    """Rate recommendations in files against held-out targets in files, matched by id.

    A user with targets but no recommendation counts as a miss, and is counted: histories in files
    can't hold a user without an event, who would get popular items from `Recommender.recommend`.

    Args:
        recommendations: Files with the columns user_id, item_id and rank (from 1); a folder of
            parts will do.
        targets: Files of held-out events.
        train: Files of training events, to tell known items from new ones.
        metrics: As `kernels.ranking_metrics` names them; None: those of `METRICS` that the lists
            are long enough for.
        new_below: Items with fewer training users than this number are new, and those without any.
        new_from: Files with a column of items: these are new, and no others.
        **columns: Of `targets` and `train`, as `Interactions.read` takes them.

    Raises:
        ValueError: If a user has two items of one rank, or one item twice, if lists are shorter
            than a cut-off, or if they were made of known or new items alone and it is not told, or
            told otherwise, which these are.
    """
    listed = _read_recommendations(recommendations)
    files = [targets] if train is None else [targets, train]
    parts = [
        (Interactions.read(paths, **told(paths, columns)), is_delimited(paths)) for paths in files
    ]
    listed, (wanted, *rest) = _alike(listed, parts)
    trained = rest[0] if rest else None
    item_ids = extend(wanted.item_ids, listed.items, "evaluate")
    if trained is not None:
        item_ids = extend(item_ids, column_of(trained.item_ids, "evaluate", "items"), "evaluate")
    told_of_lists = parquet_metadata(recommendations)
    asked = max((int(d.get(b"n", 0)) for d in told_of_lists), default=0)
    only = _made_only_of(told_of_lists)
    chosen = METRICS if metrics is None else metrics
    longest = largest_cutoff(chosen)
    ranking = _ranking(listed, wanted.user_ids, item_ids, asked, longest)
    notes = []
    if metrics is None:
        chosen = [metric for metric in METRICS if largest_cutoff([metric]) <= ranking.n]
        if len(chosen) < len(METRICS):
            longer = [metric for metric in METRICS if metric not in chosen]
            notes.append(
                f"no {' or '.join(longer)}: the lists hold {ranking.n} items; recommend -n "
                f"{largest_cutoff(longer)} makes longer ones"
            )
    new = seen = None
    if trained is not None:
        trained = trained.with_items(item_ids)
        new = trained.item_counts() < max(count("evaluate", "new_below", new_below, least=0), 1)
        seen = _count_seen(ranking, trained)
    if new_from is not None:
        new = np.zeros(len(item_ids), dtype=np.bool_)
        new[known_items(new_from, columns.get("item", "item_id"), item_ids)] = True
    if only is not None and new is None:
        way_out = "name training events by train=, or --train, or new items by new_from="
        rule = f"told, as the lists were made of {only} items alone"
        raise ValueError(describe("evaluate", "which items are new", "unknown", rule, way_out))
    if only is None and new is not None and new.any():
        notes.append(
            "no figures of one kind ranked alone: recommend --only known and --only new make "
            "lists that can be rated so"
        )
    report = evaluate_ranking(
        ranking, wanted.with_items(item_ids), chosen, new=new, only=only, name="recommendations"
    )
    return Evaluation(report, int((ranking.items[:, 0] < 0).sum()), seen, tuple(notes))


def _made_only_of(metadata: list[dict[bytes, bytes]]) -> Only | None:
    """Return what recommend made the lists of, as it wrote into their files; None: all items."""
    found = {json.loads(data.get(b"only", b"null")) for data in metadata}
    if len(found) > 1:
        kinds = ", ".join(sorted(str(kind) for kind in found))
        rule = "lists that were made alike"
        raise ValueError(describe("evaluate", "what the lists were made of", kinds, rule))
    only: Only | None = found.pop() if found else None
    return only


class _Listed(NamedTuple):
    """Recommendations as they stand in files, row by row."""

    users: IdColumn
    items: IdColumn
    ranks: NDArray[Any]
    untyped: bool


def _read_recommendations(paths: Paths) -> _Listed:
    names = ("user_id", "item_id", "rank")
    kinds = ("string", "string", None)
    columns = [Column(name, name, kind) for name, kind in zip(names, kinds, strict=True)]
    tables = open_files(paths, columns, "evaluate")
    # Ranks are checked as times are: numbers of any width.
    rows = Rows("user_id", "item_id", None, "rank", None, None)
    chunks = list(rows.chunks(tables, "evaluate"))
    users = join([chunk.users for chunk in chunks], "evaluate", "column 'user_id'")
    items = join([chunk.items for chunk in chunks], "evaluate", "column 'item_id'")
    found = [chunk.times for chunk in chunks if chunk.times is not None and len(chunk.times)]
    ranks = np.concatenate(found) if found else np.empty(0, dtype=np.int64)
    if not np.issubdtype(ranks.dtype, np.integer) or (len(ranks) and ranks.min() < 1):
        value = f"{ranks.dtype}, from {ranks.min() if len(ranks) else 0}"
        raise ValueError(describe("evaluate", "column 'rank'", value, "integers from 1"))
    return _Listed(users, items, ranks, tables.untyped)


def _alike(
    listed: _Listed, parts: list[tuple[Interactions, bool]]
) -> tuple[_Listed, list[Interactions]]:
    """Read the ids of text files as strings where another file shows that they are strings.

    Args:
        listed: The recommendations.
        parts: Other interactions, and whether they come from text.
    """
    users = [part.user_ids for part, _ in parts]
    items = [part.item_ids for part, _ in parts]
    listed_users, users_are_strings = _kind(listed.users, listed.untyped, users)
    listed_items, items_are_strings = _kind(listed.items, listed.untyped, items)
    interactions = [
        replace(
            part,
            user_ids=as_strings(part.user_ids) if users_are_strings else part.user_ids,
            item_ids=as_strings(part.item_ids) if items_are_strings else part.item_ids,
        )
        if untyped
        else part
        for part, untyped in parts
    ]
    return listed._replace(users=listed_users, items=listed_items), interactions


def _kind(column: IdColumn, untyped: bool, others: list[Ids]) -> tuple[IdColumn, bool]:
    """Tell whether the ids of a column and of other files are strings; spell the column if so."""
    numbers = whole_numbers(column) if untyped else None
    column = column if numbers is None else numbers
    are_strings = any(ids.dtype == object for ids in others)
    if isinstance(column, np.ndarray):
        return spelled(column) if untyped and are_strings else column, are_strings
    return column, are_strings or len(column) > 0


def _ranking(
    listed: _Listed, user_ids: NDArray[Any], item_ids: NDArray[Any], asked: int, longest: int
) -> Ranking:
    """Arrange recommendations as one row a target user; other users' are left aside.

    Ranks only order a user's items: what was taken out of a list leaves no gap.

    Args:
        listed: The recommendations.
        user_ids: The target users.
        item_ids: The item axis.
        asked: The length of list that was asked for; 0 where that is not known.
        longest: The length that is looked at.
    """
    rows = positions(listed.users, user_ids, "evaluate")
    kept = np.flatnonzero(rows >= 0)
    order = kept[np.lexsort((listed.ranks[kept], rows[kept]))]
    row, rank = rows[order], listed.ranks[order]
    twice = np.flatnonzero((row[1:] == row[:-1]) & (rank[1:] == rank[:-1]))
    if len(twice):
        value = f"{rank[twice[0]]} of user {user_ids[row[twice[0]]]!r}"
        raise ValueError(describe("evaluate", "a rank that is there twice", value, "none"))
    place = np.arange(len(row)) - np.searchsorted(row, row)
    n = min(max(asked, int(place.max(initial=0)) + 1), longest)
    require_memory(
        "evaluate", f"{len(user_ids)} users", 8 * n * len(user_ids), "lists", "rate fewer"
    )
    ranked = np.full((len(user_ids), n), -1, dtype=np.int32)
    seen = place < n
    ranked[row[seen], place[seen]] = positions(listed.items, item_ids, "evaluate")[order[seen]]
    scores = np.where(ranked >= 0, np.float32(0), np.float32(-np.inf))
    return Ranking(ranked, scores, user_ids, item_ids, np.zeros(len(user_ids), dtype=np.bool_))


def _count_seen(ranking: Ranking, trained: Interactions) -> int:
    """Count the recommendations that stand in the user's training row."""
    users = positions(ranking.row_ids, trained.user_ids)
    row, rank = np.nonzero((ranking.items >= 0) & (users >= 0)[:, None])
    matrix, width = trained.matrix, trained.n_items
    known = rows_of(matrix.indptr) * width + matrix.indices
    return int(np.isin(users[row] * width + ranking.items[row, rank], known).sum())
