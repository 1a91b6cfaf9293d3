from __future__ import annotations

import os
from pathlib import Path

import pytest

from pyhybrid import memory

MIB = 1 << 20


def groups(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Path]:
    """Stand in for /sys/fs/cgroup, of which the tests fill in what they need."""
    v2, v1 = tmp_path / "v2", tmp_path / "v1"
    v2.mkdir()
    v1.mkdir()
    monkeypatch.setattr(memory, "_CGROUP_V2", v2)
    monkeypatch.setattr(memory, "_CGROUP_V1", v1)
    return v2, v1


def test_available_memory_is_some_and_no_more_than_the_machine_has() -> None:
    free = memory.available_bytes()
    assert free is not None
    assert 0 < free <= os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def test_a_containers_limit_counts_and_its_page_cache_is_free(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    v2, _ = groups(tmp_path, monkeypatch)
    (v2 / "memory.max").write_text(f"{10 * MIB}\n")
    (v2 / "memory.current").write_text(f"{7 * MIB}\n")
    (v2 / "memory.stat").write_text(f"anon {4 * MIB}\nfile {3 * MIB}\ninactive_file {2 * MIB}\n")
    assert memory.available_bytes() == 5 * MIB


def test_a_container_over_its_limit_has_nothing_free(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    v2, _ = groups(tmp_path, monkeypatch)
    (v2 / "memory.max").write_text("100\n")
    (v2 / "memory.current").write_text("900\n")
    (v2 / "memory.stat").write_text("inactive_file 0\n")
    assert memory.available_bytes() == 0


def test_a_container_of_the_first_kind_has_a_limit_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, v1 = groups(tmp_path, monkeypatch)
    (v1 / "memory.limit_in_bytes").write_text(f"{8 * MIB}\n")
    (v1 / "memory.usage_in_bytes").write_text(f"{5 * MIB}\n")
    (v1 / "memory.stat").write_text(f"inactive_file 7\ntotal_inactive_file {MIB}\n")
    assert memory.available_bytes() == 4 * MIB


def test_a_container_without_a_limit_has_the_machines_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    v2, _ = groups(tmp_path, monkeypatch)
    (v2 / "memory.max").write_text("max\n")
    (v2 / "memory.current").write_text("1000\n")
    (v2 / "memory.stat").write_text("inactive_file 0\n")
    free = memory.available_bytes()
    assert free is not None
    assert free > 16 * MIB


def test_where_nothing_can_be_told_nothing_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "available_bytes", lambda: None)
    memory.require_memory("ESLER", "9 items", 1 << 80, "the Gram matrix", "no way out")


def test_unreadable_files_tell_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    groups(tmp_path, monkeypatch)

    def unreadable(self: Path) -> str:
        raise PermissionError(13, "no", str(self))

    def unknown(name: str) -> int:
        raise ValueError(name)

    monkeypatch.setattr(Path, "read_text", unreadable)
    monkeypatch.setattr(os, "sysconf", unknown)
    assert memory.available_bytes() is None


def test_a_job_that_does_not_fit_is_refused_in_words(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "available_bytes", lambda: 24_000_000_000)
    message = (
        "^ESLER: 120000 items need 57.6 GB for the Gram matrix and 24.0 GB are free; "
        r"use fewer items \(min_count=\) or a larger machine$"
    )
    with pytest.raises(MemoryError, match=message):
        memory.require_memory(
            "ESLER",
            "120000 items",
            120_000**2 * 4,
            "the Gram matrix",
            "use fewer items (min_count=) or a larger machine",
        )


def test_a_job_that_just_fits_is_let_through(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "available_bytes", lambda: 1000)
    memory.require_memory("gram", "5 items", 1000, "the Gram matrix", "")
    with pytest.raises(MemoryError):
        memory.require_memory("gram", "5 items", 1001, "the Gram matrix", "")


def test_the_limit_of_a_group_within_groups_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    v2, _ = groups(tmp_path, monkeypatch)
    own = tmp_path / "cgroup"
    own.write_text("0::/slice/job\n")
    monkeypatch.setattr(memory, "_OWN_CGROUPS", own)
    for group, limit in (("slice", 6 * MIB), ("slice/job", 9 * MIB)):
        (v2 / group).mkdir()
        (v2 / group / "memory.max").write_text(f"{limit}\n")
        (v2 / group / "memory.current").write_text(f"{MIB}\n")
        (v2 / group / "memory.stat").write_text("inactive_file 0\n")
    assert memory.available_bytes() == 5 * MIB
