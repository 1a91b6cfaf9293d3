"""VQRec alone: sequence models share SASRec's tests, and all models the contract's."""

import numpy as np
import pytest

from pyhybrid import Catalog, Interactions, VQRec

WORDS = [
    "apple", "pear", "plum", "wine", "bread", "cheese", "salt", "oil",
    "rice", "tea", "milk", "honey",
]  # fmt: skip
SMALL = {
    "text": "tfidf",
    "parts": 2,
    "bits": 3,
    "dim": 16,
    "layers": 1,
    "inner": 16,
    "dropout": 0.0,
    "lr": 0.02,
    "epochs": 60,
    "device": "cpu",
}


def cycle(length=12, users=24):
    """Each user takes six items that follow each other on a circle."""
    rows = np.repeat(np.arange(users), 6)
    items = (np.arange(users)[:, None] + np.arange(6)).ravel() % length
    return Interactions.from_columns(rows, items, ordered=True)


def catalog(cold="apple", length=12):
    """Each item has a word of its own; the cold one, 99, has one of theirs."""
    return Catalog.from_columns([*range(length), 99], title=[*WORDS[:length], cold])


@pytest.fixture(scope="module")
def model():
    return VQRec(**SMALL).fit(cycle(), catalog())


def last_item(model, items):
    history = Interactions.from_columns(["new"] * len(items), items, ordered=True)
    return model.item_ids[model.recommend(history, n=1).items[0, 0]]


def test_it_learns_what_follows_what(model):
    # Items that share a code can't be told apart; the right one is among those.
    follows = 0
    for first in range(12):
        wanted = model.item_positions([(first + 3) % 12])[0]
        found = model.item_positions([last_item(model, [(first + k) % 12 for k in range(3)])])[0]
        follows += (model.item_codes[wanted] == model.item_codes[found]).all()
    assert follows >= 11


def test_codes_are_those_of_the_texts_of_training_items():
    one = VQRec(**{**SMALL, "epochs": 1}).fit(cycle(), catalog("apple"))
    other = VQRec(**{**SMALL, "epochs": 1}).fit(cycle(), catalog("apple pear nothing"))
    np.testing.assert_array_equal(one.quantizer.centroids, other.quantizer.centroids)
    np.testing.assert_array_equal(one.item_codes[:12], other.item_codes[:12])
    np.testing.assert_array_equal(one.table, other.table)
    assert one.item_codes.dtype == np.uint8
    assert one.item_codes.max() < 8


def test_an_unseen_item_is_scored_as_the_one_of_its_text(model):
    apple, cold = model.item_positions([0, 99])
    np.testing.assert_array_equal(model.item_codes[apple], model.item_codes[cold])
    scores = model.score(cycle())
    np.testing.assert_array_equal(scores[:, apple], scores[:, cold])
    assert model.item_counts[cold] == 0


def test_an_items_embedding_is_the_mean_of_its_rows(model):
    means = np.stack([model.table[np.arange(2), code].mean(axis=0) for code in model.item_codes])
    lengths = np.linalg.norm(means, axis=1, keepdims=True)
    np.testing.assert_allclose(model.item_vectors, means / lengths, rtol=1e-5, atol=1e-7)
    np.testing.assert_allclose(np.linalg.norm(model.item_vectors, axis=1), 1, rtol=1e-5)


def test_scores_are_cosines(model):
    scores = model.score(cycle())
    assert np.abs(scores).max() <= 1 + 1e-5


def test_names_of_centroids_do_not_matter(model):
    """Permuting a part's centroids with its rows changes no score; permuting codes alone does."""
    before = model.score(cycle())
    table, codes = model.table.copy(), model.item_codes.copy()
    order = np.random.default_rng(0).permutation(8)
    try:
        model.item_codes = codes.copy()
        model.item_codes[:, 1] = order[codes[:, 1]]
        model._embed_items()
        assert np.abs(model.score(cycle()) - before).max() > 1e-3
        model.table = table.copy()
        model.table[1, order] = table[1]
        model._embed_items()
        np.testing.assert_array_equal(model.score(cycle()), before)
    finally:
        model.table, model.item_codes = table, codes
        model._embed_items()


def test_what_comes_later_changes_no_earlier_state(model):
    import torch

    embedded = torch.from_numpy(model._embed(np.array([[1, 2, 3, 4]])))
    changed = torch.from_numpy(model._embed(np.array([[1, 2, 3, 9]])))
    with torch.inference_mode():
        one, other = model._encoder(embedded), model._encoder(changed)
    torch.testing.assert_close(one[:, :3], other[:, :3], rtol=0, atol=0)
    assert not torch.equal(one[:, 3], other[:, 3])


def test_it_needs_texts():
    with pytest.raises(ValueError, match=r"^VQRec: catalog is None; expected the items' texts"):
        VQRec(**SMALL).fit(cycle())
    with pytest.raises(TypeError, match=r"^VQRec: text is None"):
        VQRec(text=None)
    with pytest.raises(ValueError, match=r"^VQRec: bits is 9; expected 1 to 8"):
        VQRec(bits=9)


def test_too_few_training_items_for_the_centroids_are_refused():
    with pytest.raises(ValueError, match=r"number of vectors is 12; .*use fewer bits"):
        VQRec(**{**SMALL, "bits": 4}).fit(cycle(), catalog())


def test_a_killed_fit_goes_on_to_the_same_model(tmp_path):
    whole = VQRec(**{**SMALL, "epochs": 4}).fit(cycle(), catalog())

    def kill(share):
        if share > 0.5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        VQRec(**{**SMALL, "epochs": 4}).fit(
            cycle(), catalog(), checkpoint=tmp_path / "run", progress=kill
        )
    resumed = VQRec(**{**SMALL, "epochs": 4}).fit(cycle(), catalog(), checkpoint=tmp_path / "run")
    np.testing.assert_array_equal(resumed.table, whole.table)
    np.testing.assert_array_equal(resumed.score(cycle()), whole.score(cycle()))
