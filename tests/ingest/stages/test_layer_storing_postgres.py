"""Workers that store the layers which they computed, in PostgreSQL: the rows are those of one."""

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from sqlalchemy import Engine, text

import ingest.stages.weights
from ingest.executors import Worker
from ingest.executors.child import ReportedProgress
from ingest.stages.layer_storing import LayerComputation, StoringDatabase
from neurondb.contracts.ingest import IngestRequest
from neurondb.contracts.registry import load_job
from neurondb.database import connect, parse_url
from neurondb.server_locks import hold_model
from neurondb.writing import models
from neurondb.writing.ledger import Step
from neurondb.writing.rows import transaction
from tests.ingest.stages.layer_writers import DieWriting
from tests.support.ingested import Silent
from tests.support.postgres import need_postgres
from tests.support.tiny_requests import run

need_postgres()

BY_LAYER = ("baselines",)
BY_NEURON = ("neurons", "cosines", "classes", "vocab_stat_rows", "top_token_rows")
VOLATILE = ("model_id", "neuron_id", "finished_at", "seconds", "run_id", "step_id")


@pytest.fixture
def engine(postgres: str) -> Iterator[Engine]:
    """An engine on the server's database."""
    opened = connect(parse_url(postgres), writing=True)
    yield opened
    opened.dispose()


def rows_of(engine: Engine, name: str) -> dict[str, list[tuple[Any, ...]]]:
    """Return table → the rows of a model, by places of neurons instead of ids; without times."""
    with engine.connect() as connection:
        asked = "SELECT model_id, first_neuron_id, n_layers * d_mlp FROM models WHERE name = :name"
        model_id, first, n = connection.execute(text(asked), {"name": name}).one()
        found = {}
        for table in (*BY_NEURON, *BY_LAYER, "ingest_steps"):
            where = (
                f"neuron_id >= {first} AND neuron_id < {first + n}"
                if table in BY_NEURON
                else f"model_id = {model_id}"
            )
            rows = connection.execute(text(f"SELECT * FROM {table} WHERE {where}")).mappings().all()
            found[table] = sorted(
                (
                    (
                        row.get("neuron_id", first) - first,
                        *(value for column, value in row.items() if column not in VOLATILE),
                    )
                    for row in rows
                ),
                key=repr,
            )
        return found


@pytest.mark.slow
def test_workers_store_their_layers_and_one_that_is_killed_leaves_nothing(
    request_: IngestRequest,
    postgres: str,
    engine: Engine,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    one = replace(request_, database=postgres, name="one", stages=("weights", "vocab"))
    alone = run(one)
    marker = tmp_path / "died"
    monkeypatch.setattr(ingest.stages.weights, "write_weights", DieWriting(marker))
    progress = Silent()
    many = replace(one, name="two", device="cpu,cpu")
    report = load_job("ingest")(many, progress)
    assert marker.exists()
    assert any("SIGKILL" in note for note in progress.notes)
    assert report.rows == alone.rows
    assert rows_of(engine, "two") == rows_of(engine, "one")
    monkeypatch.setattr(ingest.stages.weights, "finish_layer", None)
    assert load_job("ingest")(many, Silent()).skipped["weights"] == 2


class Noted(Silent):
    """A worker here, and its notes."""

    @property
    def worker(self) -> Worker:
        """The worker."""
        return Worker(torch.device("cpu"), lambda n, detail="": None, ReportedProgress(self.note))


def give_process(layer: int, _worker: Worker) -> tuple[int, float]:
    """Compute what is no record."""
    return os.getpid() + layer, 1.5


def refuse_writing(*_: object) -> None:
    """Fail where nothing may be written."""
    raise AssertionError("written")


@pytest.mark.parametrize("lacking", ["server", "run", "holder"])
def test_rows_are_handed_over_where_the_run_is_not_found(
    request_: IngestRequest, postgres: str, engine: Engine, lacking: str
) -> None:
    run(replace(request_, database=postgres, name="one", stages=("weights",)))
    with transaction(engine) as connection:
        asked = text("SELECT run_id, model_id, started_at FROM ingest_runs ORDER BY run_id LIMIT 1")
        run_id, model_id, started_at = connection.execute(asked).one()
        model = models.find_model(connection, model_id)
    nowhere = "postgresql+psycopg://nobody@127.0.0.1:1/none"
    database = StoringDatabase(
        nowhere if lacking == "server" else engine.url.render_as_string(hide_password=False),
        model,
        run_id,
        "another time" if lacking == "run" else started_at,
    )
    noted = Noted()
    compute = LayerComputation(give_process, refuse_writing, database)
    step = Step("weights", 1, {})
    if lacking == "holder":
        assert compute(step, noted.worker) == (os.getpid() + 1, 1.5)
        held = replace(database, _is_refused=False)
        with hold_model(engine, model.name), pytest.raises(AssertionError, match="written"):
            LayerComputation(give_process, refuse_writing, held)(step, noted.worker)
        opened = held.open(noted.worker)
        assert opened is not None
        opened.dispose()
    else:
        with hold_model(engine, model.name):
            assert compute(step, noted.worker) == (os.getpid() + 1, 1.5)
            assert compute(step, noted.worker) == (os.getpid() + 1, 1.5)
    assert len(noted.notes) == 1
    assert "the rows of its layers are sent here to be stored" in noted.notes[0]
