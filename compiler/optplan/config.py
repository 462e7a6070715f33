"""What a document says, as data.

`Config` is what the front end makes of a text and what `optplan.resolve` reads.  Every part is frozen and knows its
`span`, which takes no part in comparison: two documents that say the same are equal.  Nothing here has met a network,
so a filter is still a filter and an expression an expression (`optplan.filter`, `optplan.expression`).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from optplan.filter import Index, span_field

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from optplan.expression import Form, Policy, Value
    from optplan.filter import Filter, Path
    from optplan.source import Span


def written(key: str, index: int | None) -> str:
    """A key of a setting, or of an element of one, as a file has it: `lr`, `betas[0]`."""
    return key if index is None else f"{key}[{index}]"


@dataclass(frozen=True, slots=True)
class Assignment:
    """`key: value`, or `key[index]: value`, for a hyper-parameter."""

    key: str
    value: Value
    index: int | None = None
    span: Span | None = span_field()
    key_span: Span | None = span_field()

    @property
    def name(self) -> str:
        """The key as it was written: `betas[0]`."""
        return written(self.key, self.index)


@dataclass(frozen=True, slots=True)
class Option:
    """One option of one framework: `target` is `torch` or `mindspore`."""

    target: str
    name: str
    value: bool | int | float | str
    span: Span | None = span_field()


@dataclass(frozen=True, slots=True)
class Scheduled:
    """A policy for one hyper-parameter: `key` is `lr`, `weight_decay` or `betas` with `index` 0."""

    key: str
    policy: Policy
    index: int | None = None
    span: Span | None = span_field()
    key_span: Span | None = span_field()

    @property
    def name(self) -> str:
        """The key as it was written: `betas[0]`."""
        return written(self.key, self.index)


@dataclass(frozen=True, slots=True)
class Optimizer:
    """`optimizer`, or an entry of `optimizers`: `name` is `optimizer` or that entry's, `type` a canonical name."""

    name: str
    type: str
    settings: tuple[Assignment, ...] = ()
    options: tuple[Option, ...] = ()
    span: Span | None = span_field()


@dataclass(frozen=True, slots=True)
class Rule:
    """One step of the cascade."""

    where: Filter
    name: str | None = None
    use: str | None = None
    freeze: bool | None = None
    optional: bool = False
    settings: tuple[Assignment, ...] = ()
    schedule: tuple[Scheduled, ...] = ()
    options: tuple[Option, ...] = ()
    span: Span | None = span_field()
    where_span: Span | None = span_field()
    use_span: Span | None = span_field()
    freeze_span: Span | None = span_field()

    @property
    def label(self) -> str:
        """What messages and group names call it: its name, else its filter."""
        return self.name if self.name is not None else str(self.where)


@dataclass(frozen=True, slots=True)
class Layer:
    """One entry of `layers`: its patterns cover it together."""

    patterns: tuple[Path, ...]
    span: Span | None = span_field()

    @property
    def indexed(self) -> bool:
        """Whether it stands for one layer per index found."""
        return any(Index() in (segment or ()) for path in self.patterns for segment in path.segments)


@dataclass(frozen=True, slots=True)
class Horizon:
    """How long the run is: each entry a positive number, or None where the file leaves it out."""

    steps: int | None = None
    epochs: int | float | None = None
    steps_per_epoch: int | None = None
    samples_per_step: int | float | None = None
    tokens_per_step: int | float | None = None
    span: Span | None = span_field()


@dataclass(frozen=True, slots=True)
class Config:
    """One document, composed of all the files that it extends.

    `clip` and `loss_scale` are None for `none`; a loss scale that is a number alone is `fixed` with it.
    """

    optimizer: Optimizer
    optimizers: Mapping[str, Optimizer] = field(default_factory=dict)
    let: Mapping[str, Value] = field(default_factory=dict)
    layers: tuple[Layer, ...] = ()
    sets: Mapping[str, Filter] = field(default_factory=dict)
    rules: tuple[Rule, ...] = ()
    horizon: Horizon = field(default_factory=Horizon)
    schedule: tuple[Scheduled, ...] = ()
    options: tuple[Option, ...] = ()
    accumulate: int = 1
    clip: Form | None = None
    loss_scale: Form | None = None
    version: int = 1
    sources: tuple[str, ...] = field(default=(), compare=False)

    def all_optimizers(self) -> Iterable[Optimizer]:
        """The main optimizer, then the further ones."""
        yield self.optimizer
        yield from self.optimizers.values()
