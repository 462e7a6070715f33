"""Collecting what the tests measure, and writing it into the table: `pytest tests/agreement --write-table`.

The table is written after a run in which every case was measured and none failed, once for each mode of MindSpore.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.agreement.settings import CASES
from tests.agreement.table import README, Measurement, Table, read, written

if TYPE_CHECKING:
    from collections.abc import Callable

# Under this name a test's measurements travel from a worker of xdist to the process that started it.
_PROPERTY = "agreement"
_measured = pytest.StashKey[list[Measurement]]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Known where this folder, or a part of it, is named on the command line."""
    parser.addoption("--write-table", action="store_true", help="write what was measured into the README of the target")


def pytest_configure(config: pytest.Config) -> None:
    """Begin with nothing."""
    config.stash[_measured] = []
    if not hasattr(config, "workerinput"):
        config.pluginmanager.register(_Writer(config), "agreement-table")


class _Writer:
    """In the process that sees all reports."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self._said = ""

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.when == "call":
            found = self._config.stash[_measured]
            found += [Measurement(*value) for name, value in report.user_properties if name == _PROPERTY]  # type: ignore[misc]  # what `measured` put there

    def pytest_sessionfinish(self, exitstatus: int) -> None:
        if not self._config.getoption("--write-table", default=False):
            return
        found = self._config.stash[_measured]
        missing = {(case.optimizer, case.name) for case in CASES} - {(each.optimizer, each.setting) for each in found}
        if missing or exitstatus != pytest.ExitCode.OK:
            self._said = f"the table is not written: a test failed, or {len(missing)} cases were not measured"
            return
        text = README.read_text(encoding="utf-8") if README.exists() else ""
        README.write_text(written(text, found, self._config.getoption("--mindspore-mode")), encoding="utf-8")
        self._said = f"the table is written: {README.name} of the MindSpore target"

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        if self._said:
            terminalreporter.write_line(self._said)


@pytest.fixture
def measured(record_property: Callable[[str, object], None]) -> Callable[[Measurement], None]:
    """Take down what was measured."""
    return lambda measurement: record_property(_PROPERTY, tuple(measurement))


@pytest.fixture(scope="session")
def stated(pytestconfig: pytest.Config) -> Table | None:
    """The table as it stands; None where it is about to be written."""
    if pytestconfig.getoption("--write-table", default=False):
        return None
    return read(README.read_text(encoding="utf-8"))
