"""ProductQuantizer, over kernels that have their own tests."""

import re

import numpy as np
import pytest

from pyhybrid import NotFittedError, ProductQuantizer

F32 = np.float32


def normal(rows, dim, seed=0):
    return np.random.default_rng(seed).standard_normal((rows, dim), dtype=F32)


def correlated(rows, dim, seed=0):
    """Vectors of a few strong directions, which the parts cut through."""
    mix = normal(dim, dim, seed=99) * F32(0.6) ** np.arange(dim, dtype=F32)[:, None]
    return normal(rows, dim, seed) @ mix


def lost(quantizer, vectors):
    decoded = quantizer.decode(quantizer.encode(vectors))
    return ((decoded.astype(float) - vectors) ** 2).sum()


@pytest.fixture(scope="module", params=[False, True], ids=["plain", "rotated"])
def fitted(request):
    return ProductQuantizer(4, bits=4, rotate=request.param, seed=3).fit(correlated(2000, 16))


# Fit, encode and decode


def test_codes_are_those_of_the_nearest_centroids(fitted):
    vectors = correlated(300, 16, seed=1)
    turned = vectors if fitted.rotation is None else vectors.astype(float) @ fitted.rotation
    difference = turned.reshape(300, 4, 1, 4) - fitted.centroids.astype(float)
    distances = (difference**2).sum(axis=3)
    codes = fitted.encode(vectors)
    chosen = np.take_along_axis(distances, codes[:, :, None].astype(int), axis=2)[:, :, 0]
    assert (chosen <= distances.min(axis=2) * (1 + 1e-4) + 1e-5).all()
    assert (codes == distances.argmin(axis=2)).mean() > 0.999


def test_decode_puts_centroids_together_and_turns_them_back(fitted):
    codes = np.arange(200).reshape(50, 4).astype(np.uint8) % 16
    together = fitted.centroids[np.arange(4), codes].reshape(50, 16)
    back = np.eye(16) if fitted.rotation is None else np.linalg.inv(fitted.rotation.astype(float))
    decoded = fitted.decode(codes)
    assert decoded.dtype == F32
    np.testing.assert_allclose(decoded, together @ back, atol=1e-4 * (fitted.rotation is not None))


@pytest.mark.parametrize("bits", range(1, 9))
def test_each_part_has_two_to_the_bits_centroids(bits):
    vectors = normal(300, 6)
    quantizer = ProductQuantizer(3, bits=bits).fit(vectors)
    assert quantizer.centroids.shape == (3, 2**bits, 2)
    assert all(len(np.unique(part)) == 2**bits for part in quantizer.encode(vectors).T)


@pytest.mark.parametrize("rows", [512, 20_000])
def test_fit_takes_at_most_256_vectors_a_centroid(rows):
    vectors = normal(rows, 3)
    quantizer = ProductQuantizer(1, bits=1, iterations=1000).fit(vectors)
    codes = quantizer.encode(vectors)[:, 0]
    means = [vectors[codes == code].mean(axis=0, dtype=float) for code in (0, 1)]
    difference = np.abs(quantizer.centroids[0] - means).max()
    assert difference < 1e-6 if rows == 512 else 1e-4 < difference < 0.5


def test_the_seed_decides_the_draw_and_threads_nothing():
    vectors = normal(3000, 8)
    one = ProductQuantizer(2, bits=3, seed=5).fit(vectors, threads=1)
    for threads in (0, 2, 5):
        same = ProductQuantizer(2, bits=3, seed=5).fit(vectors, threads=threads)
        np.testing.assert_array_equal(same.centroids, one.centroids)
    other = ProductQuantizer(2, bits=3, seed=6).fit(vectors)
    assert (other.centroids != one.centroids).any()


def test_only_fit_changes_the_quantizer(fitted):
    centroids, rotation = fitted.centroids.copy(), np.copy(fitted.rotation)
    others, kept = (100 + 50 * normal(500, 16, seed=2) for _ in range(2))
    fitted.search(others, fitted.encode(others), 5)
    fitted.decode(fitted.encode(others))
    np.testing.assert_array_equal(others, kept)
    np.testing.assert_array_equal(fitted.centroids, centroids)
    np.testing.assert_array_equal(fitted.rotation, rotation)


def test_the_same_vectors_get_the_same_codes_wherever_they_stand(fitted):
    vectors = correlated(40, 16, seed=4)
    codes = fitted.encode(vectors)
    order = np.random.default_rng(0).integers(0, 40, 1001)
    np.testing.assert_array_equal(fitted.encode(vectors[order]), codes[order])
    np.testing.assert_array_equal(fitted.encode(vectors[7:8]), codes[7:8])


# Rotation


@pytest.mark.parametrize(("parts", "dim"), [(1, 5), (4, 16), (8, 64), (3, 3)])
def test_the_rotation_is_orthogonal(parts, dim):
    rotation = ProductQuantizer(parts, bits=4, rotate=True).fit(correlated(1000, dim)).rotation
    product = rotation.T.astype(float) @ rotation
    np.testing.assert_allclose(product, np.eye(dim), atol=1e-5)


@pytest.mark.parametrize("offset", [0, 3])
def test_a_rotation_loses_less_of_correlated_vectors(offset):
    vectors = correlated(4000, 16) + F32(offset)
    plain, rotated = (ProductQuantizer(4, bits=4, rotate=r).fit(vectors) for r in (False, True))
    assert plain.rotation is None
    assert lost(rotated, vectors) < 0.9 * lost(plain, vectors)
    others = correlated(1000, 16, seed=8) + F32(offset)
    assert lost(rotated, others) < 0.95 * lost(plain, others)


def test_a_rotation_loses_nothing_where_no_direction_counts_more():
    vectors = normal(4000, 16)
    plain, rotated = (ProductQuantizer(4, bits=4, rotate=r).fit(vectors) for r in (False, True))
    assert lost(rotated, vectors) <= 1.02 * lost(plain, vectors)


# Search and lookup


@pytest.mark.parametrize("similarity", ["distance", "product"])
def test_search_finds_what_decoded_vectors_say(fitted, similarity):
    vectors, queries = correlated(3000, 16, seed=5), correlated(20, 16, seed=6)
    codes = fitted.encode(vectors)
    decoded = fitted.decode(codes).astype(float)
    if similarity == "distance":
        scores = ((queries[:, None] - decoded) ** 2).sum(axis=2)
    else:
        scores = queries @ decoded.T
    sign = 1 if similarity == "distance" else -1
    best = sign * np.sort(sign * scores, axis=1)[:, :10]
    items, found = fitted.search(queries, codes, 10, similarity=similarity)
    assert [items.dtype, found.dtype] == [np.int32, F32]
    tolerance = 1e-4 * np.abs(scores).max()
    np.testing.assert_allclose(found, np.take_along_axis(scores, items, axis=1), atol=tolerance)
    np.testing.assert_allclose(found, best, atol=tolerance)
    assert all(len(set(row)) == 10 for row in items.tolist())


def test_lookup_sums_the_rows_that_codes_name(fitted):
    codes = fitted.encode(normal(70, 16))
    table = np.random.default_rng(1).standard_normal((4, 16, 5), dtype=F32)
    sums = table[np.arange(4), codes].sum(axis=1)
    for mean, expected in [(False, sums), (True, sums / 4)]:
        np.testing.assert_allclose(fitted.lookup(table, codes, mean=mean), expected, atol=1e-5)


def test_memory_mapped_vectors_and_codes_do_as_well(fitted, tmp_path):
    vectors = correlated(600, 16, seed=7)
    codes = fitted.encode(vectors)
    for name, array in [("vectors", vectors), ("codes", codes)]:
        np.save(tmp_path / f"{name}.npy", array)
    mapped, mapped_codes = (np.load(tmp_path / f"{n}.npy", "r") for n in ("vectors", "codes"))
    np.testing.assert_array_equal(fitted.encode(mapped), codes)
    np.testing.assert_array_equal(fitted.decode(mapped_codes), fitted.decode(codes))
    found = fitted.search(mapped[:3], mapped_codes, 4)
    np.testing.assert_array_equal(found, fitted.search(vectors[:3], codes, 4))
    plain = ProductQuantizer(2, bits=4).fit(mapped).centroids
    np.testing.assert_array_equal(plain, ProductQuantizer(2, bits=4).fit(vectors).centroids)


# Folders


def test_what_is_saved_loads_as_the_same(fitted, tmp_path):
    fitted.save(tmp_path / "q")
    fitted.save(tmp_path / "q")
    loaded = ProductQuantizer.load(tmp_path / "q")
    assert loaded.params == fitted.params
    assert loaded.dim == 16
    np.testing.assert_array_equal(loaded.centroids, fitted.centroids)
    np.testing.assert_array_equal(loaded.rotation, fitted.rotation)
    vectors = correlated(100, 16, seed=9)
    codes = fitted.encode(vectors)
    np.testing.assert_array_equal(loaded.encode(vectors), codes)
    found = (quantizer.search(vectors, codes, 3) for quantizer in (loaded, fitted))
    np.testing.assert_array_equal(*found)


def test_a_folder_that_is_no_quantizer_is_refused(fitted, tmp_path):
    with pytest.raises(FileNotFoundError, match=str(tmp_path / "none")):
        ProductQuantizer.load(tmp_path / "none")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "letter.txt").write_text("Dear")
    with pytest.raises(FileExistsError):
        fitted.save(tmp_path / "other")
    assert (tmp_path / "other" / "letter.txt").read_text() == "Dear"


@pytest.mark.parametrize("name", ["centroids", "rotation"])
@pytest.mark.parametrize("harm", ["cut", "shape", "dtype", "missing"])
def test_a_damaged_folder_is_refused(tmp_path, name, harm):
    quantizer = ProductQuantizer(2, bits=2, rotate=True).fit(normal(50, 4))
    quantizer.save(tmp_path / "q")
    (path,) = (tmp_path / "q").rglob(f"{name}.npy")
    whole = np.load(path)
    if harm == "cut":
        path.write_bytes(path.read_bytes()[:-4])
    elif harm == "missing":
        path.unlink()
    else:
        np.save(path, whole[:-1] if harm == "shape" else whole.astype(float))
    with pytest.raises(ValueError, match=r"^load: .*damaged"):
        ProductQuantizer.load(tmp_path / "q")


# Parameters, and what is refused


def test_params_and_repr_are_what_the_constructor_takes():
    params = {"parts": 3, "bits": 5, "rotate": True, "iterations": 7, "seed": 11}
    text = "ProductQuantizer(parts=3, bits=5, rotate=True, iterations=7, seed=11)"
    assert repr(ProductQuantizer(**params)) == text
    assert ProductQuantizer(**params).params == params


def test_what_needs_a_fit_says_so(tmp_path):
    codes, quantizer = np.zeros((3, 2), np.uint8), ProductQuantizer(2)
    for use in [
        lambda: quantizer.centroids,
        lambda: quantizer.dim,
        lambda: quantizer.encode(normal(3, 4)),
        lambda: quantizer.decode(codes),
        lambda: quantizer.search(normal(3, 4), codes, 1),
        lambda: quantizer.save(tmp_path / "q"),
    ]:
        with pytest.raises(NotFittedError, match=r"ProductQuantizer is not fitted; expected fit"):
            use()
    assert not list(tmp_path.iterdir())


def test_wrong_parameters_are_refused_in_words():
    wrong = [("parts", 0), ("bits", 0), ("bits", 9), ("seed", -1), ("iterations", -1)]
    for name, value in wrong:
        for one, error in [(value, ValueError), (2.0, TypeError)]:
            with pytest.raises(error, match=rf"^ProductQuantizer: {name} is {one}; expected \S"):
                ProductQuantizer(**{"parts": 2} | {name: one})
    with pytest.raises(TypeError, match=r"^ProductQuantizer: rotate is 'yes'; expected \S"):
        ProductQuantizer(2, rotate="yes")


@pytest.mark.parametrize("rotate", [False, True])
def test_wrong_vectors_and_codes_are_refused_in_words(rotate):
    new, good = ProductQuantizer(2, bits=2, rotate=rotate), normal(20, 4)
    for vectors, error, message in [
        (normal(20, 5), ValueError, "parts is 2"),
        (good[:3], ValueError, "number of vectors is 3"),
        (good.astype(float), TypeError, "dtype is float64"),
        (np.where(good == good[6, 1], F32("nan"), good), ValueError, "6 is nan"),
    ]:
        with pytest.raises(error, match=rf"{message}; expected \S"):
            new.fit(vectors)
    new.fit(good)
    codes = new.encode(good)
    for call, message in [
        (lambda: new.encode(normal(3, 6)), "the size of vectors is 6"),
        (lambda: new.encode(good * F32("nan")), "vector 0 is nan"),
        (lambda: new.decode(codes + np.uint8(3)), "the code of part"),
        (lambda: new.decode(codes[:, :1].copy()), "is 1; expected 2"),
        (lambda: new.search(normal(3, 6), codes, 1), "is 6; expected 4"),
        (lambda: new.lookup(np.zeros((2, 3, 1), F32), codes), "(2, 3, 1); expected"),
    ]:
        with pytest.raises(ValueError, match=re.escape(message)):
            call()


@pytest.mark.parametrize("rotate", [False, True])
def test_infinite_vectors_are_refused_without_a_warning(rotate):
    quantizer, infinite = ProductQuantizer(2, bits=2, rotate=rotate), normal(20, 4)
    quantizer.fit(infinite)
    infinite[6, 1] = np.inf
    with pytest.raises(ValueError, match=r" 6 is (nan|inf); expected \S"):
        quantizer.encode(infinite)
    with pytest.raises(ValueError, match=r"; expected \S"):
        quantizer.fit(infinite)
