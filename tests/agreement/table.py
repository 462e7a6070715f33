"""The table of what agrees how well, in the README of the MindSpore target: made from measurements, and read again.

It stands between two marks; what is above and below them is a person's text and stays as it is.  A run measures in one
mode of MindSpore and writes that mode's columns; those of the other mode it keeps.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple

from optplan.catalog import catalog
from tests.agreement.settings import CASES, DELICATE, Case

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

Mode = Literal["pynative", "graph"]

README = Path(__file__).parents[2] / "compiler" / "optplan" / "targets" / "mindspore" / "README.md"
BEGIN = "<!-- agreement: begin; `make agreement` writes what stands from here to the end mark -->"
END = "<!-- agreement: end -->"

# What may not be exceeded, nor by what is delicate at the first update; and what that may not exceed after the last.
LIMIT = 1e-5
DELICATE_LIMITS = {"muon": 1e-3, "rmsprop": 1e-4}
# How much worse than stated a measurement may be, on another machine for one.
FACTOR = 4.0
# Figures below this are one or two roundings of float32, which come out as they come out.
ROUNDING = 5e-7

_BEFORE = """\
Both frameworks train the same network by the same document for 200 updates, with the same weights to begin with and
the same gradients: three groups that differ in rate, decay and betas (or momentum, or eps), a warm-up into a cosine.
The figures are relative differences of weights, |a - b| / max(|a|, rms of the tensor that a is in), the largest of all
elements and settings. `plain` gradients are ordinary; `mixed` ones span nine decades and have exact zeros. For
comparison, `torch` has what float32 costs in PyTorch: its difference from the same in float64. What `every curve` adds
is a policy for each setting that can have one."""
_BETWEEN = """\
Delicate are formulas that throw digits away, so that PyTorch itself moves its weights as far where each gradient is
changed to the next number of float32, or where it computes in float64. Muon iterates in bf16; RMSprop, centered,
subtracts two averages that are nearly equal where decay outweighs the gradients. `first` and `last` are differences
after the first update and after 200."""

UNKNOWN = "?"

_ByCase = dict[tuple[str, str], "Mapping[str, float]"]
_MODES: dict[Mode, str] = {"pynative": "PyNative", "graph": "Graph"}
_HEAD = (
    "optimizer",
    "carried out by",
    *(f"{half}, {mode}" for half in ("plain", "mixed") for mode in _MODES.values()),
    "torch, plain",
    "torch, mixed",
    "because",
    "settings",
)
_DELICATE_HEAD = (
    "delicate",
    "gradients",
    *(f"{when}, {mode}" for when in ("first", "last") for mode in _MODES.values()),
    "torch, one ulp, first",
    "torch, one ulp, last",
    "torch, float32",
)


class Measurement(NamedTuple):
    """The largest relative differences of one case, in one mode, by the kind of gradients (`..._plain`, `..._mixed`).

    `last`: between the frameworks, after the last update.  `torch`: in PyTorch between float32 and float64.  Of what
    is delicate also `first`, between the frameworks after the first update, and `ulp_first`, `ulp_last`, in PyTorch
    between gradients that differ by one ulp.
    """

    optimizer: str
    setting: str
    figures: Mapping[str, float]


class Row(NamedTuple):
    """An optimizer and a class that carries it out, with the names of the settings for which it does."""

    optimizer: str
    carried_out_by: str
    because: str
    settings: tuple[str, ...]


def expected_rows() -> list[Row]:
    """The rows that the catalog makes: by optimizer, a row for each class that some setting has, then the refused.

    A delicate setting of an optimizer that is not delicate as a whole has its place in the other table.
    """
    found: dict[tuple[str, str, str], list[str]] = {}
    for case in CASES:
        if case.delicate and DELICATE[case.optimizer] is not None:
            continue
        by = case.lowering
        found.setdefault((case.optimizer, f"`{by.class_name}`", by.reason), []).append(case.name)
    rows = [Row(*key, tuple(names)) for key, names in found.items()]
    kinds = [kind for kind in catalog().optimizers.values() if "mindspore" in kind.refusals]
    return [*rows, *(Row(kind.name, "refused", kind.refusals["mindspore"], ()) for kind in kinds)]


class Table(NamedTuple):
    """The cells of the two tables by column: of a row (optimizer, class), of a delicate one (optimizer, gradients)."""

    rows: dict[tuple[str, str], dict[str, str]]
    delicate: dict[tuple[str, str], dict[str, str]]

    def stated(self, case: Case, half: str, mode: Mode) -> float:
        """The figure for one kind of gradients in one mode, after the last update; KeyError where there is none."""
        if case.delicate:
            return float(self.delicate[delicate_label(case.optimizer), half][f"last, {_MODES[mode]}"])
        return float(self.rows[f"`{case.optimizer}`", f"`{case.lowering.class_name}`"][f"{half}, {_MODES[mode]}"])


def delicate_label(optimizer: str) -> str:
    """What stands for the delicate settings of an optimizer in the second table."""
    setting = DELICATE[optimizer]
    return f"`{optimizer}`" if setting is None else f"`{optimizer}`: {setting}"


def read(text: str) -> Table:
    """The tables between the marks of `text`; empty ones where there are none."""
    table = Table({}, {})
    head: tuple[str, ...] = ()
    for line in text.partition(BEGIN)[2].partition(END)[0].splitlines():
        cells = tuple(cell.strip() for cell in line.strip("|").split("|"))
        if not line.startswith("|"):
            head = ()
        elif not head:
            head = cells
        elif not set(line) <= set("|-"):
            rows = table.delicate if head[0] == _DELICATE_HEAD[0] else table.rows
            rows[cells[0], cells[1]] = dict(zip(head, cells, strict=True))
    return table


def written(text: str, measured: Iterable[Measurement], mode: Mode) -> str:
    """`text` with the tables made anew: the columns of `mode` from `measured`, the other mode's as they were."""
    before = read(text)
    by_case = {(each.optimizer, each.setting): each.figures for each in measured}
    lines = [
        _BEFORE,
        "",
        *_lines(_HEAD, _agreement_rows(before, by_case, mode)),
        "",
        _BETWEEN,
        "",
        *_lines(_DELICATE_HEAD, _delicate_rows(before, by_case, mode)),
    ]
    if BEGIN not in text:
        text = f"{text.rstrip()}\n\n{BEGIN}\n{END}\n"
    above, _, rest = text.partition(BEGIN)
    return "\n".join([above + BEGIN, "", *lines, "", END + rest.partition(END)[2]])


def _agreement_rows(before: Table, by_case: _ByCase, mode: Mode) -> list[dict[str, str]]:
    rows = []
    for row in expected_rows():
        cells = dict.fromkeys(_HEAD, "") | {
            "optimizer": f"`{row.optimizer}`",
            "carried out by": row.carried_out_by,
            "because": row.because,
            "settings": "; ".join(row.settings),
        }
        for half in ("plain", "mixed") if row.settings else ():
            kept = before.rows.get((cells["optimizer"], row.carried_out_by), {})
            cells |= _by_mode(half, kept, mode, _largest(by_case, row.optimizer, row.settings, f"last_{half}"))
            cells[f"torch, {half}"] = _largest(by_case, row.optimizer, row.settings, f"torch_{half}")
        rows.append(cells)
    return rows


def _delicate_rows(before: Table, by_case: _ByCase, mode: Mode) -> list[dict[str, str]]:
    rows = []
    for optimizer in DELICATE:
        settings = [case.name for case in CASES if case.optimizer == optimizer and case.delicate]
        for half in ("plain", "mixed"):
            cells = {"delicate": delicate_label(optimizer), "gradients": half}
            kept = before.delicate.get((cells["delicate"], half), {})
            for when in ("first", "last"):
                cells |= _by_mode(when, kept, mode, _largest(by_case, optimizer, settings, f"{when}_{half}"))
                cells[f"torch, one ulp, {when}"] = _largest(by_case, optimizer, settings, f"ulp_{when}_{half}")
            cells["torch, float32"] = _largest(by_case, optimizer, settings, f"torch_{half}")
            rows.append(cells)
    return rows


def _by_mode(what: str, kept: Mapping[str, str], mode: Mode, figure: str) -> dict[str, str]:
    """A figure's cells: the one of `mode` is new, the other's is kept."""
    columns = {each: f"{what}, {word}" for each, word in _MODES.items()}
    return {column: figure if each == mode else kept.get(column, UNKNOWN) for each, column in columns.items()}


def _largest(by_case: _ByCase, optimizer: str, settings: Iterable[str], figure: str) -> str:
    largest = max(by_case[optimizer, setting][figure] for setting in settings)
    return f"{largest:.0e}".replace("e-0", "e-") if largest else "0"


def _lines(head: tuple[str, ...], rows: list[dict[str, str]]) -> list[str]:
    """A table of Markdown with its columns under each other, but for the last two of the first one, which are long."""
    widths = [max(len(cells[column]) for cells in [*rows, {column: column}]) for column in head]
    if head == _HEAD:
        widths[-2:] = [0, 0]

    def line(cells: Iterable[str]) -> str:
        return "| " + " | ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)) + " |"

    rule = "|" + "|".join("-" * (max(width, 3) + 2) for width in widths) + "|"
    return [line(head), rule, *(line(cells[column] for column in head) for cells in rows)]
