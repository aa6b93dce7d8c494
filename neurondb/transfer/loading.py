"""Chunks → rows of a database, as fast as its driver allows.

PostgreSQL gets tables of numbers as binary COPY, put together by numpy; everything else is loaded
as `neurondb.writing.rows` loads it.
"""

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Boolean, Column, Connection, Double, SmallInteger, Table

from neurondb.database import get_driver_connection
from neurondb.schema.columns import list_stored
from neurondb.transfer.chunks import Chunk, Values, list_values
from neurondb.transfer.relations import find_kind, is_numeric
from neurondb.writing.rows import insert_columns

_SIGNATURE: Final = b"PGCOPY\n\xff\r\n\0" + bytes(8)
_END: Final = b"\xff\xff"
_NULL_LENGTH: Final = -1


def load_chunk(connection: Connection, table: Table, chunk: Chunk) -> None:
    """Insert rows, in a transaction that is open."""
    if connection.dialect.name == "postgresql" and is_numeric(table):
        _load_binary(connection, table, chunk)
        return
    columns = {
        column.name: list_values(find_kind(column), chunk.columns[column.name])
        for column in list_stored(table)
    }
    insert_columns(connection, table, columns)


def _load_binary(connection: Connection, table: Table, chunk: Chunk) -> None:
    names = ", ".join(f'"{column.name}"' for column in list_stored(table))
    with (
        get_driver_connection(connection).cursor() as cursor,
        cursor.copy(f"COPY {table.name} ({names}) FROM STDIN (FORMAT BINARY)") as copy,
    ):
        copy.write(_SIGNATURE)
        copy.write(encode_rows(table, chunk))
        copy.write(_END)


def encode_rows(table: Table, chunk: Chunk) -> bytes:
    """Return rows of numbers as PostgreSQL's binary COPY has them, without its head and its end.

    A row is its number of fields, then each field's bytes behind their number; −1 and no bytes
    are NULL.
    """
    columns = list_stored(table)
    fields: list[tuple[Any, ...]] = [("n_fields", ">i2")]
    for column in columns:
        fields += [(f"{column.name} bytes", ">i4"), (column.name, _choose_format(column))]
    rows = np.empty(chunk.n_rows, np.dtype(fields))
    rows["n_fields"] = len(columns)
    cells = rows.view(np.uint8).reshape(chunk.n_rows, rows.itemsize)
    absent: list[tuple[str, NDArray[np.bool_]]] = []
    for column in columns:
        name, values = column.name, chunk.columns[column.name]
        nulls = _find_nulls(values)
        rows[name] = values if nulls is None else np.where(nulls, 0, values)
        rows[f"{name} bytes"] = rows.dtype[name].itemsize
        if nulls is not None:
            rows[f"{name} bytes"][nulls] = _NULL_LENGTH
            absent.append((name, nulls))
    if not absent:
        return rows.tobytes()
    kept = np.ones(cells.shape, dtype=bool)
    for name, nulls in absent:
        assert rows.dtype.fields is not None
        kind, start = rows.dtype.fields[name][:2]
        kept[nulls, start : start + kind.itemsize] = False
    return cells[kept].tobytes()


def _find_nulls(values: Values) -> NDArray[np.bool_] | None:
    """Return where a column has NULL, or None if nowhere."""
    numbers = np.asarray(values)
    if numbers.dtype.kind != "f":
        return None
    nulls = np.isnan(numbers)
    return nulls if nulls.any() else None


def _choose_format(column: Column[Any]) -> str:
    if isinstance(column.type, Double):
        return ">f8"
    if isinstance(column.type, Boolean):
        return "i1"
    return ">i2" if isinstance(column.type, SmallInteger) else ">i4"
