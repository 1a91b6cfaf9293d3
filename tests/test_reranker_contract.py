"""What re-rankers promise beside what every recommender does: whom they rank, and in what order.

`test_contract.py` holds the promises of models that rank a whole catalogue. Here are those of
models that score pairs and rank what a sooner model has chosen: of a stub whose scores are known,
and of CoLLM over both kinds of language model.
"""

from __future__ import annotations

import importlib.util
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from constructors import check_refusals
from scipy.sparse import csr_array
from tiny_models import saved_bert, saved_llama

from pyhybrid import Catalog, CoLLM, Interactions, NotFittedError, Popularity, models
from pyhybrid.data import Feedback
from pyhybrid.models.parts import load_part, part_arrays
from pyhybrid.models.reranker import Reranker

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from pyhybrid import Ranking
    from pyhybrid.models.base import Recommender

needs_peft = pytest.mark.skipif(
    importlib.util.find_spec("peft") is None, reason="peft is not installed"
)
USERS, ITEMS, TOP = 12, 14, 5
COLD = ("cold-a", "cold-b")
FIRST: dict[str, Any] = {"l2": 1.0, "text": "tfidf"}
SMALL: dict[str, Any] = {
    "collaborative": "ESLERFactors",  # whose vectors follow from histories alone
    "collaborative_params": {"rank": 4, "l2": 1.0},
    "candidate_params": FIRST,
    "top": TOP,
    "titles": 3,
    "negatives": 1,
    "text_epochs": 1,
    "mapper_epochs": 1,
    "text_lr": 0.02,
    "mapper_lr": 0.02,
    "device": "cpu",
}


class Stub(Reranker):
    """Score a pair by the item's number and the history's size, with many ties."""

    def __init__(
        self,
        *,
        candidates: str = "ESLER",
        candidate_params: Mapping[str, Any] | None = None,
        top: int = TOP,
    ) -> None:
        self._set_candidates("Stub", candidates, candidate_params, top)

    def _fit(self, interactions: Any, catalog: Any, threads: int, report: Any) -> None:
        self._fit_candidates(interactions, catalog, threads, report)

    def _pair_scores(
        self, histories: Interactions, rows: NDArray[np.int64], items: NDArray[np.int64]
    ) -> NDArray[np.float32]:
        assert (np.diff(rows) >= 0).all()
        assert len(rows) == len(items)
        assert items.min() >= 0
        sizes = np.diff(histories.matrix.indptr)
        return ((5 * items + sizes[rows]) % 3).astype(np.float32)

    def _arrays(self) -> dict[str, Any]:
        return part_arrays("candidates", self._first)

    def _restore(self, arrays: Mapping[str, Any]) -> None:
        self._first = load_part(self, "candidates", self.candidates, self._first_params, arrays)


def taken() -> Interactions:
    """Even users take even items, odd users odd ones, three to six of them, in a random order."""
    random = np.random.default_rng(0)
    chosen = [random.permutation(7)[: 3 + u % 4] * 2 + u % 2 for u in range(USERS)]
    users = np.repeat([f"u{u:02}" for u in range(USERS)], [len(items) for items in chosen])
    items = [f"i{item:02}" for item in np.concatenate(chosen)]
    return Interactions.from_columns(users, items, ordered=True)


def catalog() -> Catalog:
    titles = {f"i{item:02}": f"{('even', 'odd')[item % 2]} film {item}" for item in range(ITEMS)}
    titles |= {COLD[0]: "even film, new", COLD[1]: "odd film, new"}
    return Catalog.from_columns(list(titles), title=list(titles.values()))


@pytest.fixture(scope="module")
def seen() -> Interactions:
    return taken()


@pytest.fixture(
    scope="module", params=["Stub", *(pytest.param(k, marks=needs_peft) for k in ("Llama", "BERT"))]
)
def model(request: pytest.FixtureRequest, seen: Interactions, tmp_path_factory: Any) -> Reranker:
    if request.param == "Stub":
        return Stub(candidate_params=FIRST).fit(seen, catalog())
    save = {"Llama": saved_llama, "BERT": saved_bert}[request.param]
    folder = save(tmp_path_factory.mktemp("tiny"), num_hidden_layers=1)
    return CoLLM(llm=folder, **SMALL).fit(seen, catalog())


@pytest.fixture(scope="module")
def first(seen: Interactions) -> Recommender:
    """The model that chooses the candidates, fitted on its own."""
    return models.model_class("ESLER")(**FIRST).fit(seen, catalog())


def pair_scores(model: Reranker, histories: Interactions) -> NDArray[np.float32]:
    """Score each pair alone, without candidates: (rows, items)."""
    on_axis = histories.with_items(model.item_ids)
    rows, items = on_axis.shape
    users = np.repeat(np.arange(rows, dtype=np.int32), items)
    pairs = Feedback(
        on_axis,
        users,
        np.tile(np.arange(items, dtype=np.int32), rows),
        np.zeros(rows * items, dtype=np.bool_),
        np.diff(on_axis.events.indptr)[users],
    )
    return model.score_rows(pairs).reshape(rows, items)


def ranked(
    scores: NDArray[np.float32], candidates: list[list[int]], n: int
) -> NDArray[np.integer[Any]]:
    """Rank each row's candidates by score, ties by the lower index: (rows, n)."""
    rows = []
    for row, own in zip(scores, candidates, strict=True):
        best = sorted({item for item in own if item >= 0}, key=lambda item: (-row[item], item))[:n]
        rows.append(best + [-1] * (n - len(best)))
    return np.array(rows)


def require(
    model: Reranker, histories: Interactions, candidates: list[list[int]], n: int, **options: Any
) -> Ranking:
    """Require that `recommend` ranks exactly these candidates, by the scores of pairs."""
    found = model.recommend(histories, n, **options)
    scores = pair_scores(model, histories)
    for row, own in enumerate(candidates):
        size = min(n, len({item for item in own if item >= 0}))
        items = found.items[row]
        assert (items[size:] == -1).all()
        assert (found.scores[row, size:] == -np.inf).all()
        np.testing.assert_allclose(found.scores[row, :size], scores[row, items[:size]], atol=1e-4)
    np.testing.assert_array_equal(found.items, ranked(scores, candidates, n))
    assert found.items.dtype == np.int32
    assert found.scores.dtype == np.float32
    return found


def by_first(first: Recommender, histories: Interactions, **options: Any) -> list[list[int]]:
    return first.recommend(histories, TOP, **options).items.tolist()


# Whom they rank


def test_the_first_models_best_are_ranked_and_seen_items_left_out(
    model: Reranker, first: Recommender, seen: Interactions
) -> None:
    candidates = by_first(first, seen)
    assert model.item_ids.tolist() == first.item_ids.tolist()
    found = require(model, seen, candidates, TOP)
    matrix = seen.with_items(model.item_ids).matrix.toarray()
    assert not np.take_along_axis(matrix, found.items, axis=1).any()
    assert found.items.tolist() != candidates  # in another order
    require(model, seen, candidates, 2)


def test_seen_items_are_candidates_where_asked_for(
    model: Reranker, first: Recommender, seen: Interactions
) -> None:
    candidates = by_first(first, seen, exclude_seen=False)
    assert candidates != by_first(first, seen)
    require(model, seen, candidates, TOP, exclude_seen=False)


def test_fewer_candidates_than_asked_for_end_in_nothing(
    model: Reranker, first: Recommender, seen: Interactions
) -> None:
    found = require(model, seen, by_first(first, seen), TOP + 3)
    assert (found.items[:, TOP:] == -1).all()
    assert (found.items[:, :TOP] >= 0).all()


def test_cold_items_can_be_candidates(model: Reranker, seen: Interactions) -> None:
    assert model.scores_cold_items
    assert (model.item_counts[model.item_positions(COLD)] == 0).all()
    found = model.recommend(seen, TOP)
    assert np.isin(found.items, model.item_positions(COLD)).any()


def test_ties_go_to_the_lower_item(seen: Interactions) -> None:
    model = Stub(candidate_params=FIRST).fit(seen, catalog())
    found = model.recommend(seen, TOP)
    same = found.scores[:, 1:] == found.scores[:, :-1]
    assert same.any(axis=1).all()
    assert (np.diff(found.items, axis=1)[same] > 0).all()


# Among what is allowed


def test_a_few_allowed_items_are_the_candidates(
    model: Reranker, first: Recommender, seen: Interactions
) -> None:
    cold = model.item_positions(COLD)[0]
    for allowed in ([9, 2, cold], [9, 2, -1, cold, -1], [9, 2, cold, 9, 2]):
        among = np.array(allowed)
        require(model, seen, [allowed] * USERS, 5, among=among, exclude_seen=False)
        kept = taken_out(seen.with_items(model.item_ids), [allowed] * USERS)
        assert kept != [allowed] * USERS
        require(model, seen, kept, 5, among=among)


def taken_out(seen: Interactions, candidates: list[list[int]]) -> list[list[int]]:
    matrix = seen.matrix.toarray()
    return [
        [item for item in own if item >= 0 and not matrix[row, item]]
        for row, own in enumerate(candidates)
    ]


def test_a_few_allowed_items_a_row_are_its_candidates(model: Reranker, seen: Interactions) -> None:
    users = seen.select_users([0, 1, 2, 3])
    among = np.array([[1, 0, 5, 15], [7, -1, -1, -1], [-1, -1, -1, -1], [3, -1, 3, 2]])
    require(model, users, among.tolist(), 4, among=among, exclude_seen=False)
    kept = taken_out(users.with_items(model.item_ids), among.tolist())
    require(model, users, kept, 3, among=among)


def test_many_allowed_items_go_through_the_first_model(
    model: Reranker, first: Recommender, seen: Interactions
) -> None:
    among = np.array([0, 1, 2, 3, 4, 5, 9, 15])
    require(model, seen, by_first(first, seen, among=among), TOP, among=among)
    options = {"among": among, "exclude_seen": False}
    require(model, seen, by_first(first, seen, **options), TOP, **options)
    random = np.random.default_rng(1)
    by_row = np.array([random.permutation(ITEMS + 2)[:9] for _ in range(USERS)])
    require(model, seen, by_first(first, seen, among=by_row), TOP, among=by_row)


def test_a_rows_candidates_are_the_same_in_any_company(
    model: Reranker, first: Recommender, seen: Interactions
) -> None:
    few = [2, 9, 15]
    wide = np.array([few + [-1] * 9, list(range(12)), [4] * 12])
    users = seen.select_users([0, 1, 2])
    found = require(
        model,
        users,
        [few, by_first(first, users, among=wide, exclude_seen=False)[1], [4]],
        TOP,
        among=wide,
        exclude_seen=False,
    )
    for row in range(3):
        alone = model.recommend(
            seen.select_users([row]), TOP, among=wide[[row]], exclude_seen=False
        )
        np.testing.assert_array_equal(alone.items[0], found.items[row])


def test_what_the_first_model_cannot_rank_is_ranked_where_few_are_allowed(
    seen: Interactions,
) -> None:
    model = Stub(candidates="Popularity").fit(seen, catalog())
    cold = model.item_positions(COLD)
    few = [3, *cold.tolist()]
    for among in (np.array(few), np.array([few + [-1] * 9] * USERS)):
        require(model, seen, [few] * USERS, 3, among=among, exclude_seen=False)
    mixed = np.array([few + [-1] * 9, list(range(ITEMS - 2))])  # a few for one row alone
    users = seen.select_users([0, 1])
    popular = Popularity().fit(seen, catalog())
    of_second = by_first(popular, users, among=mixed, exclude_seen=False)[1]
    require(model, users, [few, of_second], TOP, among=mixed, exclude_seen=False)
    many = np.array([0, 1, 2, 4, 5, 6, *cold])
    found = model.recommend(seen, TOP, among=many)
    assert not np.isin(found.items, cold).any()


def test_an_empty_among_allows_nothing(model: Reranker, seen: Interactions) -> None:
    for among in (np.array([], dtype=np.int32), np.array([-1, -1]), np.full((USERS, 9), -1)):
        found = model.recommend(seen, 2, among=among)
        assert (found.items == -1).all()
        assert (found.scores == -np.inf).all()


def test_denied_items_are_for_nobody(
    model: Reranker, first: Recommender, seen: Interactions
) -> None:
    for deny in ([2, 5, 2], [15], np.arange(ITEMS + 2)):
        candidates = by_first(first, seen, deny=deny)
        found = require(model, seen, candidates, TOP, deny=deny)
        assert not np.isin(found.items, deny).any()
    among = np.array([2, 5, 6])
    require(model, seen, [[2]] * USERS, 2, among=among, deny=[5, 6], exclude_seen=False)
    by_row = np.tile(among, (USERS, 1))
    require(model, seen, [[2]] * USERS, 2, among=by_row, deny=[5, 6], exclude_seen=False)
    many = np.arange(9)
    candidates = by_first(first, seen, among=many, deny=[0, 1])
    require(model, seen, candidates, TOP, among=many, deny=[0, 1])
    require(model, seen, by_first(first, seen), TOP, deny=[])


# Empty and unknown histories


def test_an_empty_history_gets_what_is_popular_and_says_so(
    model: Reranker, seen: Interactions
) -> None:
    order = sorted(range(ITEMS + 2), key=lambda item: (-model.item_counts[item], item))
    empty = csr_array((2, ITEMS + 2), dtype=np.float32)
    found = model.recommend(empty, ITEMS + 2)
    assert found.items.tolist() == [order, order]
    assert found.fallback.tolist() == [True, True]
    owners = np.repeat(np.arange(USERS), np.diff(seen.matrix.indptr))
    mixed = model.recommend(seen.keep_pairs(owners != 1).select_users([0, 1, 2]), 4)
    assert mixed.fallback.tolist() == [False, True, False]
    assert mixed.items[1].tolist() == order[:4]
    alone = model.recommend(seen.select_users([0, 2]), 4)
    np.testing.assert_array_equal(mixed.items[[0, 2]], alone.items)
    few = model.recommend(empty, 3, among=np.array([15, order[3], order[1]]), deny=[order[1]])
    assert few.items.tolist() == [[order[3], 15, -1]] * 2


def test_a_stranger_is_ranked_by_the_history(
    model: Reranker, first: Recommender, seen: Interactions
) -> None:
    own = seen.select_users([3])
    items = own.item_ids[own.events.items]
    stranger = Interactions.from_columns(["stranger"] * len(items), items, ordered=True)
    found = require(model, stranger, by_first(first, stranger), TOP)
    assert found.row_ids.tolist() == ["stranger"]
    assert not found.fallback.any()
    known = model.recommend(own, TOP)
    np.testing.assert_array_equal(found.items, known.items)
    np.testing.assert_allclose(found.scores, known.scores, atol=1e-5)


def test_no_histories_give_no_rows(model: Reranker, seen: Interactions) -> None:
    nobody = seen.select_users([])
    assert model.recommend(nobody, 3).items.shape == (0, 3)
    assert model.recommend(nobody, 3, among=np.array([1, 2])).items.shape == (0, 3)
    assert model.score(nobody).shape == (0, ITEMS + 2)


def test_histories_without_an_order_are_refused_in_words_or_do_not_matter(
    model: Reranker, seen: Interactions
) -> None:
    bare = seen.with_items(model.item_ids).matrix
    if isinstance(model, CoLLM):
        message = "^CoLLM: the order of events is unknown; .* ordered=True, not a bare CSR$"
        unordered = Interactions.from_columns(["x", "x"], ["i01", "i03"])
        for histories in (bare, unordered):
            for verb in (model.score, model.recommend):
                with pytest.raises(ValueError, match=message):
                    verb(histories)
        numbered = Catalog.from_columns(np.arange(len(model.item_ids)), title=catalog().texts())
        for histories, titles in ((bare, numbered), (unordered, catalog())):
            with pytest.raises(ValueError, match=message):
                model.with_params().fit(histories, titles)
    else:
        np.testing.assert_array_equal(model.recommend(bare).items, model.recommend(seen).items)
    one = csr_array(np.eye(1, len(model.item_ids), dtype=np.float32))
    named = Interactions.from_columns([0], [model.item_ids[0]], ordered=True)
    found = model.recommend(one, 4)
    np.testing.assert_array_equal(found.items, model.recommend(named, 4).items)
    assert not found.fallback.any()


def test_histories_on_another_item_order_rank_the_same(model: Reranker, seen: Interactions) -> None:
    order = np.random.default_rng(3).permutation(model.item_ids)
    few = Interactions.from_columns(["x", "x", "y"], ["i06", "i04", "i06"], ordered=True)
    for histories, other in ((seen, seen.with_items(order)), (few.with_items(order), few)):
        one, again = model.recommend(histories, TOP), model.recommend(other, TOP)
        np.testing.assert_array_equal(one.items, again.items)
        np.testing.assert_array_equal(one.scores, again.scores)


def test_an_unknown_item_is_refused_and_named(model: Reranker) -> None:
    strange = Interactions.from_columns(["x", "x"], ["i01", "nobody's"], ordered=True)
    for verb in (model.score, model.recommend):
        with pytest.raises(ValueError, match=r"unknown items is 1.*nobody's.*expected 0"):
            verb(strange)


# Scores


def test_score_is_that_of_candidates_and_agrees_with_recommend(
    model: Reranker, first: Recommender, seen: Interactions
) -> None:
    scores = model.score(seen)
    assert scores.dtype == np.float32
    assert scores.flags.c_contiguous
    candidates = by_first(first, seen, exclude_seen=False)
    found = [np.flatnonzero(np.isfinite(row)).tolist() for row in scores]
    assert found == [sorted(own) for own in candidates]
    assert (scores[~np.isfinite(scores)] == -np.inf).all()
    ranking = model.recommend(seen, TOP, exclude_seen=False)
    best = np.take_along_axis(scores, ranking.items.astype(np.int64), axis=1)
    np.testing.assert_allclose(ranking.scores, best, atol=1e-5)
    np.testing.assert_array_equal(ranked(scores, candidates, TOP), ranking.items)


def test_rows_are_scored_whether_candidates_or_not(model: Reranker, seen: Interactions) -> None:
    scores = pair_scores(model, seen)
    assert scores.shape == (USERS, ITEMS + 2)
    if isinstance(model, Stub):
        sizes = np.diff(seen.matrix.indptr)[:, None]
        assert scores.tolist() == ((5 * np.arange(ITEMS + 2) + sizes) % 3).tolist()
    else:
        assert all(len(np.unique(row)) == ITEMS + 2 for row in scores)


@pytest.mark.parametrize("is_on_cpu", [True, False])
def test_a_shared_prefix_is_read_once_a_user(
    is_on_cpu: bool, model: Reranker, seen: Interactions, monkeypatch: pytest.MonkeyPatch
) -> None:
    if getattr(model, "_language", None) is None or model._language.backbone.kind != "causal":
        pytest.skip("of causal models")
    # A GPU reads several users' prefixes in one batch, and all endings of one.
    monkeypatch.setattr("pyhybrid.models.collm_scoring._is_on_cpu", lambda network: is_on_cpu)
    backbone = model._language.backbone
    calls: dict[str, list[int]] = {"prefixes": [], "yes_no": []}
    for name in calls:

        def counted(first: Any, *given: Any, _name: str = name) -> Any:
            calls[_name].append(len(first))
            return getattr(type(backbone), _name)(backbone, first, *given)

        monkeypatch.setattr(backbone, name, counted)
    after = model.recommend(seen, TOP)
    assert sum(calls["prefixes"]) == USERS
    assert (len(calls["prefixes"]) == USERS) is is_on_cpu
    assert not calls["yes_no"]
    whole = pair_scores(model, seen)
    assert sum(calls["prefixes"]) == USERS
    assert calls["yes_no"]
    expected = np.take_along_axis(whole, after.items.astype(np.int64), axis=1)
    np.testing.assert_allclose(after.scores, expected, rtol=1e-4, atol=1e-4)
    assert whole.std() > 0.01


# In company


def test_rows_are_ranked_the_same_alone(model: Reranker, seen: Interactions) -> None:
    together = model.recommend(seen, TOP)
    for row in (0, 5, 11):
        alone = model.recommend(seen.select_users([row]), TOP)
        np.testing.assert_array_equal(alone.items[0], together.items[row])
        np.testing.assert_allclose(alone.scores[0], together.scores[row], atol=1e-5)


@pytest.mark.parametrize("rows", [5, 1000])
def test_batches_hold_what_recommend_returns(
    model: Reranker, seen: Interactions, tmp_path: Any, rows: int
) -> None:
    options: dict[str, Any] = {"exclude_seen": False, "among": np.arange(9), "deny": [4]}
    parts = model.recommend_batches(seen, tmp_path / "out", 4, rows=rows, **options)
    assert len(parts) == -(-USERS // rows)
    table = pa.concat_tables([pq.read_table(part) for part in parts])
    wanted = model.recommend(seen, 4, **options).to_arrow()
    assert table["item_id"].equals(wanted["item_id"])
    assert table["user_id"].equals(wanted["user_id"])
    np.testing.assert_allclose(table["score"], wanted["score"], atol=1e-5)


@pytest.mark.parametrize("threads", [1, 3])
def test_rankings_are_the_same_for_every_number_of_threads(
    model: Reranker, seen: Interactions, threads: int
) -> None:
    one, other = model.recommend(seen, 4, threads=threads), model.recommend(seen, 4)
    np.testing.assert_array_equal(one.items, other.items)
    # A language model's last bits are those of its number of threads.
    np.testing.assert_allclose(one.scores, other.scores, atol=0 if type(model) is Stub else 1e-5)


def test_many_rows_are_scored_in_parts(
    model: Reranker, seen: Interactions, monkeypatch: pytest.MonkeyPatch
) -> None:
    together = model.recommend(seen, TOP)
    monkeypatch.setattr("pyhybrid.models.reranker._ROWS", 5)
    in_parts = model.recommend(seen, TOP)
    np.testing.assert_array_equal(in_parts.items, together.items)
    np.testing.assert_allclose(in_parts.scores, together.scores, atol=1e-5)


# Kept


def test_a_loaded_model_gives_the_same_bits(
    model: Reranker, seen: Interactions, tmp_path: Any
) -> None:
    model.save(tmp_path / "model")
    loaded = type(model).load(tmp_path / "model")
    assert loaded.params == model.params
    assert loaded.fingerprint() == model.fingerprint()
    np.testing.assert_array_equal(loaded.score(seen), model.score(seen))
    for options in ({}, {"exclude_seen": False}, {"among": np.array([1, 4, 15])}, {"deny": [0]}):
        one, other = loaded.recommend(seen, 7, **options), model.recommend(seen, 7, **options)
        np.testing.assert_array_equal(one.items, other.items)
        np.testing.assert_array_equal(one.scores, other.scores)
        np.testing.assert_array_equal(one.item_ids, other.item_ids)
        np.testing.assert_array_equal(one.fallback, other.fallback)


def test_parameters_are_read_back(model: Reranker) -> None:
    assert type(model)(**model.params).params == model.params
    assert model.with_params(top=3).params == {**model.params, "top": 3}


@pytest.mark.parametrize("kind", [Stub, CoLLM])
def test_hyper_parameters_are_checked_in_the_constructor(kind: type[Reranker]) -> None:
    check_refusals(kind)


def test_a_fit_that_fails_leaves_the_model_as_it_was_or_not_fitted(
    model: Reranker, seen: Interactions, monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    model.save(tmp_path / "model")
    again = type(model).load(tmp_path / "model")
    before = again.recommend(seen, 4)
    who = type(model).__name__
    with pytest.raises(ValueError, match=f"^{who}: number of interactions is 0"):
        again.fit(seen.keep_pairs(np.zeros(seen.matrix.nnz, dtype=np.bool_)), catalog())
    np.testing.assert_array_equal(again.recommend(seen, 4).scores, before.scores)

    def interrupted(*args: Any, **options: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Reranker, "_fit_candidates", interrupted)
    with pytest.raises(KeyboardInterrupt):
        again.fit(seen, catalog())
    with pytest.raises(NotFittedError):
        again.recommend(seen)


def test_every_verb_asks_for_fit_first(model: Reranker, seen: Interactions, tmp_path: Any) -> None:
    fresh = model.with_params()
    verbs = {
        "score": lambda: fresh.score(seen),
        "recommend": lambda: fresh.recommend(seen),
        "save": lambda: fresh.save(tmp_path / "model"),
        "recommend_batches": lambda: fresh.recommend_batches(seen, tmp_path / "parts"),
    }
    for verb, call in verbs.items():
        with pytest.raises(NotFittedError, match=f"^{verb}: this {type(model).__name__} is not"):
            call()
    assert not list(tmp_path.iterdir())


def test_what_is_no_model_of_candidates_is_refused() -> None:
    with pytest.raises(ValueError, match="the model is 'Nobody'; expected one of"):
        Stub(candidates="Nobody")
    with pytest.raises(TypeError, match=r"candidate model is <class .*; expected a model's name"):
        Stub(candidates=Popularity)
    with pytest.raises(ValueError, match="ESLER's parameter is 'l3'; expected one of"):
        Stub(candidate_params={"l3": 1.0})
    with pytest.raises(ValueError, match="ESLER: l2 is -1"):
        Stub(candidate_params={"l2": -1.0})
    with pytest.raises(TypeError, match="candidate_params is 3; expected a dict"):
        Stub(candidate_params=3)
    with pytest.raises(ValueError, match=r"^Stub: top is 0; expected 1 or more$"):
        Stub(top=0)


def test_another_model_for_the_candidates_has_parameters_of_its_own() -> None:
    assert Stub().with_params(candidates="Popularity").candidates == "Popularity"
    assert Stub().candidate_params is None
    given = Stub(candidate_params={"l2": 3.0})
    assert given.with_params(top=5).candidate_params == {"l2": 3.0}
