"""What every recommender promises: fit, score, recommend, save, load."""

from __future__ import annotations

import inspect
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np

from pyhybrid import kernels
from pyhybrid.checks import count, integers
from pyhybrid.data.ids import column_of, positions
from pyhybrid.data.interactions import Interactions
from pyhybrid.errors import NotFittedError, describe
from pyhybrid.models.storage import digest, read_folder, write_folder
from pyhybrid.progress import progress_bar
from pyhybrid.ranking import Ranking

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Iterable, Mapping
    from pathlib import Path

    from numpy.typing import ArrayLike, NDArray
    from scipy.sparse import csr_array

    from pyhybrid.data.catalog import Catalog
    from pyhybrid.kernels.core import CSR, TopN
    from pyhybrid.progress import Progress

__all__ = ["Recommender", "popular"]

_ROWS = 1024  # rows scored at once where a model has no kernel of its own


class Recommender(ABC):
    """Rank a catalogue's items for users, from their histories.

    The item axis is fixed by `fit`: the training interactions' items in their order, then the
    catalogue's other items in catalogue order. Histories, scores, rankings and `among` all use it.
    An item with fewer than `min_count` training users (1 unless a model says otherwise) is one
    that a model with ``scores_cold_items = False`` never recommends.

    A model subclasses the hooks `_fit`, `_score`, `_arrays` and `_restore`, and `_rank` where it
    can rank without a score matrix. The hooks of a model that does not score cold items see the
    items that it can rank and no others, numbered anew in axis order (`rankable` translates).

    Attributes:
        scores_cold_items: Whether items without a training interaction can be recommended.
        item_ids: (items,), the item axis.
        item_counts: int64 (items,), the training users of each item.
        rankable: int32, the positions of the items that the model can rank, ascending.
    """

    scores_cold_items: ClassVar[bool] = False

    item_ids: NDArray[Any]
    item_counts: NDArray[np.int64]
    rankable: NDArray[np.int32]

    @property
    def params(self) -> dict[str, Any]:
        """The hyper-parameters, as the constructor takes them."""
        names = inspect.signature(type(self)).parameters
        return {name: getattr(self, name) for name in names}

    @classmethod
    def check_params(cls, who: str, names: Iterable[str]) -> None:
        """Raise ValueError if a name is not one of the model's hyper-parameters."""
        known = list(inspect.signature(cls).parameters)
        for name in names:
            if name not in known:
                expected = f"one of {', '.join(known)}" if known else "none"
                what = f"{cls.__name__}'s parameter"
                raise ValueError(describe(who, what, repr(name), expected))

    def with_params(self, **changes: Any) -> Self:
        """Return an unfitted model with some hyper-parameters changed."""
        return type(self)(**{**self.params, **changes})

    def __repr__(self) -> str:
        params = ", ".join(f"{name}={value!r}" for name, value in self.params.items())
        return f"{type(self).__name__}({params})"

    def fit(
        self,
        interactions: Interactions | CSR,
        catalog: Catalog | None = None,
        *,
        threads: int = 0,
        progress: Progress = False,
    ) -> Self:
        """Learn from training interactions.

        Args:
            interactions: Who took what; a bare CSR has row and column numbers for ids.
            catalog: The items, for those that have no interaction, and for text.
            threads: 0 for all that this process may use.
            progress: True for a bar, or a callable that is handed the share done.

        Returns:
            The model itself.

        Raises:
            ValueError: If there is nothing to learn from.
            MemoryError: If the job won't fit.
        """
        who = type(self).__name__
        interactions = _as_interactions(who, interactions)
        if interactions.matrix.nnz == 0:
            raise ValueError(describe(who, "number of interactions", 0, "1 or more"))
        item_counts = interactions.item_counts()
        item_ids = interactions.item_ids
        if catalog is not None:
            others = catalog.item_ids[positions(catalog.item_ids, item_ids) < 0]
            item_ids = np.concatenate([item_ids, others])
            item_counts = np.concatenate([item_counts, np.zeros(len(others), dtype=np.int64)])
        if item_counts.max() < self._least_count:
            rule = f"one item with {self._least_count} users or more"
            raise ValueError(describe(who, "number of items to learn from", 0, rule))
        self._set_axis(item_ids, item_counts)
        try:
            with progress_bar(f"fitting {who}", progress) as report:
                self._fit(self._model_view(interactions), catalog, threads, report)
        except BaseException:
            del self.item_ids  # an interrupted fit leaves a model that says it is not fitted
            raise
        return self

    def score(self, histories: Interactions | CSR) -> NDArray[np.float32]:
        """Score all items for each history: float32 (rows, items), C-contiguous.

        Memory: rows x items x 4 bytes; `recommend` needs none of it. Items that the model can't
        rank score -inf. Scores order the items of a row; they are not probabilities.

        Raises:
            NotFittedError: Before `fit`.
            ValueError: If a history names an item that the model doesn't know.
        """
        scores = self._score(self._model_view(self._histories("score", histories)))
        if len(self.rankable) == len(self.item_ids):
            return np.ascontiguousarray(scores)
        full = np.full((len(scores), len(self.item_ids)), -np.inf, dtype=np.float32)
        full[:, self.rankable] = scores
        return full

    def recommend(
        self,
        histories: Interactions | CSR,
        n: int = 10,
        *,
        exclude_seen: bool = True,
        among: ArrayLike | None = None,
        deny: ArrayLike | None = None,
        threads: int = 0,
    ) -> Ranking:
        """Rank the best n items for each history.

        A history that holds nothing to go by gets the most popular items of the training data,
        and is marked in `Ranking.fallback`. Ties go to the lower item index.

        Args:
            histories: What the users have taken; users need not be known from training. A bare
                CSR is anonymous: rows are named by their numbers.
            n: Items a row, 1 or more.
            exclude_seen: Leave out what is in the history.
            among: The allowed items, positions on the item axis: (allowed,) for all rows, or
                (rows, allowed) padded with -1. `item_positions` finds positions by id.
            deny: Positions of items that nobody is recommended.
            threads: 0 for all that this process may use.

        Raises:
            NotFittedError: Before `fit`.
            ValueError: If a history names an item that the model doesn't know, or `n`, `among` or
                `deny` is out of range.
        """
        n = count("recommend", "n", n)
        seen = self._histories("recommend", histories)
        view = self._model_view(seen)
        model_among = self.allowed_items(among, deny, seen.n_users)
        exclude = view.matrix if exclude_seen else None
        items, scores = self._rank(view, n, exclude, model_among, threads)
        fallback = np.diff(view.matrix.indptr) == 0
        if fallback.any():
            rows = np.flatnonzero(fallback)
            if model_among is not None and model_among.ndim == 2:
                model_among = model_among[rows]
            popularity = self.item_counts[self.rankable].astype(np.float32)
            # These rows have no entry on the model's axis, so there is nothing to exclude.
            items[rows], scores[rows] = popular(
                len(rows), popularity, n, None, model_among, threads
            )
        return Ranking(self._axis_items(items), scores, seen.user_ids, self.item_ids, fallback)

    def recommend_batches(
        self,
        histories: Interactions | CSR,
        out: str | os.PathLike[str],
        n: int = 10,
        *,
        rows: int = 100_000,
        exclude_seen: bool = True,
        among: ArrayLike | None = None,
        deny: ArrayLike | None = None,
        threads: int = 0,
        progress: Progress = False,
    ) -> list[Path]:
        """Write recommendations as Parquet parts of `rows` users each, at constant memory.

        Restarts at the first missing part after an interruption; parts that another job wrote are
        refused, not mixed in. See `pyhybrid.models.batches.write_parts`.

        Returns:
            The parts, in order of rows.
        """
        from pyhybrid.models.batches import parts_of, write_parts

        seen = self._histories("recommend_batches", histories)
        with progress_bar("recommending", progress) as report:
            parts = parts_of(seen, count("recommend_batches", "rows", rows), report)
            return write_parts(
                self,
                parts,
                out,
                n,
                exclude_seen=exclude_seen,
                among=among,
                deny=deny,
                threads=threads,
            )

    def allowed_items(
        self, among: ArrayLike | None, deny: ArrayLike | None, rows: int = 1
    ) -> NDArray[np.int32] | None:
        """Turn `among` and `deny` of `recommend` into the model's own items; None if that is all.

        Raises:
            TypeError: If they are not integers.
            ValueError: If they are not on the item axis, or `among` has another number of rows.
        """
        self._require_fitted("recommend")
        items = len(self.item_ids)
        position = np.full(items + 1, -1, dtype=np.int32)  # the last place stands for -1
        position[self.rankable] = np.arange(len(self.rankable), dtype=np.int32)
        if deny is not None:
            position[_on_axis("deny", deny, items)] = -1
        elif among is None:
            return None
        if among is None:
            return position[position >= 0]
        among = _on_axis("among", among, items, least=-1)
        if among.ndim not in (1, 2) or (among.ndim == 2 and len(among) != rows):
            expected = f"(allowed,) or (rows, allowed) with {rows} rows"
            raise ValueError(describe("recommend", "among's shape", among.shape, expected))
        allowed: NDArray[np.int32] = position[among]
        return allowed

    def item_positions(self, ids: ArrayLike) -> NDArray[np.int32]:
        """Find items by their own ids: their positions on the item axis, int32 (ids,).

        Raises:
            ValueError: If the model doesn't know one of them.
        """
        self._require_fitted("item_positions")
        who = type(self).__name__
        wanted = column_of(ids, who, "ids")
        found = positions(wanted, self.item_ids, who)
        unknown = np.flatnonzero(found < 0)
        if len(unknown):
            first = wanted[unknown[0] : unknown[0] + 1].tolist()[0]
            value = f"{len(unknown)} (first: {first!r})"
            raise ValueError(describe(who, "number of unknown items", value, "0"))
        return found.astype(np.int32)

    def fingerprint(self) -> str:
        """Return a short digest of the hyper-parameters and of what was learned.

        Raises:
            NotFittedError: Before `fit`.
        """
        self._require_fitted("fingerprint")
        learned = [self.item_ids, self.item_counts, *self._arrays().values()]
        return digest(type(self).__name__, self.params, *learned)

    def save(self, folder: str | os.PathLike[str]) -> None:
        """Write the model to a folder, or replace the model that is there.

        The folder holds ``config.json`` (class, format version, hyper-parameters, shapes) and
        arrays as ``.npy``; no pickle. A killed save leaves an earlier model whole.

        Raises:
            NotFittedError: Before `fit`.
            FileExistsError: If the folder holds something that is not a model.
        """
        self._require_fitted("save")
        arrays = {"item_ids": self.item_ids, "item_counts": self.item_counts, **self._arrays()}
        write_folder(folder, {"class": type(self).__name__, "params": self.params}, arrays)

    @classmethod
    def load(cls, folder: str | os.PathLike[str]) -> Self:
        """Read a model that `save` wrote; its large arrays are memory-mapped.

        Raises:
            FileNotFoundError: If there is no such folder.
            ValueError: If it is no model, another class's, of a newer format, or damaged.
        """
        config, arrays = read_folder(folder)
        if config["class"] != cls.__name__:
            expected = f"{cls.__name__}, or use pyhybrid.load"
            raise ValueError(describe("load", f"the model in {folder}", config["class"], expected))
        cls.check_params("load", config["params"])
        model = cls(**config["params"])
        model._restore(arrays)
        model._set_axis(arrays["item_ids"], np.asarray(arrays["item_counts"]))
        return model

    # What a model implements.

    @abstractmethod
    def _fit(
        self,
        interactions: Interactions,
        catalog: Catalog | None,
        threads: int,
        report: Callable[[float], object] | None,
    ) -> None:
        """Learn from interactions on the model's items."""

    @abstractmethod
    def _score(self, histories: Interactions) -> NDArray[np.float32]:
        """Score the model's items: float32 (rows, model items)."""

    @abstractmethod
    def _arrays(self) -> dict[str, NDArray[Any]]:
        """Return what was learned, for `save`."""

    @abstractmethod
    def _restore(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Take back what `_arrays` returned."""

    def _rank(
        self,
        histories: Interactions,
        n: int,
        exclude: csr_array[np.float32] | None,
        among: NDArray[np.int32] | None,
        threads: int,
    ) -> TopN:
        """Rank the model's items; the default scores some rows at a time."""
        items = np.empty((histories.n_users, n), dtype=np.int32)
        scores = np.empty((histories.n_users, n), dtype=np.float32)
        for first in range(0, histories.n_users, _ROWS):
            rows = np.arange(first, min(first + _ROWS, histories.n_users))
            items[rows], scores[rows] = kernels.top_n_scores(
                self._score(histories.select_users(rows)),
                n,
                exclude=None if exclude is None else exclude[rows],
                among=among[rows] if among is not None and among.ndim == 2 else among,
                threads=threads,
            )
        return items, scores

    @property
    def _least_count(self) -> int:
        """The training users that an item needs to be ranked by a model of warm items."""
        return 1

    # The item axis, and the model's own view of it.

    def _set_axis(self, item_ids: NDArray[Any], item_counts: NDArray[np.int64]) -> None:
        self.item_ids = item_ids
        self.item_counts = item_counts
        can_rank = self.scores_cold_items | (item_counts >= self._least_count)
        self.rankable = np.flatnonzero(can_rank).astype(np.int32)

    def _require_fitted(self, who: str) -> None:
        if not hasattr(self, "item_ids"):
            raise NotFittedError(
                describe(who, f"this {type(self).__name__}", "not fitted", "fit() before it")
            )

    def _histories(self, who: str, histories: Interactions | CSR) -> Interactions:
        """Bring histories to the item axis; a bare CSR must be on it already."""
        self._require_fitted(who)
        if isinstance(histories, Interactions):
            return histories.with_items(self.item_ids)
        if getattr(histories, "format", None) == "csr":
            columns, items = histories.shape[1], len(self.item_ids)
            if columns != items:
                fitted = f"this model was fitted on {items} items"
                raise ValueError(f"{who}: histories has {columns} columns; {fitted}")
            return Interactions.from_csr(histories, item_ids=self.item_ids)
        return _as_interactions(who, histories)

    def _model_view(self, interactions: Interactions) -> Interactions:
        """Drop the items that the model can't rank."""
        on_axis = interactions.with_items(self.item_ids)
        if len(self.rankable) == len(self.item_ids):
            return on_axis
        return on_axis.with_items(self.item_ids[self.rankable], unknown="drop")

    def _axis_items(self, items: NDArray[np.int32]) -> NDArray[np.int32]:
        """Translate model items back to the item axis."""
        if len(self.rankable) == len(self.item_ids):
            return items
        return np.where(items >= 0, self.rankable[items], np.int32(-1))


def popular(
    rows: int,
    popularity: NDArray[np.float32],
    n: int,
    exclude: csr_array[np.float32] | None,
    among: NDArray[np.int32] | None,
    threads: int,
) -> TopN:
    """Rank by popularity, float32 (items,), alone: a factor model of dimension one."""
    ones = np.ones((rows, 1), dtype=np.float32)
    factors = np.ascontiguousarray(popularity[:, None])
    return kernels.top_n_factors(ones, factors, n, exclude=exclude, among=among, threads=threads)


def _as_interactions(who: str, interactions: Any) -> Interactions:
    if isinstance(interactions, Interactions):
        return interactions
    if getattr(interactions, "format", None) == "csr":
        return Interactions.from_csr(interactions)
    found = f"a {type(interactions).__name__}"
    raise TypeError(describe(who, "interactions", found, "Interactions or a SciPy CSR"))


def _on_axis(
    what: str, values: ArrayLike, items: int, *, least: int = 0
) -> NDArray[np.integer[Any]]:
    indices = integers("recommend", what, values)
    if indices.size and (indices.min() < least or indices.max() >= items):
        value = f"{indices.min()} to {indices.max()}"
        raise ValueError(describe("recommend", what, value, f"items in {least} to {items - 1}"))
    return indices
