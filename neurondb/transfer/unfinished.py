"""What a copy into an empty database leaves there until it is finished.

A ledger says which rows are there: it changes in the transactions that bring them, so that a copy
which was killed goes on after its last chunk. Meanwhile the database has no schema that any command
would open (`neurondb.database.UNFINISHED`), and no references and secondary indexes, which cost
less to make of all rows at once.
"""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, NamedTuple

from sqlalchemy import (
    Column,
    Connection,
    Engine,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    delete,
    insert,
    inspect,
    select,
    text,
    update,
)

from neurondb import schema
from neurondb.database import UNFINISHED
from neurondb.full_text import INDEXED, create_full_text, drop_full_text, list_missing
from neurondb.transfer.reading import Position
from neurondb.writing.indexes import build_index, list_missing_indexes
from neurondb.writing.rows import transaction

_metadata: Final = MetaData()
_ledger: Final = Table(
    "copy_ledger",
    _metadata,
    Column("relation", String, primary_key=True),
    Column("position", Text),
    Column("n_rows", Integer, nullable=False),
    Column("checksum", String, nullable=False),
    Column("finished", Integer, nullable=False),
)
_plan: Final = Table("copy_plan", _metadata, Column("plan", Text, nullable=False))


class Progressed(NamedTuple):
    """How far a relation is: rows that are there, their checksum, and where the source has come to.

    The checksum is of the rows as the source has them.
    """

    position: Position = None
    n_rows: int = 0
    checksum: int = 0
    finished: bool = False


@dataclass(frozen=True)
class Ledger:
    """The ledger in a database."""

    engine: Engine

    def read(self, table: Table) -> Progressed:
        """Return how far a relation is."""
        with transaction(self.engine) as connection:
            row = connection.execute(
                select(_ledger).where(_ledger.c.relation == table.name)
            ).first()
        if row is None:
            return Progressed()
        return Progressed(
            json.loads(row.position), row.n_rows, int(row.checksum, 16), bool(row.finished)
        )

    @contextmanager
    def advancing(self, table: Table, now: Progressed) -> Iterator[Connection]:
        """Yield a transaction that commits with what the ledger will say of a relation."""
        values = {
            "position": json.dumps(now.position),
            "n_rows": now.n_rows,
            "checksum": f"{now.checksum:016x}",
            "finished": int(now.finished),
        }
        with transaction(self.engine) as connection:
            yield connection
            of_table = _ledger.c.relation == table.name
            changed = connection.execute(update(_ledger).where(of_table).values(values))
            if not changed.rowcount:
                connection.execute(insert(_ledger), values | {"relation": table.name})


def is_unfinished(connection: Connection) -> bool:
    """Tell whether a copy into this database was begun and not finished."""
    return inspect(connection).has_table(_plan.name)


def read_plan(connection: Connection) -> Any:
    """Return what the unfinished copy is of."""
    return json.loads(connection.execute(select(_plan.c.plan)).scalar_one())["source"]


def begin(connection: Connection, source: Any) -> None:
    """Mark a database as unfinished, and take away what is made anew at the end."""
    _metadata.create_all(connection)
    references = _drop_references(connection)
    if connection.dialect.name == "postgresql":  # SQLite keeps its own up at little more
        drop_full_text(connection, *INDEXED)
    for table in schema.metadata.sorted_tables:
        for index in table.indexes:
            index.drop(connection, checkfirst=True)
    plan = {"source": source, "references": references}
    connection.execute(insert(_plan), {"plan": json.dumps(plan)})
    connection.execute(text("UPDATE alembic_version SET version_num = :mark"), {"mark": UNFINISHED})


class Lacking(NamedTuple):
    """What is still to be made: its name, and the function that makes it in a transaction."""

    name: str
    make: Callable[[Connection], None]


def list_lacking(engine: Engine) -> list[Lacking]:
    """Return what is still to be made before the database is finished."""
    with transaction(engine) as connection:
        plan = json.loads(connection.execute(select(_plan.c.plan)).scalar_one())
        there = _list_references(connection)
        indexes, words = list_missing_indexes(connection), list_missing(connection)
    lacking = [Lacking(str(one.name), partial(_build, index=one)) for one in indexes]
    lacking += [Lacking(f"words of {one}", partial(_index_words, table=one)) for one in words]
    for table, name, definition in plan["references"]:
        if [table, name, definition] not in there:
            add = f'ALTER TABLE {table} ADD CONSTRAINT "{name}" {definition}'
            lacking.append(Lacking(name, partial(_run, statement=add)))
    return lacking


def _build(connection: Connection, index: Index) -> None:
    build_index(connection, index)


def _index_words(connection: Connection, table: str) -> None:
    create_full_text(connection, table)


def _run(connection: Connection, statement: str) -> None:
    connection.exec_driver_sql(statement)


def finish(connection: Connection) -> None:
    """Give the database its schema back: from here on it is like any other."""
    _metadata.drop_all(connection)
    connection.execute(delete(table := _revision_table()))
    connection.execute(insert(table), {"version_num": schema.REVISION})


def _revision_table() -> Table:
    return Table("alembic_version", MetaData(), Column("version_num", String(32)))


def _list_references(connection: Connection) -> list[list[str]]:
    """Return (table, name, definition) of each reference that PostgreSQL checks row by row."""
    if connection.dialect.name == "sqlite":
        return []
    rows = connection.exec_driver_sql(
        "SELECT c.conrelid::regclass::text, c.conname, pg_get_constraintdef(c.oid) "
        "FROM pg_constraint c WHERE c.contype = 'f' "
        "AND c.connamespace = current_schema()::regnamespace ORDER BY 1, 2"
    )
    return [list(row) for row in rows]


def _drop_references(connection: Connection) -> list[list[str]]:
    references = _list_references(connection)
    for table, name, _ in references:
        connection.exec_driver_sql(f'ALTER TABLE {table} DROP CONSTRAINT "{name}"')
    return references
