"""The list of models, and finding one of them."""

import pytest
from sqlalchemy import Connection, insert

from neurondb.errors import UnknownNameError
from neurondb.reading.models import NAMES_LISTED, find_model, list_models, listed
from neurondb.schema import tables

RUN = {
    "run_id": 1, "model_id": 1, "tool_version": "0", "torch_version": "0", "fingerprint": "f",
    "stages": "weights", "dtype": "float32", "device": "cpu", "seed": 0, "started_at": "2025",
}  # fmt: skip


def step(connection: Connection, stage: str, *layers: int, dataset_id: int | None = None) -> None:
    rows = [
        {
            "run_id": 1, "model_id": 1, "dataset_id": dataset_id, "stage": stage, "layer": layer,
            "settings": "{}", "n_rows": 5, "seconds": 1.0, "finished_at": "2025",
        }
        for layer in layers
    ]  # fmt: skip
    connection.execute(insert(tables.ingest_steps), rows)


def test_models_come_by_name_with_their_complete_stages(connection: Connection) -> None:
    connection.execute(insert(tables.ingest_runs), RUN)
    step(connection, "weights", 0, 1, 2)
    step(connection, "tokens", -1)
    step(connection, "vocab", 0, 1)

    first, second = list_models(connection)

    assert (first.model.name, first.dataset, first.model.n_neurons) == ("gate-model", "tales", 6)
    assert first.stages == ("weights", "tokens")
    assert (second.model.name, second.model.gated, second.stages) == ("plain-model", False, ())


def test_a_stage_of_two_datasets_is_named_once(connection: Connection) -> None:
    connection.execute(insert(tables.ingest_runs), RUN)
    other = {"dataset_id": 8, "name": "n", "source": "n", "fingerprint": "n", "n_texts": 0}
    connection.execute(insert(tables.dataset_rows), other)
    step(connection, "activations", 0, 1, 2, dataset_id=9)
    step(connection, "activations", 0, 1, 2, dataset_id=8)

    assert list_models(connection)[0].stages == ("activations",)


def test_an_empty_database_says_how_to_get_a_model(connection: Connection) -> None:
    connection.execute(tables.models.delete())

    assert list_models(connection) == ()
    with pytest.raises(UnknownNameError, match="neurondb ingest MODEL"):
        find_model(connection, "gate-model")


def test_a_name_goes_before_a_source(connection: Connection) -> None:
    m = tables.models
    connection.execute(m.update().where(m.c.model_id == 2).values(source="gate-model"))

    assert find_model(connection, "gate-model").model_id == 1


def test_long_lists_of_names_are_cut() -> None:
    names = [f"m{i}" for i in range(NAMES_LISTED + 5)]

    assert listed(names).endswith("m19 and 5 more")
    assert listed(names[:3]) == "m0, m1, m2"
