"""Two optimizers of the map on the same weights and gradients, each called as its own framework's users call it."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch

from optplan.api_map import Argument, Pair, arguments, canonical
from optplan.catalog import catalog
from tests.agreement.gradients import TOUCHED, Sparse, gradients, shapes, weights
from tests.agreement.runs import difference

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from numpy.typing import NDArray

    from tests.agreement.gradients import Gradients

    Weights = dict[str, NDArray[np.float64]]

UPDATES = 50
# What "the same" is: as close as tests/agreement holds optplan's own optimizers together.
LIMIT = 1e-5

Settings = dict[str, Any]
"""Arguments of torch's class."""

# By canonical optimizer: each of its settings off its default, alone where it has a meaning alone.
CASES: Mapping[str, list[Settings]] = {
    "sgd": [
        {"lr": 0.1},
        {"momentum": 0.9},
        {"momentum": 0.8, "dampening": 0.3},
        {"lr": 0.05, "weight_decay": 0.1},
        {"momentum": 0.9, "nesterov": True},
        {"maximize": True},
    ],
    "adam": [
        {"lr": 0.01},
        {"betas": (0.8, 0.95)},
        {"eps": 1e-3},
        {"lr": 0.01, "weight_decay": 0.1},
        {"lr": 0.01, "betas": (0.8, 0.95), "amsgrad": True},
        {"maximize": True},
    ],
    "adamw": [
        {"lr": 0.003},
        {"betas": (0.8, 0.95)},
        {"eps": 1e-3},
        {"lr": 0.003, "weight_decay": 0.2},
        {"lr": 0.01, "betas": (0.8, 0.95), "amsgrad": True},
        {"maximize": True},
    ],
    "adamax": [{"lr": 0.01, "betas": (0.7, 0.9)}, {"eps": 1e-3}, {"lr": 0.01, "weight_decay": 0.1}, {"maximize": True}],
    "nadam": [
        {"lr": 0.01, "eps": 1e-3},
        {"betas": (0.8, 0.99), "momentum_decay": 0.05},
        {"lr": 0.01, "weight_decay": 0.1},
    ],
    "radam": [{"lr": 0.01}, {"betas": (0.7, 0.9)}, {"eps": 1e-3}, {"lr": 0.01, "weight_decay": 0.1}],
    "adagrad": [
        {"lr": 0.05},
        {"lr_decay": 0.1},
        {"lr": 0.05, "weight_decay": 0.1},
        {"initial_accumulator_value": 0.5},
        {"eps": 1e-3},
        {"maximize": True},
    ],
    "adadelta": [{"lr": 0.5}, {"rho": 0.6}, {"eps": 1e-3}, {"weight_decay": 0.1}, {"maximize": True}],
    "rmsprop": [
        {"lr": 1e-3},
        {"lr": 1e-3, "alpha": 0.9},
        {"lr": 1e-3, "eps": 1e-3},
        {"lr": 1e-3, "weight_decay": 0.1},
        {"lr": 1e-3, "momentum": 0.9},
        {"lr": 1e-3, "centered": True},
        {"lr": 1e-3, "maximize": True},
    ],
    "rprop": [{"lr": 1e-3, "etas": (0.3, 1.4)}, {"step_sizes": (1e-3, 2e-2)}, {"maximize": True}],
    "asgd": [{"lr": 0.1, "lambd": 0.01, "alpha": 0.5, "t0": 4.0}, {"weight_decay": 0.1}, {"maximize": True}],
    "adafactor": [{"d": 3.0}, {"weight_decay": 0.1}],
    "sparse_adam": [{"lr": 0.01}, {"betas": (0.7, 0.9)}],
}


class Level(NamedTuple):
    """What takes away the difference of two classes, so that what their arguments do can be compared.

    `settings` go to both in place of the defaults, `state` into torch's state before the first update.  `once` has no
    row of an embedding twice in an update.
    """

    settings: Settings = {}  # noqa: RUF012 - a NamedTuple's default, which nobody changes
    state: Mapping[str, float] = {}
    once: bool = False


_WITHOUT_EPS = Level({"eps": 1e-30})
_WITH_ACCUMULATOR = Level({"initial_accumulator_value": 0.1})
LEVELS: Mapping[str, Level] = {
    "mindspore.nn.Adam": _WITHOUT_EPS,
    "mindspore.nn.LazyAdam": _WITHOUT_EPS,
    "mindspore.nn.LazyAdam, sparse": Level({"eps": 1e-30}, once=True),
    "mindspore.nn.AdamOffload": _WITHOUT_EPS,
    "mindspore.experimental.optim.Adam": _WITHOUT_EPS,
    "mindspore.nn.AdaMax": _WITHOUT_EPS,
    # after so many updates nothing is left of the bias to be corrected
    "mindspore.nn.AdamWeightDecay": Level(state={"step": 1e6}),
    "mindspore.nn.Adagrad": _WITH_ACCUMULATOR,
    "mindspore.nn.ProximalAdagrad": _WITH_ACCUMULATOR,
    "mindspore.nn.RMSProp": Level({"eps": 1e-15}, {"square_avg": 1.0}),
    "mindspore.experimental.optim.RAdam": Level({"betas": (0.6, 0.8)}),
    "mindspore.nn.AdaFactor": Level({"eps": (1e-15, 1e-3)}),
}

# Of what has another meaning, settings of torch's that show it, and what MindSpore's class is given then.
DIFFERENT: Mapping[tuple[str, str], tuple[Settings, Settings]] = {
    ("sgd", "nesterov"): ({"momentum": 0.9, "nesterov": True}, {}),
    ("adam", "eps"): ({"eps": 1e-3}, {}),
    ("adam", "amsgrad"): ({"lr": 0.01, "betas": (0.8, 0.95), "amsgrad": True}, {}),
    ("adamax", "eps"): ({"eps": 1e-3}, {}),
    ("rmsprop", "eps"): ({"eps": 1e-3}, {}),
    ("sparse_adam", "eps"): ({"eps": 1e-3}, {}),
    # a rate above 1 / sqrt(t), which is torch's bound
    ("adafactor", "lr"): ({"lr": 1.0, "eps": (1e-15, 1e-3)}, {"learning_rate": 1.0, "relative_step": False}),
    ("adafactor", "beta2_decay"): ({"beta2_decay": -0.5, "eps": (1e-15, 1e-3)}, {"decay_rate": 0.8}),
    ("adafactor", "eps"): ({"eps": (1e-3, 1e-2)}, {"eps": (1e-3, 1e-2)}),
    ("adafactor", "weight_decay"): ({"weight_decay": 0.1, "eps": (1e-15, 1e-3)}, {"weight_decay": 0.1}),
}

# Arguments that do the same while the rate stays, and settings of torch's that show what they do when it changes.
MOVING: Mapping[tuple[str, str], Settings] = {
    ("mindspore.mint.optim.SGD", "lr"): {},
    ("mindspore.nn.RMSProp", "momentum"): {"lr": 1e-3, "momentum": 0.9},
}

# What MindSpore's class is given in place of an argument of another meaning, and of its own.
GIVEN: Mapping[str, Settings] = {
    "mindspore.nn.AdaFactor": {"learning_rate": None, "decay_rate": 0.8, "eps": (1e-30, 1e-3), "weight_decay": 0.0}
    | {"beta1": None},
}


def of(name: str) -> Any:
    """The class, function or module that has this name."""
    module, parts = name, []
    while True:
        try:
            found: Any = import_module(module)
        except ModuleNotFoundError:
            module, _, last = module.rpartition(".")
            parts.append(last)
            continue
        for part in reversed(parts):
            found = getattr(found, part)
        return found


def defaults(pair: Pair) -> Settings:
    """Torch's settings with their defaults."""
    kind = canonical(pair.torch, catalog())
    assert kind is not None
    return dict(kind.defaults)


def known(pair: Pair) -> dict[str, Argument]:
    """The arguments that torch's class has, by name."""
    return {each.torch: each for each in arguments(pair, catalog()) if each.torch is not None}


def canonical_name(pair: Pair) -> str:
    """The optimizer of a document that has torch's formula."""
    kind = canonical(pair.torch, catalog())
    assert kind is not None
    return kind.name


def for_mindspore(pair: Pair, settings: Settings) -> Settings:
    """What MindSpore's class is given for these settings of torch's."""
    found: Settings = {}
    for key, value in settings.items():
        names = known(pair)[key].mindspore
        found |= dict(zip(names, value, strict=True)) if len(names) > 1 else dict.fromkeys(names, value)
    return found | GIVEN.get(pair.mindspore, {})


# The rates of a run in which they change, by the rate that it begins with.
CHANGING = tuple(1.0 if t < UPDATES // 3 else 0.3 + 0.2 * (t % 3) for t in range(UPDATES))


def in_torch(
    pair: Pair,
    settings: Settings,
    state: Mapping[str, float],
    network: str,
    *,
    once: bool = False,
    moving: bool = False,
) -> Weights:
    """The weights after the last update; `moving` with the rates of `CHANGING`."""
    parameters = {name: torch.nn.Parameter(torch.from_numpy(each.copy())) for name, each in weights(network).items()}
    optimizer = of(pair.torch)(list(parameters.values()), **settings)
    for t, update in enumerate(_updates(network, once=once)):
        for name, parameter in parameters.items():
            parameter.grad = _torch_gradient(update[name], parameter)
        if t == 0 and state:
            _set_state(optimizer, state)
        if moving:
            optimizer.param_groups[0]["lr"] = settings["lr"] * CHANGING[t]
        optimizer.step()
    return {name: each.detach().double().numpy() for name, each in parameters.items()}


def _set_state(optimizer: Any, state: Mapping[str, float]) -> None:
    """Make the state that the first update would make, with other numbers."""
    before = [each.detach().clone() for each in optimizer.param_groups[0]["params"]]
    optimizer.step()
    for parameter, value in zip(optimizer.param_groups[0]["params"], before, strict=True):
        with torch.no_grad():
            parameter.copy_(value)
        for key, tensor in optimizer.state[parameter].items():
            tensor.fill_(state.get(key, 0.0))


def _torch_gradient(values: Any, parameter: torch.Tensor) -> torch.Tensor:
    if not isinstance(values, Sparse):
        return torch.from_numpy(values)
    made: torch.Tensor = torch.sparse_coo_tensor(
        torch.from_numpy(values.rows)[None].long(), torch.from_numpy(values.values), parameter.shape
    )
    return made


def in_mindspore(pair: Pair, settings: Settings, network: str, *, once: bool = False, moving: bool = False) -> Weights:
    """The weights after the last update, in the mode that this process is in; `moving` as of `in_torch`."""
    from mindspore import Parameter, Tensor, float32, ops  # noqa: PLC0415 - set up by then

    from tests.agreement.cells import SparseStep  # noqa: PLC0415 - as above

    parameters = {name: Parameter(Tensor(each), name=name) for name, each in weights(network).items()}
    listed = moving and "learning_rate" in settings
    if listed:
        settings = settings | {"learning_rate": [settings["learning_rate"] * each for each in CHANGING]}
    optimizer = of(pair.mindspore)([{"params": list(parameters.values())}], **settings)
    step = SparseStep(optimizer) if network == "tables" else None
    for t, update in enumerate(_updates(network, once=once)):
        if moving and not listed:
            ops.assign(optimizer.param_groups[0]["lr"], Tensor(settings["lr"] * CHANGING[t], float32))
        each = [update[name] for name in parameters]
        if step is None:
            optimizer(tuple(map(Tensor, each)))
        else:
            step(Tensor(np.stack([a.rows for a in each])), Tensor(np.stack([a.values for a in each])))
    return {name: each.asnumpy().astype(np.float64) for name, each in parameters.items()}


def _updates(network: str, *, once: bool) -> Iterator[Gradients]:
    """The gradients of each update; `once` of different rows."""
    rng = np.random.default_rng(4)
    for update in gradients(network)[:UPDATES]:
        if once:
            rows = {name: rng.permutation(shape[0])[:TOUCHED] for name, shape in shapes(network).items()}
            yield {name: Sparse(rows[name].astype(np.int32), each.values) for name, each in update.items()}
        else:
            yield update


def network_of(pair: Pair) -> str:
    """The network whose weights and gradients are used: of embeddings where gradients are sparse."""
    return "tables" if pair.torch.endswith("SparseAdam") else "layers"


_found: dict[str, dict[str, float]] = {}


def apart(
    pair: Pair,
    settings: Settings,
    level: Level | None = None,
    given: Settings | None = None,
    *,
    moving: bool = False,
) -> dict[str, float]:
    """How far the weights come apart with `settings` of torch's, the others at torch's defaults.

    What MindSpore's class lacks is at torch's default there; `given` are arguments of its own.  `moving` changes the
    rate under way.
    """
    level = level or Level()
    # several tests look at one run from different sides
    key = repr((pair.torch, pair.mindspore, settings, level, given, moving))
    if key not in _found:
        mine = defaults(pair) | level.settings | settings
        shared = {name for name, each in known(pair).items() if each.mindspore}
        theirs = for_mindspore(pair, {name: value for name, value in mine.items() if name in shared}) | (given or {})
        network = network_of(pair)
        one = in_torch(pair, mine, level.state, network, once=level.once, moving=moving)
        other = in_mindspore(pair, theirs, network, once=level.once, moving=moving)
        assert all(np.isfinite(each).all() for each in one.values())
        _found[key] = {half: difference(one, other, half) for half in ("plain", "mixed")}
    return _found[key]
