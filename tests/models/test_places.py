"""Places for new items: what a list holds, and that it costs what the curve says."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from pyhybrid import (
    ESLER,
    Catalog,
    Interactions,
    Popularity,
    Split,
    TextSimilarity,
    evaluate,
    kernels,
)
from pyhybrid.data import splits, synthetic

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(scope="module")
def data() -> tuple[Split, Catalog]:
    interactions, catalog = synthetic.topics(users=400, items=120, seed=2)
    whole = splits.strong(interactions, test=0.4, seed=2)
    return splits.cold_items(whole, share=0.3, seed=2), catalog


@pytest.fixture(scope="module")
def model(data: tuple[Split, Catalog]) -> ESLER:
    return ESLER(l2=20.0, text="tfidf", text_scale=1.0).fit(data[0].train, data[1])


def recommended(model: ESLER, split: Split, n: int = 10, **options: Any) -> Any:
    test = split.test
    return model.recommend(test.histories, n, unranked=test.unranked, **options)


def test_a_place_costs_what_the_curve_says(data: tuple[Split, Catalog], model: ESLER) -> None:
    split, _ = data
    is_new = model.axis.new_columns(0)
    curve = evaluate(model, split.test, ["ndcg@10"], name="m").tradeoffs["m"]
    targets = split.test.targets.with_items(model.item_ids)
    for places in range(11):
        ranking = recommended(model, split, new_items=(places, places))
        assert ((is_new[ranking.items] & (ranking.items >= 0)).sum(axis=1) == places).all()
        for row, kept in enumerate((~is_new, is_new, np.ones_like(is_new))):
            wanted = targets.keep_pairs(kept[targets.matrix.indices]).matrix
            found = kernels.ranking_metrics(ranking.items, wanted, ["ndcg@10"])["ndcg@10"]
            assert np.nanmean(found) == pytest.approx(curve.placed[row, places], abs=1e-12)


def test_bounds_that_the_scores_keep_change_nothing(
    data: tuple[Split, Catalog], model: ESLER
) -> None:
    joint = recommended(model, data[0])
    same = recommended(model, data[0], new_items=(0, 10))
    np.testing.assert_array_equal(joint.items, same.items)
    np.testing.assert_array_equal(joint.scores, same.scores)


def test_the_least_and_the_most_are_kept(data: tuple[Split, Catalog], model: ESLER) -> None:
    is_new = model.axis.new_columns(0)
    as_scored = is_new[recommended(model, data[0]).items].sum(axis=1)
    ranking = recommended(model, data[0], new_items=(1, 3))
    np.testing.assert_array_equal(is_new[ranking.items].sum(axis=1), as_scored.clip(1, 3))
    assert (np.diff(ranking.scores, axis=1) <= 0).all()
    for row in ranking.items:
        assert len(set(row.tolist())) == 10


def test_where_there_are_too_few_of_a_kind_the_others_fill_in(
    data: tuple[Split, Catalog], model: ESLER
) -> None:
    is_new = model.axis.new_columns(0)
    new, known = np.flatnonzero(is_new)[:2], np.flatnonzero(~is_new)[:4]
    among = np.concatenate([known, new]).astype(np.int32)
    ranking = model.recommend(
        data[0].test.histories, 6, among=among, exclude_seen=False, new_items=(3, 3)
    )
    assert (is_new[ranking.items].sum(axis=1) == 2).all()
    assert ((ranking.items >= 0).sum(axis=1) == 6).all()
    ranking = model.recommend(
        data[0].test.histories, 6, among=among, exclude_seen=False, new_items=(0, 0)
    )
    assert (is_new[ranking.items].sum(axis=1) == 2).all()  # four known ones can't fill six places


def test_each_row_may_have_its_own_candidates(data: tuple[Split, Catalog], model: ESLER) -> None:
    histories = data[0].test.histories
    is_new = model.axis.new_columns(0)
    rng = np.random.default_rng(0)
    among = rng.permuted(
        np.tile(np.arange(120, dtype=np.int32), (len(histories.user_ids), 1)), axis=1
    )
    among = np.ascontiguousarray(among[:, :30])
    among[:, :3] = -1
    ranking = model.recommend(histories, 5, among=among, new_items=(2, 2))
    for row, allowed in zip(ranking.items, among, strict=True):
        assert set(row[row >= 0].tolist()) <= set(allowed.tolist())
        assert is_new[row[row >= 0]].sum() == 2


def test_what_is_new_is_an_argument(data: tuple[Split, Catalog]) -> None:
    split, _ = data
    model = ESLER(l2=20.0).fit(split.train)
    limit = int(np.quantile(model.item_counts[model.rankable], 0.3))
    few = model.axis.new_columns(limit)
    assert few[model.rankable].any()
    ranking = recommended(model, split, new_items=(2, 2), new=limit)
    assert (few[ranking.items].sum(axis=1) == 2).all()
    named = model.rankable[:7]
    ranking = recommended(model, split, new_items=(1, 1), new=named)
    assert (np.isin(ranking.items, named).sum(axis=1) <= 1).all()


def test_a_model_that_ranks_no_new_item_fills_no_place(data: tuple[Split, Catalog]) -> None:
    for kind in (ESLER(l2=20.0), Popularity()):
        model = kind.fit(data[0].train, data[1])
        joint, placed = (
            model.recommend(data[0].test.histories, 5, **options)
            for options in ({}, {"new_items": (2, 4)})
        )
        np.testing.assert_array_equal(joint.items, placed.items)


def test_a_user_without_a_history_has_the_places_too(data: tuple[Split, Catalog]) -> None:
    split, catalog = data
    model = TextSimilarity().fit(split.train, catalog)
    nobody = Interactions.from_columns(["x"], [split.train.item_ids[0]]).keep_pairs(
        np.array([False])
    )
    ranking = model.recommend(nobody, 4, new_items=(1, 1))
    assert ranking.fallback.all()
    assert model.axis.new_columns(0)[ranking.items].sum() == 1


@pytest.mark.parametrize(
    ("places", "error", "message"),
    [
        ((2, 1), ValueError, r"^recommend: new_items is \(2, 1\); expected least up to most"),
        ((0, 11), ValueError, r"^recommend: new_items is \(0, 11\); .*most up to n, which is 10"),
        ((-1, 1), ValueError, r"^recommend: new_items is -1"),
        (3, TypeError, r"^recommend: new_items is 3; expected \(least, most\)"),
        ((1, 2, 3), TypeError, r"expected \(least, most\), two whole numbers"),
        ((0.5, 1), TypeError, r"^recommend: new_items is 0\.5"),
    ],
)
def test_what_is_no_number_of_places_is_refused(
    model: ESLER, data: tuple[Split, Catalog], places: Any, error: Any, message: str
) -> None:
    with pytest.raises(error, match=message):
        recommended(model, data[0], new_items=places)


def test_parts_have_the_places_and_another_job_is_refused(
    data: tuple[Split, Catalog], model: ESLER, tmp_path: Path
) -> None:
    import pyarrow.parquet as pq

    histories = data[0].test.histories
    given = {"new_items": (1, 1), "unranked": data[0].test.unranked, "rows": 50}
    parts = model.recommend_batches(histories, tmp_path / "recs", 5, **given)
    made = [row for part in parts for row in pq.read_table(part)["item_id"].to_pylist()]
    whole = recommended(model, data[0], 5, new_items=(1, 1))
    assert made == whole.to_arrow()["item_id"].to_pylist()
    with pytest.raises(ValueError, match="new_items"):
        model.recommend_batches(histories, tmp_path / "recs", 5, **{**given, "new_items": (0, 1)})
