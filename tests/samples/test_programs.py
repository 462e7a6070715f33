"""The short programs among the samples, run as a reader runs them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

SAMPLES = Path(__file__).parents[2] / "samples"


def test_a_stop_changes_no_weight_and_an_edit_changes_what_it_says(tmp_path: Path) -> None:
    program = SAMPLES / "train_and_resume.py"
    done = subprocess.run([sys.executable, program], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    # 200 updates, the first 20 a warm-up to 0.01 and the rest a line to 0: 100 / 180 of it are left at update 100
    assert done.stdout.splitlines() == [
        "resumed at update 100: lr 0.005556, weight decay 0.01",
        "the same weights as without the stop",
        "resumed at update 100: lr 0.005556, weight decay 0.1",
    ]
    assert list(tmp_path.iterdir()) == []
