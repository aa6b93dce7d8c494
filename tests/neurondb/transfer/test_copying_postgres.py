"""Between SQLite and PostgreSQL, both ways: the same rows, references, counters; who reads."""

from pathlib import Path

import pytest
from click.testing import CliRunner
from sqlalchemy import create_engine, make_url

from neurondb.cli import cli
from neurondb.database import NUL_SHOWN, open_existing
from neurondb.errors import DatabaseError, UsageError
from neurondb.find import count
from neurondb.migrate import create_or_open
from neurondb.sql import open_engine, run_sql
from neurondb.transfer import chunks
from neurondb.transfer.copying import copy_into
from neurondb.transfer.databases import open_source
from neurondb.writing.read_role import grant_reading
from tests.support.copies import Failing, InterruptedError_, contents, copy, count_all
from tests.support.ingested import Silent
from tests.support.postgres import need_postgres
from tests.support.sample_facts import Sample

need_postgres()

LLAMA, GPT = "sample-llama", "sample-gpt"
REFERENCES = "SELECT count(*) FROM pg_constraint WHERE contype = 'f'"
INDEXES = "SELECT count(*) FROM pg_indexes WHERE schemaname = 'public'"


def make_database(postgres: str, name: str) -> str:
    engine = create_engine(postgres, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.exec_driver_sql(f"CREATE DATABASE {name}")
    engine.dispose()
    return make_url(postgres).set(database=name).render_as_string()


def ask(url: str, sql: str) -> object:
    engine = create_engine(url)
    with engine.connect() as connection:
        found: object = connection.exec_driver_sql(sql).scalar()
    engine.dispose()
    return found


@pytest.fixture(scope="module")
def copied(sample: Sample, postgres: str) -> str:
    """The sample database in PostgreSQL, by a copy that was stopped twice."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(chunks, "NUMERIC_ROWS", 700)
        for chunks_left in (3, 90):
            with open_source(str(sample.path)) as source, pytest.raises(InterruptedError_):
                copy_into(Failing(source, chunks_left), postgres, Silent())
            with pytest.raises(DatabaseError, match="half of a copy"):
                open_existing(postgres)
        copy(str(sample.path), postgres)
    return postgres


def test_there_and_back_is_the_same(sample: Sample, copied: str, tmp_path: Path) -> None:
    file = tmp_path / "back.db"
    assert count_all(copied) == count_all(str(sample.path))
    copy(copied, str(file))
    found, expected = contents(file), contents(sample.path)
    for name, rows in expected.items():
        shown = [
            tuple(v.replace("\0", NUL_SHOWN) if isinstance(v, str) else v for v in row)
            for row in rows
        ]
        assert found[name] == sorted(shown, key=repr), name


def test_references_indexes_and_counters_are_there(copied: str, postgres: str) -> None:
    fresh = make_database(postgres, "fresh")
    create_or_open(fresh).dispose()
    for question in (REFERENCES, INDEXES):
        assert ask(copied, question) == ask(fresh, question)
    last = ask(copied, "SELECT max(set_id) FROM neuron_sets")
    assert ask(copied, "SELECT nextval('neuron_sets_set_id_seq')") == int(str(last)) + 1


def test_a_model_comes_beside_another(sample: Sample, copied: str, postgres: str) -> None:
    url = make_database(postgres, "beside")
    copy(str(sample.path), url, GPT)
    copy(copied, url, LLAMA)  # from PostgreSQL to PostgreSQL
    with open_engine(url) as one, open_engine(str(sample.path)) as other:
        for expression in ("weakening", "freq>0.3 layer>=1", "token=' dog'", "text~'the'"):
            assert count(one, expression) == count(other, expression), expression
    with pytest.raises(DatabaseError, match=f"has {LLAMA} already"):
        copy(str(sample.path), url, LLAMA)


HOSTILE = (
    "DELETE FROM neurons RETURNING 1",
    "WITH gone AS (DELETE FROM neurons RETURNING 1) SELECT * FROM gone",
    "COMMIT; CREATE TABLE hole (a int); SELECT 1",
    "SELECT 1; COMMIT; CREATE TABLE hole (a int)",
    "SHOW work_mem; COMMIT; CREATE TABLE hole (a int); SELECT 1",
    "COPY (SELECT 1) TO PROGRAM 'cat'",
    "COPY neurons FROM PROGRAM 'cat'",
    "EXPLAIN ANALYZE DELETE FROM neurons",
    "SELECT nextval('neuron_sets_set_id_seq')",
    "SELECT set_config('transaction_read_only', 'off', true)",
    "SELECT * INTO hole FROM neurons",
    "SET ROLE none",
)
"""Refused by the transaction, whoever asks."""
OF_SUPERUSERS = (
    "SELECT pg_read_file('PG_VERSION')",
    "SELECT query_to_xml('SELECT pg_read_file(''PG_VERSION'')', true, true, '')",
    "SELECT pg_ls_dir('.')",
    "SELECT lo_import('PG_VERSION')",
    "SELECT pg_reload_conf()",
    "SELECT set_config('role', 'none', true), query_to_xml('TABLE pg_authid', true, true, '')",
    "SELECT rolpassword FROM pg_authid",
)
"""Refused to the role that reads, for which a read-only transaction is not enough."""


@pytest.mark.parametrize("statement", HOSTILE)
def test_a_statement_cannot_write(copied: str, statement: str) -> None:
    with open_engine(copied) as engine, pytest.raises(DatabaseError):
        list(run_sql(engine, statement).rows)
    assert ask(copied, "SELECT to_regclass('hole')") is None


def test_a_role_reads_and_does_nothing_else(copied: str) -> None:
    command = ["upgrade", "--db", copied, "--read-role", "reader"]
    done = CliRunner().invoke(cli, command)
    assert done.exit_code == 0, done.output
    assert "cannot log in yet" in done.stderr
    assert "cannot log in yet" not in CliRunner().invoke(cli, command).stderr
    engine = create_engine(copied, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.exec_driver_sql("ALTER ROLE reader LOGIN")
    engine.dispose()
    reader = make_url(copied).set(username="reader").render_as_string()
    with open_engine(reader) as one, open_engine(copied) as other:
        assert count(one, "weakening") == count(other, "weakening") > 0
        for sql in ("SELECT count(*) FROM top_tokens", "TABLE rw_classes", "EXPLAIN SELECT 1"):
            assert list(run_sql(one, sql).rows)
        for statement in (*HOSTILE, *OF_SUPERUSERS):
            with pytest.raises(DatabaseError):
                list(run_sql(one, statement).rows)


def test_roles_that_may_more_and_sqlite_are_refused(copied: str, sample: Sample) -> None:
    engine = create_engine(copied)
    with pytest.raises(DatabaseError, match="may do more than read"):
        grant_reading(engine, str(ask(copied, "SELECT current_user")))
    with engine.begin() as connection:
        connection.exec_driver_sql("CREATE ROLE writer")
        connection.exec_driver_sql("GRANT INSERT ON texts TO writer")
    with pytest.raises(DatabaseError, match="may write to texts"):
        grant_reading(engine, "writer")
    with pytest.raises(UsageError, match="lower-case"):
        grant_reading(engine, 'x"; DROP ROLE writer')
    engine.dispose()
    file = create_engine(f"sqlite:///{sample.path}")
    with pytest.raises(UsageError, match="SQLite knows no roles"):
        grant_reading(file, "reader")
    file.dispose()


def test_a_password_is_in_no_message(sample: Sample, postgres: str) -> None:
    url = make_url(make_database(postgres, "secretive")).set(password="hunter2")
    to = url.render_as_string(hide_password=False)
    done = CliRunner().invoke(cli, ["copy", str(sample.path), to, "--model", GPT])
    assert done.exit_code == 0, done.output
    assert "copied 1 model to postgresql+psycopg://" in done.stderr
    assert "hunter2" not in done.output
