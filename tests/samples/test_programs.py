"""The short programs among the samples, run as a reader runs them."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

SAMPLES = Path(__file__).parents[2] / "samples"


def test_a_stop_changes_no_weight_and_an_edit_changes_what_it_says(tmp_path: Path) -> None:
    program = SAMPLES / "train_and_resume.py"
    done = subprocess.run([sys.executable, program], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    # 200 updates, the first 20 a warm-up to 0.01 and the rest a line to 0: 100 / 180 of it are left at update 100
    first, resumed, same, *differences, edited = done.stdout.splitlines()
    assert (first, same) == ("the saved state fits the plan: nothing differs", "the same weights as without the stop")
    assert resumed == edited == "resumed at update 100, lr 0.005556"
    # Biases had a group without decay, and stand with the matrices now
    assert any("stand in another group" in each for each in differences)
    assert sum("`weight_decay` of group `default`" in each and "0.1 in the plan" in each for each in differences) == 2
    assert list(tmp_path.iterdir()) == []


def test_a_step_is_what_its_pieces_are(tmp_path: Path) -> None:
    program = SAMPLES / "training_step.py"
    done = subprocess.run([sys.executable, program], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    *told, updates, same = done.stdout.splitlines()
    losses = [float(found[1]) for line in told if (found := re.match(r"batch \d+: loss (\S+), norm of", line))]
    assert len(losses) == len(told) == 3
    # The variance of a sum of 8 numbers is 8: a guess is as far off, and training takes most of it away
    assert losses[0] > 4
    assert losses[-1] < 1
    # 600 batches, 4 for each update: all are made, or dropped
    found = re.fullmatch(r"updates: (\d+), dropped: (\d+)", updates)
    assert found is not None
    assert int(found[1]) + int(found[2]) == 150
    assert same == "the same weights by the pieces"
