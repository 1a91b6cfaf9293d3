"""Load a pretrained language model and its tokenizer."""

from __future__ import annotations

import json
import math
import os
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from pyhybrid.checks import one_of
from pyhybrid.errors import describe
from pyhybrid.llm.networks import network_kind
from pyhybrid.memory import require_memory
from pyhybrid.precision import warn_if_emulated
from pyhybrid.text.pretrained import find_model

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from pyhybrid.llm.networks import Kind

__all__ = ["Dtype", "load_network", "require_transformers"]

Dtype: TypeAlias = Literal["auto", "float32", "bfloat16", "float16"]
_DTYPES: tuple[Dtype, ...] = ("auto", "float32", "bfloat16", "float16")


def require_transformers(who: str) -> None:
    """Raise ImportError, with the way out, without torch or transformers."""
    for package in ("torch", "transformers"):
        if find_spec(package) is None:
            raise ImportError(f'{who} needs {package}; pip install "pyhybrid[llm]"')


def load_network(
    who: str,
    model: str | os.PathLike[str],
    *,
    kind: Kind | None,
    dtype: Dtype,
    device: str | None,
) -> tuple[Any, Any, Path]:
    """Return a pretrained network in evaluation mode, its tokenizer, and their folder.

    Memory: the weights once, and one tensor of them more where their dtype changes.

    Args:
        who: Who asks, as errors name it.
        model: A folder, or a name; see `pyhybrid.text.pretrained.find_model`.
        kind: A causal language model or a text encoder; None: as the configuration tells.
        dtype: The weights'; "auto": that of the configuration, else that of the file.
        device: Such as "cuda:1"; None: a GPU if there is one, else the CPU.

    Raises:
        ImportError: Without torch or transformers.
        FileNotFoundError: If the model is nowhere.
        MemoryError: If there is not enough for its weights.
        ValueError: If the folder is no such model, or lacks weights.
    """
    require_transformers(who)
    if not isinstance(model, str | os.PathLike) or not os.fspath(model):
        raise TypeError(describe(who, "model", repr(model), "a name or a path"))
    one_of(who, "dtype", dtype, _DTYPES)
    place = _device(who, device)
    folder = find_model(who, model)

    import torch
    from transformers import AutoConfig, AutoModel, AutoModelForCausalLM, AutoTokenizer

    config: Any = AutoConfig.from_pretrained(str(folder), local_files_only=True)
    kind = network_kind(who, config.architectures or (), kind)
    if dtype == "auto" and config.dtype is not None:
        dtype = str(config.dtype).removeprefix("torch.")  # type: ignore[assignment]
    needed = _weights_bytes(folder, dtype)
    way_out = "use a smaller model or dtype='bfloat16'"
    require_memory(who, f"the weights of {model}", needed, "being loaded", way_out)
    tokenizer: Any = AutoTokenizer.from_pretrained(str(folder), local_files_only=True)
    of_kind: Any = AutoModelForCausalLM if kind == "causal" else AutoModel
    with torch.random.fork_rng(devices=[]):  # weights that the file lacks are drawn
        network, told = of_kind.from_pretrained(
            str(folder),
            dtype=dtype,
            local_files_only=True,
            use_safetensors=True,
            output_loading_info=True,
        )
    # A pooler is the one thing that is not used here.
    lacking = sorted(name for name in told["missing_keys"] if "pooler" not in name)
    if lacking:
        expected = f"in the files, as {type(network).__name__} has it"
        raise ValueError(describe(who, f"{lacking[0]} of {model}", "missing", expected))
    warn_if_emulated(who, str(network.dtype).removeprefix("torch."), place)
    return network.to(place).eval(), tokenizer, folder


def _device(who: str, device: object) -> Any:
    import torch

    if device is not None and not isinstance(device, str):
        raise TypeError(describe(who, "device", repr(device), "a name such as 'cpu', or None"))
    name = device or ("cuda" if torch.cuda.is_available() else "cpu")
    try:
        return torch.empty(0, device=name).device
    except (RuntimeError, AssertionError) as error:  # AssertionError: a torch without CUDA
        reason = " ".join(str(error).splitlines()[:1])
        expected = f"one that torch has here ({reason})"
        raise ValueError(describe(who, "device", repr(device), expected)) from error


def _weights_bytes(folder: Path, dtype: str) -> int:
    """Return what a model's weights take in memory, from the headers of its files alone.

    A file in safetensors starts with the length of a JSON text and that text, which tells each
    tensor's shape and where its bytes are.
    """
    stored = numbers = 0
    for path in _weight_files(folder):
        with path.open("rb") as file:
            header = json.loads(file.read(int.from_bytes(file.read(8), "little")))
        tensors: Sequence[Any] = [header[name] for name in header if name != "__metadata__"]
        stored += sum(tensor["data_offsets"][1] - tensor["data_offsets"][0] for tensor in tensors)
        numbers += sum(math.prod(tensor["shape"]) for tensor in tensors)
    return {"float32": 4 * numbers, "bfloat16": 2 * numbers, "float16": 2 * numbers}.get(
        dtype, stored
    )


def _weight_files(folder: Path) -> list[Path]:
    index = folder / "model.safetensors.index.json"
    if (folder / "model.safetensors").is_file():
        return [folder / "model.safetensors"]
    if index.is_file():
        return [folder / name for name in set(json.loads(index.read_text())["weight_map"].values())]
    return list(folder.glob("*.safetensors"))
