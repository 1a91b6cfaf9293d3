"""CoLLM on a GPU: it scores and learns as on a CPU."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from tiny_collm import CATALOG, KINDS, PARTS, SMALL

from pyhybrid import CoLLM

if TYPE_CHECKING:
    from pathlib import Path

    from pyhybrid.data import Feedback

torch = pytest.importorskip("torch", reason="needs torch")
collm_scoring = pytest.importorskip("pyhybrid.models.collm_scoring")
pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")

BY_ESLER = SMALL | {"collaborative": "ESLERFactors", "collaborative_params": PARTS["ESLERFactors"]}


def losses(model: CoLLM) -> dict[str, list[float]]:
    return {stage: [epoch.loss for epoch in ran] for stage, ran in model.stages_run.items()}


@pytest.mark.parametrize("kind", KINDS)
def test_a_save_scores_on_a_gpu_as_on_a_cpu(
    kind: str, fitted: dict[str, CoLLM], test: Feedback, tmp_path: Path
) -> None:
    model, histories = fitted[kind], test.histories()
    model.save(tmp_path / "model")
    moved = CoLLM.load(tmp_path / "model", device="cuda")
    assert next(moved._ready().parameters()).device.type == "cuda"
    np.testing.assert_allclose(moved.score_rows(test), model.score_rows(test), atol=1e-3)
    np.testing.assert_allclose(moved.score(histories), model.score(histories), atol=1e-3)


def test_users_read_together_score_as_whole_prompts(
    folders: dict[str, Path], train: Feedback
) -> None:
    params = BY_ESLER | {"device": "cuda"}
    model = CoLLM(llm=folders["Llama"], **params).fit(train, CATALOG)
    histories = train.likes
    found = model.score(histories)
    rows, items = np.nonzero(np.isfinite(found))
    asked = [model._titles.liked(histories)[row] for row in rows]
    users = model._part._stranger_vectors(histories)[rows]
    vectors = np.stack([users, model._part._item_table()[items]], axis=1)
    whole = collm_scoring.score_prompts(model._ready(), asked, model._titles.of(items), vectors)
    assert whole.std() > 0.01
    np.testing.assert_allclose(found[rows, items], whole, atol=1e-3)


def test_it_learns_what_a_cpu_learns(
    folders: dict[str, Path], train: Feedback, test: Feedback
) -> None:
    params = BY_ESLER | {"precision": "float32", "lora_dropout": 0.0, "text_epochs": 2}
    on_cpu, on_gpu = (
        CoLLM(llm=folders["Llama"], **(params | {"device": device})).fit(train, CATALOG)
        for device in ("cpu", "cuda")
    )
    for stage, expected in losses(on_cpu).items():
        assert losses(on_gpu)[stage] == pytest.approx(expected, rel=1e-3)
    np.testing.assert_allclose(on_gpu.score_rows(test), on_cpu.score_rows(test), atol=0.05)


@pytest.mark.parametrize("stages", ["mapper", "joint"])
@pytest.mark.parametrize("kind", KINDS)
def test_mixed_precision_learns_too(
    kind: str, stages: str, folders: dict[str, Path], train: Feedback
) -> None:
    params = BY_ESLER | {"device": "cuda", "text_epochs": 6, "mapper_epochs": 6, "stages": stages}
    model = CoLLM(llm=folders[kind], **params).fit(train, CATALOG)
    for ran in losses(model).values():
        assert np.isfinite(ran).all()
        assert ran[-1] < ran[0]


def test_layers_computed_again_learn_the_same(folders: dict[str, Path], train: Feedback) -> None:
    params = BY_ESLER | {"device": "cuda", "precision": "float32", "lora_dropout": 0.0}
    kept, again = (
        CoLLM(llm=folders["Llama"], checkpointing=checkpointing, **params).fit(train, CATALOG)
        for checkpointing in (False, True)
    )
    for stage, expected in losses(kept).items():
        assert losses(again)[stage] == pytest.approx(expected, rel=1e-3)


def test_a_killed_fit_goes_on(folders: dict[str, Path], train: Feedback, tmp_path: Path) -> None:
    def kill(share: float) -> None:
        if share > 0.7:
            raise KeyboardInterrupt

    params = BY_ESLER | {"device": "cuda", "precision": "float32"}
    with pytest.raises(KeyboardInterrupt):
        CoLLM(llm=folders["BERT"], **params).fit(
            train, CATALOG, checkpoint=tmp_path / "run", progress=kill
        )
    resumed, whole = (
        CoLLM(llm=folders["BERT"], **params).fit(train, CATALOG, checkpoint=checkpoint)
        for checkpoint in (tmp_path / "run", None)
    )
    for stage, expected in losses(whole).items():
        assert losses(resumed)[stage] == pytest.approx(expected, rel=1e-2)
