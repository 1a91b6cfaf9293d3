"""What each of several models keeps of behaviour, and what of text.

All are rated on the same held-out users and items (`pyhybrid.evaluation`), known and new ones
ranked together as in a running system. A model keeps the share of the best pure-behaviour model's
NDCG@10 of known targets, and that of the best pure-text model's area under the curve of known and
new targets; one that keeps both stands at the top right. Differences come with a paired bootstrap
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
from pyhybrid.evaluation import CANDIDATES, Report, evaluate

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
_POINTS = 60  # of a curve, in JSON


@dataclass(frozen=True)
class Measured:
    """Hold what was found of one model.

    Attributes:
        report: Its figures: joint, known and new, one kind alone, the curve, and for each user.
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
        held_out.histories,
        _TOP,
        exclude_seen=held_out.exclude_seen,
        unranked=held_out.unranked,
        threads=threads,
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

    Of behaviour a model keeps its share of the best NDCG@10 of known targets among all items; of
    text its share of the best area under the curve of known and new targets, as that does not
    depend on how far up new items were let.

    Args:
        measured: By name, on the same held-out users.
        behaviour: Names of those that see no text; one that isn't measured may be among them.
        text: Names of those that see no behaviour.
        seed: Of the bootstrap.

    Returns:
        What JSON takes: ``best``, by kind the name or None, and ``models``, by name the figures.
        What is not defined is None.
    """
    strengths = {name: _strengths(found) for name, found in measured.items()}
    best = {
        "behaviour": _best({n: of[0] for n, of in strengths.items() if n in behaviour}),
        "text": _best({n: of[1] for n, of in strengths.items() if n in text}),
    }
    rivals = {"known": best["behaviour"], "new": best["text"], "joint": best["behaviour"]}
    models = {}
    for name, found in measured.items():
        row = _figures(found.report)
        row["kept"] = {
            side: None if rival is None else _share(strengths[name][k], strengths[rival][k])
            for k, (side, rival) in enumerate(list(rivals.items())[:2])
        }
        row["interval"] = {
            side: None if rival in (None, name) else _interval(measured, name, rival, side, seed)
            for side, rival in rivals.items()
        }
        row["tradeoff"] = _tradeoff(found.report)
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


def _strengths(found: Measured) -> tuple[float, float]:
    """Return NDCG@10 of known targets among all items, and the area; NaN where there is none."""
    known = found.report.per_user[_key(found, "known")]
    area = next((curve.area for curve in found.report.tradeoffs.values()), math.nan)
    return math.nan if np.isnan(known).all() else float(np.nanmean(known)), area


def _key(found: Measured, side: str) -> tuple[str, str, str]:
    """Name a figure of each user; where there is no new item, all are known: joint."""
    name = next(iter(found.report.per_user))[0]
    key = (name, side, KEY_METRIC)
    return key if key in found.report.per_user or side == "new" else (name, "joint", KEY_METRIC)


def _best(strengths: Mapping[str, float]) -> str | None:
    """Name the strongest; the first of equals."""
    found = {name: value for name, value in strengths.items() if not math.isnan(value)}
    return max(found, key=lambda name: found[name]) if found else None


def _interval(
    measured: Mapping[str, Measured], name: str, rival: str, side: str, seed: int
) -> dict[str, Any] | None:
    """Return the difference of a model from its rival, with its interval."""
    pair = [measured[one].report.per_user.get(_key(measured[one], side)) for one in (name, rival)]
    if pair[0] is None or pair[1] is None:
        return None
    ends = paired_interval(pair[0], pair[1], seed=seed)
    keys = ("difference", "low", "high")
    return {"against": rival, **dict(zip(keys, map(_plain, ends), strict=True))}


def _tradeoff(report: Report) -> dict[str, Any] | None:
    """Return a curve as JSON takes it, with no more points than a picture shows."""
    curve = next(iter(report.tradeoffs.values()), None)
    if curve is None or math.isnan(curve.area):
        return None
    # Evenly along the curve, both ways: by the known target lost and the new one gained.
    way = (curve.known[0] - curve.known) / max(np.ptp(curve.known), 1e-12)
    way += (curve.new - curve.new[0]) / max(np.ptp(curve.new), 1e-12)
    points = np.unique(np.searchsorted(way, np.linspace(0, way[-1], _POINTS)).clip(0, len(way) - 1))
    sides = ("known", "new", "joint", "share")
    step, joint = curve.best
    return {
        "by": curve.by,
        "n": curve.n,
        "area": curve.area,
        "new_share": curve.as_scored[3],
        "best": {"step": step if math.isfinite(step) else None, "joint": joint},
        "curve": {side: getattr(curve, side)[points].tolist() for side in sides},
        "placed": dict(zip(sides[:3], curve.placed.tolist(), strict=True)),
    }


def _figures(report: Report) -> dict[str, Any]:
    """Return the figures by candidates and metric, and their standard errors likewise."""
    row: dict[str, Any] = dict.fromkeys(CANDIDATES)
    errors: dict[str, Any] = dict.fromkeys(CANDIDATES)
    for figure in report.figures:
        for of, value in ((row, figure.mean), (errors, figure.standard_error)):
            of[figure.candidates] = {
                **(of[figure.candidates] or {}),
                figure.metric: _plain(value),
            }
    return {**row, "standard_error": errors}


def _share(mine: float, other: float) -> float | None:
    return _plain(mine / other) if other > 0 else None


def _plain(value: float) -> float | None:
    """Return a float that JSON takes: None for NaN."""
    return None if math.isnan(value) else float(value)
