from __future__ import annotations

import re
from collections import Counter
from typing import TYPE_CHECKING

import numpy as np
import pytest

from pyhybrid.data import Catalog, Interactions
from pyhybrid.llm import CallableGenerator, Generation
from pyhybrid.text.augment import (
    STRATEGIES,
    augment,
    catalog_neighbours,
    duplicated,
    prompt,
    shuffled,
)
from pyhybrid.text.neighbours import random_neighbours

if TYPE_CHECKING:
    from pathlib import Path

ENGAGEMENT = [name for name, strategy in STRATEGIES.items() if strategy.engagement]
BASIC = [name for name in STRATEGIES if name not in ENGAGEMENT]
# Items 10, 20, 30 are taken together; 40 and 50, too; nobody takes 60; 70 has no text.
SEEN = Interactions.from_columns(
    ["u", "u", "v", "v", "v", "w", "w", "x", "x", "y", "y", "y"],
    [10, 20, 10, 20, 30, 40, 50, 40, 50, 70, 40, 50],
)
TITLES = ["Fifty", "Ten", "Thirty", "Twenty", "Sixty", "Forty", ""]
CATALOG = Catalog([50, 10, 30, 20, 60, 40, 70], {"title": TITLES})


class Echo:
    """Answer with a mark and the words of the prompt; count what is asked."""

    def __init__(self, answer=None) -> None:
        self.asked: list[str] = []
        self.answer = answer or (lambda words: f" <{words}>\n")
        self.inner = CallableGenerator(self.once, "echo")
        self.name = self.inner.name

    def once(self, words: str) -> str | Generation | None:
        self.asked.append(words)
        return self.answer(words)

    def generate(self, prompts, *, keep=None):
        return self.inner.generate(prompts, keep=keep)


def ask(catalog=CATALOG, interactions=SEEN, generator=None, **given):
    return augment(catalog, interactions, generator or Echo(), **{"cache": None, **given})


ODD = "He said \"no\" {name} %s {0} \\n\nNew line\n\n</item> 'end' 日本"


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_a_prompt_holds_the_text_once_letter_by_letter(strategy: str) -> None:
    others = ["First {a}", 'Second "b"', "Third\nc"]
    words, version = prompt(strategy, ODD, others)
    assert words.count(ODD) == 1
    assert version == f"llm-rec/{strategy}/1"
    places = [words.find(other) for other in others]
    if strategy in ENGAGEMENT:
        assert words.index(ODD) < places[0] < places[1] < places[2]
        assert all(words.count(other) == 1 for other in others)
        assert len(re.findall(r"^Related item \d+:$", words, re.MULTILINE)) == 3
    else:
        assert places == [-1, -1, -1]


def test_the_eight_strategies_ask_eight_questions() -> None:
    assert len(STRATEGIES) == 8
    assert len({prompt(name, "Heat", ["Ronin"])[0] for name in STRATEGIES}) == 8
    recommend = [name for name, strategy in STRATEGIES.items() if "recommend" in strategy.question]
    assert recommend == [name for name in STRATEGIES if name.endswith("_rec")]
    assert len(recommend) == 4
    assert ENGAGEMENT == ["engagement", "engagement_rec"]


@pytest.mark.parametrize("strategy", ENGAGEMENT)
def test_without_neighbours_the_basic_recommendation_prompt_is_asked(strategy: str) -> None:
    assert prompt(strategy, "Heat") == prompt("paraphrase_rec", "Heat")


def test_each_strategy_becomes_a_field_of_the_items() -> None:
    shares: list[float] = []
    richer = ask(progress=shares.append)
    assert list(richer.fields) == ["title", *(f"llm_{name}" for name in STRATEGIES)]
    assert richer.item_ids.tolist() == CATALOG.item_ids.tolist()
    assert richer.fields["title"].tolist() == TITLES
    for name in BASIC:
        expected = [f"<{prompt(name, title)[0]}>" if title else "" for title in TITLES]
        assert richer.fields[f"llm_{name}"].tolist() == expected
        assert richer.outcomes[name] == (6, 0, 0, 1)
    for name in ENGAGEMENT:
        assert richer.outcomes[name] == (6, 0, 1, 1)  # 60 has no neighbours
    assert shares == sorted(shares)
    assert shares[-1] == pytest.approx(1)
    assert isinstance(richer, Catalog)
    assert richer.select([10]).texts() == ["Ten"]
    assert list(CATALOG.fields) == ["title"]


def related(words: str) -> list[str]:
    return re.findall(r"^Related item \d+:\n(.*)$", words, re.MULTILINE)


@pytest.mark.parametrize("strategy", ENGAGEMENT)
def test_neighbours_stand_in_the_prompt_best_first_and_have_text(strategy: str) -> None:
    richer = ask(strategies=[strategy], neighbours=2)
    answers = richer.fields[f"llm_{strategy}"].tolist()
    assert [related(answer) for answer in answers] == [
        ["Forty"],  # of 50: 70 is nearer than nothing, but nothing is known of it
        ["Twenty", "Thirty"],
        ["Ten", "Twenty"],  # alike, so in the order of the interactions' items
        ["Ten", "Thirty"],
        [],
        ["Fifty"],
        [],
    ]
    assert related(ask(strategies=[strategy], neighbours=1).fields[f"llm_{strategy}"][1]) == [
        "Twenty"
    ]
    assert answers[4] == f"<{prompt('paraphrase_rec', 'Sixty')[0]}>"


def test_neighbours_are_positions_in_the_catalogue() -> None:
    found = catalog_neighbours(CATALOG, SEEN, 2)
    assert found.dtype == np.int32
    expected = [[5, -1], [3, 2], [1, 3], [1, 2], [-1, -1], [0, -1]]
    assert found[:6].tolist() == expected
    assert sorted(found[6].tolist()) == [0, 5]  # an item without text may have neighbours
    given = ask(strategies=ENGAGEMENT, interactions=None, neighbours=found)
    wanted = ask(strategies=ENGAGEMENT, neighbours=2)
    for name in ENGAGEMENT:
        assert given.fields[f"llm_{name}"].tolist() == wanted.fields[f"llm_{name}"].tolist()


def test_interactions_may_have_items_that_the_catalogue_lacks() -> None:
    smaller = CATALOG.select([60, 30, 10])  # 20, best neighbour of 10, is still a way to 30
    assert catalog_neighbours(smaller, SEEN, 2).tolist() == [[-1, -1], [2, -1], [1, -1]]


def test_held_out_pairs_do_not_reach_the_prompts() -> None:
    users, items = SEEN.matrix.nonzero()
    held_out = (SEEN.user_ids[users] == "v") & (SEEN.item_ids[items] == 30)
    assert held_out.sum() == 1
    seen, trained = (
        ask(interactions=given, strategies=["engagement"]).fields["llm_engagement"].tolist()
        for given in (SEEN, SEEN.keep_pairs(~held_out))
    )
    assert ["Thirty" in related(answer) for answer in seen] == [False, True, False, True] + [
        False
    ] * 3
    assert not any("Thirty" in related(answer) for answer in trained)
    assert [trained[place] for place in (0, 4, 5)] == [seen[place] for place in (0, 4, 5)]


@pytest.mark.parametrize(
    "nothing", ["", " \n", None, Generation("no", refused=True), "I'm sorry, but I can't do that."]
)
def test_empty_and_refused_answers_fall_back_to_the_original_text(nothing) -> None:
    generator = Echo(lambda words: nothing if "Ten" in words else "tags")
    richer = ask(generator=generator, strategies=["tags", "inference"])
    for name in ("tags", "inference"):
        answers = dict(zip(TITLES, richer.fields[f"llm_{name}"], strict=True))
        assert answers.pop("Ten") == "Ten"
        assert answers.pop("") == ""
        assert set(answers.values()) == {"tags"}
        assert richer.outcomes[name] == (5, 1, 0, 1)
    assert "2 of 12 answers empty or refused; 12 calls" in repr(richer)


def test_a_second_run_asks_nothing_and_gives_the_same(tmp_path: Path) -> None:
    first, second = Echo(), Echo()
    one = ask(generator=first, cache=tmp_path)
    other = ask(generator=second, cache=tmp_path)
    assert second.asked == []
    assert (one.calls, other.calls) == (len(first.asked), 0)
    # 60 has no neighbours: one prompt serves three strategies
    assert Counter(first.asked).most_common(1)[0][1] == 1
    assert len(first.asked) == 8 * 6 - 2
    for name, values in one.fields.items():
        assert other.fields[name].tolist() == values.tolist()


def test_a_run_that_breaks_off_goes_on_where_it_was(tmp_path: Path) -> None:
    def breaking(words: str) -> str:
        if len(first.asked) == 20:
            raise RuntimeError("power cut")
        return "x"

    first, second = Echo(breaking), Echo(lambda words: "x")
    with pytest.raises(RuntimeError, match="power cut"):
        ask(generator=first, cache=tmp_path)
    ask(generator=second, cache=tmp_path)
    assert set(first.asked[:19]).isdisjoint(second.asked)
    assert len(second.asked) == 46 - 19


def test_a_new_version_of_a_prompt_asks_anew(tmp_path: Path, monkeypatch) -> None:
    ask(strategies=["tags"], cache=tmp_path)
    newer = STRATEGIES["tags"]._replace(version=2)
    monkeypatch.setitem(STRATEGIES, "tags", newer)  # the same words
    generator = Echo()
    ask(generator=generator, strategies=["tags"], cache=tmp_path)
    assert len(generator.asked) == 6


def test_tokens_are_counted_and_fields_chosen() -> None:
    catalog = Catalog.from_columns([1, 2], title=["Heat", "Up"], description=["Heist.", "House."])
    generator = Echo(lambda words: Generation("x", False, 100, 1))
    richer = ask(catalog, None, generator, strategies=["tags"], fields=["title", "description"])
    assert (richer.prompt_tokens, richer.completion_tokens) == (200, 2)
    assert "Title: Heat. Description: Heist." in generator.asked[0]


def test_no_strategy_leaves_the_catalogue_as_it_is() -> None:
    richer = ask(strategies=[], interactions=None)
    assert list(richer.fields) == ["title"]
    assert richer.calls == 0


# Controls:


def test_duplicated_fields_hold_the_original_text() -> None:
    control = duplicated(CATALOG, ["tags", "engagement"])
    assert list(control.fields) == ["title", "llm_tags", "llm_engagement"]
    assert control.fields["llm_tags"].tolist() == control.fields["llm_engagement"].tolist()
    assert control.fields["llm_tags"].tolist() == TITLES


def test_shuffled_fields_go_together_to_another_item() -> None:
    richer = ask(strategies=["tags", "inference"], catalog=CATALOG.select([10, 20, 30, 40, 50]))
    mixed = shuffled(richer, seed=3)
    assert mixed.fields["title"].tolist() == richer.fields["title"].tolist()
    pairs = list(zip(richer.fields["llm_tags"], richer.fields["llm_inference"], strict=True))
    moved = list(zip(mixed.fields["llm_tags"], mixed.fields["llm_inference"], strict=True))
    assert sorted(moved) == sorted(pairs)
    assert all(one != other for one, other in zip(moved, pairs, strict=True))
    again = shuffled(richer, seed=3).fields["llm_tags"].tolist()
    assert again == mixed.fields["llm_tags"].tolist()
    assert any(
        shuffled(richer, seed=seed).fields["llm_tags"].tolist() != again for seed in range(5)
    )
    with pytest.raises(ValueError, match=r"shuffled: fields is only title; .* use augment first"):
        shuffled(CATALOG)


def test_random_neighbours_change_the_prompts_but_not_their_number() -> None:
    whole = CATALOG.select([10, 20, 30, 40, 50, 60])
    found = catalog_neighbours(whole, SEEN, 2)
    real, control = Echo(), Echo()
    ask(whole, None, real, strategies=["engagement"], neighbours=found)
    drawn = random_neighbours(found, seed=0)
    ask(whole, None, control, strategies=["engagement"], neighbours=drawn)
    assert [len(related(w)) for w in real.asked] == [len(related(w)) for w in control.asked]
    assert real.asked != control.asked


def test_given_neighbours_without_text_are_left_out() -> None:
    given = np.full((7, 2), -1)
    given[1] = [6, 2]
    richer = ask(interactions=None, strategies=["engagement"], neighbours=given)
    assert related(richer.fields["llm_engagement"][1]) == ["Thirty"]
    assert richer.outcomes["engagement"].without_neighbours == 5


@pytest.mark.parametrize(
    ("given", "error", "match"),
    [
        ({"strategies": ["poem"]}, ValueError, "a strategy is 'poem'; expected some of: para"),
        ({"strategies": "tags"}, TypeError, "strategies is 'tags'; .* put it into a list"),
        ({"interactions": None}, ValueError, "interactions is None; expected the training"),
        ({"neighbours": 0}, ValueError, "neighbours is 0"),
        ({"neighbours": [[1]]}, TypeError, "neighbours is "),
        ({"neighbours": np.zeros((2, 1), int)}, ValueError, r"shape of neighbours is \(2, 1\)"),
        ({"neighbours": np.full((7, 1), 7)}, ValueError, "neighbours is 7; .* 0 to 6, or -1"),
        ({"neighbours": np.zeros((7, 1))}, TypeError, "neighbours's dtype is float64"),
    ],
)
def test_wrong_arguments_are_refused(given, error, match) -> None:
    generator = Echo()
    with pytest.raises(error, match=f"augment: .*{match}"):
        ask(generator=generator, **given)
    assert generator.asked == []
