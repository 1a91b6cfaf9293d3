import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from pyhybrid.data.columns import as_numbers, as_times, as_weights


@pytest.mark.parametrize("make", [list, np.array, pa.array, pd.Series, pl.Series])
def test_weights_of_any_make(make):
    weights = as_weights(make([1.0, -0.5]), "read", "w")
    assert weights.dtype == np.float32
    assert weights.tolist() == [1.0, -0.5]


def test_decimals_are_numbers():
    decimals = pa.array([1, 2]).cast(pa.decimal128(21, 2))
    assert as_weights(decimals, "read", "w").tolist() == [1, 2]


@pytest.mark.parametrize(
    ("bad", "error", "message"),
    [
        ([1.0, float("nan")], ValueError, "row 6 of w is nan"),
        ([1.0, float("-inf")], ValueError, "row 6 of w is -inf"),
        ([1.0, 1e300], ValueError, r"row 6 of w is 1e\+300"),
        ([1.0, None], ValueError, "row 6 of w is missing"),
        (pa.array([1.0, None]), ValueError, "row 6 of w is missing"),
        (pa.chunked_array([[1.0], [float("inf")]]), ValueError, "row 6 of w is inf"),
        (pl.Series([1.0, float("nan")]), ValueError, "row 6 of w is nan"),
        (np.array([1, "a"], object), TypeError, r"row 6 of w is 'a' \(str\)"),
        (pa.array(["1"]), TypeError, r"row 5 of w is '1' \(str\)"),
        (pa.array([True]), TypeError, "dtype of w is bool"),
        (np.array([True]), TypeError, "dtype of w is bool"),
        (np.array([0], "datetime64[ns]"), TypeError, "dtype of w is datetime64"),
        (np.ones((2, 1)), ValueError, "w is 2-dimensional"),
    ],
)
def test_what_is_no_weight_is_named(bad, error, message):
    with pytest.raises(error, match=message):
        as_weights(bad, "read", "w", row=5)


def test_ratings_keep_their_precision():
    assert as_numbers([3.3], "read", "rating") >= 3.3


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
@pytest.mark.parametrize("zone", [None, "Asia/Tokyo"])
def test_timestamps_become_microseconds(unit, zone):
    moments = pa.array([1_000_000, 0]).cast(pa.timestamp("us")).cast(pa.timestamp(unit))
    moments = (
        moments.cast(pa.timestamp(unit)) if zone is None else pc.assume_timezone(moments, zone)
    )
    expected = [1_000_000, 0] if zone is None else [1_000_000 - 9 * 3600 * 10**6, -9 * 3600 * 10**6]
    assert as_times(moments, "read", "t").tolist() == expected
    if zone is None:
        assert as_times(moments.to_numpy(), "read", "t").tolist() == expected
        assert as_times(moments.to_pandas(), "read", "t").tolist() == expected


def test_dates_and_numbers_are_times():
    assert as_times(pa.array([1]).cast(pa.int32()).cast(pa.date32()), "", "t") == [86_400_000_000]
    assert as_times(np.array([3], np.uint8), "", "t").dtype == np.int64
    assert as_times(np.array([3], np.float32), "", "t").dtype == np.float64


@pytest.mark.parametrize(
    ("bad", "error", "message"),
    [
        (np.array(["2020-01-01", "NaT"], "datetime64[s]"), ValueError, "row 1 of t is missing"),
        (pa.array([None], pa.timestamp("s")), ValueError, "row 0 of t is missing"),
        (np.array([2**63], np.uint64), ValueError, "t at its largest is 9223372036854775808"),
        (pa.array([1]).cast(pa.duration("s")), TypeError, "dtype of t is timedelta64"),
        ([float("nan")], ValueError, "row 0 of t is nan"),
    ],
)
def test_what_is_no_time_is_named(bad, error, message):
    with pytest.raises(error, match=message):
        as_times(bad, "read", "t")
