"""Concept runs and clamp sweeps in PostgreSQL: the same rows as in SQLite."""

from pathlib import Path
from typing import Any

from ingest.jobs import clamp, concept
from neurondb import named_queries
from neurondb.contracts.clamp import ClampRequest
from neurondb.contracts.concept import ConceptRequest, ConceptSettings
from neurondb.contracts.ingest import IngestRequest
from neurondb.contracts.inputs import Machine
from neurondb.contracts.registry import load_job
from neurondb.find.columns import ResultShape
from neurondb.find.compiler import compile_find
from neurondb.find.search import read_expression
from neurondb.neurons import NeuronPlace
from neurondb.reading.clamps import list_neuron_clamps
from neurondb.reading.concepts import list_concept_runs, list_neuron_concepts, read_concept_page
from neurondb.reading.models import find_model, open_readonly
from neurondb.sql import open_engine, run_sql
from tests.support.ingested import Silent
from tests.support.postgres import need_postgres
from tests.support.tiny_model import tiny_model, write_texts

need_postgres()

SETTINGS = ConceptSettings(
    prompts=("The cat sat on the",), n_candidates=1, n_random=5, n_steps=3, n_sweeps=1
)
NEURONS = "SELECT name, rank, change, p_value FROM concept_neurons ORDER BY random, rank"


def found(database: str) -> list[Any]:
    """What every way to look at the runs returns."""
    with open_engine(database) as engine:
        statement, values = compile_find(
            read_expression(engine, "concept=dog @3"), ResultShape(("name",))
        )
        listed = [tuple(row) for row in run_sql(engine, statement, values).rows]
        rows = [tuple(row) for row in run_sql(engine, NEURONS).rows]
        query = named_queries.run(engine, "concept-neurons", {"concept": "dog"})
        asked = [tuple(row) for row in query.rows]
        runs = [row[2:] for row in named_queries.run(engine, "concept-runs", {}).rows]
    with open_readonly(database) as connection:
        model = find_model(connection, "tiny")
        (run, *_) = list_concept_runs(connection, model)
        page = read_concept_page(connection, run.run_id)
        first = page.candidates[0].neuron_id
        concepts = list_neuron_concepts(connection, first)
        sweeps = list_neuron_clamps(connection, model, model.first_neuron_id + 3)
    shown = (page.candidates, page.random_neurons, page.sweeps, page.spellings, page.prompts)
    targets = [(sweep.neurons, sweep.targets) for sweep in sweeps]
    tried = [one.tried for one in concepts]  # ids of runs go on counting in PostgreSQL
    return [listed, rows, asked, runs, shown, tried, targets]


def test_runs_are_the_same_as_in_sqlite(postgres: str, tmp_path: Path) -> None:
    texts = str(write_texts(tmp_path / "tiny.txt"))
    model = str(tiny_model(tmp_path / "model"))
    both = (str(tmp_path / "n.db"), postgres)
    for database in both:
        ingest = IngestRequest(
            model=model, name="tiny", database=database, dataset=texts, device="cpu"
        )
        load_job("ingest")(ingest, Silent())
        machine = Machine("tiny", database, device="cpu")
        request = ConceptRequest(machine, ("dog",), SETTINGS)
        assert concept.run(request, Silent()).n_new == 1
        assert concept.run(request, Silent()).n_new == 0
        forced = ConceptRequest(machine, ("dog",), SETTINGS, force=True)
        assert concept.run(forced, Silent()).n_new == 1
        sweep = ClampRequest(machine, "The cat", (NeuronPlace(0, 3),), (-2.0, 2.0), (5, 6))
        assert clamp.run(sweep, Silent()).run_id == clamp.run(sweep, Silent()).run_id
    sqlite, other = map(found, both)
    assert sqlite[0]
    assert len(sqlite[1]) > 8
    assert sqlite == other
