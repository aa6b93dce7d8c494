"""Neighbours and connections of a whole model as numbers, for figures."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from sqlalchemy import Connection, select

from neurondb.reading.models import Model, match_neurons
from neurondb.reading.neighbour_summary import make_missing_neighbours_error
from neurondb.reading.neighbours import NEIGHBOUR, NeighbourRun, find_neighbour_run
from neurondb.schema import codes, tables
from neurondb.schema.neighbour_views import SIDES


class LayerPair(NamedTuple):
    """All connections from one layer to a later one.

    Attributes:
        reads_with: gate or in.
        rms: root mean square of the cosines of all pairs of their neurons.
        largest: the largest |cosine|.
    """

    reads_with: str
    writer_layer: int
    reader_layer: int
    rms: float
    largest: float


def require_neighbour_run(connection: Connection, model: Model) -> NeighbourRun:
    """Return the run of a model's neighbours.

    Raises:
        UnknownNameError: when there is none, with the command that makes one.
    """
    run = find_neighbour_run(connection, model)
    if run is None:
        raise make_missing_neighbours_error(model)
    return run


def read_nearest_cosines(
    connection: Connection, model: Model
) -> dict[tuple[str, str], Float[np.ndarray, " neurons"]]:
    """Return the cosine of each neuron with its nearest, by vector and side (nearest, opposite)."""
    r = tables.neighbour_rows.c
    rows = connection.execute(
        select(r.vector_id, r.side, r.cosine)
        .where(match_neurons(r.neuron_id, model), r.rank == 0)
        .order_by(r.neuron_id)
    )
    table = np.array([tuple(row) for row in rows], dtype=np.float64).reshape(-1, 3)
    return {
        (vector, word): table[(table[:, 0] == code) & (table[:, 1] == side), 2]
        for code, vector in enumerate(codes.VECTORS)
        for side, word in SIDES.items()
        if (table[:, 0] == code).any()
    }


def read_neighbour_levels(
    connection: Connection, run: NeighbourRun
) -> dict[tuple[str, float], float]:
    """Return (vector, quantile) → the largest cosine of random directions at that quantile."""
    b = tables.neighbour_baselines.c
    rows = connection.execute(
        select(b.vector_id, b.quantile, b.cosine).where(
            b.run_id == run.run_id, b.relation == NEIGHBOUR
        )
    )
    return {(codes.VECTORS[vector_id], quantile): cosine for vector_id, quantile, cosine in rows}


def read_layer_pairs(connection: Connection, run: NeighbourRun) -> tuple[LayerPair, ...]:
    """Return what is known of all connections of each pair of layers."""
    y = tables.connection_layers.c
    rows = connection.execute(
        select(y.vector_id, y.writer_layer, y.reader_layer, y.rms, y.smallest, y.largest)
        .where(y.run_id == run.run_id)
        .order_by(y.vector_id, y.writer_layer, y.reader_layer)
    )
    return tuple(
        LayerPair(codes.VECTORS[vector_id], writer, reader, rms, max(largest, -smallest))
        for vector_id, writer, reader, rms, smallest, largest in rows
    )
