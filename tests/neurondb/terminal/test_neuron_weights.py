"""Cosines as bars and tokens of the vocabulary on the page of a neuron."""

from dataclasses import replace

import pytest
from rich.cells import cell_len

from neurondb.reading.verdict import CosineReading, Region
from neurondb.terminal.neuron_weights import draw_cosine_bar
from tests.neurondb.terminal.neuron_pages import PAGE, REGIONS, in_words, shown_page, vocabulary


def test_cosines_have_number_judgement_and_region() -> None:
    lines = shown_page(PAGE).splitlines()

    assert any("gate, in" in x and "+0.7164" in x and "significant" in x for x in lines)
    assert any("in, out" in x and "random" in x and "-0.100…+0.080" in x for x in lines)
    assert "±0.030" in shown_page(PAGE, 120)


def test_a_bar_reaches_from_zero_to_its_value() -> None:
    bar = draw_cosine_bar(CosineReading("in_out", -0.5, (), None), threshold=0.9, half=10).plain
    left, right = bar.strip("▕▏").split("│")

    assert (left, right) == (" ┊   █████", "        ┊ ")


@pytest.mark.parametrize("value", [-1.0, -0.999, -1e-9, 0.0, 1e-9, 0.5, 1.0, 1.0000001])
def test_bars_stay_in_their_frame(value: float) -> None:
    reading = CosineReading("in_out", value, (Region("gaussian", -1.0, 1.0, None, None),), False)

    assert cell_len(draw_cosine_bar(reading, threshold=0.99, half=14).plain) == 2 * 14 + 3


def test_an_undefined_cosine_says_so() -> None:
    page = replace(PAGE, cosines=(CosineReading("gate_in", None, REGIONS, None),))

    assert "undefined" in shown_page(page)


def test_the_lm_heads_token_is_quoted() -> None:
    text = in_words(shown_page(replace(PAGE, vocabulary=vocabulary(";"))))
    other = in_words(shown_page(replace(PAGE, vocabulary=vocabulary("'s"))))

    said = "p = 0.250, normalised 6.50× the mean of the top 100"
    assert f"LM head on −in: most probable token ';', {said}" in text
    assert "LM head on +in: most probable token ';', p = 0.125" in text
    assert text.index("on −in") < text.index("on +in")  # the stronger first
    assert """most probable token "'s",""" in other
