"""Sets of neurons, and the results of interventions on them → rows."""

from typing import Any

import numpy as np
from sqlalchemy import Connection, Engine, insert, select

from neurondb import __version__
from neurondb.contracts.ablate import AblationRecord, NeuronSetRecord
from neurondb.database import open_existing
from neurondb.errors import IngestError
from neurondb.schema import tables
from neurondb.spelling import option
from neurondb.writing.changed_tokens import insert_changed_tokens
from neurondb.writing.rows import format_utc_now, insert_columns, insert_one, transaction


def store_run(engine: Engine, record: AblationRecord, baseline_of: int | None = None) -> int:
    """Write a run, its set, results, histograms and changed tokens, or nothing; return its id.

    Raises:
        UsageError: when another set is stored under the name of this one.
        DatabaseError: when the database cannot be written.
    """
    with transaction(engine) as connection:
        set_id = store_set(connection, record.neurons)
        values = _make_run_values(record) | {"set_id": set_id, "baseline_of": baseline_of}
        run_id = insert_one(connection, tables.ablation_runs, values)
        _insert(connection, run_id, record)
        insert_changed_tokens(connection, run_id, record)
    return run_id


def _make_run_values(record: AblationRecord) -> dict[str, Any]:
    done = record.treatment
    return {
        **vars(record.settings),
        "mode": done.mode,
        "condition": str(done.condition) or None,
        "hook": done.hook,
        "value": done.value,
        "seed": record.seed,
        "means_dataset_id": record.means_dataset_id,
        "n_tokens": record.n_tokens,
        "torch_version": record.torch_version,
        "tool_version": __version__,
        "created_at": format_utc_now(),
    }


def _insert(connection: Connection, run_id: int, record: AblationRecord) -> None:
    for table, records in (
        (tables.ablation_results, record.results),
        (tables.ablation_histograms, record.bins),
    ):
        rows = [{"run_id": run_id} | item._asdict() for item in records]
        if rows:
            # NaN, the only value unequal to itself, is NULL.
            cleaned = [{k: v if v == v else None for k, v in row.items()} for row in rows]
            connection.execute(insert(table), cleaned)


def store_set(connection: Connection, record: NeuronSetRecord) -> int:
    """Write a set and its members, or find the same one; return its id.

    One without a name is the same as any of its definition and members.

    Raises:
        UsageError: when its name is that of a set of other neurons.
    """
    s = tables.neuron_sets.c
    is_same = s.definition == record.definition if record.name is None else s.name == record.name
    for set_id in connection.scalars(select(s.set_id).where(is_same).order_by(s.set_id)).all():
        if _read_members(connection, set_id) == record.neuron_ids.tolist():
            return int(set_id)
        if record.name is not None:
            raise IngestError(
                f"the set {record.name!r} is stored with other neurons; give another "
                f"{option('save_set')}"
            )
    values = {"name": record.name, "definition": record.definition}
    set_id = insert_one(connection, tables.neuron_sets, values)
    ids = record.neuron_ids
    columns = {"set_id": np.full(len(ids), set_id), "neuron_id": ids}
    insert_columns(connection, tables.neuron_set_members, columns)
    return set_id


def store_named(engine: Engine, record: NeuronSetRecord) -> None:
    """Write a set that has a name; one without comes with its first run.

    Before anything is run: a name that is taken is refused at once and not after hours, and a set
    whose runs are all stored gets its name too.

    Raises:
        UsageError: when another set is stored under the name of this one.
        DatabaseError: when the database cannot be written.
    """
    if record.name is not None:
        with transaction(engine) as connection:
            store_set(connection, record)


def store_named_at(location: str | None, record: NeuronSetRecord) -> None:
    """Write a set that has a name to the database at a path or URL; None is the default one.

    Raises:
        IngestError, DatabaseError: as `store_named` does.
    """
    from neurondb import migrate

    open_existing(location).dispose()
    engine = migrate.create_or_open(location)
    try:
        store_named(engine, record)
    finally:
        engine.dispose()


def _read_members(connection: Connection, set_id: int) -> list[int]:
    m = tables.neuron_set_members.c
    ids = select(m.neuron_id).where(m.set_id == set_id).order_by(m.neuron_id)
    return list(connection.scalars(ids).all())
