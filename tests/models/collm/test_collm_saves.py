"""CoLLM saved, loaded, and learned on a saved one."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from tiny_collm import CATALOG, KINDS, PART, PARTS, SMALL

from pyhybrid import MF, CoLLM, load

if TYPE_CHECKING:
    from pathlib import Path

    from pyhybrid.data import Feedback

torch = pytest.importorskip("torch", reason="needs torch")
safetensors = pytest.importorskip("safetensors.numpy", reason="needs safetensors")

pytestmark = pytest.mark.usefixtures("one_thread")


_SCORE = """
import json, sys
import numpy as np
import pyhybrid
from pyhybrid.data import Feedback
columns = json.loads(sys.argv[1])
train = Feedback.from_columns(*columns["train"])
rows = Feedback.from_columns(*columns["test"], earlier=train)
histories = rows.histories([3, 4])
for folder in sys.argv[2:]:
    model = pyhybrid.load(folder)
    np.save(f"{folder}-rows.npy", model.score_rows(rows))
    np.save(f"{folder}-items.npy", model.recommend(histories, 5).items)
"""


def columns_of(rows: Feedback) -> list[list[Any]]:
    ids = rows.user_ids[rows.users].tolist(), rows.item_ids[rows.items].tolist()
    return [*ids, rows.labels.tolist()]


def test_a_saved_model_scores_the_same_in_another_process(
    fitted: dict[str, CoLLM],
    fitted_on_texts: dict[str, CoLLM],
    train: Feedback,
    test: Feedback,
    tmp_path: Path,
) -> None:
    models = {**fitted, **{f"{kind}-text": model for kind, model in fitted_on_texts.items()}}
    for name, model in models.items():
        model.save(tmp_path / name)
    given = json.dumps({"train": columns_of(train), "test": columns_of(test)})
    subprocess.run(
        [sys.executable, "-W", "error", "-c", _SCORE, given, *(str(tmp_path / n) for n in models)],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        check=True,
    )
    for name, model in models.items():
        scores = np.load(tmp_path / f"{name}-rows.npy")
        np.testing.assert_allclose(scores, model.score_rows(test), rtol=1e-5, atol=1e-6)
        items = model.recommend(test.histories([3, 4]), 5).items
        np.testing.assert_array_equal(np.load(tmp_path / f"{name}-items.npy"), items)
        loaded = load(tmp_path / name)
        assert loaded.fingerprint() == model.fingerprint()
        assert not any(w.requires_grad for w in loaded._language.parameters())


@pytest.mark.parametrize("kind", KINDS)
def test_a_save_is_not_loaded_in_part(kind: str, fitted: dict[str, CoLLM], tmp_path: Path) -> None:
    fitted[kind].save(tmp_path / "model")
    path = tmp_path / "model/config.json"
    whole = path.read_text()
    config = json.loads(whole)
    names = list(config["arrays"])
    for part in ("lora.", "mapper.", "collaborative.", "candidates."):
        assert [name for name in names if name.startswith(part)]
    assert ("lora.head.weight" in names) == (kind == "BERT")
    for name in names:
        left = {other: config["arrays"][other] for other in names if other != name}
        path.write_text(json.dumps({**config, "arrays": left}))
        message = f"array '{name.removeprefix('lora.')}'.* is missing|array '{name}'.* is missing"
        with pytest.raises(ValueError, match=message):
            load(tmp_path / "model")
    path.write_text(whole)
    arrays = tmp_path / "model" / config["array_folder"]
    for file in sorted(arrays.iterdir()):
        file.rename(tmp_path / "away")
        with pytest.raises(ValueError, match=r"^load: array '.*' in .* is damaged"):
            load(tmp_path / "model")
        (tmp_path / "away").rename(file)
    load(tmp_path / "model")


def test_a_save_of_another_lora_is_refused(fitted: dict[str, CoLLM], tmp_path: Path) -> None:
    fitted["Llama"].save(tmp_path / "model")
    path = tmp_path / "model/config.json"
    config = json.loads(path.read_text())
    for name, value in (("lora_rank", 4), ("tokens", 2), ("mapper_width", 3)):
        path.write_text(json.dumps({**config, "params": {**config["params"], name: value}}))
        with pytest.raises((ValueError, RuntimeError)):
            load(tmp_path / "model")


@pytest.mark.skipif(torch.cuda.is_available(), reason="of a machine without a GPU")
def test_a_save_from_a_gpu_is_loaded_without_one(
    folders: dict[str, Path], train: Feedback, test: Feedback, tmp_path: Path
) -> None:
    params = SMALL | {"collaborative": "SASRec", "collaborative_params": PARTS["SASRec"]}
    model = CoLLM(llm=folders["BERT"], **params).fit(train, CATALOG)
    model.save(tmp_path / "model")
    path = tmp_path / "model/config.json"
    config = json.loads(path.read_text())
    config["params"]["device"] = config["params"]["collaborative_params"]["device"] = "cuda"
    path.write_text(json.dumps(config))
    for device in (None, "cpu"):
        loaded = CoLLM.load(tmp_path / "model", device=device)
        assert loaded.device == device
        np.testing.assert_array_equal(loaded.score_rows(test), model.score_rows(test))


@pytest.mark.parametrize("kind", KINDS)
def test_a_save_knows_its_language_model_wherever_that_is(
    kind: str, folders: dict[str, Path], train: Feedback, test: Feedback, tmp_path: Path
) -> None:
    there, moved = (shutil.copytree(folders[kind], tmp_path / name) for name in ("there", "moved"))
    model = CoLLM(llm=there, **SMALL).fit(train, CATALOG)
    model.save(tmp_path / "model")
    scores = model.score_rows(test)
    weights = safetensors.load_file(there / "model.safetensors")
    name = next(name for name in weights if name.lower().endswith("norm.weight"))
    weights[name][0] += 0.5  # one number
    safetensors.save_file(weights, there / "model.safetensors", metadata={"format": "pt"})
    message = r"CoLLM: the fingerprint of the weights of .*there is .*; expected .*, those of"
    with pytest.raises(ValueError, match=message):
        load(tmp_path / "model")
    with pytest.raises(ValueError, match=message):
        CoLLM(llm=there, pretrained=tmp_path / "model", **SMALL).fit(train, CATALOG)
    loaded = CoLLM.load(tmp_path / "model", llm=moved)
    np.testing.assert_array_equal(loaded.score_rows(test), scores)
    over = CoLLM(llm=moved, pretrained=tmp_path / "model", **SMALL).fit(train, CATALOG)
    np.testing.assert_array_equal(over.score_rows(test), scores)
    shutil.rmtree(there)
    with pytest.raises(FileNotFoundError, match="there"):
        load(tmp_path / "model")


def test_mappers_stand_on_a_saved_models_lora(
    folders: dict[str, Path],
    fitted: dict[str, CoLLM],
    fitted_on_texts: dict[str, CoLLM],
    train: Feedback,
    test: Feedback,
    tmp_path: Path,
) -> None:
    for kind in KINDS:
        fitted_on_texts[kind].save(tmp_path / kind)
        model = CoLLM(llm=folders[kind], pretrained=tmp_path / kind, **SMALL).fit(train, CATALOG)
        assert list(model.stages_run) == ["mapper"]
        np.testing.assert_array_equal(model.score_rows(test), fitted[kind].score_rows(test))
        model.save(tmp_path / f"over-{kind}")
    (tmp_path / "Llama").rename(tmp_path / "moved")  # a save needs no other one
    loaded = load(tmp_path / "over-Llama")
    np.testing.assert_array_equal(loaded.score_rows(test), fitted["Llama"].score_rows(test))
    over = tmp_path / "moved"
    for message, params in {
        "CoLLM: lora_rank of the model in .*moved is 8; expected 4, as here": {"lora_rank": 4},
        "CoLLM: the fingerprint of the weights of .*BERT is .*; expected .*, those of .*moved": {
            "llm": folders["BERT"]
        },
        "CoLLM: pretrained is .*moved; expected None with stages='text'": {"stages": "text"},
    }.items():
        given = SMALL | {"llm": folders["Llama"], "pretrained": over} | params
        with pytest.raises(ValueError, match=message):
            CoLLM(**given).fit(train, CATALOG)
    MF(**PART).fit(train).save(tmp_path / "mf")
    with pytest.raises(ValueError, match=r"the model in .*mf is MF; expected CoLLM"):
        CoLLM(llm=folders["BERT"], pretrained=tmp_path / "mf", **SMALL).fit(train, CATALOG)
    with pytest.raises(FileNotFoundError):
        CoLLM(llm=folders["BERT"], pretrained=tmp_path / "no", **SMALL).fit(train, CATALOG)
