"""Ranking metrics, from rankings or straight from scores."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pyhybrid.checks import check_dense, metric_names, running
from pyhybrid.errors import describe
from pyhybrid.kernels.core import _core, core_csr
from pyhybrid.kernels.ranking import restriction

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from pyhybrid.kernels.core import CSR, Progress

__all__ = ["largest_cutoff", "ranking_metrics", "score_metrics"]


def ranking_metrics(
    items: NDArray[np.int32],
    targets: CSR,
    metrics: Sequence[str] = ("ndcg@100", "recall@20"),
    *,
    threads: int = 0,
    progress: Progress | None = None,
) -> dict[str, NDArray[np.float64]]:
    """Rate rankings against held-out targets: all metrics at any set of cut-offs in one pass.

    With h_j = 1 if the item at rank j is a target, and R the row's number of targets:

    - ``ndcg@k``: sum of h_j / log2(j + 1) over the ranks up to k, over its largest possible value
      with min(k, R) hits;
    - ``recall@k``: hits / R; ``recall_min@k``: hits / min(k, R) (Liang et al., WWW 2018);
    - ``precision@k``: hits / k; ``hit@k``: 1 if there is a hit; ``mrr@k``: 1 / rank of the first;
    - ``map@k``: the sum of precision@j over the hits' ranks j, over R; ``map_min@k``: over
      min(k, R).

    Args:
        items: C-contiguous int32 (rows, n), best first; -1 from where a row ends.
        targets: CSR (rows, items) whose stored entries, whatever their value, are the targets.
        metrics: ``"name@k"`` each, with k at most n.
        threads: 0 for all that this process may use.
        progress: Called with the share done.

    Returns:
        For each metric float64 (rows,): NaN in a row without a target, to be left out of the mean
        (``np.nanmean``), not averaged as zero.

    Raises:
        TypeError: If `items` is not C-contiguous int32, or `targets` no CSR.
        ValueError: If a metric is unknown, k exceeds n, or a row names an item twice or one out of
            range.

    >>> from scipy.sparse import csr_array
    >>> targets = csr_array(np.array([[0, 1, 1], [0, 0, 0]], dtype=np.float32))
    >>> ranking = np.array([[0, 1], [2, 1]], dtype=np.int32)
    >>> ranking_metrics(ranking, targets, ["recall@2", "mrr@2"])
    {'recall@2': array([0.5, nan]), 'mrr@2': array([0.5, nan])}
    """
    check_dense("ranking_metrics", "items", items, np.int32)
    held = core_csr("ranking_metrics", "targets", targets, values=False)
    options = running("ranking_metrics", threads, progress)
    names = metric_names("ranking_metrics", metrics)
    values = _core.ranking_metrics(items, held, names, *options)
    return dict(zip(names, values, strict=True))


def score_metrics(
    scores: NDArray[np.float32],
    targets: CSR,
    metrics: Sequence[str] = ("ndcg@100", "recall@20"),
    *,
    exclude: CSR | None = None,
    threads: int = 0,
    progress: Progress | None = None,
) -> dict[str, NDArray[np.float64]]:
    """Rate a score matrix: mask, rank and rate each row in one pass.

    Equal to `top_n_scores` followed by `ranking_metrics`, without the rankings in between.

    Args:
        scores: C-contiguous float32 (rows, items).
        targets: CSR (rows, items) whose stored entries are the targets.
        metrics: As in `ranking_metrics`; k may exceed the number of items.
        exclude: CSR (rows, items) whose stored entries are not ranked.
        threads: 0 for all that this process may use.
        progress: Called with the share done.

    Returns:
        For each metric float64 (rows,); NaN in a row without a target.

    Raises:
        TypeError: If a dtype or layout is not as above.
        ValueError: If shapes disagree, a metric is unknown, or a candidate's score is nan.

    >>> from scipy.sparse import csr_array
    >>> scores = np.array([[0.9, 0.5, 0.1]], dtype=np.float32)
    >>> targets = csr_array(np.array([[0, 1, 0]], dtype=np.float32))
    >>> score_metrics(scores, targets, ["mrr@3"])
    {'mrr@3': array([0.5])}
    """
    check_dense("score_metrics", "scores", scores, np.float32)
    held = core_csr("score_metrics", "targets", targets, values=False)
    options = running("score_metrics", threads, progress)
    if scores.shape != tuple(targets.shape):
        expected = f"targets' shape, {tuple(targets.shape)}"
        raise ValueError(describe("score_metrics", "scores' shape", scores.shape, expected))
    held_exclude, _ = restriction("score_metrics", exclude, None)
    names = metric_names("score_metrics", metrics)
    values = _core.score_metrics(scores, held, held_exclude, names, *options)
    return dict(zip(names, values, strict=True))


def largest_cutoff(metrics: Sequence[str]) -> int:
    """Return the largest k of some metrics: how long a ranking they need.

    Raises:
        ValueError: If there is no metric, or one is unknown.

    >>> largest_cutoff(["ndcg@100", "recall@20"])
    100
    """
    names = metric_names("metrics", metrics)
    if not names:
        raise ValueError(describe("metrics", "the list", "empty", "one metric or more"))
    return max(_core.cutoff("metrics", name) for name in names)
