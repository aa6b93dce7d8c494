"""Transactions that write, and the little that every writer needs."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, Engine, Table, insert

from neurondb.database import called, translated


def utc_now() -> str:
    """Return the time as the database stores it: UTC, ISO 8601, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


@contextmanager
def transaction(engine: Engine) -> Iterator[Connection]:
    """Open a writing transaction; driver errors become one line about this database."""
    with translated(called(engine.url)), engine.begin() as connection:
        yield connection


def insert_one(connection: Connection, table: Table, values: Mapping[str, Any]) -> int:
    """Insert one row and return the id it got."""
    key = connection.execute(insert(table), values).inserted_primary_key
    assert key is not None
    return int(key[0])
