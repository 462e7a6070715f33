"""The neutral view of a `torch.nn.Module`.

Names are the network's own: what wraps it (DDP, FSDP, `torch.compile`, activation checkpointing, `AveragedModel`) is
known by its class and passed over, and a parametrized weight has the name that it had before.  Order and first names
are those of `named_parameters()`.  Nothing is computed and no parameter is touched, so modules on the meta device
serve as well.

What is sharded as DTensors (`fully_shard`) shows the shapes of the whole network and is as good as that.  Other shards
(FSDP1's flat parameters, parameters without elements) are not, and no plan is made from them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import nn
from torch.nn.utils.parametrize import ParametrizationList

from optplan.diagnostics import ConfigError, diagnostic
from optplan.resolve.network import Alias, Kind, Network, families_by_name

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from optplan.resolve.network import Shape


DATA_PARALLEL = "torch.nn.parallel.distributed.DistributedDataParallel"
FULLY_SHARDED = "torch.distributed.fsdp.fully_sharded_data_parallel.FullyShardedDataParallel"
# Where each wrapper keeps what it wraps.  By full name: importing them all would take longer than making a plan.
_WRAPPERS = {
    DATA_PARALLEL: "module",
    "torch.nn.parallel.data_parallel.DataParallel": "module",
    "torch._dynamo.eval_frame.OptimizedModule": "_orig_mod",
    FULLY_SHARDED: "_fsdp_wrapped_module",
    "torch.distributed.algorithms._checkpoint.checkpoint_wrapper.ActivationWrapper": "_checkpoint_wrapped_module",
    "torch.optim.swa_utils.AveragedModel": "module",
}

_FAMILIES: Mapping[str, tuple[type[nn.Module], ...]] = {
    "norm": (
        nn.modules.batchnorm._NormBase,  # noqa: SLF001 - the common base of batch and instance norms
        nn.LayerNorm,
        nn.GroupNorm,
        nn.RMSNorm,
        nn.LocalResponseNorm,
        nn.CrossMapLRN2d,
    ),
    "conv": (nn.modules.conv._ConvNd,),  # noqa: SLF001 - the common base of all convolutions
    "linear": (nn.Linear, nn.Bilinear),
    "embedding": (nn.Embedding, nn.EmbeddingBag),
    "attention": (nn.MultiheadAttention,),
    "recurrent": (nn.RNNBase, nn.RNNCellBase),
}
# transformers' linear layer whose weight stands as (in, out); by name, so that transformers is not imported.
_CONV1D = frozenset({"transformers.pytorch_utils.Conv1D", "transformers.modeling_utils.Conv1D"})

_DTYPES = {value: str(value).removeprefix("torch.") for value in vars(torch).values() if isinstance(value, torch.dtype)}


# What these return of torch's own has dense gradients.
_DENSE = frozenset({"norm", "conv", "linear", "recurrent", "attention"})


class View(NamedTuple):
    """A network, its parameters in the same order, and the full names of the classes that wrap it or parts of it.

    Of these FSDP1's is left out where it shards nothing.
    """

    network: Network
    parameters: list[nn.Parameter]
    wrappers: frozenset[str]


def view(module: nn.Module, *, sharded: bool = False) -> View:
    """The view of `module`; with `sharded` also where parameters are shards that do not show the shape of the whole.

    ConfigError where a parameter has no shape yet or two have one name (OP211), where one is a shard (OP507), or where
    this is no module (OP503).
    """
    if not isinstance(module, nn.Module):
        message = f"a `{type(module).__name__}` is no network"
        raise ConfigError([diagnostic("OP503", message, help="pass a `torch.nn.Module`")])
    seen = _Walk().run(module)
    _check_flat(seen)
    if not sharded:
        _check_whole(seen)
    return seen


_Class = tuple[str | None, int | None]
"""Of a class of modules: where a wrapper keeps what it wraps, and the number of its kind unless the module decides."""


class _Walk:
    """One walk down a module tree, filling the columns of a network.

    What it does per module and per parameter is most of what a plan costs, so it does little, with everything at
    hand in local names: names, owners and identities on the way down, shapes and dtypes afterwards, column by column.
    """

    def __init__(self) -> None:
        self._classes: dict[type[nn.Module], _Class] = {}
        self._kinds: dict[Kind, int] = {}
        self._parents: list[int] = []
        self._segments: list[str] = []
        self._module_kinds: list[int] = []
        self._names: list[str] = []
        self._owners: list[int] = []
        self._locals: list[str] = []
        self._parameters: list[nn.Parameter] = []
        self._index: dict[int, int] = {}
        self._aliases: dict[int, list[Alias]] = {}
        # Whether a name is not the one that torch gives, so that two might be the same.
        self._renamed = False
        self._wrappers: set[str] = set()

    def run(self, module: nn.Module) -> View:
        """Walk from `module` down."""
        self._visitor()(module, -1, "", "")
        parameters = self._parameters
        self._check(parameters)
        # One pass over the parameters: each lies elsewhere in memory, and fetching it is what costs.  Equal shapes are
        # one tuple: that many new ones would set the garbage collector to work.
        shapes: list[Shape] = []
        plain: dict[Shape, Shape] = {}
        dtypes: list[torch.dtype] = []
        trainable: list[bool] = []
        add_shape, add_dtype, add_trainable = shapes.append, dtypes.append, trainable.append
        for parameter in parameters:
            size = parameter.shape
            add_shape(plain.get(size) or plain.setdefault(size, tuple(size)))
            add_dtype(parameter.dtype)
            add_trainable(parameter.requires_grad)
        network = Network(
            "torch",
            tuple(self._kinds),
            tuple(self._parents),
            tuple(self._segments),
            tuple(self._module_kinds),
            tuple(self._names),
            tuple(self._owners),
            tuple(self._locals),
            tuple(shapes),
            tuple(map(_DTYPES.__getitem__, dtypes)),
            tuple(trainable),
            {number: tuple(aliases) for number, aliases in self._aliases.items()},
        )
        return View(network, parameters, frozenset(self._wrappers))

    def _visitor(self) -> Callable[[nn.Module, int, str, str], None]:
        """What visits a module, given the number of the one above, its name in that, and what its names begin with."""
        names, index, of_classes = self._names, self._index, self._classes
        parents = self._parents
        add_parent, add_segment, add_kind = parents.append, self._segments.append, self._module_kinds.append
        add_name, add_owner, add_local = names.append, self._owners.append, self._locals.append
        add_parameter = self._parameters.append
        # The modules on the way from the root: one that contains itself is not entered again.
        path: set[int] = set()

        def visit(module: nn.Module, parent: int, segment: str, prefix: str) -> None:
            wraps, kind = of_classes.get(type(module)) or self._class(type(module))
            if wraps is not None:
                inner = module._modules.get(wraps)  # noqa: SLF001 - where torch itself keeps its children
                if inner is not None:
                    self._renamed = True
                    self._wrapper(module)
                    visit(inner, parent, segment, prefix)
                    return
            number = len(parents)
            add_parent(parent)
            add_segment(segment)
            add_kind(self._kind(module) if kind is None else kind)
            # `named_parameters` would ask each module for the same dicts, through four generators.
            for local, parameter in module._parameters.items():  # noqa: SLF001 - as above
                if parameter is None:
                    continue
                place = len(names)
                known = index.setdefault(id(parameter), place)
                if known == place:
                    add_name(prefix + local)
                    add_owner(number)
                    add_local(local)
                    add_parameter(parameter)
                else:
                    self._again(known, number, local, prefix + local)
            children = module._modules  # noqa: SLF001 - as above
            if not children:
                return
            identity = id(module)
            path.add(identity)
            for name, child in children.items():
                if child is None or id(child) in path:
                    continue
                if name == "parametrizations" and _of_parametrizations(child):
                    self._originals(child, number, prefix)
                    for inside, each in _parametrizing(child):
                        visit(each, number, inside, f"{prefix}{inside}.")
                else:
                    visit(child, number, name, f"{prefix}{name}.")
            path.discard(identity)

        return visit

    def _originals(self, lists: nn.Module, owner: int, prefix: str) -> None:
        """The originals of parametrized weights, under the names that they had."""
        self._renamed = True
        for tensor, each in lists.named_children():
            for local, parameter in each.named_parameters(recurse=False):
                # `original`, or `original0`, `original1`, ... where one weight is made of several.
                plain = tensor if local == "original" else f"{tensor}.{local}"
                known = self._index.setdefault(id(parameter), len(self._names))
                if known != len(self._names):
                    self._again(known, owner, plain, prefix + plain)
                    continue
                self._names.append(prefix + plain)
                self._owners.append(owner)
                self._locals.append(plain)
                self._parameters.append(parameter)

    def _again(self, known: int, owner: int, local: str, name: str) -> None:
        """Note a further name of the parameter number `known`."""
        if name != self._names[known]:
            self._aliases.setdefault(known, []).append(Alias(name, owner, local))

    def _check(self, parameters: list[nn.Parameter]) -> None:
        """Refuse names that are not unique, and parameters that cannot be read."""
        names = self._names
        if self._renamed and len(set(names)) < len(names):
            twice = next(name for name in names if names.count(name) > 1)
            raise ConfigError([diagnostic("OP211", f"two parameters are named `{twice}`")])
        if set(map(type, parameters)) != {nn.Parameter}:
            for name, parameter in zip(names, parameters, strict=True):
                _check_readable(parameter, name)

    def _class(self, cls: type[nn.Module]) -> _Class:
        wraps = next((_WRAPPERS[name] for name in _full_names(cls) if name in _WRAPPERS), None)
        varies = issubclass(cls, (*_FAMILIES["conv"], *_FAMILIES["embedding"]))
        made = self._classes[cls] = (wraps, None if varies else self._number(_kind_of(cls)))
        return made

    def _wrapper(self, module: nn.Module) -> None:
        """Note the class of a wrapper, unless it is FSDP's and leaves the parameters as they are."""
        name = next(name for name in _full_names(type(module)) if name in _WRAPPERS)
        strategy = getattr(getattr(module, "sharding_strategy", None), "name", None)
        if name != FULLY_SHARDED or strategy != "NO_SHARD" or not getattr(module, "_use_orig_params", False):
            self._wrappers.add(name)

    def _kind(self, module: nn.Module) -> int:
        """The kind of a module whose class does not settle it."""
        groups = getattr(module, "groups", 1)
        depthwise = isinstance(module, _FAMILIES["conv"]) and groups == getattr(module, "in_channels", 0) and groups > 1
        sparse = bool(getattr(module, "sparse", False))
        return self._number(_kind_of(type(module), depthwise=depthwise, sparse=sparse))

    def _number(self, kind: Kind) -> int:
        return self._kinds.setdefault(kind, len(self._kinds))


def _of_parametrizations(module: nn.Module) -> bool:
    """Whether this is where torch keeps the parametrizations of its parent, and no module of the same name."""
    return isinstance(module, nn.ModuleDict) and all(isinstance(each, ParametrizationList) for each in module.values())


def _parametrizing(lists: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """The modules that parametrize them, by their names below the module that has the weights."""
    for tensor, each in lists.named_children():
        for name, child in each.named_children():
            yield f"parametrizations.{tensor}.{name}", child


def _kind_of(cls: type[nn.Module], *, depthwise: bool = False, sparse: bool | None = None) -> Kind:
    full = _full_names(cls)
    found = {family for family, classes in _FAMILIES.items() if issubclass(cls, classes)}
    conv1d = not _CONV1D.isdisjoint(full)
    if conv1d:
        found.add("linear")
    if sparse is None and found & _DENSE:
        sparse = False
    # Of the gradients of classes that are not torch's own nothing is known.
    transposed = conv1d or issubclass(cls, nn.modules.conv._ConvTransposeNd)  # noqa: SLF001 - as above
    return Kind(tuple(full), families_by_name(full, frozenset(found)), transposed, depthwise, sparse)


def _full_names(cls: type[nn.Module]) -> list[str]:
    """The dotted names of a class and of those it derives from, nearest first; torch's own have a public one too."""
    names = []
    for base in cls.__mro__:
        if base not in (nn.Module, object):
            names.append(f"{base.__module__}.{base.__qualname__}")
            if base.__module__.startswith("torch.nn.modules.") and getattr(nn, base.__name__, None) is base:
                names.append(f"torch.nn.{base.__name__}")
    return names


def _check_readable(parameter: nn.Parameter, name: str) -> None:
    if isinstance(parameter, nn.parameter.UninitializedParameter):
        raise ConfigError(
            [
                diagnostic(
                    "OP211",
                    f"parameter `{name}` has no shape yet",
                    help="run one batch through the network first: it has lazy modules",
                )
            ]
        )


_WHOLE = "make the plan before wrapping, and bind it after; or shard with `fully_shard`, which keeps names and shapes"


def _check_flat(seen: View) -> None:
    """ConfigError (OP507) where several parameters have become a flat one, of which nothing can be told."""
    if FULLY_SHARDED not in seen.wrappers:
        return
    for name, parameter in zip(seen.network.names, seen.parameters, strict=True):
        if getattr(parameter, "_is_flat_param", False):
            cure = "shard with `fully_shard`, or wrap with `use_orig_params=True`; make the plan before, bind it after"
            raise ConfigError([diagnostic("OP507", f"parameter `{name}` is a flat shard of several", help=cure)])


def _check_whole(seen: View) -> None:
    """ConfigError (OP507) where a parameter is a shard that does not show the shape of the whole."""
    if FULLY_SHARDED in seen.wrappers:
        message = "the model is sharded: `FullyShardedDataParallel` shows pieces of its parameters, in one dimension"
        raise ConfigError([diagnostic("OP507", message, help=_WHOLE)])
    network = seen.network
    if not any(0 in shape for shape in set(network.shapes)):
        return
    for name, shape, trainable in zip(network.names, network.shapes, network.trainable, strict=True):
        if trainable and 0 in shape:
            message = f"parameter `{name}` has no elements: its shape is {list(shape)}"
            raise ConfigError([diagnostic("OP507", message, help=f"where this is a shard: {_WHOLE}")])


def named(module: nn.Module) -> Iterator[tuple[str, nn.Parameter]]:
    """Canonical names and parameters, in order."""
    seen = view(module)
    return zip(seen.network.names, seen.parameters, strict=True)
