"""What every test of a host runs under."""

from __future__ import annotations

import pytest
import torch


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> None:
    """Networks this small have no work for two, which would wait for each other by spinning."""
    torch.set_num_threads(1)
