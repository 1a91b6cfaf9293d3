"""What is measured on: seeded synthetic events at full size, and public data sets.

Drawn events and solved weights are kept in the folder PYHYBRID_BENCH_CACHE (default
~/.cache/pyhybrid-bench).
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.sparse import csr_array, vstack

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

DATA = Path(__file__).parents[2] / "shared/data"
L2 = 500.0


def events_10m(
    seed: int = 0, users: int = 136_677, items: int = 20_108, events: int = 10_000_000
) -> csr_array:
    """Draw events as large as the Netflix-like public ones: float32 CSR of ones, indices sorted.

    An item's popularity is its rank to the power -0.9; users' activity is log-normal with sigma
    1.1, between 5 items and 40 % of all. A user's items are distinct, drawn by popularity without
    replacement.
    """
    path = cache() / f"events_{users}_{items}_{events}_{seed}.npz"
    if not path.exists():
        random = np.random.default_rng(seed)
        activity = draw_activity(random, users, items, events)
        indices = _draw_items(random, activity, items)
        indptr = np.concatenate([[0], np.cumsum(activity)]).astype(np.int32)
        _keep(path, lambda file: np.savez(file, indptr=indptr, indices=indices))
    with np.load(path) as kept:
        indices, indptr = kept["indices"], kept["indptr"]
    ones = np.ones(len(indices), dtype=np.float32)
    x = csr_array((ones, indices, indptr), shape=(users, items))
    x.has_sorted_indices = x.has_canonical_format = True
    return x


def scaled_events(scale: float, users: int = 136_677, items: int = 20_108) -> csr_array:
    """Draw events with the full workload's number of items a user, users and items scaled."""
    users, items = max(round(users * scale), 50), max(round(items * scale), 50)
    return events_10m(users=users, items=items, events=round(users * 10_000_000 / 136_677))


def draw_activity(
    random: np.random.Generator, users: int, items: int, events: int
) -> NDArray[np.int64]:
    """Draw each user's number of items: log-normal, clipped, with the sum `events`."""
    drawn = random.lognormal(sigma=1.1, size=users)
    low, most = min(5, items), int(0.4 * items)
    events = int(np.clip(events, low * users, most * users // 2))
    bounds = [0.0, float(items) / drawn.min()]
    for _ in range(100):  # bisection: clipping makes the sum other than the scale says
        middle = sum(bounds) / 2
        total = np.clip(np.rint(drawn * middle), low, most).sum()
        bounds[int(total > events)] = middle
    activity = np.clip(np.rint(drawn * bounds[0]), low, most).astype(np.int64)
    rounding = random.choice(np.flatnonzero(activity < most), events - activity.sum())
    np.add.at(activity, rounding, 1)
    return np.minimum(activity, most)


def _draw_items(
    random: np.random.Generator, activity: NDArray[np.int64], items: int
) -> NDArray[np.int32]:
    """Draw each user's distinct items, sorted, user after user.

    Drawing as many as are missing, dropping what is there already, until none is missing, is
    sampling without replacement by popularity.
    """
    popularity = random.permutation(np.arange(1, items + 1) ** -0.9)
    below = np.cumsum(popularity) / popularity.sum()
    chunks = []
    for first in range(0, len(activity), 1024):
        missing = activity[first : first + 1024].copy()
        taken = np.zeros(len(missing) * items, dtype=bool)
        while missing.any():
            rows = np.repeat(np.arange(len(missing)), missing)
            drawn = np.searchsorted(below[:-1], random.random(len(rows)), side="right")
            places = rows * items + drawn
            new = np.unique(places[~taken[places]])
            taken[new] = True
            missing -= np.bincount(new // items, minlength=len(missing))
        chunks.append((np.flatnonzero(taken) % items).astype(np.int32))
    return np.concatenate(chunks)


def ml1m() -> csr_array:
    """Read MovieLens-1M: all pairs as ones."""
    from pyhybrid import Interactions

    path = DATA / "ml-1m/pairs.csv.zst"
    x = Interactions.read(path, user="userId", item="movieId").matrix.copy()
    x.sort_indices()  # a peer relies on it
    return x


def gowalla() -> csr_array | None:
    """Read gowalla's train part, or None where the data set is not there."""
    from pyhybrid.data.readers import open_folder

    if not (DATA / "gowalla").exists():
        return None
    return open_folder(DATA / "gowalla").split.train.matrix


def most_popular(x: csr_array, items: int) -> csr_array:
    """Keep the most popular items."""
    counts = np.bincount(x.indices, minlength=x.shape[1])
    kept = x[:, np.sort(np.argsort(-counts, kind="stable")[:items])]
    kept.sort_indices()
    return kept


def weights_of(x: csr_array, threads: int) -> NDArray[np.float32]:
    """Solve for the ESLER weights of some events, once."""
    from pyhybrid import kernels

    path = cache() / f"weights_{x.shape[0]}_{x.shape[1]}_{x.nnz}_{L2:g}.npy"
    if not path.exists():
        gram = kernels.gram(x, threads=threads)
        weights = kernels.esler_weights(gram, L2, overwrite=True, threads=threads)
        _keep(path, lambda file: np.save(file, weights))
    return np.load(path)


def hold_out(x: csr_array, seed: int = 0) -> tuple[csr_array, csr_array]:
    """Part each user's items into histories and targets: 20 %, rounded down, are targets."""
    lengths = np.diff(x.indptr)
    rows = np.repeat(np.arange(len(lengths)), lengths)
    order = np.argsort(rows + np.random.default_rng(seed).random(x.nnz))
    rank = np.arange(x.nnz) - np.repeat(x.indptr[:-1], lengths)
    is_target = np.zeros(x.nnz, dtype=bool)
    is_target[order[rank < np.repeat(lengths // 5, lengths)]] = True
    return _entries(x, rows, ~is_target), _entries(x, rows, is_target)


def _entries(x: csr_array, rows: NDArray[Any], chosen: NDArray[np.bool_]) -> csr_array:
    counts = np.bincount(rows[chosen], minlength=x.shape[0])
    indptr = np.concatenate([[0], np.cumsum(counts)]).astype(np.int32)
    return csr_array((x.data[chosen], x.indices[chosen], indptr), shape=x.shape)


def noisy_popularity(x: csr_array, seed: int = 0) -> NDArray[np.float32]:
    """Score every user and item: the item's log popularity and normal noise, float32."""
    scores = np.empty(x.shape, dtype=np.float32)
    np.random.default_rng(seed).standard_normal(dtype=np.float32, out=scores)
    scores += np.log1p(np.bincount(x.indices, minlength=x.shape[1])).astype(np.float32)
    return scores


def repeated(x: csr_array, times: int) -> csr_array:
    """Repeat all rows."""
    return csr_array(vstack([x] * times, format="csr"))


def shape_of(x: csr_array) -> dict[str, int]:
    """Describe some events for a result: users, items, events and multiply-adds of the Gram."""
    lengths = np.diff(x.indptr).astype(np.int64)
    pairs = int((lengths * (lengths + 1) // 2).sum())
    return {"users": x.shape[0], "items": x.shape[1], "events": x.nnz, "pairs": pairs}


def cache() -> Path:
    """Return the folder of what is drawn once."""
    given = os.environ.get("PYHYBRID_BENCH_CACHE")
    folder = Path(given) if given else Path.home() / ".cache/pyhybrid-bench"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _keep(path: Path, write: Callable[[Any], object]) -> None:
    beside = path.with_name(f"{path.name}.{os.getpid()}.part")
    with beside.open("wb") as file:
        write(file)
    beside.rename(path)
