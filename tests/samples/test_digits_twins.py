"""The digits networks, written once for each framework, train alike: same plans, same losses.

Rounding grows as a network trains.  Where it grows slowly the losses agree to 1e-4 over the first fifty updates; where
it grows fast (Muon's bfloat16; the residual network at high rates) they agree as well as PyTorch does with itself, from
weights that are one step of float32 away.
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


def gentle(lr: float) -> optplan.Config:
    """AdamW with a warm-up into a cosine and no decay on norms and biases, at a moderate rate."""
    return optplan.load(
        {
            "optplan": 1,
            "optimizer": {"type": "adamw", "lr": lr, "weight_decay": 0.05},
            "rules": [{"where": "norm or bias", "weight_decay": 0}],
            "schedule": {"lr": "warmup(5%) -> cosine(to=0.01x)"},
        }
    )


@pytest.mark.parametrize(("name", "lr"), [("vit", 1e-3), ("resnet", 3e-4)])
def test_losses_are_equal_to_one_in_ten_thousand(twins: Any, name: str, lr: float) -> None:
    one, other, _ = twins.losses(name, gentle(lr), UPDATES)
    assert one[-1] < 0.9 * one[0]
    np.testing.assert_allclose(other, one, rtol=1e-4)


@pytest.mark.parametrize("name", ["vit", "resnet"])
def test_under_the_sample_s_own_file_they_are_as_near_as_float32_lets_them_be(twins: Any, name: str) -> None:
    one, other, beside = twins.losses(name, optplan.load(twins.FILE), UPDATES)
    apart, own = (np.max(np.abs(each - one) / np.abs(one)) for each in (other, beside))
    assert own > 1e-4, "PyTorch repeats itself that well: then MindSpore must be held to 1e-4 too"
    assert apart < 10 * own
