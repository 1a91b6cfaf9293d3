"""Where a model computes, with how many threads, and with which random numbers.

Nothing here outlives its ``with`` block: torch's global generators and thread count are the
caller's and are given back as they were.
"""

from __future__ import annotations

import re
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np

from pyhybrid.errors import describe
from pyhybrid.training.processes import torchrun_rank

if TYPE_CHECKING:
    from collections.abc import Iterator

    import torch

__all__ = [
    "check_device",
    "device_of",
    "has_device",
    "own_randomness",
    "require_torch",
    "seed_torch",
    "threads_of",
]

_CPU_OR_CUDA = re.compile(r"cpu|cuda(:\d+)?")


def require_torch(who: str) -> None:
    """Raise ImportError, with the way out, unless torch can be imported."""
    try:
        import torch  # noqa: F401
    except ModuleNotFoundError as error:
        raise ImportError(f'{who} needs torch; pip install "pyhybrid[torch]"') from error


def check_device(who: str, device: object) -> str | None:
    """Return a device's name if it is one; whether this machine has it is asked at its first use.

    >>> check_device("SASRec", "cuda:1")
    'cuda:1'
    """
    if device is None:
        return None
    if not isinstance(device, str):
        raise TypeError(describe(who, "device", repr(device), _DEVICES))
    if not _CPU_OR_CUDA.fullmatch(device):
        raise ValueError(describe(who, "device", repr(device), _DEVICES))
    return device


_DEVICES = "'cpu', 'cuda', 'cuda:1' and so on, or None"


def device_of(who: str, name: str | None) -> torch.device:
    """Return the device of that name; None: a GPU if there is one, else the CPU.

    Of several GPUs without a number, torch's current one; under torchrun each process its own.

    Raises:
        ValueError: If this machine has no such device, or not one for each process.

    >>> device_of("SASRec", "cpu")
    device(type='cpu')
    """
    import torch

    gpus = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if name is None:
        name = "cuda" if gpus else "cpu"
    if name == "cpu":
        return torch.device(name)
    _, _, number = name.partition(":")
    if gpus and not number:
        rank = torchrun_rank()
        if rank is None or gpus == 1:
            return torch.device("cuda", torch.cuda.current_device())
        if rank >= gpus:
            what = "the number of processes on this machine"
            rule, way_out = f"at most its {gpus} GPUs", "start fewer with --nproc-per-node"
            raise ValueError(describe(who, what, f"{rank + 1} or more", rule, way_out))
        return torch.device("cuda", rank)
    if int(number or 0) >= gpus:
        expected = f"'cpu', or one of the {gpus} GPUs that torch finds"
        raise ValueError(describe(who, "device", repr(name), expected))
    return torch.device(name)


def has_device(name: str | None) -> bool:
    """Tell whether this machine has a device of that name."""
    try:
        device_of("", name)
    except ValueError:
        return False
    return True


@contextmanager
def own_randomness(device: torch.device, *numbers: int) -> Iterator[None]:
    """Seed torch's global generators for a while, and give them back as they were.

    Dropout and the layers' initial weights draw from these generators and from no other.
    """
    import torch

    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        seed_torch(device, *numbers)
        yield


def seed_torch(device: torch.device, *numbers: int) -> None:
    """Seed torch's generators for the CPU and for `device` by a mix of several numbers."""
    import torch

    seed = int(np.random.SeedSequence(numbers).generate_state(1, np.uint64)[0])
    torch.default_generator.manual_seed(seed)
    if device.type == "cuda":  # the other GPUs' generators are left alone
        with torch.cuda.device(device):
            torch.cuda.manual_seed(seed)


@contextmanager
def threads_of(threads: int) -> Iterator[None]:
    """Let torch compute with so many CPU threads for a while; 0: with as many as it has."""
    import torch

    before = torch.get_num_threads()
    if not threads or threads == before:
        yield
        return
    torch.set_num_threads(threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)
