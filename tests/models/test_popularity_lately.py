"""Tests of popularity by time, and of what every model recommends to users without a history."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from scipy.sparse import csr_array

from pyhybrid import ESLER, MF, Interactions, Popularity, evaluate, load
from pyhybrid.data import Feedback, splits, synthetic
from pyhybrid.data.lately import NEWEST, Dated
from pyhybrid.storage import read_folder, write_folder

if TYPE_CHECKING:
    from pathlib import Path

    from pyhybrid import Ranking
    from pyhybrid.models.base import Recommender

# Items a to f in the order of their last users; "a" is the most popular of all times.
ITEMS = ["a", "b", "a", "a", "c", "c", "d", "a", "e", "d", "f", "e"]
TIMES = np.arange(len(ITEMS)) * 10


def taken(**given: Any) -> Interactions:
    return Interactions.from_columns(np.arange(len(ITEMS)), ITEMS, **{"times": TIMES, **given})


def to_a_stranger(model: Recommender, **options: Any) -> Ranking:
    """Recommend everything to somebody without a history."""
    items = len(model.item_ids)
    return model.recommend(csr_array((1, items), dtype=np.float32), items, **options)


def order(model: Recommender) -> str:
    ranking = to_a_stranger(model)
    return "".join(model.item_ids[ranking.items[0][ranking.items[0] >= 0]])


def same(one: Ranking, other: Ranking) -> None:
    np.testing.assert_array_equal(one.items, other.items)
    np.testing.assert_array_equal(one.scores, other.scores)


@pytest.mark.parametrize(
    ("newest", "expected"),
    [
        (0.01, "eacdbf"),  # the last event alone; the others by all their users, equals by index
        (1 / 3, "edfacb"),  # two of e, one of d and one of f; of all times d has more than f
        (0.5, "deafcb"),
        (1.0, "acdebf"),
        (1, "acdebf"),
    ],
)
def test_the_newest_events_come_first_then_all_users(newest: float, expected: str) -> None:
    assert order(Popularity(newest=newest).fit(taken())) == expected


def test_all_events_are_in_the_order_of_all_times() -> None:
    assert order(Popularity(newest=1.0).fit(taken())) == order(Popularity().fit(taken()))


def test_events_of_the_same_time_are_not_parted() -> None:
    together = Interactions.from_columns(range(5), list("abbcd"), times=[1, 1, 1, 2, 2])
    assert order(Popularity(newest=0.2).fit(together)) == "cdba"
    assert order(Popularity(newest=0.6).fit(together)) == "bacd"


def test_a_half_life_halves_older_users() -> None:
    assert order(Popularity(half_life=10.0).fit(taken())) == "efdacb"
    assert order(Popularity(half_life=1e9).fit(taken())) == "aedcfb"  # equal counts by their time
    two = Interactions.from_columns(range(4), list("xyyz"), times=[10, 0, 0, -10])
    assert order(Popularity(half_life=10.1).fit(two)) == "yxz"
    assert order(Popularity(half_life=9.9).fit(two)) == "xyz"


@pytest.mark.parametrize("half_life", [1e-3, 1e-320])
def test_what_is_too_old_to_weigh_anything_is_in_the_order_of_all_times(half_life: float) -> None:
    assert order(Popularity(half_life=half_life).fit(taken())) == "eacdbf"


def test_scores_are_places_and_equals_share_one() -> None:
    model = Popularity(newest=0.01).fit(taken())
    assert to_a_stranger(model).scores.tolist() == [[4.0, 3.0, 2.0, 2.0, 1.0, 1.0]]
    assert model.score(taken())[3].tolist() == [3.0, 1.0, 2.0, 2.0, 4.0, 1.0]
    assert model.item_counts.tolist() == [4, 1, 2, 2, 2, 1]


def test_no_two_counts_become_one_score() -> None:
    users, items = 3000, np.repeat(np.arange(60), np.arange(60) + 1)
    times = np.append(np.zeros(len(items)), np.ones(users))
    one = np.append(items, np.zeros(users, dtype=np.int64))  # that all of the newest take
    seen = Interactions.from_columns(np.arange(len(one)), one, times=times)
    model = Popularity(newest=0.5).fit(seen)
    assert to_a_stranger(model).items[0].tolist() == [0, *range(59, 0, -1)]


def test_a_users_events_of_an_item_count_once_as_the_last_of_them() -> None:
    users, items = [1, 1, 1, 2, 3, 4, 1], ["a", "a", "a", "b", "b", "c", "a"]
    seen = Interactions.from_columns(users, items, times=[1, 2, 3, 4, 5, 6, 7], duplicates="count")
    assert order(Popularity(newest=0.5).fit(seen)) == "acb"
    assert order(Popularity(newest=0.75).fit(seen)) == "bac"
    assert order(Popularity(half_life=0.5).fit(seen)) == "acb"
    assert Popularity(newest=1.0).fit(seen).item_counts.tolist() == [1, 2, 1]


@pytest.mark.parametrize("params", [{"newest": 0.3}, {"half_life": 1e6}])
def test_the_order_of_users_and_the_number_of_threads_do_not_matter(params: Any) -> None:
    seen, _ = synthetic.topics(users=200, items=80)
    model = Popularity(**params).fit(seen)
    shuffled = seen.select_users(np.random.default_rng(0).permutation(seen.n_users))
    again = Popularity(**params).fit(shuffled, threads=3)
    same(to_a_stranger(model, threads=1), to_a_stranger(again, threads=3))
    assert len(np.unique(to_a_stranger(model).scores)) > 10


@pytest.mark.parametrize("params", [{}, {"newest": 0.3}, {"half_life": 7.5}])
def test_it_is_saved_and_loaded(params: Any, tmp_path: Path) -> None:
    model = Popularity(**params).fit(taken())
    model.save(tmp_path / "model")
    again = load(tmp_path / "model")
    assert again.params == model.params == {"newest": None, "half_life": None, **params}
    assert again.fingerprint() == model.fingerprint()
    same(to_a_stranger(again), to_a_stranger(model))
    same(again.recommend(taken()), model.recommend(taken()))


def test_saves_from_before_there_were_parameters_go_on_loading(tmp_path: Path) -> None:
    model = Popularity().fit(taken())
    arrays = {"item_ids": model.item_ids, "item_counts": model.item_counts}
    write_folder(tmp_path / "model", {"class": "Popularity", "params": {}}, arrays)
    same(to_a_stranger(load(tmp_path / "model")), to_a_stranger(model))


@pytest.mark.parametrize("params", [{"newest": 0.2}, {"half_life": 5.0}])
def test_data_without_times_are_refused_in_words(params: Any) -> None:
    ((name, value),) = params.items()
    message = (
        rf"^Popularity: the events' times is missing; expected events with times for Popularity"
        rf"\({name}={value}\); read with time=; a bare CSR and an order alone have no times$"
    )
    model = Popularity(**params).fit(taken())
    before = to_a_stranger(model)
    for data in (taken().matrix, taken(times=None), taken(times=None, ordered=True)):
        with pytest.raises(ValueError, match=message):
            model.fit(data)
    same(to_a_stranger(model), before)


def test_parameters_are_checked() -> None:
    message = r"^Popularity: half_life is 3.0; expected None beside newest=0.2; "
    with pytest.raises(ValueError, match=message):
        Popularity(newest=0.2, half_life=3.0)
    for newest in (0, -0.1, 1.5, float("nan"), float("inf"), True, "0.2"):
        with pytest.raises(
            (TypeError, ValueError),
            match=r"^Popularity: newest is .*; expected a share above 0 and up to 1$",
        ):
            Popularity(newest=newest)  # type: ignore[arg-type]
    for half_life in (0, -1.0, float("nan"), float("inf"), True, "7"):
        with pytest.raises((TypeError, ValueError), match=r"^Popularity: half_life is"):
            Popularity(half_life=half_life)  # type: ignore[arg-type]
    assert repr(Popularity(newest=0.2)) == "Popularity(newest=0.2)"


# What others recommend to users without a history


def test_in_an_evaluation_by_time_users_without_a_history_lose_nothing() -> None:
    seen, _ = synthetic.topics(users=400, items=100)
    # Everybody begins at another time, so that the last part has users who are new.
    events = seen.events
    assert events is not None
    users = np.repeat(np.arange(seen.n_users), np.diff(events.indptr))
    days = users + np.random.default_rng(0).random(len(users)) * 100
    split = splits.by_time(Interactions.from_columns(users, events.items, times=days), test=0.2)
    new = np.diff(split.test.histories.matrix.indptr) == 0
    assert 10 < new.sum() < len(new)
    model, usual = ESLER(l2=10.0).fit(split.train), Popularity(newest=NEWEST).fit(split.train)
    assert order_of_items(usual) != order_of_items(Popularity().fit(split.train))
    strangers = split.test.histories.select_users(new)
    ranking = model.recommend(strangers, 10)
    assert ranking.fallback.all()
    same(ranking, usual.recommend(strangers, 10))
    part = splits.HeldOut(strangers, split.test.targets.select_users(new))
    figures = [evaluate(each, part, ["ndcg@10"])["ndcg@10"] for each in (model, usual)]
    assert figures[0] == figures[1] > 0


def order_of_items(model: Recommender) -> list[int]:
    return to_a_stranger(model).items[0].tolist()


def test_popularity_of_all_times_is_that_for_strangers_too() -> None:
    model = Popularity().fit(taken())
    assert order(model) == "acdebf"
    assert to_a_stranger(model).scores.tolist() == [[4.0, 2.0, 2.0, 2.0, 1.0, 1.0]]


def test_without_times_the_fallback_goes_by_all_users(tmp_path: Path) -> None:
    for data in (taken(times=None), taken(times=None, ordered=True), taken().matrix):
        model = ESLER().fit(data)
        assert order_of_items(model) == [0, 2, 3, 4, 1, 5]
        assert to_a_stranger(model).scores.tolist() == [[4.0, 2.0, 2.0, 2.0, 1.0, 1.0]]
    timed = ESLER().fit(taken())
    same(to_a_stranger(timed), to_a_stranger(Popularity(newest=NEWEST).fit(taken())))
    assert order_of_items(timed) != order_of_items(model)
    assert order_of_items(timed.fit(taken().matrix)) == order_of_items(model)


def test_a_model_saved_before_there_was_any_of_it_falls_back_by_all_users(tmp_path: Path) -> None:
    model = ESLER(keep_gram=True).fit(taken())
    model.save(tmp_path / "model")
    config, arrays = read_folder(tmp_path / "model")
    kept = {name: arrays[name] for name in arrays if "lately" not in name and "event" not in name}
    assert len(kept) == len(arrays) - 3
    saved = {"class": config["class"], "params": config["params"]}
    write_folder(tmp_path / "before", saved, kept)
    before = load(tmp_path / "before")
    assert order(before) == order(Popularity().fit(taken()))
    untimed = ESLER(keep_gram=True).fit(taken(times=None))
    assert before.fingerprint() == untimed.fingerprint()
    before.partial_fit(Interactions.from_columns([77, 78], ["b", "b"], times=[1, 2]))
    assert order(before) == "abcdef"


@pytest.mark.parametrize("loaded", [False, True])
def test_added_users_are_popular_lately_as_in_a_fit_on_all(loaded: bool, tmp_path: Path) -> None:
    seen, _ = synthetic.topics(users=120, items=60)
    whole = ESLER(keep_gram=True).fit(seen)
    model = ESLER(keep_gram=True).fit(seen.select_users(np.arange(40)))
    for first in (40, 80):
        if loaded:
            model.save(tmp_path / "model")
            model = ESLER.load(tmp_path / "model")
        model.partial_fit(seen.select_users(np.arange(first, first + 40)))
        model.partial_fit(csr_array((3, seen.n_items), dtype=np.float32))  # nobody
    same(to_a_stranger(model), to_a_stranger(whole))
    usual = Popularity(newest=NEWEST).fit(seen)
    same(to_a_stranger(model), to_a_stranger(usual))
    assert order_of_items(usual) != order_of_items(Popularity().fit(seen))


@pytest.mark.parametrize("times", [None, [1.0, 2.0]])
def test_added_users_whose_times_tell_nothing_leave_all_users(times: Any) -> None:
    model = ESLER(keep_gram=True).fit(taken())
    shard = Interactions.from_columns([77, 78], ["b", "b"], times=times)
    model.partial_fit(shard)
    assert order(model) == "abcdef"
    model.partial_fit(Interactions.from_columns([79], ["f"], times=[1000]))
    assert order(model) == "abcdfe"[:4] + "ef"


def test_labelled_rows_fall_back_by_what_was_liked_lately() -> None:
    pytest.importorskip("torch")
    seen, _ = synthetic.topics(users=60, items=30)
    rows = Feedback.sampled(seen)
    model = MF(dim=4, epochs=1, device="cpu").fit(rows)
    found = order_of_items(model)
    dated = Dated.of(seen)
    assert dated is not None
    lately = dated.newest(NEWEST, seen.n_items)  # ties go by all rows of the item
    assert (np.diff(lately[found]) <= 0).all()
    assert found != order_of_items(Popularity().fit(rows.likes))
