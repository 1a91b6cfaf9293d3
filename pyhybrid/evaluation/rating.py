"""Evaluation on held-out targets: metrics with standard errors, known and new items apart."""

from __future__ import annotations

import itertools
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Literal, TypeAlias

import numpy as np

from pyhybrid import kernels
from pyhybrid.data.held_out import HeldOut
from pyhybrid.errors import describe
from pyhybrid.evaluation.curve import tradeoff

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    import pyarrow as pa
    from numpy.typing import ArrayLike, NDArray

    from pyhybrid.data.interactions import Interactions
    from pyhybrid.evaluation.curve import Tradeoff
    from pyhybrid.models.base import Recommender
    from pyhybrid.ranking import Ranking

    Candidates: TypeAlias = Literal["joint", "known", "new", "warm", "cold"]

__all__ = [
    "CANDIDATES",
    "METRICS",
    "Figure",
    "Report",
    "compare",
    "evaluate",
    "evaluate_ranking",
    "require_candidates",
]

CANDIDATES: tuple[Candidates, ...] = ("joint", "known", "new", "warm", "cold")
_WORDED = {
    "joint": "joint",
    "known": "known among all",
    "new": "new among all",
    "warm": "known alone",
    "cold": "new alone",
}
METRICS = ("ndcg@10", "ndcg@100", "recall@20")


@dataclass(frozen=True)
class Figure:
    """Hold one number of a report.

    Attributes:
        model: Whose number it is.
        candidates: "joint": all items are ranked and all targets count. "known", "new": all items
            are ranked, and the targets of one kind count. "warm", "cold": known items alone, or
            new ones alone, are ranked and count, which no running system does: diagnoses.
        metric: Its name, such as "ndcg@100".
        mean: Over the users that have a target that counts.
        standard_error: Of that mean; NaN for a single user.
        users: How many users that is.
        left_out: Held-out users without a target that counts; in no mean.
    """

    model: str
    candidates: Candidates
    metric: str
    mean: float
    standard_error: float
    users: int
    left_out: int


@dataclass(frozen=True)
class Report:
    """Hold what an evaluation found; prints as a table.

    Attributes:
        figures: In order of model, candidates and metric.
        per_user: For each (model, candidates, metric) float64 (users,), NaN without a target:
            what paired significance tests need.
        tradeoffs: For each model that can rank new items, what they cost known ones.

    >>> import numpy as np
    >>> from scipy.sparse import csr_array
    >>> from pyhybrid import Interactions, Popularity
    >>> from pyhybrid.data import HeldOut
    >>> train = csr_array(np.array([[1, 1, 0], [0, 1, 1], [0, 1, 0]], dtype=np.float32))
    >>> seen = Interactions.from_columns([5], [0], ids=Interactions.from_csr(train[:0]))
    >>> wanted = Interactions.from_columns([5], [1], ids=Interactions.from_csr(train[:0]))
    >>> print(evaluate(Popularity().fit(train), HeldOut(seen, wanted), ["mrr@2"]))
    model         targets          mrr@2            users  left out
    Popularity()  joint            1.0000               1         0
    """

    figures: tuple[Figure, ...]
    per_user: Mapping[tuple[str, str, str], NDArray[np.float64]] = field(repr=False)
    tradeoffs: Mapping[str, Tradeoff] = field(default_factory=dict, repr=False)

    def __getitem__(self, key: str | tuple[str, ...]) -> float:
        """Return a mean by metric (the joint one), by ("known", metric), or by model first too.

        Raises:
            KeyError: If that names no figure, or several.
        """
        wanted = (key,) if isinstance(key, str) else key
        candidates = wanted[-2] if len(wanted) > 1 else "joint"
        found = [
            f
            for f in self.figures
            if f.metric == wanted[-1]
            and f.candidates == candidates
            and (len(wanted) < 3 or f.model == wanted[0])
        ]
        if len(found) != 1:
            raise KeyError(f"{key!r} names {len(found)} figures of this report")
        return found[0].mean

    def to_arrow(self) -> pa.Table:
        """Return a table with one row a figure."""
        import pyarrow as pa

        return pa.Table.from_pylist([asdict(figure) for figure in self.figures])

    def __str__(self) -> str:
        metrics = list(dict.fromkeys(figure.metric for figure in self.figures))
        by_row = itertools.groupby(self.figures, key=lambda f: (f.model, f.candidates))
        rows = [(*names, {f.metric: f for f in figures}) for names, figures in by_row]
        width = max([5, *(len(model) for model, _, _ in rows)])
        cells = "".join(f"  {metric:<15}" for metric in metrics)
        lines = [f"{'model':<{width}}  {'targets':<15}{cells}  users  left out"]
        for model, candidates, figures in rows:
            cells = "".join(f"  {_cell(figures[metric]):<15}" for metric in metrics)
            first = figures[metrics[0]]
            counts = f"  {first.users:>5}  {first.left_out:>8}"
            lines.append(f"{model:<{width}}  {_WORDED[candidates]:<15}{cells}{counts}")
        for model, found in self.tradeoffs.items():
            share, best = found.as_scored[3], found.best[1]
            lines.append(
                f"{model}: new items are {share:.1%} of the lists of {found.n}; "
                f"area {found.area:.4f}; the best joint ndcg@{found.n} with "
                f"them further up or down is {best:.4f}"
            )
        return "\n".join(lines)


def evaluate(
    model: Recommender,
    held_out: HeldOut,
    metrics: Sequence[str] = METRICS,
    *,
    new: int | ArrayLike = 0,
    candidates: Sequence[Candidates] = CANDIDATES,
    name: str | None = None,
    threads: int = 0,
) -> Report:
    """Rate a fitted model on held-out users, over the full catalogue.

    Where there are new items, several figures are told apart, as `Figure.candidates` names them:
    "joint" and its parts "known" and "new" are what a running system sees; "warm" and "cold", one
    kind ranked alone, are diagnoses. What new items cost known ones stands in
    `Report.tradeoffs`. A user without a target is left out of that mean, and counted.

    Args:
        model: Fitted on the split's train.
        held_out: ``split.test`` or ``split.validation``; what it holds as `unranked` is not ranked.
        metrics: As `kernels.ranking_metrics` names them.
        new: Which items are new: those with fewer training users than this number, and those
            without any; or positions on the model's item axis.
        candidates: The figures wanted; each of "warm" and "cold" takes a ranking of its own, and
            both together give the trade-off.
        name: What the report calls the model; None: its repr.
        threads: 0 for all that this process may use.

    Raises:
        TypeError: If `held_out` is a whole split.
        ValueError: If the model doesn't know a target's item (fit it on ``split.train``, whose
            axis has them all), or a metric or a candidate set is unknown.
    """
    _require_held_out(held_out)
    require_candidates("evaluate", candidates)
    n = kernels.largest_cutoff(metrics)
    name = repr(model) if name is None else name
    targets = held_out.targets.with_items(model.item_ids)
    is_new = model.axis.new_columns(new)
    can_rank = is_new[model.rankable]  # a model without text ranks new items if they have users

    def ranking(columns: NDArray[np.bool_] | None) -> Ranking:
        return model.recommend(
            held_out.histories,
            n,
            exclude_seen=held_out.exclude_seen,
            among=None if columns is None else np.flatnonzero(columns).astype(np.int32),
            unranked=held_out.unranked,
            threads=threads,
        )

    lists: dict[Candidates, Ranking] = {}
    if {"joint", "known", "new"} & {*candidates} or not can_rank.any():
        lists["joint"] = ranking(None)
    if is_new.any():
        if "warm" in candidates:  # all that a model which can't rank new items ranks
            lists["warm"] = ranking(~is_new) if can_rank.any() else lists["joint"]
        if "cold" in candidates and can_rank.any():
            lists["cold"] = ranking(is_new)
    report = _rate(name, lists, targets, is_new, metrics, candidates)
    cutoff = _tradeoff_cutoff(metrics)
    if cutoff is None or not {"warm", "cold"} <= {*lists}:
        return report
    found = tradeoff(lists["warm"], lists["cold"], targets, is_new, cutoff, by=model.let_up_by)
    return replace(report, tradeoffs={name: found})


def evaluate_ranking(
    ranking: Ranking,
    targets: Interactions,
    metrics: Sequence[str] = METRICS,
    *,
    new: NDArray[np.bool_] | None = None,
    only: Literal["known", "new"] | None = None,
    name: str = "ranking",
) -> Report:
    """Rate rankings that were made before, row by row.

    The figures are those of `evaluate` for the same lists, to the last digit. One kind of items
    ranked alone can't be had from joint lists: to take the others out leaves lists that are too
    short, so that such figures need lists that were made `only` of that kind.

    Args:
        ranking: The rankings.
        targets: The same users in the same rows, on the same item axis.
        metrics: As `kernels.ranking_metrics` names them.
        new: bool (items,), which items are new; None: joint figures only.
        only: What the lists were made of: both kinds of items where None, or known or new items
            alone, which gives the figure "warm" or "cold" and no other one.
        name: What the report calls the ranking.

    Raises:
        ValueError: If the users or the items are others, or in another order, or if lists of one
            kind hold an item of the other.
    """
    ranking.require_axes("evaluate_ranking", targets.user_ids, targets.item_ids)
    is_new = np.zeros(targets.n_items, dtype=np.bool_) if new is None else new
    if is_new.shape != (targets.n_items,):
        expected = f"one value an item, ({targets.n_items},)"
        raise ValueError(describe("evaluate_ranking", "new's shape", is_new.shape, expected))
    if only is None:
        return _rate(name, {"joint": ranking}, targets, is_new, metrics, CANDIDATES)
    listed = is_new[ranking.items[ranking.items >= 0]]
    others = int((listed != (only == "new")).sum())
    if others:
        what = f"number of items that are not {only} in lists of {only} items alone"
        raise ValueError(describe("evaluate_ranking", what, others, "0"))
    kind: Candidates = "warm" if only == "known" else "cold"
    return _rate(name, {kind: ranking}, targets, is_new, metrics, CANDIDATES)


def compare(
    models: Mapping[str, Recommender] | Iterable[Recommender],
    held_out: HeldOut,
    metrics: Sequence[str] = METRICS,
    *,
    new: int | ArrayLike = 0,
    threads: int = 0,
) -> Report:
    """Rate several fitted models on the same held-out users, in one report.

    Args:
        models: By name, or bare to be named by their repr.
        held_out: ``split.test`` or ``split.validation``.
        metrics: As `kernels.ranking_metrics` names them.
        new: As `evaluate` has it; positions are on the models' common item axis.
        threads: 0 for all that this process may use.
    """
    from collections.abc import Mapping

    named = (
        list(models.items())
        if isinstance(models, Mapping)
        else [(repr(model), model) for model in models]
    )
    names = [name for name, _ in named]
    for name in names:
        if names.count(name) > 1:
            way_out = "name the models: compare({name: model})"
            raise ValueError(
                describe("compare", f"the name {name}", "there twice", "once", way_out)
            )
    reports = [
        evaluate(model, held_out, metrics, new=new, name=name, threads=threads)
        for name, model in named
    ]
    return Report(
        tuple(figure for report in reports for figure in report.figures),
        {key: values for report in reports for key, values in report.per_user.items()},
        {key: found for report in reports for key, found in report.tradeoffs.items()},
    )


def _require_held_out(held_out: object) -> None:
    if not isinstance(held_out, HeldOut):
        found = f"a {type(held_out).__name__}"
        way_out = "pass split.test or split.validation"
        raise TypeError(describe("evaluate", "held_out", found, "a HeldOut", way_out))


def require_candidates(who: str, candidates: Sequence[str]) -> None:
    """Raise ValueError if one is none of `CANDIDATES`."""
    for one in candidates:
        if one not in CANDIDATES:
            expected = f"some of {', '.join(CANDIDATES)}"
            raise ValueError(describe(who, "candidates", repr(one), expected))


def _rate(
    name: str,
    lists: Mapping[Candidates, Ranking],
    targets: Interactions,
    is_new: NDArray[np.bool_],
    metrics: Sequence[str],
    candidates: Sequence[Candidates],
) -> Report:
    """Rate the lists there are: the joint ones by all targets and by those of each kind."""
    figures: list[Figure] = []
    per_user: dict[tuple[str, str, str], NDArray[np.float64]] = {}
    for kind in CANDIDATES:
        ranking = lists.get("joint" if kind in ("known", "new") else kind)
        if ranking is None or kind not in candidates or (kind != "joint" and not is_new.any()):
            continue
        wanted = targets
        if kind != "joint":
            is_counted = is_new if kind in ("new", "cold") else ~is_new
            wanted = targets.keep_pairs(is_counted[targets.matrix.indices])
        values = kernels.ranking_metrics(ranking.items, wanted.matrix, metrics)
        for metric, rows in values.items():
            figures.append(_figure(name, kind, metric, rows))
            per_user[name, kind, metric] = rows
    return Report(tuple(figures), per_user)


def _figure(name: str, kind: Candidates, metric: str, values: NDArray[np.float64]) -> Figure:
    rated = values[~np.isnan(values)]
    users = len(rated)
    mean = float(rated.mean()) if users else float("nan")
    error = float(rated.std(ddof=1) / np.sqrt(users)) if users > 1 else float("nan")
    return Figure(name, kind, metric, mean, error, users, len(values) - users)


def _tradeoff_cutoff(metrics: Sequence[str]) -> int | None:
    """Return the cut-off of the first NDCG among the metrics."""
    found = (metric.partition("@") for metric in metrics)
    return next((int(cutoff) for name, _, cutoff in found if name == "ndcg"), None)


def _cell(figure: Figure) -> str:
    error = "" if np.isnan(figure.standard_error) else f" ± {figure.standard_error:.4f}"
    return f"{figure.mean:.4f}{error}"
