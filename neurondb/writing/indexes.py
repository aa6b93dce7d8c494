"""Secondary indexes of the bulk tables: dropped before a large load, built after it."""

from collections.abc import Callable

from sqlalchemy import Connection, Engine, Index, Table, func, inspect, select

from neurondb.schema import metadata, tables
from neurondb.server_locks import take_turn
from neurondb.writing.models import StoredModel
from neurondb.writing.rows import transaction

BULK_TABLES = (tables.top_token_rows, tables.property_effects, tables.peak_token_rows)
"""Tables whose secondary index costs more to keep up during a load than to build after it."""


SORTING_CACHE_KIB = 8192
ANALYSIS_LIMIT = 2000
"""Entries of an index that the planner's statistics are estimated from, in general."""

COUNTED_TABLES = (
    tables.neurons,
    tables.cosines,
    tables.classes,
    tables.activation_stats,
    tables.lm_head_tokens,
    tables.lm_head_rows,
    tables.tokens,
    tables.token_property_rows,
    tables.double_checking,
    tables.comparison_neurons,
)
"""Tables whose every entry counts: an estimate calls 'neurons of this dataset' as rare as 'neurons
of this class', and the planner starts from the wrong one. A second for an 8B model."""


def prepare_load(engine: Engine, table: Table, stage: str, model: StoredModel) -> None:
    """Drop a bulk table's secondary indexes where the model may at least double the table."""
    step = tables.ingest_steps.c
    of_others = (step.stage == stage) & (step.model_id != model.model_id)
    with transaction(engine) as connection:
        take_turn(connection, "indexes")
        n_other_layers = connection.execute(
            select(func.count(step.layer.distinct())).where(of_others)
        ).scalar()
        if (n_other_layers or 0) <= model.n_layers:
            for index in table.indexes:
                index.drop(connection, checkfirst=True)


def finish_load(engine: Engine, report: Callable[[str], None] = lambda _: None) -> None:
    """Build the secondary indexes that are missing and refresh the planner's statistics."""
    for table in BULK_TABLES:
        for index in sorted(table.indexes, key=lambda index: str(index.name)):
            report(f"index on {table.name}")
            # One table locked at a time: another process may be writing to the others.
            with transaction(engine) as connection:
                take_turn(connection, "indexes")
                build_index(connection, index)
    with transaction(engine) as connection:
        take_turn(connection, "indexes")
        refresh_statistics(connection)


def build_index(connection: Connection, index: Index) -> None:
    """Build a secondary index unless it is there."""
    _sort_in_files(connection)
    index.create(connection, checkfirst=True)


def list_missing_indexes(connection: Connection) -> list[Index]:
    """Return the secondary indexes that the schema has and the database lacks, by name."""
    found = inspect(connection)
    missing = []
    for table in metadata.sorted_tables:
        there = {one["name"] for one in found.get_indexes(str(table.name))}
        missing += [index for index in table.indexes if str(index.name) not in there]
    return sorted(missing, key=lambda index: str(index.name))


def _sort_in_files(connection: Connection) -> None:
    # SQLite sorts an index in runs of the size of its page cache and merges them from files. Short
    # runs, which the processor's cache holds, made the index of 90 million rows in 82 s and 30 MB
    # of memory, against 215 s and 4.7 GB for one run in memory.
    if connection.dialect.name == "sqlite":
        connection.exec_driver_sql(f"PRAGMA cache_size = -{SORTING_CACHE_KIB}")


def refresh_statistics(connection: Connection) -> None:
    """Count again what the planner chooses its way by."""
    if connection.dialect.name != "sqlite":
        connection.exec_driver_sql("ANALYZE")
        return
    connection.exec_driver_sql(f"PRAGMA analysis_limit = {ANALYSIS_LIMIT}")
    connection.exec_driver_sql("ANALYZE")
    connection.exec_driver_sql("PRAGMA analysis_limit = 0")
    for table in COUNTED_TABLES:
        connection.exec_driver_sql(f"ANALYZE {table.name}")
