from __future__ import annotations

import hashlib
import json
import os
import sqlite3
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from pyhybrid.text import CachedEncoder
from pyhybrid.text.cache import cache_folder


class Digests:
    """Vectors that tell their text: float32 (rows, dim) from its SHA-256."""

    def __init__(self, name: str = "digests", dim: int = 8) -> None:
        self.name, self.dim = name, dim
        self.batches: list[list[str]] = []

    def encode(self, texts, *, progress=False):
        self.batches.append(list(texts))
        rows = [list(hashlib.sha256(text.encode()).digest()[: self.dim]) for text in texts]
        return np.array(rows, np.float32).reshape(-1, self.dim)


TEXTS = [f"{'word ' * (n % 6)}{n % 90}" for n in range(200)] + ["", "Amélie", "日本"]


def test_a_second_run_encodes_nothing(tmp_path: Path) -> None:
    first = CachedEncoder(Digests(), tmp_path)
    vectors = first.encode(TEXTS)
    np.testing.assert_array_equal(vectors, Digests().encode(TEXTS))
    assert vectors.dtype == np.float32
    assert vectors.flags.c_contiguous
    assert first.encoded == len(set(TEXTS)) < len(TEXTS)
    second = CachedEncoder(Digests(), tmp_path)
    np.testing.assert_array_equal(second.encode(TEXTS[::-1]), vectors[::-1])
    assert second.encoded == 0
    assert second.encoder.batches == []
    second.encode([*TEXTS, "another"])
    assert second.encoded == 1


def test_batches_go_from_long_to_short_and_hold_each_text_once(tmp_path: Path) -> None:
    encoder = CachedEncoder(Digests(), tmp_path, batch_size=32)
    encoder.encode(TEXTS)
    given = [text for batch in encoder.encoder.batches for text in batch]
    assert sorted(given) == sorted(set(TEXTS))
    assert [len(text) for text in given] == sorted(map(len, given), reverse=True)
    assert max(map(len, encoder.encoder.batches)) == 32


def test_progress_tells_the_share_of_distinct_texts(tmp_path: Path) -> None:
    shares: list[float] = []
    CachedEncoder(Digests(), tmp_path).encode(["a", "b"])
    encoder = CachedEncoder(Digests(), tmp_path, batch_size=1)
    encoder.encode(["a", "b", "c", "d", "a"], progress=shares.append)
    assert shares == [0.5, 0.75, 1.0]


def test_no_texts_have_no_vectors_but_a_dimension(tmp_path: Path) -> None:
    assert CachedEncoder(Digests(), tmp_path).encode([]).shape == (0, 8)
    assert list(tmp_path.iterdir()) == []


def test_encoders_of_other_names_share_nothing(tmp_path: Path) -> None:
    CachedEncoder(Digests("one"), tmp_path).encode(TEXTS)
    other = CachedEncoder(Digests("two", dim=3), tmp_path)
    assert other.encode(TEXTS).shape == (len(TEXTS), 3)
    assert other.encoded == len(set(TEXTS))
    assert len(list(tmp_path.glob("*.sqlite"))) == 2


def test_a_run_that_fails_goes_on_where_it_was(tmp_path: Path) -> None:
    class Failing(Digests):
        def encode(self, texts, *, progress=False):
            if len(self.batches) == 3:
                raise RuntimeError("out of memory")
            return super().encode(texts)

    with pytest.raises(RuntimeError, match="out of memory"):
        CachedEncoder(Failing(), tmp_path, batch_size=10).encode(TEXTS)
    again = CachedEncoder(Digests(), tmp_path, batch_size=10)
    np.testing.assert_array_equal(again.encode(TEXTS), Digests().encode(TEXTS))
    assert again.encoded == len(set(TEXTS)) - 30


PROCESS = """
import os, sys, time
sys.path.insert(0, sys.argv[1])
from test_cache import CachedEncoder, Digests, TEXTS
class Slow(Digests):
    def encode(self, texts, *, progress=False):
        time.sleep(float(sys.argv[3]))
        if len(self.batches) == int(sys.argv[4]):
            os._exit(9)
        return super().encode(texts)
encoder = CachedEncoder(Slow(), sys.argv[2], batch_size=10)
vectors = encoder.encode(TEXTS)
assert (vectors == Digests().encode(TEXTS)).all()
print(encoder.encoded)
"""


def start(folder: Path, seconds: float, last_batch: int = -1) -> subprocess.Popen[str]:
    given = [str(Path(__file__).parent), str(folder), str(seconds), str(last_batch)]
    command = [sys.executable, "-c", PROCESS, *given]
    return subprocess.Popen(command, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def test_a_killed_process_leaves_what_it_had_written(tmp_path: Path) -> None:
    process = start(tmp_path, seconds=0.6, last_batch=4)
    process.communicate()
    assert process.returncode == 9
    again = CachedEncoder(Digests(), tmp_path, batch_size=10)
    np.testing.assert_array_equal(again.encode(TEXTS), Digests().encode(TEXTS))
    missed = again.encoded - (len(set(TEXTS)) - 40)
    assert 0 <= missed <= 20  # at most what a second gives


def test_processes_can_write_at_once(tmp_path: Path) -> None:
    processes = [start(tmp_path, seconds=0.01) for _ in range(3)]
    for process in processes:
        out, err = process.communicate()
        assert process.returncode == 0, err
        assert int(out) <= len(set(TEXTS))
    after = CachedEncoder(Digests(), tmp_path)
    np.testing.assert_array_equal(after.encode(TEXTS), Digests().encode(TEXTS))
    assert after.encoded == 0


def only_file(folder: Path) -> Path:
    (path,) = folder.glob("*.sqlite")
    return path


@pytest.mark.parametrize("damage", ["overwritten", "cut off", "wrong size"])
def test_a_damaged_file_is_named_with_the_way_out(tmp_path: Path, damage: str) -> None:
    CachedEncoder(Digests(), tmp_path).encode(TEXTS)
    path = only_file(tmp_path)
    if damage == "overwritten":
        path.write_bytes(b"no database at all" * 100)
    elif damage == "cut off":
        os.truncate(path, path.stat().st_size // 2)
    else:
        connection = sqlite3.connect(path)
        connection.execute("UPDATE vectors SET vector = x'00'")
        connection.commit()
        connection.close()
    with pytest.raises(ValueError, match="damaged") as raised:
        CachedEncoder(Digests(), tmp_path).encode(TEXTS)
    assert str(path) in str(raised.value)
    assert "delete it" in str(raised.value)
    assert "cache=" in str(raised.value)


def test_another_dimension_under_the_same_name_is_refused(tmp_path: Path) -> None:
    CachedEncoder(Digests(), tmp_path).encode(["a"])
    with pytest.raises(ValueError, match=r"is 8; expected 3, as the encoder gives; delete it"):
        CachedEncoder(Digests(dim=3), tmp_path).encode(["b"])
    with pytest.raises(ValueError, match=r"is 8; expected 3, as the encoder gives; delete it"):
        CachedEncoder(Digests(dim=3), tmp_path).encode(["a", "b"])


@pytest.mark.parametrize("pragma", ["application_id = 7", "user_version = 99"])
def test_other_databases_and_newer_formats_are_refused(tmp_path: Path, pragma: str) -> None:
    CachedEncoder(Digests(), tmp_path).encode(["a"])
    connection = sqlite3.connect(only_file(tmp_path))
    connection.execute(f"PRAGMA {pragma}")
    connection.close()
    with pytest.raises(ValueError, match=r"another program's|newer pyhybrid"):
        CachedEncoder(Digests(), tmp_path).encode(["a"])


def test_another_encoders_file_is_refused(tmp_path: Path) -> None:
    CachedEncoder(Digests("one"), tmp_path).encode(["a"])
    one = only_file(tmp_path)
    CachedEncoder(Digests("two"), tmp_path).encode(["a"])
    (two,) = set(tmp_path.glob("*.sqlite")) - {one}
    one.replace(two)
    with pytest.raises(ValueError, match="the cache of 'one'; expected the cache of 'two'"):
        CachedEncoder(Digests("two"), tmp_path).encode(["a"])


def test_a_folder_that_cannot_be_made_is_told_in_words(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match=r"not usable .* cache=None"):
        CachedEncoder(Digests(), tmp_path / "file" / "folder").encode(["a"])


def test_the_default_folder_follows_xdg(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_folder("encode", True) == tmp_path / "pyhybrid" / "text"
    for ignored in ("", "relative"):
        monkeypatch.setenv("XDG_CACHE_HOME", ignored)
        assert cache_folder("encode", True) == Path.home() / ".cache" / "pyhybrid" / "text"
    with pytest.raises(TypeError, match="cache is 3; expected a folder, or True"):
        CachedEncoder(Digests(), 3)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("texts", "error", "match"),
    [
        ("Heat", TypeError, "texts is the str 'Heat'; expected a list of str; put it into a list"),
        (None, TypeError, "texts is a NoneType; expected a list of str"),
        (["Heat", None], TypeError, "text 1 is None; expected a str; use ''"),
        (["Heat", b"Up"], TypeError, "text 1 is b'Up'; expected a str"),
        (["\ud83d"], ValueError, "text 0 is '.ud83d'; expected whole characters"),
    ],
)
def test_what_is_no_text_is_refused(tmp_path: Path, texts, error, match: str) -> None:
    with pytest.raises(error, match=match):
        CachedEncoder(Digests(), tmp_path).encode(texts)


@pytest.mark.parametrize(
    ("vectors", "match"),
    [
        ([[1.0]], r"is \(1, 1\); expected \(2, dim\)"),
        ([1.0, 2.0], r"is \(2,\); expected \(2, dim\)"),
        ([[1.0], [np.nan]], "vector of 'a' is not finite"),
    ],
)
def test_wrong_vectors_are_refused_and_not_kept(tmp_path: Path, vectors, match: str) -> None:
    class Wrong(Digests):
        def encode(self, texts, *, progress=False):
            return np.array(vectors)

    with pytest.raises(ValueError, match=match):
        CachedEncoder(Wrong(), tmp_path).encode(["long", "a"])
    assert list(tmp_path.iterdir()) == []


def test_batches_of_two_dimensions_are_refused(tmp_path: Path) -> None:
    class Growing(Digests):
        def encode(self, texts, *, progress=False):
            self.dim += 1
            return super().encode(texts)

    with pytest.raises(ValueError, match=r"is \(1, 10\); expected \(1, 9\)"):
        CachedEncoder(Growing(), tmp_path, batch_size=1).encode(["a", "b"])


def test_neither_torch_nor_arrow_is_loaded_by_what_needs_none() -> None:
    code = """
import json, sys
from pyhybrid.text import CachedEncoder, SentenceTransformerEncoder, TfidfEncoder, TextEncoder
texts = ["crime drama", "crime story", "cake recipes"]
TfidfEncoder(2).fit(texts).encode(texts)
print(json.dumps(list(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = json.loads(done.stdout)
    for late in ("torch", "transformers", "sentence_transformers", "sklearn", "huggingface_hub"):
        assert late not in loaded
