"""Families of neurons in PostgreSQL: the same rows and answers as in SQLite."""

from pathlib import Path
from typing import Any

from ingest.jobs import families
from neurondb import figures, named_queries
from neurondb.contracts.families import FamiliesRequest, FamilySettings
from neurondb.contracts.ingest import IngestRequest
from neurondb.contracts.inputs import Machine, TextsRequest
from neurondb.contracts.registry import load_job
from neurondb.reading.families import read_family_page, read_neuron_families
from neurondb.reading.models import find_model, open_readonly
from neurondb.sql import open_engine, run_sql
from tests.neurondb.find.test_families import found as find
from tests.support.ingested import Silent
from tests.support.postgres import need_postgres
from tests.support.tiny_model import tiny_model, write_texts

need_postgres()

SELECT = """SELECT n.layer, n.neuron, f.sign_case, f.rank, f.family, f.test, f.score, f.share
            FROM families f JOIN neurons n ON n.neuron_id = f.neuron_id ORDER BY 1, 2, 3, 4"""


def measure(database: str, directory: Path) -> None:
    """Compute, and find it stored; then anew in its place."""
    asked = FamiliesRequest(
        Machine("tiny", database, device="cpu"),
        TextsRequest(str(directory / "tiny.txt"), skip_bos=True),
        FamilySettings(n_words=10, min_count=5, tagger=None),
    )
    assert families.run(asked, Silent()).is_new
    assert not families.run(asked, Silent()).is_new
    again = FamiliesRequest(asked.machine, asked.texts, asked.settings, force=True)
    assert families.run(again, Silent()).is_new


def found(database: str) -> list[Any]:
    """What every way to look at them returns."""
    with open_engine(database) as engine:
        rows = [tuple(row) for row in run_sql(engine, SELECT).rows]
        queries: dict[str, dict[str, str]] = {
            "families-by-layer": {},
            "family-neurons": {"family": "spelling"},
        }
        answers: list[Any] = [
            len(list(named_queries.run(engine, name, values)[1]))
            for name, values in queries.items()
        ]
        neurons = find(engine, "family=spelling score>0.1")
    with open_readonly(database) as connection:
        model = find_model(connection, "tiny")
        of_neuron = read_neuron_families(connection, model, model.first_neuron_id)
        assert of_neuron is not None
        page = read_family_page(connection, of_neuron.run.run_id, 2)
        name = "family-activations"
        drawn = figures.make_spec(connection, name, model, family="spelling", by="position")
    first = min(neurons)
    tests = [one.test for one in of_neuron.explanations]
    counts = [(one.family, one.n) for one in page.families]
    return [
        [row[:6] for row in rows],
        [round(row[6], 9) for row in rows],
        *answers,
        sorted(n - first for n in neurons),
        tests,
        counts,
        len(drawn["datasets"]),
    ]


def test_families_are_the_same_as_in_sqlite(postgres: str, tmp_path: Path) -> None:
    write_texts(tmp_path / "tiny.txt")
    model = str(tiny_model(tmp_path / "model"))
    both = (str(tmp_path / "n.db"), postgres)
    for database in both:
        ingest = IngestRequest(
            model=model, name="tiny", database=database, stages=("weights",), device="cpu"
        )
        load_job("ingest")(ingest, Silent())
        measure(database, tmp_path)
    sqlite, other = map(found, both)
    assert all(sqlite)
    assert sqlite == other
