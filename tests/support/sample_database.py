"""A small database made by plain inserts, and the same facts as Python lists to compare with.

Two models of 4 layers × 64 neurons: `sample-llama` is gated and has everything, `sample-gpt` is
ungated, so that every column which needs a gate is NULL. They share token texts under different
ids. Nothing here is computed by the code under test. The fixtures are in `tests/conftest.py`.
"""

import random
from pathlib import Path

from sqlalchemy import Connection, insert

from neurondb.migrate import create_or_open
from neurondb.schema import tables
from neurondb.taxonomy import CLASSES, UNDEFINED
from tests.support.places import pack_place
from tests.support.sample_facts import (
    DATASET,
    LABELS,
    N_SOURCE_TEXTS,
    NEURONS,
    PROPERTIES,
    TEXTS,
    Insertions,
    Row,
    Sample,
)
from tests.support.sample_model import draw_model
from tests.support.sample_universality import draw_universality


def build(path: Path) -> Sample:
    """Write the database to `path` and return what is in it."""
    sample = Sample(path)
    engine = create_or_open(str(path))
    with engine.begin() as connection:
        _shared(connection)
        for model_id, gated in ((1, True), (2, False)):
            _put(connection, draw_model(model_id, gated, sample))
        _comparison(connection, sample)
        _put(connection, draw_universality(sample))
        connection.exec_driver_sql("ANALYZE")
    engine.dispose()
    return sample


def _put(connection: Connection, rows: Insertions) -> None:
    for table, some in rows.items():
        if some:
            packed = map(pack_place, some) if table is tables.example_rows else some
            connection.execute(insert(table), list(packed))


def _shared(connection: Connection) -> None:
    dataset = {"dataset_id": DATASET, "name": "sample", "source": "here", "fingerprint": "f"}
    texts = [
        {"text_id": i + 1, "dataset_id": DATASET, "ordinal": i, "text": text, "label_id": 1 + i % 2}
        for i, text in enumerate(TEXTS)
    ]
    labels = [
        {"label_id": i + 1, "dataset_id": DATASET, "label": label} for i, label in enumerate(LABELS)
    ]
    properties = [
        {"property_id": i + 1, "name": name, "description": f"it {name}"}
        for i, name in enumerate(PROPERTIES)
    ]
    rows: Insertions = {tables.dataset_rows: [dataset | {"n_texts": len(TEXTS)}]}
    drawn = {"dataset_id": DATASET, "tokens": 500, "seed": 7, "n_source_texts": N_SOURCE_TEXTS}
    rows |= {tables.text_samples: [drawn]}
    rows |= {tables.labels: labels, tables.texts: texts, tables.properties: properties}
    _put(connection, rows)


def _comparison(connection: Connection, sample: Sample) -> None:
    """The two models neuron by neuron and as a series, whatever sense that makes."""
    draw = random.Random("comparison")
    models = {"model_a": 1, "model_b": 2, "created_at": "2026-01-01", "tool_version": "0"}
    class_ids = {c.name: c.class_id for c in (*CLASSES, UNDEFINED)}
    for a, b in zip(sample.neurons[:NEURONS], sample.neurons[NEURONS:], strict=True):
        row: Row = {"comparison_id": 1, "layer": a["layer"], "neuron": a["neuron"]}
        row |= {"in_cosine": round(draw.uniform(-1, 1), 2)}
        row |= {"out_cosine": round(draw.uniform(-1, 1), 2)}
        row |= {"same_token": sample.head[a["neuron_id"]] == sample.head[b["neuron_id"]]}
        row |= {"class_a": class_ids[a["class"]], "class_b": class_ids[b["class"]]}
        sample.compared.append(row | {"moved": 1 - min(row["in_cosine"], row["out_cosine"])})
    share = sum(row["same_token"] for row in sample.compared) / NEURONS
    comparison = {"comparison_id": 1, **models, "share_same_token": share}
    rows: Insertions = {tables.comparisons: [comparison]}
    rows |= {tables.comparison_neurons: sample.compared}
    made = {"created_at": "2026-01-01", "tool_version": "0"}
    steps = [{"series_id": 1, "step": i, "model_id": model} for i, model in enumerate((1, 2))]
    rows |= {tables.series: [{"series_id": 1} | made], tables.series_models: steps}
    _put(connection, rows)
