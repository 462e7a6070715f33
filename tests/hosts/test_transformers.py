"""The Trainer of transformers: a file's optimizer and schedule in place of its own, and a stop in the middle."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import torch
from torch import Tensor, nn
from torch.amp.grad_scaler import GradScaler
from torch.utils.data import Dataset
from transformers import Trainer, TrainerCallback, TrainingArguments

import optplan
from optplan.hosts.transformers import PlanCallback, PlanTrainer, optimizers, training_arguments
from tests.hosts.learning import DOCUMENT, SIZE, UNSCHEDULED, UPDATES, network, rows, same, train_alone, weights
from tests.hosts.processes import run_two

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

HALVED = {**{key: value for key, value in DOCUMENT.items() if key not in {"optimizers", "rules"}}, "clip": "norm(0.5)"}
HALVED["horizon"] = {"steps": 8}
ROWS = 24
ARGUMENTS = "pass `**optplan.hosts.transformers.training_arguments(plan)` to `TrainingArguments`"
OPTIMIZERS = "pass `optimizers=optplan.hosts.transformers.optimizers(compiled)`, or use `PlanTrainer`"


class Classifier(nn.Module):
    """The network with its loss, as the Trainer calls it; that of a batch in `poisoned` is infinite."""

    def __init__(self, poisoned: tuple[int, ...] = ()) -> None:
        super().__init__()
        self.network = network()
        self.poisoned = poisoned
        self.batch = 0

    def forward(self, inputs: Tensor, labels: Tensor) -> dict[str, Tensor]:
        logits = self.network(inputs)
        loss = nn.functional.cross_entropy(logits, labels)
        self.batch += 1
        return {"loss": loss * float("inf") if self.batch in self.poisoned else loss, "logits": logits}


class Rows(Dataset[dict[str, Tensor]]):
    """The first `count` rows, or all, by the names of `Classifier.forward`."""

    def __init__(self, count: int | None = None) -> None:
        self.count = len(rows()) if count is None else count

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, row: int) -> dict[str, Tensor]:
        inputs, label = rows()[row]
        return {"inputs": inputs, "labels": label}


class Note(TrainerCallback):
    """Notes the first group's rate before each update; ends the run, with a checkpoint, after `stop` of them."""

    def __init__(self, stop: int = 0) -> None:
        self.rates: list[float] = []
        self.stop = stop

    def on_pre_optimizer_step(self, *_: Any, **objects: Any) -> None:
        self.rates.append(objects["optimizer"].param_groups[0]["lr"])

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:  # noqa: ARG002 - the Trainer gives it
        if state.global_step == self.stop:
            control.should_save = control.should_training_stop = True


def arguments(folder: Path, **more: Any) -> TrainingArguments:
    """Arguments of a Trainer that writes and reports nothing of its own accord; four epochs unless `max_steps` says."""
    quiet = {"report_to": "none", "disable_tqdm": True, "save_strategy": "no", "logging_strategy": "no"}
    how = {"per_device_train_batch_size": SIZE, "train_sampling_strategy": "sequential", "num_train_epochs": 4}
    return TrainingArguments(str(folder), use_cpu=True, **{**quiet, **how, **more})


def by_optimizers(
    folder: Path, model: nn.Module, plan: optplan.Plan, *callbacks: TrainerCallback, **more: Any
) -> Trainer:
    """A Trainer that is given optimizer and scheduler."""
    return Trainer(
        model,
        arguments(folder, **{**training_arguments(plan), **more}),
        train_dataset=Rows(),
        eval_dataset=Rows(8),
        optimizers=optimizers(plan.bind(model)),
        callbacks=[PlanCallback(plan), *callbacks],
    )


def by_plan(
    folder: Path,
    model: nn.Module,
    plan: optplan.Plan,
    *callbacks: TrainerCallback,
    train: Rows | None = None,
    **more: Any,
) -> Trainer:
    """A Trainer that makes optimizer and scheduler by the plan."""
    how = arguments(folder, **{**training_arguments(plan), **more})
    sets: dict[str, Any] = {"train_dataset": train or Rows(), "eval_dataset": Rows(8)}
    return PlanTrainer(model, how, callbacks=[*callbacks], plan=plan, **sets)


def _t(trainer: Trainer) -> int:
    assert trainer.lr_scheduler is not None
    return trainer.lr_scheduler.last_epoch


both = pytest.mark.parametrize("make", [by_optimizers, by_plan])


@both
@pytest.mark.parametrize("document", [DOCUMENT, UNSCHEDULED], ids=["scheduled", "unscheduled"])
def test_it_trains_as_without_a_host(make: Callable[..., Trainer], document: dict[str, Any], tmp_path: Path) -> None:
    model, note = Classifier(), Note()
    trainer = make(tmp_path, model, optplan.plan(document, model), note)
    trainer.train()
    alone, rates = train_alone(document, last=1)
    assert same(weights(model), alone)
    assert note.rates == rates
    assert trainer.state.global_step == UPDATES == _t(trainer)


@pytest.mark.parametrize("clip", ["norm(0.1)", "value(0.01)"])
def test_it_clips_as_the_plan_says(clip: str, tmp_path: Path) -> None:
    document = {**DOCUMENT, "clip": clip}
    model = Classifier()
    by_optimizers(tmp_path, model, optplan.plan(document, model)).train()
    assert same(weights(model), train_alone(document, last=1)[0])
    assert not same(weights(model), train_alone(DOCUMENT, last=1)[0])


def test_optimizer_and_scheduler_are_what_the_trainer_takes(tmp_path: Path) -> None:
    model = Classifier()
    plan = optplan.plan(DOCUMENT, model)
    how = arguments(tmp_path, **training_arguments(plan))
    Trainer(model, how, train_dataset=Rows(), optimizers=tuple(plan.bind(model))).train()
    assert same(weights(model), train_alone(DOCUMENT, last=1)[0])


@both
@pytest.mark.parametrize("document", [DOCUMENT, UNSCHEDULED], ids=["scheduled", "unscheduled"])
def test_a_stop_changes_nothing(make: Callable[..., Trainer], document: dict[str, Any], tmp_path: Path) -> None:
    whole, note = Classifier(), Note()
    make(tmp_path / "whole", whole, optplan.plan(document, whole), note).train()
    first = Classifier()
    make(tmp_path / "parts", first, optplan.plan(document, first), Note(stop=6)).train()

    model, later = Classifier(), Note()
    trainer = make(tmp_path / "parts", model, optplan.plan(document, model), later)
    trainer.train(resume_from_checkpoint=True)
    assert same(weights(model), weights(whole))
    assert later.rates == note.rates[6:]
    assert _t(trainer) == UPDATES


def test_training_again_begins_the_schedule_anew(tmp_path: Path) -> None:
    model, note = Classifier(), Note()
    trainer = by_plan(tmp_path, model, optplan.plan(DOCUMENT, model), note)
    trainer.train()
    trainer.train()
    assert note.rates[:UPDATES] == note.rates[UPDATES:]


def test_where_no_optimizers_may_be_given_the_plan_is_bound_late(tmp_path: Path) -> None:
    def init() -> Any:
        return Classifier()

    plan = optplan.plan(DOCUMENT, Classifier())
    how = arguments(tmp_path, **training_arguments(plan))
    given = optimizers(plan.bind(Classifier()))
    with pytest.raises(RuntimeError, match="model_init"):
        Trainer(args=how, train_dataset=Rows(), model_init=init, optimizers=given)
    trainer = PlanTrainer(args=how, train_dataset=Rows(), model_init=init, plan=plan)
    trainer.train()
    assert trainer.model is not None
    assert same(weights(trainer.model), train_alone(DOCUMENT, last=1)[0])


def test_the_scale_has_the_numbers_of_the_plan_and_a_dropped_update_is_none(tmp_path: Path) -> None:
    class Scaled(PlanTrainer):
        """Scales the loss, as the Trainer does under `fp16`, which CPUs do not have."""

        def create_accelerator_and_postprocess(self) -> None:
            super().create_accelerator_and_postprocess()
            self.accelerator.scaler = GradScaler("cpu")

    model = Classifier(poisoned=(5, 16))  # of the third update, and of the tenth
    plan = optplan.plan({**DOCUMENT, "loss_scale": "dynamic(init=1024, every=4)"}, model)
    trainer = Scaled(model, arguments(tmp_path, **training_arguments(plan)), train_dataset=Rows(), plan=plan)
    trainer.train()
    assert trainer.state.global_step == UPDATES
    assert _t(trainer) == UPDATES - 2
    # 1024 -> 512 at the third; of the six that follow the fourth brings 1024; the tenth 512; 1024 once more
    assert trainer.accelerator.scaler.get_scale() == 1024.0


def test_with_two_processes_the_schedule_counts_updates(tmp_path: Path) -> None:
    first, second = run_two("tests.hosts.two_trainers", tmp_path)
    # What the two processes see at a time, in one batch
    model, note = Classifier(), Note()
    plan = optplan.plan(HALVED, model)
    by_plan(tmp_path, model, plan, note, per_device_train_batch_size=2 * SIZE, train=Rows(ROWS)).train()
    for each in (first, second):
        assert (each["processes"], each["t"], each["rates"]) == (2, 8, note.rates)
    assert same(first["weights"], second["weights"])
    torch.testing.assert_close(first["weights"], weights(model), rtol=1e-4, atol=1e-6)


SAID = {**DOCUMENT, "clip": "norm(1.0)", "loss_scale": "dynamic(init=1024)"}
SCALE = "dynamic(init=1024, growth=2, backoff=0.5, every=2000)"


@pytest.mark.parametrize(
    ("document", "more", "faults"),
    [
        (
            SAID,
            {"max_grad_norm": 0.0, "gradient_accumulation_steps": 1},
            [
                "the plan clips gradients by `norm(1.0)`, and the `Trainer` of transformers does not clip",
                "the plan makes an update from 2 batches, and the `Trainer` of transformers from each batch",
                f"the plan scales the loss by `{SCALE}`, and the `Trainer` of transformers does not scale it",
            ],
        ),
        (
            {**DOCUMENT, "clip": "value(0.5)"},
            {"max_grad_norm": 2.0, "gradient_accumulation_steps": 4},
            [
                "the plan clips gradients by `value(0.5)`, and the `Trainer` of transformers by `norm(2.0)`",
                "the plan makes an update from 2 batches, and the `Trainer` of transformers from 4 batches",
            ],
        ),
    ],
)
def test_what_the_trainer_does_otherwise_is_a_fault(
    document: dict[str, Any], more: dict[str, Any], faults: list[str], tmp_path: Path
) -> None:
    model = Classifier()
    trainer = by_optimizers(tmp_path, model, optplan.plan(document, model), **more)
    with pytest.raises(optplan.ConfigError) as caught:
        trainer.train()
    assert [each.message for each in caught.value.diagnostics] == faults
    assert {each.code for each in caught.value.diagnostics} == {"OP506"}


@pytest.mark.parametrize(
    ("document", "given", "message"),
    [
        (DOCUMENT, (False, False), "the `Trainer` of transformers has an optimizer of its own, not the plan's"),
        (
            DOCUMENT,
            (True, False),
            "the plan schedules `lr`, and the `Trainer` of transformers has a schedule of its own",
        ),
        (
            UNSCHEDULED,
            (True, False),
            "the plan schedules nothing, and the `Trainer` of transformers has a schedule of its own",
        ),
    ],
    ids=["optimizer", "schedule", "decay"],
)
def test_an_optimizer_or_a_schedule_of_the_trainers_own_is_a_fault(
    document: dict[str, Any], given: tuple[bool, bool], message: str, tmp_path: Path
) -> None:
    model = Classifier()
    plan = optplan.plan(document, model)
    made = plan.bind(model)
    trainer = Trainer(
        model,
        arguments(tmp_path, gradient_accumulation_steps=2, max_grad_norm=0.0),
        train_dataset=Rows(),
        optimizers=(made.optimizer if given[0] else None, None),
        callbacks=[PlanCallback(plan)],
    )
    with pytest.raises(optplan.ConfigError) as caught:
        trainer.train()
    assert [(each.message, each.help) for each in caught.value.diagnostics] == [(message, OPTIMIZERS)]


def test_what_the_trainer_does_of_its_own_accord_is_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    model = Classifier()
    by_optimizers(tmp_path, model, optplan.plan(DOCUMENT, model), max_grad_norm=1.0, max_steps=20).train()
    assert caplog.messages == [
        f"the plan does not clip, and the `Trainer` of transformers does, by norm(1): {ARGUMENTS}",
        f"the plan is for 16 updates, and the `Trainer` of transformers makes 20: {ARGUMENTS}",
    ]


def test_the_constant_schedule_of_the_arguments_is_none(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    model = Classifier()
    plan = optplan.plan(UNSCHEDULED, model)
    how = arguments(tmp_path, **training_arguments(plan))
    trainer = Trainer(
        model, how, train_dataset=Rows(), optimizers=tuple(plan.bind(model)), callbacks=[PlanCallback(plan)]
    )
    trainer.train()
    assert same(weights(model), train_alone(UNSCHEDULED, last=1)[0])
    assert caplog.messages == []


def test_the_arguments_are_those_of_the_plan() -> None:
    plain = {"optplan": 1, "optimizer": {"type": "sgd", "lr": 0.1}}
    nothing = {"max_grad_norm": 0.0, "gradient_accumulation_steps": 1}
    assert training_arguments(optplan.plan(plain, network())) == {
        **nothing,
        "lr_scheduler_type": "constant",
        "warmup_steps": 0,
    }
    said = optplan.plan({**DOCUMENT, "clip": "norm(0.5)"}, network())
    assert training_arguments(said) == {"max_grad_norm": 0.5, "gradient_accumulation_steps": 2, "max_steps": 16}


# What would go wrong in silence


FALLS = {**UNSCHEDULED, "schedule": {"lr": "plateau(metric=loss, factor=0.5, patience=0, threshold=0.9)"}}


@both
def test_what_is_evaluated_is_reported(
    make: Callable[..., Trainer], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    model = Classifier()
    plan = optplan.plan(FALLS, model)
    trainer: Any = make(tmp_path, model, plan, eval_strategy="epoch")
    trainer.train()
    lowest = {group.name: group.own("lr") / 8 for group in plan.groups}
    # Four reports, of which three are not better by nine tenths than the first
    assert {group["name"]: group["lr"] for group in trainer.optimizer.optimizer.param_groups} == lowest
    trainer.evaluate()
    assert {group["name"]: group["lr"] for group in trainer.optimizer.optimizer.param_groups} == lowest
    assert caplog.messages == []


def test_a_metric_that_nothing_reports_is_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    model = Classifier()
    by_optimizers(tmp_path, model, optplan.plan(FALLS, model)).train()
    (message,) = caplog.messages
    assert message == (
        "a `plateau` of the plan goes by `loss`, and without an `eval_strategy` nothing reports it: evaluate it, or "
        "call `compiled.report(loss=...)`"
    )
    caplog.clear()
    model = Classifier()
    other = {**FALLS, "schedule": {"lr": "plateau(metric=accuracy, mode=max)"}}
    trainer = by_optimizers(tmp_path, model, optplan.plan(other, model), eval_strategy="epoch")
    trainer.train()
    (message,) = caplog.messages
    assert "goes by `accuracy`, and the evaluation does not give it" in message


def test_an_optimizer_for_another_model_is_a_fault(tmp_path: Path) -> None:
    model = Classifier()
    plan = optplan.plan(DOCUMENT, model)
    trainer = Trainer(
        Classifier(),
        arguments(tmp_path, **training_arguments(plan)),
        train_dataset=Rows(),
        optimizers=optimizers(plan.bind(model)),
        callbacks=[PlanCallback(plan)],
    )
    with pytest.raises(optplan.ConfigError) as caught:
        trainer.train()
    (fault,) = caught.value.diagnostics
    assert fault.code == "OP506"
    assert fault.message == "the `Trainer` of transformers trains another model than the one that the plan is bound to"


def test_a_plan_and_what_is_bound_are_not_mixed_up(tmp_path: Path) -> None:
    model = Classifier()
    plan = optplan.plan(DOCUMENT, model)
    compiled: Any = plan.bind(model)
    assert training_arguments(compiled) == training_arguments(plan)
    assert PlanCallback(compiled).plan is plan
    given: Any = plan
    with pytest.raises(TypeError, match=r"`optimizers` takes what `plan.bind\(model\)` gives, and this is a plan"):
        optimizers(given)
    with pytest.raises(TypeError, match=r"`PlanCallback` takes a plan, .*, and not a `MultiOptimizer`"):
        PlanCallback(compiled.optimizer)
    with pytest.raises(TypeError, match="this is bound already: give the plan"):
        PlanTrainer(model, arguments(tmp_path), plan=compiled)
