from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from scipy.sparse import csr_array

import pyhybrid
from pyhybrid import Interactions, MultDAE, MultVAE, memory
from pyhybrid.data import splits
from pyhybrid.training.checkpoints import Checkpoint

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.usefixtures("one_thread")

CPU = torch.device("cpu")
SMALL: dict[str, Any] = {
    "latent_dim": 8,
    "lr": 0.02,
    "batch_size": 32,
    "epochs": 5,
    "device": "cpu",
}
VAE = SMALL | {"hidden_dim": 16, "anneal_steps": 20}
BOTH = [
    pytest.param(MultDAE, SMALL, id="MultDAE"),
    pytest.param(MultVAE, VAE, id="MultVAE"),
    pytest.param(MultVAE, VAE | {"hidden_dim": 0}, id="MultVAE without hidden layers"),
]
GROUPS, SIZE = 4, 6


def groups(users: int = 120, seed: int = 0) -> Interactions:
    """Each user takes four of the six items of one group."""
    random = np.random.default_rng(seed)
    taken = [SIZE * (u % GROUPS) + random.permutation(SIZE)[:4] for u in range(users)]
    return Interactions.from_columns(np.repeat(np.arange(users), 4), np.concatenate(taken))


@pytest.fixture(scope="module")
def seen() -> Interactions:
    return groups()


def batch_of(model: Any, interactions: Interactions) -> Any:
    return next(iter(model._batches(interactions, np.random.default_rng(3))))


def network_of(model: Any, interactions: Interactions) -> Any:
    torch.manual_seed(5)
    return model._network(interactions, None).double()


def loss_of(model: Any, network: Any, batch: Any) -> torch.Tensor:
    doubles = {
        name: getattr(batch, name).astype(np.float64)
        for name in ("values", "weights", "noise")
        if getattr(batch, name) is not None
    }
    loss: torch.Tensor = model._loss(network, CPU, batch._replace(**doubles))
    return loss


# What is learned


@pytest.mark.parametrize("likelihood", ["multinomial", "logistic", "gaussian"])
@pytest.mark.parametrize(("kind", "params"), BOTH)
def test_the_rest_of_a_group_is_recommended(kind: Any, params: Any, likelihood: str) -> None:
    model = kind(**params | {"epochs": 60, "likelihood": likelihood}).fit(groups())
    ranking = model.recommend(groups(40, seed=1), 2)
    wanted = np.arange(40) % GROUPS
    found = model.item_ids[ranking.items] // SIZE
    assert (found == wanted[:, None]).mean() >= 0.95


@pytest.mark.parametrize(("kind", "params"), BOTH)
def test_scoring_draws_nothing(kind: Any, params: Any, seen: Interactions) -> None:
    model = kind(**params).fit(seen)
    np.testing.assert_array_equal(model.score(seen), model.score(seen))


@pytest.mark.parametrize(("kind", "params"), BOTH)
def test_a_rows_vector_is_the_same_bits_in_any_company(
    kind: Any, params: Any, seen: Interactions
) -> None:
    model = kind(**params).fit(seen)
    together = model.user_vectors(seen)
    alone = [model.user_vectors(seen.select_users(np.array([row])))[0] for row in range(5)]
    np.testing.assert_array_equal(together[:5], alone)


# The equations


def by_hand(model: Any, network: Any, batch: Any, likelihood: str) -> float:
    """Compute the loss with dense arrays, as the paper writes it."""
    weights = {n: t.detach().numpy() for n, t in network.state_dict().items()}
    users, items = len(batch.indptr) - 1, len(weights["output.weight"])
    shape = (users, items)
    inputs = csr_array((batch.values.astype(float), batch.inputs, batch.indptr), shape).toarray()
    x = np.zeros(shape)
    x[batch.rows, batch.items] = batch.weights
    found = inputs @ weights["input.weight"] + weights["bias.input"]
    hidden = np.tanh(found)
    penalty = np.zeros(users)
    if isinstance(model, MultVAE):
        if model.hidden_dim:
            found = hidden @ weights["latent.weight"].T + weights["latent.bias"]
        mean, log_variance = np.split(found, 2, axis=1)
        z = mean + batch.noise * np.exp(log_variance / 2)
        hidden = z
        if model.hidden_dim:
            hidden = np.tanh(z @ weights["hidden.weight"].T + weights["hidden.bias"])
        penalty = 0.5 * (np.exp(log_variance) + mean**2 - 1 - log_variance).sum(1)
    scores = hidden @ weights["output.weight"].T + weights["output.bias"]
    if likelihood == "multinomial":
        logs = scores - np.log(np.exp(scores).sum(1, keepdims=True))
        explained = (x * logs).sum(1)
    elif likelihood == "logistic":
        chance = 1 / (1 + np.exp(-scores))
        explained = (x * np.log(chance) + (1 - x) * np.log(1 - chance)).sum(1)
    else:
        confidence = np.where(x > 0, model.confidence, 1.0)
        explained = -(confidence / 2 * (x - scores) ** 2).sum(1)
    squares = sum((w**2).sum() for w in weights.values() if w.ndim > 1)
    beta = min(0.3, 7 / 20) if isinstance(model, MultVAE) else 0.0
    return float((beta * penalty - explained).mean() + model.l2 * squares)


@pytest.mark.parametrize("likelihood", ["multinomial", "logistic", "gaussian"])
@pytest.mark.parametrize(("kind", "params"), BOTH)
def test_the_loss_is_the_papers(
    kind: Any, params: Any, likelihood: str, seen: Interactions
) -> None:
    model = kind(**params | {"likelihood": likelihood, "l2": 0.01})
    network, batch = network_of(model, seen), batch_of(model, seen)
    model.beta_cap = 0.3
    network.updates += 7
    expected = by_hand(model, network, batch, likelihood)
    assert loss_of(model, network, batch).item() == pytest.approx(expected, rel=1e-10)


@pytest.mark.parametrize("likelihood", ["multinomial", "logistic", "gaussian"])
@pytest.mark.parametrize(("kind", "params"), BOTH)
def test_the_gradient_is_that_of_differences(
    kind: Any, params: Any, likelihood: str, seen: Interactions
) -> None:
    model = kind(**params | {"likelihood": likelihood, "l2": 0.01})
    network, batch = network_of(model, seen), batch_of(model, seen)
    model.beta_cap = 0.3
    updates = network.updates.clone()

    def loss() -> torch.Tensor:
        network.updates.copy_(updates + 5)
        return loss_of(model, network, batch)

    loss().backward()
    random = np.random.default_rng(0)
    for name, tensor in network.named_parameters():
        flat, gradient = tensor.data.view(-1), tensor.grad.view(-1)
        for place in random.choice(len(flat), size=min(6, len(flat)), replace=False):
            before, step = flat[place].item(), 1e-5
            sides = []
            for side in (step, -step):
                flat[place] = before + side
                sides.append(loss().item())
            flat[place] = before
            slope = (sides[0] - sides[1]) / (2 * step)
            assert gradient[place].item() == pytest.approx(slope, rel=1e-5, abs=1e-8), name


def test_inputs_are_of_length_one_before_items_are_dropped(seen: Interactions) -> None:
    batch = batch_of(MultDAE(**SMALL), seen)
    np.testing.assert_allclose(batch.values, 2 * 0.5)  # four items: 1 / 2 each; half are kept
    assert 0.3 < len(batch.inputs) / len(batch.items) < 0.7
    np.testing.assert_array_equal(batch.weights, 1)
    whole = batch_of(MultDAE(**SMALL | {"dropout": 0.0}), seen)
    np.testing.assert_array_equal(whole.inputs, whole.items)
    np.testing.assert_allclose(whole.values, 0.5)


def test_kl_is_zero_for_the_prior_alone(seen: Interactions) -> None:
    model = MultVAE(**VAE | {"anneal_steps": 0})
    model.beta_cap = 1.0
    network = network_of(model, seen)
    first, noise = torch.randn(3, 16).double(), torch.zeros(3, 8).double()
    for tensor in network["latent"].parameters():
        tensor.data.zero_()
    _, penalty = model._middle(network, first, noise)
    assert penalty.item() == 0.0
    for place in (0, 8):  # a mean, a log variance
        network["latent"].bias.data.zero_()
        network["latent"].bias.data[place] = 0.1
        _, penalty = model._middle(network, first, noise)
        assert penalty.item() > 0.0


def test_beta_rises_to_its_cap(seen: Interactions) -> None:
    model = MultVAE(**VAE | {"beta": 0.2, "anneal_steps": 10})
    model.beta_cap = 0.2
    network = network_of(model, seen)
    first, noise = torch.randn(3, 16).double(), torch.zeros(3, 8).double()
    found = []
    for updates in (0, 1, 2, 3, 50):
        network.updates.fill_(updates)
        found.append(model._middle(network, first, noise)[1].item())
    whole = found[2] / 0.2
    np.testing.assert_allclose(found, [0, 0.1 * whole, 0.2 * whole, 0.2 * whole, 0.2 * whole])


def test_latent_means_are_the_scores_own(seen: Interactions) -> None:
    model = MultVAE(**VAE).fit(seen)
    means = model.latent_means(seen)
    assert means.dtype == np.float32
    assert means.shape == (120, 8)
    hidden = {n: t.detach().numpy() for n, t in model._encoder["hidden"].named_parameters()}
    states = np.tanh(means @ hidden["weight"].T + hidden["bias"])
    np.testing.assert_allclose(model.user_vectors(seen)[:, :-1], states, atol=1e-5)
    assert model.latent_means(csr_array((2, 24), dtype=np.float32)).tolist() == [[0.0] * 8] * 2


# Beta that is found


def test_auto_takes_beta_where_validation_was_best() -> None:
    split = splits.strong(groups(200), seed=0)
    model = MultVAE(**VAE | {"beta": "auto", "anneal_steps": 100, "epochs": 12, "patience": 12})
    shares: list[float] = []
    model.fit(split.train, validation=split.validation, metric="ndcg@10", progress=shares.append)
    first = MultVAE(**VAE | {"beta": 1.0, "anneal_steps": 100, "epochs": 12, "patience": 12})
    first.fit(split.train, validation=split.validation, metric="ndcg@10")
    best = int(np.argmax([epoch.metric for epoch in first.epochs_run]))
    assert model.beta_cap == pytest.approx((best + 1) * 5 / 100)  # 160 users in batches of 32
    again = MultVAE(**model.params | {"beta": model.beta_cap})
    again.fit(split.train, validation=split.validation, metric="ndcg@10")
    np.testing.assert_array_equal(model.item_vectors, again.item_vectors)
    assert shares == sorted(shares)
    assert shares[-1] == 1.0


def test_auto_needs_validation(seen: Interactions) -> None:
    message = "^MultVAE: beta is 'auto'; expected a number where fit is given no validation=$"
    with pytest.raises(ValueError, match=message):
        MultVAE(**VAE | {"beta": "auto"}).fit(seen)


# What is refused


def test_bad_hyper_parameters_are_refused() -> None:
    for message, params in {
        "MultVAE: beta is -0.1": {"beta": -0.1},
        "MultVAE: beta is 'some'; expected a number of at least 0, or 'auto'": {"beta": "some"},
        "MultVAE: anneal_steps is -1": {"anneal_steps": -1},
        "MultVAE: anneal_steps is 0": {"anneal_steps": 0, "beta": "auto"},
        "MultVAE: hidden_dim is -1": {"hidden_dim": -1},
        "MultVAE: dropout is 1.0": {"dropout": 1.0},
        "MultVAE: likelihood is 'poisson'": {"likelihood": "poisson"},
        "MultVAE: confidence is 0": {"confidence": 0.0},
    }.items():
        with pytest.raises(ValueError, match=f"^{message}"):
            MultVAE(**params)


@pytest.mark.parametrize(
    ("likelihood", "weight", "rule"),
    [("multinomial", -1.0, "0 or more"), ("logistic", 2.0, "0 to 1, as likelihood='logistic'")],
)
def test_weights_that_the_likelihood_does_not_know_are_refused(
    likelihood: str, weight: float, rule: str
) -> None:
    data = Interactions.from_columns([0, 0, 1], [0, 1, 1], weights=[1.0, weight, 1.0])
    message = f"^MultDAE: a weight is {weight}; expected {rule}"
    with pytest.raises(ValueError, match=message):
        MultDAE(**SMALL | {"likelihood": likelihood}).fit(data)


def test_what_does_not_fit_is_refused(seen: Interactions, monkeypatch: Any) -> None:
    monkeypatch.setattr(memory, "available_bytes", lambda: 20_000)
    with pytest.raises(MemoryError, match=r"^MultVAE: 24 items at a width of 16 need"):
        MultVAE(**VAE).fit(seen)


# Runs


@pytest.mark.parametrize(("kind", "params"), BOTH)
@pytest.mark.parametrize("within", [False, True])
def test_a_fit_that_is_stopped_goes_on_to_the_same_bits(
    kind: Any,
    params: Any,
    within: bool,
    seen: Interactions,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # 4 steps an epoch; with a checkpoint after each of them, the third epoch is begun already.
    monkeypatch.setattr(Checkpoint, "is_due", lambda _: within)

    def stop(done: float) -> None:
        if done == pytest.approx(2.5 / 5):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        kind(**params).fit(seen, checkpoint=tmp_path, progress=stop)
    shares: list[float] = []
    resumed = kind(**params).fit(seen, checkpoint=tmp_path, progress=shares.append)
    assert shares[0] == pytest.approx((2.5 if within else 2.25) / 5)
    assert resumed.fingerprint() == kind(**params).fit(seen).fingerprint()


@pytest.mark.parametrize(("kind", "params"), BOTH)
def test_products_in_bfloat16_learn_too(kind: Any, params: Any, seen: Interactions) -> None:
    rough = kind(**params | {"precision": "bfloat16"}).fit(seen)
    exact = kind(**params).fit(seen)
    for one, other in zip(rough.epochs_run, exact.epochs_run, strict=True):
        assert one.loss == pytest.approx(other.loss, rel=0.02)
    assert rough.item_vectors.dtype == np.float32
    # Without a layer in the middle there is no product but the loss's, which is exact.
    is_same = np.array_equal(rough.item_vectors, exact.item_vectors)
    assert is_same == (not params.get("hidden_dim"))


def test_a_loss_that_is_not_finite_keeps_the_last_checkpoint(
    seen: Interactions, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loss = MultVAE._loss

    def spoilt(model: Any, network: Any, *rest: Any) -> torch.Tensor:
        found = loss(model, network, *rest)
        return found * math.nan if int(network.updates) > 9 else found

    monkeypatch.setattr(MultVAE, "_loss", spoilt)
    message = r"^MultVAE: the loss in epoch 3, step 2 is nan; expected a finite number; lower lr=$"
    with pytest.raises(ValueError, match=message):
        MultVAE(**VAE).fit(seen, checkpoint=tmp_path)
    monkeypatch.undo()
    resumed = MultVAE(**VAE).fit(seen, checkpoint=tmp_path)
    assert resumed.fingerprint() == MultVAE(**VAE).fit(seen).fingerprint()


@pytest.mark.parametrize(("kind", "params"), BOTH)
def test_a_saved_model_is_read_back(
    kind: Any, params: Any, seen: Interactions, tmp_path: Path
) -> None:
    model = kind(**params).fit(seen)
    model.save(tmp_path / "model")
    loaded = pyhybrid.load(tmp_path / "model")
    np.testing.assert_array_equal(loaded.score(seen), model.score(seen))
    assert loaded.fingerprint() == model.fingerprint()
    if kind is MultVAE:
        np.testing.assert_array_equal(loaded.latent_means(seen), model.latent_means(seen))
        assert loaded.beta_cap == 0.2


# Several processes

_SCRIPT = """
import json, os, sys
import pyhybrid
from pyhybrid.data import splits
data, models, run = sys.argv[1:]
rank = os.environ["RANK"]
def say(*said):  # to a file of its own: on one pipe the processes' lines could mix
    with open(f"{run}-{rank}.jsonl", "a") as file:
        print(json.dumps([rank, *said]), file=file)
split = splits.strong(pyhybrid.Interactions.read(data), seed=0)
for name, params in json.loads(models).items():
    model = getattr(pyhybrid, name)(**params)
    def stop(share):
        if share > 0.5 and os.environ.get("STOPS"):
            os._exit(3)
    fit = {"validation": split.validation, "checkpoint": f"{run}/{name}", "progress": stop}
    model.fit(split.train, **fit)
    model.save(f"{run}/{name}/model")
    figures = [[epoch.loss, epoch.metric] for epoch in model.epochs_run]
    say(name, model.fingerprint(), figures)
other = split.train.select_users(range(50 + int(rank)))
try:
    model.fit(other)
except ValueError as error:
    say("refused", str(error), [])
    os._exit(0)
"""


def in_two_processes(
    script: Path, *arguments: str, **environment: str
) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    return subprocess.run(
        [*command, str(script), *arguments],
        check=False,
        capture_output=True,
        text=True,
        timeout=300,
        env={**os.environ, "OMP_NUM_THREADS": "1", **environment},
    )


def test_two_processes_train_as_one(seen: Interactions, tmp_path: Path) -> None:
    script, run = tmp_path / "train.py", tmp_path / "run"
    script.write_text(_SCRIPT)
    pq.write_table(seen.to_arrow(), tmp_path / "data.parquet")
    # An odd number of users a batch; and a last batch of one, which leaves a process without any.
    models = {"MultDAE": SMALL | {"batch_size": 19}, "MultVAE": VAE | {"batch_size": 19}}
    arguments = (str(tmp_path / "data.parquet"), json.dumps(models), str(run))
    killed = in_two_processes(script, *arguments, STOPS="yes")
    assert killed.returncode != 0
    assert (run / "MultDAE/checkpoint.npz").exists()
    in_two_processes(script, *arguments)
    files = [tmp_path / f"run-{rank}.jsonl" for rank in (0, 1)]
    said = [json.loads(line) for file in files for line in file.read_text().splitlines()]
    split = splits.strong(seen, seed=0)
    assert split.train.n_users % 19 == 1
    for name, params in models.items():
        (first, print_of_first, found), (second, print_of_second, _) = (
            (rank, fingerprint, figures) for rank, who, fingerprint, figures in said if who == name
        )
        assert {first, second} == {"0", "1"}
        assert print_of_first == print_of_second  # both hold the same weights
        alone = getattr(pyhybrid, name)(**params).fit(split.train, validation=split.validation)
        expected = [[epoch.loss, epoch.metric] for epoch in alone.epochs_run]
        np.testing.assert_allclose(found, expected, rtol=1e-4)
        assert pyhybrid.load(run / name / "model").fingerprint() == print_of_first
    refused = [message for _, who, message, _ in said if who == "refused"]
    assert len(refused) == 1
    assert refused[0].startswith("MultVAE: the run's fingerprint is ")
    assert "as in the first process; give all processes the same data" in refused[0]
