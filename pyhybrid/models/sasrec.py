"""SASRec: self-attention over the items that a user has taken, in their order.

W.-C. Kang, J. McAuley, "Self-Attentive Sequential Recommendation", ICDM 2018, arXiv:1808.09781.
An item's embedding plus its position's (eq. 1) goes through causal self-attention layers
(`pyhybrid.models.transformer`; eq. 2 to 5). The state F_t at position t scores item i as the next
one by the item's own embedding (the "shared item embedding" of section III-C; eq. 6):

    r_(i,t) = F_t . M_i

The paper trains by binary cross-entropy against one sampled negative j a position (eq. 7),

    -log sigmoid(r_(o_t, t)) - log(1 - sigmoid(r_(j, t))),

which overestimates how likely items are and is the reason that SASRec falls short in later
comparisons; with the softmax over all items it is as good as what came after it (A. Klenitskiy, A.
Vasilev, "Turning Dross Into Gold Loss: is BERT4Rec really better than SASRec?", RecSys 2023,
arXiv:2309.07602). That is the default here.

On labelled rows (`pyhybrid.data.Feedback`) it learns to tell what was liked from what was not, as
in Y. Zhang et al., "CoLLM: Integrating Collaborative Embeddings into Large Language Models for
Recommendation", arXiv:2310.19488: by the binary cross-entropy of sigmoid(r_(i,t)), where t is the
last event before the row. There, unlike theirs, r has a bias of the item, which begins at its
log-odds of being liked: so that a user with nothing before a row has a score, and the states need
not learn how good items are.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np

from pyhybrid.checks import one_of
from pyhybrid.data.matrices import rows_of
from pyhybrid.errors import describe
from pyhybrid.models.feedback_base import LearnsFromRows
from pyhybrid.models.row_windows import RowBatch, RowWindows
from pyhybrid.models.sequential import SequentialRecommender

if TYPE_CHECKING:
    from collections.abc import Iterator

    import torch
    from numpy.typing import NDArray
    from torch import Tensor, nn

    from pyhybrid.data.catalog import Catalog
    from pyhybrid.data.feedback import Feedback
    from pyhybrid.data.interactions import Interactions

__all__ = ["SASRec"]

_MEAN_ROWS = 5  # that an item's bias begins with


class Batch(NamedTuple):
    """Some users' sequences: int64 (batch, length) each, items numbered from 1, 0 for none.

    Attributes:
        items: What stands at each position.
        targets: What stands at the next one.
        negatives: An item drawn for each position that the user has not taken; or None.
    """

    items: NDArray[np.int64]
    targets: NDArray[np.int64]
    negatives: NDArray[np.int64] | None


class SASRec(LearnsFromRows, SequentialRecommender):
    """Predict the next item from the items before it, by self-attention.

    Memory: with ``loss="softmax"`` on a GPU three float32 matrices of positions x items for a
    batch, where positions are its users' events: at 12,000 items and 256 users with 8 events each
    0.3 GB. On a CPU one of 128 (or `dim`, where that is more) x items: 6 MB.

    Args:
        dim: Of the item embeddings and all layers (the paper's d, "hidden units").
        layers: Self-attention blocks (b).
        heads: Attention heads; `dim` is a multiple.
        dropout: Share of the embeddings, attention weights and layer outputs that is dropped.
        max_length: The last so many events of a user count (n).
        loss: "softmax", the cross-entropy over all items; or "bce", the paper's own. Of no account
            on `Feedback`, whose rows say what was not liked.
        lr: AdamW's learning rate.
        weight_decay: AdamW's, of the embeddings and matrices.
        batch_size: Users a step, or windows of `max_length` events of a user.
        epochs: At most so many passes over the users.
        patience: With ``fit(validation=...)``: stop after so many epochs without a better figure.
        precision: "float32", or "bfloat16" for training's matrix products; None: bfloat16 on a GPU
            that has it, else float32. Scoring is in float32 throughout.
        seed: Of the initial weights, the users' order, dropout and the negatives.
        device: "cpu", "cuda", or None for a GPU if there is one, to fit and to score on.

    Attributes:
        item_vectors: float32 (rankable, dim); after a fit on `Feedback` with one column more, the
            items' biases less their mean. `user_vectors` has a 1 there, for an empty history too.

    >>> from pyhybrid import Interactions
    >>> users, items = np.repeat(np.arange(8), 5), np.tile([1, 2, 3, 4, 5], 8)
    >>> seen = Interactions.from_columns(users, items, ordered=True)
    >>> model = SASRec(dim=8, heads=1, epochs=30, lr=0.02, device="cpu").fit(seen)
    >>> history = Interactions.from_columns(["new", "new"], [2, 3], ordered=True)
    >>> model.item_ids[model.recommend(history, n=1).items]
    array([[4]])
    """

    _betas = (0.9, 0.98)  # as the authors' code has it
    _windows: RowWindows | None = None  # of the rows that a fit learns from

    def __init__(
        self,
        *,
        dim: int = 64,
        layers: int = 2,
        heads: int = 2,
        dropout: float = 0.2,
        max_length: int = 50,
        loss: Literal["softmax", "bce"] = "softmax",
        lr: float = 0.001,
        weight_decay: float = 0.0,
        batch_size: int = 256,
        epochs: int = 200,
        patience: int = 10,
        precision: Literal["float32", "bfloat16"] | None = None,
        seed: int = 0,
        device: str | None = None,
    ) -> None:
        who = "SASRec"
        self._set_shape(
            who, dim=dim, layers=layers, heads=heads, dropout=dropout, max_length=max_length
        )
        self.loss = one_of(who, "loss", loss, ("softmax", "bce"))
        self._set_recipe(
            who,
            lr=lr,
            weight_decay=weight_decay,
            batch_size=batch_size,
            epochs=epochs,
            patience=patience,
            precision=precision,
            seed=seed,
            device=device,
        )

    def _network(self, interactions: Interactions, catalog: Catalog | None) -> nn.Module:
        from torch import nn

        del catalog
        self._windows = None
        if self._feedback is not None:
            self._windows = RowWindows(self._feedback, self.max_length)
            if not len(self._windows):
                what = "number of rows with a history"
                raise ValueError(describe("SASRec", what, 0, "1 or more"))
        elif self.loss == "softmax":
            way_out = "use a smaller batch_size=, or loss='bce'"
            self._require_softmax(interactions, interactions.n_items, way_out)
        embedding = nn.Embedding(1 + interactions.n_items, self.dim, padding_idx=0)
        nn.init.normal_(embedding.weight[1:], std=0.02)
        parts = {"embedding": embedding, "encoder": self._new_encoder()}
        if self._feedback is not None:
            # One-dimensional, so that weight_decay leaves it alone
            parts["bias"] = nn.ParameterList([nn.Parameter(_log_odds(self._feedback))])
        return nn.ModuleDict(parts)

    def _steps(self, interactions: Interactions) -> int:
        if self._windows is None:
            return super()._steps(interactions)
        return -(-len(self._windows) // self.batch_size)

    def _batches(
        self, interactions: Interactions, generator: np.random.Generator
    ) -> Iterator[Batch | RowBatch]:
        if self._windows is not None:
            yield from self._windows.batches(self.batch_size, generator)
            return
        for users, items, targets in self._rows_of_batches(interactions, generator):
            negatives = None
            if self.loss == "bce":
                drawn = generator.integers(1, interactions.n_items + 1, size=targets.shape)
                # Where chance fell on an item that the user has taken, there is no negative.
                negatives = np.where(_has_taken(interactions, users, drawn), 0, drawn)
            yield Batch(items, targets, negatives)

    def _loss(self, network: Any, device: torch.device, batch: Batch | RowBatch) -> Tensor:
        import torch
        from torch.nn import functional

        from pyhybrid.models.catalog_loss import softmax_loss
        from pyhybrid.models.transformer import states_at

        embedding, encoder = network["embedding"], network["encoder"]
        targets = torch.from_numpy(batch.targets).to(device)
        items = torch.from_numpy(batch.items).to(device)
        if isinstance(batch, RowBatch):
            places, labels = (
                torch.from_numpy(array).to(device) for array in (batch.places, batch.labels)
            )
            states = states_at(encoder, embedding, items, items > 0)  # (positions, dim)
            # A lookup, as the gradient of plain indexing sums in an order of chance.
            at_rows = functional.embedding(places, states)  # (rows, dim)
            logits = (at_rows * embedding(targets)).sum(-1).float()
            logits = logits + functional.embedding(targets, network["bias"][0][:, None])[:, 0]
            return functional.binary_cross_entropy_with_logits(logits, labels)
        is_real = targets > 0
        states = states_at(encoder, embedding, items, is_real)  # (positions, dim)
        targets = targets[is_real]  # (positions,)
        if batch.negatives is None:
            return softmax_loss(states, embedding.weight[1:], targets - 1)
        negatives = torch.from_numpy(batch.negatives).to(device)[is_real]
        of_targets = (states * embedding(targets)).sum(-1).float()  # (positions,)
        of_negatives = (states * embedding(negatives)).sum(-1).float()
        of_negatives = of_negatives[negatives > 0]
        # -log sigmoid(r) = softplus(-r) and -log(1 - sigmoid(r)) = softplus(r)
        total = functional.softplus(-of_targets).sum() + functional.softplus(of_negatives).sum()
        return total / len(targets)

    def _take(self, network: Any) -> None:
        self.item_vectors = network["embedding"].weight[1:].detach().cpu().numpy().copy()
        if "bias" in network:
            bias = network["bias"][0][1:].detach().cpu().numpy()
            # An item that nobody rated, which has none, is then as good as the mean.
            self.item_vectors = np.column_stack([self.item_vectors, bias - bias.mean()])
        self._encoder = network["encoder"]

    def _embed(self, items: NDArray[np.int64]) -> NDArray[np.float32]:
        return super()._embed(items)[..., : self.dim]

    def _user_vectors(self, histories: Interactions) -> NDArray[np.float32]:
        vectors = super()._user_vectors(histories)
        if self.item_vectors.shape[1] == self.dim:
            return vectors
        return np.hstack([vectors, np.ones_like(vectors[:, :1])])

    def _item_directions(self) -> NDArray[np.float32]:
        return self.item_vectors[:, : self.dim]  # without the bias, which is popularity


def _log_odds(rows: Feedback) -> Tensor:
    """Return how likely items are to be liked, as logits: float32 (1 + items,), 0 first.

    Of each item's rows and `_MEAN_ROWS` more that are liked as often as the mean of all.
    """
    import torch

    counts = np.bincount(rows.items, minlength=rows.likes.n_items) + _MEAN_ROWS
    liked = np.bincount(rows.items, rows.labels, rows.likes.n_items)
    shares = (liked + _MEAN_ROWS * (rows.labels.sum() + 1) / (len(rows) + 2)) / counts
    logits = np.concatenate([[0.0], np.log(shares / (1 - shares))])
    return torch.from_numpy(logits.astype(np.float32))


def _has_taken(
    interactions: Interactions, users: NDArray[np.int64], items: NDArray[np.int64]
) -> NDArray[np.bool_]:
    """Tell for items (users, length), numbered from 1, whether their row's user has taken them."""
    matrix = interactions.matrix[users]
    width = interactions.n_items + 1
    taken = rows_of(matrix.indptr) * width + matrix.indices + 1  # ascending: rows are canonical
    wanted = np.arange(len(users))[:, None] * width + items
    places = np.minimum(np.searchsorted(taken, wanted), len(taken) - 1)
    found: NDArray[np.bool_] = taken[places] == wanted
    return found
