"""kernels.ranking_metrics and score_metrics against loops over the definitions."""

import re
from math import log2

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy.sparse import csc_array, csr_array, random_array

from pyhybrid import kernels

INF = float("inf")
NAMES = ["ndcg", "recall", "recall_min", "precision", "hit", "mrr", "map", "map_min"]


def raw_csr(shape, indptr, indices, values=None, index_types=(np.int32, np.int32)):
    """Build a CSR of exactly these arrays; SciPy's constructor would check and re-type them."""
    x = csr_array(shape, dtype=np.float32)
    x.indptr = np.asarray(indptr, index_types[0])
    x.indices = np.asarray(indices, index_types[1])
    x.data = np.asarray(np.ones(len(indices)) if values is None else values, np.float32)
    return x


@st.composite
def csr_patterns(draw, n_rows, n_items):
    """Draw rows in any order, with duplicates, any values, and any index types."""
    entry = st.tuples(st.integers(0, max(n_items - 1, 0)), st.sampled_from([0.0, 1.0, np.nan]))
    row = st.lists(entry, max_size=8 if n_items else 0)
    rows = draw(st.lists(row, min_size=n_rows, max_size=n_rows))
    index_types = draw(st.tuples(*[st.sampled_from([np.int32, np.int64])] * 2))
    items = [item for row in rows for item, _ in row]
    values = [value for row in rows for _, value in row]
    indptr = np.cumsum([0, *map(len, rows)])
    return raw_csr((n_rows, n_items), indptr, items, values, index_types)


@st.composite
def rankings(draw, n_rows, n_items, n):
    """Draw n distinct items a row, or fewer and then -1."""
    row = st.permutations(range(n_items)).flatmap(
        lambda order: st.integers(0, min(n, n_items)).map(
            lambda length: order[:length] + [-1] * (n - length)
        )
    )
    rows = draw(st.lists(row, min_size=n_rows, max_size=n_rows))
    return np.array(rows, np.int32).reshape(n_rows, n)


METRICS = st.lists(st.tuples(st.sampled_from(NAMES), st.integers(1, 12)), min_size=1, max_size=6)


def stored(x, row):
    return set(x.indices[x.indptr[row] : x.indptr[row + 1]].tolist())


def rated(name, k, ranking, targets):
    """Rate one ranking by the definitions, as they are written."""
    if not targets:
        return np.nan
    hits = [int(item in targets) for item in ranking[:k]]
    best = min(k, len(targets))
    precisions = [hit * sum(hits[: j + 1]) / (j + 1) for j, hit in enumerate(hits)]
    return {
        "ndcg": sum(hit / log2(j + 2) for j, hit in enumerate(hits))
        / sum(1 / log2(j + 2) for j in range(best)),
        "recall": sum(hits) / len(targets),
        "recall_min": sum(hits) / best,
        "precision": sum(hits) / k,
        "hit": float(any(hits)),
        "mrr": 1 / (hits.index(1) + 1) if any(hits) else 0.0,
        "map": sum(precisions) / len(targets),
        "map_min": sum(precisions) / best,
    }[name]


def worded(who, what, value):
    """Match "{who}: {what} is {value}; expected {rule}"."""
    return rf"^{who}: .*{re.escape(what)}.* is {re.escape(str(value))}; expected \S"


def one_row(*items):
    return raw_csr((1, 10), [0, len(items)], items)


# What they compute


@given(st.data(), st.integers(0, 5), st.integers(0, 8), st.integers(0, 12), METRICS)
def test_ranking_metrics_follow_their_definitions(data, n_rows, n_items, n, metrics):
    metrics = [(name, min(k, n)) for name, k in metrics if n]
    items = data.draw(rankings(n_rows, n_items, n))
    targets = data.draw(csr_patterns(n_rows, n_items))
    result = kernels.ranking_metrics(items, targets, [f"{name}@{k}" for name, k in metrics])
    assert list(result) == list(dict.fromkeys(f"{name}@{k}" for name, k in metrics))
    for name, k in metrics:
        values = result[f"{name}@{k}"]
        expected = [rated(name, k, items[row], stored(targets, row)) for row in range(n_rows)]
        assert values.dtype == np.float64
        np.testing.assert_allclose(values, np.array(expected, float), rtol=1e-14)


@given(st.data(), st.integers(0, 5), st.integers(0, 8), METRICS)
def test_score_metrics_equal_top_n_scores_and_then_ranking_metrics(data, n_rows, n_items, metrics):
    score = st.sampled_from([-INF, -1.0, -0.0, 0.0, 1.0, 2.0, INF])
    entries = data.draw(st.lists(score, min_size=n_rows * n_items, max_size=n_rows * n_items))
    scores = np.array(entries, np.float32).reshape(n_rows, n_items)
    targets = data.draw(csr_patterns(n_rows, n_items))
    exclude = data.draw(st.none() | csr_patterns(n_rows, n_items))
    names = [f"{name}@{k}" for name, k in metrics]
    items, _ = kernels.top_n_scores(scores, max(k for _, k in metrics), exclude=exclude)
    expected = kernels.ranking_metrics(items, targets, names)
    result = kernels.score_metrics(scores, targets, names, exclude=exclude)
    assert list(result) == list(expected)
    for name, values in result.items():
        assert values.dtype == np.float64
        np.testing.assert_array_equal(values, expected[name])


def test_more_rows_items_and_targets_than_any_block_holds():
    rng = np.random.default_rng(0)
    scores = rng.integers(0, 50, (200, 2300)).astype(np.float32)
    targets = random_array((200, 2300), density=0.05, format="csr", rng=rng)
    exclude = random_array((200, 2300), density=0.2, format="csr", rng=rng)
    names = [f"{name}@{k}" for name in NAMES for k in (1, 20, 100, 2300, 5000)]
    items, _ = kernels.top_n_scores(scores, 5000, exclude=exclude)
    by_ranking = kernels.ranking_metrics(items, targets, names)
    by_scores = kernels.score_metrics(scores, targets, names, exclude=exclude)
    for name in names:
        np.testing.assert_array_equal(by_scores[name], by_ranking[name])
    for name in NAMES:
        for row in (0, 63, 64, 199):
            expected = rated(name, 100, items[row], stored(targets, row))
            assert by_scores[f"{name}@100"][row] == pytest.approx(expected, rel=1e-13)


def test_the_same_bits_for_any_number_of_threads():
    rng = np.random.default_rng(1)
    scores = rng.standard_normal((300, 400), dtype=np.float32)
    targets = random_array((300, 400), density=0.05, format="csr", rng=rng)
    items, _ = kernels.top_n_scores(scores, 50)
    names = [f"{name}@{k}" for name in NAMES for k in (5, 50)]
    by_ranking = kernels.ranking_metrics(items, targets, names, threads=1)
    by_scores = kernels.score_metrics(scores, targets, names, threads=1)
    for threads in (0, 2, 3, 7, 1000):
        again = kernels.ranking_metrics(items, targets, names, threads=threads)
        from_scores = kernels.score_metrics(scores, targets, names, threads=threads)
        for name in names:
            np.testing.assert_array_equal(again[name], by_ranking[name])
            np.testing.assert_array_equal(from_scores[name], by_scores[name])


# Cases worked out by hand


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("ndcg@4", (1 / log2(3) + 1 / log2(5)) / (1 + 1 / log2(3) + 1 / log2(4))),
        ("recall@4", 2 / 3),
        ("recall_min@4", 2 / 3),
        ("precision@4", 2 / 4),
        ("hit@4", 1.0),
        ("mrr@4", 1 / 2),
        ("map@4", (1 / 2 + 2 / 4) / 3),
        ("map_min@4", (1 / 2 + 2 / 4) / 3),
        ("ndcg@2", (1 / log2(3)) / (1 + 1 / log2(3))),
        ("recall@2", 1 / 3),
        ("recall_min@2", 1 / 2),
        ("precision@2", 1 / 2),
        ("map@2", 1 / 2 / 3),
        ("map_min@2", 1 / 2 / 2),
        ("hit@1", 0.0),
        ("mrr@1", 0.0),
        ("ndcg@1", 0.0),
    ],
)
def test_one_row_by_hand(name, expected):
    ranking = np.array([[9, 3, 8, 5]], np.int32)
    result = kernels.ranking_metrics(ranking, one_row(5, 3, 7), [name])
    assert result[name][0] == pytest.approx(expected, rel=1e-15)


def test_rows_without_a_target_are_nan_for_every_metric():
    names = [f"{name}@2" for name in NAMES]
    targets = raw_csr((2, 3), [0, 0, 1], [1])
    rankings_ = np.array([[0, 1], [0, 1]], np.int32)
    scores = np.array([[2, 1, 0], [2, 1, 0]], np.float32)
    for result in (
        kernels.ranking_metrics(rankings_, targets, names),
        kernels.score_metrics(scores, targets, names),
    ):
        for values in result.values():
            assert np.isnan(values[0])
            assert values[1] > 0


def test_a_ranking_without_items_is_rated_zero():
    targets, ranking = one_row(1), np.array([[-1, -1]], np.int32)
    result = kernels.ranking_metrics(ranking, targets, [f"{name}@2" for name in NAMES])
    assert all(values.tolist() == [0.0] for values in result.values())


def test_a_target_that_is_stored_twice_is_one_target():
    ranking = np.array([[1, 2]], np.int32)
    result = kernels.ranking_metrics(ranking, one_row(1, 1, 3, 1), ["recall@2", "map@2"])
    assert result == {"recall@2": [0.5], "map@2": [0.5]}


def test_targets_count_whatever_their_value_and_dtype():
    ranking = np.array([[0, 1]], np.int32)
    for dtype in (np.bool_, np.int64, np.float32, np.float64):
        targets = csr_array((np.zeros(2, dtype), [1, 2], [0, 2]), shape=(1, 3))
        assert kernels.ranking_metrics(ranking, targets, ["recall@2"])["recall@2"] == [0.5]


def test_an_excluded_target_is_a_target_that_is_missed():
    scores, targets = np.array([[3, 2, 1]], np.float32), raw_csr((1, 3), [0, 2], [0, 1])
    exclude = raw_csr((1, 3), [0, 1], [0])
    result = kernels.score_metrics(scores, targets, ["recall@3", "mrr@3"], exclude=exclude)
    assert result == {"recall@3": [0.5], "mrr@3": [1.0]}


def test_ties_are_broken_by_the_lower_item():
    scores = np.zeros((2, 3), np.float32)
    targets = raw_csr((2, 3), [0, 1, 2], [0, 2])
    assert kernels.score_metrics(scores, targets, ["mrr@3"])["mrr@3"].tolist() == [1.0, 1 / 3]


def test_the_default_metrics():
    scores, targets = np.zeros((1, 3), np.float32), raw_csr((1, 3), [0, 1], [0])
    assert list(kernels.score_metrics(scores, targets)) == ["ndcg@100", "recall@20"]
    ranking = np.r_[[0, 1, 2], [-1] * 97].astype(np.int32)[None]
    assert list(kernels.ranking_metrics(ranking, targets)) == ["ndcg@100", "recall@20"]


def test_the_keys_are_the_names_given_in_their_order_and_once():
    ranking = np.array([[1, 2]], np.int32)
    names = ["recall@2", "ndcg@1", "recall@2", "ndcg@2"]
    assert list(kernels.ranking_metrics(ranking, one_row(1), names)) == [
        "recall@2",
        "ndcg@1",
        "ndcg@2",
    ]
    assert kernels.ranking_metrics(ranking, one_row(1), []) == {}
    assert kernels.score_metrics(np.zeros((1, 10), np.float32), one_row(1), []) == {}


def test_the_largest_cut_off():
    assert kernels.largest_cutoff(["ndcg@100", "recall@20", "hit@100"]) == 100


@pytest.mark.parametrize(
    ("metrics", "error"), [([], ValueError), (["ndcg@0"], ValueError), ("ndcg@5", TypeError)]
)
def test_the_largest_cut_off_of_no_metrics_is_refused(metrics, error):
    with pytest.raises(error, match=r"^\w+: .* is .*; expected \S"):
        kernels.largest_cutoff(metrics)


# Properties (section 6 of the ESLER notes, number 13)

N_ITEMS = 9
TARGETS = st.sets(st.integers(0, N_ITEMS - 1), min_size=1)
ORDERS = st.permutations(range(N_ITEMS))
CUTOFFS = st.integers(1, N_ITEMS)


def rate(order, targets, *names):
    x = raw_csr((1, N_ITEMS), [0, len(targets)], sorted(targets))
    ranking = np.array([order], np.int32)
    return [float(v[0]) for v in kernels.ranking_metrics(ranking, x, names).values()]


@given(ORDERS, TARGETS, CUTOFFS)
def test_a_perfect_ranking_is_rated_one(order, targets, k):
    perfect = sorted(order, key=lambda item: item not in targets)
    best = [f"{name}@{k}" for name in ("ndcg", "recall_min", "map_min", "hit", "mrr")]
    assert rate(perfect, targets, *best) == [1.0] * 5
    assert rate(perfect, targets, f"recall@{N_ITEMS}", f"map@{N_ITEMS}") == [1.0, 1.0]


@given(ORDERS, TARGETS, CUTOFFS)
def test_the_reversed_perfect_ranking_is_the_worst_one(order, targets, k):
    worst = sorted(order, key=lambda item: item in targets)
    names = [f"{name}@{k}" for name in NAMES]
    for low, any_other in zip(
        rate(worst, targets, *names), rate(order, targets, *names), strict=True
    ):
        assert low <= any_other + 1e-15


@given(ORDERS, TARGETS, CUTOFFS)
def test_every_metric_lies_in_0_to_1(order, targets, k):
    for value in rate(order, targets, *[f"{name}@{k}" for name in NAMES]):
        assert 0.0 <= value <= 1.0


@given(ORDERS, ORDERS, TARGETS, CUTOFFS)
def test_what_stands_beyond_k_changes_nothing(order, other, targets, k):
    tail = [item for item in other if item not in order[:k]]
    names = [f"{name}@{k}" for name in NAMES]
    assert rate(order, targets, *names) == rate(order[:k] + tail, targets, *names)
    assert rate(order, targets, *names) == rate(order[:k], targets, *names)


@given(ORDERS, TARGETS)
def test_recall_hit_mrr_and_map_never_fall_as_k_rises(order, targets):
    for name in ("recall", "hit", "mrr", "map"):
        values = rate(order, targets, *[f"{name}@{k}" for k in range(1, N_ITEMS + 1)])
        assert values == sorted(values)


@given(st.lists(st.integers(-50, 50), min_size=N_ITEMS, max_size=N_ITEMS), TARGETS, CUTOFFS)
def test_a_rising_transform_of_the_scores_changes_nothing(scores, targets, k):
    x = raw_csr((1, N_ITEMS), [0, len(targets)], sorted(targets))
    scores = np.array([scores], np.float32)
    names = [f"{name}@{k}" for name in NAMES]
    results = [
        kernels.score_metrics(transformed, x, names)
        for transformed in (scores, 3 * scores - 7, scores**3, np.exp(scores / 4))
    ]
    for result in results[1:]:
        assert result == results[0]


@given(ORDERS, TARGETS, CUTOFFS)
def test_the_two_recalls_and_maps_differ_by_their_denominator_alone(order, targets, k):
    assume(len(targets) > k)
    recall, recall_min, map_, map_min = rate(
        order, targets, *[f"{name}@{k}" for name in ("recall", "recall_min", "map", "map_min")]
    )
    assert recall * len(targets) == pytest.approx(recall_min * k)
    assert map_ * len(targets) == pytest.approx(map_min * k)


# What they refuse

RANKING = np.array([[0, 1], [2, 1]], np.int32)
SCORES = np.array([[3, 2, 1], [1, 2, 3]], np.float32)
RELEVANT = raw_csr((2, 3), [0, 1, 2], [0, 1])
BOTH = ["ranking_metrics", "score_metrics"]


def call(name, metrics=("hit@1",), targets=RELEVANT):
    subject = RANKING if name == "ranking_metrics" else SCORES
    return getattr(kernels, name)(subject, targets, metrics)


@pytest.mark.parametrize("name", BOTH)
@pytest.mark.parametrize(
    "metric",
    ["ndcg", "ndcg@", "ndcg@0", "ndcg@-1", "ndcg@x", "ndcg@1.0", "ndcg@ 1", "ndcg@1 ", "ndcg@+1"]
    + ["ndcg@1@2", "ndcg@1x", "ndcg@99999999999999999999", "ndgc@5", "NDCG@1", "@1", "", "@"]
    + ["recall-min@1", "ndcg\u00e9@1"],
)
def test_unknown_metrics_are_refused(name, metric):
    message = rf"^{name}: .*metric.* is '?{re.escape(metric)}'?; expected \S"
    with pytest.raises(ValueError, match=message) as caught:
        call(name, ["hit@1", metric])
    for known in NAMES:
        assert known in str(caught.value)


@pytest.mark.parametrize("metric", ["hit@1\x00", "hit\x00@1", "\x00hit@1"])
def test_a_nul_in_a_name_is_not_its_end(metric):
    with pytest.raises(ValueError, match=r"^ranking_metrics: .*metric.* is '"):
        call("ranking_metrics", [metric])


@pytest.mark.parametrize("name", BOTH)
@pytest.mark.parametrize("metrics", ["ndcg@1", [1], [b"hit@1"], None, 5])
def test_metrics_that_are_no_list_of_names_are_refused(name, metrics):
    with pytest.raises(TypeError, match=rf"^{name}: .*metric.* is .*; expected \S"):
        call(name, metrics)


def test_a_cut_off_beyond_the_rankings_is_refused():
    with pytest.raises(ValueError, match=r"^ranking_metrics: .* is 3; expected .*2"):
        call("ranking_metrics", ["hit@1", "hit@3"])


@pytest.mark.parametrize(
    ("row", "rank", "value"),
    [
        ([2, 0, 2], 3, 2),
        ([2, 2, 0], 2, 2),
        ([0, -1, 1], 3, 1),
        ([-1, 0, -1], 2, 0),
        ([0, 3, 1], 2, 3),
        ([0, -2, -1], 2, -2),
        ([0, np.iinfo(np.int32).max, 1], 2, np.iinfo(np.int32).max),
        ([np.iinfo(np.int32).min, 0, 1], 1, np.iinfo(np.int32).min),
    ],
)
def test_rows_that_are_no_ranking_are_refused(row, rank, value):
    items = np.array([[0, 1, 2], row], np.int32)
    message = worded("ranking_metrics", f"rank {rank} of row 1", value)
    with pytest.raises(ValueError, match=message):
        kernels.ranking_metrics(items, RELEVANT, ["hit@1"])


def test_rows_that_are_no_ranking_are_refused_without_targets_too():
    with pytest.raises(ValueError, match=worded("ranking_metrics", "rank 2 of row 0", 1)):
        kernels.ranking_metrics(np.array([[1, 1]], np.int32), csr_array((1, 3)), ["hit@1"])


@pytest.mark.parametrize(
    ("items", "error", "value"),
    [
        (RANKING.astype(np.int64), TypeError, "int64"),
        (RANKING.astype(np.float32), TypeError, "float32"),
        (RANKING.tolist(), TypeError, "that of a list"),
        (np.asfortranarray(RANKING), TypeError, "not C-contiguous"),
        (RANKING[0], ValueError, 1),
    ],
)
def test_items_of_another_form_are_refused(items, error, value):
    with pytest.raises(error, match=worded("ranking_metrics", "items", value)):
        kernels.ranking_metrics(items, RELEVANT, ["hit@1"])


@pytest.mark.parametrize(
    ("scores", "error", "value"),
    [
        (SCORES.astype(np.float64), TypeError, "float64"),
        (SCORES.tolist(), TypeError, "that of a list"),
        (np.asfortranarray(SCORES), TypeError, "not C-contiguous"),
        (SCORES[0], ValueError, 1),
        (np.ones((2, 2), np.float32), ValueError, (2, 2)),
        (np.ones((3, 3), np.float32), ValueError, (3, 3)),
    ],
)
def test_scores_of_another_form_are_refused(scores, error, value):
    with pytest.raises(error, match=worded("score_metrics", "scores", value)):
        kernels.score_metrics(scores, RELEVANT, ["hit@1"])


def test_another_number_of_rankings_than_of_targets_is_refused():
    with pytest.raises(ValueError, match=r"^ranking_metrics: .* is 1; expected .*2"):
        kernels.ranking_metrics(RANKING[:1], RELEVANT, ["hit@1"])


@pytest.mark.parametrize("name", BOTH)
@pytest.mark.parametrize(
    ("targets", "error", "what", "value"),
    [
        (raw_csr((2, 3), [0, 1, 2], [0, 3]), ValueError, "targets.indices[1]", 3),
        (raw_csr((2, 3), [0, 1, 2], [0, -1]), ValueError, "targets.indices[1]", -1),
        (raw_csr((2, 3), [0, 1, 3], [0, 1]), ValueError, "targets.indptr[2]", 3),
        (raw_csr((2, 3), [0, 2, 1], [0, 1]), ValueError, "targets.indptr[2]", 1),
        (raw_csr((2, 3), [1, 1, 2], [0, 1]), ValueError, "targets.indptr[0]", 1),
        (raw_csr((2, 3), [0, 1], [0]), ValueError, "targets.indptr's length", 2),
        (csc_array(RELEVANT), TypeError, "targets", "a csc matrix"),
        (RELEVANT.toarray(), TypeError, "targets", "a ndarray"),
        ([[0], [1]], TypeError, "targets", "a list"),
    ],
)
def test_targets_that_are_no_sound_csr_are_refused(name, targets, error, what, value):
    with pytest.raises(error, match=worded(name, what, value)):
        call(name, targets=targets)


@pytest.mark.parametrize("name", BOTH)
def test_one_dimensional_targets_are_refused_in_words(name):
    with pytest.raises((TypeError, ValueError), match=rf"^{name}: .* is .*; expected \S"):
        call(name, targets=csr_array(np.ones(3, np.float32)))


@pytest.mark.parametrize("shape", [(1, 3), (2, 2), (3, 3)])
def test_an_exclude_of_another_shape_is_refused(shape):
    with pytest.raises(ValueError, match=worded("score_metrics", "exclude's shape", shape)):
        kernels.score_metrics(SCORES, RELEVANT, ["hit@1"], exclude=csr_array(shape))


def test_a_malformed_exclude_is_refused():
    exclude = raw_csr((2, 3), [0, 1, 2], [0, 9])
    with pytest.raises(ValueError, match=worded("score_metrics", "exclude.indices[1]", 9)):
        kernels.score_metrics(SCORES, RELEVANT, ["hit@1"], exclude=exclude)


def test_a_candidate_whose_score_is_nan_is_refused_and_no_other():
    scores = np.array([[3, 2, np.nan], [1, 2, 3]], np.float32)
    with pytest.raises(ValueError, match=worded("score_metrics", "item 2 in row 0", "nan")):
        kernels.score_metrics(scores, RELEVANT, ["hit@1"])
    exclude = raw_csr((2, 3), [0, 1, 1], [2])
    assert kernels.score_metrics(scores, RELEVANT, ["hit@1"], exclude=exclude)["hit@1"][0] == 1.0
