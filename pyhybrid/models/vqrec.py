"""VQ-Rec: item text, quantised to codes, as the items of a sequence model.

Y. Hou, Z. He, J. McAuley, W. X. Zhao, "Learning Vector-Quantized Item Representation for
Transferable Sequential Recommenders", WWW 2023, arXiv:2210.12316. An item's text goes through a
frozen language model; product quantisation, fitted on the training items, makes a code
(c_1 .. c_D) of the vector (eq. 1 and 2); and the item's embedding is the mean of the rows that the
code names in a table that is learned from behaviour (eq. 3):

    v_i = 1/D sum over k of E[k, c_k]

So two items share what is learned where their texts are alike, but the text's own similarity does
not decide the ranking. The state s of a causal Transformer over a history's v scores the item i by
the cosine of both, and training is by the cross-entropy over the catalogue (eq. 10, with all
positions of a history as targets):

    - log exp(cos(s, v_i) / tau) / (sum over j of exp(cos(s, v_j) / tau))

Items without training interactions have a code as well, so they are scored with no new parameter;
as negatives they would only learn to be ranked low, so the sum is over the training items.

What is not here, or otherwise: the paper's contrastive pre-training on other domains, and the
alignment of a pre-trained table's rows with a new domain's codes; this is its "w/o pre-training",
with an encoder that is trained, not frozen. The quantiser has no coarse centroid before it. The
encoder is SASRec's (`pyhybrid.models.transformer`): it normalises before each layer and at the end,
where the authors' code normalises its input and after each layer, and its hidden layers are ReLUs,
not GELUs. The default text model is all-MiniLM-L6-v2 (384 numbers) for BERT's [CLS] (768).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np

from pyhybrid.checks import count, not_negative, one_of, positive, share, switch
from pyhybrid.errors import describe
from pyhybrid.models.sequential import SequentialRecommender
from pyhybrid.quantize import ProductQuantizer
from pyhybrid.text.encoders import unit_rows
from pyhybrid.training.devices import check_device

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    import torch
    from numpy.typing import NDArray
    from torch import Tensor, nn

    from pyhybrid.data.catalog import Catalog
    from pyhybrid.data.interactions import Interactions
    from pyhybrid.models.code_embedding import ItemCodes
    from pyhybrid.models.transformer import SequenceEncoder

__all__ = ["VQRec"]

_TFIDF = "tfidf"


class VQRec(SequentialRecommender):
    """Predict the next item by self-attention over embeddings of text codes.

    `fit` needs a catalogue of texts. Items that only the catalogue knows are ranked too; those
    that come later need another fit.

    Memory: three float32 matrices of positions x training items for a batch, as SASRec.

    Args:
        text: What encodes the items' texts: a model of sentence-transformers, by name or folder
            (extra ``text``), or "tfidf", which is fitted on the training items' texts.
        parts: Parts of a code (the paper's D); must divide the size of the text vectors.
        bits: Each part has 2^bits centroids (M); at least as many training items are needed.
        rotate: Whether to learn a rotation before the vectors are cut (OPQ).
        dim: Of the item embeddings and all layers.
        layers: Self-attention blocks.
        heads: Attention heads; `dim` is a multiple.
        inner: Width of the feed-forward layers.
        dropout: Share of the embeddings, attention weights and layer outputs that is dropped.
        temperature: Divides the cosines (tau).
        max_length: The last so many events of a user count.
        lr: AdamW's learning rate.
        weight_decay: AdamW's, of the table and matrices.
        batch_size: Users a step.
        epochs: At most so many passes over the users.
        patience: With ``fit(validation=...)``: stop after so many epochs without a better figure.
        precision: "float32", or "bfloat16" for training's matrix products; None: bfloat16 on a GPU
            that has it, else float32. Scoring is in float32 throughout.
        seed: Of the quantiser, the initial weights, the users' order and dropout.
        device: "cpu", "cuda", or None for a GPU if there is one, to fit and to score on.

    Attributes:
        quantizer: What makes codes of text vectors; fitted on the training items alone.
        item_codes: uint8 (items, parts), on the item axis.
        table: float32 (parts, 2^bits, dim), the learned rows (E).
        item_vectors: float32 (items, dim), the embeddings brought to length 1.

    >>> from pyhybrid import Catalog, Interactions
    >>> users, items = np.repeat(np.arange(8), 5), np.tile([1, 2, 3, 4, 5], 8)
    >>> seen = Interactions.from_columns(users, items, ordered=True)
    >>> titles = ["red apple", "green pear", "blue plum", "old wine", "new bread", "old wine"]
    >>> catalog = Catalog.from_columns([1, 2, 3, 4, 5, 6], title=titles)
    >>> model = VQRec(text="tfidf", parts=2, bits=2, dim=8, heads=1, epochs=30, lr=0.02,
    ...               device="cpu").fit(seen, catalog)
    >>> history = Interactions.from_columns(["new", "new"], [2, 3], ordered=True)
    >>> model.item_ids[np.sort(model.recommend(history, n=2).items)]  # 6 has the same text as 4
    array([[4, 6]])
    """

    scores_cold_items: ClassVar[bool] = True

    quantizer: ProductQuantizer
    item_codes: NDArray[np.uint8]
    table: NDArray[np.float32]

    def __init__(
        self,
        *,
        text: str = "all-MiniLM-L6-v2",
        parts: int = 32,
        bits: int = 8,
        rotate: bool = True,
        dim: int = 300,
        layers: int = 2,
        heads: int = 2,
        inner: int = 256,
        dropout: float = 0.5,
        temperature: float = 0.07,
        max_length: int = 50,
        lr: float = 0.001,
        weight_decay: float = 0.0,
        batch_size: int = 256,
        epochs: int = 200,
        patience: int = 10,
        precision: Literal["float32", "bfloat16"] | None = None,
        seed: int = 0,
        device: str | None = None,
    ) -> None:
        who = "VQRec"
        if not isinstance(text, str) or not text:
            expected = "the name or folder of a sentence-transformers model, or 'tfidf'"
            raise TypeError(describe(who, "text", repr(text), expected))
        self.text = text
        self.parts = count(who, "parts", parts)
        self.bits = count(who, "bits", bits)
        if self.bits > 8:
            raise ValueError(describe(who, "bits", bits, "1 to 8"))
        self.rotate = switch(who, "rotate", rotate)
        self.dim = count(who, "dim", dim)
        self.layers = count(who, "layers", layers)
        self.heads = count(who, "heads", heads)
        if self.dim % self.heads:
            raise ValueError(describe(who, "heads", heads, f"a divisor of dim, which is {dim}"))
        self.inner = count(who, "inner", inner)
        self.dropout = share(who, "dropout", dropout)
        self.temperature = positive(who, "temperature", temperature)
        self.max_length = count(who, "max_length", max_length)
        self.lr = positive(who, "lr", lr)
        self.weight_decay = not_negative(who, "weight_decay", weight_decay)
        self.batch_size = count(who, "batch_size", batch_size)
        self.epochs = count(who, "epochs", epochs)
        self.patience = count(who, "patience", patience)
        self.precision = one_of(who, "precision", precision, (None, "float32", "bfloat16"))
        self.seed = count(who, "seed", seed, least=0)
        self.device = check_device(who, device)

    def _network(self, interactions: Interactions, catalog: Catalog | None) -> nn.Module:
        from torch import nn

        from pyhybrid.models.code_embedding import CodeEmbedding, ItemCodes

        is_warm = self.item_counts > 0
        self._require_softmax(interactions, int(is_warm.sum()), "use a smaller batch_size=")
        self._make_codes(catalog, is_warm)
        embedding = CodeEmbedding(parts=self.parts, entries=2**self.bits, dim=self.dim)
        codes = ItemCodes(self.item_codes, is_warm, self.quantizer.arrays())
        return nn.ModuleDict(
            {"embedding": embedding, "encoder": self._new_encoder(), "codes": codes}
        )

    def _make_codes(self, catalog: Catalog | None, is_warm: NDArray[np.bool_]) -> None:
        """Encode the items' texts; the quantiser sees those of the training items alone."""
        import torch

        if catalog is None:
            raise ValueError(describe("VQRec", "catalog", None, "the items' texts", _WAY_OUT))
        threads = torch.get_num_threads()  # as many as fit() was given
        vectors = self._text_vectors(np.array(catalog.texts(self.item_ids), dtype=object), is_warm)
        self.quantizer = self._new_quantizer().fit(vectors[is_warm], threads=threads)
        self.item_codes = self.quantizer.encode(vectors, threads=threads)

    def _new_quantizer(self) -> ProductQuantizer:
        return ProductQuantizer(self.parts, bits=self.bits, rotate=self.rotate, seed=self.seed)

    def _text_vectors(
        self, texts: NDArray[np.object_], is_warm: NDArray[np.bool_]
    ) -> NDArray[np.float32]:
        """Encode the training items' texts in a call of their own: no other changes their bits."""
        from pyhybrid.text import SentenceTransformerEncoder, TextEncoder, TfidfEncoder

        warm, cold = texts[is_warm].tolist(), texts[~is_warm].tolist()
        encoder: TextEncoder
        if self.text == _TFIDF:
            encoder = TfidfEncoder(dim=_TFIDF_DIM_A_PART * self.parts).fit(warm)
        else:
            encoder = SentenceTransformerEncoder(self.text, device=self.device)
        found = encoder.encode(warm)
        vectors = np.empty((len(texts), found.shape[1]), dtype=np.float32)
        vectors[is_warm], vectors[~is_warm] = found, encoder.encode(cold)
        return vectors

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

    def _batches(
        self, interactions: Interactions, generator: np.random.Generator
    ) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
        for _, items, targets in self._rows_of_batches(interactions, generator):
            yield items, targets

    def _loss(
        self,
        network: nn.Module,
        device: torch.device,
        batch: tuple[NDArray[np.int64], NDArray[np.int64]],
    ) -> Tensor:
        import torch
        from torch.nn import functional

        embedding, encoder = network["embedding"], network["encoder"]  # type: ignore[index]
        codes: ItemCodes = network["codes"]  # type: ignore[index]
        items, targets = (torch.from_numpy(array).to(device) for array in batch)
        vectors = embedding(codes.warm)  # (warm, dim)
        padded = functional.pad(vectors, (0, 0, 1, 0))  # (1 + warm, dim): no item is all zeros
        states = encoder(padded[codes.place[items]])  # (batch, length, dim)
        is_real = targets > 0
        # A cosine's bfloat16 has two digits, and the temperature takes one of them.
        with torch.autocast(device.type, enabled=False):
            states = functional.normalize(states[is_real].float(), dim=-1)  # (positions, dim)
            directions = functional.normalize(vectors.float(), dim=-1)
            cosines = states @ directions.T  # (positions, warm)
            wanted = codes.place[targets[is_real]] - 1
            return functional.cross_entropy(cosines / self.temperature, wanted)

    def _take(self, network: nn.Module) -> None:
        table = network["embedding"].table  # type: ignore[index]
        codes: ItemCodes = network["codes"]  # type: ignore[index]
        self.table = table.detach().cpu().numpy().copy()
        self.item_codes = codes.codes.cpu().numpy()
        self.quantizer = self._new_quantizer().restore(codes.quantizer_arrays())
        self._encoder = network["encoder"]  # type: ignore[index]
        self._embed_items()

    def _embed_items(self) -> None:
        vectors = self.quantizer.lookup(self.table, self.item_codes, mean=True)
        self.item_vectors = unit_rows(vectors)

    def _embed(self, items: NDArray[np.int64]) -> NDArray[np.float32]:
        codes = self.item_codes[np.maximum(items - 1, 0).ravel()]
        vectors = self.quantizer.lookup(self.table, codes, mean=True)
        return vectors.reshape(*items.shape, self.dim) * (items > 0)[..., None]

    def _user_vectors(self, histories: Interactions) -> NDArray[np.float32]:
        return unit_rows(super()._user_vectors(histories))

    def _arrays(self) -> dict[str, NDArray[Any]]:
        arrays = {**super()._arrays(), "item_codes": self.item_codes, "table": self.table}
        del arrays["item_vectors"]  # made of the two
        quantizer = {f"quantizer.{name}": held for name, held in self.quantizer.arrays().items()}
        return {**arrays, **quantizer}

    def _restore(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        self.item_codes, self.table = arrays["item_codes"], arrays["table"]
        learned = ("centroids", "rotation") if self.rotate else ("centroids",)
        stored = {name: arrays[f"quantizer.{name}"] for name in learned}
        self.quantizer = self._new_quantizer().restore(stored)
        self._embed_items()
        super()._restore({**arrays, "item_vectors": self.item_vectors})


_TFIDF_DIM_A_PART = 8
_WAY_OUT = "pass fit() a Catalog, for instance of titles"
