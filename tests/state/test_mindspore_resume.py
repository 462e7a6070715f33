"""Fifty updates, a file, a fresh process, fifty more: in every bit what a hundred without a stop are."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
import pytest

from tests.agreement.settings import CASES
from tests.state.going_on import HALF, WHOLE, case, name_of, start, train

if TYPE_CHECKING:
    from collections.abc import Sequence

pytestmark = pytest.mark.mindspore

ROOT = Path(__file__).parents[2]
# What is scheduled is most of what there is to go on with; some are of MindSpore's own classes only without a schedule.
STOCK = {("sgd", "dampening"), ("adadelta", "alone"), ("rmsprop", "centered, momentum")}
EVERY = [name_of(each) for each in CASES if each.name == "every curve" or (each.optimizer, each.name) in STOCK]


def in_a_fresh_process(mode: str, folder: Path, names: Sequence[str], seconds: float) -> None:
    """Have each case go on from its files in the folder."""
    command = [sys.executable, "-m", "tests.state.going_on", mode, str(folder), *names]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "GLOG_v": "3"}
    done = subprocess.run(  # noqa: S603 - our own module
        command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=seconds, check=False
    )
    assert done.returncode == 0, done.stderr[-4000:]


def differing(mode: str, folder: Path, names: Sequence[str], seconds: float) -> list[str]:
    """The cases whose weights are not what they would be without a stop."""
    whole = {}
    for name in names:
        network, _ = case(name)
        run = start(mode, name)
        train(run, network, range(HALF))
        np.savez(folder / f"{name}.npz", **run.weights)
        run.compiled.save(folder / f"{name}.safetensors")
        train(run, network, range(HALF, WHOLE))
        whole[name] = run.weights
    in_a_fresh_process(mode, folder, names, seconds)
    return [
        name
        for name in names
        for after in [np.load(folder / f"{name}.after.npz")]
        if any(not np.array_equal(values, after[key]) for key, values in whole[name].items())
    ]


def test_several_optimizers_go_on(mindspore_mode: Literal["pynative", "graph"], tmp_path: Path) -> None:
    assert differing(mindspore_mode, tmp_path, ["several"], 120) == []


@pytest.mark.long
def test_every_optimizer_goes_on(mindspore_mode: Literal["pynative", "graph"], tmp_path: Path) -> None:
    assert differing(mindspore_mode, tmp_path, EVERY, 280) == []
