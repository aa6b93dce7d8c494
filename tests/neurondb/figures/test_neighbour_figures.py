"""The figures of neighbours and connections, against the sample's rows."""

import sqlite3
from collections import Counter
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine

from neurondb import figures
from neurondb.database import open_existing
from neurondb.errors import UnknownNameError
from tests.neurondb.figures.specs import GATED, UNGATED, specification
from tests.neurondb.figures.test_statements import ask
from tests.support.sample_facts import LAYERS, NEURONS, Sample
from tests.support.sample_neighbours import RANDOM_STD

MODELS = pytest.mark.parametrize("model", [GATED, UNGATED])


def drawn(spec: Any, *keys: str) -> list[dict[str, Any]]:
    """Return the rows of all panels that have these keys."""
    return [row for data in spec["datasets"].values() for row in data if row.keys() >= set(keys)]


@MODELS
def test_every_neurons_nearest_is_in_its_bin(model: str, sample_engine: Engine) -> None:
    bins = drawn(specification(sample_engine, "nearest-cosines", model), "n", "side", "vector")
    vectors = ("gate", "in", "out") if model == GATED else ("in", "out")
    asked = ask(sample_engine, "nearest-cosines", model)
    total = Counter({(b["vector"], b["side"]): 0 for b in bins})
    for b in bins:
        total[b["vector"], b["side"]] += b["n"]
        own = [r["cosine"] for r in asked if (r["vector"], r["side"]) == (b["vector"], b["side"])]
        inside = sum(b["x"] + 1e-6 < cosine < b["x2"] - 1e-6 for cosine in own)
        at_most = sum(b["x"] - 1e-6 < cosine < b["x2"] + 1e-6 for cosine in own)
        assert inside <= b["n"] <= at_most
    assert total == {(v, s): NEURONS for v in vectors for s in ("nearest", "opposite")}


@MODELS
@pytest.mark.parametrize("value", ["largest", "all"])
def test_cells_are_pairs_of_layers(model: str, value: str, sample_engine: Engine) -> None:
    spec = specification(sample_engine, "connection-strengths", model, value=value)
    cells = {
        (row["vector"], row["writer"], row["reader"]): row["value"] for row in drawn(spec, "writer")
    }
    asked = ask(sample_engine, "connection-strengths", model, value=value)
    reads = 2 if model == GATED else 1
    assert len(asked) == len(cells) == reads * LAYERS * (LAYERS - 1) // 2
    for row in asked:
        key = row["reads_with"], row["writer_layer"], row["reader_layer"]
        assert cells[key] == pytest.approx(row["value"], abs=1e-4)
    with sample_engine.connect() as connection:
        rms, low, high = connection.exec_driver_sql(
            "SELECT rms, smallest, largest FROM connection_layers y JOIN neighbour_runs r "
            "ON r.run_id = y.run_id JOIN models m ON m.model_id = r.model_id WHERE m.name = ? "
            "AND vector_id = 1 AND writer_layer = 0 AND reader_layer = 3",
            (model,),
        ).one()
    expected = max(high, -low) if value == "largest" else rms / RANDOM_STD
    assert cells["in", 0, 3] == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize("name", ["nearest-cosines", "connection-strengths"])
def test_without_neighbours_the_command_is_named(name: str, sample: Sample, tmp_path: Path) -> None:
    file = tmp_path / "bare.db"
    file.write_bytes(sample.path.read_bytes())
    with closing(sqlite3.connect(file)) as connection:
        connection.executescript("DELETE FROM neighbour_runs;")
    engine = open_existing(str(file))
    with (
        engine.connect() as connection,
        pytest.raises(UnknownNameError, match=r"run `neurondb neighbours sample-llama`"),
    ):
        figures.make_spec(connection, name, GATED)
    engine.dispose()
