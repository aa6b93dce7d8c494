"""A database is the one file that was named, and is read where nothing may be made beside it."""

import os
import shutil
import sqlite3
import sys
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import Engine

from neurondb import database, migrate, sqlite_files
from neurondb.errors import DatabaseError
from neurondb.sql import open_engine, run_sql
from tests.support.sample_facts import Sample

pytestmark = pytest.mark.migrations
NAMES = (
    *("run#2.db", "a?b.db", "a%20b.db", "100%.db", "a b.db", "q'uo\"te.db", "é.db", "a\nb.db"),
    *(":memory:", "file:x.db", "file:x?mode=memory", "-x.db", "@x", "x://y", "a&mode=memory"),
)


def in_it(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


def value_in(path: Path | str) -> str:
    with closing(sqlite_files.open_to_read(path)) as connection:
        return str(connection.execute("SELECT v FROM t").fetchone()[0])


def make(path: Path, value: str, *, wal: bool = False) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with closing(sqlite_files.open_file(path, "mode=rwc")) as connection:
        connection.execute("PRAGMA journal_mode = " + ("WAL" if wal else "DELETE"))
        connection.execute("CREATE TABLE t (v)")
        connection.execute("INSERT INTO t VALUES (?)", (value,))
        connection.commit()


@pytest.mark.parametrize("name", NAMES)
def test_the_file_that_was_named_is_opened_and_no_other_is_made(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    make(path, "this one")
    for prefix in ("run", "a", "100", "file:x", "x"):
        if not (tmp_path / prefix).exists():
            make(tmp_path / prefix, "another")
    before = in_it(tmp_path)

    assert value_in(path) == "this one"
    url = database.parse_url(str(path))
    assert database.get_sqlite_path(url) == path
    engine = database.connect(url)
    with engine.connect() as connection:
        assert connection.exec_driver_sql("SELECT v FROM t").scalar() == "this one"
    engine.dispose()
    assert in_it(tmp_path) == before


@pytest.mark.skipif(sys.platform != "linux", reason="file names of any bytes")
def test_a_name_that_is_no_text_is_opened_and_named(tmp_path: Path) -> None:
    path = Path(os.fsdecode(os.fsencode(tmp_path) + b"/by\xff.db"))
    make(path, "this one")

    assert value_in(path) == "this one"
    with pytest.raises(DatabaseError, match=r"/by.*NeuronDB"):
        database.open_existing(str(path))


@pytest.mark.parametrize(
    ("location", "path"),
    [
        ("sqlite:///a#b?c=d.db", "a#b?c=d.db"),
        ("sqlite:////tmp/100%.db", "/tmp/100%.db"),
        ("sqlite+pysqlite:///x.db", "x.db"),
        ("./x.db", "x.db"),
        ("file:x.db", "file:x.db"),
        ("/a://b.db", "/a:/b.db"),
        (":memory:", None),
        ("sqlite://", None),
        ("sqlite:///:memory:", None),
    ],
)
def test_what_a_location_means(location: str, path: str | None) -> None:
    found = database.get_sqlite_path(database.parse_url(location))
    assert found == (None if path is None else Path(path))


def test_a_url_with_a_host_is_refused() -> None:
    with pytest.raises(DatabaseError, match=r"x\.db.*sqlite:///PATH"):
        database.parse_url("sqlite://x.db")


# --- what may not be written -----------------------------------------------------------------


def unwritable(path: Path) -> None:
    """Let SQLite make no shared memory beside a file: as root, permissions would not do."""
    Path(f"{path}-shm").symlink_to("nowhere")


def test_a_finished_file_is_read_where_nothing_can_be_made_beside_it(tmp_path: Path) -> None:
    make(tmp_path / "x.db", "finished", wal=True)
    unwritable(tmp_path / "x.db")

    assert value_in(tmp_path / "x.db") == "finished"


def test_changes_in_a_log_that_cannot_be_taken_in_are_one_line(tmp_path: Path) -> None:
    source, copy = tmp_path / "x.db", tmp_path / "copy.db"
    make(source, "old", wal=True)
    with closing(sqlite3.connect(source)) as writer:
        writer.execute("UPDATE t SET v = 'new'")
        writer.commit()
        shutil.copy(source, copy)
        shutil.copy(f"{source}-wal", f"{copy}-wal")
    unwritable(copy)

    with pytest.raises(DatabaseError, match=r"copy\.db-wal.*neurondb check"):
        value_in(copy)
    Path(f"{copy}-wal").write_bytes(b"")
    assert value_in(copy) == "old"


def test_a_file_of_somebody_elses_leaves_nothing_beside_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "x.db"
    make(path, "theirs", wal=True)
    monkeypatch.setattr("os.access", lambda *_: False)
    connection = sqlite_files.open_to_read(path)
    assert connection.execute("SELECT v FROM t").fetchone() == ("theirs",)
    assert in_it(tmp_path) == ["x.db"]
    connection.close()


def test_what_its_owner_writes_later_is_seen(
    sample: Sample, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = Path(shutil.copy(sample.path, tmp_path / "x.db"))
    monkeypatch.setattr("os.access", lambda *_: False)
    with open_engine(str(path)) as engine:
        names = "SELECT count(*) FROM annotations"
        assert list(run_sql(engine, names).rows) == [(0,)]
        with closing(sqlite3.connect(path)) as owner:
            row = "(neuron_id, source, key, value) SELECT 1, 'me', 'label', 'dogs'"
            owner.execute(f"INSERT INTO annotations {row}")
            owner.commit()
        assert list(run_sql(engine, names).rows) == [(1,)]


def test_what_is_no_database_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "directory.db").mkdir()
    (tmp_path / "empty.db").touch()
    (tmp_path / "text.db").write_text("no database, but long enough to be looked at\n" * 50)
    os.mkfifo(tmp_path / "pipe.db")
    for name, said in (
        ("directory.db", "a directory"),
        ("empty.db", "NeuronDB"),
        ("text.db", "SQLite"),
        ("pipe.db", "no file"),
        ("none.db", "no database"),
        ("text.db/x.db", "no database|cannot read"),
    ):
        with pytest.raises(DatabaseError, match=said) as caught:
            database.open_existing(str(tmp_path / name))
        assert name in str(caught.value)
    assert not (tmp_path / "none.db").exists()


def test_a_database_that_could_not_be_made_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_engine: object) -> None:
        raise DatabaseError("the disk is full")

    monkeypatch.setattr(migrate, "upgrade", full)
    with pytest.raises(DatabaseError, match="the disk is full"):
        migrate.create_or_open(str(tmp_path / "x.db"))
    assert in_it(tmp_path) == []


@pytest.mark.parametrize("finished", [True, False], ids=["made", "being made"])
def test_a_database_that_another_process_makes_at_the_same_time_stays(
    finished: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "x.db"
    opened: list[sqlite3.Connection] = []

    def is_interrupted(_engine: Engine) -> None:
        opened.append(sqlite_files.open_file(path, "mode=rw", isolation_level=None))
        opened[0].execute("BEGIN IMMEDIATE")
        opened[0].execute("CREATE TABLE theirs (x)")
        if finished:
            opened[0].execute("COMMIT")
        raise KeyboardInterrupt

    monkeypatch.setattr(migrate, "upgrade", is_interrupted)
    with pytest.raises(KeyboardInterrupt):
        migrate.create_or_open(str(path))
    if not finished:
        opened[0].execute("COMMIT")
    opened[0].close()
    with closing(sqlite3.connect(path)) as found:
        assert found.execute("SELECT name FROM sqlite_master").fetchall() == [("theirs",)]


@pytest.mark.parametrize("wal", [True, False])
def test_a_file_that_takes_the_place_of_another_is_the_one_that_is_asked(
    wal: bool, sample: Sample, tmp_path: Path
) -> None:
    path, other = tmp_path / "x.db", tmp_path / "other.db"
    for file, name in ((path, "before"), (other, "after")):
        shutil.copy(sample.path, file)
        with closing(sqlite3.connect(file)) as connection:
            connection.execute(f"PRAGMA journal_mode = {'wal' if wal else 'delete'}")
            connection.execute("UPDATE models SET name = ? WHERE model_id = 1", (name,))
            connection.commit()
    asked = "SELECT name FROM models WHERE model_id = 1"
    for opened in (database.open_existing, database.open_immutable):
        shutil.copy(path, tmp_path / "now.db")
        engine = opened(str(tmp_path / "now.db"))
        assert list(run_sql(engine, asked).rows) == [("before",)]
        shutil.copy(other, tmp_path / "next.db")
        (tmp_path / "next.db").replace(tmp_path / "now.db")
        assert list(run_sql(engine, asked).rows) == [("after",)]
        (tmp_path / "now.db").unlink()
        assert list(run_sql(engine, asked).rows) == [("after",)]
        engine.dispose()
