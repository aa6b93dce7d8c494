"""Entropy runs, attribute rates and generated texts in PostgreSQL: the same rows as in SQLite."""

import json
from pathlib import Path
from typing import Any

from ingest.jobs import attribute_rate, entropy, sample
from neurondb import figures, named_queries
from neurondb.api.generations import answer_samples, find_stored_texts
from neurondb.contracts.attributes import AttributeRateRequest
from neurondb.contracts.entropy import EntropyRequest
from neurondb.contracts.generate import Clamp, GenerateRequest, SampleRequest
from neurondb.contracts.ingest import IngestRequest
from neurondb.contracts.inputs import Machine, NeuronSelection, TextsRequest
from neurondb.contracts.registry import load_job
from neurondb.neurons import NeuronPlace
from neurondb.reading.entropy_runs import list_neuron_entropy
from neurondb.reading.generation_runs import list_neuron_generations
from neurondb.reading.models import find_model, open_readonly
from neurondb.sql import open_engine, run_sql
from tests.support.ingested import Silent
from tests.support.postgres import need_postgres
from tests.support.tiny_model import tiny_model, write_texts

need_postgres()

NEURON = NeuronPlace(0, 3)
QUERIES = (
    "entropy-runs",
    "attribute-runs",
    "attribute-rates",
    "generated-texts",
    "generation-shares",
)
VIEWS = (
    "SELECT name, metric, value, fixed, total, direct, through_norm FROM entropy_effects "
    "ORDER BY place, step, metric",
    "SELECT run, draw, layer, rate, n_prompts FROM attribute_rates ORDER BY layer, run, draw",
    "SELECT run, seed, text, ended FROM generations ORDER BY run, seed",
    "SELECT name, hook, ablated, value FROM generation_held_neurons",
)


def measure(database: str, directory: Path) -> None:
    """Ask for everything twice, and by force; each is stored once."""
    machine = Machine("tiny", database, device="cpu")
    texts = TextsRequest(str(directory / "tiny.txt"), max_texts=3)
    fixed = EntropyRequest(machine, (NEURON,), (-1.0, 2.0), texts, 2)
    selection = NeuronSelection("neurons", NEURON.name)
    files = directory / "prompts.json", directory / "sets.json"
    rated = AttributeRateRequest(machine, *files, selection, baseline=1, top_k=20)
    for job, request in ((entropy, fixed), (attribute_rate, rated)):
        first = job.run(request, Silent())
        again = job.run(request, Silent())
        assert first.is_new
        assert (again.is_new, again.run_id) == (False, first.run_id)
        forced = type(request)(**(vars(request) | {"force": True}))
        assert job.run(forced, Silent()).is_new
    text = GenerateRequest(machine, "The cat", (Clamp(NEURON, 5.0),), max_new_tokens=3)
    asked = SampleRequest(text, 2, ("a",))
    samples = sample.run(asked, Silent())
    page = find_stored_texts(text, 2)
    assert page is not None
    assert list(page.texts) == samples
    assert len(answer_samples(SampleRequest(text, 2, ("a", "e")))[1]) == 4


def found(database: str) -> list[Any]:
    """What every way to look at the runs returns, but ids, which go on counting in PostgreSQL."""
    with open_engine(database) as engine:
        rows = [[tuple(row) for row in run_sql(engine, sql).rows] for sql in VIEWS]
        for name in QUERIES:
            columns, answer = named_queries.run(engine, name, {})
            assert columns[0] == "run_id"
            rows.append([_round(tuple(row)[1:]) for row in answer])
    with open_readonly(database) as connection:
        model = find_model(connection, "tiny")
        key = model.first_neuron_id + NEURON.neuron
        (of_neuron,) = list_neuron_entropy(connection, key)
        (held,) = list_neuron_generations(connection, key)
        drawn = [
            figures.make_spec(connection, name, model)["datasets"]
            for name in ("entropy-curves", "attribute-curves", "generation-shares")
        ]
    return [*rows, *drawn, of_neuron.total, of_neuron.direct, held.value, held.run.prompt]


def _round(row: tuple[Any, ...]) -> tuple[Any, ...]:
    """Leave out the digits in which the two databases' sums may differ."""
    return tuple(round(value, 9) if isinstance(value, float) else value for value in row)


def test_runs_are_the_same_as_in_sqlite(postgres: str, tmp_path: Path) -> None:
    texts = str(write_texts(tmp_path / "tiny.txt"))
    model = str(tiny_model(tmp_path / "model"))
    prompts = [{"subject": "cat", "prompt": "The cat sat on the", "attribute": "mat"}]
    (tmp_path / "prompts.json").write_text(json.dumps(prompts))
    (tmp_path / "sets.json").write_text(json.dumps({"cat": ["mat", "the", "dog", "sat"]}))
    both = (str(tmp_path / "n.db"), postgres)
    for database in both:
        ingest = IngestRequest(
            model=model, name="tiny", database=database, dataset=texts, device="cpu"
        )
        load_job("ingest")(ingest, Silent())
        measure(database, tmp_path)
    sqlite, other = map(found, both)
    assert all(sqlite[: len(VIEWS) + len(QUERIES)])
    assert sqlite == other
