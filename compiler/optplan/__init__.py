"""Optimizers as a declarative file, compiled to native PyTorch and MindSpore objects.

import optplan

config = optplan.load("finetune.optim.yaml")
plan = optplan.plan(config, model, steps=10_000)
optimizer, scheduler = plan.bind(model)
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from optplan.api import compile, load, loads, network, plan  # noqa: A004 - the verb of a compiler
    from optplan.binding import Plan
    from optplan.compiled import Compiled
    from optplan.config import Config
    from optplan.diagnostics import ConfigError, Diagnostic
    from optplan.registry.definition import Native, OwnOptimizer, OwnPolicy
    from optplan.registry.registration import register
    from optplan.resolve.network import Network
    from optplan.step import StepResult
else:
    # Each name is imported when it is first asked for: what checks a file makes no plan, and what makes one from JSON
    # reads no file.
    _HOMES = {
        "Compiled": "compiled",
        "Config": "config",
        "ConfigError": "diagnostics",
        "Diagnostic": "diagnostics",
        "Native": "registry.definition",
        "Network": "resolve.network",
        "OwnOptimizer": "registry.definition",
        "OwnPolicy": "registry.definition",
        "Plan": "binding",
        "StepResult": "step",
        "compile": "api",
        "load": "api",
        "loads": "api",
        "network": "api",
        "plan": "api",
        "register": "registry.registration",
    }
    _MODULES = {home.partition(".")[0] for home in _HOMES.values()}

    def __getattr__(name: str) -> object:
        from importlib import import_module  # noqa: PLC0415 - the package alone is nothing but its names

        if name in _MODULES:
            return import_module(f"{__name__}.{name}")
        if name not in _HOMES:
            raise AttributeError(f"module `{__name__}` has no attribute `{name}`")
        value = globals()[name] = getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
        return value

    def __dir__() -> list[str]:
        return sorted({*globals(), *_HOMES})


__version__ = "0.1.0"

__all__ = [
    "Compiled",
    "Config",
    "ConfigError",
    "Diagnostic",
    "Native",
    "Network",
    "OwnOptimizer",
    "OwnPolicy",
    "Plan",
    "StepResult",
    "compile",
    "load",
    "loads",
    "network",
    "plan",
    "register",
]
