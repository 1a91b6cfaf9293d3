"""CoLLM's prompts, batches and soft tokens."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from tiny_collm import CATALOG, KINDS, PART, SMALL, renamed
from tiny_models import HIDDEN, SPECIAL

from pyhybrid import CoLLM, load
from pyhybrid.models.collm_prompts import prompts_of
from pyhybrid.models.collm_rows import Titles, row_batches

if TYPE_CHECKING:
    from pathlib import Path

    from pyhybrid.data import Feedback

torch = pytest.importorskip("torch", reason="needs torch")

pytestmark = pytest.mark.usefixtures("one_thread")


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
