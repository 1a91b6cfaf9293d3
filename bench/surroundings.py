"""What a measurement runs in: the same threads for all, no leftover settings, and what was found.

Every measured process is a child with the environment made here.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

PEERS = (
    "numba",
    "sparse-dot-mkl",
    "mkl",
    "torch",
    "implicit",
    "ranx",
    "pytrec-eval-terrier",
    "faiss-cpu",
    "nanopq",
    "threadpoolctl",
)
_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")
_TUNING = ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE", "PYHYBRID_SIMD")


def environment(threads: int, **extra: str) -> dict[str, str]:
    """Return this process' environment with the number of threads set and all tuning removed."""
    kept = {name: value for name, value in os.environ.items() if name not in _TUNING}
    return {**kept, **dict.fromkeys(_THREADS, str(threads)), **_mkl_library(), **extra}


def _mkl_library() -> dict[str, str]:
    # The mkl wheel puts the library where the dynamic linker doesn't look; sparse_dot_mkl reads
    # MKL_RT.
    found = sorted(Path(sys.prefix, "lib").glob("libmkl_rt.so*"))
    return {"MKL_RT": str(found[0])} if found and "MKL_RT" not in os.environ else {}


def run_child(script: str, arguments: list[str], env: dict[str, str]) -> dict[str, Any]:
    """Run a script beside this file and return the JSON object that is its last line.

    Raises:
        RuntimeError: If it fails, with the last line of its errors.
    """
    command = [sys.executable, str(Path(__file__).with_name(script)), *arguments]
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError((done.stderr.strip().splitlines() or [f"exit {done.returncode}"])[-1])
    return json.loads(done.stdout.strip().splitlines()[-1])


def found_here() -> dict[str, Any]:
    """Return the peers' versions, and the kernels that each loaded BLAS chose for this machine."""
    versions = {}
    for package in PEERS:
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            continue
    try:
        from threadpoolctl import threadpool_info
    except ImportError:
        return {"peers": versions}
    libraries = [
        {key: library.get(key) for key in ("prefix", "version", "architecture", "num_threads")}
        for library in threadpool_info()
    ]
    return {"peers": versions, "libraries": libraries}
