"""Families of neurons → rows: a run is there whole or not at all, one of a model and a dataset."""

from collections.abc import Iterator
from typing import Any, Final

import numpy as np
from sqlalchemy import Connection, Engine, select

from neurondb.contracts.families import FamilyRecord, LayerFamilies, Part
from neurondb.schema import tables
from neurondb.writing.models import find_model
from neurondb.writing.rows import insert_columns, insert_one, transaction
from neurondb.writing.run_rows import Rows, describe_origin, insert_rows

FAMILY_PARTS: Final = (
    *(tables.family_activations, tables.position_information),
    *(tables.neuron_families, tables.token_tests),
)


def store_families(engine: Engine, record: FamilyRecord) -> int:
    """Write a run, in place of the one that is there of this model and dataset; return its id.

    Raises:
        DatabaseError: when the database cannot be written.
    """
    asked = record.settings
    values = {
        **describe_origin(record.origin),
        **{name: getattr(record, name) for name in ("dataset_id", "n_texts", "n_tokens")},
        **{name: getattr(record, name) for name in ("max_len", "skip_bos", "n_positions")},
        **{name: getattr(asked, name) for name in ("n_words", "min_count", "least_score")},
        "tagger": asked.tagger,
        "seconds": record.seconds,
    }
    with transaction(engine) as connection:
        _forget(connection, record)
        run_id = insert_one(connection, tables.family_runs, values)
        tests: Rows = [{"test": i} | test._asdict() for i, test in enumerate(record.tests)]
        insert_rows(connection, tables.token_tests, run_id, tests)
        model = find_model(connection, record.origin.model_id)
        for layer in record.layers:
            _insert_layer(connection, run_id, layer, model.neuron_ids(layer.layer)[0])
        insert_rows(connection, tables.family_activations, run_id, list(_list_parts(record.parts)))
    return run_id


def _forget(connection: Connection, record: FamilyRecord) -> None:
    r = tables.family_runs.c
    same = (r.model_id == record.origin.model_id) & (r.dataset_id == record.dataset_id)
    same |= r.request == record.origin.request
    for run_id in connection.scalars(select(r.run_id).where(same)).all():
        for table in (*FAMILY_PARTS, tables.family_runs):
            connection.execute(table.delete().where(table.c.run_id == run_id))


def _insert_layer(connection: Connection, run_id: int, layer: LayerFamilies, first: int) -> None:
    """Insert a layer's rows in the order of the key, so that the table grows at its end."""
    if not layer.cases:
        return
    case = np.concatenate([np.full(len(rows.neuron), rows.case_id) for rows in layer.cases])
    columns: dict[str, Any] = {
        name: np.concatenate([getattr(rows, name) for rows in layer.cases])
        for name in ("neuron", "rank", "test", "score", "inside", "outside")
    }
    order = np.lexsort((columns["rank"], case, columns["neuron"]))
    n = len(order)
    insert_columns(
        connection,
        tables.neuron_families,
        {
            "neuron_id": columns["neuron"][order] + first,
            "run_id": np.full(n, run_id),
            "case_id": case[order],
            **{name: columns[name][order] for name in ("rank", "test", "score")},
            **{f"{side}_mean": columns[side][order] for side in ("inside", "outside")},
        },
    )
    insert_columns(
        connection,
        tables.position_information,
        {
            "neuron_id": np.arange(len(layer.information)) + first,
            "run_id": np.full(len(layer.information), run_id),
            "information": layer.information,
        },
    )


def _list_parts(parts: Any) -> Iterator[dict[str, Any]]:
    part: Part
    for part in parts:
        quantiles = zip(("q05", "q25", "q50", "q75", "q95"), part.quantiles, strict=True)
        named = {k: v for k, v in part._asdict().items() if k != "quantiles"}
        yield named | dict(quantiles)
