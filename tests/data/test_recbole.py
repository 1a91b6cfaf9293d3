from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pyhybrid.data import Catalog, Interactions, readers, synthetic

if TYPE_CHECKING:
    from pathlib import Path


def write(folder: Path, name: str, *rows: str) -> None:
    (folder / name).write_text("".join(f"{row}\n" for row in rows), encoding="utf-8")


def assert_same(one: Interactions, other: Interactions) -> None:
    np.testing.assert_array_equal(one.user_ids, other.user_ids)
    np.testing.assert_array_equal(one.item_ids, other.item_ids)
    assert (one.matrix != other.matrix).nnz == 0
    assert (one.events is None) == (other.events is None)
    if one.events is not None and other.events is not None:
        np.testing.assert_array_equal(one.events.indptr, other.events.indptr)
        np.testing.assert_array_equal(one.events.items, other.events.items)


def test_atomic_files_are_read(tmp_path: Path) -> None:
    write(
        tmp_path,
        "tiny.inter",
        "user_id:token\titem_id:token\trating:float\ttimestamp:float",
        "a\t7\t4.5\t200",
        "a\t8\t2\t100",
        "b\t7\t3\t150",
    )
    write(
        tmp_path,
        "tiny.item",
        "item_id:token\tmovie_title:token_seq\tclass:token_seq\tbrand:token\tprice:float\tv:float_seq",
        '7\tThe "Heat"\tCrime Thriller\tWarner Bros\t3.5\t0.1 0.2',
        "8\tAlien\t\t\t\t",
    )
    folder = readers.open_folder(tmp_path)
    data, catalog = folder.interactions, folder.catalog
    assert data.user_ids.tolist() == ["a", "b"]
    assert data.item_ids.tolist() == [7, 8]
    assert data.events.items.tolist() == [1, 0, 0]
    assert data.events.times.tolist() == [100, 200, 150]
    assert (data.matrix.data == 1).all()
    assert catalog.texts() == ['The "Heat". Genres: Crime, Thriller', "Alien"]
    assert catalog.fields["brand"].tolist() == ["Warner Bros", ""]
    assert set(catalog.fields) == {"title", "genres", "brand"}
    assert readers.open_folder(tmp_path, min_rating=3).interactions.matrix.nnz == 2


def test_the_namesake_of_the_folder_is_read(tmp_path: Path) -> None:
    for name, user in ((tmp_path.name, "1"), ("a", "2")):
        write(tmp_path, f"{name}.inter", "user_id:token\titem_id:token", f"{user}\t5")
    folder = readers.open_folder(tmp_path)
    assert folder.interactions.user_ids.tolist() == [1]
    assert folder.interactions.events is None


@pytest.mark.parametrize(
    ("header", "message"),
    [
        ("user_id\titem_id:token", "header of .* is .*; expected name:type"),
        ("user_id:token\titem_id:int", "header of .* is .*; expected name:type"),
        ("user:token\titem_id:token", "column user_id is missing; expected one of: user, item_id"),
    ],
)
def test_a_wrong_header_is_refused(tmp_path: Path, header: str, message: str) -> None:
    write(tmp_path, "x.inter", header, "1\t2")
    with pytest.raises(ValueError, match=message):
        readers.open_folder(tmp_path)


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    interactions, catalog = synthetic.topics(users=40, items=30, events_per_user=6)
    readers.write_recbole(tmp_path / "made", "made", interactions, catalog)
    assert sorted(path.name for path in (tmp_path / "made").iterdir()) == [
        "made.inter",
        "made.item",
    ]
    back = readers.open_folder(tmp_path / "made")
    seen = interactions.item_counts() > 0
    assert_same(back.interactions, interactions.with_items(interactions.item_ids[seen]))
    np.testing.assert_array_equal(back.interactions.events.times, interactions.events.times)
    assert back.catalog.item_ids.tolist() == catalog.item_ids.tolist()
    assert {name: values.tolist() for name, values in back.catalog.fields.items()} == {
        name: values.tolist() for name, values in catalog.fields.items()
    }


def test_weights_are_written_and_read_back(tmp_path: Path) -> None:
    data = Interactions.from_columns([1, 1, 2], ["a", "b", "a"], weights=[0.1, 3.0, -2.5])
    readers.write_recbole(tmp_path, "w", data)
    assert_same(readers.open_folder(tmp_path).interactions, data)


def test_an_order_without_times_gets_places_for_times(tmp_path: Path) -> None:
    data = Interactions.from_columns([1, 1, 1, 2], [9, 8, 9, 9], ordered=True)
    readers.write_recbole(tmp_path, "o", data)
    back = readers.open_folder(tmp_path).interactions
    assert_same(back, data)
    assert back.events.times.tolist() == [0, 1, 2, 0]


def test_fractional_times_are_read_back(tmp_path: Path) -> None:
    data = Interactions.from_columns([1, 1], [9, 8], times=[0.1, 1e9 + 0.5])
    readers.write_recbole(tmp_path, "t", data)
    back = readers.open_folder(tmp_path).interactions
    assert back.events.times.tolist() == [0.1, 1e9 + 0.5]


def test_what_the_format_cannot_hold_is_refused(tmp_path: Path) -> None:
    data = Interactions.from_columns([1], [9])
    with pytest.raises(ValueError, match="categories is 'Hair Care'; expected words without"):
        readers.write_recbole(tmp_path, "x", data, Catalog([9], {"categories": [["Hair Care"]]}))
    with pytest.raises(ValueError, match=r"a row is '9\\tA\\tB'; expected ids and fields without"):
        readers.write_recbole(tmp_path, "x", data, Catalog([9], {"title": ["A\tB"]}))
    with pytest.raises(ValueError, match="without tabs and line breaks"):
        readers.write_recbole(tmp_path, "y", Interactions.from_columns(["a\n"], [9]))
    assert not (tmp_path / "x.item").exists()
    assert not (tmp_path / "y.inter").exists()


words = st.text(st.characters(exclude_characters="\t\n\r", exclude_categories=["Cs"]), max_size=8)


@settings(max_examples=40)
@given(
    titles=st.lists(words, min_size=1, max_size=5),
    tags=st.lists(words.filter(lambda word: word and " " not in word), max_size=3),
)
def test_any_text_is_read_back(
    tmp_path_factory: pytest.TempPathFactory, titles: list[str], tags: list[str]
) -> None:
    folder = tmp_path_factory.mktemp("any")
    ids = list(range(len(titles)))
    catalog = Catalog(ids, {"title": titles, "tags": [tuple(tags)] * len(ids)})
    readers.write_recbole(folder, "any", Interactions.from_columns([1], [0]), catalog)
    back = readers.open_folder(folder).catalog
    assert back.fields["title"].tolist() == titles
    assert back.fields["tags"].tolist() == [tuple(tags)] * len(ids)
