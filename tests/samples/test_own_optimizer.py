"""The sample with an optimizer and a policy of one's own, in both frameworks, against PyTorch's own SGD."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

SAMPLE = Path(__file__).parents[2] / "samples" / "own_optimizer"
# runs the module, then says which frameworks that has loaded
CHECK = """
import sys
from optplan.cli import main
status = main(["check", "own.optim.yaml", "--import", "own"])
print(status, sorted({"torch", "mindspore", "numpy"} & set(sys.modules)))
"""


def losses(framework: str, folder: Path) -> dict[int, float]:
    """The losses that the sample prints, by update."""
    program = [sys.executable, str(SAMPLE / "train_own.py"), framework]
    done = subprocess.run(program, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return {int(t): float(loss) for t, loss in re.findall(r"update +(\d+): loss ([\d.]+)", done.stdout)}


def expected(monkeypatch: pytest.MonkeyPatch) -> dict[int, float]:
    """The same by `torch.optim.SGD`, whose momentum without dampening is that formula, and by rates set by hand."""
    monkeypatch.syspath_prepend(SAMPLE)
    numbers = np.random.default_rng(0)
    inputs = torch.tensor(numbers.standard_normal((256, 8)).astype(np.float32))
    targets = inputs.sin().sum(dim=1, keepdim=True)
    network = nn.Sequential(nn.Linear(8, 32), nn.Tanh(), nn.Linear(32, 1))
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.copy_(torch.tensor(numbers.standard_normal(parameter.shape) * 0.3))
    weights = [each for each in network.parameters() if each.ndim == 2]
    biases = [each for each in network.parameters() if each.ndim == 1]
    groups: list[dict[str, Any]] = [{"params": weights, "weight_decay": 1e-3}, {"params": biases}]
    optimizer = torch.optim.SGD(groups, lr=0.0, momentum=0.9)
    found = {}
    for t in range(200):
        for group in optimizer.param_groups:
            group["lr"] = 0.02 * (t / 10 if t < 10 else 2 ** -((t - 10) / 50))
        optimizer.zero_grad()
        loss = nn.functional.mse_loss(network(inputs), targets)
        loss.backward()  # type: ignore[no-untyped-call]  # PyTorch leaves it untyped
        optimizer.step()
        found[t] = loss.item()
    return found


@pytest.mark.parametrize(
    "framework", ["torch", pytest.param("mindspore", marks=[pytest.mark.mindspore, pytest.mark.one_mode])]
)
def test_it_trains_as_the_formula_says(framework: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = losses(framework, tmp_path)
    assert list(found) == [*range(0, 200, 20), 199]
    by_hand = expected(monkeypatch)
    assert found == pytest.approx({t: by_hand[t] for t in found}, rel=1e-4, abs=1e-5)


def test_it_is_checked_without_a_framework() -> None:
    done = subprocess.run([sys.executable, "-c", CHECK], cwd=SAMPLE, capture_output=True, text=True, check=False)
    assert done.stdout == "0 []\n", done.stderr
