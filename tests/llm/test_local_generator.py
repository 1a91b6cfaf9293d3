from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from tiny_models import saved, tiny_llama

from pyhybrid.llm import CachedGenerator, Generation, LocalGenerator

if TYPE_CHECKING:
    from pathlib import Path

PROMPTS = [f"Tags for film {n}?" for n in range(20)] + ['{"a": 1}\n%s {0}', "Amélie 日本"]


def texts(answers: list[Generation]) -> list[str]:
    return [answer.text for answer in answers]


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Save a small Llama with random weights and a vocabulary of bytes."""
    pytest.importorskip("torch", reason="needs torch")
    pytest.importorskip("transformers", reason="needs transformers")
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {letter: n for n, letter in enumerate(["<pad>", "<s>", "</s>", *letters])}
    tokenizer = Tokenizer(models.BPE(vocabulary, []))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    special = {"pad_token": "<pad>", "bos_token": "<s>", "eos_token": "</s>"}
    known = PreTrainedTokenizerFast(tokenizer_object=tokenizer, **special)
    network = tiny_llama(vocab_size=len(vocabulary))
    return saved(tmp_path_factory.mktemp("model") / "tiny", network, known)


def test_a_local_model_answers_greedily(tiny: Path, tmp_path: Path) -> None:
    generator = LocalGenerator(tiny, max_tokens=12, batch_size=3, device="cpu")
    batches: list[int] = []
    answers = generator.generate(PROMPTS[:7], keep=lambda some: batches.append(len(some)))
    assert batches == [3, 3, 1]
    assert all(answer.usable for answer in answers)
    assert len(set(texts(answers))) > 1
    assert answers[0].prompt_tokens == len(PROMPTS[0].encode())
    assert 1 <= answers[0].completion_tokens <= 12
    again = LocalGenerator(tiny, max_tokens=12, batch_size=1, device="cpu")
    assert texts(again.generate(PROMPTS[:7])) == texts(answers)  # padding changes nothing
    assert again.name == generator.name
    cached = CachedGenerator(generator, tmp_path)
    assert texts(cached.generate(PROMPTS[:7])) == texts(answers)
    assert again.generate([]) == []


def test_a_local_model_samples_from_a_seed_a_prompt(tiny: Path) -> None:
    torch = pytest.importorskip("torch", reason="needs torch")
    hot = {"temperature": 1.5, "max_tokens": 12, "device": "cpu"}
    state = torch.random.get_rng_state()
    first = texts(LocalGenerator(tiny, **hot).generate(PROMPTS[:4]))
    assert torch.equal(torch.random.get_rng_state(), state)
    assert texts(LocalGenerator(tiny, **hot).generate(PROMPTS[3:0:-1])) == first[3:0:-1]
    assert texts(LocalGenerator(tiny, **hot, seed=1).generate(PROMPTS[:4])) != first


def test_a_local_models_name_tells_what_changes_texts(tiny: Path) -> None:
    settings = [
        {},
        {"max_tokens": 9},
        {"temperature": 1.0},
        {"temperature": 1.0, "seed": 1},
        {"system": "Be short."},
        {"dtype": "bfloat16"},
    ]
    names = [LocalGenerator(tiny, **given).name for given in settings]
    assert len(set(names)) == len(settings)
    assert LocalGenerator(tiny, batch_size=1, device="cpu").name == names[0]
    assert names[0].startswith("tiny@")


def test_a_chat_template_and_a_system_message_reach_the_model(tiny: Path) -> None:
    generator = LocalGenerator(tiny, max_tokens=3, system="Be short.", device="cpu")
    plain = generator.generate(["Heat?"])[0]
    assert plain.prompt_tokens == len("Be short.\n\nHeat?")
    generator._tokenizer.chat_template = (
        "{% for m in messages %}[{{ m.role }}]{{ m.content }}{% endfor %}"
        "{% if add_generation_prompt %}[assistant]{% endif %}"
    )
    worded = "[system]Be short.[user]Heat?[assistant]"
    assert generator.generate(["Heat?"])[0].prompt_tokens == len(worded)


def test_a_model_that_is_nowhere_is_told(tmp_path: Path) -> None:
    pytest.importorskip("transformers", reason="needs transformers")
    with pytest.raises(ValueError, match="LocalGenerator: model is the folder"):
        LocalGenerator(tmp_path)
    with pytest.raises(TypeError, match="LocalGenerator: model is 3"):
        LocalGenerator(3)
    with pytest.raises(ValueError, match="dtype is 'int3'"):
        LocalGenerator(tmp_path, dtype="int3")
