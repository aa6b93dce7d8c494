"""Annotations by visitors of the site, written while others read.

What was said is found again by its digest, never by the id of its row: a form that was loaded
before somebody else changed the words then finds nothing, in place of changing other words.
"""

import sqlite3
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from sqlalchemy import Connection, event, insert, select
from sqlalchemy.exc import SQLAlchemyError

from neurondb.contracts.annotations import (
    LIST_KEY,
    LONGEST_LIST_NAME,
    Annotation,
    compute_digest,
    normalise_list_name,
)
from neurondb.database import connect, explain_database_error, parse_url
from neurondb.errors import DatabaseError, UnknownNameError, UsageError
from neurondb.schema import tables
from neurondb.writing.removed_annotations import (
    delete_said,
    find_said,
    forget_removals,
    format_utc_moment,
    record_removal,
)

BUSY_MS: Final = 3000
"""Milliseconds that a visitor waits for somebody else's writing to end."""
LONGEST: Final = {"source": 80, "key": 80, "value": 500, "note": 4000}
"""Field → how many characters it has at most."""
REQUIRED: Final = ("source", "key", "value")


@dataclass(frozen=True)
class NewAnnotation:
    r"""An annotation to be stored; every text in it is stripped, and its lines end in `\n`.

    Browsers send the lines of a form with `\r\n`.

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
            text = "\n".join(str(getattr(self, field)).split("\r\n")).strip()
            if field == "value" and self.key == LIST_KEY:
                text, longest = normalise_list_name(text), LONGEST_LIST_NAME
            object.__setattr__(self, field, text)
            if not text and field in REQUIRED:
                raise UsageError(f"an annotation needs a {field}")
            if len(text) > longest:
                raise UsageError(f"{field} has {len(text):,} characters; {longest:,} is the most")
            if "\x00" in text:
                raise UsageError(f"{field} has a NUL character in it; leave it out")

    @property
    def digest(self) -> str:
        """What tells it from all others of its neuron."""
        return compute_digest(self.source, self.key, self.value, self.note)


def annotate(location: str | Path, *annotations: NewAnnotation) -> None:
    """Add annotations to a database, all of them or none, in a transaction of their own.

    What is said already, word for word, is not stored twice.

    Raises:
        UnknownNameError: when there is no such neuron.
        DatabaseError: when the database cannot be written; one line says why.
    """

    def store(connection: Connection) -> None:
        for annotation in annotations:
            _insert(connection, annotation)

    _write(location, store)


def retract(location: str | Path, neuron_id: int, digest: str, source: str | None = None) -> None:
    """Remove what was said of a neuron.

    Args:
        location: the database.
        neuron_id: the neuron.
        digest: of what was said, as `compute_digest` gives it.
        source: who wants it removed, if only they may remove what they said; None may remove all.

    Raises:
        UnknownNameError: when nobody has said it, or not any more.
        UsageError: when somebody else said it.
        DatabaseError: when the database cannot be written; one line says why.
    """
    _write(location, lambda connection: _remove(connection, neuron_id, digest, source))


def revise(
    location: str | Path, digest: str, annotation: NewAnnotation, source: str | None = None
) -> None:
    """Replace what was said of a neuron by an annotation; arguments and errors are `retract`'s."""

    def replace(connection: Connection) -> None:
        _remove(connection, annotation.neuron_id, digest, source)
        _insert(connection, annotation)

    _write(location, replace)


def _write(location: str | Path, change: Callable[[Connection], None]) -> None:
    engine = connect(parse_url(str(location)), writing=True)
    # It is registered last, so that its timeout is the one that holds.
    event.listen(engine, "connect", _shorten_wait)
    try:
        with engine.begin() as connection:
            change(connection)
    except (SQLAlchemyError, sqlite3.Error) as error:
        raise DatabaseError(f"the annotation was not stored: {_explain_error(error)}") from error
    finally:
        engine.dispose()


def _insert(connection: Connection, annotation: NewAnnotation) -> None:
    n = tables.neurons.c.neuron_id
    if connection.execute(select(n).where(n == annotation.neuron_id)).first() is None:
        raise UnknownNameError("the weights of this neuron are not ingested")
    digest = annotation.digest
    for stored in _load(connection, annotation.neuron_id):
        if stored.digest == digest:
            return
        if annotation.key == LIST_KEY and (stored.source, stored.key, stored.value) == (
            annotation.source,
            annotation.key,
            annotation.value,
        ):  # on a list once, with one note
            _remove(connection, annotation.neuron_id, stored.digest, None)
    row = asdict(annotation) | {"note": annotation.note or None, "made_at": format_utc_moment()}
    connection.execute(insert(tables.annotations), row)
    forget_removals(connection, [(annotation.neuron_id, digest)])


def _remove(connection: Connection, neuron_id: int, digest: str, source: str | None) -> None:
    found = find_said(connection, neuron_id, digest)
    if not found:
        raise UnknownNameError(
            "this was changed or removed meanwhile; load the page again to see what is there"
        )
    _, said_by = found[0]
    if source is not None and said_by != source:
        raise UsageError(f"{said_by!r} said this; only they may change or remove it")
    delete_said(connection, (annotation_id for annotation_id, _ in found))
    record_removal(connection, neuron_id, digest, format_utc_moment())


def _load(connection: Connection, neuron_id: int) -> list[Annotation]:
    a = tables.annotations.c
    query = select(a.source, a.key, a.value, a.note).where(a.neuron_id == neuron_id)
    return [Annotation(*row) for row in connection.execute(query)]


def _shorten_wait(connection: Any, _record: object) -> None:
    if isinstance(connection, sqlite3.Connection):
        connection.execute(f"PRAGMA busy_timeout = {BUSY_MS}")


def _explain_error(error: Exception) -> str:
    if "database is locked" in str(error):
        return "somebody else is writing; try again in a moment"
    return explain_database_error(error)
