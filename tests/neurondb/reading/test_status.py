"""Status tells how far each stage is and which runs did not end."""

from pathlib import Path

import pytest
from sqlalchemy import Connection, insert

from neurondb.errors import UnknownNameError
from neurondb.reading.models import open_readonly
from neurondb.reading.status import ModelStatus, StageStatus, read_status
from neurondb.schema import REVISION, tables


def run(connection: Connection, run_id: int, finished_at: str | None, stages: str = "w") -> None:
    connection.execute(
        insert(tables.ingest_runs),
        {
            "run_id": run_id, "model_id": 1, "tool_version": "0.1", "torch_version": "2",
            "fingerprint": "f", "stages": stages, "dtype": "float32", "device": "cpu", "seed": 0,
            "started_at": f"2025-01-0{run_id}T00:00:00+00:00", "finished_at": finished_at,
        },
    )  # fmt: skip


def step(connection: Connection, stage: str, layer: int, dataset_id: int | None = None) -> None:
    connection.execute(
        insert(tables.ingest_steps),
        {
            "run_id": 1, "model_id": 1, "dataset_id": dataset_id, "stage": stage, "layer": layer,
            "settings": "{}", "n_rows": 100, "seconds": 1.5, "finished_at": f"2025-02-0{layer + 2}",
        },
    )  # fmt: skip


def gated(connection: Connection) -> ModelStatus:
    return next(model for model in read_status(connection).models if model.model == "gate-model")


def stages(connection: Connection) -> dict[str, StageStatus]:
    return {stage.stage: stage for stage in gated(connection).stages}


def test_layers_rows_and_seconds_add_up(connection: Connection) -> None:
    run(connection, 1, "2025")
    step(connection, "weights", 0)
    step(connection, "weights", 2)

    found = stages(connection)["weights"]

    assert (found.layers_done, found.layers, found.rows, found.seconds) == (2, 3, 200, 3.0)
    assert found.finished_at == "2025-02-04"


def test_a_step_of_the_whole_model_is_all_its_layers(connection: Connection) -> None:
    run(connection, 1, "2025")
    step(connection, "texts", -1, dataset_id=9)

    found = stages(connection)["texts"]

    assert (found.dataset, found.layers_done) == ("tales", 3)


def test_the_stages_of_ingest_are_reported_even_where_nothing_is_stored(
    connection: Connection,
) -> None:
    run(connection, 1, "2025")
    step(connection, "vocab", 0)
    step(connection, "extra", 0)

    assert [(s.stage, s.layers_done) for s in gated(connection).stages] == [
        ("weights", 0),
        ("vocab", 1),
        ("activations", 0),
        ("peaks", 0),
        ("extra", 1),
    ]


def test_parts_stand_where_ingest_comes_to_them(connection: Connection) -> None:
    run(connection, 1, "2025")
    for stage in ("activations", "classes 0.5", "texts", "tokens", "vocab", "weights"):
        step(connection, stage, 0)

    assert [s.stage for s in gated(connection).stages] == [
        *("weights", "classes 0.5", "tokens", "vocab", "texts", "activations", "peaks"),
    ]


def test_only_the_latest_run_can_be_open(connection: Connection) -> None:
    assert gated(connection).open_run is None

    run(connection, 1, None)
    run(connection, 2, None)
    found = gated(connection).open_run
    assert found is not None
    assert found.run_id == 2

    run(connection, 3, "2025", stages="other")
    assert gated(connection).open_run is None


def test_what_neuron_overview_shows_is_told(connection: Connection) -> None:
    assert (gated(connection).threshold, gated(connection).dataset) == (0.5, "tales")

    connection.execute(tables.models.update().values(dataset_id=None))
    assert gated(connection).dataset is None


def test_one_model_can_be_asked_for(connection: Connection) -> None:
    assert [m.model for m in read_status(connection, "Plain-Model").models] == ["plain-model"]
    with pytest.raises(UnknownNameError, match="'nobody'"):
        read_status(connection, "nobody")


def test_the_database_says_where_how_large_and_of_which_schema(
    connection: Connection, tmp_path: Path
) -> None:
    path = tmp_path / "neurons.db"

    found = read_status(connection)

    assert found.location == str(path)
    assert found.revision == REVISION
    assert found.size_bytes == path.stat().st_size + Path(f"{path}-wal").stat().st_size


def test_reading_leaves_the_database_as_it_is(connection: Connection, tmp_path: Path) -> None:
    before = (tmp_path / "neurons.db").read_bytes()

    with open_readonly(str(tmp_path / "neurons.db")) as other:
        read_status(other)

    assert (tmp_path / "neurons.db").read_bytes() == before
