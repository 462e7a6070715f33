"""Policies and values from their texts, and a network on which every attribute differs."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

import optplan
from optplan import ConfigError, config
from optplan.catalog import catalog
from optplan.diagnostics import Collector
from optplan.frontend.policies import parse_policy
from optplan.frontend.values import parse_value
from optplan.resolve.horizon import Horizon, resolve_horizon
from optplan.resolve.schedule import Resolver
from optplan.resolve.value import Scope
from optplan.source import Source, Text

if TYPE_CHECKING:
    from collections.abc import Mapping

    from optplan import Plan
    from optplan.diagnostics import Diagnostic
    from optplan.expression import Policy, Value
    from optplan.resolve.curve import Curve

ATTRIBUTES = ("ndim", "numel", "fan_in", "fan_out", "layer", "shape")

Fault = tuple[str, str, str]
"""Code, severity and the text that is marked."""


def parsed(text: str, let: Mapping[str, float] | None = None) -> Policy:
    """The policy that `text` is; `base` may stand in it."""
    collector = Collector()
    written = Text(text, Source("policy", text), 0)
    policy = parse_policy(
        written, collector, names=let or {}, base=True, attributes=ATTRIBUTES, phases=catalog().policies
    )
    collector.check()
    assert policy is not None
    return policy


def horizon(**lengths: Any) -> Horizon:
    """The horizon that `steps`, `epochs`, ... make."""
    collector = Collector()
    found = resolve_horizon(config.Horizon(), collector, **lengths)
    collector.check()
    return found


def resolved(
    text: str,
    *,
    let: Mapping[str, float] | None = None,
    before: Curve | None = None,
    strict: bool = True,
    **lengths: Any,
) -> tuple[Curve | None, tuple[Diagnostic, ...]]:
    """The curve of a policy, and what was reported."""
    collector = Collector()
    resolver = Resolver(horizon(**lengths), Scope(let or {}), collector, strict=strict)
    return resolver.resolve(parsed(text, let), before), collector.diagnostics


def curve(text: str, **options: Any) -> Curve:
    """The curve of a policy in which nothing is wrong, a warning neither."""
    found, diagnostics = resolved(text, **options)
    assert diagnostics == ()
    assert found is not None
    return found


def faults(text: str, **options: Any) -> list[Fault]:
    """What is reported of a policy: code, severity and the marked text."""
    found, diagnostics = resolved(text, **options)
    if any(each.severity == "error" for each in diagnostics):
        assert found is None
    return [(each.code, each.severity, text[each.column - 1 : each.end_column - 1]) for each in diagnostics]


def expression(text: str, *, names: Mapping[str, float] | None = None, base: bool = True) -> Value:
    """The value that `text` is."""
    collector = Collector()
    written = Text(text, Source("value", text), 0)
    value = parse_value(written, collector, names=names or {}, base=base, attributes=ATTRIBUTES)
    collector.check()
    assert value is not None
    return value


class Block(nn.Module):
    """A norm, a matrix and its bias."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(inputs)
        self.linear = nn.Linear(inputs, outputs)


class Net(nn.Module):
    """Parameters of every rank, three blocks with a gap in their numbers, and one frozen tensor."""

    def __init__(self) -> None:
        super().__init__()
        self.token = nn.Parameter(torch.zeros(1, 1, 6))
        self.embeddings = nn.Embedding(10, 6)
        self.patch = nn.Conv2d(3, 6, (2, 4))
        self.up = nn.ConvTranspose2d(6, 3, 2)
        self.blocks = nn.ModuleDict({number: Block(6, 6) for number in ("0", "2", "10")})
        self.scale = nn.Parameter(torch.tensor(1.0))
        self.buffer = nn.Parameter(torch.zeros(5), requires_grad=False)
        self.head = nn.Linear(6, 4)


@cache
def net() -> optplan.Network:
    """The view of `Net`."""
    with torch.device("meta"):
        return optplan.network(Net())


NAMES = (
    "token",
    "scale",
    "buffer",
    "embeddings.weight",
    "patch.weight",
    "patch.bias",
    "up.weight",
    "up.bias",
    *(
        f"blocks.{number}.{name}"
        for number in (0, 2, 10)
        for name in ("norm.weight", "norm.bias", "linear.weight", "linear.bias")
    ),
    "head.weight",
    "head.bias",
)


def document(*rules: dict[str, Any], **more: Any) -> dict[str, Any]:
    """A document for AdamW at 0.01."""
    return {"optplan": 1, "optimizer": {"type": "adamw", "lr": 0.01}, "rules": list(rules), **more}


def planned(*rules: dict[str, Any], **more: Any) -> Plan:
    """Its plan for `net`."""
    return optplan.plan(document(*rules, **more), net())


def told(*rules: dict[str, Any], **more: Any) -> list[tuple[str, str]]:
    """Code and severity of what is reported of it, less that it defines more than it uses."""
    try:
        found = planned(*rules, **more).diagnostics
    except ConfigError as fault:
        found = fault.diagnostics
    return [(each.code, each.severity) for each in found if each.code != "OP116"]


def lr(plan: Plan, name: str) -> Any:
    """The own learning rate of a parameter."""
    return plan.parameter(name).settings["lr"]
