"""MF: matrix factorisation with biases.

Y. Koren, R. Bell, C. Volinsky, "Matrix Factorization Techniques for Recommender Systems", IEEE
Computer 42(8), 2009. A user u likes an item i as much as

    s_ui = p_u . q_i + b_i + b_u    (eq. 4, without the overall mean)

with factors p and q, and the biases of a popular item and of a user who likes much. Learned, as the
collaborative model of Y. Zhang et al., "CoLLM: Integrating Collaborative Embeddings into Large
Language Models for Recommendation", arXiv:2310.19488, by the binary cross-entropy of sigmoid(s_ui)
over labelled rows, plus

    l2 (|p_u|^2 + |q_i|^2 + b_u^2 + b_i^2)

for each row, so that whoever has more rows is regularised more often. CoLLM's has no biases.

Users who come after the training are folded in: their p is one Newton step from zero of the same
loss, over the items of the history H as positives and, where negatives were drawn, all items as
negatives of weight w = negatives |H| / items each:

    p = (sum_H c_i q_i q_i^T + w sum_j c_j q_j q_j^T + 2 l2 n I)^-1 (sum_H (1 - g_i) q_i
        - w sum_j g_j q_j),    g_i = sigmoid(b_i),    c_i = g_i (1 - g_i)

where n counts the rows, |H| or |H| (1 + negatives).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np

from pyhybrid.checks import count, not_negative
from pyhybrid.data.ids import positions
from pyhybrid.data.labelling import draw_untaken
from pyhybrid.data.matrices import rows_of
from pyhybrid.memory import require_memory
from pyhybrid.models.feedback_base import LearnsFromRows
from pyhybrid.models.vector_base import VectorRecommender

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    import torch
    from numpy.typing import NDArray
    from torch import Tensor, nn

    from pyhybrid.data.catalog import Catalog
    from pyhybrid.data.feedback import Feedback
    from pyhybrid.data.interactions import Interactions

__all__ = ["MF"]

_COPIES = 5  # of the factors: themselves, their gradient, Adam's two moments, the best ones


class Batch(NamedTuple):
    """Some labelled rows: int64 (rows,) users and items, float32 (rows,) labels of 0 and 1."""

    users: NDArray[np.int64]
    items: NDArray[np.int64]
    labels: NDArray[np.float32]


class MF(LearnsFromRows, VectorRecommender):
    """Score by the inner product of a user's and an item's factors, and their biases.

    Learns from `Feedback` as it is labelled. From interactions each pair is a positive, and with
    it come `negatives` items that the user has not taken, drawn anew in each epoch.

    `recommend` and `score` go by histories alone, and fold each in. `score_rows` and `row_vectors`
    know the users of the training by their ids, and take the factors that were learned of them,
    which have seen what they disliked.

    Memory: five of (users + items) x dim in float32; each step goes through all of them.

    Args:
        dim: Of the factors.
        l2: The regularisation of a row.
        negatives: Items drawn for each pair of interactions; not used on `Feedback`.
        lr: Adam's learning rate.
        batch_size: Positives a step, or rows of `Feedback`.
        epochs: At most so many passes over the rows.
        patience: With ``fit(validation=...)``: stop after so many epochs without a better figure.
        precision: "float32", or "bfloat16" for training's matrix products; None: bfloat16 on a GPU
            that has it, else float32.
        seed: Of the initial factors, the rows' order and the negatives.
        device: "cpu", "cuda", or None for a GPU if there is one, to fit on.

    Attributes:
        item_vectors: float32 (rankable, dim + 2): q_i, b_i and 1.
        user_ids: The users of the training.
        learned_users: float32 (users, dim + 2): p_u, 1 and b_u.

    >>> from pyhybrid.data import Feedback
    >>> rows = Feedback.from_columns([1, 1, 2, 2] * 5, ["a", "b"] * 10, [True, False] * 10)
    >>> model = MF(dim=2, epochs=30, lr=0.1, device="cpu").fit(rows)
    >>> (model.score_rows(rows) > 0).tolist() == rows.labels.tolist()
    True
    """

    learned_users: NDArray[np.float32]
    user_ids: NDArray[Any]

    def __init__(
        self,
        *,
        dim: int = 64,
        l2: float = 0.1,
        negatives: int = 4,
        lr: float = 0.01,
        batch_size: int = 2048,
        epochs: int = 100,
        patience: int = 10,
        precision: Literal["float32", "bfloat16"] | None = None,
        seed: int = 0,
        device: str | None = None,
    ) -> None:
        who = type(self).__name__
        self.dim = count(who, "dim", dim)
        self.l2 = not_negative(who, "l2", l2)
        self.negatives = count(who, "negatives", negatives)
        self._set_recipe(
            who,
            lr=lr,
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
        users, items = interactions.shape
        who, size = type(self).__name__, f"{users} users and {items} items of {self.dim} factors"
        needed = 4 * _COPIES * (users + items) * (self.dim + 1)
        require_memory(who, size, needed, "the training", "use a smaller dim=")
        self.user_ids = interactions.user_ids
        self._draws_negatives = self._feedback is None
        network = nn.ModuleDict(
            {
                "p": nn.Embedding(users, self.dim),
                "q": nn.Embedding(items, self.dim),
                "user_bias": nn.Embedding(users, 1),
                "item_bias": nn.Embedding(items, 1),
            }
        )
        for name, table in network.named_parameters():
            nn.init.normal_(table, std=0.0 if "bias" in name else 0.05)
        return network

    def _steps(self, interactions: Interactions) -> int:
        rows = interactions.matrix.nnz if self._feedback is None else len(self._feedback)
        return -(-rows // self.batch_size)

    def _batches(
        self, interactions: Interactions, generator: np.random.Generator
    ) -> Iterator[Batch]:
        matrix, rows = interactions.matrix, self._feedback
        if rows is not None:
            users, items, labels = rows.users.astype(np.int64), rows.items, rows.labels
        else:
            users, items = rows_of(matrix.indptr), matrix.indices
            labels = np.ones(len(users), dtype=np.bool_)
        order = generator.permutation(len(users))
        has_untaken = np.diff(matrix.indptr) < interactions.n_items
        for first in range(0, len(order), self.batch_size):
            chosen = order[first : first + self.batch_size]
            parts = [(users[chosen], items[chosen], labels[chosen])]
            if rows is None:
                owners = users[chosen][has_untaken[users[chosen]]].repeat(self.negatives)
                distinct, numbers = np.unique(owners, return_inverse=True)  # of the batch alone
                drawn = draw_untaken(matrix[distinct], numbers, generator)
                parts.append((owners, drawn, np.zeros(len(owners), dtype=np.bool_)))
            joined = [np.concatenate(arrays) for arrays in zip(*parts, strict=True)]
            yield Batch(joined[0], joined[1].astype(np.int64), joined[2].astype(np.float32))

    def _loss(self, network: Any, device: torch.device, batch: Batch) -> Tensor:
        import torch
        from torch.nn import functional

        users, items, labels = (torch.from_numpy(array).to(device) for array in batch)
        p, q = self._factors(network, users, items)  # (rows, dim) each
        biases = [network["user_bias"](users), network["item_bias"](items)]  # (rows, 1)
        logits = (p * q).sum(-1, dtype=torch.float32) + torch.cat(biases, 1).sum(-1)
        loss = functional.binary_cross_entropy_with_logits(logits, labels)
        own = [network["p"](users), network["q"](items), *biases]
        squares = torch.stack([part.square().sum() for part in own])
        return loss + self.l2 * squares.sum() / len(labels)

    def _factors(self, network: Any, users: Tensor, items: Tensor) -> tuple[Tensor, Tensor]:
        """Return the factors of some users and items: (rows, dim) each."""
        return network["p"](users), network["q"](items)

    def _take(self, network: Any) -> None:
        import torch

        with torch.inference_mode():
            p, q = (part.float().cpu().numpy() for part in self._all_factors(network))
            biases = {n: network[n].weight.cpu().numpy() for n in ("user_bias", "item_bias")}
        self.item_vectors = np.hstack([q, biases["item_bias"], np.ones_like(q[:, :1])])
        self.learned_users = np.hstack([p, np.ones_like(p[:, :1]), biases["user_bias"]])

    def _all_factors(self, network: Any) -> tuple[Tensor, Tensor]:
        """Return all users' factors and all items': (users, dim) and (items, dim)."""
        return network["p"].weight, network["q"].weight

    def _user_vectors(self, histories: Interactions) -> NDArray[np.float32]:
        """Fold histories in: float32 (rows, dim + 2), zeros for an empty one."""
        matrix, q = histories.matrix, self.item_vectors[:, :-2].astype(np.float64)
        g = 1 / (1 + np.exp(-self.item_vectors[:, -2].astype(np.float64)))
        c = g * (1 - g)
        drawn = self.negatives if self._draws_negatives else 0
        everything, pull = drawn / len(q) * (q.T * c) @ q, drawn / len(q) * (g @ q)
        ridge = 2 * self.l2 * (1 + drawn) + 1e-6  # of a row; more than 0 for the solve
        vectors = np.zeros((histories.n_users, self.dim + 2), dtype=np.float32)
        for row in np.flatnonzero(np.diff(matrix.indptr)):
            items = matrix.indices[matrix.indptr[row] : matrix.indptr[row + 1]]
            taken, size = q[items], len(items)
            inner = (taken.T * c[items]) @ taken + size * (everything + ridge * np.eye(self.dim))
            vectors[row, :-2] = np.linalg.solve(inner, (1 - g[items]) @ taken - size * pull)
            vectors[row, -2] = 1
        return vectors

    def _stranger_vectors(self, histories: Interactions) -> NDArray[np.float32]:
        vectors = self.user_vectors(histories)
        vectors[:, -2] = 1
        return vectors

    def _item_table(self) -> NDArray[np.float32]:
        table = super()._item_table()
        table[:, -1] = 1  # of an unknown item
        return table

    def _row_user_vectors(self, rows: Feedback) -> NDArray[np.float32]:
        users = positions(rows.user_ids, self.user_ids, "row_vectors")[rows.users]
        vectors = np.empty((len(rows), self.dim + 2), dtype=np.float32)
        vectors[users >= 0] = self.learned_users[users[users >= 0]]
        new = np.flatnonzero(users < 0)
        vectors[new] = self._stranger_vectors(self._row_histories(rows, new))
        return vectors

    def _item_directions(self) -> NDArray[np.float32]:
        return self.item_vectors[:, :-2]  # without the bias, which is popularity

    def _arrays(self) -> dict[str, NDArray[Any]]:
        return {
            "item_vectors": self.item_vectors,
            "learned_users": self.learned_users,
            "user_ids": self.user_ids,
            "draws_negatives": np.array([self._draws_negatives]),
        }

    def _restore(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        self.item_vectors, self.learned_users = arrays["item_vectors"], arrays["learned_users"]
        self.user_ids = np.asarray(arrays["user_ids"])
        self._draws_negatives = bool(arrays["draws_negatives"][0])
