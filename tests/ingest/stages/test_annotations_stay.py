"""What people said of neurons outlives the numbers: a second ingestion, a database made anew."""

from dataclasses import replace
from pathlib import Path

import pytest

import neurondb as ndb
from neurondb.contracts.ingest import IngestRequest
from neurondb.writing.annotations import NewAnnotation, annotate, retract
from tests.support.tiny_requests import run

SAID = (NewAnnotation(1, "Ada", "label", "dogs"), NewAnnotation(2, "Bo", "list", "favourites"))


@pytest.fixture
def request_(model: Path, tmp_path: Path) -> IngestRequest:
    database = str(tmp_path / "n.db")
    return IngestRequest(str(model), database, name="tiny", stages=("weights",), device="cpu")


def said(database: str | Path | None) -> list[tuple[object, ...]]:
    """Return what is said, of which neuron and when, and how much was removed."""
    with ndb.open(database) as db:
        rows = db.sql(
            "SELECT o.name, a.source, a.key, a.value, a.made_at FROM annotations a"
            " JOIN neuron_overview o ON o.neuron_id = a.neuron_id ORDER BY o.name"
        )
        removed = db.sql("SELECT digest, removed_at FROM removed_annotations")
        return [*map(tuple, rows), *map(tuple, removed)]


def test_annotations_outlive_a_second_ingestion(request_: IngestRequest) -> None:
    run(request_)
    annotate(str(request_.database), *SAID, gone := NewAnnotation(3, "Ada", "star", "★"))
    retract(str(request_.database), gone.neuron_id, gone.digest)
    before = said(request_.database)
    assert len(before) == 3
    run(replace(request_, force=True))
    assert said(request_.database) == before


def test_annotations_go_on_in_a_database_made_anew(request_: IngestRequest, tmp_path: Path) -> None:
    run(request_)
    annotate(str(request_.database), *SAID)
    with ndb.open(request_.database) as db:
        db.export_annotations(tmp_path / "said.ndjson")
    again = replace(request_, database=str(tmp_path / "again.db"), name="another-name")
    run(again)
    with ndb.open(again.database) as db:
        assert db.import_annotations(tmp_path / "said.ndjson").n_new == len(SAID)
        assert [one.name for one in db.lists] == ["favourites"]
    assert said(again.database) == said(request_.database)
