"""The values of a policy, and how they are held against those of a stock scheduler."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import optplan
from optplan.readers.manifest import from_data
from tests.schedulers.settings import STEPS, UPDATES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.schedulers.settings import Case

# Of a network of one weight, which no framework has to make.
NETWORK = from_data(
    {
        "format": "optplan.params/1",
        "target": None,
        "kinds": [{"classes": ["net.Net"], "families": []}],
        "modules": [{"in": -1, "name": "", "kind": 0}],
        "parameters": [{"name": "weight", "module": 0, "shape": [1], "dtype": "float32"}],
    }
)

# A formula that takes one large number from another has no more digits than their rounding leaves: half a cosine near
# its end, a line to a ten-thousandth of where it began.  So these many last places of the largest value, in double and
# in single precision, and there the rounding of 500 updates after one another.
_ULPS = 8
_EPSILON = {"double": 2.0**-52, "chained": 2.0**-52, "float32": 2.0**-23}
_RELATIVE = {"double": 1e-12, "chained": 1e-12, "float32": 500 * 2.0**-24}


def plan(case: Case) -> optplan.Plan:
    """The plan of the policies of a form."""
    policies = {"lr": case.form.policy} | ({"momentum": case.form.momentum} if case.form.momentum else {})
    horizon = {name: int(computed(text, case.numbers)) for name, text in case.form.horizon.items()}
    document: dict[str, Any] = {
        "optplan": 1,
        "let": dict(case.numbers),
        "optimizer": {"type": "sgd", "lr": case.form.lr, "momentum": 0.9},
        "horizon": {"steps": STEPS, **horizon},
        "schedule": policies,
    }
    made = optplan.plan(document, NETWORK)
    # of a call's numbers a policy may need less
    # one that ends at 0 before the run does is a doubt, and what is asked for here
    assert all(each.code in ("OP116", "OP404") and each.severity == "warning" for each in made.diagnostics)
    return made


def planned(case: Case, key: str = "lr") -> list[float]:
    """The values of the policy of `key`."""
    made = plan(case)
    return [made.value("weight", key, t) for t in range(UPDATES)]


def computed(text: str, names: dict[str, Any]) -> Any:
    """What a Python expression of the table is, with its numbers."""
    return eval(text, {"__builtins__": {}}, names)  # noqa: S307 - the package's own file


def differences(ours: Sequence[float], theirs: Sequence[float], computes: str) -> dict[int, tuple[float, float]]:
    """The updates at which two curves are further apart than rounding moves them."""
    assert len(ours) == len(theirs) == UPDATES
    floor = _ULPS * _EPSILON[computes] * max(map(abs, theirs))
    return {
        t: (a, b)
        for t, (a, b) in enumerate(zip(ours, theirs, strict=True))
        if not abs(a - b) <= max(floor, _RELATIVE[computes] * abs(b))
    }
