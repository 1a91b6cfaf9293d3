"""kernels.esler_weights: section 6 of the ESLER notes, tiles, errors, and MovieLens-1M."""

import re
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.linalg import block_diag, cho_factor, cho_solve
from scipy.linalg.lapack import dpotrf, dpotri
from scipy.sparse import csr_array

from pyhybrid import kernels

PAIRS = Path(__file__).parents[2] / "shared" / "data" / "ml-1m" / "pairs.csv.zst"


def behaviour(users, items, density=0.1, seed=0):
    """Draw 0/1 behaviour whose items differ in popularity."""
    rng = np.random.default_rng(seed)
    popularity = rng.gamma(1.0, size=items)
    chance = np.minimum(density * popularity / popularity.mean(), 0.9)
    return csr_array((rng.random((users, items)) < chance).astype(np.float32))


def oracle(gram, l2):
    """Compute B and the diagonal of P = (G + l2 I)^-1 in float64."""
    factor, failed = dpotrf(gram + l2 * np.eye(len(gram)), overwrite_a=True)
    p, singular = dpotri(factor, overwrite_c=True)
    assert not failed
    assert not singular
    p = np.triu(p) + np.triu(p, 1).T
    weights = -p / np.diag(p)
    np.fill_diagonal(weights, 0)
    return weights, np.diag(p)


def residual(gram, l2, weights, columns):
    """(G + l2 I) B - G in float64, of some columns: diagonal at the optimum."""
    b = weights[:, columns].astype(float)
    return gram.astype(float) @ b + l2 * b - gram[:, columns]


def multipliers(gram, l2, weights):
    """Lagrange's multipliers, 1 / P_jj - l2, out of G and B alone."""
    products = np.einsum("ij,ij->j", gram, weights, dtype=float)
    return np.diag(gram) - products - l2 * np.diag(weights)


def asymmetry(gram, l2, weights):
    """How far B P_jj, which is symmetric, is from it, beside its largest entry."""
    s = weights / (l2 + multipliers(gram, l2, weights)).astype(np.float32)
    return np.abs(s - s.T).max() / np.abs(s).max()


def relative(got, expected):
    return np.linalg.norm(got - expected) / np.linalg.norm(expected)


def worded(who, what, value):
    """Match "{who}: {what} is {value}; expected {rule}"."""
    return rf"^{who}: .*{re.escape(what)}.* is {re.escape(str(value))}; expected \S"


X = behaviour(400, 150)
GRAM = kernels.gram(X)
L2 = 20.0


@pytest.fixture(scope="module")
def weights():
    return kernels.esler_weights(GRAM, L2)


# The closed form (the numbers are those of the notes' list)


def test_matches_the_float64_oracle(weights):
    assert weights.dtype == np.float32
    assert relative(weights, oracle(GRAM, L2)[0]) < 1e-5


def test_the_diagonal_is_exactly_zero(weights):  # 1
    assert (np.diag(weights) == 0).all()
    assert not np.signbit(np.diag(weights)).any()


def test_each_column_is_a_ridge_regression_on_the_other_items(weights):  # 1
    for item in (0, 1, 77, 149):
        others = np.delete(np.arange(150), item)
        a = GRAM[np.ix_(others, others)].astype(float) + L2 * np.eye(149)
        column = np.linalg.solve(a, GRAM[others, item])
        np.testing.assert_allclose(weights[others, item], column, atol=2e-6)


def test_the_gradient_is_diagonal_with_multipliers_of_at_least_zero(weights):  # 2
    r = residual(GRAM, L2, weights, np.arange(150))
    gamma = -np.diag(r)
    np.testing.assert_allclose(r + np.diag(gamma), 0, atol=1e-6 * GRAM.max())
    np.testing.assert_allclose(gamma, 1 / oracle(GRAM, L2)[1] - L2, rtol=1e-4)
    assert gamma.min() >= 0


def test_b_times_the_diagonal_of_p_is_symmetric(weights):  # 3
    assert asymmetry(GRAM, L2, weights) < 1e-5
    p = 1 / (L2 + multipliers(GRAM, L2, weights))
    assert (p >= (1 - 1e-5) / (np.diag(GRAM) + L2)).all()
    assert (p <= (1 + 1e-5) / L2).all()


def test_item_order_permutes_the_weights(weights):  # 4
    order = np.random.default_rng(0).permutation(150)
    permuted = kernels.esler_weights(np.ascontiguousarray(GRAM[np.ix_(order, order)]), L2)
    np.testing.assert_allclose(permuted, weights[np.ix_(order, order)], atol=2e-6)


def test_user_order_and_shards_change_no_bit_of_the_gram(weights):  # 4, 5
    order = np.random.default_rng(1).permutation(400)
    np.testing.assert_array_equal(kernels.gram(X[order]), GRAM)
    np.testing.assert_array_equal(kernels.gram(X[:123]) + kernels.gram(X[123:]), GRAM)


def test_repeated_users_with_as_much_more_l2_change_nothing(weights):  # 4
    np.testing.assert_allclose(kernels.esler_weights(3 * GRAM, 3 * L2), weights, atol=2e-6)


def test_scaled_weights_with_l2_scaled_by_their_square_change_nothing(weights):  # 4
    scaled = kernels.gram(X * np.float32(2.5))
    np.testing.assert_allclose(kernels.esler_weights(scaled, 6.25 * L2), weights, atol=2e-6)


def test_more_l2_fits_less_and_shrinks(weights):  # 6
    solutions = [kernels.esler_weights(GRAM, l2) for l2 in (1.0, 10.0, 100.0, 1000.0)]
    errors = [np.linalg.norm((X - X @ b).astype(float)) for b in solutions]
    norms = [np.linalg.norm(b) for b in solutions]
    assert errors == sorted(errors)
    assert norms == sorted(norms, reverse=True)


def test_l2_times_b_tends_to_the_counts_off_the_diagonal():  # 6
    l2 = 1e9
    limit = GRAM - np.diag(np.diag(GRAM))
    np.testing.assert_allclose(l2 * kernels.esler_weights(GRAM, l2), limit, atol=1e-4)


def test_an_item_that_nobody_has_gets_a_zero_row_and_column(weights):  # 9
    gram = np.insert(np.insert(GRAM, 70, 0, axis=0), 70, 0, axis=1)
    padded = kernels.esler_weights(gram, L2)
    assert (padded[70] == 0).all()
    assert (padded[:, 70] == 0).all()
    rest = np.delete(np.delete(padded, 70, axis=0), 70, axis=1)
    np.testing.assert_allclose(rest, weights, atol=2e-6)


def test_two_items_that_the_same_users_have_swap_roles():  # 9
    twins = kernels.gram(csr_array(X[:, [*range(150), 5]]))
    b = kernels.esler_weights(twins, L2)
    swap = np.arange(151)
    swap[[5, 150]] = 150, 5
    np.testing.assert_allclose(b, b[np.ix_(swap, swap)], atol=2e-6)
    assert b[5, 150] == b[:, 150].max()


def test_items_without_users_in_common_do_not_meet():  # 9
    halves = behaviour(100, 30, seed=1), behaviour(100, 20, seed=2)
    grams = [kernels.gram(half) for half in halves]
    b = kernels.esler_weights(block_diag(*grams).astype(np.float32), L2)
    expected = block_diag(*[kernels.esler_weights(gram, L2) for gram in grams])
    np.testing.assert_allclose(b, expected, atol=2e-6)
    assert (b[:30, 30:] == 0).all()
    assert (b[30:, :30] == 0).all()


@given(st.lists(st.sampled_from([0.0, 1.0, -2.0, 0.5]), min_size=1, max_size=9))
def test_a_single_user_in_closed_form(row):  # 9
    x = np.array([row], np.float32)
    b = kernels.esler_weights(kernels.gram(csr_array(x)), 2.0)
    x = x[0].astype(float)
    expected = np.outer(x, x) / (2.0 + x @ x - x**2)
    np.fill_diagonal(expected, 0)
    np.testing.assert_allclose(b, expected, atol=1e-5)


def test_a_diagonal_gram_gives_zeros():  # 10
    gram = np.diag(np.arange(50, dtype=np.float32))
    assert (kernels.esler_weights(gram, 1.0) == 0).all()


@pytest.mark.parametrize("l2", [100.0, 500.0])
def test_float32_is_enough(l2):  # 11
    gram = kernels.gram(behaviour(3000, 800, 0.08))
    b, expected = kernels.esler_weights(gram, l2), oracle(gram, l2)[0]
    assert relative(b, expected) <= 2e-5
    best, best_expected = (np.argsort(-w, axis=0)[:20] for w in (b, expected))
    pairs = zip(best.T, best_expected.T, strict=True)
    shared = sum(len(np.intersect1d(one, two)) for one, two in pairs)
    assert shared / (20 * 800) >= 0.999


@settings(max_examples=50)
@given(st.integers(1, 30), st.integers(1, 40), st.sampled_from([0.5, 3.0, 100.0]), st.integers(0))
def test_matches_the_oracle_at_any_small_size(n, users, l2, seed):
    gram = kernels.gram(behaviour(users, n, 0.3, seed=seed))
    np.testing.assert_allclose(
        kernels.esler_weights(gram, l2), oracle(gram, l2)[0], rtol=1e-3, atol=2e-5
    )


# Tiles (of at most 4,096, evenly large)


@pytest.mark.parametrize("n", [2300, 4201])
def test_several_tiles_match_a_float64_solve(n):
    gram = kernels.gram(behaviour(1500, n, 0.03))
    b = kernels.esler_weights(gram, 50.0)
    columns = [0, 7, n // 2 - 1, n // 2, n // 2 + 1, n - 1]
    factor = cho_factor(gram + 50.0 * np.eye(n), overwrite_a=True, check_finite=False)
    p = cho_solve(factor, np.eye(n)[:, columns], overwrite_b=True, check_finite=False)
    expected = -p / p[columns, range(len(columns))]
    expected[columns, range(len(columns))] = 0
    np.testing.assert_allclose(b[:, columns], expected, atol=2e-6)
    assert relative(b[:, columns], expected) < 2e-5
    assert asymmetry(gram, 50.0, b) < 2e-5  # every entry of every tile


@pytest.mark.parametrize("n", [2047, 2048, 4096, 4097])
def test_sizes_at_the_edge_of_a_tile(n):
    gram = kernels.gram(behaviour(500, n, 0.03))
    b = kernels.esler_weights(gram, 50.0, overwrite=False)
    assert (np.diag(b) == 0).all()
    columns = np.unique([0, 2046, n // 2, n - 2, n - 1])
    r = residual(gram, 50.0, b, columns)
    r[columns, range(len(columns))] = 0
    np.testing.assert_allclose(r, 0, atol=2e-6 * gram.max())
    assert asymmetry(gram, 50.0, b) < 2e-5


def test_a_pivot_that_fails_in_a_later_tile_is_found():
    gram = np.eye(4200, dtype=np.float32)
    gram[4100, 4100] = -5.0
    with pytest.raises(ValueError, match=r"^esler_weights: .*4100.* is .*; expected .*positive"):
        kernels.esler_weights(gram, 1.0)


# Where the result goes


def test_the_gram_is_left_as_it_was():
    gram = GRAM.copy()
    b = kernels.esler_weights(gram, L2)
    assert not np.shares_memory(b, gram)
    np.testing.assert_array_equal(gram, GRAM)


def test_a_read_only_gram_is_welcome_unless_overwritten(weights):
    gram = GRAM.copy()
    gram.flags.writeable = False
    assert relative(kernels.esler_weights(gram, L2), weights) < 1e-6
    with pytest.raises(ValueError, match=worded("esler_weights", "out", "read-only")):
        kernels.esler_weights(gram, L2, overwrite=True)


@pytest.mark.parametrize("n", [5, 2049])
def test_the_inverse_diagonal_is_told(n):
    gram = kernels.gram(behaviour(500, n, 0.03))
    p = np.full(n, np.nan, dtype=np.float32)
    b = kernels.esler_weights(gram, 50.0, inverse_diagonal=p)
    np.testing.assert_array_equal(b, kernels.esler_weights(gram, 50.0))
    exact = np.linalg.inv(gram.astype(np.float64) + 50.0 * np.eye(n))
    np.testing.assert_allclose(p, np.diag(exact), rtol=1e-4)
    np.testing.assert_allclose((np.eye(n) - b) * p, exact, atol=1e-6)


@pytest.mark.parametrize(
    ("wrong", "error", "what"),
    [
        (np.empty(149, np.float32), ValueError, "inverse_diagonal's shape is (149,)"),
        (np.empty((150, 1), np.float32), ValueError, "inverse_diagonal's number of dimensions"),
        (np.empty(150), TypeError, "inverse_diagonal's dtype is float64"),
        (np.empty(300, np.float32)[::2], TypeError, "inverse_diagonal"),
    ],
)
def test_an_inverse_diagonal_of_another_kind_is_refused(wrong, error, what):
    with pytest.raises(error, match=f"^esler_weights: {re.escape(what)}"):
        kernels.esler_weights(GRAM, L2, inverse_diagonal=wrong)


def test_overwrite_solves_in_the_same_buffer(weights):
    gram = GRAM.copy()
    assert kernels.esler_weights(gram, L2, overwrite=True) is gram
    assert relative(gram, weights) < 1e-6


def test_out_is_written_and_returned(weights):
    gram, out = GRAM.copy(), np.full_like(GRAM, np.nan)
    assert kernels.esler_weights(gram, L2, out=out) is out
    assert relative(out, weights) < 1e-6
    np.testing.assert_array_equal(gram, GRAM)


def test_the_upper_triangle_alone_is_read(weights):
    gram = np.where(np.triu(np.ones_like(GRAM)) > 0, GRAM, np.float32(np.nan))
    assert relative(kernels.esler_weights(gram, L2), weights) < 1e-6


def test_any_number_of_threads_agrees_to_1e_6(weights):
    for threads in (1, 2, 3, 7):
        assert relative(kernels.esler_weights(GRAM, L2, threads=threads), weights) <= 1e-6


@pytest.mark.parametrize("l2", [20, np.float32(20), np.float64(20), np.int64(20)])
def test_l2_may_be_any_real_number(weights, l2):
    assert relative(kernels.esler_weights(GRAM, l2), weights) < 1e-6


@pytest.mark.parametrize("l2", [1e-30, 1.0, 1e30])
def test_one_item_and_no_items(l2):
    one = np.ones((1, 1), np.float32)
    assert kernels.esler_weights(one, l2).tolist() == [[0.0]]
    assert kernels.esler_weights(np.empty((0, 0), np.float32), l2).shape == (0, 0)


# What it refuses


def test_a_copy_that_will_not_fit_is_refused_in_words(monkeypatch, weights):
    monkeypatch.setattr("pyhybrid.memory.available_bytes", lambda: 10)
    message = r"^esler_weights: 150 items need 0\.0 GB for .* and 0\.0 GB are free; .*overwrite"
    with pytest.raises(MemoryError, match=message):
        kernels.esler_weights(GRAM, L2)
    assert relative(kernels.esler_weights(GRAM.copy(), L2, overwrite=True), weights) < 1e-6


@pytest.mark.parametrize("l2", [0, 0.0, -0.0, -1, -1e-9, np.nan, np.inf, -np.inf, np.float32(0)])
def test_an_l2_that_is_not_positive_and_finite_is_refused(l2):
    with pytest.raises(ValueError, match=worded("esler_weights", "l2", l2)):
        kernels.esler_weights(GRAM, l2)


@pytest.mark.parametrize("l2", [None, "5", True, np.True_, [1.0], 1j, np.ones(1)])
def test_an_l2_that_is_no_number_is_refused(l2):
    with pytest.raises(TypeError, match=worded("esler_weights", "l2", repr(l2))):
        kernels.esler_weights(GRAM, l2)


@pytest.mark.parametrize("l2", [1e39, 1e300, 10**400])
def test_an_l2_that_is_not_finite_in_float32_is_named(l2):
    """Not blamed on the Gram matrix, with the advice to raise l2."""
    with pytest.raises(ValueError, match=worded("esler_weights", "l2", l2)):
        kernels.esler_weights(np.zeros((2, 2), np.float32), l2)


BELOW = np.eye(3, dtype=np.float32)
BELOW[0, 1] = BELOW[1, 0] = 5.0  # eigenvalue -4


def spoiled(row, column, value):
    gram = GRAM.copy()
    gram[row, column] = gram[column, row] = value
    return gram


@pytest.mark.parametrize(
    "gram",
    [BELOW, -10 * np.eye(3, dtype=np.float32)]
    + [spoiled(*place, v) for place in ((0, 0), (3, 99), (149, 149)) for v in (np.nan, np.inf)]
    + [spoiled(3, 99, -np.inf), np.full((4, 4), np.nan, np.float32)],
)
@pytest.mark.parametrize("overwrite", [False, True])
def test_what_is_not_positive_definite_is_refused(gram, overwrite):
    with pytest.raises(ValueError, match=r"^esler_weights: .* is .*; expected .*positive definite"):
        kernels.esler_weights(gram.copy(), 3.0, overwrite=overwrite)


def test_enough_l2_makes_it_positive_definite():
    np.testing.assert_allclose(kernels.esler_weights(BELOW, 4.5), oracle(BELOW, 4.5)[0], rtol=1e-5)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("place", [(0, 0), (5, 2100), (2100, 4100), (4199, 4199), (2099, 2100)])
def test_nan_and_infinity_are_found_in_every_tile(place, value):
    gram = np.eye(4200, dtype=np.float32)
    gram[place] = gram[place[::-1]] = value
    with pytest.raises(ValueError, match=r"^esler_weights: .* is .*; expected \S"):
        kernels.esler_weights(gram, 1.0, overwrite=True)


@pytest.mark.parametrize("what", ["gram", "out"])
@pytest.mark.parametrize(
    ("array", "error", "value"),
    [
        (np.eye(150), TypeError, "float64"),
        (np.eye(150, dtype=np.int32), TypeError, "int32"),
        (np.ones((150, 150), np.float32, order="F"), TypeError, "not C-contiguous"),
        (np.ones((150, 300), np.float32)[:, ::2], TypeError, "not C-contiguous"),
        ([[1.0]], TypeError, "that of a list"),
        (np.ones((150, 149), np.float32), ValueError, (150, 149)),
        (np.ones(150, np.float32), ValueError, 1),
        (np.ones((1, 1, 1), np.float32), ValueError, 3),
    ],
)
def test_matrices_of_another_form_are_refused(what, array, error, value):
    arguments = {"gram": GRAM} | {what: array}
    with pytest.raises(error, match=worded("esler_weights", what, value)):
        kernels.esler_weights(l2=L2, **arguments)


def test_out_and_overwrite_exclude_each_other():
    with pytest.raises(ValueError, match=worded("esler_weights", "out", "given")):
        kernels.esler_weights(GRAM.copy(), L2, overwrite=True, out=GRAM.copy())


# MovieLens-1M, strong generalisation (section 1.8 of the notes)


@pytest.fixture(scope="module")
def movielens():
    """The training Gram matrix, and the test users' histories and targets, as the notes split."""
    if not PAIRS.exists():
        pytest.skip(f"needs MovieLens-1M at {PAIRS}")
    with pa.input_stream(PAIRS, compression="zstd") as stream:
        table = pyarrow.csv.read_csv(stream)
    users, movies = (table[name].to_numpy() for name in ("userId", "movieId"))
    order = np.random.RandomState(98765).permutation(np.unique(users))
    train = np.isin(users, order[:-2000])
    catalogue = np.unique(movies[train])
    items = np.searchsorted(catalogue, movies).clip(max=len(catalogue) - 1)
    known = catalogue[items] == movies
    test = np.flatnonzero(np.isin(users, order[-1000:]) & known)
    rng = np.random.RandomState(98765)
    held_out = np.zeros(len(users), bool)
    for user in np.sort(order[-1000:]):
        own = test[users[test] == user]
        held_out[own[rng.choice(len(own), int(0.2 * len(own)), replace=False)]] = True

    def csr(mask):
        rows = np.unique(users[mask], return_inverse=True)[1]
        ones = np.ones(len(rows), np.float32)
        return csr_array((ones, (rows, items[mask])), shape=(rows.max() + 1, len(catalogue)))

    is_test = np.zeros(len(users), bool)
    is_test[test] = True
    return kernels.gram(csr(train)), csr(is_test & ~held_out), csr(held_out)


@pytest.fixture(scope="module")
def movielens_weights(movielens):
    return kernels.esler_weights(movielens[0], 700.0)


def rate(movielens, weights):
    _, histories, targets = movielens
    ranking, _ = kernels.top_n(histories, weights, 100, exclude=histories)
    names = ["ndcg@100", "ndcg@10", "recall_min@20", "recall_min@50", "recall@20"]
    metrics = kernels.ranking_metrics(ranking, targets, names)
    return ranking, {name: float(np.nanmean(values)) for name, values in metrics.items()}


def test_movielens_is_split_as_in_the_notes(movielens):
    gram, histories, targets = movielens
    assert gram.shape == (3671, 3671)
    assert np.trace(gram, dtype=float) == 677_137
    assert (histories.nnz, targets.nnz) == (130_594, 32_147)


def test_movielens_gives_the_accuracy_of_the_notes(movielens, movielens_weights):
    _, metrics = rate(movielens, movielens_weights)
    assert metrics == pytest.approx(
        {
            "ndcg@100": 0.4823,
            "ndcg@10": 0.4469,
            "recall_min@20": 0.4142,
            "recall_min@50": 0.4882,
            "recall@20": 0.2803,
        },
        abs=6e-5,
    )


def test_movielens_popularity_gives_the_accuracy_of_the_notes(movielens):
    gram, histories, targets = movielens
    scores = np.tile(np.diag(gram), (histories.shape[0], 1))
    names = ["recall_min@20", "ndcg@100"]
    metrics = kernels.score_metrics(scores, targets, names, exclude=histories)
    means = [np.nanmean(metrics[name]) for name in names]
    assert means == pytest.approx([0.1837, 0.2193], abs=6e-5)


def test_movielens_in_float32_is_as_good_as_in_float64(movielens, movielens_weights):  # 11
    expected, _ = oracle(movielens[0], 700.0)
    assert relative(movielens_weights, expected) <= 2e-5
    ranking, metrics = rate(movielens, movielens_weights)
    ranking_64, metrics_64 = rate(movielens, expected.astype(np.float32))
    assert abs(metrics["ndcg@100"] - metrics_64["ndcg@100"]) <= 1e-5
    tops = zip(ranking[:, :20], ranking_64[:, :20], strict=True)
    assert sum(len(np.intersect1d(a, b)) for a, b in tops) >= 0.9999 * 20 * len(ranking)


def test_movielens_weights_are_negative_by_half_and_that_matters(
    movielens, movielens_weights
):  # 12
    assert np.mean(movielens_weights < 0) == pytest.approx(0.52, abs=0.02)
    _, clipped = rate(movielens, np.maximum(movielens_weights, 0))
    assert clipped["ndcg@100"] == pytest.approx(0.4612, abs=6e-5)
