"""Effects of single neurons, and first-order estimates of them → rows."""

from collections.abc import Mapping

import numpy as np
from jaxtyping import Float, Int
from sqlalchemy import Connection, Engine, Table, delete, insert, select, update

from neurondb import __version__
from neurondb.contracts.ablate import AblationRecord
from neurondb.schema import tables
from neurondb.writing.ablations import store_set
from neurondb.writing.rows import Column, format_utc_now, insert_columns, insert_one, transaction

EACH, ATTRIBUTION = "each", "attribution"

SHOWN_RUN_COLUMN = {EACH: "each_run_id", ATTRIBUTION: "attribution_run_id"}
"""Kind of run → the column of `models` that names the one at every token that is shown."""
TABLES: dict[str, Table] = {EACH: tables.neuron_effects, ATTRIBUTION: tables.neuron_attributions}
"""Kind of run → where its numbers are."""

Values = Float[np.ndarray, "metrics neurons"]


def open_run(engine: Engine, record: AblationRecord, kind: str) -> int:
    """Write the row of a run that is about to begin, and its set; return its id.

    Args:
        engine: The database.
        record: The run, without results.
        kind: each or attribution.

    Raises:
        UsageError: when another set is stored under the name of this one.
        DatabaseError: when the database cannot be written.
    """
    done = record.treatment
    with transaction(engine) as connection:
        return insert_one(
            connection,
            tables.ablation_runs,
            {
                **vars(record.settings),
                "set_id": store_set(connection, record.neurons),
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
                "kind": kind,
                "finished": False,
                "seconds": 0.0,
            },
        )


def store_effects(
    engine: Engine,
    run_id: int,
    kind: str,
    neuron_ids: Int[np.ndarray, " neurons"],
    values: Mapping[str, Mapping[str, Float[np.ndarray, " neurons"]]],
    seconds: float,
) -> None:
    """Write what a run found of some neurons, and the time it took, or nothing.

    Args:
        engine: The database.
        run_id: The run.
        kind: each or attribution.
        neuron_ids: Ascending.
        values: Metric → column → one value a neuron.
        seconds: Added to those of the run.
    """
    table, runs = TABLES[kind], tables.ablation_runs
    with transaction(engine) as connection:
        for metric in sorted(values):
            columns: dict[str, Column] = {
                "run_id": np.full(len(neuron_ids), run_id),
                "metric": [metric] * len(neuron_ids),
                "neuron_id": neuron_ids,
                **values[metric],
            }
            insert_columns(connection, table, columns)
        connection.execute(
            update(runs).where(runs.c.run_id == run_id).values(seconds=runs.c.seconds + seconds)
        )


def finish_run(engine: Engine, run_id: int, kind: str) -> None:
    """Mark a run as finished, and show it: among those at every token, or of its condition."""
    runs = tables.ablation_runs
    with transaction(engine) as connection:
        connection.execute(update(runs).where(runs.c.run_id == run_id).values(finished=True))
        _show(connection, run_id, kind)
        _count(connection, TABLES[kind])


def _show(connection: Connection, run_id: int, kind: str) -> None:
    r, models, shown = tables.ablation_runs.c, tables.models, tables.shown_condition_runs
    model_id, condition = connection.execute(
        select(r.model_id, r.condition).where(r.run_id == run_id)
    ).one()
    if condition is None:
        of_model = update(models).where(models.c.model_id == model_id)
        connection.execute(of_model.values({SHOWN_RUN_COLUMN[kind]: run_id}))
        return
    place = {"model_id": model_id, "kind": kind, "condition": condition}
    connection.execute(
        delete(shown).where(*(shown.c[name] == value for name, value in place.items()))
    )
    connection.execute(insert(shown), {**place, "run_id": run_id})


def _count(connection: Connection, table: Table) -> None:
    """Update the planner's count of effects, by which it chooses between indexes."""
    if connection.dialect.name == "sqlite":
        connection.exec_driver_sql(f"ANALYZE {table.name}")
