"""A folder with a document and a manifest, and the command run inside this process."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import pytest

from optplan.cli import main
from tests.report.networks import DOCUMENT, network

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


class Outcome(NamedTuple):
    """What a command leaves behind."""

    status: int
    out: str
    err: str


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current directory, with `net.optim.yaml`, `faulty.optim.yaml` and `net.params.json`."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "net.optim.yaml").write_text(DOCUMENT)
    (tmp_path / "faulty.optim.yaml").write_text("optplan: 1\noptimizer: {type: adamw, lrr: 1}\n")
    network().write(tmp_path / "net.params.json")
    return tmp_path


@pytest.fixture
def run(folder: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., Outcome]:
    """The command, run in `folder`."""
    del folder

    def run_command(*argv: str) -> Outcome:
        capsys.readouterr()
        status = main(argv)
        return Outcome(status, *capsys.readouterr())

    return run_command
