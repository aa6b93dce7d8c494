"""Properties of tokens, and what neurons do to the tokens that have them → rows."""

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection, bindparam, select, update

from neurondb.contracts.vocabulary import (
    LogitEffectsRecord,
    PropertyEffectsRecord,
    TokenPropertiesRecord,
)
from neurondb.errors import IngestError
from neurondb.schema import tables
from neurondb.server_locks import take_turn
from neurondb.writing.ledger import StepWriter
from neurondb.writing.rows import insert_columns


def store_properties(
    writer: StepWriter, record: TokenPropertiesRecord, token_ids: NDArray[np.int64] | None = None
) -> NDArray[np.int64]:
    """Write which of a model's tokens have which properties; return the properties' ids in order.

    `token_ids` are those of the record's rows; None where they are their places. A property is
    known by its name, to all models alike; one that is there gets the record's description. The
    model's earlier memberships go, its effects stay (`write_property_effects`).

    Raises:
        IngestError: when two properties have the same name.
    """
    if len(set(record.names)) < len(record.names):
        repeated = next(name for name in record.names if record.names.count(name) > 1)
        raise IngestError(f"two properties are named {repeated!r}; rename one")
    ids = _store_property_names(writer, record)
    property_at, place = np.nonzero(record.members.T)
    ids_with_property = place if token_ids is None else token_ids[place]
    order = np.argsort(ids[property_at], kind="stable")  # the order of the key
    table, model_id = tables.token_property_rows, writer.model.model_id
    columns = {
        "model_id": np.full(len(ids_with_property), model_id),
        "property_id": ids[property_at][order],
        "token_id": ids_with_property[order],
    }
    writer.replace(table, columns, table.c.model_id == model_id)
    return ids


def _store_property_names(writer: StepWriter, record: TokenPropertiesRecord) -> NDArray[np.int64]:
    connection, p = writer.connection, tables.properties
    take_turn(connection, "properties")
    description_of = dict(zip(record.names, record.descriptions, strict=True))
    stored_names = set(connection.execute(select(p.c.name)).scalars())
    new_names = [name for name in record.names if name not in stored_names]
    columns = {"name": new_names, "description": [description_of[name] for name in new_names]}
    insert_columns(connection, p, columns)
    changes = [
        {"known": name, "text": description_of[name]}
        for name in record.names
        if name in stored_names
    ]
    if changes:
        of_name = p.c.name == bindparam("known")
        connection.execute(update(p).where(of_name).values(description=bindparam("text")), changes)
    return read_property_ids(connection, record)


def read_property_ids(connection: Connection, record: TokenPropertiesRecord) -> NDArray[np.int64]:
    """Return the ids of a record's properties, which are stored, in its order."""
    p = tables.properties.c
    ids = {row.name: row.property_id for row in connection.execute(select(p.name, p.property_id))}
    return np.array([ids[name] for name in record.names], dtype=np.int64)


def write_property_effects(
    writer: StepWriter,
    layer: int,
    record: PropertyEffectsRecord,
    property_ids: NDArray[np.int64],
) -> None:
    """Write a layer's effects in place of those there, whatever their properties.

    `property_ids` are those that `store_properties` returned, one a column of the record.
    """
    order = np.argsort(property_ids)
    effect = record.effect[:, order]
    neuron, column = np.nonzero(~np.isnan(effect))
    at = neuron, order[column]
    columns = {
        "neuron_id": writer.neuron_ids(layer)[neuron],
        "property_id": property_ids[at[1]],
        "effect": record.effect[at].astype(np.float64),
        "inside_mean": record.inside[at].astype(np.float64),
        "outside_mean": record.outside[at].astype(np.float64),
    }
    writer.replace_layer(tables.property_effects, layer, columns)


def write_logit_effects(
    writer: StepWriter,
    layer: int,
    record: LogitEffectsRecord,
    property_ids: NDArray[np.int64],
) -> None:
    """Write a layer's histograms in place of those there; `property_ids` as for the effects."""
    ids = property_ids[record.property]
    order = np.lexsort((record.low, ids, record.neuron))  # the order of the key
    columns = {
        "neuron_id": writer.neuron_ids(layer)[record.neuron[order]],
        "property_id": ids[order],
        "low": record.low[order],
        "high": record.high[order],
        "n": record.n[order],
        "n_inside": record.n_inside[order],
    }
    writer.replace_layer(tables.logit_effect_rows, layer, columns)
