"""What the models share that encode a user's items, in their order, to one vector."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from pyhybrid.checks import count, share
from pyhybrid.data.matrices import Events, bounds
from pyhybrid.errors import describe
from pyhybrid.memory import require_memory
from pyhybrid.models.torch_base import arrays_of, load_arrays
from pyhybrid.models.vector_base import VectorRecommender
from pyhybrid.training.devices import device_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from numpy.typing import NDArray

    from pyhybrid.data.interactions import Interactions
    from pyhybrid.models.transformer import SequenceEncoder

__all__ = ["SequentialRecommender", "latest", "ordered_events"]

_SHORTEST = 8  # positions: shorter histories are padded to this
_PAIR_MATRICES = 6  # scores, their logarithms, their gradient, the masked scores and the masks
_POSITIONS = 2048  # encoded at once when scoring


class SequentialRecommender(VectorRecommender):
    """Score items by the inner product of their vectors and the encoded history.

    Histories must be ordered: a bare CSR, or interactions read without ``time=`` or
    ``ordered=True``, is refused where a row holds two items or more. The last `max_length` events
    count; a repeated item counts at each of its places.

    A model sets `item_vectors` and `_encoder` in its hook `_take`.
    """

    inner: int | None = None  # width of the encoder's feed-forward layers; None: dim
    _encoder: SequenceEncoder

    def _set_shape(
        self, who: str, *, dim: int, layers: int, heads: int, dropout: float, max_length: int
    ) -> None:
        """Check and keep the hyper-parameters of the encoder that all sequence models share."""
        self.dim = count(who, "dim", dim)
        self.layers = count(who, "layers", layers)
        self.heads = count(who, "heads", heads)
        if self.dim % self.heads:
            raise ValueError(describe(who, "heads", heads, f"a divisor of dim, which is {dim}"))
        self.dropout = share(who, "dropout", dropout)
        self.max_length = count(who, "max_length", max_length)

    def _training_rows(self, interactions: Interactions) -> tuple[Events, NDArray[np.int64]]:
        """Return the events, and the users that have one to predict and one to predict it from."""
        who = type(self).__name__
        events = ordered_events(who, interactions)
        rows = np.flatnonzero(np.diff(events.indptr) >= 2)
        if not len(rows):
            what = "number of users with two events or more"
            raise ValueError(describe(who, what, 0, "1 or more"))
        return events, rows

    def _require_softmax(self, interactions: Interactions, items: int | None, way_out: str) -> None:
        """Raise MemoryError unless a batch's scores fit, with their gradient; needs torch.

        Args:
            interactions: What is trained on.
            items: How many items a position is scored against; None: those of all positions.
            way_out: What to do about it.
        """
        from pyhybrid.models.catalog_loss import catalog_bytes

        events, rows = self._training_rows(interactions)
        sizes = np.minimum(np.diff(events.indptr)[rows] - 1, self.max_length)
        users = min(self.batch_size, len(rows))
        # What hardly any batch of users drawn at random goes beyond.
        positions = int(users * sizes.mean() + 4 * np.sqrt(users) * sizes.std())
        who = type(self).__name__
        if items is None:
            needed = 4 * _PAIR_MATRICES * positions**2
        else:
            needed = catalog_bytes(positions, items, self.dim, device_of(who, self.device))
        what = f"a batch's {positions} positions x {items or positions} items"
        require_memory(who, what, needed, "the softmax", way_out)

    def _steps(self, interactions: Interactions) -> int:
        _, rows = self._training_rows(interactions)
        return -(-len(rows) // self.batch_size)

    def _rows_of_batches(
        self, interactions: Interactions, generator: np.random.Generator
    ) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]]:
        """Give users, and for each position its item and the next one, numbered from 1.

        Yields:
            int64 (batch,), (batch, length) and (batch, length); 0 stands for none, on the right.
            A batch's longest rows come first, as `pyhybrid.models.transformer.states_at` wants.
        """
        events, rows = self._training_rows(interactions)
        rows = generator.permutation(rows)
        sizes = np.minimum(np.diff(events.indptr), self.max_length + 1)
        for first in range(0, len(rows), self.batch_size):
            users = rows[first : first + self.batch_size]
            users = users[np.argsort(-sizes[users], kind="stable")]
            sequences = latest(events, users, self.max_length + 1)
            yield users, sequences[:, :-1], sequences[:, 1:]

    def _user_vectors(self, histories: Interactions) -> NDArray[np.float32]:
        """Encode histories in batches that have one shape for each length of history.

        Matrix products of one shape treat every row alike, whatever the others are: so a row's
        bits don't depend on its batch-mates.
        """
        import torch

        events = ordered_events(type(self).__name__, histories)
        device = device_of(type(self).__name__, self.device)
        encoder = self._encoder.to(device).eval()
        sizes = np.minimum(np.diff(events.indptr), self.max_length)
        vectors = np.zeros((histories.n_users, self.dim), dtype=np.float32)
        shortest, length = 0, min(_SHORTEST, self.max_length)
        while shortest < self.max_length:
            rows = np.flatnonzero((sizes > shortest) & (sizes <= length))
            at_once = max(1, _POSITIONS // length)
            for first in range(0, len(rows), at_once):
                chunk = rows[first : first + at_once]
                embedded = np.zeros((at_once, length, self.dim), dtype=np.float32)
                items = latest(events, chunk, length)  # (chunk, at most length)
                embedded[: len(chunk), : items.shape[1]] = self._embed(items)
                with torch.inference_mode():
                    hidden = encoder(torch.from_numpy(embedded).to(device))
                    ends = torch.from_numpy(sizes[chunk] - 1).to(device)
                    last = hidden[torch.arange(len(chunk), device=device), ends]  # (chunk, dim)
                    vectors[chunk] = last.float().cpu().numpy()
            shortest, length = length, min(2 * length, self.max_length)
        return vectors

    def _embed(self, items: NDArray[np.int64]) -> NDArray[np.float32]:
        """Look up items numbered from 1: float32 (rows, length, dim), zeros where there is none."""
        return self.item_vectors[np.maximum(items - 1, 0)] * (items > 0)[..., None]

    def _arrays(self) -> dict[str, NDArray[Any]]:
        return {"item_vectors": self.item_vectors, **arrays_of("encoder", self._encoder)}

    def _restore(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        self.item_vectors = arrays["item_vectors"]
        self._encoder = self._new_encoder()
        load_arrays("encoder", self._encoder, arrays)

    def _new_encoder(self) -> SequenceEncoder:
        from pyhybrid.models.transformer import SequenceEncoder

        return SequenceEncoder(
            dim=self.dim,
            layers=self.layers,
            heads=self.heads,
            dropout=self.dropout,
            max_length=self.max_length,
            inner=self.inner,
        )


def ordered_events(who: str, interactions: Interactions) -> Events:
    """Return each user's events oldest first, on which the order of one item or none is plain.

    Raises:
        ValueError: If the order is unknown.
    """
    if interactions.events is not None:
        return interactions.events
    matrix = interactions.matrix
    if (np.diff(matrix.indptr) > 1).any():
        expected = "each user's items oldest first"
        way_out = "pass Interactions read with time= or ordered=True, not a bare CSR"
        raise ValueError(describe(who, "the order of events", "unknown", expected, way_out))
    return Events(matrix.indptr.astype(np.int64), matrix.indices.astype(np.int32))


def latest(events: Events, rows: NDArray[np.int64], length: int) -> NDArray[np.int64]:
    """Return the last `length` items of some users, numbered from 1 and padded with 0 on the right.

    Returns:
        int64 (rows, longest of them), oldest first.

    >>> events = Events(np.array([0, 3, 4]), np.array([5, 6, 7, 9], dtype=np.int32))
    >>> latest(events, np.array([1, 0]), 2)
    array([[10,  0],
           [ 7,  8]])
    """
    ends = events.indptr[rows + 1]
    sizes = np.minimum(ends - events.indptr[rows], length)
    places = np.arange(sizes.max(initial=0))  # (longest,)
    is_item = places < sizes[:, None]  # (rows, longest)
    items = np.zeros(is_item.shape, dtype=np.int64)
    within = np.repeat(ends - sizes - bounds(sizes)[:-1], sizes) + np.arange(sizes.sum())
    items[is_item] = events.items[within] + np.int64(1)
    return items
