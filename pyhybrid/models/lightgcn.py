"""LightGCN: factors that are averaged over the graph of users and items.

X. He et al., "LightGCN: Simplifying and Powering Graph Convolution Network for Recommendation",
SIGIR 2020, arXiv:2002.02126. Who took what is a graph between users and items. With E_0 the learned
embeddings of both, d the number of edges and A its adjacency matrix, each layer smooths them,

    E_k+1 = D^-1/2 A D^-1/2 E_k    (eq. 7)

and the factors are the mean of E_0 to E_layers (eq. 8). All else is as in `pyhybrid.models.mf`: the
biases, which are not smoothed, the loss over labelled rows (the paper has BPR, of pairs), and the
regularisation, of E_0 alone. Without layers it is MF.

A user who comes after the training has an E_0 of zero, and from the items of the history H

    p = 1 / (layers + 1) sum over k < layers and i in H of e_ik / sqrt(|H| d_i)

which is what the layers above would give the user without changing the items.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from scipy.sparse import block_array

from pyhybrid.checks import count
from pyhybrid.data.matrices import csr
from pyhybrid.models.mf import MF

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray
    from scipy.sparse import csr_array
    from torch import Tensor, nn

    from pyhybrid.data.catalog import Catalog
    from pyhybrid.data.interactions import Interactions

__all__ = ["LightGCN"]


class LightGCN(MF):
    """Score by factors that are smoothed over the graph of who took what.

    On `Feedback` the graph is that of the positive rows and of what `likes` holds beside them.

    Memory and time: each step smooths all users and items: 4 bytes x (users + items) x dim x
    (layers + 1), and layers x pairs x dim multiplications.

    Args:
        dim: Of the embeddings.
        layers: How often they are smoothed.
        l2: The regularisation of a row.
        negatives: Items drawn for each pair of interactions; not used on `Feedback`.
        lr: Adam's learning rate.
        batch_size: Positives a step, or rows of `Feedback`.
        epochs: At most so many passes over the rows.
        patience: With ``fit(validation=...)``: stop after so many epochs without a better figure.
        precision: "float32", or "bfloat16" for training's matrix products; None: bfloat16 on a GPU
            that has it, else float32.
        seed: Of the initial embeddings, the rows' order and the negatives.
        device: "cpu", "cuda", or None for a GPU if there is one, to fit on.

    >>> from pyhybrid import Interactions
    >>> users, items = np.repeat(np.arange(8), 3), [1, 2, 3, 4, 5, 6] * 4
    >>> model = LightGCN(dim=4, epochs=40, lr=0.05, device="cpu")
    >>> model = model.fit(Interactions.from_columns(users, items))
    >>> history = Interactions.from_columns(["new", "new"], [4, 6])
    >>> model.item_ids[model.recommend(history, n=1).items]
    array([[5]])
    """

    _inputs: NDArray[np.float32]

    def __init__(
        self,
        *,
        dim: int = 64,
        layers: int = 2,
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
        super().__init__(
            dim=dim,
            l2=l2,
            negatives=negatives,
            lr=lr,
            batch_size=batch_size,
            epochs=epochs,
            patience=patience,
            precision=precision,
            seed=seed,
            device=device,
        )
        self.layers = count("LightGCN", "layers", layers, least=0)

    def _network(self, interactions: Interactions, catalog: Catalog | None) -> nn.Module:
        import torch

        network = super()._network(interactions, catalog)
        taken = _ones(interactions)
        adjacency = block_array([[None, taken], [taken.T, None]], format="csr")
        roots = np.sqrt(np.maximum(np.diff(adjacency.indptr), 1)).astype(np.float32)
        rows = np.repeat(roots, np.diff(adjacency.indptr))
        values = adjacency.data / (rows * roots[adjacency.indices])
        graph = {
            "edge_bounds": adjacency.indptr.astype(np.int64),
            "neighbours": adjacency.indices.astype(np.int64),
            "edge_weights": values,
        }
        for name, array in graph.items():  # in no checkpoint: the data makes them anew
            network.register_buffer(name, torch.from_numpy(array), persistent=False)
        return network

    def _layers(self, network: Any) -> list[Tensor]:
        """Return E_0 to E_layers: (users + items, dim) each."""
        import torch

        from pyhybrid.models.row_sums import row_sums

        found = [torch.cat([network["p"].weight, network["q"].weight])]
        edges = (network.neighbours, network.edge_bounds, network.edge_weights)
        for _ in range(self.layers):
            found.append(row_sums(found[-1], *edges))
        return found

    def _all_factors(self, network: Any) -> tuple[Tensor, Tensor]:
        import torch

        mean = torch.stack(self._layers(network)).mean(0)
        users = len(network["p"].weight)
        return mean[:users], mean[users:]

    def _factors(self, network: Any, users: Tensor, items: Tensor) -> tuple[Tensor, Tensor]:
        from torch.nn import functional

        if not self.layers:
            return super()._factors(network, users, items)
        of_users, of_items = self._all_factors(network)
        # Lookups, as the gradient of plain indexing sums in an order of chance on many threads.
        return functional.embedding(users, of_users), functional.embedding(items, of_items)

    def _take(self, network: Any) -> None:
        import torch

        super()._take(network)
        with torch.inference_mode():
            users, items = (len(network[name].weight) for name in ("p", "q"))
            below = [layer[users:].cpu().numpy() for layer in self._layers(network)[:-1]]
        degrees = np.diff(network.edge_bounds.cpu().numpy())[users:]
        roots = np.sqrt(np.maximum(degrees, 1)).astype(np.float32)
        total = sum(below, np.zeros((items, self.dim), dtype=np.float32))
        self._inputs = total / (roots[:, None] * np.float32(self.layers + 1))

    def _user_vectors(self, histories: Interactions) -> NDArray[np.float32]:
        if not self.layers:
            return super()._user_vectors(histories)
        sizes = np.diff(histories.matrix.indptr)
        p = np.asarray(_ones(histories) @ self._inputs)
        p /= np.sqrt(np.maximum(sizes, 1)).astype(np.float32)[:, None]
        known = (sizes > 0).astype(np.float32)
        return np.column_stack([p, known, np.zeros_like(known)])

    def _arrays(self) -> dict[str, NDArray[Any]]:
        return {**super()._arrays(), "inputs": self._inputs}

    def _restore(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        super()._restore(arrays)
        self._inputs = arrays["inputs"]


def _ones(interactions: Interactions) -> csr_array[np.float32]:
    """Return who took what, whatever the weights."""
    matrix = interactions.matrix
    return csr(np.ones_like(matrix.data), matrix.indices, matrix.indptr, matrix.shape)
