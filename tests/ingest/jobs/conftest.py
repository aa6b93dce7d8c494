"""Fixtures of the tests of jobs."""

import shutil
import sqlite3
from pathlib import Path

import pytest

from tests.ingest.jobs.ablation_requests import copy_of
from tests.ingest.jobs.compared_models import compared, ingest
from tests.support.model_pairs import tiny_pair
from tests.support.real_models import BUNDLED


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A copy of the database with everything of the bundled model on its texts."""
    return copy_of(BUNDLED, tmp_path)


@pytest.fixture(scope="module", params=["llama", "olmo", "gpt2"])
def compared_pair(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, Path, Path]:
    """A model, its changed copy, and a database in which they are compared; to be read only."""
    directory = tmp_path_factory.mktemp(request.param)
    base, tuned = tiny_pair(directory, request.param)
    database = directory / "n.db"
    ingest(database, base, tuned)
    compared(database)
    return base, tuned, database


@pytest.fixture
def compared_database(compared_pair: tuple[Path, Path, Path], tmp_path: Path) -> Path:
    """A copy of the database of `compared_pair`."""
    with sqlite3.connect(compared_pair[2]) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return Path(shutil.copy(compared_pair[2], tmp_path / "n.db"))
