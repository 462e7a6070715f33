"""A process that saves without end, until it is killed: `python -m tests.state.writing PATH`.

Each time it writes `updates` 0, 1, 2, ... with tensors that are full of that number, and prints it once it is saved.
"""

from __future__ import annotations

import sys
from itertools import count
from struct import pack

from optplan.state import files
from optplan.state.saved import Array, Saved, SavedGroup

ELEMENTS = 50_000
NAMES = ("a", "b")


def state(number: int) -> Saved:
    """A state that says the same in each of its parts."""
    whole = pack("<f", float(number)) * ELEMENTS
    array = Array("float32", (ELEMENTS,), whole)
    group = SavedGroup("default", "adam", {"lr": 0.1}, {}, NAMES)
    return Saved("torch", str(number), number, (group,), {name: {"exp_avg": array} for name in NAMES})


def main() -> None:
    """See the head of the module."""
    for number in count():
        saved = state(number)
        files.write(sys.argv[1], saved, files.tensors(saved))
        print(number, flush=True)  # noqa: T201 - the test reads it


if __name__ == "__main__":
    main()
