"""What `optplan convert` is not told, or has no place for: that is said, and never passed over."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch

import optplan
from optplan.cli import main
from optplan.state.checkpoint import pack, to_tensors
from optplan.state.saved import Array

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path


def convert(*arguments: object) -> int:
    return main(["convert", *map(str, arguments)])


def sgd(folder: Path, **more: Any) -> tuple[Any, list[str]]:
    """A network after three updates by an optimizer that counts nothing, and the options that name it."""
    model = torch.nn.Linear(2, 2)
    document = {"optplan": 1, "optimizer": {"type": "sgd", "lr": 1.0, "momentum": 0.9}, **more}
    compiled = optplan.compile(document, model, steps=10)
    for _ in range(3):
        compiled.step(model(torch.ones(1, 2)).sum())
    (folder / "sgd.optim.yaml").write_text(json.dumps(document))
    optplan.network(model).write(folder / "sgd.params.json")
    options = ["--config", folder / "sgd.optim.yaml", "--params", folder / "sgd.params.json", "--steps", 10]
    return compiled, [str(each) for each in options]


def test_an_update_that_the_state_does_not_say_is_asked_for(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    compiled, options = sgd(folder, schedule={"lr": "cosine()"})
    torch.save(compiled.optimizer.state_dict(), folder / "sgd.pt")
    assert convert(folder / "sgd.pt", "-o", folder / "out.safetensors", *options) == 0
    assert "warning[OP703]: the saved state does not say which update it was" in capsys.readouterr().err
    assert convert(folder / "sgd.pt", "-o", folder / "out.safetensors", *options, "--updates", 3) == 0
    assert "warning" not in capsys.readouterr().err
    other = optplan.compile(folder / "sgd.optim.yaml", torch.nn.Linear(2, 2), steps=10)
    assert not other.restore(folder / "out.safetensors")
    assert (other.updates, other.lr()) == (3, compiled.lr())


def test_what_was_made_without_an_update_can_be_given_one_and_no_other(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    compiled, options = sgd(folder, schedule={"lr": "cosine()"})
    torch.save(compiled.optimizer.state_dict(), folder / "sgd.pt")
    assert convert(folder / "sgd.pt", "-o", folder / "none.safetensors", *options) == 0
    assert "`--updates 1000`" in capsys.readouterr().err
    assert convert(folder / "none.safetensors", "-o", folder / "out.safetensors", *options, "--updates", 3) == 0
    told = capsys.readouterr().err
    assert "at update 3" in told
    assert "warning" not in told
    assert convert(folder / "out.safetensors", "-o", folder / "again.safetensors", *options, "--updates", 5) == 0
    told = capsys.readouterr().err
    assert "says itself that it was of update 3: `--updates 5` is left out" in told
    assert "at update 3" in told


def test_more_updates_than_mindspore_counts_are_refused() -> None:
    with pytest.raises(ValueError, match="MindSpore counts them in an int32"):
        to_tensors({}, 2**31, optplan.plan({"optplan": 1, "optimizer": {"type": "sgd"}}, torch.nn.Linear(2, 2)), [])


@pytest.mark.parametrize(
    ("more", "lost"),
    [
        (
            {"loss_scale": "dynamic()", "schedule": {"lr": "plateau(metric=loss)"}},
            "the loss scale and what has been reported and the update",
        ),
        ({}, "the update"),
    ],
    ids=["all", "count"],
)
def test_what_the_form_has_no_place_for_is_told(
    more: dict[str, Any], lost: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    compiled, options = sgd(folder, **more)
    compiled.save(folder / "state.safetensors")
    assert convert(folder / "state.safetensors", "-o", folder / "out.pt", *options) == 0
    assert f"note[OP708]: a `.pt` has no place for {lost}\n" in capsys.readouterr().err
    assert convert(folder / "state.safetensors", "-o", folder / "out.safetensors", *options) == 0
    assert "note" not in capsys.readouterr().err


@pytest.mark.parametrize("name", ["OUT.PT", "Out.SafeTensors"])
def test_an_ending_is_one_in_whatever_letters(name: str, folder: Path) -> None:
    compiled, options = sgd(folder)
    compiled.save(folder / "state.safetensors")
    assert convert(folder / "state.safetensors", "-o", folder / name, *options) == 0
    assert (folder / name).exists()


def test_without_torch_a_pt_is_refused(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    compiled, options = sgd(folder)
    compiled.save(folder / "state.safetensors")
    monkeypatch.setitem(sys.modules, "torch", None)
    assert convert(folder / "state.safetensors", "-o", folder / "out.pt", *options) == 1
    assert "error[OP708]: a `.pt` is written by PyTorch, which cannot be imported here" in capsys.readouterr().err


def named(**tensors: Any) -> dict[str, Array]:
    """Tensors by name, of which a checkpoint is made: a count is a whole number, all else ones."""
    return {
        name.replace("__", "."): Array("int32", (1,), value.to_bytes(4, "little"))
        if isinstance(value, int)
        else Array("float32", value, np.ones(value, np.float32).tobytes())
        for name, value in tensors.items()
    }


LINEAR = {
    f"{moment}__{name}": shape
    for moment in ("moment1", "moment2")
    for name, shape in (("weight", (2, 2)), ("bias", (2,)))
}


@pytest.mark.parametrize(
    ("tensors", "message"),
    [
        (named(weight=(2, 2), bias=(2,)), "error[OP701]: the checkpoint has no optimizer in it"),
        (named(**LINEAR), "error[OP701]: the checkpoint has no optimizer in it, or not the update"),
        (named(global_step=3, accum__weight=(2, 2)), "error[OP703]: the saved state lacks 2 parameters"),
        (
            named(**LINEAR, global_step=3, member0__global_step=3, member1__global_step=3),
            "error[OP701]: the checkpoint is of an optimizer with 2 members, and by this plan it has 1",
        ),
    ],
    ids=["weights", "no count", "another optimizer", "other members"],
)
def test_a_checkpoint_that_is_of_something_else_is_refused(
    tensors: dict[str, Array], message: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "state.ckpt").write_bytes(b"".join(pack(tensors)))
    (folder / "a.optim.yaml").write_text("optplan: 1\noptimizer: {type: adam}\n")
    optplan.network(torch.nn.Linear(2, 2)).write(folder / "net.params.json")
    options = ["--config", folder / "a.optim.yaml", "--params", folder / "net.params.json"]
    assert convert(folder / "state.ckpt", "-o", folder / "out.safetensors", *options) != 0
    assert message in capsys.readouterr().err
    assert not (folder / "out.safetensors").exists()


def test_a_checkpoint_without_a_count_is_read_where_that_is_said(folder: Path) -> None:
    (folder / "state.ckpt").write_bytes(b"".join(pack(named(**LINEAR))))
    (folder / "a.optim.yaml").write_text("optplan: 1\noptimizer: {type: adam}\n")
    optplan.network(torch.nn.Linear(2, 2)).write(folder / "net.params.json")
    options = ["--config", folder / "a.optim.yaml", "--params", folder / "net.params.json", "--updates", 4]
    assert convert(folder / "state.ckpt", "-o", folder / "out.safetensors", *options) == 0
    compiled = optplan.compile(folder / "a.optim.yaml", torch.nn.Linear(2, 2))
    compiled.restore(folder / "out.safetensors")
    assert compiled.updates == compiled.state_dict()["state"]["weight"]["step"] == 4


@pytest.mark.parametrize("name", ["folder.pt", "folder.safetensors"])
def test_nothing_is_left_beside_what_cannot_be_written(name: str, folder: Path) -> None:
    compiled, options = sgd(folder)
    compiled.save(folder / "state.safetensors")
    (folder / name).mkdir()
    assert convert(folder / "state.safetensors", "-o", folder / name, *options) == 2
    assert not [each for each in folder.iterdir() if each.suffix == ".partial"]


def test_a_plan_alone_does_not_tell_shapes_of_mindspore(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A weight with three dimensions may be one that has four there, which the network says."""
    manifest = json.loads(optplan.network(torch.nn.Conv1d(2, 3, 2)).to_json())
    (folder / "net.params.json").write_text(json.dumps({**manifest, "target": "mindspore"}))
    plan = optplan.plan({"optplan": 1, "optimizer": {"type": "adam"}}, optplan.network(folder / "net.params.json"))
    (folder / "plan.json").write_text(plan.to_json())
    compiled = optplan.compile({"optplan": 1, "optimizer": {"type": "adam"}}, torch.nn.Conv1d(2, 3, 2))
    compiled.save(folder / "state.safetensors")
    options = [folder / "state.safetensors", "-o", folder / "out.ckpt", "--config", folder / "plan.json"]
    assert convert(*options) == 1
    assert "error[OP708]: a plan alone does not tell" in capsys.readouterr().err
    assert convert(*options, "--params", folder / "net.params.json") == 0
