"""Model folders: a configuration that a person can read, and arrays; never pickle.

``config.json`` names the folder that holds the arrays. A save writes a new folder of arrays first
and then replaces ``config.json`` in one step, so that a killed job leaves the old model whole.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal
from uuid import uuid4

import numpy as np

from pyhybrid.data.tables import written_beside
from pyhybrid.errors import describe

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping

    from numpy.typing import NDArray

__all__ = [
    "FORMAT_VERSION",
    "StoredArrays",
    "digest",
    "read_folder",
    "require_free",
    "write_folder",
]

FORMAT_VERSION = 1


def write_folder(
    folder: str | os.PathLike[str], config: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]
) -> None:
    """Write a model folder, or replace the model that is in it.

    Args:
        folder: Made if missing, parents too. A folder that holds something else is refused.
        config: What JSON can hold; an encoder of texts is put down by its name.
        arrays: Numbers, or strings with dtype object.

    Raises:
        FileExistsError: If `folder` is a file, or a folder that is neither empty nor a model.
    """
    folder = Path(folder)
    require_free(folder)
    folder.mkdir(parents=True, exist_ok=True)
    array_folder = folder / f"arrays-{uuid4().hex[:12]}"
    array_folder.mkdir()
    try:
        for name, array in arrays.items():
            for part, values in _plain(name, array).items():
                np.save(array_folder / f"{part}.npy", values, allow_pickle=False)
        described = {
            "format_version": FORMAT_VERSION,
            **config,
            "array_folder": array_folder.name,
            "arrays": {name: _describe(array) for name, array in arrays.items()},
        }
        with written_beside(folder / "config.json") as path:
            path.write_text(json.dumps(described, indent=2, default=_by_name) + "\n")
    except BaseException:
        shutil.rmtree(array_folder, ignore_errors=True)
        if not any(folder.iterdir()):
            folder.rmdir()
        raise
    for old in folder.glob("arrays-*"):
        if old != array_folder:
            shutil.rmtree(old, ignore_errors=True)


def read_folder(folder: str | os.PathLike[str]) -> tuple[dict[str, Any], StoredArrays]:
    """Read a model folder; arrays of numbers are memory-mapped, read-only.

    Raises:
        FileNotFoundError: If there is no such folder.
        ValueError: If it is not a model, one of a newer format, or damaged.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise FileNotFoundError(describe("load", str(folder), "missing", "a model's folder"))
    config = _read_config(folder)
    if config is None:
        way_out = "save a model there first"
        raise ValueError(
            describe("load", str(folder), "not a model", "a folder that save() wrote", way_out)
        )
    version = config["format_version"]
    if version > FORMAT_VERSION:
        what, way_out = f"the format version of {folder}", "install a newer pyhybrid"
        raise ValueError(describe("load", what, version, f"at most {FORMAT_VERSION}", way_out))
    for key in ("class", "params", "array_folder", "arrays"):
        if key not in config:
            what = f"{key!r} in {folder / 'config.json'}"
            raise ValueError(describe("load", what, "missing", "a whole configuration", _AGAIN))
    array_folder = folder / config["array_folder"]
    arrays = StoredArrays(folder)
    for name, described in config["arrays"].items():
        arrays[name] = _read_array(array_folder, name, described)
    return config, arrays


class StoredArrays(dict[str, "NDArray[Any]"]):
    """The arrays of a model folder by name; asking for one that is not there is a ValueError."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __missing__(self, name: str) -> NDArray[Any]:
        what = f"array {name!r} in {self.folder}"
        raise ValueError(describe("load", what, "missing", "a whole model", _AGAIN))


def digest(*values: Any) -> str:
    """Return a short fingerprint of arrays (large ones by an even sample) and plain values.

    >>> digest(np.arange(3), "ESLER", {"l2": 500.0}) == digest(np.arange(3), "ESLER", {"l2": 50.0})
    False
    """
    state = hashlib.blake2b(digest_size=16)
    for value in values:
        if isinstance(value, np.ndarray) and value.dtype != object:
            sample = value[:: 1 + value.nbytes // _SAMPLE]
            state.update(f"{value.dtype} {value.shape}".encode())
            state.update(np.ascontiguousarray(sample).tobytes())
        else:
            plain = value.tolist() if isinstance(value, np.ndarray) else value
            state.update(json.dumps(plain, default=_by_name).encode())
    return state.hexdigest()


def _by_name(value: Any) -> str:
    """Put a hyper-parameter that is no plain value, such as an encoder, down by its name."""
    name = getattr(value, "name", None)
    if not isinstance(name, str):
        raise TypeError(describe("save", "a hyper-parameter", repr(value), "a plain value"))
    return name


_SAMPLE = 1 << 26  # bytes of an array that are fingerprinted
_AGAIN = "save the model again"


def _read_config(folder: Path) -> dict[str, Any] | None:
    """Return a model's configuration, or None if the folder has none."""
    try:
        config = json.loads((folder / "config.json").read_text())
    except (FileNotFoundError, ValueError):
        return None
    is_model = isinstance(config, dict) and isinstance(config.get("format_version"), int)
    return config if is_model else None


def require_free(folder: str | os.PathLike[str]) -> None:
    """Raise FileExistsError if a model can't be saved there, as the folder holds something else."""
    folder = Path(folder)
    if not folder.exists():
        return
    # What a killed first save leaves behind may be replaced too.
    taken = not folder.is_dir() or any(
        not path.name.startswith("arrays-") for path in folder.iterdir()
    )
    if taken and (not folder.is_dir() or _read_config(folder) is None):
        expected = "a new or empty folder, or an earlier model's"
        raise FileExistsError(describe("save", str(folder), "something else", expected))


def _describe(array: NDArray[Any]) -> dict[str, Any]:
    return {"dtype": "str" if array.dtype == object else str(array.dtype), "shape": array.shape}


def _plain(name: str, array: NDArray[Any]) -> dict[str, NDArray[Any]]:
    """Turn strings into two arrays of numbers: their UTF-8 bytes on end, and where each ends."""
    if array.dtype != object:
        return {name: array}
    encoded = [text.encode() for text in array]
    return {
        f"{name}.utf8": np.frombuffer(b"".join(encoded), dtype=np.uint8),
        f"{name}.ends": np.cumsum([len(text) for text in encoded], dtype=np.int64),
    }


def _read_array(folder: Path, name: str, described: Mapping[str, Any]) -> NDArray[Any]:
    array: NDArray[Any]
    try:
        if described["dtype"] == "str":
            array = _read_strings(folder, name)
        else:
            # What is empty can't be mapped.
            mode: Literal["r"] | None = "r" if 0 not in described["shape"] else None
            array = np.load(folder / f"{name}.npy", mmap_mode=mode, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        what = f"array {name!r} in {folder}"
        raise ValueError(describe("load", what, f"damaged ({error})", "whole", _AGAIN)) from error
    found = _describe(array)
    if (found["dtype"], list(found["shape"])) != (described["dtype"], list(described["shape"])):
        what = f"array {name!r} in {folder}"
        value = f"{found['dtype']} {tuple(found['shape'])}"
        expected = f"{described['dtype']} {tuple(described['shape'])}"
        raise ValueError(describe("load", what, value, expected, _AGAIN))
    return array


def _read_strings(folder: Path, name: str) -> NDArray[Any]:
    text = np.load(folder / f"{name}.utf8.npy", allow_pickle=False).tobytes()
    ends = np.load(folder / f"{name}.ends.npy", allow_pickle=False).tolist()
    if len(text) != (ends[-1] if ends else 0):
        raise ValueError(f"{len(text)} bytes of text in place of {ends[-1] if ends else 0}")
    strings = [text[a:b].decode() for a, b in zip([0, *ends], ends, strict=False)]
    return np.array(strings, dtype=object)
