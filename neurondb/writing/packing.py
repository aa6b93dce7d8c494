"""A SQLite file written anew without the room that its pages waste.

SQLite appends rows to a clustered table by sharing them out over the last pages, which leaves an
eighth of each page empty; what was deleted leaves whole pages. VACUUM fills every page, in a
transaction: a kill at any moment leaves the file as it was or as it will be.
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
    format_url,
    get_driver_connection,
    get_sqlite_path,
    translate_errors,
)
from neurondb.errors import DatabaseError
from neurondb.formatting.numbers import format_size
from neurondb.schema import metadata

STEPS_PER_CHECK: Final = 10_000
"""Instructions of SQLite between two looks for Ctrl-C."""
LEAST_WASTE: Final = 0.05
"""Share of a file that must be room without rows for it to be worth writing all of it anew."""
LARGE_TABLE: Final = 1000
"""Pages from which on the room in a table's pages counts."""
SMALLEST_FILE: Final = 2**26
"""Bytes of a file below which a load leaves the room to `neurondb check --repair`."""
ROOM: Final = 2
"""Times the packed file that VACUUM takes: a copy, and the log by which that comes back."""


def pack_after_load(engine: Engine) -> Iterator[str]:
    """Pack a file that a large load has appended to; say so, or what kept it from being packed."""
    path = get_sqlite_path(engine.url)
    if path is None or path.stat().st_size < SMALLEST_FILE:
        return
    try:
        yield from pack(engine, path)
    except DatabaseError as error:
        yield f"the file was not packed: {error}; `neurondb check --repair` packs it"


def pack(engine: Engine, path: Path) -> Iterator[str]:
    """Write a SQLite file anew where that is worth it and the disk has the room; say what was done.

    Raises:
        DatabaseError: when somebody else writes to the file, or the disk for temporary files is
            full.
        KeyboardInterrupt: by Ctrl-C; the file is as it was.
    """
    with interruptible_connection(engine) as connection:
        raw = get_driver_connection(connection)
        size, waste = measure_waste(raw)
        if waste < LEAST_WASTE * size:
            return
        need, there = ROOM * (size - waste), shutil.disk_usage(path.parent).free
        if need > there:
            yield (
                f"{format_size(waste)} of the file are free; giving them back would take "
                f"{format_size(need)} on the disk, where {format_size(there)} are left"
            )
            return
        connection.rollback()  # VACUUM is a transaction of its own
        raw.execute("VACUUM")
        raw.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        left, _ = measure_waste(raw)
    if left < size:  # else another process has written more meanwhile
        yield f"gave back {format_size(size - left)} of the file that were free"


def measure_waste(raw: sqlite3.Connection) -> tuple[int, int]:
    """Return the bytes of a file, and how many of them are free pages or room in clustered tables.

    Only large tables count, and only where SQLite has its table of pages (dbstat).
    """
    pages, free, page_size = (
        int(raw.execute(f"PRAGMA {what}").fetchone()[0])
        for what in ("page_count", "freelist_count", "page_size")
    )
    clustered = [
        table.name
        for table in metadata.tables.values()
        if table.dialect_options["sqlite"]["with_rowid"] is False
    ]
    names = ", ".join("?" * len(clustered))
    try:
        (unused,) = raw.execute(
            "SELECT SUM(unused) FROM (SELECT SUM(unused) AS unused FROM dbstat"  # noqa: S608
            f" WHERE name IN ({names}) GROUP BY name HAVING COUNT(*) >= {LARGE_TABLE})",
            clustered,
        ).fetchone()
    except sqlite3.OperationalError:  # no such table: dbstat
        unused = 0
    return pages * page_size, free * page_size + int(unused or 0)


@contextmanager
def interruptible_connection(engine: Engine) -> Iterator[Connection]:
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
