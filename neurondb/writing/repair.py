"""Repair of what follows from the rows: full-text and secondary indexes, statistics, free space.

Every step is a transaction of its own, so that a kill at any moment leaves a database that is whole
and can be repaired again. Rows themselves are never changed.
"""

import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import OperationalError

from neurondb.database import (
    check_revision,
    connect,
    format_url,
    get_driver_connection,
    get_sqlite_path,
    parse_url,
    translate_errors,
)
from neurondb.formatting.numbers import format_size
from neurondb.full_text import INDEXED, find_fault, optimize_full_text, rebuild_full_text
from neurondb.sqlite_files import check_readable
from neurondb.writing.indexes import build_index, list_missing_indexes, refresh_statistics

STEPS_PER_CHECK: Final = 10_000
"""Instructions of SQLite between two looks for Ctrl-C."""
LEAST_FREE: Final = 0.1
"""Share of a file's pages that must be free for it to be worth writing all others anew."""


def repair(location: str | None) -> Iterator[str]:
    """Repair a database step by step, and yield a line on each thing that was done.

    Raises:
        DatabaseError: when it cannot be written, or is older, newer or something else.
        KeyboardInterrupt: by Ctrl-C; what was done until then stays.
    """
    url = parse_url(location)
    path = get_sqlite_path(url)
    if path is not None:
        check_readable(path)
    engine = connect(url, writing=True)
    try:
        check_revision(engine)
        yield from _repair_full_text(engine)
        yield from _build_missing_indexes(engine)
        with _transaction(engine) as connection:
            optimize_full_text(connection)
            refresh_statistics(connection)
        yield "brought the statistics for the query planner up to date"
        if path is not None:
            yield from _give_back_space(engine, path)
    finally:
        engine.dispose()


def _repair_full_text(engine: Engine) -> Iterator[str]:
    for table in INDEXED:
        with _transaction(engine) as connection:
            fault = find_fault(connection, table)
            if fault:
                rebuild_full_text(connection, table)
        if fault:
            yield f"rebuilt the full-text index of {table}, which {fault}"


def _build_missing_indexes(engine: Engine) -> Iterator[str]:
    with _transaction(engine) as connection:
        missing = list_missing_indexes(connection)
    for index in missing:
        with _transaction(engine) as connection:
            build_index(connection, index)
        yield f"built the index {index.name}, which was missing"


def _give_back_space(engine: Engine, path: Path) -> Iterator[str]:
    """Write a SQLite file anew where much of it is free, if the disk has the room."""
    import sqlite_utils

    with _connection(engine) as connection:
        raw = get_driver_connection(connection)
        pages, free, size = (
            int(raw.execute(f"PRAGMA {what}").fetchone()[0])
            for what in ("page_count", "freelist_count", "page_size")
        )
        if free < LEAST_FREE * pages:
            return
        need, there = 2 * (pages - free) * size, shutil.disk_usage(path.parent).free
        if need > there:
            yield (
                f"{format_size(free * size)} of the file are free; giving them back would take "
                f"{format_size(need)} on the disk, where {format_size(there)} are left"
            )
            return
        connection.rollback()  # VACUUM is a transaction of its own
        sqlite_utils.Database(raw, execute_plugins=False, recursive_triggers=False).vacuum()
        raw.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    yield f"gave back {format_size(free * size)} of the file that were free"


@contextmanager
def _transaction(engine: Engine) -> Iterator[Connection]:
    with _connection(engine) as connection, connection.begin():
        yield connection


@contextmanager
def _connection(engine: Engine) -> Iterator[Connection]:
    """Open a connection on which Ctrl-C ends whatever SQLite is at; errors become one line."""
    with translate_errors(format_url(engine.url)), engine.connect() as connection:
        if connection.dialect.name != "sqlite":
            yield connection
            return
        raw = get_driver_connection(connection)
        raw.set_progress_handler(lambda: 0, STEPS_PER_CHECK)
        try:
            yield connection
        except (OperationalError, sqlite3.OperationalError) as error:
            if "interrupted" in str(error):
                raise KeyboardInterrupt from error
            raise
        finally:
            if not connection.invalidated:  # Ctrl-C closes it
                raw.set_progress_handler(None, 0)
