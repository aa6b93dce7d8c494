"""Annotations by visitors of the site, written while others read."""

import sqlite3
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from sqlalchemy import Connection, event, insert, select
from sqlalchemy.exc import SQLAlchemyError

from neurondb.database import connect, explain_database_error, parse_url
from neurondb.errors import DatabaseError, UnknownNameError, UsageError
from neurondb.schema import tables

BUSY_MS: Final = 3000
"""Milliseconds that a visitor waits for somebody else's writing to end."""
LONGEST: Final = {"source": 80, "key": 80, "value": 500, "note": 4000}
"""Field → how many characters it has at most."""
REQUIRED: Final = ("source", "key", "value")


@dataclass(frozen=True)
class NewAnnotation:
    """An annotation to be stored; every text in it is stripped.

    Raises:
        UsageError: when a field that has to be there is empty, or one is too long.
    """

    neuron_id: int
    source: str
    key: str
    value: str
    note: str = ""

    def __post_init__(self) -> None:
        """Strip and check."""
        for field, longest in LONGEST.items():
            text = str(getattr(self, field)).strip()
            object.__setattr__(self, field, text)
            if not text and field in REQUIRED:
                raise UsageError(f"an annotation needs a {field}")
            if len(text) > longest:
                raise UsageError(f"{field} has {len(text):,} characters; {longest:,} is the most")
            if "\x00" in text:
                raise UsageError(f"{field} has a NUL character in it; leave it out")


def annotate(location: str | Path, annotation: NewAnnotation) -> None:
    """Add an annotation to a database, in a transaction of its own.

    Raises:
        UnknownNameError: when there is no such neuron.
        DatabaseError: when the database cannot be written; one line says why.
    """
    engine = connect(parse_url(str(location)), writing=True)
    # It is registered last, so that its timeout is the one that holds.
    event.listen(engine, "connect", _shorten_wait)
    try:
        with engine.begin() as connection:
            _insert(connection, annotation)
    except (SQLAlchemyError, sqlite3.Error) as error:
        raise DatabaseError(f"the annotation was not stored: {_explain_error(error)}") from error
    finally:
        engine.dispose()


def _insert(connection: Connection, annotation: NewAnnotation) -> None:
    query = select(tables.neurons.c.neuron_id).where(
        tables.neurons.c.neuron_id == annotation.neuron_id
    )
    if connection.execute(query).first() is None:
        raise UnknownNameError("the weights of this neuron are not ingested")
    row = asdict(annotation) | {"note": annotation.note or None}
    connection.execute(insert(tables.annotations), row)


def _shorten_wait(connection: Any, _record: object) -> None:
    if isinstance(connection, sqlite3.Connection):
        connection.execute(f"PRAGMA busy_timeout = {BUSY_MS}")


def _explain_error(error: Exception) -> str:
    if "database is locked" in str(error):
        return "somebody else is writing; try again in a moment"
    return explain_database_error(error)
