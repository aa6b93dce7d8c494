"""The page shows what matters at any width, with and without colour, whatever the tokens are."""

import io
import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
from rich.cells import cell_len
from rich.console import Console

from neurondb.formatting.documents import format_json
from neurondb.reading.activations import (
    Activations,
    Histogram,
    Histograms,
    LabelReading,
    Moments,
    SignCase,
    Spread,
)
from neurondb.reading.examples import ControlList, Example, ExampleList, ExampleOptions
from neurondb.reading.excerpts import Excerpt
from neurondb.reading.neuron import Annotation, Identity, NeuronPage, PageOptions
from neurondb.reading.texts import Dataset
from neurondb.reading.traces import Trace
from neurondb.reading.verdict import Caution, ClassAt, CosineReading, Region, Verdict
from neurondb.reading.vocabulary import (
    LmHeadToken,
    ScoredToken,
    TokenList,
    VocabMoments,
    Vocabulary,
)
from neurondb.terminal.console import THEME
from neurondb.terminal.neuron import draw_neuron_page
from neurondb.terminal.neuron_activations import DOMINANT
from neurondb.terminal.neuron_examples import LEADING
from neurondb.terminal.neuron_weights import draw_cosine_bar

HOSTILE = ("\x1b[31m", "[bold]red[/bold]", "\u202eevil", "x" * 10_000, "\r", "\x9bH", "\x07")
WIDTHS = (60, 80, 100, 119, 140, 160)

IDENTITY = Identity(
    "tiny", "hub/tiny", "llama", "silu", True, "31.9634", 31, 9634, 351_000, -1, 1.5, 2.5, 3.5,
    None, None, 9.0,
)  # fmt: skip
REGIONS = (Region("gaussian", -0.03, 0.03, None, 0.0), Region("mismatched", -0.1, 0.08, 500, 1e-4))
COSINES = (
    CosineReading("gate_in", 0.7164, REGIONS, True),
    CosineReading("gate_out", -0.7218, REGIONS, True),
    CosineReading("in_out", 0.0123, REGIONS, False),
)
MOMENTS = Moments(0.25, 4.0, -2.5, 31.0)


def case(name: str, count: int, *, dominant: bool = False) -> SignCase:
    spread = Spread(-0.18, -5.12, 0.5)
    return SignCase(name, count, count / 1000, dominant, spread, spread, spread, spread)


ACTIVATIONS = Activations(
    Dataset(1, "tales", 3), 1000, 0.632, 0.25, MOMENTS, MOMENTS,
    (case("gate+_in+", 150), case("gate+_in-", 670, dominant=True), case("gate-_in+", 0)),
)  # fmt: skip


def lists(*tokens: str) -> tuple[TokenList, ...]:
    scored = tuple(ScoredToken(i, i, text, 0.5 - i / 100, 1.0) for i, text in enumerate(tokens))
    return tuple(
        TokenList(vector, "unembed", direction, scored)
        for vector in ("gate", "in", "out")
        for direction in ("top", "bottom")
    )


def vocabulary(*tokens: str) -> Vocabulary:
    found = lists(*tokens)
    moments = tuple(VocabMoments(v, 0.0, 0.04, 1.0, 12.0, 0.1) for v in ("gate", "in", "out"))
    first = found[0].tokens[0]
    lm_head = (LmHeadToken(-1, 1, tokens[0], 0.25, 6.5), LmHeadToken(1, 2, tokens[0], 0.125, 2.5))
    return Vocabulary("U folded", "prediction", first, first, found, moments, lm_head)


def examples(*peaks: str | None) -> tuple[ExampleList, ...]:
    shown = tuple(
        Example(i, i, i, 7, 5.12 - i, Excerpt("upon a ", peak, " in time\nfor all", False, False))
        for i, peak in enumerate(peaks)
    )
    return (
        ExampleList("gate+_in-", "hook_post", True, shown),
        ExampleList("gate-_in+", "hook_post", False, ()),
    )


PAGE = NeuronPage(
    IDENTITY,
    Verdict(
        ClassAt(0.5, "weakening", "depletion"),
        "removes what it reads",
        (ClassAt(0.3, "atypical weakening", "atypical depletion"),),
        (Caution("dense", "fires on 95.0% of the tokens"),),
    ),
    COSINES,
    vocabulary(" once", " again"),
    ACTIVATIONS,
    examples(" dog"),
    (Annotation("me", "label", "negates", None),),
)


def shown(page: NeuronPage, width: int = 80, *, colour: bool = False) -> str:
    """The page as a pipe or a terminal of this width gets it."""
    stream = io.StringIO()
    console = Console(
        file=stream, width=width, theme=THEME, force_terminal=colour,
        color_system="standard" if colour else None,
    )  # fmt: skip
    console.print(draw_neuron_page(page, width, marks=not colour), crop=False)
    return stream.getvalue()


def words(text: str) -> str:
    return " ".join(text.split())


def test_identity_and_verdict_open_the_page() -> None:
    text = words(shown(PAGE))

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

    assert "gate bias 0.500 · in bias -0.250" in words(shown(page))
    assert "multiplied" not in shown(page)


def test_cosines_have_number_judgement_and_region() -> None:
    lines = shown(PAGE).splitlines()

    assert any("gate, in" in x and "+0.7164" in x and "significant" in x for x in lines)
    assert any("in, out" in x and "random" in x and "-0.100…+0.080" in x for x in lines)
    assert "±0.030" in shown(PAGE, 120)


def test_a_bar_reaches_from_zero_to_its_value() -> None:
    bar = draw_cosine_bar(CosineReading("in_out", -0.5, (), None), threshold=0.9, half=10).plain
    left, right = bar.strip("▕▏").split("│")

    assert (left, right) == (" ┊   █████", "        ┊ ")


@pytest.mark.parametrize("value", [-1.0, -0.999, -1e-9, 0.0, 1e-9, 0.5, 1.0, 1.0000001])
def test_bars_stay_in_their_frame(value: float) -> None:
    reading = CosineReading("in_out", value, (Region("gaussian", -1.0, 1.0, None, None),), False)

    assert cell_len(draw_cosine_bar(reading, threshold=0.99, half=14).plain) == 2 * 14 + 3


def test_the_dominant_case_is_marked_and_an_empty_one_stays() -> None:
    for width in WIDTHS:
        lines = shown(PAGE, width).splitlines()
        assert any(x.startswith("▶ gate+_in-") and "67.00%" in x for x in lines), width
        assert any(x.startswith("  gate-_in+") and "0.00%" in x for x in lines), width


def test_only_the_most_frequent_case_is_marked_and_examples_name_the_strongest() -> None:
    for width in WIDTHS:
        text = shown(PAGE, width)
        assert text.count(DOMINANT) == 1, width
        named = [line.split()[0] for line in text.splitlines() if LEADING in line]
        assert named == [one.sign_case for one in PAGE.examples if one.leading], width


@pytest.mark.parametrize("width", WIDTHS)
def test_every_number_of_a_sign_case_stands_in_its_line(width: int) -> None:
    line = next(x for x in shown(PAGE, width).splitlines() if x.startswith("▶ gate+_in-"))
    numbers = [word for word in line.split() if word in ("-0.180", "-5.12", "0.500")]

    assert numbers[:3] == ["-0.180", "-5.12", "0.500"]
    assert "…" not in "".join(sign_cases(width))


def test_a_narrow_terminal_gets_the_means_and_a_wide_one_everything() -> None:
    tiny = Spread(-1.44e-7, -1.44e-7, -1.44e-7)
    longest = replace(case("gate+_in-", 670), post=tiny, pre_linear=tiny, pre=tiny)
    page = replace(PAGE, activations=replace(ACTIVATIONS, cases=(longest,)))

    found = {width: "\n".join(sign_cases(width, page)) for width in WIDTHS}

    assert {width: text.count("-1.44e-07") for width, text in found.items()} == {
        60: 3, 80: 5, 100: 5, 119: 9, 140: 9, 160: 9,
    }  # fmt: skip
    assert "  hook_pre_linear, hook_pre: wider terminal or --format json" in found[60]
    assert "  min and max of hook_pre_linear, hook_pre: wider" in found[80]
    assert "wider" not in found[119]


def sign_cases(width: int, page: NeuronPage = PAGE) -> list[str]:
    lines = shown(page, width).splitlines()
    start = next(i for i, line in enumerate(lines) if line.startswith("sign cases"))
    return lines[start : lines.index("", start)]


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

    text = shown(page)

    assert ("cos(in,out) = -0.32 is below τ but significant" in text) is said
    assert "cos(gate,in) =" not in text
    assert "below τ" not in shown(PAGE)


def test_a_partition_neuron_says_by_which_number() -> None:
    found = replace(vocabulary(" once"), role="partition")

    said = shown(replace(PAGE, vocabulary=found))
    assert "partition (variance of cos(U, out) 0.0400 > 0.005)" in said


def test_a_list_of_bos_alone_says_that_it_is_not_about_text() -> None:
    first, *others = examples(" once")
    assert "position 0" not in shown(replace(PAGE, examples=(first, *others)))
    flagged = (replace(first, bos_only=True), *others)
    assert "every peak stands at position 0" in shown(replace(PAGE, examples=flagged))


def test_what_is_not_stored_cannot_be_shown_and_the_page_says_so() -> None:
    stream = io.StringIO()
    asked = PageOptions(tokens=20, examples=ExampleOptions(count=20))
    Console(file=stream, width=80, theme=THEME).print(
        draw_neuron_page(PAGE, 80, marks=True, options=asked)
    )

    assert "suppressed (2 stored)" in stream.getvalue()
    assert "|hook_post| (1 stored)" in stream.getvalue()


def test_the_lm_heads_token_is_quoted() -> None:
    text = words(shown(replace(PAGE, vocabulary=vocabulary(";"))))
    other = words(shown(replace(PAGE, vocabulary=vocabulary("'s"))))

    said = "p = 0.250, normalised 6.50× the mean of the top 100"
    assert f"LM head on −in: most probable token ';', {said}" in text
    assert "LM head on +in: most probable token ';', p = 0.125" in text
    assert text.index("on −in") < text.index("on +in")  # the stronger first
    assert """most probable token "'s",""" in other


def test_moments_have_standard_deviations() -> None:
    line = next(x for x in shown(PAGE).splitlines() if x.startswith("  hook_post  "))

    assert line.split() == ["hook_post", "0.250", "2.00", "-2.50", "31.0", "25.00%"]


def test_a_peak_is_marked_without_colour_and_highlighted_with_it() -> None:
    plain, coloured = shown(PAGE), shown(PAGE, colour=True)

    assert "«␣dog»" in plain
    assert "«" not in coloured
    assert re.search("\x1b\\[1;7m␣dog\x1b\\[0m", coloured)


def test_a_pipe_gets_no_escape_sequence() -> None:
    assert "\x1b" not in shown(PAGE)


def test_the_peaks_of_all_examples_stand_in_one_column() -> None:
    lines = shown(replace(PAGE, examples=examples(" a", "犬", "\n"))).splitlines()

    assert len({x.index("«") for x in lines if "«" in x}) == 1


def test_an_example_without_tokens_says_so() -> None:
    assert "(tokens not stored) in time⏎for all" in words(
        shown(replace(PAGE, examples=examples(None)))
    )


@pytest.mark.parametrize("width", WIDTHS)
def test_hostile_tokens_neither_act_nor_break_the_lines(width: int) -> None:
    hostile = replace(
        PAGE,
        identity=replace(IDENTITY, model="\x1b]0;title\x07"),
        vocabulary=vocabulary(*HOSTILE),
        examples=examples(*HOSTILE),
        annotations=(Annotation("\x1b[2J", "k\n", "[red]v\x1b", "\r"),),
    )

    text = shown(hostile, width)

    assert not set(text) & {"\x1b", "\x07", "\r", "\x9b", "\u202e"}
    assert "[bold]red" in text
    assert all(cell_len(line) <= width for line in text.splitlines())


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("colour", [True, False])
def test_no_line_is_longer_than_the_terminal(width: int, colour: bool) -> None:
    text = re.sub("\x1b\\[[0-9;]*m", "", shown(PAGE, width, colour=colour))

    assert max(map(cell_len, text.splitlines())) <= width


def test_a_missing_stage_says_which_command_fills_it() -> None:
    page = replace(PAGE, vocabulary=None, activations=None, examples=())

    text = shown(page)

    assert "not ingested: run `neurondb ingest hub/tiny --name tiny --stages vocab`" in text
    assert "--stages activations --dataset TEXTS`" in text


def test_a_known_model_is_ingested_by_its_name() -> None:
    known = replace(IDENTITY, model="gpt2-xl", source="openai-community/gpt2-xl")

    assert "`neurondb ingest gpt2-xl --stages vocab`" in shown(
        replace(PAGE, identity=known, vocabulary=None)
    )


def test_without_weights_the_page_says_so() -> None:
    page = replace(PAGE, verdict=Verdict(None, None, (), ()), cosines=())

    assert "no class: the weights of this layer are not ingested" in shown(page)
    assert "--stages weights`" in shown(page)


def test_an_undefined_cosine_says_so() -> None:
    page = replace(PAGE, cosines=(CosineReading("gate_in", None, REGIONS, None),))

    assert "undefined" in shown(page)


def test_histograms_follow_the_moments_and_labels_the_sign_cases() -> None:
    counts = tuple(int(20 < i < 40) for i in range(60))
    histograms = Histograms(tuple(map(float, range(-29, 30))), 8, (Histogram("hook_post", counts),))
    labels = (LabelReading("books", 9, 0.5, 0.1, 0.2, 0.3, 0.4, 0.5),)
    found = replace(ACTIVATIONS, histograms=histograms, labels=labels)

    lines = shown(replace(PAGE, activations=found)).splitlines()

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

    text = words(shown(replace(PAGE, controls=(control,))))
    without = words(shown(replace(PAGE, controls=())))

    assert text.index("examples: largest") < text.index("controls: random texts")
    assert "band 25-50% +5.120 text 0 @ 7" in text
    assert "none stored: run `neurondb ingest hub/tiny --name tiny --stages activations" in without
    assert "controls" not in shown(PAGE)


def test_a_neuron_without_finite_tokens_has_a_page() -> None:
    nothing = Moments(None, None, None, None)
    none = Spread(None, None, None)
    empty = SignCase("gate+_in+", 0, None, False, none, none, none, none)
    found = Activations(Dataset(1, "tales", 3), 0, None, None, nothing, nothing, (empty,), 1000)

    for width in WIDTHS:
        text = shown(replace(PAGE, activations=found, examples=()), width)
        line = next(x for x in text.splitlines() if x.startswith("  gate+_in+"))
        assert line.split()[:3] == ["gate+_in+", "0", "–"]


def test_an_ungated_neuron_has_no_word_about_a_gate() -> None:
    identity = replace(IDENTITY, gated=False, gate_norm=None, sign=1)
    nothing = Spread(None, None, None)
    cases = tuple(
        replace(case(name, 500), pre_linear=nothing, swish=nothing) for name in ("in+", "in-")
    )
    acts = replace(ACTIVATIONS, freq=None, cases=cases)
    page = NeuronPage(identity, PAGE.verdict, COSINES[2:], None, acts, (), ())

    text = shown(page)

    assert "fires (x_in > 0) on 50.00%" in text
    assert "hook_pre_linear" not in text
    assert "gate" not in text.replace("ungated", "")


def test_json_has_the_whole_page_under_the_names_of_the_dataclasses() -> None:
    found = json.loads(format_json(replace(PAGE, vocabulary=vocabulary(*HOSTILE))))

    assert list(found) == [
        *("identity", "verdict", "cosines", "vocabulary", "activations", "examples"),
        *("annotations", "controls"),
    ]
    assert found["verdict"]["read_write"]["name"] == "weakening"
    assert found["cosines"][0]["regions"][1] == {
        "kind": "mismatched", "low": -0.1, "high": 0.08, "n_pairs": 500, "standard_error": 1e-4,
    }  # fmt: skip
    assert [t["token"] for t in found["vocabulary"]["lists"][0]["tokens"]] == list(HOSTILE)
    assert found["examples"][0]["examples"][0]["excerpt"]["peak"] == " dog"


def test_json_is_ascii_and_has_null_for_what_is_no_number() -> None:
    odd = replace(IDENTITY, model="\u202e", in_norm=float("inf"), out_norm=float("nan"))
    text = format_json(replace(PAGE, identity=odd))

    assert text.isascii()
    assert json.loads(text)["identity"]["in_norm"] is None
    assert json.loads(text)["identity"]["out_norm"] is None


def test_every_key_of_the_json_is_documented() -> None:
    page = Path(__file__, "../../../../docs/commands/show.md").resolve().read_text()
    summarised = replace(
        ACTIVATIONS,
        histograms=Histograms((0.0,), 8, (Histogram("hook_post", (1, 2)),)),
        labels=(LabelReading("books", 9, 0.5, 0.1, 0.2, 0.3, 0.4, 0.5),),
    )
    (first, *_) = PAGE.examples
    traced = replace(first.examples[0], trace=Trace(5, (1.0,), None, (1.0,)))
    full = replace(PAGE, activations=summarised, controls=(ControlList("random", (traced,)),))

    missing = {key for key in _keys(json.loads(format_json(full))) if f"`{key}`" not in page}

    assert missing == set()


def _keys(value: object) -> set[str]:
    if isinstance(value, dict):
        return set(value) | {key for one in value.values() for key in _keys(one)}
    if isinstance(value, list):
        return {key for one in value for key in _keys(one)}
    return set()
