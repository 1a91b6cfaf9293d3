import subprocess
import sys

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pyhybrid.data.ids import as_ids, column_of, encode, extend, join, positions, whole_numbers

quick = settings(max_examples=40)
whole = st.integers(-(2**63), 2**63 - 1)
text = st.text(st.characters(exclude_categories=("Cs",)))
values = st.one_of(st.lists(whole), st.lists(text))


@pytest.mark.parametrize("dtype", ["int8", "uint8", "int32", "uint32", "int64", "uint64"])
def test_whole_numbers_of_any_width_become_int64(dtype):
    ids = as_ids(np.array([3, 1, 2], dtype), "fit", "items")
    assert ids.dtype == np.int64
    assert ids.tolist() == [3, 1, 2]


@pytest.mark.parametrize(
    "make",
    [
        list,
        np.array,
        lambda v: np.array(v, object),
        lambda v: np.array(v, np.dtypes.StringDType()),
        pa.array,
        lambda v: pa.array(v, pa.large_string()),
        lambda v: pa.array(v, pa.string_view()),
        lambda v: pa.array(v).dictionary_encode(),
        lambda v: pa.chunked_array([v[:1], v[1:]]),
        pd.Series,
        pd.Index,
        lambda v: pd.Series(v, dtype="category"),
        pl.Series,
        lambda v: pl.Series(v, dtype=pl.Categorical),
    ],
)
def test_strings_of_any_make_become_str(make):
    ids = as_ids(make(["b", "a", "007"]), "fit", "items")
    assert ids.dtype == object
    assert ids.tolist() == ["b", "a", "007"]
    assert {type(value) for value in ids} == {str}


@pytest.mark.parametrize(
    "make", [pa.array, lambda v: pa.chunked_array([v[:1], v[1:]]), pd.Series, pl.Series, list]
)
def test_numbers_of_any_make_become_int64(make):
    assert as_ids(make([3, 1, 2]), "fit", "items").tolist() == [3, 1, 2]


@pytest.mark.parametrize(
    ("bad", "error", "message"),
    [
        ([1, 2.5], TypeError, r"row 1 of items is 2\.5 \(float\)"),
        ([1, True], TypeError, r"row 1 of items is True \(bool\)"),
        (["a", 1], TypeError, r"row 1 of items is 1 \(int\)"),
        ([1, "a"], TypeError, r"row 1 of items is 'a' \(str\)"),
        (["a", b"b"], TypeError, r"row 1 of items is b'b' \(bytes\)"),
        (["a", None], ValueError, "row 1 of items is missing"),
        (["a", float("nan")], ValueError, "row 1 of items is missing"),
        ([1, 2**63], ValueError, "row 1 of items is 9223372036854775808"),
        (np.array([1, 2**63], np.uint64), ValueError, "row 1 of items is 9223372036854775808"),
        (np.array([1.0, 2.0]), TypeError, r"row 0 of items is 1\.0 \(float64\)"),
        (np.array([True]), TypeError, r"row 0 of items is True \(bool\)"),
        (np.array(["2020-01-01"], "datetime64[ns]"), TypeError, "datetime64"),
        (np.array([b"a"]), TypeError, "row 0 of items"),
        (np.ones((2, 2), int), ValueError, "items is 2-dimensional"),
        (7, ValueError, "items is 0-dimensional"),
        (pa.array([1.5]), TypeError, r"row 0 of items is 1\.5 \(float\)"),
        (pa.array([1, None]), ValueError, "row 1 of items is missing"),
        (pa.array(["a", None]).dictionary_encode(), ValueError, "row 1 of items is missing"),
        (pa.chunked_array([["a"], ["b", None]]), ValueError, "row 2 of items is missing"),
        (pa.array([2**63], pa.uint64()), ValueError, "row 0 of items is 9223372036854775808"),
        (pa.array([True]), TypeError, "row 0 of items is True"),
        (pd.Series([1, None]), TypeError, r"row 0 of items is 1\.0|missing"),
        ([3, 1, 3], ValueError, "row 2 of items is 3, which stands there before"),
        (["a", "a"], ValueError, "row 1 of items is 'a', which stands there before"),
    ],
)
def test_what_is_no_id_is_named(bad, error, message):
    if isinstance(bad, pd.Series):
        error = (TypeError, ValueError)
    with pytest.raises(error, match=message):
        as_ids(bad, "fit", "items")


def test_a_wrong_number_of_ids_is_named():
    with pytest.raises(ValueError, match="the number of items is 2; expected 3"):
        as_ids([1, 2], "fit", "items", size=3)


@pytest.mark.parametrize("empty", [[], np.array([]), pa.array([]), pa.array([], pa.string())])
def test_no_ids_are_no_error(empty):
    assert len(as_ids(empty, "fit", "items")) == 0


@quick
@given(values, st.data())
def test_positions_agree_with_a_dictionary(wanted, data):
    ids = list(dict.fromkeys(data.draw(st.permutations(wanted))[: len(wanted) // 2 + 1]))
    index = {value: place for place, value in enumerate(ids)}
    assert positions(wanted, ids).tolist() == [index.get(value, -1) for value in wanted]


def test_numbers_never_match_strings():
    with pytest.raises(TypeError, match="ids is strings; expected whole numbers"):
        positions(["7"], [7])
    with pytest.raises(TypeError, match="ids is whole numbers; expected strings"):
        positions([7], ["7"])
    with pytest.raises(TypeError, match="strings after whole numbers"):
        join([column_of([7], "", ""), column_of(["7"], "", "")], "read", "the users' ids")


@quick
@given(values)
def test_encode_gives_each_row_its_id(rows):
    column = column_of(rows, "", "")
    distinct, codes = encode(column)
    assert sorted(distinct.tolist()) == sorted(set(rows))
    assert [distinct.tolist()[code] for code in codes] == rows


@quick
@given(values, st.data())
def test_extend_sorts_and_keeps_what_was_there(rows, data):
    assert extend(None, column_of(rows, "", "")).tolist() == sorted(set(rows))
    previous = list(dict.fromkeys(rows[::2]))
    shuffled = data.draw(st.permutations(rows))
    ids = extend(as_ids(previous, "", ""), column_of(shuffled, "", ""))
    assert ids.tolist() == previous + sorted(set(rows) - set(previous))


@quick
@given(st.lists(st.one_of(whole.map(str), text), min_size=1))
def test_only_strings_that_all_spell_numbers_become_numbers(rows):
    numbers = whole_numbers(pa.array(rows, pa.string()))
    plain = all(r.isascii() and r.removeprefix("-").isdigit() and str(int(r)) == r for r in rows)
    short = all(len(r.removeprefix("-")) <= 18 for r in rows)
    assert (numbers is not None) == (plain and short)
    if numbers is not None:
        assert [str(number) for number in numbers] == rows


def test_numbers_need_no_pyarrow():
    script = (
        "import sys, numpy as np; from scipy.sparse import csr_array\n"
        "from pyhybrid.data import Interactions\n"
        "seen = Interactions.from_columns(np.array([1, 2]), [3, 4], times=[1, 2])\n"
        "seen = Interactions.from_csr(seen.matrix, seen.user_ids)\n"
        "seen.with_items([0, 1, 5], unknown='drop').select_users([0])\n"
        "sys.exit('pyarrow' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", script], check=True)
