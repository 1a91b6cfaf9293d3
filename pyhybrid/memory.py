"""How much memory is free, so that a job too large is refused before it starts."""

from __future__ import annotations

import os
from pathlib import Path

__all__ = ["available_bytes", "require_memory"]

_CGROUP_V2 = Path("/sys/fs/cgroup")
_CGROUP_V1 = Path("/sys/fs/cgroup/memory")
_OWN_CGROUPS = Path("/proc/self/cgroup")


def available_bytes() -> int | None:
    """Return the bytes that this process can still take, or None where that can't be told.

    The least of what the kernel reports as available and what the process's cgroup
    (a container's limit) leaves; page cache that can be dropped counts as free.
    """
    limits = [n for n in (_machine_available(), _cgroup_available()) if n is not None]
    return min(limits) if limits else None


def require_memory(who: str, size: str, needed: int, purpose: str, way_out: str) -> None:
    """Refuse a job that won't fit.

    Args:
        who: Who asks, as errors name it.
        size: What makes the job large, with its number: ``"120000 items"``.
        needed: Bytes.
        purpose: What the bytes are for: ``"the Gram matrix"``.
        way_out: What the caller can do instead.

    Raises:
        MemoryError: If fewer than `needed` bytes are available.
    """
    free = available_bytes()
    if free is not None and needed > free:
        raise MemoryError(
            f"{who}: {size} need {needed / 1e9:.1f} GB for {purpose} "
            f"and {free / 1e9:.1f} GB are free; {way_out}"
        )


def _machine_available() -> int | None:
    try:
        for line in Path("/proc/meminfo").read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    try:
        return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):
        return None


def _cgroup_available() -> int | None:
    """Return the least that a cgroup of this process leaves, from its own up to the root."""
    kinds = (
        ("", _CGROUP_V2, "memory.max", "memory.current", "inactive_file"),
        (
            "memory",
            _CGROUP_V1,
            "memory.limit_in_bytes",
            "memory.usage_in_bytes",
            "total_inactive_file",
        ),
    )
    left = [
        free
        for controller, root, limit, used, cache in kinds
        for folder in _groups(root, controller)
        if (free := _left(folder / limit, folder / used, folder / "memory.stat", cache)) is not None
    ]
    return min(left, default=None)


def _groups(root: Path, controller: str) -> list[Path]:
    """Return the folders of this process's cgroups under `root`, with their parents'."""
    try:
        lines = _OWN_CGROUPS.read_text().splitlines()
    except OSError:
        return [root]
    # "0::/user.slice/job" (version 2) or "4:memory:/docker/ab12" (version 1)
    own = [
        line.split(":", 2)[2] for line in lines if controller in line.split(":", 2)[1].split(",")
    ]
    return [root / part.strip("/") for path in own for part in _with_parents(path)] or [root]


def _with_parents(path: str) -> list[str]:
    return [path, *(str(parent) for parent in Path(path).parents)]


def _left(limit: Path, used: Path, stat: Path, cache: str) -> int | None:
    try:
        ceiling = int(limit.read_text())  # "max" where there is no limit
        fields = dict(line.split() for line in stat.read_text().splitlines())
        return max(0, ceiling - int(used.read_text()) + int(fields.get(cache, 0)))
    except (OSError, ValueError):
        return None
