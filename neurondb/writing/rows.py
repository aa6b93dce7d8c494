"""How rows get into a table: transactions, single rows, and columns of numbers by the thousand.

Columns are loaded as fast as the driver allows: many rows a statement in SQLite, with a statement
of its own for neurons whose rows repeat (`repeated_rows.py`), COPY in PostgreSQL. NaN in an array
is NULL in the table.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from itertools import chain
from typing import Any, TypeAlias

import numpy as np
import sqlalchemy
from jaxtyping import Float, Int
from numpy.typing import NDArray
from sqlalchemy import Connection, Engine, Table, insert
from sqlalchemy.dialects import postgresql

from neurondb.database import format_url, get_driver_connection, translate_errors
from neurondb.schema.columns import find_place
from neurondb.schema.places import encode_places
from neurondb.writing import repeated_rows

Column: TypeAlias = NDArray[Any] | Sequence[Any]
Columns: TypeAlias = dict[str, Any]
"""The columns of a table by name, all of the same length."""

ROWS_A_STATEMENT = 400
"""Rows bound by one INSERT: past some hundreds the statement's overhead is gone, and the
parameters stay below SQLite's limit of 32,766."""

ROWS_A_CHUNK = 65_536
"""Rows that exist as Python objects at a time."""


def format_utc_now() -> str:
    """Return the time as the database stores it: UTC, ISO 8601, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


@contextmanager
def transaction(engine: Engine) -> Iterator[Connection]:
    """Open a writing transaction; driver errors become one line about this database."""
    with translate_errors(format_url(engine.url)), engine.begin() as connection:
        yield connection


def insert_one(connection: Connection, table: Table, values: Mapping[str, Any]) -> int:
    """Insert one row and return the id it got."""
    key = connection.execute(insert(table), values).inserted_primary_key
    assert key is not None
    return int(key[0])


def insert_columns(connection: Connection, table: Table, columns: Mapping[str, Column]) -> int:
    """Insert the rows that equally long `columns` make; return how many.

    NaN is written as NULL. Rows in the order of the primary key load fastest: a clustered table
    then grows at its end only. Where a table has list and rank in one, `columns` have both.
    """
    columns = pack_places(table, columns)
    names, values = list(columns), list(columns.values())
    n_rows = len(values[0])
    assert all(len(column) == n_rows for column in values), {k: len(v) for k, v in columns.items()}
    load = _LOADERS.get(connection.dialect.name, _load_by_core)
    for stretch in _divide(connection, table, columns):
        if stretch.rows:
            cursor = get_driver_connection(connection).cursor()
            repeated_rows.load(cursor, table, columns, stretch, ROWS_A_CHUNK)
            continue
        for at in range(stretch.start, stretch.stop, ROWS_A_CHUNK):
            chunk = slice(at, min(at + ROWS_A_CHUNK, stretch.stop))
            load(connection, table, names, [_list_values(column[chunk]) for column in values])
    return n_rows


def _divide(
    connection: Connection, table: Table, columns: Mapping[str, Column]
) -> list[repeated_rows.Stretch]:
    if _LOADERS.get(connection.dialect.name) is _load_by_sqlite:
        return repeated_rows.divide(table, columns)
    return [repeated_rows.Stretch(0, len(next(iter(columns.values()))), 0)]


def pack_places(table: Table, columns: Mapping[str, Column]) -> Mapping[str, Column]:
    """Return columns as rows are written: list and rank in one where the table has them so."""
    place = find_place(table)
    if place is None or "list_id" not in columns:
        return columns
    lists, ranks = np.asarray(columns["list_id"]), np.asarray(columns["rank"])
    packed = {place.name: encode_places(lists, ranks, place.info["n_lists"])}
    return packed | {name: v for name, v in columns.items() if name not in ("list_id", "rank")}


def update_columns(connection: Connection, table: Table, columns: Mapping[str, Column]) -> int:
    """Insert rows as `insert_columns` does; a row whose key is there takes the new values.

    PostgreSQL forbids to delete rows that others refer to, such as those of neurons; of SQLite
    there is no need for this.
    """
    names = list(columns)
    statement = postgresql.insert(table)
    statement = statement.on_conflict_do_update(
        index_elements=list(table.primary_key),
        set_={name: statement.excluded[name] for name in names},
    )
    rows = zip(*map(_list_values, columns.values()), strict=True)
    connection.execute(
        statement,
        [{k: (v if v == v else None) for k, v in zip(names, row, strict=True)} for row in rows],
    )
    return len(next(iter(columns.values())))


def _list_values(column: Column) -> Sequence[Any]:
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
    cursor = get_driver_connection(connection).cursor()
    n_in_full_statements = n_rows - n_rows % ROWS_A_STATEMENT
    statement, step = _make_statement(table, names, ROWS_A_STATEMENT), ROWS_A_STATEMENT * width
    for start in range(0, n_in_full_statements * width, step):
        cursor.execute(statement, cells[start : start + step])
    if n_in_full_statements < n_rows:
        cursor.execute(
            _make_statement(table, names, n_rows - n_in_full_statements),
            cells[n_in_full_statements * width :],
        )


def _make_statement(table: Table, names: list[str], n_rows: int) -> str:
    columns = ", ".join(f'"{name}"' for name in names)
    row = "(" + ", ".join("?" * len(names)) + ")"
    return f"INSERT INTO {table.name} ({columns}) VALUES {', '.join([row] * n_rows)}"


def _load_by_copy(
    connection: Connection, table: Table, names: list[str], chunk: list[Sequence[Any]]
) -> None:
    columns = ", ".join(f'"{name}"' for name in names)
    with (
        get_driver_connection(connection).cursor() as cursor,
        cursor.copy(f"COPY {table.name} ({columns}) FROM STDIN") as copy,
    ):
        for row in zip(*chunk, strict=True):
            copy.write_row([value if value == value else None for value in row])


_LOADERS = {"sqlite": _load_by_sqlite, "postgresql": _load_by_copy}


def fill_with_nan(values: np.ndarray | None, like: np.ndarray) -> Float[np.ndarray, " neurons"]:
    """Return values as float64; for None, NaN (written as NULL) throughout, as long as `like`."""
    return np.full(len(like), np.nan) if values is None else values.astype(np.float64)


def scale(
    values: Float[np.ndarray, " rows"], column: sqlalchemy.Column[float]
) -> Float[np.ndarray, " rows"]:
    """Return numbers as a scaled column stores them (`neurondb.schema.columns.scaled`)."""
    return np.ldexp(values.astype(np.float64), column.info["bits"])


def compute_share(
    count: np.ndarray | None, total: Int[np.ndarray, " neurons"]
) -> Float[np.ndarray, " neurons"]:
    """Return count ÷ total, NaN where the total is 0 or there is no count."""
    nan = np.full(len(total), np.nan)
    return nan if count is None else np.divide(count, total, out=nan, where=total > 0)


def interleave(arrays: Sequence[np.ndarray]) -> np.ndarray:
    """Return rows in the order (neuron, list, rank), that of the keys.

    Args:
        arrays: one a list, each with one row a neuron.
    """
    return np.stack(arrays, axis=1).ravel()
