"""Curves as a picture: a panel for each key, updates below, epochs above, and beside it who is who.

The only place that needs matplotlib, which is looked for when a picture is drawn; the global state of `pyplot` is left
alone.  Text in an SVG is text, and the same curves give the same file.
"""

from __future__ import annotations

import io
import warnings
from math import isfinite
from traceback import format_exception_only
from typing import TYPE_CHECKING, Any

from optplan.diagnostics import ConfigError, diagnostic
from optplan.report.curves import spread
from optplan.report.notation import number, printable, wrapped
from optplan.report.scales import Scale, count_text, ticks_between

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from optplan.report.curves import Curves, Panel

_WIDTH, _PANEL_HEIGHT, _ENTRY_HEIGHT = 11.0, 3.6, 0.2
# beyond so many curves a colour can no longer be looked up, beyond so many names a curve is not described by them
_ENTRIES, _NAMES, _NAME_WIDTH = 30, 12, 44
_SETTINGS: dict[Any, object] = {
    "text.usetex": False,
    "text.parse_math": False,
    "svg.fonttype": "none",
    "svg.hashsalt": "optplan",
}


def picture(curves: Curves, *, log: bool = False) -> Figure:
    """The curves as a figure of matplotlib; ConfigError (OP604) where that is missing.

    An update lasts until the next, so a curve is drawn as steps.  On a logarithmic scale what is 0 or below is left
    out; a key that has nothing above 0 keeps its linear one.
    """
    try:
        from matplotlib import rc_context  # noqa: PLC0415 - see the head of the module
        from matplotlib.figure import Figure  # noqa: PLC0415 - as above
    except Exception as error:
        reason = format_exception_only(error)[-1].strip().splitlines()[-1]
        cure = "install `optplan[plot]`, or matplotlib itself; `-o x.csv` and the chart in the terminal need neither"
        message = f"matplotlib, which draws the pictures, cannot be imported: {reason}"
        raise ConfigError([diagnostic("OP604", message, help=cure)]) from error
    with rc_context(_SETTINGS):
        heights = [max(_PANEL_HEIGHT, 1 + _ENTRY_HEIGHT * _lines_of_legend(panel)) for panel in curves.panels]
        figure = Figure(figsize=(_WIDTH, sum(heights) + 0.4), layout="constrained")
        axes = figure.subplots(len(heights), squeeze=False, gridspec_kw={"height_ratios": heights})
        for axis, panel in zip(axes[:, 0], curves.panels, strict=True):
            _fill(axis, curves, panel, log=log)
        figure.suptitle(printable(curves.title), fontsize="medium")
    return figure


def picture_bytes(figure: Figure, form: str) -> bytes:
    """The figure as a file of the form `png` or `svg`."""
    from matplotlib import rc_context  # noqa: PLC0415 - there is a figure, so there is matplotlib

    stream = io.BytesIO()
    with rc_context(_SETTINGS), warnings.catch_warnings():
        # a name in a script that the font lacks is drawn as boxes, and that is seen
        warnings.filterwarnings("ignore", "Glyph", UserWarning)
        figure.savefig(stream, format=form, dpi=120, metadata={"Date": None} if form == "svg" else None)
    return stream.getvalue()


def _fill(axis: Axes, curves: Curves, panel: Panel, *, log: bool) -> None:
    from matplotlib.lines import Line2D  # noqa: PLC0415 - there is a figure, so there is matplotlib

    times = [*curves.updates, curves.end]
    drawn = []
    for line, colour in zip(panel.lines, _colours(len(panel.lines)), strict=True):
        values = [*line.values, line.values[-1]]
        drawn += axis.plot(times, values, drawstyle="steps-post", color=colour, linewidth=1.5)
    scale = Scale.of([value for line in panel.lines for value in line.values if isfinite(value)], log=log)
    if scale.log:
        axis.set_yscale("log", nonpositive="mask")
    label = printable(panel.key) + (f"\n({scale.remark})" if scale.remark else "")
    axis.set(xlabel="update", ylabel=label, xlim=(0, curves.end), ylim=scale.around(0.03))
    axis.set_yticks(scale.ticks, [number(tick, 6) for tick in scale.ticks])
    axis.set_yticks([], minor=True)
    _count_out(axis, curves.end, whole=True)
    axis.grid(visible=True, alpha=0.3)
    if curves.epoch is not None:
        above = axis.twiny()
        above.set(xlabel="epoch", xlim=(0, curves.end / curves.epoch))
        _count_out(above, curves.end / curves.epoch)
    shown = _entries(panel)
    handles, labels = [drawn[place] for place in shown], [_label(panel.lines[place].groups) for place in shown]
    if len(shown) < len(drawn):
        handles.append(Line2D([], [], color="none"))
        labels.append(f"and {len(drawn) - len(shown):,} more curves between")
    axis.legend(handles, labels, loc="upper left", bbox_to_anchor=(1.01, 1.0), fontsize="small", frameon=False)


def _label(groups: tuple[str, ...]) -> str:
    """The names, some on each line; matplotlib takes no label that begins with a line below."""
    names = [printable(name).replace("\n", " ") for name in groups[:_NAMES]]
    more = [f"and {len(groups) - _NAMES:,} more groups"] if len(groups) > _NAMES else []
    text = "\n".join(wrapped(", ".join([*names, *more]), _NAME_WIDTH, ""))
    return f" {text}" if text.startswith("_") else text


def _entries(panel: Panel) -> Sequence[int]:
    """The places of the lines that the legend has: all, or some of them, evenly spread."""
    return spread(len(panel.lines), _ENTRIES)


def _lines_of_legend(panel: Panel) -> int:
    return sum(_label(panel.lines[place].groups).count("\n") + 1 for place in _entries(panel))


def _count_out(axis: Axes, end: float, *, whole: bool = False) -> None:
    """Round numbers along the axis of updates, or of epochs."""
    ticks = [tick for tick in ticks_between(0.0, end, 8, whole=whole) if tick <= end]
    axis.set_xticks(ticks, [count_text(tick) for tick in ticks])


def _colours(count: int) -> list[tuple[float, ...]]:
    """Colours that differ as much as they can: ten of their own, or so many along a scale."""
    from matplotlib import colormaps  # noqa: PLC0415 - as above

    if count <= 10:
        return [tuple(colormaps["tab10"](place)) for place in range(count)]
    return [tuple(colormaps["viridis"](place / count)) for place in range(count)]
