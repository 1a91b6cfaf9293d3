"""ESLER, the literature's EASE^R: a linear item-to-item model in closed form.

H. Steck, "Embarrassingly Shallow Autoencoders for Sparse Data", WWW 2019. With X the users x items
matrix of behaviour, minimise ||X - X B||^2 + l2 ||B||^2 over B with a zero diagonal (eq. 1-2):

    P = (X^T X + l2 I)^-1,    B_ij = -P_ij / P_jj  (i != j),    B_jj = 0    (eq. 8)

and score a history x by x B. A user has no parameters, so that users unknown from training are
scored like any other.

With a dropout p (EDLAE: H. Steck, "Autoencoders that don't overfit towards the Identity",
NeurIPS 2020) items are learned from histories that lack a share p of themselves, as a user's next
items do. In the mean over all that may be left out this is a ridge that grows with an item's count
d_i, in the same closed form:

    P = (X^T X + diag(l2 + p / (1 - p) d))^-1

With texts, an item is scored from its first day on. Texts predict its column from the columns of
the items that read like it (`pyhybrid.models.text_columns`): where a is the mixture of other items
that its text makes, f = (B + text_direct I) a, so that an item of the history speaks for it as it
speaks for the items like it, and, by text_direct, where it is like it itself. The ridge draws the
column b that is learned from few interactions towards zero: with n of them it grows with n, and
its power with n^2, so that the share w = m^2 / (m^2 + n^2) of the power is yet to be learned, where
half is learned after m interactions. That share is what the texts add,

    b' = (1 - w (1 - text_scale)) (b + 0.7 w f)

from no interaction (w = 1) to thousands (w = 0) without a step. m is `text_worth`. How far up an
item goes that is known by its text alone, text_scale, is chosen from the training data
(`pyhybrid.models.text_scale`). An item counts in mixtures as far as its own column is learned,
v = n^2 / (n^2 + (m / 10)^2). With text_prior, texts have a say while weights are learned, too
(L3AE, `pyhybrid.models.text_prior`).
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np

from pyhybrid import kernels
from pyhybrid.checks import count, not_negative, positive, share, switch
from pyhybrid.data.ids import positions
from pyhybrid.data.interactions import Interactions
from pyhybrid.data.lately import Dated
from pyhybrid.data.matrices import canonical_csr, csr
from pyhybrid.errors import describe
from pyhybrid.memory import require_memory
from pyhybrid.models.axis import ItemAxis
from pyhybrid.models.base import Recommender
from pyhybrid.models.explanation import Explanation, explain_linear
from pyhybrid.models.item_texts import (
    checked_augmentations,
    checked_encoders,
    item_texts,
    text_vectors,
)
from pyhybrid.models.noise_edge import noise_edge
from pyhybrid.models.text_columns import TextRegression, complete
from pyhybrid.models.text_prior import add_prior
from pyhybrid.models.text_scale import (
    added,
    chosen_texts,
    reliability,
    text_share,
    usual_worths,
    young_scale,
)
from pyhybrid.progress import part_of, progress_bar
from pyhybrid.ranking import Ranking

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from numpy.typing import ArrayLike, NDArray
    from scipy.sparse import csr_array

    from pyhybrid.data.catalog import Catalog
    from pyhybrid.evaluation.curve import By
    from pyhybrid.kernels.core import CSR, TopN
    from pyhybrid.progress import Progress
    from pyhybrid.text.encoders import TextEncoder

__all__ = ["ESLER"]

_GRAM_SHARE, _SOLVED_SHARE = 0.1, 0.9  # of the time of a fit, for the progress bar


class ESLER(Recommender):
    """Score an item by a learned weighted sum of the items in the history.

    Memory: one float32 matrix, items x items (1.6 GB at 20,000 items, 6.7 GB at 41,000) over the
    items with at least `min_count` training users; two with `keep_gram`; with `text` learned x all
    items (16 GB for 20,000 of 200,000). Time: items^3 floating-point operations, whatever the
    number of users; with `text` twice that, as some items are taken for new ones to choose by,
    unless `text_scale` is given. What `text` adds runs on as many threads as NumPy's BLAS is set
    to.

    Args:
        l2: The regularisation, in interactions. None: chosen by counts alone
            (`pyhybrid.models.noise_edge`), which costs no time. Published optima lie between 20 and
            1000; the optimum is flat, a factor of 2 costs little.
        dropout: p above: the share of a history that is left out while learning, in the mean.
            Published optima: a quarter to a third, with a smaller `l2`; it costs no time.
        min_count: Items with fewer training users are not learned; without `text` they are never
            recommended.
        keep_gram: Keep the Gram matrix beside the weights, and save it, so that `partial_fit` can
            add users later; and the events' times, if any, 12 bytes each. Needs ``min_count=1``,
            and no `text`.
        text: What encodes the texts of the catalogue that `fit` is then given: a model of
            sentence-transformers, by name or folder (extra ``text``); "tfidf", which is fitted on
            the learned items' texts; any `pyhybrid.text.TextEncoder`; or a list of several, whose
            vectors are joined. Items that are not learned, for the lack of training users, get
            weights from their texts. None: they are not recommended.
        augmentations: Further fields of the catalogue that are read, such as what a language model
            said of the items; vectors of all fields are joined.
        text_l2: The ridge of the prediction from texts.
        text_gamma: How fast texts grow unlike with the squared distance of their vectors, which
            have length 1; 0: the prediction is linear in the vectors.
        text_worth: m above: how many interactions what a text says is worth. None: 1.3 times what
            an item has in the mean, or 100 where that is more or costs less.
        text_scale: How far up new items come among the others, a factor on their scores; None:
            chosen from the training data, as what costs nothing there: by time where the
            interactions have times, so that it may be small. A larger one lets new items further
            up, at the price that `Report.tradeoffs` tells.
        text_direct: How much an item speaks by itself for new items whose texts are like its own.
        text_prior: How much learned weights are drawn towards what the texts say of them, in
            interactions beside `l2`: what makes rare items better. Published optima of both: 50 to
            500. 0: learned from behaviour alone.
        text_landmarks: Beyond so many learned items the regression is approximated
            (`text_columns.TextRegression`).
        seed: Of the draw of the landmarks.

    Attributes:
        weights: float32 (learned, rankable): B, from the items with `min_count` training users to
            those that `rankable` lists, which are the same items without `text`. Another item in
            a history says nothing. `learned` lists the rows.
        chosen_l2: The `l2` that was given or chosen.
        chosen_worth: The `text_worth` that was given or chosen; None without `text`.
        chosen_scale: The `text_scale` likewise.

    >>> from scipy.sparse import csr_array
    >>> x = csr_array(np.array([[1, 1, 0, 0], [1, 1, 0, 0], [0, 0, 1, 1]], dtype=np.float32))
    >>> model = ESLER(l2=1.0).fit(x)
    >>> history = csr_array(np.array([[1, 0, 0, 0]], dtype=np.float32))
    >>> model.recommend(history, n=2).items
    array([[1, 2]], dtype=int32)
    """

    let_up_by: ClassVar[By] = "factor"
    weights: NDArray[np.float32]
    chosen_l2: float
    _users: int
    chosen_worth: float | None = None
    chosen_scale: float | None = None
    _has_weights: NDArray[np.bool_]

    def __init__(
        self,
        *,
        l2: float | None = None,
        dropout: float = 0.0,
        min_count: int = 1,
        keep_gram: bool = False,
        text: str | TextEncoder | Sequence[str | TextEncoder] | None = None,
        augmentations: Sequence[str] = (),
        text_l2: float = 0.2,
        text_gamma: float = 0.5,
        text_worth: float | None = None,
        text_scale: float | None = None,
        text_direct: float = 0.2,
        text_prior: float = 0.0,
        text_landmarks: int = 4000,
        seed: int = 0,
    ) -> None:
        self.l2 = None if l2 is None else positive("ESLER", "l2", l2)
        self.dropout = share("ESLER", "dropout", dropout)
        self.min_count = count("ESLER", "min_count", min_count)
        self.keep_gram = switch("ESLER", "keep_gram", keep_gram)
        if self.keep_gram and self.min_count > 1:
            # partial_fit could not tell what the items left out so far have to add.
            raise ValueError(describe("ESLER", "min_count", min_count, "1 with keep_gram=True"))
        self.text = checked_encoders("ESLER", text)
        self.scores_cold_items = self.text is not None
        if self.keep_gram and self.scores_cold_items:
            raise ValueError(describe("ESLER", "text", repr(text), "None with keep_gram=True"))
        self.augmentations = checked_augmentations("ESLER", augmentations)
        self.text_l2 = positive("ESLER", "text_l2", text_l2)
        self.text_gamma = not_negative("ESLER", "text_gamma", text_gamma)
        self.text_worth, self.text_scale = (
            None if value is None else positive("ESLER", name, value)
            for name, value in (("text_worth", text_worth), ("text_scale", text_scale))
        )
        self.text_direct = not_negative("ESLER", "text_direct", text_direct)
        self.text_prior = not_negative("ESLER", "text_prior", text_prior)
        if self.text_prior and self.text is None:
            raise ValueError(describe("ESLER", "text_prior", text_prior, "0 without text="))
        self.text_landmarks = count("ESLER", "text_landmarks", text_landmarks)
        self.seed = count("ESLER", "seed", seed, least=0)
        self._gram: NDArray[np.float32] | None = None
        self._user_ids: NDArray[Any] | None = None
        self._dated: Dated | None = None

    def partial_fit(
        self,
        interactions: Interactions | CSR,
        *,
        threads: int = 0,
        progress: Progress = False,
    ) -> Self:
        """Add whole new users to what was learned, and solve again.

        Equal to a `fit` on all users at once, for 0/1 data bit for bit in the Gram matrix. The
        item axis stays; items on it that had no training user so far may get some. The rows of a
        bare CSR count as new users. Once some users' events have no times, or times of another
        dtype, what is popular lately is no longer known: the fallback goes by all events.

        Raises:
            NotFittedError: Before `fit`.
            ValueError: Without ``keep_gram=True``, if a user was fitted on before, or if an item
                is not on the model's axis.
        """
        shard = self._histories("partial_fit", interactions)
        shard = shard.select_users(np.diff(shard.matrix.indptr) > 0)  # others add nothing
        if self._gram is None or self._user_ids is None:
            way_out = "fit with ESLER(keep_gram=True), which keeps a second items x items array"
            raise ValueError(describe("partial_fit", "keep_gram", self.keep_gram, "True", way_out))
        named = isinstance(interactions, Interactions)  # the rows of a bare CSR have no ids
        new_ids = shard.user_ids if named else self._user_ids[:0]
        self._refuse_known_users(new_ids, self._user_ids)
        item_counts = self.item_counts + shard.item_counts()
        dated = self._dated and self._dated.joined(shard)
        axis = ItemAxis.of_counts(self.item_ids, item_counts, self.min_count)
        axis = axis.with_lately(self._lately(dated, len(self.item_ids)))
        rankable = axis.rankable
        self._require_memory(len(rankable))
        with progress_bar("fitting ESLER", progress) as report:
            shard_view = shard.with_items(self.item_ids[rankable], unknown="drop")
            gram = kernels.gram(shard_view.matrix, threads=threads)
            if len(rankable) == len(self.rankable):
                gram += self._gram
            else:
                known = np.searchsorted(rankable, self.rankable)
                gram[np.ix_(known, known)] += self._gram
            users = self._users + shard.n_users
            l2 = self._ridge(gram, users)
            weights = self._solve(gram, l2, overwrite=False, threads=threads, progress=report)
        # From here on nothing fails: an interrupted call leaves the model as it was.
        self._axis, self._dated = axis, dated
        self.weights, self._gram = weights, gram
        self.chosen_l2, self._users = l2, users
        self._has_weights = np.asarray(weights.any(axis=1))
        self._user_ids = np.concatenate([self._user_ids, new_ids])
        return self

    def similar_items(self, items: ArrayLike, n: int = 10) -> Ranking:
        """Rank the items that each given item speaks for most: the largest weights of its row.

        Args:
            items: Positions on the item axis, (rows,).
            n: Items a row.

        Returns:
            A ranking whose rows are named by the given items' ids.
        """
        _, items = self._fitted("similar_items").own("similar_items", items)
        few = np.flatnonzero(self.item_counts[items] < self.min_count)
        if len(few):
            value = f"{items[few[0]]}, which the model knows by its text alone"
            rule = f"one with {self.min_count} training users or more"
            raise ValueError(describe("similar_items", "item", value, rule))

        def one_each(axis: NDArray[np.int32]) -> csr_array[np.float32]:
            ones, indptr = np.ones(len(items), dtype=np.float32), np.arange(len(items) + 1)
            return csr(ones, np.searchsorted(axis, items), indptr, (len(items), len(axis)))

        itself, excluded = one_each(self.learned), one_each(self.rankable)
        found, scores = kernels.top_n(itself, self.weights, n, exclude=excluded)
        no_fallback = np.zeros(len(items), dtype=np.bool_)
        ranked = self.axis.back(found)
        return Ranking(ranked, scores, self.item_ids[items], self.item_ids, no_fallback)

    def explain(self, histories: Interactions | CSR, ranking: Ranking, n: int = 5) -> Explanation:
        """Tell which history items carried each recommendation, and by how much.

        An item's score is the sum over the history of weight x B[history item, item]; the n
        largest terms are returned, of either sign, largest first.

        Args:
            histories: What `ranking` was made from, row by row.
            ranking: What `recommend` returned.
            n: History items a recommendation.

        Returns:
            The history items and their contributions.
        """
        seen = self._histories("explain", histories)
        n = count("explain", "n", n)
        ranking.require_axes("explain", seen.user_ids, self.item_ids)
        matrix = self._speaking(self.axis.view(seen))
        return explain_linear(ranking, matrix, self.weights, self.learned, self.rankable, n)

    @property
    def _least_count(self) -> int:
        return 0 if self.scores_cold_items else self.min_count

    def _fit(
        self,
        interactions: Interactions,
        catalog: Catalog | None,
        threads: int,
        report: Callable[[float], object] | None,
    ) -> None:
        self._gram = self._user_ids = self._dated = None
        self.__dict__.pop("weights", None)  # an earlier fit's memory, before the new one's
        items, self.chosen_worth, self.chosen_scale = interactions.n_items, None, None
        learned = np.flatnonzero(interactions.item_counts() >= self.min_count)  # all without texts
        if not len(learned):
            rule = f"one item with {self.min_count} users or more"
            raise ValueError(describe("ESLER", "number of items to learn from", 0, rule))
        self._require_memory(items, others=items - len(learned))
        vectors = self._vectors(interactions, learned, catalog)
        if vectors is not None:
            counts = interactions.item_counts()
            worths = (
                usual_worths(counts[learned]) if self.text_worth is None else (self.text_worth,)
            )
            chosen = self._chosen(interactions, vectors, worths, threads)
            self.chosen_worth, self.chosen_scale = chosen
        # One matrix for everything: the learned items' Gram matrix and weights begin in its front.
        whole = np.empty((len(learned), items), dtype=np.float32)
        front = whole.reshape(-1)[: len(learned) ** 2].reshape(len(learned), len(learned))
        gram = kernels.gram(
            interactions.matrix if vectors is None else interactions.matrix[:, learned],
            out=front,
            threads=threads,
            progress=part_of(report, 0.0, _GRAM_SHARE),
        )
        if self.keep_gram:
            self._gram = gram
            self._user_ids = interactions.user_ids[: None if self._users_are_named else 0]
            dated = Dated.of(interactions)  # on the rankable items
            self._dated = dated and replace(dated, items=self.rankable[dated.items])
        p = np.empty(len(learned), dtype=np.float32)
        self._users = _users_of(interactions.matrix)
        self.chosen_l2 = self._ridge(gram, self._users)
        weights = self._solve(
            gram,
            self.chosen_l2,
            overwrite=not self.keep_gram,
            inverse_diagonal=p,
            threads=threads,
            progress=part_of(report, _GRAM_SHARE, _SOLVED_SHARE if self.text else 1.0),
        )
        if vectors is not None and self.chosen_worth is not None and self.chosen_scale is not None:
            if self.text_prior:
                texts = self._regression(vectors[learned], np.ones(len(learned)))
                add_prior(weights, p, texts.features, self.text_prior)
            counts, worth = interactions.item_counts(), self.chosen_worth
            texts = self._regression(vectors, self._reliability(counts, worth))
            part = text_share(counts, worth, texts)
            complete(
                whole,
                learned,
                texts,
                direct=self.text_direct,
                share=added(part),
                scale=young_scale(part, self.chosen_scale),
            )
            weights = whole
        self.weights = weights
        self._has_weights = np.asarray(self.weights.any(axis=1))

    def _vectors(
        self, interactions: Interactions, learned: NDArray[np.int64], catalog: Catalog | None
    ) -> NDArray[np.float32] | None:
        """Encode the items' texts: float32 (items, dim)."""
        if self.text is None:
            return None
        is_learned = np.zeros(interactions.n_items, dtype=np.bool_)
        is_learned[learned] = True
        texts = item_texts("ESLER", catalog, interactions.item_ids, self.augmentations)
        return text_vectors(self.text, texts, is_learned, seed=self.seed)

    def _reliability(self, counts: NDArray[np.int64], worth: float) -> NDArray[np.float32]:
        is_learned = (counts >= self.min_count).astype(np.float32)
        return reliability(counts, worth) * is_learned

    def _regression(self, vectors: NDArray[np.float32], reliable: NDArray[Any]) -> TextRegression:
        return TextRegression(
            vectors,
            reliable,
            l2=self.text_l2,
            gamma=self.text_gamma,
            landmarks=self.text_landmarks,
            seed=self.seed,
        )

    def _chosen(
        self,
        interactions: Interactions,
        vectors: NDArray[np.float32],
        worths: Sequence[float],
        threads: int,
    ) -> tuple[float, float]:
        """Choose what a text is worth, and how far up new items go, where it is not given."""
        if self.text_scale is not None:
            return worths[-1], self.text_scale

        def solve(matrix: CSR) -> NDArray[np.float32]:
            gram = kernels.gram(matrix, threads=threads)
            l2 = self._ridge(gram, _users_of(matrix))
            return self._solve(gram, l2, overwrite=True, threads=threads, progress=None)

        return chosen_texts(
            interactions,
            solve,
            lambda counts, worth: self._regression(vectors, self._reliability(counts, worth)),
            direct=self.text_direct,
            worths=worths,
            seed=self.seed,
            threads=threads,
        )

    def _ridge(self, gram: NDArray[np.float32], users: int) -> float:
        """Return the l2 that is given, or else that of the counts."""
        return noise_edge(np.diagonal(gram), users) if self.l2 is None else self.l2

    def _solve(
        self,
        gram: NDArray[np.float32],
        l2: float,
        *,
        overwrite: bool,
        threads: int,
        progress: Callable[[float], object] | None,
        inverse_diagonal: NDArray[np.float32] | None = None,
    ) -> NDArray[np.float32]:
        """Return B; the Gram matrix stays as it is unless `overwrite` says otherwise."""
        diagonal = np.einsum("ii->i", gram)  # a view
        counts = diagonal.copy()
        try:
            diagonal += np.float32(self.dropout / (1 - self.dropout)) * counts
            return kernels.esler_weights(
                gram,
                l2 + self.text_prior,
                overwrite=overwrite,
                inverse_diagonal=inverse_diagonal,
                threads=threads,
                progress=progress,
            )
        finally:
            if not overwrite:
                diagonal[:] = counts

    def _require_memory(self, items: int, others: int = 0) -> None:
        needed = 4 * (2 if self.keep_gram else 1) * (items - others) * items
        if self.text is not None:  # the regression's features, and what is made of them
            width = min(items - others, self.text_landmarks)
            needed += 4 * width * (2 * items + (4 if self.text_prior else 1) * (items - others))
        purpose = "the Gram matrix and the weights" if self.keep_gram else "the Gram matrix"
        way_out = "use fewer items (min_count=) or a larger machine"
        require_memory("ESLER", f"{items} items", needed, purpose, way_out)

    @staticmethod
    def _refuse_known_users(new: NDArray[Any], known: NDArray[Any]) -> None:
        twice = np.flatnonzero(positions(new, known) >= 0)
        if len(twice):
            value = f"{len(twice)} (first: {new[twice[:1]].tolist()[0]!r})"
            way_out = "partial_fit adds whole new users; fit again to change known ones"
            raise ValueError(
                describe("partial_fit", "number of users fitted before", value, "0", way_out)
            )

    def _has_signal(self, histories: Interactions) -> NDArray[np.bool_]:
        # An item that shares no user with another one has no weights.
        signal = abs(self._speaking(histories)) @ self._has_weights.astype(np.float32)
        return np.asarray(signal > 0)

    def _score(self, histories: Interactions) -> NDArray[np.float32]:
        return np.asarray(self._speaking(histories) @ self.weights, dtype=np.float32)

    @property
    def learned(self) -> NDArray[np.int32]:
        """The positions on the axis of the items that say something in a history."""
        learned = self.item_counts[self.rankable] >= self.min_count
        return self.rankable[learned] if self.scores_cold_items else self.rankable

    def _speaking(self, histories: Interactions) -> csr_array[np.float32]:
        """Return the part of histories that says something: (rows, learned)."""
        learned = self.learned
        if len(learned) == len(self.rankable):
            return histories.matrix
        return canonical_csr(histories.matrix[:, np.searchsorted(self.rankable, learned)])

    def _rank(
        self,
        histories: Interactions,
        n: int,
        exclude: csr_array[np.float32] | None,
        among: NDArray[np.int32] | None,
        threads: int,
    ) -> TopN:
        return kernels.top_n(
            self._speaking(histories),
            self.weights,
            n,
            exclude=exclude,
            among=among,
            threads=threads,
        )

    def _arrays(self) -> dict[str, NDArray[Any]]:
        arrays: dict[str, Any] = {"weights": self.weights, "has_weights": self._has_weights}
        arrays["chosen_l2"] = np.array([self.chosen_l2, self._users])
        if self.chosen_worth is not None and self.chosen_scale is not None:
            arrays["chosen_texts"] = np.array([self.chosen_worth, self.chosen_scale])
        if self._gram is not None and self._user_ids is not None:
            arrays |= {"gram": self._gram, "user_ids": self._user_ids}
            if self._dated is not None:
                arrays |= {"event_items": self._dated.items, "event_times": self._dated.times}
        return arrays

    def _restore(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        self.weights, self._has_weights = arrays["weights"], arrays["has_weights"]
        if len(self.weights) > len(self.learned):  # saved when weights had rows of zeros, too
            rows = np.searchsorted(self.rankable, self.learned)
            self.weights, self._has_weights = self.weights[rows], self._has_weights[rows]
        # Before there was a choice, l2 was always given.
        l2, users = arrays.get("chosen_l2", np.array([self.l2 or 0.0, 1.0]))
        self.chosen_l2, self._users = float(l2), int(users)
        if "chosen_texts" in arrays:
            self.chosen_worth, self.chosen_scale = map(float, arrays["chosen_texts"])
        self._gram = arrays.get("gram")
        self._user_ids = arrays.get("user_ids")
        times = arrays.get("event_times")
        self._dated = None if times is None else Dated(arrays["event_items"], times)


def _users_of(matrix: CSR) -> int:
    """Count the users who have an interaction."""
    return int((np.diff(matrix.indptr) > 0).sum())
