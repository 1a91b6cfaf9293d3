"""Half precision, where a processor has no instructions for it."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

__all__ = ["is_native", "warn_if_emulated"]

# What torch asks its library of matrix products; a build without that has none.
_HALF = {"bfloat16": "_is_mkldnn_bf16_supported", "float16": "_is_mkldnn_fp16_supported"}


def warn_if_emulated(who: str, dtype: str, device: torch.device) -> None:
    """Warn of products in half precision on a CPU that has no instructions for them.

    There torch takes them number by number, in many times float32's time.

    Args:
        who: Whose products they are.
        dtype: Their dtype; nothing is said of others than "bfloat16" and "float16".
        device: Where they are computed.
    """
    if device.type == "cpu" and dtype in _HALF and not is_native(dtype):
        told = f"{who}: this processor has no instructions for {dtype}, which takes many times"
        warnings.warn(f"{told} the time of float32 here", RuntimeWarning, stacklevel=3)


def is_native(dtype: str) -> bool:
    """Tell whether this machine's CPU has instructions for products in "bfloat16" or "float16"."""
    import torch

    asked = getattr(torch.ops.mkldnn, _HALF[dtype], None)
    return asked is not None and bool(asked())
