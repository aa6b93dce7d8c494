"""Repair of what follows from the rows: full-text and secondary indexes, statistics, free space.

Every step is a transaction of its own, so that a kill at any moment leaves a database that is whole
and can be repaired again. Rows themselves are never changed.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import Connection, Engine

from neurondb.database import (
    check_revision,
    connect,
    get_sqlite_path,
    parse_url,
)
from neurondb.full_text import INDEXED, find_fault, optimize_full_text, rebuild_full_text
from neurondb.sqlite_files import check_readable
from neurondb.writing.indexes import build_index, list_missing_indexes, refresh_statistics
from neurondb.writing.packing import interruptible_connection, pack


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
            yield from pack(engine, path)
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


@contextmanager
def _transaction(engine: Engine) -> Iterator[Connection]:
    with interruptible_connection(engine) as connection, connection.begin():
        yield connection
