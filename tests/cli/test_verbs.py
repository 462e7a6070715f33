"""Each verb: its data on standard output, the rest on standard error, and its exit status."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import optplan
from optplan.catalog import schema
from tests.report.networks import network

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.cli.conftest import Outcome

    Run = Callable[..., Outcome]

WITH = ("--params", "net.params.json")
FAULT = """\
error[OP101]: `adamw` has no setting `lrr`
  --> faulty.optim.yaml:2:26
  |
2 | optimizer: {type: adamw, lrr: 1}
  |                          ^^^
  = help: did you mean `lr`?
"""

# check


def test_check_of_a_good_file_has_no_data(run: Run) -> None:
    assert run("check", "net.optim.yaml") == (0, "", "1 file checked: no faults\n")


def test_check_tells_people_on_standard_error(run: Run) -> None:
    assert run("check", "faulty.optim.yaml") == (1, "", f"{FAULT}\n1 file checked: 1 error\n")


def test_check_of_several_files(run: Run) -> None:
    status, out, err = run("check", "net.optim.yaml", "faulty.optim.yaml", "net.optim.yaml")
    assert (status, out) == (1, "")
    assert err == f"{FAULT}\n3 files checked: 1 error\n"


@pytest.mark.parametrize("form", ["json", "sarif", "github", "concise"])
def test_check_tells_programs_on_standard_output(run: Run, form: str) -> None:
    status, out, err = run("check", "faulty.optim.yaml", "--format", form)
    assert (status, err) == (1, "")
    assert "OP101" in out


def test_check_as_json(run: Run) -> None:
    assert json.loads(run("check", "net.optim.yaml", "--format", "json").out) == {
        "format": "optplan.diagnostics/1",
        "valid": True,
        "diagnostics": [],
    }
    found = json.loads(run("check", "faulty.optim.yaml", "--format", "json").out)
    assert found["valid"] is False
    assert found["diagnostics"] == [
        {
            "code": "OP101",
            "severity": "error",
            "message": "`adamw` has no setting `lrr`",
            "file": "faulty.optim.yaml",
            "start": {"line": 2, "column": 26},
            "end": {"line": 2, "column": 29},
            "help": "did you mean `lr`?",
            "notes": [],
        }
    ]


def test_check_with_a_network_sees_what_matches_nothing(run: Run) -> None:
    Path("other.optim.yaml").write_text("optplan: 1\noptimizer: {type: adamw}\nrules: [{where: heed, lr: 1}]\n")
    assert run("check", "other.optim.yaml").status == 0
    status, _, err = run("check", "other.optim.yaml", *WITH)
    assert status == 1
    assert err.startswith("error[OP203]: rule `heed` matches no parameter\n")


def test_what_check_cannot_see_without_a_horizon_is_a_note(run: Run) -> None:
    Path("open.optim.yaml").write_text(
        "optplan: 1\noptimizer: {type: adamw}\nschedule: {lr: warmup(500) -> cosine()}\n"
    )
    status, _, err = run("check", "open.optim.yaml")
    assert (status, err.split("]")[0]) == (0, "note[OP408")
    assert run("check", "open.optim.yaml", "--steps", "1000") == (0, "", "1 file checked: no faults\n")
    assert run("check", "open.optim.yaml", *WITH, "--steps", "1000") == (0, "", "1 file checked: no faults\n")
    assert run("check", "open.optim.yaml", "--steps", "100").status == 1
    # with a network too: only a plan needs it
    assert run("check", "open.optim.yaml", *WITH) == run("check", "open.optim.yaml")
    status, _, err = run("plan", "open.optim.yaml", *WITH)
    assert (status, err.count("OP407"), err.count("OP408")) == (1, 1, 0)


def test_check_without_a_horizon_still_holds_the_rules_against_the_network(run: Run) -> None:
    Path("both.optim.yaml").write_text(
        "optplan: 1\noptimizer: {type: adamw}\nrules: [{where: heed, lr: 1}]\nschedule: {lr: cosine()}\n"
    )
    status, out, _ = run("check", "both.optim.yaml", *WITH, "--format", "concise")
    assert (status, out.count("error[OP203]"), out.count("note[OP408]"), out.count("OP407")) == (1, 1, 1, 0)


def test_the_callers_horizon_and_numbers_replace_the_files(run: Run) -> None:
    Path("let.optim.yaml").write_text(
        "optplan: 1\nlet: {batch: 0}\noptimizer: {type: adamw, lr: 1 / batch}\n"
        "horizon: {epochs: 3, steps_per_epoch: 10}\nschedule: {lr: 'warmup(1 epoch) -> cosine()'}\n"
    )
    assert run("check", "let.optim.yaml").status == 1
    assert run("check", "let.optim.yaml", "--let", "batch=4", "--steps", "100").status == 0
    status, out, _ = run("plan", "let.optim.yaml", *WITH, "--let", "batch=4", "--steps", "100", "--format", "json")
    plan = optplan.Plan.from_json(out)
    assert (status, plan.groups[0].settings["lr"]) == (0, 0.25)
    assert plan.horizon.to_data() == {"steps": 100, "epochs": 10, "steps_per_epoch": 10}
    assert "`let` named `bach`" in run("check", "let.optim.yaml", "--let", "bach=4").err


def test_what_an_update_sees_may_come_from_the_caller(run: Run) -> None:
    Path("tokens.optim.yaml").write_text(
        "optplan: 1\noptimizer: {type: adamw, lr: 1}\nhorizon: {steps: 100, tokens_per_step: 10}\n"
        "schedule: {lr: 'warmup(400 tokens + 20 samples) over hold()'}\n"
    )
    assert "needs `samples_per_step`" in run("check", "tokens.optim.yaml").err
    given = ("--tokens-per-step", "20", "--samples-per-step", "0.5")
    assert run("check", "tokens.optim.yaml", *given).status == 0
    plan = optplan.Plan.from_json(run("plan", "tokens.optim.yaml", *WITH, *given, "--format", "json").out)
    group = plan.groups[0]
    assert [group.value("lr", t) for t in (0, 30, 59, 60)] == [0, 0.5, 59 / 60, 1]
    assert plan.horizon.to_data()["tokens_per_step"] == 20


def test_set_changes_single_values(run: Run) -> None:
    assert run("check", "faulty.optim.yaml", "--set", "optimizer.lr=-1").status == 1
    out = run(
        "plan", "net.optim.yaml", *WITH, "--set", "optimizer.lr=1", "--set", "rules.slow.lr=0.25x", "--format", "json"
    ).out
    plan = optplan.Plan.from_json(out)
    assert plan.parameter("layers.0.attn.bias").settings["lr"] == 0.25


def test_a_file_that_is_not_there_is_wrong_usage(run: Run) -> None:
    status, out, err = run("check", "net.optim.yaml", "missing.optim.yaml", "faulty.optim.yaml")
    assert (status, out) == (2, "")
    assert "error[OP001]: `missing.optim.yaml` cannot be read: no such file or directory" in err
    assert "error[OP101]" in err


# plan


def test_plan_is_a_table(run: Run) -> None:
    status, out, err = run("plan", "net.optim.yaml", *WITH)
    assert (status, err) == (0, "")
    assert out.startswith("5 groups for torch, 8 parameters, 234 elements; 1,000 updates\n\n#  group")


def test_plan_as_json_is_the_plan(run: Run) -> None:
    out = run("plan", "net.optim.yaml", *WITH, "--format", "json").out
    assert optplan.Plan.from_json(out) == optplan.plan("net.optim.yaml", network())
    data = json.loads(out)
    assert data["format"] == "optplan.plan/1"
    assert {"name", "optimizer", "settings", "schedule", "parameters", "numel"} <= set(data["groups"][0])
    assert data["frozen"] == ["embed.weight"]


def test_a_plan_as_json_is_a_plan_again(run: Run) -> None:
    Path("plan.json").write_text(run("plan", "net.optim.yaml", *WITH, "--format", "json").out)
    assert run("plan", "plan.json") == run("plan", "net.optim.yaml", *WITH)


def test_warnings_of_a_plan_stand_beside_it(run: Run) -> None:
    Path("warned.optim.yaml").write_text(
        "optplan: 1\noptimizer: {type: adamw}\nrules: [{where: bias, lr: 1}, {where: all, lr: 2}]\n"
    )
    status, out, err = run("plan", "warned.optim.yaml", *WITH)
    assert (status, out.split()[1]) == (0, "group")
    assert err.startswith("warning[OP206]")
    assert json.loads(run("plan", "warned.optim.yaml", *WITH, "--format", "json").err)["valid"] is True


def test_a_faulty_document_has_no_plan(run: Run) -> None:
    assert run("plan", "faulty.optim.yaml", *WITH) == (1, "", FAULT)


def test_a_document_needs_a_network(run: Run) -> None:
    status, out, err = run("plan", "net.optim.yaml")
    assert (status, out) == (2, "")
    assert err.endswith("error: `net.optim.yaml` is a document, which needs a network: --network or --params\n")


# explain


def test_explain(run: Run) -> None:
    status, out, err = run("explain", "net.optim.yaml", "head.weight", *WITH)
    assert (status, err) == (0, "")
    assert out.startswith("head.weight\n  shape      2 x 8, 16 elements\n")
    assert ["weight_decay", "0.01", "->", "0.05", "optimizer", "net.optim.yaml:5"] in [
        line.split() for line in out.split("\n")
    ]


def test_explain_of_several(run: Run) -> None:
    _, first, _ = run("explain", "net.optim.yaml", "head.weight", *WITH)
    _, second, _ = run("explain", "net.optim.yaml", "embed.weight", *WITH)
    status, out, err = run("explain", "net.optim.yaml", "head.weight", "embed.weight", "head.weight", *WITH)
    assert (status, out, err) == (0, f"{first}\n{second}", "")
    status, out, err = run("explain", "net.optim.yaml", "haed.weight", "embed.weight", *WITH)
    assert (status, out) == (1, second)
    assert err.startswith("error: the network has no parameter `haed.weight`\n")


def test_explain_of_an_unknown_parameter(run: Run) -> None:
    status, out, err = run("explain", "net.optim.yaml", "haed.weight", *WITH)
    assert (status, out) == (1, "")
    assert (
        err == "error: the network has no parameter `haed.weight`\n"
        "   = help: did you mean `head.weight` or `embed.weight`?\n"
    )


# diff


def test_diff(run: Run) -> None:
    assert run("diff", "net.optim.yaml", "net.optim.yaml", *WITH) == (0, "", "the plans do the same\n")
    Path("a.json").write_text(run("plan", "net.optim.yaml", *WITH, "--format", "json").out)
    Path("b.json").write_text(
        run("plan", "net.optim.yaml", *WITH, "--set", "optimizers.hidden.lr=0.2", "--format", "json").out
    )
    assert run("diff", "a.json", "a.json").status == 0
    assert run("diff", "a.json", "net.optim.yaml", *WITH).status == 0
    assert run("diff", "a.json", "b.json") == (
        1,
        (
            "1 parameter: layers.0.attn.weight\n  lr  0.05 -> 0.1\n\n"
            "2 parameters: layers.{1..2}.attn.weight\n  lr  0.1 -> 0.2\n"
        ),
        "",
    )
    found = json.loads(run("diff", "a.json", "b.json", "--format", "json").out)
    assert (found["same"], len(found["differences"])) == (False, 2)


@pytest.mark.parametrize(
    "arguments",
    [
        ("net.optim.yaml", "faulty.optim.yaml", *WITH),
        ("net.optim.yaml", "missing", *WITH),
        ("net.optim.yaml", "net.optim.yaml"),
    ],
)
def test_diff_of_a_faulty_input_is_2(run: Run, arguments: tuple[str, ...]) -> None:
    status, out, err = run("diff", *arguments)
    assert (status, out) == (2, "")
    assert "error" in err


# params


NETWORK = """
import torch

print("made on import")

def make(depth=1, odd=False):
    print("made on call")
    if odd:
        raise RuntimeError("first line\\nlast line of it")
    return torch.nn.Sequential(*(torch.nn.Linear(3, 3) for _ in range(depth)))

def device():
    made = make()
    assert made[0].weight.device.type == "meta"
    return made

def nothing():
    return {}

def text():
    return "net.params.json"

def leave():
    raise SystemExit(3)

number = 3
ready = torch.nn.Linear(2, 2)
"""


@pytest.fixture
def network_module(folder: Path) -> str:
    pytest.importorskip("torch")
    # each test imports it anew
    name = f"networks_{folder.name}"
    (folder / f"{name}.py").write_text(NETWORK)
    return name


def test_params_writes_a_manifest(run: Run, network_module: str) -> None:
    spec = f"{network_module}:make"
    status, out, err = run("params", "--network", spec, "--network-args", '{"depth": 2}', "-o", "made.params.json")
    assert (status, out) == (0, "")
    assert "made.params.json: <Network torch: 4 parameters, 24 elements, 3 modules>" in err
    assert optplan.network("made.params.json").names == ("0.weight", "0.bias", "1.weight", "1.bias")


def test_what_the_users_code_prints_is_no_data(run: Run, network_module: str) -> None:
    _, out, err = run("params", "--network", f"{network_module}:make")
    assert json.loads(out)["format"] == "optplan.params/1"
    assert "made on call" in err


def test_params_converts_a_header(run: Run) -> None:
    torch = pytest.importorskip("torch")
    torch.save({"a.weight": torch.zeros(2, 3)}, "model.pt")
    assert json.loads(run("params", "--params", "model.pt").out)["parameters"] == [
        {"name": "a.weight", "module": 1, "shape": [2, 3], "dtype": "float32"}
    ]


def test_networks_are_made_on_the_meta_device(run: Run, network_module: str) -> None:
    assert run("plan", "net.optim.yaml", "--network", f"{network_module}:device", "--set", "rules=[]").status == 0


def test_a_network_that_stands_there_is_taken(run: Run, network_module: str) -> None:
    assert json.loads(run("params", "--network", f"{network_module}:ready").out)["parameters"][0]["shape"] == [2, 2]


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("{}:make --odd", "error[OP602]: `{}:make` could not be called: RuntimeError: last line of it"),
        ("{}:mkae", "error[OP602]: there is no `mkae` in `{}`\n   = help: did you mean `make`"),
        ("{}:number", "error[OP602]: `{}:number` is a `int`, which cannot be called"),
        ("{}:nothing", "error[OP503]: a `dict` is no network"),
        ("{}:text", "error[OP602]: `{}:text` returned a text, not a network"),
        ("{}:leave", "error[OP602]: `{}:leave` could not be called: SystemExit: 3"),
        ("{}", "error[OP602]: `{}` names no callable"),
        ("no_such_module:make", "error[OP602]: `no_such_module` could not be imported: ModuleNotFoundError"),
    ],
)  # fmt: skip
def test_a_network_that_cannot_be_made_is_wrong_usage(run: Run, network_module: str, spec: str, message: str) -> None:
    spec, _, odd = spec.format(network_module).partition(" --")
    status, out, err = run("params", "--network", spec, *(("--network-args", '{"odd": true}') if odd else ()))
    assert (status, out) == (2, "")
    assert message.format(*[network_module] * 2) in err
    assert "Traceback" not in err


def test_params_that_cannot_be_read_or_written(run: Run) -> None:
    Path("bad.params.json").write_text("{")
    assert run("plan", "net.optim.yaml", "--params", "bad.params.json") == (
        2,
        "",
        (
            "error[OP601]: the JSON in the file is corrupted\n  --> bad.params.json\n"
            "   = help: write a manifest where the network can be built: "
            "`optplan params --network SPEC -o net.params.json`\n"
        ),
    )
    assert run("params", *WITH, "-o", "no/such/folder.json") == (
        2,
        "",
        "error: `no/such/folder.json` cannot be written: No such file or directory\n",
    )
    assert run("params").status == 2


def test_a_header_cannot_answer_for_modules(run: Run) -> None:
    torch = pytest.importorskip("torch")
    torch.save({"a.weight": torch.zeros(2, 3)}, "model.pt")
    Path("norm.optim.yaml").write_text("optplan: 1\noptimizer: {type: adamw}\nrules: [{where: norm, lr: 1}]\n")
    status, _, err = run("plan", "norm.optim.yaml", "--params", "model.pt")
    assert status == 1
    assert err.startswith("error[OP209]")


# help, schema, version


def test_help(run: Run) -> None:
    status, out, err = run("help", "OP203")
    assert (status, err) == (0, "")
    assert out.startswith("OP203: a rule that matches no parameter\n")
    assert "policies" in run("help").out
    assert run("help", "torch.optim.Sgd") == run("help", "torch.optim.SGD")
    assert run("help", "policiez") == (
        2,
        "",
        "error: there is no topic `policiez`\n   = help: did you mean `policies`?\n",
    )


def test_schema(run: Run) -> None:
    status, out, err = run("schema")
    assert (status, err) == (0, "")
    assert json.loads(out) == schema()


def test_version(run: Run) -> None:
    assert run("--version") == (0, f"optplan {optplan.__version__}\n", "")


VERBS = ["check", "plan", "explain", "diff", "plot", "params", "convert", "help", "schema"]


@pytest.mark.parametrize("verb", VERBS)
def test_a_verb_is_a_topic(run: Run, verb: str) -> None:
    """`params` is an argument of frameworks too, of which it tells behind."""
    own = run(verb, "--help").out
    status, out, err = run("help", verb)
    assert (status, err) == (0, "")
    assert out.startswith(own)
    assert (out == own) == (verb != "params")


def test_verbs_are_listed_and_suggested(run: Run) -> None:
    assert all(f"`{verb}`" in run("help").out for verb in VERBS)
    assert "did you mean `convert`" in run("help", "covnert").err


@pytest.mark.parametrize("verb", VERBS)
def test_each_verb_has_its_help(run: Run, verb: str) -> None:
    status, out, err = run(verb, "--help")
    assert (status, err) == (0, "")
    assert out.startswith(f"usage: optplan {verb} ")


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("chekc", "a"),
        ("check",),
        ("check", "net.optim.yaml", "--format", "xml"),
        ("check", "net.optim.yaml", "--steps", "0"),
        ("check", "net.optim.yaml", "--steps", "1.5"),
        ("check", "net.optim.yaml", "--epochs", "nan"),
        ("check", "net.optim.yaml", "--let", "batch"),
        ("check", "net.optim.yaml", "--let", "batch=many"),
        ("check", "net.optim.yaml", "--network", "a:b", "--params", "c"),
        ("check", "net.optim.yaml", "--network-args", "[1]"),
        ("check", "net.optim.yaml", "--network-args", "{"),
        ("check", "net.optim.yaml", "--param", "net.params.json"),
    ],
)
def test_wrong_usage(run: Run, arguments: tuple[str, ...]) -> None:
    status, out, err = run(*arguments)
    assert (status, out) == (2, "")
    assert err.startswith("usage: optplan")
    assert "\nerror: " in err


@pytest.mark.parametrize("raised", [KeyboardInterrupt, BrokenPipeError])
def test_a_run_that_is_cut_off_says_nothing(
    run: Run, monkeypatch: pytest.MonkeyPatch, raised: type[BaseException]
) -> None:
    def cut_off(*_: Any, **__: Any) -> None:
        raise raised

    monkeypatch.setattr(optplan.api, "read", cut_off)
    monkeypatch.setattr("os.dup2", lambda *_: None)
    status, out, err = run("check", "net.optim.yaml")
    assert status == {KeyboardInterrupt: 130, BrokenPipeError: 141}[raised]
    assert (out, err) == ("", "")


@pytest.mark.parametrize("verb", ["check", "plan", "explain", "diff", "plot"])
def test_help_shows_how_a_value_is_changed(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    from optplan.cli import main  # noqa: PLC0415 - the other tests go through `run`

    assert main([verb, "--help"]) == 0
    text = " ".join(capsys.readouterr().out.split())
    assert f"optplan {verb} ... --set optimizer.lr=3e-4" in text
    assert "--let depth=12" in text
