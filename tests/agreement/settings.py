"""What is compared: every canonical optimizer with several settings each, and the document that each is written in.

A document has three groups.  `head.weight` has a tenth of the rate and other settings of its own (`HEADS`), norms and
biases, or the stem, have half the rate and no decay, the rest is the main optimizer's.  The rate warms up and follows
half a cosine; under the name `every curve` all else that may change does.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from optplan.catalog import catalog

if TYPE_CHECKING:
    from collections.abc import Mapping

    from optplan.catalog import Lowering, OptimizerType

UPDATES = 200
# Where the rate begins at 0, which is what users write ...
RAMP = "warmup(20) -> cosine(to=0.01x)"
# ... and where the first update is looked at by itself, or has a lasting effect: Rprop takes its first step from it.
RAMP_FROM_ONE = "warmup(20, start=1) -> cosine(to=0.01x)"
_FROM_ONE = frozenset({"muon", "rprop"})

# What spares a parameter the decay, by the network that an optimizer can train.
SPARED = {"layers": "norm or bias", "matrices": ".stem", "tables": ".stem"}
_NETWORKS = {"muon": "matrices", "sparse_adam": "tables"}

# What `head.weight` has of its own beside its rate.
HEADS: dict[str, dict[str, Any]] = {
    "sgd": {"momentum": 0.6},
    "adam": {"betas": [0.8, 0.95], "eps": 1e-6},
    "adamw": {"betas": [0.8, 0.95], "eps": 1e-6},
    "adamax": {"betas": [0.8, 0.95], "eps": 1e-6},
    "nadam": {"betas": [0.8, 0.95], "momentum_decay": 0.02},
    "radam": {"betas": [0.8, 0.95], "eps": 1e-6},
    "adagrad": {"eps": 1e-6, "lr_decay": 0.05},
    "adadelta": {"rho": 0.8, "eps": 1e-5},
    "rmsprop": {"alpha": 0.9, "eps": 1e-6},
    "rprop": {"etas": [0.4, 1.3]},
    "asgd": {"alpha": 0.6, "lambd": 1e-3},
    "adafactor": {"d": 2.0, "beta2_decay": -0.6},
    "muon": {"momentum": 0.8},
    "sparse_adam": {"betas": [0.8, 0.95], "eps": 1e-6},
}

# Where the formula itself throws digits away, so that no two ways of computing it agree as closely as others do.  Muon
# iterates in bf16.  RMSprop, centered, subtracts the square of an average from the average of squares, which are nearly
# equal where the decay outweighs the gradients: in PyTorch float32 is off by as much from float64.
DELICATE = {"muon": None, "rmsprop": "centered, decay"}

# By optimizer and name.
SETTINGS: dict[str, dict[str, dict[str, Any]]] = {
    "sgd": {
        "alone": {"lr": 0.1},
        "decay": {"lr": 0.1, "weight_decay": 0.1},
        "momentum": {"lr": 0.05, "momentum": 0.9, "weight_decay": 0.01},
        "dampening": {"lr": 0.05, "momentum": 0.8, "dampening": 0.3, "weight_decay": 0.1},
        "nesterov": {"lr": 0.05, "momentum": 0.9, "weight_decay": 0.01, "nesterov": True},
        "maximize": {"lr": 0.01, "momentum": 0.5, "weight_decay": 0.01, "maximize": True},
        "every curve": {"lr": 0.05, "momentum": 0.9, "dampening": 0.3, "weight_decay": 0.1},
    },
    "adam": {
        "alone": {"lr": 1e-2},
        "decay": {"lr": 1e-2, "weight_decay": 0.1},
        "decoupled decay": {"lr": 1e-2, "weight_decay": 0.1, "decoupled_weight_decay": True},
        "amsgrad": {"lr": 1e-2, "betas": [0.8, 0.95], "weight_decay": 0.01, "amsgrad": True},
        "eps 1e-3": {"lr": 1e-2, "eps": 1e-3},
        "maximize": {"lr": 1e-2, "weight_decay": 0.01, "maximize": True},
        "betas 0": {"lr": 1e-2, "betas": [0, 0]},
        "every curve": {"lr": 1e-2, "weight_decay": 0.1, "amsgrad": True},
    },
    "adamw": {
        "alone": {"lr": 1e-2, "weight_decay": 0},
        "decay": {"lr": 1e-2, "weight_decay": 0.1},
        "amsgrad": {"lr": 1e-2, "betas": [0.8, 0.95], "weight_decay": 0.2, "amsgrad": True},
        "eps 1e-3": {"lr": 1e-2, "eps": 1e-3, "weight_decay": 0.05},
        "maximize": {"lr": 1e-2, "weight_decay": 0.01, "maximize": True},
        "betas 0": {"lr": 1e-2, "betas": [0, 0]},
        "every curve": {"lr": 1e-2, "weight_decay": 0.1},
    },
    "adamax": {
        "alone": {"lr": 1e-2},
        "decay": {"lr": 1e-2, "weight_decay": 0.1},
        "betas": {"lr": 1e-2, "betas": [0.7, 0.9]},
        "eps 1e-3": {"lr": 1e-2, "eps": 1e-3},
        "maximize": {"lr": 1e-2, "weight_decay": 0.01, "maximize": True},
        "every curve": {"lr": 1e-2, "weight_decay": 0.1},
    },
    "nadam": {
        "alone": {"lr": 1e-2},
        "decay": {"lr": 1e-2, "weight_decay": 0.1},
        "decoupled decay": {"lr": 1e-2, "weight_decay": 0.1, "decoupled_weight_decay": True},
        "momentum_decay": {"lr": 1e-2, "betas": [0.8, 0.99], "momentum_decay": 0.05},
        "eps 1e-3": {"lr": 1e-2, "eps": 1e-3},
        "maximize": {"lr": 1e-2, "weight_decay": 0.01, "maximize": True},
        "every curve": {"lr": 1e-2, "weight_decay": 0.1},
    },
    "radam": {
        "alone": {"lr": 1e-2},
        "decay": {"lr": 1e-2, "weight_decay": 0.1},
        "decoupled decay": {"lr": 1e-2, "weight_decay": 0.1, "decoupled_weight_decay": True},
        "betas": {"lr": 1e-2, "betas": [0.7, 0.9]},
        "eps 1e-3": {"lr": 1e-2, "eps": 1e-3},
        "maximize": {"lr": 1e-2, "weight_decay": 0.01, "maximize": True},
        "every curve": {"lr": 1e-2, "weight_decay": 0.1},
    },
    "adagrad": {
        "alone": {"lr": 1e-2},
        "decay": {"lr": 1e-2, "weight_decay": 0.1},
        "lr_decay": {"lr": 5e-2, "lr_decay": 0.1, "weight_decay": 0.01},
        "accumulator": {"lr": 0.1, "initial_accumulator_value": 0.5},
        "eps 1e-3": {"lr": 1e-2, "eps": 1e-3},
        "maximize": {"lr": 1e-2, "weight_decay": 0.01, "maximize": True},
        "every curve": {"lr": 5e-2, "lr_decay": 0.1, "weight_decay": 0.1},
    },
    "adadelta": {
        "alone": {"lr": 1.0},
        "decay": {"lr": 0.5, "weight_decay": 0.1},
        "rho": {"lr": 0.5, "rho": 0.6},
        "eps 1e-3": {"lr": 0.5, "eps": 1e-3},
        "maximize": {"lr": 0.5, "weight_decay": 0.01, "maximize": True},
        "every curve": {"lr": 0.5, "weight_decay": 0.1},
    },
    "rmsprop": {
        "alone": {"lr": 1e-3},
        "decay": {"lr": 1e-3, "weight_decay": 0.1},
        "momentum": {"lr": 1e-3, "alpha": 0.9, "momentum": 0.9, "weight_decay": 0.01},
        "centered": {"lr": 1e-3, "centered": True},
        "centered, momentum": {"lr": 1e-3, "centered": True, "momentum": 0.5},
        "centered, decay": {"lr": 1e-3, "centered": True, "momentum": 0.5, "weight_decay": 0.1},
        "eps 1e-3": {"lr": 1e-3, "eps": 1e-3},
        "maximize": {"lr": 1e-3, "weight_decay": 0.01, "maximize": True},
        "every curve": {"lr": 1e-3, "momentum": 0.9, "weight_decay": 0.1},
    },
    "rprop": {
        "alone": {"lr": 1e-2},
        "small lr": {"lr": 1e-4},
        "etas": {"lr": 1e-2, "etas": [0.3, 1.4]},
        "step_sizes": {"lr": 1e-2, "step_sizes": [1e-3, 2e-2]},
        "maximize": {"lr": 1e-3, "maximize": True},
        "every curve": {"lr": 1e-2, "step_sizes": [1e-4, 0.1]},
    },
    "asgd": {
        "alone": {"lr": 1e-2},
        "decay": {"lr": 1e-2, "weight_decay": 0.1},
        "lambd": {"lr": 1e-1, "lambd": 1e-2, "alpha": 0.5},
        "t0": {"lr": 1e-1, "lambd": 1e-2, "t0": 4.0, "weight_decay": 0.01},
        "maximize": {"lr": 1e-2, "weight_decay": 0.01, "maximize": True},
        "every curve": {"lr": 1e-1, "lambd": 1e-2, "weight_decay": 0.1},
    },
    "adafactor": {
        "alone": {"lr": 1e-2},
        "decay": {"lr": 1e-2, "weight_decay": 0.1},
        "beta2_decay": {"lr": 1e-2, "beta2_decay": -0.5},
        "eps 1e-3": {"lr": 1e-2, "eps": [1e-3, 1e-2]},
        "d": {"lr": 1e-1, "d": 3.0, "weight_decay": 0.01},
        "maximize": {"lr": 1e-2, "weight_decay": 0.01, "maximize": True},
        "every curve": {"lr": 1e-2, "eps": [1e-6, 1e-2], "d": 2.0, "weight_decay": 0.1},
    },
    "muon": {
        "alone": {"lr": 1e-2, "weight_decay": 0},
        "decay": {"lr": 1e-2, "weight_decay": 0.1},
        "without nesterov": {"lr": 1e-2, "momentum": 0.7, "nesterov": False},
        "three iterations": {"lr": 1e-2, "ns_steps": 3, "ns_coefficients": [3.0, -4.0, 2.0]},
        "eps 1e-3": {"lr": 1e-2, "eps": 1e-3},
        "as large as AdamW's": {"lr": 1e-3, "adjust_lr_fn": "match_rms_adamw"},
        "every curve": {"lr": 1e-2, "weight_decay": 0.1},
    },
    "sparse_adam": {
        "alone": {"lr": 1e-2},
        "betas": {"lr": 1e-2, "betas": [0.7, 0.9]},
        # Not both: PyTorch adds the difference to the old average, and what is left of the new one when beta2 is 0 are
        # rounding errors.  There it is far from its own float64, which MindSpore equals to 6e-7.
        "beta1 0": {"lr": 1e-2, "betas": [0, 0.99]},
        "eps 1e-3": {"lr": 1e-2, "eps": 1e-3},
        "maximize": {"lr": 1e-2, "maximize": True},
        "every curve": {"lr": 1e-2},
    },
}


@dataclass(frozen=True, slots=True)
class Case:
    """One optimizer with one of its settings."""

    optimizer: str
    name: str
    values: Mapping[str, Any] = field(hash=False)

    @property
    def kind(self) -> OptimizerType:
        """What the catalog says of the optimizer."""
        return catalog().optimizers[self.optimizer]

    @property
    def network(self) -> str:
        """The network that it trains: `layers`, `matrices` or `tables`."""
        return _NETWORKS.get(self.optimizer, "layers")

    @property
    def delicate(self) -> bool:
        """Whether its formula throws digits away; see `DELICATE`."""
        return self.optimizer in DELICATE and DELICATE[self.optimizer] in (None, self.name)

    @property
    def schedule(self) -> dict[str, str]:
        """The policy of each key that has one."""
        policies = {"lr": RAMP_FROM_ONE if self.optimizer in _FROM_ONE else RAMP}
        if self.name == "every curve":
            policies |= {key: "cosine(to=0.9x)" for key in self.kind.scheduled if key != "lr"}
        return policies

    @property
    def lowering(self) -> Lowering:
        """The class that the catalog has for it on MindSpore."""
        found = self.kind.lowering("mindspore", self.kind.defaults | _as_settings(self.values), self.schedule)
        assert found is not None, f"no class for {self}"
        return found

    def document(self) -> dict[str, Any]:
        """The document that both frameworks are driven by."""
        spared: dict[str, Any] = {"where": SPARED[self.network], "lr": "0.5x"}
        if "weight_decay" in self.kind.settings:
            spared["weight_decay"] = 0
        return {
            "optplan": 1,
            "optimizer": {"type": self.optimizer, **self.values},
            "rules": [spared, {"where": ".head.weight", "lr": "0.1x", **HEADS[self.optimizer]}],
            "schedule": self.schedule,
        }

    def __str__(self) -> str:
        return f"{self.optimizer}: {self.name}"


def _as_settings(values: Mapping[str, Any]) -> dict[str, Any]:
    return {key: tuple(value) if isinstance(value, list) else value for key, value in values.items()}


CASES = [Case(kind, name, values) for kind, each in SETTINGS.items() for name, values in each.items()]
