"""`neurondb check --repair`: what follows from the rows is built again, the rows stay."""

import os
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import pytest
from click.testing import CliRunner

from neurondb.cli import cli
from neurondb.database import open_existing
from neurondb.errors import DatabaseError
from neurondb.phrases import parse_search
from neurondb.reading.integrity import find_problems
from neurondb.reading.models import open_readonly
from neurondb.reading.text_search import count_texts
from neurondb.writing.repair import repair
from tests.support.rows import all_rows
from tests.support.sample_facts import Sample

DAMAGE = """
DROP TRIGGER texts_au;
UPDATE texts SET text = 'a quokka' WHERE text_id = 2;
DROP TABLE annotations_fts;
DROP INDEX ix_top_token_rows_token;
CREATE TABLE gone (x);
INSERT INTO gone SELECT randomblob(5000000);
DROP TABLE gone;
"""
INDEX = "ix_top_token_rows_token"


@pytest.fixture
def file(sample: Sample, tmp_path: Path) -> Path:
    path = Path(shutil.copy(sample.path, tmp_path / "open.db"))
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(DAMAGE)
    return path


def problems(path: Path) -> list[str]:
    with open_readonly(str(path)) as connection:
        return [problem.what for problem in find_problems(connection)]


def test_a_damaged_database_is_whole_again(file: Path) -> None:
    before, size = all_rows(file), file.stat().st_size
    assert len(problems(file)) == 3

    said = "\n".join(repair(str(file)))

    assert problems(file) == []
    assert all_rows(file) == before
    assert re.search(r"index of texts.*\n.*index of annotations.*\n.*" + INDEX, said)
    assert "gave back" in said
    assert file.stat().st_size < size - 4_000_000
    with open_readonly(str(file)) as connection:
        assert count_texts(connection, parse_search("quokka")) == 1


def test_a_whole_database_has_nothing_rebuilt(file: Path) -> None:
    list(repair(str(file)))
    assert len(list(repair(str(file)))) == 1  # statistics


def test_the_command_says_what_it_did_and_what_is_left(file: Path) -> None:
    told = CliRunner().invoke(cli, ["check", "--db", str(file)])
    assert told.exit_code == 1
    assert told.stdout.count("check --repair") == 3
    done = CliRunner().invoke(cli, ["check", "--repair", "--db", str(file)])
    assert done.exit_code == 0
    assert "rebuilt the full-text index of texts" in done.stderr
    assert "whole" in done.stderr.splitlines()[-1]
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("DELETE FROM neurons WHERE neuron_id = 5")
        connection.commit()
    left = CliRunner().invoke(cli, ["check", "--repair", "--db", str(file)])
    assert left.exit_code == 1


def test_a_file_that_cannot_be_written_is_one_line(file: Path, tmp_path: Path) -> None:
    with pytest.raises(DatabaseError, match="no database at"):
        list(repair(str(tmp_path / "none.db")))
    with closing(sqlite3.connect(file)) as other, pytest.MonkeyPatch.context() as patch:
        patch.setattr("neurondb.database.BUSY_TIMEOUT_S", 0.1)
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(DatabaseError, match="locked"):
            list(repair(str(file)))


def test_a_read_only_file_is_checked_as_any_other(file: Path) -> None:
    list(repair(str(file)))
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("PRAGMA journal_mode = DELETE")
    file.chmod(0o444)
    before = file.read_bytes()
    assert problems(file) == []
    with open_existing(str(file)).connect() as connection:
        assert count_texts(connection, parse_search("quokka")) == 1
    assert file.read_bytes() == before


@pytest.fixture
def large(file: Path) -> Path:
    """Texts enough for a rebuild to take seconds."""
    with closing(sqlite3.connect(file)) as connection:
        connection.executescript("DROP TRIGGER texts_ai; DROP TRIGGER texts_ad")
        words = " ".join(f"word{number}" for number in range(2000))
        rows = [(100 + n, 1, 100 + n, f"{n} {words}") for n in range(2000)]
        connection.executemany(
            "INSERT INTO texts (text_id, dataset_id, ordinal, text) VALUES (?, ?, ?, ?)", rows
        )
        connection.commit()
    return file


def start(path: Path) -> "subprocess.Popen[str]":
    command = [sys.executable, "-m", "neurondb", "check", "--repair", "--db", str(path)]
    return subprocess.Popen(command, stderr=subprocess.PIPE, text=True)


def wait_for_the_log(path: Path) -> None:
    """Wait until the rebuild has begun to write."""
    log, until = Path(f"{path}-wal"), time.monotonic() + 60
    while time.monotonic() < until and not (log.exists() and log.stat().st_size > 1_000_000):
        time.sleep(0.01)


def test_a_kill_in_the_middle_leaves_a_whole_database(large: Path) -> None:
    rows = all_rows(large)
    running = start(large)
    wait_for_the_log(large)
    os.kill(running.pid, signal.SIGKILL)
    running.communicate()
    with closing(sqlite3.connect(large)) as connection:
        assert connection.execute("PRAGMA quick_check").fetchall() == [("ok",)]
    assert all_rows(large) == rows
    list(repair(str(large)))
    assert problems(large) == []


def test_ctrl_c_in_the_middle_is_one_line(large: Path) -> None:
    running = start(large)
    wait_for_the_log(large)
    os.kill(running.pid, signal.SIGINT)
    _, said = running.communicate()
    assert running.returncode == 130, said
    assert said.splitlines()[-1] == "neurondb: interrupted"
    list(repair(str(large)))
    assert problems(large) == []
