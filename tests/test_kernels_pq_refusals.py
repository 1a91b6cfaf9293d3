"""What the kernels of product quantisation refuse, and how they are stopped."""

import re
import signal
import time

import numpy as np
import pytest

from pyhybrid import kernels

F32 = np.float32


def normal(rows, dim, seed=0):
    return np.random.default_rng(seed).standard_normal((rows, dim), dtype=F32)


# What the kernels refuse

CENTROIDS, VECTORS, CODES = np.zeros((2, 4, 3), F32), np.zeros((5, 6), F32), np.ones((5, 2), "u1")
BAD = CODES + np.uint8(3) * np.eye(5, 2, -3, dtype="u1")
CALLS = {
    "pq_train": {"vectors": VECTORS, "start": CENTROIDS},
    "pq_encode": {"vectors": VECTORS, "centroids": CENTROIDS},
    "pq_decode": {"codes": CODES, "centroids": CENTROIDS},
    "pq_search": {"queries": VECTORS, "codes": CODES, "centroids": CENTROIDS, "n": 2},
    "pq_lookup": {"table": CENTROIDS, "codes": CODES},
    "pq_lookup_gradient": {"gradient": VECTORS, "codes": CODES, "entries": 4},
}


def assert_refused(name, what, value, message, error=ValueError):
    with pytest.raises(error, match=rf"^{name}: .*{re.escape(message)}; expected \S"):
        getattr(kernels, name)(**CALLS[name] | {what: value})


ARRAYS = [(n, w) for n in CALLS for w in CALLS[n] if w not in ("n", "entries")]


@pytest.mark.parametrize(("name", "what"), ARRAYS)
def test_wrong_arrays_are_refused_in_words(name, what):
    array = CALLS[name][what]
    assert_refused(name, what, array.astype("f8"), f"{what}'s dtype is float64", TypeError)
    assert_refused(name, what, array.tolist(), f"{what}'s dtype is that of a list", TypeError)
    assert_refused(name, what, array[:, ::-1], f"{what}'s layout is not C-contiguous", TypeError)
    assert_refused(name, what, array[None], f"number of dimensions is {array.ndim + 1}")
    if array.ndim == 3:
        for entries in (0, 257):
            assert_refused(name, what, np.zeros((2, entries, 3), F32), f"a part is {entries}")
    if what == "codes":
        assert_refused(name, what, BAD, "the code of part 0 in row 3 is 4")
    if what in ("vectors", "queries"):
        for value in (np.nan, np.inf, -np.inf):
            spoilt = np.where(np.arange(30).reshape(5, 6) == 15, F32(value), array)
            with pytest.raises(ValueError, match=rf"^{name}: .* 2 is (nan|inf); expected \S"):
                getattr(kernels, name)(**CALLS[name] | {what: spoilt})
    if array.ndim == 2 and name != "pq_lookup_gradient":
        assert_refused(name, what, np.ones((5, 1), array.dtype), "columns is 1")


@pytest.mark.parametrize("name", CALLS)
def test_wrong_values_are_refused_in_words(name):
    assert_refused(name, "threads", -1, "threads is -1")
    assert_refused(name, "progress", 3, "progress is 3", TypeError)
    if name == "pq_search":
        assert_refused(name, "n", 0, "n is 0")
        assert_refused(name, "similarity", "cosine", "similarity is 'cosine'")
    if name == "pq_train":
        assert_refused(name, "iterations", -1, "iterations is -1")
    if name == "pq_lookup_gradient":
        assert_refused(name, "entries", 0, "entries is 0")
        assert_refused(name, "entries", 257, " is 257")
        assert_refused(name, "gradient", VECTORS[:4], "rows is 4")


# Progress, and calls that are told to stop


def work(name, share):
    """Return a call of `kernels` on one thread, of some seconds times `share` (0 to 1)."""
    tile, many = normal(4096, 64), max(1, int(200 * share))
    centroids = tile[:256].reshape(256, 8, 8).swapaxes(0, 1).copy()
    codes = kernels.pq_encode(tile, centroids)
    table, named = np.ones((32, 256, 64), F32), np.tile(codes, (8 * many, 4))
    arguments = {
        "pq_train": lambda: (np.tile(tile, (many // 2, 1)).reshape(-1, 8), centroids[:1]),
        "pq_encode": lambda: (np.zeros((25_000 * many, 64), F32), centroids),
        "pq_decode": lambda: (np.tile(codes, (5 * many, 1)), centroids),
        "pq_search": lambda: (np.tile(tile, (many // 4, 1)), codes, centroids, 1),
        "pq_lookup": lambda: (table, named),
        "pq_lookup_gradient": lambda: (np.zeros((len(named), 64), F32), named, 256),
    }[name]()
    return lambda **keywords: getattr(kernels, name)(*arguments, threads=1, **keywords)


@pytest.mark.parametrize("name", CALLS)
def test_what_progress_raises_stops_the_call(name):
    def stop(share):
        assert 0 <= share < 1
        raise KeyboardInterrupt("stop here")

    with pytest.raises(KeyboardInterrupt, match="stop here"):
        work(name, 0.1)(progress=stop)


@pytest.mark.parametrize("name", ["pq_train", "pq_encode", "pq_search"])
def test_progress_rises(name):
    shares = []
    work(name, 0.1)(progress=shares.append)
    assert shares == sorted(shares)
    assert 0 <= shares[0] <= shares[-1] <= 1


@pytest.mark.parametrize("name", ["pq_train", "pq_encode", "pq_search"])
def test_a_signal_whose_handler_raises_stops_a_long_call(name):
    call, raised = work(name, 1), []

    def interrupt(*_):
        raised.append(time.monotonic())
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGALRM, interrupt)
    try:
        start = time.monotonic()
        signal.setitimer(signal.ITIMER_REAL, 0.1)
        with pytest.raises(KeyboardInterrupt):
            call()
        assert raised[0] - start < 1.0
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
