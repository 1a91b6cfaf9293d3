from __future__ import annotations

import pytest
import torch
from torch.nn import functional

from pyhybrid.models.catalog_softmax import softmax_bytes, softmax_loss

CPU = torch.device("cpu")


def drawn(
    positions: int, items: int, dim: int, *, dtype: torch.dtype = torch.float64
) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(positions)
    return [
        torch.randn(rows, dim, generator=generator, dtype=dtype).requires_grad_()
        for rows in (positions, items)
    ]


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
    states, items = drawn(5, 7, 3)
    wanted = targets_of(5, 7)
    assert torch.autograd.gradcheck(lambda s, i: softmax_loss(s, i, wanted), (states, items))


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
    assert 4 * largest == softmax_bytes(1000, 40, 6, CPU) == 4 * 128 * 40


def test_what_is_held_grows_with_the_dimension_and_on_a_gpu_with_all_positions() -> None:
    assert softmax_bytes(1000, 40, 300, CPU) == 4 * 300 * 40
    assert softmax_bytes(5, 40, 300, CPU) == 4 * 5 * 40
    assert softmax_bytes(1000, 40, 6, torch.device("cuda")) == 3 * 4 * 1000 * 40
