"""Neurons and attention heads in PostgreSQL: the same rows as in SQLite."""

from pathlib import Path
from typing import Any

from ingest.jobs import heads
from neurondb import figures, named_queries
from neurondb.contracts.heads import HeadsRequest, parse_pairs
from neurondb.contracts.ingest import IngestRequest
from neurondb.contracts.inputs import Machine, TextsRequest
from neurondb.contracts.registry import load_job
from neurondb.reading.heads import list_neuron_heads
from neurondb.reading.models import find_model, open_readonly
from neurondb.sql import open_engine, run_sql
from tests.neurondb.find.test_heads import found as find
from tests.support.ingested import Silent
from tests.support.postgres import need_postgres
from tests.support.tiny_model import tiny_model, write_texts

need_postgres()

SELECTS = (
    "SELECT name, head_name, effect, rank, head_rank, score FROM neuron_heads "
    "ORDER BY name, head_layer, head",
    "SELECT name, key_head, n_deactivating, n_activating, norm_ratio, bos_attention FROM heads "
    "ORDER BY layer, head",
    "SELECT name, head_name, dataset, n, n_firing, firing_bos_change FROM head_effects",
    "SELECT standardised, bin, n_neurons, n_random FROM head_score_counts ORDER BY 1, 2",
)
QUERIES = ("attention-deactivators", "head-ablations", "attention-heads")


def measure(database: str, directory: Path) -> None:
    """Compute twice, and by force with a pair that is among no strongest ones."""
    texts = TextsRequest(str(directory / "tiny.txt"), max_texts=3)
    asked = HeadsRequest(Machine("tiny", database, device="cpu"), texts, n_random=50)
    assert heads.run(asked, Silent()).is_new
    assert not heads.run(asked, Silent()).is_new
    more = HeadsRequest(asked.machine, texts, parse_pairs("0.3:1.1,0.4:1.0"), n_random=50)
    assert heads.run(more, Silent()).is_new


def found(database: str) -> list[Any]:
    """What every way to look at them returns."""
    with open_engine(database) as engine:
        rows = [[_round(tuple(row)) for row in run_sql(engine, sql).rows] for sql in SELECTS]
        answers = [named_queries.run(engine, name, {}) for name in QUERIES]
        rows += [[_round(tuple(row)) for row in answer] for _, answer in answers]
        neurons = [find(engine, expression) for expression in ("deactivates>=1", "activates>1")]
    with open_readonly(database) as connection:
        model = find_model(connection, "tiny")
        of_neuron = list_neuron_heads(connection, model.first_neuron_id + 3)
        drawn = [
            figures.make_spec(connection, name, model)["datasets"]
            for name in ("head-scores", "head-ablations")
        ]
    first = min(map(min, neurons))
    return [*rows, *drawn, len(of_neuron), [sorted(n - first for n in ids) for ids in neurons]]


def _round(row: tuple[Any, ...]) -> tuple[Any, ...]:
    """Leave out the digits in which the two databases' sums may differ; 1 is true in SQLite."""
    return tuple(round(float(v), 9) if isinstance(v, float | bool | int) else v for v in row)


def test_heads_are_the_same_as_in_sqlite(postgres: str, tmp_path: Path) -> None:
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
