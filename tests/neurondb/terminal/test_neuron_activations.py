"""Histograms of activations and labels of a dataset on the page of a neuron."""

import io
import re
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.console import Console, RenderableType

from neurondb import histogram
from neurondb.reading.activations import (
    Activations,
    Histogram,
    Histograms,
    LabelReading,
    Moments,
    SignCase,
    Spread,
)
from neurondb.reading.neuron import NeuronPage
from neurondb.reading.texts import Dataset
from neurondb.terminal.console import THEME
from neurondb.terminal.neuron_activations import DOMINANT, draw_histograms, draw_labels
from neurondb.terminal.neuron_examples import LEADING
from tests.neurondb.terminal.neuron_pages import (
    ACTIVATIONS,
    PAGE,
    PAGE_WIDTHS,
    case,
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


# --- histograms -----------------------------------------------------------------------------


def histograms(*filled: dict[int, int], names: tuple[str, ...] = ("hook_post",)) -> Histograms:
    return Histograms(
        tuple(histogram.compute_edges().tolist()),
        histogram.STRIDE,
        tuple(
            Histogram(name, tuple(one.get(bin_, 0) for bin_ in range(histogram.N_BINS)))
            for name, one in zip(names, filled, strict=True)
        ),
    )


def test_a_line_has_its_ends_zero_and_heights_by_the_logarithm() -> None:
    found = histograms({27: 1, 28: 30, 29: 999, 30: 10, 32: 1})

    (line, *legend) = shown(draw_histograms(found, 80))

    # log 2 / log 1000 = 0.10, log 31 / log 1000 = 0.497, log 11 / log 1000 = 0.35
    assert line == "  hook_post  -0.0312 ▁▄█│▃ ▁ 0.0312"
    said = "outwards from 0 │ two cells an octave · heights: log(1 + tokens) · 1 position in 8"
    assert " ".join(" · ".join(x.strip() for x in legend).split()) == said


def test_zero_stands_in_one_column_and_other_quantities_are_left_out() -> None:
    names = ("hook_post", "hook_pre_linear", "hook_pre")
    found = histograms({20: 5, 30: 1}, {30: 1}, {29: 3, 40: 9}, names=names)

    lines = shown(draw_histograms(found, 80))

    assert [line.split()[0] for line in lines[:2]] == ["hook_post", "hook_pre"]
    assert len({line.index("│") for line in lines[:2]}) == 1


def test_a_side_without_tokens_ends_at_zero() -> None:
    assert shown(draw_histograms(histograms({30: 4, 31: 4}), 80))[0] == "  hook_post  0 │██ 0.0234"


def test_open_bins_say_so() -> None:
    line = shown(draw_histograms(histograms({0: 1, 59: 1}), 120), 120)[0]

    assert line.startswith("  hook_post  <-256 █")
    assert line.endswith("█ >256")


@given(
    st.dictionaries(st.integers(0, 59), st.integers(1, 10**9), min_size=1),
    st.sampled_from(WIDTHS),
)
def test_a_histogram_fits_any_terminal(filled: dict[int, int], width: int) -> None:
    assert max(map(cell_len, shown(draw_histograms(histograms(filled), width), width))) <= width


def test_a_narrow_terminal_gets_a_cell_an_octave() -> None:
    everything = histograms(dict.fromkeys(range(60), 1))

    narrow, wide = (shown(draw_histograms(everything, width), width) for width in (60, 120))

    assert len(narrow[0].split("<-256 ")[1].split(" >256")[0]) == 32 + 1
    assert len(wide[0].split("<-256 ")[1].split(" >256")[0]) == 60 + 1
    assert "a cell an octave" in " ".join(narrow)


def test_cells_of_an_octave_hold_its_two_bins() -> None:
    # an octave of 511 + 512 tokens, the inner bin of 31: log 32 / log 1024 = 1/2
    found = histograms(dict.fromkeys(range(60), 0) | {0: 1, 30: 31, 31: 511, 32: 512, 59: 1})

    (line, *_) = shown(draw_histograms(found, 60), 60)

    assert line.split("│")[1].startswith("▄█ ")


def test_without_tokens_there_is_no_histogram() -> None:
    assert draw_histograms(histograms({}), 80) is None


# --- labels ---------------------------------------------------------------------------------


def label(name: str, freq: float | None = 0.5) -> LabelReading:
    return LabelReading(name, 1_234_567, freq, -1.44e-7, 0.25, -0.5, 4.0, 0.125)


def test_a_label_has_its_numbers_in_a_line() -> None:
    line = shown(draw_labels([label("books")], 120))[-1]

    assert line.split() == [
        "books", "1,234,567", "50.00%", "-1.44e-07", "0.500", "-0.500", "2.00", "12.50%",
    ]  # fmt: skip


def test_the_first_eight_labels_are_shown_and_the_rest_counted() -> None:
    lines = shown(draw_labels([label(f"part-{i}") for i in range(11)], 80))

    assert [line.split()[0] for line in lines[2:]] == [*(f"part-{i}" for i in range(8)), "+3"]
    assert lines[-1].strip() == "+3 more"
    assert "more" not in "".join(shown(draw_labels([label(f"part-{i}") for i in range(8)], 80)))


def test_an_ungated_neuron_has_no_share_of_its_gate() -> None:
    heading = shown(draw_labels([label("books", None)], 80))[1]

    assert heading.split() == ["label", "tokens", "mean", "mean", "share", ">", "0"]


@pytest.mark.parametrize("width", WIDTHS)
def test_hostile_labels_neither_act_nor_break_the_lines(width: int) -> None:
    labels = [
        label(name) for name in ("\x1b[31m", "x" * 500, "犬" * 50, "[bold]", "\u202e", "a\nb")
    ]

    lines = shown(draw_labels(labels, width), width)

    assert max(map(cell_len, lines)) <= width
    assert len(lines) == 2 + len(labels)
    assert not set("".join(lines)) & {"\x1b", "\u202e"}


def test_a_label_without_tokens_has_dashes() -> None:
    nothing = LabelReading("empty", 0, None, None, None, None, None, None)

    assert shown(draw_labels([label("a"), nothing], 80))[-1].split() == [
        "empty", "0", "–", "–", "–", "–"
    ]  # fmt: skip


# --- on the page ----------------------------------------------------------------------------


def test_the_dominant_case_is_marked_and_an_empty_one_stays() -> None:
    for width in PAGE_WIDTHS:
        lines = shown_page(PAGE, width).splitlines()
        assert any(x.startswith("▶ gate+_in-") and "67.00%" in x for x in lines), width
        assert any(x.startswith("  gate-_in+") and "0.00%" in x for x in lines), width


def test_only_the_most_frequent_case_is_marked_and_examples_name_the_strongest() -> None:
    for width in PAGE_WIDTHS:
        text = shown_page(PAGE, width)
        assert text.count(DOMINANT) == 1, width
        named = [line.split()[0] for line in text.splitlines() if LEADING in line]
        assert named == [one.sign_case for one in PAGE.examples if one.leading], width


@pytest.mark.parametrize("width", PAGE_WIDTHS)
def test_every_number_of_a_sign_case_stands_in_its_line(width: int) -> None:
    line = next(x for x in shown_page(PAGE, width).splitlines() if x.startswith("▶ gate+_in-"))
    numbers = [word for word in line.split() if word in ("-0.180", "-5.12", "0.500")]

    assert numbers[:3] == ["-0.180", "-5.12", "0.500"]
    assert "…" not in "".join(sign_cases(width))


def test_a_narrow_terminal_gets_the_means_and_a_wide_one_everything() -> None:
    tiny = Spread(-1.44e-7, -1.44e-7, -1.44e-7)
    longest = replace(case("gate+_in-", 670), post=tiny, pre_linear=tiny, pre=tiny)
    page = replace(PAGE, activations=replace(ACTIVATIONS, cases=(longest,)))

    found = {width: "\n".join(sign_cases(width, page)) for width in PAGE_WIDTHS}

    assert {width: text.count("-1.44e-07") for width, text in found.items()} == {
        60: 3, 80: 5, 100: 5, 119: 9, 140: 9, 160: 9,
    }  # fmt: skip
    assert "  hook_pre_linear, hook_pre: wider terminal or --format json" in found[60]
    assert "  min and max of hook_pre_linear, hook_pre: wider" in found[80]
    assert "wider" not in found[119]


def sign_cases(width: int, page: NeuronPage = PAGE) -> list[str]:
    lines = shown_page(page, width).splitlines()
    start = next(i for i, line in enumerate(lines) if line.startswith("sign cases"))
    return lines[start : lines.index("", start)]


def test_a_neuron_without_finite_tokens_has_a_page() -> None:
    nothing = Moments(None, None, None, None)
    none = Spread(None, None, None)
    empty = SignCase("gate+_in+", 0, None, False, none, none, none, none)
    found = Activations(Dataset(1, "tales", 3), 0, None, None, nothing, nothing, (empty,), 1000)

    for width in PAGE_WIDTHS:
        text = shown_page(replace(PAGE, activations=found, examples=()), width)
        line = next(x for x in text.splitlines() if x.startswith("  gate+_in+"))
        assert line.split()[:3] == ["gate+_in+", "0", "–"]


def test_moments_have_standard_deviations() -> None:
    line = next(x for x in shown_page(PAGE).splitlines() if x.startswith("  hook_post  "))

    assert line.split() == ["hook_post", "0.250", "2.00", "-2.50", "31.0", "25.00%"]
