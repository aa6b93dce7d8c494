"""The page shows what matters at any width, with and without colour, whatever the tokens are."""

import io
import re
from dataclasses import replace

import pytest
from rich.cells import cell_len
from rich.console import Console

from neurondb.contracts.annotations import Annotation
from neurondb.reading.activations import (
    Histogram,
    Histograms,
    LabelReading,
    Spread,
)
from neurondb.reading.examples import ControlList, ExampleOptions
from neurondb.reading.explanations import DetectionScore, Explanation
from neurondb.reading.neuron import NeuronPage, PageOptions
from neurondb.reading.verdict import ClassAt, CosineReading, Verdict
from neurondb.terminal.console import THEME
from neurondb.terminal.neuron import draw_neuron_page
from tests.neurondb.terminal.neuron_pages import (
    ACTIVATIONS,
    COSINES,
    HOSTILE,
    IDENTITY,
    PAGE,
    PAGE_WIDTHS,
    REGIONS,
    case,
    case_peaks,
    examples,
    in_words,
    shown_page,
    vocabulary,
)

EXPLANATION = Explanation(
    *("\x1b[2J", "k\n", "[red]v\x1b " + "long " * 40, "\r", "c", "\x9b", "2026-01-01T00:00:00"),
    more=(("\x07", "\u202e"),),
    scores=(
        DetectionScore(
            "gate+_in-", "\x1b", "random", 0, 3, 1, 2, 4, 5, 0.5476, 0.75, 3 / 7, "2026"
        ),
        DetectionScore("gate-_in-", "s", "others", 0, 0, 0, 0, 0, 8, None, None, None, "2026"),
    ),
)
"""By whoever means harm."""


def test_identity_and_verdict_open_the_page() -> None:
    text = in_words(shown_page(PAGE))

    assert text.startswith("tiny 31.9634 · neuron_id 351000 · llama, silu, gated")
    assert "‖gate‖ 1.50 · ‖in‖ 2.50 · ‖out‖ 3.50 sign -1: in and out are multiplied by -1" in text
    assert "hook_pre_linear and hook_post here are the negatives of what the model computes" in text
    assert "weakening (depletion) at τ = 0.5: removes what it reads" in text
    assert "fires (x_gate > 0) on 63.20% of tokens" in text
    assert "prediction (kurtosis 12.0 > 10, skewness 1.00 > 0)" in text
    assert "promotes ␣once" in text
    assert "atypical weakening at 0.3" in text
    assert "! dense: fires on 95.0%" in text


def test_biases_show_where_there_are_any_and_an_unflipped_sign_does_not() -> None:
    page = replace(PAGE, identity=replace(IDENTITY, sign=1, gate_bias=0.5, in_bias=-0.25))

    assert "gate bias 0.500 · in bias -0.250" in in_words(shown_page(page))
    assert "multiplied" not in shown_page(page)


@pytest.mark.parametrize(
    ("value", "significant", "said"), [(-0.32, True, True), (-0.32, False, False)]
)
def test_orthogonal_output_admits_a_significant_cosine(
    value: float, significant: bool, said: bool
) -> None:
    orthogonal = ClassAt(0.5, "orthogonal output", "orthogonal output")
    page = replace(
        PAGE,
        verdict=replace(PAGE.verdict, read_write=orthogonal),
        cosines=(COSINES[0], CosineReading("in_out", value, REGIONS, significant)),
    )

    text = shown_page(page)

    assert ("cos(in,out) = -0.32 is below τ but significant" in text) is said
    assert "cos(gate,in) =" not in text
    assert "below τ" not in shown_page(PAGE)


def test_a_partition_neuron_says_by_which_number() -> None:
    found = replace(vocabulary(" once"), role="partition")

    said = shown_page(replace(PAGE, vocabulary=found))
    assert "partition (variance of cos(U, out) 0.0400 > 0.005)" in said


def test_what_is_not_stored_cannot_be_shown_and_the_page_says_so() -> None:
    stream = io.StringIO()
    asked = PageOptions(tokens=20, examples=ExampleOptions(count=20))
    Console(file=stream, width=80, theme=THEME).print(
        draw_neuron_page(PAGE, 80, marks=True, options=asked)
    )

    assert "suppressed (2 stored)" in stream.getvalue()
    assert "|hook_post| (1 stored)" in stream.getvalue()


def test_a_pipe_gets_no_escape_sequence() -> None:
    assert "\x1b" not in shown_page(PAGE)


@pytest.mark.parametrize("width", PAGE_WIDTHS)
def test_hostile_tokens_neither_act_nor_break_the_lines(width: int) -> None:
    hostile = replace(
        PAGE,
        identity=replace(IDENTITY, model="\x1b]0;title\x07"),
        vocabulary=vocabulary(*HOSTILE),
        examples=examples(*HOSTILE),
        peaks=case_peaks(*HOSTILE),
        annotations=(Annotation("\x1b[2J", "k\n", "[red]v\x1b", "\r"),),
        explanations=(EXPLANATION,),
    )

    text = shown_page(hostile, width)

    assert not set(text) & {"\x1b", "\x07", "\r", "\x9b", "\u202e"}
    assert "[bold]red" in text
    assert all(cell_len(line) <= width for line in text.splitlines())


def test_an_explanation_stands_with_its_scores() -> None:
    shown = in_words(shown_page(replace(PAGE, explanations=(EXPLANATION,)), 160))
    assert "version" in shown
    assert "2026-01-01" in shown
    assert (
        "balanced accuracy 54.76% · 3 of 7 examples of gate+_in- told right · 2 of 3 random"
        in shown
    )
    assert "balanced accuracy – · 0 of 0 examples of gate-_in- told right" in shown
    assert "5 unanswered" in shown


@pytest.mark.parametrize("width", PAGE_WIDTHS)
@pytest.mark.parametrize("colour", [True, False])
def test_no_line_is_longer_than_the_terminal(width: int, colour: bool) -> None:
    text = re.sub("\x1b\\[[0-9;]*m", "", shown_page(PAGE, width, colour=colour))

    assert max(map(cell_len, text.splitlines())) <= width


def test_peak_tokens_are_shown_with_their_share_of_the_examples() -> None:
    lines = shown_page(PAGE, 100).splitlines()
    start = next(i for i, line in enumerate(lines) if line.startswith("peak tokens"))
    assert in_words("\n".join(lines[start + 1 : start + 4])) == in_words(
        "sign case fires on fires after fires before "
        "gate+_in- ␣Paris 9/16 #1 8/16 ␣Paris 9/16 – "
        "gate-_in- <s> 7/7 all at position 0: BOS ␣Paris 9/7 #1 8/7 ␣of 7/7"
    )


def test_peak_tokens_that_are_not_stored_come_with_the_command() -> None:
    page = shown_page(replace(PAGE, peaks=()), 160)
    assert "`neurondb ingest hub/tiny --name tiny --stages peaks --dataset TEXTS`" in page


def test_a_missing_stage_says_which_command_fills_it() -> None:
    page = replace(PAGE, vocabulary=None, activations=None, examples=())

    text = shown_page(page)

    assert "`neurondb ingest hub/tiny --name tiny --stages vocab`" in text
    assert "--stages activations --dataset TEXTS`" in text


def test_a_known_model_is_ingested_by_its_name() -> None:
    known = replace(IDENTITY, model="gpt2-xl", source="openai-community/gpt2-xl")

    assert "`neurondb ingest gpt2-xl --stages vocab`" in shown_page(
        replace(PAGE, identity=known, vocabulary=None)
    )


def test_without_weights_the_page_says_so() -> None:
    page = replace(PAGE, verdict=Verdict(None, None, (), ()), cosines=())

    assert "no class" in shown_page(page)
    assert "--stages weights`" in shown_page(page)


def test_histograms_follow_the_moments_and_labels_the_sign_cases() -> None:
    counts = tuple(int(20 < i < 40) for i in range(60))
    histograms = Histograms(tuple(map(float, range(-29, 30))), 8, (Histogram("hook_post", counts),))
    labels = (LabelReading("books", 9, 0.5, 0.1, 0.2, 0.3, 0.4, 0.5),)
    found = replace(ACTIVATIONS, histograms=histograms, labels=labels)

    lines = shown_page(replace(PAGE, activations=found)).splitlines()

    starts = (
        "  all tokens",
        "  hook_post  -9.00 █",
        "labels of tales (1)",
        "vocabulary",
        "examples",
    )
    places = [next(i for i, line in enumerate(lines) if line.startswith(one)) for one in starts]
    assert places == sorted(places)


def test_controls_follow_the_examples_and_say_when_there_are_none() -> None:
    control = ControlList("band 25-50%", PAGE.examples[0].examples)

    text = in_words(shown_page(replace(PAGE, controls=(control,))))
    without = in_words(shown_page(replace(PAGE, controls=())))

    assert text.index("examples: largest") < text.index("controls: random texts")
    assert "band 25-50% +5.120 text 0 @ 7" in text
    assert "`neurondb ingest hub/tiny --name tiny --stages activations" in without
    assert "controls" not in shown_page(PAGE)


def test_an_ungated_neuron_has_no_word_about_a_gate() -> None:
    identity = replace(IDENTITY, gated=False, gate_norm=None, sign=1)
    nothing = Spread(None, None, None)
    cases = tuple(
        replace(case(name, 500), pre_linear=nothing, swish=nothing) for name in ("in+", "in-")
    )
    acts = replace(ACTIVATIONS, freq=None, cases=cases)
    page = NeuronPage(identity, PAGE.verdict, COSINES[2:], None, acts, (), ())

    text = shown_page(page)

    assert "fires (x_in > 0) on 50.00%" in text
    assert "hook_pre_linear" not in text
    assert "gate" not in text.replace("ungated", "")
