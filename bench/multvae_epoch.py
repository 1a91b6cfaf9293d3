"""An epoch of MultVAE on the CPU beside the same network in plain PyTorch on dense batches.

    python bench/multvae_epoch.py [--items 20000] [--users 5000]

Both train I-600-[200|200]-600-I on the same made-up histories with fused Adam and batches of 500.
First both compute one batch's loss from the same weights, inputs and noise, and must agree. Then
they take turns, each in a process of its own, so that its peak memory is its own; a turn is a fit
of two epochs, of which the second counts.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from results import write_result
from torch import nn
from torch.nn import functional

from pyhybrid import Interactions, MultVAE

if TYPE_CHECKING:
    from collections.abc import Callable

HIDDEN, LATENT, BATCH, BETA, ANNEAL = 600, 200, 500, 0.2, 200_000
TURNS = 5


def histories(users: int, items: int) -> Interactions:
    """Draw histories of 73 items in the mean, popularity falling as rank^-0.9."""
    random = np.random.default_rng(0)
    chances = np.arange(1, items + 1) ** -0.9
    sizes = np.clip(random.lognormal(3.7, 1.1, users).astype(np.int64), 5, items // 5)
    rows = np.repeat(np.arange(users), sizes)
    taken = random.choice(items, size=len(rows), p=chances / chances.sum())
    return Interactions.from_columns(
        np.concatenate([rows, np.zeros(items, dtype=np.int64)]),
        np.concatenate([taken, np.arange(items)]),  # each item is there at least once
    )


class Plain(nn.Module):
    """The network as it is usually written."""

    def __init__(self, items: int) -> None:
        super().__init__()
        self.first, self.latent = nn.Linear(items, HIDDEN), nn.Linear(HIDDEN, 2 * LATENT)
        self.hidden, self.output = nn.Linear(LATENT, HIDDEN), nn.Linear(HIDDEN, items)

    def loss(
        self, x: torch.Tensor, inputs: torch.Tensor, noise: torch.Tensor, beta: float
    ) -> torch.Tensor:
        """Return the loss of rows x, whose scaled and thinned inputs are given."""
        mean, log_variance = self.latent(torch.tanh(self.first(inputs))).chunk(2, 1)
        z = mean + noise * torch.exp(log_variance / 2)
        logs = functional.log_softmax(self.output(torch.tanh(self.hidden(z))), 1)
        divergence = (log_variance.exp() + mean.square() - 1 - log_variance).sum(1) / 2
        return (beta * divergence - (x * logs).sum(1)).mean()


def plain(data: Interactions) -> float:
    """Train two epochs and return the second's seconds."""
    torch.manual_seed(0)
    matrix, random = data.matrix, np.random.default_rng(0)
    network = Plain(data.n_items)
    optimiser = torch.optim.Adam(network.parameters(), lr=0.001, fused=True)
    step = 0
    for _ in range(2):
        started = time.perf_counter()
        users = random.permutation(data.n_users)
        for first in range(0, len(users), BATCH):
            x = torch.from_numpy(matrix[users[first : first + BATCH]].toarray())
            inputs = functional.dropout(functional.normalize(x), 0.5)
            loss = network.loss(x, inputs, torch.randn(len(x), LATENT), min(BETA, step / ANNEAL))
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            step += 1
    return time.perf_counter() - started


def ours(data: Interactions) -> float:
    """Do the same."""
    ends: list[float] = []

    def mark(share: float) -> None:
        if share in (0.5, 1.0):
            ends.append(time.perf_counter())

    model = MultVAE(batch_size=BATCH, epochs=2, anneal_steps=ANNEAL, beta=BETA, device="cpu")
    model.fit(data, progress=mark)
    return ends[1] - ends[0]


CONTENDERS: dict[str, Callable[[Interactions], float]] = {"pyhybrid": ours, "plain PyTorch": plain}


def difference(data: Interactions) -> float:
    """Return how far apart the two losses of one batch are, relatively."""
    model = MultVAE(batch_size=BATCH, anneal_steps=0, device="cpu")
    model.beta_cap = BETA
    network: Any = model._network(data, None)
    batch = next(iter(model._batches(data, np.random.default_rng(0))))
    theirs = Plain(data.n_items)
    weights = dict(network.state_dict())
    weights["first.weight"] = weights.pop("input.weight").T
    weights["first.bias"] = weights.pop("bias.input")
    del weights["updates"]
    theirs.load_state_dict(weights)
    shape = (len(batch.noise), data.n_items)
    x, inputs = torch.zeros(shape), torch.zeros(shape)
    x[batch.rows, batch.items] = torch.from_numpy(batch.weights)
    inputs[np.repeat(np.arange(shape[0]), np.diff(batch.indptr)), batch.inputs] = torch.from_numpy(
        batch.values
    )
    expected = theirs.loss(x, inputs, torch.from_numpy(batch.noise), BETA).item()
    return abs(model._loss(network, torch.device("cpu"), batch).item() / expected - 1)


def peak_bytes() -> int:
    """Return the most that this process held, which getrusage() takes for its parent's at first."""
    fields = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return int(fields["VmHWM"].split()[0]) * 1024


def main(users: int, items: int) -> None:
    apart = difference(histories(BATCH, items))
    if apart > 1e-5:
        sys.exit(f"the losses of one batch are {apart:.1e} apart")
    found: dict[str, list[dict[str, float]]] = {name: [] for name in CONTENDERS}
    for turn in range(TURNS):
        for name in list(CONTENDERS)[:: 1 if turn % 2 else -1]:
            command = [sys.executable, __file__, f"--users={users}", f"--items={items}"]
            done = subprocess.run(
                [*command, f"--turn={name}"], check=True, stdout=subprocess.PIPE, text=True
            )
            found[name].append(json.loads(done.stdout))
            print(name, found[name][-1], flush=True)
    rows = {
        name: {
            "seconds": median(turn["seconds"] for turn in turns),
            "peak_bytes": max(turn["peak_bytes"] for turn in turns),
            "turns": turns,
        }
        for name, turns in found.items()
    }
    rows_of_peer = rows["plain PyTorch"]
    ratio = rows_of_peer["seconds"] / rows["pyhybrid"]["seconds"]
    memory = rows["pyhybrid"]["peak_bytes"] / rows_of_peer["peak_bytes"]
    print(f"plain PyTorch takes {ratio:.2f} times as long; pyhybrid {memory:.2f} of its memory")
    figures = {"users": users, "items": items, "loss_difference": apart, "rows": rows}
    write_result("multvae_epoch", figures)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--users", type=int, default=5_000)
    parser.add_argument("--items", type=int, default=20_000)
    parser.add_argument("--turn", choices=CONTENDERS)
    given = parser.parse_args()
    if given.turn is None:
        main(given.users, given.items)
    else:
        spent = CONTENDERS[given.turn](histories(given.users, given.items))
        print(json.dumps({"seconds": spent, "peak_bytes": peak_bytes()}))
