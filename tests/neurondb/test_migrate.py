"""Creating, upgrading and refusing databases."""

import sqlite3
import sys
from pathlib import Path

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import inspect, text

from neurondb import migrate
from neurondb.database import connect, open_existing, parse_url
from neurondb.errors import DatabaseError
from neurondb.schema import REVISION, VIEWS, codes, metadata
from neurondb.taxonomy import CLASSES


@pytest.fixture
def file(tmp_path: Path) -> Path:
    migrate.create_or_open(str(tmp_path / "n.db")).dispose()
    return tmp_path / "n.db"


def test_the_migrated_schema_equals_the_models(file: Path) -> None:
    with open_existing(str(file)).connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, metadata) == []


def test_the_revision_of_the_code_is_the_newest_migration() -> None:
    scripts = ScriptDirectory.from_config(migrate.make_configuration())
    assert scripts.get_heads() == [REVISION]


def test_migrated_tables_are_clustered_as_the_models_say(file: Path) -> None:
    with sqlite3.connect(file) as connection:
        made = dict(connection.execute("SELECT name, sql FROM sqlite_master WHERE type = 'table'"))
    for table in metadata.tables.values():
        clustered = table.dialect_options["sqlite"]["with_rowid"] is False
        assert ("WITHOUT ROWID" in made[table.name]) is clustered, table.name


OLD_ROWS = (
    "INSERT INTO dataset_rows VALUES (1, 'tales', 't', 'f', 2)",
    "INSERT INTO texts VALUES (1, 1, 0, 'once'), (2, 1, 1, 'upon')",
    "INSERT INTO models VALUES "
    "(1, 'm', 's', NULL, 'llama', 1, 'silu', 1, 2, 2, 3, 'f', NULL, 1, 0.5, 1)",
    "INSERT INTO neurons VALUES (1, 1, 0, 0, 1, 1, 1, 1, NULL, NULL, 1)",
    "INSERT INTO activation_stats VALUES (1, 1, 10, 0.5, 1, 2, 3, 4, 5, 6, 7, 8, 0.25)",
    "INSERT INTO sign_case_rows VALUES (1, 1, 0, 4, 0.4, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12)",
    "INSERT INTO example_rows VALUES (1, 1, 0, 0, 2, 5, -1.5)",
)
"""A neuron on two texts, as the first release stored it."""


@pytest.fixture
def first_release(tmp_path: Path) -> Path:
    path = tmp_path / "first.db"
    engine = connect(parse_url(str(path)), writing=True)
    with engine.begin() as connection:
        command.upgrade(migrate.make_configuration(connection), "0001")
        for row in OLD_ROWS:
            connection.exec_driver_sql(row)
    engine.dispose()
    return path


def test_a_database_of_the_first_release_upgrades_and_keeps_its_rows(first_release: Path) -> None:
    kept = ("dataset_rows", "models", "neurons", "sign_case_rows", "example_rows")
    with sqlite3.connect(first_release) as connection:
        before = {t: connection.execute(f"SELECT * FROM {t}").fetchall() for t in kept}

    migrate.upgrade(connect(parse_url(str(first_release)), writing=True))

    with sqlite3.connect(first_release) as connection:
        after = {t: connection.execute(f"SELECT * FROM {t}").fetchall() for t in kept}
        after["models"] = [row[:-5] for row in after["models"]]  # of 0005 to 0007
        stats = connection.execute("SELECT * FROM activation_stats").fetchall()
        texts = connection.execute("SELECT * FROM texts").fetchall()
        dangling = connection.execute("PRAGMA foreign_key_check").fetchall()
    assert after == before
    assert stats == [(1, 1, 10, 0.5, 1, 2, 3, 4, 5, 6, 7, 8, 0.25, 0)]  # none was left out
    assert texts == [(1, 1, 0, "once", None), (2, 1, 1, "upon", None)]
    assert dangling == []


def test_an_upgraded_database_has_the_schema_of_a_new_one(first_release: Path, file: Path) -> None:
    migrate.upgrade(connect(parse_url(str(first_release)), writing=True))

    with open_existing(str(first_release)).connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, metadata) == []
    assert columns_of(first_release) == columns_of(file)


def columns_of(path: Path) -> dict[str, list[object]]:
    with sqlite3.connect(path) as connection:
        names = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
        return {t: connection.execute(f"PRAGMA table_info({t})").fetchall() for (t,) in names}


def test_an_upgrade_can_be_taken_back(first_release: Path) -> None:
    before = columns_of(first_release)
    engine = connect(parse_url(str(first_release)), writing=True)
    migrate.upgrade(engine)

    with engine.begin() as connection:
        migrate.drop_views(connection)
        command.downgrade(migrate.make_configuration(connection), "0001")

    assert columns_of(first_release) == before


def test_every_relation_of_the_contract_is_there(file: Path) -> None:
    contract = (
        "models layers neurons cosines rw_classes classes baselines vocab_stats tokens top_tokens "
        "lm_head_tokens datasets texts activation_stats sign_cases examples neuron_sets "
        "neuron_set_members ablation_runs ablation_results annotations ingest_runs ingest_steps "
        "neuron_overview activation_histograms labels label_stats control_examples trace_rows"
    )
    inspector = inspect(open_existing(str(file)))
    there = {*inspector.get_table_names(), *inspector.get_view_names()}
    assert set(contract.split()) - there == set()


def test_words_stand_behind_the_codes(file: Path) -> None:
    with sqlite3.connect(file) as connection:
        lists = connection.execute("SELECT * FROM token_lists ORDER BY list_id").fetchall()
        names = connection.execute("SELECT name FROM rw_classes ORDER BY class_id").fetchall()
        kinds = connection.execute("SELECT kind FROM control_kinds ORDER BY kind_id").fetchall()
        quantities = connection.execute("SELECT * FROM quantities ORDER BY 1").fetchall()
    assert lists[8] == (8, "out", "unembed", "top")
    assert [name for (name,) in names] == [c.name for c in CLASSES] + ["undefined"]
    assert len(lists) == len(codes.TOKEN_LISTS) == 12
    assert tuple(kind for (kind,) in kinds) == codes.CONTROL_KINDS
    assert quantities == list(enumerate(codes.QUANTITIES))


def test_opening_twice_changes_nothing(file: Path) -> None:
    before = file.read_bytes()
    migrate.create_or_open(str(file)).dispose()
    assert file.read_bytes() == before


def test_wal_and_normal_synchronous(file: Path) -> None:
    with migrate.create_or_open(str(file)).connect() as connection:
        assert connection.execute(text("PRAGMA journal_mode")).scalar() == "wal"
        assert connection.execute(text("PRAGMA synchronous")).scalar() == 1


def test_an_older_database_asks_for_upgrade_and_gets_it(file: Path) -> None:
    with sqlite3.connect(file) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '0000'")
    with pytest.raises(DatabaseError, match="neurondb upgrade"):
        open_existing(str(file))


def test_upgrade_makes_the_views_anew(file: Path) -> None:
    with sqlite3.connect(file) as connection:
        connection.execute("DROP VIEW neuron_overview")
        connection.execute("CREATE VIEW neuron_overview AS SELECT 1 AS old")
    migrate.upgrade(connect(parse_url(str(file)), writing=True))
    with sqlite3.connect(file) as connection:
        assert connection.execute("SELECT model, name FROM neuron_overview").fetchall() == []


def test_a_failed_migration_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(migrate, "VIEWS", (*VIEWS, VIEWS[0]))  # the second CREATE VIEW fails
    with pytest.raises(DatabaseError, match="already exists"):
        migrate.create_or_open(str(tmp_path / "half.db"))
    with sqlite3.connect(tmp_path / "half.db") as connection:
        assert connection.execute("SELECT count(*) FROM sqlite_master").fetchone() == (0,)


def test_readers_cannot_write(file: Path) -> None:
    with (
        open_existing(str(file)).connect() as connection,
        pytest.raises(Exception, match="readonly"),
    ):
        connection.execute(text("DELETE FROM rw_classes"))


@pytest.mark.parametrize(
    ("location", "said"),
    [
        ("mysql://host/db", "mysql"),
        ("nonsense://", "nonsense"),
        ("postgres://host/db", "write postgresql://"),
        ("/", "/ is a directory"),
        ("/nonexistent/directory/n.db", "no database at"),
    ],
)
def test_places_that_cannot_be_asked(location: str, said: str) -> None:
    with pytest.raises(DatabaseError, match=said):
        open_existing(location)


def test_a_directory_is_no_database(tmp_path: Path) -> None:
    with pytest.raises(DatabaseError, match="is a directory"):
        migrate.create_or_open(str(tmp_path))


def test_postgresql_without_its_driver_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(DatabaseError, match=r"pip install 'neurondb\[postgres\]'"):
        open_existing("postgresql://localhost/neurons")


def test_the_schema_reads_on_postgresql() -> None:
    from sqlalchemy.dialects import postgresql
    from sqlalchemy.schema import CreateIndex, CreateTable

    dialect = postgresql.dialect()  # type: ignore[no-untyped-call]
    for table in metadata.sorted_tables:
        assert "ROWID" not in str(CreateTable(table).compile(dialect=dialect))
        for index in table.indexes:
            assert str(CreateIndex(index).compile(dialect=dialect))


@pytest.mark.parametrize(
    ("pieces", "n_unused"), [("ab", 0), ("a-", None), ("--", None), ("", None)]
)
def test_a_vocabulary_without_unused_rows_is_known_as_such(
    first_release: Path, pieces: str, n_unused: int | None
) -> None:
    """Where a token lacks a spelling, rows may have been counted that no token has."""
    with sqlite3.connect(first_release) as connection:
        for token_id, piece in enumerate(pieces):
            connection.execute(
                "INSERT INTO tokens (model_id, token_id, token, piece) VALUES (1, ?, 'x', ?)",
                (token_id, None if piece == "-" else piece),
            )

    migrate.upgrade(connect(parse_url(str(first_release)), writing=True))

    with sqlite3.connect(first_release) as connection:
        assert connection.execute("SELECT n_unused_rows FROM models").fetchall() == [(n_unused,)]
