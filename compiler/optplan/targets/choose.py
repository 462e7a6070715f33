"""Whether the native classes can take what a plan asks, and which class carries each group out.

Data from the catalog, no framework: the same answers come from a live model, a manifest and a checkpoint's header.
Each refusal names the rule that asks, stands at its place, and gives a parameter and the reason.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING

from optplan.diagnostics import Collector, Diagnostic
from optplan.resolve.groups import TARGETS
from optplan.resolve.training import LARGEST
from optplan.resolve.value import Attributes

if TYPE_CHECKING:
    from collections.abc import Callable

    from optplan.catalog import Catalog, Lowering, OptimizerType
    from optplan.resolve.network import Network
    from optplan.resolve.plan import Group, Origin, Plan
    from optplan.resolve.training import LossScale

# Gradients are made for these only.
_REAL = ("float", "bfloat", "complex")
# What there is for an embedding whose gradients are of the other kind.
_FOR_SPARSE = {
    "torch": "use `sparse_adam`, `sgd` or `adagrad` for it, or make the embedding with `sparse=False`",
    "mindspore": "use `sparse_adam` for it, or make the embedding an `nn.Embedding`",
}
_FOR_DENSE = {
    "torch": "use `adam`, or make the embedding with `sparse=True`",
    "mindspore": "use `adam`, or make the embedding an `nn.EmbeddingLookup` with `sparse=True`",
}

# Between which a scale and its inverse are numbers that float32 has in full; PyTorch keeps smaller inverses, too.
_SCALES = {"torch": (2.0**-126, LARGEST), "mindspore": (2.0**-126, 2.0**126)}


def lowering(group: Group, target: str, catalog: Catalog) -> Lowering | None:
    """The native class for a group's settings and schedule, with its reason; None where the target has none."""
    return catalog.optimizers[group.optimizer].lowering(target, group.settings, group.schedule)


def framework(plan: Plan, catalog: Catalog) -> str:
    """The target that a plan is held against: its own, or where it has none the only one that all its optimizers have.

    Where more than one could take it, or none, that is torch.
    """
    if plan.target is not None:
        return plan.target
    kinds = [catalog.optimizers[group.optimizer] for group in plan.groups if group.optimizer in catalog.optimizers]
    able = [target for target in TARGETS if all(target in kind.lowerings for kind in kinds)]
    return able[0] if len(able) == 1 else "torch"


def why_not(group: Group, target: str, catalog: Catalog) -> tuple[str, str | None]:
    """Why no class of `target` carries a group out, and what would, where that is known."""
    kind = catalog.optimizers[group.optimizer]
    if target in kind.refusals:
        return kind.refusals[target], None
    if target not in kind.lowerings:
        why = f"it is {' and '.join(kind.lowerings)}'s own"
        near = catalog.optimizers.get(kind.canonical or "")
        if near is None or target not in near.lowerings:
            return why, None
        cure = f"`{near.name}` is the nearest that every framework has; `optplan help {kind.name}` tells what differs"
        return why, cure
    asks: list[str] = []
    for by in kind.lowerings[target]:
        keys = [key for key in group.schedule if by.scheduled is not None and key not in by.scheduled]
        conditions = [str(each) for each in by.when if not each.holds(group.settings)]
        if keys and not conditions:
            asks.append(f"no schedule of {' and '.join(f'`{key}`' for key in keys)}")
        else:
            asks.append(" and ".join(f"`{each}`" for each in conditions))
    return f"it asks for {' or for '.join(asks)}", None


def require(plan: Plan, network: Network, target: str, catalog: Catalog) -> None:
    """ConfigError with what `target` cannot carry out of a plan that was made for another one, or for none.

    Such a plan was not held against the classes of `target`.
    """
    if plan.target != target or any(lowering(group, target, catalog) is None for group in plan.groups):
        collector = Collector()
        check(replace(plan, target=target), network, catalog, collector)
        collector.check()


def check(plan: Plan, network: Network, catalog: Catalog, collector: Collector) -> None:
    """Report groups that their optimizer cannot take (OP501) and options that exclude each other (OP504)."""
    _Check(plan, network, catalog, collector).run()


class _Check:
    """One plan, held against the requirements of its optimizers."""

    def __init__(self, plan: Plan, network: Network, catalog: Catalog, collector: Collector) -> None:
        self._plan, self._network, self._catalog, self._collector = plan, network, catalog, collector
        self._target = framework(plan, catalog)
        # The main optimizer stands behind the rules.
        self._main = len(plan.origins) - 1
        self._kinds = {group.optimizer: catalog.optimizers[group.optimizer] for group in plan.groups}

    def run(self) -> None:
        for group in self._plan.groups:
            kind = self._kinds[group.optimizer]
            by = lowering(group, self._target, self._catalog)
            if by is None:
                self._missing(group, kind)
                continue
            self._ending(group)
            self._parameters(group, kind)
            self._gradients(group, kind, by)
            self._step(group)
            self._torch_step(group, kind)
            if not by.loss_scale and self._plan.loss_scale is not None and not self._plan.loss_scale.drops:
                self._collector.add(unable(self._plan.loss_scale, group, by))
            self._beginnings(group, kind)
            for _, message in by.check_together({**group.settings, **group.options_of(by.target)}):
                place = self._set_by(group, lambda key: key.startswith(f"{self._target}."))
                self._refuse(f"{message}, for `{group.parameters[0]}`", place, code="OP504")
        for kind in self._kinds.values():
            self._together([group for group in self._plan.groups if group.optimizer == kind.name], kind)
        self._thawed()
        self._scale()

    def _scale(self) -> None:
        """Whether the loss scale can be taken out again: its inverse is what gradients are multiplied by."""
        scale = self._plan.loss_scale
        least, most = _SCALES[self._target]
        if scale is not None and not least <= scale.init <= most:
            does = "gradients become 0" if scale.init > most else "gradients overflow"
            what = f"{self._target} takes no loss scale of {scale.init:g} out again in float32: {does}"
            self._collector.add(refused_at(scale.origin, what, f"keep it between {least:.3g} and {most:.3g}"))

    # One group

    def _missing(self, group: Group, kind: OptimizerType) -> None:
        """Nothing on the target carries the group out: why, and what there is."""
        what = f"`{kind.name}` cannot be carried out on {self._target}, and `{group.parameters[0]}` has it"
        why, cure = why_not(group, self._target, self._catalog)
        self._refuse(f"{what}: {why}", group.origin, cure)

    def _ending(self, group: Group) -> None:
        """Whether each curve ends, where it is laid out in a table beforehand."""
        if self._target != "mindspore" or self._plan.horizon.steps is not None:
            return
        for key, curve in group.curves:
            if curve.endless:
                what = f"the policy of `{key}` for `{group.parameters[0]}` never ends, and mindspore needs its end"
                place, lead = policy_at(self._plan, group, key)
                cure = "give a `horizon`, such as `horizon: {steps: 100k}`"
                self._collector.add(refused_at(place, lead + what, cure, "OP407"))
                return

    def _parameters(self, group: Group, kind: OptimizerType) -> None:
        """What each parameter must be."""
        for condition in kind.requirements.parameters:
            refused = [name for name in group.parameters if not condition.holds(self._values(name))]
            if not refused:
                continue
            shape = list(self._attributes(refused[0]).shape)
            what = f"`{kind.name}` takes only parameters with {condition}, and `{refused[0]}` has shape {shape}"
            sizes = [sum(self._attributes(name).numel for name in names) for names in (refused, group.parameters)]
            share = f"{sizes[0] / max(1, sizes[1]):.0%} of the elements"
            many = f"{len(refused)} of {len(group.parameters)} parameters, {share}"
            cure = f"add `and {condition}` to the rule's filter; {many}, go by other rules then"
            if group.origin == self._main:
                cure = f"let a rule `use` another optimizer where not {condition}: {many}"
            self._refuse(what, group.origin, cure)
            return

    def _values(self, name: str) -> dict[str, int | None]:
        """What a condition on a parameter may ask for."""
        attributes = self._attributes(name)
        return {key: attributes.get(key) for key in ("ndim", "numel", "fan_in", "fan_out")}

    def _gradients(self, group: Group, kind: OptimizerType, by: Lowering) -> None:
        """Whether its gradients are of the kind that is taken, where that is known."""
        needs = kind.requirements
        values = {**group.settings, **group.options_of(self._target)}
        takes_dense = "sparse" not in (needs.gradients, by.gradients)
        takes_sparse = "dense" not in (needs.gradients, by.gradients) and all(c.holds(values) for c in needs.sparse)
        if takes_dense and takes_sparse:
            return
        for name in group.parameters if self._sparse else ():
            sparse = self._sparse[name]
            if not takes_dense and sparse is False:
                what = f"`{kind.name}` takes only sparse gradients, and `{name}` has dense ones"
                cure = _FOR_DENSE[self._target]
            elif sparse and not takes_sparse:
                why = "" if needs.gradients == "dense" else f" unless {' and '.join(map(str, needs.sparse))}"
                if by.gradients == "dense":
                    why = f" on {self._target}"
                what = f"`{kind.name}` takes only dense gradients{why}, and `{name}` has sparse ones"
                cure = _FOR_SPARSE[self._target]
            else:
                continue
            self._refuse(what, group.origin, cure)
            return

    def _step(self, group: Group) -> None:
        """Whether what lies between loss and update takes gradients of its kind, where that is known."""
        plan = self._plan
        sparse = next((name for name in group.parameters if self._sparse.get(name)), None)
        if sparse is None or self._target != "mindspore":
            return
        have, cure = f"and `{sparse}` has sparse ones", "make the embedding an `nn.Embedding`"
        if plan.clip is not None and plan.clip.kind == "value":
            what = f"`{plan.clip}` takes only dense gradients on mindspore, {have}"
            self._collector.add(refused_at(plan.clip.origin, what, f"write `norm(...)`, or {cure}"))
        if plan.accumulate > 1:
            self._refuse(f"`accumulate` takes only dense gradients on mindspore, {have}", group.origin, cure)
        scale = plan.loss_scale
        if scale is not None and scale.drops:
            what = f"`{scale}` takes only dense gradients on mindspore, {have}"
            how = "write `fixed(1024, drop_overflow=false)`, which drops no update"
            self._collector.add(refused_at(scale.origin, what, f"{how}, or {cure}"))

    def _torch_step(self, group: Group, kind: OptimizerType) -> None:
        """Whether PyTorch's GradScaler takes what its optimizer and its parameters are."""
        scale = self._plan.loss_scale
        if self._target != "torch":
            return
        if kind.requirements.closure:
            evaluates = f"`{kind.name}` evaluates the loss anew within an update"
            if scale is not None:
                what = f"{evaluates}, and no loss scale can be taken out there"
                self._collector.add(refused_at(scale.origin, what, "leave `loss_scale` out, or use another optimizer"))
            if self._plan.accumulate > 1:
                what = f"{evaluates}, and nothing can be gathered for it: `accumulate` is {self._plan.accumulate}"
                cure = "leave `accumulate` out, and let the function that gives the loss go over all batches"
                self._refuse(what, group.origin, cure)
        self._torch_dtypes(group)

    def _torch_dtypes(self, group: Group) -> None:
        """Whether PyTorch can take a loss scale out of gradients of their type, and clip them by value."""
        scale, clip = self._plan.loss_scale, self._plan.clip
        dtypes = {name: self._network.dtypes[self._index[name]] for name in group.parameters}
        split = next((name for name in dtypes if dtypes[name].startswith("complex")), None)
        name = next((name for name in dtypes if dtypes[name] == "float16"), split)
        if scale is not None and name is not None:
            what = f"`{scale}` takes no gradients of {dtypes[name]} on torch, and `{name}` has them"
            cure = "keep the weights in float32, and compute the loss under `torch.autocast`"
            if name == split:
                cure = "leave `loss_scale` out, or keep the weights as real numbers, by `torch.view_as_real`"
            self._collector.add(refused_at(scale.origin, what, cure))
        if clip is not None and clip.kind == "value" and split is not None:
            what = f"`{clip}` takes no gradients of {dtypes[split]} on torch, and `{split}` has them"
            self._collector.add(refused_at(clip.origin, what, "write `norm(...)`, which takes complex gradients too"))

    def _beginnings(self, group: Group, kind: OptimizerType) -> None:
        """Whether what must be there from the first update is."""
        for key in kind.requirements.from_start:
            curve = group.schedule.get(key)
            if curve is None:
                continue
            own = group.own(key)
            if curve.value(0, own) == 0 < max(curve.extremes(own)):
                what = f"`{key}` of `{kind.name}` rises from 0 for `{group.parameters[0]}`"
                place = self._set_by(group, f"schedule.{key}".__eq__)
                cure = f"begin above 0: the first update makes the state that `{key}` needs, or makes none"
                self._refuse(what, place, cure)

    # Groups beside each other

    def _together(self, groups: list[Group], kind: OptimizerType) -> None:
        """What groups of one optimizer ask of each other and of the others."""
        needs = kind.requirements
        others = [group for group in self._plan.groups if group.optimizer != kind.name]
        if needs.alone and others:
            names = ", ".join(f"`{name}`" for name in sorted({group.optimizer for group in others}))
            what = (
                f"`{kind.name}` stands alone: it cannot be used beside {names}, which `{others[0].parameters[0]}` has"
            )
            places = [group.origin for group in (*groups, *others) if group.origin != self._main]
            self._refuse(what, places[0] if places else self._main)
        if needs.one_group and len(groups) > 1:
            blamed, place = self._first(groups, lambda _: True)
            what = (
                f"`{kind.name}` takes one group, and the plan has {len(groups)} of it: `{blamed.parameters[0]}` differs"
            )
            self._refuse(what, place)
        for key in needs.shared:
            if len({group.settings[key] for group in groups}) > 1:
                blamed, place = self._first(groups, key.__eq__)
                what = f"`{key}` of `{kind.name}` is one for all groups, and `{blamed.parameters[0]}` has another"
                self._refuse(what, place)

    def _thawed(self) -> None:
        """Whether what is taken in can have gradients."""
        if not self._plan.thawed:
            return
        for name in self._plan.thawed:
            dtype = self._network.dtypes[self._index[name]]
            if not dtype.startswith(_REAL):
                rules = self._plan.cases[self._plan.case_of[self._index[name]]].rules
                self._refuse(f"`{name}` cannot be trained: it is of type {dtype}", rules[-1])
                return

    # What is known of a parameter

    @cached_property
    def _index(self) -> dict[str, int]:
        return {name: number for number, name in enumerate(self._network.names)}

    def _attributes(self, name: str) -> Attributes:
        number = self._index[name]
        network = self._network
        transposed = network.kinds[network.module_kinds[network.owners[number]]].transposed
        return Attributes(network.shapes[number], transposed)

    @cached_property
    def _sparse(self) -> dict[str, bool | None]:
        """Whether each parameter's gradient is sparse, None where that is not known; empty where nobody minds."""
        network = self._network
        of_kind = [kind.sparse for kind in network.kinds]
        if True not in of_kind and all(kind.requirements.gradients != "sparse" for kind in self._kinds.values()):
            return {}
        of_module = [of_kind[kind] for kind in network.module_kinds]
        sparse = {name: of_module[owner] for name, owner in zip(network.names, network.owners, strict=True)}
        for number, aliases in network.aliases.items():
            # Gradients of both kinds add up to a dense one.
            uses = [of_module[network.owners[number]], *(of_module[alias.owner] for alias in aliases)]
            sparse[network.names[number]] = False if False in uses else None if None in uses else True
        return sparse

    # Whom to blame

    def _set_by(self, group: Group, about: Callable[[str], bool]) -> int:
        return set_by(self._plan, group, about)

    def _first(self, groups: list[Group], about: Callable[[str], bool]) -> tuple[Group, int]:
        """The first group that a rule made what it is, with that rule; the second group where there is none."""
        for group in groups:
            place = self._set_by(group, about)
            if place != self._main:
                return group, place
        return groups[1], self._main

    def _refuse(self, message: str, place: int, cure: str | None = None, code: str = "OP501") -> None:
        self._collector.add(refusal(self._plan, message, place, cure, code))


def unable(scale: LossScale | None, group: Group, by: Lowering) -> Diagnostic:
    """What is said where a class does not take out a loss scale that nothing else takes out."""
    if scale is None:
        raise AssertionError(by)
    what = f"`{by.class_name}` takes no loss scale out of its gradients, and `{scale}` leaves that to it"
    cure = f"write `fixed({scale.init:g})`, with which `compiled.train_step` does, or use another optimizer"
    return refused_at(scale.origin, f"{what}, for `{group.parameters[0]}`", cure)


def set_by(plan: Plan, group: Group, about: Callable[[str], bool]) -> int:
    """The place in the plan's origins of the last rule that set a key which `about` picks; of the main optimizer else.

    Of what the group's first parameter went through.
    """
    case = plan.cases[plan.case_of[plan.names.index(group.parameters[0])]]
    touched = {touch.rule for touch in case.history if touch.note is None and about(touch.key)}
    return next((rule for rule in reversed(case.rules) if plan.origins[rule].rule in touched), len(plan.origins) - 1)


def policy_at(plan: Plan, group: Group, key: str) -> tuple[Origin, str]:
    """Where the policy of `key` stands that the group's first parameter has, at its key, and the rule to name.

    The text there is known where it is on a line of a rule or of the main optimizer.
    """
    case = plan.cases[plan.case_of[plan.names.index(group.parameters[0])]]
    touch = next(each for each in reversed(case.history) if each.key == f"schedule.{key}" and each.note is None)
    lines = {(at.source, at.line): at.text for at in plan.origins}
    text = lines.get((touch.source, touch.line), "")
    end = touch.column + len(key)
    lead = "" if touch.rule == "schedule" else f"rule `{touch.rule}`: "
    return plan.origins[-1]._replace(
        source=touch.source, line=touch.line, column=touch.column, end_line=touch.line, end_column=end, text=text
    ), lead


def refusal(plan: Plan, message: str, place: int, cure: str | None = None, code: str = "OP501") -> Diagnostic:
    """What is said at a rule, which the message names, or at the main optimizer."""
    at = plan.origins[place]
    lead = "" if place == len(plan.origins) - 1 else f"rule `{at.rule}`: "
    return refused_at(at, lead + message, cure, code)


def refused_at(at: Origin | None, message: str, cure: str | None = None, code: str = "OP501") -> Diagnostic:
    """What is said at a place of a document."""
    if at is None:
        return Diagnostic(code, "error", message, help=cure)
    where = (at.source, at.line, at.column, at.end_line, at.end_column)
    return Diagnostic(code, "error", message, *where, cure, excerpt=(at.text or None) if at.line else None)
