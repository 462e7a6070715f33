"""The package's types as a user's type checker sees them: from the built wheel, under `mypy --strict`."""

from __future__ import annotations

import re
import subprocess
import sys
from sysconfig import get_path
from typing import TYPE_CHECKING
from venv import create
from zipfile import ZipFile

import pytest

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.long

RIGHT = """
from pathlib import Path
from typing import assert_type

import torch
import optplan
from optplan import Config, ConfigError, Diagnostic, Network, Plan

try:
    config = optplan.load(Path("a.optim.yaml"), overrides=["optimizer.lr=3e-4"])
except ConfigError as error:
    for each in error.diagnostics:
        assert_type(each, Diagnostic)
        place: tuple[str, int, int, int, int] = (each.source, each.line, each.column, each.end_line, each.end_column)
        said: tuple[str, str, str, str | None, tuple[str, ...]] = (
            each.code, each.severity, each.message, each.help, each.notes
        )
    raise
assert_type(config, Config)
assert_type(optplan.loads("optplan: 1", name="a"), Config)

model: torch.nn.Module = torch.nn.Linear(2, 3)
network = optplan.network(model)
assert_type(network, Network)
plan = optplan.plan({"optplan": 1, "optimizer": {"type": "sgd", "lr": 0.1}}, network, steps=10_000, let={"batch": 8})
assert_type(plan, Plan)
assert_type(optplan.plan("a.optim.yaml", model, epochs=1.5, steps_per_epoch=10), Plan)
for group in plan.groups:
    assert_type(group.name, str)
    assert_type(group.optimizer, str)
    names: tuple[str, ...] = group.parameters
    total: int = group.numel
assert_type(plan.value("weight", "lr", 0), float)
assert_type(plan.to_json(), str)
assert_type(Plan.from_json(plan.to_json()), Plan)
assert_type(plan.fingerprint, str)
settings = dict(plan.parameter("weight").settings)
frozen: tuple[str, ...] = tuple(plan.frozen)
warnings: tuple[Diagnostic, ...] = tuple(plan.diagnostics)

optimizer, scheduler = plan.bind(model)
compiled = optplan.compile(config, model, steps=10)
rates: dict[str, float] = dict(compiled.lr())
"""

WRONG = """
import optplan

optplan.load(1)
optplan.load("a.optim.yaml", override=["optimizer.lr=1"])
optplan.plan("a.optim.yaml", None, steps="many")
plan = optplan.plan("a.optim.yaml", None)
plan.value("weight", "lr")
plan.grups
text: str = plan.value("weight", "lr", 0)
plan.groups[0].name = "other"
"""


@pytest.fixture(scope="module")
def user(built: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A user's folder: in `env` an environment into which the wheel is installed, beside what the tests run on."""
    folder = tmp_path_factory.mktemp("user")
    create(folder / "env", with_pip=False)
    (packages,) = (folder / "env" / "lib").glob("python*/site-packages")
    (wheel,) = (built / "direct").glob("*.whl")
    with ZipFile(wheel) as archive:
        archive.extractall(packages)
    (packages / "tests_run_on.pth").write_text(get_path("purelib"))
    return folder


def check(user: Path, program: str) -> list[str]:
    """What `mypy --strict` says of `program`: `line: message [code]`, in order."""
    (user / "program.py").write_text(program)
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--python-executable", "env/bin/python", "program.py"],
        cwd=user,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stderr == ""
    return [line.removeprefix("program.py:") for line in done.stdout.splitlines() if ": error: " in line]


def test_a_right_program_passes(user: Path) -> None:
    assert check(user, RIGHT) == []


def test_a_wrong_program_is_told_of_each_fault(user: Path) -> None:
    assert [re.sub(r"^(\d+): .*\[(.*)\]$", r"\1 \2", each) for each in check(user, WRONG)] == [
        "4 arg-type",
        "5 call-arg",
        "6 arg-type",
        "8 call-arg",
        "9 attr-defined",
        "10 assignment",
        "11 misc",
    ]
