from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from pyhybrid.training import checkpoints
from pyhybrid.training.checkpoints import Checkpoint, State

if TYPE_CHECKING:
    from pathlib import Path

RUN = {"class": "SASRec", "lr": 0.001, "betas": (0.9, 0.98), "the data's fingerprint": "ab12"}
STATE = State({"step": 3}, {"network/w": np.arange(6, dtype=np.float32).reshape(2, 3)})


def test_what_is_written_is_read(tmp_path: Path) -> None:
    folder = tmp_path / "runs" / "one"
    assert Checkpoint("SASRec", folder, RUN).read() is None
    assert not folder.exists()
    Checkpoint("SASRec", folder, RUN).write(STATE)
    assert [path.name for path in folder.iterdir()] == ["checkpoint.npz"]
    state = Checkpoint("SASRec", folder, RUN).read()
    assert state is not None
    assert state.said == {"step": 3}
    np.testing.assert_array_equal(state.arrays["network/w"], STATE.arrays["network/w"])
    assert state.arrays["network/w"].flags.writeable


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"lr": 0.01}, r"lr of the checkpoint in .* is 0.001; expected 0.01, as in this run"),
        (
            {"the data's fingerprint": "cd"},
            r"the data's fingerprint of the checkpoint .* is 'ab12'",
        ),
        ({"layers": 2}, r"layers of the checkpoint in .* is None; expected 2"),
        ({"class": "VQRec"}, r"class of the checkpoint in .* is 'SASRec'"),
    ],
)
def test_another_runs_checkpoint_is_refused(
    change: dict[str, Any], message: str, tmp_path: Path
) -> None:
    Checkpoint("SASRec", tmp_path, RUN).write(STATE)
    way_out = "; delete it to start anew, or name another folder$"
    with pytest.raises(ValueError, match=f"^SASRec: {message}.*{way_out}"):
        Checkpoint("SASRec", tmp_path, RUN | change).read()


def test_a_damaged_checkpoint_is_refused(tmp_path: Path) -> None:
    Checkpoint("SASRec", tmp_path, RUN).write(STATE)
    path = tmp_path / "checkpoint.npz"
    whole = path.read_bytes()
    flipped = bytearray(whole)
    flipped[whole.index(STATE.arrays["network/w"].tobytes())] ^= 1
    for damaged in (whole[: len(whole) // 2], b"", b"something else", bytes(flipped)):
        path.write_bytes(damaged)
        with pytest.raises(ValueError, match=r"^SASRec: the checkpoint in .* is damaged"):
            Checkpoint("SASRec", tmp_path, RUN).read()


def test_a_newer_format_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkpoints, "FORMAT_VERSION", 2)
    Checkpoint("SASRec", tmp_path, RUN).write(STATE)
    monkeypatch.undo()
    with pytest.raises(
        ValueError, match=r"format version of the checkpoint in .* is 2; expected at"
    ):
        Checkpoint("SASRec", tmp_path, RUN).read()


def test_a_failed_write_leaves_the_earlier_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkpoint = Checkpoint("SASRec", tmp_path, RUN)
    checkpoint.write(STATE)

    def full(file: Any, **arrays: Any) -> None:
        file.write(b"half")
        raise OSError("no space left on device")

    monkeypatch.setattr(np, "savez", full)
    with pytest.raises(OSError, match="no space"):
        checkpoint.write(State({"step": 4}, {}))
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint.npz"]
    state = checkpoint.read()
    assert state is not None
    assert state.said == {"step": 3}


def test_one_is_due_from_time_to_time(tmp_path: Path) -> None:
    assert not Checkpoint("SASRec", tmp_path, RUN).is_due()
    assert Checkpoint("SASRec", tmp_path, RUN, every=0.0).is_due()
