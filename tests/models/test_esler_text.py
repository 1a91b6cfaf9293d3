from __future__ import annotations

import re
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from scipy.sparse import csr_array

from pyhybrid import ESLER, Catalog, Interactions, evaluate, memory
from pyhybrid.data import Split, splits, synthetic
from pyhybrid.models import text_scale
from pyhybrid.models.item_texts import text_vectors
from pyhybrid.storage import write_folder
from pyhybrid.text import GivenVectors, TfidfEncoder

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(scope="module")
def data() -> tuple[Split, Catalog]:
    interactions, catalog = synthetic.topics(users=600, items=150, seed=1)
    parts = splits.cold_items(splits.strong(interactions, seed=1), share=0.2, seed=1)
    return parts, catalog


@pytest.fixture(scope="module")
def model(data: tuple[Split, Catalog]) -> ESLER:
    return ESLER(l2=20.0, text="tfidf").fit(data[0].train, data[1])


def learned(model: ESLER) -> np.ndarray[Any, Any]:
    return np.asarray(model.item_counts >= model.min_count)


def test_a_column_is_what_is_learned_and_what_the_text_adds(
    data: tuple[Split, Catalog],
) -> None:
    parts, catalog = data
    settings = {"text_scale": 0.6, "text_direct": 0.4, "text_gamma": 0.7, "text_worth": 30.0}
    model = ESLER(l2=20.0, text="tfidf", **settings).fit(parts.train, catalog)
    plain = ESLER(l2=20.0).fit(parts.train, catalog)
    known = learned(model)
    assert model.weights.shape == (known.sum(), len(model.item_ids))
    texts = np.array(catalog.texts(model.item_ids), dtype=object)
    vectors = text_vectors("tfidf", [texts], known, seed=0).astype(np.float64)
    gaps = vectors[:, None] - vectors[None]
    kernel = np.exp(-0.7 * (gaps**2).sum(-1))
    kernel[~vectors.any(axis=1)] = kernel[:, ~vectors.any(axis=1)] = 0
    n = model.item_counts.astype(float)
    v, w = n**2 / (n**2 + 3.0**2), 30.0**2 / (30.0**2 + n**2)
    own = np.zeros(model.weights.shape)
    own[:, known] = plain.weights
    said = own + 0.4 * np.eye(len(n))[known]
    for item in [*np.flatnonzero(known)[[0, 7]], *np.flatnonzero(~known)[[0, 3]]]:
        used = np.flatnonzero(known & (np.arange(len(n)) != item))
        ridge = np.diag(0.2 / v[used])
        a = np.linalg.solve(kernel[np.ix_(used, used)] + ridge, kernel[used, item])
        wanted = own[:, item] + 0.7 * w[item] * said[:, used] @ a
        wanted *= 1 - w[item] * (1 - 0.6)
        wanted[np.flatnonzero(known) == item] = 0
        np.testing.assert_allclose(model.weights[:, item], wanted, rtol=2e-3, atol=1e-5)


def test_a_score_moves_little_with_the_first_interactions_of_an_item(
    data: tuple[Split, Catalog],
) -> None:
    whole = splits.strong(synthetic.topics(users=600, items=150, seed=1)[0], seed=1)
    scores = []
    for keep in (0, 1, 2):
        parts = splits.cold_items(whole, share=0.2, min_count=20, keep=keep, seed=1)
        model = ESLER(l2=20.0, text="tfidf", text_scale=1.0).fit(parts.train, data[1])
        new = model.item_positions(parts.new_items)
        scores.append(model.score(parts.test.histories)[:, new])
    size = np.abs(scores[0]).mean()
    for one, next_one in pairwise(scores):
        assert np.abs(next_one - one).mean() < 0.25 * size


def test_known_items_that_are_old_keep_their_weights(data: tuple[Split, Catalog]) -> None:
    plain = ESLER(l2=20.0).fit(data[0].train, data[1])
    model = ESLER(l2=20.0, text="tfidf", text_worth=1e-3).fit(data[0].train, data[1])
    np.testing.assert_array_equal(model.item_ids, plain.item_ids)
    known = learned(model)
    np.testing.assert_allclose(model.weights[:, known], plain.weights, rtol=1e-5, atol=1e-7)
    assert len(model.rankable) == len(model.item_ids) > known.sum()


def test_how_far_up_new_items_go_is_chosen_from_training_alone(
    data: tuple[Split, Catalog],
) -> None:
    parts, catalog = data
    free = ESLER(l2=20.0, text="tfidf").fit(parts.train, catalog)
    assert free.chosen_scale in text_scale.SCALES
    given = ESLER(l2=20.0, text="tfidf", text_scale=free.chosen_scale).fit(parts.train, catalog)
    np.testing.assert_array_equal(free.weights, given.weights)
    assert given.chosen_scale == free.chosen_scale
    few = parts.train.select_users(np.arange(30))  # too few to choose by
    assert ESLER(l2=20.0, text="tfidf").fit(few, catalog).chosen_scale == 0.2


def test_by_default_texts_cost_nothing() -> None:
    interactions, catalog = synthetic.topics(users=3000, items=300, seed=3)
    split = splits.strong(interactions, test=1000, seed=3)
    parts = splits.cold_items(split, share=0.2, min_count=5, seed=3)
    plain = evaluate(ESLER(l2=100.0).fit(parts.train, catalog), parts.test, ["ndcg@10"])
    model = ESLER(l2=100.0, text="tfidf").fit(parts.train, catalog)
    found = evaluate(model, parts.test, ["ndcg@10"])
    assert found["ndcg@10"] > 0.995 * plain["ndcg@10"]
    assert found["known", "ndcg@10"] > 0.985 * plain["known", "ndcg@10"]
    assert found["new", "ndcg@10"] > 0 == plain["new", "ndcg@10"]


def test_saves_of_weights_with_rows_of_zeros_still_load(
    data: tuple[Split, Catalog], model: ESLER, tmp_path: Path
) -> None:
    known = learned(model)
    square = np.zeros((len(known), len(known)), dtype=np.float32)
    square[known] = model.weights
    arrays = {
        "item_ids": model.item_ids,
        "item_counts": model.item_counts,
        "weights": square,
        "has_weights": square.any(axis=1),
    }
    params = {name: value for name, value in model.params.items() if name != "text_worth"}
    params["text_scale"] = 2.0
    write_folder(tmp_path / "old", {"class": "ESLER", "params": params}, arrays)
    old = ESLER.load(tmp_path / "old")
    histories = data[0].test.histories
    np.testing.assert_array_equal(old.score(histories), model.score(histories))
    for one, other in zip(
        (old.recommend(histories, 5), old.recommend(histories, 5, among=[1, 2, 3])),
        (model.recommend(histories, 5), model.recommend(histories, 5, among=[1, 2, 3])),
        strict=True,
    ):
        np.testing.assert_array_equal(one.items, other.items)
    old.save(tmp_path / "new")
    assert ESLER.load(tmp_path / "new").weights.shape == model.weights.shape


def test_a_prior_draws_learned_weights_towards_the_texts_prediction(
    data: tuple[Split, Catalog],
) -> None:
    parts, catalog = data
    settings = {"text": "tfidf", "text_prior": 40.0, "text_l2": 0.5, "text_worth": 1e-3}
    model = ESLER(l2=20.0, dropout=0.2, **settings).fit(parts.train, catalog)
    warm = learned(model)
    texts = np.array(catalog.texts(model.item_ids), dtype=object)
    known = text_vectors("tfidf", [texts], warm, seed=0)[warm].astype(np.float64)
    gaps = known[:, None] - known[None]
    kernel = np.exp(-0.5 * (gaps**2).sum(-1))
    inverse = np.linalg.inv(kernel + 0.5 * np.eye(len(kernel)))
    c = -inverse / np.diag(inverse)  # the leave-one-out prediction
    np.fill_diagonal(c, 0)
    x = parts.train.matrix.toarray()[:, warm].astype(np.float64)
    gram = x.T @ x
    ridge = np.diag(20.0 + 0.25 * np.diag(gram))
    found = model.weights[:, warm]
    for item in (0, 5, len(found) - 1):  # the least squares of one column, without its own row
        rest = np.arange(len(found)) != item
        left = gram + ridge + 40.0 * np.eye(len(gram))
        right = gram[:, item] + 40.0 * c[:, item]
        wanted = np.linalg.solve(left[np.ix_(rest, rest)], right[rest])
        np.testing.assert_allclose(found[rest, item], wanted, rtol=1e-3, atol=2e-5)
    assert not np.diag(found).any()


def test_a_prior_without_texts_is_refused() -> None:
    with pytest.raises(ValueError, match=r"^ESLER: text_prior is 5\.0; expected 0 without text="):
        ESLER(text_prior=5.0)


def test_texts_make_rare_items_better() -> None:
    interactions, catalog = synthetic.topics(users=3000, items=300, seed=1)
    split = splits.strong(interactions, test=1000, validation=0, seed=1)
    few = split.train.select_users(np.arange(0, split.train.n_users, 16))
    models = [
        ESLER(l2=20.0),
        ESLER(l2=20.0, text="tfidf", text_scale=1.0),
        ESLER(l2=20.0, text="tfidf", text_scale=1.0, text_prior=20.0, text_worth=1e-3),
    ]
    plain, added, prior = (
        evaluate(model.fit(few, catalog), split.test, ["ndcg@10"])["ndcg@10"] for model in models
    )
    assert added > 1.05 * plain
    assert added > prior


def test_cold_items_are_found_by_their_texts(data: tuple[Split, Catalog], model: ESLER) -> None:
    parts, catalog = data
    shuffled = Catalog(
        catalog.item_ids,
        {k: v[np.random.default_rng(0).permutation(len(v))] for k, v in catalog.fields.items()},
    )
    other = ESLER(l2=20.0, text="tfidf").fit(parts.train, shuffled)
    found = evaluate(model, parts.test, ["ndcg@10"])
    by_chance = evaluate(other, parts.test, ["ndcg@10"])
    assert found["cold", "ndcg@10"] > 1.5 * by_chance["cold", "ndcg@10"]
    areas = [next(iter(report.tradeoffs.values())).area for report in (found, by_chance)]
    assert areas[0] > 1.5 * areas[1]


def test_an_encoder_may_be_an_object(
    data: tuple[Split, Catalog], model: ESLER, tmp_path: Path
) -> None:
    parts, catalog = data
    known = catalog.select(model.item_ids)
    encoder = TfidfEncoder(512).fit(np.array(known.texts(), dtype=object)[learned(model)].tolist())
    given = GivenVectors("tf-idf of the warm", known.texts(), encoder.encode(known.texts()))
    other = ESLER(l2=20.0, text=given).fit(parts.train, catalog)
    np.testing.assert_allclose(other.weights, model.weights, rtol=1e-4, atol=1e-6)
    other.save(tmp_path / "model")
    loaded = ESLER.load(tmp_path / "model")
    assert loaded.text == "tf-idf of the warm"
    np.testing.assert_array_equal(
        loaded.score(parts.test.histories), other.score(parts.test.histories)
    )
    assert loaded.fingerprint() == other.fingerprint()


def test_several_encoders_are_joined(data: tuple[Split, Catalog], model: ESLER) -> None:
    parts, catalog = data
    both = ESLER(l2=20.0, text=["tfidf", "noise"]).fit(parts.train, catalog)
    noise = ESLER(l2=20.0, text="noise").fit(parts.train, catalog)
    figures = [
        evaluate(m, parts.test, ["ndcg@10"])["cold", "ndcg@10"] for m in (model, both, noise)
    ]
    assert figures[0] > figures[2]
    assert figures[1] > figures[2]
    assert not np.array_equal(both.weights, model.weights)


def test_what_a_further_field_tells_counts_too(data: tuple[Split, Catalog]) -> None:
    parts, catalog = data
    silent = {"title": ["the same"] * len(catalog), "llm_tags": catalog.fields["title"]}
    told = Catalog(catalog.item_ids, silent)
    figures = [
        evaluate(model.fit(parts.train, told), parts.test, ["ndcg@10"])["cold", "ndcg@10"]
        for model in (
            ESLER(l2=20.0, text="tfidf"),
            ESLER(l2=20.0, text="tfidf", augmentations=["llm_tags"]),
        )
    ]
    assert figures[1] > 1.5 * figures[0]
    with pytest.raises(ValueError, match=r"^ESLER: a field of augmentations is 'plot'; expected"):
        ESLER(text="tfidf", augmentations=["plot"]).fit(parts.train, told)
    with pytest.raises(TypeError, match=r"^ESLER: augmentations is 'plot'; expected a list"):
        ESLER(text="tfidf", augmentations="plot")


def test_items_with_few_users_lean_on_their_texts(data: tuple[Split, Catalog]) -> None:
    parts, catalog = data
    model = ESLER(l2=20.0, text="tfidf", min_count=60).fit(parts.train, catalog)
    few = model.item_counts < 60
    assert few.sum() > (model.item_counts == 0).sum()
    assert model.weights[:, few].any(axis=0).all()
    assert len(model.weights) == (~few).sum()  # in a history they say nothing
    assert model.recommend(parts.test.histories, 150, exclude_seen=False).items.min() >= 0


def test_an_item_without_a_text_scores_nothing(data: tuple[Split, Catalog]) -> None:
    parts, catalog = data
    cold = parts.new_columns()
    fields = catalog.select(parts.train.item_ids).fields
    title = [text if known else "" for text, known in zip(fields["title"], ~cold, strict=True)]
    silent = Catalog.from_columns(parts.train.item_ids, title=title)
    model = ESLER(l2=20.0, text="tfidf").fit(parts.train, silent)
    assert not model.score(parts.test.histories)[:, cold].any()


def test_explanations_name_what_is_behind_a_cold_item(
    data: tuple[Split, Catalog], model: ESLER
) -> None:
    histories = data[0].test.histories
    cold = np.flatnonzero(~learned(model)).astype(np.int32)
    ranking = model.recommend(histories, 3, among=cold)
    assert np.isin(ranking.items, cold).all()
    longest = int(np.diff(histories.matrix.indptr).max())
    found = model.explain(histories, ranking, n=longest)
    sums = found.contributions.sum(axis=2)
    heard = ~ranking.fallback
    np.testing.assert_allclose(sums[heard], ranking.scores[heard], rtol=1e-4, atol=1e-5)
    seen = histories.with_items(model.item_ids).matrix
    for row in np.flatnonzero(heard)[:5]:
        named = found.items[row][found.items[row] >= 0]
        assert np.isin(named, seen.indices[seen.indptr[row] : seen.indptr[row + 1]]).all()


def test_items_like_a_cold_one_are_not_offered(model: ESLER) -> None:
    cold = np.flatnonzero(~learned(model))[:1]
    with pytest.raises(ValueError, match=r"similar_items: item is .*by its text alone"):
        model.similar_items(cold)
    warm = np.flatnonzero(learned(model))[:2]
    assert model.similar_items(warm, 5).items.shape == (2, 5)


def test_texts_are_asked_for(data: tuple[Split, Catalog]) -> None:
    with pytest.raises(ValueError, match="ESLER: catalog is None; expected the items' texts"):
        ESLER(text="tfidf").fit(data[0].train)


def test_texts_alone_are_not_enough(data: tuple[Split, Catalog]) -> None:
    model = ESLER(text="tfidf", min_count=10_000)
    with pytest.raises(ValueError, match="number of items to learn from is 0; expected one item"):
        model.fit(data[0].train, data[1])


def test_texts_and_a_kept_gram_do_not_go_together() -> None:
    with pytest.raises(
        ValueError, match=re.escape("ESLER: text is 'tfidf'; expected None with keep")
    ):
        ESLER(text="tfidf", keep_gram=True)


def test_the_memory_is_that_of_all_items(
    data: tuple[Split, Catalog], monkeypatch: pytest.MonkeyPatch
) -> None:
    parts, catalog = data
    items, known = parts.train.n_items, int((parts.train.item_counts() > 0).sum())
    needed = 4 * known * items + 4 * known * (2 * items + known)
    monkeypatch.setattr(memory, "available_bytes", lambda: needed - 1)
    with pytest.raises(MemoryError, match=f"ESLER: {items} items need"):
        ESLER(text="tfidf").fit(parts.train, catalog)
    monkeypatch.setattr(memory, "available_bytes", lambda: needed)
    ESLER(text="tfidf").fit(parts.train, catalog)


def test_a_model_without_texts_ranks_no_cold_item() -> None:
    x = csr_array(np.array([[1, 1, 0], [1, 0, 0]], dtype=np.float32))
    seen = Interactions.from_csr(x)
    assert not ESLER().scores_cold_items
    assert ESLER(text="tfidf").scores_cold_items
    assert ESLER().fit(seen).rankable.tolist() == [0, 1]
