from __future__ import annotations

import pytest
import torch

from pyhybrid import MultVAE, SASRec
from pyhybrid.training import processes
from pyhybrid.training.devices import device_of
from pyhybrid.training.processes import Processes, processes_of, torchrun_rank

CPU = torch.device("cpu")


def test_one_process_is_its_own_mean_and_the_first() -> None:
    alone = processes_of(CPU)
    assert (alone.rank, alone.count, alone.is_first) == (0, 1, True)
    tensor = torch.tensor([1.0, 2.0])
    alone.average([tensor])
    alone.spread([tensor])
    assert tensor.tolist() == [1.0, 2.0]
    assert alone.of_first(0.1) == 0.1
    alone.require_same("MultVAE", "the number of steps done", "3")


def test_what_differs_from_the_first_process_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    def spread(_: Processes, tensors: list[torch.Tensor]) -> None:
        tensors[0].copy_(torch.tensor(list(b"3".ljust(32))))

    monkeypatch.setattr(Processes, "spread", spread)
    message = r"^MultVAE: the number of steps done is 0; expected 3, as in the first process; give"
    with pytest.raises(ValueError, match=message):
        Processes(1, 2, CPU).require_same("MultVAE", "the number of steps done", "0")


def test_each_process_of_a_machine_has_its_own_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 0)
    assert torchrun_rank() is None
    assert device_of("MultVAE", None) == torch.device("cuda", 0)
    monkeypatch.setenv("WORLD_SIZE", "3")
    for rank in range(2):
        monkeypatch.setenv("LOCAL_RANK", str(rank))
        assert torchrun_rank() == rank
        assert device_of("MultVAE", "cuda") == torch.device("cuda", rank)
    assert device_of("MultVAE", "cuda:0") == torch.device("cuda", 0)
    monkeypatch.setenv("LOCAL_RANK", "2")
    message = "^MultVAE: the number of processes on this machine is 3 or more; expected at most its"
    with pytest.raises(ValueError, match=message):
        device_of("MultVAE", "cuda")
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)  # others are hidden from this one
    assert device_of("MultVAE", None) == torch.device("cuda", 0)
    monkeypatch.setenv("WORLD_SIZE", "1")
    assert torchrun_rank() is None


def test_a_model_that_shares_no_batch_joins_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    joined = []

    def init_process_group(**given: object) -> None:
        joined.append(given)
        raise InterruptedError

    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("LOCAL_RANK", "1")
    monkeypatch.setattr(torch.distributed, "init_process_group", init_process_group)
    assert SASRec(device="cpu")._processes().count == 1
    assert joined == []
    with pytest.raises(InterruptedError):
        MultVAE(device="cpu")._processes()
    assert joined == [{"timeout": processes._PATIENCE}]
