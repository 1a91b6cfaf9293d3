from __future__ import annotations

import pytest
import torch

from pyhybrid.models.transformer import SequenceEncoder, states_at


@pytest.fixture(scope="module")
def encoder() -> SequenceEncoder:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        made = SequenceEncoder(dim=12, layers=2, heads=3, dropout=0.5, max_length=9, inner=20)
        for parameter in made.parameters():  # away from the small weights it starts with
            torch.nn.init.normal_(parameter, std=0.4)
    return made.eval()


def embedded(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, 12, generator=torch.Generator().manual_seed(1))


@torch.no_grad()
def test_a_later_item_changes_no_earlier_position(encoder: SequenceEncoder) -> None:
    x = embedded(4, 9)
    before = encoder(x)
    for place in range(9):
        changed = x.clone()
        changed[:, place] *= -1.0
        after = encoder(changed)
        torch.testing.assert_close(after[:, :place], before[:, :place], rtol=0, atol=1e-6)
        assert not torch.isclose(after[:, place:], before[:, place:], atol=1e-4).all(-1).any()


@torch.no_grad()
def test_padding_and_batch_mates_change_nothing(encoder: SequenceEncoder) -> None:
    x = embedded(4, 9)
    x[1:] *= 100
    whole = encoder(x)
    for length in range(1, 10):
        alone = encoder(x[:1, :length])
        torch.testing.assert_close(alone, whole[:1, :length], rtol=0, atol=1e-5)


@torch.no_grad()
def test_the_order_counts(encoder: SequenceEncoder) -> None:
    x = embedded(1, 3)
    assert not torch.allclose(encoder(x)[0, 2], encoder(x[:, [1, 0, 2]])[0, 2], atol=1e-3)


def test_attention_is_what_its_formula_says(encoder: SequenceEncoder) -> None:
    attention = encoder.layers[0]
    x = embedded(2, 4)
    queries, keys, values = attention.into(attention.norm(x)).split(12, dim=-1)
    heads = []
    for head in range(3):
        part = slice(4 * head, 4 * head + 4)
        scores = queries[..., part] @ keys[..., part].mT / 4**0.5  # (batch, length, length)
        later = torch.ones(4, 4, dtype=torch.bool).triu(1)
        heads.append(scores.masked_fill(later, -torch.inf).softmax(-1) @ values[..., part])
    expected = attention.out(torch.cat(heads, dim=-1))
    torch.testing.assert_close(attention(x), expected, rtol=1e-5, atol=1e-5)


@torch.no_grad()
@pytest.mark.parametrize("sizes", [[50, 40, 25, 24, 9, 8, 3, 1], [12, 12], [3, 2, 2], [1], [2, 9]])
def test_rows_encoded_with_others_of_their_length_have_the_same_states(sizes: list[int]) -> None:
    """Longest first, as they are grouped, and in no order, as they are not."""
    encoder = SequenceEncoder(dim=8, layers=1, heads=2, dropout=0.5, max_length=50).eval()
    is_real = torch.arange(max(sizes)) < torch.tensor(sizes)[:, None]
    items = torch.randint(1, 20, is_real.shape) * is_real
    table = torch.randn(20, 8)
    encoded = []

    def embed(some: torch.Tensor) -> torch.Tensor:
        encoded.append(tuple(some.shape))
        return table[some]

    found = states_at(encoder, embed, items, is_real)
    torch.testing.assert_close(found, encoder(table[items])[is_real], rtol=1e-5, atol=1e-6)
    if len(sizes) == 8:
        assert encoded == [(2, 50), (2, 25), (2, 9), (2, 3)]
