from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from pyhybrid.data import readers, splits
from pyhybrid.data.held_out import pairs_in

REAL = Path(__file__).parents[2] / ".." / "shared" / "data"


def real(name: str) -> Path:
    folder = REAL / name
    if not folder.is_dir():
        pytest.skip(f"the real data set {name} is not at ../shared/data")
    return folder


def write(path: Path, text: str, encoding: str = "utf-8") -> None:
    """Write text, compressed as the name's ending says."""
    path.parent.mkdir(parents=True, exist_ok=True)
    data = text.encode(encoding)
    if path.suffix == ".gz":
        path.write_bytes(gzip.compress(data))
    elif path.suffix == ".zst":
        with pa.CompressedOutputStream(str(path), "zstd") as stream:
            stream.write(data)
    else:
        path.write_bytes(data)


def pairs(data) -> set[tuple[object, object]]:
    coo = data.matrix.tocoo()
    return set(zip(data.user_ids[coo.row].tolist(), data.item_ids[coo.col].tolist(), strict=True))


def order(data, row: int) -> list[object]:
    events = data.events
    return data.item_ids[events.items[events.indptr[row] : events.indptr[row + 1]]].tolist()


# the formats, by hand, under each compression

endings = pytest.mark.parametrize("ending", ["", ".gz", ".zst"])


@endings
def test_ml_1m(tmp_path: Path, ending: str) -> None:
    write(tmp_path / f"ratings.dat{ending}", "1::10::5::200\n1::20::2::100\n7::20::4::50\n")
    movies = "10::Amélie: a film (2001)::Comedy|Romance\r\n20::Heat (1995)::Crime\r\n30::X::War\r\n"
    write(tmp_path / f"movies.dat{ending}", movies, "latin-1")
    texts = '{"movieId": 20, "text": "A heist\\u2028film."}\n'
    write(tmp_path / f"colakg/llm_response_item.jsonl{ending}", texts)
    folder = readers.open_folder(tmp_path)
    assert folder.name == tmp_path.name
    assert pairs(folder.interactions) == {(1, 10), (1, 20), (7, 20)}
    assert order(folder.interactions, 0) == [20, 10]
    assert folder.interactions.events.times.tolist() == [100, 200, 50]
    assert (folder.interactions.matrix.data == 1).all()
    assert folder.catalog.item_ids.tolist() == [10, 20, 30]
    assert folder.catalog.fields["title"][0] == "Amélie: a film (2001)"
    assert folder.catalog.fields["genres"].tolist() == [("Comedy", "Romance"), ("Crime",), ("War",)]
    assert folder.catalog.fields["description"].tolist() == ["", "A heist\u2028film.", ""]
    assert folder.split is None
    liked = readers.open_folder(tmp_path, min_rating=4)
    assert pairs(liked.interactions) == {(1, 10), (7, 20)}


@endings
def test_ml_1m_pairs_have_no_order(tmp_path: Path, ending: str) -> None:
    write(tmp_path / f"pairs.csv{ending}", "userId,movieId\n1,10\n2,10\n")
    folder = readers.open_folder(tmp_path)
    assert pairs(folder.interactions) == {(1, 10), (2, 10)}
    assert folder.interactions.events is None
    assert folder.catalog is None
    with pytest.raises(ValueError, match=r"min_rating is 3.*holds no ratings"):
        readers.open_folder(tmp_path, min_rating=3)


@endings
def test_ml_100k(tmp_path: Path, ending: str) -> None:
    write(tmp_path / f"u.data{ending}", "196\t242\t3\t881250949\n196\t1\t5\t881250000\n")
    flags = ["0"] * 19
    flags[3] = flags[4] = flags[5] = "1"
    movie = "|".join(["1", "Toy Story (1995)", "01-Jan-1995", "", "http://x", *flags])
    write(tmp_path / f"u.item{ending}", movie + "\n", "latin-1")
    folder = readers.open_folder(tmp_path)
    assert order(folder.interactions, 0) == [1, 242]
    expected = ["Toy Story (1995). Genres: Animation, Children's, Comedy"]
    assert folder.catalog.texts() == expected


@endings
def test_ml_latest_small(tmp_path: Path, ending: str) -> None:
    write(
        tmp_path / f"ratings.csv{ending}",
        "userId,movieId,rating,timestamp\n1,31,2.5,1260759144\n1,32,4.0,1260759143\n",
    )
    write(
        tmp_path / f"movies.csv{ending}",
        'movieId,title,genres\n31,"Truman, The (1998)",Comedy|Drama\n32,Y,(no genres listed)\n',
    )
    folder = readers.open_folder(tmp_path)
    assert order(folder.interactions, 0) == [32, 31]
    assert folder.catalog.fields["title"].tolist() == ["Truman, The (1998)", "Y"]
    assert folder.catalog.fields["genres"].tolist() == [("Comedy", "Drama"), ()]
    assert pairs(readers.open_folder(tmp_path, min_rating=3).interactions) == {(1, 32)}


@endings
def test_sequences(tmp_path: Path, ending: str) -> None:
    write(tmp_path / f"sequences.txt{ending}", "1 3 4 3 \n\n2 5\n")
    write(
        tmp_path / f"items.jsonl{ending}",
        '{"item": 3, "title": "A", "categories": [["x", "y"], ["z"]], "attr": [1]}\n'
        '{"item": 9, "title": "B", "categories": []}\n'
        '{"item": 5, "title": "C", "categories": "z"}\n',
    )
    folder = readers.open_folder(tmp_path)
    assert order(folder.interactions, 0) == [3, 4, 3]
    assert folder.interactions.events.times is None
    assert pairs(folder.interactions) == {(1, 3), (1, 4), (2, 5)}
    assert folder.catalog.item_ids.tolist() == [3, 9, 5]
    assert list(folder.catalog.fields) == ["title", "categories"]
    assert folder.catalog.texts() == ["A. Categories: x, y", "B", "C. Categories: z"]


@endings
def test_histories_as_json_lines(tmp_path: Path, ending: str) -> None:
    write(
        tmp_path / f"users.jsonl{ending}",
        '{"user": 1, "history": [3, 4, 3]}\n{"user": "2", "history": [5], "likes": ["x"]}\n',
    )
    write(tmp_path / f"items.jsonl{ending}", '{"item": 3, "title": "A", "llm_description": "a"}\n')
    folder = readers.open_folder(tmp_path)
    assert order(folder.interactions, 0) == [3, 4, 3]
    assert pairs(folder.interactions) == {(1, 3), (1, 4), (2, 5)}
    assert list(folder.catalog.fields) == ["title", "llm_description"]


def test_a_json_line_without_its_key_is_reported(tmp_path: Path) -> None:
    write(tmp_path / "users.jsonl", '{"user": 1, "history": [3]}\n{"user": 2}\n')
    with pytest.raises(ValueError, match=r"object 2 of .*users\.jsonl is without 'history'"):
        readers.open_folder(tmp_path)


@endings
def test_train_and_test_lists_with_texts(tmp_path: Path, ending: str) -> None:
    write(tmp_path / f"train.txt{ending}", "0 1 2\n")
    write(tmp_path / f"test.txt{ending}", "0 3\n")
    write(
        tmp_path / f"llm_response_item.jsonl{ending}",
        '{"item": 2, "artistID": 9, "name": "Muse", "text": "A band."}\n',
    )
    catalog = readers.open_folder(tmp_path).catalog
    assert catalog.item_ids.tolist() == [2]
    assert catalog.texts() == ["Muse"]
    assert catalog.fields["description"].tolist() == ["A band."]


@endings
def test_train_and_test_lists(tmp_path: Path, ending: str) -> None:
    write(tmp_path / f"train.txt{ending}", "0 1 2\n1 5\n2\n")
    write(tmp_path / f"test.txt{ending}", "0 3\n1\n3 1 7\n")
    folder = readers.open_folder(tmp_path)
    assert pairs(folder.interactions) == {(0, 1), (0, 2), (1, 5), (0, 3), (3, 1), (3, 7)}
    assert folder.interactions.events is None
    parts = folder.split
    assert pairs(parts.train) == {(0, 1), (0, 2), (1, 5)}
    assert pairs(parts.test.targets) == {(0, 3), (3, 1), (3, 7)}
    assert pairs(parts.test.histories) == {(0, 1), (0, 2)}
    assert parts.test.targets.user_ids.tolist() == [0, 3]
    assert parts.train.item_ids.tolist() == [1, 2, 3, 5, 7]
    assert parts.validation is None


def test_a_published_split_that_leaks_is_refused(tmp_path: Path) -> None:
    write(tmp_path / "train.txt", "0 1 2\n")
    write(tmp_path / "test.txt", "0 2\n")
    with pytest.raises(ValueError, match=r"is 1 \(first: user 0, item 2\); expected 0"):
        readers.open_folder(tmp_path)


def test_ids_that_are_no_plain_numbers_stay_strings(tmp_path: Path) -> None:
    write(tmp_path / "train.txt", "0 1 2\n")
    write(tmp_path / "test.txt", "0 007\n")
    folder = readers.open_folder(tmp_path)
    assert folder.interactions.item_ids.tolist() == ["007", "1", "2"]
    assert folder.interactions.user_ids.tolist() == [0]
    assert pairs(folder.split.train) == {(0, "1"), (0, "2")}


def test_an_unknown_folder_names_the_formats(tmp_path: Path) -> None:
    write(tmp_path / "README.md", "nothing")
    with pytest.raises(ValueError, match=r"README\.md") as raised:
        readers.open_folder(tmp_path)
    for name in ("ml-1m", "ml-100k", "ml-latest-small", "RecBole", "sequences", "train/test lists"):
        assert name in str(raised.value)
    for name in ("ratings.dat", "pairs.csv", "u.data", "*.inter", "sequences.txt", "train.txt"):
        assert name in str(raised.value)


def test_a_missing_folder(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"open_folder: path is .*; expected a folder"):
        readers.open_folder(tmp_path / "nowhere")


@pytest.mark.parametrize("ending", [".gz", ".zst"])
def test_a_cut_off_file_is_named(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"u.data{ending}"
    write(path, "".join(f"{n}\t{n % 7}\t3\t{n * 31 % 1000}\n" for n in range(2000)))
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(ValueError, match=rf"u\.data{ending} is unreadable"):
        readers.open_folder(tmp_path)


def test_a_broken_row_is_reported(tmp_path: Path) -> None:
    write(tmp_path / "sequences.txt", "1 2 3\n")
    write(tmp_path / "items.jsonl", '{"item": 2}\n{"item": \n')
    with pytest.raises(ValueError, match=r"line 2 of .*items\.jsonl is unreadable"):
        readers.open_folder(tmp_path)
    write(tmp_path / "u.data", "1\t2\t3\t4\n1\t2\t3\n")
    with pytest.raises(ValueError, match=r"u\.data is unreadable .*expected rows of user_id"):
        readers.open_folder(tmp_path)
    write(tmp_path / "u.data", "1\t2\tgood\t4\n")
    with pytest.raises(ValueError, match=r"u\.data is unreadable .*good"):
        readers.open_folder(tmp_path)


# the real data sets, with the counts of their README


@pytest.mark.parametrize(
    ("name", "users", "items", "size"),
    [
        ("ml-100k", 943, 1682, 100_000),
        ("ml-latest-small", 671, 9066, 100_004),
        ("amazon-beauty", 22_363, 12_101, 198_502),
        ("goodreads-once", 23_089, 15_441, 180_240),
    ],
)
def test_real_sizes(name: str, users: int, items: int, size: int) -> None:
    folder = readers.open_folder(real(name))
    assert folder.interactions.shape == (users, items)
    assert len(folder.interactions.events.items) == size
    known = np.isin(folder.interactions.item_ids, folder.catalog.item_ids)
    assert known.all()
    assert all(folder.catalog.texts())


def test_real_ml_1m() -> None:
    folder = readers.open_folder(real("ml-1m"))
    assert folder.interactions.shape == (6040, 3706)
    assert folder.interactions.matrix.nnz == 1_000_209
    catalog = folder.catalog
    assert len(catalog) == 3883
    assert catalog.texts([1]) == ["Toy Story (1995). Genres: Animation, Children's, Comedy"]
    assert catalog.fields["description"][0].startswith('"Toy Story (1995)" is a pioneering')
    assert catalog.item_ids[catalog.fields["description"] == ""].tolist() == [1122]
    assert any("é" in title for title in catalog.fields["title"])


def test_real_ml_100k_titles_and_ratings() -> None:
    folder = readers.open_folder(real("ml-100k"), min_rating=4)
    assert folder.interactions.matrix.nnz == 55_375
    expected = ["Toy Story (1995). Genres: Animation, Children's, Comedy"]
    assert folder.catalog.texts([1]) == expected


def test_real_yelp_repeats() -> None:
    folder = readers.open_folder(real("yelp"))
    assert folder.interactions.shape == (30_431, 20_033)
    events = folder.interactions.events
    assert len(events.items) == 316_354
    test = splits.leave_last(folder.interactions, repeats="keep").test
    assert pairs_in(test.targets, test.histories).sum() == 2027


@pytest.mark.parametrize(
    ("name", "users", "items", "train", "test"),
    [
        ("amazon-electronics", 1435, 1522, 31_887, 4044),
        ("gowalla", 29_858, 40_981, 810_128, 217_242),
        ("lastfm-hetrec/colakg", 1859, 2813, 57_786, 13_508),
    ],
)
def test_real_published_splits(name: str, users: int, items: int, train: int, test: int) -> None:
    folder = readers.open_folder(real(name))
    assert folder.interactions.shape == (users, items)
    assert folder.interactions.matrix.nnz == train + test
    assert folder.split.train.matrix.nnz == train
    assert folder.split.test.targets.matrix.nnz == test


def test_real_artists_have_texts() -> None:
    folder = readers.open_folder(real("lastfm-hetrec/colakg"))
    assert len(folder.catalog) == 2813
    assert np.isin(folder.interactions.item_ids, folder.catalog.item_ids).all()
    assert all(folder.catalog.fields["description"])
