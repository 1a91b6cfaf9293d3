"""The curve of known and new targets, against ranking anew at each factor or offset."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.sparse import csr_array

from pyhybrid import ESLER, HeldOut, Interactions, Popularity, Ranking, TextSimilarity, evaluate
from pyhybrid.data import splits, synthetic
from pyhybrid.evaluation import Tradeoff
from pyhybrid.evaluation import curve as tradeoff_module
from pyhybrid.models.base import Recommender

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from pyhybrid.evaluation.curve import By

ITEMS = 8
NOW = {"factor": Fraction(1), "offset": Fraction(0)}


@dataclass(frozen=True)
class Case:
    """Some users' scores of all items, None where an item is not ranked for a user."""

    scores: tuple[tuple[float | None, ...], ...]
    targets: tuple[frozenset[int], ...]
    fallback: tuple[bool, ...]
    is_new: tuple[bool, ...]
    n: int
    by: By

    @property
    def users(self) -> range:
        return range(len(self.scores))

    def of_kind(self, user: int, new: bool) -> list[int]:
        """One kind of a user's items, best first."""
        own = self.scores[user]
        items = [i for i in range(ITEMS) if own[i] is not None and self.is_new[i] == new]
        return sorted(items, key=lambda i: (-own[i], i))

    def ranking(self, new: bool, n: int | None = None) -> Ranking:
        n = self.n if n is None else n
        items = np.full((len(self.scores), n), -1, dtype=np.int32)
        scores = np.full((len(self.scores), n), -np.inf, dtype=np.float32)
        for user in self.users:
            best = self.of_kind(user, new)[:n]
            items[user, : len(best)] = best
            scores[user, : len(best)] = [self.scores[user][i] for i in best]
        ids = np.arange(len(self.scores)), np.arange(ITEMS)
        return Ranking(items, scores, *ids, np.array(self.fallback, dtype=np.bool_))

    def wanted(self) -> Interactions:
        matrix = np.zeros((len(self.scores), ITEMS), dtype=np.float32)
        for user, own in enumerate(self.targets):
            matrix[user, list(own)] = 1
        return Interactions.from_csr(csr_array(matrix))

    def curve(self, weights: Sequence[float] | None = None, extra: int = 0) -> Tradeoff:
        return tradeoff_module.tradeoff(
            self.ranking(False, self.n + extra),
            self.ranking(True, self.n + extra),
            self.wanted(),
            np.array(self.is_new),
            self.n,
            by=self.by,
            weights=None if weights is None else np.array(weights, dtype=np.float64),
        )

    # By hand

    def lists(self, step: Fraction | None) -> list[list[int]]:
        """Rank anew at a factor or an offset; None: new items behind all known ones."""
        ranked = []
        for user in self.users:
            known, new = self.of_kind(user, False), self.of_kind(user, True)
            if self.fallback[user]:
                ranked.append(known[: self.n])
            elif step is None:
                ranked.append((known + new)[: self.n])
            else:
                key = {i: self.let_up(user, i, step) for i in known + new}
                ranked.append(sorted(key, key=lambda i: (-key[i], i))[: self.n])
        return ranked

    def let_up(self, user: int, item: int, step: Fraction) -> Fraction:
        score = Fraction(self.scores[user][item])
        if not self.is_new[item]:
            return score
        if self.by == "offset":
            return score + step
        return score * step if score > 0 else score  # a factor moves no score of 0 or below

    def with_places(self, m: int) -> list[list[int]]:
        """Rank with m places for new items, or as many as there are to fill them with."""
        ranked = []
        for user in self.users:
            known = self.of_kind(user, False)
            new = [] if self.fallback[user] else self.of_kind(user, True)
            places = m
            while places > len(new):  # too few new ones
                places -= 1
            while self.n - places > len(known) and places < len(new):  # too few known ones
                places += 1
            both = known[: self.n - places] + new[:places]
            ranked.append(sorted(both, key=lambda i: (-self.scores[user][i], i)))
        return ranked

    def rate(
        self, lists: list[list[int]], weights: Sequence[float] | None = None
    ) -> tuple[float, float, float, float]:
        """S, U, joint and the share of new items, by their definitions."""
        times = [1.0] * len(lists) if weights is None else list(weights)
        kinds: tuple[Callable[[int], bool], ...] = (
            lambda i: not self.is_new[i],
            lambda i: self.is_new[i],
            lambda _: True,
        )
        found = []
        for counts in kinds:
            total, users = 0.0, 0.0
            for own, ranked, time in zip(self.targets, lists, times, strict=True):
                wanted = {item for item in own if counts(item)}
                if wanted:
                    total += time * ndcg(ranked, wanted, self.n)
                    users += time
            found.append(total / users if users else math.nan)
        new = sum(
            time * self.is_new[item]
            for ranked, time in zip(lists, times, strict=True)
            for item in ranked
        )
        return found[0], found[1], found[2], new / (self.n * sum(times))

    def steps(self) -> list[Fraction]:
        """One factor or offset between each two at which an order changes, and around all."""
        changes = {NOW[self.by]}
        for own in self.scores:
            pairs = itertools.product(range(ITEMS), range(ITEMS))
            for known, new in pairs:
                if self.is_new[known] or not self.is_new[new]:
                    continue
                if own[known] is None or own[new] is None:
                    continue
                a, b = Fraction(own[known]), Fraction(own[new])
                if self.by == "offset":
                    changes.add(a - b)
                elif a > 0 and b > 0:
                    changes.add(a / b)
        found = sorted(changes)
        between = [(one + other) / 2 for one, other in itertools.pairwise(found)]
        first = found[0] / 2 if self.by == "factor" else found[0] - 1
        return sorted([first, *between, NOW[self.by], found[-1] + 1])


def ndcg(ranked: list[int], wanted: set[int], n: int) -> float:
    gain = sum(1 / math.log2(rank + 1) for rank, item in enumerate(ranked[:n], 1) if item in wanted)
    return gain / sum(1 / math.log2(rank + 1) for rank in range(1, min(n, len(wanted)) + 1))


def close(one: Any, other: Any) -> None:
    np.testing.assert_allclose(one, other, rtol=0, atol=1e-12)


# Few scores, so that there are ties within a kind, between the kinds, and between users.
SCORES = st.sampled_from([None, -2.0, -1.0, -0.5, 0.0, 0.5, 1.0, 1.5, 2.0, 3.0])


@st.composite
def cases(draw: st.DrawFn, by: By | None = None) -> Case:
    users = draw(st.integers(1, 4))
    some = st.tuples(*[SCORES] * ITEMS)
    return Case(
        tuple(draw(some) for _ in range(users)),
        tuple(draw(st.frozensets(st.integers(0, ITEMS - 1), max_size=4)) for _ in range(users)),
        tuple(draw(st.sampled_from([False, False, False, True])) for _ in range(users)),
        draw(st.tuples(*[st.booleans()] * ITEMS)),
        draw(st.integers(1, 5)),
        draw(st.sampled_from(["factor", "offset"])) if by is None else by,
    )


def example(**changes: Any) -> Case:
    """Two users; new items are 1, 4 and 6."""
    case = Case(
        scores=(
            (3.0, 2.0, 2.0, 1.5, 1.0, None, 0.5, 0.25),
            (None, 1.0, 2.5, 2.0, 3.5, 1.0, 0.0, 0.75),
        ),
        targets=(frozenset({0, 3, 4}), frozenset({2, 6})),
        fallback=(False, False),
        is_new=(False, True, False, False, True, False, True, False),
        n=3,
        by="factor",
    )
    return replace(case, **changes)


# The curve


def test_a_curve_by_hand() -> None:
    """One user, known items 0 and 1 with scores 4 and 2, new ones 2 and 3 with 2 and 1; n is 2."""
    nothing = (None,) * 4
    case = Case(
        ((4.0, 2.0, 2.0, 1.0, *nothing),),
        (frozenset({0, 3}),),
        (False,),
        (False, False, True, True, False, False, False, False),
        2,
        "factor",
    )
    found = case.curve()
    second = 1 / math.log2(3)
    # Item 2 comes before 1 just after the factor 1, as of equals the lower comes first; before 0
    # from 2 on; item 3 before 0, which leaves the list, from 4 on.
    by_step = {
        0.5: (1.0, 0.0, 1 / (1 + second), 0.0),  # 0, 1
        1.0: (1.0, 0.0, 1 / (1 + second), 0.0),
        1.5: (1.0, 0.0, 1 / (1 + second), 0.5),  # 0, 2
        2.0: (second, 0.0, second / (1 + second), 0.5),  # 2, 0
        3.9: (second, 0.0, second / (1 + second), 0.5),
        4.0: (0.0, second, second / (1 + second), 1.0),  # 2, 3
        1e9: (0.0, second, second / (1 + second), 1.0),
    }
    for step, wanted in by_step.items():
        close(found.at(step), wanted)
    close(found.as_scored, by_step[1.0])
    close(found.area, second * second / 2)  # from (second, 0) to (0, second)
    assert found.best[0] == 0
    close(found.best[1], 1 / (1 + second))
    # No place, one and two: 0, 1; 0, 2; 2, 3.
    close(found.placed[0], [1, 1, 0])
    close(found.placed[1], [0, 0, second])
    close(found.placed[2], [1 / (1 + second), 1 / (1 + second), second / (1 + second)])
    assert (found.n, found.by) == (2, "factor")


@given(case=cases(), extra=st.integers(0, 3))
def test_the_curve_is_that_of_ranking_anew(case: Case, extra: int) -> None:
    found = case.curve(extra=extra)
    start = case.rate(case.lists(None))
    close([found.known[0], found.new[0], found.joint[0], found.share[0]], start)
    points = [start]
    for step in case.steps():
        wanted = case.rate(case.lists(step))
        close(found.at(float(step)), wanted)
        points.append(wanted)
    close([found.known[-1], found.new[-1], found.joint[-1], found.share[-1]], points[-1])
    area = sum((two[1] + one[1]) / 2 * (one[0] - two[0]) for one, two in itertools.pairwise(points))
    if any(known[0] != known[0] or known[1] != known[1] for known in points[:1]):
        assert math.isnan(found.area) or found.area == 0  # without targets of both kinds
    else:
        close(found.area, area)
        assert 0 <= found.area <= 1
    best = np.nanmax([joint for _, _, joint, _ in points]) if any(case.targets) else math.nan
    close(found.best[1], best)
    close(found.at(float(found.best[0]) + (1e-9 if case.by == "offset" else 0))[2], best) if (
        found.best[0] > 0
    ) else None


@given(case=cases())
def test_as_scored_is_the_order_of_the_scores(case: Case) -> None:
    lists = [
        [i for i in sorted(range(ITEMS), key=lambda i: (-(own[i] or 0), i)) if own[i] is not None]
        for own in case.scores
    ]
    wanted = [
        ranked[: case.n] if not falls else case.of_kind(user, False)[: case.n]
        for user, (ranked, falls) in enumerate(zip(lists, case.fallback, strict=True))
    ]
    close(case.curve().as_scored, case.rate(wanted))


@given(case=cases())
def test_m_places_are_filled_with_the_best_of_each_kind(case: Case) -> None:
    found = case.curve()
    assert found.placed.shape == (3, case.n + 1)
    for m in range(case.n + 1):
        close(found.placed[:, m], case.rate(case.with_places(m))[:3])


@given(case=cases())
def test_known_targets_fall_and_new_ones_rise(case: Case) -> None:
    found = case.curve()
    slack = 1e-12
    assert not (np.diff(found.known) > slack).any()
    assert not (np.diff(found.new) < -slack).any()
    assert (np.diff(found.share) >= -slack).all()
    assert (np.diff(found.steps)[1:] > 0).all()
    assert (np.diff(found.steps) >= 0).all()
    assert found.steps[0] == (0 if case.by == "factor" else -np.inf)
    lengths = {len(of) for of in (found.steps, found.known, found.new, found.joint, found.share)}
    assert len(lengths) == 1


@given(case=cases(), weights=st.lists(st.integers(0, 3), min_size=4, max_size=4))
def test_weights_are_users_repeated(case: Case, weights: list[int]) -> None:
    weights = weights[: len(case.scores)]
    if not sum(weights):
        weights[0] = 1
    again = [user for user in case.users for _ in range(weights[user])]
    repeated = replace(
        case,
        scores=tuple(case.scores[user] for user in again),
        targets=tuple(case.targets[user] for user in again),
        fallback=tuple(case.fallback[user] for user in again),
    )
    one, other = case.curve(weights), repeated.curve()
    close(one.placed, other.placed)
    close(one.as_scored, other.as_scored)
    close(one.area, other.area)
    for step in case.steps():
        close(one.at(float(step)), other.at(float(step)))
        close(one.at(float(step)), case.rate(case.lists(step), weights))
    assert case.curve([1.0] * len(weights)).area == pytest.approx(case.curve().area, nan_ok=True)


@given(case=cases(), seed=st.integers(0, 9))
def test_the_order_of_users_does_not_matter(case: Case, seed: int) -> None:
    order = np.random.default_rng(seed).permutation(len(case.scores))
    other = replace(
        case,
        scores=tuple(case.scores[user] for user in order),
        targets=tuple(case.targets[user] for user in order),
        fallback=tuple(case.fallback[user] for user in order),
    )
    one, shuffled = case.curve(), other.curve()
    np.testing.assert_array_equal(one.steps, shuffled.steps)
    for name in ("known", "new", "joint", "share", "placed"):
        close(getattr(one, name), getattr(shuffled, name))
    close(one.area, shuffled.area)


def test_many_users_are_the_sum_of_few(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    scores = tuple(tuple(row) for row in rng.integers(-1, 9, (23, ITEMS)).astype(float).tolist())
    targets = tuple(frozenset(rng.integers(0, ITEMS, 2).tolist()) for _ in range(23))
    case = example(scores=scores, targets=targets, fallback=(False,) * 23)
    whole = case.curve()
    for rows in (1, 5, 22, 23):
        monkeypatch.setattr(tradeoff_module, "_ROWS", rows)
        part = case.curve()
        np.testing.assert_array_equal(whole.steps, part.steps)
        for name in ("known", "new", "joint", "share", "placed"):
            close(getattr(whole, name), getattr(part, name))


# Scores of 0 and below


@pytest.mark.parametrize("a", [-2.0, -1.0, 0.0, 1.0])
@pytest.mark.parametrize("b", [-2.0, -1.0, 0.0, 1.0])
@pytest.mark.parametrize("first", ["known", "new"])
def test_a_factor_moves_no_score_of_0_or_below(a: float, b: float, first: str) -> None:
    """One known item and one new one: which is first, at each factor."""
    none = (None,) * (ITEMS - 2)
    is_new = (first == "new", first == "known", *[False] * (ITEMS - 2))
    own = (a, b) if first == "known" else (b, a)
    new = is_new.index(True)
    case = Case(((*own, *none),), (frozenset({new}),), (False,), is_new, 1, "factor")
    found = case.curve()
    for factor in (0.25, 0.5, 1.0, 2.0, 1e6):
        let_up = b * factor if b > 0 else b
        is_first = let_up > a or (let_up == a and first == "new")
        assert found.at(factor)[1] == is_first
    assert found.known[0] != found.known[0]  # no known target
    assert found.new[0] == 0  # the first point: no new item where known ones fill the list


# Lists that are short, users that are left out, fallbacks


def test_without_a_new_item_the_area_is_0() -> None:
    case = example()
    nobody = tuple(
        tuple(None if new else score for score, new in zip(own, case.is_new, strict=True))
        for own in case.scores
    )
    found = replace(case, scores=nobody).curve()
    assert found.area == 0
    assert found.steps.tolist() == [0]
    assert found.share.tolist() == [0]
    close(found.as_scored, case.rate(case.lists(None)))
    assert found.as_scored[1] == 0
    assert not found.placed[1].any()
    close(found.placed[0], found.known[0])


def test_without_targets_of_both_kinds_there_is_no_area() -> None:
    case = example(targets=(frozenset({0, 3}), frozenset({2})))
    found = case.curve()
    assert math.isnan(found.area)
    assert np.isnan(found.new).all()
    assert not np.isnan(found.known).any()
    found = replace(case, targets=(frozenset({1}), frozenset({6}))).curve()
    assert math.isnan(found.area)
    assert np.isnan(found.known).all()
    close(found.joint, found.new)


def test_what_is_known_alone_fills_a_fallbacks_list() -> None:
    case = example(fallback=(False, True))
    found = case.curve()
    alone = replace(
        case, scores=case.scores[:1], targets=case.targets[:1], fallback=(False,)
    ).curve()
    assert found.share[-1] == pytest.approx(alone.share[-1] / 2)
    close(found.new, alone.new / 2)  # both users have a new target
    np.testing.assert_array_equal(found.steps, alone.steps)


def test_rankings_that_do_not_fit_are_refused() -> None:
    case = example()
    known, new, targets = case.ranking(False), case.ranking(True), case.wanted()
    is_new = np.array(case.is_new)
    for one, other in ((case.ranking(False, 2), new), (known, case.ranking(True, 2))):
        with pytest.raises(ValueError, match=r"^tradeoff: the rankings' n is 2; expected 3 or"):
            tradeoff_module.tradeoff(one, other, targets, is_new, 3, by="factor")
    with pytest.raises(ValueError, match=r"^tradeoff: the ranking's row_ids is another axis"):
        tradeoff_module.tradeoff(known, new, targets.select_users([1, 0]), is_new, 3, by="factor")
    others = replace(new, item_ids=new.item_ids[::-1])
    with pytest.raises(ValueError, match=r"^tradeoff: the ranking's item_ids is another axis"):
        tradeoff_module.tradeoff(known, others, targets, is_new, 3, by="factor")


def test_nobody_has_no_figures() -> None:
    found = example(scores=(), targets=(), fallback=()).curve()
    assert math.isnan(found.area) or found.area == 0
    assert np.isnan(found.as_scored[:3]).all()


# Of models


class Table(Recommender):
    """Give the scores of a table, one row a user, by the users' own numbers."""

    scores_cold_items = True
    table: NDArray[np.float32]

    def _fit(self, *_: Any) -> None:
        pass

    def _score(self, histories: Interactions) -> NDArray[np.float32]:
        return self.table[histories.user_ids.astype(int)]

    def _arrays(self) -> dict[str, Any]:
        return {}

    def _restore(self, arrays: Any) -> None:
        pass


class TableByFactor(Table):
    let_up_by: ClassVar[By] = "factor"


@given(case=cases(), data=st.data())
def test_as_scored_is_what_evaluate_says(case: Case, data: st.DataObject) -> None:
    """The scores of what is not ranked are those of items in histories, or kept as unranked."""
    users, known = len(case.scores), [i for i in range(ITEMS) if not case.is_new[i]]
    if not known or not any(case.is_new):
        return
    train = Interactions.from_columns([0] * len(known), known).with_items(np.arange(ITEMS))
    model = (TableByFactor if case.by == "factor" else Table)().fit(train)
    model.table = np.array([[score or 0.0 for score in own] for own in case.scores], np.float32)
    left_out = np.array([[score is None for score in own] for own in case.scores])
    seen = left_out & np.array(
        data.draw(st.lists(st.booleans(), min_size=ITEMS * users, max_size=ITEMS * users))
    ).reshape(users, ITEMS)
    seen[:, case.is_new] = False
    targets = case.wanted().matrix.toarray() * ~left_out

    def of(pairs: Any) -> Interactions:
        return Interactions.from_csr(csr_array(np.asarray(pairs, dtype=np.float32)))

    part = HeldOut(of(seen), of(targets), unranked=of(left_out & ~seen))
    falls = ~seen.any(axis=1)
    n = case.n
    report = evaluate(model, part, [f"ndcg@{n}"], name="table")
    found = report.tradeoffs["table"]
    assert found.by == model.let_up_by
    figures = [report[kind, f"ndcg@{n}"] for kind in ("known", "new", "joint")]
    if (falls & ((~left_out)[:, known].sum(axis=1) < n)).any():
        return  # a fallback ends in new items where known ones don't fill the list
    close(found.as_scored[:3], figures)
    joint = model.recommend(part.histories, n, unranked=part.unranked).items
    shown = np.array(case.is_new)[joint] & (joint >= 0)
    close(found.as_scored[3], shown.sum() / (n * users))


@pytest.fixture(scope="module")
def data() -> tuple[Any, Any]:
    interactions, catalog = synthetic.topics(users=300, items=60, events_per_user=8.0, seed=3)
    return splits.strong(interactions, test=0.4, seed=3), catalog


@pytest.mark.parametrize(
    "model",
    [ESLER(l2=20.0, text="tfidf"), TextSimilarity(), Popularity(), ESLER(l2=20.0)],
    ids=["ESLER+text", "TextSimilarity", "Popularity", "ESLER"],
)
@pytest.mark.parametrize("keep", [0, 2, None])
def test_the_trade_off_of_a_model(data: Any, model: Recommender, keep: int | None) -> None:
    before, catalog = data
    parts = splits.cold_items(before, share=0.25, keep=keep, seed=1)
    fitted = model.with_params().fit(parts.train, catalog)
    new = fitted.item_positions(parts.new_items)
    metrics = ["recall@5", "ndcg@10", "ndcg@5"]
    report = evaluate(fitted, parts.test, metrics, new=new, name="model")
    if keep == 0 and not fitted.scores_cold_items:
        assert report.tradeoffs == {}
        assert report["new", "ndcg@10"] == 0
        return
    found = report.tradeoffs["model"]
    assert found.n == 10  # of the first NDCG
    assert found.by == "factor"
    ranking = fitted.recommend(parts.test.histories, 10, unranked=parts.test.unranked)
    if not ranking.fallback.any():
        figures = [report[kind, "ndcg@10"] for kind in ("known", "new", "joint")]
        close(found.as_scored[:3], figures)
        is_new = np.isin(ranking.items, new)
        close(found.as_scored[3], is_new.mean())
        close(found.known[0], evaluate_known_first(fitted, parts, new))
    assert 0 < found.area < 1
    assert found.best[1] >= found.as_scored[2]


def evaluate_known_first(model: Recommender, parts: Any, new: Any) -> float:
    """S with known items alone in the lists: the known targets of known items ranked alone."""
    return evaluate(model, parts.test, ["ndcg@10"], new=new)["warm", "ndcg@10"]


def test_texts_that_tell_items_apart_have_the_larger_area(data: Any) -> None:
    before, catalog = data
    parts = splits.cold_items(before, share=0.25, seed=1)
    rng = np.random.default_rng(0)
    areas = []
    for texts in (catalog, catalog.select(rng.permutation(catalog.item_ids))):
        named = replace(texts, item_ids=catalog.item_ids)
        model = TextSimilarity().fit(parts.train, named)
        report = evaluate(model, parts.test, ["ndcg@10"], name="model")
        areas.append(report.tradeoffs["model"].area)
    assert areas[0] > 1.5 * areas[1]
