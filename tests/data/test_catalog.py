import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from pyhybrid.data import Catalog
from pyhybrid.data.tables import write_parquet, write_text

TABLE = pa.table(
    {
        "item_id": ["b", "a"],
        "title": ["Heat", None],
        "genres": [["Crime", "War"], None],
        "categories": [[["Films", "Action"], ["New"]], [[]]],
        "year": [1995, 1979],
    }
)


def test_all_text_fields_are_read_and_others_left():
    catalog = Catalog.from_arrow(TABLE)
    assert catalog.item_ids.tolist() == ["b", "a"]
    assert {name: values.tolist() for name, values in catalog.fields.items()} == {
        "title": ["Heat", ""],
        "genres": [("Crime", "War"), ()],
        "categories": [("Films", "Action"), ()],
    }
    assert repr(catalog) == "Catalog(2 items: title, genres, categories)"
    assert len(catalog) == 2


@pytest.mark.parametrize("make", [pl.from_arrow, lambda t: t.to_pandas(), lambda t: t.to_reader()])
def test_any_arrow_table_reads_alike(make):
    catalog = Catalog.from_arrow(make(TABLE), fields=["title", "genres"])
    assert catalog.to_arrow().to_pylist() == [
        {"item_id": "b", "title": "Heat", "genres": ["Crime", "War"]},
        {"item_id": "a", "title": "", "genres": []},
    ]


def test_a_categorical_column_is_text():
    catalog = Catalog.from_arrow(pd.DataFrame({"item_id": [1], "kind": pd.Categorical(["film"])}))
    assert catalog.fields["kind"].tolist() == ["film"]


def test_parquet_round_trip(tmp_path):
    catalog = Catalog.from_arrow(TABLE)
    write_parquet(catalog.to_arrow(), tmp_path / "items.parquet")
    assert Catalog.read(tmp_path / "items.parquet").to_arrow().equals(catalog.to_arrow())


def test_csv_ids_and_titles_that_look_like_numbers(tmp_path):
    write_text(["item_id,title,year", "007,1984,1984", '7,"a, ""b""\nc",'], tmp_path / "items.csv")
    catalog = Catalog.read(tmp_path / "items.csv", fields=["title"])
    assert catalog.item_ids.tolist() == ["007", "7"]
    assert catalog.fields["title"].tolist() == ["1984", 'a, "b"\nc']


def test_plain_numbers_in_text_become_numbers(tmp_path):
    write_text(["item_id\ttitle", "12\tHeat", "7\t"], tmp_path / "items.tsv")
    catalog = Catalog.read(tmp_path / "items.tsv")
    assert catalog.item_ids.tolist() == [12, 7]
    assert catalog.texts() == ["Heat", ""]


def test_files_with_other_fields_are_joined(tmp_path):
    write_text(['{"item_id": "a", "title": "Heat"}'], tmp_path / "1.jsonl")
    write_text(['{"item_id": "b", "genres": ["War"]}'], tmp_path / "2.jsonl")
    catalog = Catalog.read([tmp_path / "1.jsonl", tmp_path / "2.jsonl"])
    assert catalog.fields["title"].tolist() == ["Heat", ""]
    assert catalog.fields["genres"].tolist() == [(), ("War",)]


def test_texts():
    catalog = Catalog.from_columns(
        [1, 2, 3, 4],
        title=["Heat", "", "Monsters, Inc.", ""],
        categories=[["a", "b"], ["a"], ["c"], []],
        made_by=["x", None, float("nan"), ""],
    )
    assert catalog.texts() == [
        "Heat. Categories: a, b",
        "Categories: a",
        "Monsters, Inc. Categories: c",
        "",
    ]
    assert catalog.texts([3, 1, 3], ["made_by", "title"]) == [
        "Title: Monsters, Inc.",
        "Made by: x. Title: Heat",
        "Title: Monsters, Inc.",
    ]


def test_genres_come_before_categories():
    catalog = Catalog.from_columns(["a"], genres=["Crime"], categories=[["Films"]])
    assert catalog.texts() == ["Genres: Crime"]


def test_select_orders_as_asked():
    catalog = Catalog.from_columns([1, 2, 3], title=["x", "y", "z"])
    assert catalog.select([3, 1]).fields["title"].tolist() == ["z", "x"]
    assert len(catalog.select([])) == 0
    for unknown in (catalog.select, catalog.texts):
        with pytest.raises(ValueError, match="number of unknown items is 2, the first 9"):
            unknown([1, 9, 8])
        with pytest.raises(TypeError, match="ids is strings; expected whole numbers"):
            unknown(["1"])


def test_tuples_of_one_length_stay_tuples():
    catalog = Catalog.from_columns([1, 2], genres=np.array([["a", "b"], ["c", "d"]]))
    assert catalog.fields["genres"].shape == (2,)
    assert catalog.fields["genres"].tolist() == [("a", "b"), ("c", "d")]


@pytest.mark.parametrize(
    ("ids", "fields", "error", "message"),
    [
        ([1, 1], {}, ValueError, "row 1 of item_ids is 1, which stands there before"),
        ([1, None], {}, ValueError, "row 1 of item_ids is missing"),
        ([1.5], {}, TypeError, r"row 0 of item_ids is 1\.5"),
        ([1, 2], {"title": ["a"]}, ValueError, "length of title is 1; expected 2"),
        ([1, 2], {"title": ["a", 7]}, TypeError, r"row 1 of title is 7 \(int\)"),
        ([1, 2], {"tags": [["a"], ["b", 7]]}, TypeError, "row 1 of tags is"),
        ([1, 2], {"tags": [["a"], "b"]}, TypeError, "tags is texts beside lists of texts"),
        ([1], {"item_id": ["a"]}, ValueError, "the name of a field is item_id"),
    ],
)
def test_bad_columns_are_named(ids, fields, error, message):
    with pytest.raises(error, match=message):
        Catalog(ids, fields)


def test_bad_tables_are_named(tmp_path):
    with pytest.raises(ValueError, match="column 'asin' is missing; expected one of: item_id, t"):
        Catalog.from_arrow(TABLE, item="asin")
    with pytest.raises(ValueError, match=r"column .x. is missing.*name it with fields="):
        Catalog.from_arrow(TABLE, fields=["x"])
    with pytest.raises(TypeError, match=r"row 0 of year is 1995 \(int\)"):
        Catalog.from_arrow(TABLE, fields=["year"])
    with pytest.raises(ValueError, match="number of rows is 0"):
        Catalog.from_arrow(TABLE.slice(0, 0))
    with pytest.raises(ValueError, match="fields is unknown: plot; expected some of: title"):
        Catalog.from_arrow(TABLE, fields=["title"]).texts(fields=["plot"])
    with pytest.raises(ValueError, match="fields is without title and genres"):
        Catalog.from_columns([1], plot=["x"]).texts()
