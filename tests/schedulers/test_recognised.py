"""The scheduler that `explain` names for a policy has the values of that policy."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest
import torch
import transformers

import optplan
from optplan.report.recognised import recognised
from tests.resolve.making import curve
from tests.schedulers.settings import UPDATES, Case, cases
from tests.schedulers.values import computed, differences, plan, planned

TORCH = cases("torch.optim.lr_scheduler", "torch.optim.swa_utils", "transformers.get_scheduler")
MINDSPORE = cases("mindspore.nn")
# Of the others no call is named, or that of a simpler one with the same values.
NAMED = [
    *(
        f"torch.optim.lr_scheduler.{name}"
        for name in (
            *("StepLR", "MultiStepLR", "LinearLR", "ExponentialLR", "PolynomialLR", "CosineAnnealingLR"),
            *("CyclicLR", "OneCycleLR", "CosineAnnealingWarmRestarts"),
        )
    ),
    *(
        f'transformers.get_scheduler("{name}")'
        for name in ("constant_with_warmup", "linear", "cosine", "cosine_with_min_lr", "polynomial", "inverse_sqrt")
    ),
    *(
        f"mindspore.nn.{name}"
        for name in (
            *("ExponentialDecayLR", "NaturalExpDecayLR", "InverseDecayLR"),
            *("CosineDecayLR", "PolynomialDecayLR", "WarmUpLR"),
        )
    ),
]


def named(case: Case, target: str) -> tuple[str | None, float]:
    """The call that is named for the policy of a case in a run of 500 updates, and the own value."""
    (group,) = plan(case).groups
    own = group.settings["lr"]
    assert isinstance(own, float)
    policy = group.schedule.get("lr")
    return None if policy is None else recognised(policy, target, own, UPDATES), own


def rates(call: str, own: float) -> list[float]:
    """The learning rates that a call of torch or transformers sets."""
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=own)
    scheduler = computed(call, {"torch": torch, "transformers": transformers, "optimizer": optimizer, "True": True})
    found = []
    for t in range(UPDATES):
        if t:
            optimizer.step()
            scheduler.step()
        found.append(optimizer.param_groups[0]["lr"])
    return found


@pytest.mark.parametrize("case", TORCH, ids=[case.id for case in TORCH])
def test_what_is_named_has_the_values(case: Case) -> None:
    call, own = named(case, "torch")
    if call is not None:
        assert differences(planned(case), rates(call, own), "chained") == {}


@pytest.mark.mindspore
@pytest.mark.one_mode
@pytest.mark.parametrize("case", MINDSPORE, ids=[case.id for case in MINDSPORE])
def test_what_is_named_in_mindspore_has_the_values(case: Case) -> None:
    import mindspore  # noqa: PLC0415 - set up by then

    call, _ = named(case, "mindspore")
    if call is not None:
        schedule: Any = computed(call, {"mindspore": mindspore})
        theirs = schedule(mindspore.Tensor(np.arange(UPDATES), mindspore.int32)).asnumpy().tolist()
        assert differences(planned(case), theirs, "float32") == {}


@pytest.mark.parametrize("name", NAMED)
def test_a_scheduler_is_named_for_its_own_policy(name: str) -> None:
    target = "mindspore" if name.startswith("mindspore") else "torch"
    calls = [named(case, target)[0] for case in [*TORCH, *MINDSPORE] if case.scheduler.name == name]
    called = name.removesuffix(")") if name.endswith(")") else f"{name}("
    assert any(call is not None and call.startswith(called) for call in calls)


@pytest.mark.parametrize(
    ("policy", "target", "call"),
    [
        ("step(every=30, gamma=0.1)", "torch", "torch.optim.lr_scheduler.StepLR(optimizer, step_size=30, gamma=0.1)"),
        ("step(every=7.5, gamma=0.1)", "torch", None),
        ("step(100, every=30, gamma=0.1)", "torch", None),
        (
            "multistep(at=[50%, 75%], gamma=0.1)",
            "torch",
            "torch.optim.lr_scheduler.MultiStepLR(optimizer, milestones=[250, 375], gamma=0.1)",
        ),
        ("cosine()", "torch", "torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=500, eta_min=0.0)"),
        ("cosine(to=1e-5)", "torch", "torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=500, eta_min=1e-5)"),
        # it would climb again
        ("cosine(100)", "torch", None),
        ("warmup(50) -> cosine(100)", "torch", None),
        (
            "warmup(10%) -> cosine()",
            "torch",
            'transformers.get_scheduler("cosine", optimizer, num_warmup_steps=50, num_training_steps=500)',
        ),
        (
            "warmup(10%) -> linear(to=0x)",
            "torch",
            'transformers.get_scheduler("linear", optimizer, num_warmup_steps=50, num_training_steps=500)',
        ),
        (
            "warmup(100) -> hold(300) -> sqrt(100)",
            "torch",
            (
                'transformers.get_scheduler("warmup_stable_decay", optimizer, num_warmup_steps=100, '
                "num_training_steps=500, scheduler_specific_kwargs="
                '{"num_decay_steps": 100, "decay_type": "1-sqrt", "min_lr_ratio": 0.0})'
            ),
        ),
        ("warmup(10%) -> linear(to=0.1x)", "torch", None),
        ("warmup(10%, start=1) -> cosine()", "torch", None),
        ("warmup(10%, from=0.1x) -> cosine()", "torch", None),
        ("warmup(10%, shape=cosine) -> cosine()", "torch", None),
        ("warmup(10%) -> hold(10%) -> cosine(30%) -> hold()", "torch", None),
        ("hold()", "torch", None),
        ("cosine() per epoch", "torch", None),
        ("warmup(20)", "mindspore", "mindspore.nn.WarmUpLR(learning_rate=0.1, warmup_steps=20)"),
        ("cosine(100)", "mindspore", "mindspore.nn.CosineDecayLR(min_lr=0.0, max_lr=0.1, decay_steps=100)"),
        ("warmup(10%) -> cosine()", "mindspore", None),
    ],
)
def test_the_name(policy: str, target: str, call: str | None) -> None:
    found = curve(policy, steps=500, epochs=50)
    assert recognised(found, target, 0.1, 500) == call
    if call is not None and target == "torch":
        assert differences([found.value(t, 0.1) for t in range(UPDATES)], rates(call, 0.1), "chained") == {}


FALLS = [
    # a fall after a warm-up of 10 of 90 updates, and what stands for it in transformers where groups' rates differ
    ("cosine(to=0.1x)", "cosine_with_min_lr"),
    ("cosine(to=1e-3)", None),
    ("poly(to=0x, power=2)", "polynomial"),
    ("poly(to=0.1x, power=2)", None),
    ("poly(to=1e-3, power=2)", None),
]


@pytest.mark.parametrize(("fall", "name"), FALLS)
def test_what_a_plan_names_has_the_values_for_all_groups(fall: str, name: str | None) -> None:
    document = {"optplan": 1, "optimizer": {"type": "sgd", "lr": 0.1}, "schedule": {"lr": f"warmup(10) -> {fall}"}}
    network = torch.nn.ModuleDict({"body": torch.nn.Linear(2, 2), "head": torch.nn.Linear(2, 2)})
    assert "the values of" in repr(optplan.plan(document, network, steps=90))
    made = optplan.plan({**document, "rules": [{"where": "head", "lr": "0.5x"}]}, network, steps=90)
    called = re.search(r"the values of (transformers\..*?\}\))", " ".join(repr(made).split()))
    if called is None or name is None:
        assert called is None
        assert name is None
        return
    assert f'"{name}"' in called[1]
    # the optimizer's own default is another rate still, as where a program leaves it out
    groups = [
        {"params": [torch.nn.Parameter(torch.zeros(1))], "lr": group.settings["lr"], "name": group.parameters[0]}
        for group in made.groups
    ]
    optimizer = torch.optim.SGD(groups, lr=0.3)
    scheduler = computed(called[1], {"transformers": transformers, "optimizer": optimizer})
    for t in range(90):
        for group in optimizer.param_groups:
            assert made.value(group["name"], "lr", t) == pytest.approx(group["lr"], rel=1e-9, abs=1e-15)
        optimizer.step()
        scheduler.step()
