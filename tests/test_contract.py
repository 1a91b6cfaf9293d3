"""The promises that every recommender keeps, on data whose right answer is known."""

from __future__ import annotations

import inspect
import json
import os
import subprocess
import sys
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from constructors import check_refusals
from scipy.sparse import csc_array, csr_array, csr_matrix

import pyhybrid
from pyhybrid import Catalog, Interactions, NotFittedError, models
from pyhybrid.data.interactions import Events
from pyhybrid.models.base import Recommender

if TYPE_CHECKING:
    from pathlib import Path

    from pyhybrid import Ranking

# A new model needs a line here only if its defaults are too large for twenty items.
SMALL: dict[str, dict[str, Any]] = {
    "ESLER": {"l2": 1.0},
    "ESLER+text": {"l2": 1.0, "text": "tfidf"},
    "ESLERFactors": {"l2": 1.0},
    "LLMRec": {
        "text": "tfidf",
        "dim": 16,
        "user_dim": 16,
        "lr": 0.01,
        "batch_size": 100,
        "epochs": 20,
        "device": "cpu",
    },
    "LightGCN": {
        "dim": 8,
        "lr": 0.02,
        "l2": 0.01,
        "batch_size": 100,
        "epochs": 40,
        "device": "cpu",
    },
    "MF": {"dim": 8, "lr": 0.02, "l2": 0.01, "batch_size": 100, "epochs": 40, "device": "cpu"},
    "MultDAE": {"latent_dim": 16, "lr": 0.02, "batch_size": 20, "epochs": 30, "device": "cpu"},
    "MultVAE": {
        "hidden_dim": 16,
        "latent_dim": 8,
        "lr": 0.02,
        "batch_size": 20,
        "epochs": 40,
        "device": "cpu",
    },
    "SASRec": {"dim": 16, "layers": 1, "heads": 2, "lr": 0.01, "epochs": 40, "device": "cpu"},
    "VQRec": {
        "text": "tfidf",
        "parts": 2,
        "bits": 1,
        "dim": 16,
        "layers": 1,
        "dropout": 0.1,
        "lr": 0.01,
        "epochs": 40,
        "device": "cpu",
    },
}
IMPERSONAL = {"Popularity"}  # recommends the same to everybody: no checkerboard answer
TEXTUAL = {"ESLER+text", "LLMRec", "TextSimilarity", "VQRec"}  # fitted with texts only
READS_COLD = {"TextSimilarity", "VQRec"}  # a cold item in a history says something to it
ORDERED = {
    "SASRec",
    "VQRec",
}  # needs the order of a history: a bare CSR of two items a row is refused
TRAINED = {
    "LLMRec",
    "LightGCN",
    "MF",
    "MultDAE",
    "MultVAE",
    "SASRec",
    "VQRec",
}  # by many small steps, in which the rounding of the last bit grows

RERANKERS = {"CoLLM"}  # rank a few candidates: test_reranker_contract.py has their contract
WHOLE = [name for name in models.MODELS if name not in RERANKERS]

ITEMS, USERS = 20, 40
COLD = ("cold-a", "cold-b")


def class_of(name: str) -> type[Recommender]:
    """The class of a model, or of a variant such as "ESLER+text"."""
    return getattr(models, name.partition("+")[0])


def make(name: str) -> Recommender:
    return class_of(name)(**SMALL.get(name, {}))


def titles(name: str, interactions: Interactions | csr_array[np.float32]) -> Catalog | None:
    """The items' texts, for a model that needs them."""
    if name not in TEXTUAL:
        return None
    ids = getattr(interactions, "item_ids", None)
    ids = np.arange(interactions.shape[1]) if ids is None else ids
    return Catalog.from_columns(ids, title=[("even", "odd")[k % 2] for k in range(len(ids))])


def left_out(user: int) -> int:
    """The one item of the user's colour that the user has not taken."""
    return 2 * (user // 2 % (ITEMS // 2)) + user % 2


def checkerboard() -> Interactions:
    """Even users take even items, odd users odd ones; each of the first 40 leaves out one.

    A few users of either colour with less make some items more popular than others. In no order
    of items, so that a model that goes by the order finds the colour and nothing else.
    """
    pairs = [
        (user, item)
        for user in range(USERS)
        for item in range(user % 2, ITEMS, 2)
        if item != left_out(user)
    ]
    pairs += [(USERS + few, item) for few in range(1, 6) for item in range(8, 8 + 2 * few, 2)]
    pairs += [(USERS + 10 + few, item) for few in range(1, 4) for item in range(3, 3 + 2 * few, 2)]
    pairs = [pairs[place] for place in np.random.default_rng(0).permutation(len(pairs))]
    users = [f"u{user:02}" for user, _ in pairs]
    items = [f"i{item:02}" for _, item in pairs]
    return Interactions.from_columns(users, items, ordered=True)


def whole_catalog() -> Catalog:
    known = range(ITEMS - 1, -1, -1)
    ids = [COLD[0], *(f"i{item:02}" for item in known), COLD[1]]
    titles = ["cold a", *(("even", "odd")[item % 2] for item in known), "cold b"]
    return Catalog.from_columns(ids, title=titles)


@pytest.fixture(scope="module", params=(*WHOLE, "ESLER+text"))
def name(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(scope="module")
def seen() -> Interactions:
    return checkerboard()


@pytest.fixture(scope="module")
def model(name: str, seen: Interactions) -> Recommender:
    return make(name).fit(seen, whole_catalog())


def popularity_order(model: Recommender) -> list[int]:
    rankable = model.rankable.tolist()
    return sorted(rankable, key=lambda item: (-model.item_counts[item], item))


def same_ranking(one: Ranking, other: Ranking) -> None:
    np.testing.assert_array_equal(one.items, other.items)
    np.testing.assert_array_equal(one.scores, other.scores)
    np.testing.assert_array_equal(one.row_ids, other.row_ids)
    np.testing.assert_array_equal(one.item_ids, other.item_ids)
    np.testing.assert_array_equal(one.fallback, other.fallback)


def bare(model: Recommender, matrix: csr_array[np.float32]) -> csr_array[np.float32] | Interactions:
    """A bare CSR; for a model that needs an order, the same histories in the order of items."""
    if type(model).__name__ not in ORDERED:
        return matrix
    entries = matrix.tocoo()
    histories = Interactions.from_csr(matrix, item_ids=model.item_ids)
    assert (np.diff(entries.row) >= 0).all()
    return replace(histories, events=Events(matrix.indptr.astype(np.int64), matrix.indices))


def anonymous(histories: Interactions, model: Recommender) -> csr_array[np.float32]:
    return histories.with_items(model.item_ids).matrix


# What is recommended


def test_recommends_exactly_the_left_out_item(
    name: str, model: Recommender, seen: Interactions
) -> None:
    if name in IMPERSONAL:
        pytest.skip(f"{name} recommends the same to everybody")
    ranking = model.recommend(seen.select_users(np.arange(USERS)), 1)
    found = model.item_ids[ranking.items[:, 0]].tolist()
    assert found == [f"i{left_out(user):02}" for user in range(USERS)]


def test_an_unknown_users_history_finds_its_colour(name: str, model: Recommender) -> None:
    if name in IMPERSONAL:
        pytest.skip(f"{name} recommends the same to everybody")
    odd = [f"i{item:02}" for item in range(1, ITEMS, 2) if item != 7]
    ranking = model.recommend(Interactions.from_columns(["stranger"] * 9, odd, ordered=True), 1)
    assert model.item_ids[ranking.items].tolist() == [["i07"]]
    assert ranking.row_ids.tolist() == ["stranger"]
    assert not ranking.fallback.any()


def test_the_item_axis_is_trainings_items_then_the_catalogues_others(
    model: Recommender, seen: Interactions
) -> None:
    assert model.item_ids.tolist() == [*seen.item_ids.tolist(), *COLD]
    assert model.item_counts.tolist() == [*seen.item_counts().tolist(), 0, 0]
    assert model.item_counts.dtype == np.int64


def test_scores_are_contiguous_float32_over_the_axis(
    model: Recommender, seen: Interactions
) -> None:
    scores = model.score(seen)
    assert scores.shape == (seen.n_users, ITEMS + len(COLD))
    assert scores.dtype == np.float32
    assert scores.flags.c_contiguous
    assert np.isfinite(scores[:, model.rankable]).all()


def test_rankings_are_in_order_of_score(model: Recommender, seen: Interactions) -> None:
    ranking = model.recommend(seen, 6, exclude_seen=False)
    assert ranking.items.dtype == np.int32
    assert ranking.scores.dtype == np.float32
    assert (np.diff(ranking.scores, axis=1) <= 0).all()
    scores = np.take_along_axis(model.score(seen), ranking.items.astype(np.int64), axis=1)
    np.testing.assert_allclose(ranking.scores, scores, rtol=1e-5, atol=1e-6)
    best = np.sort(model.score(seen), axis=1)[:, ::-1][:, :6]
    np.testing.assert_allclose(ranking.scores, best, rtol=1e-5, atol=1e-6)


def test_no_item_stands_twice_in_a_row(model: Recommender, seen: Interactions) -> None:
    for row in model.recommend(seen, ITEMS + 5, exclude_seen=False).items:
        kept = row[row >= 0]
        assert len(np.unique(kept)) == len(kept)


# What is left out


def test_seen_items_are_left_out_unless_asked_for(model: Recommender, seen: Interactions) -> None:
    matrix = anonymous(seen, model).toarray()
    left = model.recommend(seen, ITEMS)
    for row, items in enumerate(left.items):
        kept = items[items >= 0]
        assert not matrix[row, kept].any()
        assert len(kept) == min(ITEMS, len(model.rankable) - matrix[row].sum())
    everything = model.recommend(seen, len(model.rankable), exclude_seen=False)
    for items in everything.items:
        assert sorted(items) == model.rankable.tolist()


def test_cold_items_are_for_models_that_score_them(model: Recommender, seen: Interactions) -> None:
    cold = model.item_positions(COLD)
    if model.scores_cold_items:
        assert np.isfinite(model.score(seen)[:, cold]).all()
        return
    assert not set(cold) & set(model.rankable)
    assert (model.score(seen)[:, cold] == -np.inf).all()
    for among in (None, np.append(cold, [3, 4])):
        ranking = model.recommend(seen, ITEMS + 2, exclude_seen=False, among=among)
        assert not np.isin(ranking.items, cold).any()
    nothing = model.recommend(seen, 2, among=cold)
    assert (nothing.items == -1).all()
    assert (nothing.scores == -np.inf).all()


def test_a_history_of_cold_items_alone_is_like_an_empty_one(name: str, model: Recommender) -> None:
    if name in READS_COLD:
        pytest.skip(f"{name} knows what a cold item in a history says")
    ranking = model.recommend(Interactions.from_columns(["x"], ["cold-b"], ordered=True), 5)
    assert ranking.items[0].tolist() == popularity_order(model)[:5]
    assert ranking.fallback.tolist() == [True]


def test_more_than_the_catalogue_pads_the_rows(model: Recommender, seen: Interactions) -> None:
    ranking = model.recommend(seen, 1000)
    assert ranking.items.shape == (seen.n_users, 1000)
    padding = ranking.items < 0
    assert (ranking.items[padding] == -1).all()
    assert (ranking.scores[padding] == -np.inf).all()
    assert np.isfinite(ranking.scores[~padding]).all()
    assert (np.diff(padding.astype(int), axis=1) >= 0).all()
    assert padding[:, len(model.item_ids) :].all()


def test_among_is_a_list_for_all_rows(model: Recommender, seen: Interactions) -> None:
    allowed = [3, 9, 4, 3]
    for among in (np.array(allowed), np.array(allowed, dtype=np.int32), np.array([*allowed, -1])):
        ranking = model.recommend(seen, 5, exclude_seen=False, among=among)
        assert (np.sort(ranking.items, axis=1) == [-1, -1, 3, 4, 9]).all()


def test_among_is_a_list_for_each_row(model: Recommender, seen: Interactions) -> None:
    users = seen.select_users([0, 1, 2])
    among = np.array([[0, 1, 5], [7, -1, -1], [-1, -1, -1]], dtype=np.int32)
    ranking = model.recommend(users, 4, exclude_seen=False, among=among)
    assert sorted(ranking.items[0].tolist()) == [-1, 0, 1, 5]
    assert ranking.items[1].tolist() == [7, -1, -1, -1]
    assert ranking.items[2].tolist() == [-1, -1, -1, -1]


def test_among_and_seen_items_together(model: Recommender, seen: Interactions) -> None:
    taken = anonymous(seen, model)[[0]].indices
    ranking = model.recommend(seen.select_users([0]), 3, among=np.append(taken, left_out(0)))
    assert ranking.items.tolist() == [[left_out(0), -1, -1]]


def test_an_empty_among_allows_nothing(model: Recommender, seen: Interactions) -> None:
    ranking = model.recommend(seen, 2, among=np.array([], dtype=np.int32))
    assert (ranking.items == -1).all()


@pytest.mark.parametrize("deny", [[2, 5, 2], (2, 5), np.array([2, 5], dtype=np.int64)])
def test_denied_items_are_for_nobody(model: Recommender, seen: Interactions, deny: Any) -> None:
    free = model.recommend(seen, len(model.item_ids), exclude_seen=False)
    ranking = model.recommend(seen, len(model.item_ids), exclude_seen=False, deny=deny)
    for row, before in zip(ranking.items, free.items, strict=True):
        assert row[row >= 0].tolist() == [i for i in before.tolist() if i not in (-1, 2, 5)]


def test_deny_wins_over_among(model: Recommender, seen: Interactions) -> None:
    among = np.array([2, 5, 6])
    ranking = model.recommend(seen, 2, exclude_seen=False, among=among, deny=[5, 6])
    assert (ranking.items == [2, -1]).all()
    by_row = np.tile(among, (seen.n_users, 1))
    ranking = model.recommend(seen, 2, exclude_seen=False, among=by_row, deny=[5, 6])
    assert (ranking.items == [2, -1]).all()
    assert (model.recommend(seen, 2, deny=np.arange(len(model.item_ids))).items == -1).all()


def test_no_restriction_is_that_of_empty_deny(model: Recommender, seen: Interactions) -> None:
    same_ranking(model.recommend(seen, 4, deny=[]), model.recommend(seen, 4))


# Empty histories


def test_an_empty_history_gets_the_popularity_order(model: Recommender) -> None:
    order = popularity_order(model)
    empty = csr_array((2, len(model.item_ids)), dtype=np.float32)
    for exclude_seen in (True, False):
        ranking = model.recommend(empty, len(order), exclude_seen=exclude_seen)
        assert ranking.items.tolist() == [order, order]
        assert ranking.fallback.tolist() == [True, True]


def test_only_empty_rows_fall_back(model: Recommender, seen: Interactions) -> None:
    matrix = anonymous(seen, model)[[0, 1, 2]].tolil()
    matrix[1] = 0
    mixed = csr_array(matrix.tocsr().astype(np.float32))
    mixed.eliminate_zeros()
    ranking = model.recommend(bare(model, mixed), 4)
    assert ranking.fallback.tolist() == [False, True, False]
    assert ranking.items[1].tolist() == popularity_order(model)[:4]
    alone = model.recommend(bare(model, mixed[[0, 2]]), 4)
    np.testing.assert_array_equal(ranking.items[[0, 2]], alone.items)
    np.testing.assert_array_equal(ranking.scores[[0, 2]], alone.scores)


def test_an_empty_history_keeps_to_among_and_deny(model: Recommender, seen: Interactions) -> None:
    order = popularity_order(model)
    empty = csr_array((1, len(model.item_ids)), dtype=np.float32)
    allowed = order[3:9]
    ranking = model.recommend(empty, 8, among=np.array(sorted(allowed)))
    assert ranking.items[0].tolist() == [*allowed, -1, -1]
    ranking = model.recommend(empty, 4, deny=order[:2])
    assert ranking.items[0].tolist() == order[2:6]
    taken = anonymous(seen, model)[[0]]
    shape = (2, len(model.item_ids))
    two = csr_array((taken.data, taken.indices, [0, 0, taken.nnz]), shape=shape)
    by_row = np.array([[order[4], order[1]], [left_out(0), -1]], dtype=np.int32)
    ranking = model.recommend(bare(model, two), 2, among=by_row)
    assert ranking.items.tolist() == [[order[1], order[4]], [left_out(0), -1]]
    assert ranking.fallback.tolist() == [True, False]


def test_no_histories_give_no_rows(model: Recommender, seen: Interactions) -> None:
    ranking = model.recommend(seen.select_users([]), 3)
    assert ranking.items.shape == (0, 3)
    assert model.score(seen.select_users([])).shape == (0, len(model.item_ids))
    assert ranking.to_arrow().num_rows == 0
    assert ranking.to_arrow().schema == model.recommend(seen, 3).to_arrow().schema


# Histories of all kinds


def test_a_bare_csr_ranks_as_its_interactions_do(
    name: str, model: Recommender, seen: Interactions
) -> None:
    if name in ORDERED:
        pytest.skip(f"{name} needs an order")
    named = model.recommend(seen, 5)
    for matrix in (anonymous(seen, model), csr_matrix(anonymous(seen, model))):
        ranking = model.recommend(matrix, 5)
        np.testing.assert_array_equal(ranking.items, named.items)
        np.testing.assert_array_equal(ranking.scores, named.scores)
        assert ranking.row_ids.tolist() == list(range(seen.n_users))


def test_a_model_that_needs_an_order_refuses_what_has_none(
    name: str, model: Recommender, seen: Interactions
) -> None:
    if name not in ORDERED:
        pytest.skip(f"{name} needs no order")
    unordered = Interactions.from_columns(["x", "x"], ["i01", "i03"])
    message = f"^{name}: the order of events is unknown; .* time= or ordered=True, not a bare CSR$"
    for histories in (anonymous(seen, model), unordered):
        for verb in (model.score, model.recommend):
            with pytest.raises(ValueError, match=message):
                verb(histories)
        with pytest.raises(ValueError, match=message):
            make(name).fit(histories, titles(name, histories))
    one = csr_array(np.eye(1, len(model.item_ids), dtype=np.float32))
    assert not model.recommend(one).fallback.any()  # of one item there is but one order


def test_histories_on_another_item_order_rank_the_same(
    model: Recommender, seen: Interactions
) -> None:
    order = np.random.default_rng(3).permutation(model.item_ids)
    other = seen.with_items(order)
    assert other.item_ids.tolist() != seen.item_ids.tolist()
    same_ranking(model.recommend(other, 5), model.recommend(seen, 5))
    np.testing.assert_array_equal(model.score(other), model.score(seen))


def test_histories_may_know_fewer_items(model: Recommender) -> None:
    few = Interactions.from_columns(["x", "x", "y"], ["i06", "i04", "i06"], ordered=True)
    wide = few.with_items(model.item_ids)
    same_ranking(model.recommend(few, 5), model.recommend(wide, 5))


def test_an_unknown_item_is_refused_and_named(model: Recommender, tmp_path: Path) -> None:
    strange = Interactions.from_columns(["x", "x"], ["i01", "nobody's"], ordered=True)
    for verb in (model.score, model.recommend):
        with pytest.raises(ValueError, match=r"unknown items is 1.*nobody's.*expected 0"):
            verb(strange)
    with pytest.raises(ValueError, match="unknown items"):
        model.recommend_batches(strange, tmp_path / "out")


def test_an_unknown_item_without_an_entry_does_no_harm(model: Recommender) -> None:
    one = Interactions.from_columns(["x"], ["i01"], ordered=True)
    same_ranking(model.recommend(one.with_items(["i01", "nobody's"])), model.recommend(one))


def test_ids_of_another_kind_are_refused(model: Recommender) -> None:
    with pytest.raises(TypeError, match="whole numbers"):
        model.recommend(Interactions.from_columns([1], [1], ordered=True))


def test_a_bare_csr_of_another_width_is_refused(model: Recommender, tmp_path: Path) -> None:
    narrow = csr_array((2, 9), dtype=np.float32)
    items = ITEMS + len(COLD)
    message = f"histories has 9 columns; this model was fitted on {items} items"
    with pytest.raises(ValueError, match=f"^score: {message}$"):
        model.score(narrow)
    with pytest.raises(ValueError, match=f"^recommend: {message}$"):
        model.recommend(narrow)
    with pytest.raises(ValueError, match=f"^recommend_batches: {message}$"):
        model.recommend_batches(narrow, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_what_is_no_float32_csr_is_a_type_error(model: Recommender, seen: Interactions) -> None:
    matrix = anonymous(seen, model)
    for wrong in (matrix.toarray(), csc_array(matrix), matrix.astype(np.float64), [[1, 2]], None):
        with pytest.raises(TypeError):
            model.recommend(wrong)


def test_a_broken_csr_is_refused_before_it_is_used(model: Recommender) -> None:
    items = len(model.item_ids)
    broken = csr_array(np.ones((2, items), dtype=np.float32))
    broken.indices[3] = items + 1000
    with pytest.raises(ValueError, match="indices"):
        model.recommend(broken)
    nan = csr_array(np.ones((2, items), dtype=np.float32))
    nan.data[0] = np.nan
    with pytest.raises(ValueError, match="nan"):
        model.recommend(nan)


def test_recommend_leaves_its_inputs_alone(name: str, model: Recommender) -> None:
    if name in ORDERED:
        pytest.skip(f"{name} needs an order")
    items = len(model.item_ids)
    matrix = csr_array(
        (
            np.ones(5, dtype=np.float32),
            np.array([4, 2, 4, 1, 3], dtype=np.int32),  # unsorted, with a repeat
            np.array([0, 3, 5], dtype=np.int32),
        ),
        shape=(2, items),
    )
    parts = (matrix.data, matrix.indices, matrix.indptr)
    before = [part.copy() for part in parts]
    among, deny = np.array([5, 3, 1, 6], dtype=np.int32), np.array([6])
    model.recommend(matrix, 2, among=among, deny=deny)
    model.score(matrix)
    for part, copy in zip(parts, before, strict=True):
        np.testing.assert_array_equal(part, copy)
    assert among.tolist() == [5, 3, 1, 6]
    assert deny.tolist() == [6]


def test_read_only_histories_will_do(model: Recommender, seen: Interactions) -> None:
    matrix = anonymous(seen, model).copy()
    for part in (matrix.data, matrix.indices, matrix.indptr):
        part.flags.writeable = False
    assert len(model.recommend(bare(model, matrix), 2)) == seen.n_users


# Arguments


@pytest.mark.parametrize("n", [0, -1])
def test_n_is_one_or_more(model: Recommender, seen: Interactions, n: int) -> None:
    with pytest.raises(ValueError, match=rf"^recommend: n is {n}; expected 1 or more$"):
        model.recommend(seen, n)


@pytest.mark.parametrize("n", [2.0, True, "3", None])
def test_n_is_an_integer(model: Recommender, seen: Interactions, n: Any) -> None:
    with pytest.raises(TypeError, match="expected an integer"):
        model.recommend(seen, n)


def test_among_and_deny_are_positions_in_range(model: Recommender, seen: Interactions) -> None:
    items = len(model.item_ids)
    for wrong in ([items], [-2]):
        with pytest.raises(ValueError, match="among"):
            model.recommend(seen, among=np.array(wrong))
    for wrong in ([items], [-1]):
        with pytest.raises(ValueError, match="deny"):
            model.recommend(seen, deny=wrong)
    with pytest.raises(ValueError, match="among"):
        model.recommend(seen, among=np.zeros((seen.n_users - 1, 2), dtype=np.int32))
    with pytest.raises(ValueError, match="among"):
        model.recommend(seen, among=np.zeros((seen.n_users, 2, 1), dtype=np.int32))
    for wrong in ([1.0], [True], ["i01"]):
        with pytest.raises(TypeError):
            model.recommend(seen, among=np.array(wrong))
        with pytest.raises(TypeError):
            model.recommend(seen, deny=wrong)


def test_items_are_found_by_id(model: Recommender) -> None:
    found = model.item_positions(["cold-a", "i03", "i03"])
    assert found.dtype == np.int32
    assert found.tolist() == [ITEMS, 3, 3]
    with pytest.raises(ValueError, match=r"unknown items is 1 .*'nobody'"):
        model.item_positions(["i03", "nobody"])


def test_numbers_are_not_taken_for_strings_nor_cut_to_integers(name: str) -> None:
    few = Interactions.from_columns([1, 1, 2], [7, 8, 7], ordered=True)
    model = make(name).fit(few, titles(name, few))
    assert model.item_positions([8, 7]).tolist() == [1, 0]
    with pytest.raises(ValueError, match=r"unknown items is 1 \(first: 9\); expected 0$"):
        model.item_positions([8, 9])
    for wrong in ([7.9], ["7"]):
        with pytest.raises((TypeError, ValueError)):
            model.item_positions(wrong)


def test_hyper_parameters_are_checked_in_the_constructor(name: str) -> None:
    check_refusals(class_of(name))


def test_parameters_are_read_back_and_changed(name: str) -> None:
    model = make(name)
    assert type(model)(**model.params).params == model.params
    assert model.with_params().params == model.params
    assert repr(model).startswith(f"{type(model).__name__}(")
    usual = inspect.signature(type(model)).parameters
    for parameter, value in model.params.items():
        assert (f"{parameter}=" in repr(model)) == (value != usual[parameter].default)


# Before and after fitting


def test_every_verb_asks_for_fit_first(name: str, seen: Interactions, tmp_path: Path) -> None:
    model = make(name)
    verbs: dict[str, Any] = {
        "score": lambda: model.score(seen),
        "recommend": lambda: model.recommend(seen),
        "recommend_batches": lambda: model.recommend_batches(seen, tmp_path / "parts"),
        "item_positions": lambda: model.item_positions(["i01"]),
        "save": lambda: model.save(tmp_path / "model"),
        "similar_items": lambda: model.similar_items(np.array([0])),
        "partial_fit": lambda: model.partial_fit(seen),
        "explain": lambda: model.explain(seen, None),
    }
    who = type(model).__name__
    for verb, call in verbs.items():
        if hasattr(model, verb):
            with pytest.raises(NotFittedError, match=f"^{verb}: this {who} is not fitted"):
                call()
    assert not list(tmp_path.iterdir())


def test_fit_returns_the_model(name: str, seen: Interactions) -> None:
    model = make(name)
    assert model.fit(seen, titles(name, seen)) is model


def test_fitting_on_nothing_is_refused(name: str, seen: Interactions) -> None:
    nothing = seen.keep_pairs(np.zeros(seen.matrix.nnz, dtype=np.bool_))
    who = class_of(name).__name__
    with pytest.raises(ValueError, match=f"^{who}: number of interactions is 0"):
        make(name).fit(nothing)
    with pytest.raises(TypeError, match=f"^{who}: interactions is a ndarray"):
        make(name).fit(seen.matrix.toarray())


def test_an_interrupted_fit_leaves_a_model_that_is_not_fitted(
    name: str, seen: Interactions, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = make(name).fit(seen, titles(name, seen))

    def interrupted(*args: Any, **options: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(type(model), "_fit", interrupted)
    with pytest.raises(KeyboardInterrupt):
        model.fit(seen, titles(name, seen))
    with pytest.raises(NotFittedError):
        model.recommend(seen)


def test_a_refused_fit_leaves_the_model_as_it_was(name: str, seen: Interactions) -> None:
    model = make(name).fit(seen, titles(name, seen))
    before = model.recommend(seen, 4)
    with pytest.raises(ValueError, match="number of interactions"):
        model.fit(seen.keep_pairs(np.zeros(seen.matrix.nnz, dtype=np.bool_)))
    same_ranking(model.recommend(seen, 4), before)


def test_fitting_twice_gives_the_same(name: str, model: Recommender, seen: Interactions) -> None:
    again = make(name).fit(seen, whole_catalog())
    np.testing.assert_array_equal(again.recommend(seen, 5).items, model.recommend(seen, 5).items)
    np.testing.assert_allclose(again.score(seen), model.score(seen), rtol=1e-6)
    few = Interactions.from_columns(["x", "x", "y"], ["b", "a", "b"], ordered=True)
    other = make(name).fit(few, titles(name, few))
    refitted = other.fit(seen, whole_catalog())
    np.testing.assert_allclose(refitted.score(seen), model.score(seen), rtol=1e-6)
    assert refitted.item_ids.tolist() == model.item_ids.tolist()


def test_fitting_takes_a_bare_csr(name: str, model: Recommender, seen: Interactions) -> None:
    if name in ORDERED:
        pytest.skip(f"{name} needs an order")
    unnamed = make(name).fit(seen.matrix, titles(name, seen.matrix))
    assert unnamed.item_ids.tolist() == list(range(ITEMS))
    if name in TEXTUAL:  # without the catalogue's cold items
        model = make(name).fit(seen, titles(name, seen))
    ranking = unnamed.recommend(seen.matrix, 5)
    np.testing.assert_array_equal(ranking.items, model.recommend(seen, 5).items)
    table = ranking.to_arrow()
    assert table["user_id"].type == table["item_id"].type == pa.int64()


def test_a_catalogue_of_known_items_changes_nothing(name: str, seen: Interactions) -> None:
    known = Catalog.from_columns(seen.item_ids[::-1], title=seen.item_ids[::-1])
    with_catalog = make(name).fit(seen, known)
    assert with_catalog.item_ids.tolist() == seen.item_ids.tolist()


def test_fit_reports_its_progress(name: str, seen: Interactions) -> None:
    shares: list[float] = []
    make(name).fit(seen, titles(name, seen), progress=shares.append)
    assert all(0.0 <= share <= 1.0 for share in shares)
    assert shares == sorted(shares)


def test_a_bar_is_for_terminals_only(
    name: str, seen: Interactions, capfd: pytest.CaptureFixture[str]
) -> None:
    for progress in (True, False):
        make(name).fit(seen, titles(name, seen), progress=progress)
    captured = capfd.readouterr()
    assert (captured.out, captured.err) == ("", "")


# Threads


@pytest.mark.parametrize("threads", [1, 2, 3, 8])
def test_rankings_are_the_same_bits_for_every_number_of_threads(
    model: Recommender, seen: Interactions, threads: int
) -> None:
    same_ranking(model.recommend(seen, 6, threads=threads), model.recommend(seen, 6))


@pytest.mark.parametrize("threads", [1, 3])
def test_fits_are_the_same_for_every_number_of_threads(
    name: str, model: Recommender, seen: Interactions, threads: int
) -> None:
    other = make(name).fit(seen, whole_catalog(), threads=threads)
    near = 1e-3 if name in TRAINED else 1e-6
    np.testing.assert_allclose(other.score(seen), model.score(seen), rtol=near, atol=near)


_FIT_AND_RANK = """
import json, sys
from pathlib import Path
from pyhybrid import Catalog, Interactions, models
found = {}
for name, params in json.loads(sys.argv[2]).items():
    seen = Interactions.read(sys.argv[1], ordered=True)
    titles = Catalog.from_columns(seen.item_ids, title=seen.item_ids)
    model = getattr(models, name)(**params).fit(seen, titles)
    loaded = models.load(Path(sys.argv[1]).with_name(name))
    found[name] = [
        model.score(seen).tolist(),
        loaded.recommend(seen, 6).items.tolist(),
        loaded.recommend(seen, 6).scores.tolist(),
    ]
print(json.dumps(found))
"""


def test_omp_num_threads_changes_no_result(seen: Interactions, tmp_path: Path) -> None:
    pq.write_table(seen.to_arrow(), tmp_path / "seen.parquet")
    params = {name: SMALL.get(name, {}) for name in WHOLE}
    named = Catalog.from_columns(seen.item_ids, title=seen.item_ids)
    for name in WHOLE:
        make(name).fit(seen, named).save(tmp_path / name)
    found = []
    for threads in ("1", "3"):
        command = [sys.executable, "-c", _FIT_AND_RANK]
        result = subprocess.run(
            [*command, str(tmp_path / "seen.parquet"), json.dumps(params)],
            env={**os.environ, "OMP_NUM_THREADS": threads},
            capture_output=True,
            text=True,
            check=True,
        )
        found.append(json.loads(result.stdout))
    for name in WHOLE:
        model = models.load(tmp_path / name)
        here = model.recommend(seen, 6)
        for scores, *ranking in (found[0][name], found[1][name]):
            near = 1e-3 if name in TRAINED else 1e-6
            np.testing.assert_allclose(scores, model.score(seen), rtol=near, atol=near)
            assert ranking == [here.items.tolist(), here.scores.tolist()]


# Saving


@pytest.mark.parametrize("any_class", [True, False])
def test_a_loaded_model_gives_the_same_bits(
    model: Recommender, seen: Interactions, tmp_path: Path, any_class: bool
) -> None:
    model.save(tmp_path / "model")
    kind = type(model)
    loaded = pyhybrid.load(tmp_path / "model") if any_class else kind.load(str(tmp_path / "model"))
    assert type(loaded) is kind
    assert loaded.params == model.params
    np.testing.assert_array_equal(loaded.score(seen), model.score(seen))
    for options in ({}, {"exclude_seen": False}, {"among": np.array([1, 4, 20])}, {"deny": [0]}):
        same_ranking(loaded.recommend(seen, 7, **options), model.recommend(seen, 7, **options))
    empty = csr_array((1, len(model.item_ids)), dtype=np.float32)
    same_ranking(loaded.recommend(empty, 30), model.recommend(empty, 30))
    np.testing.assert_array_equal(loaded.rankable, model.rankable)
    np.testing.assert_array_equal(loaded.item_counts, model.item_counts)
    assert loaded.item_positions(COLD).tolist() == [ITEMS, ITEMS + 1]


def test_loading_another_class_is_refused(model: Recommender, tmp_path: Path) -> None:
    model.save(tmp_path / "model")
    for name in models.MODELS:
        if name != type(model).__name__:
            with pytest.raises(ValueError, match=f"is {type(model).__name__}; expected {name}"):
                getattr(models, name).load(tmp_path / "model")


# Own ids


def test_rankings_give_back_the_callers_strings(model: Recommender, seen: Interactions) -> None:
    table = model.recommend(seen, 3).to_arrow()
    assert table["user_id"].type == table["item_id"].type
    assert table["item_id"].type in (pa.string(), pa.large_string())
    assert set(table["user_id"].to_pylist()) == set(seen.user_ids)
    assert set(table["item_id"].to_pylist()) <= {*seen.item_ids, *COLD}


def test_rankings_give_back_the_callers_numbers(name: str, tmp_path: Path) -> None:
    seen = Interactions.from_columns(
        [-7, -7, 2**62, 5, 5, 5], [9, 8, 9, 9, 8, 10**12], ordered=True
    )
    make(name).fit(seen, titles(name, seen)).save(tmp_path / "model")
    table = pyhybrid.load(tmp_path / "model").recommend(seen, 3, exclude_seen=False).to_arrow()
    assert table["user_id"].to_pylist() == [-7] * 3 + [5] * 3 + [2**62] * 3
    assert set(table["item_id"].to_pylist()) == {8, 9, 10**12}


# In batches


@pytest.mark.parametrize("rows", [1, 7, 48, 1000])
def test_batches_hold_what_recommend_returns(
    model: Recommender, seen: Interactions, tmp_path: Path, rows: int
) -> None:
    options: dict[str, Any] = {"exclude_seen": False, "among": np.arange(12), "deny": [4]}
    parts = model.recommend_batches(seen, tmp_path / "out", 5, rows=rows, **options)
    assert len(parts) == -(-seen.n_users // rows)
    assert parts == sorted((tmp_path / "out").glob("*.parquet"))
    table = pa.concat_tables([pq.read_table(part) for part in parts])
    wanted = model.recommend(seen, 5, **options).to_arrow()
    assert table.replace_schema_metadata().equals(wanted)


# What the base class does for a model that has no kernel of its own


class Blank(Recommender):
    """Score each item by its id's number plus the history's size; the required hooks alone."""

    scores_cold_items = True

    def _fit(self, interactions: Any, catalog: Any, threads: int, report: Any) -> None:
        self.width = interactions.n_items

    def _score(self, histories: Interactions) -> Any:
        sizes = np.diff(histories.matrix.indptr)[:, None]
        return (np.arange(self.width) % 7 + sizes).astype(np.float32)

    def _arrays(self) -> dict[str, Any]:
        return {}

    def _restore(self, arrays: dict[str, Any]) -> None:
        self.width = len(self.item_ids)


class BlankOfWarmItems(Blank):
    scores_cold_items = False


def wide_histories(users: int, items: int) -> csr_array[np.float32]:
    rng = np.random.default_rng(0)
    matrix = csr_array((rng.random((users, items)) < 0.2).astype(np.float32))
    matrix.eliminate_zeros()
    return matrix


@pytest.mark.parametrize("exclude_seen", [True, False])
@pytest.mark.parametrize("restriction", ["none", "list", "rows"])
def test_the_required_hooks_are_enough(exclude_seen: bool, restriction: str) -> None:
    x = wide_histories(2500, 12)
    rng = np.random.default_rng(1)
    among = {
        "none": None,
        "list": np.array([0, 3, 5, 11]),
        "rows": rng.integers(-1, 12, (2500, 4)).astype(np.int32),
    }[restriction]
    model = Blank().fit(x)
    ranking = model.recommend(x, 3, exclude_seen=exclude_seen, among=among)
    scores = model.score(x).astype(np.float64)
    if exclude_seen:
        scores[x.nonzero()] = -np.inf
    if among is not None:
        allowed = np.zeros((2500, 13), dtype=np.bool_)
        allowed[np.arange(2500)[:, None], np.broadcast_to(among, (2500, 4))] = True
        scores[~allowed[:, :12]] = -np.inf
    order = np.argsort(-scores, axis=1, kind="stable")[:, :3]
    best = np.take_along_axis(scores, order, axis=1)
    taken = np.diff(x.indptr) > 0  # an empty history goes by popularity
    wanted = np.where(np.isfinite(best), order, -1)
    np.testing.assert_array_equal(ranking.items[taken], wanted[taken])
    np.testing.assert_array_equal(ranking.scores[taken], best[taken])


def test_a_model_of_cold_items_ranks_the_whole_axis() -> None:
    x = wide_histories(20, 12)
    model = Blank().fit(x, Catalog.from_columns([3, 100, 50]))
    assert model.item_ids[12:].tolist() == [100, 50]
    assert model.rankable.tolist() == list(range(14))
    assert np.isfinite(model.score(csr_array((2, 14), dtype=np.float32))).all()
    ranking = model.recommend(csr_array(np.eye(1, 14, dtype=np.float32)), 13)
    assert sorted(ranking.items[0].tolist()) == list(range(1, 14))


def test_hooks_of_a_model_of_warm_items_see_those_alone() -> None:
    dense = wide_histories(20, 12).toarray()
    dense[:, [2, 9]] = 0
    x = csr_array(dense)
    model = BlankOfWarmItems().fit(x, Catalog.from_columns([77]))
    assert model.width == 10
    assert model.rankable.tolist() == [0, 1, 3, 4, 5, 6, 7, 8, 10, 11]
    scores = model.score(csr_array(np.eye(1, 13, dtype=np.float32)))
    assert scores[0, [2, 9, 12]].tolist() == [-np.inf] * 3
    assert scores[0, model.rankable].tolist() == [i % 7 + 1 for i in range(10)]
    ranking = model.recommend(csr_array(np.eye(1, 13, dtype=np.float32)), 20)
    assert set(ranking.items[0].tolist()) == {-1, 1, 3, 4, 5, 6, 7, 8, 10, 11}
