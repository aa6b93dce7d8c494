"""Creating, upgrading and refusing databases."""

import re
import sqlite3
import sys
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import inspect, text

from neurondb import migrate, schema
from neurondb.database import connect, open_existing, parse_url
from neurondb.errors import DatabaseError
from neurondb.full_text import is_shadow
from neurondb.schema import FIRST, REVISION, VIEWS, codes, metadata
from neurondb.taxonomy import CLASSES
from tests.support.former_head import former_head
from tests.support.new_databases import copied
from tests.support.rows import all_rows

pytestmark = pytest.mark.migrations
COMPARISON = {
    "compare_type": True,
    "include_name": lambda name, kind, _: kind != "table" or not is_shadow(name),
}
"""The tables of the full-text index are no part of the models: `neurondb.full_text` makes them."""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    migrate.create_or_open(str(tmp_path / "n.db")).dispose()
    return tmp_path / "n.db"


def test_the_migrated_schema_equals_the_models(file: Path) -> None:
    with open_existing(str(file)).connect() as connection:
        context = MigrationContext.configure(connection, opts=COMPARISON)
        assert compare_metadata(context, metadata) == []


def test_a_copy_for_the_tests_is_what_the_migrations_make(file: Path, tmp_path: Path) -> None:
    with copied():
        migrate.create_or_open(str(tmp_path / "copy.db")).dispose()
    own, copy = (_describe(path) for path in (file, tmp_path / "copy.db"))
    assert copy == own


def _describe(path: Path) -> tuple[object, ...]:
    """Return what a database has: relations and their columns, rows, and how the file is kept."""
    with closing(sqlite3.connect(path)) as connection:
        names = connection.execute("SELECT type, name, tbl_name FROM sqlite_master").fetchall()
        columns = [
            (name, connection.execute(f"PRAGMA table_info({name})").fetchall())
            for kind, name, _ in names
            if kind in ("table", "view")
        ]
        kept = [
            connection.execute(f"PRAGMA {pragma}").fetchone()
            for pragma in ("page_size", "journal_mode", "encoding", "integrity_check")
        ]
    return names, columns, kept, all_rows(path)


def test_the_revision_of_the_code_is_the_newest_migration() -> None:
    scripts = ScriptDirectory.from_config(migrate.make_configuration())
    assert scripts.get_heads() == [REVISION]
    assert scripts.get_base() == FIRST


def test_migrated_tables_are_clustered_as_the_models_say(file: Path) -> None:
    with sqlite3.connect(file) as connection:
        made = dict(connection.execute("SELECT name, sql FROM sqlite_master WHERE type = 'table'"))
    for table in metadata.tables.values():
        clustered = table.dialect_options["sqlite"]["with_rowid"] is False
        assert ("WITHOUT ROWID" in made[table.name]) is clustered, table.name


@pytest.fixture
def former(tmp_path: Path) -> Path:
    return former_head(tmp_path / "former.db")


def test_a_database_of_the_former_head_asks_for_upgrade(former: Path) -> None:
    before = former.read_bytes()
    with pytest.raises(DatabaseError, match=f"schema {FIRST}.*{REVISION}.*neurondb upgrade"):
        open_existing(str(former))
    assert former.read_bytes() == before


def test_a_database_of_the_former_head_upgrades_and_keeps_its_rows(former: Path) -> None:
    before = inserts(former)

    upgrade(former)

    after = inserts(former)
    # A table may have more columns than it had, behind the others.
    kept = [line for line in before if any(new.startswith(line[: -len(");")]) for new in after)]
    lost = sorted(set(before) - set(kept))
    with sqlite3.connect(former) as connection:
        dangling = connection.execute("PRAGMA foreign_key_check").fetchall()
    named = [line.removeprefix('INSERT INTO "').split('"')[0] for line in lost]
    assert named == ["alembic_version", "example_rows"]
    assert dangling == []


def test_numbers_of_a_former_database_are_the_same_after_an_upgrade_and_back(former: Path) -> None:
    exact = 0.1 + 1e-17  # a cosine that decided between equals is float64
    single = [float(np.float32(number)) for number in (0.1, 2**-9 / 3, -0.7)]
    cosines = [*single, exact, 1.0, -1.0]
    values = [-1.5, *(float(np.float32(v)) for v in (1e-6, 3.3, -77.7, 4e9, 2**-140, -1e38))]
    with sqlite3.connect(former) as connection:
        for rank, value in enumerate(values[1:], 1):
            connection.execute("INSERT INTO example_rows VALUES (1,1,0,?,2,5,?)", (rank, value))
        connection.execute("DELETE FROM top_token_rows")
        for rank, cosine in enumerate(cosines):
            connection.execute(
                "INSERT INTO top_token_rows VALUES (1,0,?,?,?)", (rank, 9 - rank, cosine)
            )
    upgrade(former)
    with sqlite3.connect(former) as connection:
        shown = connection.execute("SELECT value FROM examples ORDER BY rank").fetchall()
        cosines_shown = connection.execute("SELECT cosine FROM top_tokens ORDER BY rank").fetchall()
    engine = connect(parse_url(str(former)), writing=True)
    with engine.begin() as connection_back:
        migrate.drop_views(connection_back)
        command.downgrade(migrate.make_configuration(connection_back), "0024")
        again = connection_back.exec_driver_sql("SELECT value FROM example_rows").fetchall()
    engine.dispose()
    assert [value for (value,) in shown] == values
    assert [cosine for (cosine,) in cosines_shown] == cosines
    assert [value for (value,) in again] == values


def test_a_database_of_the_former_head_has_the_schema_of_a_new_one(
    former: Path, file: Path
) -> None:
    upgrade(former)
    with open_existing(str(former)).connect() as connection:
        context = MigrationContext.configure(connection, opts=COMPARISON)
        assert compare_metadata(context, metadata) == []
    assert columns_of(former) == columns_of(file)


def test_a_run_under_a_condition_is_shown_as_such_after_an_upgrade(former: Path) -> None:
    with sqlite3.connect(former) as connection:
        ((model_id, dataset_id),) = connection.execute(
            "SELECT m.model_id, d.dataset_id FROM models m, dataset_rows d LIMIT 1"
        ).fetchall()
        connection.execute("INSERT INTO neuron_sets VALUES (70, NULL, 'every neuron')")
        for run_id, kind, condition, finished in (
            (71, "each", None, 1),
            (72, "each", "gate-_post+", 1),
            (73, "each", "gate-_post+", 1),
            (74, "each", "gate+", 0),
            (75, "attribution", "gate+", 1),
        ):
            connection.execute(
                "INSERT INTO ablation_runs (run_id, model_id, dataset_id, set_id, mode, condition,"
                " kind, finished) VALUES (?, ?, ?, 70, 'zero', ?, ?, ?)",
                (run_id, model_id, dataset_id, condition, kind, finished),
            )
        connection.execute("UPDATE models SET each_run_id = 73, attribution_run_id = 75")
    connection.close()
    upgrade(former)
    with sqlite3.connect(former) as connection:
        shown = connection.execute(
            "SELECT kind, condition, run_id FROM shown_condition_runs ORDER BY 1, 2"
        ).fetchall()
        runs = connection.execute("SELECT each_run_id, attribution_run_id FROM models").fetchall()
    assert shown == [("attribution", "gate+", 75), ("each", "gate-_post+", 73)]
    assert runs == [(71, None)]


def upgrade(path: Path) -> None:
    engine = connect(parse_url(str(path)), writing=True)
    migrate.upgrade(engine)
    engine.dispose()


def inserts(path: Path) -> list[str]:
    with sqlite3.connect(path) as connection:
        lines = [line for line in connection.iterdump() if line.startswith("INSERT")]
    return [line for line in lines if "_fts" not in line]


def columns_of(path: Path) -> dict[str, list[object]]:
    with sqlite3.connect(path) as connection:
        names = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
        return {t: connection.execute(f"PRAGMA table_info({t})").fetchall() for (t,) in names}


def test_the_first_schema_can_be_taken_back(file: Path) -> None:
    engine = connect(parse_url(str(file)), writing=True)
    with engine.begin() as connection:
        migrate.drop_views(connection)
        command.downgrade(migrate.make_configuration(connection), "base")

    assert list(columns_of(file)) == ["alembic_version"]


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


def test_an_older_database_asks_for_upgrade(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(schema, "REVISION", "8888")
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
        ("postgres://host/db", "postgresql://"),
        ("/", "a directory"),
        ("/nonexistent/directory/n.db", "/nonexistent/directory/n.db"),
    ],
)
def test_places_that_cannot_be_asked(location: str, said: str) -> None:
    with pytest.raises(DatabaseError, match=said):
        open_existing(location)


def test_a_directory_is_no_database(tmp_path: Path) -> None:
    with pytest.raises(DatabaseError, match=rf"{re.escape(str(tmp_path))}.*a directory"):
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
