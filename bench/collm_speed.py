"""CoLLM's rows a second, and what a prefix that candidates share saves a causal model.

    python bench/collm_speed.py [../shared/data/collm-ml-1m] [--rows 192] [--rounds 3]

Rows: all-MiniLM-L6-v2 on CoLLM's rows of MovieLens-1M, at most 5 titles and 64 tokens; the training
of each stage in batches of 64, and scoring. Candidates: 100 for each of some users, asked of a
Llama with random weights made on the spot, whose tokenizer is trained on the films' titles, after
as many titles as make the shared part of a prompt about eight times as long as the rest. Plain
prompts, in large batches of like lengths, and prefixes take turns; medians, scores compared. On the
CPU; and on a GPU where there is one, with 16 times the rows, and of a second Llama that has the
shape of the one with 7 billion weights, in bfloat16.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from collm import SMALL, Data
from results import write_result
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from torch.nn import functional
from transformers import AutoModelForCausalLM, LlamaConfig, PreTrainedTokenizerFast

from pyhybrid.data.ids import positions
from pyhybrid.llm.backbone import Backbone
from pyhybrid.models.collm_network import CoLLMNetwork
from pyhybrid.models.collm_prompts import about_item, about_user, prompts_of
from pyhybrid.models.collm_rows import Titles, row_batches
from pyhybrid.models.collm_scoring import score_pairs, score_prompts
from pyhybrid.precision import is_native

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from pyhybrid.llm.prompts import Prompt
    from pyhybrid.models.collm_rows import Batch

DIM, BATCH, CANDIDATES, RATIO, VOCABULARY = 256, 64, 100, 8, 4000
LLAMA = {
    "hidden_size": 512,
    "intermediate_size": 1408,
    "num_hidden_layers": 8,
    "num_attention_heads": 8,
    "num_key_value_heads": 4,
}
LLAMA_7B = {
    "hidden_size": 4096,
    "intermediate_size": 11008,
    "num_hidden_layers": 32,
    "num_attention_heads": 32,
    "num_key_value_heads": 32,
}


def random_vectors(count: int) -> NDArray[np.float32]:
    """Draw collaborative vectors of users and items: float32 (count, 2, DIM)."""
    return np.random.default_rng(0).standard_normal((count, 2, DIM), dtype=np.float32)


def network_on(backbone: Backbone) -> CoLLMNetwork:
    backbone.add_lora(seed=0)
    network = CoLLMNetwork(backbone, DIM, width=10, tokens=1, less_no=False)
    return network.to(backbone.device).eval()


def in_turn(
    work: dict[str, Callable[[], Any]], device: str, rows: int, rounds: int
) -> dict[str, float]:
    """Let what has been warmed up take turns; return the rows a second of each, by medians."""
    taken: dict[str, list[float]] = {name: [] for name in work}
    for _ in range(rounds):
        for name, run in work.items():
            started = time.perf_counter()
            run()
            if device != "cpu":
                torch.cuda.synchronize()
            taken[name].append(time.perf_counter() - started)
    return {name: rows / median(seconds) for name, seconds in taken.items()}


def rows_a_second(data: Data, device: str, rows: int, rounds: int) -> dict[str, float]:
    """Train each stage on some rows, and score them, in turn."""
    backbone = Backbone.load(
        "all-MiniLM-L6-v2", device=device, max_tokens=SMALL.prompts["max_tokens"]
    )
    network = network_on(backbone)
    titles = Titles.of_catalog(
        "bench", data.catalog, data.catalog.item_ids, SMALL.prompts["titles"]
    )
    random = np.random.default_rng(0)
    asked = data.train.select(np.sort(random.permutation(len(data.train))[:rows]))
    batches = list(row_batches(asked, titles, lambda own: random_vectors(len(own)), BATCH, random))
    items = positions(asked.item_ids, titles.item_ids)[asked.items]

    def train(stage: Any, precision: str) -> None:
        network.begin(stage)
        network.train()
        weights = [weight for weight in network.parameters() if weight.requires_grad]
        optimiser = torch.optim.AdamW(weights, lr=1e-4)
        for batch in batches:
            with torch.autocast(device, torch.bfloat16, enabled=precision == "bfloat16"):
                loss = loss_of(network, batch, device)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()

    def score() -> None:
        network.begin("mapper")
        network.eval()
        liked, names = titles.liked(asked.histories()), titles.of(items)
        score_prompts(network, liked, names, random_vectors(len(asked)))

    half = ["bfloat16"] if device != "cpu" or is_native("bfloat16") else []
    work: dict[str, Callable[[], None]] = {
        f"train, {stage}, {precision}": lambda s=stage, p=precision: train(s, p)
        for stage in ("text", "mapper")
        for precision in ["float32", *half]
    }
    work["score, float32"] = score
    for run in work.values():
        run()
    return in_turn(work, device, rows, rounds)


def loss_of(network: CoLLMNetwork, batch: Batch, device: str) -> torch.Tensor:
    tokens = network.backbone.encode(prompts_of(batch.liked, batch.titles, network.slots))
    vectors = torch.from_numpy(batch.vectors).to(device) if network.slots else None
    labels = torch.from_numpy(batch.labels).to(device)
    return functional.binary_cross_entropy_with_logits(network(tokens, vectors), labels)


def llama(texts: list[str], device: str, sizes: dict[str, int], dtype: torch.dtype) -> Backbone:
    """Make a Llama with random weights, and train a byte-level BPE for it."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    special = {"pad_token": "<pad>", "bos_token": "<s>", "eos_token": "</s>"}
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=list(special.values()),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    torch.manual_seed(0)
    config = LlamaConfig(vocab_size=VOCABULARY, initializer_range=0.1, **sizes)
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, **special)
    with torch.device(device):
        network = AutoModelForCausalLM.from_config(config, dtype=dtype)
    return Backbone(network.to(device), fast)


def candidates(
    data: Data,
    device: str,
    users: int,
    rounds: int,
    *,
    sizes: dict[str, int] = LLAMA,
    dtype: torch.dtype = torch.float32,
) -> dict[str, Any]:
    """Score 100 candidates of each of some users, by prefixes and by plain prompts, in turn."""
    known = data.catalog.fields["title"].tolist()
    endings = [about_item(title, 1) for title in known]
    beginnings = [about_user([title], 1) for title in known]
    texts = [text for prompt in (*endings, *beginnings) for text in prompt.texts]
    network = network_on(llama(texts, device, sizes, dtype))
    network.begin("mapper")
    backbone, random = network.backbone, np.random.default_rng(1)

    def length(prompts: list[Prompt]) -> float:
        return float(backbone.encode(prompts).mask.sum(1).float().mean())

    rest = length(endings)
    wanted = (RATIO + 1) * rest
    titles = next(
        n for n in range(1, 99) if length([about_user(known[:n], 1) + endings[0]]) > wanted
    )
    liked = [[known[p] for p in random.permutation(len(known))[:titles]] for _ in range(users)]
    rows = np.repeat(np.arange(users), CANDIDATES)
    chosen = [known[place] for place in random.integers(0, len(known), len(rows))]
    vectors = random_vectors(len(rows))
    vectors[:, 0] = vectors[rows, 0]  # each user's own, in all rows
    of_users, of_items = vectors[::CANDIDATES, 0], vectors[:, 1]
    work: dict[str, Callable[[], Any]] = {
        "prefix": lambda: score_pairs(network, liked, of_users, rows, chosen, of_items),
        "plain": lambda: score_prompts(network, [liked[row] for row in rows], chosen, vectors),
    }
    found = {name: run() for name, run in work.items()}  # warms up
    rates = in_turn(work, device, len(rows), rounds)
    whole = [about_user(some, 1) + endings[0] for some in liked]
    return {
        "parameters": sum(weight.numel() for weight in network.language.parameters()),
        "prefix tokens": length(whole) - length(endings[:1]),
        "other tokens": rest,
        "rows a second": rates,
        "times as fast": rates["prefix"] / rates["plain"],
        "largest difference of scores": float(np.abs(found["prefix"] - found["plain"]).max()),
        "deviation of scores": float(found["plain"].std()),
    }


def main(folder: Path, rows: int, rounds: int) -> None:
    data, found = Data(folder), {}
    for device in ("cpu", "cuda") if torch.cuda.is_available() else ("cpu",):
        on_cpu = device == "cpu"
        part: dict[str, Any] = {"candidates": candidates(data, device, 2 if on_cpu else 16, rounds)}
        if not on_cpu:
            large: Any = {"sizes": LLAMA_7B, "dtype": torch.bfloat16}
            part["candidates, 7B"] = candidates(data, device, 4, rounds, **large)
        part["rows a second"] = rows_a_second(data, device, rows if on_cpu else 16 * rows, rounds)
        print(device, part, flush=True)
        found[device] = part
    write_result("collm_speed", {"rows": rows, "rounds": rounds, "devices": found})


if __name__ == "__main__":
    root = Path(__file__).parents[1]
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "folder", type=Path, nargs="?", default=root.parent / "shared/data/collm-ml-1m"
    )
    parser.add_argument("--rows", type=int, default=192)
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    main(given.folder, given.rows, given.rounds)
