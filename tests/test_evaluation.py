from __future__ import annotations

import json
import math
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from scipy.sparse import csr_array

from pyhybrid import (
    ESLER,
    Catalog,
    HeldOut,
    Interactions,
    Popularity,
    Report,
    Split,
    compare,
    evaluate,
    tune,
)
from pyhybrid.data import splits, synthetic
from pyhybrid.evaluation import CANDIDATES, METRICS, Figure, evaluate_ranking
from pyhybrid.models.base import Recommender

if TYPE_CHECKING:
    from pathlib import Path

    from pyhybrid import Ranking

ALL_METRICS = [
    f"{name}@{k}"
    for name in ("ndcg", "recall", "recall_min", "precision", "hit", "mrr", "map", "map_min")
    for k in (1, 5, 20)
]


def naive(ranked: list[int], targets: set[int], metric: str) -> float:
    """Rate one user's list by the definitions, one rank at a time; `ranked` without padding."""
    name, k = metric.split("@")
    cutoff = int(k)
    hits = [rank for rank, item in enumerate(ranked[:cutoff], 1) if item in targets]
    reachable = min(cutoff, len(targets))
    precisions = [sum(hit <= rank for hit in hits) / rank for rank in hits]
    return {
        "ndcg": sum(1 / math.log2(rank + 1) for rank in hits)
        / sum(1 / math.log2(rank + 1) for rank in range(1, reachable + 1)),
        "recall": len(hits) / len(targets),
        "recall_min": len(hits) / reachable,
        "precision": len(hits) / cutoff,
        "hit": float(bool(hits)),
        "mrr": 1 / hits[0] if hits else 0.0,
        "map": sum(precisions) / len(targets),
        "map_min": sum(precisions) / reachable,
    }[name]


def naive_rows(
    model: Recommender,
    held_out: HeldOut,
    metric: str,
    allowed: np.ndarray[Any, Any] | None = None,
    counted: np.ndarray[Any, Any] | None = None,
) -> list[float]:
    """Rank and rate all users by plain Python, without the users that have no target."""
    part = held_out.with_items(model.item_ids)
    scores = model.score(part.histories)
    popularity = np.zeros(len(model.item_ids))
    popularity[model.rankable] = model.axis.popularity
    everything = np.ones(len(model.item_ids), dtype=np.bool_)
    rows = []
    for row in range(part.histories.n_users):
        history = set(part.histories.matrix[[row]].indices.tolist())
        by = scores[row] if history else popularity  # the fallback
        may = set(model.rankable.tolist()) - (history if held_out.exclude_seen else set())
        if part.unranked is not None:
            may -= set(part.unranked.matrix[[row]].indices.tolist())
        may &= set(np.flatnonzero(everything if allowed is None else allowed).tolist())
        wanted = set(part.targets.matrix[[row]].indices.tolist())
        wanted &= set(np.flatnonzero(everything if counted is None else counted).tolist())
        if wanted:
            ranked = sorted(may, key=lambda item: (-by[item], item))
            rows.append(naive(ranked, wanted, metric))
    return rows


def check_figure(figure: Figure, rows: list[float], users: int) -> None:
    assert figure.mean == pytest.approx(np.mean(rows), abs=1e-12)
    error = np.std(rows, ddof=1) / np.sqrt(len(rows))
    assert figure.standard_error == pytest.approx(error, abs=1e-12)
    assert (figure.users, figure.left_out) == (len(rows), users - len(rows))


@pytest.fixture(scope="module")
def data() -> tuple[Interactions, Catalog]:
    return synthetic.topics(users=150, items=40, events_per_user=8.0, seed=2)


@pytest.fixture(scope="module")
def split(data: tuple[Interactions, Catalog]) -> Split:
    return splits.strong(data[0], test=0.3, seed=0)


@pytest.fixture(scope="module")
def cold_split(split: Split) -> Split:
    return splits.cold_items(split, share=0.25, seed=0)


@pytest.fixture(scope="module")
def thin_split(split: Split) -> Split:
    return splits.cold_items(split, share=0.25, keep=3, seed=0)


class Scored(Recommender):
    """Score item i with i, cold items too."""

    scores_cold_items = True

    def _fit(self, interactions: Interactions, *_: Any) -> None:
        self.width = interactions.n_items

    def _score(self, histories: Interactions) -> np.ndarray[Any, Any]:
        return np.tile(np.arange(self.width, dtype=np.float32), (histories.n_users, 1))

    def _arrays(self) -> dict[str, Any]:
        return {}

    def _restore(self, arrays: dict[str, Any]) -> None:
        self.width = len(self.item_ids)


# Figures


@pytest.mark.parametrize("kind", [ESLER, Popularity])
def test_figures_are_those_of_a_plain_loop(kind: type[Recommender], split: Split) -> None:
    model = kind().fit(split.train)
    report = evaluate(model, split.test, ALL_METRICS)
    users = split.test.targets.n_users
    joint = [figure for figure in report.figures if figure.candidates == "joint"]
    assert [figure.metric for figure in joint] == ALL_METRICS
    for figure in joint:
        rows = naive_rows(model, split.test, figure.metric)
        check_figure(figure, rows, users)
        per_user = report.per_user[repr(model), "joint", figure.metric]
        np.testing.assert_allclose(per_user[~np.isnan(per_user)], rows, atol=1e-12)


def check_by_kind(report: Report, model: Recommender, part: HeldOut, new: Any) -> None:
    """Require each figure to be that of what is ranked and counted for it."""
    for figure in report.figures:
        allowed, counted = {
            "joint": (None, None),
            "known": (None, ~new),
            "new": (None, new),
            "warm": (~new, ~new),
            "cold": (new, new),
        }[figure.candidates]
        rows = naive_rows(model, part, figure.metric, allowed, counted)
        check_figure(figure, rows, part.targets.n_users)


def test_figures_of_one_kind_rank_all_items_or_that_kind_alone(cold_split: Split) -> None:
    model = Scored().fit(cold_split.train)
    new = cold_split.train.item_counts() == 0
    assert 0 < new.sum() < len(new)
    report = evaluate(model, cold_split.test, ["ndcg@10", "recall@5"])
    kinds = ["joint", "known", "new", "warm", "cold"]
    assert [figure.candidates for figure in report.figures[::2]] == kinds == list(CANDIDATES)
    check_by_kind(report, model, cold_split.test, new)
    by_candidates = {f.candidates: f for f in report.figures}
    for new_alone, known_alone in (("new", "known"), ("cold", "warm")):
        assert by_candidates[new_alone].left_out > 0  # or the test would show nothing
        assert by_candidates[known_alone].left_out > 0
    assert by_candidates["joint"].left_out == 0
    # One kind ranked alone looks better than it serves.
    assert report["warm", "ndcg@10"] > report["known", "ndcg@10"]
    assert report["cold", "ndcg@10"] > report["new", "ndcg@10"]


def test_a_model_of_known_items_ranks_no_new_one(cold_split: Split) -> None:
    model = ESLER(l2=10.0).fit(cold_split.train)
    report = evaluate(model, cold_split.test, ["ndcg@10"])
    assert [figure.candidates for figure in report.figures] == ["joint", "known", "new", "warm"]
    assert report["new", "ndcg@10"] == 0
    assert report["joint", "ndcg@10"] < report["known", "ndcg@10"] == report["warm", "ndcg@10"]
    assert report.tradeoffs == {}


@pytest.mark.parametrize("kind", [Scored, ESLER, Popularity])
def test_new_items_are_those_of_few_users_or_those_named(
    kind: type[Recommender], thin_split: Split
) -> None:
    model = kind().fit(thin_split.train)
    counts, test = model.item_counts, thin_split.test
    assert (counts > 0).all()
    metrics = ["ndcg@10"]
    assert {f.candidates for f in evaluate(model, test, metrics).figures} == {"joint"}
    for limit in (1, 4, 12):
        report = evaluate(model, test, metrics, new=limit)
        assert ("new" in {f.candidates for f in report.figures}) == (limit > 1)
        check_by_kind(report, model, test, counts < limit)
    named = evaluate(model, test, metrics, new=model.item_positions(thin_split.new_items))
    check_by_kind(named, model, test, thin_split.new_columns())
    assert named.figures == evaluate(model, test, metrics, new=4).figures  # all that have 3 users
    assert evaluate(model, test, metrics, new=[]).figures == evaluate(model, test, metrics).figures
    everything = evaluate(model, test, metrics, new=10_000)
    assert everything["new", "ndcg@10"] == everything["joint", "ndcg@10"]
    assert math.isnan(everything["known", "ndcg@10"])


def test_what_is_new_is_a_number_or_positions(cold_split: Split) -> None:
    model = Scored().fit(cold_split.train)
    for wrong in (-1, [-1], [40]):
        with pytest.raises(ValueError, match=r"new is -?\d+"):
            evaluate(model, cold_split.test, new=wrong)
    for wrong in (0.5, [0.5], True):
        with pytest.raises(TypeError, match="new"):
            evaluate(model, cold_split.test, new=wrong)


def test_only_the_figures_asked_for_are_made(cold_split: Split) -> None:
    model = Scored().fit(cold_split.train)
    whole = evaluate(model, cold_split.test, ["ndcg@10"])
    for kinds in (["joint"], ["new"], ["warm"], ["cold", "joint"], ["known", "cold"]):
        some = evaluate(model, cold_split.test, ["ndcg@10"], candidates=kinds)
        assert some.figures == tuple(f for f in whole.figures if f.candidates in kinds)
        assert some.tradeoffs == {}
    both = evaluate(model, cold_split.test, ["ndcg@10"], candidates=["cold", "warm"])
    assert both.tradeoffs[repr(model)].area == whole.tradeoffs[repr(model)].area
    with pytest.raises(ValueError, match=r"^evaluate: candidates is 'tepid'; expected some of"):
        evaluate(model, cold_split.test, candidates=["tepid"])


def test_without_cold_items_there_is_one_candidate_set(split: Split) -> None:
    warm = split.train.item_counts() > 0
    train = split.train
    assert warm.all()
    report = evaluate(Popularity().fit(train), split.test, ["mrr@3"])
    assert len(report.figures) == 1
    assert report.tradeoffs == {}


def test_items_of_the_catalogue_that_nobody_took_are_cold(
    data: tuple[Interactions, Catalog], split: Split
) -> None:
    wider = Catalog.from_columns([*split.train.item_ids, "nobody's"])
    report = evaluate(Scored().fit(split.train, wider), split.test, ["recall@5"])
    assert [f.candidates for f in report.figures] == list(CANDIDATES)
    for cold in (report.figures[2], report.figures[4]):
        assert (cold.users, cold.left_out) == (0, split.test.targets.n_users)
        assert math.isnan(cold.mean)


# What is not ranked


def by_hand() -> Split:
    """Of items n, q, p and r, in this order, "n" alone is to be new: x and z took it before."""
    ids = ("n", "q", "p", "r")

    def those(**taken: str) -> Interactions:
        users = [user for user, items in taken.items() for _ in items]
        return Interactions.from_columns(users, list("".join(taken.values()))).with_items(ids)

    test = HeldOut(those(x="np", y="p", z="nr"), those(x="q", y="n", z="pq"))
    return splits.cold_items(Split(those(a="np", b="qn", c="nr"), test), share=0.5, min_count=3)


class Downward(Scored):
    """Score an item the higher, the sooner it stands on the axis."""

    def _score(self, histories: Interactions) -> np.ndarray[Any, Any]:
        return -super()._score(histories)


def test_without_what_is_not_ranked_a_right_answer_counts_as_wrong() -> None:
    parts = by_hand()
    model = Downward().fit(parts.train)
    assert model.recommend(parts.test.histories, 3).items.tolist() == [
        [0, 1, 3],  # x took p
        [0, 1, 3],  # y took p
        [0, 1, 2],  # z took r
    ]
    found = evaluate(model, parts.test, ["ndcg@2"])
    # x: q, r; y: n, q; z: q, p
    assert found.per_user[repr(model), "joint", "ndcg@2"].tolist() == [1, 1, 1]
    assert found["known", "ndcg@2"] == 1  # of x and z
    assert found["new", "ndcg@2"] == 1  # of y
    assert (found.figures[1].users, found.figures[2].users) == (2, 1)
    second = 1 / math.log2(3)
    wrong = evaluate(model, replace(parts.test, unranked=None), ["ndcg@2"])
    # x: n, q; y: n, q; z: n, q: n comes first where x and z took it, and counts as a mistake.
    by_user = [second, 1, second / (1 + second)]
    np.testing.assert_allclose(wrong.per_user[repr(model), "joint", "ndcg@2"], by_user)
    assert wrong["ndcg@2"] == pytest.approx(np.mean(by_user))
    assert wrong["known", "ndcg@2"] == pytest.approx((by_user[0] + by_user[2]) / 2)
    # Known items ranked alone are the same: n is not among them.
    assert wrong["warm", "ndcg@2"] == found["warm", "ndcg@2"]


@pytest.mark.parametrize("kind", [Scored, ESLER, Popularity])
@pytest.mark.parametrize("by", ["strong", "leave-last", "random"])
def test_what_is_not_ranked_takes_no_place(
    data: tuple[Interactions, Catalog], kind: type[Recommender], by: str
) -> None:
    rng = np.random.default_rng(3)
    shuffled = rng.permutation(data[0].matrix.nnz)
    pairs = data[0].matrix.tocoo()
    ordered = Interactions.from_columns(
        pairs.row[shuffled], pairs.col[shuffled], times=np.arange(len(shuffled))
    )
    parts = splits.cold_items(splits.split(ordered, by), share=0.3, keep=2)
    model = kind().fit(parts.train)
    for part in parts.held_out.values():
        assert part.unranked is not None
        assert part.unranked.matrix.nnz
        report = evaluate(model, part, ["ndcg@5", "recall@20"], new=3)
        check_by_kind(report, model, part, model.item_counts < 3)


def test_random_does_not_rank_what_validation_asks_for(
    data: tuple[Interactions, Catalog],
) -> None:
    parts = splits.random(data[0], test=0.2, validation=0.3)
    model = Scored().fit(parts.train)
    report = evaluate(model, parts.test, ["ndcg@10"])
    check_by_kind(report, model, parts.test, parts.new_columns())
    assert report["ndcg@10"] > evaluate(model, replace(parts.test, unranked=None))["ndcg@10"]
    assert parts.validation is not None
    validation = evaluate(model, parts.validation, ["ndcg@10"])
    # Test targets are ranked there, as not to rank them would be to know.
    rows = naive_rows(model, parts.validation, "ndcg@10")
    assert validation["ndcg@10"] == pytest.approx(np.mean(rows))


def test_tune_ranks_no_more_than_evaluate(cold_split: Split) -> None:
    tuning = tune(ESLER(), {"l2": [1.0, 50.0]}, cold_split, "ndcg@5")
    assert cold_split.validation is not None
    assert cold_split.validation.unranked is not None
    for row in tuning.table:
        model = ESLER(l2=row["l2"]).fit(cold_split.train)
        rows = naive_rows(model, cold_split.validation, "ndcg@5")
        assert row["mean"] == pytest.approx(np.mean(rows), abs=1e-12)


def test_seen_items_count_where_they_may_be_the_answer() -> None:
    train = Interactions.from_columns([1, 1, 2, 2, 2], ["a", "b", "a", "b", "c"])
    histories = Interactions.from_columns([9], ["a"], ids=train).select_users([2])
    model = Popularity().fit(train)
    again = HeldOut(histories, histories, exclude_seen=False)
    assert evaluate(model, again, ["mrr@3"])["mrr@3"] == 1.0
    other = Interactions.from_columns([9], ["c"], ids=train).select_users([2])
    assert evaluate(model, HeldOut(histories, other), ["mrr@3"])["mrr@3"] == 0.5
    kept = HeldOut(histories, other, exclude_seen=False)
    assert evaluate(model, kept, ["mrr@3"])["mrr@3"] == pytest.approx(1 / 3)


def test_users_without_a_target_are_left_out_and_counted() -> None:
    train = Interactions.from_columns([1, 1, 2], ["a", "b", "a"])
    three = csr_array(np.zeros((3, 2), dtype=np.float32))
    targets = csr_array(np.array([[0, 1], [0, 0], [1, 0]], dtype=np.float32))
    ids = train.item_ids
    held_out = HeldOut(
        Interactions.from_csr(three, item_ids=ids), Interactions.from_csr(targets, item_ids=ids)
    )
    report = evaluate(Popularity().fit(train), held_out, ["mrr@2", "hit@1"])
    for figure in report.figures:
        assert (figure.users, figure.left_out) == (2, 1)
    assert report["mrr@2"] == 0.75
    assert report["hit@1"] == 0.5
    assert report.figures[0].standard_error == pytest.approx(0.25)
    assert np.isnan(report.per_user["Popularity()", "joint", "mrr@2"]).tolist() == [
        False,
        True,
        False,
    ]


def test_a_single_user_has_no_standard_error() -> None:
    train = Interactions.from_columns([1, 2], ["a", "a"])
    one = HeldOut(
        Interactions.from_csr(csr_array((1, 1), dtype=np.float32), item_ids=["a"]),
        Interactions.from_csr(csr_array(np.ones((1, 1), dtype=np.float32)), item_ids=["a"]),
    )
    report = evaluate(Popularity().fit(train), one, ["ndcg@5"])
    assert report["ndcg@5"] == 1.0
    assert math.isnan(report.figures[0].standard_error)
    assert "±" not in str(report)


def test_the_item_orders_of_model_and_targets_may_differ(split: Split) -> None:
    model = ESLER(l2=10.0).fit(split.train)
    order = np.random.default_rng(0).permutation(model.item_ids)
    other = split.test.with_items(order)
    assert evaluate(model, other)["ndcg@10"] == evaluate(model, split.test)["ndcg@10"]


def test_what_is_not_ranked_may_be_on_another_axis(cold_split: Split) -> None:
    model = Scored().fit(cold_split.train)
    order = np.random.default_rng(0).permutation(model.item_ids)
    for ids in (order, np.append(order, "nobody's")):
        other = cold_split.test.with_items(ids)
        assert evaluate(model, other).figures == evaluate(model, cold_split.test).figures


def test_an_item_that_the_model_does_not_know_need_not_be_ranked() -> None:
    train = Interactions.from_columns([1, 1, 2], ["a", "b", "a"])
    wider = Interactions.from_columns([1], ["a"]).with_items(["a", "b", "unknown"])
    part = HeldOut(
        *(Interactions.from_columns([9], [item], ids=wider).select_users([1]) for item in "ab"),
        unranked=Interactions.from_columns([9], ["unknown"], ids=wider).select_users([1]),
    )
    assert evaluate(Popularity().fit(train), part, ["mrr@3"])["mrr@3"] == 1.0


def test_default_metrics_and_threads(split: Split) -> None:
    model = ESLER(l2=10.0).fit(split.train)
    report = evaluate(model, split.test)
    assert [figure.metric for figure in report.figures] == list(METRICS)
    for threads in (1, 3):
        other = evaluate(model, split.test, threads=threads)
        assert [f.mean for f in other.figures] == [f.mean for f in report.figures]


def test_a_whole_split_is_a_type_error(split: Split) -> None:
    model = Popularity().fit(split.train)
    message = "^evaluate: held_out is a Split; expected a HeldOut; pass split.test or split.valid"
    with pytest.raises(TypeError, match=message):
        evaluate(model, split)
    with pytest.raises(TypeError, match="held_out is a Split"):
        compare([model], split)
    with pytest.raises(TypeError, match="held_out is a tuple"):
        evaluate(model, (split.test.histories, split.test.targets))


def test_targets_that_the_model_does_not_know_are_refused(split: Split) -> None:
    part = split.train.select_users([0, 1])
    narrow = Interactions.from_columns(*zip(("x", part.item_ids[part.matrix.indices[0]])))
    with pytest.raises(ValueError, match="unknown items"):
        evaluate(Popularity().fit(narrow), split.test)


@pytest.mark.parametrize(
    "metrics", [["ndcg"], ["ndcg@0"], ["ndcg@x"], ["speed@10"], ["ndcg@10", "@5"], []]
)
def test_unknown_metrics_are_refused(split: Split, metrics: list[str]) -> None:
    with pytest.raises(ValueError, match="metric"):
        evaluate(Popularity().fit(split.train), split.test, metrics)


def test_metrics_are_a_list(split: Split) -> None:
    with pytest.raises(TypeError, match="a list of names"):
        evaluate(Popularity().fit(split.train), split.test, "ndcg@10")


# Rankings that were made before


def test_a_given_ranking_has_the_same_figures(cold_split: Split) -> None:
    model = Scored().fit(cold_split.train)
    test, metrics = cold_split.test, ["ndcg@10", "recall@5"]
    new = model.item_counts == 0
    anew = evaluate(model, test, metrics)
    made = model.recommend(test.histories, 10, unranked=test.unranked)
    report = evaluate_ranking(made, test.targets, metrics, new=new)
    joint = [f for f in anew.figures if f.candidates in ("joint", "known", "new")]
    assert [replace(f, model=repr(model)) for f in report.figures] == joint
    assert {f.model for f in report.figures} == {"ranking"}
    assert report.tradeoffs == {}
    for only, of, kind in (("known", ~new, "warm"), ("new", new, "cold")):
        alone = model.recommend(
            test.histories, 10, among=np.flatnonzero(of), unranked=test.unranked
        )
        report = evaluate_ranking(alone, test.targets, metrics, new=new, only=only)
        wanted = [f for f in anew.figures if f.candidates == kind]
        assert [replace(f, model=repr(model)) for f in report.figures] == wanted


def test_one_kind_alone_is_not_had_from_joint_lists(cold_split: Split) -> None:
    model = Scored().fit(cold_split.train)
    new = model.item_counts == 0
    made = model.recommend(cold_split.test.histories, 5)
    for only, others in (("known", new), ("new", ~new)):
        number = int(others[made.items].sum())
        assert number
        message = f"number of items that are not {only} in lists of {only} items alone is {number};"
        with pytest.raises(ValueError, match=f"^evaluate_ranking: {message} expected 0"):
            evaluate_ranking(made, cold_split.test.targets, ["recall@5"], new=new, only=only)
    with pytest.raises(ValueError, match=r"^evaluate_ranking: new's shape is \(3,\); expected"):
        evaluate_ranking(made, cold_split.test.targets, ["recall@5"], new=new[:3])


def test_without_new_a_given_ranking_has_joint_figures_alone(cold_split: Split) -> None:
    made: Ranking = Scored().fit(cold_split.train).recommend(cold_split.test.histories, 5)
    targets = cold_split.test.targets
    nothing = np.zeros(made.item_ids.shape, dtype=np.bool_)
    for new in (None, nothing):
        report = evaluate_ranking(made, targets, ["recall@5"], new=new, name="mine")
        assert [(f.model, f.candidates) for f in report.figures] == [("mine", "joint")]


def test_lists_shorter_than_a_cutoff_are_refused(split: Split) -> None:
    made = Popularity().fit(split.train).recommend(split.test.histories, 5)
    with pytest.raises(ValueError, match="5"):
        evaluate_ranking(made, split.test.targets, ["recall@6"])


# Reports


def test_a_report_is_read_by_metric_candidates_and_model(cold_split: Split) -> None:
    models = {"one": Scored().fit(cold_split.train), "two": Popularity().fit(cold_split.train)}
    single = evaluate(models["one"], cold_split.test, ["ndcg@10", "hit@1"], name="one")
    figures = {(f.candidates, f.metric): f.mean for f in single.figures}
    assert single["ndcg@10"] == single["joint", "ndcg@10"] == figures["joint", "ndcg@10"]
    assert single["cold", "hit@1"] == single["one", "cold", "hit@1"] == figures["cold", "hit@1"]
    for unknown in ("ndcg@11", ("cold", "ndcg@11"), ("tepid", "hit@1"), ("two", "joint", "hit@1")):
        with pytest.raises(KeyError):
            single[unknown]
    both = compare(models, cold_split.test, ["hit@1"])
    assert both["one", "joint", "hit@1"] == single["hit@1"]
    assert list(both.tradeoffs) == []  # without an NDCG
    assert list(compare(models, cold_split.test).tradeoffs) == ["one"]
    with pytest.raises(KeyError, match="2 figures"):
        both["hit@1"]
    with pytest.raises(KeyError):
        both["two", "cold", "hit@1"]


def test_a_report_prints_as_a_table(cold_split: Split) -> None:
    model = Scored().fit(cold_split.train)
    report = evaluate(model, cold_split.test, ["ndcg@10", "hit@1"], name="a model")
    header, *rows, price = str(report).splitlines()
    assert header.split() == ["model", "targets", "ndcg@10", "hit@1", "users", "left", "out"]
    start = header.index("targets")
    assert [row[start : start + 15].strip() for row in rows] == [
        "joint",
        "known among all",
        "new among all",
        "known alone",
        "new alone",
    ]
    for row, figure in zip(rows, report.figures[::2], strict=True):
        assert row.startswith("a model")
        assert f"{figure.mean:.4f} ± {figure.standard_error:.4f}" in row
        assert row.split()[-2:] == [str(figure.users), str(figure.left_out)]
        assert len(row) <= len(header) or len(row) == len(rows[0])
    found = report.tradeoffs["a model"]
    assert price == (
        f"a model: new items are {found.as_scored[3]:.1%} of the lists of 10; area "
        f"{found.area:.4f}; the best joint ndcg@10 with them further up or down is "
        f"{found.best[1]:.4f}"
    )


def test_a_report_becomes_a_table_of_figures(cold_split: Split) -> None:
    report = evaluate(Scored().fit(cold_split.train), cold_split.test, ["hit@1"])
    rows = report.to_arrow().to_pylist()
    names = ["model", "candidates", "metric", "mean", "standard_error", "users", "left_out"]
    assert list(rows[0]) == names
    assert [Figure(**row) for row in rows] == list(report.figures)


# Compare


def test_compare_is_evaluate_of_each(split: Split) -> None:
    models = [Popularity().fit(split.train), ESLER(l2=5.0).fit(split.train)]
    both = compare(models, split.test, ["ndcg@10"])
    assert [f.model for f in both.figures] == [repr(model) for model in models]
    for model in models:
        alone = evaluate(model, split.test, ["ndcg@10"])
        key = (repr(model), "joint", "ndcg@10")
        assert both[key] == alone["ndcg@10"]
        np.testing.assert_array_equal(both.per_user[key], alone.per_user[key])
    named = compare({"a": models[0], "b": models[1]}, split.test, ["ndcg@10"])
    assert [f.model for f in named.figures] == ["a", "b"]
    generated = compare((model for model in models), split.test, ["ndcg@10"])
    assert generated.figures == both.figures


def test_compare_loses_no_model_to_a_name_that_two_share(split: Split) -> None:
    half = split.train.select_users(np.arange(10))
    models = [ESLER(l2=5.0).fit(split.train), ESLER(l2=5.0).fit(half)]
    try:
        report = compare(models, split.test, ["ndcg@10"])
    except ValueError as error:
        assert "compare" in str(error)  # noqa: PT017
    else:
        wanted = {evaluate(model, split.test, ["ndcg@10"])["ndcg@10"] for model in models}
        assert wanted <= {figure.mean for figure in report.figures}


# Tune


def test_tune_picks_the_best_on_validation(split: Split) -> None:
    grid = {"l2": [0.1, 20.0, 1000.0], "min_count": [1, 15]}
    tuning = tune(ESLER(), grid, split, "ndcg@5")
    assert split.validation is not None
    wanted = []
    for l2 in grid["l2"]:
        for min_count in grid["min_count"]:
            model = ESLER(l2=l2, min_count=min_count).fit(split.train)
            figure = evaluate(model, split.validation, ["ndcg@5"]).figures[0]
            row = {"mean": figure.mean, "standard_error": figure.standard_error}
            wanted.append({"l2": l2, "min_count": min_count, **row})
    assert list(tuning.table) == wanted
    best = max(wanted, key=lambda row: row["mean"])
    assert (tuning.model.l2, tuning.model.min_count) == (best["l2"], best["min_count"])
    assert tuning.metric == "ndcg@5"
    assert not hasattr(tuning.model, "item_ids")  # not fitted


def test_tune_never_looks_at_test(split: Split) -> None:
    blind = Split(split.train, split.test, split.validation)
    object.__setattr__(blind, "test", None)
    assert tune(ESLER(), {"l2": [1.0, 10.0]}, blind).model.l2 in (1.0, 10.0)


def test_tune_keeps_the_parameters_that_the_grid_does_not_name(split: Split) -> None:
    tuning = tune(ESLER(l2=7.0, keep_gram=True), {"min_count": [1]}, split)
    assert tuning.model.params == ESLER(l2=7.0, min_count=1, keep_gram=True).params


def test_of_equals_the_first_in_grid_order_wins(split: Split) -> None:
    assert tune(ESLER(l2=5.0), {"min_count": [2, 1]}, split, "hit@40").model.min_count == 2


def test_tune_can_go_by_warm_or_cold_items(cold_split: Split) -> None:
    tuning = tune(ESLER(), {"l2": [1.0, 50.0]}, cold_split, "ndcg@5", candidates="warm")
    model = ESLER(l2=1.0).fit(cold_split.train)
    warm = evaluate(model, cold_split.validation, ["ndcg@5"])["warm", "ndcg@5"]
    assert tuning.table[0]["mean"] == warm
    with pytest.raises(ValueError, match=r"^tune: candidates is 'cold', of which ESLER has no"):
        tune(ESLER(), {"l2": [1.0]}, cold_split, candidates="cold")


def test_tune_writes_its_table_as_it_goes(split: Split, tmp_path: Path) -> None:
    path = tmp_path / "tuning.json"
    rows_there = []

    def look(share: float) -> None:
        rows_there.append((share, len(json.loads(path.read_text())["table"])))

    tuning = tune(ESLER(), {"l2": [1.0, 10.0]}, split, "ndcg@5", out=path, progress=look)
    assert rows_there == [(0.5, 1), (1.0, 2)]
    written = json.loads(path.read_text())
    assert written["metric"] == "ndcg@5"
    assert written["table"] == list(tuning.table)
    assert list(tmp_path.iterdir()) == [path]


def test_a_tuning_prints_its_table_and_marks_the_best(split: Split) -> None:
    tuning = tune(ESLER(), {"l2": [1.0, 10.0]}, split, "ndcg@5")
    lines = str(tuning).splitlines()
    assert len(lines) == 2
    assert [line.endswith("<- best") for line in lines].count(True) == 1
    best = next(line for line in lines if line.endswith("<- best"))
    assert best.startswith(f"l2={tuning.model.l2}: ndcg@5 ")


def test_a_split_without_validation_is_refused(split: Split) -> None:
    with pytest.raises(ValueError, match=r"^tune: split\.validation is None; expected a held-out"):
        tune(ESLER(), {"l2": [1.0]}, Split(split.train, split.test))


@pytest.mark.parametrize("grid", [{}, {"l2": []}, {"l2": [1.0], "min_count": []}])
def test_an_empty_grid_is_refused(split: Split, grid: dict[str, list[Any]]) -> None:
    with pytest.raises(ValueError, match=r"^tune: grid is"):
        tune(ESLER(), grid, split)


def test_values_out_of_range_are_refused(split: Split) -> None:
    with pytest.raises(ValueError, match="l2 is -1"):
        tune(ESLER(), {"l2": [-1.0]}, split)


def test_an_empty_report_has_no_figures() -> None:
    assert Report((), {}).figures == ()


def test_rankings_of_other_users_or_items_are_refused(split: Split) -> None:
    model = ESLER(l2=5.0).fit(split.train)
    ranking = model.recommend(split.test.histories, 10)
    wanted = split.test.targets
    with pytest.raises(ValueError, match=r"^evaluate_ranking: the ranking's row_ids is another"):
        evaluate_ranking(ranking, wanted.select_users(np.arange(wanted.n_users)[::-1]), ["hit@5"])
    with pytest.raises(ValueError, match=r"^evaluate_ranking: the ranking's item_ids is another"):
        evaluate_ranking(ranking, wanted.with_items(wanted.item_ids[::-1]), ["hit@5"])


def test_tune_finds_mistakes_before_the_first_fit(
    split: Split, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ESLER, "fit", lambda *_, **__: pytest.fail("fitted"))
    with pytest.raises(ValueError, match=r"^ESLER: l2 is -1"):
        tune(ESLER(), {"l2": [1.0, -1]}, split)
    with pytest.raises(ValueError, match=r"^tune: ESLER's parameter is 'l3'; expected one of l2"):
        tune(ESLER(), {"l3": [1.0]}, split)
    with pytest.raises(ValueError, match="the metric is 'ndgc@10'"):
        tune(ESLER(), {"l2": [1.0]}, split, "ndgc@10")
