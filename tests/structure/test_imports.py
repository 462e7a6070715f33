"""What is loaded when: no framework for what needs no network, and no more than a call asks for.

Each case is a program in a process of its own, since what this one has loaded says nothing.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

FRAMEWORKS = {"torch", "mindspore", "numpy", "transformers", "lightning", "accelerate", "hydra", "omegaconf"}
# one is of what its own program registers, see tests/samples/test_own_optimizer.py
SAMPLES = sorted(
    set((Path(__file__).parents[2] / "samples").rglob("*.optim.yaml")).difference(
        (Path(__file__).parents[2] / "samples" / "own_optimizer").iterdir()
    )
)

# Runs the program given as its argument; the last line on stderr is what became of it
PROGRAM = """
import sys
status = 0
try:
    exec(sys.argv[1])
except SystemExit as end:
    status = end.code or 0
loaded = sorted({name.partition(".")[0] for name in sys.modules})
print("", status, *loaded, file=sys.stderr)
"""


def run(code: str) -> tuple[set[str], str]:
    """The top-level modules that the program `code` loaded, and what it printed; it must end well."""
    done = subprocess.run([sys.executable, "-c", PROGRAM, code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    status, *loaded = done.stderr.splitlines()[-1].split()
    assert status == "0", done.stderr
    return set(loaded), done.stdout


def command(*arguments: str) -> str:
    """The program `python -m optplan ARGUMENTS`."""
    return f"import runpy; sys.argv[1:] = {arguments!r}; runpy.run_module('optplan', run_name='__main__')"


def test_the_package_alone_loads_neither_framework_nor_front_end() -> None:
    loaded, _ = run("import optplan")
    assert "optplan" in loaded
    assert loaded & {*FRAMEWORKS, "yaml", "jsonschema", "lark", "re2", "rich"} == set()


def test_reading_a_document_loads_no_framework() -> None:
    loaded, _ = run("import optplan; optplan.loads('optplan: 1\\noptimizer: {type: adamw, lr: 1e-3}')")
    assert "yaml" in loaded
    assert loaded & FRAMEWORKS == set()


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--help"], "check"),
        (["--version"], "optplan"),
        (["check", *map(str, SAMPLES)], ""),
        (["check", "--format", "json", str(SAMPLES[0])], '"optplan.diagnostics/1"'),
        (["help"], ""),
        (["help", "policies"], "cosine"),
        (["help", "optimizer.adamw.betas"], "betas"),
        (["schema"], '"$schema"'),
    ],
    ids=lambda value: " ".join(value)[:20] if isinstance(value, list) else "",
)
def test_a_verb_without_a_network_loads_no_framework(arguments: list[str], says: str) -> None:
    loaded, shown = run(command(*arguments))
    assert says in shown
    assert loaded & FRAMEWORKS == set()


def test_the_probe_sees_a_framework() -> None:
    loaded, _ = run("import numpy")
    assert loaded & FRAMEWORKS == {"numpy"}
