from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from pyhybrid.models.item_texts import checked_encoders, join_vectors, text_vectors
from pyhybrid.models.text_columns import TextRegression, complete


def mixtures(
    known: np.ndarray[Any, Any], new: np.ndarray[Any, Any], **settings: Any
) -> np.ndarray[Any, Any]:
    """By how much each known item counts for each new one: (known, new)."""
    reliability = np.repeat([1.0, 0.0], [len(known), len(new)])
    texts = TextRegression(np.vstack([known, new]), reliability, **settings)
    return texts.features[: len(known)] @ texts.features[len(known) :].T


def directions(items: int, dim: int = 8, seed: int = 0) -> np.ndarray[Any, Any]:
    drawn = np.random.default_rng(seed).normal(size=(items, dim))
    return (drawn / np.linalg.norm(drawn, axis=1, keepdims=True)).astype(np.float32)


def oracle(
    known: np.ndarray[Any, Any], new: np.ndarray[Any, Any], l2: float, gamma: float
) -> np.ndarray[Any, Any]:
    def kernel(a: np.ndarray[Any, Any], b: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        if gamma == 0:
            return a.astype(np.float64) @ b.T
        gaps = a[:, None].astype(np.float64) - b[None]
        return np.exp(-gamma * (gaps**2).sum(-1))

    return np.linalg.solve(kernel(known, known) + l2 * np.eye(len(known)), kernel(known, new))


@pytest.mark.parametrize("l2", [0.05, 0.2, 5.0])
@pytest.mark.parametrize("gamma", [0.0, 0.5, 2.0])
@pytest.mark.parametrize("landmarks", [60, 1000])
def test_mixtures_are_those_of_kernel_ridge_regression(
    l2: float, gamma: float, landmarks: int
) -> None:
    known, new = directions(60), directions(9, seed=1)
    found = mixtures(known, new, l2=l2, gamma=gamma, landmarks=landmarks, seed=0)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, oracle(known, new, l2, gamma), atol=3e-5)


def test_rows_beyond_one_block_count_too(monkeypatch: pytest.MonkeyPatch) -> None:
    known, new = directions(50), directions(4, seed=1)
    whole = mixtures(known, new, l2=0.2, gamma=0.5, landmarks=20, seed=0)
    monkeypatch.setattr("pyhybrid.models.text_columns._ROWS", 7)
    parts = mixtures(known, new, l2=0.2, gamma=0.5, landmarks=20, seed=0)
    np.testing.assert_allclose(parts, whole, atol=1e-6)


def test_few_landmarks_come_near_where_texts_lie_in_few_directions() -> None:
    # 400 texts around 6 subjects: what the mixtures predict counts, not each of their parts.
    rng = np.random.default_rng(0)
    subject = rng.integers(0, 6, 440)
    vectors = directions(6)[subject] + 0.05 * directions(440, seed=2)
    vectors = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    known, new = vectors[:400], vectors[400:]
    columns = directions(6, dim=5, seed=3)[subject[:400]].T
    found = columns @ mixtures(known, new, l2=0.2, gamma=0.5, landmarks=60, seed=0)
    exact = columns @ oracle(known, new, 0.2, 0.5)
    assert np.abs(found - exact).max() < 0.02 * np.abs(exact).max()


def test_the_seed_draws_the_landmarks() -> None:
    known, new = directions(50), directions(4, seed=1)
    one, same, other = (
        mixtures(known, new, l2=0.2, gamma=0.5, landmarks=10, seed=seed) for seed in (0, 0, 1)
    )
    np.testing.assert_array_equal(one, same)
    assert not np.allclose(one, other)


def test_items_of_the_same_text_share_what_it_counts() -> None:
    known = directions(5)[[0, 0, 0, 1, 2, 3, 4]]
    found = mixtures(known, known[:1], l2=0.01, gamma=2.0, landmarks=7, seed=0)[:, 0]
    np.testing.assert_allclose(found[:3], 1 / 3, atol=0.02)
    assert np.abs(found[3:]).max() < 0.02


def test_an_item_without_a_text_is_a_mixture_of_nothing() -> None:
    known, new = directions(20), directions(3, seed=1)
    new[1] = 0
    found = mixtures(known, new, l2=0.2, gamma=0.5, landmarks=20, seed=0)
    assert not found[:, 1].any()
    assert found[:, [0, 2]].any(axis=0).all()


def test_no_new_items_are_no_columns() -> None:
    none = mixtures(directions(20), directions(0), l2=0.2, gamma=0.5, landmarks=9, seed=0)
    assert none.shape == (20, 0)


def test_joined_parts_count_the_same_whatever_their_length() -> None:
    one, two = directions(30), 7 * directions(30, dim=3, seed=1)
    is_known = np.arange(30) < 20
    joined = join_vectors([one, two], is_known)
    assert joined.shape == (30, 11)
    np.testing.assert_allclose(np.linalg.norm(joined[:, :8], axis=1), 0.5**0.5, rtol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(joined[:, 8:], axis=1), 0.5**0.5, rtol=1e-5)
    # What known texts have in common is taken away.
    moved = join_vectors([one + np.float32(3), two], is_known)
    np.testing.assert_allclose(moved, joined, atol=1e-5)


def test_joining_keeps_what_is_given_and_what_is_missing() -> None:
    vectors = directions(6)
    vectors[2] = 0
    before = vectors.copy()
    joined = join_vectors([vectors], np.arange(6) < 4)
    np.testing.assert_array_equal(vectors, before)
    assert not joined[2].any()
    np.testing.assert_allclose(np.linalg.norm(joined[[0, 1, 3, 4, 5]], axis=1), 1, rtol=1e-5)


def test_new_texts_do_not_move_known_ones() -> None:
    vectors = directions(10)
    is_known = np.arange(10) < 6
    other = vectors.copy()
    other[~is_known] = directions(4, seed=5)
    known = join_vectors([vectors], is_known)[is_known]
    np.testing.assert_array_equal(join_vectors([other], is_known)[is_known], known)


def test_texts_make_mixtures_of_those_like_them() -> None:
    texts = np.array(["crime drama", "cake recipes", "crime story", "", "cakes of old"], object)
    is_known = np.array([True, True, False, False, False])
    vectors = text_vectors("tfidf", [texts], is_known, seed=0)
    found = mixtures(vectors[is_known], vectors[~is_known], l2=0.1, gamma=0.5, landmarks=9, seed=0)
    assert found.shape == (2, 3)
    assert found[0, 0] > 0.5 > found[1, 0]
    assert not found[:, 1].any()  # no text
    assert not found[:, 2].any()  # no word that a known text has


def test_unreliable_items_count_less() -> None:
    vectors, rng = directions(40), np.random.default_rng(1)
    reliability = rng.random(40) * (rng.random(40) < 0.8)
    scores = rng.normal(size=(3, 40)).astype(np.float32)
    texts = TextRegression(vectors, reliability, l2=0.3, gamma=0.5, landmarks=40, seed=0)
    found = texts.of_scores(scores)
    gaps = vectors[:, None].astype(np.float64) - vectors[None]
    kernel = np.exp(-0.5 * (gaps**2).sum(-1))
    for item in range(40):  # weighted kernel ridge regression, without the item itself
        used = (reliability > 0) & (np.arange(40) != item)
        ridge = np.diag(0.3 / reliability[used])
        a = np.linalg.solve(kernel[np.ix_(used, used)] + ridge, kernel[used, item])
        np.testing.assert_allclose(found[:, item], scores[:, used] @ a, rtol=1e-3, atol=1e-4)


def test_an_item_of_no_reliability_says_nothing() -> None:
    vectors, scores = directions(12), np.ones((1, 12), dtype=np.float32)
    reliability = np.arange(12) > 3
    texts = TextRegression(vectors, reliability, l2=0.3, gamma=0.5, landmarks=40, seed=0)
    other = scores.copy()
    other[:, ~reliability] = 100
    np.testing.assert_array_equal(texts.of_scores(other), texts.of_scores(scores))
    assert texts.features.shape == (12, 8)  # none of them is a landmark
    assert not texts.leverage[~reliability].any()


@pytest.mark.parametrize("learned", [[0, 1, 2], [2, 3, 5], [4], [0, 1, 2, 3, 4, 5]])
@pytest.mark.parametrize("direct", [0.0, 0.7])
def test_completed_columns_are_those_learned_and_what_texts_add(
    learned: list[int], direct: float
) -> None:
    rng = np.random.default_rng(0)
    places, width = np.array(learned), len(learned)
    vectors, reliability = directions(6), np.zeros(6)
    reliability[places] = rng.random(width)
    texts = TextRegression(vectors, reliability, l2=0.3, gamma=0.5, landmarks=6, seed=0)
    weights = rng.normal(size=(width, width)).astype(np.float32)
    np.fill_diagonal(weights, 0)
    share, scale = (rng.random(6).astype(np.float32) for _ in range(2))
    whole = np.full((width, 6), np.nan, dtype=np.float32)
    whole.reshape(-1)[: weights.size] = weights.reshape(-1)
    complete(whole, places, texts, direct=direct, share=share, scale=scale)
    columns = np.zeros((width, 6), dtype=np.float32)
    columns[:, places] = weights
    itself = np.zeros_like(columns)
    itself[np.arange(width), places] = direct
    wanted = scale * (columns + share * texts.of_scores(columns + itself))
    wanted[np.arange(width), places] = 0  # an item says nothing of itself
    np.testing.assert_allclose(whole, wanted, rtol=1e-4, atol=1e-6)


def test_names_are_one_or_several() -> None:
    assert checked_encoders("ESLER", None) is None
    assert checked_encoders("ESLER", "tfidf") == "tfidf"
    assert checked_encoders("ESLER", ("tfidf", "noise")) == ["tfidf", "noise"]


@pytest.mark.parametrize("wrong", ["", [], [""], 3, ["tfidf", None], {"tfidf": 1}])
def test_what_is_no_name_is_refused(wrong: Any) -> None:
    with pytest.raises(TypeError, match=r"ESLER: text is .*; expected"):
        checked_encoders("ESLER", wrong)
