"""Choose hyper-parameters on a split's validation part."""

from __future__ import annotations

import itertools
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from pyhybrid import kernels
from pyhybrid.data.tables import write_text
from pyhybrid.errors import describe
from pyhybrid.evaluation.rating import evaluate, require_candidates
from pyhybrid.progress import progress_bar

if TYPE_CHECKING:
    import os
    from collections.abc import Iterator, Mapping, Sequence

    from pyhybrid.data.catalog import Catalog
    from pyhybrid.data.held_out import Split
    from pyhybrid.evaluation.rating import Candidates
    from pyhybrid.models.base import Recommender
    from pyhybrid.progress import Progress

__all__ = ["Tuning", "tune"]

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
        candidates: Which of `evaluate`'s figures; "joint" is what a running system sees.
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
    require_candidates("tune", [candidates])
    table: list[dict[str, Any]] = []
    with progress_bar(f"tuning {type(model).__name__}", progress) as report:
        for configuration, unfitted in zip(configurations, models, strict=True):
            fitted = unfitted.with_params().fit(split.train, catalog, threads=threads)
            rated = evaluate(
                fitted, split.validation, [metric], candidates=[candidates], threads=threads
            )
            del fitted
            figure = next(iter(rated.figures), None)
            if figure is None or not figure.users:
                value = f"{candidates!r}, of which {type(model).__name__} has no figure here"
                raise ValueError(describe("tune", "candidates", value, "others, such as joint"))
            row = {"mean": figure.mean, "standard_error": figure.standard_error}
            table.append({**configuration, **row})
            if out is not None:
                write_text([json.dumps({"metric": metric, "table": table}, indent=2)], out)
            if report is not None:
                report(len(table) / len(configurations))
    best = max(range(len(table)), key=lambda row: table[row]["mean"])
    return Tuning(models[best], metric, tuple(table))


def _product(grid: Mapping[str, Sequence[Any]]) -> Iterator[tuple[Any, ...]]:
    return itertools.product(*grid.values()) if grid else iter(())
