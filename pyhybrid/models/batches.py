"""Recommendations for many users, in Parquet parts that a restarted job goes on with."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pyhybrid.checks import count
from pyhybrid.data.held_out import of_users
from pyhybrid.data.tables import write_parquet, write_text
from pyhybrid.errors import describe
from pyhybrid.models.places import checked_places
from pyhybrid.storage import digest

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from numpy.typing import ArrayLike

    from pyhybrid.data.interactions import Interactions
    from pyhybrid.models.base import Recommender

__all__ = ["parts_of", "write_parts"]

_JOB = "_job.json"  # readers of Parquet folders pass over names with an underscore


def parts_of(
    histories: Interactions, rows: int, report: Callable[[float], object] | None = None
) -> Iterator[Interactions]:
    """Cut histories into parts of `rows` users, in order.

    >>> from pyhybrid.data import Interactions
    >>> seen = Interactions.from_columns([1, 2, 3], [5, 5, 6])
    >>> [part.n_users for part in parts_of(seen, 2)]
    [2, 1]
    """
    for first in range(0, histories.n_users, rows):
        last = min(first + rows, histories.n_users)
        yield histories.select_users(np.arange(first, last))
        if report is not None:
            report(last / histories.n_users)


def write_parts(
    model: Recommender,
    parts: Iterable[Interactions],
    out: str | os.PathLike[str],
    n: int,
    *,
    exclude_seen: bool = True,
    among: ArrayLike | None = None,
    deny: ArrayLike | None = None,
    unranked: Interactions | None = None,
    new_items: tuple[int, int] | None = None,
    new: int | ArrayLike = 0,
    made_of: Mapping[str, Any] | None = None,
    threads: int = 0,
) -> list[Path]:
    """Write ``part-00000.parquet`` and so on to the folder `out`, one for each part.

    Each part is written beside its target and renamed, so that what exists is whole. A restarted
    job skips the parts that exist, after checking that they come from the same model, options and
    histories. Memory: one part.

    Args:
        model: A fitted model.
        parts: The histories, part by part.
        out: A new or empty folder, or one where the same job was interrupted.
        n: Items a user.
        exclude_seen: As `Recommender.recommend` has it.
        among: As `Recommender.recommend` has it, for all rows alike.
        deny: As `Recommender.recommend` has it.
        unranked: As `Recommender.recommend` has it, of any users: matched by their ids.
        new_items: As `Recommender.recommend` has it.
        new: As `Recommender.recommend` has it.
        made_of: What is to be said of the lists in the parts' metadata, beside their length.
        threads: 0 for all that this process may use.

    Raises:
        ValueError: If `out` holds parts of another job.
        FileExistsError: If `out` holds something else.
    """
    among = None if among is None else np.asarray(among)
    if among is not None and among.ndim != 1:
        expected = "1, allowed items for all rows"
        what = "among's number of dimensions"
        raise ValueError(describe("recommend_batches", what, among.ndim, expected))
    n = count("recommend", "n", n)
    model.axis.allowed(among, deny)  # refuses wrong arguments before the folder is taken
    folder = Path(out)
    job = {
        "model": model.fingerprint(),
        "n": n,
        "exclude_seen": exclude_seen,
        "among": None if among is None else digest(among),
        "deny": None if deny is None else digest(np.asarray(deny)),
        "unranked": None if unranked is None else _digest_histories(unranked),
        "new_items": None if new_items is None else list(checked_places(new_items, n)),
        "new": None if new_items is None else digest(model.axis.new_columns(new)),
        **(made_of or {}),
    }
    _require_own(folder, job)
    paths = []
    for number, histories in enumerate(parts):
        path = folder / f"part-{number:05d}.parquet"
        made_from = _digest_histories(histories)
        if path.exists():
            _require_same_histories(path, made_from)
        else:
            own = None if unranked is None else of_users(unranked, histories.user_ids)
            ranking = model.recommend(
                histories,
                n,
                exclude_seen=exclude_seen,
                among=among,
                deny=deny,
                unranked=own,
                new_items=new_items,
                new=new,
                threads=threads,
            )
            if not (folder / _JOB).exists():  # not before there is something to write
                folder.mkdir(parents=True, exist_ok=True)
                write_text([json.dumps(job, indent=2)], folder / _JOB)
            told = {name: json.dumps(value) for name, value in (made_of or {}).items()}
            metadata = {"histories": made_from, "n": str(n), **told}
            write_parquet(ranking.to_arrow().replace_schema_metadata(metadata), path)
        paths.append(path)
    surplus = sorted(set(folder.glob("part-*.parquet")) - set(paths))
    if surplus:
        expected = "no part beyond those of these histories"
        raise ValueError(describe("recommend", str(surplus[0]), "left over", expected, _ANEW))
    return paths


_ANEW = "choose another folder, or empty this one"


def _require_own(folder: Path, job: dict[str, Any]) -> None:
    """Refuse a folder that is in use for anything but this job."""
    path = folder / _JOB
    if not path.exists():
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            expected = "a new or empty folder"
            raise FileExistsError(describe("recommend", str(folder), "in use", expected, _ANEW))
        return
    try:
        there = dict(json.loads(path.read_text()))
    except ValueError as error:
        raise ValueError(
            describe("recommend", str(path), f"damaged ({error})", "whole", _ANEW)
        ) from error
    for key, value in job.items():
        if there.get(key) != value:
            what = f"{key} of the job in {folder}"
            raise ValueError(describe("recommend", what, there.get(key), str(value), _ANEW))


def _require_same_histories(path: Path, made_from: str) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        metadata = pq.read_schema(path).metadata or {}
    except (pa.ArrowException, OSError) as error:
        value, way_out = f"damaged ({error})", "delete it to have it made again"
        raise ValueError(describe("recommend", str(path), value, "whole", way_out)) from error
    if metadata.get(b"histories") != made_from.encode():
        expected = "made from these histories"
        raise ValueError(describe("recommend", str(path), "made from others", expected, _ANEW))


def _digest_histories(histories: Interactions) -> str:
    matrix, events = histories.matrix, histories.events
    order = [] if events is None else [events.items]
    return digest(histories.user_ids, matrix.indptr, matrix.indices, matrix.data, *order)
