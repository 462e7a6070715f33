"""`optplan help` and the page of the documentation have the whole map."""

from __future__ import annotations

import subprocess
import sys

import pytest

from optplan.api_map import arguments, optimizer_classes, pairs, rows
from optplan.catalog import catalog
from optplan.counterparts import counterparts
from optplan.report.mapped import verdict_text
from optplan.report.topics import known_topics, topic_text
from tests.api_map.page import PAGE, page


def text_of(topic: str) -> str:
    """What help says of a topic, in one line."""
    return " ".join((topic_text(topic, catalog()) or "").split())


def test_the_documentation_is_the_map() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), "python -m tests.api_map.page writes it"


def test_the_documentation_names_each_class_argument_and_member() -> None:
    text = page()
    for name in (*optimizer_classes(), *(name for name in rows() if name in counterparts())):
        assert f"`{name}`" in text
    for name in rows():
        assert f"`{name.rpartition('.')[2]}`" in text or name in (*optimizer_classes(), *counterparts())


@pytest.mark.parametrize("name", optimizer_classes())
def test_help_has_every_counterpart_and_argument_of_an_optimizer(name: str) -> None:
    text = text_of(name)
    assert f"`{name}` in {'MindSpore' if name.startswith('torch.') else 'torch'}" in text
    for pair in pairs():
        if name in (pair.torch, pair.mindspore):
            assert pair.across(name) in text
            for argument in arguments(pair, catalog()):
                assert all(each in text for each in (argument.torch or "", *argument.mindspore))


@pytest.mark.parametrize("name", [name for name in rows() if name not in optimizer_classes()])
def test_help_has_every_row(name: str) -> None:
    text = text_of(name)
    for row in rows()[name]:
        assert " ".join(verdict_text(row).split()) in text
        assert row.here in text or name in counterparts()


@pytest.mark.parametrize(
    ("topic", "parts"),
    [
        ("torch.optim.SGD", ["class `torch.optim.SGD`", "`type: sgd`", "mindspore.nn.Momentum: the same."]),
        ("mindspore.nn.Momentum", ["`type: mindspore.Momentum`", "torch.optim.SGD: the same.", "`lr`, the same, but"]),
        ("mindspore.experimental.optim.RAdam", ["torch.optim.RAdam: different: it computes", "`type: radam`"]),
        ("mindspore.mint.optim.FusedAdamW", ["torch.optim.AdamW: not measured: it has no kernel on CPU."]),
        (
            "torch.optim.Optimizer.add_param_group",
            ["different", "the next update raises", "`compiled.add_group(module)`"],
        ),
        (
            "Optimizer.add_param_group",
            ["`torch.optim.Optimizer.add_param_group`", "next update raises"],
        ),
        ("torch.optim.AdamW.zero_grad", ["`torch.optim.Optimizer.zero_grad`", "none: gradients are what"]),
        ("mindspore.mint.optim.Adam.lrs", ["`mindspore.experimental.optim.Optimizer.lrs`"]),
        (
            "torch.optim.lr_scheduler.StepLR.step",
            ["`torch.optim.lr_scheduler.LRScheduler.step`", "LRScheduler.step`, the same."],
        ),
        ("torch.optim.lr_scheduler.StepLR.get_lr", ["`torch.optim.lr_scheduler.LRScheduler.get_lr`"]),
        (
            "torch.optim.Adam.betas",
            ["argument `betas` of `torch.optim.Adam`", "mindspore.nn.Adam: `beta1` and `beta2`, the"],
        ),
        (
            "mindspore.nn.Adam.beta2",
            ["argument `beta2` of `mindspore.nn.Adam`", "torch.optim.Adam: `betas`, the same."],
        ),
        ("mindspore.nn.Adam.use_locking", ["none: torch updates", "`use_locking` of `type: mindspore.Adam`"]),
        ("torch.optim.SGD.foreach", ["none: MindSpore maps one kernel", "`foreach` under `torch:`"]),
        (
            "torch.optim.lr_scheduler.LinearLR",
            ["linear(total_iters", "`mindspore.nn.WarmUpLR`, different: it starts at 0"],
        ),
        ("GradScaler", ["`torch.amp.GradScaler`", "`loss_scale: dynamic`", "get_scale"]),
        ("TrainOneStepCell", ["`compiled.train_step(network, loss_fn)`"]),
    ],
)
def test_what_help_says(topic: str, parts: list[str]) -> None:
    text = text_of(topic)
    assert text
    for part in parts:
        assert part in text


@pytest.mark.parametrize("word", ["step", "linear", "momentum", "lr", "adamw", "plateau"])
def test_a_word_of_the_language_stays_one(word: str) -> None:
    assert "In MindSpore" not in (topic_text(word, catalog()) or "")


def test_every_name_is_known_to_the_one_who_mistypes_it() -> None:
    assert {*optimizer_classes(), *rows()} <= set(known_topics(catalog()))


@pytest.mark.parametrize(
    ("topic", "near"),
    [
        ("torch.optim.Optimizer.add_param_grop", "torch.optim.Optimizer.add_param_group"),
        ("mindspore.mint.optim.AdanW", "mindspore.mint.optim.AdamW"),
        ("mindspore.nn.Optimizer.get_lr_param", "mindspore.nn.Optimizer.get_lr_parameter"),
    ],
)
def test_a_name_that_is_not_there_has_near_ones(topic: str, near: str) -> None:
    command = [sys.executable, "-m", "optplan", "help", topic]
    run = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - our own interpreter
    assert run.returncode == 2
    assert f"did you mean `{near}`" in run.stderr


def test_help_imports_no_framework() -> None:
    code = (
        "import sys; from optplan.cli import main\n"
        "main(['help', 'torch.optim.SGD']); main(['help', 'mindspore.nn.Momentum'])\n"
        "assert not {'torch', 'mindspore'} & set(sys.modules)"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, check=False)  # noqa: S603 - as above
    assert run.returncode == 0
