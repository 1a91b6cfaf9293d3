"""What each stage of CoLLM changes, and what it learns."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from tiny_collm import (
    ALIKE,
    CATALOG,
    KINDS,
    NOISE,
    PART,
    PARTS,
    SMALL,
    TOLD,
    USERS,
    auc,
    generous_users,
    good_items,
)

from pyhybrid import CoLLM
from pyhybrid.models.collm_prompts import prompts_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from pyhybrid.data import Feedback

torch = pytest.importorskip("torch", reason="needs torch")

pytestmark = pytest.mark.usefixtures("one_thread")


def tensors_of(model: CoLLM, network: Any) -> dict[str, Any]:
    tensors = {name: tensor.numpy().copy() for name, tensor in network.state_dict().items()}
    if model._part is not None:
        tensors |= {f"part.{name}": np.array(a) for name, a in model._part._arrays().items()}
    return tensors


def watch(monkeypatch: pytest.MonkeyPatch, model: CoLLM) -> dict[str, set[str]]:
    """Note in each stage of a fit which of all tensors change."""
    from pyhybrid.models import torch_base

    changed: dict[str, set[str]] = {}
    inner = torch_base.train

    def train(who: str, network: Any, *given: Any, **named: Any) -> Any:
        if who != "CoLLM":
            return inner(who, network, *given, **named)
        before = tensors_of(model, network)
        epochs = inner(who, network, *given, **named)
        after = tensors_of(model, network)
        assert before.keys() == after.keys()
        changed[model._stage] = {n for n in after if not np.array_equal(before[n], after[n])}
        return epochs

    monkeypatch.setattr(torch_base, "train", train)
    return changed


@pytest.mark.parametrize("collaborative", ["MF", "SASRec"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_stage_changes_its_own_parameters_alone(
    kind: str,
    collaborative: str,
    folders: dict[str, Path],
    train: Feedback,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    of_part = PART if collaborative == "MF" else PARTS["SASRec"]
    params = SMALL | {"collaborative": collaborative, "collaborative_params": of_part}
    lora = {"q_proj", "v_proj"} if kind == "Llama" else {"query", "value"}
    changed = {}
    for stages in ("mapper", "joint", "text"):
        model = CoLLM(llm=folders[kind], stages=stages, **params)
        changed[stages] = watch(monkeypatch, model)
        model.fit(train, CATALOG)
        monkeypatch.undo()
    assert {stages: list(run) for stages, run in changed.items()} == {
        "mapper": ["text", "mapper"],
        "joint": ["joint"],
        "text": ["text"],
    }
    of_text, of_mapper = changed["mapper"]["text"], changed["mapper"]["mapper"]
    of_head = {"language.head.weight", "language.head.bias"} if kind == "BERT" else set()
    of_lora = of_text - of_head
    assert of_text - of_lora == of_head
    assert len(of_lora) == 2 * 2  # A and B of two layers
    assert {name.split(".lora_")[0].split(".")[-1] for name in of_lora} == lora
    assert of_mapper == {f"mapper.{n}.{part}" for n in (0, 2) for part in ("weight", "bias")}
    assert changed["joint"]["joint"] == of_text | of_mapper
    assert changed["text"]["text"] == of_text


def test_the_language_model_drops_nothing_while_the_mapper_learns(
    fitted: dict[str, CoLLM],
) -> None:
    network = fitted["BERT"]._language

    def is_training() -> tuple[set[bool], bool]:
        network.train()
        return {module.training for module in network.language.modules()}, network.mapper.training

    try:
        network.begin("mapper")
        assert is_training() == ({False}, True)
        for stage in ("text", "joint"):
            network.begin(stage)
            assert is_training()[0] == {True}
    finally:
        network.begin("mapper")
        network.eval()


def test_the_gradient_reaches_the_mapper_through_the_frozen_model(
    fitted: dict[str, CoLLM], train: Feedback
) -> None:
    for model in fitted.values():
        network = model._language
        network.begin("mapper")
        batch = network.backbone.encode(prompts_of([["Up"]] * 3, ["Heat", "Big", "Up"], 1))
        vectors = torch.from_numpy(model._vectors(train.select([0, 1, 2])))
        network(batch, vectors).sum().backward()
        reached = {name for name, w in network.named_parameters() if w.grad is not None}
        assert reached == {name for name, _ in network.named_parameters() if "mapper" in name}
        assert all(w.grad.abs().sum() > 0 for w in network.mapper.parameters())
        network.zero_grad()


def test_the_first_stage_alone_is_the_text_model(
    folders: dict[str, Path],
    fitted: dict[str, CoLLM],
    fitted_on_texts: dict[str, CoLLM],
    train: Feedback,
    test: Feedback,
) -> None:
    for kind in KINDS:
        model = fitted[kind]
        on_texts = fitted_on_texts[kind].score_rows(test)
        assert np.abs(model.score_rows(test) - on_texts).max() > 0.01
        model._language.begin("text")
        try:
            np.testing.assert_array_equal(model.score_rows(test), on_texts)
        finally:
            model._language.begin("mapper")
        assert list(fitted_on_texts[kind].stages_run) == ["text"]
        assert list(model.stages_run) == ["text", "mapper"]


@pytest.fixture(scope="module")
def learning(folders: dict[str, Path]) -> Callable[..., CoLLM]:
    rounds = {"mapper_epochs": 2, "titles": 0}

    def make(kind: str, **changes: Any) -> CoLLM:
        return CoLLM(llm=folders[kind], **SMALL | rounds | changes)

    return make


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("rows", [good_items, generous_users])
def test_labels_that_follow_from_ids_alone_are_learned(rows: Any, kind: str, learning: Any) -> None:
    train = rows(300)
    test = rows(200, seed=1, earlier=train)
    on_texts = auc(learning(kind, stages="text").fit(train, ALIKE), test)
    assert 0.35 < on_texts < 0.65
    assert auc(learning(kind).fit(train, ALIKE), test) > on_texts + 0.3


@pytest.mark.parametrize("kind", KINDS)
def test_labels_that_follow_from_titles_alone_are_kept(kind: str, learning: Any) -> None:
    train = good_items(300)
    test = good_items(200, seed=1, earlier=train)
    on_texts = auc(learning(kind, stages="text").fit(train, TOLD), test)
    assert on_texts > 0.95
    over_noise = learning(kind, collaborative_params=NOISE).fit(train, TOLD)
    assert auc(over_noise, test) > on_texts - 0.05


@pytest.mark.parametrize("kind", KINDS)
def test_lora_and_mapper_can_learn_at_once(kind: str, learning: Any) -> None:
    train = generous_users(300)
    test = generous_users(200, seed=1, earlier=train)
    model = learning(kind, stages="joint").fit(train, ALIKE)
    assert auc(model, test) > 0.9
    assert list(model.stages_run) == ["joint"]
    assert len(model.stages_run["joint"]) == 2


class Permuted(CoLLM):
    """Hand each user the vectors of another one, half of whom have the other taste."""

    def _vectors(self, rows: Feedback) -> Any:
        by_taste = np.argsort(rows.user_ids % 2, kind="stable")
        others = np.empty(USERS, dtype=np.int32)
        others[by_taste] = np.roll(by_taste, USERS // 4)
        return super()._vectors(replace(rows, users=others[rows.users], seen=0 * rows.seen))


@pytest.mark.parametrize("kind", KINDS)
def test_ablated_vectors_gain_nothing(kind: str, learning: Any) -> None:
    train = generous_users(300)
    test = generous_users(200, seed=1, earlier=train)
    permuted = Permuted(**learning(kind).params).fit(train, ALIKE)
    drawn = learning(kind, collaborative_params=NOISE).fit(train, ALIKE)
    whole = learning(kind).fit(train, ALIKE)
    assert auc(whole, test) > 0.9
    assert max(auc(permuted, test), auc(drawn, test)) < 0.8
