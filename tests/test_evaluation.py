from __future__ import annotations

import json
import math
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
from pyhybrid.evaluation import METRICS, Figure, evaluate_ranking
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
    model: Recommender, held_out: HeldOut, metric: str, allowed: np.ndarray[Any, Any] | None = None
) -> list[float]:
    """Rank and rate all users by plain Python, without the users that have no target."""
    histories = held_out.histories.with_items(model.item_ids)
    targets = held_out.targets.with_items(model.item_ids)
    scores = model.score(histories)
    rows = []
    for row in range(histories.n_users):
        seen = set(histories.matrix[[row]].indices.tolist()) if held_out.exclude_seen else set()
        may = set(model.rankable.tolist()) - seen
        by = scores[row] if histories.matrix[[row]].nnz else model.item_counts  # the fallback
        wanted = set(targets.matrix[[row]].indices.tolist())
        if allowed is not None:
            may &= set(np.flatnonzero(allowed).tolist())
            wanted &= set(np.flatnonzero(allowed).tolist())
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
def cold_split(data: tuple[Interactions, Catalog], split: Split) -> Split:
    return splits.cold_items(split, share=0.25, seed=0)


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


def test_warm_figures_rank_and_count_warm_items_alone(cold_split: Split) -> None:
    model = Scored().fit(cold_split.train)
    warm = cold_split.train.item_counts() > 0
    assert 0 < (~warm).sum() < len(warm)
    report = evaluate(model, cold_split.test, ["ndcg@10", "recall@5"])
    assert [figure.candidates for figure in report.figures[::2]] == ["joint", "warm", "cold"]
    users = cold_split.test.targets.n_users
    for figure in report.figures:
        allowed = {"joint": None, "warm": warm, "cold": ~warm}[figure.candidates]
        rows = naive_rows(model, cold_split.test, figure.metric, allowed)
        check_figure(figure, rows, users)
    by_candidates = {f.candidates: f for f in report.figures}
    assert by_candidates["cold"].left_out > 0  # or the test would show nothing
    assert by_candidates["warm"].left_out > 0
    assert by_candidates["joint"].left_out == 0


def test_a_model_of_warm_items_has_no_cold_figures(cold_split: Split) -> None:
    model = ESLER(l2=10.0).fit(cold_split.train)
    report = evaluate(model, cold_split.test, ["ndcg@10"])
    assert [figure.candidates for figure in report.figures] == ["joint", "warm"]
    assert report["joint", "ndcg@10"] < report["warm", "ndcg@10"]


def test_without_cold_items_there_is_one_candidate_set(split: Split) -> None:
    warm = split.train.item_counts() > 0
    train = split.train
    assert warm.all()
    assert len(evaluate(Popularity().fit(train), split.test, ["mrr@3"]).figures) == 1


def test_items_of_the_catalogue_that_nobody_took_are_cold(
    data: tuple[Interactions, Catalog], split: Split
) -> None:
    wider = Catalog.from_columns([*split.train.item_ids, "nobody's"])
    report = evaluate(Scored().fit(split.train, wider), split.test, ["recall@5"])
    assert [f.candidates for f in report.figures] == ["joint", "warm", "cold"]
    cold = report.figures[2]
    assert (cold.users, cold.left_out) == (0, split.test.targets.n_users)
    assert math.isnan(cold.mean)


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
    other = HeldOut(split.test.histories.with_items(order), split.test.targets.with_items(order))
    assert evaluate(model, other)["ndcg@10"] == evaluate(model, split.test)["ndcg@10"]


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


def test_a_given_ranking_has_the_same_joint_figures(cold_split: Split) -> None:
    model = Scored().fit(cold_split.train)
    test = cold_split.test
    made = model.recommend(test.histories, 40)
    warm = model.item_counts > 0
    report = evaluate_ranking(made, test.targets, ["ndcg@10", "recall@5"], warm=warm)
    anew = evaluate(model, test, ["ndcg@10", "recall@5"])
    assert {f.model for f in report.figures} == {"ranking"}
    # Forty of forty items are ranked: taking items out of the lists is to rank anew.
    for one, other in zip(report.figures, anew.figures, strict=True):
        assert one.mean == pytest.approx(other.mean, abs=1e-12)
        assert (one.candidates, one.users, one.left_out) == (
            other.candidates,
            other.users,
            other.left_out,
        )


def test_short_lists_understate_warm_and_cold_figures(cold_split: Split) -> None:
    model = Scored().fit(cold_split.train)
    warm = model.item_counts > 0
    short = model.recommend(cold_split.test.histories, 5)
    report = evaluate_ranking(short, cold_split.test.targets, ["recall@5"], warm=warm)
    anew = evaluate(model, cold_split.test, ["recall@5"])
    assert report["joint", "recall@5"] == anew["joint", "recall@5"]
    assert report["warm", "recall@5"] <= anew["warm", "recall@5"]


def test_without_warm_a_given_ranking_has_joint_figures_alone(cold_split: Split) -> None:
    made: Ranking = Scored().fit(cold_split.train).recommend(cold_split.test.histories, 5)
    targets = cold_split.test.targets
    everything = np.ones(made.item_ids.shape, dtype=np.bool_)
    for warm in (None, everything):
        report = evaluate_ranking(made, targets, ["recall@5"], warm=warm, name="mine")
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
    with pytest.raises(KeyError, match="2 figures"):
        both["hit@1"]
    with pytest.raises(KeyError):
        both["two", "cold", "hit@1"]


def test_a_report_prints_as_a_table(cold_split: Split) -> None:
    model = Scored().fit(cold_split.train)
    report = evaluate(model, cold_split.test, ["ndcg@10", "hit@1"], name="a model")
    header, *rows = str(report).splitlines()
    assert header.split() == ["model", "candidates", "ndcg@10", "hit@1", "users", "left", "out"]
    assert [row.split()[2] for row in rows] == ["joint", "warm", "cold"]
    for row, figure in zip(rows, report.figures[::2], strict=True):
        assert row.startswith("a model")
        assert f"{figure.mean:.4f} ± {figure.standard_error:.4f}" in row
        assert row.split()[-2:] == [str(figure.users), str(figure.left_out)]
        assert len(row) <= len(header) or len(row) == len(rows[0])


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
