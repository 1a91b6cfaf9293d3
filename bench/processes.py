"""The rows of kernels.py that need a process a figure: peak memory, other threads, other SIMD.

Run as a script it measures one thing, named with its arguments as JSON, and prints JSON.
"""

from __future__ import annotations

import json
import resource
import sys
import time
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

import numpy as np
import workloads
from surroundings import environment, run_child
from workloads import L2

if TYPE_CHECKING:
    from collections.abc import Callable

SIMD = ("baseline", "avx2", "avx512")
ITEMS = (1_000, 4_000, 10_000, 20_108)
USERS = (1_000, 10_000, 100_000, 1_000_000)
ENOUGH_SECONDS = 60.0  # of repetitions in one process


def sizes(scale: float, repetitions: int, threads: int) -> dict[str, Any]:
    """Measure seconds and peak memory by numbers of items, users and threads."""
    shapes = [(20_000, items, ("gram", "esler_weights", "top_n")) for items in ITEMS]
    shapes += [(users, 4_000, ("gram", "top_n")) for users in USERS]
    cells = []
    for users, items, kernels in shapes:
        shape = {"users": round(users * scale), "items": round(items * scale)}
        workload = workloads.shape_of(workloads.scaled_events(1, **shape))
        for kernel in kernels:
            for used in sorted({1, threads}):
                asked = {"kernel": kernel, **shape, "repetitions": repetitions, "threads": used}
                figures = _child("of_size", asked, used)
                cells.append({"kernel": kernel, "threads": used, **workload, **figures})
                print(cells[-1], flush=True)
    return {"cells": cells}


def of_size(kernel: str, users: int, items: int, repetitions: int, threads: int) -> dict[str, Any]:
    """Call a kernel on events of a size."""
    from pyhybrid import kernels

    x = workloads.scaled_events(1, users, items)
    if kernel == "gram":
        return _measured(lambda: kernels.gram(x, threads=threads), repetitions)
    if kernel == "top_n":
        weights = np.zeros((x.shape[1], x.shape[1]), dtype=np.float32)
        np.random.default_rng(0).standard_normal(dtype=np.float32, out=weights)
        return _measured(
            lambda: kernels.top_n(x, weights, 100, exclude=x, threads=threads), repetitions
        )
    matrix = kernels.gram(x, threads=threads)
    return _measured(
        lambda: kernels.esler_weights(matrix, L2, overwrite=True, threads=threads),
        repetitions,
        restore=lambda: kernels.gram(x, out=matrix, threads=threads),
    )


def _measured(
    run: Callable[[], Any], repetitions: int, restore: Callable[[], Any] | None = None
) -> dict[str, Any]:
    """Time a call after a first one, of which the peak memory beside what was held is taken."""
    Path("/proc/self/clear_refs").write_text("5")  # makes what is held now the peak
    before, taken = _status_bytes("VmRSS"), []
    for repetition in range(repetitions + 1):
        if restore and repetition:
            restore()
        started = time.perf_counter()
        run()
        taken.append(time.perf_counter() - started)
        if repetition == 0:
            grown = _status_bytes("VmHWM") - before
        elif sum(taken) > ENOUGH_SECONDS:
            break
    timed = taken[1:]
    spread = {"median": median(timed), "min": min(timed), "max": max(timed)}
    return {**spread, "repetitions": len(timed), "peak_bytes_grown": grown}


def end_to_end(scale: float, repetitions: int, threads: int) -> dict[str, Any]:
    """Fit ESLER on the events, beside SciPy's bare inverse of the Gram matrix, in turns."""
    x = workloads.scaled_events(scale)
    rounds = min(repetitions, 2)
    fits, inverses = [], []
    for _ in range(rounds):
        fits.append(_child("fit", {"scale": scale, "threads": threads}, threads))
        inverses.append(_child("inverse", {"scale": scale, "threads": threads}, threads))
    matrix = 4 * x.shape[1] ** 2
    events = x.data.nbytes + x.indices.nbytes + x.indptr.nbytes
    peak = max(fit["peak_bytes"] for fit in fits)
    ratio = median(f["seconds"] for f in fits) / median(i["seconds"] for i in inverses)
    share = (peak - events) / matrix
    return {
        "workload": {**workloads.shape_of(x), "l2": L2},
        "fit": fits,
        "scipy_potrf_potri": inverses,
        "matrix_bytes": matrix,
        "events_bytes": events,
        "seconds_over_scipy": ratio,
        "peak_less_events_over_matrix": share,
        "expected": "seconds_over_scipy <= 1.3, peak_less_events_over_matrix <= 1.15",
        "holds": ratio <= 1.3 and share <= 1.15,
    }


def fit(scale: float, threads: int) -> dict[str, Any]:
    import pyhybrid

    imported = peak_bytes()
    interactions = pyhybrid.Interactions.from_csr(workloads.scaled_events(scale))
    started = time.perf_counter()
    pyhybrid.ESLER(l2=L2, keep_gram=False).fit(interactions, threads=threads)
    seconds = time.perf_counter() - started
    return {"seconds": seconds, "peak_bytes": peak_bytes(), "imported_bytes": imported}


def inverse(scale: float, threads: int) -> dict[str, Any]:
    from peers.scipy_numpy import inverse_in_place

    from pyhybrid import kernels

    inverse_in_place(np.eye(1024, dtype=np.float32))()  # starts BLAS' threads
    matrix = kernels.gram(workloads.scaled_events(scale), threads=threads)
    np.einsum("ii->i", matrix)[:] += np.float32(L2)
    run = inverse_in_place(matrix)
    started = time.perf_counter()
    run()
    return {"seconds": time.perf_counter() - started, "peak_bytes": peak_bytes()}


def simd(scale: float, repetitions: int, threads: int) -> dict[str, Any]:
    """Measure ours with each instruction set, in turns."""
    kernels = ("gram_ml1m", "top_n", "top_n_factors_64", "score_metrics")
    found: dict[str, Any] = {kernel: {} for kernel in kernels}
    for kernel in kernels:
        for level in SIMD:
            asked = {
                "kernel": kernel,
                "scale": scale,
                "repetitions": repetitions,
                "threads": threads,
            }
            try:
                found[kernel][level] = _child("at_level", asked, threads, PYHYBRID_SIMD=level)
            except RuntimeError as error:
                found[kernel][level] = {"absent": str(error)}
            print(kernel, level, found[kernel][level], flush=True)
    return {"kernels": found}


def at_level(kernel: str, scale: float, repetitions: int, threads: int) -> dict[str, Any]:
    from ranking import METRICS, N, factors, first_users

    from pyhybrid import kernels

    if kernel == "gram_ml1m":
        x = workloads.ml1m()
        out = np.zeros((x.shape[1], x.shape[1]), dtype=np.float32)
        return _measured(lambda: kernels.gram(x, out=out, threads=threads), repetitions)
    everyone, x = first_users(scale, 2_000 if kernel == "top_n" else 5_000)
    how = {"exclude": x, "threads": threads}
    if kernel == "top_n":
        weights = workloads.weights_of(everyone, threads)
        return _measured(lambda: kernels.top_n(x, weights, N, **how), repetitions)
    if kernel == "top_n_factors_64":
        users, items = factors(x, 64)
        return _measured(lambda: kernels.top_n_factors(users, items, N, **how), repetitions)
    how["exclude"], targets = workloads.hold_out(x)
    scores = workloads.noisy_popularity(x)
    return _measured(lambda: kernels.score_metrics(scores, targets, METRICS, **how), repetitions)


def peak_bytes() -> int:
    """Return the most memory that this process has held so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def _status_bytes(name: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(name))


def _child(step: str, asked: dict[str, Any], threads: int, **extra: str) -> dict[str, Any]:
    return run_child("processes.py", [step, json.dumps(asked)], environment(threads, **extra))


STEPS = {"of_size": of_size, "fit": fit, "inverse": inverse, "at_level": at_level}

if __name__ == "__main__":
    print(json.dumps(STEPS[sys.argv[1]](**json.loads(sys.argv[2]))))
