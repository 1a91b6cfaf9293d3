import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import coo_array, csr_array, csr_matrix

from pyhybrid.data import Interactions

quick = settings(max_examples=40)
numbers = st.integers(-50, 50)
rows_of_any = st.lists(
    st.tuples(numbers, numbers, st.floats(-1e6, 1e6, width=32), st.integers(0, 5)), min_size=1
)


def columns(rows):
    """Return the users, items, weights and times of rows as lists."""
    return [list(column) for column in zip(*rows, strict=True)]


def same(one, other):
    """Tell whether two interactions are equal to the last bit."""
    if (one.events is None) != (other.events is None):
        return False
    pairs = [(one.user_ids, other.user_ids), (one.item_ids, other.item_ids)]
    names = ("indptr", "indices", "data")
    pairs += [(getattr(one.matrix, name), getattr(other.matrix, name)) for name in names]
    if one.events is not None:
        names = ("indptr", "items", "times", "weights")
        pairs += [(getattr(one.events, name), getattr(other.events, name)) for name in names]
    return all(a is b is None or (a.dtype == b.dtype and np.array_equal(a, b)) for a, b in pairs)


def history(interactions, user):
    """Return the ids of a user's items, oldest first."""
    row = list(interactions.user_ids).index(user)
    start, stop = interactions.events.indptr[row : row + 2]
    return interactions.item_ids[interactions.events.items[start:stop]].tolist()


def check_canonical(interactions):
    matrix = interactions.matrix
    assert isinstance(matrix, csr_array)
    assert matrix.dtype == np.float32
    assert matrix.indices.dtype == matrix.indptr.dtype == np.int32
    assert matrix.shape == interactions.shape == (interactions.n_users, interactions.n_items)
    fresh = csr_array((matrix.data, matrix.indices, matrix.indptr), shape=matrix.shape)
    assert fresh.has_canonical_format


# ---- from_csr


def test_a_canonical_matrix_is_shared():
    matrix = csr_array(np.array([[0, 2], [1, 0]], np.float32))
    for given_matrix in (matrix, csr_matrix(matrix)):
        seen = Interactions.from_csr(given_matrix, item_ids=["a", "b"])
        assert np.shares_memory(seen.matrix.data, given_matrix.data)
        assert np.shares_memory(seen.matrix.indices, given_matrix.indices)
        assert seen.user_ids.tolist() == [0, 1]
        assert seen.item_ids.tolist() == ["a", "b"]
        assert seen.events is None
        check_canonical(seen)


def test_unsorted_and_repeated_entries_are_put_right_in_a_copy():
    data, indices = np.array([1, 2, 4], np.float32), np.array([1, 0, 1])
    matrix = csr_array((data, indices, np.array([0, 3])), shape=(1, 2))
    seen = Interactions.from_csr(matrix)
    assert seen.matrix.toarray().tolist() == [[2, 5]]
    check_canonical(seen)
    assert matrix.data.tolist() == [1, 2, 4]
    assert matrix.indices.tolist() == [1, 0, 1]


def test_an_empty_matrix_will_do():
    seen = Interactions.from_csr(csr_array((0, 3), dtype=np.float32))
    assert seen.shape == (0, 3)
    assert seen.item_counts().tolist() == [0, 0, 0]


def broken(**arrays):
    matrix = csr_array(np.ones((2, 2), np.float32))
    for name, values in arrays.items():
        setattr(matrix, name, np.array(values, getattr(matrix, name).dtype))
    return matrix


@pytest.mark.parametrize(
    ("matrix", "error", "message"),
    [
        (
            np.ones((2, 2), np.float32),
            TypeError,
            r"matrix is ndarray of shape .*; expected a two-dim",
        ),
        (coo_array(np.ones((2, 2), np.float32)), TypeError, "matrix is coo_array"),
        (csr_array(np.ones(2, np.float32)), TypeError, r"matrix is csr_array of shape \(2,\)"),
        (csr_array(np.ones((2, 2))), TypeError, r'float64; expected float32; .*astype\("float32"'),
        (csr_array(np.ones((2, 2), bool)), TypeError, "matrix.dtype is bool"),
        (broken(indptr=[1, 2, 4]), ValueError, "matrix.indptr is out of bounds"),
        (broken(indptr=[0, 5, 4]), ValueError, "matrix.indptr is out of bounds"),
        (broken(indptr=[0, 2, 9]), ValueError, "matrix.indptr is out of bounds"),
        (broken(indptr=[0, 4]), ValueError, "matrix.indptr is out of bounds"),
        (broken(indptr=[0, 2, -1]), ValueError, "matrix.indptr is out of bounds"),
        (broken(indptr=[]), ValueError, "matrix.indptr is out of bounds"),
        (broken(indices=[0, 1, 0, 2]), ValueError, "matrix.indices is from 0 to 2; expected"),
        (broken(indices=[0, 1, 0, -1]), ValueError, "matrix.indices is from -1 to 1; expected"),
        (broken(data=[1, 1, np.inf, 1]), ValueError, "matrix.data is inf at entry 2"),
    ],
)
def test_matrices_that_could_crash_are_refused(matrix, error, message):
    with pytest.raises(error, match=message):
        Interactions.from_csr(matrix)


def test_ids_that_do_not_fit_the_matrix_are_refused():
    matrix = csr_array(np.ones((2, 2), np.float32))
    with pytest.raises(ValueError, match="from_csr: the number of user_ids is 1; expected 2"):
        Interactions.from_csr(matrix, [7])
    with pytest.raises(ValueError, match="row 1 of item_ids is 'a', which stands there before"):
        Interactions.from_csr(matrix, None, ["a", "a"])


# ---- taking parts

SEEN = Interactions.from_columns(
    [1, 1, 1, 2, 3, 3],
    ["a", "b", "a", "b", "c", "a"],
    [1.0, 2.0, 4.0, 1.0, 1.0, 1.0],
    [3, 1, 2, 5, 9, 8],
    duplicates="sum",
)


def test_select_users_takes_rows_and_events():
    some = SEEN.select_users([2, 0])
    assert some.user_ids.tolist() == [3, 1]
    assert some.matrix.toarray().tolist() == [[1, 0, 1], [5, 2, 0]]
    assert (history(some, 3), history(some, 1)) == (["a", "c"], ["b", "a", "a"])
    assert some.events.times.tolist() == [8, 9, 1, 2, 3]
    assert some.events.weights.tolist() == [1, 1, 2, 4, 1]
    assert same(SEEN.select_users(np.array([True, False, True])), SEEN.select_users([0, 2]))
    assert same(SEEN.select_users(np.arange(3)), SEEN)
    assert SEEN.select_users([]).shape == (0, 3)
    check_canonical(some)


@pytest.mark.parametrize(
    ("rows", "error", "message"),
    [
        ([3], ValueError, "rows is from 3 to 3; expected positions from 0 to 2"),
        ([-1], ValueError, "rows is from -1 to -1"),
        ([0, 0], ValueError, "rows is with repeats"),
        ([[0]], ValueError, "rows is 2-dimensional"),
        ([0.0], TypeError, "dtype of rows is float64"),
        (np.array([True]), ValueError, r"mask is bool \(1,\); expected bool \(3,\)"),
    ],
)
def test_bad_rows_are_named(rows, error, message):
    with pytest.raises(error, match=f"select_users: {message}"):
        SEEN.select_users(rows)


def test_with_items_matches_ids():
    assert SEEN.with_items(SEEN.item_ids) is SEEN
    assert SEEN.with_items(["a", "b", "c"]) is SEEN
    other = SEEN.with_items(["c", "x", "b", "a"])
    assert other.matrix.toarray().tolist() == [[0, 0, 2, 5], [0, 0, 1, 0], [1, 0, 0, 1]]
    assert [history(other, user) for user in (1, 2, 3)] == [["b", "a", "a"], ["b"], ["a", "c"]]
    assert other.events.items.dtype == np.int32
    check_canonical(other)
    assert same(other.with_items(SEEN.item_ids), SEEN)


def test_with_items_names_or_drops_the_unknown():
    message = "number of unknown items is 2, the first 'a'; expected 0; leave"
    with pytest.raises(ValueError, match=message):
        SEEN.with_items(["b"])
    with pytest.raises(ValueError, match="unknown is 'ignore'; expected 'error' or 'drop'"):
        SEEN.with_items(["b"], unknown="ignore")
    with pytest.raises(TypeError, match="with_items: ids is strings; expected whole numbers"):
        SEEN.with_items([1, 2])
    some = SEEN.with_items(["x", "c", "b"], unknown="drop")
    assert some.matrix.toarray().tolist() == [[0, 0, 2], [0, 0, 1], [0, 1, 0]]
    assert [history(some, user) for user in (1, 2, 3)] == [["b"], ["b"], ["c"]]
    check_canonical(some)


def test_an_item_without_entries_is_no_loss():
    some = SEEN.select_users([1])  # of whose items only "b" has an entry
    assert some.with_items(["b"]).matrix.toarray().tolist() == [[1]]


def test_keep_pairs_takes_their_events_along():
    some = SEEN.keep_pairs(SEEN.matrix.data < 5)
    assert some.matrix.toarray().tolist() == [[0, 2, 0], [0, 1, 0], [1, 0, 1]]
    assert [history(some, user) for user in (1, 2, 3)] == [["b"], ["b"], ["a", "c"]]
    check_canonical(some)
    check_canonical(SEEN.keep_pairs(np.zeros(SEEN.matrix.nnz, bool)))


def test_keep_events_weighs_anew():
    some = SEEN.keep_events(SEEN.events.times != 2)
    assert some.matrix.toarray().tolist() == [[1, 2, 0], [0, 1, 0], [1, 0, 1]]
    assert history(some, 1) == ["b", "a"]
    check_canonical(some)
    check_canonical(SEEN.keep_events(np.zeros(6, bool)))


@quick
@given(rows_of_any, st.sampled_from(("once", "sum")), st.data())
def test_keep_events_is_reading_fewer_rows(rows, duplicates, data):
    users, items, weights, _ = columns(sorted(rows, key=lambda row: row[0]))
    seen = Interactions.from_columns(users, items, weights, ordered=True, duplicates=duplicates)
    mask = np.array(data.draw(st.lists(st.booleans(), min_size=len(rows), max_size=len(rows))))
    if mask.any():
        users, items, weights = (np.array(c)[mask] for c in (users, items, weights))
        fewer = Interactions.from_columns(
            users, items, weights, ordered=True, duplicates=duplicates, ids=seen
        )
        assert same(seen.keep_events(mask), fewer)


def test_bad_masks_are_named():
    with pytest.raises(ValueError, match=r"keep_pairs: mask is bool \(2,\); expected bool \(5,\)"):
        SEEN.keep_pairs(np.ones(2, bool))
    with pytest.raises(TypeError, match="keep_pairs: mask is list"):
        SEEN.keep_pairs([True] * 5)
    with pytest.raises(TypeError, match="keep_events: mask is int64"):
        SEEN.keep_events(np.arange(6))
    unordered = Interactions.from_columns([1], [1])
    for method in (unordered.event_pairs, lambda: unordered.keep_events(np.ones(1, bool))):
        with pytest.raises(ValueError, match="read the data with time= or ordered=True"):
            method()


@quick
@given(rows_of_any)
def test_event_pairs_point_at_the_matrix(rows):
    seen = Interactions.from_columns(*columns(rows)[:2], ordered=True, duplicates="count")
    pairs = seen.event_pairs()
    assert np.array_equal(seen.matrix.indices[pairs], seen.events.items)
    assert np.array_equal(np.bincount(pairs), seen.matrix.data)


# ---- to_arrow


@quick
@given(rows_of_any, st.sampled_from(("pairs", "rows", "times")))
def test_to_arrow_reads_back(rows, order):
    users, items, weights, times = columns(rows)
    items = [f"i{item}" for item in items]
    keywords = {"ordered": order == "rows", "duplicates": "sum"}
    if order == "times":
        keywords["times"] = times
    seen = Interactions.from_columns(users, items, weights, **keywords)
    table = seen.to_arrow()
    keywords.pop("times", None)
    if "weight" in table.column_names:
        keywords["weight"] = "weight"
    elif seen.events is not None:  # all weights are 1
        assert (seen.events.weights == 1).all()
    if order == "times":
        keywords["time"] = "time"
    back = Interactions.from_arrow(table, **keywords)
    assert back.matrix.toarray().tolist() == seen.matrix.toarray().tolist()
    assert back.to_arrow().equals(table)


def test_to_arrow_keeps_a_users_rows_together():
    table = SEEN.to_arrow()
    assert table.column_names == ["user_id", "item_id", "weight", "time"]
    assert table["user_id"].to_pylist() == [1, 1, 1, 2, 3, 3]
    assert table["item_id"].to_pylist() == ["b", "a", "a", "b", "a", "c"]
    assert table["time"].to_pylist() == [1, 2, 3, 5, 8, 9]
    plain = Interactions.from_columns([2, 1, 1], [5, 6, 5]).to_arrow()
    assert plain.to_pydict() == {"user_id": [1, 1, 2], "item_id": [5, 6, 5]}
