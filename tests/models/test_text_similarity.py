from __future__ import annotations

import subprocess
import sys
from typing import Any

import numpy as np
import pytest

from pyhybrid import Catalog, Interactions, TextSimilarity
from pyhybrid.models.item_texts import text_vectors

TITLES = ["red apple", "green apple", "old wine", "young wine", "apple wine", ""]


@pytest.fixture(scope="module")
def catalog() -> Catalog:
    return Catalog.from_columns(range(6), title=TITLES)


@pytest.fixture(scope="module")
def seen() -> Interactions:
    return Interactions.from_columns([0, 0, 1, 1, 2], [0, 1, 2, 3, 5])


@pytest.fixture(scope="module")
def model(seen: Interactions, catalog: Catalog) -> TextSimilarity:
    return TextSimilarity().fit(seen, catalog)


def test_a_score_is_the_mean_cosine_with_the_history(
    model: TextSimilarity, catalog: Catalog
) -> None:
    texts = np.array(catalog.texts(model.item_ids), dtype=object)
    v = text_vectors("tfidf", [texts], model.item_counts > 0, seed=0).astype(np.float64)
    history = Interactions.from_columns(["new"] * 2, [0, 2], weights=[3.0, 1.0])
    found = model.score(history)[0]
    place = {item: k for k, item in enumerate(model.item_ids.tolist())}
    wanted = v @ (3 * v[place[0]] + v[place[2]]) / 4
    np.testing.assert_allclose(found, wanted, atol=1e-6)


def test_what_reads_alike_is_recommended(model: TextSimilarity) -> None:
    ranking = model.recommend(Interactions.from_columns(["new"], [2]), 1)
    assert model.item_ids[ranking.items].tolist() == [[3]]


def test_a_history_without_texts_gets_popular_items(model: TextSimilarity) -> None:
    ranking = model.recommend(Interactions.from_columns(["a", "b"], [5, 0]), 1)
    assert ranking.fallback.tolist() == [True, False]


def test_it_needs_texts(seen: Interactions) -> None:
    with pytest.raises(ValueError, match=r"^TextSimilarity: catalog is None; expected the items'"):
        TextSimilarity().fit(seen)


@pytest.mark.parametrize("wrong", [None, "", [], 3])
def test_what_names_no_encoder_is_refused(wrong: Any) -> None:
    with pytest.raises(TypeError, match=r"^TextSimilarity: text is "):
        TextSimilarity(text=wrong)


def test_tfidf_needs_no_torch() -> None:
    program = (
        "import sys; from pyhybrid import Catalog, Interactions, TextSimilarity;"
        "c = Catalog.from_columns([1, 2], title=['a b', 'b c']);"
        "m = TextSimilarity().fit(Interactions.from_columns([0, 0], [1, 2]), c);"
        "m.recommend(Interactions.from_columns([0], [1]), 1); assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
