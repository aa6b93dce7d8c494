"""A neuron's way through series of models: the sample's, and long ones drawn together."""

import io

from neurondb.reading.models import find_model, open_readonly
from neurondb.reading.neuron_series import Member, NeuronSeries, Stretch, list_neuron_series
from neurondb.taxonomy import CLASSES, UNDEFINED
from neurondb.terminal.console import open_console
from neurondb.terminal.neuron_series import draw_neuron_series
from tests.support.sample_facts import Sample

NAMES = {entry.class_id: entry.name for entry in (*CLASSES, UNDEFINED)}


def test_the_sample_neurons_have_the_classes_of_their_comparison(sample: Sample) -> None:
    with open_readonly(sample.url) as connection:
        for row in sample.compared[:20]:
            for name in ("sample-llama", "sample-gpt"):
                model = find_model(connection, name)
                (found,) = list_neuron_series(connection, model, row["layer"], row["neuron"])
                first, last = found.members
                assert (first.model, last.model) == ("sample-llama", "sample-gpt")
                assert first.class_name == NAMES[row["class_a"]]
                assert last.class_name == NAMES[row["class_b"]]
                assert first.moved is None
                assert last.moved == last.first_moved == found.moved == row["moved"]


def make_series(classes: str, moved: list[float | None]) -> NeuronSeries:
    members = (
        Member(step, f"s{step}", name, by, 0.5)
        for step, (name, by) in enumerate(zip(classes, moved, strict=True))
    )
    return NeuronSeries(7, tuple(members))


def test_a_short_series_is_shown_member_by_member() -> None:
    series = make_series("aab", [None, 0.125, 0.25])
    assert series.stretches == (
        Stretch("s0", "s0", "a", None),
        Stretch("s1", "s1", "a", 0.125),
        Stretch("s2", "s2", "b", 0.25),
    )


def test_a_long_one_by_the_classes_that_are_kept() -> None:
    series = make_series("aaabbbba", [None, 0.1, 0.3, 0.2, 0.0, 0.0, None, 0.4])
    assert series.stretches == (
        Stretch("s0", "s2", "a", 0.3),
        Stretch("s3", "s6", "b", 0.2),
        Stretch("s7", "s7", "a", 0.4),
    )
    stream = io.StringIO()
    open_console(stream, 120).print(draw_neuron_series([series], 120))
    line = stream.getvalue().splitlines()[0]
    assert (
        line == "series 7: s0–s2 a (0.300) → s3–s6 b (0.200) → s7 a (0.400) · 0.500 from the first"
    )
