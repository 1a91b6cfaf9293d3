"""CoLLM: collaborative vectors as tokens of a language model.

Y. Zhang et al., "CoLLM: Integrating Collaborative Embeddings into Large Language Models for
Recommendation", IEEE TKDE 2025, arXiv:2310.19488. A language model is asked whether a user would
like an item: the prompt names what the user liked and the item by their titles, and holds a soft
token for each of the two,

    [.., e(w_1), .., g(u), .., g(i), .., e(w_n)]    (eq. 4-6)

where e are the model's own embeddings of words, u and i the user's and the item's vectors of a
collaborative model, and g an MLP with one hidden layer. The score is the logit of yes; the loss
over labelled rows its binary cross-entropy. Learned in stages, each of which changes its own
parameters alone:

1. the collaborative model, by itself;
2. LoRA weights of the language model, on prompts without the soft tokens (K. Bao et al., "TALLRec",
   RecSys 2023; ``stages="text"`` ends here);
3. the mapper g, on whole prompts, all else frozen.

With ``stages="joint"`` LoRA and mapper are learned together.

What is otherwise than in the authors' code: the words of the prompt, the item's token stands before
its title and both at the end, so that candidates share what is before them; vectors are brought to
a mean square of 1 before g, and to that of the words' embeddings behind it; and beside causal
models a text encoder serves, with a linear layer for yes and no, learned with LoRA. Not here: the
collaborative model tuned with the mapper, and DIN, whose users' vectors depend on the item.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from pyhybrid.checks import count, not_negative, one_of, positive, share, switch
from pyhybrid.data.ids import positions
from pyhybrid.errors import describe
from pyhybrid.llm.tokens import on_device
from pyhybrid.models import model_class
from pyhybrid.models.collm_prompts import prompts_of
from pyhybrid.models.collm_rows import Titles, drawn_rows, row_batches, some_rows
from pyhybrid.models.collm_saves import SavesCoLLM, saved_lora
from pyhybrid.models.feedback_base import LearnsFromRows
from pyhybrid.models.parts import fitted_part, part_params
from pyhybrid.models.reranker import Reranker
from pyhybrid.models.vector_base import VectorScores
from pyhybrid.progress import part_of
from pyhybrid.storage import digest
from pyhybrid.training.checkpoints import Checkpoint
from pyhybrid.training.devices import check_device, device_of, threads_of
from pyhybrid.training.loop import Recipe

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Iterator, Mapping
    from contextlib import AbstractContextManager

    import torch
    from numpy.typing import NDArray
    from torch import Tensor

    from pyhybrid.data.catalog import Catalog
    from pyhybrid.data.feedback import Feedback
    from pyhybrid.data.held_out import HeldOut
    from pyhybrid.data.interactions import Interactions
    from pyhybrid.models.collm_network import CoLLMNetwork, Stage
    from pyhybrid.models.collm_rows import Batch
    from pyhybrid.training.loop import Epoch

__all__ = ["CoLLM"]

_ROWS = 8192  # whose histories are in memory at once
_SAMPLE = 10_000  # rows that tell the size of collaborative vectors
_PARTS_SHARE = 0.1  # of a fit, for the progress bar


class CoLLM(LearnsFromRows, Reranker, SavesCoLLM):
    """Ask a language model whether a user would like an item, by titles and collaborative tokens.

    Learns from `Feedback` as it is labelled; of ordered interactions each event is a positive, with
    `negatives` items drawn among those that the user never took. `fit` needs a catalogue of titles.
    ``fit(validation=Feedback, metric="auc")`` stops each stage by it.

    `recommend` ranks the candidates of a sooner model anew, or what `among` allows; a causal
    language model reads what it knows of a user once for all of them. It goes by histories alone;
    `score_rows` knows the users of the training where the collaborative model does, such as MF.

    Memory: the language model's weights, 4 bytes each in float32 (90 MB for all-MiniLM-L6-v2,
    2.4 GB for Qwen/Qwen3-0.6B), 2 in bfloat16; and a batch's activations (see `checkpointing`), or
    in scoring those of 16,384 tokens at once. On a GPU `recommend` reads the histories of several
    users together, up to as many tokens again, whose keys and values stay for their candidates.

    Args:
        llm: The language model, by name or folder (extra ``llm``): a causal one, or a text encoder.
        collaborative: The name of the model whose vectors are mapped: "MF", "LightGCN", "SASRec",
            "ESLERFactors", "MultVAE", or any other that scores by vectors.
        collaborative_params: Its hyper-parameters; seed and device are CoLLM's unless given.
        stages: "mapper": LoRA on texts, then the mapper; "text": LoRA on texts alone, without
            collaborative tokens; "joint": LoRA and mapper at once.
        pretrained: The folder of a saved CoLLM on the same language model, whose LoRA is taken in
            the place of the first stage; several mappers can stand on one. Not for "text".
        answer: What a score is: "yes", the logit of yes; or "yes-no", less that of no.
        titles: The last so many liked titles stand in the prompt.
        max_tokens: Of a prompt; its oldest titles are left out where there is no room, and an
            item's own is cut where that is not enough. None: 1024, or what the model takes.
        tokens: Soft tokens a user, and an item.
        mapper_width: The mapper's hidden layer is so many times as wide as its input.
        lora_rank: Width of the LoRA weights.
        lora_alpha: They count lora_alpha / lora_rank times.
        lora_dropout: Share of their input that they don't see in training.
        candidates: The name of the model whose items are ranked.
        candidate_params: Its hyper-parameters, likewise; None: none but `text` "tfidf" for
            "ESLER", so that items that nobody has taken yet are among them.
        top: How many candidates.
        negatives: Items drawn for each event of interactions; not used on `Feedback`.
        max_rows: The language model learns from so many rows at most, drawn once; the collaborative
            model from all. None: no limit.
        text_lr: AdamW's learning rate for LoRA; it falls to 0 by a cosine.
        mapper_lr: That for the mapper; with "joint" for both.
        text_epochs: Passes over the rows for LoRA, at most.
        mapper_epochs: Those for the mapper; with "joint" for both.
        weight_decay: AdamW's, of matrices.
        batch_size: Rows a step.
        patience: With ``fit(validation=...)``: a stage stops after so many epochs without a gain.
        precision: "float32", or "bfloat16" for training's matrix products; None: bfloat16 on a GPU
            that has it, else float32.
        dtype: Of the language model's own weights; "auto": as its file has them.
        checkpointing: Compute a batch's activations twice in place of keeping them.
        seed: Of the initial weights, the rows' order, dropout and the negatives.
        device: "cpu", "cuda", or None for a GPU if there is one, to fit and to score on.

    Attributes:
        stages_run: What each epoch of each stage gave, by the stage's name.
    """

    _no_part_of_a_run = ("device", "pretrained")  # the pre-trained model may have moved
    stages_run: dict[str, list[Epoch]]
    _rows: Any  # the Feedback of the fit under way
    _stage: Stage

    def __init__(
        self,
        *,
        llm: str | os.PathLike[str] = "all-MiniLM-L6-v2",
        collaborative: str = "MF",
        collaborative_params: Mapping[str, Any] | None = None,
        stages: Literal["mapper", "text", "joint"] = "mapper",
        pretrained: str | os.PathLike[str] | None = None,
        answer: Literal["yes", "yes-no"] = "yes",
        titles: int = 10,
        max_tokens: int | None = None,
        tokens: int = 1,
        mapper_width: int = 10,
        lora_rank: int = 8,
        lora_alpha: float = 16.0,
        lora_dropout: float = 0.05,
        candidates: str = "ESLER",
        candidate_params: Mapping[str, Any] | None = None,
        top: int = 100,
        negatives: int = 4,
        max_rows: int | None = None,
        text_lr: float = 0.001,
        mapper_lr: float = 0.001,
        text_epochs: int = 3,
        mapper_epochs: int = 3,
        weight_decay: float = 0.001,
        batch_size: int = 64,
        patience: int = 2,
        precision: Literal["float32", "bfloat16"] | None = None,
        dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto",
        checkpointing: bool = False,
        seed: int = 0,
        device: str | None = None,
    ) -> None:
        who = "CoLLM"
        self.llm = str(llm)
        self.collaborative = collaborative
        self.collaborative_params = part_params(
            who, "collaborative", collaborative, collaborative_params
        )
        scores_by_vectors = issubclass(model_class(collaborative), VectorScores)
        if not scores_by_vectors:
            rule = "a model that scores by vectors, such as MF"
            raise ValueError(describe(who, "collaborative", repr(collaborative), rule))
        self._set_candidates(who, candidates, candidate_params, top)
        self.stages = one_of(who, "stages", stages, ("mapper", "text", "joint"))
        self.pretrained = None if pretrained is None else str(pretrained)
        if self.pretrained is not None and self.stages == "text":
            raise ValueError(describe(who, "pretrained", pretrained, "None with stages='text'"))
        self.answer = one_of(who, "answer", answer, ("yes", "yes-no"))
        self.titles = count(who, "titles", titles, least=0)
        self.max_tokens = None if max_tokens is None else count(who, "max_tokens", max_tokens)
        self.tokens = count(who, "tokens", tokens)
        self.mapper_width = count(who, "mapper_width", mapper_width)
        self.lora_rank = count(who, "lora_rank", lora_rank)
        self.lora_alpha = positive(who, "lora_alpha", lora_alpha)
        self.lora_dropout = share(who, "lora_dropout", lora_dropout)
        self.negatives = count(who, "negatives", negatives)
        self.max_rows = None if max_rows is None else count(who, "max_rows", max_rows)
        self.text_lr = positive(who, "text_lr", text_lr)
        self.mapper_lr = positive(who, "mapper_lr", mapper_lr)
        self.text_epochs = count(who, "text_epochs", text_epochs)
        self.mapper_epochs = count(who, "mapper_epochs", mapper_epochs)
        self.weight_decay = not_negative(who, "weight_decay", weight_decay)
        self.batch_size = count(who, "batch_size", batch_size)
        self.patience = count(who, "patience", patience)
        self.precision = one_of(who, "precision", precision, (None, "float32", "bfloat16"))
        self.dtype = one_of(who, "dtype", dtype, ("auto", "float32", "bfloat16", "float16"))
        self.checkpointing = switch(who, "checkpointing", checkpointing)
        self.seed = count(who, "seed", seed, least=0)
        self.device = check_device(who, device)

    def _recipe(self) -> Recipe:
        of_text = self._stage == "text"
        return Recipe(
            epochs=self.text_epochs if of_text else self.mapper_epochs,
            lr=self.text_lr if of_text else self.mapper_lr,
            weight_decay=self.weight_decay,
            schedule="cosine",
            warmup=0.05,
            clip=self._clip,
            patience=self.patience,
            precision=self.precision,
            seed=self.seed,
            device=self.device,
        )

    def _fit(
        self,
        interactions: Interactions,
        catalog: Catalog | None,
        threads: int,
        report: Callable[[float], object] | None,
        *,
        validation: HeldOut | Feedback | None = None,
        metric: str = "ndcg@10",
        checkpoint: str | os.PathLike[str] | None = None,
    ) -> None:
        rows = self._feedback
        if rows is None:
            rows = drawn_rows("CoLLM", interactions, self.negatives, self.seed)
        stops: dict[str, Any] = {"validation": validation, "metric": metric}
        begins_with_text = self.stages == "mapper" and self.pretrained is None
        stages: list[Stage] = ["text", "mapper"] if begins_with_text else [self.stages]
        if checkpoint is not None:  # another run's is refused before anything is learned
            run = self._run(interactions, catalog, validation, metric)
            for stage in stages:
                Checkpoint("CoLLM", Path(checkpoint) / stage, run).read()
        self._titles = Titles.of_catalog("CoLLM", catalog, self.item_ids, self.titles)
        self._part = self._language = None
        if self.stages != "text":
            name, params = self.collaborative, self.collaborative_params
            self._part = fitted_part(self, name, params, rows, catalog, threads, **stops)
        second_half = part_of(report, _PARTS_SHARE / 2, _PARTS_SHARE)
        self._fit_candidates(interactions, catalog, threads, second_half)
        self.stages_run, self._rows = {}, some_rows(rows, self.max_rows, self.seed)
        bounds = np.linspace(_PARTS_SHARE, 1.0, len(stages) + 1).tolist()
        try:
            for number, self._stage in enumerate(stages):
                super()._fit(
                    interactions,
                    catalog,
                    threads,
                    part_of(report, bounds[number], bounds[number + 1]),
                    **stops,
                    checkpoint=None if checkpoint is None else Path(checkpoint) / self._stage,
                )
                self.stages_run[self._stage] = self.epochs_run
        finally:
            self._rows = None

    def _network(self, interactions: Interactions, catalog: Catalog | None) -> CoLLMNetwork:
        del interactions, catalog
        if self._language is None:
            network = self._new_language()
            if self.pretrained is not None:
                lora = saved_lora(self.pretrained, self.params, self._weights)
                network.backbone.load_lora_state(lora)
            if self._part is not None:
                network.set_scale(self._vectors(some_rows(self._rows, _SAMPLE, self.seed)))
            slots = 0 if self._part is None else self.tokens
            self._titles = self._titles.fitted_to(network.backbone, slots)
            self._language = network
        language: CoLLMNetwork = self._language
        language.begin(self._stage)
        return language

    def _run(self, interactions: Interactions, *others: Any) -> dict[str, Any]:
        lora = {} if self.pretrained is None else saved_lora(self.pretrained, self.params)
        of_lora = {"the pre-trained model's fingerprint": digest(*lora.values())}
        return super()._run(interactions, *others) | of_lora

    def _vectors(self, rows: Feedback) -> NDArray[np.float32]:
        """Return the collaborative vectors of rows' users and items: float32 (rows, 2, dim)."""
        return np.stack(self._part.row_vectors(rows), axis=1)

    def _new_language(self) -> CoLLMNetwork:
        """Load the language model, with LoRA and a mapper that know nothing yet."""
        from pyhybrid.llm.backbone import Backbone
        from pyhybrid.llm.networks import fingerprint_of
        from pyhybrid.models.collm_network import CoLLMNetwork

        backbone = Backbone.load(
            self.llm,
            dtype=self.dtype,
            device=str(device_of("CoLLM", self.device)),
            max_tokens=self.max_tokens,
            checkpointing=self.checkpointing,
            seed=self.seed,
            who="CoLLM",
        )
        self._weights = fingerprint_of(backbone.module["network"])
        backbone.add_lora(self.lora_rank, self.lora_alpha, self.lora_dropout, seed=self.seed)
        return CoLLMNetwork(
            backbone,
            0 if self._part is None else self._part.item_vectors.shape[1],
            width=self.mapper_width,
            tokens=self.tokens,
            less_no=self.answer == "yes-no",
        )

    def _steps(self, interactions: Interactions) -> int:
        del interactions
        return -(-len(self._rows) // self.batch_size)

    def _batches(
        self, interactions: Interactions, generator: np.random.Generator
    ) -> Iterator[Batch]:
        del interactions
        vectors = self._vectors if self._language.slots else None
        return row_batches(self._rows, self._titles, vectors, self.batch_size, generator)

    def _loss(self, network: Any, device: torch.device, batch: Batch) -> Tensor:
        from torch.nn import functional

        vectors = None if batch.vectors is None else on_device(batch.vectors, device)
        tokens = network.backbone.encode(prompts_of(batch.liked, batch.titles, network.slots))
        labels = on_device(batch.labels, device)
        return functional.binary_cross_entropy_with_logits(network(tokens, vectors), labels)

    def _take(self, network: Any) -> None:
        self._language = network

    def _score_rows(self, rows: Feedback, items: NDArray[np.int64]) -> NDArray[np.float32]:
        from pyhybrid.models.collm_scoring import score_prompts

        network, known = self._ready(), np.flatnonzero(items >= 0)
        scores = np.zeros(len(rows), dtype=np.float32)
        for first in range(0, len(known), _ROWS):  # whole histories are long
            part = known[first : first + _ROWS]
            asked = rows.select(part)
            liked, titles = self._titles.liked(asked.histories()), self._titles.of(items[part])
            vectors = self._vectors(asked) if network.slots else None
            scores[part] = score_prompts(network, liked, titles, vectors)
        return scores

    def _pair_scores(
        self, histories: Interactions, rows: NDArray[np.int64], items: NDArray[np.int64]
    ) -> NDArray[np.float32]:
        from pyhybrid.models.collm_scoring import score_pairs

        network, part = self._ready(), self._part
        liked, titles = self._titles.liked(histories), self._titles.of(items)
        users = of_items = None
        if network.slots:
            users = part._stranger_vectors(histories.with_items(part.item_ids, unknown="drop"))
            there = positions(self.item_ids, part.item_ids, "CoLLM")
            of_items = part._item_table()[there[items]]
        return score_pairs(network, liked, users, rows, titles, of_items)

    def _held_to(self, threads: int) -> AbstractContextManager[object]:
        return threads_of(threads)
