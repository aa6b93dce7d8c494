"""How neurons, lists of them and layers are written: what is read, and what is refused."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from neurondb.errors import UsageError
from neurondb.neurons import (
    LARGEST_NUMBER,
    NeuronPlace,
    match_named_neuron,
    match_neuron,
    match_number,
    parse_layers,
    parse_neuron,
    parse_neurons,
)

NUMBERS = st.integers(0, LARGEST_NUMBER)
PLACES = st.builds(NeuronPlace, NUMBERS, NUMBERS, st.none() | NUMBERS)
LAYER = st.integers(-9999, 9999)
BLANKS = st.text(" \t\n", max_size=3)
WRONG = [
    "",
    "31",
    "1.",
    ".5",
    "1.2.3.4",
    "1.2.",
    "1,2",
    "-1.2",
    "+1.2",
    "1. 2",
    "a.b",
    "1e3.2",
    "1_0.2",
    "٣.١",
    "²." + "1",
    f"{LARGEST_NUMBER + 1}.0",
    f"0.{LARGEST_NUMBER + 1}",
    "9" * 100_000 + ".1",
]


@given(PLACES, BLANKS, BLANKS)
def test_a_neuron_is_read_as_it_is_written(place: NeuronPlace, before: str, after: str) -> None:
    assert parse_neuron(f"{before}{place.name}{after}") == place


@given(PLACES, st.integers(1, 3))
def test_leading_zeros_name_the_same_neuron(place: NeuronPlace, zeros: int) -> None:
    written = f"{'0' * zeros}{place.layer % 1000}.{'0' * zeros}{place.neuron % 1000}"
    assert parse_neuron(written) == NeuronPlace(place.layer % 1000, place.neuron % 1000)


@pytest.mark.parametrize("text", WRONG, ids=range(len(WRONG)))
def test_what_is_no_neuron_is_refused_in_one_short_line(text: str) -> None:
    assert match_neuron(text) is None
    with pytest.raises(UsageError, match=rf"^.{re.escape(text[:20])}.*LAYER\.NEURON") as refusal:
        parse_neuron(text)
    assert "\n" not in str(refusal.value)
    assert len(str(refusal.value)) < 200


@given(st.text(max_size=30))
def test_any_text_is_a_neuron_or_a_usage_error(text: str) -> None:
    place = match_neuron(text)
    if place is None:
        with pytest.raises(UsageError):
            parse_neuron(text)
    else:
        assert text.strip().isascii()
        layer, *expert, neuron = (int(part) for part in text.strip().split("."))
        assert place == NeuronPlace(layer, neuron, *expert)


@given(st.lists(PLACES, max_size=5), st.sampled_from([",", " ", ", ", "\n", ",\t"]))
def test_a_list_keeps_its_order(places: list[NeuronPlace], separator: str) -> None:
    assert parse_neurons(separator.join(place.name for place in places)) == tuple(places)


def test_a_list_names_the_part_that_is_no_neuron() -> None:
    assert parse_neurons(" , ") == ()
    with pytest.raises(UsageError, match=r"'x'.*LAYER\.NEURON"):
        parse_neurons("1.2,x,3.4")


@pytest.mark.parametrize(
    ("text", "model"),
    [
        ("3.4", None),
        ("  3.4 ", None),
        ("llama-3.2-3b/3.4", "llama-3.2-3b"),
        ("llama-3.2-3b 3.4", "llama-3.2-3b"),
        ("owner/name 3.4", "owner/name"),
        ("a model / 3.4", "a model"),
        ("a model\n3.4", "a model"),
    ],
)
def test_a_neuron_may_name_its_model(text: str, model: str | None) -> None:
    assert match_named_neuron(text) == (model, NeuronPlace(3, 4))


@pytest.mark.parametrize(
    "text", ["", "/3.4", "gpt3.4", "gpt-3.4", "1.2.3.4", "gpt/3", "gpt/3.4x", "gpt ٣.4", "/" * 9999]
)
def test_what_ends_in_no_neuron_names_none(text: str) -> None:
    assert match_named_neuron(text) is None


@given(st.lists(st.tuples(LAYER, LAYER), min_size=1, max_size=4))
def test_ranges_of_layers_are_written_out(ends: list[tuple[int, int]]) -> None:
    ranges = [(min(pair), max(pair)) for pair in ends if (pair[0] < 0) == (pair[1] < 0)]
    if not ranges:
        return
    text = ",".join(f"{low}..{high}" for low, high in ranges)
    wanted = tuple(n for low, high in ranges for n in range(low, high + 1))
    assert parse_layers(text) == wanted


def test_layers_are_numbers_and_ranges() -> None:
    assert parse_layers("0-3,7,-1") == (0, 1, 2, 3, 7, -1)
    assert parse_layers(" 5 , -3--1") == (5, -3, -2, -1)


@pytest.mark.parametrize(
    ("text", "quoted", "message"),
    [
        ("", "", "layer"),
        ("1,,2", "", "layer"),
        ("first", "first", "layer"),
        ("٣", "٣", "layer"),
        ("0-99999", "0-99999", "layer"),
        ("3-1", "3-1", "smaller"),
        ("-1-2", "-1-2", "smaller"),
    ],
)
def test_what_are_no_layers_is_wrong_usage(text: str, quoted: str, message: str) -> None:
    with pytest.raises(UsageError, match=message) as caught:
        parse_layers(text)
    assert f"'{quoted}'" in str(caught.value)


@given(NUMBERS)
def test_a_number_is_read_back(number: int) -> None:
    assert match_number(str(number)) == number


@pytest.mark.parametrize("text", ["", "-1", "+1", "1.0", " 1", "٣", "²", "9" * 20, "9" * 10_000])
def test_other_texts_are_no_number(text: str) -> None:
    assert match_number(text) is None
