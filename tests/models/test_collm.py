"""Tests of CoLLM on language models with random weights; the backbone has tests of its own."""

from __future__ import annotations

import json
import math
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from tiny_models import (
    HIDDEN,
    SPECIAL,
    llama_tokenizer,
    saved,
    saved_bert,
    saved_llama,
    tiny_lfm2,
)

import pyhybrid
from pyhybrid import MF, Catalog, CoLLM, Interactions, evaluate, load
from pyhybrid.data import Feedback, splits
from pyhybrid.llm.networks import LanguageNetwork
from pyhybrid.models.collm_prompts import prompts_of
from pyhybrid.models.collm_rows import Titles, row_batches
from pyhybrid.pointwise import rate
from pyhybrid.training.checkpoints import Checkpoint

torch = pytest.importorskip("torch", reason="needs torch")
pytest.importorskip("transformers", reason="needs transformers")
pytest.importorskip("peft", reason="needs peft")
safetensors = pytest.importorskip("safetensors.numpy", reason="needs safetensors")

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

pytestmark = pytest.mark.usefixtures("one_thread")

USERS, ITEMS = 24, 16
PART: dict[str, Any] = {
    "dim": 4,
    "l2": 0.01,
    "lr": 0.05,
    "batch_size": 200,
    "epochs": 20,
    "device": "cpu",
}
SMALL: dict[str, Any] = {
    "collaborative_params": PART,
    "candidates": "Popularity",
    "titles": 2,
    "text_epochs": 1,
    "mapper_epochs": 1,
    "text_lr": 0.02,
    "mapper_lr": 0.02,
    "batch_size": 50,
    "device": "cpu",
}
KINDS = ("Llama", "BERT")
NOISE = PART | {"epochs": 1, "lr": 1e-12}  # factors stay as they were drawn
SHALLOW: dict[str, Any] = {"epochs": 3, "batch_size": 50, "device": "cpu"}
PARTS: dict[str, dict[str, Any]] = {
    "MF": {"dim": 4, **SHALLOW},
    "LightGCN": {"dim": 4, **SHALLOW},
    "SASRec": {"dim": 4, "layers": 1, "heads": 1, "max_length": 6, **SHALLOW},
    "ESLERFactors": {"rank": 4, "l2": 1.0},
    "MultVAE": {"hidden_dim": 0, "latent_dim": 4, **SHALLOW},
    "TextSimilarity": {"text": "tfidf"},  # one that reads the catalogue
}


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    saves = {"Llama": saved_llama, "BERT": saved_bert}
    return {
        kind: save(tmp_path_factory.mktemp("tiny") / kind, num_hidden_layers=1)
        for kind, save in saves.items()
    }


def two_tastes(rows: int, seed: int = 0, earlier: Feedback | None = None) -> Feedback:
    """Even users like even items and odd users odd ones, whoever is asked about which."""
    random = np.random.default_rng(seed)
    users, items = random.integers(0, USERS, rows), random.integers(0, ITEMS, rows)
    return Feedback.from_columns(users, items, (users + items) % 2 == 0, earlier=earlier)


def good_items(rows: int, seed: int = 0, earlier: Feedback | None = None) -> Feedback:
    """Everybody likes even items, and no odd ones."""
    random = np.random.default_rng(seed)
    users, items = random.integers(0, USERS, rows), random.integers(0, ITEMS, rows)
    return Feedback.from_columns(users, items, items % 2 == 0, earlier=earlier)


def generous_users(rows: int, seed: int = 0, earlier: Feedback | None = None) -> Feedback:
    """Even users like everything, and odd ones nothing."""
    random = np.random.default_rng(seed)
    users, items = random.integers(0, USERS, rows), random.integers(0, ITEMS, rows)
    return Feedback.from_columns(users, items, users % 2 == 0, earlier=earlier)


@pytest.fixture(scope="module")
def train() -> Feedback:
    return two_tastes(200)


@pytest.fixture(scope="module")
def test(train: Feedback) -> Feedback:
    return two_tastes(80, seed=1, earlier=train)


def titled(*titles: str) -> Catalog:
    """Give the items the same few titles in turn."""
    return Catalog.from_columns(np.arange(ITEMS), title=[*titles] * (ITEMS // len(titles)))


CATALOG = Catalog.from_columns(np.arange(ITEMS), title=[f"Film {n}" for n in range(ITEMS)])
ALIKE = titled("Film")  # titles say nothing
TOLD = titled("good", "bad")  # titles tell even items from odd ones


@pytest.fixture(scope="module")
def fitted(folders: dict[str, Path], train: Feedback) -> dict[str, CoLLM]:
    return {kind: CoLLM(llm=folders[kind], **SMALL).fit(train, CATALOG) for kind in KINDS}


@pytest.fixture(scope="module")
def fitted_on_texts(folders: dict[str, Path], train: Feedback) -> dict[str, CoLLM]:
    return {
        kind: CoLLM(llm=folders[kind], stages="text", **SMALL).fit(train, CATALOG) for kind in KINDS
    }


def auc(model: CoLLM, rows: Feedback) -> float:
    return float(rate(rows, model.score_rows(rows))["auc"])


# Prompts and soft tokens


@pytest.mark.parametrize("kind", KINDS)
def test_titles_bring_in_no_slot(kind: str, fitted: dict[str, CoLLM]) -> None:
    network = fitted[kind]._language
    odd = ["".join(SPECIAL), '"{user}" [PAD] [UNK]', "<unk>"]
    batch = network.backbone.encode(prompts_of([odd, []], [odd[1], "Up"], network.slots))
    assert batch.names == ("user", "item")
    assert batch.slots.shape == (2, 2, 1)
    assert (batch.slots[:, 0] < batch.slots[:, 1]).all()
    vectors = torch.randn(2, 2, 1, HIDDEN)
    embedded = network.backbone.embed(batch, vectors)
    plain = network.language["network"].get_input_embeddings()(batch.ids)
    differs = (embedded != plain).any(2).nonzero().tolist()
    assert differs == [
        [row, int(place)] for row in range(2) for place in batch.slots[row].flatten()
    ]


def test_the_prompt_names_what_was_liked_and_ends_in_the_item() -> None:
    named = ['"Heat"', '"Up"', '"Alien"']
    for tokens, slots in ((0, []), (3, [("user", 3), ("item", 3)])):
        [prompt] = prompts_of([["Heat", "Up"]], ["Alien"], tokens)
        assert [(slot.name, slot.tokens) for slot in prompt.slots] == slots
        places = ["".join(prompt.texts).index(title) for title in named]
        assert places == sorted(places)
        assert '"Alien"' in prompt.texts[-1]  # after both slots
        assert prompt.texts[-1].endswith("Answer:")
    [nothing] = prompts_of([[]], ["Alien"])
    assert '"Heat"' not in nothing.texts[0]
    with pytest.raises(ValueError, match="zip"):
        prompts_of([[]], ["Alien", "Up"])


def test_the_last_liked_titles_count_and_no_later_ones(train: Feedback) -> None:
    titles = Titles.of_catalog("CoLLM", CATALOG, train.item_ids, 3)
    liked = titles.liked(train.histories())
    for row in range(len(train)):
        own = (train.users == train.users[row]) & train.labels
        before = train.items[:row][own[:row]]
        assert liked[row] == [f"Film {train.item_ids[item]}" for item in before[-3:]]
    assert max(map(len, liked)) == 3
    none = Titles.of_catalog("CoLLM", CATALOG, train.item_ids, 0)
    assert set(map(len, none.liked(train.histories()))) == {0}
    known = np.sort(train.item_ids)[:8]
    few = Titles.of_catalog("CoLLM", CATALOG, known, 99).liked(train.histories())
    assert {title for some in few for title in some} <= {f"Film {item}" for item in known}
    whole = Titles.of_catalog("CoLLM", CATALOG, train.item_ids, 99).liked(train.histories())
    for some, every in zip(few, whole, strict=True):
        assert some == [title for title in every if int(title.split()[1]) in known]


def test_batches_hold_each_row_once_with_what_is_its_own(train: Feedback) -> None:
    titles = Titles.of_catalog("CoLLM", CATALOG, train.item_ids, 3)

    def numbers(rows: Feedback) -> Any:
        return np.stack([rows.users, rows.items, rows.seen], axis=1)[:, :, None]

    def rows_of(seed: int) -> list[tuple[Any, ...]]:
        batches = list(row_batches(train, titles, numbers, 9, np.random.default_rng(seed)))
        assert len(batches) == -(-200 // 9)
        return [
            (*place[:, 0].tolist(), liked, title, bool(label))
            for batch in batches
            for liked, title, place, label in zip(
                batch.liked, batch.titles, batch.vectors, batch.labels, strict=True
            )
        ]

    known = zip(titles.liked(train.histories()), titles.of(train.items), strict=True)
    expected = [
        (*place[:, 0].tolist(), *of_row, bool(label))
        for place, of_row, label in zip(numbers(train), known, train.labels, strict=True)
    ]
    found = rows_of(0)
    assert sorted(found) == sorted(expected)
    assert found == rows_of(0)
    assert found != rows_of(1)
    [whole] = row_batches(train, titles, None, 1000, np.random.default_rng(0))
    assert whole.vectors is None


def test_soft_tokens_are_one_mlps_for_users_and_items(
    folders: dict[str, Path], train: Feedback
) -> None:
    changes = {"tokens": 3, "mapper_width": 5}
    model = CoLLM(llm=folders["Llama"], **SMALL, **changes).fit(train, CATALOG)
    network, dim = model._language, PART["dim"] + 2
    users, items = model._part.row_vectors(train)
    assert users.shape == items.shape == (200, dim)
    weights = {name: w.detach().numpy() for name, w in network.mapper.state_dict().items()}
    assert sorted(w.shape for w in weights.values()) == [
        (5 * dim,),
        (5 * dim, dim),
        (96,),
        (96, 30),
    ]
    w1, b1, w2, b2 = weights.values()
    embeddings = network.language["network"].get_input_embeddings().weight.numpy()
    size = np.sqrt((embeddings**2).mean())
    expected = []
    for vectors in (users, items):
        scaled = vectors / np.sqrt(
            (vectors**2).mean()
        )  # of all rows, as they are fewer than 10,000
        hidden = np.maximum(scaled @ w1.T + b1, 0)
        expected.append(size * (hidden @ w2.T + b2).reshape(200, 3, HIDDEN))
    both = torch.from_numpy(np.stack([users, items], axis=1))
    with torch.no_grad():
        found = network.soft_tokens(both)
        assert found.shape == (200, 2, 3, HIDDEN)
        np.testing.assert_allclose(found, np.stack(expected, axis=1), rtol=1e-3, atol=1e-4)
        for side in (0, 1):
            alone = network.soft_tokens(both[:, [side]], side=side)
            np.testing.assert_allclose(alone[:, 0], found[:, side], rtol=1e-5, atol=1e-6)
    # To a stranger, whose vector follows from the history, recommend and score_rows say the same.
    strangers = renamed(train, 1000)
    asked = strangers.select(np.flatnonzero(strangers.seen > 1)[:6])
    items = asked.items[:, None]
    found = model.recommend(asked.histories(), 1, exclude_seen=False, among=items)
    np.testing.assert_array_equal(found.items, items)
    np.testing.assert_allclose(found.scores[:, 0], model.score_rows(asked), rtol=1e-4, atol=1e-4)


def test_before_it_learns_the_mapper_gives_tokens_of_the_words_size(
    folders: dict[str, Path], train: Feedback
) -> None:
    model = CoLLM(llm=folders["Llama"], **SMALL | {"mapper_lr": 1e-12}).fit(train, CATALOG)
    network = model._language
    with torch.no_grad():
        tokens = network.soft_tokens(torch.from_numpy(model._vectors(train)))
    assert 0.6 < float(tokens.square().mean().sqrt() / network.size) < 1.6


@pytest.mark.parametrize("kind", KINDS)
def test_the_score_is_the_logit_of_yes_or_that_less_the_nos(
    kind: str, fitted: dict[str, CoLLM], test: Feedback, tmp_path: Path
) -> None:
    model = fitted[kind]
    network = model._language
    liked = model._titles.liked(test.histories())
    titles = [f"Film {test.item_ids[item]}" for item in test.items]
    batch = network.backbone.encode(prompts_of(liked, titles, 1))
    vectors = np.stack(model._part.row_vectors(test), axis=1)
    with torch.no_grad():
        soft = network.soft_tokens(torch.from_numpy(vectors))
        yes_no = network.backbone.yes_no(batch, soft).numpy()
    np.testing.assert_allclose(model.score_rows(test), yes_no[:, 0], rtol=1e-4, atol=1e-5)
    assert yes_no.std(axis=0).min() > 0.001
    model.save(tmp_path / "model")
    config = json.loads((tmp_path / "model/config.json").read_text())
    config["params"]["answer"] = "yes-no"
    (tmp_path / "model/config.json").write_text(json.dumps(config))
    found = load(tmp_path / "model").score_rows(test)
    np.testing.assert_allclose(found, yes_no[:, 0] - yes_no[:, 1], rtol=1e-4, atol=1e-5)


# Stages


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


# What a score depends on


@pytest.mark.parametrize("kind", KINDS)
def test_a_score_does_not_depend_on_labels_or_company(
    kind: str, fitted: dict[str, CoLLM], test: Feedback
) -> None:
    model = fitted[kind]
    scores = model.score_rows(test)
    assert scores.dtype == np.float32
    assert scores.std() > 0.01
    np.testing.assert_array_equal(model.score_rows(replace(test, labels=~test.labels)), scores)
    order = np.random.default_rng(3).permutation(len(test))
    shuffled = model.score_rows(test.select(order))
    np.testing.assert_allclose(shuffled, scores[order], rtol=1e-4, atol=1e-5)
    for row in range(0, len(test), 9):
        alone = model.score_rows(test.select([row]))
        np.testing.assert_allclose(alone, scores[[row]], rtol=1e-4, atol=1e-5)
    assert model.score_rows(test.select([])).shape == (0,)


def renamed(rows: Feedback, shift: int) -> Feedback:
    """Give the rows to other users, with the same histories."""
    return replace(rows, likes=replace(rows.likes, user_ids=rows.user_ids + shift))


def test_without_slots_a_score_does_not_depend_on_who_asks(
    fitted: dict[str, CoLLM], fitted_on_texts: dict[str, CoLLM], test: Feedback
) -> None:
    for kind in KINDS:
        model = fitted_on_texts[kind]
        scores = model.score_rows(test)
        np.testing.assert_array_equal(model.score_rows(renamed(test, 1)), scores)
        np.testing.assert_array_equal(model.score_rows(renamed(test, 1000)), scores)
        named = fitted[kind].score_rows(test)
        assert np.abs(fitted[kind].score_rows(renamed(test, 1)) - named).max() > 1e-3


def test_without_slots_items_of_one_title_score_the_same(
    folders: dict[str, Path], train: Feedback, test: Feedback
) -> None:
    by_id = np.argsort(test.item_ids).astype(np.int32)
    others = replace(test, items=by_id[(test.item_ids[test.items] + 2) % ITEMS])
    for stages, is_same in (("text", True), ("mapper", False)):
        model = CoLLM(llm=folders["BERT"], stages=stages, **SMALL).fit(train, TOLD)
        same = np.array_equal(model.score_rows(others), model.score_rows(test))
        assert same == is_same


def test_what_is_unknown_scores_0_and_adds_nothing(fitted: dict[str, CoLLM]) -> None:
    model = fitted["Llama"]
    known = Feedback.from_columns([1, 1], [3, 5], [True, True])
    more = Feedback.from_columns([1, 1, 1, 1], [3, 999, 5, 998], [True] * 4)
    scores = model.score_rows(more)
    assert scores[[1, 3]].tolist() == [0, 0]
    np.testing.assert_allclose(scores[[0, 2]], model.score_rows(known), rtol=1e-4, atol=1e-5)
    assert np.isfinite(model.score_rows(Feedback.from_columns([999], [3], [True]))).all()
    with pytest.raises(TypeError, match="score_rows: rows is Interactions; expected"):
        model.score_rows(known.likes)


@pytest.mark.parametrize("kind", KINDS)
def test_a_long_history_loses_its_oldest_titles_whoever_else_is_asked_about(
    kind: str, folders: dict[str, Path], train: Feedback, test: Feedback
) -> None:
    titles = [f"Film {'!' * (5 * n % 21)}" for n in range(ITEMS)]  # lose a title or two, or more
    of_part = {"rank": 4, "l2": 1.0}  # whose vectors follow from histories alone
    params = SMALL | {"collaborative": "ESLERFactors", "collaborative_params": of_part}
    model = CoLLM(llm=folders[kind], **params | {"titles": 10, "top": ITEMS, "max_tokens": 90})
    model.fit(train, Catalog.from_columns(np.arange(ITEMS), title=titles))
    long = np.flatnonzero(test.seen > 4)[:4]
    histories = test.histories(long)
    rows = histories.with_items(model.item_ids)
    pairs = Feedback(
        rows,
        np.repeat(np.arange(4, dtype=np.int32), ITEMS),
        np.tile(np.arange(ITEMS, dtype=np.int32), 4),
        np.zeros(4 * ITEMS, dtype=np.bool_),
        np.repeat(np.diff(rows.events.indptr), ITEMS),
    )
    scores = model.score_rows(pairs).reshape(4, ITEMS)
    backbone = model._language.backbone
    prompts = prompts_of(model._titles.liked(histories)[:1] * ITEMS, titles, 1)
    kept = {row.prompt.titles for row in backbone._tokens.rows(prompts)}
    assert len(kept) > 1
    assert max(kept) < len(model._titles.liked(histories)[0])
    ranking = model.recommend(histories, ITEMS, exclude_seen=False)
    found = np.take_along_axis(scores, ranking.items.astype(np.int64), axis=1)
    np.testing.assert_allclose(ranking.scores, found, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("stages", ["text", "mapper"])
def test_a_title_without_end_is_cut_and_breaks_nothing(
    kind: str, stages: str, folders: dict[str, Path], train: Feedback
) -> None:
    titles = [*(f"Film {n}" for n in range(ITEMS)), "題" * 80]
    catalog = Catalog.from_columns(np.arange(ITEMS + 1), title=titles)
    params = SMALL | {"stages": stages, "max_tokens": 80, "top": ITEMS + 1}
    model = CoLLM(llm=folders[kind], **params).fit(train, catalog)
    new = model.item_ids.tolist().index(ITEMS)
    texts = dict(zip(model.item_ids.tolist(), model._titles.texts, strict=True))
    assert [texts[item] for item in range(ITEMS)] == titles[:-1]
    kept = len(texts[ITEMS])
    assert 0 < kept < 80
    [fits, not_any_more] = model._language.backbone.lengths(
        prompts_of([[], []], ["題" * kept, "題" * (kept + 1)], int(stages == "mapper"))
    )
    assert fits <= 80 < not_any_more
    ranking = model.recommend(train.histories([190]), ITEMS + 1, among=[ITEMS], exclude_seen=False)
    assert ranking.items[0, 0] == new
    asked = Feedback.from_columns([1], [ITEMS], [True])
    assert model.score_rows(asked)[0] != 0


@pytest.mark.parametrize("kind", KINDS)
def test_scores_do_not_depend_on_how_many_prompts_are_read_at_once(
    kind: str, fitted: dict[str, CoLLM], test: Feedback, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, histories = fitted[kind], test.histories([3, 4])
    scores, ranking = model.score_rows(test), model.recommend(histories, ITEMS)
    read = []
    states = LanguageNetwork.states

    def counted(self: Any, embedded: Any, mask: Any, *others: Any) -> Any:
        read.append(mask.numel())
        return states(self, embedded, mask, *others)

    monkeypatch.setattr(LanguageNetwork, "states", counted)
    monkeypatch.setattr("pyhybrid.models.collm._ROWS", 7)
    monkeypatch.setattr("pyhybrid.models.collm_scoring._TOKENS", 150)
    np.testing.assert_allclose(model.score_rows(test), scores, rtol=1e-4, atol=1e-5)
    again = model.recommend(histories, ITEMS)
    np.testing.assert_array_equal(again.items, ranking.items)
    np.testing.assert_allclose(again.scores, ranking.scores, rtol=1e-4, atol=1e-5)
    assert max(read) <= 150


@pytest.mark.parametrize("collaborative", ["MF", "LightGCN", "SASRec"])
def test_strangers_score_the_same_one_by_one_and_ranked(
    collaborative: str, folders: dict[str, Path], train: Feedback
) -> None:
    """A stranger who took nothing but what nobody else knows, and one who took something known."""
    wide = Catalog.from_columns(np.arange(ITEMS + 1), title=[f"Film {n}" for n in range(ITEMS + 1)])
    params = SMALL | {"collaborative": collaborative, "collaborative_params": PARTS[collaborative]}
    model = CoLLM(llm=folders["BERT"], **params, top=ITEMS + 1).fit(train, wide)
    taken = Feedback.from_columns([900, 901], [ITEMS, 3], [True, True]).likes
    for row, item in enumerate((ITEMS, 3)):
        ranking = model.recommend(taken.select_users([row]), ITEMS, exclude_seen=False)
        ranked, user = ranking.item_ids[ranking.items[0]], 900 + row
        past = Feedback.from_columns([user], [item], [True])
        labels = [False] * len(ranked)
        rows = Feedback.from_columns([user] * len(ranked), ranked, labels, earlier=past)
        np.testing.assert_allclose(model.score_rows(rows), ranking.scores[0], rtol=1e-4, atol=1e-5)


def test_a_causal_model_that_shares_no_prefix_reads_whole_prompts(
    folders: dict[str, Path], train: Feedback, test: Feedback, tmp_path: Path
) -> None:
    folder = saved(tmp_path / "lfm2", tiny_lfm2(), llama_tokenizer())
    model = CoLLM(llm=folder, **SMALL).fit(train, CATALOG)
    backbone = model._language.backbone
    assert not backbone.shares_prefixes
    with pytest.raises(ValueError, match="the model of a prefix is one with other memories"):
        backbone.prefix(prompts_of([[]], ["Film"])[0])
    ranking = model.recommend(test.histories([5]), 3)
    assert np.isfinite(ranking.scores).all()


def test_a_score_that_is_no_number_is_not_hidden(folders: dict[str, Path], train: Feedback) -> None:
    model = CoLLM(llm=folders["BERT"], **SMALL).fit(train, CATALOG)
    with torch.no_grad():
        model._language.mapper[2].weight[0, 0] = float("nan")
    assert np.isnan(model.score_rows(train)).all()


# What is learned


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


# Every collaborative model


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


# Fits


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
    folders: dict[str, Path], train: Feedback, tmp_path: Path
) -> None:
    model = CoLLM(llm=folders["BERT"], **SMALL).fit(train, CATALOG, checkpoint=tmp_path)
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


# Saves


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


# On a pre-trained one


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
