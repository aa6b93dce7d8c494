"""A finished copy of a database: compact, whole, of the models that are wanted."""

import sqlite3
from collections.abc import Collection, Iterator
from contextlib import closing, contextmanager
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Final

from sqlalchemy import Column, Connection, Engine, Table, delete, inspect, select, union, update

from neurondb.atomic import sync_to_disk
from neurondb.contracts.progress import Progress
from neurondb.database import BUSY_TIMEOUT_S, connect, parse_url, translate_errors
from neurondb.full_text import INDEXED, rebuild_full_text
from neurondb.schema import metadata, tables
from neurondb.sqlite_files import open_to_read
from neurondb.writing.indexes import BULK_TABLES, finish_load
from neurondb.writing.models import forget_model
from neurondb.writing.rows import transaction

MEGABYTE: Final = 1_000_000
_CACHE_KIB: Final = 65_536
STEPS_PER_CHECK: Final = 100_000
"""Instructions of SQLite's between two looks at how far a copy is."""


def measure_live_bytes(source: Path) -> int:
    """Return the bytes that a compact copy of a database takes; indexes built anew take less."""
    with closing(_open_reader(source)) as connection:
        (pages,) = connection.execute("PRAGMA page_count").fetchone()
        (free_pages,) = connection.execute("PRAGMA freelist_count").fetchone()
        (size,) = connection.execute("PRAGMA page_size").fetchone()
    return int((pages - free_pages) * size)


def copy_database(source: Path, target: Path, progress: Progress, title: str = "copying") -> None:
    """Write a database as it is now, without what was deleted in it, into a new file.

    VACUUM INTO reads in one transaction: whoever writes to the source goes on, and what they
    commit meanwhile is not in the copy.

    Raises:
        DatabaseError: when the source cannot be read or the target cannot be written.
        KeyboardInterrupt: by Ctrl-C, which SQLite tells as an interruption.
    """
    total = max(measure_live_bytes(source) // MEGABYTE, 1)
    with (
        translate_errors(f"copying {source} to {target}"),
        closing(_open_reader(source)) as connection,
        progress.stage(title, total, "MB") as advance,
    ):
        written = 0

        def look() -> None:
            nonlocal written
            now = min(target.stat().st_size // MEGABYTE, total) if target.exists() else 0
            advance(now - written)
            written = now

        connection.set_progress_handler(look, STEPS_PER_CHECK)
        with _interruptible():
            connection.execute("VACUUM INTO ?", (str(target),))
        advance(total - written)


def _open_reader(path: Path) -> sqlite3.Connection:
    # Not mode=ro: the log beside the file of a writer that was killed has to be read too.
    connection = open_to_read(path, timeout=BUSY_TIMEOUT_S, isolation_level=None)
    connection.execute(f"PRAGMA cache_size = -{_CACHE_KIB}")
    return connection


@contextmanager
def _interruptible() -> Iterator[None]:
    try:
        yield
    except sqlite3.OperationalError as error:
        if "interrupted" in str(error):
            raise KeyboardInterrupt from error
        raise


def keep_models(file: Path, names: Collection[str], progress: Progress) -> None:
    """Delete every model but these from a database, and the texts that only the others read."""
    with _writing(file) as engine, transaction(engine) as connection:
        m = tables.models.c
        other_models = connection.execute(
            select(m.model_id, m.name).where(m.name.not_in(names)).order_by(m.model_id)
        ).all()
        for table in BULK_TABLES if other_models else ():
            for index in table.indexes:  # slower to maintain than to build again
                index.drop(connection, checkfirst=True)
        with progress.stage("leaving out", len(other_models), "models") as advance:
            for model_id, _ in other_models:
                forget_model(connection, model_id)
                advance(1)
        _forget_unread(connection)
        for name in INDEXED:  # what was deleted leaves its words in an index until it is merged
            rebuild_full_text(connection, name)


def _forget_unread(connection: Connection) -> None:
    """Delete datasets that no model has read and sets of neurons that are of none."""
    readers: tuple[Column[int], ...] = (
        tables.models.c.dataset_id,
        tables.tokenizations.c.dataset_id,
        tables.ingest_runs.c.dataset_id,
        tables.ingest_steps.c.dataset_id,
        tables.ablation_runs.c.dataset_id,
        tables.ablation_runs.c.means_dataset_id,
        tables.entropy_runs.c.dataset_id,
        tables.universality_runs.c.dataset_id,
        tables.family_runs.c.dataset_id,
        tables.attribute_runs.c.means_dataset_id,
        tables.head_runs.c.dataset_id,
    )
    datasets_read = union(*(select(column).where(column.is_not(None)) for column in readers))
    for table in (tables.texts, tables.labels, tables.text_samples, tables.dataset_rows):
        connection.execute(delete(table).where(table.c.dataset_id.not_in(datasets_read)))
    sets = tables.neuron_sets
    states = tables.attribute_states.c.set_id
    used = union(
        select(tables.ablation_runs.c.set_id),
        select(tables.neuron_set_members.c.set_id),
        select(states).where(states.is_not(None)),
    )
    connection.execute(delete(sets).where(sets.c.set_id.not_in(used)))


def finish_copy(file: Path, progress: Progress) -> None:
    """Prepare a copy that will only be read.

    Missing indexes are built and every row counts in the planner's statistics; directories of
    this machine go from where models and texts were read; the journal is one that a read-only
    file can have.
    """
    with _writing(file) as engine:
        for name in _list_unindexed(engine):
            progress.note(f"building the index on {name}")
        finish_load(engine)
        with transaction(engine) as connection:
            _strip(connection, tables.models)
            _strip(connection, tables.dataset_rows)
        all_tables = metadata.sorted_tables
        with progress.stage("counting", len(all_tables), "tables") as advance:
            for table in all_tables:
                with transaction(engine) as connection:
                    connection.exec_driver_sql(f'ANALYZE "{table.name}"')
                advance(1)
    with translate_errors(str(file)), closing(sqlite3.connect(file, isolation_level=None)) as last:
        last.execute("PRAGMA journal_mode = DELETE")
    sync_to_disk(file)


def _list_unindexed(engine: Engine) -> list[str]:
    """Return the tables whose secondary indexes an interrupted or unfinished load left out."""
    inspector = inspect(engine)
    return [
        str(table.name)
        for table in BULK_TABLES
        if table.indexes and not inspector.get_indexes(str(table.name))
    ]


def _strip(connection: Connection, table: Table) -> None:
    """Keep only the last part of the paths of this machine in a table; ids of the hub stay."""
    (key,) = table.primary_key.columns
    for row_id, source in connection.execute(select(key, table.c.source)).all():
        stripped = strip_directory(source)
        if stripped != source:
            connection.execute(update(table).where(key == row_id).values(source=stripped))


def strip_directory(source: str) -> str:
    """Return the last part of a path that is absolute or begins with `~`, `./` or `../`, or all."""
    for kind in (PurePosixPath, PureWindowsPath):
        path = kind(source)
        if path.is_absolute() or source.startswith(("~", "./", "../", ".\\", "..\\")):
            return path.name or source
    return source


@contextmanager
def _writing(file: Path) -> Iterator[Engine]:
    engine = connect(parse_url(str(file)), writing=True)
    try:
        yield engine
    finally:
        engine.dispose()
