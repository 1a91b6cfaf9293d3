"""What the models that are trained with torch share: a fit that validates and checkpoints."""

from __future__ import annotations

from abc import abstractmethod
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np

from pyhybrid.checks import count, not_negative, one_of, positive
from pyhybrid.data.feedback import Feedback
from pyhybrid.evaluation import evaluate
from pyhybrid.kernels import largest_cutoff
from pyhybrid.models.base import Recommender
from pyhybrid.pointwise import rate
from pyhybrid.progress import part_of
from pyhybrid.storage import digest
from pyhybrid.training.checkpoints import Checkpoint
from pyhybrid.training.devices import (
    check_device,
    device_of,
    has_device,
    own_randomness,
    require_torch,
    threads_of,
)
from pyhybrid.training.loop import Recipe, train
from pyhybrid.training.processes import Processes, processes_of

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Iterable, Mapping

    import torch
    from numpy.typing import NDArray
    from torch import Tensor, nn

    from pyhybrid.data.catalog import Catalog
    from pyhybrid.data.held_out import HeldOut
    from pyhybrid.data.interactions import Interactions
    from pyhybrid.kernels.core import CSR
    from pyhybrid.progress import Progress
    from pyhybrid.training.loop import Epoch, Precision

__all__ = ["TorchRecommender", "arrays_of", "load_arrays"]


class TorchRecommender(Recommender):
    """A recommender whose network is trained by `pyhybrid.training.loop`.

    A model calls `_set_recipe`, and implements `_network`, `_batches`, `_steps`, `_loss` and
    `_take`.

    Attributes:
        epochs_run: What each epoch of the last fit gave: loss, validation figure, seconds.
    """

    _no_part_of_a_run: ClassVar[tuple[str, ...]] = ("device",)  # a run may go on elsewhere
    _betas: ClassVar[tuple[float, float]] = (0.9, 0.999)
    # Far above a usual gradient: for the rare one that would undo an epoch.
    _clip: ClassVar[float | None] = 5.0
    _trains_in_parts: ClassVar[bool] = False  # whether several processes can share a batch
    _feedback: Feedback | None = None  # labelled rows that a fit learns from
    _is_copy = False  # of what the first process has trained with this one
    device: str | None
    epochs_run: list[Epoch]

    def fit(
        self,
        interactions: Interactions | CSR,
        catalog: Catalog | None = None,
        *,
        validation: HeldOut | Feedback | None = None,
        metric: str = "ndcg@10",
        checkpoint: str | os.PathLike[str] | None = None,
        threads: int = 0,
        progress: Progress = False,
    ) -> Self:
        """Learn from training interactions.

        The same seed gives the same model, bit for bit on the same CPU with the same number of
        threads, and leaves the caller's random numbers alone. Each epoch's loss and figure go to
        the logger ``pyhybrid.training.loop`` and stand beside the bar.

        Args:
            interactions: Who took what.
            catalog: The items, for those that have no interaction, and for text.
            validation: Users to stop by, or labelled rows: after each epoch the model is rated on
                them, and the best epoch's weights are kept. None: all epochs are run.
            metric: What it is rated by, over all items; of labelled rows "auc" or "uauc".
            checkpoint: A folder for the state of the run, rewritten after each epoch and every
                ten minutes. A fit that was killed goes on from it, on the same CPU and with as
                many threads to the very model that it would have become; a finished one is read
                back.
            threads: 0 for all that this process may use.
            progress: True for a bar, or a callable that is handed the share done.

        Returns:
            The model itself.

        Raises:
            ImportError: Without torch.
            ValueError: If there is nothing to learn from, the loss is not finite (lower `lr`; the
                last checkpoint stays), or the checkpoint is of another model or other data.
            MemoryError: If the job won't fit.
        """
        require_torch(type(self).__name__)
        if isinstance(validation, Feedback):
            one_of(type(self).__name__, "metric", metric, ("auc", "uauc"))
        else:
            largest_cutoff([metric])
        fit = partial(self._fit, validation=validation, metric=metric, checkpoint=checkpoint)
        self._is_copy = not self._processes().is_first
        shown = False if self._is_copy else progress
        return self._learn(fit, interactions, catalog, threads, shown)

    def save(self, folder: str | os.PathLike[str]) -> None:
        """Write the model to a folder, or replace the model that is there.

        As `pyhybrid.models.base.Recommender.save` does it; but of the processes that have trained
        a model together the first one alone writes it.
        """
        if not self._is_copy:
            super().save(folder)

    @classmethod
    def load(cls, folder: str | os.PathLike[str], *, device: str | None = None) -> Self:
        """Read a model that `save` wrote; its large arrays are memory-mapped.

        Args:
            folder: Where it is.
            device: Where to score; None: on the model's own `device`, or, where this machine has
                no such, on a GPU if there is one, else on the CPU.

        Raises:
            FileNotFoundError: If there is no such folder.
            ImportError: Without torch.
            ValueError: If it is no model, another class's, of a newer format, or damaged, or if
                this machine has no such device.
        """
        return cls._load(folder, device)

    @classmethod
    def _load(
        cls, folder: str | os.PathLike[str], device: str | None = None, **changes: Any
    ) -> Self:
        require_torch(cls.__name__)
        model = super()._load(folder, **changes)
        if device is not None:
            model.device = check_device("load", device)
            device_of("load", device)
        elif not has_device(model.device):
            model.device = None
        return model

    def _set_recipe(
        self,
        who: str,
        *,
        lr: float,
        batch_size: int,
        epochs: int,
        patience: int,
        precision: Precision | None,
        seed: int,
        device: str | None,
        weight_decay: float = 0.0,
    ) -> None:
        """Check and keep the hyper-parameters of the training."""
        self.lr = positive(who, "lr", lr)
        self.weight_decay = not_negative(who, "weight_decay", weight_decay)
        self.batch_size = count(who, "batch_size", batch_size)
        self.epochs = count(who, "epochs", epochs)
        self.patience = count(who, "patience", patience)
        self.precision = one_of(who, "precision", precision, (None, "float32", "bfloat16"))
        self.seed = count(who, "seed", seed, least=0)
        self.device = check_device(who, device)

    def _recipe(self) -> Recipe:
        """Say how the network is trained."""
        return Recipe(
            epochs=self.epochs,
            lr=self.lr,
            weight_decay=self.weight_decay,
            betas=self._betas,
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
        who, recipe = type(self).__name__, self._recipe()
        device = device_of(who, recipe.device)
        processes, kept = self._processes(), None
        if processes.count > 1 or checkpoint is not None:
            run = self._run(interactions, catalog, validation, metric)
            processes.require_same(who, "the run's fingerprint", digest(run))
            if checkpoint is not None:
                kept = Checkpoint(who, checkpoint, run)
                kept.read()  # another run's is refused before anything long begins
        with threads_of(threads):
            with own_randomness(device, recipe.seed):
                network = self._network(interactions, catalog)
            prepared = self._prepare(network, device, interactions, kept, report)

            def loss(batch: Any) -> Tensor:
                own = batch if processes.count == 1 else self._own_part(batch, processes)
                return self._loss(network, device, own)

            def validate() -> float:
                self._take(network)
                return self._rated(validation, metric, threads)  # type: ignore[arg-type]

            self.epochs_run = train(
                who,
                network,
                partial(self._batches, interactions),
                loss,
                recipe,
                steps=self._steps(interactions),
                validate=None if validation is None else validate,
                checkpoint=kept,
                report=part_of(report, prepared, 1.0),
                processes=processes,
            )
            self._take(network)

    def _rated(self, validation: HeldOut | Feedback, metric: str, threads: int) -> float:
        """Rate the model as it is now."""
        if isinstance(validation, Feedback):
            return float(rate(validation, self.score_rows(validation))[metric])
        joint = evaluate(self, validation, [metric], candidates=("joint",), threads=threads)
        return joint[metric]

    def _processes(self) -> Processes:
        """Return the processes that this model is trained by: those of torchrun, or this one."""
        device = device_of(type(self).__name__, self.device)
        return processes_of(device) if self._trains_in_parts else Processes(device=device)

    def _run(
        self,
        interactions: Interactions,
        catalog: Catalog | None,
        validation: HeldOut | Feedback | None,
        metric: str,
    ) -> dict[str, Any]:
        """Say what makes a run the same run."""
        params = {k: v for k, v in self.params.items() if k not in self._no_part_of_a_run}
        held_out, fallback = None, None
        if isinstance(validation, Feedback):
            held_out = digest(*_contents(validation.likes), *_labelled(validation))
        elif validation is not None:
            parts = [*_contents(validation.histories), *_contents(validation.targets)]
            if validation.unranked is not None:
                parts += _contents(validation.unranked)
            held_out = digest(*parts, np.array([validation.exclude_seen]))
            # What users without a history get moves the figures of all epochs.
            fallback = None if self.axis.lately is None else digest(self.axis.lately)
        known = [] if catalog is None else [catalog.item_ids, *catalog.fields]
        known += [] if catalog is None else catalog.fields.values()
        rows = self._feedback
        of_rows = {} if rows is None else {"the rows' fingerprint": digest(*_labelled(rows))}
        return {
            "class": type(self).__name__,
            **params,
            **of_rows,
            "the interactions' fingerprint": digest(*_contents(interactions), self.item_ids),
            "the catalogue's fingerprint": digest(*known),
            "the validation part's fingerprint": held_out,
            "the fingerprint of what is popular lately": fallback,
            "metric": None if validation is None else metric,
        }

    # What a model implements. A network is what its `_network` returns, of whatever class.

    @abstractmethod
    def _network(self, interactions: Interactions, catalog: Catalog | None) -> nn.Module:
        """Make the network; torch's random numbers are the model's own meanwhile."""

    def _prepare(
        self,
        network: Any,
        device: torch.device,
        interactions: Interactions,
        checkpoint: Checkpoint | None,
        report: Callable[[float], object] | None,
    ) -> float:
        """Do what comes between making the network and training it; nothing, where none is due.

        Returns:
            The share of the fit that this was.
        """
        del network, device, interactions, checkpoint, report
        return 0.0

    @abstractmethod
    def _batches(self, interactions: Interactions, generator: np.random.Generator) -> Iterable[Any]:
        """Give an epoch's batches, in an order that the generator decides."""

    @abstractmethod
    def _steps(self, interactions: Interactions) -> int:
        """Count an epoch's batches."""

    @abstractmethod
    def _loss(self, network: Any, device: torch.device, batch: Any) -> Tensor:
        """Return a batch's loss, a scalar tensor."""

    def _own_part(self, batch: Any, processes: Processes) -> Any:
        """Return a process's part of a batch; the mean of the parts' losses is the batch's."""
        raise NotImplementedError

    @abstractmethod
    def _take(self, network: Any) -> None:
        """Take from the network, as it is now, what scoring and saving need."""


def _contents(interactions: Interactions) -> list[Any]:
    matrix, events = interactions.matrix, interactions.events
    ordered = [] if events is None else [events.indptr, events.items]
    return [matrix.indptr, matrix.indices, matrix.data, *ordered]


def _labelled(rows: Feedback) -> list[Any]:
    return [rows.users, rows.items, rows.labels, rows.seen]


def arrays_of(part: str, module: nn.Module) -> dict[str, NDArray[Any]]:
    """Return a module's tensors, named after the part of the model that it is, for `save`."""
    return {f"{part}.{name}": t.cpu().numpy() for name, t in module.state_dict().items()}


def load_arrays(part: str, module: nn.Module, arrays: Mapping[str, NDArray[Any]]) -> None:
    """Give a module the tensors that `arrays_of` returned."""
    import torch

    # Copied, as torch wants arrays that can be written to, and what is mapped can't be.
    copies = {n: torch.from_numpy(np.array(arrays[f"{part}.{n}"])) for n in module.state_dict()}
    module.load_state_dict(copies, assign=True)
