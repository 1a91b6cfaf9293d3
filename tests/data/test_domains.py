"""Data sets side by side."""

import numpy as np
import pytest

from pyhybrid import Catalog, Interactions
from pyhybrid.data import join_domains


def books(**options):
    return Interactions.from_columns([1, 1, 2, 1], [7, 8, 9, 8], ordered=True, **options)


def films(**options):
    return Interactions.from_columns(["ann", "ann"], ["7", "5"], ordered=True, **options)


def catalog(ids, first):
    return Catalog.from_columns(ids, title=[f"{first} {one}" for one in ids])


def both(books=books, films=films):
    return join_domains(
        {
            "books": (books(), catalog([9, 8, 7, 6], "book")),
            "films": (films(), catalog(["5", "7"], "film")),
        }
    )


def test_nothing_of_one_domain_is_anothers():
    joined, texts = both()
    assert joined.user_ids.tolist() == ["books/1", "books/2", "films/ann"]
    assert joined.item_ids.tolist() == ["books/7", "books/8", "books/9", "films/5", "films/7"]
    np.testing.assert_array_equal(
        joined.matrix.toarray(), [[1, 1, 0, 0, 0], [0, 0, 1, 0, 0], [0, 0, 0, 1, 1]]
    )
    assert texts.texts(["films/5", "books/6"]) == ["film 5", "book 6"]


def test_a_users_events_stay_in_order():
    joined, _ = both()
    assert joined.events.indptr.tolist() == [0, 3, 4, 6]
    assert joined.events.items.tolist() == [0, 1, 1, 2, 4, 3]
    assert joined.matrix.indices.dtype == joined.events.items.dtype == np.int32
    # The parts are usable as any interactions are.
    later = joined.keep_events(np.arange(6) != 0)
    assert later.matrix.toarray()[0].tolist() == [0, 1, 0, 0, 0]


def test_times_and_weights_are_kept():
    def timed(users, items, times, **options):
        return lambda: Interactions.from_columns(users, items, times=times, **options)

    one = timed([1, 1], [7, 8], [20, 10], weights=[3.0, 4.0])
    joined, _ = both(one, timed(["ann"], ["5"], [15]))
    assert joined.events.times.tolist() == [10, 20, 15]
    assert joined.events.weights.tolist() == [4, 3, 1]
    assert joined.matrix.toarray()[:, :2].tolist() == [[3, 4], [0, 0]]
    without, _ = both(one, films)  # whose times nobody knows
    assert without.events.times is None
    assert without.events.items.tolist() == [1, 0, 3, 2]


def test_one_domain_without_an_order_leaves_none():
    joined, _ = both(films=lambda: Interactions.from_columns(["ann"], ["5"]))
    assert joined.events is None


def test_a_catalogue_words_its_own_items():
    words = Catalog.from_columns([7, 8], title=["Emma", ""], genres=[["Novel"], ["War"]])
    _, texts = join_domains({"books": (Interactions.from_columns([1], [7]), words)})
    assert texts.texts() == words.texts() == ["Emma. Genres: Novel", "Genres: War"]


def test_bad_domains_are_refused():
    with pytest.raises(ValueError, match=r"^join_domains: number of domains is 0"):
        join_domains({})
    for name in ("", "a/b"):
        with pytest.raises(ValueError, match=r"^join_domains: a domain's name is"):
            join_domains({name: (books(), catalog([7, 8, 9], "book"))})
    with pytest.raises(
        ValueError, match=r"^join_domains: duplicates= is count, once; expected one"
    ):
        both(books=lambda: books(duplicates="count"))
    with pytest.raises(ValueError, match=r"^texts: fields is without title and genres"):
        join_domains({"books": (books(), Catalog.from_columns([7], blurb=["Emma"]))})
