from __future__ import annotations

import time

import numpy as np
import pytest

from pyhybrid.data import splits, synthetic


@pytest.fixture(scope="module")
def made():
    return synthetic.topics()


def genre_of(catalog) -> np.ndarray:
    return np.array([genres[0] for genres in catalog.fields["genres"]])


def hidden_styles(users: int, items: int, seed: int, topics: int = 8, styles: int = 4):
    """Draw the topics and styles as `topics` does: first of all, from the seed."""
    rng = np.random.default_rng(seed)
    return rng.integers(topics, size=items), rng.integers(styles, size=items)


def lift(data, pairs: np.ndarray) -> float:
    """How much more often these item pairs meet in a user than independence has it."""
    taken = data.matrix.toarray() > 0
    counts = taken.sum(axis=0)
    together = (taken.T.astype(np.float32) @ taken)[pairs].sum()
    return float(together / (np.outer(counts, counts)[pairs].sum() / len(taken)))


def test_shapes_ids_and_times(made) -> None:
    interactions, catalog = made
    assert interactions.shape == (2000, 600)
    assert interactions.user_ids[[0, -1]].tolist() == ["u0001", "u2000"]
    assert catalog.item_ids[[0, -1]].tolist() == ["i0001", "i0600"]
    np.testing.assert_array_equal(interactions.item_ids, catalog.item_ids)
    assert interactions.events.times.dtype == np.int64
    assert len(interactions.events.items) == interactions.matrix.nnz
    assert (interactions.matrix.data == 1).all()
    assert np.diff(interactions.matrix.indptr).mean() == pytest.approx(25, abs=0.5)
    assert np.diff(interactions.matrix.indptr).min() >= 1


def test_the_seed_decides(made) -> None:
    interactions, catalog = made
    again, same_catalog = synthetic.topics(seed=0)
    assert (again.matrix != interactions.matrix).nnz == 0
    np.testing.assert_array_equal(again.events.times, interactions.events.times)
    assert same_catalog.texts() == catalog.texts()
    assert (synthetic.topics(seed=1)[0].matrix != interactions.matrix).nnz > 0


def test_every_text_tells_its_topic_and_nothing_else_does(made) -> None:
    _, catalog = made
    genre = genre_of(catalog)
    assert len(set(genre)) == 8
    words_of = {}
    for title, topic in zip(catalog.fields["title"], genre, strict=True):
        words = title.lower().split()
        assert len(set(words)) == 4
        for word in words[1:]:
            assert words_of.setdefault(word, topic) == topic


def test_text_and_behaviour_each_explain_a_part(made) -> None:
    interactions, catalog = made
    genre = genre_of(catalog)
    topic, style = hidden_styles(2000, 600, seed=0)
    for code in range(8):  # the genre is the topic by another name
        assert len(set(genre[topic == code])) == 1
    same_topic = topic[:, None] == topic
    same_style = style[:, None] == style
    different = ~np.eye(600, dtype=bool)
    assert lift(interactions, same_topic & different) > 1.5 * lift(interactions, ~same_topic)
    within = same_topic & different
    assert lift(interactions, within & same_style) > 1.3 * lift(interactions, within & ~same_style)


def test_popularity_is_skewed(made) -> None:
    counts = np.sort(made[0].item_counts())
    assert counts[-60:].sum() > 3 * counts[:60].sum()


def test_a_linear_model_beats_topics_which_beat_popularity(made) -> None:
    interactions, catalog = made
    parts = splits.strong(interactions, test=0.2, validation=0)
    train = parts.train.matrix.toarray()
    seen = parts.test.histories.matrix.toarray()
    targets = parts.test.targets.matrix.toarray() > 0

    gram = train.T @ train
    inverse = np.linalg.inv(gram.astype(np.float64) + 100 * np.eye(len(gram)))
    linear = -inverse / np.diag(inverse)
    np.fill_diagonal(linear, 0)
    same_genre = (genre_of(catalog)[:, None] == genre_of(catalog)).astype(float)

    def recall(scores: np.ndarray) -> float:
        top = np.argsort(-np.where(seen > 0, -np.inf, scores), axis=1)[:, :20]
        return float((np.take_along_axis(targets, top, axis=1).sum(1) / targets.sum(1)).mean())

    popular = np.broadcast_to(train.sum(axis=0), seen.shape)
    by_popularity, by_text, by_behaviour = map(recall, (popular, seen @ same_genre, seen @ linear))
    assert by_behaviour > 1.2 * by_popularity
    assert by_text > 1.5 * 20 / 600  # of text alone, well above chance
    assert by_behaviour > 1.2 * by_text


def test_any_size() -> None:
    interactions, catalog = synthetic.topics(3, 2, events_per_user=2, topics=1, styles=1)
    assert interactions.shape == (3, 2)
    assert len(catalog) == 2
    assert synthetic.topics(12_000, 500, events_per_user=3)[0].user_ids[0] == "u00001"


def test_it_is_fast() -> None:
    start = time.perf_counter()
    synthetic.topics(seed=7)
    assert time.perf_counter() - start < 3


@pytest.mark.parametrize(
    "options",
    [
        {"users": 0},
        {"items": 0},
        {"events_per_user": 0.0},
        {"events_per_user": 601},
        {"topics": 13},
        {"topics": 0},
        {"styles": 0},
    ],
)
def test_numbers_are_checked(options) -> None:
    (name,) = options
    with pytest.raises(ValueError, match=f"topics: {name} is .*; expected"):
        synthetic.topics(**options)
