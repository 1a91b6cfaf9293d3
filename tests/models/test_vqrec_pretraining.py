"""VQRec trained on other domains first: what a new domain takes over, aligns and freezes."""

import json
import shutil

import numpy as np
import pytest

from pyhybrid import Catalog, Interactions, VQRec, memory
from pyhybrid.text import NoiseEncoder
from pyhybrid.training.checkpoints import Checkpoint

torch = pytest.importorskip("torch", reason="needs torch")

WORDS = [
    "apple", "pear", "plum", "wine", "bread", "cheese", "salt", "oil",
    "rice", "tea", "milk", "honey",
]  # fmt: skip
SMALL = {
    "text": "tfidf",
    "parts": 2,
    "bits": 3,
    "dim": 16,
    "layers": 1,
    "inner": 16,
    "dropout": 0.1,
    "lr": 0.02,
    "epochs": 3,
    "alignment_epochs": 2,
    "device": "cpu",
}


def circle(first=0, users=24):
    """Each user takes six of twelve items, which follow each other on a circle."""
    rows = np.repeat(np.arange(users), 6)
    items = (np.arange(users)[:, None] + np.arange(6)).ravel() % 12 + first
    return Interactions.from_columns(rows, items, ordered=True)


def texts(first=0, words=WORDS):
    return Catalog.from_columns(np.arange(12) + first, title=words)


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """A folder with a model that learned the circle by the contrastive task."""
    folder = tmp_path_factory.mktemp("source") / "model"
    VQRec(**{**SMALL, "loss": "contrastive", "epochs": 60}).fit(circle(), texts()).save(folder)
    return folder


def encoder_of(model):
    return {name: tensor.clone() for name, tensor in model._encoder.state_dict().items()}


def equal(one, other):
    return all(torch.equal(one[name], other[name]) for name in one)


def test_the_contrastive_task_teaches_what_follows_what(source):
    model = VQRec.load(source, device="cpu")
    hits = 0
    for first in range(12):
        history = Interactions.from_columns(["u"] * 3, [(first + k) % 12 for k in range(3)],
                                            ordered=True)  # fmt: skip
        best = model.item_ids[model.recommend(history, n=1).items[0, 0]]
        wanted, found = model.item_positions([(first + 3) % 12, best])
        hits += (model.item_codes[wanted] == model.item_codes[found]).all()
    assert hits >= 9


def test_rho_and_the_task_change_what_is_learned():
    def table(**params):
        return VQRec(**{**SMALL, "epochs": 1, **params}).fit(circle(), texts()).table

    contrastive = table(loss="contrastive")
    assert np.array_equal(contrastive, table(loss="contrastive"))
    assert not np.array_equal(contrastive, table(loss="contrastive", rho=0.1))
    assert not np.array_equal(contrastive, table(loss="softmax"))


def test_the_new_domain_starts_from_the_pretrained_rows_and_encoder(source):
    """With a learning rate of nearly nothing and no alignment they are what the fit ends with."""
    pretrained = VQRec.load(source, device="cpu")
    still = {**SMALL, "pretrained": source, "alignment": "none", "epochs": 1, "lr": 1e-12}
    model = VQRec(**still).fit(circle(100), texts(100))
    np.testing.assert_allclose(model.table, pretrained.table, atol=1e-6)
    for name, tensor in encoder_of(model).items():
        torch.testing.assert_close(tensor, encoder_of(pretrained)[name], rtol=0, atol=1e-6)


@pytest.mark.parametrize("alignment", ["sinkhorn", "straight-through"])
def test_alignment_permutes_the_rows_of_each_part(source, alignment):
    pretrained = VQRec.load(source, device="cpu")
    still = {**SMALL, "pretrained": source, "alignment": alignment, "epochs": 1, "lr": 1e-12}
    model = VQRec(**still).fit(circle(100), texts(100))
    for before, after in zip(pretrained.table, model.table, strict=True):
        distances = np.abs(before[:, None] - after).max(axis=2)
        nearest = distances.argmin(axis=0)
        assert (distances[nearest, np.arange(8)] < 1e-6).all()
        assert sorted(nearest) == list(range(8))


@pytest.mark.parametrize("alignment", ["sinkhorn", "straight-through", "none"])
def test_a_frozen_encoder_stays_bit_by_bit_while_the_table_learns(source, alignment):
    pretrained = VQRec.load(source, device="cpu")
    params = {**SMALL, "pretrained": source, "alignment": alignment}
    frozen = VQRec(**params, freeze_encoder=True).fit(circle(100), texts(100))
    assert equal(encoder_of(frozen), encoder_of(pretrained))
    trained = VQRec(**params).fit(circle(100), texts(100))
    changed = [
        not torch.equal(tensor, encoder_of(pretrained)[name])
        for name, tensor in encoder_of(trained).items()
    ]
    assert all(changed)
    for model in (frozen, trained):
        assert not np.isin(model.table.ravel(), pretrained.table.ravel()).any()


def test_alignment_trains_nothing_else(source, monkeypatch):
    """Seen at its end, before the second phase begins."""
    from pyhybrid.models.vqrec_network import VQRecNetwork

    pretrained = VQRec.load(source, device="cpu")
    seen, made = [], []
    settle, prepare = VQRecNetwork.settle, VQRec._prepare

    def looked_at(network):
        seen.append({name: tensor.clone() for name, tensor in network.state_dict().items()})
        settle(network)

    def begun(model, network, *rest):
        made.append(network.alignment.scores.detach().clone())
        return prepare(model, network, *rest)

    monkeypatch.setattr(VQRecNetwork, "settle", looked_at)
    monkeypatch.setattr(VQRec, "_prepare", begun)
    model = VQRec(**{**SMALL, "pretrained": source}).fit(circle(100), texts(100))
    (state,) = seen
    assert (state["alignment.scores"] - made[0]).abs().amax((1, 2)).min() > 1e-3
    assert len(model.alignment_run) == 2
    assert len(model.epochs_run) == 3
    assert torch.equal(state["embedding.table"], torch.tensor(pretrained.table))
    for name, tensor in encoder_of(pretrained).items():
        assert torch.equal(state[f"encoder.{name}"], tensor)


def test_from_scratch_the_encoder_is_trained_unless_it_is_to_be_frozen():
    def fitted(**params):
        return VQRec(**{**SMALL, **params}).fit(circle(), texts())

    one, other = fitted(epochs=1), fitted(epochs=2)
    assert not equal(encoder_of(one), encoder_of(other))
    frozen = fitted(epochs=1, freeze_encoder=True), fitted(epochs=2, freeze_encoder=True)
    assert equal(*map(encoder_of, frozen))
    assert not np.array_equal(frozen[0].table, frozen[1].table)


def test_the_quantiser_is_of_the_new_domain_alone(source):
    words = [f"{word} juice" for word in reversed(WORDS)]
    params = {**SMALL, "pretrained": source, "epochs": 1}
    transferred = VQRec(**params).fit(circle(100), texts(100, words))
    alone = VQRec(**{**SMALL, "epochs": 1}).fit(circle(100), texts(100, words))
    np.testing.assert_array_equal(transferred.item_codes, alone.item_codes)
    np.testing.assert_array_equal(transferred.quantizer.centroids, alone.quantizer.centroids)


@pytest.mark.parametrize("kill_at", [0.2, 0.7], ids=["while aligning", "while training"])
@pytest.mark.parametrize("freeze_encoder", [False, True])
def test_a_killed_transfer_goes_on_to_the_same_model(source, tmp_path, kill_at, freeze_encoder):
    params = {**SMALL, "pretrained": source, "freeze_encoder": freeze_encoder}
    whole = VQRec(**params).fit(circle(100), texts(100))

    def kill(share):
        if share > kill_at:
            raise KeyboardInterrupt

    run = tmp_path / "run"
    with pytest.raises(KeyboardInterrupt):
        VQRec(**params).fit(circle(100), texts(100), checkpoint=run, progress=kill)
    resumed = VQRec(**params).fit(circle(100), texts(100), checkpoint=run)
    np.testing.assert_array_equal(resumed.table, whole.table)
    np.testing.assert_array_equal(resumed.score(circle(100)), whole.score(circle(100)))


def test_progress_rises_through_both_phases_to_the_end(source):
    shares = []
    VQRec(**{**SMALL, "pretrained": source}).fit(circle(100), texts(100), progress=shares.append)
    assert shares == sorted(shares)
    assert len({round(share, 6) for share in shares}) == 5  # 2 + 3 epochs of one step
    assert shares[-1] == pytest.approx(1)


def test_a_checkpoint_of_a_fit_from_another_source_is_refused(source, tmp_path):
    params = {**SMALL, "pretrained": source}
    VQRec(**params).fit(circle(100), texts(100), checkpoint=tmp_path / "run")
    VQRec(**{**SMALL, "loss": "contrastive"}).fit(circle(), texts()).save(tmp_path / "other")
    params["pretrained"] = tmp_path / "other"
    with pytest.raises(ValueError, match="the pre-trained model's fingerprint of the checkpoint"):
        VQRec(**params).fit(circle(100), texts(100), checkpoint=tmp_path / "run")


def test_a_checkpoint_does_not_care_where_its_source_lies(source, tmp_path):
    VQRec(**{**SMALL, "pretrained": source}).fit(
        circle(100), texts(100), checkpoint=tmp_path / "run"
    )
    VQRec.load(source, device="cpu").save(tmp_path / "moved")
    model = VQRec(**{**SMALL, "pretrained": tmp_path / "moved"})
    model.fit(circle(100), texts(100), checkpoint=tmp_path / "run")
    assert len(model.epochs_run) == 3


def test_a_fitted_model_needs_its_source_no_more(source, tmp_path):
    gone = tmp_path / "gone"
    VQRec.load(source, device="cpu").save(gone)
    model = VQRec(**{**SMALL, "pretrained": gone}).fit(circle(100), texts(100))
    model.save(tmp_path / "model")
    shutil.rmtree(gone)
    config = json.loads((tmp_path / "model" / "config.json").read_text())
    assert config["params"]["pretrained"] == str(gone)
    loaded = VQRec.load(tmp_path / "model", device="cpu")
    np.testing.assert_array_equal(loaded.score(circle(100)), model.score(circle(100)))


@pytest.mark.parametrize(
    ("name", "value"),
    [("parts", 4), ("bits", 2), ("dim", 8), ("layers", 2), ("heads", 1), ("inner", 8),
     ("max_length", 20)],
)  # fmt: skip
def test_a_source_of_another_shape_is_refused(source, name, value):
    params = {**SMALL, "pretrained": source, name: value}
    theirs = getattr(VQRec.load(source, device="cpu"), name)
    expected = (
        rf"^VQRec: {name} of the pre-trained model in .* is {theirs}; expected {value}, "
        rf"as here; pass {name}={theirs}"
    )
    with pytest.raises(ValueError, match=expected):
        VQRec(**params).fit(circle(100), texts(100))


def test_a_source_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match="nowhere"):
        VQRec(**{**SMALL, "pretrained": tmp_path / "nowhere"}).fit(circle(), texts())


@pytest.mark.parametrize(
    ("params", "error", "message"),
    [
        ({"loss": "bce"}, ValueError, "loss is 'bce'; expected 'softmax' or 'contrastive'"),
        ({"rho": 1.5}, ValueError, "rho is 1.5; expected a number from 0 to 1"),
        ({"rho": None}, TypeError, "rho is None; expected a number from 0 to 1"),
        ({"pretrained": 3}, TypeError, "pretrained is 3; expected a folder, or None"),
        ({"alignment": None}, ValueError, "alignment is None; expected 'sinkhorn' or 'straight"),
        ({"alignment_epochs": 0}, ValueError, "alignment_epochs is 0; expected"),
        ({"alignment_lr": 0}, ValueError, "alignment_lr is 0; expected a positive number"),
        ({"freeze_encoder": 1}, TypeError, "freeze_encoder is 1; expected"),
    ],
)
def test_bad_hyper_parameters_are_refused(params, error, message):
    with pytest.raises(error, match=f"^VQRec: {message}"):
        VQRec(**params)


def test_a_contrastive_batch_that_will_not_fit_is_refused(monkeypatch):
    seen, catalog = circle(), texts()
    monkeypatch.setattr(memory, "available_bytes", lambda: 1000)
    with pytest.raises(MemoryError, match=r"^VQRec: a batch's 120 positions x 120 items need"):
        VQRec(**{**SMALL, "loss": "contrastive"}).fit(seen, catalog)


def test_random_codes_are_those_of_noise():
    """The control: with "noise", a text's code says nothing but which text it is."""
    words = [*WORDS[:10], "red apple", "apple"]  # the last is the first
    params = {**SMALL, "text": "noise", "bits": 2, "epochs": 1}
    model = VQRec(**params).fit(circle(), texts(words=words))
    vectors = NoiseEncoder(16).encode(words)
    np.testing.assert_array_equal(model.item_codes, model.quantizer.encode(vectors))
    first, last = model.item_positions([0, 11])
    np.testing.assert_array_equal(model.item_codes[first], model.item_codes[last])
    other = VQRec(**{**params, "seed": 1}).fit(circle(), texts(words=words))
    vectors = NoiseEncoder(16, seed=1).encode(words)
    np.testing.assert_array_equal(other.item_codes, other.quantizer.encode(vectors))


def test_a_wrong_checkpoint_is_refused_before_anything_is_aligned(source, tmp_path, monkeypatch):
    params = {**SMALL, "pretrained": source}
    VQRec(**params, alignment="none").fit(circle(100), texts(100), checkpoint=tmp_path / "run")
    monkeypatch.setattr(VQRec, "_prepare", lambda *_: pytest.fail("began to align"))
    with pytest.raises(
        ValueError, match=r"^VQRec: alignment of the checkpoint in .*/run is 'none'"
    ):
        VQRec(**params).fit(circle(100), texts(100), checkpoint=tmp_path / "run")


def test_a_fit_killed_within_an_epoch_of_alignment_goes_on(source, tmp_path, monkeypatch):
    monkeypatch.setattr(Checkpoint, "is_due", lambda _: True)  # after each step
    params = {**SMALL, "pretrained": source, "batch_size": 8}  # three steps an epoch
    whole = VQRec(**params).fit(circle(100), texts(100))
    steps = []

    def kill(share):
        steps.append(share)
        if len(steps) == 6:  # the fifth step of six has been kept
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        VQRec(**params).fit(circle(100), texts(100), checkpoint=tmp_path / "run", progress=kill)
    assert (tmp_path / "run" / "alignment" / "checkpoint.npz").exists()
    assert not (tmp_path / "run" / "checkpoint.npz").exists()
    resumed = VQRec(**params).fit(circle(100), texts(100), checkpoint=tmp_path / "run")
    np.testing.assert_array_equal(resumed.table, whole.table)
