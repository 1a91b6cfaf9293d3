from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from pyhybrid.text import NoiseEncoder, TfidfEncoder
from pyhybrid.text.by_name import encode_by_name

TEXTS = np.array(["crime drama", "cake recipes", "crime story", "old cakes", "drama"], dtype=object)
KNOWN = np.array([True, False, True, False, True])


@pytest.mark.parametrize("name", ["tfidf", "noise"])
def test_new_texts_change_no_known_vector(name: str) -> None:
    other = TEXTS.copy()
    other[~KNOWN] = "something else"
    found, moved = (encode_by_name(name, texts, KNOWN, dim=3) for texts in (TEXTS, other))
    assert found.shape == (5, 3)
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found[KNOWN], moved[KNOWN])
    if name == "noise":
        assert not np.array_equal(found[~KNOWN], moved[~KNOWN])


def test_tfidf_knows_the_words_of_known_texts_alone() -> None:
    found = encode_by_name("tfidf", TEXTS, KNOWN, dim=3)
    encoder = TfidfEncoder(3).fit(TEXTS[KNOWN].tolist())
    np.testing.assert_array_equal(found[KNOWN], encoder.encode(TEXTS[KNOWN].tolist()))
    assert not found[~KNOWN].any()


def test_noise_follows_the_seed() -> None:
    found = encode_by_name("noise", TEXTS, KNOWN, dim=3, seed=4)
    np.testing.assert_array_equal(found, NoiseEncoder(3, seed=4).encode(TEXTS.tolist()))


def test_other_names_are_models_of_sentence_transformers(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    class Model:
        def __init__(self, name: str, *, device: str | None) -> None:
            asked.append((name, device))

        def encode(self, texts: list[str]) -> np.ndarray[Any, Any]:
            return np.array([[len(text), 1] for text in texts], dtype=np.float32)

    monkeypatch.setattr("pyhybrid.text.SentenceTransformerEncoder", Model)
    found = encode_by_name("some-model", TEXTS, KNOWN, dim=9, device="cpu")
    assert asked == [("some-model", "cpu")]
    assert found[:, 0].tolist() == [len(text) for text in TEXTS]
