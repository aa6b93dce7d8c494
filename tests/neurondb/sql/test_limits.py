"""What a statement may cost, in a terminal and on the site."""

import shutil
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from functools import partial
from pathlib import Path

import pytest
from sqlalchemy import Engine

from neurondb.errors import DatabaseError
from neurondb.sql import open_engine, run_sql
from neurondb.sql.limits import LONGEST_VALUE, MOST_FETCHED, LimitedConnection
from tests.support.sample_facts import Sample

ENDLESS = "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c) SELECT {} FROM c"


@pytest.mark.parametrize(
    "made",
    [
        "randomblob(1000000000)",
        "zeroblob(1000000000)",
        f"hex(zeroblob({LONGEST_VALUE // 2 + 1}))",
        "printf('%1000000000d', 1)",
        "replace(hex(zeroblob(1000)), '0', hex(zeroblob(5000)))",
    ],
)
def test_a_value_that_is_too_long_is_not_made(made: str, sample_engine: Engine) -> None:
    started = time.monotonic()
    with pytest.raises(DatabaseError, match="10 MB"):
        list(run_sql(sample_engine, f"SELECT length({made})").rows)
    assert time.monotonic() - started < 20


def test_values_up_to_the_limit_pass(sample_engine: Engine) -> None:
    asked = f"SELECT hex(zeroblob({LONGEST_VALUE // 2 - 100})) AS v"
    ((value,),) = run_sql(sample_engine, asked).rows
    assert len(value) == LONGEST_VALUE - 200


def test_an_endless_statement_is_given_up(sample_engine: Engine) -> None:
    impatient = sample_engine.execution_options(time_limit_s=0.3)
    with pytest.raises(DatabaseError, match=r"0\.3 s"):
        list(run_sql(impatient, ENDLESS.format("count(*)")).rows)
    with pytest.raises(DatabaseError, match=r"0\.3 s"):
        for _ in run_sql(impatient, ENDLESS.format("x")).rows:
            pass


def test_a_connection_that_gave_up_often_runs_what_comes_next(sample: Sample) -> None:
    """Whatever is sent to restore it must not be given up as well."""
    with open_engine(sample.url) as engine:
        hasty = engine.execution_options(time_limit_s=1e-9)
        for _ in range(100):
            with pytest.raises(DatabaseError, match="1e-09 s"):
                list(run_sql(hasty, ENDLESS.format("count(*)")).rows)
            with engine.connect() as connection:
                asked = f"SELECT count(*) FROM ({ENDLESS.format('x')} LIMIT 1000)"
                assert connection.exec_driver_sql(asked).scalar() == 1000


def test_whoever_takes_the_rows_may_be_slow(sample_engine: Engine) -> None:
    impatient = sample_engine.execution_options(time_limit_s=2.0)
    taken = run_sql(impatient, f"{ENDLESS.format('x')} LIMIT 3000").rows
    next(taken)
    time.sleep(2.5)
    assert len(list(taken)) == 2999


def test_limits_are_lifted_for_what_is_asked_next(sample_engine: Engine) -> None:
    list(run_sql(sample_engine, "SELECT 1").rows)
    with sample_engine.connect() as connection:
        asked = f"SELECT length(zeroblob({LONGEST_VALUE * 2}))"
        assert connection.exec_driver_sql(asked).scalar() == LONGEST_VALUE * 2


# --- the connections of Datasette --------------------------------------------------------------


@pytest.fixture
def bounded() -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(":memory:", factory=LimitedConnection)) as connection:
        yield connection


def test_a_refusal_is_not_said_of_a_later_statement(bounded: sqlite3.Connection) -> None:
    other = "SELECT instr(CAST(x'ff' AS TEXT), 'a')"
    for asked, said in [("SELECT median('word')", "takes numbers"), (other, "raised exception")]:
        with pytest.raises(sqlite3.OperationalError, match=said):
            bounded.execute(asked).fetchall()


@pytest.mark.parametrize("fetch", ["fetchall", "fetchmany"])
def test_an_answer_fits_into_memory(fetch: str, bounded: sqlite3.Connection) -> None:
    n_rows = MOST_FETCHED // 1_000_000 + 2
    rows = f"{ENDLESS.format('zeroblob(1000000)')} LIMIT {{}}"
    cursor = bounded.execute(rows.format(n_rows))
    taken = partial(cursor.fetchmany, n_rows) if fetch == "fetchmany" else cursor.fetchall
    with pytest.raises(sqlite3.OperationalError, match="memory"):
        taken()
    assert len(bounded.execute(rows.format(n_rows - 4)).fetchall()) == n_rows - 4


def test_rows_come_as_they_do_elsewhere(bounded: sqlite3.Connection) -> None:
    three = "SELECT 1 AS a, 'b' AS b UNION ALL SELECT 2, NULL UNION ALL SELECT 3, x'00'"
    cursor = bounded.execute(three)
    assert [column[0] for column in cursor.description] == ["a", "b"]
    assert cursor.fetchmany(2) == [(1, "b"), (2, None)]
    assert cursor.fetchmany(2) == [(3, b"\0")]
    assert cursor.fetchmany(2) == []
    bounded.row_factory = sqlite3.Row
    assert bounded.execute("SELECT 5 AS five").fetchone()["five"] == 5
    assert bounded.execute("SELECT :x", {"x": 7}).fetchall()[0][0] == 7


def test_what_is_too_long_is_an_operational_error(bounded: sqlite3.Connection) -> None:
    with pytest.raises(sqlite3.OperationalError, match="10 MB"):
        bounded.execute("SELECT zeroblob(1000000000)").fetchall()
    with pytest.raises(sqlite3.OperationalError, match="columns"):
        bounded.execute(f"SELECT {', '.join('1' for _ in range(201))}")


def test_the_clock_is_looked_at_often(bounded: sqlite3.Connection) -> None:
    until = time.monotonic() + 0.3
    bounded.set_progress_handler(lambda: time.monotonic() > until, 1_000_000)
    with pytest.raises(sqlite3.OperationalError, match="interrupted"):
        bounded.execute(ENDLESS.format("sum(length(hex(zeroblob(1000000))))")).fetchall()
    assert time.monotonic() - until < 30


def test_a_stored_text_of_a_book_passes(sample_engine: Engine, tmp_path: Path) -> None:
    """A text is stored whole, however few of its tokens are read."""
    path = Path(shutil.copy(str(sample_engine.url.database), tmp_path / "x.db"))
    with closing(sqlite3.connect(path)) as writer:
        book = "word " * 1_800_000
        writer.execute("UPDATE texts SET text = ? WHERE text_id = 1", (book,))
        writer.commit()
    with open_engine(str(path)) as engine:
        rows = list(run_sql(engine, "SELECT text, length(text) FROM texts WHERE text_id = 1").rows)
    assert rows == [(book, len(book))]


# --- all connections of a process --------------------------------------------------------------

MANY_CACHES = """
import sqlite3, sys
from neurondb.sql import limits

limits.MOST_MEMORY //= 64
limits.MOST_CACHED //= 64
limits.limit_memory()
connections = [sqlite3.connect(sys.argv[1]) for _ in range(5)]
for connection in connections:
    connection.execute("PRAGMA cache_size = -30000")
    print(connection.execute("SELECT sum(length(x)) FROM t").fetchone()[0])
ordered = connections[0].execute("SELECT x FROM t ORDER BY random() LIMIT 2000").fetchall()
print(len(ordered))
"""
"""Each of the connections may keep as much as the whole process may have, which is the 64th."""


def test_caches_leave_room_for_what_statements_need(tmp_path: Path) -> None:
    """The limit holds for a whole process, so that another one tries it."""
    with closing(sqlite3.connect(tmp_path / "t.db")) as connection:
        connection.execute("CREATE TABLE t (x)")
        connection.executemany("INSERT INTO t VALUES (zeroblob(3000))", [()] * 8000)
        connection.commit()
    ran = subprocess.run(
        [sys.executable, "-c", MANY_CACHES, str(tmp_path / "t.db")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.stdout.split() == ["24000000"] * 5 + ["2000"], ran.stderr
