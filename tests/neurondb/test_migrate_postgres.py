"""Upgrades change the rows of a PostgreSQL database as they do those of SQLite."""

from collections.abc import Iterator

import numpy as np
import pytest
from alembic import command
from sqlalchemy import Connection, inspect, text

from neurondb import migrate
from neurondb.schema import tables
from tests.support.postgres import need_postgres

need_postgres()

COSINES = [float(np.float32(0.3)), 0.1 + 1e-17, -1.0, float(np.float32(2**-11 / 3))]


@pytest.fixture
def former(postgres: str) -> Iterator[Connection]:
    """A database of before scaled reals, in a transaction that is taken back."""
    engine = migrate.create_or_open(postgres)
    with engine.connect() as connection, connection.begin() as changes:
        connection.execute(text("SET LOCAL session_replication_role = 'replica'"))  # no neurons
        migrate.drop_views(connection)
        command.downgrade(migrate.make_configuration(connection), "0024")
        for table in ("top_token_rows", "example_rows"):
            connection.execute(text(f"DELETE FROM {table}"))
        for rank, cosine in enumerate(COSINES):
            row = {"rank": rank, "number": cosine}
            connection.execute(
                text("INSERT INTO top_token_rows VALUES (1, 0, :rank, 7 - :rank, :number)"), row
            )
            connection.execute(
                text("INSERT INTO example_rows VALUES (1, 1, 0, :rank, 7, 3, :number)"), row
            )
        yield connection
        changes.rollback()
    engine.dispose()


def test_scaled_numbers_are_read_back_to_the_bit(former: Connection) -> None:
    command.upgrade(migrate.make_configuration(former), "head")
    migrate.create_views(former)
    stored = former.scalars(text("SELECT scaled_cosine FROM top_token_rows"))
    assert sorted(stored) == sorted(cosine * 2**31 for cosine in COSINES)
    for view, column in (("top_tokens", "cosine"), ("examples", "value")):
        assert former.scalars(text(f"SELECT {column} FROM {view} ORDER BY rank")).all() == COSINES


def test_columns_say_what_they_hold(former: Connection) -> None:
    command.upgrade(migrate.make_configuration(former), "head")
    for table in (tables.top_token_rows, tables.example_rows):
        comments = {c["name"]: c["comment"] for c in inspect(former).get_columns(table.name)}
        assert comments == {column.name: column.comment for column in table.columns}
