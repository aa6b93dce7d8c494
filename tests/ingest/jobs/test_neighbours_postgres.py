"""Neighbours and connections in PostgreSQL: the same rows and answers as in SQLite."""

import json
from pathlib import Path

from ingest.jobs import neighbours
from neurondb import named_queries
from neurondb.contracts.ingest import IngestRequest
from neurondb.contracts.neighbours import NeighboursRequest
from neurondb.contracts.registry import load_job
from neurondb.find.columns import ResultShape
from neurondb.find.compiler import compile_find
from neurondb.find.search import read_expression
from neurondb.reading.models import find_model, open_readonly
from neurondb.reading.neighbour_summary import read_neighbour_summary
from neurondb.reading.neighbours import read_relations
from neurondb.sql import open_engine, run_sql
from tests.support.ingested import Silent
from tests.support.postgres import need_postgres
from tests.support.tiny_model import tiny_model

need_postgres()

VIEWS = {"neighbours": "1, 2, 3, 4", "connections": "1, 2, 3"}
TERMS = ("downstream(0.3)", "upstream(1.4 gate +)", "neighbours(0.3 out -)", "nearest_out>0.4")
QUERIES = ("duplicate-neurons", "antipodal-neurons", "strongest-connections")


def answers(database: str) -> str:
    """What every way to look at them returns."""
    with open_engine(database) as engine:
        found: list[object] = [
            [tuple(row) for row in run_sql(engine, f"SELECT * FROM {view} ORDER BY {keys}").rows]
            for view, keys in VIEWS.items()
        ]
        for term in TERMS:
            statement, values = compile_find(read_expression(engine, term), ResultShape(("name",)))
            found.append([tuple(row) for row in run_sql(engine, statement, values).rows])
        limits = {"duplicate-neurons": {"cosine": "0.3"}, "antipodal-neurons": {"cosine": "-0.3"}}
        for query in QUERIES:
            rows = named_queries.run(engine, query, limits.get(query, {})).rows
            found.append([tuple(row) for row in rows])
    with open_readonly(database) as connection:
        model = find_model(connection, "tiny")
        relations = read_relations(connection, model, model.first_neuron_id + 3)
        summary = read_neighbour_summary(connection, model, 2)
    assert relations is not None
    found += [repr(relations.downstream), repr(relations.neighbours), repr(summary.lists)]
    assert all(found)
    return json.dumps(found)


def test_rows_and_answers_are_the_same_as_in_sqlite(postgres: str, tmp_path: Path) -> None:
    directory, both = tiny_model(tmp_path / "tiny"), (str(tmp_path / "n.db"), postgres)
    for database in both:
        request = IngestRequest(
            str(directory), database=database, name="tiny", stages=("weights",), device="cpu"
        )
        load_job("ingest")(request, Silent())
        asked = NeighboursRequest("tiny", database, n_directions=16, device="cpu", force=True)
        assert neighbours.run(asked, Silent()).is_new
        assert neighbours.run(asked, Silent()).is_new
    one, other = map(answers, both)
    assert one == other
