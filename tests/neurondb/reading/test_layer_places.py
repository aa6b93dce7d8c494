"""Percentiles of a neuron's numbers within its layer, against sorting them in Python."""

import pytest
from sqlalchemy import Engine

from neurondb.reading.layer_places import read_layer_places
from neurondb.reading.models import find_model
from neurondb.reading.texts import find_dataset
from tests.support.sample_facts import Sample

COLUMNS = (
    *("gate_norm", "in_norm", "out_norm", "penalty", "gate_in", "gate_out", "in_out"),
    *("out_kurtosis", "out_skewness", "out_variance", "null_share", "freq", "post_positive"),
)


@pytest.mark.parametrize("name", ["0.0", "1.7", "3.62", "2.63"])
@pytest.mark.parametrize("model_name", ["sample-llama", "sample-gpt"])
def test_places_are_those_of_a_sorted_layer(
    sample_engine: Engine, sample: Sample, model_name: str, name: str
) -> None:
    one = sample.named(model_name, name)
    layer = [n for n in sample.neurons if (n["model"], n["layer"]) == (model_name, one["layer"])]
    with sample_engine.connect() as connection:
        model = find_model(connection, model_name)
        dataset = find_dataset(connection, model, None)
        places = read_layer_places(connection, model, one["neuron_id"], dataset)
    found = {place.quantity: place for place in places}
    for column in COLUMNS:
        values = [n[column] for n in layer if n.get(column) is not None]
        value = one.get(column)
        if value is None:
            assert column not in found
            continue
        n_smaller = sum(other < value for other in values)
        place = found[column]
        assert (place.value, place.n) == (value, len(values))
        assert place.percentile == pytest.approx(n_smaller / (len(values) - 1))


def test_without_a_dataset_there_are_no_frequencies(sample_engine: Engine) -> None:
    with sample_engine.connect() as connection:
        model = find_model(connection, "sample-llama")
        places = read_layer_places(connection, model, model.first_neuron_id, None)
    assert "in_out" in {place.quantity for place in places}
    assert not {place.quantity for place in places} & {"freq", "post_positive"}
