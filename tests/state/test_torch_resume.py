"""Fifty updates, a file, a fresh process, fifty more: in every bit what a hundred without a stop are, under PyTorch."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from tests.state.torch_runs import HALF, RUNS, WHOLE, start, train

ROOT = Path(__file__).parents[2]


@pytest.mark.long
def test_every_optimizer_goes_on_in_a_fresh_process(tmp_path: Path) -> None:
    whole = {}
    for number, name in enumerate(RUNS):
        model, compiled = start(name)
        train(model, compiled, range(HALF))
        torch.save(model.state_dict(), tmp_path / f"{number}.pt")
        compiled.save(tmp_path / f"{number}.safetensors")
        train(model, compiled, range(HALF, WHOLE))
        whole[name] = {key: value.clone() for key, value in model.state_dict().items()}
    command = [sys.executable, "-m", "tests.state.torch_runs", str(tmp_path)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(  # noqa: S603 - our own module
        command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=280, check=False
    )
    assert done.returncode == 0, done.stderr[-4000:]
    differing = [
        name
        for number, name in enumerate(RUNS)
        for after in [torch.load(tmp_path / f"{number}.after.pt", weights_only=True)]
        if any(not torch.equal(value, after[key]) for key, value in whole[name].items())
    ]
    assert differing == []


def test_the_scale_its_count_and_the_reports_go_on(tmp_path: Path) -> None:
    model, compiled = start("several, scaled, by reports")
    train(model, compiled, range(HALF))
    compiled.save(tmp_path / "state.safetensors")
    _, other = start("several, scaled, by reports")
    assert not other.restore(tmp_path / "state.safetensors")
    mine, theirs = compiled.state_dict(), other.state_dict()
    assert mine["scaler"] == theirs["scaler"]
    # 49 updates: one batch of fifty overflowed, the 14th, with the scale that had doubled once by then
    assert (mine["updates"], mine["scaler"]["good"]) == (HALF - 1, (HALF - 14) % 7)
    assert mine["scaler"]["scale"] == 1024 * 2 / 2 * 2 ** ((HALF - 14) // 7)
    assert mine["reports"] == theirs["reports"]
    assert [each["metric"] for each in mine["reports"]] == ["accuracy", "loss"]
    assert all(each["reductions"] > 0 for each in mine["reports"])
    assert other.settings() == compiled.settings()
    assert other.lr() == compiled.lr()
