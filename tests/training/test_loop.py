from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from torch import nn

from pyhybrid.training.checkpoints import Checkpoint
from pyhybrid.training.loop import Recipe, learning_rate, train

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

pytestmark = pytest.mark.usefixtures("one_thread")

ROWS, STEPS = 24, 6
RECIPE = Recipe(epochs=4, lr=0.05, weight_decay=0.01, schedule="cosine", warmup=0.1, device="cpu")


def network(seed: int = 0) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return nn.Sequential(nn.Linear(5, 8), nn.Dropout(0.3), nn.ReLU(), nn.Linear(8, 1))


def batches(generator: np.random.Generator) -> Iterator[np.ndarray[Any, Any]]:
    yield from np.array_split(generator.permutation(ROWS), STEPS)


class Task:
    """A regression whose loss may be stopped, or spoilt, at one of its calls."""

    def __init__(self, net: nn.Module, at: int = -1, act: Callable[[], float] = float) -> None:
        self.net, self.at, self.act, self.calls = net, at, act, 0
        rng = np.random.default_rng(7)
        self.x = torch.from_numpy(rng.standard_normal((ROWS, 5)).astype(np.float32))
        self.y = self.x.sum(1, keepdim=True)

    def loss(self, rows: np.ndarray[Any, Any]) -> torch.Tensor:
        self.calls += 1
        found = ((self.net(self.x[rows]) - self.y[rows]) ** 2).mean()
        return found * self.act() if self.calls == self.at + 1 else found

    def validate(self) -> float:
        assert not self.net.training
        with torch.no_grad():
            return -float(((self.net(self.x) - self.y) ** 2).mean())


def run(
    task: Task, folder: Path | None = None, recipe: Recipe = RECIPE, **options: Any
) -> list[tuple[float, float | None]]:
    # A checkpoint after each step, so that an interruption at any of them is gone on from there.
    kept = None if folder is None else Checkpoint("Toy", folder, {"lr": recipe.lr}, every=0.0)
    epochs = train(
        "Toy", task.net, batches, task.loss, recipe, steps=STEPS, checkpoint=kept, **options
    )
    return [(epoch.loss, epoch.metric) for epoch in epochs]


def same_weights(one: nn.Module, other: nn.Module) -> bool:
    pairs = zip(one.state_dict().values(), other.state_dict().values(), strict=True)
    return all(torch.equal(a, b) for a, b in pairs)


def interrupt() -> float:
    raise KeyboardInterrupt


def test_it_learns() -> None:
    task = Task(network())
    epochs = run(task, recipe=Recipe(epochs=60, lr=0.02, device="cpu"))
    assert len(epochs) == 60
    assert epochs[-1][0] < 0.3 * epochs[0][0]
    assert not task.net.training


def test_the_same_seed_gives_the_same_bits_and_another_one_others() -> None:
    one, two, other = Task(network()), Task(network()), Task(network())
    assert run(one) == run(two)
    run(other, recipe=Recipe(epochs=4, lr=0.05, seed=1, device="cpu"))
    assert same_weights(one.net, two.net)
    assert not same_weights(one.net, other.net)


def test_the_callers_random_numbers_are_left_alone() -> None:
    torch.manual_seed(3)
    np.random.seed(3)  # noqa: NPY002
    before = torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
    run(Task(network()))
    assert torch.equal(torch.get_rng_state(), before[0])
    np.testing.assert_array_equal(np.random.get_state()[1], before[1])  # noqa: NPY002


@pytest.mark.parametrize("at", [0, 1, STEPS - 1, STEPS, 2 * STEPS + 3, 4 * STEPS - 1])
@pytest.mark.parametrize("rated", [True, False])
def test_a_resumed_run_gives_the_bits_of_an_unbroken_one(
    at: int, rated: bool, tmp_path: Path
) -> None:
    unbroken = Task(network())
    options = {"validate": unbroken.validate} if rated else {}
    epochs = run(unbroken, tmp_path / "unbroken", **options)
    broken = Task(network(), at, interrupt)
    with pytest.raises(KeyboardInterrupt):
        run(broken, tmp_path / "broken", **({"validate": broken.validate} if rated else {}))
    torch.rand(5)  # the caller draws numbers meanwhile
    # All weights are the checkpoint's; before the first step there is none.
    resumed = Task(network(seed=99 if at else 0))
    options = {"validate": resumed.validate} if rated else {}
    assert run(resumed, tmp_path / "broken", **options) == epochs
    assert resumed.calls == 4 * STEPS - at
    assert same_weights(resumed.net, unbroken.net)
    states = [Checkpoint("Toy", tmp_path / n, {"lr": 0.05}).read() for n in ("unbroken", "broken")]
    assert states[0] is not None
    assert states[1] is not None
    assert list(states[0].arrays) == list(states[1].arrays)
    for name, array in states[0].arrays.items():
        np.testing.assert_array_equal(states[1].arrays[name], array)


def test_a_finished_run_is_read_back(tmp_path: Path) -> None:
    first, second = Task(network()), Task(network(seed=5))
    assert run(first, tmp_path) == run(second, tmp_path)
    assert second.calls == 0
    assert same_weights(first.net, second.net)


def test_the_best_epochs_weights_stay_and_patience_ends_the_run() -> None:
    figures = iter([0.1, 0.5, 0.4, 0.5, 0.3, 0.2])
    task, seen = Task(network()), []

    def validate() -> float:
        seen.append({k: v.clone() for k, v in task.net.state_dict().items()})
        return next(figures)

    epochs = run(
        task, recipe=Recipe(epochs=50, lr=0.05, patience=3, device="cpu"), validate=validate
    )
    assert [metric for _, metric in epochs] == [0.1, 0.5, 0.4, 0.5, 0.3]
    assert all(torch.equal(task.net.state_dict()[k], v) for k, v in seen[1].items())


@pytest.mark.parametrize("spoilt", [math.nan, math.inf, 1e30])
def test_what_is_not_finite_stops_the_run_and_keeps_the_last_checkpoint(
    spoilt: float, tmp_path: Path
) -> None:
    # 1e30 is a finite loss whose gradient's norm is not.
    task = Task(network(), STEPS + 2, lambda: spoilt)
    what = "gradient's norm" if spoilt == 1e30 else "loss"
    message = (
        rf"^Toy: the {what} in epoch 2, step 3 is (nan|inf); expected a finite number; lower lr=$"
    )
    with pytest.raises(ValueError, match=message):
        run(task, tmp_path)
    state = Checkpoint("Toy", tmp_path, {"lr": 0.05}).read()
    assert state is not None
    assert (len(state.said["epochs"]), state.said["step"]) == (1, 2)
    assert all(np.isfinite(array).all() for array in state.arrays.values())
    assert all(torch.isfinite(p).all() for p in task.net.parameters())


def test_a_figure_that_is_not_finite_is_refused() -> None:
    message = r"^Toy: the validation figure of epoch 1 is nan; expected a finite number$"
    with pytest.raises(ValueError, match=message):
        run(Task(network()), validate=lambda: math.nan)


def test_gradients_are_clipped() -> None:
    free, held = Task(network()), Task(network())
    start = [p.detach().clone() for p in free.net.parameters()]

    def moved(task: Task, clip: float | None) -> float:
        # Of Adam's steps the size hardly depends on the gradient's: epsilon tells them apart.
        run(task, recipe=Recipe(epochs=1, lr=0.01, clip=clip, device="cpu"))
        pairs = zip(task.net.parameters(), start, strict=True)
        return sum(float((p.detach() - s).abs().sum()) for p, s in pairs)

    assert moved(held, 1e-9) < 0.2 * moved(free, None)


def test_frozen_parameters_are_neither_trained_nor_kept(tmp_path: Path) -> None:
    task = Task(network())
    task.net[0].weight.requires_grad_(False)
    before = task.net[0].weight.clone()
    run(task, tmp_path)
    assert torch.equal(task.net[0].weight, before)
    state = Checkpoint("Toy", tmp_path, {"lr": 0.05}).read()
    assert state is not None
    assert "network/0.bias" in state.arrays
    assert "network/0.weight" not in state.arrays


def test_bfloat16_products_leave_float32_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pyhybrid.precision.is_native", lambda _: False)
    task, exact = Task(network()), Task(network())
    recipe = Recipe(epochs=30, lr=0.02, precision="bfloat16", device="cpu")
    with pytest.warns(RuntimeWarning, match="^Toy: .*no instructions for bfloat16"):
        epochs = run(task, recipe=recipe)
    assert {p.dtype for p in task.net.parameters()} == {torch.float32}
    assert epochs[-1][0] < 0.5 * epochs[0][0]
    run(exact, recipe=Recipe(epochs=30, lr=0.02, device="cpu"))
    assert not same_weights(task.net, exact.net)


def test_progress_rises_to_the_end(caplog: pytest.LogCaptureFixture) -> None:
    shares: list[float] = []
    task = Task(network())
    with caplog.at_level("INFO", logger="pyhybrid.training"):
        run(task, report=shares.append, validate=task.validate)
    assert shares == sorted(shares)
    assert len(shares) == 4 * STEPS
    assert shares[-1] == 1.0
    assert len(caplog.messages) == 4
    assert caplog.messages[0].startswith("Toy: epoch 1 of 4: loss ")
    assert "validation -" in caplog.messages[0]


def test_schedules() -> None:
    def rates(schedule: Any, warmup: float = 0.0) -> list[float]:
        recipe = Recipe(epochs=1, lr=2.0, schedule=schedule, warmup=warmup)
        return [learning_rate(recipe, step, 4) for step in range(4)]

    assert rates("constant") == [2.0] * 4
    assert rates("constant", 0.5) == [1.0, 2.0, 2.0, 2.0]
    assert rates("linear") == [2.0, 1.5, 1.0, 0.5]
    np.testing.assert_allclose(rates("cosine"), [2.0, 1 + 0.5**0.5, 1.0, 1 - 0.5**0.5])
