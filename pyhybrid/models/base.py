"""What every recommender promises: fit, score, recommend, save, load."""

from __future__ import annotations

import inspect
from abc import abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np

from pyhybrid import kernels
from pyhybrid.checks import count
from pyhybrid.data.held_out import union
from pyhybrid.data.interactions import Interactions
from pyhybrid.data.lately import NEWEST, Dated
from pyhybrid.errors import NotFittedError, describe
from pyhybrid.memory import require_memory
from pyhybrid.models.axis import ItemAxis, as_interactions
from pyhybrid.models.places import checked_places, with_places
from pyhybrid.models.row_scores import RowScores
from pyhybrid.progress import progress_bar
from pyhybrid.ranking import Ranking, popular
from pyhybrid.storage import digest, read_folder, write_folder

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Iterable, Mapping
    from pathlib import Path

    from numpy.typing import ArrayLike, NDArray
    from scipy.sparse import csr_array

    from pyhybrid.data.catalog import Catalog
    from pyhybrid.evaluation.curve import By
    from pyhybrid.kernels.core import CSR, TopN
    from pyhybrid.progress import Progress

__all__ = ["Recommender"]

_ROWS = 1024  # rows scored at once where a model has no kernel of its own


class Recommender(RowScores):
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
        let_up_by: How new items come further up among the others: by a "factor" on their scores,
            where scores grow with the history, or by an "offset" to them.
    """

    scores_cold_items: bool = False
    let_up_by: ClassVar[By] = "offset"
    _axis: ItemAxis | None = None
    _users_are_named = True  # False after a fit on a bare CSR, whose row numbers are no ids

    @property
    def axis(self) -> ItemAxis:
        """The item axis. Raises NotFittedError before `fit`."""
        return self._fitted("axis")

    @property
    def item_ids(self) -> NDArray[Any]:
        """The ids of the items on the axis, (items,)."""
        return self._fitted("item_ids").item_ids

    @property
    def item_counts(self) -> NDArray[np.int64]:
        """The training users of each item on the axis: int64 (items,)."""
        return self._fitted("item_counts").item_counts

    @property
    def rankable(self) -> NDArray[np.int32]:
        """The positions of the items that the model can rank: int32, ascending."""
        return self._fitted("rankable").rankable

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
        """Name the class and the hyper-parameters that are not the default."""
        usual = inspect.signature(type(self)).parameters
        changed = (f"{k}={v!r}" for k, v in self.params.items() if v != usual[k].default)
        return f"{type(self).__name__}({', '.join(changed)})"

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
        return self._learn(self._fit, interactions, catalog, threads, progress)

    def score(self, histories: Interactions | CSR) -> NDArray[np.float32]:
        """Score all items for each history: float32 (rows, items), C-contiguous.

        Memory: rows x items x 4 bytes; `recommend` needs none of it. Items that the model can't
        rank score -inf. Scores order the items of a row; they are not probabilities.

        Raises:
            NotFittedError: Before `fit`.
            ValueError: If a history names an item that the model doesn't know.
            MemoryError: If the scores won't fit.
        """
        seen = self._histories("score", histories)
        needed = seen.n_users * 4 * (len(self.rankable) + len(self.item_ids))
        way_out = "score fewer rows at a time; recommend needs no scores"
        require_memory("score", f"{seen.n_users} rows", needed, "the scores", way_out)
        scores = self._score(self.axis.view(seen))
        if self.axis.is_whole:
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
        unranked: Interactions | CSR | None = None,
        new_items: tuple[int, int] | None = None,
        new: int | ArrayLike = 0,
        threads: int = 0,
    ) -> Ranking:
        """Rank the best n items for each history.

        A history that holds nothing to go by gets the most popular items of the training data, and
        is marked in `Ranking.fallback`: those of its newest events, a share of
        `pyhybrid.data.lately.NEWEST`, then the others; where it has no times, those of all events.
        Ties go to the lower item index.

        Args:
            histories: What the users have taken; users need not be known from training. A bare
                CSR is anonymous: rows are named by their numbers.
            n: Items a row, 1 or more.
            exclude_seen: Leave out what is in the history.
            among: The allowed items, positions on the item axis: (allowed,) for all rows, or
                (rows, allowed) padded with -1. `item_positions` finds positions by id.
            deny: Positions of items that nobody is recommended.
            unranked: What is not ranked for the user who has it, beside the history: the same
                users in the same rows. Items that the model doesn't know are none to leave out.
            new_items: The least and the most places of each list that new items get, filled by
                their own order; the others are the known items'. A model that can't rank new items
                fills none. None: as the scores have it.
            new: Which items are new: those with fewer training users than this number, and those
                without any; or their positions.
            threads: 0 for all that this process may use.

        Raises:
            NotFittedError: Before `fit`.
            ValueError: If a history names an item that the model doesn't know, `n`, `among`,
                `deny`, `new_items` or `new` is out of range, or `unranked` has other rows.
        """
        n = count("recommend", "n", n)
        seen = self._histories("recommend", histories)
        view = self.axis.view(seen)
        model_among = self.axis.allowed(among, deny, seen.n_users)
        exclude = self._excluded(view, exclude_seen, unranked)
        fallback = ~self._has_signal(view)

        def rank(among: NDArray[np.int32] | None) -> TopN:
            items, scores = self._rank(view, n, exclude, among, threads)
            if fallback.any():
                rows = np.flatnonzero(fallback)
                if among is not None and among.ndim == 2:
                    among = among[rows]
                unseen = None if exclude is None else exclude[rows]
                items[rows], scores[rows] = popular(
                    len(rows), self.axis.popularity, n, unseen, among, threads
                )
            return items, scores

        if new_items is None:
            items, scores = rank(model_among)
        else:
            is_new = self.axis.new_columns(new)[self.rankable]
            places = checked_places(new_items, n)
            items, scores = with_places(rank, model_among, is_new, places)
        return Ranking(self.axis.back(items), scores, seen.user_ids, self.item_ids, fallback)

    def recommend_batches(
        self,
        histories: Interactions | CSR,
        out: str | os.PathLike[str],
        n: int = 10,
        *,
        rows: int = 20_000,
        exclude_seen: bool = True,
        among: ArrayLike | None = None,
        deny: ArrayLike | None = None,
        unranked: Interactions | None = None,
        new_items: tuple[int, int] | None = None,
        new: int | ArrayLike = 0,
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
                unranked=unranked,
                new_items=new_items,
                new=new,
                threads=threads,
            )

    def _excluded(
        self, view: Interactions, exclude_seen: bool, unranked: Interactions | CSR | None
    ) -> csr_array[np.float32] | None:
        """Return what is not ranked for each row, on the model's own items."""
        if unranked is None:
            return view.matrix if exclude_seen else None
        if isinstance(unranked, Interactions):
            unranked = unranked.with_items(self.item_ids, unknown="drop")
            same = np.array_equal(unranked.user_ids, view.user_ids)
        else:
            unranked = self._histories("recommend", unranked)
            same = unranked.n_users == view.n_users
        if not same:
            expected = "the users of the histories, in their order"
            raise ValueError(describe("recommend", "unranked's rows", "others", expected))
        others = self.axis.view(unranked)
        return union(others, view).matrix if exclude_seen else others.matrix

    def item_positions(self, ids: ArrayLike) -> NDArray[np.int32]:
        """Find items by their own ids: their positions on the item axis, int32 (ids,).

        Raises:
            ValueError: If the model doesn't know one of them.
        """
        return self._fitted("item_positions").positions(ids, type(self).__name__)

    def fingerprint(self) -> str:
        """Return a short digest of the hyper-parameters and of what was learned.

        Raises:
            NotFittedError: Before `fit`.
        """
        self._fitted("fingerprint")
        learned = [*self.axis.arrays().values(), *self._arrays().values()]
        return digest(type(self).__name__, self.params, *learned)

    def save(self, folder: str | os.PathLike[str]) -> None:
        """Write the model to a folder, or replace the model that is there.

        The folder holds ``config.json`` (class, format version, hyper-parameters, shapes) and
        arrays as ``.npy``; no pickle. A killed save leaves an earlier model whole.

        Raises:
            NotFittedError: Before `fit`.
            FileExistsError: If the folder holds something that is not a model.
        """
        self._fitted("save")
        arrays = {**self.axis.arrays(), **self._arrays()}
        write_folder(folder, {"class": type(self).__name__, "params": self.params}, arrays)

    @classmethod
    def load(cls, folder: str | os.PathLike[str]) -> Self:
        """Read a model that `save` wrote; its large arrays are memory-mapped.

        Raises:
            FileNotFoundError: If there is no such folder.
            ValueError: If it is no model, another class's, of a newer format, or damaged.
        """
        return cls._load(folder)

    @classmethod
    def _load(cls, folder: str | os.PathLike[str], **changes: Any) -> Self:
        """Read a model, with some hyper-parameters changed."""
        config, arrays = read_folder(folder)
        if config["class"] != cls.__name__:
            expected = f"{cls.__name__}, or use pyhybrid.load"
            raise ValueError(describe("load", f"the model in {folder}", config["class"], expected))
        cls.check_params("load", config["params"])
        model = cls(**{**config["params"], **changes})
        model._axis = ItemAxis.of_arrays(arrays, model._least_count)
        model._restore(arrays)
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

    def _learn(
        self,
        fit: Callable[..., None],
        interactions: Interactions | CSR,
        catalog: Catalog | None,
        threads: int,
        progress: Progress,
    ) -> Self:
        """Do what `fit` promises around the hook `_fit`, or `_fit` with more arguments bound."""
        who = type(self).__name__
        self._users_are_named = isinstance(interactions, Interactions)
        interactions = as_interactions(who, interactions)
        if interactions.matrix.nnz == 0:
            raise ValueError(describe(who, "number of interactions", 0, "1 or more"))
        axis = self._new_axis(interactions, catalog)
        if not len(axis.rankable):
            rule = f"one item with {self._least_count} users or more"
            raise ValueError(describe(who, "number of items to learn from", 0, rule))
        lately = self._lately(Dated.of(interactions), interactions.n_items)
        self._axis = axis.with_lately(lately)
        try:
            with progress_bar(f"fitting {who}", progress) as report:
                fit(axis.view(interactions), catalog, threads, report)
        except BaseException:
            self._axis = None  # an interrupted fit leaves a model that says it is not fitted
            raise
        return self

    def _new_axis(self, interactions: Interactions, catalog: Catalog | None) -> ItemAxis:
        """Make the item axis that a fit goes by."""
        return ItemAxis.of_training(interactions, catalog, self._least_count)

    def _lately(self, dated: Dated | None, n_items: int) -> NDArray[np.float64] | None:
        """Weigh items, (items,), for histories that say nothing; None: by all their users."""
        return None if dated is None else dated.newest(NEWEST, n_items)

    def _has_signal(self, histories: Interactions) -> NDArray[np.bool_]:
        """Tell which histories hold something that the model can go by: bool (rows,)."""
        return np.diff(histories.matrix.indptr) > 0

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
        """The training users that an item needs to be ranked."""
        return 0 if self.scores_cold_items else 1

    def _fitted(self, who: str) -> ItemAxis:
        if self._axis is None:
            what = f"this {type(self).__name__}"
            raise NotFittedError(describe(who, what, "not fitted", "fit() before it"))
        return self._axis

    def _histories(self, who: str, histories: Interactions | CSR) -> Interactions:
        """Bring histories to the item axis; a bare CSR must be on it already."""
        self._fitted(who)
        if isinstance(histories, Interactions):
            return histories.with_items(self.item_ids)
        if getattr(histories, "format", None) == "csr":
            columns, items = histories.shape[1], len(self.item_ids)
            if columns != items:
                fitted = f"this model was fitted on {items} items"
                raise ValueError(f"{who}: histories has {columns} columns; {fitted}")
            return Interactions.from_csr(histories, item_ids=self.item_ids)
        return as_interactions(who, histories)
