"""The training loop.

A step's random numbers follow from the seed and the step's own number alone: the order of an
epoch's data from (seed, epoch), dropout from (seed, epoch, step). So there is no state of a random
generator to keep, and a run that is resumed within an epoch draws what the unbroken one would have.
"""

from __future__ import annotations

import logging
import math
import time
from dataclasses import asdict, dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, TypeVar

import numpy as np

from pyhybrid.errors import describe
from pyhybrid.precision import warn_if_emulated
from pyhybrid.progress import tell
from pyhybrid.training.checkpoints import State
from pyhybrid.training.devices import device_of, own_randomness, seed_torch
from pyhybrid.training.processes import Processes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    import torch
    from torch import Tensor, nn

    from pyhybrid.training.checkpoints import Checkpoint

    Precision: TypeAlias = Literal["float32", "bfloat16"]

__all__ = ["Epoch", "Recipe", "learning_rate", "train"]

Batch = TypeVar("Batch")
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Recipe:
    """How a network is trained; the caller has checked the numbers.

    Attributes:
        epochs: At most so many passes over the data.
        lr: AdamW's learning rate at its highest.
        weight_decay: AdamW's (decoupled); of matrices alone, not of biases and norms.
        betas: AdamW's.
        schedule: "constant", or after the warm-up "linear" or "cosine" down to 0 at the last step.
        warmup: The share of all steps in which the rate rises from 0.
        clip: The gradient's largest norm; None for no limit.
        patience: Stop after so many epochs without a better figure; the best epoch is kept.
        precision: "float32", or "bfloat16" for matrix products under autocast (weights stay
            float32). None: bfloat16 on a GPU that has it, float32 elsewhere.
        seed: Of the data's order and of dropout.
        device: "cpu", "cuda", or None for a GPU if there is one.
    """

    epochs: int
    lr: float
    weight_decay: float = 0.0
    betas: tuple[float, float] = (0.9, 0.999)
    schedule: Literal["constant", "linear", "cosine"] = "constant"
    warmup: float = 0.0
    clip: float | None = None
    patience: int = 10
    precision: Precision | None = None
    seed: int = 0
    device: str | None = None


@dataclass(frozen=True)
class Epoch:
    """What one pass over the data gave: the mean loss of its steps, the figure, the time."""

    loss: float
    metric: float | None
    seconds: float


def learning_rate(recipe: Recipe, step: int, steps: int) -> float:
    """Return the learning rate of a step, counted from 0, of so many steps in all.

    >>> recipe = Recipe(epochs=1, lr=1.0, schedule="linear", warmup=0.5)
    >>> [learning_rate(recipe, step, 8) for step in range(8)]
    [0.25, 0.5, 0.75, 1.0, 1.0, 0.75, 0.5, 0.25]
    """
    rising = math.ceil(recipe.warmup * steps)
    if step < rising:
        return recipe.lr * (step + 1) / rising
    done = (step - rising) / max(1, steps - rising)
    if recipe.schedule == "linear":
        return recipe.lr * (1 - done)
    if recipe.schedule == "cosine":
        return recipe.lr * (1 + math.cos(math.pi * done)) / 2
    return recipe.lr


def train(
    who: str,
    network: nn.Module,
    batches: Callable[[np.random.Generator], Iterable[Batch]],
    loss: Callable[[Batch], Tensor],
    recipe: Recipe,
    *,
    steps: int,
    validate: Callable[[], float] | None = None,
    checkpoint: Checkpoint | None = None,
    report: Callable[[float], object] | None = None,
    processes: Processes | None = None,
) -> list[Epoch]:
    """Train a network, in place, until the last epoch or until the figure gets no better.

    On a CPU the weights are the same bits whether the run was interrupted and resumed or not,
    given the same seed and number of threads. The caller's random numbers are left as they were.

    Args:
        who: Whose network it is, as errors name it.
        network: Moved to the recipe's device. Parameters that need no gradient are neither
            trained nor kept in checkpoints.
        batches: Gives an epoch's batches, in an order that the generator decides.
        loss: Gives a batch's loss, a scalar tensor; it takes the batch to the device.
        recipe: How to train.
        steps: The number of batches an epoch.
        validate: Gives the figure to stop by, larger is better; called after each epoch with the
            network in evaluation mode. None: all epochs are run and the last one's weights stay.
        checkpoint: Where the state is kept after each epoch, and from time to time within one. A
            run that is there is gone on with; a finished one gives its weights at once.
        report: Is handed the share done.
        processes: Those that train the network together; each one's `loss` is of its own part of
            a batch, times how many they are. None: this one alone.

    Returns:
        What each epoch gave.

    Raises:
        ValueError: If the loss, its gradient or the figure is not finite (the last checkpoint
            stays), or the checkpoint is another run's.
    """
    processes = processes or Processes()
    run = _Run(who, network, loss, recipe, steps, device_of(who, recipe.device), processes)
    warn_if_emulated(who, recipe.precision or "", run.device)
    with own_randomness(run.device, recipe.seed):
        state = checkpoint.read() if checkpoint else None
        if state is not None:
            run.restore(state)
            del state
        processes.require_same(who, "the number of steps done", str(run.steps_done()))
        processes.spread(run.weights().values())
        while not run.is_finished():
            run.one_epoch(batches, checkpoint, report)
            if validate is not None:
                run.rate(validate)
            if processes.is_first:
                _tell_epoch(who, run, report)
                if checkpoint:
                    checkpoint.write(run.state())
        run.take_best()
    return run.epochs


class _Run:
    """A run under way: the network, the optimiser and how far they are."""

    def __init__(
        self,
        who: str,
        network: nn.Module,
        loss: Callable[[Any], Tensor],
        recipe: Recipe,
        steps: int,
        device: torch.device,
        processes: Processes,
    ) -> None:
        from torch.optim import AdamW

        self.who, self.recipe, self.steps, self.device = who, recipe, steps, device
        self.processes = processes
        self.network, self.loss = network.to(device), loss
        self.parameters = [p for p in network.parameters() if p.requires_grad]
        matrices = [p for p in self.parameters if p.ndim > 1]
        vectors = [p for p in self.parameters if p.ndim <= 1]
        groups = [
            {"params": matrices, "weight_decay": recipe.weight_decay},
            {"params": vectors, "weight_decay": 0.0},
        ]
        groups = [group for group in groups if group["params"]]
        self.optimiser = AdamW(groups, lr=recipe.lr, betas=recipe.betas, fused=True)
        self.epochs: list[Epoch] = []
        self.step = 0  # steps done of the epoch under way
        self.total = 0.0  # their losses' sum
        self.seconds = 0.0  # their time
        self.best: dict[str, Tensor] = {}  # the best epoch's weights

    def one_epoch(
        self,
        batches: Callable[[np.random.Generator], Iterable[Any]],
        checkpoint: Checkpoint | None,
        report: Callable[[float], object] | None,
    ) -> None:
        """Run the epoch that is under way to its end."""
        generator = np.random.default_rng([self.recipe.seed, len(self.epochs) + 1])
        self.network.train()
        for batch in islice(batches(generator), self.step, None):
            started = time.perf_counter()
            self.total += self._one_step(batch)
            self.step += 1
            self.seconds += time.perf_counter() - started
            if report is not None:
                done = len(self.epochs) + min(1.0, self.step / self.steps)
                report(done / self.recipe.epochs)
            if checkpoint and self.processes.is_first and checkpoint.is_due():
                checkpoint.write(self.state())
        self.optimiser.zero_grad()  # gives the gradients' memory back
        self.network.eval()
        self.epochs.append(Epoch(self.total / max(1, self.step), None, self.seconds))
        self.step, self.total, self.seconds = 0, 0.0, 0.0

    def _one_step(self, batch: Any) -> float:
        import torch

        epoch = len(self.epochs)
        seed_torch(self.device, self.recipe.seed, epoch + 1, self.step)
        done, steps = self.steps_done(), self.recipe.epochs * self.steps
        for group in self.optimiser.param_groups:
            group["lr"] = learning_rate(self.recipe, done, steps)
        self.optimiser.zero_grad()
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self._is_mixed()):
            loss = self.loss(batch)
        loss.backward()  # type: ignore[no-untyped-call]
        loss = loss.detach().float()
        self.processes.average([loss, *self._gradients()])
        norm = self._clipped()
        # Looked at before the step is taken, so that what is not finite never gets into weights.
        value, size = torch.stack([loss, norm.float()]).tolist()
        if not (math.isfinite(value) and math.isfinite(size)):
            what, found = ("loss", value) if not math.isfinite(value) else ("gradient's norm", size)
            where = f"the {what} in epoch {epoch + 1}, step {self.step + 1}"
            raise ValueError(describe(self.who, where, found, "a finite number", "lower lr="))
        self.optimiser.step()
        return float(value)

    def _clipped(self) -> Tensor:
        """Bring the gradient to the largest norm that it may have, and return what it had."""
        from torch.nn.utils import clip_grads_with_norm_, get_total_norm

        norm = get_total_norm(self._gradients())
        if self.recipe.clip is not None:
            clip_grads_with_norm_(self.parameters, self.recipe.clip, norm)
        return norm

    def _gradients(self) -> list[Tensor]:
        return [p.grad for p in self.parameters if p.grad is not None]

    def _is_mixed(self) -> bool:
        import torch

        if self.recipe.precision is not None:
            return self.recipe.precision == "bfloat16"
        return self.device.type == "cuda" and torch.cuda.is_bf16_supported()

    def rate(self, validate: Callable[[], float]) -> None:
        """Measure the epoch that has ended, and keep its weights if it is the best one."""
        last = self.epochs[-1]
        metric = self.processes.of_first(float(validate()) if self.processes.is_first else 0.0)
        if not math.isfinite(metric):
            what = f"the validation figure of epoch {len(self.epochs)}"
            raise ValueError(describe(self.who, what, metric, "a finite number"))
        self.epochs[-1] = Epoch(last.loss, metric, last.seconds)
        if self.best_epoch() == len(self.epochs) - 1:
            self._keep_as_best()

    def _keep_as_best(self) -> None:
        for name, tensor in self.weights().items():
            if name in self.best:  # no second copy meanwhile
                self.best[name].copy_(tensor)
            else:
                self.best[name] = tensor.cpu().clone()

    def steps_done(self) -> int:
        """Count all steps so far."""
        return len(self.epochs) * self.steps + self.step

    def best_epoch(self) -> int | None:
        """Return which epoch had the best figure, the first of equal ones; None without figures."""
        rated = [
            (-e.metric, number) for number, e in enumerate(self.epochs) if e.metric is not None
        ]
        return min(rated)[1] if rated else None

    def is_finished(self) -> bool:
        """Tell whether all epochs are run, or too many since the best one."""
        best = self.best_epoch()
        if best is not None and len(self.epochs) - 1 - best >= self.recipe.patience:
            return True
        return len(self.epochs) >= self.recipe.epochs

    def take_best(self) -> None:
        """Give the network the best epoch's weights, and leave it in evaluation mode."""
        if self.best:
            self._load(self.best)
        self.network.eval()

    def state(self) -> State:
        """Return all that `restore` needs."""
        arrays = {f"network/{name}": tensor for name, tensor in self.weights().items()}
        arrays |= {f"best/{name}": tensor for name, tensor in self.best.items()}
        for number, moments in self.optimiser.state_dict()["state"].items():
            arrays |= {f"optimiser/{number}/{name}": tensor for name, tensor in moments.items()}
        said = {
            "epochs": [asdict(epoch) for epoch in self.epochs],
            "step": self.step,
            "total": self.total,
            "seconds": self.seconds,
        }
        return State(said, {name: tensor.cpu().numpy() for name, tensor in arrays.items()})

    def restore(self, state: State) -> None:
        """Go back to where `state` was returned."""
        import torch

        parts: dict[str, dict[str, Tensor]] = {"network": {}, "best": {}, "optimiser": {}}
        for name, array in state.arrays.items():
            part, _, rest = name.partition("/")
            parts[part][rest] = torch.from_numpy(array)
        different = sorted(set(parts["network"]) ^ set(self.weights()))
        if different:
            what, rule = "a weight of the checkpoint", "the network's own weights and no others"
            raise ValueError(
                describe(self.who, what, different[0], rule, "delete it to start anew")
            )
        self._load(parts["network"])
        self.best = parts["best"]
        moments: dict[int, dict[str, Tensor]] = {}
        for name, tensor in parts["optimiser"].items():
            number, _, moment = name.partition("/")
            moments.setdefault(int(number), {})[moment] = tensor
        groups = self.optimiser.state_dict()["param_groups"]
        self.optimiser.load_state_dict({"state": moments, "param_groups": groups})
        self.epochs = [Epoch(**epoch) for epoch in state.said["epochs"]]
        self.step, self.total = state.said["step"], state.said["total"]
        self.seconds = state.said["seconds"]

    def weights(self) -> dict[str, Tensor]:
        """Name the tensors that training can change."""
        parameters = self.network.named_parameters(remove_duplicate=False)  # some are tied
        frozen = {name for name, parameter in parameters if not parameter.requires_grad}
        return {n: t.detach() for n, t in self.network.state_dict().items() if n not in frozen}

    def _load(self, weights: dict[str, Tensor]) -> None:
        self.network.load_state_dict(weights, strict=False)


def _tell_epoch(who: str, run: _Run, report: Callable[[float], object] | None) -> None:
    last = run.epochs[-1]
    figures = f"loss {last.loss:.4f}"
    if last.metric is not None:
        figures += f", validation {last.metric:.4f}"
        best = run.best_epoch()
        if best is not None and best < len(run.epochs) - 1:
            figures += f" (best {run.epochs[best].metric:.4f} in epoch {best + 1})"
    said = f"epoch {len(run.epochs)} of {run.recipe.epochs}: {figures}"
    _log.info("%s: %s", who, said)
    tell(report, said)
