"""A fresh process that goes on: `python -m tests.state.going_on FRAMEWORK FOLDER NAME...`.

FRAMEWORK is `torch`, `pynative` or `graph`.  For each NAME of a case, FOLDER has `NAME.npz`, the weights, and
`NAME.safetensors`, the state; what the weights are at the end is written to `NAME.after.npz`.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tests.agreement.gradients import gradients
from tests.agreement.settings import CASES
from tests.state.runs import MindSpore, Torch

if TYPE_CHECKING:
    from tests.agreement.settings import Case

HALF, WHOLE = 50, 100

# Groups of an optimizer each, of which one goes by what is reported, and one that has no schedule.
SEVERAL: dict[str, Any] = {
    "optplan": 1,
    "optimizer": {"type": "adamw", "lr": 1e-2},
    "optimizers": {
        "first": {"type": "sgd", "lr": 0.1, "momentum": 0.9, "dampening": 0.2},
        "second": {"type": "nadam", "lr": 1e-3},
    },
    "rules": [
        {"where": "norm", "use": "first", "schedule": {"lr": "hold(20) -> plateau(metric=loss, patience=3)"}},
        {"where": "bias", "use": "second"},
        {"where": ".head", "lr": "0.1x", "betas[1]": 0.95},
        {"where": "conv or linear", "schedule": {"lr": "warmup(10) -> cosine()", "weight_decay": "cosine(to=2x)"}},
    ],
}


def case(name: str) -> tuple[str, Any]:
    """The network of a case, and its document."""
    if name == "several":
        return "layers", SEVERAL
    optimizer, setting = name.split("_in_")
    found: Case = next(each for each in CASES if (each.optimizer, each.name.replace(" ", "_")) == (optimizer, setting))
    return found.network, found.document()


def name_of(each: Case) -> str:
    """What a case is called here."""
    return f"{each.optimizer}_in_{each.name.replace(' ', '_')}"


def start(framework: str, name: str) -> Torch | MindSpore:
    """A case before its first update."""
    network, document = case(name)
    return (Torch if framework == "torch" else MindSpore)(network, document, WHOLE)


def train(run: Torch | MindSpore, network: str, updates: range) -> None:
    """The updates of these numbers, each with a report of a loss that soon gets no better, where one is asked for."""
    for t in updates:
        run.train(gradients(network)[t : t + 1])
        if any(curve.waits for group in run.compiled.plan.groups for _, curve in group.curves):
            run.compiled.report(loss=1.0 / (1 + min(t, 30)))


def main() -> None:
    """See the head of the module."""
    framework, folder, *names = sys.argv[1:]
    if framework != "torch":
        import mindspore as ms  # noqa: PLC0415 - not under torch

        ms.set_device("CPU")
        ms.set_context(mode=ms.GRAPH_MODE if framework == "graph" else ms.PYNATIVE_MODE)
        if framework == "pynative":
            ms.runtime.launch_blocking()
    for name in names:
        run = start(framework, name)
        run.compiled.load_weights(dict(np.load(Path(folder) / f"{name}.npz")))
        found = run.compiled.restore(Path(folder) / f"{name}.safetensors")
        assert not found, found
        train(run, case(name)[0], range(HALF, WHOLE))
        np.savez(Path(folder) / f"{name}.after.npz", **run.weights)


if __name__ == "__main__":
    main()
