"""The life of an item, and how many interactions a text is worth."""

from __future__ import annotations

import math

import numpy as np
import pytest

from pyhybrid import ESLER, Split, TextSimilarity, evaluate
from pyhybrid.data import splits, synthetic
from pyhybrid.evaluation import Life, life, worth

AGES = (0, 10, 100, None)


def of_areas(*rows: list[float], ages: tuple[int | None, ...] = AGES) -> Life:
    area = np.array(rows)
    zeros = np.zeros_like(area)
    return Life(ages, area, zeros, zeros, zeros, zeros)


@pytest.fixture(scope="module")
def split() -> Split:
    return splits.strong(synthetic.topics(users=300, items=80, seed=4)[0], test=0.3, seed=4)


def test_each_age_is_a_fit_on_its_own_thinned_split(split: Split) -> None:
    seen: list[Split] = []

    def fit(thinned: Split) -> ESLER:
        seen.append(thinned)
        return ESLER(l2=20.0).fit(thinned.train)

    found = life(fit, split, share=0.3, min_count=5, interactions=[0, 5, None], draws=2, seed=7)
    assert found.area.shape == found.joint.shape == (2, 3)
    assert [thinned.kept for thinned in seen] == [0, 5, None] * 2
    for draw in range(2):
        names = [thinned.new_items.tolist() for thinned in seen[3 * draw : 3 * draw + 3]]
        assert names[0] == names[1] == names[2]
    assert seen[0].new_items.tolist() != seen[3].new_items.tolist()
    assert found.area[0, 0] == found.share[0, 0] == 0  # behaviour alone can't rank them
    model = ESLER(l2=20.0).fit(seen[1].train)
    new = model.item_positions(seen[1].new_items)
    report = evaluate(model, seen[1].test, ["ndcg@10"], new=new, name="m")
    assert found.known[0, 1] == report["known", "ndcg@10"]
    assert found.new[0, 1] == report["new", "ndcg@10"]
    assert found.joint[0, 1] == report["ndcg@10"]
    assert found.area[0, 1] == report.tradeoffs["m"].area
    assert found.area[:, 2].mean() > found.area[:, 1].mean()


def test_the_same_seed_gives_the_same_life(split: Split) -> None:
    catalog = synthetic.topics(users=300, items=80, seed=4)[1]
    one, other = (
        life(
            lambda thinned: TextSimilarity().fit(thinned.train, catalog),
            split,
            min_count=5,
            interactions=[0, 5],
            draws=2,
        )
        for _ in range(2)
    )
    np.testing.assert_array_equal(one.area, other.area)


def test_a_split_that_hides_items_is_refused(split: Split) -> None:
    hidden = splits.cold_items(split, share=0.2)
    with pytest.raises(ValueError, match=r"^life: number of hidden items is \d+; expected 0"):
        life(lambda thinned: ESLER().fit(thinned.train), hidden)
    with pytest.raises(ValueError, match=r"^life: interactions is empty"):
        life(lambda thinned: ESLER().fit(thinned.train), split, interactions=[])


def test_a_text_is_worth_the_interactions_at_which_behaviour_reaches_it() -> None:
    text = of_areas([0.4, 0.4, 0.4, 0.9])
    found = worth(text, of_areas([0.0, 0.4, 0.8, 0.9]))
    assert found is not None
    assert found.interactions == pytest.approx(10)
    assert math.isnan(found.low)
    assert not found.at_least
    between = worth(text, of_areas([0.0, 0.2, 0.6, 0.9]))
    assert between is not None
    middle = math.expm1((math.log1p(10) + math.log1p(100)) / 2)  # in proportion to log(1 + k)
    assert between.interactions == pytest.approx(middle)


def test_beyond_what_is_looked_at_a_text_is_worth_at_least_that() -> None:
    found = worth(of_areas([0.7, 0.7, 0.7, 0.9]), of_areas([0.0, 0.2, 0.6, 0.9]))
    assert found is not None
    assert found.at_least
    assert found.interactions == pytest.approx(100)
    assert str(found) == "a text is worth at least 100 interactions"


def test_a_text_that_tells_nothing_is_worth_nothing() -> None:
    found = worth(of_areas([0.0, 0.0, 0.0, 0.0]), of_areas([0.0, 0.2, 0.6, 0.9]))
    assert found is not None
    assert found.interactions == 0


def test_the_interval_is_over_the_draws() -> None:
    text = of_areas([0.4] * 4, [0.4] * 4, [0.4] * 4)
    same = of_areas(*[[0.0, 0.4, 0.8, 0.9]] * 3)
    found = worth(text, same)
    assert found is not None
    assert (found.low, found.high) == pytest.approx((10, 10))
    apart = of_areas([0.0, 0.4, 0.8, 0.9], [0.0, 0.2, 0.6, 0.9], [0.0, 0.5, 0.8, 0.9])
    found = worth(text, apart)
    assert found is not None
    assert 0 <= found.low < found.interactions < found.high


def test_without_an_age_of_0_nothing_is_worth_anything() -> None:
    ages = (5, 10)
    assert worth(of_areas([0.4, 0.4], ages=ages), of_areas([0.0, 0.4], ages=ages)) is None
    with pytest.raises(ValueError, match=r"^worth: the figures' shape is"):
        worth(of_areas([0.4, 0.4], ages=ages), of_areas([0.0, 0.4], ages=(0, 10)))
