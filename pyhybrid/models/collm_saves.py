"""What one CoLLM takes from another's save: LoRA, on which its mapper then stands."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pyhybrid.errors import describe
from pyhybrid.models.parts import arrays_of_part
from pyhybrid.storage import read_folder

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

__all__ = ["saved_lora"]


def saved_lora(folder: str, params: Mapping[str, Any]) -> dict[str, NDArray[Any]]:
    """Read the LoRA weights of a saved CoLLM whose language model and LoRA are as in `params`.

    Raises:
        FileNotFoundError: If there is no such folder.
        ValueError: If it holds another model, or one of another shape.
    """
    config, arrays = read_folder(folder)
    if config["class"] != "CoLLM":
        raise ValueError(describe("CoLLM", f"the model in {folder}", config["class"], "CoLLM"))
    for name in ("llm", "lora_rank", "lora_alpha", "answer"):
        theirs, own = config["params"][name], params[name]
        if theirs != own:
            what, way_out = f"{name} of the model in {folder}", f"pass {name}={theirs!r}"
            raise ValueError(describe("CoLLM", what, theirs, f"{own!r}, as here", way_out))
    return arrays_of_part("lora", arrays)
