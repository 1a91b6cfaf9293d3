"""Tests for the product of sparse histories with a table, and its gradient."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.sparse import random_array

from pyhybrid.models.row_sums import row_sums


def drawn(rows: int = 40, columns: int = 60, width: int = 9):
    random = np.random.default_rng(0)
    x = random_array((rows, columns), density=0.03, rng=random, dtype=np.float32).tocsr()
    x.data[:5] = -1.0
    table = random.standard_normal((columns, width), dtype=np.float32)
    upstream = random.standard_normal((rows, width), dtype=np.float32)
    return x, table, upstream


def computed(x, table, upstream, *, with_values: bool = True):
    weight = torch.tensor(table, requires_grad=True)
    items, indptr = (torch.from_numpy(a.astype(np.int64)) for a in (x.indices, x.indptr))
    sums = row_sums(weight, items, indptr, torch.from_numpy(x.data) if with_values else None)
    sums.backward(torch.from_numpy(upstream))
    return sums.detach().numpy(), weight.grad.numpy()


@pytest.mark.parametrize("with_values", [True, False])
def test_sums_and_gradient_are_the_dense_products(with_values: bool) -> None:
    x, table, upstream = drawn()
    sums, gradient = computed(x, table, upstream, with_values=with_values)
    dense = x.toarray().astype(np.float64)
    dense = dense if with_values else (dense != 0).astype(np.float64)
    assert (dense.sum(axis=1) == 0).any()  # an empty history, and an item in none
    assert (dense.sum(axis=0) == 0).any()
    np.testing.assert_allclose(sums, dense @ table, atol=1e-5)
    np.testing.assert_allclose(gradient, dense.T @ upstream, atol=1e-5)


def test_an_item_that_is_there_twice_counts_twice() -> None:
    table = torch.ones((3, 1), requires_grad=True)
    sums = row_sums(table, torch.tensor([2, 2, 0]), torch.tensor([0, 2, 3]))
    assert sums.tolist() == [[2.0], [1.0]]
    sums.sum().backward()
    assert table.grad.tolist() == [[1.0], [0.0], [2.0]]


def test_the_same_bits_for_every_number_of_threads() -> None:
    x, table, upstream = drawn(2000, 3000, 64)
    before = torch.get_num_threads()
    try:
        found = []
        for threads in (1, 3):
            torch.set_num_threads(threads)
            found.append(computed(x, table, upstream))
    finally:
        torch.set_num_threads(before)
    for one, other in zip(*found, strict=True):
        np.testing.assert_array_equal(one, other)


def test_without_any_entry() -> None:
    table = torch.ones((3, 2), requires_grad=True)
    none = torch.zeros(0, dtype=torch.int64)
    sums = row_sums(table, none, torch.zeros(3, dtype=torch.int64))
    sums.sum().backward()
    assert sums.tolist() == [[0.0, 0.0]] * 2
    assert table.grad.tolist() == [[0.0, 0.0]] * 3
