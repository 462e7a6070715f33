"""Lightning: the optimizer in `configure_optimizers`, clip and the rest in the Trainer, and a stop in the middle."""

from __future__ import annotations

import logging
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import lightning
import pytest
import torch
from lightning.pytorch.callbacks import LearningRateMonitor
from lightning.pytorch.loggers import CSVLogger
from lightning.pytorch.plugins import MixedPrecision
from torch import Tensor, nn
from torch.amp.grad_scaler import GradScaler

import optplan
from optplan.hosts.lightning import trainer_arguments
from tests.hosts.learning import (
    BATCHES,
    DOCUMENT,
    EPOCHS,
    UNSCHEDULED,
    UPDATES,
    loader,
    network,
    same,
    train_alone,
    weights,
)

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [
    # Lightning's own: a name of PyTorch that it asks for, and its advice to read data in other processes
    pytest.mark.filterwarnings("ignore:.*LeafSpec"),
    pytest.mark.filterwarnings("ignore:.*does not have many workers"),
]

SCALED = {**DOCUMENT, "loss_scale": "dynamic(init=1024, every=5)"}


class Classifier(lightning.LightningModule):
    """The network with its loss; `poisoned` batches have an infinite one."""

    def __init__(self, document: dict[str, Any], poisoned: tuple[int, ...] = ()) -> None:
        super().__init__()
        self.network = network()
        self.plan = optplan.plan(document, self)
        self.compiled: optplan.Compiled
        self.poisoned = poisoned
        self.seen: list[tuple[int, float]] = []  # t and a rate, as each update used them

    def training_step(self, batch: tuple[Tensor, Tensor], _number: int = 0) -> Tensor:
        loss = self.loss(batch)
        return loss * float("inf") if self.trainer.fit_loop.total_batch_idx in self.poisoned else loss

    def loss(self, batch: tuple[Tensor, Tensor]) -> Tensor:
        inputs, classes = batch
        return nn.functional.cross_entropy(self.network(inputs), classes)

    def configure_optimizers(self) -> Any:
        self.compiled = self.plan.bind(self)
        return self.compiled.lightning()

    def on_before_optimizer_step(self, _optimizer: Any) -> None:
        if self.compiled.scheduler is not None:
            self.seen.append((self.compiled.scheduler.last_epoch, next(iter(self.compiled.lr().values()))))


def trainer(folder: Path, epochs: int = EPOCHS, **arguments: Any) -> lightning.Trainer:
    """A Trainer that writes nothing, and says nothing."""
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    quiet = {"enable_checkpointing": False, "enable_progress_bar": False, "enable_model_summary": False}
    return lightning.Trainer(
        max_epochs=epochs, accelerator="cpu", default_root_dir=folder, **{"logger": False, **quiet, **arguments}
    )


def train(folder: Path, module: Classifier, epochs: int = EPOCHS, **arguments: Any) -> lightning.Trainer:
    """Train as the plan says, and as `arguments` say."""
    made = trainer(folder, epochs, **{**trainer_arguments(module.plan), **arguments})
    made.fit(module, loader())
    return made


@pytest.mark.parametrize("document", [DOCUMENT, UNSCHEDULED], ids=["scheduled", "unscheduled"])
def test_it_trains_as_without_a_host(document: dict[str, Any], tmp_path: Path) -> None:
    module = Classifier(document)
    train(tmp_path, module)
    alone, _ = train_alone(document)
    assert same(weights(module), alone)


@pytest.mark.parametrize("clip", ["norm(0.1)", "value(0.01)"])
def test_it_clips_as_the_plan_says(clip: str, tmp_path: Path) -> None:
    module = Classifier({**DOCUMENT, "clip": clip})
    train(tmp_path, module)
    alone, _ = train_alone({**DOCUMENT, "clip": clip})
    unclipped, _ = train_alone(DOCUMENT)
    # Lightning adds the norms up in the order of the groups
    torch.testing.assert_close(weights(module), alone, rtol=1e-4, atol=1e-6)
    assert not torch.allclose(weights(module)[0], unclipped[0], rtol=1e-4, atol=1e-6)


def test_the_schedule_counts_updates(tmp_path: Path) -> None:
    module = Classifier(DOCUMENT)
    made = train(tmp_path, module)
    _, rates = train_alone(DOCUMENT)
    assert module.seen == list(enumerate(rates))
    assert made.global_step == UPDATES == module.compiled.scheduler.last_epoch
    name = module.plan.groups[0].parameters[0]
    assert [module.plan.value(name, "lr", t) for t in range(UPDATES)] == pytest.approx(rates, rel=1e-12)


@pytest.mark.parametrize("document", [DOCUMENT, SCALED, UNSCHEDULED], ids=["plain", "scaled", "unscheduled"])
def test_a_stop_changes_nothing(document: dict[str, Any], tmp_path: Path) -> None:
    whole = Classifier(document)
    uninterrupted = train(tmp_path, whole)
    train(tmp_path, Classifier(document), epochs=2).save_checkpoint(tmp_path / "half.ckpt")

    module = Classifier(document)
    made = trainer(tmp_path, **trainer_arguments(module.plan))
    made.fit(module, loader(), ckpt_path=tmp_path / "half.ckpt", weights_only=True)
    assert same(weights(module), weights(whole))
    assert module.compiled.lr() == whole.compiled.lr()
    assert module.seen == whole.seen[UPDATES // 2 :]
    assert made.precision_plugin.state_dict() == uninterrupted.precision_plugin.state_dict()


@pytest.mark.parametrize("own", [False, True], ids=["the plan's scaler", "a scaler of PyTorch"])
def test_a_dropped_update_leaves_the_schedule_where_it_is(own: bool, tmp_path: Path) -> None:
    document = DOCUMENT if own else SCALED
    module = Classifier(document, poisoned=(4, 15))  # of the third and of the ninth update
    plugins: dict[str, Any] = (
        {"plugins": [MixedPrecision("16-mixed", "cpu", GradScaler("cpu", init_scale=1024.0))]} if own else {}
    )
    made = train(tmp_path, module, **plugins)
    assert made.global_step == UPDATES  # Lightning counts them
    assert module.compiled.scheduler.last_epoch == UPDATES - 2
    assert [t for t, _ in module.seen] == [0, 1, 2, 2, 3, 4, 5, 6, 7, 7, 8, 9, 10, 11, 12, 13]


def test_without_its_scaler_known_lightning_advances_the_schedule_anyway(tmp_path: Path) -> None:
    class Unaware(Classifier):
        def configure_optimizers(self) -> Any:
            self.compiled = self.plan.bind(self.network)
            optimizer, scheduler = self.compiled
            return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}

    module = Unaware(SCALED, poisoned=(4,))
    module.plan = optplan.plan(SCALED, module.network)
    train(tmp_path, module)
    assert module.compiled.scheduler.last_epoch == UPDATES


SAID = {**SCALED, "clip": "norm(1.0)"}
SCALE, DEFAULT = (
    f"dynamic(init={init}, growth=2, backoff=0.5, every={every})" for init, every in ((1024, 5), (65536, 2000))
)


@pytest.mark.parametrize(
    ("arguments", "messages"),
    [
        (
            {},
            [
                "the plan clips gradients by `norm(1.0)`, and Lightning's `Trainer` does not clip",
                "the plan makes an update from 2 batches, and Lightning's `Trainer` from each batch",
                f"the plan scales the loss by `{SCALE}`, and Lightning's `Trainer` does not scale it",
            ],
        ),
        (
            {
                "gradient_clip_val": 0.5,
                "gradient_clip_algorithm": "value",
                "accumulate_grad_batches": 3,
                "plugins": [MixedPrecision("16-mixed", "cpu", GradScaler("cpu"))],
            },
            [
                "the plan clips gradients by `norm(1.0)`, and Lightning's `Trainer` by `value(0.5)`",
                "the plan makes an update from 2 batches, and Lightning's `Trainer` from 3 batches",
                f"the plan scales the loss by `{SCALE}`, and Lightning's `Trainer` by `{DEFAULT}`",
            ],
        ),
    ],
    ids=["left out", "otherwise"],
)
def test_what_the_trainer_does_otherwise_is_a_fault(
    arguments: dict[str, Any], messages: list[str], tmp_path: Path
) -> None:
    with pytest.raises(optplan.ConfigError) as caught:
        trainer(tmp_path, **arguments).fit(Classifier(SAID), loader())
    assert [each.message for each in caught.value.diagnostics] == messages
    assert {(each.code, each.help) for each in caught.value.diagnostics} == {
        ("OP506", "pass `**optplan.hosts.lightning.trainer_arguments(plan)` to `Trainer`")
    }


def test_the_place_in_the_file_is_told(tmp_path: Path) -> None:
    file = tmp_path / "a.optim.yaml"
    file.write_text("optplan: 1\noptimizer: {type: sgd, lr: 0.1}\nclip: norm(1.0)\n")
    module = Classifier(DOCUMENT)
    module.plan = optplan.plan(file, module)
    with pytest.raises(optplan.ConfigError) as caught:
        trainer(tmp_path).fit(module, loader())
    (fault,) = caught.value.diagnostics
    assert (fault.source, fault.line, fault.excerpt) == (str(file), 3, "clip: norm(1.0)")


@pytest.mark.parametrize("given", [False, True])
def test_a_trainer_can_be_given_where_the_plan_is_of_a_part(
    given: bool, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    class Part(Classifier):
        def configure_optimizers(self) -> Any:
            self.compiled = optplan.compile({**DOCUMENT, "clip": "norm(1.0)"}, self.network)
            return self.compiled.lightning(self.trainer if given else None)

    if given:
        with pytest.raises(optplan.ConfigError, match="does not clip"):
            trainer(tmp_path).fit(Part(DOCUMENT), loader())
        assert caplog.messages == []
    else:
        trainer(tmp_path).fit(Part(DOCUMENT), loader())
        (message,) = caplog.messages
        assert message == (
            "`clip: norm(1.0)`, `accumulate: 2` of the plan is for Lightning to do, and was not checked: pass "
            "`**optplan.hosts.lightning.trainer_arguments(plan)` to `Trainer`, and call `compiled.lightning(trainer)`"
        )


def test_a_module_that_clips_by_itself_is_taken_at_its_word(tmp_path: Path) -> None:
    class Own(Classifier):
        def configure_gradient_clipping(self, *_: Any, **__: Any) -> None:
            self.compiled.clip_gradients()

    document = {**DOCUMENT, "clip": "norm(0.1)"}
    module = Own(document)
    trainer(tmp_path, accumulate_grad_batches=2).fit(module, loader())
    alone, _ = train_alone(document)
    assert same(weights(module), alone)


class Manual(Classifier):
    """Makes its updates itself; Lightning keeps optimizer and scheduler, and the module its scaler."""

    def __init__(self, document: dict[str, Any]) -> None:
        super().__init__(document)
        self.automatic_optimization = False

    def training_step(self, batch: tuple[Tensor, Tensor], number: int = 0) -> None:  # type: ignore[override]
        self.compiled.step(self.loss(batch), update=True if number == BATCHES - 1 else None)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint["scaler"] = self.compiled.scaler.state_dict()

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        self.saved = checkpoint["scaler"]

    def on_fit_start(self) -> None:
        if hasattr(self, "saved"):
            self.compiled.scaler.load_state_dict(self.saved)


def test_a_step_of_ones_own_does_all_that_the_plan_says(tmp_path: Path) -> None:
    document = {**SCALED, "clip": "norm(0.1)"}
    whole = Manual(document)
    trainer(tmp_path).fit(whole, loader())
    assert same(weights(whole), train_alone(document)[0])

    half = trainer(tmp_path, epochs=2)
    half.fit(Manual(document), loader())
    half.save_checkpoint(tmp_path / "half.ckpt")
    module = Manual(document)
    made = trainer(tmp_path)
    made.fit(module, loader(), ckpt_path=tmp_path / "half.ckpt", weights_only=True)
    assert same(weights(module), weights(whole))
    assert module.compiled.lr() == whole.compiled.lr()
    assert module.compiled.scaler.state_dict() == whole.compiled.scaler.state_dict()
    assert made.global_step == 0  # Lightning sees none of these updates


def test_lightnings_monitor_sees_the_rates(tmp_path: Path) -> None:
    module, monitor = Classifier(SCALED), LearningRateMonitor()
    made = trainer(
        tmp_path, callbacks=[monitor], logger=CSVLogger(tmp_path), log_every_n_steps=1, **trainer_arguments(module.plan)
    )
    made.fit(module, loader())
    # By the class of the scheduler and the name of the group
    assert sorted(monitor.lrs) == sorted(f"lr-MultiOptimizer/{group.name}" for group in module.plan.groups)


def test_what_the_plan_leaves_out_is_no_argument() -> None:
    plain = {key: value for key, value in DOCUMENT.items() if key != "accumulate"}
    assert trainer_arguments(optplan.plan(plain, network())) == {}
    said = trainer_arguments(optplan.plan(SAID, network()))
    (plugin,) = said.pop("plugins")
    assert said == {"gradient_clip_val": 1.0, "gradient_clip_algorithm": "norm", "accumulate_grad_batches": 2}
    assert (plugin.precision, plugin.scaler.get_scale(), plugin.scaler.get_growth_interval()) == ("16-mixed", 1024.0, 5)


def test_the_plugin_is_of_the_package_that_is_used() -> None:
    program = """
import sys
import pytorch_lightning
import optplan, torch
from optplan.hosts.lightning import trainer_arguments
document = {"optplan": 1, "optimizer": {"type": "sgd", "lr": 0.1}, "loss_scale": 8}
arguments = trainer_arguments(optplan.plan(document, torch.nn.Linear(1, 1)))
trainer = pytorch_lightning.Trainer(accelerator="cpu", logger=False, **arguments)
print(type(trainer.precision_plugin).__module__, "lightning.pytorch" in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "pytorch_lightning.plugins.precision.amp False"


# What would go wrong in silence


def test_a_step_of_ones_own_beside_lightnings_is_refused(tmp_path: Path) -> None:
    module = Manual(DOCUMENT)
    module.automatic_optimization = True
    message = r"set `self.automatic_optimization = False`, or return the loss from `training_step` instead"
    made = trainer(tmp_path, **trainer_arguments(module.plan))
    with pytest.raises(RuntimeError, match=message):
        made.fit(module, loader())


def test_after_a_fit_a_step_is_taken(tmp_path: Path) -> None:
    module = Classifier(DOCUMENT)
    trainer(tmp_path, **trainer_arguments(module.plan)).fit(module, loader())
    rows = next(iter(loader()))
    assert module.compiled.step(module.loss((rows[0], rows[1])), update=True).updated


@pytest.mark.parametrize("epochs", [EPOCHS, 2])
def test_a_run_of_another_length_is_told(epochs: int, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    module = Classifier(DOCUMENT)
    trainer(tmp_path, epochs=epochs, **trainer_arguments(module.plan)).fit(module, loader())
    told = (
        "the plan is for 16 updates, and Lightning's `Trainer` makes 8: plan in `configure_optimizers`, with "
        "`steps=self.trainer.estimated_stepping_batches`"
    )
    assert caplog.messages == ([] if epochs == EPOCHS else [told])


def test_the_horizon_can_be_lightnings(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    class Late(Classifier):
        def configure_optimizers(self) -> Any:
            written = {key: value for key, value in DOCUMENT.items() if key != "horizon"}
            self.compiled = optplan.compile(written, self, steps=int(self.trainer.estimated_stepping_batches))
            return self.compiled.lightning()

    module = Late(DOCUMENT)
    trainer(tmp_path, **trainer_arguments(module.plan)).fit(module, loader())
    assert same(weights(module), train_alone(DOCUMENT)[0])
    assert caplog.messages == []


def test_a_metric_is_reported_after_a_validation(tmp_path: Path) -> None:
    class Validates(Classifier):
        def validation_step(self, batch: tuple[Tensor, Tensor], _number: int) -> None:
            self.log("val_loss", self.loss(batch) * 0 + 1)

        def on_validation_epoch_end(self) -> None:
            if not self.trainer.sanity_checking:
                self.compiled.report(loss=self.trainer.callback_metrics["val_loss"])

    falls = {**DOCUMENT, "schedule": {"lr": "plateau(metric=loss, factor=0.5, patience=0)"}}
    module = Validates(falls)
    trainer(tmp_path, epochs=3, **trainer_arguments(module.plan)).fit(module, loader(), loader())
    assert {group.name: group.own("lr") / 4 for group in module.plan.groups} == module.compiled.lr()


@pytest.mark.parametrize("clip", ["norm(0.5)", "none"])
def test_what_is_given_to_hosts_may_be_bound(clip: str) -> None:
    compiled = optplan.compile({**DOCUMENT, "clip": clip}, network())
    assert trainer_arguments(compiled) == trainer_arguments(compiled.plan)
    given: Any = compiled.optimizer
    with pytest.raises(
        TypeError, match=r"`trainer_arguments` takes a plan, or what `plan.bind\(model\)` gives, and not a"
    ):
        trainer_arguments(given)


ADAMW = {"type": "adamw", "lr": 0.01}
FUSED = {**SCALED, "optimizer": {**ADAMW, "torch": {"fused": True}}, "rules": []}
UNFUSED = "write `torch: {fused: false}`, or set `self.automatic_optimization = False`, "


@pytest.mark.parametrize("by_plan", [True, False])
def test_a_fused_optimizer_is_not_clipped_under_a_scale(by_plan: bool, tmp_path: Path) -> None:
    """Lightning refuses it itself, at the first update, and names no cure of the plan."""
    document = {**FUSED, "clip": "norm(1.0)"} if by_plan else FUSED
    module = Classifier(document)
    if by_plan:
        with pytest.raises(optplan.ConfigError):
            trainer_arguments(module.plan)
    given = {**trainer_arguments(optplan.plan(FUSED, module)), "gradient_clip_val": 1.0}
    with pytest.raises(optplan.ConfigError) as caught:
        trainer(tmp_path, **given).fit(module, loader())
    (fault,) = caught.value.diagnostics
    assert fault.code == "OP506"
    assert fault.message == "Lightning does not clip under a loss scale for a fused optimizer, and `adamw` is fused"
    assert fault.help == UNFUSED + "leave `gradient_clip_val` out and call `compiled.step`"
    assert (fault.excerpt is not None) == by_plan


@pytest.mark.parametrize(
    "document",
    [
        {**FUSED, "optimizer": {**ADAMW, "torch": {"fused": False}}, "clip": "norm(1.0)"},
        {**FUSED, "clip": "norm(1.0)", "loss_scale": "none"},
        FUSED,
        {**FUSED, "rules": SCALED["rules"], "clip": "norm(1.0)"},
    ],
    ids=["not fused", "not scaled", "not clipped", "several"],
)
def test_what_lightning_can_clip_it_does(document: dict[str, Any], tmp_path: Path) -> None:
    module = Classifier(document)
    train(tmp_path, module)
    assert module.compiled.updates == UPDATES
