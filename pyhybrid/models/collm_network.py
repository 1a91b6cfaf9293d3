"""CoLLM's network: a language model, and what maps collaborative vectors to its soft tokens."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from torch import Tensor, nn

if TYPE_CHECKING:
    from pyhybrid.llm.backbone import Backbone
    from pyhybrid.llm.tokens import TokenBatch

__all__ = ["CoLLMNetwork", "Stage"]

Stage: TypeAlias = Literal["text", "mapper", "joint"]


class CoLLMNetwork(nn.Module):
    """Score prompts by the language model's yes, with users and items as soft tokens in them.

    The mapper, one for users and items, is an MLP with one hidden layer; what comes out is scaled
    to the size of the language model's own embeddings.

    Args:
        backbone: The language model.
        dim: Of the collaborative vectors.
        width: The mapper's hidden layer is so many times as wide as its input.
        tokens: Soft tokens a user, and an item.
        scale: What collaborative vectors are multiplied by, (2,): users' and items'.
        less_no: Whether the logit of no is taken off that of yes.
    """

    scale: Tensor
    size: Tensor

    def __init__(
        self,
        backbone: Backbone,
        dim: int,
        *,
        width: int,
        tokens: int,
        scale: Tensor,
        less_no: bool,
    ) -> None:
        super().__init__()
        # Not a module of this one: of its weights only those that are trained are its own.
        object.__setattr__(self, "backbone", backbone)
        self.language = backbone.module
        self.tokens, self.less_no = tokens, less_no
        hidden = nn.Linear(dim, width * dim)
        out = nn.Linear(width * dim, tokens * backbone.hidden_size)
        nn.init.kaiming_normal_(hidden.weight)  # so that what comes out has a mean square of 1
        nn.init.normal_(out.weight, std=(width * dim) ** -0.5)
        for layer in (hidden, out):
            nn.init.zeros_(layer.bias)
        self.mapper = nn.Sequential(hidden, nn.ReLU(), out)
        words = self.language["network"].get_input_embeddings().weight
        self.register_buffer("size", words.detach().float().square().mean().sqrt())
        self.register_buffer("scale", scale)
        self.is_mapping = False

    def begin(self, stage: Stage) -> None:
        """Let a stage's own parameters be trained, and no others."""
        self.backbone.freeze_lora(stage == "mapper")
        self.mapper.requires_grad_(stage != "text")
        self.is_mapping = stage == "mapper"

    def train(self, mode: bool = True) -> CoLLMNetwork:
        """Turn dropout on or off; while the mapper is trained alone, the language model has none."""
        super().train(mode)
        if mode and self.is_mapping:
            self.language.eval()
        return self

    def soft_tokens(self, vectors: Tensor) -> Tensor:
        """Map vectors of users and items, (rows, 2, dim): (rows, 2, tokens, hidden size)."""
        mapped: Tensor = self.mapper(vectors * self.scale[:, None]) * self.size
        return mapped.unflatten(-1, (self.tokens, -1))

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

    backbone: Any
