"""Text similarity: what can be said of items by their texts alone, the other baseline.

Recommend what reads like the history: with v_i an item's text vector, centred on the mean of the
training items and of length 1, a history's vector is the weighted mean of its items', and an item's
score their inner product,

    s_uj = v_j . sum_i x_ui v_i / sum_i x_ui

the mean cosine of the item's text with those in the history. Nothing is learned from behaviour but
which items have some.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from pyhybrid.checks import count
from pyhybrid.errors import describe
from pyhybrid.models.item_texts import (
    checked_augmentations,
    checked_encoders,
    item_texts,
    text_vectors,
)
from pyhybrid.models.vector_base import VectorScores

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from numpy.typing import NDArray

    from pyhybrid.data.catalog import Catalog
    from pyhybrid.data.interactions import Interactions
    from pyhybrid.evaluation.curve import By
    from pyhybrid.text.encoders import TextEncoder

__all__ = ["TextSimilarity"]


class TextSimilarity(VectorScores):
    """Rank items by how like their texts are to those of the history.

    Memory: one float32 matrix items x dim, where dim is the encoder's, of "tfidf" 512.

    Args:
        text: What encodes the texts of the catalogue that `fit` is given: "tfidf", which is fitted
            on the training items' texts; a model of sentence-transformers, by name or folder (extra
            ``text``); any `pyhybrid.text.TextEncoder`; or a list of several, whose vectors are
            joined.
        augmentations: Further fields of the catalogue that are read, such as what a language model
            said of the items; vectors of all fields are joined.
        seed: Of "noise", the control.

    >>> from pyhybrid import Catalog, Interactions
    >>> titles = ["red apple", "green pear", "old wine", "young wine"]
    >>> catalog = Catalog.from_columns([1, 2, 3, 4], title=titles)
    >>> model = TextSimilarity().fit(Interactions.from_columns([0, 0, 1], [1, 2, 3]), catalog)
    >>> history = Interactions.from_columns(["new"], [3])
    >>> model.item_ids[model.recommend(history, n=1).items]  # nobody has taken it yet
    array([[4]])
    """

    scores_cold_items: bool = True
    let_up_by: ClassVar[By] = "factor"

    def __init__(
        self,
        *,
        text: str | TextEncoder | Sequence[str | TextEncoder] = "tfidf",
        augmentations: Sequence[str] = (),
        seed: int = 0,
    ) -> None:
        names = checked_encoders("TextSimilarity", text)
        if names is None:
            expected = "the name of an encoder, or a list of several"
            raise TypeError(describe("TextSimilarity", "text", None, expected))
        self.text = names
        self.augmentations = checked_augmentations("TextSimilarity", augmentations)
        self.seed = count("TextSimilarity", "seed", seed, least=0)

    def _fit(
        self,
        interactions: Interactions,
        catalog: Catalog | None,
        threads: int,
        report: Callable[[float], object] | None,
    ) -> None:
        del threads, report
        texts = item_texts("TextSimilarity", catalog, interactions.item_ids, self.augmentations)
        is_known = interactions.item_counts() > 0
        self.item_vectors = text_vectors(self.text, texts, is_known, seed=self.seed)

    def _has_signal(self, histories: Interactions) -> NDArray[np.bool_]:
        has_text = np.asarray(self.item_vectors.any(axis=1), dtype=np.float32)
        weights = np.asarray(abs(histories.matrix) @ has_text, dtype=np.float32)
        return weights > 0

    def _user_vectors(self, histories: Interactions) -> NDArray[np.float32]:
        sums = np.asarray(histories.matrix @ self.item_vectors, dtype=np.float32)
        weights = np.asarray(abs(histories.matrix).sum(axis=1), dtype=np.float32)
        sums /= np.maximum(weights, np.finfo(np.float32).tiny)[:, None]
        return sums

    def _arrays(self) -> dict[str, NDArray[Any]]:
        return {"item_vectors": self.item_vectors}

    def _restore(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        self.item_vectors = arrays["item_vectors"]
