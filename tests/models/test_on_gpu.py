"""The torch models on a GPU: they learn as on a CPU, and go from one to the other."""

import numpy as np
import pytest

from pyhybrid import (
    MF,
    Catalog,
    Interactions,
    LightGCN,
    LLMRec,
    MultDAE,
    MultVAE,
    SASRec,
    VQRec,
    load,
)

torch = pytest.importorskip("torch", reason="needs torch")
pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")

SASREC = {"dim": 16, "layers": 1, "dropout": 0.0, "lr": 0.005, "epochs": 5}
MULTDAE = {"latent_dim": 8, "lr": 0.005, "batch_size": 8, "epochs": 5}
MULTVAE = {**MULTDAE, "hidden_dim": 16, "anneal_steps": 10}
VQREC = {**SASREC, "text": "tfidf", "parts": 2, "bits": 3, "inner": 16}
LLMREC = {"text": "tfidf", "augmentations": ["title"], "dim": 16, "user_dim": 16, "epochs": 5}
MF_ROWS = {"dim": 8, "lr": 0.02, "batch_size": 50, "epochs": 5}
MODELS = {
    "MF": lambda **params: MF(**{**MF_ROWS, **params}),
    "LightGCN": lambda **params: LightGCN(**{**MF_ROWS, **params}),
    "MultDAE": lambda **params: MultDAE(**{**MULTDAE, **params}),
    "MultVAE": lambda **params: MultVAE(**{**MULTVAE, **params}),
    "MultVAE without hidden layers": lambda **params: MultVAE(
        **{**MULTVAE, "hidden_dim": 0, **params}
    ),
    "MultVAE, logistic": lambda **params: MultVAE(
        **{**MULTVAE, "likelihood": "logistic", **params}
    ),
    "MultVAE, gaussian": lambda **params: MultVAE(
        **{**MULTVAE, "likelihood": "gaussian", **params}
    ),
    "LLMRec": lambda **params: LLMRec(**{**LLMREC, **params}),
    "SASRec": lambda **params: SASRec(**{**SASREC, **params}),
    "SASRec, binary cross-entropy": lambda **params: SASRec(**{**SASREC, "loss": "bce", **params}),
    "VQRec": lambda **params: VQRec(**{**VQREC, **params}),
    "VQRec, contrastive": lambda **params: VQRec(**{**VQREC, "loss": "contrastive", **params}),
}
DRAWN_ON_DEVICE = ("VQRec, contrastive",)  # chance is another on another device
each_model = pytest.mark.parametrize("name", MODELS)


def circle(users=48):
    rows = np.repeat(np.arange(users), 6)
    items = (np.arange(users)[:, None] + np.arange(6)).ravel() % 12
    return Interactions.from_columns(rows, items, ordered=True)


def texts():
    return Catalog.from_columns(range(13), title=[f"word{n} word{n // 2}" for n in range(13)])


def fitted(name, **params):
    return MODELS[name](**params).fit(circle(), texts())


@each_model
def test_it_learns_what_a_cpu_learns(name):
    on_gpu = fitted(name, device="cuda", precision="float32")
    on_cpu = fitted(name, device="cpu")
    if name in DRAWN_ON_DEVICE:
        losses = [epoch.loss for epoch in on_gpu.epochs_run]
        assert losses[-1] < losses[0]
        return
    for one, other in zip(on_gpu.epochs_run, on_cpu.epochs_run, strict=True):
        assert one.loss == pytest.approx(other.loss, rel=1e-3)
    np.testing.assert_allclose(on_gpu.score(circle()), on_cpu.score(circle()), atol=1e-2)


@each_model
def test_mixed_precision_learns_too(name):
    losses = [epoch.loss for epoch in fitted(name, device="cuda").epochs_run]
    assert np.isfinite(losses).all()
    assert losses[-1] < losses[0]


@each_model
def test_a_saved_model_scores_alike_on_a_cpu(name, tmp_path):
    model = fitted(name, device="cuda")
    model.save(tmp_path / "model")
    loaded = load(tmp_path / "model")
    loaded.device = "cpu"
    np.testing.assert_allclose(loaded.score(circle()), model.score(circle()), atol=1e-4)


@each_model
def test_a_killed_fit_goes_on(name, tmp_path):
    def kill(share):
        if share > 0.5:
            raise KeyboardInterrupt

    model = MODELS[name](device="cuda")
    with pytest.raises(KeyboardInterrupt):
        model.fit(circle(), texts(), checkpoint=tmp_path / "run", progress=kill)
    resumed = MODELS[name](device="cuda").fit(circle(), texts(), checkpoint=tmp_path / "run")
    whole = fitted(name, device="cuda")
    for one, other in zip(resumed.epochs_run, whole.epochs_run, strict=True):
        assert one.loss == pytest.approx(other.loss, rel=1e-2)


@pytest.mark.parametrize("alignment", ["sinkhorn", "straight-through", "none"])
def test_a_transfer_runs(alignment, tmp_path):
    fitted("VQRec, contrastive", device="cuda").save(tmp_path / "source")
    model = fitted(
        "VQRec",
        device="cuda",
        pretrained=tmp_path / "source",
        alignment=alignment,
        freeze_encoder=True,
    )
    before = load(tmp_path / "source")._encoder.state_dict()
    for key, tensor in model._encoder.state_dict().items():
        assert torch.equal(tensor.cpu(), before[key].cpu())
    assert np.isfinite(model.table).all()
