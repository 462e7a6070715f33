"""The digits networks, written once for each framework, train alike: same plans, same losses.

The losses agree to 1e-4 over the first fifty updates.  Where Muon takes part its bfloat16 makes steps of the last bits:
there they agree as well as PyTorch does with itself, from weights that are one step of float32 away.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import optplan

DIGITS = Path(__file__).parents[2] / "samples" / "digits"
UPDATES = 50

pytestmark = [pytest.mark.mindspore, pytest.mark.one_mode, pytest.mark.long]


@pytest.fixture(scope="module")
def twins() -> Any:
    """The sample's own module."""
    sys.path.insert(0, str(DIGITS))
    try:
        import twins  # noqa: PLC0415 - beside the sample's other modules
    finally:
        sys.path.remove(str(DIGITS))
    return twins


WITHOUT_MUON = ["rules.matrices.use=optimizer"]


@pytest.mark.parametrize(("name", "overrides"), [("resnet", []), ("vit", WITHOUT_MUON)])
def test_losses_are_equal_to_one_in_ten_thousand(twins: Any, name: str, overrides: list[str]) -> None:
    """By the sample's own file, for the transformer with AdamW in Muon's place."""
    one, other, _ = twins.losses(name, optplan.load(twins.FILE, overrides=overrides), UPDATES)
    assert one[-1] < 0.5 * one[0]
    np.testing.assert_allclose(other, one, rtol=1e-4)


def test_with_muon_they_are_as_near_as_bfloat16_lets_them_be(twins: Any) -> None:
    one, other, beside = twins.losses("vit", optplan.load(twins.FILE), UPDATES)
    apart, own = (np.max(np.abs(each - one) / np.abs(one)) for each in (other, beside))
    assert own > 1e-4, "PyTorch repeats itself that well: then MindSpore must be held to 1e-4 too"
    assert apart < 10 * own
