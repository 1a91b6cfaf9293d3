"""kernels.top_n, top_n_factors and top_n_scores against a sort in NumPy."""

import re
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import csc_array, csr_array, random_array

from pyhybrid import kernels

INF = float("inf")
TIES = st.integers(-2, 2).map(float)
SCORES = st.sampled_from([-INF, -1.0, -0.0, 0.0, 1e-45, 1.0, 2.0, INF])
FLOATS = st.floats(-1e3, 1e3, width=32)


def raw_csr(shape, indptr, indices, values=None, index_types=(np.int32, np.int32)):
    """Build a CSR of exactly these arrays; SciPy's constructor would check and re-type them."""
    x = csr_array(shape, dtype=np.float32)
    x.indptr = np.asarray(indptr, index_types[0])
    x.indices = np.asarray(indices, index_types[1])
    x.data = np.asarray(np.ones(len(indices)) if values is None else values, np.float32)
    return x


@st.composite
def csr_matrices(draw, n_rows, n_cols, values=TIES, *, distinct=False):
    """Draw rows in any order, with duplicates unless `distinct`, zeros, and any index types."""
    entry = st.tuples(st.integers(0, max(n_cols - 1, 0)), values)
    key = (lambda pair: pair[0]) if distinct else None
    row = st.lists(entry, max_size=8 if n_cols else 0, unique_by=key)
    rows = draw(st.lists(row, min_size=n_rows, max_size=n_rows))
    index_types = draw(st.tuples(*[st.sampled_from([np.int32, np.int64])] * 2))
    items = [item for row in rows for item, _ in row]
    weights = [weight for row in rows for _, weight in row]
    indptr = np.cumsum([0, *map(len, rows)])
    return raw_csr((n_rows, n_cols), indptr, items, weights, index_types)


@st.composite
def dense_matrices(draw, n_rows, n_cols, values=TIES):
    entries = draw(st.lists(values, min_size=n_rows * n_cols, max_size=n_rows * n_cols))
    return np.array(entries, np.float32).reshape(n_rows, n_cols)


SIZES = st.integers(0, 6)


@st.composite
def restrictions(draw, n_rows, n_cols):
    """Draw the keywords exclude and among: each absent, or of any legal form."""
    exclude = draw(st.none() | csr_matrices(n_rows, n_cols, st.sampled_from([0.0, 1.0, np.nan])))
    item = st.integers(-1, n_cols - 1)
    width = draw(st.integers(0, 8))
    one = st.lists(item, min_size=width, max_size=width)
    each = st.lists(one, min_size=n_rows, max_size=n_rows)
    shapes = st.sampled_from([(one, (width,)), (each, (n_rows, width))])
    form, shape = draw(shapes)
    among = draw(st.none() | form.map(lambda lists: np.array(lists, np.int32).reshape(shape)))
    return {"exclude": exclude, "among": among}


def stored(x, row):
    return set(x.indices[x.indptr[row] : x.indptr[row + 1]].tolist())


def ranked(scores, n, exclude=None, among=None):
    """Sort each row's candidates by descending score, then ascending item; pad to n."""
    items, best = np.full((len(scores), n), -1), np.full((len(scores), n), -INF)
    for row, line in enumerate(scores):
        allowed = set(range(len(line)))
        if among is not None:
            allowed &= set((among if among.ndim == 1 else among[row]).tolist())
        if exclude is not None:
            allowed -= stored(exclude, row)
        order = sorted(allowed, key=lambda item: (-line[item], item))[:n]
        items[row, : len(order)] = order
        best[row, : len(order)] = line[order]
    return items, best


def dense(x):
    """Add up the entries in float64."""
    out = np.zeros(x.shape)
    np.add.at(out, (np.repeat(np.arange(x.shape[0]), np.diff(x.indptr)), x.indices), x.data)
    return out


def assert_ranked(result, scores, n, **restriction):
    items, best = ranked(scores, n, **restriction)
    assert result[0].dtype == np.int32
    assert result[1].dtype == np.float32
    np.testing.assert_array_equal(result[0], items)
    np.testing.assert_array_equal(result[1], best)


def plus_product(sums, a, b):
    """Add a * b in float32, rounded as this processor's loops do: once, or the product first."""
    if kernels.simd_level() == "baseline":
        return sums + a * b
    product = np.asarray(a, np.float64) * np.asarray(b, np.float64)  # exact
    total = sums + product
    others = total - sums
    lost = (sums - (total - others)) + (product - others)  # what rounding took from the total
    # To be rounded once more, an inexact total must not look like half a float32's last place: of
    # the two numbers it lies between, take the one whose last bit is set.
    is_even = total.view(np.uint64) % 2 == 0
    beside = np.nextafter(total, np.copysign(np.inf, lost))
    return np.where((lost != 0) & is_even, beside, total).astype(np.float32)


@pytest.mark.parametrize("sign", [1, -1])
def test_a_sum_that_is_all_but_half_way_is_rounded_once(sign):
    # 171.6459 * 1.5 lies half way between two float32 numbers; the other summand breaks the tie.
    if kernels.simd_level() == "baseline":
        pytest.skip("without fused multiply-adds the product is rounded before")
    a, little = np.float32(171.64590454101562), np.float32(4.2601805e-23)
    exact = Fraction(float(a)) * Fraction(3, 2) + sign * Fraction(float(little))
    below, above = np.float32(257.46884), np.float32(257.46887)
    half = (Fraction(float(below)) + Fraction(float(above))) / 2
    assert Fraction(float(a)) * Fraction(3, 2) == half
    users = np.array([[sign * little, a]], np.float32)
    items = np.array([[1.0, 1.5]], np.float32)
    wanted = above if exact > half else below
    assert kernels.top_n_factors(users, items, 1)[1] == wanted
    assert plus_product(np.array([sign * little]), a, np.array([1.5], np.float32)) == wanted


def worded(who, what, value):
    """Match "{who}: {what} is {value}; expected {rule}"."""
    return rf"^{who}: .*{re.escape(what)}.* is {re.escape(str(value))}; expected \S"


# What they compute


@given(st.data(), SIZES, SIZES, st.integers(1, 9))
def test_top_n_ranks_the_product(data, n_rows, n_items, n):
    histories = data.draw(csr_matrices(n_rows, n_items))
    weights = data.draw(dense_matrices(n_items, n_items))
    restriction = data.draw(restrictions(n_rows, n_items))
    result = kernels.top_n(histories, weights, n, **restriction)
    assert_ranked(result, dense(histories) @ weights, n, **restriction)


@given(st.data(), SIZES, SIZES, st.integers(0, 4), st.integers(1, 9))
def test_top_n_factors_ranks_the_inner_products(data, n_rows, n_items, dim, n):
    users = data.draw(dense_matrices(n_rows, dim))
    items = data.draw(dense_matrices(n_items, dim))
    restriction = data.draw(restrictions(n_rows, n_items))
    result = kernels.top_n_factors(users, items, n, **restriction)
    assert_ranked(result, users.astype(float) @ items.T, n, **restriction)


@given(st.data(), SIZES, SIZES, st.integers(1, 9))
def test_top_n_scores_ranks_the_scores(data, n_rows, n_items, n):
    scores = data.draw(dense_matrices(n_rows, n_items, SCORES))
    restriction = data.draw(restrictions(n_rows, n_items))
    assert_ranked(kernels.top_n_scores(scores, n, **restriction), scores, n, **restriction)


@given(st.data(), st.integers(1, 5), st.integers(1, 6))
def test_top_n_sums_in_float32_over_ascending_items(data, n_rows, n_items):
    histories = data.draw(csr_matrices(n_rows, n_items, FLOATS, distinct=True))
    weights = data.draw(dense_matrices(n_items, n_items, FLOATS))
    scores = np.zeros((n_rows, n_items), np.float32)
    for item in range(n_items):
        history = dense(histories)[:, [item]].astype(np.float32)
        scores = plus_product(scores, history, weights[item])
    assert_ranked(kernels.top_n(histories, weights, n_items), scores, n_items)


@given(st.data(), st.integers(1, 5), st.integers(1, 6), st.integers(1, 9))
def test_top_n_factors_sums_in_float32_over_ascending_factors(data, n_rows, n_items, dim):
    users = data.draw(dense_matrices(n_rows, dim, FLOATS))
    items = data.draw(dense_matrices(n_items, dim, FLOATS))
    scores = np.zeros((n_rows, n_items), np.float32)
    for factor in range(dim):
        scores = plus_product(scores, users[:, [factor]], items[:, factor])
    assert_ranked(kernels.top_n_factors(users, items, n_items), scores, n_items)


def test_the_sums_at_size_are_the_same_bits_as_one_by_one():
    rng = np.random.default_rng(0)
    users = rng.standard_normal((3, 131)).astype(np.float32)
    items = rng.standard_normal((1000, 131)).astype(np.float32)
    scores = np.zeros((3, 1000), np.float32)
    for factor in range(131):
        scores = plus_product(scores, users[:, [factor]], items[:, factor])
    assert_ranked(kernels.top_n_factors(users, items, 1000), scores, 1000)
    histories = csr_array(users)
    weights = np.ascontiguousarray(items[:131].copy())
    scores = np.zeros((3, 131), np.float32)
    for item in range(131):
        scores = plus_product(scores, users[:, [item]], weights[item])
    assert_ranked(kernels.top_n(histories, weights, 131), scores, 131)


def test_among_may_be_read_only_but_not_strided_or_unaligned():
    scores = np.array([[3.0, 2.0, 1.0]], np.float32)
    among = np.array([2, 1], np.int32)
    among.flags.writeable = False
    assert kernels.top_n_scores(scores, 1, among=among)[0] == [[1]]
    strided = np.array([2, 0, 1, 0], np.int32)[::2]
    with pytest.raises(TypeError, match=r"among's layout is not C-contiguous; expected"):
        kernels.top_n_scores(scores, 1, among=strided)
    unaligned = np.frombuffer(b"_" + among.tobytes(), np.int32, offset=1)
    with pytest.raises(TypeError, match=r"among is not aligned in memory; expected"):
        kernels.top_n_scores(scores, 1, among=unaligned)


def test_more_histories_than_are_ranked_together():
    rng = np.random.default_rng(3)
    rows, n_items = 33_000, 6
    histories = random_array((rows, n_items), density=0.4, format="csr", rng=rng).astype("f4")
    histories.data[:] = rng.integers(-2, 3, histories.nnz)
    weights = rng.integers(-2, 3, (n_items, n_items)).astype(np.float32)
    among = rng.integers(-1, n_items, (rows, 4)).astype(np.int32)
    restriction = {"exclude": histories, "among": among}
    result = kernels.top_n(histories, weights, 3, **restriction)
    assert_ranked(result, (histories @ weights).astype(np.float32), 3, **restriction)


def big_case(rows, n_items, seed=0):
    """Small integers, so that ties abound; more rows and items than one block of scores holds."""
    rng = np.random.default_rng(seed)
    histories = random_array((rows, n_items), density=5 / n_items, format="csr", rng=rng)
    histories.data[:] = rng.integers(-2, 3, histories.nnz)
    weights = rng.integers(-2, 3, (n_items, n_items)).astype(np.float32)
    return histories.astype(np.float32), weights


def at_size(name, rows, n_items, seed=0):
    """Return the kernel as a function of (n, keywords), and the scores that it ranks."""
    histories, weights = big_case(rows, n_items, seed)
    if name == "top_n":
        scores = (histories @ weights).astype(np.float32)
        return (lambda n, **kw: kernels.top_n(histories, weights, n, **kw)), scores
    if name == "top_n_factors":
        users = np.ascontiguousarray(histories.toarray()[:, :7]) + weights[:rows, :7]
        items = np.ascontiguousarray(weights[:, 7:14])
        return (lambda n, **kw: kernels.top_n_factors(users, items, n, **kw)), users @ items.T
    scores = np.ascontiguousarray(weights[:rows])
    return (lambda n, **kw: kernels.top_n_scores(scores, n, **kw)), scores


NAMES = ["top_n", "top_n_factors", "top_n_scores"]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(("rows", "n_items"), [(1, 2049), (130, 2300)])
def test_more_items_than_a_block_of_scores_holds(name, rows, n_items):
    kernel, scores = at_size(name, rows, n_items)
    rng = np.random.default_rng(1)
    exclude = random_array((rows, n_items), density=0.1, format="csr", rng=rng)
    among = rng.integers(-1, n_items, (rows, 700), dtype=np.int32)
    for n in (1, 10, n_items + 3):
        assert_ranked(kernel(n), scores, n)
    restriction = {"exclude": exclude, "among": among}
    assert_ranked(kernel(200, exclude=exclude), scores, 200, exclude=exclude)
    assert_ranked(kernel(800, **restriction), scores, 800, **restriction)
    assert_ranked(kernel(20, among=among[0]), scores, 20, among=among[0])


@pytest.mark.parametrize("name", NAMES)
def test_scores_that_rise_and_fall_over_the_items(name):
    n_items = 4200
    rise = np.arange(n_items, dtype=np.float32)[None]
    for scores in (rise, rise[:, ::-1].copy(), np.zeros_like(rise)):
        if name == "top_n":
            weights = np.zeros((n_items, n_items), np.float32)
            weights[3] = scores[0]
            result = kernels.top_n(raw_csr((1, n_items), [0, 1], [3]), weights, 100)
        elif name == "top_n_factors":
            one = np.ones((1, 1), np.float32)
            result = kernels.top_n_factors(one, np.ascontiguousarray(scores.T), 100)
        else:
            result = kernels.top_n_scores(scores, 100)
        assert_ranked(result, scores, 100)


@pytest.mark.parametrize("name", NAMES)
def test_the_same_bits_for_any_number_of_threads(name):
    rng = np.random.default_rng(2)
    histories = random_array((300, 500), density=0.05, format="csr", dtype=np.float32, rng=rng)
    dense_values = rng.standard_normal((500, 500), dtype=np.float32)
    call = {
        "top_n": lambda threads: kernels.top_n(histories, dense_values, 20, threads=threads),
        "top_n_factors": lambda threads: kernels.top_n_factors(
            dense_values, dense_values, 20, threads=threads
        ),
        "top_n_scores": lambda threads: kernels.top_n_scores(dense_values, 20, threads=threads),
    }[name]
    one = call(1)
    for threads in (0, 2, 3, 7, 1000):
        for got, expected in zip(call(threads), one, strict=True):
            np.testing.assert_array_equal(got, expected)


def test_the_order_of_entries_within_a_row_changes_no_bit():
    rng = np.random.default_rng(3)
    weights = rng.standard_normal((50, 50), dtype=np.float32)
    values = rng.standard_normal(50, dtype=np.float32)
    order = rng.permutation(50)
    sorted_row = raw_csr((1, 50), [0, 50], np.arange(50), values)
    shuffled = raw_csr((1, 50), [0, 50], order, values[order])
    for got, expected in zip(
        kernels.top_n(shuffled, weights, 50), kernels.top_n(sorted_row, weights, 50), strict=True
    ):
        np.testing.assert_array_equal(got, expected)


def test_the_inputs_are_left_as_they_were():
    histories = raw_csr((1, 3), [0, 3], [2, 0, 2], [1.0, 0.0, 2.0])
    exclude = raw_csr((1, 3), [0, 2], [1, 0])
    among = np.array([2, -1, 0], np.int32)
    kernels.top_n(histories, np.eye(3, dtype=np.float32), 2, exclude=exclude, among=among)
    np.testing.assert_array_equal(histories.indices, [2, 0, 2])
    np.testing.assert_array_equal(histories.data, [1, 0, 2])
    np.testing.assert_array_equal(exclude.indices, [1, 0])
    np.testing.assert_array_equal(among, [2, -1, 0])


def scores_of(*row):
    return np.array([row], np.float32)


def test_ties_go_to_the_lower_item():
    assert kernels.top_n_scores(scores_of(1, 2, 2, 1, 2), 4)[0].tolist() == [[1, 2, 4, 0]]


def test_zeros_of_either_sign_tie():
    assert kernels.top_n_scores(scores_of(-0.0, 0.0, -0.0), 3)[0].tolist() == [[0, 1, 2]]


def test_a_score_of_minus_infinity_is_a_score():
    items, scores = kernels.top_n_scores(scores_of(-INF, 1, -INF), 4)
    assert items.tolist() == [[1, 0, 2, -1]]
    assert scores.tolist() == [[1, -INF, -INF, -INF]]


def test_what_is_excluded_stays_out_where_all_others_score_minus_infinity():
    exclude = raw_csr((1, 3), [0, 1], [1])
    items, _ = kernels.top_n_scores(scores_of(-INF, 5, -INF), 3, exclude=exclude)
    assert items.tolist() == [[0, 2, -1]]


def test_an_excluded_entry_counts_whatever_its_value():
    exclude = raw_csr((1, 4), [0, 3], [0, 1, 2], [0.0, np.nan, -1.0])
    assert kernels.top_n_scores(scores_of(4, 3, 2, 1), 4, exclude=exclude)[0].tolist() == [
        [3, -1, -1, -1]
    ]


@pytest.mark.parametrize("dtype", [np.bool_, np.int64, np.float64])
def test_exclude_may_have_values_of_any_dtype(dtype):
    exclude = csr_array(np.array([[1, 0]], dtype))
    assert kernels.top_n_scores(scores_of(1, 1), 1, exclude=exclude)[0].tolist() == [[1]]


def test_an_item_named_twice_in_among_stands_once():
    among = np.array([2, 0, 2, -1, 0], np.int32)
    assert kernels.top_n_scores(scores_of(1, 9, 1), 3, among=among)[0].tolist() == [[0, 2, -1]]


@pytest.mark.parametrize("shape", [(0,), (2, 0), (1, 0)])
def test_an_empty_among_leaves_no_candidates(shape):
    among = np.empty(shape, np.int32)
    items, scores = kernels.top_n_scores(np.ones((2, 3), np.float32), 2, among=among)
    assert (items == -1).all()
    assert (scores == -INF).all()


@pytest.mark.parametrize("padding", [-1, -2, np.iinfo(np.int32).min])
def test_negative_entries_of_among_are_padding(padding):
    among = np.array([[1, padding], [padding, padding]], np.int32)
    items, _ = kernels.top_n_scores(np.ones((2, 3), np.float32), 1, among=among)
    assert items.tolist() == [[1], [-1]]


# nan


@pytest.mark.parametrize("name", NAMES)
def test_a_candidate_whose_score_is_nan_is_refused(name):
    scores = np.array([[1, 1, 1], [1, 1, np.nan], [0, 0, 0]], np.float32)
    call = {
        "top_n": lambda: kernels.top_n(raw_csr((2, 3), [0, 1, 2], [0, 1]), scores, 1),
        "top_n_factors": lambda: kernels.top_n_factors(
            scores_of(0, 1).T.copy(), scores_of(1, 1, np.nan).T.copy(), 1
        ),
        "top_n_scores": lambda: kernels.top_n_scores(scores, 1),
    }[name]
    where = "item 2 in row 0" if name == "top_n_factors" else "item 2 in row 1"  # 0 * nan is nan
    with pytest.raises(ValueError, match=worded(name, where, "nan")):
        call()


def test_infinities_that_make_a_nan_are_refused():
    factors = scores_of(INF, INF)
    with pytest.raises(ValueError, match=worded("top_n_factors", "item 0 in row 0", "nan")):
        kernels.top_n_factors(factors, scores_of(1, -1), 1)


def test_nan_is_no_matter_where_there_is_no_candidate():
    scores = scores_of(np.nan, 2, 1)
    exclude = raw_csr((1, 3), [0, 1], [0])
    assert kernels.top_n_scores(scores, 3, exclude=exclude)[0].tolist() == [[1, 2, -1]]
    among = np.array([2, 1], np.int32)
    assert kernels.top_n_scores(scores, 2, among=among)[0].tolist() == [[1, 2]]


@pytest.mark.parametrize("sign", [1.0, -1.0])
@pytest.mark.parametrize("place", [0, 5, 2999])
def test_nan_is_found_wherever_it_stands(place, sign):
    scores = np.arange(3000, dtype=np.float32)[None].copy()
    scores[0, place] = np.copysign(np.nan, sign)
    with pytest.raises(ValueError, match=worded("top_n_scores", f"item {place} in row 0", "nan")):
        kernels.top_n_scores(scores, 3)


# Restrictions do not depend on how they are said


@settings(max_examples=50)
@given(st.data(), st.integers(1, 6), st.integers(1, 6))
def test_excluding_is_the_same_as_leaving_out_of_among(data, n_rows, n_items):
    scores = data.draw(dense_matrices(n_rows, n_items))
    exclude = data.draw(csr_matrices(n_rows, n_items))
    allowed = [sorted(set(range(n_items)) - stored(exclude, row)) for row in range(n_rows)]
    among = np.array([row + [-1] * (n_items - len(row)) for row in allowed], np.int32)
    for got, expected in zip(
        kernels.top_n_scores(scores, n_items, exclude=exclude),
        kernels.top_n_scores(scores, n_items, among=among),
        strict=True,
    ):
        np.testing.assert_array_equal(got, expected)


# What they refuse

HISTORIES = raw_csr((2, 3), [0, 1, 2], [0, 1])
SQUARE = np.eye(3, dtype=np.float32)
PAIR = np.ones((2, 3), np.float32)
CALLS = {
    "top_n": lambda n=1, **kw: kernels.top_n(HISTORIES, SQUARE, n, **kw),
    "top_n_factors": lambda n=1, **kw: kernels.top_n_factors(PAIR, SQUARE, n, **kw),
    "top_n_scores": lambda n=1, **kw: kernels.top_n_scores(PAIR, n, **kw),
}


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    ("n", "error"),
    [(0, ValueError), (-1, ValueError), (True, TypeError), (2.0, TypeError), ("a", TypeError)]
    + [(None, TypeError)],
)
def test_an_n_that_is_no_positive_integer_is_refused(name, n, error):
    value = repr(n) if error is TypeError else n
    with pytest.raises(error, match=worded(name, "n", value)):
        CALLS[name](n)


@pytest.mark.parametrize("name", NAMES)
def test_n_may_be_a_numpy_integer(name):
    assert CALLS[name](np.int64(2))[0].shape == (2, 2)


@pytest.mark.parametrize("name", NAMES)
def test_an_n_that_no_memory_holds_is_refused_in_words(name):
    for n in (10**12, 2**62, 2**63, 10**30):
        with pytest.raises((MemoryError, ValueError), match=rf"^{name}: .*\d"):
            CALLS[name](n)


def test_the_shape_of_weights_must_fit_the_histories():
    for shape in ((2, 3), (2, 2), (4, 4)):
        with pytest.raises(ValueError, match=worded("top_n", "weights' shape", shape)):
            kernels.top_n(HISTORIES, np.ones(shape, np.float32), 1)


@pytest.mark.parametrize(("known", "items"), [(3, 8), (8, 3), (1, 700)])
def test_histories_may_hold_other_items_than_are_ranked(known: int, items: int) -> None:
    rng = np.random.default_rng(0)
    histories = csr_array((rng.random((20, known)) < 0.4).astype(np.float32))
    weights = rng.normal(size=(known, items)).astype(np.float32)
    exclude = csr_array((rng.random((20, items)) < 0.3).astype(np.float32))
    found, scores = kernels.top_n(histories, weights, items, exclude=exclude)
    wanted = np.where(exclude.toarray() > 0, -np.inf, histories @ weights)
    for row in range(20):
        order = np.argsort(-wanted[row], kind="stable")
        order = order[wanted[row][order] > -np.inf]
        np.testing.assert_array_equal(found[row, : len(order)], order)
        assert (found[row, len(order) :] == -1).all()
        np.testing.assert_allclose(scores[row, : len(order)], wanted[row][order], atol=1e-5)


def test_users_and_items_must_have_as_many_factors():
    with pytest.raises(ValueError, match=worded("top_n_factors", "items' shape", (5, 2))):
        kernels.top_n_factors(PAIR, np.ones((5, 2), np.float32), 1)


DENSE_ARGUMENTS = {
    ("top_n", "weights"): lambda a: kernels.top_n(HISTORIES, a, 1),
    ("top_n_factors", "users"): lambda a: kernels.top_n_factors(a, SQUARE, 1),
    ("top_n_factors", "items"): lambda a: kernels.top_n_factors(SQUARE, a, 1),
    ("top_n_scores", "scores"): lambda a: kernels.top_n_scores(a, 1),
}


@pytest.mark.parametrize(("name", "what"), DENSE_ARGUMENTS)
@pytest.mark.parametrize(
    ("array", "error", "value"),
    [
        (np.ones((3, 3)), TypeError, "float64"),
        (np.ones((3, 3), np.float16), TypeError, "float16"),
        (np.ones((3, 3), np.int32), TypeError, "int32"),
        (np.ones((3, 3), ">f4"), TypeError, ">f4"),
        ([[1.0] * 3] * 3, TypeError, "that of a list"),
        (None, TypeError, "that of a NoneType"),
        (np.ones((3, 3), np.float32, order="F"), TypeError, "not C-contiguous"),
        (np.ones((3, 6), np.float32)[:, ::2], TypeError, "not C-contiguous"),
        (np.ones(3, np.float32), ValueError, 1),
        (np.ones((3, 3, 1), np.float32), ValueError, 3),
    ],
)
def test_dense_arguments_of_another_form_are_refused(name, what, array, error, value):
    with pytest.raises(error, match=worded(name, what, value)):
        DENSE_ARGUMENTS[name, what](array)


@pytest.mark.parametrize(
    ("x", "error", "what", "value"),
    [
        (HISTORIES.astype(np.float64), TypeError, "histories", "float64"),
        (csc_array(HISTORIES), TypeError, "histories", "a csc matrix"),
        (HISTORIES.toarray(), TypeError, "histories", "a ndarray"),
        (raw_csr((2, 3), [0, 1, 2], [0, 3]), ValueError, "histories.indices[1]", 3),
        (raw_csr((2, 3), [0, 1, 2], [-1, 1]), ValueError, "histories.indices[0]", -1),
        (raw_csr((2, 3), [0, 1, 3], [0, 1]), ValueError, "histories.indptr[2]", 3),
        (raw_csr((2, 3), [0, 2, 1], [0, 1]), ValueError, "histories.indptr[2]", 1),
        (raw_csr((2, 3), [1, 1, 2], [0, 1]), ValueError, "histories.indptr[0]", 1),
        (raw_csr((2, 3), [0, 1], [0]), ValueError, "histories.indptr's length", 2),
        (raw_csr((2, 3), [0, 1, 2], [0, 1], [1, np.nan]), ValueError, "histories.data[1]", "nan"),
        (raw_csr((2, 3), [0, 1, 2], [0, 1], [INF, 1]), ValueError, "histories.data[0]", "inf"),
    ],
)
def test_histories_that_are_no_sound_float32_csr_are_refused(x, error, what, value):
    with pytest.raises(error, match=worded("top_n", what, value)):
        kernels.top_n(x, SQUARE, 1)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    ("exclude", "error", "what", "value"),
    [
        (csr_array((1, 3)), ValueError, "exclude's shape", (1, 3)),
        (csr_array((2, 2)), ValueError, "exclude's shape", (2, 2)),
        (csr_array((2, 4)), ValueError, "exclude's shape", (2, 4)),
        (raw_csr((2, 3), [0, 1, 2], [0, 3]), ValueError, "exclude.indices[1]", 3),
        (raw_csr((2, 3), [0, 1, 2], [0, -1]), ValueError, "exclude.indices[1]", -1),
        (raw_csr((2, 3), [0, 3, 2], [0, 1]), ValueError, "exclude.indptr", 2),
        (raw_csr((2, 3), [0, 1, 1], [0, 1]), ValueError, "exclude.indptr[2]", 1),
        (np.ones((2, 3)), TypeError, "exclude", "a ndarray"),
        (csc_array((2, 3)), TypeError, "exclude", "a csc matrix"),
        ([[0], [1]], TypeError, "exclude", "a list"),
    ],
)
def test_an_exclude_that_is_no_sound_csr_of_the_shape_is_refused(name, exclude, error, what, value):
    with pytest.raises(error, match=worded(name, what, value)):
        CALLS[name](exclude=exclude)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    ("among", "error", "value"),
    [
        (np.array([0, 1]), TypeError, "int64"),
        (np.array([True, False, True]), TypeError, "bool"),
        (np.array([0.0, 1.0], np.float32), TypeError, "float32"),
        ([0, 1], TypeError, "that of a list"),
        (np.array([0, 3], np.int32), ValueError, 3),
        (np.array([[0], [3]], np.int32), ValueError, 3),
        (np.zeros((3, 1), np.int32), ValueError, 3),
        (np.zeros((0, 1), np.int32), ValueError, 0),
        (np.zeros((2, 1, 1), np.int32), ValueError, 3),
        (np.array(1, np.int32), ValueError, 0),
    ],
)
def test_an_among_of_another_form_is_refused(name, among, error, value):
    with pytest.raises(error, match=worded(name, "among", value)):
        CALLS[name](among=among)


@pytest.mark.parametrize("argument", ["histories", "exclude"])
def test_a_one_dimensional_csr_is_refused_in_words(argument):
    line = csr_array(np.ones(3, np.float32))
    arguments = {"histories": HISTORIES, "exclude": None} | {argument: line}
    with pytest.raises((TypeError, ValueError), match=rf"^top_n: {argument}.* is .*; expected \S"):
        kernels.top_n(weights=SQUARE, n=1, **arguments)
