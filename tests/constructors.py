"""What every model's constructor must refuse."""

from __future__ import annotations

import inspect
from typing import Any

import pytest


def check_refusals(kind: type) -> None:
    """Pass each number and switch of a constructor values of the wrong kind or size."""
    for parameter in inspect.signature(kind).parameters.values():
        assert parameter.kind is parameter.KEYWORD_ONLY
        if isinstance(parameter.default, bool):
            wrong: list[Any] = ["False", 2.5]
        elif isinstance(parameter.default, int | float):
            wrong = ["1", True, float("nan"), -1]
        else:
            continue
        for value in wrong:
            with pytest.raises(
                (TypeError, ValueError), match=f"^{kind.__name__}: {parameter.name} is"
            ):
                kind(**{parameter.name: value})
    with pytest.raises(TypeError):
        kind(no_such_parameter=1)
