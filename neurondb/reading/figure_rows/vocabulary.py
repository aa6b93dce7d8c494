"""Moments of out over the vocabulary, of one layer (METHODS §4)."""

import numpy as np
from jaxtyping import Float
from sqlalchemy import Connection

from neurondb.reading.figure_rows.neuron_values import neuron_values
from neurondb.reading.models import Model
from neurondb.schema import codes, tables


def out_moments(
    connection: Connection, model: Model, layer: int
) -> Float[np.ndarray, "moments neurons"]:
    """Return skewness, Pearson kurtosis and variance of cos(U, out), NaN where unknown."""
    v = tables.vocab_stat_rows.c
    columns = [v.skewness, v.kurtosis, v.variance]
    of_out = v.vector_id == codes.VECTORS.index("out")
    return np.asarray(neuron_values(connection, model, columns, of_out, layer=layer)[:, 0])
