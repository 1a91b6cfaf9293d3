"""Model folders: what is written, what is refused, what a failure leaves behind."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from scipy.sparse import csr_array

import pyhybrid
from pyhybrid import ESLER, Interactions, Popularity, models
from pyhybrid.data import synthetic
from pyhybrid.storage import FORMAT_VERSION, read_folder, write_folder

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


@pytest.fixture(scope="module")
def seen() -> Interactions:
    return synthetic.topics(users=60, items=30, events_per_user=6.0, seed=5)[0]


@pytest.fixture(scope="module")
def model(seen: Interactions) -> ESLER:
    return ESLER(l2=5.0, keep_gram=True).fit(seen)


@pytest.fixture
def folder(model: ESLER, tmp_path: Path) -> Path:
    model.save(tmp_path / "model")
    return tmp_path / "model"


def files(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


def array(folder: Path, name: str) -> Path:
    (found,) = folder.rglob(f"{name}.npy")
    return found


def edit(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    config = json.loads((folder / "config.json").read_text())
    change(config)
    (folder / "config.json").write_text(json.dumps(config))


# What is written


def test_the_configuration_is_there_to_read(folder: Path, model: ESLER) -> None:
    config = json.loads((folder / "config.json").read_text())
    assert config["class"] == "ESLER"
    assert config["format_version"] == FORMAT_VERSION == 1
    params = ESLER(l2=5.0, keep_gram=True).params
    assert config["params"] == json.loads(json.dumps(params))
    assert config["params"]["l2"] == 5.0
    items = len(model.item_ids)
    assert config["arrays"]["weights"] == {"dtype": "float32", "shape": [items, items]}


def test_nothing_is_pickled(folder: Path) -> None:
    assert {path.suffix for path in folder.rglob("*") if path.is_file()} == {".json", ".npy"}
    for path in folder.rglob("*.npy"):
        assert np.load(path, allow_pickle=False).dtype.kind in "biuf"
        assert b"\x80\x04\x95" not in path.read_bytes()[:200]


def test_a_pickle_in_the_place_of_an_array_is_not_opened(folder: Path) -> None:
    np.save(array(folder, "weights"), np.array([{}], dtype=object), allow_pickle=True)
    with pytest.raises(ValueError, match="damaged"):
        pyhybrid.load(folder)


def test_large_arrays_are_memory_mapped_and_read_only(folder: Path) -> None:
    loaded = ESLER.load(folder)
    assert isinstance(loaded.weights, np.memmap)
    assert not loaded.weights.flags.writeable
    assert isinstance(loaded._gram, np.memmap)


@pytest.mark.parametrize(
    "ids",
    [
        ["", "a", "Ü", "ß ß", "日本語", "🎬", "a\nb", "a\x00b", "0", " "],
        [""],
        ["x" * 100_000, "y"],
        [0, -1, 2**62, -(2**63)],
    ],
    ids=["unicode", "empty", "long", "numbers"],
)
def test_ids_of_all_kinds_survive(ids: list[Any], tmp_path: Path) -> None:
    seen = Interactions.from_columns([*range(len(ids))], ids)
    Popularity().fit(seen).save(tmp_path / "model")
    loaded = pyhybrid.load(tmp_path / "model")
    assert loaded.item_ids.tolist() == sorted(ids)
    assert [type(item) for item in loaded.item_ids.tolist()] == [type(ids[0])] * len(ids)
    assert loaded.item_positions(ids).tolist() == [sorted(ids).index(item) for item in ids]
    table = loaded.recommend(seen, len(ids), exclude_seen=False).to_arrow()
    assert set(table["item_id"].to_pylist()) == set(ids)


def test_arrays_come_back_as_they_went(tmp_path: Path) -> None:
    arrays = {
        "none": np.empty((0, 3), dtype=np.float32),
        "strings": np.array(["b", "", "ü"], dtype=object),
        "no_strings": np.array([], dtype=object),
        "small": np.arange(3, dtype=np.int8),
        "columns": np.asfortranarray(np.arange(6.0).reshape(2, 3)),
    }
    write_folder(tmp_path / "made", {"class": "Any", "params": {}}, arrays)
    config, found = read_folder(tmp_path / "made")
    assert config["class"] == "Any"
    assert set(found) == set(arrays)
    for name, wanted in arrays.items():
        assert found[name].dtype == wanted.dtype
        np.testing.assert_array_equal(found[name], wanted)


def test_parent_folders_are_made(model: ESLER, tmp_path: Path) -> None:
    model.save(str(tmp_path / "a" / "b"))
    assert pyhybrid.load(tmp_path / "a" / "b").params == model.params


def test_a_folder_can_be_moved(folder: Path, model: ESLER, seen: Interactions) -> None:
    elsewhere = folder.with_name("elsewhere")
    folder.rename(elsewhere)
    np.testing.assert_array_equal(pyhybrid.load(elsewhere).score(seen), model.score(seen))


# Replacing


def test_a_save_replaces_the_model_and_its_arrays(folder: Path, seen: Interactions) -> None:
    before = files(folder)
    Popularity().fit(seen).save(folder)
    assert type(pyhybrid.load(folder)) is Popularity
    assert not list(folder.rglob("weights.npy"))
    assert len(files(folder)) < len(before)
    assert len([path for path in folder.iterdir() if path.is_dir()]) == 1


def test_a_loaded_model_can_be_saved_where_it_came_from(
    folder: Path, model: ESLER, seen: Interactions
) -> None:
    loaded = ESLER.load(folder)
    loaded.save(folder)
    loaded.save(folder)
    np.testing.assert_array_equal(loaded.score(seen), model.score(seen))
    np.testing.assert_array_equal(ESLER.load(folder).score(seen), model.score(seen))
    assert len(list(folder.iterdir())) == 2


def test_a_reader_of_the_old_model_is_not_disturbed(folder: Path, seen: Interactions) -> None:
    reader = ESLER.load(folder)
    before = reader.score(seen)
    ESLER(l2=50.0).fit(seen).save(folder)
    np.testing.assert_array_equal(reader.score(seen), before)
    assert pyhybrid.load(folder).l2 == 50.0


def test_an_empty_folder_will_do(model: ESLER, tmp_path: Path) -> None:
    model.save(tmp_path)
    assert pyhybrid.load(tmp_path).params == model.params


@pytest.mark.parametrize("content", ["notes.txt", ".hidden", "weights.npy"])
def test_a_folder_with_other_content_is_refused(model: ESLER, tmp_path: Path, content: str) -> None:
    (tmp_path / content).write_text("mine")
    with pytest.raises(FileExistsError, match=r"^save: .* is something else; expected a new or em"):
        model.save(tmp_path)
    assert files(tmp_path) == [content]


def test_a_file_is_not_replaced(model: ESLER, tmp_path: Path) -> None:
    (tmp_path / "model").write_text("mine")
    with pytest.raises(FileExistsError):
        model.save(tmp_path / "model")
    assert (tmp_path / "model").read_text() == "mine"


@pytest.mark.parametrize(
    "config", ['{"name": "my-app", "port": 80}', '{"architectures": ["Bert"]}', "[]", "no json"]
)
def test_another_programs_config_is_no_model(model: ESLER, tmp_path: Path, config: str) -> None:
    (tmp_path / "config.json").write_text(config)
    (tmp_path / "app.py").write_text("mine")
    with pytest.raises(FileExistsError, match="something else"):
        model.save(tmp_path)
    assert (tmp_path / "config.json").read_text() == config
    assert files(tmp_path) == ["app.py", "config.json"]


# Failing midway


@pytest.mark.parametrize("error", [OSError(28, "No space left"), KeyboardInterrupt()])
@pytest.mark.parametrize("call", [1, 2])
def test_a_save_that_fails_midway_leaves_the_earlier_model(
    folder: Path,
    model: ESLER,
    seen: Interactions,
    monkeypatch: pytest.MonkeyPatch,
    error: BaseException,
    call: int,
) -> None:
    before = files(folder)
    fail_in_save(monkeypatch, error, call)
    with pytest.raises(type(error)):
        ESLER(l2=77.0).fit(seen).save(folder)
    monkeypatch.undo()
    assert files(folder) == before
    np.testing.assert_array_equal(pyhybrid.load(folder).score(seen), model.score(seen))


def test_a_first_save_that_fails_midway_leaves_nothing(
    model: ESLER, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fail_in_save(monkeypatch, OSError(28, "No space left"), 2)
    with pytest.raises(OSError, match="No space left"):
        model.save(tmp_path / "model")
    assert files(tmp_path) == []


def fail_in_save(monkeypatch: pytest.MonkeyPatch, error: BaseException, call: int) -> None:
    calls = []
    save = np.save

    def failing(*args: Any, **options: Any) -> None:
        calls.append(args)
        if len(calls) == call:
            raise error
        save(*args, **options)

    monkeypatch.setattr(np, "save", failing)


_KILLED = """
import os, sys
import numpy as np
from pyhybrid import Interactions, ESLER
save, calls = np.save, []
def killed(*args, **options):
    save(*args, **options)
    calls.append(0)
    if len(calls) == 2:
        os._exit(9)
np.save = killed
ESLER(l2=77.0).fit(Interactions.from_columns([1, 1], [2, 3])).save(sys.argv[1])
"""


@pytest.mark.parametrize("earlier", [True, False])
def test_a_killed_save_can_be_done_again(model: ESLER, tmp_path: Path, earlier: bool) -> None:
    target = tmp_path / "model"
    if earlier:
        model.save(target)
    done = subprocess.run([sys.executable, "-c", _KILLED, str(target)], check=False)
    assert done.returncode == 9
    if earlier:
        assert pyhybrid.load(target).params == model.params
    else:
        with pytest.raises(ValueError, match="not a model"):
            pyhybrid.load(target)
    model.save(target)  # what a restarted job does
    assert pyhybrid.load(target).params == model.params
    assert len(list(target.iterdir())) == 2


# What is refused


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    for load in (pyhybrid.load, ESLER.load):
        with pytest.raises(FileNotFoundError, match=r"^load: .*nowhere is missing; expected a mod"):
            load(tmp_path / "nowhere")
    (tmp_path / "file").write_text("")
    with pytest.raises((FileNotFoundError, ValueError), match=r"^load: .*file is "):
        pyhybrid.load(tmp_path / "file")


@pytest.mark.parametrize("config", [None, "", "{", "[]", "{}", '"text"', '{"class": "ESLER"}'])
def test_a_folder_that_is_no_model_is_refused(tmp_path: Path, config: str | None) -> None:
    if config is not None:
        (tmp_path / "config.json").write_text(config)
    for load in (pyhybrid.load, ESLER.load):
        with pytest.raises(ValueError, match=r"^load: .* is not a model; expected a folder that s"):
            load(tmp_path)


def test_a_newer_format_is_refused_in_words(folder: Path) -> None:
    edit(folder, lambda config: config.update(format_version=FORMAT_VERSION + 1, news={}))
    message = r"^load: the format version of .* is 2; expected at most 1; install a newer pyhybrid$"
    with pytest.raises(ValueError, match=message):
        pyhybrid.load(folder)


def test_a_newer_formats_layout_does_not_matter(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"format_version": 7, "model": {}}')
    with pytest.raises(ValueError, match="install a newer pyhybrid"):
        pyhybrid.load(tmp_path)


@pytest.mark.parametrize("version", ["1", None, [1], "new"])
def test_a_version_that_is_no_number_is_no_model(folder: Path, version: Any) -> None:
    edit(folder, lambda config: config.update(format_version=version))
    with pytest.raises(ValueError, match=r"^load: "):
        pyhybrid.load(folder)


def test_a_class_of_a_newer_version_is_refused(folder: Path) -> None:
    edit(folder, lambda config: config.update({"class": "Oracle"}))
    with pytest.raises(ValueError, match="'Oracle'; expected one of"):
        pyhybrid.load(folder)
    with pytest.raises(ValueError, match=r"is Oracle; expected ESLER, or use pyhybrid.load"):
        ESLER.load(folder)


@pytest.mark.parametrize("key", ["class", "params", "arrays", "array_folder"])
def test_a_configuration_without_a_part_is_refused(folder: Path, key: str) -> None:
    edit(folder, lambda config: config.pop(key))
    for load in (pyhybrid.load, ESLER.load):
        with pytest.raises(ValueError, match=r"^load: "):
            load(folder)


def test_a_parameter_that_the_class_does_not_have_is_refused(folder: Path) -> None:
    edit(folder, lambda config: config["params"].update(novelty=1.0))
    with pytest.raises(ValueError, match="novelty"):
        pyhybrid.load(folder)


@pytest.mark.parametrize(
    "name", ["weights", "gram", "item_counts", "item_ids.utf8", "item_ids.ends", "user_ids.utf8"]
)
@pytest.mark.parametrize("damage", ["missing", "truncated", "empty", "header"])
def test_a_damaged_array_is_named(folder: Path, name: str, damage: str) -> None:
    path = array(folder, name)
    content = path.read_bytes()
    if damage == "missing":
        path.unlink()
    else:
        kept = {"truncated": content[:-5], "empty": b"", "header": content[:20]}
        path.write_bytes(kept[damage])
    plain = name.split(".")[0]
    with pytest.raises(ValueError, match=f"^load: array '{plain}' in .* is damaged"):
        pyhybrid.load(folder)


@pytest.mark.parametrize("name", ["weights", "item_counts", "item_ids.ends"])
def test_an_array_of_another_shape_is_refused(folder: Path, name: str) -> None:
    path = array(folder, name)
    np.save(path, np.load(path)[:-1])
    with pytest.raises(ValueError, match=r"^load: .*array"):
        pyhybrid.load(folder)


def test_an_array_of_another_dtype_is_refused(folder: Path) -> None:
    path = array(folder, "weights")
    np.save(path, np.load(path).astype(np.float64))
    with pytest.raises(ValueError, match=r"^load: .*'weights'"):
        pyhybrid.load(folder)


def test_strings_that_lost_their_end_are_refused(folder: Path) -> None:
    path = array(folder, "item_ids.utf8")
    np.save(path, np.load(path)[:-3])
    with pytest.raises(ValueError, match=r"^load: .*'item_ids'"):
        pyhybrid.load(folder)


@pytest.mark.parametrize("name", ["weights", "item_ids", "item_counts"])
def test_an_array_that_the_configuration_does_not_list_is_missed(folder: Path, name: str) -> None:
    edit(folder, lambda config: config["arrays"].pop(name))
    with pytest.raises(ValueError, match=f"^load: .*{name}"):
        pyhybrid.load(folder)


def test_missing_array_folder(folder: Path) -> None:
    (arrays,) = (path for path in folder.iterdir() if path.is_dir())
    shutil.rmtree(arrays)
    with pytest.raises(ValueError, match=r"^load: array .* is damaged"):
        pyhybrid.load(folder)


def test_an_unreadable_folder_is_not_taken_for_another_thing(folder: Path) -> None:
    if os.geteuid() == 0:
        pytest.skip("root reads everything")
    (folder / "config.json").chmod(0)
    with pytest.raises((PermissionError, ValueError), match=r"config\.json|not a model"):
        pyhybrid.load(folder)


def test_a_loaded_model_ranks_bare_histories(folder: Path, model: ESLER) -> None:
    loaded = models.load(folder)
    x = csr_array(np.eye(2, len(model.item_ids), dtype=np.float32))
    np.testing.assert_array_equal(loaded.recommend(x, 3).items, model.recommend(x, 3).items)
