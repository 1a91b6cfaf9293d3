"""LLMRec alone: all models share the contract's tests."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from scipy.sparse import csr_array

import pyhybrid
from pyhybrid import Catalog, Interactions, LLMRec, evaluate, memory
from pyhybrid.data import splits
from pyhybrid.models.llmrec import _not_taken
from pyhybrid.text import by_name
from pyhybrid.text.by_name import encode_by_name
from pyhybrid.training.checkpoints import Checkpoint

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.usefixtures("one_thread")

CPU = torch.device("cpu")
SMALL: dict[str, Any] = {
    "text": "tfidf",
    "dim": 16,
    "user_dim": 16,
    "lr": 0.01,
    "batch_size": 64,
    "epochs": 5,
    "device": "cpu",
}
TAGGED = SMALL | {"augmentations": ["llm_tag"]}
GROUPS, SIZE = 4, 6
ITEMS = GROUPS * SIZE
TAGS = ("crime", "cooking", "space", "romance")


def groups(users: int = 120, seed: int = 0) -> Interactions:
    """Each user takes four of the six items of one group."""
    random = np.random.default_rng(seed)
    taken = [SIZE * (u % GROUPS) + random.permutation(SIZE)[:4] for u in range(users)]
    return Interactions.from_columns(np.repeat(np.arange(users), 4), np.concatenate(taken))


def tag(item: int) -> str:
    return TAGS[item // SIZE % GROUPS]


def texts(cold: int = 2, **fields: list[Any]) -> Catalog:
    """Titles that tell nothing, tags that tell the group; the first cold items are of group 0."""
    ids = [*range(ITEMS), *range(100, 100 + cold)]
    tags = [tag(item) if item < 100 else TAGS[(item - 100) % GROUPS] for item in ids]
    return Catalog.from_columns(ids, title=["a film"] * len(ids), llm_tag=tags, **fields)


@pytest.fixture(scope="module")
def seen() -> Interactions:
    return groups()


@pytest.fixture(scope="module")
def model(seen: Interactions) -> LLMRec:
    return LLMRec(**TAGGED | {"epochs": 20}).fit(seen, texts())


def batches_of(model: LLMRec, seen: Interactions, catalog: Catalog, seed: int = 3) -> list[Any]:
    """An epoch's batches, on the axis that a fit makes."""
    model._learn(lambda *_: None, seen, catalog, 0, False)  # type: ignore[arg-type]
    return list(model._batches(seen, np.random.default_rng(seed)))


def network_of(model: LLMRec, seen: Interactions, catalog: Catalog) -> Any:
    model._learn(lambda *_: None, seen, catalog, 0, False)  # type: ignore[arg-type]
    torch.manual_seed(5)
    return model._network(seen, catalog)


def vectors_of(model: LLMRec, seen: Interactions, catalog: Catalog) -> Any:
    return network_of(model, seen, catalog).texts.numpy()


# Text vectors


def test_vectors_are_as_wide_as_all_fields_together(seen: Interactions) -> None:
    catalog = texts(notes=[f"note {k % 3}" for k in range(ITEMS + 2)])
    for fields in ((), ("llm_tag",), ("llm_tag", "notes")):
        model = LLMRec(**SMALL | {"augmentations": fields})
        network = network_of(model, seen, catalog)
        assert network.texts.shape == (ITEMS + 2, 384 * (1 + len(fields)))
        assert network["item"][0].in_features == 384 * (1 + len(fields))
        assert model.augmentations == fields


def test_each_field_is_encoded_on_its_own(seen: Interactions) -> None:
    catalog = texts()
    is_warm = np.arange(ITEMS + 2) < ITEMS
    fields = [catalog.texts(), catalog.fields["llm_tag"].tolist()]
    found = vectors_of(LLMRec(**TAGGED), seen, catalog)
    for k, field in enumerate(fields):
        wanted = encode_by_name("tfidf", np.array(field, dtype=object), is_warm, dim=384)
        np.testing.assert_allclose(found[:, 384 * k : 384 * (k + 1)], wanted * 384**0.5, rtol=1e-5)
    np.testing.assert_allclose(np.square(found, dtype=np.float64).mean(axis=1), 1.0, rtol=1e-5)


def test_an_items_own_text_stands_in_for_an_empty_field(seen: Interactions) -> None:
    notes: list[Any] = [["dark", "slow"]] * (ITEMS + 2)
    notes[3], notes[5], notes[ITEMS] = None, [" "], []
    params = SMALL | {"text": "noise", "augmentations": ["notes"]}
    found = vectors_of(LLMRec(**params), seen, texts(notes=notes))
    same = (found[:, :384] == found[:, 384:]).all(axis=1)
    assert np.flatnonzero(same).tolist() == [3, 5, ITEMS]
    joined = texts(notes=["dark, slow"] * (ITEMS + 2))
    as_text = vectors_of(LLMRec(**params), seen, joined)
    np.testing.assert_array_equal(as_text[~same], found[~same])


def test_without_augmentations_it_is_the_text_baseline(seen: Interactions) -> None:
    plain = Catalog.from_columns(texts().item_ids, title=texts().fields["title"])
    baseline = LLMRec(**SMALL).fit(seen, plain)
    other = LLMRec(**SMALL | {"augmentations": []}).fit(seen, texts())
    np.testing.assert_array_equal(
        vectors_of(baseline, seen, plain), vectors_of(other, seen, texts())
    )
    baseline, other = baseline.fit(seen, plain), other.fit(seen, texts())
    assert baseline.fingerprint() == other.fingerprint()
    np.testing.assert_array_equal(baseline.score(seen), other.score(seen))
    assert other.fingerprint() != LLMRec(**TAGGED).fit(seen, texts()).fingerprint()


def test_noise_is_the_seeds_own(seen: Interactions) -> None:
    noise = SMALL | {"text": "noise"}
    one, other = (vectors_of(LLMRec(**noise | {"seed": k}), seen, texts()) for k in (0, 1))
    assert not np.array_equal(one, other)
    again = vectors_of(LLMRec(**noise), seen, texts())
    np.testing.assert_array_equal(one, again)


# What is learned


def hidden_tastes(seed: int) -> tuple[Interactions, Catalog]:
    """200 users of one taste in four each; titles say nothing of it, a field does."""
    random = np.random.default_rng(seed)
    users, items, each = 200, 160, 8
    attribute = random.permutation(np.arange(items) % 4)
    taken = []
    for user in range(users):
        liked = np.where(attribute == user % 4, 1.0, 0.05)
        taken.append(random.choice(items, size=each, replace=False, p=liked / liked.sum()))
    seen = Interactions.from_columns(np.repeat(np.arange(users), each), np.concatenate(taken))

    def phrase() -> str:
        return " ".join(f"word{k}" for k in random.integers(20, size=4))

    letters = np.array(list("abcdefghij"))
    catalog = Catalog.from_columns(
        range(items),
        title=[phrase() for _ in range(items)],
        llm_tag=[f"{TAGS[k]} {phrase()}" for k in attribute],
        letters=["".join(random.choice(letters, size=8)) for _ in range(items)],
        words=[phrase() for _ in range(items)],
    )
    return seen, catalog


def test_texts_that_reveal_the_taste_help_and_random_ones_do_not() -> None:
    found: dict[str, list[float]] = {"title": [], "llm_tag": [], "letters": [], "words": []}
    for seed in range(3):
        seen, catalog = hidden_tastes(seed)
        split = splits.cold_items(seen, share=0.4, seed=seed)
        for name, figures in found.items():
            fields = [] if name == "title" else [name]
            params = SMALL | {"augmentations": fields, "dim": 32, "user_dim": 32, "epochs": 12}
            model = LLMRec(**params).fit(split.train, catalog)
            report = evaluate(model, split.test, ["ndcg@10"])
            figures.append(next(f.mean for f in report.figures if f.candidates == "cold"))
    assert all(np.array(found["llm_tag"]) > 1.3 * np.array(found["title"]))
    title, tags = np.mean(found["title"]), np.mean(found["llm_tag"])
    for control in ("letters", "words"):
        assert abs(np.mean(found[control]) - title) < (tags - title) / 4


def test_the_rest_of_a_group_is_recommended(model: LLMRec) -> None:
    others = groups(40, seed=1)
    ranking = model.recommend(others, 2)
    wanted = np.arange(40) % GROUPS
    found = np.array([[TAGS.index(tag(i) if i < 100 else TAGS[i - 100]) for i in row]
                      for row in model.item_ids[ranking.items]])  # fmt: skip
    assert (found == wanted[:, None]).mean() >= 0.95


def test_a_cold_item_is_scored_as_the_one_of_its_texts(model: LLMRec, seen: Interactions) -> None:
    scores = model.score(seen)
    for cold, warm in ((100, 0), (101, SIZE)):
        places = model.item_positions([cold, warm])
        np.testing.assert_array_equal(scores[:, places[0]], scores[:, places[1]])
    assert model.item_counts[model.item_positions([100, 101])].tolist() == [0, 0]
    fans = seen.select_users(np.flatnonzero(np.arange(120) % GROUPS == 0))
    cold_ones = model.recommend(fans, 1, among=model.item_positions([100, 101]))
    assert (model.item_ids[cold_ones.items[:, 0]] == 100).all()


def test_cold_items_change_no_others_bits(seen: Interactions) -> None:
    few, many = (LLMRec(**TAGGED).fit(seen, texts(cold)) for cold in (0, 300))
    np.testing.assert_array_equal(few.item_vectors, many.item_vectors[:ITEMS])
    np.testing.assert_array_equal(few.user_vectors(seen), many.user_vectors(seen))


def test_cold_items_may_stand_anywhere_on_the_axis(seen: Interactions) -> None:
    order = np.random.default_rng(0).permutation(texts().item_ids)
    moved = seen.with_items(order)
    model = LLMRec(**TAGGED | {"epochs": 20}).fit(moved, texts())
    assert model.item_ids.tolist() == order.tolist()
    fans = seen.select_users(np.flatnonzero(np.arange(120) % GROUPS == 1))
    best = model.item_ids[model.recommend(fans, 1).items[:, 0]]
    assert np.isin(best, [*range(SIZE, 2 * SIZE), 101]).all()
    table = model._user_encoder["table"].weight.detach().numpy()
    assert not table[model.item_counts == 0].any()
    assert table[model.item_counts > 0].any(axis=1).all()


def test_similar_items_are_those_of_like_texts(model: LLMRec) -> None:
    found = model.similar_items(model.item_positions([7]), SIZE)
    assert {tag(i) if i < 100 else TAGS[i - 100] for i in model.item_ids[found.items[0]]} == {
        TAGS[1]
    }


# Histories


def test_an_unknown_user_is_what_was_taken(model: LLMRec, seen: Interactions) -> None:
    known = seen.select_users([5])
    items = known.item_ids[known.matrix.indices]
    stranger = Interactions.from_columns(["nobody"] * len(items), items[::-1])
    np.testing.assert_array_equal(model.user_vectors(stranger), model.user_vectors(known))


def test_each_item_counts_once_whatever_its_weight(model: LLMRec) -> None:
    plain = Interactions.from_columns([0, 0], [1, 2])
    weighted = Interactions.from_columns([0, 0], [1, 2], weights=[7.0, 0.5])
    np.testing.assert_array_equal(model.user_vectors(plain), model.user_vectors(weighted))


def test_cold_items_add_nothing_to_a_history(model: LLMRec) -> None:
    histories = Interactions.from_columns(list("aabbbc"), [1, 2, 1, 2, 101, 100])
    one, other, nothing = model.user_vectors(histories)
    np.testing.assert_array_equal(one, other)
    assert not nothing.any()
    ranking = model.recommend(histories, 3)
    assert ranking.fallback.tolist() == [False, False, True]
    popular = np.lexsort((np.arange(ITEMS + 2), -model.item_counts))[:3]
    assert ranking.items[2].tolist() == popular.tolist()


def test_a_users_state_is_the_sum_by_the_root_of_the_number(model: LLMRec) -> None:
    items = np.array([3, 1, 20])
    encoder = {n: t.numpy() for n, t in model._user_encoder.state_dict().items()}
    summed = encoder["table.weight"][model.item_positions(items)].sum(axis=0) / np.sqrt(3)
    hidden = np.maximum(summed @ encoder["tower.0.weight"].T + encoder["tower.0.bias"], 0)
    wanted = hidden @ encoder["tower.3.weight"].T + encoder["tower.3.bias"]
    found = model.user_vectors(Interactions.from_columns([0, 0, 0], items))
    np.testing.assert_allclose(found[0], wanted, rtol=1e-5, atol=1e-6)


def test_a_rows_vector_is_the_same_bits_in_any_company(model: LLMRec, seen: Interactions) -> None:
    many = groups(600)
    together = model.user_vectors(many)
    for row in (0, 255, 256, 599):
        alone = model.user_vectors(many.select_users([row]))[0]
        np.testing.assert_array_equal(together[row], alone)
    np.testing.assert_array_equal(model.score(seen), model.score(seen))


# Batches


def test_a_pairs_item_is_left_out_of_its_history(seen: Interactions) -> None:
    model = LLMRec(**SMALL)
    batches = batches_of(model, seen, texts())
    assert len(batches) == model._steps(seen) == 8  # 480 pairs in batches of 64
    histories = {frozenset(row.nonzero()[0].tolist()) for row in seen.matrix.toarray()}
    counts = np.zeros(ITEMS)
    for batch in batches:
        rows = np.split(batch.inputs, batch.indptr[1:-1])
        for history, target in zip(rows, batch.items[batch.places[:, 0]], strict=True):
            assert target not in history
            assert frozenset([*history.tolist(), int(target)]) in histories
            counts[target] += 1
    np.testing.assert_array_equal(counts, seen.item_counts())


def test_a_users_only_item_is_no_pair() -> None:
    seen = Interactions.from_columns(["x", "x", "y"], [0, 1, 2])
    (batch,) = batches_of(LLMRec(**SMALL), seen, texts())
    assert sorted(batch.items[batch.places[:, 0]].tolist()) == [0, 1]
    assert np.diff(batch.indptr).tolist() == [1, 1]


def test_the_target_gets_no_gradient_as_an_input(seen: Interactions) -> None:
    model = LLMRec(**SMALL | {"batch_size": 1})
    network = network_of(model, seen, texts())
    batch = batches_of(model, seen, texts())[0]
    model._loss(network, CPU, batch).backward()
    gradient = network["user"]["table"].weight.grad.numpy()
    np.testing.assert_array_equal(np.flatnonzero(gradient.any(axis=1)), np.sort(batch.inputs))
    assert len(batch.inputs) == 3


def test_negatives_are_training_items_that_were_not_taken(seen: Interactions) -> None:
    order = np.random.default_rng(0).permutation(texts().item_ids)
    moved = seen.with_items(order)  # cold items among the others
    model = LLMRec(**SMALL)
    taken = {
        frozenset(row.nonzero()[0].tolist()) for row in moved.matrix.toarray().astype(np.bool_)
    }
    for batch in batches_of(model, moved, texts()):
        scored = batch.items[batch.places]
        assert scored.shape[1] == 5
        rows = np.split(batch.inputs, batch.indptr[1:-1])
        for history, (target, *negatives) in zip(rows, scored.tolist(), strict=True):
            whole = frozenset([*history.tolist(), target])
            assert whole in taken
            assert not whole & set(negatives)
            assert (model.item_counts[negatives] > 0).all()


def test_all_that_is_left_is_drawn_alike() -> None:
    taken = csr_array(
        np.array(
            [[0, 0, 0, 0, 0, 0], [1, 1, 0, 1, 0, 0], [0, 0, 0, 0, 0, 1], [1, 1, 0, 1, 1, 1]],
            dtype=np.float32,
        )
    )
    items = np.array([0, 1, 3, 4, 5])  # 2 is none of them
    drawn = _not_taken(taken, items, 4000, np.random.default_rng(0))
    for row, left in enumerate(([0, 1, 3, 4, 5], [4, 5], [0, 1, 3, 4], [-1])):
        found, times = np.unique(drawn[row], return_counts=True)
        assert found.tolist() == left
        np.testing.assert_allclose(times / 4000, 1 / len(left), atol=0.03)


def test_an_epoch_is_the_generators_own(seen: Interactions) -> None:
    one, same, other = (batches_of(LLMRec(**SMALL), seen, texts(), seed) for seed in (3, 3, 4))
    for a, b in zip(one, same, strict=True):
        for mine, yours in zip(a, b, strict=True):
            np.testing.assert_array_equal(mine, yours)
    assert not np.array_equal(one[0].inputs, other[0].inputs)


# The loss


def test_the_loss_is_the_binary_cross_entropy(seen: Interactions) -> None:
    model = LLMRec(**TAGGED | {"dropout": 0.0})
    network = network_of(model, seen, texts())
    batch = batches_of(model, seen, texts())[0]
    places = batch.places.copy()
    places[:3, 2:] = -1  # as where a user has taken almost all
    weights = {n: t.detach().numpy().astype(float) for n, t in network.state_dict().items()}

    def tower(name: str, x: Any) -> Any:
        hidden = np.maximum(x @ weights[f"{name}.0.weight"].T + weights[f"{name}.0.bias"], 0)
        return hidden @ weights[f"{name}.3.weight"].T + weights[f"{name}.3.bias"]

    table = weights["user.table.weight"]
    rows = np.split(batch.inputs, batch.indptr[1:-1])
    users = tower("user.tower", np.stack([table[r].sum(0) / np.sqrt(len(r)) for r in rows]))
    items = tower("item", network.texts.numpy()[batch.items].astype(float))
    losses = []
    for user, scored in zip(users, places, strict=True):
        for k, place in enumerate(scored):
            if place >= 0:
                chance = 1 / (1 + np.exp(-user @ items[place]))
                losses.append(-np.log(chance if k == 0 else 1 - chance))
    found = model._loss(network, CPU, batch._replace(places=places)).item()
    assert len(losses) == 64 * 5 - 9
    assert found == pytest.approx(np.mean(losses), rel=1e-5)


def test_who_has_taken_everything_learns_from_that_alone() -> None:
    seen = Interactions.from_columns([1, 1], [0, 1])
    (batch,) = batches_of(LLMRec(**SMALL), seen, texts())
    assert (batch.places[:, 1:] == -1).all()
    model = LLMRec(**SMALL).fit(seen, texts())
    assert np.isfinite([epoch.loss for epoch in model.epochs_run]).all()


def test_products_in_bfloat16_learn_too(seen: Interactions) -> None:
    rough = LLMRec(**TAGGED | {"precision": "bfloat16"}).fit(seen, texts())
    exact = LLMRec(**TAGGED).fit(seen, texts())
    for one, other in zip(rough.epochs_run, exact.epochs_run, strict=True):
        assert one.loss == pytest.approx(other.loss, rel=0.05)
    assert rough.item_vectors.dtype == np.float32
    assert not np.array_equal(rough.item_vectors, exact.item_vectors)


# Runs and saves


@pytest.mark.parametrize("within", [False, True])
def test_a_fit_that_is_stopped_goes_on_to_the_same_bits(
    within: bool, seen: Interactions, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # 8 steps an epoch; with a checkpoint after each of them, the third epoch is begun already.
    monkeypatch.setattr(Checkpoint, "is_due", lambda _: within)

    def stop(done: float) -> None:
        if done == pytest.approx(2.5 / 5):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        LLMRec(**TAGGED).fit(seen, texts(), checkpoint=tmp_path, progress=stop)
    with np.load(tmp_path / "checkpoint.npz") as stored:
        assert not any("texts" in name for name in stored.files)
    shares: list[float] = []
    resumed = LLMRec(**TAGGED).fit(seen, texts(), checkpoint=tmp_path, progress=shares.append)
    assert shares[0] == pytest.approx((2.5 if within else 2.125) / 5)
    assert resumed.fingerprint() == LLMRec(**TAGGED).fit(seen, texts()).fingerprint()


def test_another_fields_run_is_refused(seen: Interactions, tmp_path: Path) -> None:
    LLMRec(**TAGGED).fit(seen, texts(), checkpoint=tmp_path)
    with pytest.raises(ValueError, match=r"^LLMRec: .*augmentations"):
        LLMRec(**SMALL).fit(seen, texts(), checkpoint=tmp_path)


def test_the_best_epoch_is_kept(seen: Interactions) -> None:
    split = splits.strong(groups(200), seed=0)
    params = TAGGED | {"epochs": 30, "patience": 3}
    model = LLMRec(**params).fit(split.train, texts(), validation=split.validation)
    figures = [epoch.metric for epoch in model.epochs_run]
    best = int(np.argmax(figures))
    assert len(figures) == min(30, best + 4)
    assert evaluate(model, split.validation, ["ndcg@10"])["ndcg@10"] == figures[best]


def test_a_loaded_model_needs_no_texts(
    model: LLMRec, seen: Interactions, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model.save(tmp_path / "model")

    def refuse(*_: Any, **__: Any) -> None:
        raise AssertionError("texts are encoded")

    monkeypatch.setattr(by_name, "encode_by_name", refuse)
    loaded = pyhybrid.load(tmp_path / "model")
    assert isinstance(loaded, LLMRec)
    assert loaded.params == model.params
    assert loaded.augmentations == ("llm_tag",)
    np.testing.assert_array_equal(loaded.score(seen), model.score(seen))
    assert loaded.fingerprint() == model.fingerprint()
    ranking = loaded.recommend(seen, 5, among=model.item_positions([100, 101, 3]))
    np.testing.assert_array_equal(
        ranking.items, model.recommend(seen, 5, among=model.item_positions([100, 101, 3])).items
    )


# What is refused


def test_it_needs_texts_and_known_fields(seen: Interactions) -> None:
    message = "^LLMRec: catalog is None; expected the items' texts; pass fit.. a Catalog"
    with pytest.raises(ValueError, match=message):
        LLMRec(**SMALL).fit(seen)
    message = "^LLMRec: a field of augmentations is 'tags'; expected one of title, llm_tag$"
    with pytest.raises(ValueError, match=message):
        LLMRec(**SMALL | {"augmentations": ["llm_tag", "tags"]}).fit(seen, texts())
    with pytest.raises(ValueError, match=r"^texts: number of unknown items is 20"):
        LLMRec(**SMALL).fit(seen, texts().select([0, 1, 2, 3]))


def test_bad_hyper_parameters_are_refused() -> None:
    for kind, message, params in (
        (ValueError, "negatives is 0; expected 1 or more", {"negatives": 0}),
        (ValueError, "negatives is -2; expected 1 or more", {"negatives": -2}),
        (ValueError, "user_dim is 0", {"user_dim": 0}),
        (ValueError, "dropout is 1.0", {"dropout": 1.0}),
        (TypeError, "text is None", {"text": None}),
        (TypeError, "text is ''", {"text": ""}),
        (TypeError, "augmentations is 'llm_tag'; expected a list", {"augmentations": "llm_tag"}),
        (TypeError, r"augmentations is \[3\]", {"augmentations": [3]}),
        (TypeError, "augmentations is None", {"augmentations": None}),
    ):
        with pytest.raises(kind, match=f"^LLMRec: {message}"):
            LLMRec(**params)


def test_nothing_to_learn_from_is_refused() -> None:
    single = Interactions.from_columns([0, 1, 2], [0, 1, 1])
    message = "^LLMRec: number of users with two items or more is 0; expected 1 or more$"
    with pytest.raises(ValueError, match=message):
        LLMRec(**SMALL).fit(single, texts())


def test_what_does_not_fit_is_refused(seen: Interactions, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "available_bytes", lambda: 20_000)
    message = "^LLMRec: 26 items with text vectors of 768 numbers need .* use fewer augmentations="
    with pytest.raises(MemoryError, match=message):
        LLMRec(**TAGGED).fit(seen, texts())
