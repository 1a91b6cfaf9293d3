"""Backbone: a language model that answers yes or no to prompts with soft tokens in them.

A soft token is a vector that stands in a prompt where a word's embedding would, as CoLLM has a
user's and an item's there (Y. Zhang et al., "CoLLM: Integrating Collaborative Embeddings into Large
Language Models for Recommendation", arXiv:2310.19488). The network's own weights never change; what
can be trained are LoRA weights beside them, and what the vectors come from.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pyhybrid.checks import count, switch
from pyhybrid.errors import describe
from pyhybrid.llm.loading import load_network, require_transformers
from pyhybrid.llm.lora import add_lora, lora_weights, set_tensors
from pyhybrid.llm.networks import LanguageNetwork, repeated
from pyhybrid.llm.tokens import Prefix, PromptTokenizer, TokenBatch

if TYPE_CHECKING:
    import os
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    import numpy as np
    import torch
    from numpy.typing import NDArray
    from torch import Tensor, nn

    from pyhybrid.llm.loading import Dtype
    from pyhybrid.llm.networks import Kind
    from pyhybrid.llm.prompts import Prompt

__all__ = ["Backbone", "Prefix"]

_MAX_TOKENS = 1024


class Backbone:
    """Answer yes or no to prompts with soft tokens by a language model whose weights stay.

    A causal model answers by the logits of the first tokens of yes and of no after the prompt, a
    text encoder by a linear layer of its own, the head, on the mean of the tokens' last states. A
    row's answer does not depend on the rows that it is batched with, but in its last bits.

    There are two modes, as for any network: ``backbone.module.train()`` lets dropout work,
    ``backbone.module.eval()``, as at first, does not.

    Attributes:
        kind: "causal" or "encoder".
        shares_prefixes: Whether many prompts can go on from one `prefix`: a causal model's whose
            layers all remember keys and values.
        hidden_size: The dimension of a soft token.
        max_tokens: A prompt's length at most, special and soft tokens counted.
        module: All weights, the network's and the head's, to move or to train.
        folder: Where the model was found; None if it was not loaded from disk.

    >>> backbone = Backbone.load("Qwen/Qwen3-0.6B")  # doctest: +SKIP
    >>> asked = Prompt(("Is", Slot("item"), " a good film? Answer:"))  # doctest: +SKIP
    >>> batch = backbone.encode([asked])  # doctest: +SKIP
    >>> vectors = torch.zeros(1, 1, 1, backbone.hidden_size)  # doctest: +SKIP
    >>> backbone.yes_no(batch, vectors).shape  # doctest: +SKIP
    torch.Size([1, 2])
    """

    folder: Path | None = None

    def __init__(
        self,
        network: Any,
        tokenizer: Any,
        *,
        kind: Kind | None = None,
        max_tokens: int | None = None,
        answers: tuple[str, str] = (" Yes", " No"),
        checkpointing: bool = False,
        seed: int = 0,
        who: str = "Backbone",
    ) -> None:
        """Wrap a network and its tokenizer, both of the transformers library.

        Args:
            network: A causal language model or a text encoder. Its weights no longer require a
                gradient.
            tokenizer: The network's.
            kind: Which of the two it is; None: as the name of its class tells.
            max_tokens: None: 1024, or as many as the model takes.
            answers: Yes and no as they go on from the end of a prompt to a causal model.
            checkpointing: Keep only the layers' inputs for the backward pass and compute the rest
                again: less memory, more time.
            seed: Of the head.
            who: Whose backbone it is, as errors name it.

        Raises:
            ImportError: Without torch or transformers.
            ValueError: If the network is of neither kind, changes its logits after its last layer,
                or has no layers for `checkpointing`; or the tokenizer is another network's, or
                reads special tokens in texts.
        """
        require_transformers(who)
        from torch import nn

        self.who = who
        self._network = LanguageNetwork(who, network, kind)
        self.kind, self.hidden_size = self._network.kind, self._network.token_dim
        self.shares_prefixes = self._network.shares_prefixes
        if len(tokenizer) > self._network.vocabulary:
            what = "the number of the tokenizer's tokens"
            expected = f"{self._network.vocabulary} or less, as the network has"
            raise ValueError(describe(who, what, len(tokenizer), expected))
        longest = min(self._network.longest or _MAX_TOKENS, tokenizer.model_max_length)
        self.max_tokens = min(_MAX_TOKENS, longest)
        if max_tokens is not None:
            self.max_tokens = count(who, "max_tokens", max_tokens)
        if self.max_tokens > longest:
            raise ValueError(describe(who, "max_tokens", max_tokens, f"{longest} or less"))
        self._tokens = PromptTokenizer(
            who,
            tokenizer,
            max_tokens=self.max_tokens,
            answers=answers if self.kind == "causal" else None,
        )
        if switch(who, "checkpointing", checkpointing):
            self._network.save_memory()
        parts = {"network": network}
        if self.kind == "encoder":
            parts["head"] = self._network.new_head(2, count(who, "seed", seed, least=0))
        self.module: nn.ModuleDict = nn.ModuleDict(parts).eval()

    @classmethod
    def load(
        cls,
        model: str | os.PathLike[str],
        *,
        kind: Kind | None = None,
        dtype: Dtype = "auto",
        device: str | None = None,
        who: str = "Backbone",
        **settings: Any,
    ) -> Backbone:
        """Load a model from weights in safetensors.

        Args:
            model: A folder, or ``organisation/name`` on the hub; without a slash a model of
                sentence-transformers, which can be an installed package's.
            kind: A causal language model or a text encoder; None: as its configuration tells.
            dtype: The weights'; "auto": that of the configuration, else of the file. LoRA weights
                and the head are float32 in any case.
            device: Such as "cpu" or "cuda:1"; None: a GPU if there is one, else the CPU.
            who: Whose backbone it is, as errors name it.
            settings: `max_tokens`, `answers`, `checkpointing` and `seed`, as for `Backbone`.

        Raises:
            ImportError: Without torch or transformers.
            FileNotFoundError: If the model is nowhere.
            MemoryError: If its weights need more than there is.
            ValueError: As for `Backbone`; or if the folder is no model, or lacks weights.
        """
        network, tokenizer, folder = load_network(who, model, kind=kind, dtype=dtype, device=device)
        backbone = cls(network, tokenizer, kind=kind, who=who, **settings)
        backbone.folder = folder
        return backbone

    @property
    def device(self) -> torch.device:
        """Where the model computes."""
        return self._network.device

    def encode(self, prompts: Sequence[Prompt], *, after: Prefix | None = None) -> TokenBatch:
        """Return prompts as a batch of tokens on the network's device.

        The histories of a prompt that is too long lose titles, the oldest first, until it fits;
        its other texts and its slots are never cut.

        Args:
            prompts: One or more, with the same slots. To a causal model each ends in a text that
                asks for the answer.
            after: The prefix that they go on from; None for whole prompts.

        Raises:
            TypeError: If one is no prompt.
            ValueError: If a prompt does not fit without any title; or the slots differ; or yes and
                no have no first tokens of their own after a prompt.
        """
        rows = self._tokens.rows(prompts, before=after.row if after else None)
        return self._tokens.batch(rows, self.device, start=len(after) if after else 0)

    def lengths(self, prompts: Sequence[Prompt]) -> NDArray[np.int64]:
        """Return how many tokens whole prompts have, were there room for all: int64 (prompts,)."""
        return self._tokens.lengths(prompts)

    def word_size(self) -> Tensor:
        """Return the root mean square of words' embeddings as prompts have them: float32 ()."""
        return self._network.word_size()

    def embed(self, batch: TokenBatch, vectors: Tensor | None = None) -> Tensor:
        """Return the tokens' embeddings, those at slots replaced: (rows, length, hidden_size).

        Args:
            batch: Of prompts.
            vectors: (rows, slots, T, hidden_size), the slots in the prompt's order. They, and not
                the network's embeddings, get a gradient. None where there are no slots.

        Raises:
            TypeError: If `vectors` is no tensor.
            ValueError: If it has another shape.
        """
        import torch

        embedded = self._network.embed(batch.ids)  # (rows, length, hidden_size)
        rows, slots, tokens = batch.slots.shape
        if vectors is None and not slots:
            return embedded
        shape = (rows, slots, tokens, self.hidden_size)
        if not isinstance(vectors, torch.Tensor):
            kind, expected = type(vectors).__name__, f"a tensor of shape {shape}"
            raise TypeError(describe(self.who, "the type of vectors", kind, expected))
        if vectors.shape != shape:
            found, expected = tuple(vectors.shape), f"{shape}, for the slots {batch.names}"
            raise ValueError(describe(self.who, "the shape of vectors", str(found), expected))
        row = torch.arange(rows, device=batch.ids.device)[:, None]  # (rows, 1)
        return embedded.index_put((row, batch.slots.flatten(1)), vectors.flatten(1, 2).to(embedded))

    def states(self, batch: TokenBatch, vectors: Tensor | None = None) -> Tensor:
        """Return what a prompt's answer is read from: (rows, the network's hidden size).

        A causal model's last state at the prompt's last token; the mean of an encoder's last states
        over all tokens, special ones too, in float32.

        Args:
            batch: Of whole prompts.
            vectors: As for `embed`.
        """
        if batch.start:
            what, expected = "the batch", "whole prompts"
            found = f"what follows a prefix of {batch.start} tokens"
            raise ValueError(describe(self.who, what, found, expected, "use yes_no_after"))
        states = self._network.states(self.embed(batch, vectors), batch.mask, batch.positions)
        if self.kind == "causal":
            return batch.of_last(states)
        weights = batch.mask[:, :, None].float()  # (rows, length, 1)
        mean: Tensor = (states.float() * weights).sum(1) / weights.sum(1)
        return mean

    def yes_no(self, batch: TokenBatch, vectors: Tensor | None = None) -> Tensor:
        """Return the logits of yes and of no: float32 (rows, 2).

        A causal model's logits of other tokens are not computed.

        Args:
            batch: Of whole prompts.
            vectors: As for `embed`.
        """
        return self._read(self.states(batch, vectors), batch)

    def prefix(self, prompt: Prompt, vectors: Tensor | None = None, *, room: int = 0) -> Prefix:
        """Let a causal model read the beginning of many prompts once, as `prefixes` does."""
        return self.prefixes([prompt], [room], vectors)[0]

    def prefixes(
        self, prompts: Sequence[Prompt], rooms: Sequence[int], vectors: Tensor | None = None
    ) -> list[Prefix]:
        """Let a causal model read the beginnings of many prompts each, without gradients.

        They are read in one batch, so that a few should be given at a time, of like lengths.
        Memory: 2 x layers x the longest prefix's length x the width of keys numbers for each, and
        as many again for each row of a batch that goes on from any of them.

        Args:
            prompts: The beginnings. The whole prompts' tokens, and so their scores, are the same as
                without a prefix if it ends at a slot, or where the tokenizer parts words.
            rooms: How many of `max_tokens` are left to what follows each, at the cost of titles.
            vectors: As for `embed`, a row for each.

        Raises:
            TypeError: If one is no prompt.
            ValueError: If the model is an encoder, which reads a prompt's beginning by its end, or
                does not share prefixes; or in training mode; or a prompt does not fit or has no
                token; or there are not as many rooms.
        """
        import torch

        if not self.shares_prefixes:
            what, way_out = "the model of a prefix", "use yes_no with whole prompts"
            found = "an encoder" if self.kind == "encoder" else "one with other memories"
            expected = "a causal one whose layers remember keys and values"
            raise ValueError(describe(self.who, what, found, expected, way_out))
        self._require_eval("prefix")
        rows = self._tokens.rows(
            prompts, [count(self.who, "room", room, least=0) for room in rooms]
        )
        if not all(row.ids for row in rows):
            raise ValueError(describe(self.who, "the prefix", "without tokens", "one or more"))
        batch = self._tokens.batch(rows, self.device, ask=False)
        cache = self._network.new_cache()
        with torch.no_grad():
            self._network.states(self.embed(batch, vectors), batch.mask, batch.positions, cache)
        return [Prefix(row, cache, place, batch.mask[place]) for place, row in enumerate(rows)]

    def yes_no_after(
        self, prefix: Prefix, batch: TokenBatch, vectors: Tensor | None = None
    ) -> Tensor:
        """Return the logits of yes and of no of prompts that begin alike, without gradients.

        Args:
            prefix: The beginning. It can be used again and again.
            batch: Of what follows, ``encode(prompts, after=prefix)``.
            vectors: As for `embed`, for the slots of what follows.

        Returns:
            float32 (rows, 2), as `yes_no` gives them for whole prompts, within rounding.

        Raises:
            ValueError: In training mode, or if the batch is not one of what follows.
        """
        import torch

        self._require_eval("yes_no_after")
        if batch.start != len(prefix):
            what, expected = "the length of the batch's prefix", f"{len(prefix)}, as the prefix has"
            way_out = "encode it with after="
            raise ValueError(describe(self.who, what, batch.start, expected, way_out))
        cache = repeated(prefix.cache, prefix.place, len(batch))
        mask = torch.cat([prefix.mask.expand(len(batch), -1), batch.mask], dim=1)
        with torch.no_grad():
            states = self._network.states(self.embed(batch, vectors), mask, batch.positions, cache)
            return self._read(batch.of_last(states), batch)

    def add_lora(
        self,
        rank: int = 8,
        alpha: float = 16.0,
        dropout: float = 0.05,
        targets: Iterable[str] | None = None,
        *,
        seed: int = 0,
    ) -> None:
        """Put LoRA weights beside the network's; they change no answer before they are trained.

        Args:
            rank: The width between A and B.
            alpha: B A x counts alpha / rank times.
            dropout: The share of a layer's input x that LoRA doesn't see in training.
            targets: The names of the layers; None: the projections to queries and to values.
            seed: Of A.

        Raises:
            ImportError: Without peft.
            ValueError: If there are LoRA weights already, or no such layers.
        """
        network = self._network.network
        add_lora(self.who, network, rank, alpha, dropout, targets, seed)

    def freeze_lora(self, frozen: bool = True) -> None:
        """Let the LoRA weights and the head require no gradient, or require one again."""
        for weight in self.lora_parameters():
            weight.requires_grad_(not frozen)

    def lora_parameters(self) -> list[nn.Parameter]:
        """Return what can be trained of the backbone: the LoRA weights and the head's."""
        return list(self._trained().values())

    def lora_state(self) -> dict[str, NDArray[np.float32]]:
        """Return copies of the LoRA weights, and the head's, by names that stay the same."""
        return {
            name: weight.detach().float().cpu().numpy().copy()
            for name, weight in self._trained().items()
        }

    def load_lora_state(self, arrays: Mapping[str, NDArray[np.float32]]) -> None:
        """Take what `lora_state` gave, in a backbone with LoRA of the same rank and targets.

        Raises:
            ValueError: If an array is missing, left over or of another shape; nothing is changed.
        """
        set_tensors(self.who, self._trained(), arrays)

    def _require_eval(self, method: str) -> None:
        if self._network.is_training:
            found, expected = "training", "evaluation, as dropout would differ from call to call"
            way_out = "call module.eval() first"
            raise ValueError(describe(self.who, f"the mode for {method}", found, expected, way_out))

    def _read(self, states: Tensor, batch: TokenBatch) -> Tensor:
        """Return the logits of yes and of no: (rows, 2)."""
        if batch.answers is not None:
            return self._network.logits(states, batch.answers)
        logits: Tensor = self.module["head"](states)
        return logits.float()

    def _trained(self) -> dict[str, nn.Parameter]:
        head = self.module["head"].named_parameters() if "head" in self.module else ()
        return lora_weights(self._network.network) | {
            f"head.{name}": weight for name, weight in head
        }
