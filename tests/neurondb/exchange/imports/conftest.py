"""An empty database, made once: each import of a test begins with a copy of it."""

import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from neurondb import migrate

Ask = Callable[..., list[tuple[Any, ...]]]


@pytest.fixture(scope="session")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database without models; to be copied only."""
    path = tmp_path_factory.mktemp("empty") / "empty.db"
    migrate.create_or_open(str(path)).dispose()
    return path


@pytest.fixture
def db(empty: Path, tmp_path: Path) -> Path:
    """A database without models, of this test."""
    return Path(shutil.copy(empty, tmp_path / "n.db"))


@pytest.fixture
def ask(db: Path) -> Ask:
    """A function that runs SQL on that database."""

    def run(sql: str, *values: Any) -> list[tuple[Any, ...]]:
        with closing(sqlite3.connect(db)) as connection:
            return connection.execute(sql, values).fetchall()

    return run
