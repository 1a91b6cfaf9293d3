from __future__ import annotations

import warnings

import pytest

from pyhybrid.precision import warn_if_emulated

torch = pytest.importorskip("torch", reason="needs torch")


def test_half_precision_that_the_processor_lacks_is_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    cpu, gpu = torch.device("cpu"), torch.device("cuda")
    for name in ("bfloat16", "float16"):
        monkeypatch.setattr("pyhybrid.precision.is_native", lambda dtype, n=name: dtype != n)
        with pytest.warns(RuntimeWarning, match=f"^CoLLM: .* no instructions for {name}, which"):
            warn_if_emulated("CoLLM", name, cpu)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            for dtype, device in ((name, gpu), ("float32", cpu), ("auto", cpu)):
                warn_if_emulated("CoLLM", dtype, device)
            other = {"bfloat16": "float16", "float16": "bfloat16"}[name]
            warn_if_emulated("CoLLM", other, cpu)
