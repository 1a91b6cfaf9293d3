from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from scipy.sparse import csr_array

from pyhybrid import ESLER, Catalog, Interactions, Popularity, evaluate, memory
from pyhybrid.data import Split, splits, synthetic
from pyhybrid.models.item_texts import text_vectors
from pyhybrid.models.text_columns import TextRegression
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


def test_items_with_users_keep_the_weights_of_behaviour(
    data: tuple[Split, Catalog], model: ESLER
) -> None:
    plain = ESLER(l2=20.0).fit(data[0].train, data[1])
    np.testing.assert_array_equal(model.item_ids, plain.item_ids)
    warm = learned(model)
    np.testing.assert_array_equal(model.weights[np.ix_(warm, warm)], plain.weights)
    assert len(model.rankable) == len(model.item_ids) > warm.sum()


@pytest.mark.parametrize(("scale", "direct"), [(2.0, 0.2), (1.0, 0.0), (3.5, 1.0)])
def test_a_cold_column_is_the_mixture_of_known_ones(
    data: tuple[Split, Catalog], scale: float, direct: float
) -> None:
    parts, catalog = data
    model = ESLER(l2=20.0, text="tfidf", text_scale=scale, text_direct=direct, text_gamma=0.7)
    model.fit(parts.train, catalog)
    warm = learned(model)
    texts = np.array(catalog.texts(model.item_ids), dtype=object)
    vectors = text_vectors("tfidf", [texts], warm, seed=0)
    regression = TextRegression(vectors[warm], l2=0.2, gamma=0.7, landmarks=2000, seed=0)
    a = regression.mixtures(vectors[~warm])
    b = model.weights[np.ix_(warm, warm)].astype(np.float64)
    wanted = scale * (b @ a + direct * a)
    np.testing.assert_allclose(model.weights[np.ix_(warm, ~warm)], wanted, rtol=1e-4, atol=1e-6)
    assert not model.weights[~warm].any()


def test_a_prior_draws_learned_weights_towards_the_texts_prediction(
    data: tuple[Split, Catalog],
) -> None:
    parts, catalog = data
    model = ESLER(l2=20.0, dropout=0.2, text="tfidf", text_prior=40.0, text_l2=0.5)
    model.fit(parts.train, catalog)
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
    found = model.weights[np.ix_(warm, warm)]
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


def test_a_prior_makes_rare_items_better(data: tuple[Split, Catalog]) -> None:
    interactions = data[0].train
    few = interactions.select_users(np.arange(0, interactions.n_users, 8))
    test = data[0].test
    figures = [
        evaluate(ESLER(l2=20.0, text="tfidf", text_prior=prior).fit(few, data[1]), test, ["mrr@10"])
        for prior in (0.0, 20.0)
    ]
    assert figures[1]["mrr@10"] > 1.1 * figures[0]["mrr@10"]


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
    plain = evaluate(ESLER(l2=20.0).fit(parts.train, catalog), parts.test, ["ndcg@10"])
    assert found["warm", "ndcg@10"] == plain["warm", "ndcg@10"]
    assert found["ndcg@10"] > plain["ndcg@10"]
    popular = evaluate(Popularity().fit(parts.train, catalog), parts.test, ["ndcg@10"])
    assert found["ndcg@10"] > popular["ndcg@10"]


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
    assert not model.weights[few].any()
    assert model.recommend(parts.test.histories, 150, exclude_seen=False).items.min() >= 0


def test_an_item_without_a_text_scores_nothing(data: tuple[Split, Catalog]) -> None:
    parts, catalog = data
    cold = parts.cold_columns()
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
    needed = 4 * items**2 + 4 * known * (known + 2 * (items - known))
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
