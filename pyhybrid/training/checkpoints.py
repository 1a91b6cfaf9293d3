"""Checkpoints: the whole state of a training run in one file, replaced in one step; no pickle."""

from __future__ import annotations

import json
import time
import zipfile
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from pyhybrid.data.tables import written_beside
from pyhybrid.errors import describe

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping

    from numpy.typing import NDArray

__all__ = ["Checkpoint", "State"]

FORMAT_VERSION = 1
_FILE = "checkpoint.npz"
_HEADER = "header"  # the array that holds the JSON part, as UTF-8 bytes


class State(NamedTuple):
    """What a run needs to go on.

    Attributes:
        said: What JSON can hold: how far the run is, and what it has measured.
        arrays: The tensors by name.
    """

    said: dict[str, Any]
    arrays: dict[str, NDArray[Any]]


class Checkpoint:
    """The file in a folder that a run writes its state to, and goes on from.

    ``checkpoint.npz`` holds the arrays and a header of JSON; any NumPy opens it. An earlier file
    stays whole until the new one is.

    Args:
        who: Whose run it is, as errors name it.
        folder: Made at the first write, parents too.
        run: What makes a run the same run: hyper-parameters, fingerprints of the data. What JSON
            can hold.
        every: Seconds after which a checkpoint is due within an epoch.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     Checkpoint("SASRec", folder, {"lr": 0.1}).write(State({"epoch": 3}, {}))
    ...     Checkpoint("SASRec", folder, {"lr": 0.1}).read().said
    {'epoch': 3}
    """

    def __init__(
        self,
        who: str,
        folder: str | os.PathLike[str],
        run: Mapping[str, Any],
        *,
        every: float = 600.0,
    ) -> None:
        self.who = who
        self.path = Path(folder) / _FILE
        # As JSON gives it back, so that a tuple equals the list that is read.
        self.run: dict[str, Any] = json.loads(json.dumps(dict(run)))
        self.every = every
        self._written = time.monotonic()

    def of_phase(self, name: str) -> Checkpoint:
        """Return the checkpoint of what the same run does first, in a folder in this one's.

        >>> Checkpoint("VQRec", "runs/beauty", {}).of_phase("alignment").path.as_posix()
        'runs/beauty/alignment/checkpoint.npz'
        """
        return Checkpoint(self.who, self.path.parent / name, self.run, every=self.every)

    def is_due(self) -> bool:
        """Tell whether the last checkpoint is `every` seconds old."""
        return time.monotonic() - self._written >= self.every

    def write(self, state: State) -> None:
        """Replace the checkpoint."""
        said = {"format_version": FORMAT_VERSION, "run": self.run, "said": state.said}
        header = np.frombuffer(json.dumps(said).encode(), dtype=np.uint8)
        arrays: dict[str, Any] = {_HEADER: header, **state.arrays}
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with written_beside(self.path) as partial, partial.open("wb") as file:
            np.savez(file, **arrays)
        self._written = time.monotonic()

    def read(self) -> State | None:
        """Return the state that was written last, or None if there is none yet.

        Raises:
            ValueError: If it is of another run, of a newer format, or damaged.
        """
        if not self.path.exists():
            return None
        try:
            with self.path.open("rb") as file, np.load(file, allow_pickle=False) as stored:
                arrays = {name: stored[name] for name in stored.files}
            header = json.loads(arrays.pop(_HEADER).tobytes())
            version, run, said = header["format_version"], header["run"], header["said"]
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error) as error:
            reason = f"damaged ({error})"
            raise ValueError(self._refusal("the checkpoint", reason, "a whole one")) from error
        if version > FORMAT_VERSION:
            found, rule = f"{version}", f"at most {FORMAT_VERSION}"
            raise ValueError(self._refusal("the format version of the checkpoint", found, rule))
        for key in dict.fromkeys([*self.run, *run]):
            if run.get(key) != self.run.get(key):
                raise ValueError(
                    self._refusal(
                        f"{key} of the checkpoint",
                        repr(run.get(key)),
                        f"{self.run.get(key)!r}, as in this run",
                    )
                )
        return State(said, arrays)

    def _refusal(self, what: str, value: str, expected: str) -> str:
        way_out = "delete it to start anew, or name another folder"
        return describe(self.who, f"{what} in {self.path.parent}", value, expected, way_out)
