"""LocalGenerator: texts from a causal language model on this machine."""

from __future__ import annotations

import hashlib
import os
from functools import cached_property
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Literal

from pyhybrid.checks import count, not_negative, one_of
from pyhybrid.errors import describe
from pyhybrid.llm.generators import Generation, whole_text
from pyhybrid.text.encoders import checked_texts
from pyhybrid.text.pretrained import digest_of, find_model

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from pyhybrid.llm.generators import Keep

__all__ = ["LocalGenerator"]

_WHO = "LocalGenerator"
_DTYPES = ("auto", "float32", "bfloat16", "float16")


class LocalGenerator:
    """Answer prompts by a causal language model of the transformers library.

    It is loaded, from weights in safetensors, when the first prompt is answered. A prompt goes
    through the model's chat template, if it has one. At temperature 0 each token is the likeliest
    one, and prompts are answered in batches, from the longest to the shortest; which prompts stand
    together may change a text where two tokens are all but equally likely. At a higher temperature
    they are answered one by one, each from a seed of its own made of `seed` and the prompt.

    Attributes:
        folder: Where the model was found.
        name: The model's name and digest, and the settings that change its texts.

    Raises:
        ImportError: Without torch or transformers.
        FileNotFoundError: If the model is nowhere.
        ValueError: If the folder is no model.

    >>> generator = LocalGenerator("Qwen/Qwen3-0.6B")  # doctest: +SKIP
    >>> generator.generate(["Name a heist film."])[0].text  # doctest: +SKIP
    'Heat'
    """

    def __init__(
        self,
        model: str | os.PathLike[str],
        *,
        temperature: float = 0.0,
        max_tokens: int = 256,
        seed: int = 0,
        system: str | None = None,
        batch_size: int = 8,
        device: str | None = None,
        dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto",
    ) -> None:
        """Find the model.

        Args:
            model: A folder, or ``organisation/name`` on the hub.
            temperature: 0 for the likeliest token at each place.
            max_tokens: An answer's length at most.
            seed: Of the sampling, at a temperature above 0.
            system: A system message that stands before each prompt.
            batch_size: How many prompts the model is given at a time.
            device: Such as "cpu" or "cuda:1"; None: a GPU if there is one, else the CPU.
            dtype: The weights' type; "auto": that of the file.
        """
        if not isinstance(model, str | os.PathLike) or not os.fspath(model):
            raise TypeError(describe(_WHO, "model", repr(model), "a name or a path"))
        if device is not None and not isinstance(device, str):
            raise TypeError(describe(_WHO, "device", repr(device), "a name such as 'cpu', or None"))
        self.temperature = not_negative(_WHO, "temperature", temperature)
        self.max_tokens = count(_WHO, "max_tokens", max_tokens)
        self.seed = count(_WHO, "seed", seed, least=0)
        self.system, self.device = system, device
        self.batch_size = count(_WHO, "batch_size", batch_size)
        self.dtype = one_of(_WHO, "dtype", dtype, _DTYPES)
        for package in ("torch", "transformers"):
            if find_spec(package) is None:
                raise ImportError(f'{_WHO} needs {package}; pip install "pyhybrid[llm]"')
        self.model = os.fspath(model)
        self.folder: Path = find_model(_WHO, model)

    @cached_property
    def name(self) -> str:
        """The model's name and digest, and the settings that change its texts."""
        model = self.model.rstrip("/").rpartition("/")[2]
        settings = f"dtype={self.dtype} max_tokens={self.max_tokens}"
        if self.temperature:
            settings += f" temperature={self.temperature} seed={self.seed}"
        if self.system is not None:
            settings += f" system={self.system!r}"
        return f"{model}@{digest_of(self.folder)[:16]} {settings}"

    def __repr__(self) -> str:
        return f"{_WHO}({self.name})"

    def generate(self, prompts: Sequence[str], *, keep: Keep | None = None) -> list[Generation]:
        """Return the prompts' answers in their order; `keep` is handed each batch.

        Raises:
            TypeError: If `prompts` is no list of str.
        """
        checked = checked_texts(_WHO, prompts)
        order = sorted(range(len(checked)), key=lambda place: -len(checked[place]))
        size = 1 if self.temperature else self.batch_size
        answers: dict[int, Generation] = {}
        for start in range(0, len(order), size):
            places = order[start : start + size]
            batch = self._answers([checked[place] for place in places])
            some = dict(zip(places, batch, strict=True))
            if keep is not None:
                keep(some)
            answers |= some
        return [answers[place] for place in range(len(checked))]

    def _answers(self, prompts: list[str]) -> list[Generation]:
        import torch

        tokenizer, network = self._tokenizer, self._network
        worded = [self._worded(prompt) for prompt in prompts]
        # A chat template has written the special tokens already.
        special = tokenizer.chat_template is None
        given = tokenizer(worded, return_tensors="pt", padding=True, add_special_tokens=special).to(
            network.device
        )
        devices = [network.device] if network.device.type == "cuda" else []
        with torch.inference_mode(), torch.random.fork_rng(devices=devices):
            torch.manual_seed(_seed(self.seed, prompts[0]))
            tokens = network.generate(
                input_ids=given["input_ids"],
                attention_mask=given["attention_mask"],
                max_new_tokens=self.max_tokens,
                pad_token_id=tokenizer.pad_token_id,
                **self._sampling,
            )  # (batch, prompt + answer)
        found = []
        for asked, line in zip(
            given["attention_mask"].sum(dim=1).tolist(),
            tokens[:, given["input_ids"].shape[1] :],
            strict=True,
        ):
            text = tokenizer.decode(line, skip_special_tokens=True)
            length = int((line != tokenizer.pad_token_id).sum())
            found.append(Generation(whole_text(text), False, asked, length))
        return found

    def _worded(self, prompt: str) -> str:
        if self._tokenizer.chat_template is None:
            return prompt if self.system is None else f"{self.system}\n\n{prompt}"
        messages = [{"role": "user", "content": prompt}]
        if self.system is not None:
            messages.insert(0, {"role": "system", "content": self.system})
        worded: str = self._tokenizer.apply_chat_template(
            messages, tokenize=False, add_generation_prompt=True
        )
        return worded

    @property
    def _sampling(self) -> dict[str, Any]:
        """How the next token is chosen; a model's own file may say otherwise."""
        if self.temperature:
            return {"do_sample": True, "temperature": self.temperature}
        return {"do_sample": False, "temperature": None, "top_p": None, "top_k": None}

    @cached_property
    def _tokenizer(self) -> Any:
        from transformers import AutoTokenizer

        # Padded on the left: an answer goes on where its prompt ends.
        tokenizer: Any = AutoTokenizer.from_pretrained(
            str(self.folder), padding_side="left", local_files_only=True
        )
        if tokenizer.pad_token is None:
            tokenizer.pad_token = tokenizer.eos_token
        return tokenizer

    @cached_property
    def _network(self) -> Any:
        import torch
        from transformers import AutoModelForCausalLM

        network: Any = AutoModelForCausalLM.from_pretrained(
            str(self.folder), dtype=self.dtype, local_files_only=True, use_safetensors=True
        )
        return network.to(self.device or ("cuda" if torch.cuda.is_available() else "cpu")).eval()


def _seed(seed: int, prompt: str) -> int:
    """Mix a seed and a prompt into 63 bits."""
    digest = hashlib.sha256(f"{seed}\0{prompt}".encode()).digest()
    return int.from_bytes(digest[:8], "little") >> 1
