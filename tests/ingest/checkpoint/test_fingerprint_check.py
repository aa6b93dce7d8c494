"""The checkpoint of a stored model is found again, or it is said what became of it."""

import re
import sqlite3
from pathlib import Path

import pytest

from ingest.checkpoint.fingerprint_check import open_stored_checkpoint
from neurondb.contracts.ingest import IngestRequest
from neurondb.contracts.registry import load_job
from neurondb.database import open_existing
from neurondb.errors import HubError, IngestError
from neurondb.reading.models import find_model
from tests.support.ingested import Silent
from tests.support.tiny_model import tiny_model


@pytest.fixture
def database(tmp_path: Path) -> Path:
    path = tmp_path / "n.db"
    model = tiny_model(tmp_path / "tiny")
    load_job("ingest")(
        IngestRequest(str(model), str(path), stages=("weights",), device="cpu"), Silent()
    )
    return path


def found(database: Path) -> Path:
    engine = open_existing(str(database))
    try:
        with engine.connect() as connection:
            return open_stored_checkpoint(connection, find_model(connection, "tiny")).path
    finally:
        engine.dispose()


def move(database: Path, source: str) -> None:
    with sqlite3.connect(database) as connection:
        connection.execute("UPDATE models SET source = ?", (source,))


def test_it_is_where_it_was(database: Path, tmp_path: Path) -> None:
    assert found(database) == tmp_path / "tiny"


def test_a_link_will_do(database: Path, tmp_path: Path) -> None:
    (tmp_path / "tiny").rename(tmp_path / "elsewhere")
    (tmp_path / "tiny").symlink_to(tmp_path / "elsewhere")
    assert found(database) == tmp_path / "elsewhere"


def test_one_that_is_gone_is_told(database: Path, tmp_path: Path) -> None:
    (tmp_path / "tiny").rename(tmp_path / "elsewhere")
    with pytest.raises(IngestError, match=rf"tiny .*{re.escape(str(tmp_path / 'tiny'))}\b"):
        found(database)


def test_other_weights_are_told(database: Path, tmp_path: Path) -> None:
    other = tiny_model(tmp_path / "other", seed=7)
    move(database, str(other))
    with pytest.raises(IngestError, match=rf"^{re.escape(str(other))} .*\btiny\b.*name"):
        found(database)


def test_a_hub_that_cannot_give_it_speaks_for_itself(
    database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(model: str, revision: str | None) -> None:
        raise HubError(f"{model} is gated")

    monkeypatch.setattr("ingest.checkpoint.fingerprint_check.locate_model", refuse)
    with pytest.raises(HubError, match="tiny is gated"):
        found(database)
