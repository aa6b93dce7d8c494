"""PostgreSQL gets the same rows from an import as SQLite does."""

from pathlib import Path
from typing import Any

from sqlalchemy import Engine, text

from neurondb.database import open_existing
from neurondb.exchange.imports import neuronpedia
from neurondb.exchange.imports.gluscope.activation_dataset import ActivationDataset
from neurondb.exchange.imports.gluscope.storing import ActivationRequest, import_activations
from neurondb.exchange.imports.storing import FactsRequest, import_facts
from neurondb.exchange.imports.target import ModelRequest
from tests.neurondb.exchange.imports.conftest import write_lines
from tests.neurondb.exchange.imports.test_formats import ROW
from tests.support import gluscope_files as files
from tests.support.ingested import Silent
from tests.support.postgres import need_postgres

need_postgres()

QUERIES = (
    "SELECT neuron_id, sign_case_id, count, freq, post_mean, pre_min FROM sign_case_rows",
    "SELECT neuron_id, list_id, rank, position, scaled_value FROM example_rows",
    "SELECT name, freq, class, sign, pre_mean FROM neuron_overview ORDER BY neuron_id",
    "SELECT neuron_id, source, key, value, note FROM annotations",
    "SELECT ordinal, text FROM texts",
)


def test_rows_are_those_of_sqlite(postgres: str, db: Path, tmp_path: Path) -> None:
    activations = files.write_dataset(tmp_path / "a.parquet", files.make_columns(files.draw()))
    texts = files.write_texts(tmp_path / "texts.parquet")
    explained = {"index": "2", "description": "a\0b", "typeName": "np"}
    active = {"index": "2", "tokens": ["In", " 19"], "values": [0, 2.0]}
    exported = write_lines(tmp_path / "e.jsonl", [ROW | explained, ROW | active])
    for location in (postgres, str(db)):
        for _ in range(2):
            run(location, activations, texts, exported)
    server, file = open_existing(postgres), open_existing(str(db))
    try:
        for query in QUERIES:
            assert ask(server, query) == ask(file, query), query
    finally:
        server.dispose()
        file.dispose()


def run(location: str, activations: Path, texts: Path, exported: Path) -> None:
    request = ActivationRequest(ModelRequest("toy"), "dolma", texts)
    import_activations(location, ActivationDataset(activations), request, Silent())
    reader = neuronpedia.make_reader([exported], "np", only=False)
    model = ModelRequest("np", gated=False)
    import_facts(location, "e", reader, FactsRequest(model, "neuronpedia", "texts", [exported]))


def ask(engine: Engine, query: str) -> list[Any]:
    with engine.connect() as connection:
        return sorted(map(tuple, connection.execute(text(query))), key=repr)
