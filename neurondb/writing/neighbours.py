"""Neighbours and connections of a model's neurons → rows; whole or not at all, and once a model."""

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection, Engine, select

from neurondb.contracts.neighbours import (
    ConnectionColumns,
    NeighbourColumns,
    NeighboursRecord,
)
from neurondb.schema import codes, tables
from neurondb.writing.models import StoredModel, find_model
from neurondb.writing.rows import Columns, insert_columns, insert_one, transaction
from neurondb.writing.run_rows import describe_origin, insert_rows

_PARTS: Final = (tables.connection_layers, tables.neighbour_baselines)
"""The tables that refer to the run; others refer to neurons."""


def store_neighbours(engine: Engine, record: NeighboursRecord) -> int:
    """Write the neighbours and connections of a model, in place of any before; return the run.

    Raises:
        DatabaseError: when the database cannot be written.
    """
    with transaction(engine) as connection:
        model = find_model(connection, record.origin.model_id)
        forget_neighbours(connection, model)
        run_id = insert_one(connection, tables.neighbour_runs, _describe_run(record))
        insert_rows(connection, *_make_layer_rows(record, run_id))
        insert_rows(connection, *_make_baseline_rows(record, run_id))
        first = model.first_neuron_id
        neighbours = _join_neighbours(record.neighbours, first)
        insert_columns(connection, tables.neighbour_rows, neighbours)
        connections = _join_connections(record.connections, first)
        insert_columns(connection, tables.connection_rows, connections)
    return run_id


def forget_neighbours(connection: Connection, model: StoredModel) -> None:
    """Delete the neighbours and connections of a model's neurons, and their run."""
    r, first = tables.neighbour_runs, model.first_neuron_id
    of_model = select(r.c.run_id).where(r.c.model_id == model.model_id)
    if connection.execute(of_model.limit(1)).first() is None:
        return  # every layer of an ingest asks
    end = first + model.n_layers * model.d_mlp
    for table, name in (
        (tables.neighbour_rows, "neuron_id"),
        (tables.connection_rows, "writer_id"),
    ):
        of_neurons = (table.c[name] >= first) & (table.c[name] < end)
        connection.execute(table.delete().where(of_neurons))
    for part in _PARTS:
        connection.execute(part.delete().where(part.c.run_id.in_(of_model)))
    connection.execute(r.delete().where(r.c.model_id == model.model_id))


def _describe_run(record: NeighboursRecord) -> dict[str, Any]:
    asked = record.request
    return {
        **describe_origin(record.origin),
        "n_top": asked.n_top,
        "threshold": asked.threshold,
        "n_directions": asked.n_directions,
        "seed": asked.seed,
        "random_std": record.random_std,
        "n_cut": record.n_cut,
        "seconds": record.seconds,
    }


def _encode_vector(values: dict[str, Any]) -> dict[str, Any]:
    """Return a row's values with the code of its vector in the place of its name."""
    return {"vector_id": codes.VECTORS.index(values.pop("vector")), **values}


def _make_layer_rows(record: NeighboursRecord, run_id: int) -> tuple[Any, int, list[Any]]:
    rows = [_encode_vector(one._asdict()) for one in record.layers]
    return tables.connection_layers, run_id, rows


def _make_baseline_rows(record: NeighboursRecord, run_id: int) -> tuple[Any, int, list[Any]]:
    rows = [_encode_vector(one._asdict()) for one in record.baselines]
    return tables.neighbour_baselines, run_id, rows


def _join_neighbours(parts: Sequence[NeighbourColumns], first: int) -> Columns:
    """Return the rows of all vectors in the order of the key."""
    vector = _repeat_codes([part.vector for part in parts], [len(part.neuron) for part in parts])
    neuron, sign, rank, other = (
        np.concatenate([getattr(part, name) for part in parts])
        for name in ("neuron", "sign", "rank", "other")
    )
    cosine = np.concatenate([part.cosine for part in parts])
    order = np.lexsort((rank, sign, vector, neuron))
    return {
        "neuron_id": (neuron + first)[order],
        "vector_id": vector[order],
        "side": sign[order],
        "rank": rank[order],
        "other_id": (other + first)[order],
        "cosine": cosine[order],
    }


def _join_connections(parts: Sequence[ConnectionColumns], first: int) -> Columns:
    vector = _repeat_codes([part.vector for part in parts], [len(part.writer) for part in parts])
    writer, reader, downstream, upstream = (
        np.concatenate([getattr(part, name) for part in parts])
        for name in ("writer", "reader", "downstream_rank", "upstream_rank")
    )
    cosine = np.concatenate([part.cosine for part in parts])
    order = np.lexsort((reader, vector, writer))
    return {
        "writer_id": (writer + first)[order],
        "vector_id": vector[order],
        "reader_id": (reader + first)[order],
        "cosine": cosine[order],
        "downstream_rank": _replace_absent(downstream[order]),
        "upstream_rank": _replace_absent(upstream[order]),
    }


def _repeat_codes(names: Sequence[str], lengths: Sequence[int]) -> NDArray[np.int64]:
    """Return the code of each part's vector as often as the part has rows."""
    return np.repeat([codes.VECTORS.index(name) for name in names], lengths)


def _replace_absent(ranks: NDArray[np.int64]) -> list[int | None]:
    return [None if rank < 0 else rank for rank in ranks.tolist()]
