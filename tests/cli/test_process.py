"""The command as a process of its own: streams, colour, imports, a closed pipe."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
HEAVY = ("torch", "mindspore", "rich", "numpy", "matplotlib", "transformers")


def run(*command: str, folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """`python ARGUMENTS` in the folder."""
    inherited = {key: value for key, value in os.environ.items() if key not in {"NO_COLOR", "FORCE_COLOR"}}
    return subprocess.run(  # noqa: S603 - this interpreter, with arguments from this file
        [sys.executable, *command],
        cwd=folder,
        env=inherited | {"PYTHONPATH": str(ROOT / "compiler")} | environment,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize(
    ("arguments", "status"), [(["net.optim.yaml"], 0), (["faulty.optim.yaml"], 1), (["missing"], 2)]
)
def test_the_exit_status(folder: Path, arguments: list[str], status: int) -> None:
    done = run("-m", "optplan", "check", *arguments, folder=folder)
    assert (done.returncode, done.stdout) == (status, "")
    assert done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ["--help"],
        ["--version"],
        ["check", "--help"],
        ["check", "net.optim.yaml"],
        ["check", "faulty.optim.yaml", "--format", "sarif"],
        ["check", "net.optim.yaml", "--params", "net.params.json"],
        ["plan", "net.optim.yaml", "--params", "net.params.json"],
        ["explain", "net.optim.yaml", "head.bias", "--params", "net.params.json"],
        ["diff", "net.optim.yaml", "net.optim.yaml", "--params", "net.params.json"],
        ["plot", "net.optim.yaml", "--params", "net.params.json"],
        ["plot", "net.optim.yaml", "--params", "net.params.json", "-o", "net.csv"],
        ["params", "--params", "net.params.json"],
        ["help", "OP203"],
        ["schema"],
    ],
)
def test_no_framework_is_loaded(folder: Path, arguments: list[str]) -> None:
    program = (
        f"import sys; from optplan.cli import main; main({arguments!r}); "
        f"print([name for name in {HEAVY!r} if name in sys.modules])"
    )
    assert run("-c", program, folder=folder).stdout.endswith("[]\n")


def test_there_is_no_colour_off_a_terminal(folder: Path) -> None:
    assert "\x1b" not in run("-m", "optplan", "check", "faulty.optim.yaml", folder=folder).stderr


@pytest.mark.skipif(sys.platform == "win32", reason="a terminal of one's own is a matter of POSIX")
@pytest.mark.parametrize(
    ("environment", "coloured"),
    [({}, True), ({"NO_COLOR": "1"}, False), ({"NO_COLOR": ""}, True), ({"TERM": "dumb"}, False)],
)
def test_colour_on_a_terminal(folder: Path, environment: dict[str, str], *, coloured: bool) -> None:
    import pty  # noqa: PLC0415 - as above

    ours, theirs = pty.openpty()
    inherited = {key: value for key, value in os.environ.items() if key != "NO_COLOR"}
    done = subprocess.run(
        [sys.executable, "-m", "optplan", "check", "faulty.optim.yaml"],
        cwd=folder,
        env=inherited | {"TERM": "xterm", "PYTHONPATH": str(ROOT / "compiler")} | environment,
        stderr=theirs,
        check=False,
    )
    os.close(theirs)
    text = os.read(ours, 10_000).decode()
    os.close(ours)
    assert done.returncode == 1
    assert ("\x1b[1;31merror[OP101]\x1b[0m" in text) is coloured
    assert ("\x1b" in text) is coloured


def test_a_closed_pipe_is_quiet(folder: Path) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run(
        [sys.executable, "-m", "optplan", "schema"],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(ROOT / "compiler")},
        stdout=writing,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    os.close(writing)
    assert (done.returncode, done.stderr) == (141, "")


def test_a_terminal_without_the_characters_is_no_fault(folder: Path) -> None:
    (folder / "odd.optim.yaml").write_text(
        "optplan: 1\noptimizer: {type: adamw, gr\u00f6\u00dfe: 1}\n", encoding="utf-8"
    )
    done = run(
        "-m", "optplan", "check", "odd.optim.yaml", folder=folder, PYTHONIOENCODING="ascii:strict", PYTHONUTF8="0"
    )
    assert done.returncode == 1
    assert "`gr\\xf6\\xdfe`" in done.stderr


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="only some systems have a device that is always full")
def test_output_that_cannot_be_written_is_told(folder: Path) -> None:
    with Path("/dev/full").open("w", encoding="utf-8") as full:
        done = subprocess.run(
            [sys.executable, "-m", "optplan", "schema"],
            cwd=folder,
            env=os.environ | {"PYTHONPATH": str(ROOT / "compiler")},
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert done.returncode == 2
    assert done.stderr == "optplan: the output cannot be written: No space left on device\n"
