"""The stage `vocab` killed, out of disk, locked out: the same command makes it whole."""

import contextlib
import random
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from ingest.bundled import model_directory
from neurondb.contracts.ingest import IngestRequest
from neurondb.contracts.registry import load_job
from tests.support.ingested import Silent

TABLES = (
    *("tokens", "top_token_rows", "vocab_stat_rows", "double_checking", "lm_head_tokens"),
    *("properties", "token_property_rows", "property_effects", "logit_effect_rows"),
)
LAYERS = 6
PATIENCE_S = 120


@pytest.fixture(scope="module")
def request_(tmp_path_factory: pytest.TempPathFactory) -> IngestRequest:
    """The bundled model, whose weights are stored; its vocabulary is asked for."""
    database = tmp_path_factory.mktemp("killed") / "weights.db"
    asked = IngestRequest(
        str(model_directory()), str(database), name="b", stages=("weights",), device="cpu"
    )
    load_job("ingest")(asked, Silent())
    return replace(asked, stages=("vocab",))


def into(request: IngestRequest, database: Path) -> IngestRequest:
    """The same request, to a copy of its database."""
    shutil.copy(str(request.database), database)
    return replace(request, database=str(database))


def started(request: IngestRequest) -> subprocess.Popen[str]:
    command = ["ingest", request.model, "--name", "b", "--stages", "vocab", "--device", "cpu"]
    return subprocess.Popen(
        [sys.executable, "-m", "neurondb", *command, "--db", str(request.database)],
        stderr=subprocess.PIPE,
        text=True,
    )


def steps(request: IngestRequest, stage: str) -> int:
    with contextlib.closing(sqlite3.connect(str(request.database), timeout=60)) as connection:
        sql = "SELECT count(*) FROM ingest_steps WHERE stage = ?"
        return int(connection.execute(sql, (stage,)).fetchone()[0])


def wait(holds: Callable[[], bool]) -> float:
    """Wait until something holds; return when it did."""
    deadline = time.monotonic() + PATIENCE_S
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.005)
    return time.monotonic()


@pytest.fixture(scope="module")
def whole(
    request_: IngestRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[IngestRequest, float]:
    """An uninterrupted run, and the seconds that a layer takes."""
    asked = into(request_, tmp_path_factory.mktemp("whole") / "n.db")
    with started(asked) as process:
        begun = wait(lambda: steps(asked, "tokens") == 1)
        ended = wait(lambda: steps(asked, "vocab") == LAYERS)
        assert process.wait(PATIENCE_S) == 0
    return asked, (ended - begun) / LAYERS


def differences(one: IngestRequest, other: IngestRequest) -> dict[str, int]:
    """Count the rows of each table that only one of two databases has."""
    with contextlib.closing(sqlite3.connect(str(one.database))) as connection:
        connection.execute("ATTACH ? AS other", (str(other.database),))
        found = {}
        for table in TABLES:
            mine, theirs = (f"SELECT * FROM {where}.{table}" for where in ("main", "other"))
            sql = f"SELECT count(*) FROM ({mine} EXCEPT {theirs})"
            (n,) = connection.execute(sql).fetchone()
            (m,) = connection.execute(
                f"SELECT abs((SELECT count(*) FROM main.{table}) - count(*)) FROM other.{table}"
            ).fetchone()
            found[table] = n + m
    return found


def whole_layers(request: IngestRequest) -> int:
    """Return how many layers have rows, which all tables must agree on; the file must be sound."""
    with contextlib.closing(sqlite3.connect(str(request.database))) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        counts = {
            int(n)
            for table in TABLES[1:5]
            for n in connection.execute(
                f"SELECT count(DISTINCT layer) FROM {table} JOIN neurons USING (neuron_id)"
            ).fetchone()
        }
    (n,) = counts
    return n


def indexes(request: IngestRequest) -> set[str]:
    with contextlib.closing(sqlite3.connect(str(request.database))) as connection:
        return {r[0] for r in connection.execute("SELECT sql FROM sqlite_schema") if r[0]}


@pytest.mark.slow
@pytest.mark.parametrize("n_done", [0, 1, 2, 3, 5])
def test_a_kill_at_any_moment_changes_nothing_in_the_end(
    request_: IngestRequest, whole: tuple[IngestRequest, float], tmp_path: Path, n_done: int
) -> None:
    uninterrupted, seconds_a_layer = whole
    asked = into(request_, tmp_path / "n.db")
    draw = random.Random(n_done)
    with started(asked) as process:
        wait(lambda: steps(asked, "tokens") == 1 and steps(asked, "vocab") >= n_done)
        time.sleep(draw.random() * seconds_a_layer)
        process.send_signal(signal.SIGKILL)
    n_stored = steps(asked, "vocab")
    assert n_done <= n_stored == whole_layers(asked)
    report = load_job("ingest")(asked, Silent())
    assert report.skipped.get("vocab", 0) == n_stored
    assert differences(asked, uninterrupted) == dict.fromkeys(TABLES, 0)
    assert indexes(asked) == indexes(uninterrupted)


FULL = """
import sys
import neurondb.cli, neurondb.database as database
prepare, pages = database._prepare_writing, int(sys.argv.pop(1))
def small(connection, record):
    prepare(connection, record)
    connection.execute(f"PRAGMA max_page_count = {pages}")
database._prepare_writing = small
neurondb.cli.main()
"""
"""A database that may have so many pages, as on a full disk."""


def ends(process: subprocess.Popen[str]) -> tuple[int, list[str]]:
    """Return the exit code of a command and what it said in the end, after a while at most."""
    _, said = process.communicate(timeout=PATIENCE_S)
    return process.returncode, [line for line in said.splitlines() if "neurondb:" in line]


@pytest.mark.slow
@pytest.mark.parametrize("share", [0.2, 0.5, 0.8])
def test_a_full_disk_is_one_line_and_leaves_whole_layers(
    request_: IngestRequest, whole: tuple[IngestRequest, float], tmp_path: Path, share: float
) -> None:
    uninterrupted, _ = whole
    asked = into(request_, tmp_path / "n.db")
    before, after = (Path(str(one.database)).stat().st_size for one in (asked, uninterrupted))
    pages = int(before + share * (after - before)) // 4096
    command = ["ingest", asked.model, "--name", "b", "--stages", "vocab", "--device", "cpu"]
    process = subprocess.Popen(
        [sys.executable, "-c", FULL, str(pages), *command, "--db", str(asked.database)],
        stderr=subprocess.PIPE,
        text=True,
    )
    code, said = ends(process)
    assert code == 1
    assert len(said) == 1
    assert re.search(r"\bdisk\b.* full\b", said[0])
    n_stored = steps(asked, "vocab")
    assert whole_layers(asked) == n_stored
    assert n_stored < LAYERS or share > 0.5  # there was room for all but the index
    load_job("ingest")(asked, Silent())
    assert differences(asked, uninterrupted) == dict.fromkeys(TABLES, 0)
    assert indexes(asked) == indexes(uninterrupted)


@pytest.mark.slow
def test_a_lock_is_one_line_and_leaves_whole_layers(
    request_: IngestRequest,
    whole: tuple[IngestRequest, float],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    uninterrupted, _ = whole
    asked = into(request_, tmp_path / "n.db")
    monkeypatch.setenv("NEURONDB_BUSY_TIMEOUT", "0.2")
    with contextlib.closing(sqlite3.connect(str(asked.database), timeout=60)) as other:
        process = started(asked)
        wait(lambda: steps(asked, "vocab") >= 1)
        other.isolation_level = None
        other.execute("BEGIN IMMEDIATE")
        code, said = ends(process)
        other.execute("ROLLBACK")
    assert code == 1
    assert len(said) == 1
    assert re.search(r"\blocked\b.* 0\.2 s\b", said[0])
    assert whole_layers(asked) == steps(asked, "vocab") < LAYERS
    load_job("ingest")(asked, Silent())
    assert differences(asked, uninterrupted) == dict.fromkeys(TABLES, 0)
