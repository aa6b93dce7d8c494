"""Matches of neurons between models → rows; each run whole or not at all, and once."""

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection, Engine, select

from neurondb.contracts.universality import OtherModel, UniversalityRecord
from neurondb.schema import tables
from neurondb.writing.rows import insert_columns, insert_one, transaction
from neurondb.writing.run_rows import Rows, describe_origin, forget_same_request, insert_rows

PARTS: Final = (
    tables.universality_cases,
    tables.universality,
    tables.universality_models,
)
_OF_MODEL: Final = ("fingerprint", "aligned_by", "n_tokens", "n_unaligned", "n_tiles", "n_passes")


def store_universality(engine: Engine, record: UniversalityRecord) -> int:
    """Write a run, in place of one that was asked for in the same way; return its id.

    Raises:
        DatabaseError: when the database cannot be written.
    """
    runs = tables.universality_runs
    values = {
        **describe_origin(record.origin),
        "dataset_id": record.dataset_id,
        "n_texts": record.n_texts,
        "max_len": record.max_len,
        "layer_window": record.request.layer_window,
        "seed": record.request.seed,
        "seconds": record.seconds,
    }
    with transaction(engine) as connection:
        forget_same_request(connection, runs, PARTS, record.origin.request)
        run_id = insert_one(connection, runs, values)
        others: Rows = []
        for place, other in enumerate(record.others):
            described = {name: getattr(other, name) for name in _OF_MODEL}
            fingerprint = described.pop("fingerprint")
            found = {"place": place, "other_id": other.model_id, "other_fingerprint": fingerprint}
            others.append(found | described)
        insert_rows(connection, tables.universality_models, run_id, others)
        _insert_matches(connection, run_id, record)
        if record.others[0].cases:
            _insert_case_matches(connection, run_id, record)
    return run_id


def _insert_matches(connection: Connection, run_id: int, record: UniversalityRecord) -> None:
    """Insert a row for each neuron and other model, in the order of the key."""
    n_neurons, n_others = record.others[0].best.size, len(record.others)
    neuron_ids = record.first_neuron_id + np.arange(n_neurons)

    def interleave(name: str) -> NDArray[np.generic]:
        return np.stack([_get_flat(other, name) for other in record.others], axis=1).ravel()

    columns: dict[str, Any] = {
        "neuron_id": neuron_ids.repeat(n_others),
        "run_id": np.full(n_neurons * n_others, run_id),
        "place": np.tile(np.arange(n_others), n_neurons),
        "correlation": interleave("best"),
        "best_id": _null_negative(interleave("best_id")),
        "baseline": interleave("baseline"),
        "lowest": interleave("lowest"),
        "lowest_id": _null_negative(interleave("lowest_id")),
    }
    insert_columns(connection, tables.universality, columns)


def _insert_case_matches(connection: Connection, run_id: int, record: UniversalityRecord) -> None:
    """Insert a row for each neuron, other model and sign case, in the order of the key."""
    cases = [case for other in record.others for case in other.cases]
    n_others, n_neurons = len(record.others), cases[0].best.size
    neuron_ids = record.first_neuron_id + np.arange(n_neurons)

    def interleave(name: str) -> NDArray[np.generic]:
        return np.stack([getattr(case, name).ravel() for case in cases], axis=1).ravel()

    columns: dict[str, Any] = {
        "neuron_id": neuron_ids.repeat(len(cases)),
        "run_id": np.full(n_neurons * len(cases), run_id),
        "place": np.tile(np.arange(n_others).repeat(len(cases) // n_others), n_neurons),
        "case_id": np.tile([case.case for case in cases], n_neurons),
        "n_tokens": interleave("n_tokens"),
        "correlation": interleave("best"),
        "best_id": _null_negative(interleave("best_id")),
        "baseline": interleave("baseline"),
    }
    insert_columns(connection, tables.universality_cases, columns)


def _get_flat(other: OtherModel, name: str) -> NDArray[np.generic]:
    values: NDArray[np.generic] = getattr(other, name)
    return values.ravel()


def _null_negative(ids: NDArray[np.generic]) -> list[int | None]:
    return [None if i < 0 else i for i in ids.tolist()]


def forget_universality_in(connection: Connection, model_id: int) -> None:
    """Delete the runs in which neurons were looked for in a model, whose neurons they name.

    Without one of its other models a run would have other means than those that it had.
    """
    k, runs = tables.universality_models.c, tables.universality_runs
    of_model = connection.scalars(select(k.run_id).where(k.other_id == model_id)).all()
    for table in (*PARTS, runs):
        connection.execute(table.delete().where(table.c.run_id.in_(of_model)))
