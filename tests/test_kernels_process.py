"""Kernels beside fork, torch, threads, Ctrl-C and progress.

What could hang or end a process runs in one of its own: `child` starts it, imports this file
there and calls one of the functions named run_..., which print what is found.
"""

import importlib.util
import json
import os
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from scipy.sparse import csr_array, random_array

PATIENCE = 60  # seconds, after which a child counts as hanging

needs_torch = pytest.mark.skipif(
    importlib.util.find_spec("torch") is None, reason="torch is not installed"
)


def child(call, *, first="", environment=None, wait=True):
    """Start a process that runs `first`, imports this file as t and evaluates `call`."""
    code = f"{first}\nimport {Path(__file__).stem} as t\n{call}"
    paths = [str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")]
    process = subprocess.Popen(
        [sys.executable, "-c", code],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, paths))} | (environment or {}),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    if not wait:
        return process
    out, err = process.communicate(timeout=2 * PATIENCE)  # it ends itself by its alarm
    assert process.returncode == 0, f"ended with {process.returncode}\n{out}\n{err}"
    return json.loads(out.splitlines()[-1])


def cases():
    """Return each kernel as a function of its keywords, on inputs of some size."""
    from pyhybrid import kernels

    rng = np.random.default_rng(0)
    x = random_array((400, 300), density=0.05, format="csr", dtype=np.float32, rng=rng)
    y = random_array((400, 300), density=0.02, format="csr", dtype=np.float32, rng=rng)
    scores = rng.standard_normal((400, 300), dtype=np.float32)
    factors = rng.standard_normal((300, 16), dtype=np.float32)
    gram = kernels.gram(x)
    weights = gram / 10
    ranking = kernels.top_n_scores(scores, 20)[0]
    names = ["ndcg@20", "recall@10", "map@5"]
    return {
        "gram": lambda **kw: kernels.gram(x, **kw),
        "esler_weights": lambda **kw: kernels.esler_weights(gram, 5.0, **kw),
        "top_n": lambda **kw: kernels.top_n(x, weights, 10, exclude=x, **kw),
        "top_n_factors": lambda **kw: kernels.top_n_factors(factors, factors, 10, **kw),
        "score_factors": lambda **kw: kernels.score_factors(factors, factors, **kw),
        "top_n_scores": lambda **kw: kernels.top_n_scores(scores, 10, exclude=y, **kw),
        "ranking_metrics": lambda **kw: kernels.ranking_metrics(ranking, y, names, **kw),
        "score_metrics": lambda **kw: kernels.score_metrics(scores, y, names, exclude=x, **kw),
    }


NAMES = ["gram", "esler_weights", "top_n", "top_n_factors", "score_factors", "top_n_scores"]
NAMES += ["ranking_metrics", "score_metrics"]


def digest(name, result):
    """Hash every bit of a result, or round its sum: `esler_weights` alone is to 1e-6."""
    if name == "esler_weights":
        return round(float(np.abs(result).sum(dtype=float)))
    arrays = result.values() if isinstance(result, dict) else result
    return hash(b"".join(np.ascontiguousarray(array).tobytes() for array in arrays))


def digests(**keywords):
    """Run all kernels, and again with two threads, which must give the same."""
    runs = cases()
    one = {name: digest(name, run(**keywords)) for name, run in runs.items()}
    two = {name: digest(name, run(threads=2)) for name, run in runs.items()}
    assert one == two
    return one


SEED = {"PYTHONHASHSEED": "0"}  # so that children hash alike


@pytest.fixture(scope="module")
def expected():
    return child("t.run_all()", environment=SEED)


def run_all():
    signal.alarm(PATIENCE)
    print(json.dumps(digests()))


# Fork


def run_forked():
    signal.alarm(PATIENCE)
    digests()
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        signal.alarm(PATIENCE // 2)
        os.write(writer, json.dumps(digests()).encode())
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as pipe:
        text = pipe.read()
    _, status = os.waitpid(pid, 0)
    assert status == 0, f"the forked process ended with status {status}"
    digests()  # and the parent goes on
    print(text)


def test_a_forked_child_runs_all_kernels_again(expected):
    assert child("t.run_forked()", environment=SEED) == expected


def run_forked_within_a_kernel():
    """Fork out of a progress call, while the kernel's other threads run."""
    signal.alarm(PATIENCE)
    from pyhybrid import kernels

    x = csr_array((np.full(2_000_000, 2.0, np.float32), *block(4000, 500)), shape=(4000, 500))
    pids = []

    def fork(_):
        if not pids:
            pids.append(os.fork())
            if pids[0] == 0:
                signal.alarm(PATIENCE // 2)
                os._exit(0 if cases()["gram"](threads=2).shape == (300, 300) else 1)

    kernels.gram(x, threads=2, progress=fork)
    _, status = os.waitpid(pids[0], 0)
    print(json.dumps(status))


def block(rows, width):
    """Return the indices and indptr of rows that all hold the items 0 .. width-1."""
    items = np.tile(np.arange(width, dtype=np.int32), rows)
    return items, np.arange(0, rows * width + 1, width, dtype=np.int32)


def test_a_fork_in_the_midst_of_a_kernel_leaves_a_child_that_can_run_one():
    assert child("t.run_forked_within_a_kernel()") == 0


def run_pool():
    import multiprocessing

    signal.alarm(PATIENCE)
    digests()
    context = multiprocessing.get_context("fork")
    with context.Pool(2, initializer=signal.alarm, initargs=(PATIENCE // 2,)) as pool:
        results = pool.map(in_pool, range(2), chunksize=1)
    assert results == [results[0]] * 2
    print(json.dumps(results[0]))


def in_pool(_):
    return digests()


def test_a_forking_process_pool_runs_all_kernels(expected):
    assert child("t.run_pool()", environment=SEED) == expected


# Torch


@needs_torch
@pytest.mark.parametrize(
    "first", ["import torch, pyhybrid.kernels", "import pyhybrid.kernels, torch"]
)
def test_torch_imported_before_or_after_changes_nothing(first, expected):
    warm_up = "a = torch.ones(300, 300); a @ a; torch.linalg.cholesky(a + 300 * torch.eye(300))"
    assert child("t.run_all()", first=f"{first}\n{warm_up}", environment=SEED) == expected


def run_data_loader():
    import torch

    signal.alarm(PATIENCE)
    digests()
    (torch.ones(300, 300) @ torch.ones(300, 300)).sum()

    class Items(torch.utils.data.Dataset):
        def __len__(self):
            return 2

        def __getitem__(self, index):
            signal.alarm(PATIENCE // 2)
            return digests()

    loader = torch.utils.data.DataLoader(
        Items(), num_workers=2, batch_size=1, collate_fn=list, multiprocessing_context="fork"
    )
    results = [result for batch in loader for result in batch]
    assert results == [results[0]] * 2
    print(json.dumps(results[0]))


@needs_torch
def test_a_data_loader_worker_runs_all_kernels(expected):
    assert child("t.run_data_loader()", environment=SEED) == expected


# Threads


def assert_same(name, got, wanted):
    if name == "esler_weights":
        assert np.linalg.norm(got - wanted) <= 1e-6 * np.linalg.norm(wanted)
    elif isinstance(wanted, dict):
        assert list(got) == list(wanted)
        assert_same(name, list(got.values()), list(wanted.values()))
    else:
        for one, other in zip(got, wanted, strict=True):
            np.testing.assert_array_equal(one, other)


def test_kernels_that_run_at_once_do_not_disturb_each_other():
    runs = cases()
    wanted = {name: run(threads=1) for name, run in runs.items()}
    with ThreadPoolExecutor(4) as pool:
        jobs = [(name, pool.submit(runs[name], threads=2)) for _ in range(4) for name in NAMES]
        for name, job in jobs:
            assert_same(name, job.result(timeout=PATIENCE), wanted[name])


@pytest.mark.parametrize("name", NAMES)
def test_the_number_of_threads_changes_no_result(name):
    run = cases()[name]
    one = run(threads=1)
    for threads in (0, 2, 3, 7, 64):
        assert_same(name, run(threads=threads), one)


@pytest.mark.parametrize("number", ["1", "3", "2,1"])
def test_omp_num_threads_changes_no_result(number, expected):
    assert child("t.run_all()", environment=SEED | {"OMP_NUM_THREADS": number}) == expected


@pytest.mark.parametrize("number", ["", "-2", "99999999999999999999"])
def test_an_omp_num_threads_that_says_nothing_is_passed_over(number, expected):
    assert child("t.run_all()", environment=SEED | {"OMP_NUM_THREADS": number}) == expected


@pytest.mark.parametrize("name", NAMES)
def test_a_negative_number_of_threads_is_refused(name):
    with pytest.raises(ValueError, match=rf"^{name}: threads is -1; expected \S"):
        cases()[name](threads=-1)


@pytest.mark.parametrize("name", NAMES)
def test_a_number_of_threads_that_is_no_integer_is_refused(name):
    for threads in (1.5, "2", None, True):
        with pytest.raises(TypeError, match=rf"^{name}: threads is {threads!r}; expected \S"):
            cases()[name](threads=threads)


@pytest.mark.parametrize("threads", [10_000, 2**31, 10**30])
def test_a_number_of_threads_beyond_all_reason_is_served_or_refused_in_words(threads):
    run = cases()["gram"]
    try:
        assert_same("gram", run(threads=threads), run())
    except ValueError as error:
        assert str(error).startswith(f"gram: threads is {threads}; expected ")  # noqa: PT017


@pytest.mark.parametrize("name", ["gram", "esler_weights", "top_n", "top_n_factors"])
def test_other_python_threads_run_meanwhile(name):
    work, seen = long_work(name, 0.15), []

    def note():
        time.sleep(0.01)
        seen.append(time.monotonic())

    thread = threading.Thread(target=note)
    thread.start()
    work()
    end = time.monotonic()
    thread.join(timeout=PATIENCE)
    assert seen[0] < end


# Progress


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("threads", [1, 2])
def test_progress_rises_from_0_to_1_on_the_calling_thread(name, threads):
    fractions, callers = [], set()

    def progress(fraction):
        fractions.append(fraction)
        callers.add(threading.get_ident())

    cases()[name](progress=progress, threads=threads)
    assert fractions == sorted(fractions)
    assert all(isinstance(fraction, float) and 0.0 <= fraction <= 1.0 for fraction in fractions)
    assert callers <= {threading.get_ident()}
    assert callers or threads > 1  # a second thread may do it all before the first one starts


def test_progress_of_a_longer_run_is_told_along_the_way():
    from pyhybrid import kernels

    fractions = []
    x = csr_array((np.full(3_000_000, 2.0, np.float32), *block(3000, 1000)), shape=(3000, 1000))
    kernels.gram(x, threads=1, progress=fractions.append)
    assert len(fractions) >= 3
    assert fractions == sorted(fractions)
    assert 0.0 <= fractions[0] < 0.9
    assert 0.5 < fractions[-1] <= 1.0


class OwnError(Exception):
    pass


@pytest.mark.parametrize("name", NAMES)
def test_what_progress_raises_comes_out_unchanged(name):
    own = OwnError("stop here")

    def progress(_):
        raise own

    run = cases()[name]
    with pytest.raises(OwnError) as caught:
        run(progress=progress, threads=1)
    assert caught.value is own
    assert_same(name, run(), run(threads=1))  # and the next call is none the worse


@pytest.mark.parametrize("name", ["gram", "esler_weights", "top_n", "top_n_factors"])
def test_what_progress_raises_stops_all_threads_of_a_long_run(name):
    own, calls = OwnError("stop here"), []

    def progress(fraction):
        calls.append(fraction)
        raise own

    with pytest.raises(OwnError) as caught:
        long_work(name, 0.15)(progress=progress)
    assert caught.value is own
    assert len(calls) == 1
    assert calls[0] < 1.0


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit, StopIteration, MemoryError])
def test_errors_of_any_kind_come_out_of_progress(error):
    def progress(_):
        raise error

    with pytest.raises(error):
        cases()["gram"](progress=progress, threads=1)


def test_what_progress_returns_does_not_matter():
    run = cases()["gram"]
    for value in (False, None, 0, "stop"):
        np.testing.assert_array_equal(run(progress=lambda _, value=value: value), run())


@pytest.mark.parametrize("name", NAMES)
def test_a_progress_that_can_not_be_called_is_refused(name):
    with pytest.raises(TypeError, match=rf"^{name}: progress is 3; expected \S"):
        cases()[name](progress=3)


def test_a_kernel_may_run_within_another_ones_progress():
    run = cases()["gram"]
    inner = []
    run(progress=lambda _: inner.append(run()), threads=1)
    np.testing.assert_array_equal(inner[0], run())


# Ctrl-C


def long_work(name, share=1.0):
    """Return a kernel call of some seconds times `share`."""
    from pyhybrid import kernels

    rng = np.random.default_rng(0)
    if name == "esler_weights":
        n = int(6000 * share ** (1 / 3))
        g = np.full((n, n), 0.1, np.float32)
        return lambda **kw: kernels.esler_weights(g, 6000.0, overwrite=True, **kw)
    if name == "top_n_factors":
        users = rng.standard_normal((int(200_000 * share), 128), dtype=np.float32)
        items = rng.standard_normal((8000, 128), dtype=np.float32)
        return lambda **kw: kernels.top_n_factors(users, items, 10, threads=1, **kw)
    rows, width, n_items = {"gram": (8000, 1000, 1000), "top_n": (100_000, 100, 6000)}[name]
    rows = int(rows * share)
    weights = np.full(rows * width, 2.0, np.float32)  # ones would be counted sooner
    x = csr_array((weights, *block(rows, width)), shape=(rows, n_items))
    if name == "gram":
        return lambda **kw: kernels.gram(x, threads=1, **kw)
    weights = rng.standard_normal((n_items, n_items), dtype=np.float32)
    return lambda **kw: kernels.top_n(x, weights, 100, threads=1, **kw)


def run_long(name):
    """Run a kernel of some seconds; say when it starts, and whether Ctrl-C ended it."""
    signal.alarm(PATIENCE)
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a background job ignores it
    work = long_work(name)
    print("started", flush=True)
    start = time.monotonic()
    try:
        work()
    except KeyboardInterrupt:
        print(json.dumps("stopped"), flush=True)
        raise
    print(json.dumps(f"finished in {time.monotonic() - start:.2f} s"), flush=True)


@pytest.mark.parametrize("name", ["gram", "esler_weights", "top_n", "top_n_factors"])
def test_ctrl_c_stops_a_long_run_within_about_a_second(name):
    process = child(f"t.run_long({name!r})", environment={"OPENBLAS_NUM_THREADS": "1"}, wait=False)
    assert process.stdout.readline() == "started\n", process.stderr.read()
    time.sleep(0.3)
    process.send_signal(signal.SIGINT)
    sent = time.monotonic()
    assert process.stdout.readline() == '"stopped"\n'
    assert time.monotonic() - sent < 3.0
    _, err = process.communicate(timeout=PATIENCE)
    assert err.rstrip().endswith("KeyboardInterrupt")


def run_handled_signal():
    """A signal whose handler raises nothing must not stop the kernel."""
    from pyhybrid import kernels

    signal.alarm(PATIENCE)
    seen = []
    signal.signal(signal.SIGUSR1, lambda *_: seen.append(1))
    x = csr_array((np.full(2_000_000, 2.0, np.float32), *block(4000, 500)), shape=(4000, 500))
    threading.Timer(0.1, os.kill, (os.getpid(), signal.SIGUSR1)).start()
    total = float(kernels.gram(x, threads=1).sum(dtype=float))
    time.sleep(0.2)
    print(json.dumps([len(seen), total]))


def test_a_signal_that_is_handled_does_not_stop_a_kernel():
    assert child("t.run_handled_signal()") == [1, 4 * 4000.0 * 500 * 500]
