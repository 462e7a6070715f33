"""The programs among the samples: each learns to read, and with a stop in the middle has the weights of one without."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

SAMPLES = Path(__file__).parents[2] / "samples" / "hosts"


def run(program: str, folder: Path, *arguments: str) -> tuple[int, float, str]:
    """How many updates the program made, the accuracy in percent, and the hash of the weights."""
    done = subprocess.run(
        [sys.executable, str(SAMPLES / f"with_{program}.py"), *arguments],
        cwd=folder,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
        timeout=200,
    )
    assert (done.returncode, done.stderr) == (0, "")
    found = re.search(r"^(\d+) updates\ntest accuracy (\S+) %, weights (\w+)\n\Z", done.stdout, re.MULTILINE)
    assert found is not None, done.stdout
    return int(found[1]), float(found[2]), found[3]


@pytest.mark.long
@pytest.mark.parametrize("program", ["lightning", "transformers", "accelerate", "hydra"])
def test_a_stop_changes_nothing(program: str, tmp_path: Path) -> None:
    stop, go_on = (["stop=3"], ["resume=true"]) if program == "hydra" else (["--stop", "3"], ["--resume"])
    place = ["folder=made"] if program == "hydra" else ["--folder", "made"]
    updates, accuracy, weights = run(program, tmp_path)
    assert list(tmp_path.iterdir()) == []
    assert updates == 8 * 22
    assert accuracy > 95
    early, _, others = run(program, tmp_path, *place, *stop)
    assert early == 3 * 22
    assert others != weights
    assert run(program, tmp_path, *place, *go_on) == (updates, accuracy, weights)
    assert [each.name for each in tmp_path.iterdir()] == ["made"]
