from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import csv
from scipy.sparse import csr_array

import pyhybrid
from pyhybrid import (
    ESLER,
    Catalog,
    HeldOut,
    Interactions,
    NotFittedError,
    Popularity,
    evaluate,
    kernels,
    memory,
)
from pyhybrid.data import synthetic
from pyhybrid.models.noise_edge import noise_edge

ML_1M = Path(__file__).parents[3] / "shared" / "data" / "ml-1m" / "pairs.csv.zst"


def oracle(x: np.ndarray[Any, Any], l2: float) -> np.ndarray[Any, Any]:
    x = x.astype(np.float64)
    p = np.linalg.inv(x.T @ x + l2 * np.eye(x.shape[1]))
    b = -p / np.diag(p)
    np.fill_diagonal(b, 0.0)
    return b


def draw(users: int, items: int, density: float = 0.2, seed: int = 0) -> csr_array[np.float32]:
    rng = np.random.default_rng(seed)
    return csr_array((rng.random((users, items)) < density).astype(np.float32))


@pytest.fixture(scope="module")
def seen() -> Interactions:
    return synthetic.topics(users=120, items=40, events_per_user=8.0, seed=3)[0]


@pytest.fixture(scope="module")
def model(seen: Interactions) -> ESLER:
    return ESLER(l2=5.0).fit(seen)


def naive_scores(model: ESLER, x: csr_array[np.float32]) -> np.ndarray[Any, Any]:
    return np.asarray(x.toarray().astype(np.float64) @ model.weights)


# The closed form


@pytest.mark.parametrize("l2", [0.5, 5.0, 500.0, 1e6])
@pytest.mark.parametrize("shape", [(200, 40), (10, 30), (1, 5), (30, 1)])
def test_the_weights_are_those_of_the_closed_form(l2: float, shape: tuple[int, int]) -> None:
    dense = draw(*shape, density=0.3).toarray()
    dense[0, 0] = 1.0
    x = csr_array(dense)
    b = ESLER(l2=l2).fit(x)
    wanted = oracle(dense, l2)[np.ix_(b.rankable, b.rankable)]
    assert b.weights.dtype == np.float32
    np.testing.assert_allclose(b.weights, wanted, rtol=1e-4, atol=2e-6)


@pytest.mark.parametrize("dropout", [0.0, 0.25, 0.9])
def test_dropout_is_a_ridge_that_grows_with_an_items_count(dropout: float) -> None:
    x = draw(200, 30).toarray().astype(np.float64)
    model = ESLER(l2=3.0, dropout=dropout).fit(csr_array(x.astype(np.float32)))
    ridge = 3.0 + dropout / (1 - dropout) * x.sum(0)
    for j in range(30):  # each column is a regression on the other items
        others = np.arange(30) != j
        left = x[:, others]
        wanted = np.linalg.solve(left.T @ left + np.diag(ridge[others]), left.T @ x[:, j])
        np.testing.assert_allclose(model.weights[others, j], wanted, rtol=1e-4, atol=2e-6)
    assert (np.diag(model.weights) == 0).all()


def test_dropout_is_what_leaving_items_out_at_random_comes_to() -> None:
    # Items that are kept count 1 / (1 - p) times; a target is always left out.
    rng = np.random.default_rng(0)
    x, p, draws = draw(300, 6, density=0.4).toarray().astype(np.float64), 0.5, 400
    model = ESLER(l2=1.0, dropout=p).fit(csr_array(x.astype(np.float32)))
    kept = np.concatenate([x * (rng.random(x.shape) >= p) / (1 - p) for _ in range(draws)])
    for j in range(6):
        others = np.arange(6) != j
        left, wanted = kept[:, others], np.tile(x[:, j], draws)
        found = np.linalg.solve(left.T @ left + draws * np.eye(5), left.T @ wanted)
        np.testing.assert_allclose(model.weights[others, j], found, atol=0.01)


def test_dropout_leaves_a_kept_gram_as_it_is(seen: Interactions) -> None:
    first, second = halves(seen)
    grown = ESLER(l2=5.0, dropout=0.3, keep_gram=True).fit(first)
    grown.partial_fit(second)
    whole = ESLER(l2=5.0, dropout=0.3, keep_gram=True).fit(seen)
    assert np.array_equal(grown.weights, whole.weights)
    plain = ESLER(l2=5.0, keep_gram=True).fit(seen)
    np.testing.assert_array_equal(whole._gram, plain._gram)


@pytest.mark.parametrize("dropout", [-0.1, 1.0, np.nan])
def test_dropout_is_a_share(dropout: float) -> None:
    with pytest.raises(ValueError, match=r"ESLER: dropout is .*; expected"):
        ESLER(dropout=dropout)


def test_the_diagonal_is_zero_and_negative_weights_are_kept(model: ESLER) -> None:
    assert (np.diag(model.weights) == 0).all()
    assert 0.3 < (model.weights < 0).mean() < 0.7


def test_weighted_behaviour_enters_the_gram_as_it_is() -> None:
    rng = np.random.default_rng(1)
    x = (draw(60, 12).toarray() * rng.normal(1.0, 1.0, (60, 12))).astype(np.float32)
    x[:2] = 1.0
    np.testing.assert_allclose(
        ESLER(l2=3.0).fit(csr_array(x)).weights, oracle(x, 3.0), rtol=1e-4, atol=1e-6
    )


def test_one_user_has_the_weights_of_sherman_and_morrison() -> None:
    x = csr_array(np.array([[1, 1, 0, 1]], dtype=np.float32))
    model = ESLER(l2=2.0).fit(x)
    assert model.rankable.tolist() == [0, 1, 3]
    wanted = (1 - np.eye(3)) / (2.0 + 3 - 1)
    np.testing.assert_allclose(model.weights, wanted, rtol=1e-6)


def test_items_that_never_meet_have_no_weight() -> None:
    x = csr_array(np.kron(np.eye(3), np.ones((4, 1))).astype(np.float32))
    assert (ESLER(l2=1.0).fit(x).weights == 0).all()


def test_users_in_another_order_change_nothing(seen: Interactions) -> None:
    order = np.random.default_rng(0).permutation(seen.n_users)
    one = ESLER(l2=5.0).fit(seen.select_users(order))
    np.testing.assert_array_equal(one.weights, ESLER(l2=5.0).fit(seen).weights)


def test_scores_are_history_times_weights(model: ESLER, seen: Interactions) -> None:
    wanted = naive_scores(model, seen.matrix)
    np.testing.assert_allclose(model.score(seen), wanted, rtol=1e-4, atol=1e-5)
    weighted = csr_array(seen.matrix * np.float32(2.5))
    np.testing.assert_allclose(model.score(weighted), 2.5 * wanted, rtol=1e-4, atol=1e-5)


def test_rankings_follow_the_scores(model: ESLER, seen: Interactions) -> None:
    scores = naive_scores(model, seen.matrix)
    scores[seen.matrix.nonzero()] = -np.inf
    ranking = model.recommend(seen, 5)
    best = np.sort(scores, axis=1)[:, :-6:-1]
    np.testing.assert_allclose(ranking.scores, best, rtol=1e-4, atol=1e-5)


# Hyper-parameters


@pytest.mark.parametrize("l2", [0, 0.0, -3.0, -1, float("nan"), float("inf"), -float("inf")])
def test_l2_is_positive(l2: float) -> None:
    with pytest.raises(ValueError, match=f"^ESLER: l2 is {l2}; expected a positive number$"):
        ESLER(l2=l2)


@pytest.mark.parametrize("l2", [True, "500", [500.0], 1j, np.True_])
def test_l2_is_a_number(l2: Any) -> None:
    message = f"ESLER: l2 is {l2!r}; expected a positive number"
    with pytest.raises(TypeError, match=f"^{re.escape(message)}$"):
        ESLER(l2=l2)


@pytest.mark.parametrize("l2", [500, np.float32(500), np.int64(500)])
def test_numbers_of_all_kinds_become_a_float(l2: Any) -> None:
    assert type(ESLER(l2=l2).l2) is float
    assert repr(ESLER(l2=l2, dropout=0.25)) == "ESLER(l2=500.0, dropout=0.25)"


def test_without_an_l2_it_is_the_edge_of_the_noise(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    x = csr_array((rng.random((90, 12)) < 0.3).astype(np.float32))
    users, counts = int((np.diff(x.indptr) > 0).sum()), x.sum(axis=0)
    wanted = counts.mean() * (1 + np.sqrt(12 / users)) ** 2
    model = ESLER().fit(x)
    assert model.chosen_l2 == pytest.approx(wanted)
    np.testing.assert_array_equal(model.weights, ESLER(l2=model.chosen_l2).fit(x).weights)
    model.save(tmp_path / "model")
    assert ESLER.load(tmp_path / "model").chosen_l2 == model.chosen_l2
    assert ESLER(l2=3.0).fit(x).chosen_l2 == 3.0


def test_the_edge_of_the_noise_is_where_eigenvalues_of_chance_end() -> None:
    rng = np.random.default_rng(1)
    x = csr_array((rng.random((2000, 400)) < 0.05).astype(np.float32))
    centred = x.toarray() - x.toarray().mean(axis=0)  # the mean is no chance
    largest = np.linalg.eigvalsh(centred.T @ centred)[-1]
    assert noise_edge(x.sum(axis=0), 2000) == pytest.approx(largest, rel=0.1)


def test_users_added_later_count_for_the_l2_that_is_chosen(tmp_path: Path) -> None:
    rng = np.random.default_rng(2)
    x = csr_array((rng.random((80, 10)) < 0.3).astype(np.float32))
    data = Interactions.from_csr(x, user_ids=np.arange(80))
    first, rest = data.select_users(np.arange(50)), data.select_users(np.arange(50, 80))
    whole = ESLER(keep_gram=True).fit(data)
    parts = ESLER(keep_gram=True).fit(first)
    parts.save(tmp_path / "model")
    for model in (parts, ESLER.load(tmp_path / "model")):
        model.partial_fit(rest)
        assert model.chosen_l2 == pytest.approx(whole.chosen_l2)
        np.testing.assert_allclose(model.weights, whole.weights, atol=1e-6)


def test_an_integer_beyond_all_floats_is_no_positive_number() -> None:
    with pytest.raises(ValueError, match="ESLER: l2 is"):
        ESLER(l2=10**400)


def test_min_count_is_a_whole_number() -> None:
    with pytest.raises(ValueError, match=r"^ESLER: min_count is 0; expected 1 or more$"):
        ESLER(min_count=0)
    for wrong in (1.5, True, "2"):
        with pytest.raises(TypeError, match=r"^ESLER: min_count is .*; expected an integer$"):
            ESLER(min_count=wrong)


def test_keep_gram_needs_all_items() -> None:
    with pytest.raises(
        ValueError, match=r"^ESLER: min_count is 2; expected 1 with keep_gram=True$"
    ):
        ESLER(min_count=2, keep_gram=True)


def test_keep_gram_is_true_or_false() -> None:
    assert ESLER(keep_gram=True).keep_gram is True
    for wrong in ("False", "no", None, 2):
        with pytest.raises(TypeError, match=r"^ESLER: keep_gram is"):
            ESLER(keep_gram=wrong)


def test_an_l2_beyond_float32_is_refused_in_words() -> None:
    x = draw(20, 5, density=0.6)
    for l2 in (1e39, 1e300):
        with pytest.raises(ValueError, match="l2"):
            ESLER(l2=l2).fit(x)


def test_a_failed_solve_says_what_to_do() -> None:
    ones = csr_array(np.ones((3, 3), dtype=np.float32))
    with pytest.raises(ValueError, match="positive definite; raise l2"):
        ESLER(l2=1e-30).fit(ones)


# Rare items


def test_rare_items_are_not_learned_and_not_recommended(seen: Interactions) -> None:
    counts = seen.item_counts()
    least = int(np.median(counts))
    model = ESLER(l2=5.0, min_count=least).fit(seen)
    kept = np.flatnonzero(counts >= least)
    assert model.rankable.tolist() == kept.tolist()
    x = seen.matrix.toarray()[:, kept]
    np.testing.assert_allclose(model.weights, oracle(x, 5.0), rtol=1e-4, atol=1e-6)
    ranking = model.recommend(seen, 40, exclude_seen=False)
    assert set(ranking.items[ranking.items >= 0].tolist()) == set(kept.tolist())
    rare = np.setdiff1d(np.arange(40), kept)
    assert (model.score(seen)[:, rare] == -np.inf).all()


def test_a_history_of_rare_items_falls_back(seen: Interactions) -> None:
    seen, counts = replace(seen, events=None), seen.item_counts()
    model = ESLER(l2=5.0, min_count=int(np.median(counts))).fit(seen)
    history = csr_array(np.eye(40, dtype=np.float32)[[int(counts.argmin())]])
    ranking = model.recommend(history, 3)
    assert ranking.fallback.tolist() == [True]
    assert ranking.items[0].tolist() == np.lexsort((np.arange(40), -counts))[:3].tolist()


def test_a_model_without_items_is_refused_and_not_fitted(seen: Interactions) -> None:
    model = ESLER(min_count=1000)
    message = "^ESLER: number of items to learn from is 0; expected one item with 1000 users"
    with pytest.raises(ValueError, match=message):
        model.fit(seen)
    with pytest.raises(NotFittedError):
        model.recommend(seen)
    with pytest.raises(NotFittedError):
        model.save("nowhere")


# Adding users


def halves(seen: Interactions) -> tuple[Interactions, Interactions]:
    return seen.select_users(np.arange(0, 60)), seen.select_users(np.arange(60, 120))


@pytest.mark.parametrize("loaded", [False, True])
def test_adding_users_equals_fitting_on_all(
    seen: Interactions, tmp_path: Path, loaded: bool
) -> None:
    first, second = halves(seen)
    model = ESLER(l2=5.0, keep_gram=True).fit(first)
    if loaded:
        model.save(tmp_path / "model")
        model = ESLER.load(tmp_path / "model")
    assert model.partial_fit(second) is model
    whole = ESLER(l2=5.0, keep_gram=True).fit(seen)
    np.testing.assert_allclose(model.weights, whole.weights, rtol=1e-6, atol=1e-7)
    np.testing.assert_array_equal(model.item_counts, whole.item_counts)
    np.testing.assert_array_equal(model.rankable, whole.rankable)
    np.testing.assert_array_equal(model._gram, whole._gram)
    np.testing.assert_array_equal(model._gram, kernels.gram(seen.matrix))
    model.save(tmp_path / "model")
    again = pyhybrid.load(tmp_path / "model")
    np.testing.assert_array_equal(again.score(seen), model.score(seen))


def test_users_can_be_added_shard_by_shard(seen: Interactions) -> None:
    model = ESLER(l2=5.0, keep_gram=True).fit(seen.select_users(np.arange(30)))
    for first in (30, 60, 90):
        model.partial_fit(seen.select_users(np.arange(first, first + 30)))
    np.testing.assert_array_equal(model._gram, kernels.gram(seen.matrix))
    np.testing.assert_allclose(model.weights, ESLER(l2=5.0).fit(seen).weights, atol=1e-6)
    with pytest.raises(ValueError, match="fitted before is 1"):
        model.partial_fit(seen.select_users([45]))


def test_items_of_the_axis_may_get_their_first_users() -> None:
    first = Interactions.from_columns([1, 1, 2], ["a", "c", "c"])
    catalog = Catalog.from_columns(["a", "b", "c", "d"])
    model = ESLER(l2=1.0, keep_gram=True).fit(first, catalog)
    assert model.item_ids.tolist() == ["a", "c", "b", "d"]
    assert model.rankable.tolist() == [0, 1]
    second = Interactions.from_columns([3, 3, 3], ["a", "b", "c"])
    model.partial_fit(second)
    assert model.item_ids.tolist() == ["a", "c", "b", "d"]
    assert model.item_counts.tolist() == [2, 3, 1, 0]
    assert model.rankable.tolist() == [0, 1, 2]
    x = np.array([[1, 1, 0], [0, 1, 0], [1, 1, 1]])
    np.testing.assert_allclose(model.weights, oracle(x, 1.0), rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(model._gram, x.T @ x)
    # an earlier item of the axis than those known so far, so that the known ones move
    model = ESLER(l2=1.0, keep_gram=True).fit(first.with_items(["b", "a", "d", "c"]))
    model.partial_fit(second)
    assert model.rankable.tolist() == [0, 1, 3]
    np.testing.assert_allclose(model.weights, oracle(x[:, [2, 0, 1]], 1.0), rtol=1e-5, atol=1e-6)


def test_adding_users_needs_the_gram(seen: Interactions) -> None:
    first, second = halves(seen)
    message = r"^partial_fit: keep_gram is False; expected True; fit with ESLER\(keep_gram=True\)"
    with pytest.raises(ValueError, match=message):
        ESLER(l2=5.0).fit(first).partial_fit(second)


def state(model: ESLER) -> dict[str, Any]:
    assert model._gram is not None
    assert model._user_ids is not None
    return {
        "weights": model.weights.copy(),
        "gram": model._gram.copy(),
        "users": model._user_ids.copy(),
        "counts": model.item_counts.copy(),
        "rankable": model.rankable.copy(),
        "items": model.item_ids.copy(),
    }


def same_state(model: ESLER, before: dict[str, Any]) -> None:
    for name, value in state(model).items():
        np.testing.assert_array_equal(value, before[name], err_msg=name)


@pytest.mark.parametrize("loaded", [False, True])
def test_refused_users_leave_the_model_as_it_was(
    seen: Interactions, tmp_path: Path, loaded: bool
) -> None:
    first, second = halves(seen)
    model = ESLER(l2=5.0, keep_gram=True).fit(first)
    if loaded:
        model.save(tmp_path / "model")
        model = ESLER.load(tmp_path / "model")
    before = state(model)
    known = seen.select_users(np.arange(59, 70))
    message = r"^partial_fit: number of users fitted before is 1 \(first: 'u0060'\); expected 0; "
    with pytest.raises(ValueError, match=message):
        model.partial_fit(known)
    strange = Interactions.from_columns(["new"], ["nobody's"])
    with pytest.raises(ValueError, match="unknown items"):
        model.partial_fit(strange)
    same_state(model, before)
    model.partial_fit(second)
    assert model.item_counts.sum() == seen.matrix.nnz


@pytest.mark.parametrize("error", [KeyboardInterrupt, MemoryError, ValueError])
def test_an_interrupted_addition_leaves_the_model_as_it_was(
    seen: Interactions, monkeypatch: pytest.MonkeyPatch, error: type[BaseException]
) -> None:
    first, second = halves(seen)
    model = ESLER(l2=5.0, keep_gram=True).fit(first)
    before = state(model)
    scores = model.score(seen)

    def interrupted(*args: Any, **options: Any) -> None:
        raise error

    with monkeypatch.context() as patch:
        patch.setattr(kernels, "esler_weights", interrupted)
        with pytest.raises(error):
            model.partial_fit(second)
    same_state(model, before)
    np.testing.assert_array_equal(model.score(seen), scores)
    with pytest.raises(ZeroDivisionError):
        model.partial_fit(second, progress=lambda share: 1 / 0)
    same_state(model, before)
    model.partial_fit(second)
    np.testing.assert_array_equal(model._gram, kernels.gram(seen.matrix))


def test_a_bare_csr_of_new_users_can_be_added() -> None:
    # Row numbers are no names: anonymous users are nobody whom the model knows.
    x, y = draw(30, 8, 0.4, seed=1), draw(20, 8, 0.4, seed=2)
    model = ESLER(l2=5.0, keep_gram=True).fit(x)
    model.partial_fit(y)
    both = np.vstack([x.toarray(), y.toarray()])
    np.testing.assert_array_equal(model._gram, both.T @ both)


# Memory


def test_a_gram_that_does_not_fit_is_refused_before_it_starts(
    seen: Interactions, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory, "available_bytes", lambda: 40 * 40 * 4 - 1)
    model = ESLER()
    message = (
        r"^ESLER: 40 items need 0\.0 GB for the Gram matrix and 0\.0 GB are free; "
        r"use fewer items \(min_count=\) or a larger machine$"
    )
    with pytest.raises(MemoryError, match=message):
        model.fit(seen)
    with pytest.raises(NotFittedError):
        model.recommend(seen)
    fewer = ESLER(min_count=int(seen.item_counts().max())).fit(seen)
    assert len(fewer.rankable) < 40


def test_the_numbers_of_the_refusal_are_in_gigabytes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "available_bytes", lambda: 24_000_000_000)
    x = csr_array((np.ones(120_000, np.float32), np.arange(120_000), [0, 120_000]))
    message = "ESLER: 120000 items need 57.6 GB for the Gram matrix and 24.0 GB are free; "
    with pytest.raises(MemoryError, match=re.escape(message)):
        ESLER().fit(x)


def test_keeping_the_gram_takes_twice_the_memory(
    seen: Interactions, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory, "available_bytes", lambda: 40 * 40 * 4)
    assert ESLER().fit(seen).weights.shape == (40, 40)
    with pytest.raises(
        MemoryError, match=r"ESLER: 40 items need .* the Gram matrix and the weights"
    ):
        ESLER(keep_gram=True).fit(seen)


# Similar items


def test_similar_items_are_those_of_the_largest_weights(model: ESLER) -> None:
    items = np.array([7, 0, 39, 7], dtype=np.int32)
    ranking = model.similar_items(items, 5)
    assert ranking.items.shape == (4, 5)
    for row, item in enumerate(items):
        weights = model.weights[item].astype(np.float64)
        weights[item] = -np.inf
        order = sorted(range(40), key=lambda other: (-weights[other], other))[:5]
        assert ranking.items[row].tolist() == order
        np.testing.assert_array_equal(ranking.scores[row], model.weights[item, order])
    assert ranking.row_ids.tolist() == model.item_ids[items].tolist()
    assert not ranking.fallback.any()
    table = ranking.to_arrow("item")
    assert table["item"].to_pylist()[:5] == [model.item_ids[7]] * 5


def test_similar_items_never_hold_the_item_itself(model: ESLER) -> None:
    ranking = model.similar_items(np.arange(40), 100)
    for item, row in enumerate(ranking.items):
        assert sorted(row[row >= 0].tolist()) == [other for other in range(40) if other != item]
        assert (row[39:] == -1).all()


def test_similar_items_are_on_the_axis_of_the_catalogue() -> None:
    x = csr_array(np.array([[0, 1, 1, 0], [0, 1, 1, 0], [0, 0, 1, 1]], dtype=np.float32))
    model = ESLER(l2=1.0).fit(x)
    assert model.similar_items([1, 3], 3).items.tolist() == [[2, 3, -1], [2, 1, -1]]
    for unknown in (0, 4, -1):
        message = f"^similar_items: item is {unknown}, which the model has no weights for"
        with pytest.raises(ValueError, match=message):
            model.similar_items([1, unknown])


def test_similar_items_to_none_are_none(model: ESLER) -> None:
    assert model.similar_items(np.array([], dtype=np.int32), 3).items.shape == (0, 3)


@pytest.mark.parametrize("items", [[1.0], [True], ["u0001"]])
def test_positions_of_similar_items_are_integers(model: ESLER, items: list[Any]) -> None:
    with pytest.raises(TypeError, match=r"^similar_items: "):
        model.similar_items(np.array(items), 3)


@pytest.mark.parametrize("n", [0, -2])
def test_the_number_of_similar_items_is_one_or_more(model: ESLER, n: int) -> None:
    with pytest.raises(ValueError, match=f"n is {n}; expected 1 or more"):
        model.similar_items([1], n)


# Explanations


def test_contributions_sum_to_the_score(model: ESLER, seen: Interactions) -> None:
    weighted = csr_array(seen.matrix * np.float32(1.5))
    ranking = model.recommend(weighted, 4)
    longest = int(np.diff(seen.matrix.indptr).max())
    explained = model.explain(weighted, ranking, longest)
    assert explained.ranking is ranking
    assert explained.items.shape == explained.contributions.shape == (120, 4, longest)
    np.testing.assert_allclose(explained.contributions.sum(axis=2), ranking.scores, atol=1e-5)


def test_the_largest_contributions_come_first(model: ESLER, seen: Interactions) -> None:
    ranking = model.recommend(seen, 3)
    explained = model.explain(seen, ranking, 2)
    assert explained.items.dtype == np.int32
    assert explained.contributions.dtype == np.float32
    for row in range(0, 120, 7):
        history = seen.matrix[[row]].indices
        for place, item in enumerate(ranking.items[row]):
            terms = sorted((-float(model.weights[taken, item]), int(taken)) for taken in history)
            shown = list(
                zip(
                    -explained.contributions[row, place].astype(float),
                    explained.items[row, place].tolist(),
                    strict=True,
                )
            )
            assert shown[: len(terms)] == terms[:2]
            assert all(carrier == -1 for _, carrier in shown[len(terms) :])


def test_explanations_leave_out_what_is_not_there(seen: Interactions) -> None:
    model = ESLER(l2=5.0, min_count=int(np.median(seen.item_counts()))).fit(seen)
    x = seen.matrix[[0, 1, 2]].toarray()
    x[1] = 0
    x[2] = 0
    x[2, model.rankable[0]] = 1
    x[2, int(seen.item_counts().argmin())] = 1  # rare: not learned, so it carries nothing
    histories = csr_array(x)
    histories.eliminate_zeros()
    among = np.array([[3, 4], [3, 4], [int(model.rankable[5]), -1]], dtype=np.int32)
    among[:2] = model.rankable[[2, 3]]
    ranking = model.recommend(histories, 2, exclude_seen=False, among=among)
    explained = model.explain(histories, ranking, 3)
    assert ranking.fallback.tolist() == [False, True, False]
    assert (explained.items[1] == -1).all()  # popularity: no history item speaks for it
    assert explained.items[2].tolist() == [[model.rankable[0], -1, -1], [-1, -1, -1]]
    assert explained.contributions[2, 0, 0] == ranking.scores[2, 0]
    assert (explained.contributions[explained.items < 0] == 0).all()


def test_explanations_become_a_table_of_own_ids() -> None:
    seen = Interactions.from_columns(["u", "u", "v", "v", "w", "w"], list("abbcab"))
    model = ESLER(l2=1.0).fit(seen)
    one = seen.select_users([0])
    ranking = model.recommend(one, 3)
    table = model.explain(one, ranking).to_arrow()
    assert table.schema.names == ["user_id", "item_id", "history_item_id", "contribution"]
    assert table["contribution"].type == pa.float32()
    rows = table.to_pylist()
    assert [row["user_id"] for row in rows] == ["u", "u"]
    assert [row["item_id"] for row in rows] == ["c", "c"]
    assert {row["history_item_id"] for row in rows} == {"a", "b"}
    total = sum(row["contribution"] for row in rows)
    assert total == pytest.approx(ranking.scores[0, 0], abs=1e-6)


def test_an_explanation_needs_its_histories(model: ESLER, seen: Interactions) -> None:
    ranking = model.recommend(seen, 2)
    for others in (seen.select_users([0]), seen.select_users(np.arange(seen.n_users)[::-1])):
        with pytest.raises(ValueError, match=r"^explain: the ranking's row_ids is another axis"):
            model.explain(others, ranking)
    with pytest.raises(ValueError, match=r"^explain: n is 0; expected 1 or more$"):
        model.explain(seen, ranking, 0)


# Real data: the strong-generalisation anchors of the specification on MovieLens 1M


def movielens() -> tuple[Interactions, HeldOut]:
    """Split as the anchors were made: the last 1000 of the permuted users are test."""
    table = csv.read_csv(pa.input_stream(str(ML_1M)))
    users, items = (column.to_numpy() for column in table.columns)
    rng = np.random.RandomState(98765)
    order = rng.permutation(np.unique(users))
    train_rows = np.isin(users, order[:-2000])
    train = Interactions.from_columns(users[train_rows], items[train_rows])
    rows = np.flatnonzero(np.isin(users, order[-1000:]) & np.isin(items, train.item_ids))
    rows = rows[np.argsort(users[rows], kind="stable")]
    rng = np.random.RandomState(98765)
    parts = np.split(rows, np.flatnonzero(np.diff(users[rows])) + 1)
    targets = np.concatenate(
        [rng.permutation(0) if not len(part) else rng.choice(part, int(0.2 * len(part)), False)
         for part in parts]
    )  # fmt: skip
    histories = np.setdiff1d(rows, targets)
    axes = Interactions.from_columns(users[rows], items[rows], ids=train)
    mine = np.arange(train.n_users, axes.n_users)

    def part(chosen: np.ndarray[Any, Any]) -> Interactions:
        made = Interactions.from_columns(users[chosen], items[chosen], ids=axes)
        return made.select_users(mine)

    return train, HeldOut(part(histories), part(targets))


@pytest.mark.skipif(not ML_1M.exists(), reason=f"needs MovieLens 1M: no {ML_1M}")
def test_movielens_1m_gives_the_figures_of_the_specification() -> None:
    train, test = movielens()
    assert train.matrix.shape == (4040, 3671)
    assert (train.matrix.nnz, test.histories.matrix.nnz) == (677_137, 130_594)
    assert test.targets.matrix.nnz == 32_147
    metrics = ["recall_min@20", "recall_min@50", "ndcg@100", "ndcg@10", "recall@20"]

    def figures(model: Any) -> list[float]:
        report = evaluate(model, test, metrics)
        return [report[metric] for metric in metrics]

    popularity = [0.1837, 0.2173, 0.2193, 0.1964, 0.1103]
    assert figures(Popularity().fit(train)) == pytest.approx(popularity, abs=6e-5)
    model = ESLER(l2=700.0).fit(train)
    best = figures(model)
    assert best == pytest.approx([0.4142, 0.4882, 0.4823, 0.4469, 0.2803], abs=6e-5)
    denoising = figures(ESLER(l2=300.0, dropout=0.33).fit(train))
    assert denoising == pytest.approx([0.4183, 0.4900, 0.4845, 0.4488, 0.2836], abs=6e-5)
    off_diagonal = ~np.eye(3671, dtype=np.bool_)
    assert (model.weights[off_diagonal] < 0).mean() == pytest.approx(0.52, abs=0.01)
    model.weights = np.maximum(model.weights, 0)
    assert best[2] - figures(model)[2] == pytest.approx(0.4823 - 0.4612, abs=2e-4)


def test_named_users_can_be_added_to_a_fit_on_a_bare_csr() -> None:
    x = csr_array(np.array([[1, 1, 0], [0, 1, 1]], dtype=np.float32))
    model = ESLER(l2=1.0, keep_gram=True).fit(x)
    more = Interactions.from_csr(x, user_ids=[0, 1])  # their ids are no rows of x
    model.partial_fit(more)
    with pytest.raises(ValueError, match="number of users fitted before is 2"):
        model.partial_fit(more)


def test_a_history_whose_items_share_no_user_gets_popular_items() -> None:
    alone = Interactions.from_columns([1, 1, 2, 2, 3], ["a", "b", "b", "c", "lone"])
    model = ESLER(l2=1.0).fit(alone)
    ranking = model.recommend(Interactions.from_columns([9], ["lone"]), 4)
    assert ranking.fallback.tolist() == [True]
    assert ranking.item_ids[ranking.items[0, :3]].tolist() == ["b", "a", "c"]
    assert ranking.items[0, 3] == -1  # what was seen is left out all the same


def test_earlier_users_without_a_row_are_no_users_added_twice() -> None:
    old = Interactions.from_columns([1, 1, 2], ["a", "b", "a"])
    model = ESLER(l2=1.0, keep_gram=True).fit(old)
    new = Interactions.from_columns([3, 3], ["a", "b"], ids=old)
    together = Interactions.from_columns([1, 1, 2, 3, 3], ["a", "b", "a", "a", "b"])
    np.testing.assert_allclose(
        model.partial_fit(new).weights, ESLER(l2=1.0).fit(together).weights, rtol=1e-6
    )


def test_scores_that_no_memory_holds_are_refused(
    model: ESLER, seen: Interactions, monkeypatch: pytest.MonkeyPatch
) -> None:
    ranking = model.recommend(seen, 2)
    monkeypatch.setattr("pyhybrid.memory.available_bytes", lambda: 1000)
    with pytest.raises(MemoryError, match=r"^score: 120 rows need"):
        model.score(seen)
    with pytest.raises(MemoryError, match=r"^explain: "):
        model.explain(seen, ranking)
