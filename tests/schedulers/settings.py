"""Numbers for the stock schedulers: by name, settings that go into the call of each form and under `let` alike."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from optplan.counterparts import Counterpart, Form, counterparts

if TYPE_CHECKING:
    from collections.abc import Mapping

UPDATES = 500
# Longer than any phase of any setting, in epochs too, so that each says its own end.
STEPS = 100_000

Numbers = dict[str, int | float]

_STEPS_AND_GAMMA: list[Numbers] = [
    {"lr": 0.1, "step_size": 30, "gamma": 0.1},
    {"lr": 3e-4, "step_size": 7, "gamma": 0.97},
    {"lr": 1.0, "step_size": 125, "gamma": 0.5},
]
_MILESTONES: list[Numbers] = [
    {"lr": 0.1, "m1": 100, "m2": 200, "m3": 450, "gamma": 0.1},
    {"lr": 6e-4, "m1": 1, "m2": 2, "m3": 499, "gamma": 0.3},
    {"lr": 2.0, "m1": 33, "m2": 250, "m3": 600, "gamma": 0.9},
]
_CONSTANT: list[Numbers] = [
    {"lr": 0.1, "factor": 1 / 3, "total_iters": 5},
    {"lr": 5e-4, "factor": 0.01, "total_iters": 100},
    {"lr": 0.3, "factor": 1.0, "total_iters": 499},
]
_LINEAR: list[Numbers] = [
    {"lr": 0.1, "start_factor": 1 / 3, "end_factor": 1.0, "total_iters": 5},
    {"lr": 3e-4, "start_factor": 0.001, "end_factor": 1.0, "total_iters": 137},
    {"lr": 1.0, "start_factor": 1.0, "end_factor": 0.01, "total_iters": 450},
    {"lr": 0.5, "start_factor": 1.0, "end_factor": 0.0, "total_iters": 600},
]
_GAMMA: list[Numbers] = [
    {"lr": 0.1, "gamma": 0.99},
    {"lr": 3e-4, "gamma": 0.95},
    {"lr": 0.5, "gamma": 0.9999},
]
_POLYNOMIAL: list[Numbers] = [
    {"lr": 0.1, "total_iters": 5, "power": 1.0},
    {"lr": 0.01, "total_iters": 450, "power": 0.9},
    {"lr": 1.0, "total_iters": 500, "power": 2.0},
    {"lr": 3e-4, "total_iters": 777, "power": 3.0},
]
_COSINE: list[Numbers] = [
    {"lr": 0.1, "T_max": 500, "eta_min": 0.0},
    {"lr": 6e-4, "T_max": 600, "eta_min": 6e-5},
    {"lr": 1.0, "T_max": 1251, "eta_min": 1e-6},
]
_CYCLIC: list[Numbers] = [
    {"base_lr": 0.001, "max_lr": 0.1, "step_size_up": 50, "step_size_down": 50},
    {"base_lr": 1e-5, "max_lr": 3e-4, "step_size_up": 20, "step_size_down": 60},
    {"base_lr": 0.0, "max_lr": 1.0, "step_size_up": 128, "step_size_down": 64},
]
_CYCLIC = [
    {"lr": 0.1, "gamma": gamma, "base_momentum": 0.8, "max_momentum": 0.9, **each}
    for each, gamma in zip(_CYCLIC, (1.0, 0.994, 0.99), strict=True)
]
_ONE_CYCLE: list[Numbers] = [
    {"max_lr": 0.1, "total_steps": 500, "pct_start": 0.3, "div_factor": 25.0, "final_div_factor": 1e4},
    {"max_lr": 3e-3, "total_steps": 500, "pct_start": 0.25, "div_factor": 10.0, "final_div_factor": 1e5},
    {"max_lr": 1.0, "total_steps": 600, "pct_start": 0.45, "div_factor": 4.0, "final_div_factor": 100.0},
]
_ONE_CYCLE = [{"base_momentum": 0.85, "max_momentum": 0.95, **each} for each in _ONE_CYCLE]
_RESTARTS: list[Numbers] = [
    {"lr": 0.1, "T_0": 50, "T_mult": 1, "eta_min": 0.0},
    {"lr": 3e-4, "T_0": 10, "T_mult": 2, "eta_min": 1e-6},
    {"lr": 1.0, "T_0": 7, "T_mult": 3, "eta_min": 0.1},
]
_SWA: list[Numbers] = [
    {"lr": 0.1, "swa_lr": 0.05, "anneal_epochs": 10},
    {"lr": 0.5, "swa_lr": 1e-3, "anneal_epochs": 400},
    {"lr": 1e-3, "swa_lr": 0.0, "anneal_epochs": 123},
]
_BY_EPOCH: list[Numbers] = [
    {"learning_rate": 0.1, "decay_rate": 0.9, "step_per_epoch": 10, "decay_epoch": 4},
    {"learning_rate": 3e-4, "decay_rate": 0.5, "step_per_epoch": 17, "decay_epoch": 3},
    {"learning_rate": 1.0, "decay_rate": 0.03, "step_per_epoch": 1, "decay_epoch": 100},
]
_BY_EPOCH = [
    {"end_learning_rate": 1e-6, "power": power, "min_lr": 0.0, "max_lr": each["learning_rate"], **each}
    for each, power in zip(_BY_EPOCH, (1.0, 0.5, 2.0), strict=True)
]
_BY_EPOCH = [{**each, "warmup_epoch": each["decay_epoch"], "total_step": 500} for each in _BY_EPOCH]
_BY_STEP: list[Numbers] = [
    {"learning_rate": 0.1, "decay_rate": 0.9, "decay_steps": 40, "end_learning_rate": 0.01, "power": 0.5},
    {"learning_rate": 3e-4, "decay_rate": 0.5, "decay_steps": 250, "end_learning_rate": 1e-6, "power": 1.0},
    {"learning_rate": 1.0, "decay_rate": 0.03, "decay_steps": 500, "end_learning_rate": 0.1, "power": 2.0},
]
_BY_STEP = [
    {**each, "min_lr": each["end_learning_rate"], "max_lr": each["learning_rate"], "warmup_steps": each["decay_steps"]}
    for each in _BY_STEP
]
_TRAINING: list[Numbers] = [
    {"lr": 5e-5, "num_warmup_steps": 0, "num_training_steps": 500, "num_decay_steps": 100}
    | {"power": 1.0, "num_cycles": 1, "timescale": 10_000, "min_lr_rate": 0.0},
    {"lr": 1e-3, "num_warmup_steps": 50, "num_training_steps": 550, "num_decay_steps": 400}
    | {"power": 2.0, "num_cycles": 4, "timescale": 50, "min_lr_rate": 0.1},
    {"lr": 0.1, "num_warmup_steps": 123, "num_training_steps": 1123, "num_decay_steps": 250}
    | {"power": 0.7, "num_cycles": 8, "timescale": 200, "min_lr_rate": 0.01},
]
_TRAINING = [
    {"lr_end": 1e-7, "min_lr": 1e-6, "min_lr_ratio": each["min_lr_rate"], "warmup_lr_rate": 0.05, **each}
    for each in _TRAINING
]

_TORCH = "torch.optim.lr_scheduler"
_MINDSPORE = "mindspore.experimental.optim.lr_scheduler"
SETTINGS: Mapping[str, list[Numbers]] = {
    **{
        f"{library}.{name}": numbers
        for library in (_TORCH, _MINDSPORE)
        for name, numbers in {
            "StepLR": _STEPS_AND_GAMMA,
            "MultiStepLR": _MILESTONES,
            "ConstantLR": _CONSTANT,
            "LinearLR": _LINEAR,
            "ExponentialLR": _GAMMA,
            "PolynomialLR": _POLYNOMIAL,
            "CosineAnnealingLR": _COSINE,
            "CyclicLR": _CYCLIC,
            "CosineAnnealingWarmRestarts": _RESTARTS,
            "SequentialLR": [
                {"lr": 0.1, "start_factor": 0.1, "m1": 20, "m2": 120, "T_max": 480, "eta_min": 0.0}
                | {"factor": 0.5, "gamma": 0.99, "step_size": 60},
                {"lr": 6e-4, "start_factor": 1e-3, "m1": 100, "m2": 101, "T_max": 600, "eta_min": 6e-5}
                | {"factor": 0.1, "gamma": 0.9, "step_size": 90},
            ],
        }.items()
    },
    f"{_TORCH}.ChainedScheduler": [{**a, **b} for a, b in zip(_LINEAR, _GAMMA, strict=False)],
    f"{_TORCH}.OneCycleLR": _ONE_CYCLE,
    "torch.optim.swa_utils.SWALR": _SWA,
    "mindspore.nn.piecewise_constant_lr": [
        {"lr": 0.1, "m1": 100, "m2": 300, "m3": 500, "r1": 0.1, "r2": 0.01, "r3": 0.001},
        {"lr": 0.1, "m1": 1, "m2": 2, "m3": 500, "r1": 1e-3, "r2": 0.5, "r3": 3e-4},
    ],
    **dict.fromkeys(
        [
            f"mindspore.nn.{name}"
            for name in (
                "exponential_decay_lr",
                "natural_exp_decay_lr",
                "inverse_decay_lr",
                "cosine_decay_lr",
                "polynomial_decay_lr",
                "warmup_lr",
            )
        ],
        _BY_EPOCH,
    ),
    **dict.fromkeys(
        [
            f"mindspore.nn.{name}"
            for name in (
                "ExponentialDecayLR",
                "NaturalExpDecayLR",
                "InverseDecayLR",
                "CosineDecayLR",
                "PolynomialDecayLR",
                "WarmUpLR",
            )
        ],
        _BY_STEP,
    ),
    **dict.fromkeys([name for name in counterparts() if name.startswith("transformers.")], _TRAINING),
    # its warm-up ends one update before the decay begins, so it has one
    'transformers.get_scheduler("cosine_warmup_with_min_lr")': _TRAINING[1:],
}


class Case(NamedTuple):
    """One call of a stock scheduler, with its numbers."""

    scheduler: Counterpart
    form: Form
    numbers: Numbers

    @property
    def id(self) -> str:
        """Which form and which numbers."""
        place = self.scheduler.forms.index(self.form)
        return f"{self.scheduler.name}-{place}-{SETTINGS[self.scheduler.name].index(self.numbers)}"


def cases(*libraries: str) -> list[Case]:
    """Every call in one of `libraries` that has a policy which is no answer to a metric."""
    return [
        Case(scheduler, form, numbers)
        for scheduler in counterparts().values()
        if scheduler.library in libraries
        for form in scheduler.forms
        if form.policy is not None and form.computes != "reports"
        for numbers in SETTINGS[scheduler.name]
    ]
