"""NoiseEncoder: the control that knows nothing of what texts mean."""

import numpy as np
import pytest

from pyhybrid.text import NoiseEncoder


def test_a_vector_is_that_of_the_text_whatever_stands_beside_it():
    encoder = NoiseEncoder(16)
    both = encoder.encode(["Heat", "Alien"])
    np.testing.assert_array_equal(both[[1, 0]], encoder.encode(["Alien", "Heat"]))
    assert both.dtype == np.float32
    assert both.shape == (2, 16)


def test_vectors_are_normal_and_unrelated():
    vectors = NoiseEncoder(64).encode([f"item {number}" for number in range(2000)])
    assert abs(vectors.mean()) < 0.02
    assert vectors.std() == pytest.approx(1, abs=0.02)
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    cosines = (unit @ unit.T)[np.triu_indices(2000, 1)]
    assert np.abs(cosines.mean()) < 0.01
    assert cosines.std() == pytest.approx(1 / 8, rel=0.05)  # 1 / sqrt(dim)


def test_the_seed_and_only_it_changes_them():
    one, again = NoiseEncoder(8, seed=1), NoiseEncoder(8, seed=1)
    np.testing.assert_array_equal(one.encode(["Heat"]), again.encode(["Heat"]))
    assert not np.array_equal(one.encode(["Heat"]), NoiseEncoder(8).encode(["Heat"]))
    assert one.name != NoiseEncoder(8).name
    assert one.name != NoiseEncoder(9, seed=1).name


def test_no_texts_give_no_rows():
    assert NoiseEncoder(8).encode([]).shape == (0, 8)


def test_bad_input_is_refused():
    with pytest.raises(ValueError, match=r"^NoiseEncoder: dim is 0"):
        NoiseEncoder(0)
    with pytest.raises(TypeError, match=r"^NoiseEncoder: texts is the str 'Heat'"):
        NoiseEncoder(8).encode("Heat")
