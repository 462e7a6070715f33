"""`table(file="...")`: files of multipliers, which are read, where they may lie, and what is said of the others."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
import torch
from torch import nn

import optplan
from optplan import ConfigError, Plan
from optplan.frontend.policies import read_policy
from optplan.source import Source, Text

if TYPE_CHECKING:
    from pathlib import Path

    from optplan.diagnostics import Diagnostic

HEAD = "optplan: 1\noptimizer: {type: adamw, lr: 0.5}\n"


def write(folder: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        place = folder / name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text)


def planned(folder: Path, files: dict[str, str], name: str = "a.optim.yaml", **options: Any) -> Plan:
    """The plan of the document `name` among `files` for a layer."""
    write(folder, files)
    return optplan.plan(folder / name, nn.Linear(2, 2), **options)


def told(folder: Path, files: dict[str, str], name: str = "a.optim.yaml") -> list[Diagnostic]:
    write(folder, files)
    with pytest.raises(ConfigError) as caught:
        optplan.load(folder / name)
    return list(caught.value.diagnostics)


def rates(plan: Plan, updates: int) -> list[float]:
    return [plan.value("weight", "lr", t) for t in range(updates)]


def with_schedule(policy: str) -> str:
    return f"{HEAD}schedule:\n  lr: {policy}\n"


TABLE = with_schedule('table(file="lr.txt")')

FOUND: list[tuple[str, dict[str, Any], list[float]]] = [
    ('table(file="lr.txt")', {}, [0.5, 1.0, 0.0, 0.125, 0.125, 0.125]),
    ("table(file='lr.txt')", {}, [0.5, 1.0, 0.0, 0.125, 0.125, 0.125]),
    # update t of the phase uses line t + 1
    ('hold(2, at=0.1x) -> table(file="lr.txt")', {}, [0.05, 0.05, 0.5, 1.0, 0.0, 0.125, 0.125]),
    ('hold(1.5, at=0.1x) -> table(file="lr.txt")', {}, [0.05, 0.05, 0.5, 1.0, 0.0, 0.125]),
    # an end is an end: what begins there has the last line that was used
    ('table(2, file="lr.txt") -> hold()', {}, [0.5, 1.0, 1.0, 1.0]),
    ('table(2, file="lr.txt")', {}, [0.5, 1.0, 1.0, 1.0]),
    ('table(50%, file="lr.txt") -> linear(to=0x)', {"steps": 4}, [0.5, 1.0, 1.0, 0.5, 0.0]),
    ('table(file="lr.txt") -> hold(1, at=3x)', {"steps": 4}, [0.5, 1.0, 0.0, 1.5, 1.5]),
    ('table(file="lr.txt") per epoch', {"epochs": 4, "steps_per_epoch": 2}, [0.5, 0.5, 1.0, 1.0, 0.0, 0.0, 0.125]),
]


@pytest.mark.parametrize(("policy", "horizon", "expected"), FOUND, ids=[each[0] for each in FOUND])
def test_values(policy: str, horizon: dict[str, Any], expected: list[float], tmp_path: Path) -> None:
    plan = planned(tmp_path, {"a.optim.yaml": with_schedule(policy), "lr.txt": "1\n2.\n0\n.25\n"}, **horizon)
    assert rates(plan, len(expected)) == expected


@pytest.mark.parametrize(
    "text",
    ["1\n0.5\n25e-2", "1\n0.5\n0.25\n\n\n", "1\r\n0.5\r\n0.25\r\n", "  1 \n\t+0.5\n2.5E-1", "\ufeff1\n0.5\n0.25\n"],
)
def test_how_lines_may_be_written(text: str, tmp_path: Path) -> None:
    assert rates(planned(tmp_path, {"a.optim.yaml": TABLE, "lr.txt": text}), 4) == [0.5, 0.25, 0.125, 0.125]


def test_a_plan_keeps_the_numbers(tmp_path: Path) -> None:
    plan = planned(tmp_path, {"a.optim.yaml": TABLE, "lr.txt": "1\n0.1\n"})
    again = Plan.from_json(plan.to_json())
    (tmp_path / "lr.txt").unlink()
    assert rates(again, 3) == rates(plan, 3) == [0.5, 0.05, 0.05]
    assert again.fingerprint == plan.fingerprint
    assert "table(2 lines)" in str(plan.parameter("weight").schedule["lr"])


def test_each_document_has_its_own_folder(tmp_path: Path) -> None:
    files = {
        "a.optim.yaml": 'extends: base/b.optim.yaml\nschedule: {weight_decay: table(file="wd.txt")}\n',
        "wd.txt": "7\n",
        "base/b.optim.yaml": with_schedule('table(file="lr.txt")'),
        "base/lr.txt": "3\n",
        "lr.txt": "9\n",
    }
    plan = planned(tmp_path, files)
    assert rates(plan, 1) == [1.5]
    assert plan.value("weight", "weight_decay", 0) == pytest.approx(0.07)
    # what the command line says stands in the first file's folder
    said = optplan.plan(tmp_path / "a.optim.yaml", nn.Linear(2, 2), overrides=['schedule.lr=table(file="lr.txt")'])
    assert rates(said, 1) == [4.5]


def test_rules_and_rates_of_rules_have_tables(tmp_path: Path) -> None:
    rule = 'rules:\n  - where: bias\n    schedule:\n      lr: base * table(file="lr.txt")\n'
    plan = planned(tmp_path, {"a.optim.yaml": with_schedule("linear(4, to=0x)") + rule, "lr.txt": "1\n0.5\n"}, steps=4)
    assert [plan.value("bias", "lr", t) for t in range(4)] == [0.5, 0.1875, 0.125, 0.0625]


def test_a_table_drives_an_optimizer(tmp_path: Path) -> None:
    write(tmp_path, {"a.optim.yaml": TABLE, "lr.txt": "1\n0.5\n0.25\n"})
    compiled = optplan.compile(tmp_path / "a.optim.yaml", nn.Linear(2, 2))
    found = []
    for _ in range(5):
        found.append(compiled.optimizer.param_groups[0]["lr"])
        compiled.optimizer.step()
        compiled.scheduler.step()
    assert found == [0.5, 0.25, 0.125, 0.125, 0.125]
    assert isinstance(compiled.optimizer, torch.optim.AdamW)


FAULTS: list[tuple[str, dict[str, str], tuple[str, int, int, str]]] = [
    ("missing", {}, ("a.optim.yaml", 4, 18, "`lr.txt` cannot be read: no such file or directory")),
    ("a folder", {"lr.txt/b": ""}, ("a.optim.yaml", 4, 18, "`lr.txt` cannot be read: is a directory")),
    ("empty", {"lr.txt": ""}, ("a.optim.yaml", 4, 18, "`lr.txt` has no multipliers")),
    ("blank", {"lr.txt": "\n \n"}, ("a.optim.yaml", 4, 18, "`lr.txt` has no multipliers")),
    ("a word", {"lr.txt": "1\n  low\n"}, ("lr.txt", 2, 3, "`low` is no multiplier")),
    ("a head", {"lr.txt": "lr\n1\n"}, ("lr.txt", 1, 1, "`lr` is no multiplier")),
    ("two", {"lr.txt": "1 2\n"}, ("lr.txt", 1, 1, "`1 2` is no multiplier")),
    ("a gap", {"lr.txt": "1\n\n2\n"}, ("lr.txt", 2, 1, "a line without a multiplier")),
    ("below 0", {"lr.txt": "1\n2\n-0.5\n-1"}, ("lr.txt", 3, 1, "`-0.5` is no multiplier")),
    ("infinite", {"lr.txt": "1e999\n"}, ("lr.txt", 1, 1, "`1e999` is no multiplier")),
    ("not a number", {"lr.txt": "nan\n"}, ("lr.txt", 1, 1, "`nan` is no multiplier")),
    ("Python's own", {"lr.txt": "1_000\n"}, ("lr.txt", 1, 1, "`1_000` is no multiplier")),
]


@pytest.mark.parametrize(("files", "expected"), [each[1:] for each in FAULTS], ids=[each[0] for each in FAULTS])
def test_faults(files: dict[str, str], expected: tuple[str, int, int, str], tmp_path: Path) -> None:
    (fault,) = told(tmp_path, {"a.optim.yaml": TABLE, **files})
    name, line, column, message = expected
    assert fault.code == "OP110"
    assert fault.source.endswith(name)
    assert (fault.line, fault.column) == (line, column)
    assert fault.message.replace(f"{tmp_path}/", "") == message


@pytest.mark.parametrize("name", ["../lr.txt", "deep/../../lr.txt", "/etc/hostname", "out.txt"])
def test_no_file_outside_the_tree_is_read(name: str, tmp_path: Path) -> None:
    write(tmp_path, {"lr.txt": "1\n", "in/deep/x": ""})
    (tmp_path / "in" / "out.txt").symlink_to(tmp_path / "lr.txt")
    (fault,) = told(tmp_path / "in", {"a.optim.yaml": with_schedule(f'table(file="{name}")')})
    assert (fault.code, fault.message) == ("OP110", f"`{name}` is outside the first file's directory")
    assert fault.help == "a document reads files beside the first one or in folders below it"


def test_a_text_and_a_mapping_have_no_folder() -> None:
    document = {"optplan": 1, "optimizer": {"type": "sgd"}, "schedule": {"lr": 'table(file="lr.txt")'}}
    collector = optplan.diagnostics.Collector()
    assert optplan.api.read(document, collector) is not None
    faults = list(collector.diagnostics)
    with pytest.raises(ConfigError) as caught:
        optplan.loads(TABLE)
    faults += caught.value.diagnostics
    assert [fault.code for fault in faults] == ["OP110", "OP110"]
    assert all("relative to a file" in fault.message for fault in faults)


def test_a_file_is_read_once_and_each_fault_told(tmp_path: Path) -> None:
    policy = 'table(5, file="lr.txt") -> table(file="lr.txt") -> table(5, file="no.txt")'
    faults = told(tmp_path, {"a.optim.yaml": with_schedule(policy), "lr.txt": "x"})
    assert sorted(each.message.replace(f"{tmp_path}/", "") for each in faults) == [
        "`no.txt` cannot be read: no such file or directory",
        "`x` is no multiplier",
    ]


def test_a_policy_with_a_table_can_be_read_again(tmp_path: Path) -> None:
    write(tmp_path, {"a.optim.yaml": with_schedule('hold(2) -> table(file="l\\"r.txt")'), 'l"r.txt': "1\n"})
    (scheduled,) = optplan.load(tmp_path / "a.optim.yaml").schedule
    text = str(scheduled.policy)
    assert text == 'hold(2) -> table(file="l\\"r.txt")'
    collector = optplan.diagnostics.Collector()
    assert read_policy(Text(text, Source("again", text), 0), collector, phases=["hold", "table"]) is not None
    assert not collector.diagnostics


def test_long_tables(tmp_path: Path) -> None:
    """A million updates."""
    numbers = [1 / (1 + k) for k in range(1_000_000)]
    plan = planned(tmp_path, {"a.optim.yaml": TABLE, "lr.txt": "\n".join(map(repr, numbers))})
    assert [plan.value("weight", "lr", t) for t in (0, 999_999, 10**7)] == [0.5, 0.5e-6, 0.5e-6]
    assert json.loads(plan.to_json())
