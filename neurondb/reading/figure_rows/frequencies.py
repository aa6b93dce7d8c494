"""How often neurons fire on a dataset."""

import numpy as np
from jaxtyping import Float
from sqlalchemy import Connection

from neurondb.reading.activations import Dataset
from neurondb.reading.figure_rows.neuron_values import neuron_values
from neurondb.reading.models import Model
from neurondb.schema import tables


def frequencies(
    connection: Connection, model: Model, dataset: Dataset
) -> Float[np.ndarray, "layers neurons"]:
    """Return every neuron's share of tokens with x_gate > 0 (ungated: hook_post > 0), or NaN."""
    a = tables.activation_stats.c
    column = a.freq if model.gated else a.post_positive
    (found,) = neuron_values(connection, model, [column], a.dataset_id == dataset.dataset_id)
    return np.asarray(found)
