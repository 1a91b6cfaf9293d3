from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from pyhybrid import ESLER, Interactions, Popularity, TextSimilarity, evaluate
from pyhybrid.comparison import BUCKETS, Measured, kept, measure, paired_interval
from pyhybrid.data import HeldOut, splits, synthetic

if TYPE_CHECKING:
    from pyhybrid import Split


@pytest.fixture(scope="module")
def split() -> Split:
    interactions, _ = synthetic.topics(users=400, items=120, seed=1)
    return splits.cold_items(splits.strong(interactions, seed=1), share=0.15, seed=1)


@pytest.fixture(scope="module")
def measured(split: Split) -> dict[str, Measured]:
    catalog = synthetic.topics(users=400, items=120, seed=1)[1]
    models = {
        "popularity": Popularity(),
        "text": TextSimilarity(),
        "esler": ESLER(l2=20.0),
        "esler+text": ESLER(l2=20.0, text="tfidf"),
    }
    return {
        name: measure(model.fit(split.train, catalog), split.test, name=name)
        for name, model in models.items()
    }


@pytest.fixture(scope="module")
def found(measured: dict[str, Measured]) -> dict[str, Any]:
    return kept(measured, behaviour=("esler", "multvae"), text=("text",))


def test_figures_are_those_of_evaluate(split: Split, found: dict[str, Any]) -> None:
    report = evaluate(ESLER(l2=20.0).fit(split.train), split.test, ["ndcg@10", "recall@20"])
    row = found["models"]["esler"]
    for side in ("joint", "known", "new", "warm"):
        assert row[side]["ndcg@10"] == report[side, "ndcg@10"]
    assert row["joint"]["recall@20"] == report["recall@20"]
    assert row["new"]["ndcg@10"] == 0
    assert row["cold"] is row["tradeoff"] is None  # ranks no new item
    assert row["kept"] == {"known": 1.0, "new": None}


def test_shares_are_of_the_best_pure_models(found: dict[str, Any]) -> None:
    assert found["best"] == {"behaviour": "esler", "text": "text"}
    models = found["models"]
    both, esler, text = (models[name] for name in ("esler+text", "esler", "text"))
    known = both["known"]["ndcg@10"] / esler["known"]["ndcg@10"]
    assert both["kept"]["known"] == pytest.approx(known)
    area = both["tradeoff"]["area"] / text["tradeoff"]["area"]
    assert both["kept"]["new"] == pytest.approx(area)
    assert text["kept"]["new"] == 1.0
    assert 0 < models["popularity"]["kept"]["known"] < 1


def test_a_curve_is_told_with_few_points(found: dict[str, Any], measured: dict[str, Any]) -> None:
    whole = measured["esler+text"].report.tradeoffs["esler+text"]
    told = found["models"]["esler+text"]["tradeoff"]
    assert told["area"] == whole.area
    known, new = (np.array(told["curve"][side]) for side in ("known", "new"))
    assert 20 < len(known) == len(new) <= 60
    assert (known[0], new[0]) == (whole.known[0], whole.new[0])
    assert (known[-1], new[-1]) == (whole.known[-1], whole.new[-1])
    area = ((new[1:] + new[:-1]) / 2 * -np.diff(known)).sum()
    assert area == pytest.approx(whole.area, rel=0.02)
    assert told["placed"]["joint"] == whole.placed[2].tolist()


def test_intervals_tell_a_difference_from_chance(found: dict[str, Any]) -> None:
    models = found["models"]
    worse = models["popularity"]["interval"]["known"]
    assert worse["against"] == "esler"
    assert worse["low"] < worse["difference"] < worse["high"] < 0
    gap = models["popularity"]["known"]["ndcg@10"] - models["esler"]["known"]["ndcg@10"]
    assert worse["difference"] == pytest.approx(gap)
    assert models["text"]["interval"]["joint"]["high"] < 0
    assert models["esler+text"]["interval"]["new"]["against"] == "text"
    assert models["esler"]["interval"]["known"] is models["esler"]["interval"]["joint"] is None


def test_buckets_hold_every_target_and_user(split: Split, found: dict[str, Any]) -> None:
    counts = split.train.item_counts()
    targets = counts[split.test.targets.matrix.indices]
    lengths = np.diff(split.test.histories.matrix.indptr)
    for row in found["models"].values():
        assert list(row["by_frequency"]) == list(row["by_history"]) == list(BUCKETS)
        sizes = [part["targets"] for part in row["by_frequency"].values()]
        assert sizes[0] == (targets == 0).sum()
        assert sizes[2] == ((targets > 5) & (targets <= 20)).sum()
        assert sum(sizes) == len(targets)
        users = [part["users"] for part in row["by_history"].values()]
        assert users[3] == ((lengths > 20) & (lengths <= 100)).sum()
    cold = found["models"]["esler"]["by_frequency"]["0"]["ndcg@10"]
    assert cold == 0
    assert found["models"]["esler+text"]["by_frequency"]["0"]["ndcg@10"] > 0


def test_coverage_and_popularity_are_of_what_is_shown() -> None:
    train = Interactions.from_columns([0, 0, 1, 1, 2], ["a", "b", "a", "c", "a"])
    history = Interactions.from_columns(["new"], ["b"], ids=train.select_users([]))
    target = Interactions.from_columns(["new"], ["c"], ids=history.select_users([]))
    held_out = HeldOut(history.with_items(train.item_ids), target.with_items(train.item_ids))
    found = measure(Popularity().fit(train), held_out)
    assert found.coverage == pytest.approx(2 / 3)  # a and c; b is seen
    assert found.popularity == pytest.approx((3 + 1) / 2)
    assert found.by_frequency["1-5"] == (pytest.approx(1 / math.log2(3)), 1)
    assert found.by_frequency["more"][1] == 0
    assert math.isnan(found.by_frequency["more"][0])


def test_what_is_found_goes_to_json(found: dict[str, Any]) -> None:
    assert json.loads(json.dumps(found, allow_nan=False)) == found


def test_without_a_pure_model_there_is_no_share(measured: dict[str, Measured]) -> None:
    found = kept({"popularity": measured["popularity"]}, behaviour=(), text=())
    assert found["best"] == {"behaviour": None, "text": None}
    assert found["models"]["popularity"]["kept"] == {"known": None, "new": None}
    assert found["models"]["popularity"]["interval"]["joint"] is None


def test_the_interval_covers_as_often_as_it_says() -> None:
    rng = np.random.default_rng(0)
    covered = 0
    for draw in range(200):
        gaps = rng.exponential(0.1, size=80) - 0.05  # of mean 0.05
        _, low, high = paired_interval(gaps, np.zeros(80), seed=draw)
        covered += low <= 0.05 <= high
    assert 176 <= covered <= 198


def test_the_interval_pairs_users_and_leaves_out_those_without_a_target() -> None:
    rng = np.random.default_rng(0)
    one = rng.random(300)
    other = one - 0.01
    one[:10] = other[:10] = np.nan
    mean, low, high = paired_interval(one, other)
    assert mean == pytest.approx(0.01)
    assert high - low < 1e-12  # each user differs by as much, however much users differ
    assert paired_interval(one, other) == (mean, low, high)
    assert all(math.isnan(x) for x in paired_interval(one[:10], other[:10]))


def test_other_users_are_refused() -> None:
    with pytest.raises(
        ValueError, match=r"^paired_interval: one's shape is \(2,\); expected \(3,\)"
    ):
        paired_interval(np.zeros(2), np.zeros(3))
