"""`optplan plot`: the chart, the files, and everything that can be wrong."""

from __future__ import annotations

import csv
import os
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import optplan
from tests.report.networks import DOCUMENT, network

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.cli.conftest import Outcome

    Run = Callable[..., Outcome]

PLOT = ("plot", "net.optim.yaml", "--params", "net.params.json")
ROOT = Path(__file__).parents[2]


def test_without_a_file_it_is_a_chart(run: Run) -> None:
    status, out, err = run(*PLOT)
    assert (status, err) == (0, "")
    assert out.startswith("5 groups; 1,000 updates\n\nlr\n")
    assert out.split("\n")[-2].split() == ["d", "0", "0", "0.001", "1e-5", "bias,", "default"]
    assert max(map(len, out.split("\n"))) == 100
    assert "\x1b" not in out


def test_the_size_of_a_chart(run: Run) -> None:
    out = run(*PLOT, "--width", "70", "--height", "20", "--key", "lr", "--key", "weight_decay").out
    assert max(map(len, out.split("\n"))) == 70
    panels = out.split("\n\n")[1:]
    assert [panel.split("\n")[0] for panel in panels[::2]] == ["lr", "weight_decay"]
    assert [panel.count("\n") for panel in panels[::2]] == [22, 22]


def test_the_horizon_is_the_callers(run: Run) -> None:
    head, *lines = run(*PLOT, "--steps", "100", "--epochs", "4").out.split("\n")
    assert head == "5 groups; 100 updates = 4 epochs"
    assert [line.split()[0] for line in lines if line.lstrip().startswith(("epoch", "update"))] == ["epoch", "update"]


def test_a_logarithmic_chart(run: Run) -> None:
    assert "lr  (what is 0 or below is left out)\n" in run(*PLOT, "--log").out


@pytest.mark.parametrize(("file", "starts"), [("x.png", b"\x89PNG"), ("X.SVG", b"<?xml"), ("x.csv", b"update,lr:")])
def test_a_file_is_what_its_name_says(run: Run, file: str, starts: bytes) -> None:
    assert run(*PLOT, "-o", file) == (0, "", f"{file}: lr of 5 groups, 1,000 updates\n")
    assert Path(file).read_bytes().startswith(starts)
    assert sorted(each.name for each in Path().iterdir() if each.suffix == ".new") == []


def test_an_svg_names_the_groups_that_share_a_curve(run: Run) -> None:
    run(*PLOT, "-o", "x.svg")
    text = Path("x.svg").read_text(encoding="utf-8")
    assert all(f">{words}<" in text for words in ("lr", "update", "bias, default", "matrices", "matrices+slow"))


def test_a_table_has_every_update_and_the_very_doubles(run: Run) -> None:
    run(*PLOT, "-o", "x.csv", "--key", "lr", "--key", "betas[0]")
    plan = optplan.plan("net.optim.yaml", network())
    rows = list(csv.DictReader(Path("x.csv").read_text(encoding="utf-8").splitlines()))
    assert [row["update"] for row in rows] == [str(t) for t in range(1000)]
    for t in (0, 1, 57, 99, 100, 101, 500, 999):
        assert {key: float(cell) for key, cell in rows[t].items()} == {
            "update": t,
            **{f"lr:{group.name}": group.value("lr", t) for group in plan.groups},
            **{f"betas[0]:{group.name}": 0.9 for group in plan.groups if group.optimizer == "adamw"},
        }


def test_points_thin_a_table(run: Run) -> None:
    run(*PLOT, "-o", "x.csv", "--points", "4")
    assert [line.split(",")[0] for line in Path("x.csv").read_text().splitlines()] == [
        "update",
        "0",
        "333",
        "666",
        "999",
    ]


def test_a_plan_as_json_can_be_drawn(run: Run) -> None:
    Path("plan.json").write_text(run("plan", *PLOT[1:], "--format", "json").out)
    assert run("plot", "plan.json") == run(*PLOT)
    # it has its horizon, and the drawing a length
    assert run("plot", "plan.json", "--steps", "50").out.startswith("5 groups; 50 updates\n")


# What can be wrong


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (("--key", "lrr"), 1, "error: no group has a number `lrr`\n   = help: did you mean `lr`?\n"),
        (("-o", "no/x.png"), 2, "error: `no/x.png` cannot be written: No such file or directory\n"),
        (("-o", "no/x.csv"), 2, "error: `no/x.csv` cannot be written: No such file or directory\n"),
        (("-o", "x.pdf"), 2, "the name must end with .png, .svg or .csv, not 'x.pdf'\n"),
        (("--width", "0"), 2, "a whole number above 0 is needed, not '0'\n"),
        (("--set", "rules=[{where: all, freeze: true}]"), 1, "there is nothing to draw\n"),
    ],
)
def test_what_cannot_be_drawn(run: Run, arguments: tuple[str, ...], status: int, said: str) -> None:
    outcome = run(*PLOT, *arguments)
    assert (outcome.status, outcome.out) == (status, "")
    assert outcome.err.endswith(said)
    assert sorted(each.name for each in Path().iterdir()) == ["faulty.optim.yaml", "net.optim.yaml", "net.params.json"]


def test_a_faulty_document_or_none_is_told(run: Run) -> None:
    assert run("plot", "faulty.optim.yaml", *PLOT[2:]).err.startswith("error[OP101]: ")
    assert run("plot", "net.optim.yaml").status == run("plot", "missing", *PLOT[2:]).status == 2


def test_a_curve_without_an_end_needs_a_number_of_updates(run: Run) -> None:
    Path("open.optim.yaml").write_text(
        "optplan: 1\noptimizer: {type: sgd, lr: 1}\nschedule: {lr: 'step(every=5, gamma=0.5)'}\n"
    )
    status, out, err = run("plot", "open.optim.yaml", *PLOT[2:], "--format", "concise")
    assert (status, out) == (1, "")
    assert "OP407" in err
    assert "`lr` of group `default` never comes to rest" in err
    assert run("plot", "open.optim.yaml", *PLOT[2:], "--steps", "20").status == 0


def test_without_matplotlib_pictures_have_a_cure_and_the_rest_works(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    status, out, err = run(*PLOT, "-o", "x.png")
    assert (status, out) == (2, "")
    assert err.startswith("error[OP604]: matplotlib, which draws the pictures, cannot be imported: ")
    assert "= help: install `optplan[plot]`" in err
    assert not Path("x.png").exists()
    assert run(*PLOT, "-o", "x.csv").status == run(*PLOT).status == 0


# The terminal


def shown(folder: Path, **environment: str) -> str:
    """What `plot` writes to a terminal of 80 columns."""
    import pty  # noqa: PLC0415 - a matter of POSIX

    ours, theirs = pty.openpty()
    inherited = {key: value for key, value in os.environ.items() if key != "NO_COLOR"}
    plot = subprocess.Popen(  # noqa: S603 - this interpreter, with arguments from this file
        [sys.executable, "-m", "optplan", *PLOT, "--height", "5"],
        cwd=folder,
        env=inherited | {"TERM": "xterm", "COLUMNS": "80", "PYTHONPATH": str(ROOT / "compiler")} | environment,
        stdout=theirs,
    )
    os.close(theirs)
    text = b""
    with suppress(OSError):  # which is how some systems say that the other end is closed
        while piece := os.read(ours, 10_000):
            text += piece
    os.close(ours)
    assert plot.wait() == 0
    return text.decode().replace("\r\n", "\n")


@pytest.mark.skipif(sys.platform == "win32", reason="a terminal of one's own is a matter of POSIX")
def test_on_a_terminal_there_is_colour_unless_it_is_not_wanted(folder: Path) -> None:
    assert "\x1b[36ma\x1b[0m" in shown(folder, PYTHONUTF8="1")
    plain = shown(folder, PYTHONUTF8="1", NO_COLOR="1")
    assert "\x1b" not in plain
    assert max(map(len, plain.split("\n"))) == 80
    assert shown(folder, PYTHONIOENCODING="ascii", NO_COLOR="1").isascii()


def test_the_document_of_these_tests_has_the_curves_that_they_expect() -> None:
    """A warm-up over 100 updates to the own value, and a cosine down to a hundredth of it."""
    plan = optplan.plan(optplan.loads(DOCUMENT), network())
    assert [plan.value("head.bias", "lr", t) for t in (0, 50, 100)] == [0.0, 0.0005, 0.001]
    assert plan.value("head.bias", "lr", 550) == pytest.approx((0.001 + 0.00001) / 2, rel=1e-12)
