"""The class rule against the table of METHODS §2, written out row by row."""

import itertools
import json
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from neurondb.taxonomy import CLASSES, UNDEFINED, classify
from tests.support.shared_inputs import shared

NAMES = (
    "strengthening",
    "atypical strengthening",
    "conditional strengthening",
    "atypical conditional strengthening",
    "proportional change",
    "atypical proportional change",
    "orthogonal output",
    "weakening",
    "atypical weakening",
    "conditional weakening",
    "atypical conditional weakening",
)
IO_NAMES = (
    "enrichment",
    "atypical enrichment",
    "conditional enrichment",
    "atypical conditional enrichment",
    "proportional change",
    "atypical proportional change",
    "orthogonal output",
    "depletion",
    "atypical depletion",
    "conditional depletion",
    "atypical conditional depletion",
)


class Row(NamedTuple):
    """One row of the table: A and B, and for every G of that B the one C that is typical."""

    a: int
    b: int
    name: str
    typical: dict[int, int]


TABLE = (
    Row(1, 1, "strengthening", {1: 1, -1: -1}),
    Row(1, 0, "conditional strengthening", {0: 0}),
    Row(0, 1, "proportional change", {1: 0, -1: 0}),
    Row(-1, 1, "weakening", {1: -1, -1: 1}),
    Row(-1, 0, "conditional weakening", {0: 0}),
)
LEVELS = (-1, 0, 1)


def expected_name(c: int, g: int, a: int) -> str:
    for row in TABLE:
        if (row.a, row.b) == (a, abs(g)):
            return row.name if row.typical[g] == c else f"atypical {row.name}"
    return "orthogonal output"


def name_of(gate_in: float, gate_out: float, in_out: float, threshold: float = 0.5) -> str:
    one_neuron = np.array([gate_in]), np.array([gate_out]), np.array([in_out])
    (class_id,) = classify(*one_neuron, threshold=threshold)
    return (*NAMES, "undefined")[class_id]


def ungated_name(in_out: float, threshold: float = 0.5) -> str:
    (class_id,) = classify(None, None, np.array([in_out]), threshold)
    return (*NAMES, "undefined")[class_id]


# --- the list of classes ------------------------------------------------------------------


def test_the_eleven_classes_stand_in_the_published_order_under_both_names() -> None:
    assert [entry.class_id for entry in CLASSES] == list(range(11))
    assert tuple(entry.name for entry in CLASSES) == NAMES
    assert tuple(entry.io_name for entry in CLASSES) == IO_NAMES
    assert UNDEFINED.class_id not in range(11)


@pytest.mark.shared
def test_the_published_counts_have_a_column_for_each_class_in_this_order() -> None:
    published = json.loads(shared("reference/rw_class_counts.json").read_text())
    assert len(published["glu"]) == 12
    for model in published["glu"].values():
        assert tuple(model["columns"]) == NAMES
        assert len({sum(counts) for counts in model["counts_by_layer"]}) == 1
    for model in published["vanilla"].values():
        assert tuple(model["columns"]) == (NAMES[0], NAMES[6], NAMES[7])


# --- the rule -----------------------------------------------------------------------------


@pytest.mark.parametrize("threshold", [0.5, 0.2, 0.9])
@pytest.mark.parametrize("levels", list(itertools.product(LEVELS, repeat=3)))
def test_every_combination_of_signs_follows_the_table(
    levels: tuple[int, int, int], threshold: float
) -> None:
    size = {0: threshold / 2, 1: (1 + threshold) / 2, -1: -(1 + threshold) / 2}
    c, g, a = (size[level] for level in levels)
    assert name_of(c, g, a, threshold) == expected_name(*levels)


@pytest.mark.parametrize(("level", "name"), [(-1, NAMES[7]), (0, NAMES[6]), (1, NAMES[0])])
def test_an_ungated_class_follows_from_in_and_out_alone(level: int, name: str) -> None:
    assert ungated_name(0.7 * level) == name


@pytest.mark.parametrize("signs", list(itertools.product((-1, 1), repeat=3)))
def test_a_cosine_at_the_threshold_is_not_beyond_it(signs: tuple[int, ...]) -> None:
    assert name_of(*(0.5 * sign for sign in signs)) == "orthogonal output"
    assert ungated_name(0.5 * signs[0]) == "orthogonal output"


@pytest.mark.parametrize("missing", [(0,), (1,), (2,), (0, 1), (0, 2), (1, 2), (0, 1, 2)])
def test_a_cosine_that_is_not_there_makes_the_class_undefined(missing: tuple[int, ...]) -> None:
    cosines = [np.nan if i in missing else 0.9 for i in range(3)]
    assert name_of(*cosines) == "undefined"
    assert ungated_name(np.nan) == "undefined"


PUBLISHED = {
    (0.5290, 0.5048, 0.7060): "strengthening",
    (0.4764, 0.4119, 0.5982): "conditional strengthening",
    (-0.7164, 0.7218, -0.8542): "weakening",
    (0.4988, -0.4992, -0.5775): "conditional weakening",
    (-0.4543, 0.5814, -0.4182): "proportional change",
    (-0.0272, -0.4057, 0.0669): "orthogonal output",
}
"""Table 2 of weakening-neurons: cos(gate, in), cos(gate, out), cos(in, out) of OLMo-7B neurons."""


@pytest.mark.parametrize(("cosines", "name"), list(PUBLISHED.items()))
def test_the_neurons_of_the_paper_have_their_published_classes(
    cosines: tuple[float, float, float], name: str
) -> None:
    assert name_of(*cosines) == name


# --- symmetries ---------------------------------------------------------------------------

COSINE = st.floats(-1, 1)
THRESHOLD = st.floats(0.01, 0.99)
unhurried = settings(deadline=None)


@unhurried
@given(COSINE, COSINE, COSINE, THRESHOLD)
def test_flipping_gate_or_both_in_and_out_changes_no_class(
    c: float, g: float, a: float, t: float
) -> None:
    assert name_of(-c, -g, a, t) == name_of(c, g, a, t)


@unhurried
@given(COSINE, COSINE, COSINE, THRESHOLD)
def test_flipping_out_turns_strengthening_into_weakening(
    c: float, g: float, a: float, t: float
) -> None:
    swapped = {"strengthening": "weakening", "weakening": "strengthening"}
    *front, last = name_of(c, g, a, t).split(" ")
    assert name_of(c, -g, -a, t) == " ".join([*front, swapped.get(last, last)])


@unhurried
@given(st.lists(st.tuples(COSINE, COSINE, COSINE), min_size=1), THRESHOLD)
def test_neurons_are_classified_one_by_one(
    neurons: list[tuple[float, float, float]], threshold: float
) -> None:
    gate_in, gate_out, in_out = np.array(neurons).T
    together = classify(gate_in, gate_out, in_out, threshold)
    assert [NAMES[i] for i in together] == [name_of(*row, threshold) for row in neurons]
