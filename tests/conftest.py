"""What all tests share."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import settings

if TYPE_CHECKING:
    from collections.abc import Iterator

# How long an example takes depends on what else the machine does.
settings.register_profile("pyhybrid", deadline=None)
settings.load_profile("pyhybrid")
# For tests that are run once more elsewhere: --hypothesis-profile=again
settings.register_profile("again", deadline=None, max_examples=25)


@pytest.fixture(scope="module")
def one_thread() -> Iterator[None]:
    """Compute with torch on one thread: on a busy machine, more only wait for each other."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
