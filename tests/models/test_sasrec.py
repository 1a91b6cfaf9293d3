from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch

import pyhybrid
from pyhybrid import Interactions, SASRec, memory
from pyhybrid.data.interactions import Events
from pyhybrid.models.sasrec import _has_taken
from pyhybrid.models.sequential import latest

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.usefixtures("one_thread")

ITEMS = 12
SMALL: dict[str, Any] = {
    "dim": 16,
    "layers": 1,
    "heads": 2,
    "max_length": 10,
    "lr": 0.01,
    "batch_size": 16,
    "epochs": 3,
    "device": "cpu",
}


def cycle(users: int = 60, length: int = 9, seed: int = 0) -> Interactions:
    """Each user goes round the items from a random place, in steps of one or (odd users) of two."""
    starts = np.random.default_rng(seed).integers(ITEMS, size=users)
    steps = 1 + np.arange(users) % 2
    items = (starts[:, None] + steps[:, None] * np.arange(length)) % ITEMS
    return sequences(items.tolist())


def sequences(lists: list[list[int]]) -> Interactions:
    users = np.repeat(np.arange(len(lists)), [len(row) for row in lists])
    items = np.concatenate([np.array(row, dtype=np.int64) for row in lists])
    return Interactions.from_columns(users, items, ordered=True)


def ranked(model: SASRec, lists: list[list[int]], n: int = 1, **options: Any) -> list[list[Any]]:
    ranking = model.recommend(sequences(lists), n, **options)
    return model.item_ids[ranking.items].tolist()


@pytest.fixture(scope="module")
def seen() -> Interactions:
    return cycle()


@pytest.fixture(scope="module")
def model(seen: Interactions) -> SASRec:
    return SASRec(**SMALL | {"epochs": 60, "dropout": 0.1}).fit(seen)


# What is learned


@pytest.mark.parametrize(("loss", "length"), [("softmax", 9), ("bce", 4)])
def test_a_cycle_is_learned(loss: Any, length: int) -> None:
    # The last item alone can't tell a step of one from a step of two: the order before it does.
    # The binary loss never sees what a user has taken as a negative: its cycles are short ones.
    epochs = 30 if loss == "softmax" else 80
    params = {"dim": 32, "batch_size": 32, "epochs": epochs, "dropout": 0.1, "loss": loss}
    model = SASRec(**SMALL | params).fit(cycle(users=300, length=length))
    lists = [
        [(start + step * place) % ITEMS for place in range(most)]
        for start in range(ITEMS)
        for step in (1, 2)
        for most in range(2, length)
    ]
    wanted = [[(2 * row[-1] - row[-2]) % ITEMS] for row in lists]
    found = ranked(model, lists, exclude_seen=loss == "bce")
    hits = np.mean([a == b for a, b in zip(found, wanted, strict=True)])
    assert hits >= 0.95


def test_the_order_of_a_history_counts(model: SASRec) -> None:
    scores = model.score(sequences([[3, 4, 5, 6], [6, 5, 4, 3]]))
    assert not np.allclose(scores[0], scores[1], atol=0.1)


def test_only_the_last_events_count(model: SASRec) -> None:
    long = [*[7, 1, 11, 2] * 5, *(place % ITEMS for place in range(20, 30))]
    np.testing.assert_array_equal(
        model.score(sequences([long])), model.score(sequences([long[-10:]]))
    )


def test_the_softmax_loss_is_what_its_formula_says(seen: Interactions) -> None:
    model, network, batch = prepared(seen, loss="softmax")
    weights = network["embedding"].weight[1:]
    states = network["encoder"](network["embedding"](torch.from_numpy(batch.items)))
    terms = [
        -torch.log_softmax(states[row, place] @ weights.T, 0)[target - 1]
        for (row, place), target in np.ndenumerate(batch.targets)
        if target
    ]
    found = model._loss(network, torch.device("cpu"), batch)
    torch.testing.assert_close(found, torch.stack(terms).mean())


def test_the_binary_loss_is_what_its_formula_says(seen: Interactions) -> None:
    model, network, batch = prepared(seen, loss="bce")
    vectors = network["embedding"].weight
    states = network["encoder"](network["embedding"](torch.from_numpy(batch.items)))
    terms = []
    for (row, place), target in np.ndenumerate(batch.targets):
        if target:
            terms.append(-torch.log(torch.sigmoid(states[row, place] @ vectors[target])))
            drawn = batch.negatives[row, place]
            if drawn:
                terms[-1] -= torch.log(1 - torch.sigmoid(states[row, place] @ vectors[drawn]))
    found = model._loss(network, torch.device("cpu"), batch)
    torch.testing.assert_close(found, torch.stack(terms).mean())


def prepared(seen: Interactions, **params: Any) -> tuple[SASRec, Any, Any]:
    ragged = seen.keep_events(np.arange(len(seen.events.items)) % 9 < np.arange(540) // 9 % 8 + 2)
    model = SASRec(**SMALL | {"dropout": 0.0, **params})
    network = model._network(ragged, None)
    (batch, *_) = model._batches(ragged, np.random.default_rng(0))
    assert (batch.targets == 0).any()
    return model, network, batch


def test_negatives_are_items_that_the_user_has_not_taken() -> None:
    data = sequences([[0, 1, 2], [3, 3, 4], list(range(6))])
    users = np.array([1, 2, 0])
    items = np.tile(np.arange(1, 7), (3, 1))
    taken = _has_taken(data, users, items)
    assert taken.astype(int).tolist() == [[0, 0, 0, 1, 1, 0], [1] * 6, [1, 1, 1, 0, 0, 0]]
    model = SASRec(**SMALL, loss="bce")
    for seed in range(20):
        (batch,) = model._batches(data, np.random.default_rng(seed))
        for items, negatives in zip(batch.items, batch.negatives, strict=True):
            taken = {int(item) for item in items if item}
            assert not taken & set(negatives.tolist())


def test_an_epoch_has_every_transition_once(seen: Interactions) -> None:
    model = SASRec(**SMALL)
    pairs = []
    for batch in model._batches(seen, np.random.default_rng(0)):
        real = batch.targets > 0
        pairs += zip(batch.items[real], batch.targets[real], strict=True)
    items = seen.events.items.reshape(-1, 9)
    wanted = zip(items[:, :-1].ravel() + 1, items[:, 1:].ravel() + 1, strict=True)
    assert sorted(pairs) == sorted(wanted)


def test_latest_pads_on_the_right_and_cuts_on_the_left() -> None:
    events = Events(np.array([0, 0, 3, 8]), np.arange(8, dtype=np.int32))
    assert latest(events, np.array([2, 0, 1]), 4).tolist() == [
        [5, 6, 7, 8],
        [0, 0, 0, 0],
        [1, 2, 3, 0],
    ]
    assert latest(events, np.array([0]), 4).shape == (1, 0)
    assert latest(events, np.array([], dtype=np.int64), 4).shape == (0, 0)


# Randomness


def test_the_same_seed_gives_the_same_bits(seen: Interactions) -> None:
    torch.manual_seed(1)
    before = torch.get_rng_state()
    one = SASRec(**SMALL).fit(seen)
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(2)
    two, other = SASRec(**SMALL).fit(seen), SASRec(**SMALL, seed=1).fit(seen)
    assert one.fingerprint() == two.fingerprint()
    np.testing.assert_array_equal(one.score(seen), two.score(seen))
    assert not np.allclose(one.score(seen), other.score(seen))


def test_a_rows_scores_are_the_same_bits_whatever_its_batch_mates(model: SASRec) -> None:
    rng = np.random.default_rng(4)
    lists = [rng.integers(ITEMS, size=size).tolist() for size in rng.integers(1, 25, size=700)]
    together = model.user_vectors(sequences(lists))
    order = rng.permutation(len(lists))
    shuffled = model.user_vectors(sequences([lists[row] for row in order]))
    np.testing.assert_array_equal(shuffled, together[order])
    for row in range(0, 700, 50):
        alone = model.user_vectors(sequences([lists[row]]))
        np.testing.assert_array_equal(alone[0], together[row])


# Arguments and data


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"heads": 3}, r"heads is 3; expected a divisor of dim, which is 64"),
        ({"dropout": 1.0}, r"dropout is 1.0; expected a share of at least 0 and below 1"),
        ({"loss": "bpr"}, r"loss is 'bpr'; expected 'softmax' or 'bce'"),
        ({"precision": "float16"}, r"precision is 'float16'; expected None or 'float32' or"),
        ({"weight_decay": math.inf}, r"weight_decay is inf; expected a number of at least 0"),
        (
            {"device": "tpu"},
            r"device is 'tpu'; expected 'cpu', 'cuda', 'cuda:1' and so on, or None",
        ),
        ({"max_length": 0}, r"max_length is 0; expected 1 or more"),
    ],
)
def test_parameters_are_checked(params: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=f"^SASRec: {message}"):
        SASRec(**params)


def test_users_of_one_event_are_nothing_to_learn_from() -> None:
    with pytest.raises(ValueError, match=r"^SASRec: number of users with two events or more is 0"):
        SASRec(**SMALL).fit(sequences([[1], [2], [3]]))


def test_repeats_and_empty_rows_are_taken(model: SASRec) -> None:
    repeated = ranked(model, [[5, 5, 5, 6]], 3, exclude_seen=False)
    assert len(set(repeated[0])) == 3
    histories = sequences([[3, 4], [5]]).keep_events(np.array([True, True, False]))
    ranking = model.recommend(histories, 2)
    assert ranking.fallback.tolist() == [False, True]
    assert not model.user_vectors(histories)[1].any()


def test_a_softmax_that_does_not_fit_is_refused(
    seen: Interactions, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory, "available_bytes", lambda: 1000)
    message = r"^SASRec: a batch's 128 positions x 12 items need .* use a smaller batch_size=, or"
    with pytest.raises(MemoryError, match=message):
        SASRec(**SMALL).fit(seen)


# Items and saving


def test_similar_items_are_those_of_the_largest_cosine(model: SASRec) -> None:
    ranking = model.similar_items([4, 0], 3)
    vectors = model.item_vectors / np.linalg.norm(model.item_vectors, axis=1, keepdims=True)
    for row, item in enumerate((4, 0)):
        cosines = vectors @ vectors[item]
        cosines[item] = -np.inf
        assert ranking.items[row].tolist() == np.argsort(-cosines)[:3].tolist()
        np.testing.assert_allclose(ranking.scores[row], np.sort(cosines)[::-1][:3], atol=1e-6)
    with pytest.raises(ValueError, match=r"^similar_items: item is 99"):
        model.similar_items([99])


def test_scores_are_user_vectors_by_item_vectors(model: SASRec, seen: Interactions) -> None:
    vectors = model.user_vectors(seen)
    assert (vectors.dtype, vectors.shape) == (np.float32, (60, 16))
    np.testing.assert_allclose(model.score(seen), vectors @ model.item_vectors.T, rtol=1e-5)


def test_a_saved_model_is_mapped_and_scores_the_same_bits(
    model: SASRec, seen: Interactions, tmp_path: Path
) -> None:
    model.save(tmp_path / "model")
    loaded = pyhybrid.load(tmp_path / "model")
    assert isinstance(loaded, SASRec)
    assert isinstance(loaded.item_vectors, np.memmap)
    assert not loaded.item_vectors.flags.writeable
    np.testing.assert_array_equal(loaded.score(seen), model.score(seen))
    np.testing.assert_array_equal(loaded.user_vectors(seen), model.user_vectors(seen))
    similar = loaded.similar_items([1], 2), model.similar_items([1], 2)
    np.testing.assert_array_equal(similar[0].items, similar[1].items)
    assert not list((tmp_path / "model").rglob("*.pkl"))
