"""What every test runs under."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Literal

import pytest
from hypothesis import settings

from optplan.catalog import catalog, change_catalog

if TYPE_CHECKING:
    from collections.abc import Iterator

# Workers share the machine's cores; set before any test imports a framework
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("OMP_NUM_THREADS", "1")

# MindSpore logs each use of a class that a later version may drop: errors only; set before any test imports it
os.environ.setdefault("GLOG_v", "3")

# The same examples in every run, so that a verdict is about the code; no deadline, since workers wait for each other.
# `pytest --hypothesis-profile search` looks further, at random.
settings.register_profile("same", derandomize=True, deadline=None)
settings.register_profile("search", max_examples=2_000, deadline=None, print_blob=True)
settings.load_profile("same")


def pytest_addoption(parser: pytest.Parser) -> None:
    """One mode per process: MindSpore keeps what it compiled in one mode, and the other one then uses it."""
    parser.addoption(
        "--mindspore-mode",
        choices=("pynative", "graph"),
        default="pynative",
        help="the mode in which the tests marked `mindspore` run",
    )


@pytest.hookimpl(tryfirst=True)  # before marks are looked at
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Have MindSpore set up before the first test that needs it, in no process that runs none of these."""
    graph = config.getoption("--mindspore-mode") == "graph"
    for item in items:
        if graph and item.get_closest_marker("long_in_graph") is not None:
            item.add_marker(pytest.mark.long)
        if isinstance(item, pytest.Function) and item.get_closest_marker("mindspore") is not None:
            item.fixturenames[:] = ["mindspore_mode", *(name for name in item.fixturenames if name != "mindspore_mode")]


@pytest.fixture(autouse=True)
def _as_it_was() -> Iterator[None]:
    """What a test registers is gone after it, so that no test sees what another one brought."""
    before = catalog()
    yield
    change_catalog(lambda _: before)


@pytest.fixture(scope="session")
def mindspore_mode(
    pytestconfig: pytest.Config, tmp_path_factory: pytest.TempPathFactory
) -> Literal["pynative", "graph"]:
    """The mode that MindSpore is in for as long as this process lives."""
    import mindspore  # noqa: PLC0415  only where a test needs it

    mode: Literal["pynative", "graph"] = pytestconfig.getoption("--mindspore-mode")
    mindspore.set_device("CPU")
    mindspore.set_context(mode=mindspore.GRAPH_MODE if mode == "graph" else mindspore.PYNATIVE_MODE)
    if mode == "pynative":
        # Else four threads wait for each other by spinning: training takes seven times the processor's time, which the
        # other worker then lacks
        mindspore.runtime.launch_blocking()
    if "PYTEST_XDIST_WORKER" in os.environ:
        mindspore.device_context.cpu.op_tuning.threads_num(1)
    # Where a network that cannot be compiled is written to, instead of the folder that pytest was started in
    os.environ["MS_OM_PATH"] = str(tmp_path_factory.mktemp("graphs"))
    return mode


def pytest_unconfigure() -> None:
    """Let Cells go in silence: at exit each that still is reaches for names that are gone, and says so."""
    if "mindspore" in sys.modules:
        del sys.modules["mindspore"].nn.Cell.__del__
