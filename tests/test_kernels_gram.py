"""kernels.gram against a NumPy float64 oracle, and the promises of its docstring."""

import re
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import csc_array, csr_array, csr_matrix, random_array

from pyhybrid import kernels

ONES = st.just(1.0)
INTEGERS = st.integers(-4, 4).map(float)
FLOATS = st.floats(-1e3, 1e3, width=32)


def raw_csr(shape, indptr, indices, values=None, index_types=(np.int32, np.int32)):
    """Build a CSR of exactly these arrays; SciPy's constructor would check and re-type them."""
    x = csr_array(shape, dtype=np.float32)
    x.indptr = np.asarray(indptr, index_types[0])
    x.indices = np.asarray(indices, index_types[1])
    x.data = np.asarray(np.ones(len(indices)) if values is None else values, np.float32)
    return x


@st.composite
def csr_matrices(draw, values=INTEGERS, *, distinct=False):
    """Draw rows in any order, with duplicates unless `distinct`, zeros, and any index types."""
    n_rows, n_cols = draw(st.integers(0, 6)), draw(st.integers(0, 6))
    entry = st.tuples(st.integers(0, max(n_cols - 1, 0)), values)
    key = (lambda pair: pair[0]) if distinct else None
    row = st.lists(entry, max_size=8 if n_cols else 0, unique_by=key)
    rows = draw(st.lists(row, min_size=n_rows, max_size=n_rows))
    index_types = draw(st.tuples(*[st.sampled_from([np.int32, np.int64])] * 2))
    indptr = np.cumsum([0, *map(len, rows)])
    items = [item for row in rows for item, _ in row]
    weights = [weight for row in rows for _, weight in row]
    return raw_csr((n_rows, n_cols), indptr, items, weights, index_types)


def dense(x):
    """Add up the entries in float64."""
    out = np.zeros(x.shape)
    np.add.at(out, (np.repeat(np.arange(x.shape[0]), np.diff(x.indptr)), x.indices), x.data)
    return out


def random_behaviour(users, items, density, *, weighted=False, seed=0):
    rng = np.random.default_rng(seed)
    x = random_array((users, items), density=density, format="csr", dtype=np.float32, rng=rng)
    if not weighted:
        x.data[:] = 1.0
    return x


def worded(who, what, value):
    """Match "{who}: {what} is {value}; expected {rule}"."""
    return rf"^{who}: .*{re.escape(what)}.* is {re.escape(str(value))}; expected \S"


# What it computes


@given(csr_matrices())
def test_equals_the_float64_product(x):
    expected = dense(x).T @ dense(x)
    for dtype in (np.float32, np.float64):
        g = kernels.gram(x, dtype=dtype)
        assert g.dtype == dtype
        np.testing.assert_array_equal(g, expected)


@given(csr_matrices(values=FLOATS, distinct=True))
def test_weights_are_summed_in_float64_over_ascending_users_and_rounded_once(x):
    expected = np.zeros((x.shape[1], x.shape[1]))
    for row in dense(x):
        expected += np.outer(row, row)
    np.testing.assert_array_equal(kernels.gram(x, dtype=np.float64), expected)
    np.testing.assert_array_equal(kernels.gram(x), expected.astype(np.float32))


def test_a_float32_accumulator_would_lose_these_weights():
    values = np.r_[np.float32(4096.0), np.ones(1000, np.float32)]  # 2^24 + 1 is no float32
    x = raw_csr((1001, 1), np.arange(1002), np.zeros(1001, np.int64), values)
    assert kernels.gram(x)[0, 0] == 2.0**24 + 1000


@given(csr_matrices(values=ONES, distinct=True), st.data())
def test_counts_add_exactly_over_shards_of_users(x, data):
    cut = data.draw(st.integers(0, x.shape[0]))
    parts = kernels.gram(x[:cut]) + kernels.gram(x[cut:])
    np.testing.assert_array_equal(parts, kernels.gram(x))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_counts_are_exact_at_size(dtype):
    x = random_behaviour(3000, 2100, 0.01)
    expected = (x.astype(np.int64).T @ x.astype(np.int64)).toarray()
    np.testing.assert_array_equal(kernels.gram(x, dtype=dtype), expected)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(
    ("users", "items", "popular"), [(700, 300, 40), (130, 90, 90), (64, 1000, 20)]
)
def test_counts_of_popular_items_are_exact_wherever_they_stand(users, items, popular, dtype):
    # Items that many users share are counted in another way than the rest.
    rng = np.random.default_rng(popular)
    shown = rng.choice(items, min(items, 400), replace=False)
    liked = shown[:popular]
    density = np.where(np.isin(shown, liked), rng.uniform(0.3, 0.95, len(shown)), 0.02)
    has = rng.random((users, len(shown))) < density
    rows, columns = np.nonzero(has)
    ones = np.ones(len(rows), dtype=np.float32)
    x = csr_array((ones, (rows, shown[columns])), shape=(users, items))
    expected = has.T.astype(np.int64) @ has
    for threads in (1, 2, 3):
        counts = kernels.gram(x, dtype=dtype, threads=threads)
        np.testing.assert_array_equal(counts[np.ix_(shown, shown)], expected)
        assert counts.sum(dtype=np.float64) == expected.sum()


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_same_bits_for_any_number_of_threads(weighted, dtype):
    x = random_behaviour(900, 700, 0.03, weighted=weighted)
    one = kernels.gram(x, dtype=dtype, threads=1)
    for threads in (0, 2, 3, 7, 1000):
        np.testing.assert_array_equal(kernels.gram(x, dtype=dtype, threads=threads), one)


def test_the_same_bits_for_any_order_of_entries_within_rows():
    x = random_behaviour(200, 150, 0.1, weighted=True)
    shuffled = x.copy()
    rng = np.random.default_rng(1)
    for start, stop in zip(x.indptr[:-1], x.indptr[1:], strict=True):
        order = start + rng.permutation(stop - start)
        shuffled.indices[start:stop] = x.indices[order]
        shuffled.data[start:stop] = x.data[order]
    np.testing.assert_array_equal(kernels.gram(shuffled), kernels.gram(x))


def test_user_order_changes_no_count_and_item_order_permutes_the_result():
    x = random_behaviour(300, 120, 0.08)
    rng = np.random.default_rng(2)
    users, items = rng.permutation(300), rng.permutation(120)
    g = kernels.gram(x)
    np.testing.assert_array_equal(kernels.gram(x[users]), g)
    np.testing.assert_array_equal(kernels.gram(csr_array(x[:, items])), g[np.ix_(items, items)])


def test_both_triangles_are_written():
    g = kernels.gram(random_behaviour(500, 300, 0.05, weighted=True))
    np.testing.assert_array_equal(g, g.T)


@pytest.mark.parametrize("shape", [(0, 0), (0, 3), (3, 0), (3, 2)])
def test_no_entries_give_zeros(shape):
    g = kernels.gram(csr_array(shape, dtype=np.float32))
    np.testing.assert_array_equal(g, np.zeros((shape[1], shape[1]), np.float32))


def test_entries_that_stand_twice_count_with_their_sum():
    x = raw_csr((1, 2), [0, 4], [1, 0, 1, 1], [1.0, 1.0, 1.0, -0.5])
    np.testing.assert_array_equal(kernels.gram(x), [[1.0, 1.5], [1.5, 2.25]])


# What goes in, and where it is written


@pytest.mark.parametrize("kind", [csr_array, csr_matrix, csc_array])
def test_takes_csr_and_csc(kind):
    x = random_behaviour(60, 40, 0.1, weighted=True)
    np.testing.assert_array_equal(kernels.gram(kind(x)), kernels.gram(x))


def test_the_input_is_left_as_it_was():
    x = raw_csr((2, 3), [0, 3, 4], [2, 0, 2, 1], [1.0, 0.0, 2.0, 3.0])
    before = [array.copy() for array in (x.indptr, x.indices, x.data)]
    kernels.gram(x)
    for array, copy in zip((x.indptr, x.indices, x.data), before, strict=True):
        np.testing.assert_array_equal(array, copy)


def test_a_read_only_input_is_welcome():
    x = random_behaviour(30, 20, 0.1)
    for array in (x.indptr, x.indices, x.data):
        array.flags.writeable = False
    assert kernels.gram(x).trace() == x.nnz


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_out_is_overwritten_and_returned(dtype):
    x = random_behaviour(60, 40, 0.1)
    out = np.full((40, 40), np.nan, dtype)
    assert kernels.gram(x, dtype=dtype, out=out) is out
    np.testing.assert_array_equal(out, kernels.gram(x, dtype=dtype))


# What it refuses

ONE_EACH = ((2, 3), [0, 1, 2], [0, 1])  # two users, three items


def test_a_matrix_that_will_not_fit_is_refused_before_it_is_made():
    x = csr_array((1, 3_000_000), dtype=np.float32)
    message = r"^gram: 3000000 items need 36000\.0 GB for the Gram matrix and .* GB are free; use "
    with pytest.raises(MemoryError, match=message):
        kernels.gram(x)


@pytest.mark.parametrize("dtype", [np.float64, np.int32, np.int64, np.bool_])
@pytest.mark.parametrize("kind", [csr_array, csc_array])
def test_values_of_another_dtype_are_refused(kind, dtype):
    x = kind(raw_csr(*ONE_EACH)).astype(dtype)
    with pytest.raises(TypeError, match=worded("gram", "x's dtype", np.dtype(dtype))):
        kernels.gram(x)


@pytest.mark.parametrize("name", ["indptr", "indices"])
@pytest.mark.parametrize("dtype", [np.int16, np.uint32, np.uint64, np.float32])
def test_indices_of_another_dtype_are_refused(name, dtype):
    x = raw_csr(*ONE_EACH)
    setattr(x, name, getattr(x, name).astype(dtype))
    with pytest.raises(TypeError, match=worded("gram", f"x.{name}", np.dtype(dtype))):
        kernels.gram(x)


@pytest.mark.parametrize(
    ("x", "value"),
    [
        (raw_csr(*ONE_EACH).tocoo(), "a coo matrix"),
        (np.ones((2, 3), np.float32), "a ndarray"),
        ([[1.0]], "a list"),
        (None, "a NoneType"),
    ],
)
def test_what_is_no_csr_or_csc_is_refused(x, value):
    with pytest.raises(TypeError, match=worded("gram", "x", value)):
        kernels.gram(x)


def test_a_one_dimensional_csr_is_refused_in_words():
    with pytest.raises((TypeError, ValueError), match=r"^gram: x.* is .*; expected \S"):
        kernels.gram(csr_array(np.ones(3, np.float32)))


@pytest.mark.parametrize("index_type", [np.int32, np.int64])
@pytest.mark.parametrize(
    ("indptr", "indices", "what", "value"),
    [
        ([0, 1, 2], [0, -1], "x.indices[1]", -1),
        ([0, 1, 2], [0, 3], "x.indices[1]", 3),
        ([1, 1, 2], [0, 1], "x.indptr[0]", 1),
        ([-1, 1, 2], [0, 1], "x.indptr[0]", -1),
        ([0, 2, 1], [0, 1], "x.indptr[2]", 1),
        ([0, 5, 2], [0, 1], "x.indptr", 2),
        ([0, -1, 2], [0, 1], "x.indptr[1]", -1),
        ([0, 1, 3], [0, 1], "x.indptr[2]", 3),
        ([0, 1, 1], [0, 1], "x.indptr[2]", 1),
        ([0, 2], [0, 1], "x.indptr's length", 2),
        ([0, 1, 1, 2], [0, 1], "x.indptr's length", 4),
        ([], [], "x.indptr's length", 0),
    ],
)
def test_malformed_rows_are_refused(indptr, indices, what, value, index_type):
    x = raw_csr((2, 3), indptr, indices, index_types=(index_type, index_type))
    with pytest.raises(ValueError, match=worded("gram", what, value)):
        kernels.gram(x)


def test_an_index_that_only_int64_can_hold_is_refused():
    x = raw_csr((2, 3), [0, 1, 2], [0, 2**32], index_types=(np.int32, np.int64))
    with pytest.raises(ValueError, match=worded("gram", "x.indices[1]", 2**32)):
        kernels.gram(x)


def test_another_number_of_values_than_of_indices_is_refused():
    with pytest.raises(ValueError, match=worded("gram", "x.data's length", 1)):
        kernels.gram(raw_csr(*ONE_EACH, values=[1.0]))


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_values_that_are_not_finite_are_refused(value):
    with pytest.raises(ValueError, match=worded("gram", "x.data[1]", value)):
        kernels.gram(raw_csr(*ONE_EACH, values=[1.0, value]))


@pytest.mark.parametrize(
    ("indptr", "indices"),
    [([0, 1, 2, 2], [0, -1]), ([0, 1, 2, 2], [0, 10**8]), ([0, 1, 10**8, 2], [0, 1])],
)
def test_a_malformed_csc_is_refused_before_scipy_reads_it(indptr, indices):
    """In a process of its own, as SciPy reads and writes out of bounds on such a matrix."""
    script = f"""if True:
        import numpy as np
        from scipy.sparse import csc_array
        from pyhybrid import kernels
        x = csc_array((2, 3), dtype=np.float32)
        x.indptr, x.indices = np.array({indptr}, np.int32), np.array({indices}, np.int32)
        x.data = np.ones(2, np.float32)
        try:
            kernels.gram(x)
        except ValueError as error:
            print(error)
    """
    command = [sys.executable, "-c", script]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, f"ended with {done.returncode}"
    assert re.match(r"^gram: x.* is .*; expected \S", done.stdout), done.stdout


@pytest.mark.parametrize(
    ("dtype", "value"), [(np.int32, "int32"), (np.float16, "float16"), ("none such", "none such")]
)
def test_a_result_of_another_dtype_is_refused(dtype, value):
    message = rf"^gram: dtype is '?{value}'?; expected float32 or float64"
    with pytest.raises(TypeError, match=message):
        kernels.gram(raw_csr(*ONE_EACH), dtype=dtype)


def read_only(array):
    array.flags.writeable = False
    return array


@pytest.mark.parametrize(
    ("out", "error", "what", "value"),
    [
        (np.empty((3, 3)), TypeError, "out's dtype", "float64"),
        ([[0.0] * 3] * 3, TypeError, "out", "that of a list"),
        (np.empty((3, 3), np.float32, order="F"), TypeError, "out", "not C-contiguous"),
        (np.empty((3, 6), np.float32)[:, ::2], TypeError, "out", "not C-contiguous"),
        (np.empty((3, 2), np.float32), ValueError, "out's shape", (3, 2)),
        (np.empty((4, 4), np.float32), ValueError, "out's shape", (4, 4)),
        (np.empty(9, np.float32), ValueError, "out's number of dimensions", 1),
        (read_only(np.empty((3, 3), np.float32)), ValueError, "out", "read-only"),
    ],
)
def test_an_out_that_cannot_hold_the_result_is_refused(out, error, what, value):
    with pytest.raises(error, match=worded("gram", what, value)):
        kernels.gram(raw_csr(*ONE_EACH), out=out)


@settings(max_examples=200)
@given(
    st.lists(st.integers(-3, 9), max_size=5),
    st.lists(st.integers(-2, 4), max_size=5),
    st.lists(st.sampled_from([1.0, 2.0, np.nan, np.inf]), max_size=5),
)
def test_any_arrays_are_either_a_matrix_or_refused(indptr, indices, values):
    x = raw_csr((3, 3), indptr, indices, values)
    whole = (
        len(indptr) == 4
        and indptr[0] == 0
        and indptr == sorted(indptr)
        and indptr[-1] == len(indices) == len(values)
        and all(0 <= item < 3 for item in indices)
        and np.isfinite(values).all()
    )
    if whole:
        np.testing.assert_array_equal(kernels.gram(x), dense(x).T @ dense(x))
    else:
        with pytest.raises(ValueError, match=r"^gram: x.* is .*; expected \S"):
            kernels.gram(x)
