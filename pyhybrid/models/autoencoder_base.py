"""What Mult-VAE and Mult-DAE share: sparse rows in, a score of each item out, a likelihood between.

See `pyhybrid.models.multvae`, whose paper this is.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

import numpy as np

from pyhybrid.checks import not_negative, one_of, positive, share
from pyhybrid.data.matrices import bounds, rows_of
from pyhybrid.errors import describe
from pyhybrid.memory import require_memory
from pyhybrid.models.torch_base import arrays_of, load_arrays
from pyhybrid.models.vector_base import VectorRecommender
from pyhybrid.training.devices import device_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    import torch
    from numpy.typing import NDArray
    from scipy.sparse import csr_array
    from torch import Tensor, nn

    from pyhybrid.data.catalog import Catalog
    from pyhybrid.data.interactions import Interactions
    from pyhybrid.models.catalog_loss import Likelihood
    from pyhybrid.training.processes import Processes

__all__ = ["Autoencoder"]

_LIKELIHOODS: tuple[Likelihood, ...] = ("multinomial", "logistic", "gaussian")
_ROWS = 256  # encoded at once when scoring: one shape, so that a row's bits are its own
# Of the weights: they, their gradient, AdamW's two moments, the best ones, and item_vectors.
_COPIES = 6


class Batch(NamedTuple):
    """Some users' rows.

    Attributes:
        users: How many they are; of a part of a batch, its share of them.
        indptr: int64 (users + 1,), the bounds of each row's inputs.
        inputs: int64 (inputs,), the items of the rows that go in.
        values: float32 (inputs,), the rows' values there, scaled.
        rows: int64 (entries,), the row of each item that should come out.
        items: int64 (entries,), the item.
        weights: float32 (entries,), its weight.
        noise: float32 (users, latent_dim), epsilon; None for a model that has none.
    """

    users: float
    indptr: NDArray[np.int64]
    inputs: NDArray[np.int64]
    values: NDArray[np.float32]
    rows: NDArray[np.int64]
    items: NDArray[np.int64]
    weights: NDArray[np.float32]
    noise: NDArray[np.float32] | None


class Autoencoder(VectorRecommender):
    """Reconstruct users' rows, and rank items by what comes out.

    A subclass says what stands between the first layer, which is linear, and the last.
    """

    _clip: ClassVar[float | None] = None  # as the authors' code has none
    _trains_in_parts: ClassVar[bool] = True
    _encoder: nn.ModuleDict
    dropout: float
    likelihood: Likelihood
    confidence: float
    l2: float

    @property
    @abstractmethod
    def _widths(self) -> tuple[int, int]:
        """How wide what the first layer gives is, and what the last one takes."""

    @property
    def _width_name(self) -> str:
        """Name the hyper-parameter that the widths go with."""
        return "latent_dim"

    def _set_loss(
        self, who: str, *, dropout: float, likelihood: Likelihood, confidence: float, l2: float
    ) -> None:
        """Check and keep the hyper-parameters of the loss that both share."""
        self.dropout = share(who, "dropout", dropout)
        self.likelihood = one_of(who, "likelihood", likelihood, _LIKELIHOODS)
        self.confidence = positive(who, "confidence", confidence)
        self.l2 = not_negative(who, "l2", l2)

    def _network(self, interactions: Interactions, catalog: Catalog | None) -> nn.Module:
        import torch
        from torch import nn

        del catalog
        self._require(interactions)
        network = self._new_encoder(interactions.n_items)
        network["output"] = nn.Linear(self._widths[1], interactions.n_items)
        network.register_buffer("updates", torch.zeros((), dtype=torch.int64))
        for tensor in network.parameters():
            if tensor.ndim > 1:
                nn.init.xavier_uniform_(tensor)
            else:
                nn.init.trunc_normal_(tensor, std=0.001, a=-0.002, b=0.002)
        return network

    def _new_encoder(self, items: int) -> nn.ModuleDict:
        """Make the layers before the last one."""
        import torch
        from torch import nn

        width = self._widths[0]
        first = nn.EmbeddingBag(items, width, mode="sum", include_last_offset=True)
        bias = nn.ParameterDict({"input": torch.zeros(width)})
        return nn.ModuleDict({"input": first, "bias": bias, **self._middle_layers()})

    def _require(self, interactions: Interactions) -> None:
        """Raise unless the weights are some that the likelihood knows, and the training fits."""
        from pyhybrid.models.catalog_loss import catalog_bytes

        who = type(self).__name__
        most = 1.0 if self.likelihood == "logistic" else np.inf
        weights = interactions.matrix.data
        bad = np.flatnonzero(~((weights >= 0) & (weights <= most)))
        if len(bad):
            rule = f"0 to 1, as likelihood={self.likelihood!r} wants" if most == 1 else "0 or more"
            way_out = "read the interactions without weight="
            raise ValueError(describe(who, "a weight", float(weights[bad[0]]), rule, way_out))
        items, device = interactions.n_items, device_of(who, self.device)
        first, last = self._widths
        weights_bytes = 4 * items * (first + last)
        scores = catalog_bytes(self.batch_size, items, last, device)
        way_out = f"use a smaller {self._width_name}=, or fewer items"
        size = f"{items} items at a width of {last}"
        require_memory(who, size, _COPIES * weights_bytes + scores, "the training", way_out)

    def _steps(self, interactions: Interactions) -> int:
        return -(-len(_users(interactions)) // self.batch_size)

    def _batches(
        self, interactions: Interactions, generator: np.random.Generator
    ) -> Iterator[Batch]:
        users = generator.permutation(_users(interactions))
        for first in range(0, len(users), self.batch_size):
            matrix = interactions.matrix[users[first : first + self.batch_size]]
            rows, values = rows_of(matrix.indptr), _of_length_one(matrix)
            kept = generator.random(len(values), dtype=np.float32) >= self.dropout
            indptr = bounds(np.bincount(rows[kept], minlength=matrix.shape[0]))
            yield Batch(
                matrix.shape[0],
                indptr,
                matrix.indices[kept].astype(np.int64),
                values[kept] / np.float32(1.0 - self.dropout),
                rows,
                matrix.indices.astype(np.int64),
                matrix.data,
                self._noise(generator, matrix.shape[0]),
            )

    def _own_part(self, batch: Batch, processes: Processes) -> Batch:
        users = len(batch.indptr) - 1
        mine = np.arange(users) % processes.count == processes.rank
        sizes = np.diff(batch.indptr)
        inputs, entries = np.repeat(mine, sizes), mine[batch.rows]
        numbers = np.cumsum(mine) - 1  # of the rows that are left
        return Batch(
            batch.users / processes.count,
            bounds(sizes[mine]),
            batch.inputs[inputs],
            batch.values[inputs],
            numbers[batch.rows[entries]],
            batch.items[entries],
            batch.weights[entries],
            None if batch.noise is None else batch.noise[mine],
        )

    def _loss(self, network: Any, device: torch.device, batch: Batch) -> Tensor:
        import torch

        from pyhybrid.models.catalog_loss import Taken, catalog_loss

        def there(*arrays: NDArray[Any]) -> list[Tensor]:
            return [torch.from_numpy(array).to(device) for array in arrays]

        first = _first_layer(network, *there(batch.inputs, batch.indptr, batch.values))
        noise = None if batch.noise is None else there(batch.noise)[0]
        states, penalty = self._middle(network, first, noise)
        network.updates += 1
        output = network["output"]
        taken = Taken(*there(batch.rows, batch.items, batch.weights))
        loss = catalog_loss(
            states, output.weight, output.bias, taken, self.likelihood, self.confidence
        )
        if penalty is not None:
            loss = loss + penalty
        loss = loss / batch.users
        if self.l2:
            squares = [tensor.square().sum() for tensor in network.parameters() if tensor.ndim > 1]
            loss = loss + self.l2 * torch.stack(squares).sum()
        return loss

    def _take(self, network: Any) -> None:
        import torch
        from torch import nn

        output = network["output"]
        vectors = torch.cat([output.weight, output.bias[:, None]], 1)  # (items, width + 1)
        self.item_vectors = vectors.detach().cpu().numpy()
        self._encoder = nn.ModuleDict({n: m for n, m in network.items() if n != "output"})

    def _user_vectors(self, histories: Interactions) -> NDArray[np.float32]:
        """Return the states before the last layer, and a 1 for its bias: (rows, width + 1)."""
        states = self._encode(
            histories, self._widths[1], lambda first: self._middle(self._encoder, first, None)[0]
        )
        is_known = np.diff(histories.matrix.indptr) > 0
        return np.column_stack([states, is_known.astype(np.float32)])

    def _encode(
        self, histories: Interactions, width: int, rest: Callable[[Tensor], Tensor]
    ) -> NDArray[np.float32]:
        """Return what the first layer and `rest` make of each history, zeros of an empty one."""
        import torch

        device = device_of(type(self).__name__, self.device)
        encoder = self._encoder.to(device).eval()
        users = _users(histories)
        vectors = np.zeros((histories.n_users, width), dtype=np.float32)
        for start in range(0, len(users), _ROWS):
            rows = users[start : start + _ROWS]
            matrix = histories.matrix[rows]
            indptr = np.full(_ROWS + 1, matrix.nnz, dtype=np.int64)
            indptr[: len(rows) + 1] = matrix.indptr
            arrays = (matrix.indices.astype(np.int64), indptr, _of_length_one(matrix))
            with torch.inference_mode():
                first = _first_layer(encoder, *(torch.from_numpy(a).to(device) for a in arrays))
                vectors[rows] = rest(first)[: len(rows)].cpu().numpy()
        return vectors

    def _item_directions(self) -> NDArray[np.float32]:
        return self.item_vectors[:, :-1]  # without the bias, which is popularity

    def _arrays(self) -> dict[str, NDArray[Any]]:
        return {"item_vectors": self.item_vectors, **arrays_of("encoder", self._encoder)}

    def _restore(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        import torch

        self.item_vectors = arrays["item_vectors"]
        with torch.device("meta"):  # no weights are drawn
            self._encoder = self._new_encoder(len(self.item_vectors))
        load_arrays("encoder", self._encoder, arrays)

    # What stands between the first layer and the last.

    def _middle_layers(self) -> dict[str, nn.Module]:
        return {}

    def _noise(self, generator: np.random.Generator, users: int) -> NDArray[np.float32] | None:
        del generator, users
        return None

    @abstractmethod
    def _middle(
        self, network: Any, first: Tensor, noise: Tensor | None
    ) -> tuple[Tensor, Tensor | None]:
        """Return the states before the last layer, and what the loss pays for them, or None."""


def _first_layer(network: Any, items: Tensor, indptr: Tensor, values: Tensor) -> Tensor:
    """Return W_1 x + b_1 of sparse rows x: (rows, width)."""
    from pyhybrid.models.row_sums import row_sums

    summed = row_sums(network["input"].weight, items, indptr, values)
    states: Tensor = summed + network["bias"]["input"]
    return states


def _users(interactions: Interactions) -> NDArray[np.int64]:
    """Return the users that have taken something."""
    return np.flatnonzero(np.diff(interactions.matrix.indptr) > 0)


def _of_length_one(matrix: csr_array[np.float32]) -> NDArray[np.float32]:
    """Return the values of a matrix's rows, each row scaled to the length 1."""
    rows = rows_of(matrix.indptr)
    squares = np.bincount(rows, np.square(matrix.data, dtype=np.float64), matrix.shape[0])
    lengths = np.sqrt(np.maximum(squares, np.finfo(np.float32).tiny))
    return (matrix.data / lengths[rows]).astype(np.float32)
