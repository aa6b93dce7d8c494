"""Plain SQL: reading works and streams, writing of any kind is refused."""

import hashlib
import os
import signal
import sqlite3
import threading
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, event

from neurondb.database import connect, parse_url
from neurondb.errors import DatabaseError
from neurondb.sql import aggregates, open_engine, run_sql
from neurondb.sql.limits import LONGEST_VALUE, ConnectionLimits
from neurondb.sql.running import ReadOnlyAuthorizer
from tests.support.sample_facts import Sample

WRITES = [
    ("DELETE FROM neurons", "DELETE.*neurons"),
    ("INSERT INTO models SELECT * FROM models", "INSERT.*models"),
    ("REPLACE INTO texts VALUES (1, 1, 1, 'x')", "INSERT.*texts"),
    ("WITH x AS (SELECT 1) UPDATE neurons SET sign = 1", "UPDATE.*neurons"),
    ("DROP TABLE neurons", "schema"),
    ("DROP VIEW neuron_overview", "schema"),
    ("CREATE TABLE mine (a)", "schema"),
    ("CREATE TEMP TABLE mine (a)", "schema"),
    ("CREATE INDEX mine ON neurons (sign)", "schema"),
    ("ALTER TABLE neurons ADD COLUMN mine", "schema"),
    ("CREATE TRIGGER t AFTER INSERT ON neurons BEGIN SELECT 1; END", "schema"),
    ("PRAGMA query_only = OFF", "PRAGMA query_only"),
    ("PRAGMA user_version = 5", "PRAGMA user_version"),
    ("PRAGMA wal_checkpoint", "PRAGMA wal_checkpoint"),
    ("ATTACH 'other.db' AS other", r"ATTACH.*other\.db"),
    ("BEGIN IMMEDIATE", "BEGIN.*transaction"),
    ("COMMIT", "COMMIT"),
    ("SAVEPOINT s", "savepoint"),
    ("ANALYZE", "ANALYZE"),
    ("REINDEX", "REINDEX"),
    ("SELECT load_extension('x')", "load_extension"),
]


@pytest.fixture(params=[False, True], ids=["reading engine", "writing engine"])
def any_engine(request: pytest.FixtureRequest, sample: Sample) -> Engine:
    return connect(parse_url(sample.url), writing=request.param)


def fingerprint(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.mark.parametrize(("sql", "tried"), WRITES, ids=[sql for sql, _ in WRITES])
def test_writing_is_refused_and_named(
    any_engine: Engine, sample: Sample, sql: str, tried: str
) -> None:
    before = fingerprint(sample.path)
    with pytest.raises(DatabaseError, match=f"read-only.*{tried}"):
        run_sql(any_engine, sql)
    any_engine.dispose()
    assert fingerprint(sample.path) == before


@pytest.mark.parametrize(
    "sql", ["VACUUM", "VACUUM INTO 'copy.db'", "UPDATE sqlite_master SET sql=''"]
)
def test_what_the_guard_need_not_see_fails_too(
    any_engine: Engine, sample: Sample, sql: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    before = fingerprint(sample.path)
    with pytest.raises(DatabaseError):
        run_sql(any_engine, sql)
    any_engine.dispose()
    assert fingerprint(sample.path) == before
    assert not list(tmp_path.iterdir())


def test_the_engine_can_write_again_afterwards(tmp_path: Path) -> None:
    engine = connect(parse_url(str(tmp_path / "new.db")), writing=True)
    assert list(run_sql(engine, "SELECT 1").rows) == [(1,)]
    with engine.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE mine (a)")
    assert list(run_sql(engine, "SELECT * FROM mine").rows) == []
    engine.dispose()


@pytest.mark.parametrize(
    "sql",
    [
        "PRAGMA table_info(models)",
        "SELECT name FROM pragma_table_info('models')",
        "SELECT value FROM json_each('[1, 2]')",
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 5) SELECT i FROM n",
        "EXPLAIN QUERY PLAN SELECT * FROM neuron_overview",
        "VALUES (1), (2)",
        "SELECT ':not a parameter', 12 -- nor :this",
    ],
)
def test_reading_of_every_kind_works(sample_engine: Engine, sql: str) -> None:
    assert list(run_sql(sample_engine, sql).rows)


@pytest.mark.parametrize(
    ("sql", "said"),
    [
        ("SELEC 1", "SELEC"),
        ("SELECT * FROM nowhere", "nowhere$"),
        ("SELECT * FROM nuerons", "'neurons'"),
        ("SELECT * FROM main.neuron_overveiw", "'neuron_overview'"),
        ("SELECT o.nmae FROM neuron_overview o", "'name'"),
        ("SELECT fre FROM neuron_overview JOIN models USING (name)", "'freq'"),
        ("SELECT nmae FROM (SELECT 1 AS x)", "no such column: nmae$"),
        ("SELECT 1; SELECT 2", "one statement"),
        ("SELECT :a", "a=VALUE"),
        ("", "no rows"),
        ("SELECT '\0'", "cannot be run"),
    ],
)
def test_mistakes_are_told_in_a_line(sample_engine: Engine, sql: str, said: str) -> None:
    with pytest.raises(DatabaseError, match=said) as caught:
        run_sql(sample_engine, sql)
    assert "\n" not in str(caught.value)


def test_a_repeated_column_gets_a_number(sample_engine: Engine) -> None:
    rows = run_sql(sample_engine, "SELECT 1 AS a, 2 AS a_2, 3 AS a, 4 AS a")
    assert len(set(rows.columns)) == 4
    assert rows.columns[:2] == ("a", "a_2")


ENDLESS = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT i FROM n"


def test_rows_come_before_the_statement_ends(sample_engine: Engine) -> None:
    rows = run_sql(sample_engine, ENDLESS).rows
    assert [next(rows) for _ in range(2500)] == [(i + 1,) for i in range(2500)]
    rows.close()  # type: ignore[attr-defined]
    assert list(run_sql(sample_engine, "SELECT 1").rows) == [(1,)]


def test_rows_dropped_unread_let_go_of_the_connection(tmp_path: Path) -> None:
    engine = connect(parse_url(str(tmp_path / "new.db")), writing=True)
    assert run_sql(engine, "SELECT 1 AS a").columns == ("a",)
    with engine.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE mine (a)")
    engine.dispose()


@pytest.mark.parametrize("left", ["dropped", "failed", "all read"])
def test_a_statement_ends_before_its_connection_is_another_thread_s(
    sample: Sample, left: str
) -> None:
    """SQLite defines no function anew while a statement runs, which tells whether one does."""
    refused: list[str] = []

    def define(connection: sqlite3.Connection, *_: object) -> None:
        try:
            connection.create_function("probe", 0, lambda: 1)
        except sqlite3.OperationalError as error:
            refused.append(str(error))

    overflows = "CASE x WHEN 2000 THEN abs(-9223372036854775808) ELSE x END"
    shown = overflows if left == "failed" else "x"
    counted = f"WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c) SELECT {shown}"
    with open_engine(sample.url) as engine:
        event.listen(engine, "checkout", define)
        event.listen(engine, "checkin", define)
        rows = run_sql(engine, f"{counted} FROM c LIMIT 3000").rows
        assert next(rows) == (1,)
        if left != "dropped":
            with pytest.raises(DatabaseError) if left == "failed" else nullcontext():
                list(rows)
        del rows
    assert refused == []


def test_ctrl_c_stops_a_statement_that_yields_nothing(sample_engine: Engine) -> None:
    sqlite3.enable_callback_tracebacks(False)  # which Datasette's import turns on
    # Where the tests were started in the background, Ctrl-C is ignored.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    interrupt = threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT))
    interrupt.start()
    with pytest.raises(KeyboardInterrupt):
        list(run_sql(sample_engine, f"SELECT COUNT(*) FROM ({ENDLESS})").rows)
    interrupt.cancel()
    signal.signal(signal.SIGINT, before)


@pytest.mark.parametrize("method", ["__init__", "step", "_compute"])
def test_ctrl_c_in_an_aggregate_is_no_error_of_the_statement(
    sample_engine: Engine, method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(aggregates._Median, method, interrupt)
    with pytest.raises(KeyboardInterrupt):
        list(run_sql(sample_engine, "SELECT median(layer) FROM neurons").rows)


@pytest.mark.parametrize(
    "action", [sqlite3.SQLITE_SELECT, sqlite3.SQLITE_READ, sqlite3.SQLITE_FUNCTION]
)
def test_ctrl_c_in_the_authorizer_is_one_whatever_it_is_asked_about(
    sample_engine: Engine, action: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(asked: int, *_: object) -> bool:
        if asked == action:
            raise KeyboardInterrupt
        return True

    monkeypatch.setattr(ReadOnlyAuthorizer, "_allows", staticmethod(interrupt))
    with pytest.raises(KeyboardInterrupt):
        list(run_sql(sample_engine, "SELECT max(layer) FROM neurons").rows)


@pytest.mark.parametrize("method", ["__init__", "lift"])
def test_ctrl_c_leaves_no_limits_for_what_comes_next(
    sample: Sample, method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may fall into the limits' being set, and into their being lifted."""
    done = getattr(ConnectionLimits, method)

    def interrupt(*arguments: Any) -> None:
        if method == "__init__":
            done(*arguments)
        raise KeyboardInterrupt

    with open_engine(sample.url) as engine:
        with monkeypatch.context() as patch:
            patch.setattr(ConnectionLimits, method, interrupt)
            with pytest.raises(KeyboardInterrupt):
                list(run_sql(engine, "SELECT 1").rows)
        with engine.connect() as connection:
            asked = f"SELECT length(zeroblob({LONGEST_VALUE * 2}))"
            assert connection.exec_driver_sql(asked).scalar() == LONGEST_VALUE * 2


def test_guard_denies_what_it_does_not_know() -> None:
    guard = ReadOnlyAuthorizer()
    assert guard(9999, None, None, None, None) != 0
    assert guard.refused is not None
