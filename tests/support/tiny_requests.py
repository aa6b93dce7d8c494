"""The tiny model and its texts, asked to be ingested into a database of the test's own.

A test module gets the fixtures by importing them.
"""

import sqlite3
from pathlib import Path

import pytest

from neurondb.contracts.ingest import IngestReport, IngestRequest
from neurondb.contracts.registry import load_job
from tests.support.ingested import Silent
from tests.support.tiny_model import tiny_model, write_texts


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory of the model."""
    return tiny_model(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="module")
def texts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file of the texts."""
    return write_texts(tmp_path_factory.mktemp("texts") / "tiny.txt")


@pytest.fixture
def request_(model: Path, texts: Path, tmp_path: Path) -> IngestRequest:
    """Every stage, into a new database."""
    return IngestRequest(
        model=str(model),
        name="tiny",
        database=str(tmp_path / "n.db"),
        dataset=str(texts),
        device="cpu",
    )


def run(request: IngestRequest) -> IngestReport:
    """Ingest, and say nothing."""
    report = load_job("ingest")(request, Silent())
    assert isinstance(report, IngestReport)
    return report


def ask(request: IngestRequest, sql: str) -> list[tuple[object, ...]]:
    """Return the rows of a statement on the database of a request."""
    with sqlite3.connect(str(request.database)) as connection:
        return connection.execute(sql).fetchall()
