"""`optplan convert`: state from one form into another, and what it says."""

from __future__ import annotations

import json
import os
import pickle
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch

import optplan
from optplan.cli import main
from tests.agreement.gradients import gradients
from tests.agreement.networks import Twice
from tests.agreement.settings import CASES
from tests.state.runs import MindSpore, Torch, difference

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.agreement.settings import Case

ROOT = Path(__file__).parents[2]
HALF, WHOLE = 20, 40
FULL = {"sgd": "momentum", "adam": "amsgrad", "rmsprop": "centered, momentum"}
# One setting of each, without a schedule of what MindSpore's checkpoints have no place for
CROSSED = [case for case in CASES if case.name == FULL.get(case.optimizer, "alone")]
# All of them cross in memory as well: see `test_crossing`
ALWAYS = {"sgd", "adamw", "adafactor", "rprop"}
EACH = [
    pytest.param(case, marks=[] if case.optimizer in ALWAYS else [pytest.mark.long], id=str(case)) for case in CROSSED
]
LIMITS = {"muon": 5e-4}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path


def written(folder: Path, case: Case) -> list[str]:
    """The options that name a case's document and its network in PyTorch."""
    (folder / "case.optim.yaml").write_text(json.dumps(case.document()))
    optplan.network(Twice(case.network)).write(folder / "net.params.json")
    options = ["--config", folder / "case.optim.yaml", "--params", folder / "net.params.json", "--steps", WHOLE]
    return [str(each) for each in options]


def in_mindspore(folder: Path, case: Case) -> list[str]:
    """The same, with its network in MindSpore."""
    from tests.agreement.cells import Twice as Cells  # noqa: PLC0415 - half of the tests do without it

    options = written(folder, case)
    optplan.network(Cells(case.network)).write(folder / "cell.params.json")
    return [*options[:3], str(folder / "cell.params.json"), *options[4:]]


def convert(*arguments: object) -> int:
    return main(["convert", *map(str, arguments)])


ADAMW = next(case for case in CROSSED if case.optimizer == "adamw")


# Between the frameworks


@pytest.mark.mindspore
@pytest.mark.one_mode
@pytest.mark.parametrize("case", EACH)
def test_a_stock_state_dict_of_torch_goes_on_in_mindspore(case: Case, folder: Path) -> None:
    updates = gradients(case.network)[:WHOLE]
    first = Torch(case.network, case.document(), WHOLE)
    first.train(updates[:HALF])
    torch.save(first.compiled.optimizer.state_dict(), folder / "optimizer.pt")
    assert convert(folder / "optimizer.pt", "-o", folder / "state.safetensors", *written(folder, case)) == 0
    second = MindSpore(case.network, case.document(), WHOLE)
    second.compiled.load_weights(first.weights)
    second.compiled.restore(folder / "state.safetensors")
    if case.optimizer in ("sgd", "muon"):
        # Nothing in such a state dict says which update it was
        state = second.compiled.state_dict()
        second.compiled.load_state_dict({**state, "updates": HALF, "state": first.compiled.state_dict()["state"]})
    second.train(updates[HALF:])
    first.train(updates[HALF:])
    assert difference(first.weights, second.weights) <= LIMITS.get(case.optimizer, 1e-5)


@pytest.mark.mindspore
@pytest.mark.one_mode
@pytest.mark.parametrize("case", EACH)
def test_a_checkpoint_of_mindspore_goes_on_in_torch(case: Case, folder: Path) -> None:
    """By the stock classes of both: `save_checkpoint`, and `optimizer.load_state_dict`."""
    import mindspore as ms  # noqa: PLC0415 - as above

    updates = gradients(case.network)[:WHOLE]
    first = MindSpore(case.network, case.document(), WHOLE)
    first.train(updates[:HALF])
    ms.save_checkpoint(first.compiled.optimizer, str(folder / "optimizer.ckpt"))
    assert convert(folder / "optimizer.ckpt", "-o", folder / "optimizer.pt", *in_mindspore(folder, case)) == 0
    second = Torch(case.network, case.document(), WHOLE)
    second.compiled.load_weights(first.weights)
    second.compiled.optimizer.load_state_dict(torch.load(folder / "optimizer.pt", weights_only=True))
    assert second.compiled.scheduler is not None
    second.compiled.scheduler.load_state_dict({"last_epoch": HALF})
    second.train(updates[HALF:])
    whole = Torch(case.network, case.document(), WHOLE)
    whole.train(updates)
    assert difference(whole.weights, second.weights) <= LIMITS.get(case.optimizer, 1e-5)


@pytest.mark.mindspore
@pytest.mark.one_mode
@pytest.mark.parametrize("case", EACH)
def test_a_checkpoint_for_mindspore_is_what_it_would_write(case: Case, folder: Path) -> None:
    import mindspore as ms  # noqa: PLC0415 - as above

    run = MindSpore(case.network, case.document(), WHOLE)
    run.train(gradients(case.network)[:HALF])
    run.compiled.save(folder / "state.safetensors")
    ms.save_checkpoint(run.compiled.optimizer, str(folder / "own.ckpt"))
    assert convert(folder / "state.safetensors", "-o", folder / "made.ckpt", *in_mindspore(folder, case)) == 0
    own, made = (ms.load_checkpoint(str(folder / name)) for name in ("own.ckpt", "made.ckpt"))
    weights = {parameter.name for parameter in run.network.get_parameters()}
    # Settings that a class keeps as a parameter, and buffers of groups without momentum, say nothing
    assert {name for name in own.keys() - made.keys() - weights if not name.endswith(".momentum")} <= {
        name for name in own if name.startswith("accum.")
    }
    for name, parameter in made.items():
        np.testing.assert_array_equal(parameter.asnumpy(), own[name].asnumpy(), err_msg=name)
        assert (parameter.shape, parameter.dtype) == (own[name].shape, own[name].dtype)


def test_what_cannot_be_done_without_mindspores_names_says_so(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = trained(folder)
    run.compiled.save(folder / "state.safetensors")
    assert convert(folder / "state.safetensors", "-o", folder / "out.ckpt", *written(folder, ADAMW)) == 1
    assert "error[OP708]: a checkpoint of MindSpore has its names" in capsys.readouterr().err
    assert not (folder / "out.ckpt").exists()


STOCK = {
    "Adam": ("adam", {"exp_avg": "moment1", "exp_avg_sq": "moment2"}),
    "AdamWeightDecay": ("adamw", {"exp_avg": "moments1", "exp_avg_sq": "moments2"}),
    "Momentum": ("sgd", {"momentum_buffer": "moments"}),
}


@pytest.mark.mindspore
@pytest.mark.one_mode
@pytest.mark.parametrize("name", STOCK)
def test_a_stock_optimizer_of_mindspore_is_read(name: str, folder: Path) -> None:
    """Built without a plan, and by a network's own names (`gamma`); the plan is that of the network in PyTorch."""
    import mindspore as ms  # noqa: PLC0415 - as above

    from tests.agreement.cells import Twice as Cells  # noqa: PLC0415 - as above
    from tests.agreement.cells import named  # noqa: PLC0415 - as above

    canonical, fields = STOCK[name]
    cell = Cells("layers")
    names = {id(parameter): each for each, parameter in named(cell).items()}
    arguments = {"learning_rate": 0.1, "momentum": 0.9} if name == "Momentum" else {}
    optimizer = getattr(ms.nn, name)(cell.trainable_params(), **arguments)
    for update in gradients("layers")[:3]:
        optimizer(tuple(ms.Tensor(update[names[id(parameter)]]) for parameter in optimizer.parameters))
    ms.save_checkpoint(optimizer, str(folder / "optimizer.ckpt"))
    document = {"optplan": 1, "optimizer": {"type": canonical, "lr": 0.1, **({"momentum": 0.9} if arguments else {})}}
    (folder / "case.optim.yaml").write_text(json.dumps(document))
    model = Twice("layers")
    optplan.network(model).write(folder / "net.params.json")
    options = ["--config", folder / "case.optim.yaml", "--params", folder / "net.params.json"]
    assert convert(folder / "optimizer.ckpt", "-o", folder / "state.safetensors", *options) == 0
    compiled = optplan.compile(document, model)
    assert not compiled.restore(folder / "state.safetensors")
    state = compiled.state_dict()["state"]
    for field, native in fields.items():
        for parameter, own in zip(optimizer.parameters, getattr(optimizer, native), strict=True):
            np.testing.assert_array_equal(state[names[id(parameter)]][field].numpy(), own.asnumpy())
    assert canonical == "sgd" or compiled.updates == 3


# Within torch


def trained(folder: Path) -> Torch:
    """A case in PyTorch after half of its updates, whose stock state dict is `optimizer.pt`."""
    run = Torch(ADAMW.network, ADAMW.document(), WHOLE)
    run.train(gradients(ADAMW.network)[:HALF])
    torch.save(run.compiled.optimizer.state_dict(), folder / "optimizer.pt")
    return run


def test_there_and_back_is_the_same_state_dict(folder: Path) -> None:
    run = trained(folder)
    options = written(folder, ADAMW)
    assert convert(folder / "optimizer.pt", "-o", folder / "state.safetensors", *options) == 0
    assert convert(folder / "state.safetensors", "-o", folder / "again.pt", *options) == 0
    own, again = run.compiled.optimizer.state_dict(), torch.load(folder / "again.pt", weights_only=True)
    assert own["state"].keys() == again["state"].keys()
    for key, fields in own["state"].items():
        for field, value in fields.items():
            assert torch.equal(value, again["state"][key][field])
    assert [group["params"] for group in own["param_groups"]] == [group["params"] for group in again["param_groups"]]


@pytest.mark.parametrize(
    "nested", [lambda state: state, lambda state: {"epoch": 3, "optimizer": state}], ids=["whole", "in"]
)
def test_no_framework_is_imported(nested: Callable[[Any], Any], folder: Path) -> None:
    run = trained(folder)
    torch.save(nested(run.compiled.optimizer.state_dict()), folder / "optimizer.pt")
    arguments = [
        "convert",
        str(folder / "optimizer.pt"),
        "-o",
        str(folder / "state.safetensors"),
        *written(folder, ADAMW),
    ]
    code = (
        f"import sys; from optplan.cli import main; assert main({arguments!r}) == 0; "
        "assert not {'torch', 'mindspore', 'numpy'} & set(sys.modules)"
    )
    environment = {**os.environ, "PYTHONPATH": ""}
    done = subprocess.run(  # noqa: S603 - our own interpreter
        [sys.executable, "-c", code], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "the state of 12 parameters at update 20" in done.stderr


# What it says


def test_differences_are_told_with_names(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = trained(folder)
    state = run.compiled.state_dict()
    del state["state"]["plain.stem.weight"]["exp_avg_sq"]
    torch.save(state, folder / "state.pt")
    options = written(folder, ADAMW)
    assert convert(folder / "state.pt", "-o", folder / "out.safetensors", *options) == 1
    said = capsys.readouterr()
    assert said.out == ""
    assert "error[OP703]" in said.err
    assert "`plain.stem.weight`" in said.err
    assert not (folder / "out.safetensors").exists()
    assert convert(folder / "state.pt", "-o", folder / "out.safetensors", *options, "--no-strict") == 0
    said = capsys.readouterr()
    assert "warning[OP703]" in said.err
    assert (folder / "out.safetensors").exists()


@pytest.mark.parametrize(("option", "lr"), [("config", 0.5), ("checkpoint", 1e-2)])
def test_settings_are_those_of_the_file_or_of_the_checkpoint(option: str, lr: float, folder: Path) -> None:
    model = Twice("layers")
    document = {"optplan": 1, "optimizer": {"type": "sgd", "lr": 1e-2, "momentum": 0.9}}
    compiled = optplan.compile(document, model)
    for parameter in model.parameters():
        parameter.grad = torch.ones_like(parameter)
    compiled.optimizer.step()
    compiled.save(folder / "state.safetensors")
    (folder / "case.optim.yaml").write_text(json.dumps({**document, "optimizer": {**document["optimizer"], "lr": 0.5}}))  # type: ignore[dict-item]  # a dict
    optplan.network(model).write(folder / "net.params.json")
    options = ["--config", folder / "case.optim.yaml", "--params", folder / "net.params.json", "--on-load", option]
    assert convert(folder / "state.safetensors", "-o", folder / "out.pt", *options) == 0
    assert [group["lr"] for group in torch.load(folder / "out.pt", weights_only=True)["param_groups"]] == [lr]


class Evil:
    """What would run code where it is unpickled."""

    def __reduce__(self) -> Any:
        return os.system, ("touch /tmp/optplan-was-here",)


def evil(path: Path) -> None:
    torch.save({"state": {0: {"step": Evil()}}, "param_groups": [{"params": [0]}]}, path)


def nested_in_itself(path: Path) -> None:
    state: dict[Any, Any] = {}
    for key in range(20):
        state[key] = state
    torch.save({"state": state, "param_groups": [{"params": [0]}]}, path)


BROKEN: dict[str, Callable[[Path], object]] = {
    "runs code": evil,
    "holds itself": nested_in_itself,
    "no optimizer": lambda path: torch.save({"weight": torch.ones(3)}, path),
    "two optimizers": lambda path: torch.save(
        {key: {"state": {}, "param_groups": [{"params": []}]} for key in ("one", "two")}, path
    ),
    "a bare pickle": lambda path: path.write_bytes(pickle.dumps({"state": {}, "param_groups": []})),
    "a text": lambda path: path.write_text("hello"),
    "empty": lambda path: path.write_bytes(b""),
    "protobuf": lambda path: path.write_bytes(b"\n\xff\xff\xff\xff\xff"),
    "a folder": lambda path: path.mkdir(),
    "nothing": lambda path: None,  # noqa: ARG005 - there is no file
}


@pytest.mark.parametrize("make", BROKEN.values(), ids=BROKEN)
def test_what_is_no_state_is_one_message(
    make: Callable[[Path], object], folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make(folder / "state.pt")
    assert convert(folder / "state.pt", "-o", folder / "out.safetensors", *written(folder, ADAMW)) == 2
    said = capsys.readouterr().err
    assert said.count("error[OP70") == 1
    assert "Traceback" not in said
    assert not (folder / "out.safetensors").exists()


@pytest.mark.parametrize(
    "extra", [[], ["-o", "out.txt"], ["-o", "out.pt"], ["-o", "out.pt", "--config", "a.yaml"]], ids=str
)
def test_wrong_usage(extra: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert convert("state.pt", *extra) == 2
    assert "usage: optplan convert" in capsys.readouterr().err


def test_a_file_that_cannot_be_written(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    trained(folder)
    target = folder / "nowhere" / "state.safetensors"
    assert convert(folder / "optimizer.pt", "-o", target, *written(folder, ADAMW)) == 2
    assert "cannot be written" in capsys.readouterr().err
