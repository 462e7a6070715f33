"""What the user holds, whatever the framework: a plan's native objects, and answers about them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import replace
from typing import TYPE_CHECKING, Any, SupportsFloat

from optplan.state import files, stock
from optplan.state.compare import place
from optplan.state.saved import parse
from optplan.weights import match

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from os import PathLike

    from optplan.diagnostics import Diagnostic
    from optplan.resolve.plan import Plan
    from optplan.state.compare import Differences, OnLoad, Placement
    from optplan.state.saved import Array, Saved, Value
    from optplan.step import StepResult

__all__ = ["Compiled"]


class Compiled(ABC):
    """A plan's native objects: `optimizer, scheduler = compiled`.

    `optimizer` is a `torch.optim.Optimizer` or a `mindspore.nn.Optimizer`; `scheduler` is a `LRScheduler`, or None
    where nothing is scheduled, and in MindSpore, where schedules are inside the optimizer; `scaler` is a
    `torch.amp.GradScaler` or a loss scaler of `mindspore.amp`, or None without a loss scale.  `clip_gradients`
    clips as the plan says: in PyTorch, `clip_gradients()`, what the parameters have; in MindSpore what it is given.
    """

    optimizer: Any
    scheduler: Any = None
    scaler: Any = None
    clip_gradients: Any

    def __init__(self, plan: Plan, parameters: Mapping[str, Any], beside: Mapping[str, Any]) -> None:
        # `beside` has what else the network loads, by the framework's own names: statistics, and parameters once more.
        self.plan = plan
        self._parameters = parameters
        self._beside = beside

    def __iter__(self) -> Iterator[Any]:
        yield self.optimizer
        yield self.scheduler

    @property
    @abstractmethod
    def parameters(self) -> tuple[Any, ...]:
        """The trained parameters, in the order in which the optimizer has them."""

    @property
    @abstractmethod
    def param_groups(self) -> list[dict[str, Any]]:
        """The groups as they stand: `params`, `name`, `optimizer` where there are several, and every setting."""

    @property
    def optimizer_class(self) -> type[Any]:
        """The class of the optimizer: in torch the one that `optimizer_class(param_groups, **defaults)` builds."""
        return type(self.optimizer)

    @property
    def defaults(self) -> dict[str, Any]:
        """Arguments of `optimizer_class` beside the groups, which carry all settings."""
        return {}

    @abstractmethod
    def lr(self) -> dict[str, float]:
        """The learning rate that the next update uses, by group."""

    @abstractmethod
    def settings(self) -> dict[str, dict[str, Any]]:
        """Every setting that the next update uses, by group."""

    @abstractmethod
    def report(self, *unnamed: Any, **metrics: SupportsFloat) -> None:
        """Tell each `plateau` of the plan the metric that it goes by: `compiled.report(loss=0.31)`.

        Between two updates, as often as the loop has a new one; what it changes, the next update uses.  A report does
        not count for a `plateau` that has not begun by the next update.  A number, or a tensor of one element.
        ValueError for a metric that none goes by, TypeError for one without its name (`unnamed`) or that is no number.
        """

    def step(
        self,
        loss: Any,  # noqa: ARG002 - what PyTorch's takes
        *,
        accumulate: int | None = None,  # noqa: ARG002 - as above
        update: bool | None = None,  # noqa: ARG002 - as above
        norm: bool = True,  # noqa: ARG002 - as above
    ) -> StepResult:
        """One training step from the loss of one batch, in PyTorch; TypeError in MindSpore, which has `train_step`.

        It stands in place of `zero_grad`, `backward`, `optimizer.step` and `scheduler.step`: scale, gradients, and
        where an update is due unscale, clip, update, schedule, clear.  `accumulate` counts for this batch in place of
        the file's; `update=True` makes an update after this batch, at the end of an epoch, `update=False` none;
        `norm=False` spares the norm where clipping does not need it.
        """
        raise TypeError("no loss of MindSpore leads back to the network: use `compiled.train_step(network, loss_fn)`")

    def train_step(self, *args: Any, **options: Any) -> Any:  # noqa: ARG002 - what MindSpore's takes
        """What trains a network with one batch, in MindSpore; TypeError in PyTorch, which has `step`.

        `train_step(network, loss_fn=None, *, accumulate=None, norm=True, jit=False)` is called once; what it gives is
        called with each batch: `result = step(*inputs)`, with `update=True` for an update at the end of an epoch.  The
        loss is `loss_fn(network(*inputs[:-1]), inputs[-1])`, without a `loss_fn` what `network(*inputs)` gives.
        `accumulate` counts in place of the file's; `norm=False` spares the norm where clipping does not need it;
        `jit=True` makes one graph of the step in PyNative mode too.
        """
        raise TypeError("PyTorch needs no step made beforehand: call `compiled.step(loss)` with the loss of each batch")

    def loss_scale_manager(self) -> Any:
        """The `loss_scale_manager` for MindSpore's `Model`; TypeError in PyTorch, which has `scaler`.

        None without a loss scale; ConfigError (OP501) for what `Model` would not do: clip, accumulate, or on CPU drop
        an update.  `Model(compiled.train_step(network, loss_fn).cell)` does all of it.
        """
        raise TypeError("loss scale managers are for `mindspore.train.Model`: use `compiled.scaler`")

    def adopt(self, optimizer: Any) -> None:  # noqa: ARG002 - what the one of PyTorch takes
        """Go on with an optimizer that was made from `param_groups`; TypeError for a network of another framework."""
        raise TypeError("`optimizer_class` and `param_groups` rebuild optimizers of PyTorch only")

    def lightning(self, trainer: Any = None) -> dict[str, Any]:  # noqa: ARG002 - what the one of PyTorch takes
        """What `configure_optimizers` of a LightningModule returns; TypeError for a network of another framework."""
        raise TypeError("Lightning trains networks of PyTorch")

    def lr_of(self, name: str) -> float:
        """The learning rate that the next update uses for one parameter; KeyError if it is not trained."""
        if not isinstance(name, str):
            raise TypeError(f"a parameter is told by its name, and this is a `{type(name).__name__}`")
        group = self.plan.group_of(name)
        if group is None:
            raise KeyError(f"parameter {name!r} is frozen: it has no learning rate")
        return self.lr()[group.name]

    def load_weights(self, weights: Mapping[str, Any]) -> None:
        """Write `weights` into the network's parameters and statistics; all of them or none.

        Names are canonical, a tied parameter's others, or either framework's own: a `state_dict()` of PyTorch and what
        `mindspore.load_checkpoint(path)` gives are taken by the same network in either, with the statistics of norms.
        Values are arrays or tensors of the parameter's shape, or of the one that it has in the plan or in the other
        framework, cast to its type.  KeyError for a name that is not there, ValueError for another shape, and where two
        names of one parameter have different values, TypeError for what are no such values, or no mapping.

        Safe at any time.  In MindSpore `set_data`, `load_param_into_net` and `parameter[...] = ...` bind new memory,
        which a compiled step does not see: what they load after the first update is cut off from training, until the
        plan is bound to the network again.
        """
        ready: dict[int, tuple[str, Any, Any]] = {}
        for name, parameter, value in match(weights, self.plan, self._parameters, self._beside):
            try:
                made = self._made(parameter, value)
            except (TypeError, ValueError, RuntimeError) as error:
                why = str(error).partition("\n")[0]
                raise TypeError(f"the values of {name!r} cannot be written: {why}") from error
            first, _, other = ready.setdefault(id(parameter), (name, parameter, made))
            if other is not made and not self._same(parameter, other, made):
                raise ValueError(f"{first!r} and {name!r} are one parameter here, and have different values")
        for _, parameter, made in ready.values():
            self._write(parameter, made)

    @abstractmethod
    def _made(self, parameter: Any, value: Any) -> Any:
        """What `_write` takes for an array or tensor of anyone; TypeError, ValueError or RuntimeError for no such."""

    @abstractmethod
    def _same(self, parameter: Any, one: Any, other: Any) -> bool:
        """Whether two that `_made` gave would be the same in the parameter."""

    @abstractmethod
    def _write(self, parameter: Any, made: Any) -> None:
        """Copy what `_made` gave into the memory that the parameter has."""

    # What training has come to

    @property
    @abstractmethod
    def updates(self) -> int:
        """How many updates have been made: t of the next one."""

    def state_dict(self) -> dict[str, Any]:
        """What training has come to: a plain dict by canonical parameter names, of one form in both frameworks.

        `state` by parameter and field, which have the names, shapes and meaning of `torch.optim`'s; `groups` with the
        settings as they stand; `updates`, `scaler`, `reports` and the plan's `fingerprint`; see `optplan.state.saved`.
        In PyTorch tensors are the live ones, as in torch's own state dicts, those of a sharded network `DTensor`s, and
        `torch.load(weights_only=True)` takes the dict; in MindSpore they are arrays of numpy, copied.

        The network's own weights are not in it, nor gradients that are gathered for an update that is not made yet.
        """
        return self._saved().to_dict()

    def load_state_dict(
        self, state: Mapping[str, Any], *, on_load: OnLoad = "config", strict: bool = True
    ) -> Differences:
        """Go on from what `state_dict()` gave, in either framework; what differed, to be printed.

        A state dict of `torch.optim`, by index or by name as `torch.distributed.checkpoint` has it, is taken too.  It
        tells neither a loss scale nor reports, and no update where its optimizer counts none: these stay as they are.

        Parameters are found by name, whatever group they were in.  With `on_load="config"` the settings of the plan
        stand, with `"checkpoint"` the saved ones take their place: of a key that the plan schedules, as the value that
        its curve starts from.  The update count, a dynamic loss scale and reports go on in either case.  Everything is
        copied, and all of it or nothing.

        In MindSpore `optimizer` may be another one afterwards: where settings are loaded that are compiled into it, or
        parameters that have not all had as many updates.  Steps of `train_step` go on with it.

        ConfigError for what is no saved state (OP702), and unless `strict=False` for what is missing, extra, of another
        shape or of another optimizer (OP703 to OP706); without it that begins anew or is left out, and is told.
        """
        if isinstance(state, dict) and "format" not in state and "param_groups" in state:
            now = self._saved()
            saved = stock.read(state, self.plan, updates=now.updates)
            found = self._load(replace(saved, scaler=now.scaler, reports=now.reports), on_load, strict)
            return replace(found, diagnostics=(*stock.count_untold(saved, self.plan), *found.diagnostics))
        return self._load(parse(state), on_load, strict)

    def save(self, path: str | PathLike[str]) -> None:
        """Write `state_dict()` into one safetensors file, whole or not at all: a process killed leaves the older file.

        Numbers and settings are JSON in its `__metadata__`.  Where parameters are sharded every process must call
        this: they gather each tensor together, and the first one writes.  OSError where it cannot be written.
        """
        saved = self._saved()
        files.write(path, saved, map(self._packed, files.tensors(saved)))

    def restore(self, path: str | PathLike[str], *, on_load: OnLoad = "config", strict: bool = True) -> Differences:
        """Go on from what `save` wrote, in either framework, as `load_state_dict` does; nothing in a file is run.

        ConfigError (OP701, OP702) for a file that is none of these.
        """
        return self._load(files.read(path), on_load, strict)

    def add_group(self, module: Any, *, plan: Plan | None = None) -> None:
        """Take in the parameters of `module`, now a part of the network, by the rules of the plan's file.

        The whole network is planned anew as the plan was made, in this process, or `plan` is the new plan: one read
        from JSON knows no file.  What is trained already keeps its state and, which is checked, its treatment; the new
        parameters are groups of their own, and the schedule goes on at t.  ConfigError (OP709) with what would change,
        where `module` has nothing new or is not all that is new, and where no plan can be made.
        """
        raise NotImplementedError

    def _load(self, saved: Saved, on_load: OnLoad, strict: bool) -> Differences:
        placed = place(saved, self.plan, on_load=on_load, strict=strict)
        more = self._put(placed, strict=strict)
        return replace(placed.differences, diagnostics=(*placed.differences.diagnostics, *more))

    @abstractmethod
    def _saved(self) -> Saved:
        """All that training has come to, with the values as they are here."""

    @abstractmethod
    def _put(self, placed: Placement, *, strict: bool) -> Sequence[Diagnostic]:
        """Go on from what `placed` says, all of it or none; what could not be carried over, where that is allowed."""

    @abstractmethod
    def _packed(self, value: Value) -> Array:
        """The bytes of a value of `_saved()`."""

    def __repr__(self) -> str:
        kind = type(self.optimizer).__name__
        return f"<Compiled {kind}, {len(self.plan.groups)} groups>\n{self.plan!r}"

    def _repr_html_(self) -> str:
        html: str = self.plan._repr_html_()  # type: ignore[attr-defined]  # the protocol of notebooks; a plan in hand is binding's
        return html
