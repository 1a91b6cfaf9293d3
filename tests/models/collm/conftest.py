"""Small language models, rows, and CoLLM fitted on both."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from tiny_collm import CATALOG, KINDS, SMALL, two_tastes
from tiny_models import saved_bert, saved_llama

from pyhybrid import CoLLM

if TYPE_CHECKING:
    from pathlib import Path

    from pyhybrid.data import Feedback


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    pytest.importorskip("transformers", reason="needs transformers")
    pytest.importorskip("peft", reason="needs peft")
    saves = {"Llama": saved_llama, "BERT": saved_bert}
    return {
        kind: save(tmp_path_factory.mktemp("tiny") / kind, num_hidden_layers=1)
        for kind, save in saves.items()
    }


@pytest.fixture(scope="module")
def train() -> Feedback:
    return two_tastes(200)


@pytest.fixture(scope="module")
def test(train: Feedback) -> Feedback:
    return two_tastes(80, seed=1, earlier=train)


@pytest.fixture(scope="module")
def fitted(folders: dict[str, Path], train: Feedback) -> dict[str, CoLLM]:
    return {kind: CoLLM(llm=folders[kind], **SMALL).fit(train, CATALOG) for kind in KINDS}


@pytest.fixture(scope="module")
def fitted_on_texts(folders: dict[str, Path], train: Feedback) -> dict[str, CoLLM]:
    return {
        kind: CoLLM(llm=folders[kind], stages="text", **SMALL).fit(train, CATALOG) for kind in KINDS
    }
