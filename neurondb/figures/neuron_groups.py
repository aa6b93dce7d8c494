"""What figures of a set of neurons share: the set that an expression means, and its values."""

from typing import Any

import numpy as np
from jaxtyping import Bool
from sqlalchemy import Connection

from neurondb.contracts.inputs import NeuronSelection
from neurondb.figures.requirements import make_missing_stage_error, require_dataset
from neurondb.find.coverage import has_rows
from neurondb.find.neuron_sets import select_neurons
from neurondb.formatting.text import make_visible
from neurondb.reading.models import Model
from neurondb.reading.neuron_properties import Values, read_neuron_properties
from neurondb.reading.texts import find_dataset
from neurondb.schema import tables

LONGEST_EXPRESSION = 70


def select_group(
    connection: Connection, model: Model, where: str
) -> Bool[np.ndarray, "layers neurons"]:
    """Return which neurons of a model a find expression means.

    Raises:
        NeuronDBError: what a question with the expression would raise, and where none fits, or
            the model's weights were not ingested.
    """
    if not has_rows(connection, tables.neurons, model):
        raise make_missing_stage_error("weights", model)
    ids = select_neurons(connection.engine, model, NeuronSelection("where", where)).neuron_ids
    inside = np.zeros(model.n_ids, dtype=bool)
    inside[ids - model.first_neuron_id] = True
    return inside.reshape(model.n_layers, model.d_mlp)


def require_properties(
    connection: Connection, model: Model, dataset: str | None, names: tuple[str, ...] = ()
) -> tuple[dict[str, Values], str]:
    """Return the neurons' properties, and on which dataset those of activations are, as a note.

    Raises:
        UnknownNameError: when a dataset is named that is not there, or nothing is stored.
    """
    found = (
        require_dataset(connection, model, dataset)
        if dataset is not None
        else find_dataset(connection, model, None)
    )
    properties = read_neuron_properties(
        connection, model, None if found is None else found.dataset_id, names
    )
    if not properties:
        raise make_missing_stage_error("weights", model)
    note = "no activations" if found is None else f"activations on {make_visible(found.name)}"
    return properties, note


def describe_group(where: str, inside: Any) -> str:
    """Return the set as a line: the expression and how many neurons it means."""
    text = make_visible(where)
    short = text if len(text) <= LONGEST_EXPRESSION else f"{text[: LONGEST_EXPRESSION - 1]}…"
    n = int(inside.sum())
    return f"{short}: {n:,} neuron{'s' * (n != 1)}"
