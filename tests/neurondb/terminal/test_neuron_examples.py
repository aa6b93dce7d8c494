"""Examples and controls on the page of a neuron: one line each, tokens coloured by value."""

import io
import math
import re
from dataclasses import replace

import pytest
from rich.cells import cell_len
from rich.console import Console, RenderableType
from rich.text import Text

from neurondb.reading.examples import ControlList, Example, ExampleList
from neurondb.reading.excerpts import Excerpt
from neurondb.reading.traces import Trace
from neurondb.terminal.console import THEME
from neurondb.terminal.neuron_examples import (
    NEGATIVE,
    POSITIVE,
    choose_shade,
    draw_controls,
    draw_examples,
    draw_excerpt,
)
from tests.neurondb.terminal.neuron_pages import (
    PAGE,
    examples,
    in_words,
    shown_page,
)

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
    assert choose_shade(value, 8.0) == style


def test_nothing_is_shaded_where_all_is_zero() -> None:
    assert choose_shade(0.0, 0.0) == ""


def test_each_token_has_the_colour_of_its_value() -> None:
    styles = [*["red"] * 2, *["green"] * 3, *["blue"] * 2, "", ""]

    line = draw_excerpt(ONE.excerpt, 40, marks=False, styles=styles)

    assert line.plain.strip() == "a bb␣c d"
    assert pieces(line) == {"a": "red", "bb": "green", "␣c": "underline bold blue"}


def test_a_peak_near_zero_is_set_off_as_where_no_values_are_stored() -> None:
    line = draw_excerpt(ONE.excerpt, 40, marks=False, styles=["red", "red", *[""] * 7])

    assert pieces(line) == {"a": "red", "␣c": "peak"}


def test_colours_stay_with_their_tokens_when_the_line_is_cut_and_escaped() -> None:
    tokens = ("long ago\n", "\x1b!", " now", "\u0301x", "\t\x07y", " and more of it")
    colours = ("color(1)", "color(2)", "color(3)", "color(4)", "color(5)", "color(6)")
    excerpt = Excerpt("".join(tokens[:2]), tokens[2], "".join(tokens[3:]), False, False, 5, tokens)
    styles = [colour for text, colour in zip(tokens, colours, strict=True) for _ in text]

    line = draw_excerpt(excerpt, 36, marks=False, styles=styles)

    assert line.plain == "…long ago⏎\\x1b!".rjust(16) + "␣now" + "◌\u0301x⇥\\x07y and mo…"
    assert {style.split()[-1]: piece for piece, style in pieces(line).items()} == {
        "color(1)": "long ago⏎", "color(2)": "\\x1b!", "color(3)": "␣now",
        "color(4)": "◌\u0301x", "color(5)": "⇥\\x07y", "color(6)": "and mo…",
    }  # fmt: skip


def test_tokens_outside_the_trace_stay_plain() -> None:
    one = example((" a", " b", " c"), 1, (8.0,), start=11, first=10)

    text = "\n".join(shown(draw_examples(lists(one), 80, marks=False), colour=True))

    assert len(re.findall("48;5;208m", text)) == 2  # the peak, and the legend's


def test_colours_are_those_of_the_list_and_the_legend_says_so() -> None:
    small = example((" x", " y"), 0, (0.25, -0.25))
    both = (*lists(ONE), ExampleList("gate-_in+", "hook_post", False, (small,)))

    coloured = "\n".join(shown(draw_examples(both, 80, marks=False), colour=True))
    plain = ESCAPES.sub("", coloured).splitlines()

    assert "48;5;26m y" in coloured  # -0.25 is the largest of its list
    assert plain[-1].strip().startswith("hook_post of each token ÷ the largest in its list:")
    assert plain[-1].split(":")[1].split() == ["-½", "-¼", "-⅛", "0", "⅛", "¼", "½"]


def test_controls_share_one_scale() -> None:
    small = example((" x", " y"), 0, (0.25, -0.25))
    found = (ControlList("random", (ONE,)), ControlList("band 0-25%", (small,)))

    lines = shown(draw_controls(found, 80, marks=False), colour=True)

    assert "48;5" not in next(line for line in lines if " y" in line)
    assert [ESCAPES.sub("", line) for line in lines if "@" not in line][:2] == [
        "  random", "  band 0-25%"
    ]  # fmt: skip
    assert "÷ the largest here" in lines[-1]


def test_without_colour_the_peak_is_marked_and_there_is_no_legend() -> None:
    lines = shown(draw_examples(lists(ONE), 80, marks=True))

    assert lines[1].endswith(" a bb«␣c» d")
    assert "÷" not in "".join(lines)
    assert "\x1b" not in "".join(lines)


def test_without_traces_there_is_no_legend() -> None:
    lines = shown(draw_examples(lists(replace(ONE, trace=None)), 80, marks=False), colour=True)

    assert len(lines) == 2
    assert "\x1b[1;7m␣c\x1b[0m" in lines[1]


@pytest.mark.parametrize("width", WIDTHS)
def test_coloured_lines_fit_the_terminal(width: int) -> None:
    tokens = tuple(f" tok{i}" for i in range(49))
    long = example(tokens, 24, tuple(math.sin(i) for i in range(49)))

    lines = shown(draw_examples(lists(long), width, marks=False), width, colour=True)

    assert max(cell_len(ESCAPES.sub("", line)) for line in lines) <= width


# --- on the page ----------------------------------------------------------------------------


def test_a_list_of_bos_alone_says_that_it_is_not_about_text() -> None:
    first, *others = examples(" once")
    line = "every peak stands at position 0"
    assert line not in shown_page(replace(PAGE, examples=(first, *others)))
    flagged = (replace(first, bos_only=True), *others)
    assert line in shown_page(replace(PAGE, examples=flagged))


def test_a_peak_is_marked_without_colour_and_highlighted_with_it() -> None:
    plain, coloured = shown_page(PAGE), shown_page(PAGE, colour=True)

    assert "«␣dog»" in plain
    assert "«" not in coloured
    assert re.search("\x1b\\[1;7m␣dog\x1b\\[0m", coloured)


def test_the_peaks_of_all_examples_stand_in_one_column() -> None:
    lines = shown_page(replace(PAGE, examples=examples(" a", "犬", "\n"))).splitlines()

    assert len({x.index("«") for x in lines if "«" in x}) == 1


def test_an_example_without_tokens_says_so() -> None:
    assert "(tokens not stored) in time⏎for all" in in_words(
        shown_page(replace(PAGE, examples=examples(None)))
    )
