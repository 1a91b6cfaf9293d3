"""LLM-Rec: items by their texts and by what a language model adds to them.

H. Lyu et al., "LLM-Rec: Personalized Recommendation via Prompting Large Language Models", Findings
of NAACL 2024, arXiv:2307.15780. A frozen text model encodes an item's own text t_0 and each text
t_1 .. t_m that a language model made of it, and the vectors are joined. What stands on top is
simple on purpose, so that a change of the ranking is due to the texts:

    score(u, i) = w_u . v_i,    v_i = MLP_item([enc(t_0), enc(t_1), .., enc(t_m)])

A tower (MLP) has two layers with a ReLU and dropout between them. Training is by the binary
cross-entropy of sigmoid(w_u . v_i): each pair that was taken comes with some items that the user
has not taken, drawn anew in each epoch from the training items. Without augmented texts, m = 0,
this is the paper's text baseline.

On this side an item has no parameter of its own, not even a bias: items of the same texts score the
same, and one that nobody has taken yet is scored like the others. A bias would take up popularity,
which a new item has not shown, so that it would stand at an arbitrary height among the others.

What is otherwise than in the paper: there a user is an embedding of the user's id, so that nothing
is known of users who come after the training. In this library a model scores from histories of any
users, and so a user is what was taken. The embeddings e_j of the items in the history H, from a
table that is learned beside the texts, are summed, each once whatever its weight, and divided by
the root of their number, before they go through the user tower:

    w_u = MLP_user(1 / sqrt(|H|) sum over j in H of e_j)

The root lies between the sum, in which a long history is loud, and the mean, in which it fades to
the average. Of a training pair (u, i) the item i is left out of H, for the model would otherwise
learn to give back what it is given; so the pair of a user who has taken nothing else is left out
altogether. Items without training interactions have no e_j and add nothing to a history.

Usual, and not the paper's, are the towers' widths, the loss, the number of negatives, and the scale
of a text's vector: a mean square of 1 a number (length 1 takes about three times the epochs).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np

from pyhybrid.checks import count, share
from pyhybrid.data.labelling import draw_untaken
from pyhybrid.data.matrices import bounds, csr, rows_of
from pyhybrid.errors import describe
from pyhybrid.memory import require_memory
from pyhybrid.models.item_texts import checked_augmentations, item_texts
from pyhybrid.models.torch_base import arrays_of, load_arrays
from pyhybrid.models.vector_base import VectorRecommender
from pyhybrid.training.devices import device_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    import torch
    from numpy.typing import NDArray
    from scipy.sparse import csr_array
    from torch import Tensor, nn

    from pyhybrid.data.catalog import Catalog
    from pyhybrid.data.interactions import Interactions

__all__ = ["LLMRec"]

_TEXT_DIM = 384  # of text vectors whose size is ours to choose: all-MiniLM-L6-v2's
_ROWS = 256  # put through a tower at once: one shape, so that a row's bits are its own
_COPIES = 5  # of the table: itself, its gradient, AdamW's two moments, the best one
_ENTRY = 64  # bytes that an item of a batch's histories takes, for lookups and their gradient


class Batch(NamedTuple):
    """Some pairs of a user and an item that the user has taken, with items not taken.

    Attributes:
        indptr: int64 (pairs + 1,), the bounds of each pair's history.
        inputs: int64 (inputs,), the histories' items, each without the pair's own.
        items: int64 (distinct,), the items that are scored.
        places: int64 (pairs, 1 + negatives), where in `items` the pair's item is and then those
            not taken; -1 where there is none.
    """

    indptr: NDArray[np.int64]
    inputs: NDArray[np.int64]
    items: NDArray[np.int64]
    places: NDArray[np.int64]


class LLMRec(VectorRecommender):
    """Score items by their texts, and by texts that a language model made of these.

    `fit` needs a catalogue of texts. Items that only the catalogue knows are ranked too; those
    that come later need another fit. In a history, items without training interactions say
    nothing.

    Memory: the text vectors, float32 (items, (1 + augmentations) x their size): 0.5 GB for 100,000
    items, two augmentations and all-MiniLM-L6-v2; five of items x user_dim; a batch. Time: mostly
    the lookup of histories.

    Args:
        text: What encodes the texts: a model of sentence-transformers, by name or folder (extra
            ``text``); "tfidf", which is fitted on the training items' texts, for each field anew;
            or "noise", the control: unrelated vectors.
        augmentations: The catalogue's fields with the texts that a language model made; () for the
            items' own texts alone. Where an item's field is empty, its own text stands in.
        dim: The width of the towers' layers, and of the vectors that are compared.
        user_dim: Of the embeddings of the items in a history.
        dropout: Share of the towers' hidden layers that is dropped.
        negatives: Items not taken that are drawn for each pair.
        lr: Adam's learning rate.
        batch_size: Pairs a step.
        epochs: At most so many passes over the pairs.
        patience: With ``fit(validation=...)``: stop after so many epochs without a better figure.
        precision: "float32", or "bfloat16" for training's matrix products; None: bfloat16 on a GPU
            that has it, else float32. Scoring is in float32 throughout.
        seed: Of the initial weights, the pairs' order, the items not taken and dropout.
        device: "cpu", "cuda", or None for a GPU if there is one, to fit and to score on.

    >>> from pyhybrid import Catalog, Interactions
    >>> users, items = np.repeat(np.arange(8), 3), [1, 2, 3, 4, 5, 6] * 4
    >>> moods = ["dark", "dark", "dark", "light", "light", "light", "dark", "light"]
    >>> catalog = Catalog.from_columns(range(1, 9), title=["a film"] * 8, llm_tag=moods)
    >>> model = LLMRec(text="tfidf", augmentations=["llm_tag"], dim=8, epochs=50, lr=0.02,
    ...                device="cpu")
    >>> model = model.fit(Interactions.from_columns(users, items), catalog)
    >>> history = Interactions.from_columns(["new"] * 3, [1, 2, 3])
    >>> model.item_ids[model.recommend(history, n=1).items]  # nobody has taken 7, which is dark
    array([[7]])
    """

    scores_cold_items: bool = True
    _user_encoder: nn.ModuleDict

    def __init__(
        self,
        *,
        text: str = "all-MiniLM-L6-v2",
        augmentations: Sequence[str] = (),
        dim: int = 128,
        user_dim: int = 128,
        dropout: float = 0.1,
        negatives: int = 4,
        lr: float = 0.001,
        batch_size: int = 1024,
        epochs: int = 100,
        patience: int = 10,
        precision: Literal["float32", "bfloat16"] | None = None,
        seed: int = 0,
        device: str | None = None,
    ) -> None:
        who = "LLMRec"
        if not isinstance(text, str) or not text:
            expected = "the name or folder of a sentence-transformers model, 'tfidf' or 'noise'"
            raise TypeError(describe(who, "text", repr(text), expected))
        self.text = text
        self.augmentations = checked_augmentations(who, augmentations)
        self.dim = count(who, "dim", dim)
        self.user_dim = count(who, "user_dim", user_dim)
        self.dropout = share(who, "dropout", dropout)
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

    def _network(self, interactions: Interactions, catalog: Catalog | None) -> Any:
        import torch
        from torch import nn

        is_warm = self.item_counts > 0
        vectors = self._text_vectors(interactions, catalog, is_warm)
        item, user = self._new_tower(vectors.shape[1]), self._new_user_encoder(len(vectors))
        network: Any = nn.ModuleDict({"item": item, "user": user})
        # Drawn for the training items alone, so that no other item changes their bits.
        drawn = torch.empty(int(is_warm.sum()), self.user_dim).normal_(std=0.1)
        network["user"]["table"].weight.data[torch.from_numpy(is_warm)] = drawn
        # In no checkpoint: they are the largest part, and a resumed run makes them anew.
        network.register_buffer("texts", torch.from_numpy(vectors), persistent=False)
        return network

    def _new_tower(self, width: int) -> nn.Sequential:
        from torch import nn

        hidden = (nn.Linear(width, self.dim), nn.ReLU(), nn.Dropout(self.dropout))
        return nn.Sequential(*hidden, nn.Linear(self.dim, self.dim))

    def _new_user_encoder(self, items: int) -> nn.ModuleDict:
        import torch
        from torch import nn

        new, zeros = nn.EmbeddingBag.from_pretrained, torch.zeros(items, self.user_dim)
        table = new(zeros, freeze=False, mode="sum", include_last_offset=True)  # draws nothing
        return nn.ModuleDict({"table": table, "tower": self._new_tower(self.user_dim)})

    def _text_vectors(
        self, interactions: Interactions, catalog: Catalog | None, is_warm: NDArray[np.bool_]
    ) -> NDArray[np.float32]:
        """Encode the items' texts, field by field: float32 (items, (1 + augmentations) x d)."""
        fields = item_texts("LLMRec", catalog, self.item_ids, self.augmentations)
        part = self._encoded(fields[0], is_warm)
        self._require(interactions, len(fields) * part.shape[1])
        vectors = np.empty((len(part), len(fields), part.shape[1]), dtype=np.float32)
        vectors[:, 0] = part
        for k in range(1, len(fields)):
            vectors[:, k] = self._encoded(fields[k], is_warm)
        return vectors.reshape(len(part), -1)

    def _encoded(
        self, texts: NDArray[np.object_], is_warm: NDArray[np.bool_]
    ) -> NDArray[np.float32]:
        from pyhybrid.text.by_name import encode_by_name
        from pyhybrid.text.encoders import unit_rows

        vectors = encode_by_name(
            self.text, texts, is_warm, dim=_TEXT_DIM, seed=self.seed, device=self.device
        )
        return unit_rows(vectors) * np.float32(np.sqrt(vectors.shape[1]))

    def _require(self, interactions: Interactions, width: int) -> None:
        """Raise MemoryError unless texts of that width, the table and a batch fit."""
        items, sizes = interactions.n_items, np.diff(interactions.matrix.indptr)
        pairs = min(self.batch_size, int(sizes.sum()))
        # The histories of pairs drawn at random: what hardly any batch goes beyond.
        mean = np.average(sizes, weights=sizes)
        deviation = np.sqrt(np.average((sizes - mean) ** 2, weights=sizes))
        inputs = int(pairs * mean + 4 * np.sqrt(pairs) * deviation)
        scored = pairs * (1 + self.negatives)
        numbers = items * (width + _COPIES * self.user_dim + self.dim)
        numbers += min(items, scored) * (width + 4 * self.dim)  # their texts and the item tower
        numbers += scored * 3 * self.dim + pairs * (2 * self.user_dim + 6 * self.dim)
        size = f"{items} items with text vectors of {width} numbers"
        way_out = "use fewer augmentations=, a smaller user_dim= or batch_size=, or fewer items"
        require_memory("LLMRec", size, 4 * numbers + _ENTRY * inputs, "the training", way_out)

    def _steps(self, interactions: Interactions) -> int:
        return -(-len(_pairs(interactions)) // self.batch_size)

    def _batches(
        self, interactions: Interactions, generator: np.random.Generator
    ) -> Iterator[Batch]:
        matrix, warm = interactions.matrix, np.flatnonzero(self.item_counts)
        users = rows_of(matrix.indptr)
        pairs = generator.permutation(_pairs(interactions))
        for first in range(0, len(pairs), self.batch_size):
            chosen = pairs[first : first + self.batch_size]
            taken, targets = matrix[users[chosen]], matrix.indices[chosen].astype(np.int64)
            is_input = taken.indices != np.repeat(targets, np.diff(taken.indptr))
            negatives = _not_taken(taken, warm, self.negatives, generator)
            scored = np.column_stack([targets, negatives])
            items, places = np.unique(np.maximum(scored, 0), return_inverse=True)
            yield Batch(
                bounds(np.diff(taken.indptr) - 1),
                taken.indices[is_input].astype(np.int64),
                items,
                np.where(scored >= 0, places.reshape(scored.shape), -1),
            )

    def _loss(self, network: Any, device: torch.device, batch: Batch) -> Tensor:
        import torch
        from torch.nn import functional

        indptr, inputs, items, places = (torch.from_numpy(array).to(device) for array in batch)
        users = network["user"]["tower"](_summed(network["user"]["table"], inputs, indptr))
        vectors = network["item"](network.texts[items])  # (distinct, dim)
        # A lookup, as the gradient of plain indexing sums in an order of chance on many threads.
        scored = functional.embedding(places.clamp(min=0), vectors)  # (pairs, 1 + negatives, dim)
        logits = (users[:, None] * scored).sum(-1, dtype=torch.float32)
        labels = torch.zeros_like(logits)
        labels[:, 0] = 1.0
        is_item = (places >= 0).to(logits.dtype)
        total = functional.binary_cross_entropy_with_logits(
            logits, labels, is_item, reduction="sum"
        )
        return total / is_item.sum()

    def _take(self, network: Any) -> None:
        import torch

        with torch.inference_mode():
            self.item_vectors = _in_one_shape(network["item"], network.texts).cpu().numpy()
        self._user_encoder = network["user"]

    def _user_vectors(self, histories: Interactions) -> NDArray[np.float32]:
        import torch

        device = device_of("LLMRec", self.device)
        encoder = self._user_encoder.to(device).eval()
        taken = self._warm(histories)
        users = np.flatnonzero(np.diff(taken.indptr))
        vectors = np.zeros((histories.n_users, self.dim), dtype=np.float32)
        for first in range(0, len(users), _ROWS):
            rows = users[first : first + _ROWS]
            part = taken[rows]
            arrays = (part.indices.astype(np.int64), part.indptr.astype(np.int64))
            with torch.inference_mode():
                inputs, indptr = (torch.from_numpy(array).to(device) for array in arrays)
                states = _summed(encoder["table"], inputs, indptr)
                vectors[rows] = _in_one_shape(encoder["tower"], states).cpu().numpy()
        return vectors

    def _warm(self, histories: Interactions) -> csr_array[np.float32]:
        """Return what histories hold of items with training interactions."""
        matrix = histories.matrix
        is_warm = self.item_counts[matrix.indices] > 0
        indptr = bounds(is_warm)[matrix.indptr]
        return csr(matrix.data[is_warm], matrix.indices[is_warm], indptr, matrix.shape)

    def _has_signal(self, histories: Interactions) -> NDArray[np.bool_]:
        return np.asarray(np.diff(self._warm(histories).indptr) > 0)

    def _arrays(self) -> dict[str, NDArray[Any]]:
        return {"item_vectors": self.item_vectors, **arrays_of("user", self._user_encoder)}

    def _restore(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        import torch

        self.item_vectors = arrays["item_vectors"]
        with torch.device("meta"):  # no weights are drawn
            self._user_encoder = self._new_user_encoder(len(self.item_vectors))
        load_arrays("user", self._user_encoder, arrays)


def _pairs(interactions: Interactions) -> NDArray[np.int64]:
    """Return which pairs are of a user that has taken something else as well.

    Raises:
        ValueError: If there is none.
    """
    sizes = np.diff(interactions.matrix.indptr)
    if not (sizes > 1).any():
        what = "number of users with two items or more"
        raise ValueError(describe("LLMRec", what, 0, "1 or more"))
    return np.flatnonzero(np.repeat(sizes > 1, sizes))


def _not_taken(
    taken: csr_array[np.float32],
    items: NDArray[np.int64],
    number: int,
    generator: np.random.Generator,
) -> NDArray[np.int64]:
    """Draw from some items, all alike, those that are not in a row: int64 (rows, number).

    `items` are ascending, and hold all that is `taken`. A row that has taken them all gets -1.
    """
    places = np.searchsorted(items, taken.indices)  # ascending within a row
    own = csr(taken.data, places, taken.indptr, (taken.shape[0], len(items)))
    rows = np.flatnonzero(np.diff(own.indptr) < len(items))
    found = np.full((taken.shape[0], number), -1, dtype=np.int64)
    drawn = draw_untaken(own, rows.repeat(number), generator)
    found[rows] = items[drawn].reshape(-1, number)
    return found


def _summed(table: Any, inputs: Tensor, indptr: Tensor) -> Tensor:
    """Return histories' embeddings, summed, by the root of their number: (rows, user_dim)."""
    from pyhybrid.models.row_sums import row_sums

    return row_sums(table.weight, inputs, indptr) / indptr.diff().clamp(min=1).sqrt()[:, None]


def _in_one_shape(tower: Any, rows: Tensor) -> Tensor:
    """Put rows through a tower, always so many at once that each one's bits are its own."""
    import torch
    from torch.nn import functional

    parts = []
    for first in range(0, len(rows), _ROWS):
        part = rows[first : first + _ROWS]
        padded = functional.pad(part, (0, 0, 0, _ROWS - len(part)))
        parts.append(tower(padded)[: len(part)])
    return torch.cat(parts)
