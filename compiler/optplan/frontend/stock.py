"""Schedulers of frameworks, and their arguments, where a phase is read: what to write instead.

Only for help with names that are not known, so the table of counterparts is read only where there is one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from optplan.diagnostics import suggestion
from optplan.expression import Listing, Number
from optplan.frontend.grammar import shown

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from optplan.catalog import PolicyType
    from optplan.expression import Value

# What other programs call a phase, or several.
_OTHER_PHASES = {
    **dict.fromkeys(("constant", "const", "null", "none"), "hold()"),
    "exponential": "exp(to=0.01x)",
    "polynomial": "poly()",
    "cosine_annealing": "cosine()",
}

# What other programs call an argument, in small letters; of several the first that the phase has.
_ARGUMENTS = {
    **dict.fromkeys(("t_max", "total_iters", "total_steps", "num_training_steps", "max_steps", "num_steps"), ("for",)),
    **dict.fromkeys(("iters", "warmup_steps", "num_warmup_steps", "warmup_iters", "duration", "length"), ("for",)),
    **dict.fromkeys(("decay_steps", "decay_epoch", "total_step"), ("every", "for")),
    **dict.fromkeys(("end_factor", "end_lr", "end_learning_rate", "eta_min", "final_lr", "lr_end"), ("to", "low")),
    **dict.fromkeys(("min", "min_lr", "min_lr_rate", "min_lr_ratio", "end"), ("to", "low")),
    **dict.fromkeys(("init_lr", "start_factor", "start_lr", "warmup_init_lr", "warmup_start_lr"), ("from", "low")),
    **dict.fromkeys(("base_lr",), ("low", "from")),
    **dict.fromkeys(("max", "max_lr", "peak_lr"), ("peak", "high", "from")),
    **dict.fromkeys(("monitor", "metrics", "value"), ("metric",)),
    **dict.fromkeys(("step_size", "interval", "step_every", "each"), ("every", "period")),
    **dict.fromkeys(("milestones", "milestone", "boundaries"), ("at",)),
    "steps": ("at", "every", "for"),
    "t_0": ("period",),
    "t_mult": ("mult",),
    "pct_start": ("up",),
    "step_size_up": ("up",),
    "step_size_down": ("down",),
    "div_factor": ("div",),
    "final_div_factor": ("final_div",),
    "anneal_strategy": ("shape",),
    **dict.fromkeys(("gamma", "lr_decay", "decay_rate", "drop"), ("gamma", "rate", "factor")),
    "factor": ("factor", "gamma"),
}

# The phase that has what another one lacks.
_HAVING = {
    "gamma": "decay",
    "at": "multistep",
    "every": "step",
    "period": "restarts",
    "mult": "restarts",
    "metric": "plateau",
    "patience": "plateau",
    "cooldown": "plateau",
    "factor": "plateau",
    "power": "poly",
    "peak": "onecycle",
    "div": "onecycle",
    "final_div": "onecycle",
}

# Those whose number is a factor of the own value, or a part of the horizon.
_FACTORS = frozenset({"end_factor", "start_factor", "min_lr_rate", "min_lr_ratio"})
_FRACTIONS = frozenset({"pct_start"})


def unknown_phase(name: str, phases: Collection[str]) -> tuple[str, str | None]:
    """Message and cure for a phase that is not among `phases`."""
    from optplan.counterparts import CHAINS  # noqa: PLC0415 - see the head of the module

    meant = _OTHER_PHASES.get(name.lower()) or CHAINS.get(name.lower())
    cure = f"write `{meant}`" if meant else instead(name)
    known = "the phases are " + ", ".join(f"`{phase}`" for phase in phases)
    return f"unknown phase `{shown(name)}`", cure or suggestion(name, phases, known)


def argument_instead(name: str, value: Value, phase: PolicyType, phases: Mapping[str, PolicyType]) -> str | None:
    """What to write for an argument that `phase` lacks, by what frameworks call theirs; None if it is none of these."""
    word = name.lower()
    meant = _ARGUMENTS.get(word, (word,))
    text = shown(str(value))
    if isinstance(value, Number) and word in _FACTORS:
        text += "x"
    if isinstance(value, Number) and word in _FRACTIONS:
        text = f"{round(value.value * 100, 9):g}%"
    for own in meant:
        if own == "for" and own in phase.arguments:
            return f"write `{phase.name}({text})`: what has no name is the duration"
        if own in phase.arguments:
            listed = phase.arguments[own].kind == "list" and not isinstance(value, Listing)
            return f"write `{own}={f'[{text}]' if listed else text}`"
    for own in meant:
        other = _HAVING.get(own, phase.name)
        if other in phases and other != phase.name:
            needed = [name for name, each in phases[other].arguments.items() if each.required and name != own]
            return f"write `{other}({', '.join([f'{own}={text}', *(f'{name}=...' for name in needed)])})`"
    return None


def instead(name: str) -> str | None:
    """What to write for the scheduler of a framework that `name` is, in whatever letters; None if it is none.

    `StepLR`, `torch.optim.lr_scheduler.StepLR`, `get_cosine_schedule_with_warmup`, `cosine_decay_lr`.
    """
    from optplan.counterparts import counterparts  # noqa: PLC0415 - see the head of the module

    word = name.rpartition(".")[2].lower()
    for found in counterparts().values():
        names = [other.rpartition(".")[2] for other in found.also]
        if '"' not in found.name or "." not in name:
            # `cosine` alone may be what `get_scheduler` calls so, `torch.cosine` is not
            names.insert(0, found.short)
        if word not in map(str.lower, names):
            continue
        policy = found.forms[0].policy
        if policy is None:
            return f"no policy has its values: {found.forms[0].reason}"
        shown = names[-1] if '"' in found.name else found.short
        return f"write `{policy}` with its arguments' own numbers; `optplan help {shown}` says more"
    return None
