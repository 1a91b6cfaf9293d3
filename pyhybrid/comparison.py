"""What each of several models keeps of behaviour, and what of text.

All are rated on the same held-out users and items (`pyhybrid.evaluation`). A model keeps the share
of the best pure-behaviour model's NDCG@10 on warm items, and that of the best pure-text model's on
cold ones; one that keeps both stands at the top right. Differences come with a paired bootstrap
over the users: B. Efron, R. Tibshirani, "An Introduction to the Bootstrap", 1993.
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from pyhybrid import kernels
from pyhybrid.errors import describe
from pyhybrid.evaluation import Report, evaluate

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from numpy.typing import NDArray

    from pyhybrid.data.held_out import HeldOut
    from pyhybrid.data.interactions import Interactions
    from pyhybrid.models.base import Recommender
    from pyhybrid.ranking import Ranking

__all__ = ["BUCKETS", "KEY_METRIC", "METRICS", "Measured", "kept", "measure", "paired_interval"]

KEY_METRIC = "ndcg@10"
METRICS = (KEY_METRIC, "recall@20", "ndcg@100")
BUCKETS = ("0", "1-5", "6-20", "21-100", "more")
_EDGES = np.array([1, 6, 21, 101])  # where a bucket begins
_TOP = 10
_DRAWS = 2000  # of the bootstrap
_DRAWS_AT_ONCE = 100


@dataclass(frozen=True)
class Measured:
    """Hold what was found of one model.

    Attributes:
        report: Its figures: warm, cold and joint, and for each user.
        by_frequency: By the target's number of training users: NDCG@10 of the joint ranking, NaN
            without a target, and how many targets there are.
        by_history: By the length of the history: the same, and how many users there are.
        coverage: The share of all items that somebody is recommended in the top 10.
        popularity: The mean number of training users of what is recommended there.
        scoring_seconds: That ranking the top 10 of all users took.
    """

    report: Report
    by_frequency: dict[str, tuple[float, int]]
    by_history: dict[str, tuple[float, int]]
    coverage: float
    popularity: float
    scoring_seconds: float


def measure(
    model: Recommender,
    held_out: HeldOut,
    metrics: Sequence[str] = METRICS,
    *,
    name: str | None = None,
    threads: int = 0,
) -> Measured:
    """Rate a fitted model as a whole, by item frequency, and by history length.

    Args:
        model: Fitted on the split's train.
        held_out: ``split.test``.
        metrics: As `kernels.ranking_metrics` names them; "ndcg@10" is always among them.
        name: What the report calls the model; None: its repr.
        threads: 0 for all that this process may use.

    >>> from pyhybrid import Popularity
    >>> from pyhybrid.data import splits, synthetic
    >>> split = splits.strong(synthetic.topics(users=200, items=50)[0])
    >>> found = measure(Popularity().fit(split.train), split.test)
    >>> 0 < found.coverage < 1
    True
    """
    wanted = list(dict.fromkeys([KEY_METRIC, *metrics]))
    report = evaluate(model, held_out, wanted, name=name, threads=threads)
    started = time.perf_counter()
    ranking = model.recommend(
        held_out.histories, _TOP, exclude_seen=held_out.exclude_seen, threads=threads
    )
    seconds = time.perf_counter() - started
    shown = ranking.items[ranking.items >= 0]
    counts = model.item_counts
    targets = held_out.targets.with_items(model.item_ids)
    lengths = np.diff(held_out.histories.matrix.indptr)
    whole = _gains(ranking, targets)
    by_history = {}
    for number, bucket in enumerate(BUCKETS):
        rows = whole[np.digitize(lengths, _EDGES) == number]
        rows = rows[~np.isnan(rows)]
        by_history[bucket] = (float(rows.mean()) if len(rows) else math.nan, len(rows))
    return Measured(
        report,
        _by_frequency(ranking, targets, counts),
        by_history,
        len(np.unique(shown)) / len(counts),
        float(counts[shown].mean()) if len(shown) else math.nan,
        seconds,
    )


def _by_frequency(
    ranking: Ranking, targets: Interactions, counts: NDArray[np.int64]
) -> dict[str, tuple[float, int]]:
    bucket_of = np.digitize(counts, _EDGES)[targets.matrix.indices]  # (pairs,)
    found = {}
    for number, bucket in enumerate(BUCKETS):
        own = bucket_of == number
        rows = _gains(ranking, targets.keep_pairs(own))
        found[bucket] = (float(np.nanmean(rows)) if own.any() else math.nan, int(own.sum()))
    return found


def _gains(ranking: Ranking, targets: Interactions) -> NDArray[np.float64]:
    """Return each user's NDCG@10, NaN without a target."""
    return kernels.ranking_metrics(ranking.items, targets.matrix, [KEY_METRIC])[KEY_METRIC]


def paired_interval(
    one: NDArray[np.float64], other: NDArray[np.float64], *, seed: int = 0
) -> tuple[float, float, float]:
    """Return the mean difference of two models over the same users, and its 95 % interval.

    Users are drawn with replacement 2,000 times; the interval is the middle 95 % of the mean
    differences. It tells what another sample of users might give, not another training.

    Args:
        one: A metric of each user, float64 (users,); NaN for a user without a target.
        other: The same users' under the other model.
        seed: Of the draws.

    Returns:
        The mean of one - other, and the lower and upper ends.

    >>> one = np.array([0.5, 0.4, 0.9, np.nan])
    >>> [round(x, 2) for x in paired_interval(one, one - 0.1)]
    [0.1, 0.1, 0.1]
    """
    if one.shape != other.shape:
        expected = f"{other.shape}, one value a user in both"
        raise ValueError(describe("paired_interval", "one's shape", one.shape, expected))
    gaps = one - other
    gaps = gaps[~np.isnan(gaps)]
    if not len(gaps):
        return math.nan, math.nan, math.nan
    generator = np.random.default_rng(seed)
    shares = np.full(len(gaps), 1 / len(gaps))
    means = np.concatenate(
        [
            generator.multinomial(len(gaps), shares, size=_DRAWS_AT_ONCE) @ gaps / len(gaps)
            for _ in range(_DRAWS // _DRAWS_AT_ONCE)
        ]
    )
    low, high = np.quantile(means, [0.025, 0.975])
    return float(gaps.mean()), float(low), float(high)


def kept(
    measured: Mapping[str, Measured],
    *,
    behaviour: Collection[str],
    text: Collection[str],
    seed: int = 0,
) -> dict[str, Any]:
    """Set models beside the best one of pure behaviour and the best one of pure text.

    Args:
        measured: By name, on the same held-out users.
        behaviour: Names of those that see no text; one that isn't measured may be among them.
        text: Names of those that see no behaviour.
        seed: Of the bootstrap.

    Returns:
        What JSON takes: ``best``, by kind the name or None, and ``models``, by name the figures.
        What is not defined is None.
    """
    best = {
        "behaviour": _best(measured, behaviour, "warm"),
        "text": _best(measured, text, "cold"),
    }
    against = {"warm": best["behaviour"], "cold": best["text"], "joint": best["behaviour"]}
    models = {}
    for name, found in measured.items():
        row = _figures(found.report)
        row["kept"] = {}
        row["interval"] = {}
        for candidates, rival in against.items():
            mine = _per_user(measured, name, candidates)
            other = None if rival is None else _per_user(measured, rival, candidates)
            if mine is None or other is None or rival is None:
                share = interval = None
            else:
                share = _share(float(np.nanmean(mine)), float(np.nanmean(other)))
                ends = paired_interval(mine, other, seed=seed)
                keys = ("difference", "low", "high")
                interval = {"against": rival, **dict(zip(keys, map(_plain, ends), strict=True))}
            row["interval"][candidates] = None if name == rival else interval
            if candidates != "joint":
                row["kept"][candidates] = share
        row["by_frequency"] = {
            bucket: {KEY_METRIC: _plain(mean), "targets": count}
            for bucket, (mean, count) in found.by_frequency.items()
        }
        row["by_history"] = {
            bucket: {KEY_METRIC: _plain(mean), "users": count}
            for bucket, (mean, count) in found.by_history.items()
        }
        row["coverage"], row["popularity"] = found.coverage, _plain(found.popularity)
        models[name] = row
    return {"best": best, "models": models}


def _best(measured: Mapping[str, Measured], names: Collection[str], candidates: str) -> str | None:
    """Name the model with the highest NDCG@10 on some candidates; the first of equals."""
    means = {
        name: np.nanmean(values)
        for name in measured
        if name in names and (values := _per_user(measured, name, candidates)) is not None
    }
    return max(means, key=lambda name: means[name]) if means else None


def _per_user(
    measured: Mapping[str, Measured], name: str, candidates: str
) -> NDArray[np.float64] | None:
    """Return each user's NDCG@10; where there is no cold item, warm is joint. None: can't rank."""
    found = measured[name].report.per_user
    names = {model for model, _, _ in found}
    key = (names.pop(), candidates, KEY_METRIC)
    if key not in found and candidates == "warm":
        key = (key[0], "joint", KEY_METRIC)
    values = found.get(key)
    return None if values is None or np.isnan(values).all() else values


def _figures(report: Report) -> dict[str, Any]:
    """Return the figures by candidates and metric, and their standard errors likewise."""
    row: dict[str, Any] = {"warm": None, "cold": None, "joint": None}
    errors: dict[str, Any] = dict.fromkeys(row)
    for figure in report.figures:
        row[figure.candidates] = {**(row[figure.candidates] or {}), figure.metric: figure.mean}
        errors[figure.candidates] = {
            **(errors[figure.candidates] or {}),
            figure.metric: _plain(figure.standard_error),
        }
    if row["warm"] is None:  # all items are warm
        row["warm"], errors["warm"] = row["joint"], errors["joint"]
    return {
        **{
            key: values and {metric: _plain(mean) for metric, mean in values.items()}
            for key, values in row.items()
        },
        "standard_error": errors,
    }


def _share(mine: float, other: float) -> float | None:
    return _plain(mine / other) if other > 0 else None


def _plain(value: float) -> float | None:
    """Return a float that JSON takes: None for NaN."""
    return None if math.isnan(value) else float(value)
