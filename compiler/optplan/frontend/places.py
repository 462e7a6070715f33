"""What stands where in a document, and which places were found faulty.

A place is the path of keys and indices that leads to a node: `("rules", 0, "where")`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from optplan.frontend.nodes import Mapping

Path = tuple[str | int, ...]

# Where the text of a scalar is read, whatever type YAML would give it, and what it is called there.
FILTER, PATTERN, POLICY = "a filter", "a path pattern", "a policy"
FORMS = {"clip": "a clip", "loss_scale": "a loss scale"}
# Keys of an optimizer or a rule that hold no setting.
PLAIN = frozenset({"type", "where", "name", "use", "freeze", "optional", "schedule", "torch", "mindspore"})


def expected_expression(path: Path) -> str | None:
    """What expression stands at `path`, None where none does; a number of a setting may be one too."""
    match path:
        case ("rules", int(), "where") | ("sets", str()):
            return FILTER
        case ("layers", int()) | ("layers", int(), int()):
            return PATTERN
        case ("schedule", str()) | ("rules", int(), "schedule", str()):
            return POLICY
        case (str(key),):
            return FORMS.get(key)
    return None


def is_setting(path: Path) -> bool:
    """Whether `path` leads to a setting, or an element of one, or a number of `let`."""
    match path:
        case ("let", str()):
            return True
        case ("optimizer", str(key), *_) | ("optimizers", str(), str(key), *_) | ("rules", int(), str(key), *_):
            return key not in PLAIN
    return False


@dataclass(slots=True)
class Checked:
    """A document whose shape was checked: `faulty` are the places that are not to be read further."""

    root: Mapping
    faulty: set[Path] = field(default_factory=set)

    def sound(self, *path: str | int) -> bool:
        """Whether nothing at `path` or above it is faulty."""
        return not any(path[:length] in self.faulty for length in range(len(path) + 1))
