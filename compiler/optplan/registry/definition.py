"""What a registered optimizer or policy is given as.

A definition is data: names, defaults, ranges and the names of classes.  It imports no framework, so a package that
offers one by an entry point keeps it in a module of its own, and `optplan check` stays as fast as it was.
"""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass, field
from typing import TYPE_CHECKING, Literal, TypedDict

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from optplan.setting import Plain


class SettingSchema(TypedDict, total=False):
    """A hyper-parameter in the words of JSON Schema.

    `default` is needed; the rest follows from it and from the settings of the same name that the language has.  `type`
    is one of `number`, `integer`, `boolean` and `array`, with `null` beside it where that may stand; `enum` lists the
    words of a setting that is one, `prefixItems` the elements of a list, each a number.
    """

    type: str | Sequence[str]
    description: str
    default: object
    minimum: float
    maximum: float
    exclusiveMinimum: float
    exclusiveMaximum: float
    enum: Sequence[str | None]
    prefixItems: Sequence[SettingSchema]


class ArgumentSchema(TypedDict, total=False):
    """An argument of a policy: a number, a whole number (`count`) or a time, which the policy gets in updates.

    One without a `default` is required; the default of a time is a number of updates.
    """

    kind: Literal["number", "count", "duration"]
    description: str
    default: float
    minimum: float
    maximum: float
    exclusiveMinimum: float


@dataclass(frozen=True, slots=True)
class Native:
    """The class of a framework that carries an optimizer out.

    `cls` is the class, or its name as `package.module.Class`, which is imported when an optimizer is made.  `arguments`
    names the class's argument for a setting where that has another name, `constants` are arguments that never change;
    both are for MindSpore only, since the groups of PyTorch carry the settings under their own names.  `options` are
    the options under `torch:` or `mindspore:` that it takes.  `scheduled` are the settings that it can change from one
    update to the next, by default all those that the optimizer allows in PyTorch, and the learning rate in MindSpore:
    they are handed over as a `LearningRateSchedule`, called with `global_step`.
    """

    cls: type | str
    _: KW_ONLY
    arguments: Mapping[str, str] = field(default_factory=dict)
    constants: Mapping[str, Plain] = field(default_factory=dict)
    options: Sequence[str] = ()
    scheduled: Sequence[str] | None = None
    reason: str = "registered for it"


@dataclass(frozen=True, slots=True)
class OwnOptimizer:
    """An optimizer of one's own, written `type: NAME`; the name is lower-case, or `package.Name`.

    `torch` and `mindspore` say which class carries it out there, at least one of the two: a `torch.optim.Optimizer`
    made as `Class(groups, **settings)`, which finds its settings in its groups, and a `mindspore.nn.Optimizer` made as
    `Class(groups, learning_rate=..., **settings)`.

    `settings` gives each hyper-parameter its default, or a `SettingSchema`; left out, they are read off the signature
    of the class, which must then be given itself and not by name.  `lr` is always there.  `scheduled` are the numbers
    that may change from one update to the next (`lr`, `momentum`, `betas[0]`), `gradients` those that it takes.
    """

    name: str
    _: KW_ONLY
    torch: Native | type | str | None = None
    mindspore: Native | type | str | None = None
    settings: Mapping[str, SettingSchema | Plain] | None = None
    scheduled: Sequence[str] = ("lr",)
    gradients: Literal["dense", "sparse", "both"] = "dense"
    description: str = ""


@dataclass(frozen=True, slots=True)
class OwnPolicy:
    """A policy of one's own: a phase `NAME(duration, argument=...)` whose value is where it begins times a factor.

    `function(s, duration, **arguments)` is that factor, 0 or more, at s updates (0 <= s <= duration) after the phase's
    begin: a pure function, defined at the top of a module.  As for every phase, the duration may be left to what the
    horizon has left, `from=` says where it begins, and its value at its end stands from there on.  With `endless` it
    may go on for ever instead, and `duration` is None then.

    `arguments` gives each argument its default, None for one that is required, or an `ArgumentSchema`; left out, they
    are read off the function's signature.
    """

    name: str
    function: Callable[..., float]
    _: KW_ONLY
    arguments: Mapping[str, ArgumentSchema | float | None] | None = None
    endless: bool = False
    description: str = ""


Definition = OwnOptimizer | OwnPolicy
