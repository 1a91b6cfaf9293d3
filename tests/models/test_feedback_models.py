"""Tests of the models that learn from labelled rows, and of scores of rows."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch

from pyhybrid import ESLER, MF, Interactions, LightGCN, Popularity, SASRec, load
from pyhybrid.data import Feedback
from pyhybrid.pointwise import rate

if TYPE_CHECKING:
    from pathlib import Path

SMALL: dict[str, Any] = {"dim": 8, "lr": 0.05, "batch_size": 200, "epochs": 30, "device": "cpu"}
MODELS = {
    "MF": MF(**SMALL, l2=0.01),
    "LightGCN": LightGCN(**SMALL, l2=0.01),
    "SASRec": SASRec(**{**SMALL, "lr": 0.01}, layers=1, heads=1, dropout=0.0, max_length=6),
}


def two_tastes(rows: int = 1500, seed: int = 0, earlier: Feedback | None = None) -> Feedback:
    """Even users like even items and odd users odd ones, whoever is asked about which."""
    random = np.random.default_rng(seed)
    users, items = random.integers(0, 40, rows), random.integers(0, 30, rows)
    return Feedback.from_columns(users, items, (users + items) % 2 == 0, earlier=earlier)


@pytest.mark.parametrize("name", MODELS)
def test_labels_are_learned(name: str) -> None:
    train = two_tastes()
    test = two_tastes(600, seed=1, earlier=train)
    model = MODELS[name].fit(train)
    found = rate(test, model.score_rows(test))
    assert found["auc"] > 0.95
    assert found["uauc"] > 0.95


@pytest.mark.parametrize("name", MODELS)
def test_a_row_scores_its_two_vectors_product(name: str, tmp_path: Path) -> None:
    train = two_tastes()
    model = MODELS[name].fit(train)
    users, items = model.row_vectors(train)
    scores = model.score_rows(train)
    np.testing.assert_allclose((users * items).sum(1), scores, rtol=1e-4, atol=1e-5)
    model.save(tmp_path / "model")
    np.testing.assert_array_equal(load(tmp_path / "model").score_rows(train), scores)


def test_sasrec_scores_users_without_a_history_by_how_items_are_liked() -> None:
    random = np.random.default_rng(0)
    users, items = random.integers(0, 40, 3000), random.integers(0, 12, 3000)
    train = Feedback.from_columns(users, items, random.random(3000) < items / 30)  # most unliked
    model = MODELS["SASRec"].with_params(weight_decay=100.0).fit(train)  # not of biases
    asked = Feedback.from_columns(["new"] * 12, np.arange(12), [True] * 12, item_ids=np.arange(12))
    asked = replace(asked, seen=np.zeros(12, np.int64))
    scores = model.score_rows(asked)
    assert np.corrcoef(scores.argsort().argsort(), np.arange(12))[0, 1] > 0.9
    # an unknown item, which scores 0, is neither the best nor the worst
    assert scores.min() < -0.5 < 0.5 < scores.max()
    # how well an item is liked is no part of what it is like
    vectors = model._item_directions()
    assert vectors.shape == (12, 8)
    similar = model.similar_items(np.arange(12), 1)
    cosines = vectors @ vectors.T / np.outer(*2 * [np.linalg.norm(vectors, axis=1)])
    np.fill_diagonal(cosines, -1)
    np.testing.assert_array_equal(similar.items[:, 0], cosines.argmax(1))


@pytest.mark.parametrize("model", [ESLER(l2=1.0), Popularity(), MODELS["SASRec"]], ids=repr)
def test_rows_score_as_their_histories_do(model: Any) -> None:
    train = two_tastes(400)
    model.fit(train.likes)
    scores = model.score_rows(train)
    for row in range(0, 400, 37):
        history = train.histories([row])
        if history.matrix.nnz:
            alone = model.score(history.with_items(model.item_ids))[0, train.items[row]]
            assert scores[row] == pytest.approx(alone, rel=1e-4, abs=1e-5)


def test_what_a_model_does_not_know_adds_nothing() -> None:
    model = ESLER(l2=1.0).fit(two_tastes().likes)
    known = Feedback.from_columns([1, 1], [2, 4], [True, True])
    more = Feedback.from_columns([1, 1, 1, 1], [2, 999, 4, 998], [True, True, True, True])
    scores = model.score_rows(more)
    assert scores[2] == model.score_rows(known)[1] != 0
    assert scores[[1, 3]].tolist() == [0, 0]


def test_other_things_than_rows_are_refused() -> None:
    model = Popularity().fit(two_tastes().likes)
    with pytest.raises(TypeError, match=r"score_rows: rows is Interactions; expected"):
        model.score_rows(two_tastes().likes)


@pytest.mark.parametrize("name", ["MF", "LightGCN"])
def test_an_item_that_all_dislike_is_known_and_last(name: str) -> None:
    rows = two_tastes()
    users = np.concatenate([rows.users, np.arange(40)])
    items = np.concatenate([rows.items, np.full(40, 77)])
    labels = np.concatenate([rows.labels, np.zeros(40, dtype=bool)])
    train = Feedback.from_columns(users, items, labels)
    model = MODELS[name].fit(train)
    assert model.item_counts[model.item_positions([77])] == [40]
    asked = Feedback.from_columns(np.arange(40), np.full(40, 77), np.zeros(40, dtype=bool))
    assert model.score_rows(asked).max() < np.median(model.score_rows(train))


def test_items_liked_before_the_rows_are_known_too() -> None:
    earlier = two_tastes(300)
    rows = Feedback.from_columns([1, 2, 3], [1, 2, 99], [True, True, False], earlier=earlier)
    model = MODELS["MF"].fit(rows)
    assert len(model.rankable) == (earlier.likes.item_counts() > 0).sum() + 1


def test_lightgcn_without_layers_is_mf() -> None:
    train = two_tastes()
    plain, smoothed = MF(**SMALL).fit(train), LightGCN(**SMALL, layers=0).fit(train)
    np.testing.assert_array_equal(plain.item_vectors, smoothed.item_vectors)
    np.testing.assert_array_equal(plain.score_rows(train), smoothed.score_rows(train))
    np.testing.assert_array_equal(plain.score(train.likes), smoothed.score(train.likes))


def test_lightgcn_averages_smoothed_embeddings() -> None:
    taken = np.array([[1, 1, 0], [0, 1, 1], [1, 0, 1], [0, 1, 0]], dtype=np.float32)
    users, items = np.nonzero(taken)
    model = LightGCN(dim=3, layers=2, epochs=1, device="cpu", lr=0.01)
    model.fit(Interactions.from_columns(users, items, 0.5 * np.ones(len(users))))
    network = model._network(Interactions.from_columns(users, items), None)
    whole = np.block([[np.zeros((4, 4)), taken], [taken.T, np.zeros((3, 3))]])
    degrees = whole.sum(1)
    smooth = whole / np.sqrt(degrees[:, None] * degrees)
    start = torch.cat([network["p"].weight, network["q"].weight]).detach().numpy()
    layers = [start, smooth @ start, smooth @ smooth @ start]
    p, q = (part.detach().numpy() for part in model._all_factors(network))
    np.testing.assert_allclose(np.vstack([p, q]), np.mean(layers, axis=0), atol=1e-6)

    # A user who comes later is smoothed like one with an embedding of zero.
    model._take(network)
    vector = model.user_vectors(Interactions.from_columns(["new"] * 2, [0, 2]))[0]
    parts = [sum(layer[4 + i] / np.sqrt(2 * taken.sum(0)[i]) for i in (0, 2)) for layer in layers]
    np.testing.assert_allclose(vector[:3], sum(parts[:2]) / 3, atol=1e-6)


@pytest.mark.parametrize("on_rows", [True, False])
def test_mf_folds_users_in_by_one_newton_step(on_rows: bool) -> None:
    train = two_tastes()
    model = MF(**SMALL, l2=0.02, negatives=3).fit(train if on_rows else train.likes)
    items = np.array([0, 4, 6])
    vector = model.user_vectors(Interactions.from_columns(["new"] * 3, items))[0]
    q = torch.tensor(model.item_vectors[:, :-2], dtype=torch.float64)
    bias = torch.tensor(model.item_vectors[:, -2], dtype=torch.float64)
    drawn = 0 if on_rows else 3

    def loss(p: torch.Tensor) -> torch.Tensor:
        scores = q @ p + bias
        everything = torch.nn.functional.softplus(scores).sum()
        total = torch.nn.functional.softplus(-scores[items]).sum()
        total = total + drawn * len(items) / len(q) * everything
        return total + 0.02 * len(items) * (1 + drawn) * p.square().sum()

    zero = torch.zeros(8, dtype=torch.float64)
    gradient = torch.autograd.functional.jacobian(loss, zero)
    hessian = torch.autograd.functional.hessian(loss, zero)
    step = -torch.linalg.solve(hessian, gradient)
    np.testing.assert_allclose(vector[:8], step.numpy(), rtol=1e-3, atol=1e-5)


def test_users_of_the_training_have_what_was_learned() -> None:
    train = two_tastes()
    model = MODELS["MF"].fit(train)
    # Of no history: only who asks can tell.
    asked = Feedback.from_columns([0, 1], [2, 2], [True, False])
    liked, disliked = model.score_rows(asked)
    assert liked > 1 > -1 > disliked
    stranger = Feedback.from_columns([999], [2], [True])
    assert disliked < model.score_rows(stranger)[0] < liked


@pytest.mark.parametrize("name", MODELS)
def test_validation_rows_stop_the_training(name: str) -> None:
    train = two_tastes()
    validation = two_tastes(300, seed=1, earlier=train)
    model = MODELS[name].with_params(patience=2, epochs=60)
    model.fit(train, validation=validation, metric="auc")
    figures = [epoch.metric for epoch in model.epochs_run]
    assert len(figures) < 60
    best = rate(validation, model.score_rows(validation))["auc"]
    assert best == pytest.approx(max(figures), abs=1e-6)


def test_rows_are_rated_by_their_own_metrics() -> None:
    train = two_tastes(200)
    with pytest.raises(ValueError, match="metric is 'ndcg@10'; expected"):
        MODELS["MF"].fit(train, validation=train)


def test_a_checkpoint_of_other_rows_is_refused(tmp_path: Path) -> None:
    train = two_tastes(200)
    model = MODELS["MF"].with_params(epochs=2)
    model.fit(train, checkpoint=tmp_path / "run")
    other = Feedback(train.likes, train.users, train.items, ~train.labels, train.seen)
    with pytest.raises(ValueError, match="the rows' fingerprint"):
        model.fit(other, checkpoint=tmp_path / "run")


def test_sasrec_needs_rows_with_a_history() -> None:
    rows = Feedback.from_columns([1, 2], [5, 6], [True, False])
    with pytest.raises(ValueError, match="number of rows with a history is 0; expected 1 or more"):
        MODELS["SASRec"].fit(rows)
