"""A place is a list and a rank, there and back, in SQL as in Python."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing

import numpy as np
import pytest
from sqlalchemy import Column, Integer, MetaData, Table, create_engine, insert, select

from neurondb.schema.places import (
    encode_places,
    is_of_list,
    write_is_of_list,
    write_list,
    write_rank,
)
from neurondb.schema.tables import example_lists, example_rows, top_token_rows
from neurondb.writing.rows import pack_places

LISTS, LENGTH = 24, 40
PAIRS = [(list_id, rank) for list_id in range(LISTS) for rank in range(LENGTH)]


def encode(pairs: list[tuple[int, int]]) -> list[int]:
    lists, ranks = np.array(pairs, dtype=np.int64).T
    places: list[int] = encode_places(lists, ranks, LISTS).tolist()
    return places


@pytest.fixture
def connection() -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(":memory:")) as connection:
        connection.execute(
            f"CREATE TABLE e (place INTEGER PRIMARY KEY, list_id AS ({write_list(LISTS)}),"
            f" rank AS ({write_rank(LISTS)}))"
        )
        places = [(place,) for place in encode(PAIRS)]
        connection.executemany("INSERT INTO e VALUES (?)", places)
        yield connection


def test_list_and_rank_are_read_back_from_every_place(connection: sqlite3.Connection) -> None:
    found = connection.execute("SELECT place, list_id, rank FROM e").fetchall()
    expected = zip(encode(PAIRS), PAIRS, strict=True)
    assert sorted(found) == sorted((place, *pair) for place, pair in expected)


def test_sixteen_ranks_of_the_sixteen_lists_of_a_gated_neuron_take_a_byte() -> None:
    pairs = [(list_id, rank) for list_id in range(16) for rank in range(16)]
    assert encode(pairs) == list(range(-128, 128))


@pytest.mark.parametrize("list_id", [0, 7, 23])
def test_a_list_has_all_its_ranks_and_no_others(
    connection: sqlite3.Connection, list_id: int
) -> None:
    query = f"SELECT list_id, rank FROM e WHERE {write_is_of_list('e', str(list_id), LISTS)}"
    found = connection.execute(query).fetchall()
    assert sorted(found) == [(list_id, rank) for rank in range(LENGTH)]


def test_the_condition_on_columns_says_the_same() -> None:
    columns = (Column(name, Integer) for name in ("place", "list_id", "rank"))
    table = Table("e", MetaData(), *columns)
    engine = create_engine("sqlite://")
    with engine.connect() as connection:
        table.create(connection)
        rows = zip(encode(PAIRS), PAIRS, strict=True)
        connection.execute(
            insert(table), [{"place": p, "list_id": one, "rank": r} for p, (one, r) in rows]
        )
        query = select(table.c.list_id, table.c.rank).where(is_of_list(table.c, 5, LISTS))
        found = sorted(tuple(row) for row in connection.execute(query))
    engine.dispose()
    assert found == [(5, rank) for rank in range(LENGTH)]


def test_columns_are_packed_only_for_a_table_that_has_places() -> None:
    columns = {"neuron_id": [1, 1], "list_id": [0, 3], "rank": [0, 2], "text_id": [9, 9]}
    packed = pack_places(example_rows, columns)
    assert set(packed) == {"neuron_id", "place", "text_id"}
    assert list(packed["place"]) == [-128, 3 * 16 + 2 - 128]
    assert pack_places(top_token_rows, columns) is columns
    assert pack_places(example_lists, columns) is columns
