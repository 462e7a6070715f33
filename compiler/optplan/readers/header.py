"""What a checkpoint says about its tensors, before any reader has read it: values, their limits and their faults."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

MANIFEST = "write a manifest where the network can be built: `optplan params --network SPEC -o net.params.json`"
# torch's own limit
MOST_DIMENSIONS = 64
_MOST_ELEMENTS = 2**63 - 1
_LONGEST_WORD = 100


@dataclass(frozen=True, slots=True)
class Entry:
    """One tensor: its name in the file, its shape in elements and its dtype in torch's words, without `torch.`."""

    name: str
    shape: tuple[int, ...]
    dtype: str


@dataclass(frozen=True, slots=True)
class Header:
    """Every tensor of a checkpoint.

    `format` is `safetensors`, `torch` or `mindspore`.  Each of `tied` is two or more names, in file order, of one and
    the same view of one storage; only torch's files tell this.
    """

    format: str
    entries: tuple[Entry, ...]
    tied: tuple[tuple[str, ...], ...] = ()


class ReadError(Exception):
    """A file that cannot be read: what is wrong, the cure where there is one, and the file where it is another one."""

    def __init__(self, message: str, help: str | None = None, path: str | None = None) -> None:  # noqa: A002 - as in a diagnostic
        super().__init__(message, help, path)
        self.message = message
        self.help = help
        self.path = path

    def __str__(self) -> str:
        return self.message


def shown(word: object) -> str:
    """`word`, which came from a file, as a message may show it: short, printable, in backticks."""
    text = word if isinstance(word, str) else str(word) if isinstance(word, int) else type(word).__name__
    if len(text) > _LONGEST_WORD:
        text = f"{text[: _LONGEST_WORD - 3]}..."
    # a backtick would end the quotation
    plain = (c if c.isprintable() else ascii(c)[1:-1] for c in text.replace("`", "'"))
    return f"`{''.join(plain)}`"


def count_elements(name: str, shape: Sequence[int]) -> int:
    """How many elements the tensor `name` of this shape has; stops at what 64 bits cannot count, whatever follows."""
    if len(shape) > MOST_DIMENSIONS:
        raise ReadError(f"{shown(name)} has more than {MOST_DIMENSIONS} dimensions", MANIFEST)
    count, empty = 1, False
    for extent in shape:
        count *= extent or 1
        empty = empty or not extent
        if count > _MOST_ELEMENTS:
            raise ReadError(f"the shape of {shown(name)} is too large to be true", MANIFEST)
    return 0 if empty else count
