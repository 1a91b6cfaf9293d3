"""kernels.score_factors: the inner products, each by its two vectors alone."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyhybrid import kernels
from pyhybrid.kernels import ranking

ONES = np.ones((2, 3), np.float32)


def factors(rows, dim, seed):
    return np.random.default_rng(seed).standard_normal((rows, dim), dtype=np.float32)


@given(st.integers(0, 20), st.integers(0, 140), st.integers(0, 9), st.integers(0, 99))
def test_they_are_the_inner_products(rows, n_items, dim, seed):
    random = np.random.default_rng(seed)
    users = random.integers(-3, 4, (rows, dim)).astype(np.float32)
    items = random.integers(-3, 4, (n_items, dim)).astype(np.float32)
    scores = kernels.score_factors(users, items)
    assert scores.dtype == np.float32
    assert scores.flags.c_contiguous
    np.testing.assert_array_equal(scores, users @ items.T)  # whole numbers


@pytest.mark.parametrize(("rows", "n_items"), [(1, 1), (7, 63), (500, 65), (1001, 300)])
def test_a_score_is_the_one_that_is_ranked_by_to_the_last_bit(rows, n_items):
    users, items = factors(rows, 37, 0), factors(n_items, 37, 1)
    scores = kernels.score_factors(users, items)
    np.testing.assert_allclose(scores, users @ items.T, rtol=1e-5, atol=1e-5)
    order, ranked = kernels.top_n_factors(users, items, n_items)
    np.testing.assert_array_equal(np.take_along_axis(scores, order.astype(int), axis=1), ranked)


def test_a_score_depends_on_its_two_vectors_alone():
    users, items = factors(300, 33, 0), factors(200, 33, 1)
    users[250], items[[70, 199]] = users[4], items[3]
    scores = kernels.score_factors(users, items, threads=1)
    for item in (70, 199):
        np.testing.assert_array_equal(scores[:, item], scores[:, 3])
    np.testing.assert_array_equal(scores[250], scores[4])
    for threads in (0, 2, 3, 1000):
        np.testing.assert_array_equal(kernels.score_factors(users, items, threads=threads), scores)
    np.testing.assert_array_equal(kernels.score_factors(users[9:11], items[:5]), scores[9:11, :5])


@pytest.mark.parametrize(
    ("users", "items", "error", "message"),
    [
        (ONES.astype(float), ONES, TypeError, r"users.* is float64; expected"),
        (ONES, ONES.astype(int), TypeError, r"items.* is int64; expected"),
        (ONES[:, ::2], ONES[:, :2].copy(), TypeError, r"users.* is not C-contiguous; expected"),
        (ONES, ONES.T.copy(), ValueError, r"items' shape is \(3, 2\); expected \(items, 3\)"),
        (ONES[0], ONES, ValueError, r"users.* is 1; expected"),
    ],
)
def test_other_forms_are_refused(users, items, error, message):
    with pytest.raises(error, match=rf"^score_factors: {message}"):
        kernels.score_factors(users, items)


def test_scores_that_no_memory_holds_are_refused_in_words(monkeypatch):
    monkeypatch.setattr("pyhybrid.memory.available_bytes", lambda: 15)
    with pytest.raises(MemoryError, match=r"score_factors: 2 rows need .*; score fewer rows"):
        kernels.score_factors(ONES, ONES)
    assert ranking.score_factors(ONES[:1], ONES).tolist() == [[3.0, 3.0]]
