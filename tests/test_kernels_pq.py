"""The kernels of product quantisation against NumPy."""

import hashlib
import json
import os
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pyhybrid import kernels
from pyhybrid.kernels import pq_decode, pq_encode, pq_lookup, pq_search, pq_train

F32 = np.float32
INF = float("inf")
SEEDS = st.integers(0, 2**32)
DIMS = st.sampled_from([1, 2, 3, 5, 8, 16, 17, 24])
WIDTHS = st.sampled_from([1, 3, 15, 16, 17, 63, 64, 65, 300])
ROWS = st.integers(1, 100) | st.sampled_from([31, 32, 33, 63, 64, 65, 96, 97])
ENTRIES = st.sampled_from([1, 2, 3, 15, 16, 17, 31, 33, 255, 256]) | st.integers(2, 256)
KINDS = st.sampled_from(["normal", "integers", "offset", "outliers", "copies", "midway"])


def split(vectors, parts):
    return vectors.reshape(len(vectors), parts, -1).swapaxes(0, 1)


def joined(parts):
    return np.ascontiguousarray(parts.swapaxes(0, 1)).reshape(parts.shape[1], -1)


def data(kind, seed, rows, parts, entries, dim):
    """Draw vectors and centroids whose distances in float64 are exact or far from any tie."""
    rng = np.random.default_rng(seed)
    shapes = (parts, rows, dim), (parts, entries, dim)
    if kind == "integers":
        vectors, centroids = (rng.integers(-2, 3, shape).astype(F32) for shape in shapes)
    else:
        vectors, centroids = (rng.standard_normal(shape).astype(F32) for shape in shapes)
    if kind == "offset":
        vectors, centroids = F32(1e4) + F32(1e-2) * vectors, F32(1e4) + F32(1e-2) * centroids
    elif kind == "outliers":
        vectors[:, rng.integers(rows)] *= F32(1e5)
        centroids[:, rng.integers(entries)] *= F32(1e5)
    elif kind == "copies":
        centroids = centroids[:, rng.integers(0, entries, entries)]
        vectors = centroids[:, rng.integers(0, entries, rows)]
    elif kind == "midway":
        one, other = (centroids[:, rng.integers(0, entries, rows)] for _ in range(2))
        vectors = (one + other) / F32(2)
    return joined(vectors), np.ascontiguousarray(centroids)


def distances(vectors, centroids):
    """Return the float64 squared distances (parts, rows, entries), summed in order of the dims."""
    out = np.zeros((len(centroids), len(vectors), centroids.shape[1]))
    for part, (x, c) in enumerate(zip(split(vectors, len(centroids)), centroids, strict=True)):
        for i in range(c.shape[1]):
            out[part] += np.subtract.outer(x[:, i], c[:, i], dtype=float) ** 2
    return out


def nearest(vectors, centroids):
    return distances(vectors, centroids).argmin(axis=2).T


def error(vectors, centroids):
    return distances(vectors, centroids).min(axis=2).sum()


# Encode and decode


@settings(max_examples=150)
@given(KINDS, SEEDS, ROWS | st.just(3001), st.sampled_from([1, 2, 3, 9, 50]), ENTRIES, DIMS)
def test_codes_name_the_nearest_centroids_ties_the_lowest(kind, seed, rows, parts, entries, dim):
    parts = min(parts, 1 + 1_500_000 // (rows * entries * dim))
    vectors, centroids = data(kind, seed, rows, parts, entries, dim)
    expected = nearest(vectors, centroids)
    for threads in (1, 2, 5):
        codes = pq_encode(vectors, centroids, threads=threads)
        np.testing.assert_array_equal(codes, expected.astype(np.uint8), strict=True)


def test_distances_that_only_float64_can_tell_apart():
    step = np.spacing(F32(1))
    centroids = np.array([[[0.0], [2.0 + 4 * step], [2.0]]], F32)
    vectors = np.array([[1.0], [1.0 + step], [1.0 + 2 * step], [1.0 + 3 * step]], F32)
    assert pq_encode(vectors, centroids).ravel().tolist() == [0, 2, 2, 2]
    many = np.full((1, 256, 3), 1e4, F32)
    many[0, :, 1] += np.arange(256, 0, -1, dtype=F32) * np.spacing(F32(1e4))
    np.testing.assert_array_equal(pq_encode(many[0].copy(), many).ravel(), np.arange(256))


@given(SEEDS, st.sampled_from([1e7, 1e12, 1e18]), DIMS, st.integers(2, 256))
def test_an_outlier_gets_a_nearest_centroid_as_do_the_others(seed, size, dim, entries):
    vectors, centroids = data("normal", seed, 65, 1, entries, dim)
    vectors[40] *= F32(size)
    codes = pq_encode(vectors, centroids)
    all_distances = distances(vectors, centroids)[0]
    chosen = np.take_along_axis(all_distances, codes.astype(int), axis=1)[:, 0]
    assert (chosen <= all_distances.min(axis=1) * (1 + 1e-14)).all()


def test_numbers_whose_sums_overflow_get_the_nearest_centroid_or_are_refused():
    vectors, centroids = data("normal", 0, 200, 1, 4, 4)
    for size in (1e15, 1e17, 3e18, 6e18, 9e18, 1e19):
        large = centroids * F32(size)
        try:
            codes = pq_encode(vectors * F32(size), large)
        except ValueError as error:
            assert "the squared length" in str(error)  # noqa: PT017
            continue
        nearest = distances(vectors * F32(size), large)[0].argmin(axis=1)
        np.testing.assert_array_equal(codes[:, 0], nearest)


@given(SEEDS, ROWS, st.integers(1, 9), ENTRIES, DIMS)
def test_decode_puts_the_named_centroids_together(seed, rows, parts, entries, dim):
    _, centroids = data("normal", seed, 1, parts, entries, dim)
    codes = np.random.default_rng(seed).integers(0, entries, (rows, parts), dtype=np.uint8)
    expected = centroids[np.arange(parts), codes].reshape(rows, parts * dim)
    for threads in (1, 2, 5):
        decoded = pq_decode(codes, centroids, threads=threads)
        np.testing.assert_array_equal(decoded, expected, strict=True)


@given(KINDS, SEEDS, st.integers(1, 40), st.integers(1, 6), st.integers(1, 40), DIMS)
def test_no_other_codes_decode_to_nearer_vectors(kind, seed, rows, parts, entries, dim):
    vectors, centroids = data(kind, seed, rows, parts, entries, dim)
    own = pq_decode(pq_encode(vectors, centroids), centroids)
    codes = np.random.default_rng(seed).integers(0, entries, (rows, parts), dtype=np.uint8)
    others = pq_decode(codes, centroids)
    lost, other = (((x.astype(float) - vectors) ** 2).sum(axis=1) for x in (own, others))
    assert (lost <= other * (1 + 1e-12)).all()


def test_no_rows_give_no_rows():
    centroids, codes = np.zeros((3, 4, 2), F32), np.zeros((0, 3), np.uint8)
    vectors = np.zeros((0, 6), F32)
    assert pq_encode(vectors, centroids).shape == (0, 3)
    assert pq_decode(codes, centroids).shape == (0, 6)
    assert pq_lookup(centroids, codes).shape == (0, 2)
    gradient = kernels.pq_lookup_gradient(np.zeros((0, 5), F32), codes, 4)
    np.testing.assert_array_equal(gradient, np.zeros((3, 4, 5)))
    assert pq_search(vectors, np.ones((4, 3), "u1"), centroids, 2)[0].shape == (0, 2)
    np.testing.assert_array_equal(pq_train(vectors, centroids), centroids)


# Train


def lloyd(vectors, start, iterations):
    """K-means of one part in float64, which must leave no centroid without vectors."""
    centroids = start.copy()
    for _ in range(iterations):
        codes = nearest(vectors, centroids)[:, 0]
        counts = np.bincount(codes, minlength=start.shape[1])
        assert counts.all()
        sums = np.zeros(start.shape[1:])
        np.add.at(sums, codes, vectors.astype(float))
        centroids = (sums / counts[:, None]).astype(F32)[None]
    return centroids


@pytest.mark.parametrize(("rows", "entries", "dim"), [(200, 4, 3), (97, 2, 17), (500, 16, 1)])
def test_each_iteration_moves_centroids_to_the_means_of_their_vectors(rows, entries, dim):
    vectors, _ = data("normal", 5, rows, 1, entries, dim)
    start = vectors[None, :entries].copy()
    for iterations in range(5):
        trained = pq_train(vectors, start, iterations=iterations)
        expected = lloyd(vectors, start, iterations)
        np.testing.assert_allclose(trained, expected, rtol=3e-7, atol=1e-12)


@settings(max_examples=60)
@given(KINDS, SEEDS, ROWS, st.integers(1, 4), st.integers(1, 60), DIMS)
def test_training_never_makes_the_error_larger(kind, seed, rows, parts, entries, dim):
    vectors, start = data(kind, seed, rows, parts, entries, dim)
    before, kept = error(vectors, start), start.copy()
    for iterations in (0, 1, 2, 25):
        trained = pq_train(vectors, start, iterations=iterations)
        after = error(vectors, trained)
        rounding = vectors.size * np.spacing(np.abs(vectors).max()) ** 2
        assert after <= before * (1 + 1e-12) + rounding
        before = min(before, after)
        for threads in (1, 2, 5):
            again = pq_train(vectors, start, iterations=iterations, threads=threads)
            np.testing.assert_array_equal(again, trained)
    np.testing.assert_array_equal(pq_train(vectors, start, iterations=0), kept)
    np.testing.assert_array_equal(start, kept)


@pytest.mark.parametrize("kind", ["normal", "offset", "copies"])
def test_at_the_end_every_centroid_is_the_mean_of_its_vectors(kind):
    vectors, _ = data(kind, 7, 1500, 3, 20, 4)
    start = np.ascontiguousarray(split(vectors, 3)[:, :20])
    trained = pq_train(vectors, start, iterations=1000)
    codes = pq_encode(vectors, trained)
    for part, x in enumerate(split(vectors.astype(float), 3)):
        for entry in np.unique(codes[:, part]):
            mean = x[codes[:, part] == entry].mean(axis=0)
            np.testing.assert_allclose(trained[part, entry], mean, rtol=3e-7, atol=1e-7)
    np.testing.assert_array_equal(pq_train(vectors, trained, iterations=9), trained)


def test_clusters_that_lie_far_apart_are_found():
    of = np.r_[np.arange(12), np.random.default_rng(2).integers(0, 12, 800)]
    vectors = data("normal", 2, 812, 1, 1, 5)[0] + 100 * of[:, None].astype(F32)
    trained = pq_train(vectors, vectors[None, :12].copy())[0]
    means = [vectors[of == cluster].mean(axis=0, dtype=float) for cluster in range(12)]
    np.testing.assert_allclose(trained, means, rtol=1e-6, atol=1e-6)


def test_a_centroid_without_vectors_moves_to_the_farthest_vector():
    vectors = np.array([[0.0], [1.0], [2.0], [10.0]], F32)
    start = np.array([[[1.0], [1000.0]]], F32)
    assert pq_train(vectors, start, iterations=1)[0, 1] == 10
    assert pq_train(vectors, start)[0].tolist() == [[1.0], [10.0]]


@pytest.mark.parametrize("away", [0.0, 1e6])
@pytest.mark.parametrize("repeats", [1, 50])
def test_no_centroid_stays_unused_where_there_are_vectors_enough(away, repeats):
    rng = np.random.default_rng(4)
    vectors = np.repeat(rng.standard_normal((64, 6), dtype=F32), repeats, axis=0)
    start = np.full((2, 64, 3), away, F32)
    trained = pq_train(vectors, start, iterations=100)
    assert all(len(np.unique(codes)) == 64 for codes in pq_encode(vectors, trained).T)
    assert error(vectors, trained) < 1e-9
    fewer = pq_train(vectors, start[:, :20].copy(), iterations=100)
    assert all(len(np.unique(codes)) == 20 for codes in pq_encode(vectors, fewer).T)


def test_fewer_distinct_vectors_than_centroids_are_all_met():
    vectors = np.repeat(np.array([[0.1, 3.0], [2.3, 4.0], [5.7, 3.0]], F32), 7, axis=0)
    start = np.random.default_rng(0).standard_normal((2, 16, 1), dtype=F32)
    trained = pq_train(vectors, start)
    np.testing.assert_allclose(pq_decode(pq_encode(vectors, trained), trained), vectors, rtol=2e-7)


# Search


def sums_of_tables(queries, codes, centroids, similarity):
    """Sum in float32, in order of the parts, what each part's own search says of its centroids."""
    parts, entries = centroids.shape[:2]
    each = np.arange(entries, dtype=np.uint8)[:, None]
    sums = np.zeros((len(queries), len(codes)), F32)
    for part, x in enumerate(split(queries, parts)):
        x, c = np.ascontiguousarray(x), centroids[part : part + 1]
        items, found = pq_search(x, each, c, entries, similarity=similarity)
        table = np.empty_like(found)
        np.put_along_axis(table, items, found, axis=1)
        exact = distances(x, c)[0] if similarity == "distance" else x.astype(float) @ c[0].T
        size = np.abs(x.astype(float)) @ np.abs(c[0]).T if similarity == "product" else exact
        assert (np.abs(table - exact) <= 4e-6 * size + 1e-30).all()
        sums += table[:, codes[:, part]]
    return sums


def assert_found(queries, codes, centroids, n, similarity, threads=(1,)):
    sums = sums_of_tables(queries, codes, centroids, similarity)
    sign = 1 if similarity == "distance" else -1
    order = np.argsort(sign * sums, axis=1, kind="stable")[:, :n]
    items = np.full((len(queries), n), -1)
    best = np.full((len(queries), n), sign * INF)
    items[:, : order.shape[1]] = order
    best[:, : order.shape[1]] = np.take_along_axis(sums, order, axis=1)
    for count in threads:
        found = pq_search(queries, codes, centroids, n, similarity=similarity, threads=count)
        assert [array.dtype for array in found] == [np.int32, F32]
        np.testing.assert_array_equal(found[0], items)
        np.testing.assert_array_equal(found[1], best)


SIMILARITIES = ["distance", "product"]


N_CODES = st.integers(1, 200) | st.sampled_from([1023, 1024, 1025, 2048, 2100])
PARTS = st.sampled_from([1, 2, 3, 8, 15, 16, 17, 33])
AMOUNT = st.sampled_from([1, 2, 10, 100, 300])
SIMILARITY = st.sampled_from(SIMILARITIES)


@settings(max_examples=150)
@given(KINDS, SEEDS, st.integers(1, 9), N_CODES, PARTS, ENTRIES, DIMS, AMOUNT, SIMILARITY)
def test_search_ranks_the_sums(kind, seed, rows, n_codes, parts, entries, dim, n, similarity):
    queries, centroids = data(kind, seed, rows, parts, entries, dim)
    rng = np.random.default_rng(seed)
    codes = rng.integers(0, entries, (n_codes, parts), dtype=np.uint8)
    if seed % 2:  # most codes more than once
        codes = codes[rng.integers(0, 1 + n_codes // 8, n_codes)]
    assert_found(queries, codes, centroids, n, similarity, threads=(1, 2, 5))


@pytest.mark.parametrize("similarity", SIMILARITIES)
@pytest.mark.parametrize("entries", [16, 256])
@pytest.mark.parametrize("n_codes", [0, 1, 63, 64, 65, 128, 1023, 1024, 1025, 4096, 5003, 9000])
def test_any_number_of_codes(n_codes, entries, similarity):
    queries, centroids = data("normal", n_codes, 5, 4, entries, 2)
    codes = np.random.default_rng(0).integers(0, entries, (n_codes, 4), dtype=np.uint8)
    for n in (1, 100, n_codes + 3):
        assert_found(queries, codes, centroids, n, similarity, threads=(1, 2))


@pytest.mark.parametrize("similarity", SIMILARITIES)
@pytest.mark.parametrize("entries", [2, 16, 40])
@pytest.mark.parametrize("parts", [128, 256, 257, 258, 300])
def test_parts_so_many_that_their_sums_are_large(parts, entries, similarity):
    rng = np.random.default_rng(parts)
    centroids = np.zeros((parts, entries, 1), F32)
    centroids[:, 1:] = 1.0  # the least and the most that a byte may have to hold
    queries = np.array([[0.0], [1.0], [-1.0], [0.5]], F32).repeat(parts, axis=1)
    codes = rng.integers(0, entries, (700, parts), dtype=np.uint8)
    codes[100], codes[600], codes[650:] = 0, 1, 1
    assert_found(queries, codes, centroids, 30, similarity)
    noisy = centroids + F32(0.01) * rng.standard_normal(centroids.shape, dtype=F32)
    assert_found(queries, codes, noisy, 30, similarity)


SCALES = {
    "parts whose centroids are all the same": (0.0, np.r_[1.0, 0.0, 0.0, 1.0, 0.0, 1.0]),
    "nothing but such parts": (1.0, np.zeros(6)),
    "a part that outweighs the others": (0.0, np.r_[1.0, 1.0, 1e6, 1.0, 1.0, 1.0]),
    "sums that hardly differ": (50.0, np.full(6, 1e-3)),
    "negative ones": (-50.0, np.full(6, 1e-3)),
    "a grid of ties": (1e4, np.full(6, 1e-2)),
}


@pytest.mark.parametrize("similarity", SIMILARITIES)
@pytest.mark.parametrize("entries", [16, 40, 256])
@pytest.mark.parametrize("case", SCALES)
def test_tables_of_uneven_ranges(case, entries, similarity):
    offset, scales = SCALES[case]
    queries, centroids = data("normal", 8, 6, 6, entries, 3)
    centroids = F32(offset) + scales[:, None, None].astype(F32) * centroids
    queries[0], queries[1], queries[2], queries[3] = 1.0, -1.0, 0.0, queries[4]
    codes = np.random.default_rng(8).integers(0, entries, (5500, 6), dtype=np.uint8)
    assert_found(queries, codes, centroids, 100, similarity)


# Lookup


@settings(max_examples=60)
@given(SEEDS, st.integers(1, 70) | st.just(3000), PARTS, ENTRIES, WIDTHS)
def test_lookup_sums_the_rows_and_its_gradient_is_the_adjoint(seed, rows, parts, entries, dim):
    rows = min(rows, 1 + 1_000_000 // (parts * dim))
    rng = np.random.default_rng(seed)
    table = rng.standard_normal((parts, entries, dim), dtype=F32)
    upstream = rng.standard_normal((rows, dim), dtype=F32)
    codes = rng.integers(0, entries, (rows, parts), dtype=np.uint8)
    sums, gradient = np.zeros((rows, dim), F32), np.zeros_like(table)
    for part in range(parts):
        sums += table[part, codes[:, part]]
        np.add.at(gradient[part], codes[:, part], upstream)
    for threads in (1, 2, 5):
        got = pq_lookup(table, codes, threads=threads)
        np.testing.assert_array_equal(got, sums)
        back = kernels.pq_lookup_gradient(upstream, codes, entries, threads=threads)
        np.testing.assert_array_equal(back, gradient)
        assert got.dtype == back.dtype == F32
    got = pq_lookup(table, codes, mean=True)
    back = kernels.pq_lookup_gradient(upstream, codes, entries, mean=True)
    np.testing.assert_allclose(got, sums / parts, rtol=1e-6)
    np.testing.assert_allclose(back, gradient / parts, rtol=1e-4, atol=1e-5)
    one, other = ((a * b.astype(float)).sum() for a, b in ((got, upstream), (table, back)))
    assert abs(one - other) <= 1e-5 * np.linalg.norm(got) * np.linalg.norm(upstream)


# At each level of SIMD


def digests():
    """Hash what the kernels make of data with ties, near ties and none."""
    rng, out = np.random.default_rng(0), {"level": kernels.simd_level()}
    for parts, entries, dim in [(3, 16, 1), (5, 256, 4), (2, 33, 17), (7, 9, 3), (1, 256, 24)]:
        for offset, scale in [(0, 1), (1e4, 1e-2), (3, 1e-6)]:
            vectors = rng.normal(offset, scale, (1101, parts * dim)).astype(F32)
            start = np.ascontiguousarray(split(vectors, parts)[:, :entries])
            start[:, 1] = start[:, 0]
            made = [pq_train(vectors, start, iterations=4), pq_encode(vectors, start)]
            made.append(pq_lookup(start, made[1], mean=True))
            made.append(kernels.pq_lookup_gradient(vectors, made[1], entries, mean=True))
            codes = rng.integers(0, entries, (2500, parts), dtype=np.uint8)
            for similarity in SIMILARITIES:
                made += pq_search(vectors[:9], codes, start, 50, similarity=similarity)
            key = f"{parts} {entries} {dim} {offset}"
            out[key] = [hashlib.sha256(array.tobytes()).hexdigest() for array in made]
    return out


def test_the_same_bytes_at_every_level_of_simd():
    at = {}
    for level in ("baseline", "avx2", "avx512"):
        environment = os.environ | {"PYHYBRID_SIMD": level}
        command = [sys.executable, __file__]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
        at[level] = json.loads(done.stdout)
    assert at["baseline"].pop("level") == "baseline"
    for level in ("avx2", "avx512"):
        assert at[level].pop("level") in ("baseline", "avx2", level)
        assert at[level] == at["baseline"]


if __name__ == "__main__":
    print(json.dumps(digests()))
