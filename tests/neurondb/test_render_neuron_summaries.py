"""Histograms, labels, controls and coloured tokens on the page of a neuron."""

import io
import math
import re
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.console import Console, RenderableType
from rich.text import Text

from neurondb import histogram
from neurondb.reading.controls import ControlList
from neurondb.reading.examples import Example, ExampleList
from neurondb.reading.excerpts import Excerpt
from neurondb.reading.histograms import Histogram, Histograms
from neurondb.reading.labels import LabelReading
from neurondb.reading.traces import Trace
from neurondb.render.console import THEME
from neurondb.render.neuron_examples import control_lines, example_lines, excerpt_line
from neurondb.render.neuron_histograms import histogram_rows
from neurondb.render.neuron_labels import label_table
from neurondb.render.neuron_traces import NEGATIVE, POSITIVE, shade

WIDTHS = (60, 80, 120, 160)
ESCAPES = re.compile("\x1b\\[[0-9;]*m")


def shown(body: RenderableType | None, width: int = 80, *, colour: bool = False) -> list[str]:
    assert body is not None
    stream = io.StringIO()
    console = Console(
        file=stream, width=width, theme=THEME, force_terminal=colour,
        color_system="256" if colour else None,
    )  # fmt: skip
    console.print(body, crop=False)
    return stream.getvalue().splitlines()


# --- histograms -----------------------------------------------------------------------------


def histograms(*filled: dict[int, int], names: tuple[str, ...] = ("hook_post",)) -> Histograms:
    return Histograms(
        tuple(histogram.edges().tolist()),
        histogram.STRIDE,
        tuple(
            Histogram(name, tuple(one.get(bin_, 0) for bin_ in range(histogram.N_BINS)))
            for name, one in zip(names, filled, strict=True)
        ),
    )


def test_a_line_has_its_ends_zero_and_heights_by_the_logarithm() -> None:
    found = histograms({27: 1, 28: 30, 29: 999, 30: 10, 32: 1})

    (line, *legend) = shown(histogram_rows(found, 80))

    # log 2 / log 1000 = 0.10, log 31 / log 1000 = 0.497, log 11 / log 1000 = 0.35
    assert line == "  hook_post  -0.0312 ▁▄█│▃ ▁ 0.0312"
    said = "outwards from 0 │ two cells an octave · heights: log(1 + tokens) · 1 position in 8"
    assert " ".join(" · ".join(x.strip() for x in legend).split()) == said


def test_zero_stands_in_one_column_and_other_quantities_are_left_out() -> None:
    names = ("hook_post", "hook_pre_linear", "hook_pre")
    found = histograms({20: 5, 30: 1}, {30: 1}, {29: 3, 40: 9}, names=names)

    lines = shown(histogram_rows(found, 80))

    assert [line.split()[0] for line in lines[:2]] == ["hook_post", "hook_pre"]
    assert len({line.index("│") for line in lines[:2]}) == 1


def test_a_side_without_tokens_ends_at_zero() -> None:
    assert shown(histogram_rows(histograms({30: 4, 31: 4}), 80))[0] == "  hook_post  0 │██ 0.0234"


def test_open_bins_say_so() -> None:
    line = shown(histogram_rows(histograms({0: 1, 59: 1}), 120), 120)[0]

    assert line.startswith("  hook_post  <-256 █")
    assert line.endswith("█ >256")


@given(
    st.dictionaries(st.integers(0, 59), st.integers(1, 10**9), min_size=1),
    st.sampled_from(WIDTHS),
)
def test_a_histogram_fits_any_terminal(filled: dict[int, int], width: int) -> None:
    assert max(map(cell_len, shown(histogram_rows(histograms(filled), width), width))) <= width


def test_a_narrow_terminal_gets_a_cell_an_octave() -> None:
    everything = histograms(dict.fromkeys(range(60), 1))

    narrow, wide = (shown(histogram_rows(everything, width), width) for width in (60, 120))

    assert len(narrow[0].split("<-256 ")[1].split(" >256")[0]) == 32 + 1
    assert len(wide[0].split("<-256 ")[1].split(" >256")[0]) == 60 + 1
    assert "a cell an octave" in " ".join(narrow)


def test_cells_of_an_octave_hold_its_two_bins() -> None:
    # an octave of 511 + 512 tokens, the inner bin of 31: log 32 / log 1024 = 1/2
    found = histograms(dict.fromkeys(range(60), 0) | {0: 1, 30: 31, 31: 511, 32: 512, 59: 1})

    (line, *_) = shown(histogram_rows(found, 60), 60)

    assert line.split("│")[1].startswith("▄█ ")


def test_without_tokens_there_is_no_histogram() -> None:
    assert histogram_rows(histograms({}), 80) is None


# --- labels ---------------------------------------------------------------------------------


def label(name: str, freq: float | None = 0.5) -> LabelReading:
    return LabelReading(name, 1_234_567, freq, -1.44e-7, 0.25, -0.5, 4.0, 0.125)


def test_a_label_has_its_numbers_in_a_line() -> None:
    line = shown(label_table([label("books")], 120))[-1]

    assert line.split() == [
        "books", "1,234,567", "50.00%", "-1.44e-07", "0.500", "-0.500", "2.00", "12.50%",
    ]  # fmt: skip


def test_the_first_eight_labels_are_shown_and_the_rest_counted() -> None:
    lines = shown(label_table([label(f"part-{i}") for i in range(11)], 80))

    assert [line.split()[0] for line in lines[2:]] == [*(f"part-{i}" for i in range(8)), "+3"]
    assert lines[-1].strip() == "+3 more"
    assert "more" not in "".join(shown(label_table([label(f"part-{i}") for i in range(8)], 80)))


def test_an_ungated_neuron_has_no_share_of_its_gate() -> None:
    heading = shown(label_table([label("books", None)], 80))[1]

    assert heading.split() == ["label", "tokens", "mean", "mean", "share", ">", "0"]


@pytest.mark.parametrize("width", WIDTHS)
def test_hostile_labels_neither_act_nor_break_the_lines(width: int) -> None:
    labels = [
        label(name) for name in ("\x1b[31m", "x" * 500, "犬" * 50, "[bold]", "\u202e", "a\nb")
    ]

    lines = shown(label_table(labels, width), width)

    assert max(map(cell_len, lines)) <= width
    assert len(lines) == 2 + len(labels)
    assert not set("".join(lines)) & {"\x1b", "\u202e"}


def test_a_label_without_tokens_has_dashes() -> None:
    nothing = LabelReading("empty", 0, None, None, None, None, None, None)

    assert shown(label_table([label("a"), nothing], 80))[-1].split() == [
        "empty", "0", "–", "–", "–", "–"
    ]  # fmt: skip


# --- tokens coloured by their values ----------------------------------------------------------


def example(
    tokens: tuple[str, ...], peak: int, post: tuple[float, ...], *, start: int = 0, first: int = 0
) -> Example:
    before, after = "".join(tokens[:peak]), "".join(tokens[peak + 1 :])
    excerpt = Excerpt(before, tokens[peak], after, first == 0, True, first, tokens)
    return Example(
        0, 1, 0, peak, post[first + peak - start], excerpt, Trace(start, post, None, post)
    )


def lists(*examples: Example) -> tuple[ExampleList, ...]:
    return (ExampleList("gate+_in-", "hook_post", True, examples),)


ONE = example((" a", " bb", " c", " d"), 2, (1.0, -2.0, 8.0, math.nan))


def pieces(text: Text) -> dict[str, str]:
    """Styled pieces of a line → their styles, in the order they were given."""
    found: dict[str, str] = {}
    for span in text.spans:
        piece = text.plain[span.start : span.end].strip()
        found[piece] = " ".join(filter(None, (found.get(piece), str(span.style))))
    return found


@pytest.mark.parametrize(
    ("value", "style"),
    [
        (8.0, POSITIVE[0]), (4.0, POSITIVE[0]), (3.9, POSITIVE[1]), (2.0, POSITIVE[1]),
        (1.9, POSITIVE[2]), (1.0, POSITIVE[2]), (0.9, ""), (0.0, ""), (-0.9, ""),
        (-1.0, NEGATIVE[2]), (-2.0, NEGATIVE[1]), (-4.0, NEGATIVE[0]), (-9.0, NEGATIVE[0]),
        (math.nan, ""),
    ],
)  # fmt: skip
def test_a_value_is_shaded_by_its_share_of_the_largest(value: float, style: str) -> None:
    assert shade(value, 8.0) == style


def test_nothing_is_shaded_where_all_is_zero() -> None:
    assert shade(0.0, 0.0) == ""


def test_each_token_has_the_colour_of_its_value() -> None:
    styles = [*["red"] * 2, *["green"] * 3, *["blue"] * 2, "", ""]

    line = excerpt_line(ONE.excerpt, 40, marks=False, styles=styles)

    assert line.plain.strip() == "a bb␣c d"
    assert pieces(line) == {"a": "red", "bb": "green", "␣c": "underline bold blue"}


def test_a_peak_near_zero_is_set_off_as_where_no_values_are_stored() -> None:
    line = excerpt_line(ONE.excerpt, 40, marks=False, styles=["red", "red", *[""] * 7])

    assert pieces(line) == {"a": "red", "␣c": "peak"}


def test_colours_stay_with_their_tokens_when_the_line_is_cut_and_escaped() -> None:
    tokens = ("long ago\n", "\x1b!", " now", "\u0301x", "\t\x07y", " and more of it")
    colours = ("color(1)", "color(2)", "color(3)", "color(4)", "color(5)", "color(6)")
    excerpt = Excerpt("".join(tokens[:2]), tokens[2], "".join(tokens[3:]), False, False, 5, tokens)
    styles = [colour for text, colour in zip(tokens, colours, strict=True) for _ in text]

    line = excerpt_line(excerpt, 36, marks=False, styles=styles)

    assert line.plain == "…long ago⏎\\x1b!".rjust(16) + "␣now" + "◌\u0301x⇥\\x07y and mo…"
    assert {style.split()[-1]: piece for piece, style in pieces(line).items()} == {
        "color(1)": "long ago⏎", "color(2)": "\\x1b!", "color(3)": "␣now",
        "color(4)": "◌\u0301x", "color(5)": "⇥\\x07y", "color(6)": "and mo…",
    }  # fmt: skip


def test_tokens_outside_the_trace_stay_plain() -> None:
    one = example((" a", " b", " c"), 1, (8.0,), start=11, first=10)

    text = "\n".join(shown(example_lines(lists(one), 80, marks=False), colour=True))

    assert len(re.findall("48;5;208m", text)) == 2  # the peak, and the legend's


def test_colours_are_those_of_the_list_and_the_legend_says_so() -> None:
    small = example((" x", " y"), 0, (0.25, -0.25))
    both = (*lists(ONE), ExampleList("gate-_in+", "hook_post", False, (small,)))

    coloured = "\n".join(shown(example_lines(both, 80, marks=False), colour=True))
    plain = ESCAPES.sub("", coloured).splitlines()

    assert "48;5;26m y" in coloured  # -0.25 is the largest of its list
    assert plain[-1].strip().startswith("hook_post of each token ÷ the largest in its list:")
    assert plain[-1].split(":")[1].split() == ["-½", "-¼", "-⅛", "0", "⅛", "¼", "½"]


def test_controls_share_one_scale() -> None:
    small = example((" x", " y"), 0, (0.25, -0.25))
    found = (ControlList("random", (ONE,)), ControlList("band 0-25%", (small,)))

    lines = shown(control_lines(found, 80, marks=False), colour=True)

    assert "48;5" not in next(line for line in lines if " y" in line)
    assert [ESCAPES.sub("", line) for line in lines if "@" not in line][:2] == [
        "  random", "  band 0-25%"
    ]  # fmt: skip
    assert "÷ the largest here" in lines[-1]


def test_without_colour_the_peak_is_marked_and_there_is_no_legend() -> None:
    lines = shown(example_lines(lists(ONE), 80, marks=True))

    assert lines[1].endswith(" a bb«␣c» d")
    assert "÷" not in "".join(lines)
    assert "\x1b" not in "".join(lines)


def test_without_traces_there_is_no_legend() -> None:
    lines = shown(example_lines(lists(replace(ONE, trace=None)), 80, marks=False), colour=True)

    assert len(lines) == 2
    assert "\x1b[1;7m␣c\x1b[0m" in lines[1]


@pytest.mark.parametrize("width", WIDTHS)
def test_coloured_lines_fit_the_terminal(width: int) -> None:
    tokens = tuple(f" tok{i}" for i in range(49))
    long = example(tokens, 24, tuple(math.sin(i) for i in range(49)))

    lines = shown(example_lines(lists(long), width, marks=False), width, colour=True)

    assert max(cell_len(ESCAPES.sub("", line)) for line in lines) <= width
