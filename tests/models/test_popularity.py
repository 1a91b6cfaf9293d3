from __future__ import annotations

import numpy as np
import pytest
from scipy.sparse import csr_array

from pyhybrid import Catalog, Interactions, Popularity


def matrix(rows: list[list[float]]) -> csr_array[np.float32]:
    return csr_array(np.array(rows, dtype=np.float32))


def test_the_order_is_that_of_the_number_of_users() -> None:
    x = matrix([[1, 1, 0, 0], [0, 1, 1, 0], [0, 1, 1, 1]])
    ranking = Popularity().fit(x).recommend(x[:0], 4)
    assert len(ranking) == 0
    ranking = Popularity().fit(x).recommend(matrix([[0, 0, 0, 0]]), 4)
    assert ranking.items.tolist() == [[1, 2, 0, 3]]
    assert ranking.scores.tolist() == [[3.0, 2.0, 1.0, 1.0]]


def test_ties_go_to_the_lower_index() -> None:
    x = matrix([[0, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1]])
    ranking = Popularity().fit(x).recommend(matrix([[0] * 12]), 12)
    assert ranking.items.tolist() == [[*range(1, 12), -1]]


def test_users_are_counted_whatever_their_weights() -> None:
    x = matrix([[9, 0.5], [0, 0.5], [0, -2]])
    model = Popularity().fit(x)
    assert model.item_counts.tolist() == [1, 3]
    assert model.score(matrix([[0, 0], [1, 0]])).tolist() == [[1.0, 3.0], [1.0, 3.0]]


def test_repeated_events_of_a_user_count_once() -> None:
    seen = Interactions.from_columns([1, 1, 1, 2, 3], ["a", "a", "a", "b", "b"], duplicates="count")
    model = Popularity().fit(seen)
    ranking = model.recommend(seen, 1, exclude_seen=False)
    assert model.item_ids[ranking.items[:, 0]].tolist() == ["b", "b", "b"]


def test_everybody_gets_the_same_but_for_what_they_have_seen() -> None:
    x = matrix([[1, 1, 0], [0, 1, 0], [0, 1, 1]])
    model = Popularity().fit(x)
    assert model.recommend(x, 2, exclude_seen=False).items.tolist() == [[1, 0]] * 3
    assert model.recommend(x, 2).items.tolist() == [[2, -1], [0, 2], [0, -1]]


def test_items_that_nobody_took_are_not_popular() -> None:
    x = matrix([[1, 0, 1]])
    model = Popularity().fit(x, Catalog.from_columns([0, 1, 2, 3]))
    assert model.rankable.tolist() == [0, 2]
    assert model.recommend(matrix([[0] * 4]), 4).items.tolist() == [[0, 2, -1, -1]]


def test_there_are_no_other_parameters() -> None:
    assert Popularity().params == {"newest": None, "half_life": None}
    assert repr(Popularity()) == "Popularity()"
    with pytest.raises(TypeError):
        Popularity(l2=1.0)
