from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyhybrid.data import Feedback, read_feedback
from pyhybrid.pointwise import UserAUC, auc, rate, user_auc

REAL = Path(__file__).parents[1] / ".." / "shared" / "data" / "collm-ml-1m"

# few users and few scores, so that there are ties and users of one label
rows = st.lists(
    st.tuples(st.integers(0, 4), st.booleans(), st.sampled_from([-1.5, -0.0, 0.0, 0.25, 2.0])),
    min_size=1,
    max_size=40,
)


def naive(labels, scores) -> float:
    """Compare every positive row with every negative one."""
    twice = pairs = 0
    for score in (s for label, s in zip(labels, scores, strict=True) if label):
        for other in (s for label, s in zip(labels, scores, strict=True) if not label):
            pairs += 1
            twice += 2 * (score > other) + (score == other)
    return twice / (2 * pairs) if pairs else math.nan


@given(rows)
def test_auc_compares_all_pairs(log) -> None:
    _, labels, scores = zip(*log, strict=True)
    expected = naive(labels, scores)
    assert auc(labels, scores) == expected or math.isnan(expected)
    assert math.isnan(auc(labels, scores)) == math.isnan(expected)
    if not math.isnan(expected):
        assert auc(~np.array(labels), scores) == pytest.approx(1 - expected)
        assert auc(labels, np.float32(scores)) == expected


@given(rows)
def test_user_auc_is_the_mean_within_users(log) -> None:
    users, labels, scores = zip(*log, strict=True)
    each = []
    for user in set(users):
        own = [row[1:] for row in log if row[0] == user]
        each.append(naive(*zip(*own, strict=True)))
    rated = [value for value in each if not math.isnan(value)]
    found = user_auc(users, labels, scores)
    assert (found.users, found.left_out) == (len(rated), len(each) - len(rated))
    if rated:
        assert found.mean == pytest.approx(np.mean(rated), rel=1e-12)
    else:
        assert math.isnan(found.mean)
    names = [f"user {user}" for user in users]
    assert user_auc(names, labels, scores)[1:] == found[1:]


def test_by_hand() -> None:
    users = [3, 3, 3, 9, 9, 4, 4, 5]
    labels = [1, 0, 1, 0, 1, 1, 1, 0]
    scores = [0.9, 0.5, 0.5, 0.8, 0.2, 0.6, 0.7, 0.1]
    # user 3: one pair won, one tied; user 9: lost; users 4 and 5 have one label
    assert user_auc(users, labels, scores) == UserAUC(0.375, 2, 2)
    assert auc(labels, scores) == 9.5 / 15
    assert auc([1, 0], [3, 3]) == 0.5


def test_a_constant_of_each_user_moves_auc_alone() -> None:
    rng = np.random.default_rng(0)
    users = rng.integers(20, size=400)
    labels = rng.random(400) < 0.4
    scores = rng.integers(8, size=400)  # whole numbers: ties stay ties
    moved = scores + rng.integers(-50, 50, size=20)[users]
    assert user_auc(users, labels, moved) == user_auc(users, labels, scores)
    assert auc(labels, moved) != auc(labels, scores)


def test_the_order_of_rows_does_not_matter() -> None:
    rng = np.random.default_rng(1)
    users, labels, scores = rng.integers(9, size=300), rng.random(300) < 0.5, rng.random(300)
    order = rng.permutation(300)
    assert auc(labels[order], scores[order]) == auc(labels, scores)
    shuffled = user_auc(users[order], labels[order], scores[order])
    assert shuffled == user_auc(users, labels, scores)


def test_nothing_to_compare() -> None:
    assert math.isnan(auc([], []))
    assert math.isnan(auc([1, 1], [0.1, 0.2]))
    assert math.isnan(auc([0], [0.1]))
    mean, users, left_out = user_auc([], [], [])
    assert math.isnan(mean)
    assert (users, left_out) == (0, 0)


@pytest.mark.parametrize(
    ("labels", "scores", "error", "message"),
    [
        ([1, 2], [0.1, 0.2], ValueError, "row 1 of labels is 2; expected 0 or 1"),
        ([1, 0], [0.1, math.nan], ValueError, "row 1 of scores is nan; expected a finite"),
        ([1, 0], [math.inf, 0.1], ValueError, "row 0 of scores is inf; expected a finite"),
        ([1, 0], [0.1], ValueError, "length is 1 and 2; expected one length for all"),
        ([1, 0], ["a", "b"], TypeError, "dtype of scores is <U1; expected numbers"),
        (["a", "b"], [1, 0], TypeError, "dtype of labels is <U1; expected numbers"),
        ([1, 0], np.ones((2, 1)), ValueError, "scores is 2-dimensional"),
    ],
)
def test_wrong_columns_are_refused(labels, scores, error, message) -> None:
    with pytest.raises(error, match=f"^auc: .*{message}"):
        auc(labels, scores)
    with pytest.raises(error, match=f"^user_auc: .*{message}"):
        user_auc([1, 1], labels, scores)


def test_users_are_one_a_row() -> None:
    with pytest.raises(ValueError, match="user_auc: the columns' length is 1 and 2"):
        user_auc([1], [1, 0], [0.1, 0.2])


# labelled rows and groups of them


def test_groups_are_rated_like_their_rows_alone() -> None:
    rng = np.random.default_rng(2)
    users, items = rng.integers(12, size=200), rng.integers(30, size=200)
    feedback = Feedback.from_columns(users, items, rng.random(200) < 0.5)
    scores = rng.random(200, dtype=np.float32)
    warm = rng.random(200) < 0.6
    rated = rate(feedback, scores, groups={"warm": warm, "cold": ~warm})
    assert list(rated) == ["auc", "uauc", "rows", "users", "left_out", "warm", "cold"]
    whole = {name: rated[name] for name in ("auc", "uauc", "rows", "users", "left_out")}
    assert whole == rate(feedback, scores)
    assert rated["auc"] == auc(feedback.labels, scores)
    assert rated["uauc"] == user_auc(users, feedback.labels, scores).mean
    for name, mask in (("warm", warm), ("cold", ~warm)):
        assert rated[name] == rate(feedback.select(mask), scores[mask])
        assert rated[name]["rows"] == mask.sum()
    assert rated["warm"]["rows"] + rated["cold"]["rows"] == rated["rows"] == 200


def test_an_empty_group_has_no_figures() -> None:
    feedback = Feedback.from_columns([1, 1], [5, 6], [1, 0])
    rated = rate(feedback, [0.2, 0.1], groups={"none": np.zeros(2, bool)})["none"]
    assert math.isnan(rated["auc"])
    assert math.isnan(rated["uauc"])
    assert (rated["rows"], rated["users"], rated["left_out"]) == (0, 0, 0)


def test_rate_checks_its_arguments() -> None:
    feedback = Feedback.from_columns([1, 1], [5, 6], [1, 0])
    with pytest.raises(TypeError, match="rate: feedback is Interactions; expected a Feedback"):
        rate(feedback.likes, [0.1, 0.2])
    with pytest.raises(ValueError, match="rate: the columns' length is 2 and 3"):
        rate(feedback, [0.1, 0.2, 0.3])
    with pytest.raises(ValueError, match=r"rate: mask is bool \(3,\); expected bool \(2,\)"):
        rate(feedback, [0.1, 0.2], groups={"warm": np.ones(3, bool)})
    with pytest.raises(TypeError, match=r"rate: mask is int64 \(2,\); expected bool \(2,\)"):
        rate(feedback, [0.1, 0.2], groups={"warm": np.arange(2)})
    with pytest.raises(ValueError, match="a group is the name 'auc'; expected a name other than"):
        rate(feedback, [0.1, 0.2], groups={"auc": np.ones(2, bool)})


def test_real_users_with_both_labels() -> None:
    if not REAL.is_dir():
        pytest.skip("the real data set collm-ml-1m is not at ../shared/data")
    path = REAL / "test.csv.zst"
    feedback = read_feedback(path, user="uid", item="iid", label="label")
    rated = rate(feedback, feedback.labels.astype(np.float32))
    assert rated == {"auc": 1.0, "uauc": 1.0, "rows": 7331, "users": 224, "left_out": 96}
