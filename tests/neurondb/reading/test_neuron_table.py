"""Many neurons at once, against the sample's neurons in Python."""

from sqlalchemy import Engine

from neurondb.reading.models import find_model
from neurondb.reading.neuron_table import read_class_names
from tests.support.sample_facts import NEURONS, Sample


def test_classes_of_a_model(sample: Sample, sample_engine: Engine) -> None:
    with sample_engine.connect() as connection:
        found = read_class_names(connection, find_model(connection, "sample-gpt"))
    assert found == {n["neuron_id"]: n["class"] for n in sample.neurons[NEURONS:]}
