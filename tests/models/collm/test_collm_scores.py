"""What CoLLM's scores depend on."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from tiny_collm import CATALOG, ITEMS, KINDS, PARTS, SMALL, TOLD, renamed
from tiny_models import llama_tokenizer, saved, tiny_falcon, tiny_lfm2

from pyhybrid import Catalog, CoLLM
from pyhybrid.data import Feedback
from pyhybrid.llm.networks import LanguageNetwork
from pyhybrid.models.collm_prompts import prompts_of

if TYPE_CHECKING:
    from pathlib import Path

torch = pytest.importorskip("torch", reason="needs torch")
collm_scoring = pytest.importorskip("pyhybrid.models.collm_scoring")

pytestmark = pytest.mark.usefixtures("one_thread")


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


def test_users_read_together_score_as_alone_and_fit_the_memory(
    fitted: dict[str, CoLLM], monkeypatch: pytest.MonkeyPatch
) -> None:
    network = fitted["Llama"]._ready()
    liked = [["Heat"], ["A long title"] * 6, [], ["Up", "Alien"]]
    dim = network.mapper[0].in_features
    vectors = np.random.default_rng(0).standard_normal((4 + 40, dim)).astype(np.float32)
    rows = np.repeat(np.arange(4), 10)
    asked = network, liked, vectors[:4], rows, [f"Film {n % 10}" for n in range(40)], vectors[4:]
    alone = collm_scoring.score_pairs(*asked)
    assert alone.std() > 0.01
    read = []
    states = LanguageNetwork.states

    def counted(self: Any, embedded: Any, mask: Any, *others: Any) -> Any:
        read.append((len(mask), mask.numel()))
        return states(self, embedded, mask, *others)

    monkeypatch.setattr(LanguageNetwork, "states", counted)
    monkeypatch.setattr(collm_scoring, "_is_on_cpu", lambda network: False)
    monkeypatch.setattr(collm_scoring, "_TOKENS", 700)
    monkeypatch.setattr(network.backbone, "max_tokens", 350)  # so two users at a time
    np.testing.assert_allclose(collm_scoring.score_pairs(*asked), alone, rtol=1e-4, atol=1e-5)
    assert [rows for rows, _ in read].count(2) >= 2
    assert max(tokens for _, tokens in read) <= 700


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


@pytest.mark.parametrize("make", [tiny_lfm2, tiny_falcon])
def test_a_causal_model_that_shares_no_prefix_reads_whole_prompts(
    make: Any, train: Feedback, test: Feedback, tmp_path: Path
) -> None:
    folder = saved(tmp_path / "model", make(), llama_tokenizer())
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
