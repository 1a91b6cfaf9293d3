"""Metrics of labelled rows: does a model score what users liked above what they did not?"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from pyhybrid.data.columns import as_numbers
from pyhybrid.data.feedback import Feedback, require_feedback
from pyhybrid.data.ids import column_of, encode
from pyhybrid.data.labelling import as_labels
from pyhybrid.data.matrices import require_mask
from pyhybrid.errors import describe

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

__all__ = ["UserAUC", "auc", "rate", "user_auc"]

_FIGURES = ("auc", "uauc", "rows", "users", "left_out")


class UserAUC(NamedTuple):
    """Hold the AUC within users.

    Attributes:
        mean: The unweighted mean over the users that have rows of both labels; NaN without any.
        users: How many users that is.
        left_out: The users whose rows all have one label; in no mean.
    """

    mean: float
    users: int
    left_out: int


def auc(labels: Any, scores: Any) -> float:
    """Measure the area under the ROC curve.

    It is the probability that a positive row scores above a negative one, the statistic of H. B.
    Mann and D. R. Whitney (1947) over the number of pairs: with P positive and N negative rows,

        AUC = (#{s_p > s_n} + 1/2 #{s_p = s_n}) / (P N)

    over all pairs of a positive row p and a negative row n, counted exactly by one sort.

    Args:
        labels: bool, or 0 and 1, (rows,).
        scores: Finite numbers (rows,); the higher, the likelier positive.

    Returns:
        A number from 0 to 1; 0.5 for scores that are all equal, NaN where a label is missing.

    Raises:
        TypeError: If the labels or scores are no numbers.
        ValueError: If a label is not 0 or 1, a score is not finite, or the lengths differ.

    >>> auc([1, 0, 1, 0], [0.9, 0.5, 0.5, 0.1])
    0.875
    >>> auc([True, True], [0.2, 0.4])
    nan
    """
    rows, marks, values = _columns("auc", None, labels, scores)
    return float(_group_aucs(rows, marks, values)[0]) if len(rows) else float("nan")


def user_auc(users: Any, labels: Any, scores: Any) -> UserAUC:
    """Measure the mean AUC within users (UAUC), each of whom counts the same.

    A number added to all scores of a user leaves it unchanged, where `auc` also compares rows of
    different users. Users without both labels have no AUC: they are left out and counted.

    Args:
        users: Each row's user, as positions or ids (rows,).
        labels: bool, or 0 and 1, (rows,).
        scores: Finite numbers (rows,); the higher, the likelier positive.

    Raises:
        TypeError: If the users are neither whole numbers nor strings, or the labels or scores no
            numbers.
        ValueError: If a label is not 0 or 1, a score is not finite, or the lengths differ.

    >>> user_auc([7, 7, 8, 8, 9], [1, 0, 1, 0, 1], [0.3, 0.1, 0.5, 0.9, 0.2])
    UserAUC(mean=0.5, users=2, left_out=1)
    """
    rows, marks, values = _columns("user_auc", users, labels, scores)
    each = _group_aucs(rows, marks, values)
    rated = each[~np.isnan(each)]
    mean = float(rated.mean()) if len(rated) else float("nan")
    return UserAUC(mean, len(rated), len(each) - len(rated))


def rate(
    feedback: Feedback, scores: Any, *, groups: Mapping[str, NDArray[np.bool_]] | None = None
) -> dict[str, Any]:
    """Rate the scores of labelled rows, all together and group by group.

    Args:
        feedback: The rows.
        scores: Finite numbers (rows,); the higher, the likelier liked.
        groups: By name, bool masks (rows,), such as the warm and the cold rows.

    Returns:
        "auc", "uauc", "rows", "users" (those that "uauc" is a mean of) and "left_out" (those
        whose rows all have one label), and for each group's name a dict of the same. Figures
        that are not defined are NaN.

    Raises:
        TypeError: If `feedback` or a mask is none, or the scores are no numbers.
        ValueError: If a score is not finite, a length is not the number of rows, or a group
            has the name of a figure.

    >>> train = Feedback.from_columns([1, 1], [5, 6], [1, 0])
    >>> test = Feedback.from_columns([1, 1, 2], [5, 6, 7], [1, 0, 1], earlier=train)
    >>> warm = test.known(train, least=1)
    >>> rated = rate(test, [0.8, 0.1, 0.4], groups={"warm": warm, "cold": ~warm})
    >>> rated["auc"], rated["users"], rated["left_out"]
    (1.0, 1, 1)
    >>> rated["cold"]
    {'auc': nan, 'uauc': nan, 'rows': 1, 'users': 0, 'left_out': 1}
    """
    who = "rate"
    require_feedback(feedback, who, "feedback")
    values = _columns(who, feedback.users, feedback.labels, scores)[2]
    rated: dict[str, Any] = _rate(feedback, values)
    for name, mask in (groups or {}).items():
        if name in _FIGURES:
            found, rule = f"the name {name!r}", f"a name other than {', '.join(_FIGURES)}"
            raise ValueError(describe(who, "a group", found, rule))
        require_mask(mask, len(feedback), who, "a row")
        rated[name] = _rate(feedback.select(mask), values[mask])
    return rated


def _rate(feedback: Feedback, scores: NDArray[Any]) -> dict[str, float]:
    within = user_auc(feedback.users, feedback.labels, scores)
    figures = auc(feedback.labels, scores), within.mean, len(feedback), *within[1:]
    return dict(zip(_FIGURES, figures, strict=True))


def _columns(
    who: str, users: Any, labels: Any, scores: Any
) -> tuple[NDArray[np.int64], NDArray[np.bool_], NDArray[Any]]:
    """Check the columns; users become the numbers 0, 1, ..., all 0 for None."""
    marks, values = as_labels(labels, who, "labels"), as_numbers(scores, who, "scores")
    if users is None:
        rows = np.zeros(len(marks), np.int64)
    else:
        rows = encode(column_of(users, who, "users"))[1]
    lengths = sorted({len(rows), len(marks), len(values)})
    if len(lengths) > 1:
        found = " and ".join(map(str, lengths))
        raise ValueError(describe(who, "the columns' length", found, "one length for all"))
    return rows, marks, values


def _group_aucs(
    groups: NDArray[np.int64], labels: NDArray[np.bool_], scores: NDArray[Any]
) -> NDArray[np.float64]:
    """Return the AUC of each of the groups 0, 1, ...: float64 (groups,), NaN without both labels.

    The rows are sorted by group and score. A run of equal scores adds twice its positives times
    the group's negatives before it, and its positives times its own negatives.
    """
    if not len(groups):
        return np.empty(0)
    order = np.lexsort((scores, groups))
    groups, labels, scores = groups[order], labels[order], scores[order]
    starts = np.flatnonzero(np.diff(groups, prepend=-1))
    changes = (groups[1:] != groups[:-1]) | (scores[1:] != scores[:-1])
    runs = np.concatenate([[0], np.flatnonzero(changes) + 1])
    positives = np.add.reduceat(labels, runs, dtype=np.int64)
    negatives = np.add.reduceat(~labels, runs, dtype=np.int64)
    run_starts = np.searchsorted(runs, starts)  # every group begins with a run
    before = np.cumsum(negatives) - negatives
    before -= before[run_starts][groups[runs]]
    twice = np.add.reduceat(positives * (2 * before + negatives), run_starts)
    pairs = np.add.reduceat(positives, run_starts) * np.add.reduceat(negatives, run_starts)
    aucs = np.full(len(starts), np.nan)
    np.divide(twice, 2 * pairs, out=aucs, where=pairs > 0)
    return aucs
