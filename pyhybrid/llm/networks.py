"""LanguageNetwork: one face for causal language models and text encoders of transformers."""

from __future__ import annotations

import copy
import inspect
from functools import wraps
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from pyhybrid.checks import one_of
from pyhybrid.errors import describe
from pyhybrid.storage import digest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    import torch
    from torch import Tensor, nn

__all__ = ["Kind", "LanguageNetwork", "fingerprint_of", "network_kind", "repeated"]

Kind: TypeAlias = Literal["causal", "encoder"]

_KINDS: tuple[Kind, ...] = ("causal", "encoder")
_ENDINGS: tuple[tuple[Kind, tuple[str, ...]], ...] = (
    ("causal", ("ForCausalLM", "LMHeadModel")),
    ("encoder", ("Model", "ForMaskedLM")),
)
_HEAD_DEVIATION = 0.02
_WORDS = 1 << 15  # tokens that the size of embeddings goes by
_SAMPLED = 10_000  # numbers of a weight that its fingerprint goes by
# What some networks do to logits after the last layer's product, as their configurations name it
_LOGIT_CHANGES = (
    "final_logit_softcapping",
    "logits_soft_cap",
    "logit_scale",
    "logits_scaling",
    "lm_head_multiplier",
    "output_multiplier",
)


def network_kind(who: str, architectures: Iterable[str], kind: object = None) -> Kind:
    """Return `kind` if it is one, else the one that the names of architectures tell.

    >>> network_kind("CoLLM", ["LlamaForCausalLM"]), network_kind("CoLLM", ["BertModel"])
    ('causal', 'encoder')
    """
    if kind is not None:
        for known in _KINDS:
            if kind == known:
                return known
        one_of(who, "kind", kind, (*_KINDS, None))
    names = list(architectures)
    for known, endings in _ENDINGS:
        if any(name.endswith(endings) for name in names):
            return known
    expected = "a causal language model or a text encoder"
    way_out = "say kind='causal' or kind='encoder'"
    raise ValueError(describe(who, "the model's architecture", names, expected, way_out))


class LanguageNetwork:
    """Run a network from embeddings to its last states, and those to the logits of a few tokens.

    Attributes:
        kind: "causal" or "encoder".
        network: As it was given; its weights require no gradient.
        vocabulary: The number of its tokens.
        token_dim: The dimension of a token's embedding.
        state_dim: The dimension of a last state.
        longest: The most tokens that it can read; None where nothing says so.

    Raises:
        ValueError: If it is of neither kind, or changes logits after its last layer.
    """

    def __init__(self, who: str, network: Any, kind: object = None) -> None:
        self._who = who
        self.kind: Kind = network_kind(who, [type(network).__name__], kind)
        self.network = network
        config = network.config.get_text_config()
        _check(who, network, config, self.kind)
        self._body, self._embeddings = network.base_model, network.get_input_embeddings()
        self.vocabulary, self.token_dim = map(int, self._embeddings.weight.shape)
        self.state_dim = int(config.hidden_size)
        self.longest: int | None = getattr(config, "max_position_embeddings", None)
        network.requires_grad_(False)

    @property
    def device(self) -> torch.device:
        """Where the network computes."""
        device: torch.device = self._embeddings.weight.device
        return device

    @property
    def is_training(self) -> bool:
        """Whether dropout works."""
        return bool(self._body.training)

    def save_memory(self) -> None:
        """Keep only the layers' inputs for a backward pass, which computes the rest again.

        Unlike with the network's own switch, dropout need not be on for that: what is trained may
        stand before a network in evaluation mode.

        Raises:
            ValueError: If the network doesn't say what its layers are.
        """
        from transformers.modeling_layers import GradientCheckpointingLayer

        layers = [m for m in self.network.modules() if isinstance(m, GradientCheckpointingLayer)]
        if not layers:
            found, expected = type(self.network).__name__, "one whose layers can be computed again"
            way_out = "pass checkpointing=False"
            raise ValueError(describe(self._who, "the network", found, expected, way_out))
        for layer in layers:
            layer.forward = _computed_again(layer.forward)

    def embed(self, ids: Tensor) -> Tensor:
        """Return the embeddings of tokens, which need no gradient: (rows, length, token_dim)."""
        embedded: Tensor = self._embeddings(ids)
        return embedded.detach()

    def word_size(self) -> Tensor:
        """Return the root mean square of tokens' embeddings: float32 ().

        Of what `embed` gives: some networks multiply what stands in their table.
        """
        import torch

        step = 1 + self.vocabulary // _WORDS
        ids = torch.arange(0, self.vocabulary, step, device=self.device)
        return self.embed(ids).float().square().mean().sqrt()

    def states(
        self, embedded: Tensor, mask: Tensor, positions: Tensor, cache: Any = None
    ) -> Tensor:
        """Return the last states: (rows, length, state_dim).

        Args:
            embedded: (rows, length, token_dim).
            mask: (rows, length), 1 for tokens and 0 for padding; with a cache (rows, cached +
                length).
            positions: (rows, length); an encoder, padded on the right, counts for itself.
            cache: A causal model's keys and values of earlier tokens, which grow by these tokens'.
        """
        given: dict[str, Any] = {"inputs_embeds": embedded, "attention_mask": mask}
        if self.kind == "causal":
            given |= {"position_ids": positions, "use_cache": cache is not None}
        if cache is not None:
            # Its name before transformers 5.24
            named = "cache" in inspect.signature(self._body.forward).parameters
            given["cache" if named else "past_key_values"] = cache
        states: Tensor = self._body(**given).last_hidden_state
        return states

    @property
    def shares_prefixes(self) -> bool:
        """Whether what one prompt leaves in a cache can be taken by many that go on from it."""
        if self.kind == "encoder":
            return False
        layers = self.new_cache().layers
        # A convolution's or recurrence's state is changed in place, and not repeated for many rows.
        remembers_more = any(hasattr(one, "conv_states") for one in layers)
        return not remembers_more and all(hasattr(one, "batch_select_indices") for one in layers)

    def new_cache(self) -> Any:
        """Return an empty cache of keys and values."""
        from transformers import DynamicCache

        return DynamicCache(config=self.network.config)

    def new_head(self, answers: int, seed: int) -> nn.Linear:
        """Return a linear layer, in float32, from a state to the logits of so many answers."""
        import torch
        from torch import nn

        with torch.random.fork_rng(devices=[]):  # drawn on the CPU, alike on all devices
            torch.default_generator.manual_seed(seed)
            head = nn.Linear(self.state_dim, answers, device="cpu", dtype=torch.float32)
            nn.init.normal_(head.weight, std=_HEAD_DEVIATION)
            nn.init.zeros_(head.bias)
        return head.to(self.device)

    def logits(self, states: Tensor, tokens: Tensor) -> Tensor:
        """Return a causal model's logits of a few tokens, and of no others.

        Args:
            states: (rows, state_dim), one a row.
            tokens: int64 (rows, tokens), each row's own.

        Returns:
            float32 (rows, tokens).
        """
        layer = self.network.get_output_embeddings()
        weights = layer.weight[tokens].float()  # (rows, tokens, state_dim)
        # Not as a product of matrices, which autocast would round
        logits: Tensor = (states[:, None].float() * weights).sum(2)
        bias = getattr(layer, "bias", None)
        return logits if bias is None else logits + bias[tokens].float()


def repeated(cache: Any, row: int, times: int) -> Any:
    """Return a cache of keys and values that holds one row of another so many times.

    The other stays as it is: layers of keys and values put new tensors in the place of those that
    they hold, and do not change these.
    """
    import torch

    found = copy.copy(cache)
    found.layers = [copy.copy(layer) for layer in cache.layers]
    for layer in found.layers:
        if getattr(layer, "keys", None) is not None:  # some layers have none
            layer.batch_select_indices(torch.full((times,), row, device=layer.keys.device))
    return found


def fingerprint_of(network: Any) -> str:
    """Return a short fingerprint of a network's weights, each by an even sample of its numbers.

    It is the same on all devices, and whatever the weights are called; another dtype has another.
    """
    import torch

    found = []
    for weight in network.parameters():
        some = weight.detach().flatten()[:: 1 + weight.numel() // _SAMPLED].contiguous()
        found.append(digest(list(weight.shape), some.view(torch.uint8).cpu().numpy()))
    return digest(sorted(found))


def _computed_again(forward: Callable[..., Any]) -> Callable[..., Any]:
    import torch
    from torch.utils.checkpoint import checkpoint

    @wraps(forward)
    def run(*inputs: Any, **named: Any) -> Any:
        if not torch.is_grad_enabled():
            return forward(*inputs, **named)
        return checkpoint(forward, *inputs, use_reentrant=False, **named)

    return run


def _check(who: str, network: Any, config: Any, kind: Kind) -> None:
    """Refuse a network whose answers would be wrong."""
    if network.config.is_encoder_decoder:
        found, expected = "an encoder with a decoder", "a causal language model or a text encoder"
        raise ValueError(describe(who, "the network", found, expected))
    if kind == "encoder":
        return
    if network.get_output_embeddings() is None:
        found, expected = type(network).__name__, "one with a last layer over its tokens"
        raise ValueError(describe(who, "the causal language model", found, expected))
    for name in _LOGIT_CHANGES:
        value = getattr(config, name, None)
        if value not in (None, 1):
            what, expected = f"the network's {name}", "none: logits are its last layer's"
            raise ValueError(describe(who, what, value, expected, "take another model"))
