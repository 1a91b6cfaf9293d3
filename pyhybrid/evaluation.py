"""Evaluation on held-out targets: metrics with standard errors, warm and cold items apart."""

from __future__ import annotations

import itertools
import json
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Generic, Literal, TypeAlias, TypeVar

import numpy as np

from pyhybrid import kernels
from pyhybrid.data.held_out import HeldOut
from pyhybrid.data.tables import write_text
from pyhybrid.errors import describe
from pyhybrid.progress import progress_bar

if TYPE_CHECKING:
    import os
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    import pyarrow as pa
    from numpy.typing import NDArray

    from pyhybrid.data.catalog import Catalog
    from pyhybrid.data.held_out import Split
    from pyhybrid.data.interactions import Interactions
    from pyhybrid.models.base import Recommender
    from pyhybrid.progress import Progress
    from pyhybrid.ranking import Ranking

    Candidates: TypeAlias = Literal["joint", "warm", "cold"]

__all__ = ["Figure", "Report", "Tuning", "compare", "evaluate", "evaluate_ranking", "tune"]

METRICS = ("ndcg@10", "ndcg@100", "recall@20")


@dataclass(frozen=True)
class Figure:
    """Hold one number of a report.

    Attributes:
        model: Whose number it is.
        candidates: "joint": all items are ranked and all targets count. "warm": items with a
            training interaction alone. "cold": items without one alone.
        metric: Its name, such as "ndcg@100".
        mean: Over the users that have a target among the candidates.
        standard_error: Of that mean; NaN for a single user.
        users: How many users that is.
        left_out: Held-out users without a target among the candidates; in no mean.
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

    >>> import numpy as np
    >>> from scipy.sparse import csr_array
    >>> from pyhybrid import Interactions, Popularity
    >>> from pyhybrid.data import HeldOut
    >>> train = csr_array(np.array([[1, 1, 0], [0, 1, 1], [0, 1, 0]], dtype=np.float32))
    >>> seen = Interactions.from_columns([5], [0], ids=Interactions.from_csr(train[:0]))
    >>> wanted = Interactions.from_columns([5], [1], ids=Interactions.from_csr(train[:0]))
    >>> print(evaluate(Popularity().fit(train), HeldOut(seen, wanted), ["mrr@2"]))
    model         candidates  mrr@2            users  left out
    Popularity()  joint       1.0000               1         0
    """

    figures: tuple[Figure, ...]
    per_user: Mapping[tuple[str, str, str], NDArray[np.float64]] = field(repr=False)

    def __getitem__(self, key: str | tuple[str, ...]) -> float:
        """Return a mean by metric (the joint one), by ("warm", metric), or by model first too.

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
        lines = [f"{'model':<{width}}  candidates{cells}  users  left out"]
        for model, candidates, figures in rows:
            cells = "".join(f"  {_cell(figures[metric]):<15}" for metric in metrics)
            first = figures[metrics[0]]
            counts = f"  {first.users:>5}  {first.left_out:>8}"
            lines.append(f"{model:<{width}}  {candidates:<10}{cells}{counts}")
        return "\n".join(lines)


def evaluate(
    model: Recommender,
    held_out: HeldOut,
    metrics: Sequence[str] = METRICS,
    *,
    name: str | None = None,
    threads: int = 0,
) -> Report:
    """Rate a fitted model on held-out users, over the full catalogue.

    Where the axis has cold items (no training interaction), three candidate sets are told apart:
    "joint" ranks all items and counts all targets; "warm" ranks warm items for warm targets;
    "cold" ranks cold items for cold targets, and is missing for a model that can't score them.
    A user without a target among the candidates is left out of that mean, and counted.

    Args:
        model: Fitted on the split's train.
        held_out: ``split.test`` or ``split.validation``.
        metrics: As `kernels.ranking_metrics` names them.
        name: What the report calls the model; None: its repr.
        threads: 0 for all that this process may use.

    Raises:
        TypeError: If `held_out` is a whole split.
        ValueError: If the model doesn't know a target's item (fit it on ``split.train``, whose
            axis has them all), or a metric is unknown.
    """
    _require_held_out(held_out)
    n = kernels.largest_cutoff(metrics)
    name = repr(model) if name is None else name
    targets = held_out.targets.with_items(model.item_ids)
    warm = model.item_counts > 0

    def ranking(columns: NDArray[np.bool_] | None) -> Ranking:
        return model.recommend(
            held_out.histories,
            n,
            exclude_seen=held_out.exclude_seen,
            among=None if columns is None else np.flatnonzero(columns).astype(np.int32),
            threads=threads,
        )

    joint = ranking(None)
    rated = [_rate(name, "joint", joint, targets, None, metrics)]
    if not warm.all():
        # A model that can't score cold items ranks warm ones alone in any case.
        among_warm = ranking(warm) if model.scores_cold_items else joint
        rated.append(_rate(name, "warm", among_warm, targets, warm, metrics))
        if model.scores_cold_items:
            rated.append(_rate(name, "cold", ranking(~warm), targets, ~warm, metrics))
    return _report(rated)


def evaluate_ranking(
    ranking: Ranking,
    targets: Interactions,
    metrics: Sequence[str] = METRICS,
    *,
    warm: NDArray[np.bool_] | None = None,
    name: str = "ranking",
) -> Report:
    """Rate rankings that were made before, row by row.

    Warm and cold figures come from the given lists, with the other items taken out: lists that
    become shorter than a cut-off understate it, where `evaluate` ranks anew.

    Args:
        ranking: The rankings.
        targets: The same users in the same rows, on the same item axis.
        metrics: As `kernels.ranking_metrics` names them.
        warm: bool (items,), which items had a training interaction; None: joint figures only.
        name: What the report calls the ranking.

    Raises:
        ValueError: If the users or the items are others, or in another order.
    """
    ranking.require_axes("evaluate_ranking", targets.user_ids, targets.item_ids)
    if warm is not None and warm.shape != (targets.n_items,):
        expected = f"one value an item, ({targets.n_items},)"
        raise ValueError(describe("evaluate_ranking", "warm's shape", warm.shape, expected))
    rated = [_rate(name, "joint", ranking, targets, None, metrics)]
    if warm is not None and not warm.all():
        rated.append(_rate(name, "warm", ranking.keep(warm), targets, warm, metrics))
        rated.append(_rate(name, "cold", ranking.keep(~warm), targets, ~warm, metrics))
    return _report(rated)


def compare(
    models: Mapping[str, Recommender] | Iterable[Recommender],
    held_out: HeldOut,
    metrics: Sequence[str] = METRICS,
    *,
    threads: int = 0,
) -> Report:
    """Rate several fitted models on the same held-out users, in one report.

    Args:
        models: By name, or bare to be named by their repr.
        held_out: ``split.test`` or ``split.validation``.
        metrics: As `kernels.ranking_metrics` names them.
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
        evaluate(model, held_out, metrics, name=name, threads=threads) for name, model in named
    ]
    return Report(
        tuple(figure for report in reports for figure in report.figures),
        {key: values for report in reports for key, values in report.per_user.items()},
    )


Model = TypeVar("Model", bound="Recommender")


@dataclass(frozen=True)
class Tuning(Generic[Model]):
    """Hold what a search over hyper-parameters found; prints as a table.

    Attributes:
        model: The best configuration, not fitted.
        metric: What it was chosen by.
        table: For each configuration its parameters, mean and standard_error, in grid order.
    """

    model: Model
    metric: str
    table: tuple[dict[str, Any], ...]

    def __str__(self) -> str:
        best = self.model.params
        lines = []
        for row in self.table:
            params = {k: v for k, v in row.items() if k not in ("mean", "standard_error")}
            text = ", ".join(f"{name}={value}" for name, value in params.items())
            mark = "  <- best" if all(best[k] == v for k, v in params.items()) else ""
            lines.append(f"{text}: {self.metric} {row['mean']:.4f}{mark}")
        return "\n".join(lines)


def tune(
    model: Model,
    grid: Mapping[str, Sequence[Any]],
    split: Split,
    metric: str = "ndcg@10",
    *,
    candidates: Candidates = "joint",
    catalog: Catalog | None = None,
    out: str | os.PathLike[str] | None = None,
    threads: int = 0,
    progress: Progress = False,
) -> Tuning[Model]:
    """Try every combination of hyper-parameters on the validation part of a split.

    The test part is never looked at. Of equal configurations the first in grid order wins. One
    model is in memory at a time.

    Args:
        model: The parameters that the grid doesn't name.
        grid: For each parameter the values to try.
        split: Fits on its train, rates on its validation.
        metric: What to maximise.
        candidates: Which of `evaluate`'s figures.
        catalog: The items' texts, for models that read them.
        out: A JSON file for the table, written after each configuration.
        threads: 0 for all that this process may use.
        progress: True for a bar, or a callable that is handed the share done.

    Raises:
        ValueError: If the split has no validation part, the grid is empty, or the model can't
            rank the candidates.

    >>> from pyhybrid import ESLER
    >>> from pyhybrid.data import splits, synthetic
    >>> interactions, _ = synthetic.topics(users=200, items=50, seed=0)
    >>> split = splits.strong(interactions, seed=0)
    >>> tune(ESLER(), {"l2": [1.0, 100.0]}, split).model.l2 in (1.0, 100.0)
    True
    """
    if split.validation is None:
        way_out = "split with validation= above 0; tuning on test is not offered"
        raise ValueError(describe("tune", "split.validation", None, "a held-out part", way_out))
    configurations = [dict(zip(grid, values, strict=True)) for values in _product(grid)]
    if not configurations:
        raise ValueError(describe("tune", "grid", dict(grid), "one value or more a parameter"))
    # What can be wrong with the arguments is found before the first fit.
    model.check_params("tune", grid)
    models = [model.with_params(**configuration) for configuration in configurations]
    kernels.largest_cutoff([metric])
    if candidates not in ("joint", "warm", "cold"):
        raise ValueError(describe("tune", "candidates", repr(candidates), "joint, warm or cold"))
    table: list[dict[str, Any]] = []
    with progress_bar(f"tuning {type(model).__name__}", progress) as report:
        for configuration, unfitted in zip(configurations, models, strict=True):
            fitted = unfitted.with_params().fit(split.train, catalog, threads=threads)
            rated = evaluate(fitted, split.validation, [metric], threads=threads)
            del fitted
            figure = next((f for f in rated.figures if f.candidates == candidates), None)
            if figure is None or not figure.users:
                value = f"{candidates!r}, of which {type(model).__name__} has no figure here"
                raise ValueError(describe("tune", "candidates", value, "joint, warm or cold"))
            row = {"mean": figure.mean, "standard_error": figure.standard_error}
            table.append({**configuration, **row})
            if out is not None:
                write_text([json.dumps({"metric": metric, "table": table}, indent=2)], out)
            if report is not None:
                report(len(table) / len(configurations))
    best = max(range(len(table)), key=lambda row: table[row]["mean"])
    return Tuning(models[best], metric, tuple(table))


def _require_held_out(held_out: object) -> None:
    if not isinstance(held_out, HeldOut):
        found = f"a {type(held_out).__name__}"
        way_out = "pass split.test or split.validation"
        raise TypeError(describe("evaluate", "held_out", found, "a HeldOut", way_out))


_Rated: TypeAlias = "tuple[list[Figure], dict[tuple[str, str, str], NDArray[np.float64]]]"


def _rate(
    name: str,
    candidates: Candidates,
    ranking: Ranking,
    targets: Interactions,
    columns: NDArray[np.bool_] | None,
    metrics: Sequence[str],
) -> _Rated:
    if columns is not None:
        targets = targets.keep_pairs(columns[targets.matrix.indices])
    values = kernels.ranking_metrics(ranking.items, targets.matrix, metrics)
    figures = []
    for metric, rows in values.items():
        rated = rows[~np.isnan(rows)]
        users = len(rated)
        mean = float(rated.mean()) if users else float("nan")
        error = float(rated.std(ddof=1) / np.sqrt(users)) if users > 1 else float("nan")
        left_out = len(rows) - users
        figures.append(Figure(name, candidates, metric, mean, error, users, left_out))
    return figures, {(name, candidates, metric): rows for metric, rows in values.items()}


def _report(rated: Sequence[_Rated]) -> Report:
    figures = tuple(figure for part, _ in rated for figure in part)
    return Report(figures, {key: rows for _, part in rated for key, rows in part.items()})


def _cell(figure: Figure) -> str:
    error = "" if np.isnan(figure.standard_error) else f" ± {figure.standard_error:.4f}"
    return f"{figure.mean:.4f}{error}"


def _product(grid: Mapping[str, Sequence[Any]]) -> Iterator[tuple[Any, ...]]:
    return itertools.product(*grid.values()) if grid else iter(())
