"""ESLERFactors: ESLER's weights as factors, for what works on one vector a user and an item.

With ESLER's weights B = U S V^T (H. Steck, "Embarrassingly Shallow Autoencoders for Sparse Data",
WWW 2019; `pyhybrid.models.esler`), cut off after the largest `rank` singular values,

    user = x U S^1/2,    item = V S^1/2

so that a user's and an item's inner product is about the score x B. The approximation is the best
of its rank.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from pyhybrid.checks import count, positive, share
from pyhybrid.memory import require_memory
from pyhybrid.models.esler import ESLER
from pyhybrid.models.vector_base import VectorScores
from pyhybrid.progress import part_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from numpy.typing import NDArray

    from pyhybrid.data.catalog import Catalog
    from pyhybrid.data.interactions import Interactions
    from pyhybrid.evaluation.curve import By

__all__ = ["ESLERFactors"]

_SOLVED_SHARE = 0.7  # of the time of a fit, for the progress bar


class ESLERFactors(VectorScores):
    """Score by factors of ESLER's weights: what an index for nearest neighbours needs.

    An item in the history may come back, as B's diagonal of zeros is not kept: leave it out.

    Memory: that of a fit of ESLER; afterwards 8 bytes x items x rank.

    Args:
        rank: How many singular values are kept, at most.
        l2: ESLER's.
        dropout: ESLER's.
        seed: Of where the search for the singular values begins.

    Attributes:
        item_vectors: float32 (rankable, rank), V S^1/2.
        history_vectors: float32 (rankable, rank), U S^1/2, of which a history is the sum.

    >>> from pyhybrid import Interactions
    >>> users, items = np.repeat(np.arange(8), 3), [1, 2, 3, 4, 5, 6] * 4
    >>> model = ESLERFactors(rank=2, l2=1.0).fit(Interactions.from_columns(users, items))
    >>> history = Interactions.from_columns(["new", "new"], [4, 6])
    >>> model.item_ids[model.recommend(history, n=1).items]
    array([[5]])
    """

    let_up_by: ClassVar[By] = "factor"
    history_vectors: NDArray[np.float32]

    def __init__(
        self, *, rank: int = 256, l2: float | None = None, dropout: float = 0.0, seed: int = 0
    ) -> None:
        self.rank = count("ESLERFactors", "rank", rank)
        self.seed = count("ESLERFactors", "seed", seed, least=0)
        self.l2 = None if l2 is None else positive("ESLERFactors", "l2", l2)
        self.dropout = share("ESLERFactors", "dropout", dropout)

    def _fit(
        self,
        interactions: Interactions,
        catalog: Catalog | None,
        threads: int,
        report: Callable[[float], object] | None,
    ) -> None:

        del catalog
        items = interactions.n_items
        rank = min(self.rank, items)
        size = f"{items} items of {rank} factors"
        way_out = "use fewer items or a smaller rank="
        require_memory("ESLERFactors", size, 4 * items * (items + 8 * rank), "them", way_out)
        progress = part_of(report, 0.0, _SOLVED_SHARE) or False
        esler = ESLER(l2=self.l2, dropout=self.dropout)
        weights = esler.fit(interactions, threads=threads, progress=progress).weights
        u, s, v = self._largest(weights, rank)
        sign = np.sign(u[np.abs(u).argmax(axis=0), np.arange(rank)])  # else of chance
        roots = sign * np.sqrt(s)
        self.history_vectors = np.ascontiguousarray(u * roots, dtype=np.float32)
        self.item_vectors = np.ascontiguousarray(v * roots, dtype=np.float32)

    def _largest(
        self, weights: NDArray[np.float32], rank: int
    ) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
        """Return U, S and V of the largest singular values, falling."""
        from scipy.sparse.linalg import svds

        if 2 * rank >= len(weights):  # where the search for some is no sooner than for all
            u, s, vt = np.linalg.svd(weights)
        else:
            generator = np.random.default_rng(self.seed)
            start = generator.standard_normal(len(weights)).astype(np.float32)
            found = svds(weights, k=rank, v0=start, rng=generator)
            u, s, vt = found[0][:, ::-1], found[1][::-1], found[2][::-1]
        return u[:, :rank], s[:rank], vt[:rank].T

    def _user_vectors(self, histories: Interactions) -> NDArray[np.float32]:
        return np.asarray(histories.matrix @ self.history_vectors, dtype=np.float32)

    def _arrays(self) -> dict[str, NDArray[Any]]:
        return {"item_vectors": self.item_vectors, "history_vectors": self.history_vectors}

    def _restore(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        self.item_vectors = arrays["item_vectors"]
        self.history_vectors = arrays["history_vectors"]
