from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest
import torch

from pyhybrid.training.devices import check_device, device_of, own_randomness, threads_of


@pytest.mark.parametrize("device", [None, "cpu", "cuda", "cuda:3"])
def test_a_devices_name_is_kept(device: str | None) -> None:
    assert check_device("SASRec", device) == device


@pytest.mark.parametrize("device", ["gpu", "cuda:", "CPU", 0, True])
def test_another_name_is_refused(device: Any) -> None:
    with pytest.raises((TypeError, ValueError), match=r"^SASRec: device is .*; expected 'cpu'"):
        check_device("SASRec", device)


def test_none_is_a_gpu_if_there_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert device_of("SASRec", None) == torch.device("cpu")
    for name in ("cuda", "cuda:0"):
        with pytest.raises(ValueError, match=r"^SASRec: device is 'cuda.*one of the 0 GPUs"):
            device_of("SASRec", name)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 1)
    assert device_of("SASRec", None) == torch.device("cuda:1")
    assert device_of("SASRec", "cuda:0") == torch.device("cuda:0")
    with pytest.raises(ValueError, match="is 'cuda:2'; expected 'cpu', or one of the 2 GPUs"):
        device_of("SASRec", "cuda:2")


def test_random_numbers_are_own_and_given_back() -> None:
    torch.manual_seed(1)
    expected = torch.rand(3)
    torch.manual_seed(1)
    drawn = []
    for numbers in ((5, 1), (5, 1), (5, 2)):
        with own_randomness(torch.device("cpu"), *numbers):
            drawn.append(torch.rand(3))
    assert torch.equal(drawn[0], drawn[1])
    assert not torch.equal(drawn[0], drawn[2])
    assert torch.equal(torch.rand(3), expected)


def test_threads_are_given_back() -> None:
    before = torch.get_num_threads()
    seen = []

    def fail() -> None:
        with threads_of(before + 1):
            seen.append(torch.get_num_threads())
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert seen == [before + 1]
    with threads_of(0):
        assert torch.get_num_threads() == before
    assert torch.get_num_threads() == before


def test_without_torch_a_model_says_what_to_install() -> None:
    code = """
import sys
sys.modules["torch"] = None
import pyhybrid
model = pyhybrid.SASRec()
try:
    model.fit(pyhybrid.Interactions.from_columns([1, 1], [2, 3], ordered=True))
except ImportError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == 'SASRec needs torch; pip install "pyhybrid[torch]"\n'
