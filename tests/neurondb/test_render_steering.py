"""Plots of sweeps and of curves: heights, marks, and no line too long."""

import io
import math

import numpy as np
import pytest
from rich.cells import cell_len
from rich.text import Text

from neurondb.jobs.steered import Piece
from neurondb.render.bars import HEIGHT, Marks, bar_plot
from neurondb.render.clamp import landmarks
from neurondb.render.console import console
from neurondb.render.curves import Curve, curve_plot
from neurondb.render.generation import Transcript, collect, lines, stream, stream_beside

BARS = "▁▂▃▄▅▆▇█"


def rows(plot: Text) -> list[str]:
    return plot.plain.split("\n")


def test_bars_are_as_high_as_their_values() -> None:
    plot = rows(bar_plot([-1, -0.5, 0, 0.5, 1], [0.1, 0.2, 0.6, 0, 0], Marks(0.0, None), 60))
    heights = [sum(row.ljust(60)[8 + 3 * i] in BARS for row in plot[:HEIGHT]) for i in range(3)]
    assert heights == [1, 2, 6]
    assert plot[0].split()[0] == "0.600"
    assert plot[HEIGHT].split() == ["-1", "0", "1"]


def test_the_clean_run_is_a_dotted_line_and_a_triangle() -> None:
    plot = rows(bar_plot([0, 1, 2, 3], [0.0, 0.0, 0.0, 0.9], Marks(0.5, 2.2), 60))
    (marked,) = (row for row in plot if row.strip().startswith("clean"))
    assert marked.count("┈") == 9
    assert plot[-1].index("▲") == 8 + 2 * 3
    assert "2.20, clean" in plot[-1]


@pytest.mark.parametrize("mark", [None, -7.0, 9.0])
def test_a_place_outside_has_no_triangle(mark: float | None) -> None:
    assert "▲" not in bar_plot([0, 1], [0.1, 0.2], Marks(0.1, mark), 60).plain


@pytest.mark.parametrize("n", [1, 2, 40, 41, 500])
@pytest.mark.parametrize("width", [60, 80, 160])
def test_bars_fit(n: int, width: int) -> None:
    places = np.linspace(-500, 500, n).tolist()
    plot = rows(bar_plot(places, [0.5] * n, Marks(0.2, 0.0), width))
    assert max(map(cell_len, plot)) <= width
    assert plot[0].rstrip()[-1] == "█"


def test_nothing_but_zeros_can_be_drawn() -> None:
    assert not set(BARS) & set(bar_plot([0, 1], [0, math.nan], Marks(0, 0), 60).plain)


def test_curves_stand_side_by_side() -> None:
    curves = {"a": Curve([0.0, 1.0], "●", ""), "b": Curve([0.0, math.nan], "×", "")}
    plot = rows(curve_plot(curves, 60))
    assert plot[9][8:10] == "●×"
    assert plot[0][14] == "●"
    assert "×" not in plot[0]
    assert plot[-1].strip() == "● a   × b"


@pytest.mark.parametrize("n", [1, 2, 16, 80, 200])
@pytest.mark.parametrize("width", [60, 120])
def test_curves_fit(n: int, width: int) -> None:
    values = np.random.default_rng(n).random(n).tolist()
    curves = {name: Curve(values, name, "") for name in "abc"}
    assert max(map(cell_len, rows(curve_plot(curves, width)))) <= width


def test_curves_of_one_value_or_none() -> None:
    assert "●" in curve_plot({"a": Curve([0.5, 0.5], "●", "")}, 60).plain
    assert curve_plot({"a": Curve([math.nan], "●", "")}, 60).plain == "nothing to draw"


def test_landmarks_are_the_ends_and_zero() -> None:
    assert landmarks([-5, -1, 0.5, 4]) == [0, 2, 3]
    assert landmarks([1, 2, 3]) == [0, 2]
    assert landmarks([7]) == [0]


# --- texts ---------------------------------------------------------------------------------

PIECES = [
    Piece("clean", 1, " a\n"),
    Piece("steered", 2, " \x1b[31mdog"),
    Piece("clean", None, "", "eos"),
    Piece("steered", None, "", "length"),
]


def test_a_transcript_counts_tokens_and_says_why_it_ends() -> None:
    said = collect(PIECES)
    assert said["clean"].ending == "1 token, the model ended it"
    assert said["steered"].text == " \x1b[31mdog"
    assert Transcript().ending == "0 tokens"


def test_nothing_in_a_text_acts_but_its_lines() -> None:
    assert lines("a\n\x1b[31mb\tc") == "a\n\\x1b[31mb⇥c"


def test_a_stream_without_a_terminal_is_plain_text() -> None:
    file = io.StringIO()
    stream(iter(PIECES[::2]), console(file, 80), "Once")
    assert file.getvalue() == "Once a\n\n\n1 token, the model ended it\n"


def test_columns_hold_each_its_text() -> None:
    file = io.StringIO()
    stream_beside(iter(PIECES), console(file, 60), "Once", {"clean": "clean", "steered": "4.1=2"})
    shown = file.getvalue().splitlines()
    assert shown[2].split() == ["clean", "4.1=2"]
    assert shown[3].split() == ["a", r"\x1b[31mdog"]
