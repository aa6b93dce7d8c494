"""A PostgreSQL server of the tests' own, on a socket in a temporary directory.

A test module that uses the fixture of `tests/conftest.py` calls `need_postgres` at its top: it is
skipped as one where PostgreSQL or its driver is missing, or fails with NEURONDB_REQUIRE_ALL=1.
"""

import importlib.util
import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final
from uuid import uuid4

from sqlalchemy import URL, create_engine

from tests.support.absent import absent

DEBIANS: Final = Path("/usr/lib/postgresql")
SERVANT: Final = "postgres"
"""Who runs the server where the tests run as root, whom PostgreSQL refuses."""
ENOUGH: Final = ("-c fsync=off", "-c listen_addresses=''", "-c shared_buffers=64MB")


def need_postgres() -> None:
    """Skip the module that calls this at its top, as one, where something is missing."""
    if importlib.util.find_spec("psycopg") is None:
        absent("psycopg is not installed: pip install 'neurondb[postgres]'")
    if _programs() is None:
        absent("no PostgreSQL on this machine: these tests keep a database in it")


def _programs() -> Path | None:
    on_path = shutil.which("initdb")
    if on_path is not None:
        return Path(on_path).parent
    found = sorted(DEBIANS.glob("*/bin/initdb"))
    return found[-1].parent if found else None


@contextmanager
def _running(programs: Path, directory: Path) -> Iterator[str]:
    """Make a cluster, start it, and yield the user who owns it."""
    user = pwd.getpwuid(os.getuid()).pw_name
    sudo: list[str] = []
    if os.getuid() == 0:
        user, sudo = SERVANT, ["runuser", "-u", SERVANT, "--"]
        shutil.chown(directory, SERVANT)
    data = directory / "data"

    def run(program: str, *arguments: str) -> None:
        command = [*sudo, str(programs / program), "-D", str(data), *arguments]
        subprocess.run(command, check=True, capture_output=True, cwd=directory)

    run("initdb", "-U", user, "-A", "trust", "-E", "UTF8", "--no-sync")
    options = " ".join((f"-k {directory}", *ENOUGH))
    run("pg_ctl", "start", "-w", "-l", str(directory / "log"), "-o", options)
    try:
        yield user
    finally:
        run("pg_ctl", "stop", "-m", "immediate")


@contextmanager
def serve_empty_database() -> Iterator[str]:
    """Run a server with an empty database, and yield the database's URL."""
    programs = _programs()
    assert programs is not None, "the module calls need_postgres() at its top"
    with (
        tempfile.TemporaryDirectory(prefix="pg", dir="/tmp") as made,  # short: a socket's path
        _running(programs, Path(made)) as user,
    ):
        name = f"neurons_{uuid4().hex[:8]}"
        place = {"host": made}
        url = URL.create("postgresql+psycopg", user, database="postgres", query=place)
        engine = create_engine(url, isolation_level="AUTOCOMMIT")
        with engine.connect() as connection:
            connection.exec_driver_sql(f"CREATE DATABASE {name}")
        engine.dispose()
        yield url.set(database=name).render_as_string()
