"""Language models with random weights, small enough for tests, and tokenizers made on the spot."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

HIDDEN = 32  # the width of the models' states
SPECIAL = ["<pad>", "<s>", "</s>", "<unk>", "<UserID>"]


def llama_tokenizer() -> Any:
    """Train a byte-level BPE, which puts <s> before a text and knows <UserID> as special."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=300,
        special_tokens=SPECIAL,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(["Answer: Yes, the user liked. Answer: No."] * 9, trainer)
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A", special_tokens=[("<s>", 1)]
    )
    names = {"pad_token": "<pad>", "bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"}
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, additional_special_tokens=["<UserID>"], **names
    )


def bert_tokenizer() -> Any:
    """Make a WordPiece tokenizer of single characters."""
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    letters = [chr(code) for code in range(33, 127)]
    words = [*special, *letters, *(f"##{letter}" for letter in letters)]
    vocabulary = {word: number for number, word in enumerate(words)}
    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    names = ("pad_token", "unk_token", "cls_token", "sep_token", "mask_token")
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, **dict(zip(names, special, strict=True))
    )


SIZES = {"hidden_size": HIDDEN, "intermediate_size": 64, "num_attention_heads": 4}
CAUSAL = SIZES | {"vocab_size": 320, "num_key_value_heads": 2, "num_hidden_layers": 2}
CAUSAL |= {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}
WIDE = {"initializer_range": 0.3}  # weights so large that each token tells


def made(family: str, kind: str = "ForCausalLM", **settings: Any) -> Any:
    """Make a network of a family that transformers knows, with the same weights at each call."""
    import torch
    import transformers

    config = getattr(transformers, f"{family}Config")(**settings)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return getattr(transformers, family + kind)(config)


def tiny_llama(**changes: Any) -> Any:
    return made("Llama", **CAUSAL | WIDE | changes)


def tiny_lfm2() -> Any:
    """Make a causal model of which one layer remembers what a convolution saw, no keys."""
    return made("Lfm2", **CAUSAL, layer_types=["conv", "full_attention"])


def tiny_falcon() -> Any:
    """Make a causal model whose layer remembers keys, and what a recurrence saw."""
    sizes = {"mamba_d_state": 8, "mamba_d_ssm": 32, "mamba_n_heads": 4, "mamba_d_head": 8}
    return made("FalconH1", **CAUSAL | {"num_hidden_layers": 1}, **sizes, mamba_chunk_size=16)


def tiny_mistral() -> Any:
    """Make a causal model that looks back at a few tokens alone."""
    return made("Mistral", **CAUSAL | WIDE, sliding_window=40)


def tiny_nemotron() -> Any:
    """Make a causal model of which one layer remembers nothing."""
    return made("NemotronH", **CAUSAL | WIDE, layer_types=["full_attention", "mlp"], head_dim=8)


def tiny_gemma() -> Any:
    """Make a causal model that multiplies the embeddings of its table."""
    return made("Gemma", **CAUSAL | {"num_hidden_layers": 1}, head_dim=8)


def tiny_bert(**changes: Any) -> Any:
    sizes = {"vocab_size": 200, "num_hidden_layers": 2}
    return made("Bert", "Model", **SIZES | WIDE | sizes | changes)


def saved(folder: Path, network: Any, tokenizer: Any) -> Path:
    """Write a network and its tokenizer to a folder that `from_pretrained` reads."""
    network.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def saved_llama(folder: Path, **changes: Any) -> Path:
    return saved(folder, tiny_llama(**changes), llama_tokenizer())


def saved_bert(folder: Path, **changes: Any) -> Path:
    return saved(folder, tiny_bert(**changes), bert_tokenizer())
