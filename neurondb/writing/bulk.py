"""Load columns of numbers into a table as fast as the driver allows."""

from collections.abc import Mapping, Sequence
from itertools import chain
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection, Table, insert

from neurondb.database import driver

Column: TypeAlias = NDArray[Any] | Sequence[Any]

ROWS_A_STATEMENT = 400
"""Rows bound by one INSERT: past some hundreds the statement's overhead is gone, and the
parameters stay below SQLite's limit of 32,766."""

ROWS_A_CHUNK = 65_536
"""Rows that exist as Python objects at a time."""


def insert_columns(connection: Connection, table: Table, columns: Mapping[str, Column]) -> int:
    """Insert the rows that equally long `columns` make; return how many.

    NaN is written as NULL. Rows in the order of the primary key load fastest: a clustered table
    then grows at its end only.
    """
    names, values = list(columns), list(columns.values())
    n_rows = len(values[0])
    assert all(len(column) == n_rows for column in values), {k: len(v) for k, v in columns.items()}
    load = _LOADERS.get(connection.dialect.name, _load_by_core)
    for start in range(0, n_rows, ROWS_A_CHUNK):
        chunk = [_objects(column[start : start + ROWS_A_CHUNK]) for column in values]
        load(connection, table, names, chunk)
    return n_rows


def _objects(column: Column) -> Sequence[Any]:
    return column.tolist() if isinstance(column, np.ndarray) else column


def _load_by_core(
    connection: Connection, table: Table, names: list[str], chunk: list[Sequence[Any]]
) -> None:
    rows = zip(*chunk, strict=True)
    connection.execute(
        insert(table),
        # NaN is the only value unequal to itself
        [{k: (v if v == v else None) for k, v in zip(names, row, strict=True)} for row in rows],
    )


def _load_by_sqlite(
    connection: Connection, table: Table, names: list[str], chunk: list[Sequence[Any]]
) -> None:
    # sqlite3 binds NaN as NULL by itself.
    width, n_rows = len(names), len(chunk[0])
    cells = list(chain.from_iterable(zip(*chunk, strict=True)))
    cursor = driver(connection).cursor()
    whole = n_rows - n_rows % ROWS_A_STATEMENT
    statement, step = _statement(table, names, ROWS_A_STATEMENT), ROWS_A_STATEMENT * width
    for start in range(0, whole * width, step):
        cursor.execute(statement, cells[start : start + step])
    if whole < n_rows:
        cursor.execute(_statement(table, names, n_rows - whole), cells[whole * width :])


def _statement(table: Table, names: list[str], n_rows: int) -> str:
    columns = ", ".join(f'"{name}"' for name in names)
    row = "(" + ", ".join("?" * len(names)) + ")"
    return f"INSERT INTO {table.name} ({columns}) VALUES {', '.join([row] * n_rows)}"


def _load_by_copy(
    connection: Connection, table: Table, names: list[str], chunk: list[Sequence[Any]]
) -> None:
    columns = ", ".join(f'"{name}"' for name in names)
    with (
        driver(connection).cursor() as cursor,
        cursor.copy(f"COPY {table.name} ({columns}) FROM STDIN") as copy,
    ):
        for row in zip(*chunk, strict=True):
            copy.write_row([value if value == value else None for value in row])


_LOADERS = {"sqlite": _load_by_sqlite, "postgresql": _load_by_copy}
