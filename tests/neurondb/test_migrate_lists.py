"""Lists of tokens and of examples keep every row when an upgrade makes them shorter, and back."""

import random
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from alembic import command
from sqlalchemy import Connection

from neurondb import migrate
from neurondb.database import connect, parse_url
from neurondb.errors import DatabaseError
from neurondb.schema import REVISION, VIEWS
from tests.support.former_head import former_head

pytestmark = pytest.mark.migrations
BEFORE = "0030"
TOKENS = "SELECT neuron_id, list_id, rank, token_id, scaled_cosine FROM top_token_rows"
EXAMPLES = (
    "SELECT neuron_id, dataset_id, list_id, rank, text_id, position, scaled_value FROM example_rows"
)
INDEX = "SELECT name FROM sqlite_master WHERE name = 'ix_top_token_rows_token'"

Rows = list[tuple[Any, ...]]


def move(path: Path, revision: str, *, back: bool = False) -> None:
    """Bring a database to a revision, as an upgrade that ended there would have."""
    engine = connect(parse_url(str(path)), writing=True)
    with engine.begin() as connection:
        change(connection, revision, back=back)
    engine.dispose()


def change(connection: Connection, revision: str, *, back: bool) -> None:
    migrate.drop_views(connection)
    steps = command.downgrade if back else command.upgrade
    steps(migrate.make_configuration(connection), revision)


def upgrade(path: Path) -> None:
    engine = connect(parse_url(str(path)), writing=True)
    try:
        migrate.upgrade(engine)
    finally:
        engine.dispose()


def ask(path: Path, query: str) -> Rows:
    with closing(sqlite3.connect(path)) as connection:
        return sorted(connection.execute(query).fetchall())


def draw_numbers(draw: random.Random, n: int, bits: int) -> list[float]:
    """Draw float32 numbers of every size, and one of float64, as scaled columns hold them."""
    single = [float(np.float32(draw.gauss(0, 1) * 10.0 ** draw.randint(-9, 3))) for _ in range(n)]
    return [number * 2.0**bits for number in [*single[1:], 0.1 + 1e-17]]


@pytest.fixture
def former(tmp_path: Path) -> Path:
    """A database of the schema before, with long and short lists of several neurons."""
    path = former_head(tmp_path / "former.db")
    move(path, BEFORE)
    draw = random.Random(0)
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("DELETE FROM top_token_rows")
        connection.execute("DELETE FROM example_rows")
        connection.execute(
            "INSERT INTO neurons (neuron_id, model_id, layer, neuron, sign)"
            " SELECT 2, model_id, layer, 1, sign FROM neurons"
        )
        for neuron_id in (1, 2):
            for list_id, n in ((0, 16), (5, 1), (11, 40)):
                tokens, cosines = draw.sample(range(200_000), n), draw_numbers(draw, n, 31)
                for rank, pair in enumerate(zip(tokens, cosines, strict=True)):
                    listed = (neuron_id, list_id, rank, *pair)
                    connection.execute("INSERT INTO top_token_rows VALUES (?,?,?,?,?)", listed)
            for list_id, n in ((0, 16), (15, 16), (16, 3), (23, 300)):
                for rank, value in enumerate(draw_numbers(draw, n, 28)):
                    row = (neuron_id, 1, list_id, rank, 2, draw.randint(-1, 1023), value)
                    connection.execute("INSERT INTO example_rows VALUES (?,?,?,?,?,?,?)", row)
    return path


def test_every_row_is_there_after_an_upgrade_and_after_the_way_back(former: Path) -> None:
    tokens, examples = ask(former, TOKENS), ask(former, EXAMPLES)
    assert (len(tokens), len(examples)) == (114, 670)
    upgrade(former)
    assert (ask(former, TOKENS), ask(former, EXAMPLES)) == (tokens, examples)
    assert ask(former, "PRAGMA foreign_key_check") == []
    move(former, BEFORE, back=True)
    assert (ask(former, TOKENS), ask(former, EXAMPLES)) == (tokens, examples)


def test_views_show_the_same_words_ranks_and_numbers(former: Path) -> None:
    words = {
        "top_tokens": "neuron_id, vector, basis, direction, rank, token_id, cosine, dot",
        "examples": "neuron_id, dataset_id, sign_case, quantity, rank, text_id, position, value",
    }
    queries = [f"SELECT {columns} FROM {view}" for view, columns in words.items()]
    move(former, BEFORE)
    with closing(sqlite3.connect(former)) as connection, connection:
        for view in VIEWS:
            if view.name in words:
                connection.execute(f"CREATE VIEW {view.name} AS {view.select}")
    before = [ask(former, query) for query in queries]
    upgrade(former)
    assert [ask(former, query) for query in queries] == before


@pytest.mark.parametrize("is_there", [True, False])
def test_the_index_by_token_is_there_if_it_was(former: Path, is_there: bool) -> None:
    if not is_there:  # as a killed load leaves it
        with closing(sqlite3.connect(former)) as connection, connection:
            connection.execute("DROP INDEX ix_top_token_rows_token")
    upgrade(former)
    assert bool(ask(former, INDEX)) is is_there


def test_an_upgrade_that_fails_at_its_end_leaves_the_database_as_it_was(
    former: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = ask(former, TOKENS), ask(former, EXAMPLES)
    with monkeypatch.context() as patch:
        patch.setattr(migrate, "VIEWS", (*VIEWS, VIEWS[0]))  # the second CREATE VIEW fails
        with pytest.raises(DatabaseError, match="already exists"):
            upgrade(former)
    assert ask(former, "SELECT version_num FROM alembic_version") == [(BEFORE,)]
    assert (ask(former, TOKENS), ask(former, EXAMPLES)) == before
    upgrade(former)
    assert ask(former, "SELECT version_num FROM alembic_version") == [(REVISION,)]
    assert (ask(former, TOKENS), ask(former, EXAMPLES)) == before


def test_a_place_that_is_taken_is_refused(former: Path) -> None:
    upgrade(former)
    with closing(sqlite3.connect(former)) as connection:
        ((place,),) = connection.execute(
            "SELECT place FROM example_rows WHERE neuron_id = 1 AND list_id = 15 AND rank = 3"
        )
        assert place == 15 * 16 + 3 - 128
        with pytest.raises(sqlite3.IntegrityError, match="UNIQUE"):
            connection.execute(
                "INSERT INTO example_rows (neuron_id, dataset_id, place, text_id, position,"
                " scaled_value) VALUES (1, 1, ?, 2, 0, 1.0)",
                (place,),
            )
