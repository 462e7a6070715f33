"""`optplan help` and the page of the documentation have the whole map."""

from __future__ import annotations

import subprocess
import sys

import pytest

from optplan.api_map import arguments, optimizer_classes, pairs, rows
from optplan.catalog import catalog
from optplan.cli import main
from optplan.counterparts import counterparts
from optplan.report.mapped import verdict_text
from optplan.report.spelling import near
from optplan.report.topics import known_topics, topic_text
from tests.api_map.page import PAGE, page, placed


def text_of(topic: str) -> str:
    """What help says of a topic, in one line."""
    return " ".join((topic_text(topic, catalog()) or "").split())


def test_the_documentation_is_the_map() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), "python -m tests.api_map.page writes it"


def test_the_documentation_names_each_class_argument_and_member() -> None:
    text = page()
    for name in (*optimizer_classes(), *(name for name in rows() if name in counterparts())):
        assert f"`{name}`" in text
    for name, (row, *_) in rows().items():
        assert f"`{placed(row)[1]}`" in text or name in (*optimizer_classes(), *counterparts())


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
        ("mindspore.experimental.optim.RAdam", ["torch.optim.RAdam: different: MindSpore's computes", "`type: radam`"]),
        ("mindspore.mint.optim.FusedAdamW", ["torch.optim.AdamW: not measured: MindSpore's has no kernel on CPU."]),
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
            [
                "argument `beta2` of `mindspore.nn.Adam`",
                "torch.optim.Adam: `betas`, the same, but MindSpore takes only",
            ],
        ),
        ("mindspore.nn.Adam.use_locking", ["none: torch updates", "`use_locking` of `type: mindspore.Adam`"]),
        ("torch.optim.SGD.foreach", ["none: MindSpore maps one kernel", "`foreach` under `torch:`"]),
        (
            "torch.optim.lr_scheduler.LinearLR",
            ["linear(total_iters", "`mindspore.nn.WarmUpLR`, different: MindSpore's starts at 0"],
        ),
        ("GradScaler", ["`torch.amp.GradScaler`", "`loss_scale: dynamic()`", "get_scale"]),
        ("TrainOneStepCell", ["`compiled.train_step(network, loss_fn)`"]),
        ("torch.optim.SGD.dampening", ["mindspore.nn.SGD: the same, but MindSpore takes only a number of at least 0."]),
        ("mindspore.nn.Momentum.params", ["a list of parameters exempts names with beta and gamma"]),
        ("mindspore.nn.AdaFactor.params", ["nothing is exempt from decay"]),
        ("mindspore.Momentum", ["`optplan help mindspore.nn.Momentum` says", "the class itself spares the decay"]),
        ("torch.save", ["`mindspore.save_checkpoint`, different", "`compiled.save(path)`"]),
        ("torch.load", ["`mindspore.load_checkpoint`, different", "`compiled.restore(path)`", "`optplan convert`"]),
        ("mindspore.save_checkpoint", ["`torch.save`, different", "`compiled.save(path)`"]),
        ("mindspore.load_checkpoint", ["`torch.load`, different", "`optplan convert`"]),
        ("mindspore.load_param_into_net", ["`torch.nn.Module.load_state_dict`", "`compiled.load_weights(weights)`"]),
        ("mindspore.nn.Momentum.order_params", ["`mindspore.nn.Optimizer.order_params`", "the network's order"]),
        ("group_params", ["`mindspore.nn.Optimizer.group_params`", "`rules:`"]),
        ("torch.distributed.checkpoint", ["called by every process"]),
        ("get_optimizer_state_dict", ["it takes `compiled.optimizer`"]),
        ("save", ["method `compiled.save(path)`", "`torch.save`"]),
    ],
)
def test_what_help_says(topic: str, parts: list[str]) -> None:
    text = text_of(topic)
    assert text
    for part in parts:
        assert part in text


@pytest.mark.parametrize(
    ("topic", "part"),
    [
        ("torch.optim.sgd", "`torch.optim.SGD` in MindSpore"),
        ("TORCH.OPTIM.ADAMW", "`torch.optim.AdamW` in MindSpore"),
        ("nn.momentum", "`mindspore.nn.Momentum` in torch"),
        ("ms.nn.Adam", "`mindspore.nn.Adam` in torch"),
        ("gradscaler", "`torch.amp.GradScaler`"),
        ("cosineannealinglr", "`torch.optim.lr_scheduler.CosineAnnealingLR`"),
        ("torch.cuda.amp.GradScaler", "`torch.amp.GradScaler`"),
        ("torch.optim.sgd.SGD", "`torch.optim.SGD` in MindSpore"),
        ("mindspore.nn.optim.momentum.Momentum", "`mindspore.nn.Momentum` in torch"),
        ("torch.optim.SGD(momentum=)", "argument `momentum` of `torch.optim.SGD`"),
        ("optim.AdamW(model.parameters(), lr=1e-3, betas=(0.9, 0.98))", "argument `betas` of `torch.optim.AdamW`"),
        ("nn.Adam(params, beta1=0.9)", "argument `beta1` of `mindspore.nn.Adam`"),
        ("CosineAnnealingLR(optimizer, T_max=100)", "cosine(T_max, to=eta_min)"),
        ("torch.optim.SGD(params, foo=1)", "`torch.optim.SGD` in MindSpore"),
        ("torch.optim.SGD()", "`torch.optim.SGD` in MindSpore"),
        ("optimizer.zero_grad()", "`torch.optim.Optimizer.zero_grad`"),
        ("scheduler.step()", "`torch.optim.lr_scheduler.LRScheduler.step`"),
        ("scaler.unscale_(optimizer)", "`torch.amp.GradScaler.unscale_`"),
        ("nn.cosine_decay_lr", "scheduler `mindspore.nn.cosine_decay_lr`"),
        ("lr_scheduler.StepLR", "scheduler `mindspore.experimental.optim.lr_scheduler.StepLR`"),
        ("nn.Momentum.set_train", "none: of any Cell"),
        ("mindspore.nn.Optimizer.state_dict", "`mindspore.nn.Cell.state_dict`"),
        (
            "mindspore.nn.CosineDecayLR.construct",
            "`mindspore.nn.learning_rate_schedule.LearningRateSchedule.construct`",
        ),
        ("torch.optim", "torch.optim.SGD mindspore.nn.SGD, the same; mindspore.nn.Momentum, the same"),
        ("mindspore.experimental.optim", "mindspore.experimental.optim.Adam torch.optim.Adam, different"),
        ("learning_rate", "argument `learning_rate` of optimizers of MindSpore"),
        # a word of the language names the classes that it is called as well
        ("SGD", "mindspore.experimental.optim.SGD torch.optim.SGD, the same"),
        ("Optimizer", "`optplan help torch.optim.Optimizer` says"),
        ("adamw", "torch.optim.AdamW mindspore.nn.AdamWeightDecay, different"),
        ("nn.RMSProp.epsilon", "In a document: `eps`, or `epsilon` of `type: mindspore.RMSProp`, which is this class."),
        ("nn.RMSProp.decay", "In a document: `alpha`."),
        ("mindspore.AdaFactor.compression", "key `optimizer.mindspore.AdaFactor.compression`"),
        ("LARS.epsilon", "key `optimizer.mindspore.LARS.epsilon`"),
        ("nn.thor", "no document can have it, for it takes the network"),
        ("LARS", "class `mindspore.nn.LARS`"),
        ("mindspore.train.Model", "`mindspore.Model`"),
        ("mindspore.train.ModelCheckpoint", "`mindspore.ModelCheckpoint`"),
        ('ms.load_checkpoint("network.ckpt")', "`mindspore.load_checkpoint`"),
        ("model.load_state_dict(state)", "`torch.nn.Module.load_state_dict`"),
        ("dcp.save", "`torch.distributed.checkpoint.save`"),
    ],
)
def test_a_name_as_it_stands_in_a_program(topic: str, part: str) -> None:
    assert part in text_of(topic)


@pytest.mark.parametrize(
    "topic", ["", "(", "()", ".", "...", "a." * 5000 + "b(c=1)", "f(x=1)", "=", "a.b.c.d.e.f.g(h=1, i=2)"]
)
def test_what_is_no_name_is_told_so(topic: str) -> None:
    assert topic_text(topic, catalog()) is None


@pytest.mark.parametrize("name", [*optimizer_classes(), *rows()])
def test_no_line_but_of_one_name_is_wider_than_a_page(name: str) -> None:
    for line in (topic_text(name, catalog()) or "").splitlines():
        assert len(line) <= 88 or len(line.split()) <= 2


@pytest.mark.parametrize("word", ["step", "linear", "momentum", "lr", "adamw", "plateau"])
def test_a_word_of_the_language_stays_one(word: str) -> None:
    assert "In MindSpore" not in (topic_text(word, catalog()) or "")


def test_every_name_is_known_to_the_one_who_mistypes_it() -> None:
    # but for functions that are the class anew: `torch.optim.sgd.sgd`
    names = {name for name, (row, *_) in rows().items() if "." not in placed(row)[1]}
    assert {*optimizer_classes(), *names} <= set(known_topics(catalog()))


@pytest.mark.parametrize(
    ("topic", "nearest"),
    [
        ("torch.optim.Optimizer.add_param_grop", "torch.optim.Optimizer.add_param_group"),
        ("mindspore.mint.optim.AdanW", "mindspore.mint.optim.AdamW"),
        ("mindspore.nn.Optimizer.get_lr_param", "mindspore.nn.Optimizer.get_lr_parameter"),
        ("mindspore.save_checkpont(network)", "mindspore.save_checkpoint"),
        ("torch.optim.SDG", "torch.optim.SGD"),
        ("policiez", "policies"),
    ],
)
def test_a_name_that_is_not_there_has_near_ones(topic: str, nearest: str) -> None:
    assert near(topic, known_topics(catalog()))[0] == nearest


@pytest.mark.parametrize("topic", ["torch.jit", "torch.nn.Linear", "mindspore.run_check", "mindspore.nn.Dense", "a.b"])
def test_what_is_of_the_same_module_is_not_near(topic: str) -> None:
    assert near(topic, known_topics(catalog())) == []


@pytest.mark.parametrize(
    ("topic", "help_"),
    [
        ("torch.optim.Optimizer.add_param_grop", "did you mean `torch.optim.Optimizer.add_param_group`"),
        ("mindspore.run_check", "`optplan help` lists the topics"),
    ],
)
def test_how_a_name_that_is_not_there_is_told(topic: str, help_: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["help", topic]) == 2
    assert f"there is no topic `{topic}`\n   = help: {help_}" in capsys.readouterr().err


def test_help_imports_no_framework() -> None:
    code = (
        "import sys; from optplan.cli import main\n"
        "main(['help', 'torch.optim.SGD']); main(['help', 'mindspore.nn.Momentum'])\n"
        "assert not {'torch', 'mindspore'} & set(sys.modules)"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, check=False)  # noqa: S603 - as above
    assert run.returncode == 0
