"""The page of the neuron that most tests here look at."""

import dataclasses

from sqlalchemy import Connection

from neurondb.reading.neuron import NeuronPage, PageOptions, read_neuron_page


def page(connection: Connection, **options: object) -> NeuronPage:
    chosen = dataclasses.replace(PageOptions(), **options)  # type: ignore[arg-type]
    return read_neuron_page(connection, "gate-model", 1, 1, chosen)
