"""GivenVectors: vectors from elsewhere."""

import re

import numpy as np
import pytest

from pyhybrid.text import GivenVectors

VECTORS = np.arange(6, dtype=np.float32).reshape(3, 2)


def test_texts_get_their_vectors_in_the_order_asked_for():
    encoder = GivenVectors("mine", ["a", "b", ""], VECTORS)
    np.testing.assert_array_equal(encoder.encode(["", "a", "a"]), VECTORS[[2, 0, 0]])
    assert encoder.name == "mine"
    assert encoder.encode([]).shape == (0, 2)


def test_the_same_text_may_stand_twice_with_one_vector():
    encoder = GivenVectors("mine", ["a", "b", "a"], VECTORS[[0, 1, 0]])
    np.testing.assert_array_equal(encoder.encode(["a"]), VECTORS[:1])


@pytest.mark.parametrize(
    ("name", "texts", "vectors", "error", "message"),
    [
        ("mine", ["a", "a", "b"], VECTORS, ValueError, "the text 'a' is at 0 and 1 with different"),
        ("mine", ["a"], VECTORS, ValueError, "number of vectors is 3; expected 1, one a text"),
        ("mine", ["a", "b", "c"], VECTORS.astype(float), TypeError, "vectors's dtype is float64"),
        ("", ["a", "b", "c"], VECTORS, TypeError, "name is ''"),
        ("mine", ["a", "b", 3], VECTORS, TypeError, "text 2 is 3"),
    ],
)
def test_what_does_not_fit_is_refused(name, texts, vectors, error, message):
    with pytest.raises(error, match=re.escape(f"GivenVectors: {message}")):
        GivenVectors(name, texts, vectors)


def test_a_text_without_a_vector_is_named():
    with pytest.raises(
        ValueError, match=r"GivenVectors: a text is 'z'; expected one with a vector"
    ):
        GivenVectors("mine", ["a", "b", "c"], VECTORS).encode(["a", "z"])
