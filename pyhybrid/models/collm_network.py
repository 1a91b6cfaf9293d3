"""CoLLM's network: a language model, and what maps collaborative vectors to its soft tokens."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, TypeAlias

import numpy as np
import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pyhybrid.llm.backbone import Backbone
    from pyhybrid.llm.tokens import TokenBatch

__all__ = ["CoLLMNetwork", "Stage"]

Stage: TypeAlias = Literal["text", "mapper", "joint"]


class CoLLMNetwork(nn.Module):
    """Score prompts by the language model's yes, with users and items as soft tokens in them.

    The mapper, one for users and items, is an MLP with one hidden layer; what comes out is brought
    to the size of the language model's own embeddings.

    Args:
        backbone: The language model, with LoRA.
        dim: Of the collaborative vectors; 0 for prompts of texts alone.
        width: The mapper's hidden layer is so many times as wide as its input.
        tokens: Soft tokens a user, and an item.
        less_no: Whether the logit of no is taken off that of yes.

    Attributes:
        scale: float32 (2,), what collaborative vectors are multiplied by: users' and items'.
        slots: Soft tokens of a user in the prompts of now: 0 until there is something to map.
    """

    backbone: Backbone
    scale: Tensor
    size: Tensor

    def __init__(
        self, backbone: Backbone, dim: int, *, width: int, tokens: int, less_no: bool
    ) -> None:
        super().__init__()
        self.backbone = backbone
        self.language = backbone.module
        self.tokens, self.less_no, self.slots = tokens, less_no, 0
        self.mapper = nn.Sequential()  # empty without vectors
        if dim:
            hidden = nn.Linear(dim, width * dim)
            out = nn.Linear(width * dim, tokens * backbone.hidden_size)
            nn.init.kaiming_normal_(hidden.weight)  # what comes out has a mean square of about 1
            nn.init.normal_(out.weight, std=(width * dim) ** -0.5)
            nn.init.zeros_(hidden.bias)
            nn.init.zeros_(out.bias)
            self.mapper = nn.Sequential(hidden, nn.ReLU(), out)
        self.register_buffer("size", backbone.word_size())
        self.register_buffer("scale", torch.ones(2))
        self._is_mapping = False

    def set_scale(self, vectors: NDArray[np.float32]) -> None:
        """Bring users' and items' vectors to a mean square of 1: some of them, (rows, 2, dim)."""
        squares = np.square(vectors).mean(axis=(0, 2))  # (2,)
        self.scale = self.scale.new_tensor(np.maximum(squares, 1e-12)).rsqrt()

    def begin(self, stage: Stage) -> None:
        """Let a stage's own parameters be trained, and no others."""
        self.backbone.freeze_lora(stage == "mapper")
        self.mapper.requires_grad_(stage != "text")
        self._is_mapping = stage == "mapper"
        self.slots = 0 if stage == "text" else self.tokens

    def train(self, mode: bool = True) -> CoLLMNetwork:
        """Turn dropout on or off; the language model has none while the mapper is trained alone."""
        super().train(mode)
        if mode and self._is_mapping:
            self.language.eval()
        return self

    def soft_tokens(self, vectors: Tensor, side: int | None = None) -> Tensor:
        """Map collaborative vectors to soft tokens: (rows, sides, tokens, hidden size).

        Args:
            vectors: (rows, 2, dim), of users and items; or (rows, 1, dim).
            side: 0 if they are users' alone, 1 if they are items'.
        """
        scale = self.scale if side is None else self.scale[side : side + 1]
        mapped: Tensor = self.mapper(vectors * scale[:, None]) * self.size
        return mapped.view(*mapped.shape[:-1], self.tokens, -1)

    def forward(self, batch: TokenBatch, vectors: Tensor | None) -> Tensor:
        """Return the prompts' scores: float32 (rows,).

        Args:
            batch: Of prompts whose slots are a user's and then an item's, or that have none.
            vectors: (rows, 2, dim); None where there are no slots.
        """
        soft = None if vectors is None else self.soft_tokens(vectors)
        return self.scores(self.backbone.yes_no(batch, soft))

    def scores(self, yes_no: Tensor) -> Tensor:
        """Return what a yes and a no are worth: (rows,), of (rows, 2)."""
        return yes_no[:, 0] - yes_no[:, 1] if self.less_no else yes_no[:, 0]
