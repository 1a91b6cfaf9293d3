"""VQ-Rec's pre-training task: its loss by hand, its synthetic items, and what is no negative."""

import math

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs torch")

from pyhybrid.models.code_alignment import CodeAlignment  # noqa: E402
from pyhybrid.models.code_embedding import CodeEmbedding, ItemCodes, look_up  # noqa: E402
from pyhybrid.models.transformer import SequenceEncoder  # noqa: E402
from pyhybrid.models.vqrec_network import (  # noqa: E402
    VQRecNetwork,
    contrastive_loss,
    semi_synthetic,
)

TAU = 0.5


@pytest.fixture(autouse=True)
def seeded():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        yield


def directions(rows, dim=4):
    vectors = torch.randn(rows, dim, dtype=torch.float64)
    return vectors / vectors.norm(dim=1, keepdim=True)


def loss_of(states, items, synthetic, same=None, known=None):
    rows = len(states)
    nothing = torch.zeros(rows, rows, dtype=torch.bool)
    return contrastive_loss(
        states,
        items,
        synthetic,
        is_no_negative=nothing if same is None else same,
        is_no_synthetic=nothing[0] if known is None else known,
        temperature=TAU,
    )


def by_hand(row, states, items, synthetic, negatives):
    def exp(vector):
        return math.exp(float(states[row] @ vector) / TAU)

    own = exp(items[row])
    return -math.log(own / (own + exp(synthetic[row]) + sum(exp(items[b]) for b in negatives)))


def test_the_loss_of_three_rows_by_hand():
    states, items, synthetic = directions(3), directions(3), directions(3)
    wanted = [
        by_hand(row, states, items, synthetic, [b for b in range(3) if b != row])
        for row in range(3)
    ]
    assert loss_of(states, items, synthetic).item() == pytest.approx(np.mean(wanted), rel=1e-12)


def test_another_row_with_the_same_next_item_changes_nothing_for_the_first():
    states, items, synthetic = directions(4), directions(4), directions(4)
    items[3] = items[0]  # rows 0 and 3 have the same next item
    same = torch.zeros(4, 4, dtype=torch.bool)
    same[0, 3] = same[3, 0] = True
    wanted = [
        by_hand(0, states, items, synthetic, [1, 2]),  # as if row 3 were not there
        by_hand(1, states, items, synthetic, [0, 2, 3]),
        by_hand(2, states, items, synthetic, [0, 1, 3]),
        by_hand(3, states, items, synthetic, [1, 2]),
    ]
    found = loss_of(states, items, synthetic, same).item()
    assert found == pytest.approx(np.mean(wanted), rel=1e-12)
    # What the diagonal says does not matter: an item is never left out of its own sum.
    itself = same | torch.eye(4, dtype=torch.bool)
    assert loss_of(states, items, synthetic, itself).item() == found


def test_a_synthetic_item_that_is_the_item_itself_is_left_out():
    states = directions(1)
    assert loss_of(states, states, states).item() == pytest.approx(math.log(2))
    known = torch.tensor([True])
    assert loss_of(states, states, states, known=known).item() == 0


def test_the_loss_is_stable():
    """At a temperature that makes exp(cosine / temperature) overflow."""
    states, items = directions(3), directions(3)
    nothing = torch.zeros(3, 3, dtype=torch.bool)
    found = contrastive_loss(
        states,
        items,
        items,
        is_no_negative=nothing,
        is_no_synthetic=nothing[0],
        temperature=1e-4,
    )
    assert torch.isfinite(found)


def test_rho_0_keeps_a_code_and_rho_1_makes_it_independent():
    codes = torch.zeros(2000, 3, dtype=torch.uint8)
    assert torch.equal(semi_synthetic(codes, 0.0, 4), codes)
    drawn = semi_synthetic(codes, 1.0, 4)
    shares = torch.stack([(drawn == code).float().mean(0) for code in range(4)])
    np.testing.assert_allclose(shares, 0.25, atol=0.05)  # 5 standard deviations
    assert drawn.max() == 3  # none beyond the part's own rows


def test_rho_is_the_share_of_parts_that_are_drawn():
    codes = torch.full((4000, 2), 200, dtype=torch.uint8)
    drawn = semi_synthetic(codes, 0.75, 256)
    kept = (drawn == codes).float().mean().item()
    assert kept == pytest.approx(0.25 + 0.75 / 256, abs=0.025)


def network_of(codes):
    codes = np.array(codes, dtype=np.uint8)
    return VQRecNetwork(
        CodeEmbedding(parts=codes.shape[1], entries=8, dim=8),
        SequenceEncoder(dim=8, layers=1, heads=1, dropout=0.0, max_length=4),
        ItemCodes(codes, np.ones(len(codes), dtype=bool), {}),
        alignment=None,
        temperature=TAU,
    ).eval()


def contrast_by_hand(network, histories, negatives):
    """Return the mean loss with rho 0, that is without synthetic items.

    Args:
        histories: A user's (items, next items).
        negatives: For each position, users after each other, the items that it is told from.
    """
    vectors = look_up(network.embedding.table, network.codes.codes).detach()
    losses = []
    for items, targets in histories:
        states = network.encoder(vectors[np.array(items) - 1][None])[0]
        for state, target in zip(states, targets, strict=True):
            against = [target, *negatives[len(losses)]]
            cosines = torch.cosine_similarity(state, vectors[np.array(against) - 1]) / TAU
            losses.append(-torch.log_softmax(cosines, 0)[0])
    return torch.stack(losses).mean().item()


def test_negatives_are_the_next_items_of_other_histories():
    network = network_of([[0, 1], [2, 3], [4, 5], [6, 7], [1, 1]])
    items, targets = torch.tensor([[1, 2], [3, 0]]), torch.tensor([[2, 4], [5, 0]])
    wanted = contrast_by_hand(network, [([1, 2], [2, 4]), ([3], [5])], [[5], [5], [2, 4]])
    assert network.contrast(items, targets, rho=0.0).item() == pytest.approx(wanted, rel=1e-5)


@pytest.mark.parametrize("same", [(2, 2), (2, 5)], ids=["the same item", "items of one code"])
def test_a_next_item_is_not_told_from_itself_nor_from_one_of_its_code(same):
    network = network_of([[0, 1], [2, 3], [4, 5], [6, 7], [2, 3]])  # 2 and 5 have one code
    one, other = same
    items, targets = torch.tensor([[1], [3], [4]]), torch.tensor([[one], [other], [1]])
    histories = [([1], [one]), ([3], [other]), ([4], [1])]
    wanted = contrast_by_hand(network, histories, [[1], [1], [one, other]])
    assert network.contrast(items, targets, rho=0.0).item() == pytest.approx(wanted, rel=1e-5)


def test_a_synthetic_item_is_one_more_negative():
    network = network_of([[0, 1], [2, 3], [4, 5]])
    items, targets = torch.tensor([[1], [3]]), torch.tensor([[2], [1]])
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(5)
        drawn = semi_synthetic(network.codes.codes[[1, 0]], 1.0, 8)
        torch.manual_seed(5)
        found = network.contrast(items, targets, rho=1.0)
    vectors = look_up(network.embedding.table, network.codes.codes).detach()
    synthetic = look_up(network.embedding.table, drawn).detach()
    losses = []
    for row, (item, target, other) in enumerate([(1, 2, 1), (3, 1, 2)]):
        state = network.encoder(vectors[item - 1][None, None])[0, 0]
        against = torch.stack([vectors[target - 1], vectors[other - 1], synthetic[row]])
        losses.append(-torch.log_softmax(torch.cosine_similarity(state, against) / TAU, 0)[0])
    assert found.item() == pytest.approx(torch.stack(losses).mean().item(), rel=1e-5)


def test_an_item_of_ones_own_history_is_a_negative_where_another_history_has_it_next():
    network = network_of([[0, 1], [2, 3], [4, 5], [6, 7]])
    items, targets = torch.tensor([[1, 2], [3, 0]]), torch.tensor([[2, 4], [2, 0]])
    wanted = contrast_by_hand(network, [([1, 2], [2, 4]), ([3], [2])], [[], [2], [4]])
    assert network.contrast(items, targets, rho=0.0).item() == pytest.approx(wanted, rel=1e-5)


def test_settling_keeps_what_the_alignment_had_learned():
    """The rows in their settled order are those that the sharp soft order gave: B6, 4 and 5."""
    network = network_of([[0, 1], [2, 3], [4, 5], [6, 7]])
    before = network.embedding.table.detach().clone()
    planted = torch.stack([torch.randperm(8), torch.randperm(8)])
    network.alignment = CodeAlignment(parts=2, entries=8).eval()
    with torch.no_grad():
        network.alignment.scores.copy_(50.0 * torch.nn.functional.one_hot(planted, 8))
    rows = network.rows().detach()
    batch = torch.tensor([[1, 2], [3, 0]]), torch.tensor([[2, 4], [1, 0]])
    losses = network.softmax(*batch), network.contrast(*batch, rho=0.0)
    network.settle()
    assert network.alignment is None
    torch.testing.assert_close(network.embedding.table.detach(), rows)
    for part, order in enumerate(planted):
        assert torch.equal(network.embedding.table[part], before[part][order])
    torch.testing.assert_close(network.softmax(*batch), losses[0])
    torch.testing.assert_close(network.contrast(*batch, rho=0.0), losses[1])


def test_aligning_by_the_inverse_permutation_undoes_a_relabelling():
    """Codes under other names change all scores; rows that follow them bring the scores back."""
    codes = np.array([[0, 1], [2, 3], [4, 5], [6, 7]], dtype=np.uint8)
    network = network_of(codes)
    batch = torch.tensor([[1, 2], [3, 0]]), torch.tensor([[2, 4], [1, 0]])
    wanted = network.softmax(*batch)
    order = torch.randperm(8)
    renamed = network_of(order.numpy()[codes])
    renamed.load_state_dict(
        {name: t for name, t in network.state_dict().items() if not name.startswith("codes")},
        strict=False,
    )
    assert abs(renamed.softmax(*batch) - wanted) > 1e-4
    renamed.alignment = CodeAlignment(parts=2, entries=8)
    with torch.no_grad():
        inverse = torch.argsort(order).expand(2, 8)
        renamed.alignment.scores.copy_(50.0 * torch.nn.functional.one_hot(inverse, 8))
    renamed.settle()
    torch.testing.assert_close(renamed.softmax(*batch), wanted, rtol=0, atol=0)
