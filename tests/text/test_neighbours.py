from __future__ import annotations

import numpy as np
import pytest
from scipy.sparse import csr_array

from pyhybrid.data import Interactions
from pyhybrid.text.neighbours import item_neighbours, personalised_pagerank, random_neighbours


def interactions(dense) -> Interactions:
    return Interactions.from_csr(csr_array(np.array(dense, np.float32)))


# Two users and four items: six nodes
SIX = interactions([[1, 1, 1, 0], [0, 0, 1, 1]])
# Items 0, 1, 2 are one community, 3 and 4 another, nobody has taken 5.
COMMUNITIES = interactions(
    [
        [1, 1, 0, 0, 0, 0],
        [1, 1, 1, 0, 0, 0],
        [0, 1, 1, 0, 0, 0],
        [0, 0, 0, 1, 1, 0],
        [0, 0, 0, 1, 1, 0],
    ]
)


def solved(seen: Interactions, item: int, restart: float) -> np.ndarray:
    """Solve p = restart e + (1 - restart) P^T p over items, then users."""
    taken = (seen.matrix.toarray() > 0).astype(float)
    users, items = taken.shape
    edges = np.block([[np.zeros((items, items)), taken.T], [taken, np.zeros((users, users))]])
    edges[np.arange(len(edges)), np.arange(len(edges))] += edges.sum(axis=1) == 0
    steps = edges / edges.sum(axis=1, keepdims=True)
    start = np.zeros(len(edges))
    start[item] = restart
    return np.linalg.solve(np.eye(len(edges)) - (1 - restart) * steps.T, start)


def random_interactions(seed: int, users: int = 40, items: int = 30) -> Interactions:
    rng = np.random.default_rng(seed)
    return interactions(rng.random((users, items)) < 0.1)


@pytest.mark.parametrize("restart", [0.05, 0.15, 0.8])
@pytest.mark.parametrize("seen", [SIX, COMMUNITIES, random_interactions(0)])
def test_the_walk_equals_the_linear_solve_and_sums_to_one(seen, restart) -> None:
    items = np.arange(seen.n_items)
    walks = np.hstack(personalised_pagerank(seen, items, restart=restart))
    np.testing.assert_allclose(walks.sum(axis=1), 1, atol=1e-9)
    expected = np.array([solved(seen, item, restart) for item in items])
    np.testing.assert_allclose(walks, expected, atol=1e-9)


def test_the_tolerance_bounds_the_sum_of_errors() -> None:
    seen = random_interactions(1)
    expected = np.array([solved(seen, item, 0.15) for item in range(seen.n_items)])
    errors = {}
    for tolerance in (1e-1, 1e-3, 1e-6):
        walks = np.hstack(personalised_pagerank(seen, np.arange(seen.n_items), tolerance=tolerance))
        errors[tolerance] = np.abs(walks - expected).sum(axis=1).max()
        assert errors[tolerance] <= tolerance
    assert errors[1e-6] < errors[1e-1]


def test_weights_do_not_count() -> None:
    heavy = Interactions.from_csr(csr_array(SIX.matrix * np.float32(7)))
    for one, other in zip(
        personalised_pagerank(SIX, [0, 3]), personalised_pagerank(heavy, [0, 3]), strict=True
    ):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("seed", range(3))
def test_neighbours_are_the_best_other_items_in_order(seed: int) -> None:
    seen = random_interactions(seed)
    found = item_neighbours(seen, 4)
    assert found.dtype == np.int32
    for item in range(seen.n_items):
        scores = solved(seen, item, 0.15)[: seen.n_items].astype(np.float32)
        scores[item] = 0
        order = [other for other in np.argsort(-scores, kind="stable") if scores[other] > 0][:4]
        rounded = np.array([scores[other] for other in order])
        mine = [other for other in found[item] if other >= 0]
        np.testing.assert_allclose([scores[other] for other in mine], rounded, rtol=1e-5)
        assert item not in mine
        assert len(set(mine)) == len(mine) == len(order)
        assert set(found[item, len(mine) :]) <= {-1}


def test_communities_stay_apart_and_an_item_without_users_has_no_neighbours() -> None:
    found = item_neighbours(COMMUNITIES, 3)
    assert [set(row) for row in found[:3].tolist()] == [{1, 2, -1}, {0, 2, -1}, {0, 1, -1}]
    assert found[3:].tolist() == [[4, -1, -1], [3, -1, -1], [-1, -1, -1]]
    assert found[0].tolist() == [1, 2, -1]  # two users against one
    walk, _ = personalised_pagerank(COMMUNITIES, [0, 5])
    assert walk[0, 3:].tolist() == [0, 0, 0]
    assert walk[1].tolist() == [0, 0, 0, 0, 0, 1]


def test_ties_go_to_the_lower_index() -> None:
    basket = interactions(np.ones((3, 40)))  # all items alike
    found = item_neighbours(basket, 3)
    assert found[0].tolist() == [1, 2, 3]
    assert found[2].tolist() == [0, 1, 3]
    assert found[39].tolist() == [0, 1, 2]


def test_removing_held_out_edges_of_one_community_changes_nothing_else() -> None:
    dense = COMMUNITIES.matrix.toarray()
    dense[1, 2] = 0
    trained = interactions(dense)
    before, after = (personalised_pagerank(x, np.arange(6)) for x in (COMMUNITIES, trained))
    for old, new in zip(before, after, strict=True):
        np.testing.assert_allclose(old[3:], new[3:], atol=1e-9)
        assert not np.allclose(old[0], new[0], atol=1e-3)
    np.testing.assert_array_equal(
        item_neighbours(COMMUNITIES, 3)[3:], item_neighbours(trained, 3)[3:]
    )


def test_a_split_that_holds_out_edges_gives_the_graph_of_what_is_left() -> None:
    seen = random_interactions(3)
    held_out = np.random.default_rng(0).random(seen.matrix.nnz) < 0.2
    train = seen.keep_pairs(~held_out)
    dense = np.zeros(seen.shape)  # the same graph, made without the held-out pairs from the start
    users = np.repeat(np.arange(seen.n_users), np.diff(seen.matrix.indptr))
    dense[users[~held_out], seen.matrix.indices[~held_out]] = 1
    found = item_neighbours(train, 5)
    np.testing.assert_array_equal(found, item_neighbours(interactions(dense), 5))
    assert (found != item_neighbours(seen, 5)).any()


def test_batches_and_threads_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = random_interactions(4)
    shares: list[float] = []
    whole = item_neighbours(seen, 5)
    monkeypatch.setattr("pyhybrid.text.neighbours._CELLS_AT_ONCE", 40 * 7)
    np.testing.assert_array_equal(item_neighbours(seen, 5, progress=shares.append), whole)
    np.testing.assert_allclose(shares, [7 / 30, 14 / 30, 21 / 30, 28 / 30, 1])
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    np.testing.assert_array_equal(item_neighbours(seen, 5), whole)


def test_among_names_the_items_that_may_be_neighbours() -> None:
    found = item_neighbours(COMMUNITIES, 2, among=[2, 3])
    assert found.tolist() == [[2, -1], [2, -1], [-1, -1], [-1, -1], [3, -1], [-1, -1]]
    assert (item_neighbours(COMMUNITIES, 2, among=[]) == -1).all()


def test_more_neighbours_than_items_are_padded() -> None:
    assert item_neighbours(SIX, 9).shape == (4, 9)
    empty = Interactions.from_csr(csr_array((2, 0), dtype=np.float32))
    assert item_neighbours(empty, 3).shape == (0, 3)


@pytest.mark.parametrize(
    ("given", "error", "match"),
    [
        ({"n": 0}, ValueError, "n is 0"),
        ({"n": 2.5}, TypeError, "n is 2.5"),
        ({"restart": 0}, ValueError, "restart is 0"),
        ({"restart": 1.0}, ValueError, "restart is 1.0"),
        ({"tolerance": 0}, ValueError, "tolerance is 0"),
        ({"among": [4]}, ValueError, "among is 4; expected a list of positions from 0 to 3"),
        ({"among": [-1]}, ValueError, "among is -1"),
        ({"among": ["a"]}, TypeError, "among's dtype"),
        ({"among": [[1]]}, ValueError, "among is of 2 dimensions"),
    ],
)
def test_wrong_arguments_are_refused(given, error, match) -> None:
    with pytest.raises(error, match=f"item_neighbours: {match}"):
        item_neighbours(SIX, **given)
    with pytest.raises(ValueError, match="personalised_pagerank: items is 9"):
        personalised_pagerank(SIX, [9])


def test_random_neighbours_are_as_many_others() -> None:
    found = item_neighbours(random_interactions(5), 4)
    found[3] = -1
    found[4, 2:] = -1
    drawn = random_neighbours(found, seed=1)
    assert drawn.shape == found.shape
    np.testing.assert_array_equal(drawn >= 0, found >= 0)
    for item, row in enumerate(drawn.tolist()):
        others = [other for other in row if other >= 0]
        assert len(set(others)) == len(others)
        assert item not in others
    np.testing.assert_array_equal(drawn, random_neighbours(found, seed=1))
    assert (drawn != random_neighbours(found, seed=2)).any()
    assert (drawn != found).any()
    assert len(np.unique(drawn)) > 20  # from all over the catalogue
    with pytest.raises(ValueError, match="neighbours is 2; expected at most 1"):
        random_neighbours(np.array([[1, 1], [0, 0]]))
