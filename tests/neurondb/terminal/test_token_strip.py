"""Strips of tokens: every token is there, coloured or marked, and nothing in it acts."""

from rich.cells import cell_len

from neurondb.terminal.neuron_examples import NEGATIVE, POSITIVE
from neurondb.terminal.token_strip import draw_strip, draw_strip_legend, find_scale

TOKENS = ["<bos>", "The", " end", "\x1b[31m", "\n", "漢字"]
VALUES = [900.0, 4.0, -8.0, 2.0, 0.5, float("nan")]


def test_the_first_token_does_not_set_the_scale() -> None:
    assert find_scale(VALUES) == 8.0
    assert find_scale([3.0]) == 3.0
    assert find_scale([]) == 0.0


def test_colours_have_steps_and_both_signs() -> None:
    strip = draw_strip(TOKENS, VALUES, 80, marks=False)
    assert strip.plain == r"<bos>The␣end\x1b[31m⏎漢字"
    styles = [str(span.style) for span in strip.spans]
    assert styles == [POSITIVE[0], POSITIVE[0], NEGATIVE[0], POSITIVE[1]]


def test_marks_say_what_colours_would() -> None:
    strip = draw_strip(TOKENS, VALUES, 80, marks=True)
    assert strip.plain == r"<bos>█The▅␣end-█\x1b[31m▃⏎▁漢字 "
    assert not strip.spans


def test_lines_are_no_wider_than_the_terminal() -> None:
    strip = draw_strip([" token"] * 40, [1.0] * 40, 60, marks=True)
    lines = strip.plain.split("\n")
    assert len(lines) > 1
    assert max(map(cell_len, lines)) <= 60
    assert strip.plain.replace("\n", "") == "␣token█" * 40


def test_the_legend_names_the_largest() -> None:
    coloured = draw_strip_legend("Σ", VALUES, marks=False).plain
    assert "8.00" in coloured
    assert "-½" in coloured
    assert "-½" not in draw_strip_legend("Σ", [1.0, 2.0], marks=False).plain
    assert "▁ 0 to █ 1" in draw_strip_legend("Σ", VALUES, marks=True).plain
