from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import torch
from torch.nn import functional

from pyhybrid.models.catalog_loss import (
    Taken,
    _loss_of,
    catalog_bytes,
    catalog_loss,
    softmax_loss,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from pyhybrid.models.catalog_loss import Likelihood

CPU = torch.device("cpu")


def drawn(
    positions: int, items: int, dim: int, *, dtype: torch.dtype = torch.float64
) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(positions)
    return [
        torch.randn(rows, dim, generator=generator, dtype=dtype).requires_grad_()
        for rows in (positions, items)
    ]


def assert_gradient(
    loss: Callable[..., torch.Tensor], tensors: list[torch.Tensor], step: float = 1e-6
) -> None:
    """Compare the gradient with central differences, number by number."""
    loss(*tensors).backward()
    for tensor in tensors:
        assert tensor.grad is not None
        numbers, slopes = tensor.data.view(-1), torch.empty(tensor.numel(), dtype=tensor.dtype)
        for place in range(len(numbers)):
            before = numbers[place].item()
            ends = []
            for side in (step, -step):
                numbers[place] = before + side
                ends.append(loss(*tensors).item())
            numbers[place] = before
            slopes[place] = (ends[0] - ends[1]) / (2 * step)
        torch.testing.assert_close(tensor.grad.view(-1), slopes, rtol=1e-6, atol=1e-7)


def targets_of(positions: int, items: int) -> torch.Tensor:
    return torch.randint(items, (positions,), generator=torch.Generator().manual_seed(7))


@pytest.mark.parametrize("positions", [1, 127, 128, 129, 300])
def test_loss_and_gradients_are_those_of_all_scores_at_once(positions: int) -> None:
    wanted = targets_of(positions, 50)
    found, expected = drawn(positions, 50, 6), drawn(positions, 50, 6)
    loss = softmax_loss(*found, wanted)
    whole = functional.cross_entropy(expected[0] @ expected[1].T, wanted)
    torch.testing.assert_close(loss, whole)
    (3 * loss).backward()
    (3 * whole).backward()
    for own, theirs in zip(found, expected, strict=True):
        torch.testing.assert_close(own.grad, theirs.grad)


def test_the_gradient_is_that_of_differences() -> None:
    wanted = targets_of(5, 7)
    assert_gradient(lambda *given: softmax_loss(*given, wanted), drawn(5, 7, 3))


def test_a_second_gradient_is_refused() -> None:
    loss = softmax_loss(*drawn(5, 7, 3), targets_of(5, 7))
    loss.backward(retain_graph=True)
    with pytest.raises(RuntimeError, match="compute it anew"):
        loss.backward()


def test_large_scores_neither_overflow_nor_vanish() -> None:
    """In float32 exp() overflows at 89; and a target of probability 0 has a finite loss."""
    states = torch.tensor([[300.0], [-300.0]], requires_grad=True)
    items = torch.tensor([[1.0], [0.0], [-1.0]], requires_grad=True)
    loss = softmax_loss(states, items, torch.tensor([2, 0]))
    torch.testing.assert_close(loss, torch.tensor(600.0))
    loss.backward()
    torch.testing.assert_close(states.grad, torch.tensor([[1.0], [-1.0]]))
    assert torch.isfinite(items.grad).all()


def test_what_is_not_finite_shows_in_the_loss() -> None:
    states, items = drawn(3, 4, 2)
    with torch.no_grad():
        states[1, 0] = torch.nan
    assert torch.isnan(softmax_loss(states, items, targets_of(3, 4)))


def test_under_autocast_the_loss_is_in_full_precision() -> None:
    states, items = drawn(20, 30, 8, dtype=torch.float32)
    wanted = targets_of(20, 30)
    full = softmax_loss(states, items, wanted)
    with torch.autocast("cpu", torch.bfloat16):
        torch.testing.assert_close(softmax_loss(states, items, wanted), full, rtol=0, atol=0)
        half = softmax_loss(states.bfloat16(), items, wanted)
    half.backward()
    torch.testing.assert_close(half, full, rtol=0.02, atol=0)
    assert states.grad.dtype == torch.float32


def test_no_matrix_of_positions_by_items_comes_into_being(monkeypatch: pytest.MonkeyPatch) -> None:
    largest = 0
    mm = torch.mm

    def watched(*args: torch.Tensor, **kwargs: torch.Tensor) -> torch.Tensor:
        nonlocal largest
        made = mm(*args, **kwargs)
        largest = max(largest, made.numel())
        return made

    monkeypatch.setattr(torch, "mm", watched)
    states, items = drawn(1000, 40, 6, dtype=torch.float32)
    softmax_loss(states, items, targets_of(1000, 40))
    assert 4 * largest == catalog_bytes(1000, 40, 6, CPU) == 4 * 128 * 40


def test_what_is_held_grows_with_the_dimension_and_on_a_gpu_with_all_positions() -> None:
    assert catalog_bytes(1000, 40, 300, CPU) == 4 * 300 * 40
    assert catalog_bytes(5, 40, 300, CPU) == 4 * 5 * 40
    assert catalog_bytes(1000, 40, 6, torch.device("cuda")) == 3 * 4 * 1000 * 40


# Likelihoods of all that a row has taken

LIKELIHOODS = ["multinomial", "logistic", "gaussian"]
each_likelihood = pytest.mark.parametrize("likelihood", LIKELIHOODS)


def taken_of(rows: int, items: int) -> Taken:
    """Draw some items for each row, with weights; none for each seventh row."""
    generator = torch.Generator().manual_seed(rows)
    is_taken = torch.rand(rows, items, generator=generator) < 0.2
    is_taken[::7] = False
    where = is_taken.nonzero().T
    weights = torch.rand(where.shape[1], generator=generator, dtype=torch.float64)
    return Taken(where[0], where[1], weights)


def with_bias(rows: int, items: int) -> list[torch.Tensor]:
    bias = torch.randn(items, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    return [*drawn(rows, items, 6), bias.requires_grad_()]


@each_likelihood
@pytest.mark.parametrize("rows", [1, 128, 129, 300])
def test_a_likelihood_is_that_of_all_scores_at_once(likelihood: Likelihood, rows: int) -> None:
    taken = taken_of(rows, 30)
    found, expected = with_bias(rows, 30), with_bias(rows, 30)
    loss = catalog_loss(*found, taken, likelihood, 7.0)
    whole = _loss_of(expected[0] @ expected[1].T + expected[2], taken, likelihood, 7.0)
    torch.testing.assert_close(loss, whole)
    (3 * loss).backward()
    (3 * whole).backward()
    for own, theirs in zip(found, expected, strict=True):
        torch.testing.assert_close(own.grad, theirs.grad)


@each_likelihood
def test_a_likelihoods_gradient_is_that_of_differences(likelihood: Likelihood) -> None:
    taken = taken_of(5, 9)
    assert_gradient(lambda *given: catalog_loss(*given, taken, likelihood, 4.0), with_bias(5, 9))


def test_multinomial_gradients_by_scores_add_up_to_nothing() -> None:
    """What a row's targets gain its other items lose: items compete."""
    taken = taken_of(6, 9)
    states, items = drawn(6, 9, 9)
    with torch.no_grad():
        items.copy_(torch.eye(9))  # so that the states are the scores
    catalog_loss(states, items, None, taken, "multinomial").backward()
    assert states.grad is not None
    torch.testing.assert_close(states.grad.sum(1), torch.zeros(6, dtype=torch.float64))
    assert (states.grad[taken.rows] != 0).all()


def test_only_differences_between_scores_count_for_the_multinomial() -> None:
    taken = taken_of(6, 9)
    states, items, bias = with_bias(6, 9)
    found = [
        catalog_loss(states, items, bias + shift, taken, "multinomial").item()
        for shift in (0.0, 5.0, -300.0)
    ]
    assert found == pytest.approx([found[0]] * 3, rel=1e-12)


@each_likelihood
def test_no_rows_lose_nothing(likelihood: Likelihood) -> None:
    none = torch.zeros(0, dtype=torch.int64)
    states, items, bias = with_bias(4, 9)
    taken = Taken(none, none, torch.zeros(0, dtype=torch.float64))
    loss = catalog_loss(states[:0], items, bias, taken, likelihood)
    loss.backward()
    assert loss.item() == 0.0
    assert items.grad is not None
    assert not items.grad.any()
