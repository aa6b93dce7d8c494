"""Annotations from SQLite to PostgreSQL: the same file comes out of either."""

import shutil
from pathlib import Path

import pytest

import neurondb as ndb
from neurondb.writing.annotations import NewAnnotation, annotate, retract
from tests.support.copies import copy
from tests.support.postgres import need_postgres
from tests.support.sample_facts import Sample

need_postgres()


@pytest.fixture
def annotated(sample: Sample, tmp_path: Path) -> Path:
    path = Path(shutil.copy(sample.path, tmp_path / "a.db"))
    gone = NewAnnotation(2, "Bo", "note", "nothing")
    annotate(path, NewAnnotation(0, "Ada", "list", "dog neurons", "see <b>"), gone)
    annotate(path, NewAnnotation(64, "Ada", "star", "★"), NewAnnotation(64, "Bo", "label", "été"))
    retract(path, gone.neuron_id, gone.digest)
    return path


def test_a_merge_into_postgresql_gives_the_same_file(
    sample: Sample, annotated: Path, postgres: str, tmp_path: Path
) -> None:
    copy(str(sample.path), postgres)
    with ndb.open(annotated) as db:
        db.export_annotations(tmp_path / "a.ndjson", "sample-llama")
    with ndb.open(postgres) as db:
        assert db.import_annotations(tmp_path / "a.ndjson").n_new == 3
        assert db.import_annotations(tmp_path / "a.ndjson").n_same == 3
        db.export_annotations(tmp_path / "p.ndjson")
        found = db.find("list='Dog Neurons' or starred=ada", columns=("name",))
        assert sorted(tuple(row) for row in found) == [("0.0",), ("1.0",)]
    assert (tmp_path / "p.ndjson").read_bytes() == (tmp_path / "a.ndjson").read_bytes()
