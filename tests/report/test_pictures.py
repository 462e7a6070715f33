"""Curves as PNG and SVG: what is in them, and what names may do to them."""

from __future__ import annotations

import io
import sys
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

import numpy as np
import pytest

import optplan
from optplan.report.curves import Curves, Line, Panel, curves_of, usual_keys
from optplan.report.files import write_whole
from optplan.report.pictures import picture, picture_bytes
from tests.report.networks import DOCUMENT, network

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

TWO_KEYS = DOCUMENT + "  momentum: linear(to=0.5x)\n"


def curves(text: str = TWO_KEYS) -> Curves:
    plan = optplan.plan(optplan.loads(text), network(), epochs=8)
    return curves_of(plan, usual_keys(plan), 1000)


def named(*names: str) -> Curves:
    """One line of one key that belongs to groups of these names."""
    return Curves("t", range(2), 2, None, (Panel("lr", (Line(names, [0.5, 1.0]),)),))


def texts(svg: bytes) -> list[str]:
    """Every text of the picture."""
    tree = ET.fromstring(svg)  # noqa: S314 - our own picture
    return ["".join(each.itertext()) for each in tree.iter("{http://www.w3.org/2000/svg}text")]


def test_an_svg_says_in_text_what_is_drawn() -> None:
    said = texts(picture_bytes(picture(curves()), "svg"))
    assert {"lr", "momentum", "update", "epoch", "5 groups; 1,000 updates = 8 epochs"} <= set(said)
    assert {"bias, default", "matrices+slow", "matrices+slow, matrices"} <= set(said)
    assert {"0", "200", "1,000", "8", "0.02", "0.1"} <= set(said)


def test_equal_curves_are_drawn_once() -> None:
    """Five groups have four learning rates, and two of them one momentum."""
    axes = picture(curves()).axes
    assert {each.get_ylabel(): len(each.lines) for each in axes if each.lines} == {"lr": 4, "momentum": 1}


def test_a_line_has_the_numbers_of_the_plan_and_lasts_until_the_end() -> None:
    [line] = picture(named("a")).axes[0].lines
    assert np.asarray(line.get_xdata()).tolist() == [0, 1, 2]
    assert np.asarray(line.get_ydata()).tolist() == [0.5, 1.0, 1.0]
    assert line.get_drawstyle() == "steps-post"


def test_a_png_opens() -> None:
    from matplotlib.image import imread  # noqa: PLC0415 - only where it is asked for

    data = picture_bytes(picture(curves()), "png")
    assert data.startswith(b"\x89PNG\r\n")
    height, width, _ = imread(io.BytesIO(data)).shape
    assert (width, height > 600) == (1320, True)


def test_the_same_curves_give_the_same_file() -> None:
    assert picture_bytes(picture(curves()), "svg") == picture_bytes(picture(curves()), "svg")


def test_a_logarithmic_scale() -> None:
    def scales(made: Curves) -> dict[str, str]:
        return {each.get_ylabel(): each.get_yscale() for each in picture(made, log=True).axes if each.lines}

    assert scales(curves()) == {"lr\n(what is 0 or below is left out)": "log", "momentum": "log"}
    none = Curves("t", range(2), 2, None, (Panel("weight_decay", (Line(("a",), [0.0, 0.0]),)),))
    assert scales(none) == {"weight_decay\n(linear: no value is above 0)": "linear"}


@pytest.mark.parametrize("name", ["_hidden", "$x_$", "$\\frac{", "a & <b>", "100%", "\\alpha", "\u5c42"])
def test_a_name_is_shown_as_it_is(name: str) -> None:
    made = picture(named(name))
    assert name in [each.strip() for each in texts(picture_bytes(made, "svg"))]
    assert picture_bytes(made, "png")


def test_of_many_names_and_curves_the_rest_is_counted() -> None:
    many = Curves("t", range(1), 1, None, (Panel("lr", tuple(Line((f"g{k}",), [float(k)]) for k in range(100))),))
    made = picture(many)
    legend = made.axes[0].get_legend()
    assert len(made.axes[0].lines) == 100
    assert legend is not None
    assert [each.get_text() for each in legend.get_texts()][-2:] == ["g99", "and 70 more curves between"]
    [label] = [
        each for each in texts(picture_bytes(picture(named(*(f"n{k}" for k in range(50)))), "svg")) if "n0" in each
    ]
    assert label.startswith("n0, n1, n2")
    assert "and 38 more groups" in " ".join(texts(picture_bytes(picture(named(*(f"n{k}" for k in range(50)))), "svg")))


def test_numbers_beyond_all_bounds_are_left_out() -> None:
    made = Curves("t", range(3), 3, None, (Panel("lr", (Line(("a",), [1.0, float("inf"), 2.0]),)),))
    assert picture_bytes(picture(made, log=True), "png")


def test_settings_of_ones_own_do_not_get_in_the_way() -> None:
    import matplotlib as mpl  # noqa: PLC0415 - only where it is asked for

    with mpl.rc_context({"text.usetex": True, "svg.fonttype": "path"}):
        assert "lr" in texts(picture_bytes(picture(named("a")), "svg"))
        assert mpl.rcParams["text.usetex"] is True


def test_without_matplotlib_there_is_a_cure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(optplan.ConfigError) as caught:
        picture(named("a"))
    [found] = caught.value.diagnostics
    assert (found.code, found.severity) == ("OP604", "error")
    assert found.message.startswith("matplotlib, which draws the pictures, cannot be imported: ModuleNotFoundError: ")
    assert "install `optplan[plot]`" in (found.help or "")


# The Python face


def test_a_plan_draws_itself() -> None:
    plan = optplan.plan(optplan.loads(TWO_KEYS), network())
    assert [each.get_ylabel() for each in plan.plot().axes if each.lines] == ["lr", "momentum"]
    [axis] = [each for each in plan.plot("weight_decay", steps=50).axes if each.lines]
    assert axis.get_xlim() == (0, 50)
    with pytest.raises(KeyError, match="no group has a number `lrr`"):
        plan.plot("lrr")


# Files


def test_a_file_is_written_whole_or_not_at_all(tmp_path: Path) -> None:
    def broken() -> Iterator[bytes]:
        yield b"half"
        raise RuntimeError

    file = tmp_path / "x.csv"
    file.write_bytes(b"what was there")
    with pytest.raises(RuntimeError):
        write_whole(file, broken())
    assert file.read_bytes() == b"what was there"
    write_whole(file, [b"all ", b"of it"])
    assert file.read_bytes() == b"all of it"
    assert [each.name for each in tmp_path.iterdir()] == ["x.csv"]
