"""Low-rank adaptation of a network's linear layers: a few weights beside those that stay.

E. J. Hu et al., "LoRA: Low-Rank Adaptation of Large Language Models", ICLR 2022, arXiv:2106.09685:

    W x  becomes  W x + (alpha / rank) B A x,    A (rank, in), B (out, rank), B = 0 at first

through the library peft, which puts A and B into the network.
"""

from __future__ import annotations

from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import numpy as np

from pyhybrid.checks import count, positive, share
from pyhybrid.errors import describe

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from numpy.typing import NDArray
    from torch import Tensor, nn

__all__ = ["add_lora", "lora_weights", "set_tensors"]

# What the projections to queries and values are called, in one kind of network or another
_QUERY_AND_VALUE = (
    ("q_proj", "v_proj"),
    ("query", "value"),
    ("query_proj", "value_proj"),
    ("q_lin", "v_lin"),
    ("q", "v"),
    ("qkv_proj",),
    ("query_key_value",),
    ("Wqkv",),
    ("c_attn",),
)


def add_lora(
    who: str,
    network: Any,
    rank: int,
    alpha: float,
    dropout: float,
    targets: Iterable[str] | None,
    seed: int,
) -> None:
    """Put LoRA weights, in float32, into a network, in place; they alone require a gradient.

    Args:
        who: Who asks, as errors name it.
        network: Of the transformers library.
        rank: The width between A and B.
        alpha: B A x counts alpha / rank times.
        dropout: The share of x that is left out in training.
        targets: The layers' names, as they are or without what stands before a dot; None: the
            projections to queries and values.
        seed: Of A.

    Raises:
        ImportError: Without peft.
        ValueError: If the network has LoRA weights already, or has no such layers.
    """
    count(who, "rank", rank)
    positive(who, "alpha", alpha)
    share(who, "dropout", dropout)
    count(who, "seed", seed, least=0)
    if find_spec("peft") is None:
        raise ImportError(f'{who} needs peft; pip install "pyhybrid[llm]"')
    if lora_weights(network):
        raise ValueError(describe(who, "add_lora", "called again", "one call for a network"))
    layers = _targets(who, network, targets)
    import torch
    from peft import LoraConfig, inject_adapter_in_model

    make: Any = LoraConfig
    config = make(r=rank, lora_alpha=alpha, lora_dropout=dropout, target_modules=layers)
    with torch.random.fork_rng(devices=[]):  # it draws on the CPU
        torch.default_generator.manual_seed(seed)
        inject_adapter_in_model(config, network)
    network.train(network.training)  # a new layer's dropout would work in evaluation too
    for weight in lora_weights(network).values():
        weight.data = weight.data.float()  # what is trained is not rounded to the network's dtype


def lora_weights(network: nn.Module) -> dict[str, nn.Parameter]:
    """Return a network's LoRA weights by the names of their layers."""
    return {
        name.replace(".default.", "."): weight
        for name, weight in network.named_parameters()
        if ".lora_" in name
    }


def set_tensors(
    who: str, tensors: Mapping[str, Tensor], arrays: Mapping[str, NDArray[np.float32]]
) -> None:
    """Give tensors the numbers of arrays of the same names and shapes.

    Raises:
        ValueError: If an array is missing, left over or of another shape; no tensor is changed.

    >>> import torch
    >>> weight = torch.zeros(2)
    >>> set_tensors("CoLLM", {"weight": weight}, {"weight": np.array([1.0, 2.0], np.float32)})
    >>> weight
    tensor([1., 2.])
    """
    import torch

    for name in sorted({*tensors} | {*arrays}):
        found = np.shape(arrays[name]) if name in arrays else "missing"
        shape = tuple(tensors[name].shape) if name in tensors else None
        if found != shape:
            expected = "no such array" if shape is None else f"an array of shape {shape}"
            way_out = "call add_lora with the rank and targets of the network that they are from"
            found = f"of shape {found}" if name in arrays else found
            raise ValueError(describe(who, f"the array {name!r}", found, expected, way_out))
    with torch.no_grad():
        for name, tensor in tensors.items():
            tensor.copy_(torch.from_numpy(np.array(arrays[name])))


def _targets(who: str, network: Any, targets: Iterable[str] | None) -> list[str]:
    """Return the names of layers, if the network has them."""
    layers = {name.rpartition(".")[2] for name, _ in network.named_modules()}
    if targets is None:
        for names in _QUERY_AND_VALUE:
            if layers.issuperset(names):
                return list(names)
        found = f"in none of its layers ({', '.join(sorted(layers - {''})[:20])}, ...)"
        raise ValueError(
            describe(who, "attention", found, "q_proj and v_proj, or the like", "name targets=")
        )
    listed = [targets] if isinstance(targets, str) else list(targets)
    # Of these the weights are read beside the network, where LoRA would be left out.
    ends = (network.get_input_embeddings(), network.get_output_embeddings())
    for target in listed:
        named = [
            layer
            for name, layer in network.named_modules()
            if name == target or name.endswith(f".{target}")
        ]
        if not named or any(layer is end for layer in named for end in ends):
            expected = "a layer of the network, other than its embeddings and its last layer"
            raise ValueError(describe(who, "targets", repr(target), expected))
    return listed
