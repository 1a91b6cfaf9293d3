"""VQRec alone: sequence models share SASRec's tests, and all models the contract's."""

import numpy as np
import pytest

from pyhybrid import Catalog, Interactions, VQRec, memory

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


def test_the_loss_is_the_cross_entropy_of_cosines_over_training_items():
    import torch
    from torch.nn import functional

    model = VQRec(**{**SMALL, "epochs": 1}).fit(cycle(), catalog())
    network = model._network(cycle(), catalog())
    network.eval()
    items, targets = np.array([[1, 2, 0], [5, 0, 0]]), np.array([[2, 3, 0], [6, 0, 0]])
    found = model._loss(network, torch.device("cpu"), (items, targets))
    vectors = network.embedding(network.codes.codes[:12])  # 99 is no training item
    losses = []
    for row, length in ((0, 2), (1, 1)):
        states = network.encoder(vectors[items[row, :length] - 1][None])[0]
        for place in range(length):
            cosines = functional.cosine_similarity(states[place], vectors)
            losses.append(-functional.log_softmax(cosines / 0.07, 0)[targets[row, place] - 1])
    torch.testing.assert_close(found, torch.stack(losses).mean())


def test_an_unseen_item_in_a_history_counts_as_the_one_of_its_text(model):
    def encoded(item):
        history = Interactions.from_columns(["u", "u"], [3, item], ordered=True)
        return model.user_vectors(history)

    np.testing.assert_array_equal(encoded(99), encoded(0))
    alone = Interactions.from_columns(["u"], [99], ordered=True)
    assert not model.recommend(alone).fallback.any()


def test_a_checkpoint_is_refused_where_texts_have_moved_to_other_items(tmp_path):
    VQRec(**{**SMALL, "epochs": 1}).fit(cycle(), catalog(), checkpoint=tmp_path / "run")
    moved = Catalog.from_columns([*range(11, -1, -1), 99], title=[*WORDS, "apple"])
    with pytest.raises(ValueError, match="the catalogue's fingerprint"):
        VQRec(**{**SMALL, "epochs": 1}).fit(cycle(), moved, checkpoint=tmp_path / "run")


def test_a_resumed_fit_keeps_its_codes(tmp_path, monkeypatch):
    """Even where the quantiser would now come out otherwise, as on another machine's BLAS."""
    first = VQRec(**{**SMALL, "epochs": 2}).fit(cycle(), catalog(), checkpoint=tmp_path / "run")
    as_before = VQRec._text_vectors

    def turned(self, texts, is_warm):
        return np.ascontiguousarray(as_before(self, texts, is_warm)[:, ::-1])

    monkeypatch.setattr(VQRec, "_text_vectors", turned)
    resumed = VQRec(**{**SMALL, "epochs": 2}).fit(cycle(), catalog(), checkpoint=tmp_path / "run")
    np.testing.assert_array_equal(resumed.item_codes, first.item_codes)
    np.testing.assert_array_equal(resumed.quantizer.centroids, first.quantizer.centroids)
    np.testing.assert_array_equal(resumed.score(cycle()), first.score(cycle()))


def test_a_softmax_that_will_not_fit_is_refused(monkeypatch):
    seen, texts = cycle(), catalog()
    monkeypatch.setattr(memory, "available_bytes", lambda: 1000)
    with pytest.raises(MemoryError, match=r"^VQRec: a batch's .* x 12 items need .* batch_size="):
        VQRec(**SMALL).fit(seen, texts)
