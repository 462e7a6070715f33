"""Optimizers as a declarative file, compiled to native PyTorch and MindSpore objects.

import optplan

config = optplan.load("finetune.optim.yaml")
plan = optplan.plan(config, model, steps=10_000)
optimizer, scheduler = plan.bind(model)
"""

from optplan.api import Plan, compile, load, loads, network, plan  # noqa: A004 - the verb of a compiler
from optplan.config import Config
from optplan.diagnostics import ConfigError, Diagnostic
from optplan.resolve.network import Network

__version__ = "0.1.0"

__all__ = [
    "Config",
    "ConfigError",
    "Diagnostic",
    "Network",
    "Plan",
    "compile",
    "load",
    "loads",
    "network",
    "plan",
]
