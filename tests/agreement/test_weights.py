"""Both frameworks, driven by one document, have the same weights after 200 updates with the same gradients.

The differences are relative: |a - b| / max(|a|, rms of a's tensor), the largest of all elements.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch

from tests.agreement.gradients import nudged, weights
from tests.agreement.runs import difference, train_mindspore, train_torch, treatment
from tests.agreement.settings import CASES, Case
from tests.agreement.table import DELICATE_LIMITS, FACTOR, LIMIT, ROUNDING, Measurement, Mode, Table

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.mindspore


def _marks(case: Case) -> list[pytest.MarkDecorator]:
    """One setting of each is always seen, but of Muon, whose iterations in bfloat16 take half a minute."""
    return [] if case.name == "alone" and case.optimizer != "muon" else [pytest.mark.long]


TAKEN = [pytest.param(case, marks=_marks(case), id=str(case)) for case in CASES]


@pytest.mark.parametrize("case", TAKEN)
def test_the_weights_agree(
    case: Case, mindspore_mode: Mode, measured: Callable[[Measurement], None], stated: Table | None
) -> None:
    mine, classes = train_mindspore(case)
    theirs = train_torch(case)
    exact = train_torch(case, torch.float64)
    assert [treatment(group) for group in mine.plan.groups] == [treatment(group) for group in theirs.plan.groups]
    assert len(mine.plan.groups) == 3
    assert classes == {case.lowering.class_name}
    for name, before in weights(case.network).items():
        # Of the mixed gradients some are always zero, and some too small to matter
        moved = theirs.last[name] != before
        assert np.isfinite(theirs.last[name]).all()
        assert moved.all() if name.startswith("plain") else moved.any()

    figures = {}
    for half in ("plain", "mixed"):
        figures[f"last_{half}"] = difference(theirs.last, mine.last, half)
        figures[f"torch_{half}"] = difference(exact.last, theirs.last, half)
    if case.delicate:
        beside = train_torch(case, updates=nudged(case.network))
        for half in ("plain", "mixed"):
            figures[f"first_{half}"] = difference(theirs.first, mine.first, half)
            figures[f"ulp_first_{half}"] = difference(theirs.first, beside.first, half)
            figures[f"ulp_last_{half}"] = difference(theirs.last, beside.last, half)
    measured(Measurement(case.optimizer, case.name, figures))

    for half in ("plain", "mixed"):
        assert figures.get(f"first_{half}", 0.0) <= LIMIT
        assert figures[f"last_{half}"] <= (DELICATE_LIMITS[case.optimizer] if case.delicate else LIMIT)
        if stated is not None:
            allowed = FACTOR * stated.stated(case, half, mindspore_mode)
            assert figures[f"last_{half}"] <= max(allowed, ROUNDING), "worse than the table says"
