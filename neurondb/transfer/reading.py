"""The rows of a database's tables in chunks, in the order of their key.

SQLite's driver hands out rows; of PostgreSQL, tables of numbers come as binary COPY, whose rows
are equally wide once NULL is written as NaN, and the others through a cursor of the server's.
"""

from collections.abc import Iterator, Sequence
from typing import Any, Final, Protocol, TypeAlias

import numpy as np
from sqlalchemy import (
    Column,
    ColumnElement,
    Connection,
    Double,
    Integer,
    Select,
    Table,
    cast,
    func,
    literal_column,
    select,
    tuple_,
)

from neurondb.database import get_driver_connection
from neurondb.transfer.chunks import Chunk, choose_size, make_chunk
from neurondb.transfer.relations import find_kind, is_numeric

Position: TypeAlias = Any
"""Where a source has come to in a table, as JSON can hold it; None is the beginning."""

_HEADER: Final = 19
"""Bytes before the first row of a binary COPY."""


class Source(Protocol):
    """What rows are copied from."""

    @property
    def name(self) -> str:
        """What messages call it."""
        ...

    def count(self, table: Table) -> int:
        """Return how many rows it has of a table."""
        ...

    def chunks(self, table: Table, after: Position = None) -> Iterator[tuple[Chunk, Position]]:
        """Yield the rows of a table from a position on, and where each chunk ends."""
        ...

    def checksum(self, table: Table) -> int | None:
        """Return the checksum that a table's rows must have; None where none is known."""
        ...


def count_rows(connection: Connection, table: Table, where: ColumnElement[bool] | None) -> int:
    """Return how many rows of a table a condition holds for."""
    statement = select(func.count()).select_from(table)
    return int(connection.execute(_add(statement, where)).scalar_one())


def read_chunks(
    connection: Connection,
    table: Table,
    where: ColumnElement[bool] | None = None,
    after: Sequence[Any] | None = None,
) -> Iterator[tuple[Chunk, list[Any]]]:
    """Yield the rows of a table that a condition holds for, and the key of each chunk's last.

    Args:
        connection: a transaction that reads.
        table: the table.
        where: the condition; None is all rows.
        after: the key after which to begin; None is the first row.
    """
    keys = list(table.primary_key)
    statement = _add(select(*table.columns), where).order_by(*keys)
    if after is not None:
        # one column alone is no tuple to SQLite
        later = tuple_(*keys) > tuple_(*after) if len(keys) > 1 else keys[0] > after[0]
        statement = statement.where(later)
    if connection.dialect.name == "sqlite":
        chunks = _read_sqlite(connection, table, statement)
    elif is_numeric(table):
        chunks = _read_copy(connection, table, statement)
    else:
        chunks = _read_cursor(connection, table, statement)
    for chunk in chunks:
        yield chunk, [_last(chunk, key) for key in keys]


def _add(statement: Select[Any], where: ColumnElement[bool] | None) -> Select[Any]:
    return statement if where is None else statement.where(where)


def _last(chunk: Chunk, key: Column[Any]) -> Any:
    value = chunk.columns[key.name][-1]
    return value.item() if isinstance(value, np.generic) else value


def _read_sqlite(connection: Connection, table: Table, statement: Select[Any]) -> Iterator[Chunk]:
    cursor = get_driver_connection(connection).execute(_write_out(connection, statement))
    while rows := cursor.fetchmany(choose_size(table)):
        yield make_chunk(table, rows)


def _read_cursor(connection: Connection, table: Table, statement: Select[Any]) -> Iterator[Chunk]:
    size = choose_size(table)
    options = {"stream_results": True, "max_row_buffer": size}
    with connection.execute(statement, execution_options=options) as result:
        for rows in result.partitions(size):
            yield make_chunk(table, rows)


def _read_copy(connection: Connection, table: Table, statement: Select[Any]) -> Iterator[Chunk]:
    fields: list[tuple[Any, ...]] = [("n_fields", ">i2")]
    for column in table.columns:
        fields += [(f"{column.name} bytes", ">i4"), (column.name, _choose_format(column))]
    dtype = np.dtype(fields)
    statement = statement.with_only_columns(*map(_write_value, table.columns))
    copy = f"COPY ({_write_out(connection, statement)}) TO STDOUT (FORMAT BINARY)"
    block = choose_size(table) * dtype.itemsize
    with (
        get_driver_connection(connection).cursor() as cursor,
        cursor.copy(copy) as stream,
    ):
        received = bytearray()
        n_to_skip = _HEADER
        for data in stream:
            received += data
            if len(received) >= n_to_skip + block:
                yield _unpack(table, received[n_to_skip : n_to_skip + block], dtype)
                del received[: n_to_skip + block]
                n_to_skip = 0
        n_rows = (len(received) - n_to_skip) // dtype.itemsize  # two more bytes say that it ends
        if n_rows:
            rest = received[n_to_skip : n_to_skip + n_rows * dtype.itemsize]
            yield _unpack(table, rest, dtype)


def _write_value(column: Column[Any]) -> ColumnElement[Any]:
    """Return a value that is as wide when it is NULL."""
    is_integer = find_kind(column) == "integer"
    if not column.nullable:
        return cast(column, Integer) if is_integer else column
    number = cast(cast(column, Integer), Double) if is_integer else column
    return func.coalesce(number, literal_column("'NaN'::float8"))


def _choose_format(column: Column[Any]) -> str:
    return ">f8" if column.nullable or find_kind(column) == "real" else ">i4"


def _unpack(table: Table, received: bytearray, dtype: np.dtype[Any]) -> Chunk:
    rows = np.frombuffer(bytes(received), dtype)
    return Chunk(
        {
            column.name: rows[column.name].astype(
                np.float64 if _choose_format(column) == ">f8" else np.int64
            )
            for column in table.columns
        }
    )


def _write_out(connection: Connection, statement: Select[Any]) -> str:
    compiled = statement.compile(connection, compile_kwargs={"literal_binds": True})
    return str(compiled)
