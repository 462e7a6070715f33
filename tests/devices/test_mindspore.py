"""MindSpore's data parallelism on CPU: two processes under `msrun` give the weights of one."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.devices.processes import ROOT, run_msrun

# Two processes that each compile their steps: half a minute
pytestmark = [pytest.mark.mindspore, pytest.mark.long]

PROGRAM = Path(__file__).with_name("mindspore_worker.py")
WORLD = 2


def by_case(file: Path) -> dict[str, dict[str, Any]]:
    """What a process saved, by case and name."""
    found: dict[str, dict[str, Any]] = {}
    with np.load(file) as saved:
        for key in saved.files:
            case, _, name = key.partition("/")
            found.setdefault(case, {})[name] = saved[key]
    return found


def test_two_processes_train_as_one(mindspore_mode: str, tmp_path: Path) -> None:
    """AdamW; several optimizers, clipped, with an overflow in one process; two batches to an update."""
    command = [sys.executable, "-m", "tests.devices.mindspore_worker", mindspore_mode, "1", str(tmp_path)]
    subprocess.run(command, cwd=ROOT, check=True, timeout=120)
    run_msrun(PROGRAM, WORLD, tmp_path, mindspore_mode, str(WORLD), str(tmp_path))
    alone = by_case(tmp_path / "0of1.npz")
    several = [by_case(tmp_path / f"{rank}of{WORLD}.npz") for rank in range(WORLD)]
    assert set(alone) == {"adamw", "several, clipped and scaled", "accumulated", "TrainOneStepCell"}
    for case, expected in alone.items():
        for process in several:
            found = process[case]
            for name, weights in expected.items():
                if name.startswith("weights."):
                    assert np.abs(found[name] - weights).max() < 2e-6 * np.abs(weights).max(), (case, name)
                    assert np.array_equal(found[name], several[0][case][name]), (case, name)
            if case != "TrainOneStepCell":
                assert np.array_equal(found["updated"], expected["updated"]), case
                assert np.array_equal(found["scales"], expected["scales"]), case
                np.testing.assert_allclose(found["norms"], expected["norms"], rtol=2e-6)
    assert [update for update, made in enumerate(alone["several, clipped and scaled"]["updated"]) if not made] == [3]
