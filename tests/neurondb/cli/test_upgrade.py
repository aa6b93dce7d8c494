"""`neurondb upgrade` brings a database to this schema, and keeps off what it must not touch."""

import re
import shutil
import sqlite3
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from neurondb import migrate, schema
from neurondb.cli import cli
from neurondb.errors import DatabaseError
from neurondb.paths import find_folder
from tests.support.former_head import former_head

pytestmark = pytest.mark.migrations
NOW, LATER = schema.REVISION, "8888"
NEXT = f"""
from alembic import op
import sqlalchemy as sa

revision, down_revision, branch_labels, depends_on = "{LATER}", "{NOW}", None, None


def upgrade() -> None:
    with op.batch_alter_table("models") as batch:
        batch.add_column(sa.Column("nickname", sa.String()))
"""


def upgrade(path: Path) -> Result:
    return CliRunner().invoke(cli, ["upgrade", "--db", str(path)])


def columns(path: Path, table: str) -> list[str]:
    with sqlite3.connect(path) as connection:
        return [row[1] for row in connection.execute(f"PRAGMA table_info({table})")]


@pytest.fixture
def current(tmp_path: Path) -> Path:
    path = tmp_path / "current.db"
    migrate.create_or_open(str(path)).dispose()
    return path


@pytest.fixture
def newer_version(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A neurondb with one more migration than this one."""
    scripts = tmp_path / "migrations"
    shutil.copytree(find_folder("migrations"), scripts)
    (scripts / "versions" / f"{LATER}_nicknames.py").write_text(NEXT)
    monkeypatch.setattr(migrate, "find_folder", lambda _name: scripts)
    monkeypatch.setattr(schema, "REVISION", LATER)


def test_an_empty_file_gets_the_tables(tmp_path: Path) -> None:
    path = tmp_path / "empty.db"
    path.touch()

    result = upgrade(path)

    assert result.exit_code == 0
    assert NOW in result.stderr
    assert "fingerprint" in columns(path, "models")


@pytest.mark.usefixtures("newer_version")
def test_an_older_database_is_refused_until_it_is_upgraded(tmp_path: Path) -> None:
    path = tmp_path / "older.db"
    migrate.create_or_open(str(path)).dispose()
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE alembic_version SET version_num = ?", (NOW,))
        connection.execute("ALTER TABLE models DROP COLUMN nickname")

    refused = CliRunner().invoke(cli, ["models", "--db", str(path)])
    assert isinstance(refused.exception, DatabaseError)
    assert re.search(f"{NOW}.*{LATER}.*`neurondb upgrade", str(refused.exception))

    assert re.search(f"{NOW}.*{LATER}", upgrade(path).stderr)
    assert "nickname" in columns(path, "models")
    assert CliRunner().invoke(cli, ["models", "--db", str(path)]).exit_code == 0


@pytest.mark.usefixtures("newer_version")
def test_a_database_of_the_former_head_upgrades_like_any_other(tmp_path: Path) -> None:
    path = former_head(tmp_path / "former.db")

    assert re.search(f"{schema.FIRST}.*{LATER}", upgrade(path).stderr)
    assert "nickname" in columns(path, "models")
    with sqlite3.connect(path) as connection:
        assert connection.execute("SELECT name, nickname FROM models").fetchall() == [("m", None)]
        assert connection.execute("SELECT text FROM texts").fetchall() == [("once",), ("upon",)]


def test_a_current_database_stays_as_it_is(current: Path) -> None:
    before = current.read_bytes()

    result = upgrade(current)

    assert "already" in result.stderr
    assert current.read_bytes() == before


@pytest.mark.parametrize("command", ["upgrade", "models", "status"])
def test_a_newer_database_is_refused(current: Path, command: str) -> None:
    with sqlite3.connect(current) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")

    result = CliRunner().invoke(cli, [command, "--db", str(current)])

    assert isinstance(result.exception, DatabaseError)
    assert re.search(f"9999.*newer.*{NOW}", str(result.exception))


@pytest.mark.parametrize("command", ["upgrade", "models", "status"])
def test_a_database_from_before_the_first_release_is_refused(current: Path, command: str) -> None:
    with sqlite3.connect(current) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '0007'")
    before = current.read_bytes()

    error = CliRunner().invoke(cli, [command, "--db", str(current)]).exception

    assert isinstance(error, DatabaseError)
    assert re.search(rf"0007.*\b{schema.FIRST}\b.*ingest", str(error))
    assert "\n" not in str(error)
    assert current.read_bytes() == before


def test_someone_elses_database_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "other.db"
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE diary (day)")

    error = upgrade(path).exception
    assert isinstance(error, DatabaseError)
    assert re.search(r"other\.db.*NeuronDB", str(error))
    with sqlite3.connect(path) as connection:
        tables = [row[0] for row in connection.execute("SELECT name FROM sqlite_master")]
    assert tables == ["diary"]


def test_a_missing_file_is_not_created(tmp_path: Path) -> None:
    error = upgrade(tmp_path / "none.db").exception
    assert isinstance(error, DatabaseError)
    assert str(tmp_path / "none.db") in str(error)
    assert list(tmp_path.iterdir()) == []


def test_a_file_of_another_kind_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "text.db"
    path.write_text("not a database, but long enough to look like the header of one " * 20)

    error = upgrade(path).exception

    assert isinstance(error, DatabaseError)
    assert re.search(r"text\.db.*SQLite", str(error))
