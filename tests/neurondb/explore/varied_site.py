"""A database whose pages have everything that pages can have, and can lack."""

from pathlib import Path
from typing import Final

from sqlalchemy import Connection, Table, delete, insert, update

from neurondb.database import connect, parse_url
from neurondb.schema import tables
from tests.support.sample_concepts import CONCEPT_RUN
from tests.support.sample_database import build
from tests.support.sample_facts import CLASS_RUN, EACH_RUN, LAYERS, NEURONS, RANDOM_RUN, WIDTH, Row
from tests.support.sample_runs import ATTRIBUTE_RUN, ENTROPY_RUN, GENERATION_RUN

LLAMA, GPT = "sample-llama", "sample-gpt"
BARE: Final = 3
"""The layer whose neurons have weights alone."""
FULL: Final = 2
"""The layer whose first neuron has examples, controls, traces and annotations."""
LIST: Final = "dog neurons"
"""A list that it is on."""
_OF_TEXTS: Final = (
    *(tables.activation_stats, tables.sign_case_rows, tables.example_rows, tables.trace_rows),
    *(tables.control_example_rows, tables.label_stats, tables.activation_histograms),
)
_OF_VOCABULARY: Final = (
    *(tables.top_token_rows, tables.vocab_stat_rows, tables.lm_head_tokens),
    *(tables.property_effects, tables.double_checking),
)

PAGES: Final = {
    "home": "/",
    "model": f"/model/{LLAMA}",
    "model, ungated": f"/model/{GPT}",
    "layer": f"/layer/{LLAMA}/1",
    "layer, ungated": f"/layer/{GPT}/0",
    "neuron": f"/neuron/{LLAMA}/{FULL}.0",
    "neuron, ungated": f"/neuron/{GPT}/{FULL}.0",
    "neuron, weights alone": f"/neuron/{LLAMA}/{BARE}.{WIDTH - 1}",
    "token": f"/token/{LLAMA}/0",
    "token of a layer": f"/token/{LLAMA}/3?basis=embed&layer=1",
    "text": f"/text/2?model={LLAMA}&neuron={FULL}.0",
    "text, no tokens": f"/text/1?model={GPT}",
    "which one": "/search?q=%27+dog%27",
    "found": "/find?q=freq%3E0&page=2",
    "found in a model": f"/find?q=weakening%20model%3D{LLAMA}&order=-in_out",
    "found none": "/find?q=dead%20freq%3E0.5",
    "not understood": "/find?q=weakening%20%28",
    "two neurons": f"/pair?left={LLAMA}/0.1&right={LLAMA}/0.2",
    "two neurons, asked for": "/pair",
    "comparison": f"/compare/{LLAMA}/{GPT}",
    "series": "/series/1",
    "run of a set": f"/run/{CLASS_RUN + 1}",
    "run of random neurons": f"/run/{RANDOM_RUN + 1}",
    "run, one at a time": f"/run/{EACH_RUN + 1}",
    "concept": f"/concept/{CONCEPT_RUN + 1}",
    "entropy": f"/entropy/{ENTROPY_RUN + 1}",
    "attributes": f"/attributes/{ATTRIBUTE_RUN + 1}",
    "generation": f"/generation/{GENERATION_RUN + 11}",
    "connections": f"/connections/{LLAMA}/1.4",
    "connections, ungated": f"/connections/{GPT}/0.3",
    "lists": "/lists",
    "list": "/list/dog%20neurons",
    "card": f"/embed/{LLAMA}/{FULL}.0",
    "no such model": "/model/nothing",
}
"""Our types of pages: one address each, or several where what is on it differs."""

DATASETTES: Final = {
    "database": "/{0}",
    "view": "/{0}/neuron_overview",
    "table": "/{0}/models",
    "row": "/{0}/models/1",
    "named query": "/{0}/class-counts-by-layer",
    "named query, parameters": f"/{{0}}/neurons-for-token?model={LLAMA}&token=%20dog",
    "sql": "/{0}?sql=select+name%2C+class+from+neuron_overview+limit+5",
    "sql, wrong": "/{0}?sql=select+nothing",
    "not found": "/{0}/nothing",
}
"""Datasette's, in which {0} is the database."""


def build_varied(path: Path) -> Path:
    """Write the database and return where it is."""
    build(path)
    engine = connect(parse_url(str(path)), writing=True)
    with engine.begin() as connection:
        for model_id in (1, 2):
            first = (model_id - 1) * NEURONS + BARE * WIDTH
            _emptied(connection, range(first + 1, first + WIDTH))
        _ingested(connection)
        _annotated(connection)
    engine.dispose()
    return path


def _emptied(connection: Connection, neurons: range) -> None:
    """Leave some neurons with what the weights say alone."""
    for table in (*_OF_TEXTS, *_OF_VOCABULARY):
        of = table.c.neuron_id
        connection.execute(delete(table).where(of >= neurons.start, of < neurons.stop))


def _ingested(connection: Connection) -> None:
    """Record two runs of ingest, one of which has not finished, and that the texts were read."""
    run: Row = {"tool_version": "0.1", "torch_version": "2.6", "fingerprint": "f"}
    run |= {"stages": "weights", "dtype": "float32", "device": "cpu", "seed": 0}
    run |= {
        "started_at": "2026-01-01T00:00:00Z",
        "fold": True,
        "center": True,
        "canonicalise": True,
    }
    step: Row = {"stage": "weights", "settings": "{}", "n_rows": 1, "seconds": 1.0}
    step |= {"finished_at": "2026-01-01T00:01:00Z"}
    for model_id, layers in ((1, LAYERS), (2, 1)):
        end = step["finished_at"] if layers == LAYERS else None
        whose: Row = {"model_id": model_id, "run_id": model_id}
        _put(connection, tables.ingest_runs, run | whose | {"finished_at": end})
        for layer in range(layers):
            _put(connection, tables.ingest_steps, step | whose | {"layer": layer})
    connection.execute(update(tables.models).values(revision="0123456789abcdef"))


def _annotated(connection: Connection) -> None:
    said: Row = {"neuron_id": FULL * WIDTH, "source": "Ada", "key": "label", "value": "dogs"}
    _put(connection, tables.annotations, said | {"note": "after a determiner"})
    _put(connection, tables.annotations, said | {"key": "star", "value": "★"})
    _put(connection, tables.annotations, said | {"key": "list", "value": LIST, "note": "barks"})
    _put(connection, tables.annotations, said | {"key": "list", "value": LIST, "source": "Bo"})


def _put(connection: Connection, table: Table, row: Row) -> None:
    connection.execute(insert(table), [row])
