"""Model folders: a configuration that a person can read, and arrays; never pickle.

``config.json`` names the folder that holds the arrays. A save writes a new folder of arrays first
and then replaces ``config.json`` in one step, so that a killed job leaves the old model whole.
"""

from __future__ import annotations

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

__all__ = ["FORMAT_VERSION", "read_folder", "write_folder"]

FORMAT_VERSION = 1


def write_folder(
    folder: str | os.PathLike[str], config: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]
) -> None:
    """Write a model folder, or replace the model that is in it.

    Args:
        folder: Made if missing, parents too. A folder that holds something else is refused.
        config: What JSON can hold.
        arrays: Numbers, or strings with dtype object.

    Raises:
        FileExistsError: If `folder` is a file, or a folder that is neither empty nor a model.
    """
    folder = Path(folder)
    _require_free(folder)
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
            path.write_text(json.dumps(described, indent=2) + "\n")
    except BaseException:
        shutil.rmtree(array_folder, ignore_errors=True)
        if not any(folder.iterdir()):
            folder.rmdir()
        raise
    for old in folder.glob("arrays-*"):
        if old != array_folder:
            shutil.rmtree(old, ignore_errors=True)


def read_folder(
    folder: str | os.PathLike[str],
) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    """Read a model folder; arrays of numbers are memory-mapped, read-only.

    Raises:
        FileNotFoundError: If there is no such folder.
        ValueError: If it is not a model, one of a newer format, or damaged.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise FileNotFoundError(describe("load", str(folder), "missing", "a model's folder"))
    try:
        config = json.loads((folder / "config.json").read_text())
        version = config["format_version"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        way_out = "save a model there first"
        raise ValueError(
            describe("load", str(folder), "not a model", "a folder that save() wrote", way_out)
        ) from error
    if version > FORMAT_VERSION:
        what, way_out = f"the format version of {folder}", "install a newer pyhybrid"
        raise ValueError(describe("load", what, version, f"at most {FORMAT_VERSION}", way_out))
    array_folder = folder / config["array_folder"]
    arrays = {
        name: _read_array(array_folder, name, described)
        for name, described in config["arrays"].items()
    }
    return config, arrays


def _require_free(folder: Path) -> None:
    is_model = (folder / "config.json").is_file()
    if folder.is_file() or (folder.is_dir() and any(folder.iterdir()) and not is_model):
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
            text = np.load(folder / f"{name}.utf8.npy", allow_pickle=False).tobytes()
            ends = np.load(folder / f"{name}.ends.npy", allow_pickle=False).tolist()
            strings = [text[a:b].decode() for a, b in zip([0, *ends], ends, strict=False)]
            array = np.array(strings, dtype=object)
        else:
            mode: Literal["r"] | None = (
                "r" if 0 not in described["shape"] else None
            )  # nothing can't be mapped
            array = np.load(folder / f"{name}.npy", mmap_mode=mode, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        what, way_out = f"array {name!r} in {folder}", "save the model again"
        raise ValueError(describe("load", what, f"damaged ({error})", "whole", way_out)) from error
    if list(array.shape) != list(described["shape"]):
        what = f"the shape of array {name!r} in {folder}"
        raise ValueError(describe("load", what, array.shape, str(tuple(described["shape"]))))
    return array
