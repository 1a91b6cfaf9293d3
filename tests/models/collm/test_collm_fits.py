"""How CoLLM is fitted: over which models, by which rows, stopped, taken up again, refused."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from tiny_collm import CATALOG, ITEMS, KINDS, NOISE, PART, PARTS, SMALL, TOLD, auc

import pyhybrid
from pyhybrid import MF, Catalog, CoLLM, Interactions, evaluate, load
from pyhybrid.data import Feedback, splits
from pyhybrid.training.checkpoints import Checkpoint

if TYPE_CHECKING:
    from pathlib import Path

torch = pytest.importorskip("torch", reason="needs torch")

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.mark.parametrize("name", PARTS)
def test_collaborative_models_serve(
    name: str,
    folders: dict[str, Path],
    train: Feedback,
    test: Feedback,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    kind = KINDS[list(PARTS).index(name) % 2]
    params = SMALL | {"collaborative": name, "collaborative_params": PARTS[name]}
    catalog = Catalog.from_columns(
        np.arange(ITEMS + 1), title=[f"Film {n}" for n in range(ITEMS + 1)]
    )
    model = CoLLM(llm=folders[kind], **params).fit(train, catalog)
    scores = model.score_rows(test)
    with monkeypatch.context() as without:
        without.setattr(model, "_vectors", lambda rows: 0 * CoLLM._vectors(model, rows))
        assert np.abs(model.score_rows(test) - scores).max() > 1e-3
    new = Feedback.from_columns([999, 999, 1], [3, ITEMS, ITEMS], [True] * 3)  # a new item
    assert np.isfinite(model.score_rows(new)).all()
    ranking = model.recommend(test.histories(), 3)
    assert np.isfinite(ranking.scores[~ranking.fallback]).all()
    model.save(tmp_path / "model")
    loaded = load(tmp_path / "model")
    np.testing.assert_array_equal(loaded.score_rows(test), scores)
    np.testing.assert_array_equal(loaded.recommend(test.histories(), 3).scores, ranking.scores)
    np.testing.assert_array_equal(model._part.score_rows(test), loaded._part.score_rows(test))


def test_parts_have_the_seed_of_the_whole_or_their_own(
    folders: dict[str, Path], train: Feedback
) -> None:
    random = {name: value for name, value in NOISE.items() if name != "device"}
    settings = SMALL | {"collaborative_params": random, "candidates": "MF"}
    settings |= {"candidate_params": random | {"seed": 7}}
    model = CoLLM(llm=folders["BERT"], **settings, seed=3).fit(train, CATALOG)
    for part, seed in ((model._part, 3), (model._first, 7)):
        assert (part.seed, part.device) == (seed, "cpu")
        alone = MF(**NOISE, seed=seed).fit(train if part is model._part else train.likes)
        np.testing.assert_array_equal(part.item_vectors, alone.item_vectors)


def test_weights_and_products_can_be_in_bfloat16(
    folders: dict[str, Path], fitted: dict[str, CoLLM], train: Feedback, test: Feedback
) -> None:
    for kind in KINDS:
        rough = CoLLM(llm=folders[kind], precision="bfloat16", dtype="bfloat16", **SMALL)
        rough.fit(train, CATALOG)
        for stage, epochs in rough.stages_run.items():
            exact = fitted[kind].stages_run[stage][0].loss
            assert epochs[0].loss == pytest.approx(exact, rel=0.1)
            assert epochs[0].loss != exact
        scores = rough.score_rows(test)
        assert scores.dtype == np.float32
        assert np.isfinite(scores).all()
        assert {w.dtype for w in rough._language.mapper.parameters()} == {torch.float32}
        assert np.isfinite(rough.recommend(test.histories([40]), 2).scores).all()


@pytest.mark.parametrize("kind", KINDS)
def test_activations_computed_again_give_the_same_model(
    kind: str,
    folders: dict[str, Path],
    fitted: dict[str, CoLLM],
    train: Feedback,
    test: Feedback,
) -> None:
    runs = []

    def note(module: Any, *_: Any) -> None:
        is_feed_forward = type(module).__name__ in ("LlamaMLP", "BertIntermediate")
        if is_feed_forward and torch.is_grad_enabled():
            runs.append(module)

    hook = torch.nn.modules.module.register_module_forward_pre_hook(note)
    try:
        model = CoLLM(llm=folders[kind], checkpointing=True, **SMALL).fit(train, CATALOG)
    finally:
        hook.remove()
    assert len(runs) == 2 * 2 * 4  # twice, of one layer, in four steps of two stages
    found, expected = model.score_rows(test), fitted[kind].score_rows(test)
    assert np.allclose(found, expected, atol=1e-4)


def test_events_are_learned_from_with_items_drawn(
    folders: dict[str, Path], train: Feedback, monkeypatch: pytest.MonkeyPatch
) -> None:
    more = Catalog.from_columns(np.arange(2 * ITEMS), title=["Film"] * 2 * ITEMS)
    model = CoLLM(llm=folders["BERT"], **SMALL | {"negatives": 3})
    batches = []
    loss = CoLLM._loss
    monkeypatch.setattr(CoLLM, "_loss", lambda *given: batches.append(given[3]) or loss(*given))
    rows = []
    vectors = CoLLM._vectors
    monkeypatch.setattr(CoLLM, "_vectors", lambda m, own: rows.append(own) or vectors(m, own))
    model.fit(train.likes, more)
    events = len(train.likes.events.items)
    labels = np.concatenate([batch.labels for batch in batches])
    assert (labels.sum(), len(labels)) == (2 * events, 2 * 4 * events)  # twice, in two stages
    matrix = train.likes.matrix.toarray()
    for own in rows:
        users = own.users[~own.labels]
        items = own.item_ids[own.items[~own.labels]]
        assert items.max() < ITEMS  # of a cold item nobody knows whether it would be disliked
        on_axis = np.argsort(train.item_ids)[items]
        assert not matrix[users, on_axis].any()


def test_the_language_model_may_learn_from_some_rows_alone(
    folders: dict[str, Path], train: Feedback, monkeypatch: pytest.MonkeyPatch
) -> None:
    batches = []
    loss = CoLLM._loss
    monkeypatch.setattr(CoLLM, "_loss", lambda *given: batches.append(given[3]) or loss(*given))

    def learned(**given: Any) -> tuple[CoLLM, int]:
        batches.clear()
        model = CoLLM(llm=folders["BERT"], **SMALL, **given).fit(train, CATALOG)
        return model, sum(len(batch.labels) for batch in batches)

    few, rows = learned(max_rows=60)
    assert rows == 2 * 60  # once in each of two stages
    whole, rows = learned(max_rows=len(train))
    assert rows == 2 * len(train)
    # the collaborative model learns from all
    assert (few._part.item_vectors == whole._part.item_vectors).all()


def test_validation_rows_stop_each_stage(
    folders: dict[str, Path], train: Feedback, test: Feedback
) -> None:
    changes = {"text_epochs": 9, "mapper_epochs": 9, "patience": 2}
    model = CoLLM(llm=folders["Llama"], **SMALL | changes)
    model.fit(train, CATALOG, validation=test, metric="auc")
    assert list(model.stages_run) == ["text", "mapper"]
    for epochs in model.stages_run.values():
        figures = [epoch.metric for epoch in epochs]
        stopped = len(figures) - 1 - int(np.argmax(figures))
        assert stopped == 2 or (len(figures) == 9 and stopped < 2)
    assert any(len(epochs) < 9 for epochs in model.stages_run.values())
    best = max(epoch.metric for epoch in model.stages_run["mapper"])
    assert auc(model, test) == pytest.approx(best, abs=1e-6)


def test_the_collaborative_model_is_stopped_as_on_its_own(
    folders: dict[str, Path], train: Feedback, test: Feedback
) -> None:
    of_part = PART | {"epochs": 40, "patience": 2}
    model = CoLLM(llm=folders["BERT"], **SMALL | {"collaborative_params": of_part})
    stops: dict[str, Any] = {"validation": test, "metric": "auc"}
    model.fit(train, CATALOG, **stops)
    alone = MF(**of_part).fit(train, **stops)
    assert len(alone.epochs_run) < 40
    np.testing.assert_array_equal(model._part.score_rows(test), alone.score_rows(test))


def test_held_out_users_can_stop_it_too(folders: dict[str, Path], train: Feedback) -> None:
    split = splits.leave_last(train.likes)
    for name in ("MF", "ESLERFactors"):
        params = SMALL | {"collaborative": name, "collaborative_params": PARTS[name]}
        model = CoLLM(llm=folders["BERT"], **params)
        model.fit(split.train, CATALOG, validation=split.validation, metric="recall@5")
        for epochs in model.stages_run.values():
            assert all(0 <= epoch.metric <= 1 for epoch in epochs)
        found = evaluate(model, split.validation, ["recall@5"])["recall@5"]
        assert found == pytest.approx(model.stages_run["mapper"][-1].metric)


def test_fits_are_the_same_and_leave_the_callers_numbers_alone(
    folders: dict[str, Path], fitted: dict[str, CoLLM], train: Feedback
) -> None:
    state = torch.random.get_rng_state()
    shares: list[float] = []
    again = CoLLM(llm=folders["Llama"], **SMALL).fit(train, CATALOG, progress=shares.append)
    assert torch.equal(torch.random.get_rng_state(), state)
    assert again.fingerprint() == fitted["Llama"].fingerprint()
    assert shares == sorted(shares)
    assert shares[0] > 0
    assert shares[-1] == pytest.approx(1.0)
    assert again.fit(train, CATALOG).fingerprint() == fitted["Llama"].fingerprint()
    other = again.with_params(seed=1).fit(train, CATALOG)
    assert other.fingerprint() != again.fingerprint()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("stage", ["text", "mapper"])
def test_a_fit_that_is_stopped_goes_on(
    stage: str,
    kind: str,
    folders: dict[str, Path],
    train: Feedback,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(Checkpoint, "is_due", lambda _: True)
    params = SMALL | {"text_epochs": 2, "mapper_epochs": 2}
    model = CoLLM(llm=folders[kind], **params)
    begin = {"text": 0.1, "mapper": 0.55}[stage]
    reached = begin + 0.45 * 5 / 8  # the second of four steps in the second epoch

    def stop(done: float) -> None:
        if done > reached + 1e-6:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        model.fit(train, CATALOG, checkpoint=tmp_path, progress=stop)
    assert (tmp_path / "mapper").exists() == (stage == "mapper")
    with pytest.raises(pyhybrid.NotFittedError):
        model.score_rows(train)
    shares: list[float] = []
    model.fit(train, CATALOG, checkpoint=tmp_path, progress=shares.append)
    of_stages = [share for share in shares if share > 0.1 + 1e-6]
    assert of_stages[0] == pytest.approx(reached + 0.45 / 8)
    whole = CoLLM(llm=folders[kind], **params).fit(train, CATALOG)
    assert model.fingerprint() == whole.fingerprint()
    assert [e.loss for e in model.stages_run[stage]] == [e.loss for e in whole.stages_run[stage]]
    shares.clear()
    model.fit(train, CATALOG, checkpoint=tmp_path, progress=shares.append)  # a finished one
    assert not [share for share in shares if share > 0.1 + 1e-6]
    assert model.fingerprint() == whole.fingerprint()


def test_another_runs_checkpoint_is_refused(
    folders: dict[str, Path], train: Feedback, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = CoLLM(llm=folders["BERT"], **SMALL).fit(train, CATALOG, checkpoint=tmp_path)
    monkeypatch.delattr("pyhybrid.models.collm.fitted_part")  # nothing is learned before
    with pytest.raises(ValueError, match=r"^CoLLM: mapper_lr of the checkpoint in .*text is 0.02;"):
        model.with_params(mapper_lr=0.5).fit(train, CATALOG, checkpoint=tmp_path)
    other = replace(train, labels=~train.labels)
    with pytest.raises(ValueError, match=r"^CoLLM: the rows' fingerprint of the checkpoint"):
        model.fit(other, CATALOG, checkpoint=tmp_path)
    with pytest.raises(ValueError, match=r"^CoLLM: the catalogue's fingerprint of the checkpoint"):
        model.fit(train, TOLD, checkpoint=tmp_path)
    kept = [np.load(tmp_path / stage / "checkpoint.npz").files for stage in ("text", "mapper")]
    for names in kept:  # what is frozen is not written again and again
        assert not [name for name in names if "embeddings" in name or "base_layer" in name]
    assert not [name for name in kept[0] if "mapper" in name]
    assert not [name for name in kept[1] if "lora" in name]


def test_what_has_no_vectors_is_refused() -> None:
    rule = "expected a model that scores by vectors, such as MF"
    for name in ("Popularity", "ESLER", "CoLLM"):
        with pytest.raises(ValueError, match=f"^CoLLM: collaborative is '{name}'; {rule}"):
            CoLLM(collaborative=name)
    with pytest.raises(ValueError, match=r"the model is 'Nobody'; expected one of .*MF"):
        CoLLM(collaborative="Nobody")
    with pytest.raises(
        TypeError, match=r"CoLLM: collaborative model is .*; expected a model's name"
    ):
        CoLLM(collaborative=MF)
    with pytest.raises(ValueError, match="MF's parameter is 'rank'; expected one of"):
        CoLLM(collaborative_params={"rank": 3})
    with pytest.raises(ValueError, match="MF: dim is 0"):
        CoLLM(collaborative_params={"dim": 0})


def test_bad_hyper_parameters_are_refused() -> None:
    for message, params in {
        "stages is 'both'; expected": {"stages": "both"},
        "answer is 'no'; expected": {"answer": "no"},
        "titles is -1": {"titles": -1},
        "max_tokens is 0": {"max_tokens": 0},
        "tokens is 0": {"tokens": 0},
        "mapper_width is 0": {"mapper_width": 0},
        "lora_rank is 0": {"lora_rank": 0},
        "lora_alpha is 0": {"lora_alpha": 0},
        "lora_dropout is 1": {"lora_dropout": 1.0},
        "top is 0": {"top": 0},
        "negatives is 0": {"negatives": 0},
        "text_lr is 0": {"text_lr": 0},
        "mapper_lr is nan": {"mapper_lr": math.nan},
        "weight_decay is -1": {"weight_decay": -1},
        "dtype is 'int8'": {"dtype": "int8"},
        "device is 'tpu'": {"device": "tpu"},
    }.items():
        with pytest.raises(ValueError, match=f"^CoLLM: {message}"):
            CoLLM(**params)


def test_what_cannot_be_learned_from_is_refused(
    folders: dict[str, Path], train: Feedback, tmp_path: Path
) -> None:
    model = CoLLM(llm=folders["BERT"], **SMALL)
    with pytest.raises(
        ValueError, match=r"CoLLM: catalog is None; .* titles; pass fit\(\) a Catalog"
    ):
        model.fit(train)
    few = Catalog.from_columns(np.arange(ITEMS - 1), title=["Film"] * (ITEMS - 1))
    with pytest.raises(ValueError, match=f"unknown items is 1, the first {ITEMS - 1}; expected 0"):
        model.fit(train, few)
    bare = Catalog.from_columns(np.arange(ITEMS), price=["low"] * ITEMS)
    with pytest.raises(ValueError, match="fields is without title and genres"):
        model.fit(train, bare)
    unordered = Interactions.from_columns([1, 1], [2, 3])
    with pytest.raises(ValueError, match="CoLLM: the order of events is unknown; expected"):
        model.fit(unordered, CATALOG)
    with pytest.raises(ValueError, match="metric is 'ndcg@10'; expected 'auc'"):
        model.fit(train, CATALOG, validation=train)
    with pytest.raises(FileNotFoundError):
        CoLLM(llm=str(tmp_path / "no" / "model"), **SMALL).fit(train, CATALOG)
