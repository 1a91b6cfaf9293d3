"""Training in several processes at once, as ``torchrun`` starts them.

Every process reads the same data, draws the same random numbers, and computes the loss and the
gradient of its own part of each batch; their means are what one process would have computed of the
whole batch, up to rounding. The first process validates and writes checkpoints.
"""

from __future__ import annotations

import atexit
import os
from datetime import timedelta
from typing import TYPE_CHECKING

from pyhybrid.errors import describe

if TYPE_CHECKING:
    from collections.abc import Iterable

    import torch
    from torch import Tensor

__all__ = ["Processes", "processes_of", "torchrun_rank"]

_SHORT = 32  # bytes of a text that is compared
_PATIENCE = timedelta(hours=6)  # with the first process, which validates alone


class Processes:
    """The processes that train one network together.

    Args:
        rank: Which one this is, from 0.
        count: How many they are; what is below does nothing where it is 1.
        device: What this one computes on.

    >>> Processes().is_first
    True
    """

    def __init__(self, rank: int = 0, count: int = 1, device: torch.device | None = None) -> None:
        self.rank, self.count, self.device = rank, count, device

    @property
    def is_first(self) -> bool:
        """Tell whether this process is the one that speaks for all."""
        return self.rank == 0

    def average(self, tensors: Iterable[Tensor]) -> None:
        """Replace tensors by their mean over the processes, in place."""
        if self.count == 1:
            return
        from torch import distributed

        tensors = list(tensors)
        for work in [distributed.all_reduce(tensor, async_op=True) for tensor in tensors]:
            work.wait()
        for tensor in tensors:
            tensor /= self.count

    def spread(self, tensors: Iterable[Tensor]) -> None:
        """Replace tensors by the first process's, in place."""
        if self.count > 1:
            from torch import distributed

            for tensor in tensors:
                distributed.broadcast(tensor, src=0)

    def of_first(self, value: float) -> float:
        """Return the first process's value in all of them."""
        import torch

        said = torch.tensor([value], dtype=torch.float64, device=self.device)
        self.spread([said])
        return float(said)

    def require_same(self, who: str, what: str, value: str) -> None:
        """Raise ValueError unless a short text is the first process's.

        A process that raises ends the others, as ``torchrun`` stops them.
        """
        import torch

        own = value.encode()[:_SHORT].ljust(_SHORT)
        said = torch.tensor(list(own), dtype=torch.uint8, device=self.device)
        self.spread([said])
        first = bytes(said.tolist())
        if first != own:
            rule = f"{first.decode().strip()}, as in the first process"
            way_out = "give all processes the same data, hyper-parameters and folders"
            raise ValueError(describe(who, what, value, rule, way_out))


def torchrun_rank() -> int | None:
    """Return which of its machine's processes this is, or None if torchrun has not started it."""
    rank = os.environ.get("LOCAL_RANK")
    return int(rank) if rank is not None and int(os.environ.get("WORLD_SIZE", "1")) > 1 else None


def processes_of(device: torch.device) -> Processes:
    """Return the processes that torchrun has started, or this one alone.

    They are joined at the first call, unless the caller has done so before, and part when they
    end: torch's processes can't be trusted to find each other twice. All of them must call this.
    """
    from torch import distributed

    if not distributed.is_available():
        return Processes(device=device)
    if not distributed.is_initialized():
        if torchrun_rank() is None:
            return Processes(device=device)
        distributed.init_process_group(timeout=_PATIENCE)
        atexit.register(_part)
    return Processes(distributed.get_rank(), distributed.get_world_size(), device)


def _part() -> None:
    from torch import distributed

    if distributed.is_initialized():
        distributed.destroy_process_group()
