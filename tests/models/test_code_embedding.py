import pytest

torch = pytest.importorskip("torch")

from torch.nn import functional  # noqa: E402

from pyhybrid.models.code_embedding import CodeEmbedding, look_up  # noqa: E402


def table_and_codes(rows=50, parts=5, entries=16, dim=11):
    random = torch.Generator().manual_seed(0)
    table = torch.randn(parts, entries, dim, generator=random)
    codes = torch.randint(0, entries, (rows, parts), generator=random).to(torch.uint8)
    return table, codes


def by_bags(table, codes):
    parts, entries, dim = table.shape
    places = codes.long() + torch.arange(parts) * entries
    return functional.embedding_bag(places, table.reshape(-1, dim), mode="mean")


def test_it_is_the_mean_of_the_rows_that_codes_name():
    table, codes = table_and_codes()
    expected = torch.stack([table[torch.arange(5), code.long()].mean(0) for code in codes])
    torch.testing.assert_close(look_up(table, codes), expected)
    torch.testing.assert_close(look_up(table, codes[:0]), expected[:0])


def test_its_gradient_is_that_of_embedding_bag():
    table, codes = table_and_codes()
    ours, theirs = table.clone().requires_grad_(), table.clone().requires_grad_()
    weights = torch.randn(50, 11, generator=torch.Generator().manual_seed(1))
    (look_up(ours, codes) * weights).sum().backward()
    (by_bags(theirs, codes) * weights).sum().backward()
    torch.testing.assert_close(ours.grad, theirs.grad)


def test_other_dtypes_go_through_embedding_bag_and_agree():
    table, codes = table_and_codes()
    torch.testing.assert_close(look_up(table.double(), codes).float(), look_up(table, codes))


def test_views_and_expanded_gradients_are_taken():
    table, codes = table_and_codes()
    turned = table.transpose(1, 2).contiguous().transpose(1, 2).requires_grad_()  # not contiguous
    found = look_up(turned, codes.T.contiguous().T)
    torch.testing.assert_close(found, look_up(table, codes))
    found.sum().backward()  # its gradient is one number, expanded
    assert turned.grad.sum() == pytest.approx(50 * 11)


def test_a_code_beyond_the_table_is_refused():
    table, codes = table_and_codes()
    codes[3, 1] = 16
    with pytest.raises(ValueError, match="the code of part 1 in row 3 is 16"):
        look_up(table, codes)


def test_the_table_is_learned():
    embedding = CodeEmbedding(parts=2, entries=4, dim=3)
    codes = torch.tensor([[0, 1], [2, 3]], dtype=torch.uint8)
    goal = torch.tensor([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])
    optimiser = torch.optim.Adam(embedding.parameters(), lr=0.1)
    for _ in range(100):
        optimiser.zero_grad()
        loss = ((embedding(codes) - goal) ** 2).sum()
        loss.backward()
        optimiser.step()
    assert loss < 1e-3
    assert not embedding.table.grad[0, 1].any()  # a row that no code names
