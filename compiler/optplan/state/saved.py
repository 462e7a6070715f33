"""Saved state as data.

Takes the plain dict that `compiled.state_dict()` gives in either framework; gives a `Saved`, or a ConfigError (OP702)
with everything in it that is not what it should be.  The dict may come from anywhere: nothing in it is believed.

    {"format": "optplan.state/1", "framework": "torch" or "mindspore", "fingerprint": text, "updates": t,
     "groups": [{"name", "optimizer", "settings": {key: value}, "own": {key: number}, "parameters": [names]}],
     "state": {parameter: {field: tensor, array, number, None, or a list of these}},
     "scaler": {"scale": number, "good": whole number} or None,
     "reports": [{"best", "bad", "cooling", "reductions", "metric", "curve"}]}

`settings` are the values as they stand for update t; `own` has, of those keys that are scheduled, the group's own
value, which the curve starts from.  `good` counts updates in a row without an overflow.  Tensors and arrays stay what
they are: whoever writes them into live state copies them.  A sparse tensor is a list of its indices, its values and
whether each index stands there once.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from struct import unpack
from typing import TYPE_CHECKING, Any

from optplan.diagnostics import Collector

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from optplan.setting import Plain

__all__ = [
    "FORMAT",
    "UNNAMED",
    "Array",
    "Saved",
    "SavedGroup",
    "SavedScaler",
    "dtype_of",
    "is_array",
    "is_sparse",
    "number",
    "parse",
]

FORMAT = "optplan.state/1"
# The optimizer of a group that does not name it, and is none that can be told
UNNAMED = "unknown"
_FRAMEWORKS = ("torch", "mindspore")
# What a settings list may nest
_DEEPEST = 4
# Whole numbers are below this, and a loss scale, which is a float32, is one of these
_WHOLE = 2**63
_SMALLEST, _LARGEST = 2.0**-149, 3.4028234663852886e38
# How many updates in a row PyTorch's scaler can count
_GOOD = 2**31
_REPORT = ("best", "bad", "cooling", "reductions")
# How to read one element, by torch's words; bfloat16 is the upper half of a float32
_CODES = {
    "float64": "<d",
    "float32": "<f",
    "float16": "<e",
    "int64": "<q",
    "int32": "<i",
    "int16": "<h",
    "int8": "<b",
    "uint8": "<B",
    "bool": "<?",
}


@dataclass(frozen=True, slots=True, eq=False)
class Array:
    """The values of a tensor as bytes: row by row, little-endian, of a dtype in torch's words."""

    dtype: str
    shape: tuple[int, ...]
    data: memoryview | bytes = field(repr=False)

    def item(self) -> float:
        """The value of the first element; ValueError where there is none, or none that is a number."""
        if self.dtype == "bfloat16" and len(self.data) >= 2:
            value: float = unpack("<f", b"\0\0" + bytes(self.data[:2]))[0]
            return value
        code = _CODES.get(self.dtype)
        if code is None or not len(self.data):
            raise ValueError(f"no number is in an array of {self.dtype} with shape {list(self.shape)}")
        width = {"d": 8, "q": 8, "f": 4, "i": 4, "e": 2, "h": 2}.get(code[1], 1)
        found: float = unpack(code, bytes(self.data[:width]))[0]
        return found


Value = Any
"""What a field holds: an array or tensor of anyone, a number, None, or a tuple of these."""


@dataclass(frozen=True, slots=True)
class SavedGroup:
    """A group as it stood: see the head of the module."""

    name: str
    optimizer: str
    settings: Mapping[str, Plain]
    own: Mapping[str, float]
    parameters: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class SavedScaler:
    """A loss scale as it stood, and how many updates in a row were made with it."""

    scale: float
    good: int


@dataclass(frozen=True, slots=True, eq=False)
class Saved:
    """See the head of the module; `state` is by parameter, then by field."""

    framework: str
    fingerprint: str
    updates: int
    groups: tuple[SavedGroup, ...]
    state: Mapping[str, Mapping[str, Value]]
    scaler: SavedScaler | None = None
    reports: tuple[Mapping[str, Any], ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """The plain dict that `parse` reads; values are the same objects."""
        return {
            "format": FORMAT,
            "framework": self.framework,
            "fingerprint": self.fingerprint,
            "updates": self.updates,
            "groups": [
                {
                    "name": group.name,
                    "optimizer": group.optimizer,
                    "settings": dict(group.settings),
                    "own": dict(group.own),
                    "parameters": list(group.parameters),
                }
                for group in self.groups
            ],
            "state": {
                name: {key: list(value) if isinstance(value, tuple) else value for key, value in fields.items()}
                for name, fields in self.state.items()
            },
            "scaler": None if self.scaler is None else {"scale": self.scaler.scale, "good": self.scaler.good},
            "reports": [dict(each) for each in self.reports],
        }


def is_array(value: object) -> bool:
    """Whether it is an array or a tensor, of whatever library."""
    return isinstance(value, Array) or (hasattr(value, "dtype") and hasattr(value, "shape"))


def dtype_of(value: Value) -> str:
    """The dtype of an array or tensor, of whatever library, in torch's words."""
    return str(value.dtype).rpartition(".")[2].lower()


def is_sparse(value: Value) -> bool:
    """Whether it is a sparse tensor, by its indices, its values and whether each index stands there once."""
    return isinstance(value, tuple) and len(value) == 3 and isinstance(value[2], bool) and all(map(is_array, value[:2]))


def number(value: Value) -> float | None:
    """The number that a value of one element is; None of any other."""
    if isinstance(value, (int, float)):
        return value
    if is_array(value) and all(extent == 1 for extent in value.shape):
        try:
            found = value.item()
        except (ValueError, TypeError, RuntimeError):
            return None
        return found if isinstance(found, (int, float)) else None
    return None


def parse(data: object) -> Saved:
    """The saved state that `data` is; ConfigError (OP702) with everything that is wrong with it."""
    collector = Collector()
    saved = _Reader(collector).saved(data)
    collector.check()
    if saved is None:
        raise AssertionError(data)
    return saved


class _Reader:
    """One reading of a dict, with its faults in `collector`."""

    def __init__(self, collector: Collector) -> None:
        self._collector = collector

    def saved(self, data: object) -> Saved | None:
        if not isinstance(data, Mapping):
            cure = "pass what `compiled.state_dict()` gave, or `torch.optim`'s `state_dict()`"
            self._collector.error("OP702", f"a `{type(data).__name__}` is no saved state", help=cure)
            return None
        if data.get("format") != FORMAT:
            is_text = isinstance(data.get("format"), str)
            said = f"of the format `{str(data['format'])[:40]}`" if is_text else "without a format"
            self._collector.error("OP702", f"this is a saved state {said}", help=_cure(data))
            return None
        framework = self._text(data.get("framework"), "framework")
        if framework and framework not in _FRAMEWORKS:
            self._fault("framework", f"is {framework!r:.40}, not one of {', '.join(_FRAMEWORKS)}")
        groups = self._groups(data.get("groups"))
        state = {}
        for name, fields in self._named(data.get("state"), "state"):
            where = f"state[{name!r:.80}]"
            state[name] = {key: self._value(each, f"{where}.{key:.40}") for key, each in self._named(fields, where)}
        return Saved(
            framework,
            self._text(data.get("fingerprint"), "fingerprint"),
            self._count(data.get("updates"), "updates"),
            groups,
            state,
            self._scaler(data.get("scaler")),
            self._reports(data.get("reports", ())),
        )

    def _groups(self, data: object) -> tuple[SavedGroup, ...]:
        found = []
        seen: dict[str, str] = {}
        names: set[str] = set()
        for place, each in enumerate(self._list(data, "groups")):
            where = f"groups[{place}]"
            group = dict(self._named(each, where))
            settings = {
                key: self._plain(value, f"{where}.settings.{key:.40}")
                for key, value in self._named(group.get("settings"), f"{where}.settings")
            }
            own = {
                key: self._number(value, f"{where}.own.{key:.40}")
                for key, value in self._named(group.get("own", {}), f"{where}.own")
            }
            listed = f"{where}.parameters"
            parameters = tuple(self._text(name, listed) for name in self._list(group.get("parameters"), listed))
            name = self._text(group.get("name"), f"{where}.name")
            if name in names:
                self._fault(f"{where}.name", f"is {name!r:.80}, which another group is named")
            names.add(name)
            for parameter in parameters:
                if parameter in seen:
                    self._fault(listed, f"names {parameter!r:.80}, which `{seen[parameter]}` has too")
                seen[parameter] = where
            optimizer = self._text(group.get("optimizer"), f"{where}.optimizer")
            found.append(SavedGroup(name, optimizer, settings, own, parameters))
        return tuple(found)

    def _scaler(self, data: object) -> SavedScaler | None:
        if data is None:
            return None
        parts = dict(self._named(data, "scaler"))
        scale = self._number(parts.get("scale"), "scaler.scale")
        if not _SMALLEST <= scale <= _LARGEST:
            self._fault("scaler.scale", f"is {_told(scale)}, which is no scale")
        good = self._count(parts.get("good"), "scaler.good")
        if good >= _GOOD:
            self._fault("scaler.good", f"is {good}, which no scaler counts")
        return SavedScaler(scale, good)

    def _reports(self, data: object) -> tuple[Mapping[str, Any], ...]:
        found = []
        for place, each in enumerate(self._list(data, "reports")):
            where = f"reports[{place}]"
            parts = dict(self._named(each, where))
            report: dict[str, Any] = {"best": self._number(parts.get("best"), f"{where}.best")}
            report |= {key: self._count(parts.get(key), f"{where}.{key}") for key in _REPORT[1:]}
            for key in ("metric", "curve"):
                if key in parts:
                    report[key] = self._text(parts[key], f"{where}.{key}")
            found.append(report)
        return tuple(found)

    # Parts

    def _fault(self, where: str, what: str) -> None:
        self._collector.error("OP702", f"`{where}` of the saved state {what}")

    def _wrong(self, value: object, where: str, expected: str) -> None:
        found = "missing" if value is None else f"a `{type(value).__name__}`"
        self._fault(where, f"is {found}, not {expected}")

    def _named(self, data: object, where: str) -> Iterator[tuple[str, Any]]:
        """The items of a mapping by texts."""
        if not isinstance(data, Mapping):
            self._wrong(data, where, "a mapping")
            return
        for key, value in data.items():
            if isinstance(key, str):
                yield key, value
            else:
                self._fault(where, f"has the key {key!r:.40}, which is no name")

    def _list(self, data: object, where: str) -> Sequence[Any]:
        if isinstance(data, (list, tuple)):
            return data
        self._wrong(data, where, "a list")
        return ()

    def _text(self, value: object, where: str) -> str:
        if isinstance(value, str):
            return value
        self._wrong(value, where, "a text")
        return ""

    def _count(self, value: object, where: str) -> int:
        if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < _WHOLE:
            return value
        if isinstance(value, float) and value.is_integer() and 0 <= value < 2**53:
            return int(value)
        if isinstance(value, (int, float)):
            self._fault(where, f"is {_told(value)}, not a whole number from 0")
        else:
            self._wrong(value, where, "a whole number")
        return 0

    def _number(self, value: object, where: str) -> float:
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            self._check_size(value, where)
            return value
        self._wrong(value, where, "a number")
        return 1.0

    def _check_size(self, value: object, where: str) -> None:
        """Refuse a whole number that no tensor holds."""
        if isinstance(value, int) and not -_WHOLE <= value < _WHOLE:
            self._fault(where, f"is {_told(value)}, which is too large")

    def _plain(self, value: object, where: str, depth: int = 0) -> Plain:
        if value is None or isinstance(value, (bool, int, float, str)):
            self._check_size(value, where)
            return value
        if isinstance(value, (list, tuple)) and depth < _DEEPEST:
            return tuple(self._plain(each, where, depth + 1) for each in value)
        self._wrong(value, where, "a number, a word or a list of these")
        return None

    def _value(self, value: object, where: str, *, inner: bool = False) -> Value:
        if value is None or isinstance(value, (bool, int, float)):
            self._check_size(value, where)
            return value
        if is_array(value):
            try:
                tuple(map(int, value.shape))  # type: ignore[attr-defined]  # an array has one
            except (TypeError, ValueError, RuntimeError):
                self._fault(where, f"is a `{type(value).__name__}` without a shape of whole numbers")
            return value
        if isinstance(value, (list, tuple)) and not inner:
            return tuple(self._value(each, where, inner=True) for each in value)
        self._wrong(value, where, "a tensor, an array, a number or a list of these")
        return None


def _cure(data: Mapping[Any, Any]) -> str:
    """What to give in place of a dict that is no saved state, by what else it seems to be."""
    for key, value in data.items():
        if not isinstance(value, Mapping):
            continue
        if value.get("format") == FORMAT:
            return f"give what it has under {key!r:.40}, which is a saved state"
        if "state" in value and "param_groups" in value:
            return f"give what it has under {key!r:.40}, which is a state dict of `torch.optim`"
    if data and all(hasattr(value, "asnumpy") for value in data.values()):
        return (
            "a checkpoint of MindSpore's optimizer becomes a file for `restore` by "
            "`optplan convert FILE.ckpt -o state.safetensors --config ... --network ...`"
        )
    if data and all(map(is_array, data.values())):
        return "these seem to be weights: `compiled.load_weights` takes them"
    return f"this release reads `{FORMAT}`, and state dicts of `torch.optim`"


def _told(value: float) -> str:
    """A number in a message; Python writes no whole number of thousands of digits."""
    return f"{value!r:.40}" if abs(value) < 2**200 or isinstance(value, float) else "a number of many digits"
