"""A Cell written down as a manifest, from Python and from the command line."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import optplan
from tests.mindspore.networks import Attentive, Containers, HeadFirst, Listed, Pictures, Shared, Words

if TYPE_CHECKING:
    from collections.abc import Callable

    from mindspore import nn

pytestmark = [pytest.mark.mindspore, pytest.mark.one_mode]

ROOT = Path(__file__).parents[2]
NETWORKS = [Pictures, Words, HeadFirst, Containers, Shared, Listed, Attentive]
CONFIG = {
    "optplan": 1,
    "optimizer": {"type": "sgd", "lr": 1.0},
    "rules": [
        {"where": "norm or bias", "weight_decay": 0.5, "optional": True},
        {"where": "/gamma$/ or .w", "lr": "0.5x", "optional": True},
        {"where": "embed.embedding_table", "momentum": 0.9, "optional": True},
        {"where": "type(mindspore.nn.Dense) and not (tied or bias)", "lr": "base / fan_in", "optional": True},
        {"where": "head.bias", "freeze": True, "optional": True},
    ],
}


@pytest.mark.parametrize("build", NETWORKS)
def test_a_manifest_is_an_equal_network(build: Callable[[], nn.Cell], tmp_path: Path) -> None:
    live = optplan.network(build())
    file = tmp_path / "net.params.json"
    live.write(file)
    read = optplan.network(file)
    assert read == live
    assert read.target == "mindspore"
    assert read.natives == live.natives


@pytest.mark.parametrize("build", NETWORKS)
def test_a_manifest_has_the_plan_of_the_live_cell(build: Callable[[], nn.Cell], tmp_path: Path) -> None:
    cell = build()
    file = tmp_path / "net.params.json"
    optplan.network(cell).write(file)
    live = optplan.plan(CONFIG, cell)
    assert live.target == "mindspore"
    assert optplan.plan(CONFIG, file) == live


def test_what_a_row_says_of_a_native_name() -> None:
    rows = {row["name"]: row for row in json.loads(optplan.network(HeadFirst()).to_json())["parameters"]}
    assert rows == {
        "head.weight": {
            "name": "head.weight",
            "module": 1,
            "shape": [7, 4],
            "dtype": "float32",
            "aliases": [{"name": "embed.weight", "module": 2, "native": "embedding_table"}],
        }
    }
    rows = {row["name"]: row for row in json.loads(optplan.network(Words()).to_json())["parameters"]}
    assert rows["norm.bias"] == {
        "name": "norm.bias",
        "module": 2,
        "shape": [4],
        "dtype": "float32",
        "native": "beta",
    }


# The command line


def params(spec: str, folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """`optplan params --network SPEC -o net.params.json`, where the networks of these tests are to be imported."""
    command = ["-m", "optplan", "params", "--network", spec, "-o", str(folder / "net.params.json"), *arguments]
    return subprocess.run(  # noqa: S603 - this interpreter, with arguments from this file
        [sys.executable, *command], cwd=ROOT, capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize(
    ("name", "arguments", "build"),
    [
        ("Pictures", (), Pictures),
        # One that stands there ready
        ("READY", (), Words),
    ],
)
def test_the_command_writes_the_manifest(
    name: str, arguments: tuple[str, ...], build: Callable[[], nn.Cell], tmp_path: Path
) -> None:
    done = params(f"tests.mindspore.networks:{name}", tmp_path, *arguments)
    assert (done.returncode, done.stdout) == (0, "")
    assert "Network mindspore" in done.stderr
    assert "Exception ignored" not in done.stderr
    assert optplan.network(tmp_path / "net.params.json") == optplan.network(build())


def test_a_maker_that_computes_with_its_weights_has_them(tmp_path: Path) -> None:
    done = params("tests.mindspore.networks:doubled", tmp_path)
    assert done.returncode == 0, done.stderr
    assert optplan.network(tmp_path / "net.params.json").names == ("weight", "bias")


def test_a_maker_that_fails_is_a_fault_of_the_network(tmp_path: Path) -> None:
    done = params("tests.mindspore.networks:broken", tmp_path)
    assert done.returncode == 2
    assert (
        "error[OP602]: `tests.mindspore.networks:broken` could not be called: ValueError: no such size" in done.stderr
    )
    assert "Traceback" not in done.stderr


def test_gigabytes_of_parameters_take_no_memory(tmp_path: Path) -> None:
    arguments = ["params", "--network", "tests.mindspore.networks:Wide", "--network-args", '{"layers": 60}']
    program = f"""
import resource, sys
import mindspore
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
from optplan.cli import main
main({[*arguments, "-o", str(tmp_path / "net.params.json")]!r})
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / before)
"""
    done = subprocess.run(  # noqa: S603 - this interpreter, with a program from this file
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    network = optplan.network(tmp_path / "net.params.json")
    assert sum(each.numel for each in network) * 4 > 17e9
    # MindSpore itself takes some half a gigabyte.
    assert float(done.stdout) < 1.2
