"""accelerate: a file's optimizer is prepared and its scheduler is not; with one process, with two, and with a stop."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from torch import nn
from torch.utils.data import DataLoader, Subset

import optplan
from optplan.hosts.accelerate import accelerator_arguments
from tests.hosts.learning import (
    DOCUMENT,
    EPOCHS,
    SIZE,
    UNSCHEDULED,
    UPDATES,
    loader,
    network,
    rows,
    same,
    train_alone,
    weights,
)
from tests.hosts.processes import run_two
from tests.hosts.two_processes import ADAMW, ROWS

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

CLIPPED = {**DOCUMENT, "clip": "norm(0.1)"}


@pytest.fixture(autouse=True)
def fresh_state() -> Iterator[None]:
    """What accelerate keeps is of the whole process: each test begins without."""
    AcceleratorState._reset_state(reset_partial_state=True)  # noqa: SLF001 - it has no other name
    yield
    AcceleratorState._reset_state(reset_partial_state=True)  # noqa: SLF001


def train(
    document: dict[str, Any], folder: Path | None = None, *, first: int = 0, epochs: int = EPOCHS
) -> tuple[list[torch.Tensor], optplan.Compiled]:
    """Train from the end of epoch `first`, whose state is in the folder, to the end of `epochs`, and leave it there."""
    model = network()
    plan = optplan.plan(document, model)
    accelerator = Accelerator(cpu=True, **accelerator_arguments(plan))
    compiled = plan.bind(model)
    wrapped, optimizer, batches = accelerator.prepare(model, compiled.optimizer, loader())
    if compiled.scheduler is not None:
        accelerator.register_for_checkpointing(compiled.scheduler)
    if first:
        accelerator.load_state(str(folder))
    for _ in range(first, epochs):
        for inputs, classes in batches:
            with accelerator.accumulate(wrapped):
                accelerator.backward(nn.functional.cross_entropy(wrapped(inputs), classes))
                if accelerator.sync_gradients:
                    if plan.clip is not None:
                        accelerator.clip_grad_norm_(wrapped.parameters(), plan.clip.limit)
                    optimizer.step()
                    if compiled.scheduler is not None and not accelerator.optimizer_step_was_skipped:
                        compiled.scheduler.step()
                    optimizer.zero_grad()
    if folder is not None:
        accelerator.save_state(str(folder))
    return weights(model), compiled


@pytest.mark.parametrize("document", [DOCUMENT, CLIPPED, UNSCHEDULED], ids=["plain", "clipped", "unscheduled"])
def test_it_trains_as_without_a_host(document: dict[str, Any]) -> None:
    made, compiled = train(document)
    assert same(made, train_alone(document)[0])
    assert compiled.scheduler is None or compiled.scheduler.last_epoch == UPDATES


@pytest.mark.parametrize("document", [CLIPPED, UNSCHEDULED], ids=["clipped", "unscheduled"])
def test_a_stop_changes_nothing(document: dict[str, Any], tmp_path: Path) -> None:
    whole, uninterrupted = train(document)
    train(document, tmp_path, epochs=2)
    made, compiled = train(document, tmp_path, first=2)
    assert same(made, whole)
    assert compiled.settings() == uninterrupted.settings()
    assert compiled.scheduler is None or compiled.scheduler.last_epoch == UPDATES


def test_with_two_processes_the_schedule_counts_updates(tmp_path: Path) -> None:
    model = network()
    compiled = optplan.compile(ADAMW, model)
    rates = []
    for _ in range(4):
        # What the two processes see at a time, in one batch
        for number, (inputs, classes) in enumerate(DataLoader(Subset(rows(), range(ROWS)), 2 * SIZE), start=1):
            rate = compiled.lr()["default"]
            loss = nn.functional.cross_entropy(model(inputs), classes)
            if compiled.step(loss, update=True if number == 3 else None).updated:
                rates.append(rate)
    first, second = run_two("tests.hosts.two_processes", tmp_path, "optimizer")
    assert (first["processes"], first["t"], first["rates"]) == (2, 8, rates)
    assert (second["processes"], second["t"], second["rates"]) == (2, 8, rates)
    assert same(first["weights"], second["weights"])
    torch.testing.assert_close(first["weights"], weights(model), rtol=1e-4, atol=1e-6)


@pytest.mark.long
def test_a_prepared_scheduler_is_stepped_once_for_each_process(tmp_path: Path) -> None:
    compiled = optplan.compile(ADAMW, network())
    twice = [compiled.plan.value("3.weight", "lr", t) for t in range(0, 16, 2)]
    for each in run_two("tests.hosts.two_processes", tmp_path, "both"):
        assert each["t"] == 16
        assert each["rates"] == pytest.approx(twice, rel=1e-12)


def test_a_dropped_update_is_told() -> None:
    """The scaler of a plan in the place of accelerate's, which CPUs do not have."""
    model = network()
    compiled = optplan.compile({**UNSCHEDULED, "accumulate": 1, "loss_scale": "fixed(64)"}, model)
    accelerator = Accelerator(cpu=True)
    accelerator.scaler = compiled.scaler
    wrapped, optimizer = accelerator.prepare(model, compiled.optimizer)
    before = weights(model)
    for factor in (float("inf"), 1.0):
        accelerator.backward(factor * nn.functional.cross_entropy(wrapped(rows()[:][0]), rows()[:][1]))
        optimizer.step()
        assert accelerator.optimizer_step_was_skipped == (factor != 1.0)
        assert same(weights(model), before) == (factor != 1.0)
        optimizer.zero_grad()


def test_the_arguments_are_those_of_the_plan() -> None:
    plain = {"optplan": 1, "optimizer": {"type": "sgd", "lr": 0.1}}
    assert accelerator_arguments(optplan.plan(plain, network())) == {"gradient_accumulation_steps": 1}
    said = accelerator_arguments(optplan.plan({**DOCUMENT, "loss_scale": "dynamic(init=1024, every=5)"}, network()))
    (handler,) = said.pop("kwargs_handlers")
    assert said == {"gradient_accumulation_steps": 2, "mixed_precision": "fp16"}
    assert handler.to_kwargs() == {"init_scale": 1024.0, "growth_interval": 5}  # the others have these values anyway


def test_a_fixed_scale_is_none_that_accelerate_has(tmp_path: Path) -> None:
    file = tmp_path / "a.optim.yaml"
    file.write_text("optplan: 1\noptimizer: {type: sgd, lr: 0.1}\nloss_scale: fixed(1024)\n")
    with pytest.raises(optplan.ConfigError) as caught:
        accelerator_arguments(optplan.plan(file, network()))
    (fault,) = caught.value.diagnostics
    assert fault.message == "accelerate's `Accelerator` scales the loss by a dynamic scale only"
    assert (fault.code, fault.line, fault.excerpt) == ("OP506", 3, "loss_scale: fixed(1024)")


def test_a_step_that_is_handed_over_is_not_looked_at(caplog: pytest.LogCaptureFixture) -> None:
    """Clipping is a call of the loop, which nothing checks."""
    model = network()
    plan = optplan.plan({**DOCUMENT, "clip": "norm(0.5)"}, model)
    compiled = plan.bind(model)
    assert accelerator_arguments(compiled) == {"gradient_accumulation_steps": 2}
    inputs, classes = next(iter(loader()))
    loss: Any = nn.functional.cross_entropy(model(inputs), classes)
    loss.backward()
    compiled.optimizer.step()
    assert caplog.messages == []
