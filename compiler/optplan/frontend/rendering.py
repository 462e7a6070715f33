"""A Python mapping as a YAML text, so that a document given as a mapping has lines to point at.

Reading the text gives the same values again: floats are written by `repr`, texts between double quotes.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Mapping, Sequence
from typing import Any

from optplan.diagnostics import Collector
from optplan.source import Source

_MOST_DEPTH = 60
_MOST_LINES = 100_000
_WORD = re.compile(r"[A-Za-z_][\w.-]*(?:\[[0-9]+\])?", re.ASCII)
_ESCAPED = re.compile('["\\\\\\x00-\\x1f\\x7f-\\x9f\\u2028\\u2029\\ufeff\\ufffe\\uffff]')


def from_mapping(data: object, name: str = "<mapping>") -> Source:
    """The text of `data`: mappings, sequences, texts, numbers, booleans and None.

    Anything that quacks like them counts: tuples, OmegaConf nodes, numpy scalars (by `item()`), paths.  An OmegaConf
    node's interpolations are resolved, and its lines known by the names that they have in the whole configuration.

    Raises:
        ConfigError: OP103 for every value of another kind, OP006 for one too deep (or inside itself).

    """
    collector = Collector()
    root = _root(data)
    renderer = _Renderer(collector, root or ())
    lines = renderer.lines(data, ())
    collector.check()
    paths = () if root is None else tuple(".".join((*root, *path)) for path in renderer.trail)
    return Source(name, "\n".join(lines) + "\n", paths)


def _root(data: Any) -> tuple[str, ...] | None:
    """Where an OmegaConf node stands in its configuration, as Hydra's command line writes it; None for anything else.

    `stages[0].optim` is `stages.0.optim` there.
    """
    full = getattr(data, "_get_full_key", None)
    if not callable(full):
        return None
    name = str(full(None)).replace("[", ".").replace("]", "")
    return tuple(filter(None, name.split(".")))


class _Renderer:
    def __init__(self, collector: Collector, root: tuple[str, ...]) -> None:
        self.collector = collector
        self.root = root
        self.count = 0
        self.trail: list[tuple[str, ...]] = []  # what each line sets, from the top

    def lines(self, data: object, path: tuple[str, ...]) -> list[str]:
        """The lines of `data`, not yet indented."""
        self.count += 1
        if len(path) > _MOST_DEPTH or self.count > _MOST_LINES:
            if not self.collector.failed:
                self.collector.error("OP006", f"{_at(path)} the mapping is too deep, too large, or inside itself")
            return ["null"]
        try:
            parts = self.parts(data, path)
        except Exception as error:  # noqa: BLE001 - a foreign mapping runs its own code, OmegaConf's interpolations say
            self.unreadable(path, error)
            return ["null"]
        if isinstance(parts, str):
            return [parts]
        lines: list[str] = []
        for head, value, below in parts:
            self.trail.append(below)
            body = self.lines(value, below)
            if not _nested(body):
                lines.append(f"{head} {body[0]}")
            else:
                lines += [head, *(f"  {line}" for line in body)]
        return lines

    def parts(self, data: Any, path: tuple[str, ...]) -> str | list[tuple[str, object, tuple[str, ...]]]:
        """A scalar's text, or the keys and values of a collection."""
        if isinstance(data, Mapping):
            found = [(self.key(key, path), self.value(data, key, path)) for key in data]
            return [(f"{_key(key)}:", value, (*path, key)) for key, value in found if key is not None] or "{}"
        if isinstance(data, Sequence) and not isinstance(data, (str, bytes, bytearray)):
            return [("-", item, (*path, str(index))) for index, item in enumerate(data)] or "[]"
        return self.scalar(data, path)

    def value(self, data: Any, key: Any, path: tuple[str, ...]) -> object:
        """The value at a key, by itself: an OmegaConf node reads its interpolations now."""
        try:
            return data[key]
        except Exception as error:  # noqa: BLE001 - as above
            self.unreadable((*path, str(key)), error)
            return None

    def key(self, key: object, path: tuple[str, ...]) -> str | None:
        if isinstance(key, str) and not _surrogate(key):
            return str(key)
        if isinstance(key, int) and not isinstance(key, bool):
            return str(int(key))
        self.fault(path, f"has the key `{key!r}`, which is neither a text nor a whole number")
        return None

    def scalar(self, data: Any, path: tuple[str, ...]) -> str:
        if isinstance(data, os.PathLike):
            data = os.fspath(data)
        if not isinstance(data, (str, bytes, bytearray, int, float)) and callable(getattr(data, "item", None)):
            data = data.item()
        if data is None or isinstance(data, bool):
            return {None: "null", True: "true", False: "false"}[data]
        if isinstance(data, int):
            return _whole(int(data))
        if isinstance(data, float):
            return _real(float(data))
        if isinstance(data, str):
            if _surrogate(data):
                self.fault(path, "holds half a character, a surrogate")
                return "null"
            return _quoted(str(data))
        self.fault(path, f"is a `{type(data).__name__}`, which a document cannot hold")
        return "null"

    def unreadable(self, path: tuple[str, ...], error: Exception) -> None:
        self.fault(path, f"cannot be read: {str(error).splitlines()[0] if str(error) else type(error).__name__}")

    def fault(self, path: tuple[str, ...], words: str) -> None:
        cure = "use mappings, lists, texts, numbers, booleans and None"
        where = _at((*self.root, *path)) if path else "the mapping"
        self.collector.error("OP103", f"{where} {words}", help=cure)


def _at(path: tuple[str, ...]) -> str:
    return f"`{'.'.join(path)}`" if path else "here"


def _nested(lines: list[str]) -> bool:
    """Whether these lines are a collection, which cannot stand behind its key."""
    return len(lines) > 1 or bool(re.match(r"- |-$|[\w.\[\]-]+:|\"(?:[^\"\\]|\\.)*\":", lines[0]))


def _key(key: str) -> str:
    return key if _WORD.fullmatch(key) else _quoted(key)


def _quoted(text: str) -> str:
    return '"' + _ESCAPED.sub(_escape, text) + '"'


def _escape(found: re.Match[str]) -> str:
    char = found[0]
    return f"\\{char}" if char in '"\\' else f"\\u{ord(char):04x}"


def _surrogate(text: str) -> bool:
    return not text.isascii() and any("\ud800" <= char <= "\udfff" for char in text)


def _whole(number: int) -> str:
    """A whole number's digits; one too large for a double is infinite, as it is when read."""
    if abs(number) >= 10**308:
        return ".inf" if number > 0 else "-.inf"
    return str(number)


def _real(number: float) -> str:
    if math.isnan(number):
        return ".nan"
    if math.isinf(number):
        return ".inf" if number > 0 else "-.inf"
    return repr(number)
