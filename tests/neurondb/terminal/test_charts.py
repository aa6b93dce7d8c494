"""Charts in characters: heights, marks and legends, and no line wider than the terminal."""

import math

import numpy as np
import pytest
from rich.cells import cell_len
from rich.text import Text

from neurondb.reading.arrays import ClassCount
from neurondb.taxonomy import CLASSES, UNDEFINED
from neurondb.terminal.charts import (
    BAR_ROWS,
    CLASS_SIGNS,
    REST_CLASS,
    CleanRun,
    Curve,
    draw_bars,
    draw_classes_by_layer,
    draw_curves,
)

BARS = "▁▂▃▄▅▆▇█"


def rows(plot: Text) -> list[str]:
    return plot.plain.split("\n")


def test_bars_are_as_high_as_their_values() -> None:
    plot = rows(draw_bars([-1, -0.5, 0, 0.5, 1], [0.1, 0.2, 0.6, 0, 0], CleanRun(0.0, None), 60))
    heights = [sum(row.ljust(60)[8 + 3 * i] in BARS for row in plot[:BAR_ROWS]) for i in range(3)]
    assert heights == [1, 2, 6]
    assert plot[0].split()[0] == "0.600"
    assert plot[BAR_ROWS].split() == ["-1", "0", "1"]


def test_the_clean_run_is_a_dotted_line_and_a_triangle() -> None:
    plot = rows(draw_bars([0, 1, 2, 3], [0.0, 0.0, 0.0, 0.9], CleanRun(0.5, 2.2), 60))
    (marked,) = (row for row in plot if row.strip().startswith("clean"))
    assert marked.count("┈") == 9
    assert plot[-1].index("▲") == 8 + 2 * 3
    assert "2.20, clean" in plot[-1]


@pytest.mark.parametrize("mark", [None, -7.0, 9.0])
def test_a_place_outside_has_no_triangle(mark: float | None) -> None:
    assert "▲" not in draw_bars([0, 1], [0.1, 0.2], CleanRun(0.1, mark), 60).plain


@pytest.mark.parametrize("n", [1, 2, 40, 41, 500])
@pytest.mark.parametrize("width", [60, 80, 160])
def test_bars_fit(n: int, width: int) -> None:
    places = np.linspace(-500, 500, n).tolist()
    plot = rows(draw_bars(places, [0.5] * n, CleanRun(0.2, 0.0), width))
    assert max(map(cell_len, plot)) <= width
    assert plot[0].rstrip()[-1] == "█"


def test_nothing_but_zeros_can_be_drawn() -> None:
    assert not set(BARS) & set(draw_bars([0, 1], [0, math.nan], CleanRun(0, 0), 60).plain)


def test_curves_stand_side_by_side() -> None:
    curves = {"a": Curve([0.0, 1.0], "●", ""), "b": Curve([0.0, math.nan], "×", "")}
    plot = rows(draw_curves(curves, 60))
    assert plot[9][8:10] == "●×"
    assert plot[0][14] == "●"
    assert "×" not in plot[0]
    assert plot[-1].strip() == "● a   × b"


@pytest.mark.parametrize("n", [1, 2, 16, 80, 200])
@pytest.mark.parametrize("width", [60, 120])
def test_curves_fit(n: int, width: int) -> None:
    values = np.random.default_rng(n).random(n).tolist()
    curves = {name: Curve(values, name, "") for name in "abc"}
    assert max(map(cell_len, rows(draw_curves(curves, width)))) <= width


def test_curves_of_one_value_or_none() -> None:
    assert "●" in draw_curves({"a": Curve([0.5, 0.5], "●", "")}, 60).plain
    assert draw_curves({"a": Curve([math.nan], "●", "")}, 60).plain == "nothing to draw"


# --- classes of each layer -----------------------------------------------------------------

WIDTH = 100
COUNTS = [
    ClassCount(0, "strengthening", 10),
    ClassCount(0, "weakening", 30),
    ClassCount(0, "orthogonal output", 60),
    ClassCount(1, "conditional weakening", 20),
    ClassCount(1, "orthogonal output", 80),
    ClassCount(2, "orthogonal output", 100),
]


def drawn(width: int = WIDTH) -> list[str]:
    return draw_classes_by_layer(COUNTS, {}, width).plain.splitlines()


def bar(line: str) -> str:
    return line.split("%")[0].strip(" 0123456789")


def test_the_longest_bar_fills_the_room_and_the_others_are_in_proportion() -> None:
    first, second, third = map(bar, drawn()[:3])
    assert len(drawn()[0]) <= WIDTH
    assert abs(len(first) / 2 - len(second)) <= 1
    assert third == ""
    assert abs(first.count("W") - 3 * first.count("S")) <= 3
    assert first == "S" * first.count("S") + "W" * first.count("W")


def test_beside_a_bar_stand_its_share_and_how_many_weaken() -> None:
    assert drawn()[0].endswith("40%  of which weakening 30")
    assert drawn()[1].endswith("20%  of which weakening 0")
    assert drawn()[2].endswith(" 0%  of which weakening 0")


def test_the_legend_names_what_is_drawn_and_what_is_left_out() -> None:
    assert "S strengthening  W weakening  K conditional weakening" in drawn()[-1]
    assert drawn()[-1].endswith(f"(left out: {REST_CLASS})")
    assert all(len(line) <= 60 for line in drawn(60))


def test_every_class_has_a_mark_of_its_own() -> None:
    assert {*CLASS_SIGNS, REST_CLASS} == {one.name for one in (*CLASSES, UNDEFINED)}
    assert len(set(CLASS_SIGNS.values())) == len(CLASS_SIGNS)


def test_colours_come_on_top() -> None:
    picture = draw_classes_by_layer(COUNTS, {"weakening": "#1c4aa0"}, WIDTH)
    assert any(span.style == "#1c4aa0 on #1c4aa0" for span in picture.spans)


def test_no_layers_no_bars() -> None:
    assert draw_classes_by_layer([], {}, WIDTH).plain == f"(left out: {REST_CLASS})"
