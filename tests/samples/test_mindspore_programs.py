"""The programs for MindSpore among the samples, run as a reader runs them, each in both modes."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAMS = Path(__file__).parents[2] / "samples" / "mindspore"

# Each sets the mode of its own process, whatever mode the tests run in.
pytestmark = [pytest.mark.mindspore, pytest.mark.one_mode, pytest.mark.long]


@pytest.mark.parametrize("mode", ["pynative", "graph"])
@pytest.mark.parametrize(
    "command",
    [
        "one_step_cell.py",
        "one_step_cell.py --scale",
        "high_level_model.py",
        "high_level_model.py --scale",
        "high_level_model.py --step",
        "single_steps.py",
        "single_steps.py --jit",
        "own_loop.py",
        "own_loop.py --jit",
        "train_step.py",
        "train_step.py --jit",
    ],
)
def test_learns_to_read_digits(command: str, mode: str, tmp_path: Path) -> None:
    name, *options = command.split()
    done = subprocess.run(
        [sys.executable, PROGRAMS / name, *options, "--mode", mode],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    losses = [float(loss) for loss in re.findall(r"^epoch \d+: loss (\S+)$", done.stdout, re.MULTILINE)]
    assert len(losses) == 8
    # From near log(10), the loss of a guess, to next to nothing
    assert 0.5 < losses[0] < 2.3
    assert losses[-1] < 0.02
    found = re.search(r"^test accuracy (\S+) %$", done.stdout, re.MULTILINE)
    assert found is not None
    assert float(found[1]) > 95
