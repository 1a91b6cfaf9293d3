"""The alignment of a table's rows with new codes."""

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs torch")

from pyhybrid.models.code_alignment import CodeAlignment, sinkhorn  # noqa: E402


@pytest.fixture(autouse=True)
def seeded():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        yield


def test_more_rounds_bring_all_sums_nearer_to_one():
    scores = torch.randn(3, 16, 16) * 3
    errors = []
    for iterations in (1, 3, 300):
        soft = sinkhorn(scores, iterations)
        assert (soft >= 0).all()
        torch.testing.assert_close(soft.sum(-2), torch.ones(3, 16))
        errors.append(float((soft.sum(-1) - 1).abs().max()))
    assert errors[0] > errors[1] > errors[2]
    assert errors[2] < 1e-3


def test_a_first_round_is_rows_then_columns():
    scores = torch.randn(4, 4, dtype=torch.float64)
    wanted = scores.exp() / scores.exp().sum(1, keepdim=True)
    torch.testing.assert_close(sinkhorn(scores, 1), wanted / wanted.sum(0, keepdim=True))


@pytest.mark.parametrize("straight_through", [False, True])
def test_the_scores_get_a_gradient(straight_through):
    alignment = CodeAlignment(parts=2, entries=8, straight_through=straight_through)
    (alignment(torch.randn(2, 8, 5)) ** 2).sum().backward()
    assert torch.isfinite(alignment.scores.grad).all()
    assert (alignment.scores.grad.abs().amax((1, 2)) > 1e-4).all()


def test_straight_through_gives_whole_rows():
    table = torch.randn(2, 8, 5)
    alignment = CodeAlignment(parts=2, entries=8, straight_through=True)
    for part, rows in enumerate(alignment(table)):
        distances = torch.cdist(rows, table[part])
        assert (distances.amin(1) < 1e-5).all()


@pytest.mark.parametrize("straight_through", [False, True])
def test_noise_is_drawn_in_training_alone(straight_through):
    alignment = CodeAlignment(parts=1, entries=8, straight_through=straight_through)
    table = torch.randn(1, 8, 5)
    assert not torch.equal(alignment(table), alignment(table))
    alignment.eval()
    assert torch.equal(alignment(table), alignment(table))


def test_rounding_gives_permutations():
    alignment = CodeAlignment(parts=3, entries=16)
    with torch.no_grad():
        alignment.scores[0, :, 3] += 100  # all rows want the same place
    orders = alignment.permutations()
    np.testing.assert_array_equal(orders.sort(dim=1).values, np.tile(np.arange(16), (3, 1)))


@pytest.mark.parametrize("straight_through", [False, True])
def test_a_planted_permutation_is_found(straight_through):
    """Where the aligned table should equal another one, whose rows stand in another order."""
    source = torch.randn(2, 8, 6)
    planted = torch.stack([torch.randperm(8), torch.randperm(8)])
    target = source[torch.arange(2)[:, None], planted]
    alignment = CodeAlignment(parts=2, entries=8, straight_through=straight_through)
    assert not torch.equal(alignment.permutations(), planted)
    optimiser = torch.optim.Adam(alignment.parameters(), lr=0.05)
    for _ in range(400):
        optimiser.zero_grad()
        ((alignment(source) - target) ** 2).sum().backward()
        optimiser.step()
    torch.testing.assert_close(alignment.permutations(), planted)
