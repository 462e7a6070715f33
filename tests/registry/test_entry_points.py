"""What installed packages offer: found when it is named, and told where it cannot be used."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import optplan
from optplan.catalog import catalog
from optplan.cli import main

if TYPE_CHECKING:
    from collections.abc import Callable

OFFER = """
import optplan
BALL = optplan.OwnOptimizer("ball", torch="tests.registry.classes.Heavy", settings={"lr": 0.1})
FADE = optplan.OwnPolicy("fade", lambda s, duration: 1 / (1 + s), endless=True)
"""


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str, str], None]:
    """Puts a package on the path: its name, its entry points, the code of its one module."""

    def put(name: str, points: str, code: str) -> None:
        folder = tmp_path / name
        info = folder / f"{name}-1.0.dist-info"
        info.mkdir(parents=True)
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(points)
        (folder / f"{name}.py").write_text(code)
        monkeypatch.syspath_prepend(folder)
        monkeypatch.delitem(sys.modules, name, raising=False)

    return put


POINTS = "[optplan.optimizers]\nball = {0}:BALL\n[optplan.policies]\nfade = {0}:FADE\n"
DOCUMENT = "optplan: 1\noptimizer: {{type: {}}}\nschedule: {{lr: {}}}\n"


def told(text: str) -> list[tuple[str, str, str | None, int]]:
    with pytest.raises(optplan.ConfigError) as caught:
        optplan.loads(text)
    return [(each.code, each.message, each.help, each.line) for each in caught.value.diagnostics]


def test_what_a_document_names_is_there(install: Callable[[str, str, str], None]) -> None:
    install("offers_balls", POINTS.format("offers_balls"), OFFER)
    config = optplan.loads(DOCUMENT.format("ball", "fade()"))
    assert config.optimizer.type == "ball"
    assert {"ball", "fade"} <= {*catalog().optimizers, *catalog().policies}


def test_what_is_not_named_is_not_imported(install: Callable[[str, str, str], None]) -> None:
    install("offers_balls", POINTS.format("offers_balls"), OFFER)
    optplan.loads(DOCUMENT.format("adamw", "hold()"))
    assert "offers_balls" not in sys.modules
    optplan.loads(DOCUMENT.format("adamw", "fade()"))
    assert "ball" not in catalog().optimizers


def test_a_policy_of_a_rule_is_seen_too(install: Callable[[str, str, str], None]) -> None:
    install("offers_balls", POINTS.format("offers_balls"), OFFER)
    rule = "rules:\n- {where: all, schedule: {lr: 'hold(10) -> (fade(10) -> hold())'}}\n"
    assert optplan.loads("optplan: 1\noptimizer: {type: sgd}\noptimizers: {a: {type: ball}}\n" + rule)


def test_a_name_that_is_nearly_right_is_proposed(install: Callable[[str, str, str], None]) -> None:
    install("offers_balls", POINTS.format("offers_balls"), OFFER)
    found = told(DOCUMENT.format("bal", "fde()"))
    assert [(code, cure) for code, _, cure, _ in found] == [
        ("OP105", "did you mean `ball`?"),
        ("OP402", "did you mean `fade`?"),
    ]


@pytest.mark.parametrize(
    ("points", "code", "says"),
    [
        ("ball = broken:BALL", "raise RuntimeError('no\\nway')", "RuntimeError: way"),
        ("ball = broken:BALL", "raise SystemExit(3)", "SystemExit: 3"),
        ("ball = broken:BALL", "import no_such_thing", "ModuleNotFoundError: No module named 'no_such_thing'"),
        ("ball = broken:BALL", "", "AttributeError: module 'broken' has no attribute 'BALL'"),
        ("ball = broken:BALL", "BALL = 3", "TypeError: it is a `int`, not an `OwnOptimizer`"),
        ("ball = broken:FADE", OFFER, "TypeError: it is a `OwnPolicy`, not an `OwnOptimizer`"),
        ("ball = broken:BALL", OFFER.replace('"ball"', '"bell"'), "ValueError: it defines 'bell'"),
        ("ball = broken:BALL", OFFER.replace("0.1", "-1"), "ValueError: setting 'lr': its default -1 must be"),
    ],
)  # fmt: skip
def test_a_broken_one_is_told_with_its_package(
    install: Callable[[str, str, str], None], capsys: pytest.CaptureFixture[str], points: str, code: str, says: str
) -> None:
    install("broken", f"[optplan.optimizers]\n{points}\n", f"print('imported')\n{code}")
    (found,) = told(DOCUMENT.format("ball", "hold()"))
    lead = "the optimizer `ball`, which the package `broken` registers, cannot be used: "
    cure = f"its entry point is `optplan.optimizers: {points}`; repair `broken`, or uninstall it"
    assert found == ("OP603", found[1], cure, 2)
    assert found[1].startswith(lead + says)
    assert capsys.readouterr().out == ""


def test_two_packages_with_one_name_are_told(install: Callable[[str, str, str], None]) -> None:
    install("offers_balls", POINTS.format("offers_balls"), OFFER)
    install("offers_more", POINTS.format("offers_more"), OFFER)
    (found,) = told(DOCUMENT.format("ball", "hold()"))
    assert found[0] == "OP603"
    assert found[1].startswith("the optimizer `ball` is registered by several packages: `offers_")


def test_a_program_may_have_registered_it_before(install: Callable[[str, str, str], None]) -> None:
    install("broken", "[optplan.optimizers]\nball = broken:BALL\n", "")
    optplan.register(optplan.OwnOptimizer("ball", torch="a.B", settings={}))
    assert optplan.loads(DOCUMENT.format("ball", "hold()")).optimizer.type == "ball"


def test_help_and_schema_have_all_that_is_offered(
    install: Callable[[str, str, str], None], capsys: pytest.CaptureFixture[str]
) -> None:
    install("offers_balls", POINTS.format("offers_balls"), OFFER)
    install("broken", "[optplan.optimizers]\nbell = broken:BELL\n", "")
    assert main(["help", "optimizers"]) == 0
    out, err = capsys.readouterr()
    assert "  ball " in out
    assert err.startswith("warning[OP603]: the optimizer `bell`, which the package `broken` registers, cannot be used")
    assert main(["schema"]) == 0
    assert '"const": "ball"' in capsys.readouterr().out


# --import


def test_a_module_that_registers_is_imported_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    Path("registers_ball.py").write_text(f"{OFFER}\noptplan.register(BALL, FADE)\nprint('imported')\n")
    Path("a.optim.yaml").write_text(DOCUMENT.format("ball", "fade()"))
    monkeypatch.delitem(sys.modules, "registers_ball", raising=False)
    assert main(["check", "a.optim.yaml", "--format", "json"]) == 1
    capsys.readouterr()
    assert main(["check", "a.optim.yaml", "--import", "registers_ball", "--format", "json"]) == 0
    out, err = capsys.readouterr()
    assert out.startswith("{")
    assert err == "imported\n"
    assert main(["help", "ball", "--import", "registers_ball"]) == 0
    assert "tests.registry.classes.Heavy" in capsys.readouterr().out


@pytest.mark.parametrize("verb", [["check", "a.yaml"], ["plan", "a.yaml"], ["help"], ["schema"], ["diff", "a", "b"]])
def test_a_module_that_cannot_be_imported_is_wrong_usage(verb: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*verb, "--import", "no_such_module"]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("error[OP603]: `no_such_module` could not be imported: ModuleNotFoundError")
