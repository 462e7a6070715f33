"""The state of MindSpore's optimizers, under the names, in the shapes and with the meaning that PyTorch has for it.

Takes the members of a bound plan; gives what they know of each parameter, and writes it back in the one way that steps
which are compiled already see: `ops.assign`.  What PyTorch calls a class's state is data of the catalog
(`Lowering.state`); a class of MindSpore's own formula, which PyTorch does not have, shows its state by its own names.

Three things are kept in another way than in PyTorch, and stand here:

    step     PyTorch counts each parameter's updates.  A member has one count for all of its parameters: `global_step`,
             by which schedules go, less `begun`, if they came to a run that had made updates before.
    buffers  `nn.SGD` has them from the start, and in `stat` a 1 for each element whose buffer is not made yet.
    shapes   What belongs to a weight of four dimensions that is known with three has one of 1 more too.
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from mindspore import Parameter, ParameterTuple, Tensor, nn, ops
from mindspore import dtype as mstype

from optplan.state.saved import Array

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from optplan.catalog import Lowering
    from optplan.resolve.plan import Group

Value = Any
"""What is read of a field: a number, or a float array of numpy's."""

__all__ = ["Keeper", "Lack", "Value", "array_of", "packed", "rate_of"]

# What counts updates, under the name that PyTorch has for it
COUNT = "global_step"
# Of what is no state but a setting, which a class of MindSpore keeps as a parameter
_SETTINGS = frozenset({COUNT, "learning_rate", "begun", "momentum", "fake_lr", "fake_param"})
# What state begins with, where that is not 0
_FIRST = {"stat": 1.0, "mu": 1.0, "mu_product": 1.0}


class Lack(NamedTuple):
    """What a member cannot carry: of these parameters, their `field`, and why, as the end of a sentence.

    `otherwise` is what becomes of it where that is allowed.
    """

    names: tuple[str, ...]
    field: str
    why: str
    otherwise: str = "the others' stands for all"


class Keeper:
    """Where one optimizer keeps the state of its parameters.

    `names` are the canonical names of these, in its order; `fields` has for each what it has once an update was made:
    the shape of each field as PyTorch has it, or None for a number.
    """

    def __init__(
        self,
        optimizer: nn.Optimizer,
        groups: Sequence[Group],
        by: Lowering,
        names: Mapping[int, str],
        shapes: Mapping[str, tuple[int, ...]],
    ) -> None:
        self._outer = optimizer
        # `nn.LARS` is around the optimizer that has the state
        self._optimizer = optimizer.opt if isinstance(optimizer, nn.LARS) else optimizer
        self._by = by
        self._group = {name: group for group in groups for name in group.parameters}
        self._weights = list(self._optimizer.parameters)
        self.names = tuple(names[id(each)] for each in self._weights)
        self._shapes = shapes
        pairs = zip(self.names, self._weights, strict=True)
        self._flat = {name for name, weight in pairs if weight.ndim > len(shapes[name])}
        self._own: dict[str, dict[str, Parameter]] = {name: {} for name in self.names}
        self._shared: dict[str, Parameter] = {}
        self._look()
        self.fields = {name: self._fields(name) for name in self.names}
        # What was given state before its first update here
        self._given: frozenset[str] = frozenset()
        # What state of a class of MindSpore's own began with, which nothing else tells
        begun = [each for of in (self._shared, *self._own.values()) for each in of.values()] if by.state is None else []
        self._first = {id(each): _compact(array_of(each)) for each in begun}

    # Where things are

    def _look(self) -> None:
        """Find the state by the attributes that hold it; by names of parameters, which are new at this time."""
        weights = {id(each) for each in self._weights}
        for attribute, held in vars(self._optimizer).items():
            if not isinstance(held, ParameterTuple) or len(held) != len(self._weights):
                continue
            for name, weight, state in zip(self.names, self._weights, held, strict=True):
                if id(state) not in weights:
                    found = state.name.removesuffix(weight.name).rstrip("._")
                    self._own[name].setdefault(found if found != state.name else attribute, state)
        for attribute, state in self._optimizer._params.items():  # noqa: SLF001 - where MindSpore itself keeps them
            # A `ParameterTuple` makes what it lists parameters too, under names with a dot
            if id(state) not in weights and "." not in attribute and attribute not in _SETTINGS:
                self._shared[attribute] = state
        listed = {id(each) for of in self._own.values() for each in of.values()}
        self._shared = {name: each for name, each in self._shared.items() if id(each) not in listed}

    @cached_property
    def _natives(self) -> Mapping[str, str]:
        """What each field is called here."""
        if self._by.state is not None:
            return self._by.state
        found = {native: native for of in self._own.values() for native in of}
        return {"step": COUNT, **found, **{native: native for native in self._shared}}

    def _fields(self, name: str) -> dict[str, tuple[int, ...] | None]:
        found: dict[str, tuple[int, ...] | None] = {}
        for field, native in self._natives.items():
            if native == COUNT:
                found[field] = None
            elif native in self._own[name]:
                shape = tuple(self._own[name][native].shape)
                found[field] = None if self._is_number(name, native) else self._plain(name, shape)
            elif native in self._shared:
                found[field] = None
        return found

    def _is_number(self, name: str, native: str) -> bool:
        """Whether it is one number for the whole parameter, as the eta of ASGD."""
        return not self._own[name][native].shape and bool(self._shapes[name])

    def _plain(self, name: str, shape: tuple[int, ...]) -> tuple[int, ...]:
        """A shape of state without the dimension that the parameter has here only: the one before its last."""
        more = name in self._flat and len(shape) == len(self._shapes[name]) + 1
        return (*shape[:-2], shape[-1]) if more else shape

    # Reading

    @property
    def count(self) -> int:
        """How many updates it has made, which is the t that its schedules are at."""
        return int(self._outer.global_step.asnumpy()[0])

    @property
    def made(self) -> int:
        """How many updates its parameters have had."""
        begun = getattr(self._optimizer, "begun", None)
        return self.count - (0 if begun is None else int(begun.asnumpy()[0]))

    def read(self) -> dict[str, dict[str, Value]]:
        """By parameter, the fields of its state: copies.  Before its first update a parameter has what it was given."""
        made = self.made
        there = self.names if made else self._given
        if not there:
            return {name: {} for name in self.names}
        numbers = {native: float(each.asnumpy().reshape(-1)[0]) for native, each in self._shared.items()}
        found: dict[str, dict[str, Value]] = {}
        for name in self.names:
            if name not in there:
                found[name] = {}
                continue
            own, fields = self._own[name], self.fields[name]
            unmade = "stat" in own and self._by.state is not None and bool(np.any(array_of(own["stat"])))
            state: dict[str, Value] = {}
            for field, native in self._natives.items():
                if field not in fields or unmade:
                    continue
                if native == COUNT:
                    state[field] = made
                elif native in own:
                    values = array_of(own[native])
                    shape = fields[field]
                    state[field] = float(values) if shape is None else values.reshape(shape).copy()
                else:
                    state[field] = numbers[native]
            found[name] = state
        return found

    # Writing

    def lacks(self, state: Mapping[str, Mapping[str, Any]], updates: int) -> list[Lack]:
        """What of `state`, by parameter and field, one optimizer cannot have for all its parameters at once.

        Beside the fields themselves and their shapes; `updates` is the t that its schedules will be at.
        """
        found = self._misfits(state) if self._by.state is None else []
        single = [field for field, native in self._natives.items() if native == COUNT or native in self._shared]
        if self._by.state is not None and not self.counts:
            # The formulas of stock classes that carry out PyTorch's do not go by it
            single = [field for field in single if self._natives[field] != COUNT]
        for field in single:
            values = {name: _number(state.get(name, {}).get(field)) for name in self.names}
            counts = field == "step"
            taken = self._taken(field, values, updates)
            if counts:
                # What has no state has had no update
                values = {name: value or 0.0 for name, value in values.items()}
            other = tuple(name for name, value in values.items() if value is not None and value != taken)
            if other:
                told = f"{values[other[0]]:g}"
                why = f"MindSpore keeps one `{field}` for all parameters of an optimizer: {taken:g} here, not {told}"
                found.append(Lack(other, field, why))
            elif counts and taken not in (0, updates) and not self.counts:
                why = f"`{self._by.class_name}` counts {updates} updates, and cannot begin at {taken:g}"
                found.append(Lack(self.names, field, why))
        return found

    def _misfits(self, state: Mapping[str, Mapping[str, Any]]) -> list[Lack]:
        """What is of another shape; of the fields that PyTorch has too, that has been looked at."""
        found = []
        for name in self.names:
            for native, own in self._own[name].items():
                given = state.get(name, {}).get(native)
                if given is not None and not _fits(values := array_of(given), own):
                    needed = list(self._plain(name, tuple(own.shape)))
                    why = f"it has shape {list(values.shape)}, and needs {needed} here"
                    found.append(Lack((name,), native, why, "it begins anew"))
        return found

    @property
    def counts(self) -> bool:
        """Whether its formula goes by a count of its own, which may have begun at any update."""
        return hasattr(self._optimizer, "begun") and COUNT in self._natives.values()

    def _taken(self, field: str, values: Mapping[str, float | None], updates: int) -> float:
        """The number that stands for all parameters: what most of them have."""
        given = [0.0 if value is None and field == "step" else value for value in values.values()]
        there = [value for value in given if value is not None]
        return max(there, key=there.count) if there else float(updates if field == "step" else 0)

    def write(self, state: Mapping[str, Mapping[str, Any]], updates: int) -> None:
        """Go on from `state`, at update `updates`; what a parameter lacks begins anew.

        `lacks` tells what is lost thereby.  Nothing is shared with `state`.
        """
        made: float = updates
        for field, native in self._natives.items():
            if native == COUNT or native in self._shared:
                values = {name: _number(state.get(name, {}).get(field)) for name in self.names}
                taken = self._taken(field, values, updates)
                if native == COUNT:
                    made = taken
                elif any(value is not None for value in values.values()):
                    _assign(self._shared[native], np.array(taken))
                else:
                    self._begin(self.names[0], native, self._shared[native])
        if not any(native == COUNT for native in self._natives.values()) and not any(state.get(n) for n in self.names):
            # Nothing tells; and without anything made there is nothing to correct
            made = 0 if hasattr(self._optimizer, "begun") else updates
        self._go_to(updates, int(made))
        for name in self.names:
            self._write(name, state.get(name, {}))
        self._given = frozenset(name for name in self.names if state.get(name))

    def _go_to(self, updates: int, made: int) -> None:
        _assign(self._outer.global_step, np.array([updates]))
        if self._outer is not self._optimizer:
            _assign(self._optimizer.global_step, np.array([updates]))
        if hasattr(self._optimizer, "begun"):
            _assign(self._optimizer.begun, np.array([updates - made]))

    def _write(self, name: str, given: Mapping[str, Any]) -> None:
        own = self._own[name]
        kept = {
            native: given[field]
            for field, native in self._natives.items()
            if field in given and native in own and _fits(array_of(given[field]), own[native])
        }
        for native, state in own.items():
            if native in kept:
                values = array_of(kept[native])
                # A number stands for as many of it
                _assign(state, values if values.size == state.size else np.full(state.shape, values.reshape(-1)[0]))
            elif native == "stat" and self._by.state is not None:
                _assign(state, np.full(state.shape, 0.0 if kept else 1.0))
            else:
                self._begin(name, native, state)

    def _begin(self, name: str, native: str, state: Parameter) -> None:
        """Put there what it began with."""
        if id(state) in self._first:
            values = self._first[id(state)]
            _assign(state, values if values.size == state.size else np.full(state.shape, values.item()))
            return
        settings = self._group[name].settings
        first = settings.get("initial_accumulator_value", 0.0) if native == "sum" else _FIRST.get(native, 0.0)
        _assign(state, np.full(state.shape, first))


def rate_of(optimizer: nn.Optimizer) -> Parameter:
    """The learning rate of an optimizer that has one fixed one."""
    found: Parameter = (optimizer.opt if isinstance(optimizer, nn.LARS) else optimizer).learning_rate
    return found


def array_of(value: Any) -> NDArray[Any]:
    """A number, or an array or tensor of anyone, as an array, which may share its memory."""
    if isinstance(value, Array):
        if value.dtype == "bfloat16":
            halves = np.frombuffer(value.data, np.uint16).astype(np.uint32) << 16
            return halves.view(np.float32).reshape(value.shape)
        return np.frombuffer(value.data, value.dtype).reshape(value.shape)
    if isinstance(value, Tensor):
        if value.dtype == mstype.bfloat16:
            value = value.astype(mstype.float32)
        value = value.asnumpy()
    elif hasattr(value, "detach"):
        value = value.detach().cpu()
        value = (value.float() if "bfloat16" in str(value.dtype) else value).numpy()
    found: NDArray[Any] = np.asarray(value)
    return found


def _fits(values: NDArray[Any], state: Parameter) -> bool:
    """Whether values can be written: as many, or one number for all."""
    return values.size == state.size or values.ndim == 0


def _compact(values: NDArray[Any]) -> NDArray[Any]:
    """A copy of an array, of one element where all are the same."""
    first = values.reshape(-1)[:1]
    return (first if bool((values == first).all()) else values).copy()


def packed(values: NDArray[Any]) -> Array:
    """The same array as bytes."""
    return Array(values.dtype.name, values.shape, np.ascontiguousarray(values).tobytes())


def _number(value: Any) -> float | None:
    return None if value is None else float(array_of(value).reshape(-1)[0])


def _assign(state: Parameter, values: NDArray[Any]) -> None:
    ops.assign(state, Tensor(np.ascontiguousarray(values).reshape(state.shape), state.dtype))
