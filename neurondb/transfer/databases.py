"""A database as a source of rows: all of its models, or some."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from sqlalchemy import ColumnElement, Connection, Table, select

from neurondb.database import (
    format_url,
    get_sqlite_path,
    open_existing,
    parse_url,
    translate_errors,
)
from neurondb.errors import DatabaseError, UsageError
from neurondb.reading.models import Model, find_model, list_models
from neurondb.schema import tables
from neurondb.transfer.chunks import Chunk
from neurondb.transfer.reading import Position, count_rows, read_chunks
from neurondb.transfer.selection import Selection


class DatabaseSource:
    """The rows of some models, or of all, as they are in one transaction."""

    def __init__(self, name: str, connection: Connection, models: Sequence[str] = ()) -> None:
        self.name = name
        self.connection = connection
        self._models = [find_model(connection, model) for model in dict.fromkeys(models)]
        self._selection = Selection(self._models) if models else None

    def count(self, table: Table) -> int:
        """Return how many rows are selected of a table."""
        return count_rows(self.connection, table, self.restrict(table))

    def chunks(self, table: Table, after: Position = None) -> Iterator[tuple[Chunk, Position]]:
        """Yield the selected rows of a table in the order of their keys, after a key."""
        yield from read_chunks(self.connection, table, self.restrict(table), after)

    def checksum(self, _table: Table) -> None:
        """Return None: a database does not say what it should hold."""

    def list_models(self) -> list[Model]:
        """Return the selected models, in the order of their neurons' ids."""
        models = self._models
        if self._selection is None:
            models = [summary.model for summary in list_models(self.connection)]
        return sorted(models, key=lambda model: model.first_neuron_id)

    def read_fingerprints(self) -> dict[str, str]:
        """Return name → fingerprint of the selected models."""
        m = tables.models.c
        rows = self.connection.execute(select(m.name, m.fingerprint))
        stored = {row.name: row.fingerprint for row in rows}
        return {model.name: stored[model.name] for model in self.list_models()}

    def restrict(self, table: Table) -> ColumnElement[bool] | None:
        """Return the condition for the selected rows of a table; None where all are."""
        return None if self._selection is None else self._selection.restrict(table)


@contextmanager
def open_source(location: str | None, models: Sequence[str] = ()) -> Iterator[DatabaseSource]:
    """Open a database to copy from; what is written to it meanwhile is not seen.

    Args:
        location: its path or URL; None is the default database.
        models: names of the models that are wanted; none is all of the database.

    Raises:
        DatabaseError: when it cannot be opened, or has no such model.
    """
    engine = open_existing(location)
    name = format_url(engine.url)
    try:
        with translate_errors(name):
            options = (
                {}
                if engine.dialect.name == "sqlite"
                else {"isolation_level": "REPEATABLE READ", "postgresql_readonly": True}
            )
            with engine.connect().execution_options(**options) as connection:
                if engine.dialect.name == "postgresql":
                    # the rows are wanted in the order of their keys, which an index has
                    connection.exec_driver_sql("SET LOCAL enable_sort = off")
                yield DatabaseSource(name, connection, models)
    finally:
        engine.dispose()


def refuse_to_copy(source: str, destination: str) -> None:
    """Refuse to copy a database into itself, or one that is not there.

    Raises:
        UsageError: when both are the same file, or the same URL.
        DatabaseError: when there is no such file.
    """
    one, other = parse_url(source), parse_url(destination)
    files = get_sqlite_path(one), get_sqlite_path(other)
    if files[0] is not None and not files[0].exists():
        raise DatabaseError(f"there is no database at {source} to copy; give another")
    same = (
        files[0].resolve() == files[1].resolve()
        if files[0] is not None and files[1] is not None
        else one == other
    )
    if same:
        raise UsageError(f"{format_url(one)} is both the source and the destination; give another")
