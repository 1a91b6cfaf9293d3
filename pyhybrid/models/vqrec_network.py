"""VQ-Rec's network and its two losses; needs torch.

Y. Hou, Z. He, J. McAuley, W. X. Zhao, "Learning Vector-Quantized Item Representation for
Transferable Sequential Recommenders" (VQ-Rec), WWW 2023.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import nn
from torch.nn import functional

from pyhybrid.models.catalog_loss import softmax_loss
from pyhybrid.models.code_embedding import look_up
from pyhybrid.models.transformer import states_at

if TYPE_CHECKING:
    from torch import Tensor

    from pyhybrid.models.code_alignment import CodeAlignment
    from pyhybrid.models.code_embedding import CodeEmbedding, ItemCodes
    from pyhybrid.models.transformer import SequenceEncoder

__all__ = ["VQRecNetwork", "contrastive_loss", "semi_synthetic"]


class VQRecNetwork(nn.Module):
    """Hold the table, the encoder and the items' codes; while rows are aligned, that too.

    Histories and next items are int64 (batch, length), items numbered from 1 and 0 for none, as
    `SequentialRecommender` gives them.

    Args:
        embedding: The learned rows.
        encoder: Of histories.
        codes: Of the items.
        alignment: Puts the rows into another order; None: they stay.
        temperature: Divides all cosines (tau).
    """

    def __init__(
        self,
        embedding: CodeEmbedding,
        encoder: SequenceEncoder,
        codes: ItemCodes,
        alignment: CodeAlignment | None,
        temperature: float,
    ) -> None:
        super().__init__()
        self.embedding, self.encoder, self.codes = embedding, encoder, codes
        self.alignment = alignment
        self.temperature = temperature

    def rows(self) -> Tensor:
        """Return the rows that codes name, in their present order: (parts, entries, dim)."""
        table: Tensor = self.embedding.table
        return table if self.alignment is None else self.alignment(table)

    def settle(self) -> None:
        """Bring the table's rows into the order that was learned, for good."""
        if self.alignment is None:
            return
        with torch.no_grad():
            each = torch.arange(len(self.embedding.table), device=self.embedding.table.device)
            order = self.alignment.permutations()
            self.embedding.table.copy_(self.embedding.table[each[:, None], order])
        self.alignment = None

    def softmax(self, items: Tensor, targets: Tensor) -> Tensor:
        """Return the cross-entropy of next items among all training items (eq. 10), a scalar."""
        vectors = look_up(self.rows(), self.codes.warm)  # (warm, dim)
        padded = functional.pad(vectors, (0, 0, 1, 0))  # (1 + warm, dim): no item is all zeros
        place, is_real = self.codes.place[items], targets > 0
        states = states_at(self.encoder, padded.__getitem__, place, is_real)  # (positions, dim)
        # A cosine's bfloat16 has two digits, and the temperature takes one of them.
        with torch.autocast(items.device.type, enabled=False):
            wanted = self.codes.place[targets[is_real]] - 1
            return softmax_loss(
                _directions(states) / self.temperature, _directions(vectors), wanted
            )

    def contrast(self, items: Tensor, targets: Tensor, rho: float) -> Tensor:
        """Return the loss of the pre-training task (eq. 6 to 8), a scalar.

        Rows are all positions of the batch. One's negatives are the next items of other histories'
        rows, unless they have the code of its own next item, and a semi-synthetic item.

        Args:
            items: Histories.
            targets: Their next items.
            rho: The share of a semi-synthetic item's code that is drawn by chance.
        """
        rows = self.rows()
        present, place = torch.unique(torch.stack([items, targets]), return_inverse=True)
        vectors = look_up(rows, self.codes.codes[(present - 1).clamp_min(0)])  # (present, dim)
        is_real = targets > 0
        # Where there is no item stands any: after all that count, and its state is not taken.
        states = states_at(self.encoder, vectors.__getitem__, place[0], is_real)  # (positions, dim)
        wanted = targets[is_real] - 1  # (positions,)
        code, kind = self.codes.codes[wanted], self.codes.kind[wanted]
        drawn = semi_synthetic(code, rho, rows.shape[1])
        users = torch.nonzero(is_real)[:, 0]
        with torch.autocast(items.device.type, enabled=False):
            return contrastive_loss(
                _directions(states),
                _directions(vectors[place[1][is_real]]),
                _directions(look_up(rows, drawn)),
                is_no_negative=(users[:, None] == users) | (kind[:, None] == kind),
                is_no_synthetic=(drawn == code).all(-1),
                temperature=self.temperature,
            )


def _directions(vectors: Tensor) -> Tensor:
    return functional.normalize(vectors.float(), dim=-1)


def semi_synthetic(codes: Tensor, rho: float, entries: int) -> Tensor:
    """Replace parts of codes by chance: near enough to real items to be hard to tell from them.

    Args:
        codes: uint8 (rows, parts).
        rho: The probability with which a part is replaced, each by itself. (The paper speaks of a
            small share; the authors' code has 0.75.)
        entries: A replacement is drawn from 0 .. entries - 1, the part's own code among them.

    Returns:
        uint8 (rows, parts), drawn with torch's global generator of the codes' device.

    >>> semi_synthetic(torch.tensor([[3, 1]], dtype=torch.uint8), 0.0, 4)
    tensor([[3, 1]], dtype=torch.uint8)
    """
    drawn = torch.randint(entries, codes.shape, dtype=codes.dtype, device=codes.device)
    is_replaced = torch.rand(codes.shape, device=codes.device) < rho
    return torch.where(is_replaced, drawn, codes)


def contrastive_loss(
    states: Tensor,
    items: Tensor,
    synthetic: Tensor,
    *,
    is_no_negative: Tensor,
    is_no_synthetic: Tensor,
    temperature: float,
) -> Tensor:
    """Tell each state's next item from the other rows' and from a semi-synthetic one.

    With s_j a state, v_j its next item, v_b those of the other rows b that are negatives of j, and
    v~_j the semi-synthetic one, the loss is the mean over j of (eq. 6 to 8)

        - log exp(s_j v_j / tau) / (sum over b and j of exp(s_j v_b / tau) + exp(s_j v~_j / tau)).

    Args:
        states: (rows, dim), of length 1, as are all vectors here.
        items: (rows, dim), the next items.
        synthetic: (rows, dim).
        is_no_negative: bool (rows, rows): entry (j, b) leaves row b's item out of row j's sum, as
            where both have the same next item. The diagonal is not looked at.
        is_no_synthetic: bool (rows,): leaves the semi-synthetic item out, as where it is the item
            itself.
        temperature: tau.

    Returns:
        A scalar.

    >>> same = torch.eye(2)
    >>> nothing = torch.zeros(2, dtype=torch.bool)
    >>> contrastive_loss(same, same, same, is_no_negative=nothing.expand(2, 2),
    ...                  is_no_synthetic=~nothing, temperature=1.0)  # log(1 + 1 / e)
    tensor(0.3133)
    """
    cosines = states @ items.T  # (rows, rows)
    itself = torch.eye(len(states), dtype=torch.bool, device=states.device)
    cosines = cosines.masked_fill(is_no_negative & ~itself, -torch.inf)
    of_synthetic = (states * synthetic).sum(-1).masked_fill(is_no_synthetic, -torch.inf)  # (rows,)
    scores = torch.cat([cosines, of_synthetic[:, None]], dim=1) / temperature
    return functional.cross_entropy(scores, torch.arange(len(states), device=states.device))
