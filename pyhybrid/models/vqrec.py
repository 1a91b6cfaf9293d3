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

Before that it can learn on other domains, joined to one data set (`pyhybrid.data.join_domains`),
with ``loss="contrastive"``: to tell a history's next item from those of the other rows and from a
semi-synthetic one (eq. 6 to 8; `pyhybrid.models.vqrec_network`). Of the pre-trained model a new
domain takes the table and the encoder. Its quantiser is its own, so that first the table's rows are
aligned with its codes (eq. 9; `pyhybrid.models.code_alignment`) while all else stands still.

What is otherwise than in the paper or in the authors' code: all positions of a history are rows of
the contrastive task, and none of them is a negative of another (the paper's rows are positions of
users at random). Rows with the same next item, or one of the same code, are left out of each
other's sums; in the authors' code they count as logit 0. The alignment has a gradient, and
ends in permutations. The quantiser has no coarse centroid before it. The encoder is SASRec's
(`pyhybrid.models.transformer`): it normalises before each layer and at the end, where the authors'
code normalises its input and after each layer, and its hidden layers are ReLUs, not GELUs. It is
frozen only where `freeze_encoder` says so; the authors' code freezes it also where it was never
trained. The default text model is all-MiniLM-L6-v2 (384 numbers) for BERT's [CLS] (768).
"""

from __future__ import annotations

import os
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from pyhybrid.checks import count, one_of, positive, probability, switch
from pyhybrid.errors import describe
from pyhybrid.models.sequential import SequentialRecommender
from pyhybrid.progress import part_of
from pyhybrid.quantize import ProductQuantizer
from pyhybrid.storage import digest
from pyhybrid.text.encoders import unit_rows
from pyhybrid.training.loop import train

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    import torch
    from numpy.typing import NDArray
    from torch import Tensor

    from pyhybrid.data.catalog import Catalog
    from pyhybrid.data.feedback import Feedback
    from pyhybrid.data.held_out import HeldOut
    from pyhybrid.data.interactions import Interactions
    from pyhybrid.models.vqrec_network import VQRecNetwork
    from pyhybrid.training.checkpoints import Checkpoint
    from pyhybrid.training.loop import Epoch

__all__ = ["VQRec"]


class VQRec(SequentialRecommender):
    """Predict the next item by self-attention over embeddings of text codes.

    `fit` needs a catalogue of texts. Items that only the catalogue knows are ranked too; those
    that come later need another fit.

    Memory: for a batch's softmax as `SASRec`, with training items; with ``loss="contrastive"`` six
    float32 matrices of positions x positions.

    Args:
        text: What encodes the items' texts: a model of sentence-transformers, by name or folder
            (extra ``text``); "tfidf", which is fitted on the training items' texts; or "noise",
            the control: random codes.
        parts: Parts of a code (the paper's D); must divide the size of the text vectors.
        bits: Each part has 2^bits centroids (M); at least as many training items are needed.
        rotate: Whether to learn a rotation before the vectors are cut (OPQ).
        dim: Of the item embeddings and all layers.
        layers: Self-attention blocks.
        heads: Attention heads; `dim` is a multiple.
        inner: Width of the feed-forward layers.
        dropout: Share of the embeddings, attention weights and layer outputs that is dropped.
        temperature: Divides the cosines (tau).
        loss: "softmax", over all training items; or "contrastive", the task for pre-training.
        rho: With ``loss="contrastive"``: the probability with which a part of the semi-synthetic
            item's code is drawn at random.
        pretrained: The folder of a saved VQRec to start from; of the same `parts`, `bits`, `dim`,
            `layers`, `heads`, `inner` and `max_length`.
        alignment: How the pre-trained rows are put into the order of the new codes: "sinkhorn",
            softly until the end; "straight-through", each row whole at each step; or "none".
        alignment_epochs: The passes over the users that this takes, before the others.
        alignment_lr: AdamW's learning rate for it.
        freeze_encoder: Whether the encoder stays as it is: pre-trained, as in the paper; or,
            without `pretrained`, as it was drawn, which only a control would want.
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
        alignment_run: What each epoch of the alignment gave, in the last fit; `epochs_run` has
            those after it.

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

    scores_cold_items: bool = True
    _no_part_of_a_run = ("device", "pretrained")  # the pre-trained model may have moved

    quantizer: ProductQuantizer
    item_codes: NDArray[np.uint8]
    table: NDArray[np.float32]
    alignment_run: list[Epoch]

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
        loss: Literal["softmax", "contrastive"] = "softmax",
        rho: float = 0.75,
        pretrained: str | os.PathLike[str] | None = None,
        alignment: Literal["sinkhorn", "straight-through", "none"] = "sinkhorn",
        alignment_epochs: int = 5,
        alignment_lr: float = 0.05,
        freeze_encoder: bool = False,
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
            expected = "the name or folder of a sentence-transformers model, 'tfidf' or 'noise'"
            raise TypeError(describe(who, "text", repr(text), expected))
        self.text = text
        self.parts = count(who, "parts", parts)
        self.bits = count(who, "bits", bits)
        if self.bits > 8:
            raise ValueError(describe(who, "bits", bits, "1 to 8"))
        self.rotate = switch(who, "rotate", rotate)
        self._set_shape(
            who, dim=dim, layers=layers, heads=heads, dropout=dropout, max_length=max_length
        )
        self.inner: int = count(who, "inner", inner)
        self.temperature = positive(who, "temperature", temperature)
        self.loss = one_of(who, "loss", loss, ("softmax", "contrastive"))
        self.rho = probability(who, "rho", rho)
        if not isinstance(pretrained, str | os.PathLike | None):
            raise TypeError(describe(who, "pretrained", repr(pretrained), "a folder, or None"))
        self.pretrained = None if pretrained is None else os.fspath(pretrained)
        self.alignment = one_of(
            who, "alignment", alignment, ("sinkhorn", "straight-through", "none")
        )
        self.alignment_epochs = count(who, "alignment_epochs", alignment_epochs)
        self.alignment_lr = positive(who, "alignment_lr", alignment_lr)
        self.freeze_encoder = switch(who, "freeze_encoder", freeze_encoder)
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

    def _network(self, interactions: Interactions, catalog: Catalog | None) -> VQRecNetwork:
        import torch

        from pyhybrid.models.code_alignment import CodeAlignment
        from pyhybrid.models.code_embedding import CodeEmbedding, ItemCodes
        from pyhybrid.models.vqrec_network import VQRecNetwork

        is_warm = self.item_counts > 0
        against = int(is_warm.sum()) if self.loss == "softmax" else None
        self._require_softmax(interactions, against, "use a smaller batch_size=")
        self._make_codes(catalog, is_warm)
        embedding = CodeEmbedding(parts=self.parts, entries=2**self.bits, dim=self.dim)
        codes = ItemCodes(self.item_codes, is_warm, self.quantizer.arrays())
        encoder, alignment = self._new_encoder(), None
        if self.pretrained is not None:
            source = self._source(self.pretrained)
            embedding.load_state_dict({"table": torch.tensor(source.table)})
            encoder.load_state_dict(source._encoder.state_dict())
            if self.alignment != "none":
                alignment = CodeAlignment(
                    parts=self.parts,
                    entries=2**self.bits,
                    straight_through=self.alignment == "straight-through",
                )
        encoder.requires_grad_(not self.freeze_encoder)
        return VQRecNetwork(embedding, encoder, codes, alignment, self.temperature)

    def _prepare(
        self,
        network: VQRecNetwork,
        device: torch.device,
        interactions: Interactions,
        checkpoint: Checkpoint | None,
        report: Callable[[float], object] | None,
    ) -> float:
        """Align the pre-trained rows with the new codes, by the loss, while all else stands."""
        self.alignment_run = []
        if network.alignment is None:
            return 0.0
        part = self.alignment_epochs / (self.alignment_epochs + self.epochs)
        trained_later = [
            p
            for module in (network.embedding, network.encoder)
            for p in module.parameters()
            if p.requires_grad
        ]
        network.requires_grad_(False)
        network.alignment.requires_grad_(True)
        self.alignment_run = train(
            "VQRec",
            network,
            partial(self._batches, interactions),
            partial(self._loss, network, device),
            replace(self._recipe(), epochs=self.alignment_epochs, lr=self.alignment_lr),
            steps=self._steps(interactions),
            checkpoint=checkpoint and checkpoint.of_phase("alignment"),
            report=part_of(report, 0.0, part),
        )
        network.settle()
        for parameter in trained_later:
            parameter.requires_grad_(True)
        return part

    def _source(self, folder: str) -> VQRec:
        """Read the pre-trained model, of which table and encoder must fit into this one."""
        source = VQRec.load(folder, device="cpu")
        for name in _SHAPE:
            theirs, own = getattr(source, name), getattr(self, name)
            if theirs != own:
                what = f"{name} of the pre-trained model in {folder}"
                way_out = f"pass {name}={theirs}"
                raise ValueError(describe("VQRec", what, theirs, f"{own}, as here", way_out))
        return source

    def _run(
        self,
        interactions: Interactions,
        catalog: Catalog | None,
        validation: HeldOut | Feedback | None,
        metric: str,
    ) -> dict[str, Any]:
        run = super()._run(interactions, catalog, validation, metric)
        if self.pretrained is not None:
            arrays = self._source(self.pretrained)._arrays()
            names = ("table", *(name for name in arrays if name.startswith("encoder.")))
            run["the pre-trained model's fingerprint"] = digest(*(arrays[n] for n in names))
        return run

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
        from pyhybrid.text.by_name import encode_by_name

        dim = _DIM_A_PART * self.parts
        return encode_by_name(
            self.text, texts, is_warm, dim=dim, seed=self.seed, device=self.device
        )

    def _batches(
        self, interactions: Interactions, generator: np.random.Generator
    ) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
        for _, items, targets in self._rows_of_batches(interactions, generator):
            yield items, targets

    def _loss(
        self,
        network: VQRecNetwork,
        device: torch.device,
        batch: tuple[NDArray[np.int64], NDArray[np.int64]],
    ) -> Tensor:
        import torch

        items, targets = (torch.from_numpy(array).to(device) for array in batch)
        if self.loss == "contrastive":
            return network.contrast(items, targets, self.rho)
        return network.softmax(items, targets)

    def _take(self, network: VQRecNetwork) -> None:
        table, codes = network.embedding.table, network.codes
        self.table = table.detach().cpu().numpy().copy()
        self.item_codes = codes.codes.cpu().numpy()
        self.quantizer = self._new_quantizer().restore(codes.quantizer_arrays())
        self._encoder = network.encoder
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


_SHAPE = ("parts", "bits", "dim", "layers", "heads", "inner", "max_length")
_DIM_A_PART = 8  # of text vectors whose size is ours to choose
_WAY_OUT = "pass fit() a Catalog, for instance of titles"
