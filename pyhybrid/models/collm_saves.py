"""CoLLM's saves: one folder with LoRA, mapper, collaborative model and candidates.

A save holds no weights of the language model, but their fingerprint.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from pyhybrid.errors import describe
from pyhybrid.models.collm_rows import Titles
from pyhybrid.models.parts import arrays_of_part, load_part, part_arrays
from pyhybrid.models.torch_base import TorchRecommender, arrays_of, load_arrays
from pyhybrid.storage import read_folder
from pyhybrid.training.devices import device_of, has_device, own_randomness

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from pyhybrid.models.collm_network import CoLLMNetwork

__all__ = ["SavesCoLLM", "saved_lora"]


class SavesCoLLM(TorchRecommender):
    """Save and load what was learned on a language model, and the models that are part of it."""

    llm: str
    titles: int
    stages: Any
    collaborative: str
    collaborative_params: dict[str, Any]
    candidates: str
    _first_params: dict[str, Any]
    _first: Any  # the model that chooses the candidates
    _part: Any  # the collaborative model: a VectorScores; None with stages="text"
    _titles: Titles
    _language: Any  # the network: a CoLLMNetwork
    _weights: str  # the fingerprint of the language model's own

    @abstractmethod
    def _new_language(self) -> CoLLMNetwork:
        """Load the language model, with LoRA and a mapper that know nothing yet."""

    @classmethod
    def load(
        cls,
        folder: str | os.PathLike[str],
        *,
        device: str | None = None,
        llm: str | os.PathLike[str] | None = None,
    ) -> Self:
        """Read a model that `save` wrote; its large arrays are memory-mapped.

        Args:
            folder: Where it is.
            device: Where to score, as `TorchRecommender.load` has it.
            llm: Where the language model is by now, by name or folder; None: as in the fit.

        Raises:
            FileNotFoundError: If there is no such folder, or no language model.
            ImportError: Without torch, transformers or peft.
            ValueError: As `TorchRecommender.load` has it; or if the language model's weights are
                not those of the fit.
        """
        return cls._load(folder, device, **({} if llm is None else {"llm": llm}))

    def _ready(self) -> CoLLMNetwork:
        """Return the network, in evaluation mode and where it is to score."""
        network: CoLLMNetwork = self._language
        return network.to(device_of("CoLLM", self.device)).eval()

    def _arrays(self) -> dict[str, NDArray[Any]]:
        network = self._ready()
        arrays = {f"lora.{name}": array for name, array in network.backbone.lora_state().items()}
        if self._part is not None:
            arrays |= {**arrays_of("mapper", network.mapper), "scale": network.scale.cpu().numpy()}
            arrays |= part_arrays("collaborative", self._part)
        texts = {"titles": self._titles.texts, "language": [self._weights]}
        arrays |= {name: np.array(text, dtype=object) for name, text in texts.items()}
        return arrays | part_arrays("candidates", self._first)

    def _restore(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        if not has_device(self.device):  # another machine's
            self.device = None
        self._titles = Titles(arrays["titles"].tolist(), self.item_ids, self.titles)
        self._first = load_part(self, "candidates", self.candidates, self._first_params, arrays)
        self._part = None
        if self.stages != "text":
            name, params = self.collaborative, self.collaborative_params
            self._part = load_part(self, "collaborative", name, params, arrays)
        with own_randomness(device_of("CoLLM", self.device), self.seed):
            network = self._new_language()
        _require_same(self.llm, self._weights, arrays["language"][0], "those of the fit")
        network.backbone.load_lora_state(arrays_of_part("lora", arrays))
        if self._part is not None:
            load_arrays("mapper", network.mapper, arrays)
            network.scale = network.scale.new_tensor(np.array(arrays["scale"]))
        network.begin(self.stages)
        self._language = network.requires_grad_(False)


def saved_lora(
    folder: str, params: Mapping[str, Any], weights: str | None = None
) -> dict[str, NDArray[Any]]:
    """Read the LoRA weights of a saved CoLLM.

    Args:
        folder: The save's.
        params: Those of the model that is to have them.
        weights: The fingerprint of its language model; None: not asked for.

    Raises:
        FileNotFoundError: If there is no such folder.
        ValueError: If it holds another model, or LoRA of another shape or language model.
    """
    config, arrays = read_folder(folder)
    if config["class"] != "CoLLM":
        raise ValueError(describe("CoLLM", f"the model in {folder}", config["class"], "CoLLM"))
    for name in ("lora_rank", "lora_alpha", "answer"):
        theirs, own = config["params"][name], params[name]
        if theirs != own:
            what, way_out = f"{name} of the model in {folder}", f"pass {name}={theirs!r}"
            raise ValueError(describe("CoLLM", what, theirs, f"{own!r}, as here", way_out))
    if weights is not None:
        _require_same(params["llm"], weights, arrays["language"][0], f"those of {folder}")
    return arrays_of_part("lora", arrays)


def _require_same(llm: str, found: str, saved: str, whose: str) -> None:
    """Raise ValueError if a language model is not the one that LoRA was learned on."""
    if found != saved:
        what, expected = f"the fingerprint of the weights of {llm}", f"{saved}, {whose}"
        way_out = "pass the name or folder of that language model as llm="
        raise ValueError(describe("CoLLM", what, found, expected, way_out))
