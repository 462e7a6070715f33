"""The program among the samples, run as a reader runs it: however many processes, the same training."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.devices.processes import ROOT, run_torchrun

if TYPE_CHECKING:
    from pathlib import Path

PROGRAM = ROOT / "samples" / "devices" / "train.py"


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """What one process says of its training."""
    done = subprocess.run(
        [sys.executable, PROGRAM], cwd=tmp_path_factory.mktemp("alone"), capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.splitlines()


def test_one_process_learns(alone: list[str]) -> None:
    assert alone[0] == "alone, 1 processes: 176 updates, loss scale 1024"
    assert float(alone[2].split()[-2]) > 90


@pytest.mark.long
@pytest.mark.parametrize(("engine", "world"), [("ddp", 2), ("fully_shard", 2), ("zero", 3)])
def test_several_processes_learn_the_same(engine: str, world: int, alone: list[str], tmp_path: Path) -> None:
    said = run_torchrun(PROGRAM, world, tmp_path, "--engine", engine).splitlines()
    assert f"{engine}, {world} processes: 176 updates, loss scale 1024" in said
    if 64 % world == 0:
        assert said[-2:] == alone[1:]
    else:
        # Parts of unequal length: their mean is not that of the batch, and the training nearly the same
        assert float(said[-1].split()[-2]) == pytest.approx(float(alone[2].split()[-2]), abs=2)
