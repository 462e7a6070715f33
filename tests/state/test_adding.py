"""New parts of a network taken into training that goes on, by the rules of the same file."""

from __future__ import annotations

from copy import deepcopy
from typing import TYPE_CHECKING, Any

import pytest
import torch
from torch import distributed, nn
from torch.distributed.fsdp import fully_shard

import optplan
from optplan import ConfigError, Plan
from tests.targets.networks import CLASSES, Pictures, document, loss_of, seeded, train

if TYPE_CHECKING:
    from pathlib import Path

STEPS = 20
CONFIG = document(
    {"type": "adamw", "lr": 0.01, "weight_decay": 0.1},
    rules=[{"where": "norm or bias", "weight_decay": 0}, {"where": "extra", "lr": "0.5x", "optional": True}],
    schedule={"lr": "warmup(5) -> cosine()"},
)
SEVERAL = document(
    {"type": "adamw", "lr": 0.01},
    optimizers={"sums": {"type": "adagrad", "lr": 0.1, "initial_accumulator_value": 0.25}},
    rules=[{"where": "head or extra", "use": "sums"}],
    schedule={"lr": "warmup(5) -> cosine()"},
)


class Growing(Pictures):
    """A network that may get a part more."""

    def __init__(self) -> None:
        super().__init__()
        self.extra: nn.Module | None = None

    def forward(self, pictures: torch.Tensor) -> torch.Tensor:
        """As before, with what the part adds."""
        logits: torch.Tensor = super().forward(pictures)
        return logits if self.extra is None else self.extra(logits)  # noqa: S610 - a module


def grown(config: dict[str, Any] = CONFIG, updates: int = 3) -> tuple[Any, Any]:
    model: Any = seeded(Growing)
    compiled = optplan.compile(config, model, steps=STEPS)
    train(model, compiled, range(updates))
    torch.manual_seed(1)
    model.extra = nn.Linear(CLASSES, CLASSES)
    return model, compiled


@pytest.mark.parametrize("config", [CONFIG, SEVERAL], ids=["one", "several"])
def test_new_parameters_go_by_the_same_rules_from_here_on(config: dict[str, Any]) -> None:
    model, compiled = grown(config)
    optimizer, scheduler = compiled
    before, state = compiled.plan, deepcopy(compiled.state_dict()["state"])
    compiled.add_group(model.extra)
    assert tuple(compiled) == (optimizer, scheduler)
    planned = optplan.plan(config, model, steps=STEPS)
    assert compiled.plan.names == planned.names
    for name in planned.names:
        assert compiled.plan.parameter(name).settings == planned.parameter(name).settings
        assert compiled.lr_of(name) == planned.value(name, "lr", 3)
    assert [group.name for group in compiled.plan.groups[: len(before.groups)]] == [g.name for g in before.groups]
    assert all(torch.equal(state[n][k], v) for n in state for k, v in compiled.state_dict()["state"][n].items())
    assert compiled.updates == 3
    moved = model.extra.weight.detach().clone()
    train(model, compiled, range(3, 6))
    assert not torch.equal(model.extra.weight, moved)
    assert compiled.state_dict()["state"].keys() == set(planned.names)
    assert compiled.lr() == {group.name: group.value("lr", 6) for group in compiled.plan.groups}
    assert Plan.from_json(compiled.plan.to_json()) == compiled.plan


def test_it_goes_on_as_torchs_own_loop_would() -> None:
    model, compiled = grown()
    theirs = deepcopy(model)
    compiled.add_group(model.extra)
    train(model, compiled, range(3, 6))
    # by hand: an optimizer of the old parameters with their state, to which the new are added
    first: Any = seeded(Growing)
    by_hand = optplan.compile(CONFIG, first, steps=STEPS)
    train(first, by_hand, range(3))
    first.extra = theirs.extra
    factor = by_hand.lr()["default"] / 0.01
    for name, decay in (("weight", 0.1), ("bias", 0.0)):
        by_hand.optimizer.add_param_group(
            {"params": [getattr(first.extra, name)], "lr": 0.005 * factor, "weight_decay": decay, "name": name}
        )
    plan = optplan.plan(CONFIG, first, steps=STEPS)
    for t in range(3, 6):
        for group in by_hand.optimizer.param_groups[-2:]:
            group["lr"] = plan.value("extra.weight", "lr", t)
        by_hand.optimizer.zero_grad()
        loss_of(first, t).backward()  # type: ignore[no-untyped-call]  # torch's own
        by_hand.optimizer.step()
        assert by_hand.scheduler is not None
        by_hand.scheduler.step()
    for (name, mine), each in zip(model.named_parameters(), first.parameters(), strict=True):
        assert torch.equal(mine, each), name


def test_a_state_saved_after_adding_loads_under_a_plan_of_the_whole() -> None:
    model, compiled = grown()
    compiled.add_group(model.extra)
    train(model, compiled, range(3, 6))
    other = optplan.compile(CONFIG, deepcopy(model), steps=STEPS)
    found = other.load_state_dict(compiled.state_dict())
    assert {each.severity for each in found.diagnostics} <= {"note"}
    assert other.updates == 6
    assert not found.settings
    assert compiled.load_state_dict(deepcopy(other.state_dict())) is not None


def test_plateaus_and_reports_go_on() -> None:
    config = {**CONFIG, "schedule": {"lr": "plateau(metric=loss, patience=0)"}}
    model, compiled = grown(config)
    compiled.report(loss=1.0)
    compiled.report(loss=2.0)
    reports = compiled.state_dict()["reports"]
    compiled.add_group(model.extra)
    assert compiled.state_dict()["reports"] == reports
    assert compiled.lr_of("extra.weight") == pytest.approx(0.5 * compiled.lr_of("body.weight"))
    assert compiled.lr_of("body.weight") < 0.01


def test_a_schedule_that_comes_with_the_new_part_begins_at_t() -> None:
    rule = {"where": "extra", "schedule": {"lr": "linear(to=0x)"}, "optional": True}
    model, compiled = grown(document({"type": "adamw", "lr": 0.1}, rules=[rule]))
    train(model, compiled, range(0))
    assert compiled.scheduler is None
    compiled.add_group(model.extra)
    assert compiled.scheduler is not None
    assert compiled.updates == 3
    assert compiled.lr_of("extra.weight") == compiled.plan.value("extra.weight", "lr", 3)


def test_own_values_of_a_checkpoint_stay() -> None:
    model, compiled = grown()
    state = deepcopy(compiled.state_dict())
    for group in state["groups"]:
        group["own"] = {"lr": 0.03}
    compiled.load_state_dict(state, on_load="checkpoint")
    before = compiled.lr_of("body.weight")
    compiled.add_group(model.extra)
    assert compiled.lr_of("body.weight") == before
    train(model, compiled, range(3, 4))
    assert compiled.lr_of("body.weight") == pytest.approx(0.03 * compiled.lr_of("extra.weight") / 0.005)


def test_a_plan_from_json_needs_the_new_plan() -> None:
    model: Any = seeded(Growing)
    compiled = Plan.from_json(optplan.plan(CONFIG, model, steps=STEPS).to_json()).bind(model)
    train(model, compiled, range(2))
    model.extra = nn.Linear(CLASSES, CLASSES)
    with pytest.raises(ConfigError, match="knows no file to go by"):
        compiled.add_group(model.extra)
    compiled.add_group(model.extra, plan=optplan.plan(CONFIG, model, steps=STEPS))
    assert "extra.weight" in compiled.plan.names


class Deep(nn.Module):
    """Layers that are counted."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(3, 3) for _ in range(2))


LAYERS = document(
    {"type": "sgd", "lr": 0.1}, layers=["layers.{i}"], rules=[{"where": "all", "lr": "base * 0.5 ** (layers - layer)"}]
)


def refused(compiled: Any, module: Any, said: str, code: str = "OP709", **plan: Any) -> None:
    before = compiled.settings(), compiled.plan
    with pytest.raises(ConfigError) as caught:
        compiled.add_group(module, **plan)
    assert said in str(caught.value)
    assert {each.code for each in caught.value.diagnostics} == {code}
    assert (compiled.settings(), compiled.plan) == before


def test_what_is_refused_leaves_all_as_it_was() -> None:
    model, compiled = grown()
    refused(compiled, nn.Linear(2, 2), "the network which the plan is bound to does not have")
    refused(compiled, model.body, "the network has more that is new: `extra.weight`, `extra.bias`")
    refused(compiled, "extra", "a `str` is no module")
    other = optplan.plan({**CONFIG, "optimizer": {"type": "adamw", "lr": 0.02}}, model, steps=STEPS)
    refused(compiled, model.extra, "`lr`, 0.01 to 0.02, would change for `stem.weight`", plan=other)
    clipped = optplan.plan({**CONFIG, "clip": "norm(1.0)"}, model, steps=STEPS)
    refused(compiled, model.extra, "`clip` is None in this run, and would be norm(1.0)", plan=clipped)
    compiled.add_group(model.extra)
    refused(compiled, model.extra, "the module has no new parameters")
    model.extra.requires_grad_(False)


def test_an_optimizer_that_is_not_there_yet_is_refused() -> None:
    config = document(
        {"type": "adamw", "lr": 0.01},
        optimizers={"sums": {"type": "adagrad", "lr": 0.1}},
        rules=[{"where": "extra", "use": "sums", "optional": True}],
    )
    model, compiled = grown(config)
    refused(compiled, model.extra, "the optimizer is a `AdamW` alone, and `extra.weight` takes `adagrad`")


def test_frozen_parts_are_no_group() -> None:
    config = {**CONFIG, "rules": [{"where": "extra", "freeze": True, "optional": True}]}
    model, compiled = grown(config)
    refused(compiled, model.extra, "nothing new in the module is trained: `extra.weight`, `extra.bias`")


def test_other_layers_than_before_are_told() -> None:
    model: Any = Deep()
    compiled = optplan.compile(LAYERS, model)
    model.layers.append(nn.Linear(3, 3))
    refused(compiled, model.layers[2], "would change for `layers.0.weight`")


def test_gathered_gradients_stay() -> None:
    model: Any = seeded(Growing)
    compiled: Any = optplan.compile({**CONFIG, "accumulate": 2}, model, steps=STEPS)
    compiled.step(loss_of(model, 0))
    model.extra = nn.Linear(CLASSES, CLASSES)
    compiled.add_group(model.extra)
    assert compiled.gathered == 1
    assert compiled.step(loss_of(model, 1)).updated


def test_a_network_may_grow_again() -> None:
    model, compiled = grown()
    compiled.add_group(model.extra)
    train(model, compiled, range(3, 5))
    model.extra.more = nn.Linear(2, 2)
    model.extra.more.weight.grad = torch.ones(2, 2)
    compiled.add_group(model.extra.more)
    names = [group.name for group in compiled.plan.groups]
    assert names[-2:] == ["extra/added=1", "norm or bias+extra/added=1"]
    planned = optplan.plan(CONFIG, model, steps=STEPS)
    assert all(compiled.lr_of(name) == planned.value(name, "lr", 5) for name in planned.names)
    refused(compiled, model.extra.more, "the module has no new parameters")


def test_an_optimizer_of_one_group_is_given_no_other() -> None:
    model, compiled = grown(document({"type": "lbfgs", "lr": 0.1}), 1)
    refused(compiled, model.extra, "`lbfgs` takes one group, and `extra.weight` would be of another")
    assert len(compiled.optimizer.param_groups) == 1


def test_what_is_parallel_already_does_not_grow(tmp_path: Path) -> None:
    """Its gradients would be each process's own."""
    distributed.init_process_group("gloo", init_method=f"file://{tmp_path}/meeting", rank=0, world_size=1)
    try:
        model: Any = seeded(Growing)
        plan = optplan.plan(CONFIG, model, steps=STEPS)
        compiled = plan.bind(nn.parallel.DistributedDataParallel(model))
        model.extra = nn.Linear(CLASSES, CLASSES)
        refused(compiled, model.extra, "has settled when it was made which gradients are averaged")
        model = fully_shard(seeded(Growing))
        compiled = plan.bind(model)
        model.extra = nn.Linear(CLASSES, CLASSES)
        refused(compiled, model.extra, "has not sharded `extra.weight`, `extra.bias`, and averages no gradients")
        fully_shard(model.extra)
        compiled.add_group(model.extra)
        assert compiled.lr_of("extra.weight") == plan.value("body.weight", "lr", 0) / 2
    finally:
        distributed.destroy_process_group()
