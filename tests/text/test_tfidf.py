from __future__ import annotations

import math
import re
from pathlib import Path

import numpy as np
import pytest

from pyhybrid import NotFittedError
from pyhybrid.data.readers import open_folder
from pyhybrid.storage import write_folder
from pyhybrid.text import CachedEncoder, TfidfEncoder, tfidf

BEAUTY = Path(__file__).parents[3] / "shared" / "data" / "amazon-beauty"
MOVIES = [
    "Heat. Genres: Crime, Thriller",
    "The Dark Knight. Genres: Action, Crime, Drama",
    "Batman Begins. Genres: Action, Crime",
    "Batman Returns. Genres: Action",
    "A cook book: cakes, cakes and more cakes",
    "Cakes for beginners. A cook book",
    "Amélie. Genres: Comedy, Romance",
]


def oracle(texts: list[str], queries: list[str], dim: int, min_df: int) -> np.ndarray:
    """TF-IDF and SVD after the formulas, dense and in float64."""
    split = [re.findall(r"\w+", text.lower()) for text in texts]
    every = sorted({word for words in split for word in words})
    df = {word: sum(word in words for words in split) for word in every}
    kept = [word for word in every if df[word] >= min_df]

    def row(words: list[str]) -> np.ndarray:
        weights = np.zeros(len(kept))
        for column, word in enumerate(kept):
            if times := words.count(word):
                idf = math.log((1 + len(texts)) / (1 + df[word])) + 1
                weights[column] = (1 + math.log(times)) * idf
        return weights / (np.linalg.norm(weights) or 1.0)

    x = np.array([row(words) for words in split])
    v = np.linalg.svd(x)[2][:dim].T
    v *= np.sign(v[np.abs(v).argmax(axis=0), range(dim)])
    y = np.array([row(re.findall(r"\w+", query.lower())) for query in queries]) @ v
    return y / np.linalg.norm(y, axis=1, keepdims=True)


@pytest.mark.parametrize("min_df", [1, 2])
@pytest.mark.parametrize("dense", [True, False])
def test_vectors_are_those_of_the_formulas(
    monkeypatch: pytest.MonkeyPatch, dense: bool, min_df: int
) -> None:
    if not dense:
        monkeypatch.setattr(tfidf, "_DENSE", 0)
    rng = np.random.default_rng(5)
    texts = [" ".join(f"w{n}" for n in rng.zipf(1.5, 8) if n < 60) for _ in range(80)]
    encoder = TfidfEncoder(6, min_df=min_df).fit(texts)
    queries = ["w1 w1 w2 unknown", *texts[:20]]
    expected = oracle(texts, queries, 6, min_df)
    np.testing.assert_allclose(encoder.encode(queries), expected, atol=2e-5)


def test_like_texts_are_near() -> None:
    encoder = TfidfEncoder(3).fit(MOVIES)
    heat, knight, begins, _, cakes, beginners, _ = encoder.encode(MOVIES)
    assert knight @ begins > 0.8
    assert cakes @ beginners > 0.8
    assert knight @ begins > knight @ heat > knight @ cakes


def test_vectors_are_float32_of_length_one_in_order() -> None:
    encoder = TfidfEncoder(5).fit(MOVIES)
    vectors = encoder.encode([*MOVIES, MOVIES[0]])
    assert vectors.dtype == np.float32
    assert vectors.shape == (8, 5)
    assert vectors.flags.c_contiguous
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, rtol=1e-6)
    np.testing.assert_array_equal(vectors[0], vectors[7])
    np.testing.assert_allclose(encoder.encode(MOVIES[::-1]), vectors[6::-1], atol=1e-6)


def test_texts_without_a_known_word_are_zeros() -> None:
    vectors = TfidfEncoder(3).fit(MOVIES).encode(["", "?!", "unheard", "batman"])
    assert not vectors[:3].any()
    assert vectors[3].any()
    assert TfidfEncoder(3).fit(MOVIES).encode([]).shape == (0, 3)


def test_words_are_the_same_however_they_are_written() -> None:
    encoder = TfidfEncoder(5).fit(MOVIES)
    one, two, three = encoder.encode(["Amélie", "AMÉLIE", "Ame\u0301lie"])
    assert one.any()
    np.testing.assert_array_equal(one, two)
    np.testing.assert_array_equal(one, three)


@pytest.mark.parametrize("dense", [True, False])
def test_dimensions_beyond_the_rank_are_zeros(monkeypatch: pytest.MonkeyPatch, dense: bool) -> None:
    if not dense:
        monkeypatch.setattr(tfidf, "_DENSE", 0)
    texts = ["one", "two", "three", "one", "two", "one"]  # rank 3, and three singular values
    vectors = TfidfEncoder(8).fit(texts).encode(texts)
    assert vectors.shape == (6, 8)
    assert not vectors[:, 3:].any()
    if dense:
        np.testing.assert_allclose(vectors[:, :3], np.eye(3)[[0, 1, 2, 0, 1, 0]], atol=1e-6)


def test_the_same_texts_give_the_same_vectors() -> None:
    one, two = (TfidfEncoder(4).fit(MOVIES) for _ in range(2))
    np.testing.assert_array_equal(one.encode(MOVIES), two.encode(MOVIES))
    assert one.name == two.name
    assert one.name != TfidfEncoder(4).fit(MOVIES[:-1]).name
    assert one.name != TfidfEncoder(3).fit(MOVIES).name


def test_rare_words_are_left_out() -> None:
    encoder = TfidfEncoder(3, min_df=3).fit(MOVIES)
    assert encoder.words == ["action", "crime", "genres"]
    with pytest.raises(ValueError, match=r"number of words in 9 texts is 0; .*lower min_df="):
        TfidfEncoder(3, min_df=9).fit(MOVIES)
    with pytest.raises(ValueError, match="number of words in 1 texts is 0"):
        TfidfEncoder(3).fit([])


def test_a_saved_encoder_is_the_same(tmp_path: Path) -> None:
    encoder = TfidfEncoder(4, min_df=2, seed=3).fit(MOVIES)
    encoder.save(tmp_path / "words")
    loaded = TfidfEncoder.load(tmp_path / "words")
    np.testing.assert_array_equal(loaded.encode(MOVIES), encoder.encode(MOVIES))
    assert (loaded.name, loaded.words) == (encoder.name, encoder.words)
    assert loaded.params == {"dim": 4, "min_df": 2, "seed": 3}


def test_folders_that_are_no_encoders_are_refused(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="is missing"):
        TfidfEncoder.load(tmp_path / "words")
    write_folder(tmp_path / "words", {"class": "Other", "params": {}}, {})
    with pytest.raises(ValueError, match="is Other; expected a TfidfEncoder"):
        TfidfEncoder.load(tmp_path / "words")


def test_what_is_wrong_is_told() -> None:
    with pytest.raises(NotFittedError, match="not fitted"):
        TfidfEncoder(3).encode(MOVIES)
    with pytest.raises(NotFittedError, match="not fitted"):
        TfidfEncoder(3).name  # noqa: B018
    with pytest.raises(NotFittedError, match="not fitted"):
        TfidfEncoder(3).save("anywhere")
    with pytest.raises(ValueError, match="dim is 0; expected 1 or more"):
        TfidfEncoder(0)
    with pytest.raises(TypeError, match="texts is the str 'Heat'"):
        TfidfEncoder(3).fit("Heat")
    with pytest.raises(TypeError, match="text 1 is None"):
        TfidfEncoder(3).fit(MOVIES).encode(["Heat", None])  # type: ignore[list-item]


def test_its_vectors_can_be_kept_as_any_encoders(tmp_path: Path) -> None:
    encoder = TfidfEncoder(4).fit(MOVIES)
    cached = CachedEncoder(encoder, tmp_path)
    np.testing.assert_allclose(cached.encode(MOVIES), encoder.encode(MOVIES), atol=1e-6)
    cached.encode(MOVIES)
    assert cached.encoded == len(MOVIES)


def test_progress_is_told() -> None:
    shares: list[float] = []
    TfidfEncoder(2).fit(MOVIES).encode(MOVIES, progress=shares.append)
    assert shares == [1.0]


def test_real_titles() -> None:
    if not BEAUTY.is_dir():
        pytest.skip("the real data set amazon-beauty is not at ../shared/data")
    texts = open_folder(BEAUTY).catalog.texts()
    encoder = TfidfEncoder(16).fit(texts)
    vectors = encoder.encode(texts)
    assert vectors.shape == (12_101, 16)
    assert np.isfinite(vectors).all()
    nails = np.array(["Nail Polish" in text for text in texts])
    middle = vectors[nails].mean(axis=0)
    assert (vectors[nails] @ middle).mean() > 2 * (vectors[~nails] @ middle).mean()
