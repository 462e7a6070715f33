"""A file as a node of a Hydra configuration: Hydra's command line changes it, and a fault is told by Hydra's names."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from omegaconf import DictConfig, OmegaConf

import optplan
from tests.hosts.learning import DOCUMENT, network

PROGRAM = Path(__file__).parents[2] / "samples" / "hosts" / "with_hydra.py"
BESIDE = {"lr": 0.01, "run": {"epochs": 4}, "stages": []}


def run(folder: Path, *overrides: str) -> subprocess.CompletedProcess[str]:
    """Run the sample with these overrides."""
    program = [sys.executable, str(PROGRAM), *overrides]
    return subprocess.run(program, cwd=folder, capture_output=True, text=True, check=False, timeout=100)


def table(text: str) -> list[list[str]]:
    """The rows of groups in a printed plan, and the schedule."""
    lines = [line.split() for line in text.splitlines()]
    return [line for line in lines if line and ((line[0].isdecimal() and len(line) == 7) or line[0] == "schedule")]


def node() -> DictConfig:
    """The document as the node `optim` of a configuration, which it takes two numbers from."""
    optimizer = {**DOCUMENT["optimizer"], "lr": "${lr}"}
    horizon = {"epochs": "${run.epochs}", "steps_per_epoch": 4}
    root = OmegaConf.create({**BESIDE, "optim": {**DOCUMENT, "optimizer": optimizer, "horizon": horizon}})
    assert isinstance(root, DictConfig)
    return root


def test_a_node_is_a_document_with_its_interpolations_resolved() -> None:
    plan = optplan.plan(node().optim, network())
    assert plan.fingerprint == optplan.plan(DOCUMENT, network()).fingerprint


def test_a_node_changes_with_the_configuration() -> None:
    root = node()
    root.lr = 0.5
    root.optim.rules[0].weight_decay = 0.25
    plan = optplan.plan(root.optim, network())
    assert plan.parameter("3.bias").settings["lr"] == 0.5
    assert plan.parameter("3.bias").settings["weight_decay"] == 0.25


@pytest.mark.parametrize(
    ("path", "value", "message", "name"),
    [
        ("lr", "abc", "unknown name `abc`", "optim.optimizer.lr"),
        ("optim.schedule.lr", "linaer(to=0x)", "unknown phase `linaer`", "optim.schedule.lr"),
        ("optim.rules.1.where", "nrm", "rule `nrm` matches no parameter", "optim.rules.1.where"),
        ("optim.optimizer.beta", 1, "`adamw` has no setting `beta`", "optim.optimizer.beta"),
    ],
)
def test_a_fault_is_told_by_the_name_of_its_place(path: str, value: object, message: str, name: str) -> None:
    root = node()
    OmegaConf.update(root, path, value, force_add=True)
    with pytest.raises(optplan.ConfigError) as caught:
        optplan.plan(root.optim, network())
    assert [each.message for each in caught.value.diagnostics] == [message]
    assert caught.value.diagnostics[0].notes[-1] == f"this is `{name}` of the configuration"


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("lr", "${nowhere}", "`optim.optimizer.lr` cannot be read: Interpolation key 'nowhere' not found"),
        ("optim.schedule.lr", "???", "`optim.schedule.lr` cannot be read: Missing mandatory value: optim.schedule.lr"),
    ],
)
def test_what_omegaconf_cannot_give_is_a_fault(path: str, value: object, message: str) -> None:
    root = node()
    OmegaConf.update(root, path, value)
    with pytest.raises(optplan.ConfigError) as caught:
        optplan.plan(root.optim, network())
    assert [(each.code, each.message) for each in caught.value.diagnostics] == [("OP103", message)]


def test_a_node_in_a_list_has_its_place_in_the_name() -> None:
    root = node()
    root.stages.append({"optim": {**DOCUMENT, "optimizer": {"type": "adamw", "lr": -1}}})
    with pytest.raises(optplan.ConfigError, match=r"this is `stages\.0\.optim\.optimizer\.lr` of the configuration"):
        optplan.plan(root.stages[0].optim, network())


def test_a_mapping_alone_has_no_such_name() -> None:
    with pytest.raises(optplan.ConfigError) as caught:
        optplan.load({"optplan": 1, "optimizer": {"type": "adamw", "lr": -1}})
    assert caught.value.diagnostics[0].notes == ()


def test_overrides_on_the_command_line_change_the_plan(tmp_path: Path) -> None:
    done = run(
        tmp_path,
        "epochs=1",
        "lr=1e-3",
        "optim.optimizer.weight_decay=0.1",
        "optim.rules.0.weight_decay=0.5x",
        "+optim.rules.1.lr=2x",
        'optim.schedule.lr="warmup(5%) -> linear(to=0x)"',
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert table(done.stdout) == [
        ["0", "default", "adamw", "2", "7,104", "0.001", "0.1"],
        ["1", "no_decay", "adamw", "7", "586", "0.001", "0.05"],
        ["2", "matrix", "muon", "1", "9,216", "0.04", "0.1"],
        ["schedule", "lr", "warmup(5%)", "->", "linear(to=0x)"],
    ]
    assert "\n22 updates\n" in done.stdout
    assert list(tmp_path.iterdir()) == []


@pytest.mark.long
def test_another_file_of_the_group_can_be_chosen(tmp_path: Path) -> None:
    done = run(tmp_path, "optim=adamw", "epochs=1")
    assert (done.returncode, done.stderr) == (0, "")
    assert [row[1:3] for row in table(done.stdout)[:-1]] == [["default", "adamw"], ["no_decay", "adamw"]]


@pytest.mark.long
def test_a_faulty_override_is_told_by_its_name(tmp_path: Path) -> None:
    done = run(tmp_path, "optim.rules.0.where=nrm")
    assert done.returncode == 1
    assert done.stderr.splitlines() == [
        "error[OP203]: rule `no_decay` matches no parameter",
        "  --> <mapping>:13:13",
        "   |",
        '13 |     where: "nrm"',
        "   |             ^^^ 0 of 10 parameters",
        "   = help: did you mean `norm`?",
        "   = note: this is `optim.rules.0.where` of the configuration",
    ]
