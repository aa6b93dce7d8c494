"""The list of models, and finding one of them and its neurons."""

from pathlib import Path

import pytest
from sqlalchemy import Connection, insert

from neurondb.errors import UnknownNameError
from neurondb.reading.models import (
    NAMES_LISTED,
    find_model,
    find_neuron_id,
    join_names,
    list_models,
)
from neurondb.reading.neuron import read_neuron_page
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

    assert join_names(names).endswith("m19 and 5 more")
    assert join_names(names[:3]) == "m0, m1, m2"


def test_a_model_is_found_by_what_it_was_read_from_too(connection: Connection) -> None:
    assert read_neuron_page(connection, "hub/gate-model", 1, 1).identity.model == "gate-model"


@pytest.mark.parametrize("name", ["Gate-Model", "HUB/gate-model"])
def test_letter_case_matters_only_where_it_tells_models_apart(
    connection: Connection, name: str
) -> None:
    assert read_neuron_page(connection, name, 1, 1).identity.model == "gate-model"

    one = tables.models.c.name == "plain-model"
    connection.execute(tables.models.update().where(one).values(name=name, source="elsewhere"))
    assert find_model(connection, name).name == name


def test_a_directory_is_found_by_any_path_to_it(
    connection: Connection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = tables.models.c.name == "gate-model"
    source = str((tmp_path / "weights").resolve())
    connection.execute(tables.models.update().where(one).values(source=source))
    monkeypatch.chdir(tmp_path)

    for name in ("weights", "./weights/", source):
        assert find_model(connection, name).name == "gate-model"
    with pytest.raises(UnknownNameError):
        find_model(connection, "\0")


def test_an_unknown_model_is_answered_with_the_nearest_and_the_list(connection: Connection) -> None:
    with pytest.raises(UnknownNameError, match=r"'Gate-Modell'.*'gate-model'.*plain-model"):
        read_neuron_page(connection, "Gate-Modell", 0, 0)


def test_two_models_of_one_source_must_be_told_apart(connection: Connection) -> None:
    connection.execute(tables.models.update().values(source="hub/same"))

    with pytest.raises(UnknownNameError, match=r"hub/same.*gate-model.*plain-model"):
        read_neuron_page(connection, "hub/same", 0, 0)


@pytest.mark.parametrize(("layer", "neuron"), [(3, 0), (0, 2), (999_999_999, 0), (-1, 0)])
def test_a_neuron_out_of_range_is_answered_with_the_range(
    connection: Connection, layer: int, neuron: int
) -> None:
    with pytest.raises(UnknownNameError, match=rf"{layer}\.{neuron}\b.*\b2\b.*\b1\b"):
        read_neuron_page(connection, "gate-model", layer, neuron)


def test_ids_names_and_places_are_of_one_order(connection: Connection) -> None:
    model = find_model(connection, "plain-model")
    places = [(layer, n) for layer in range(model.n_layers) for n in range(model.d_mlp)]

    ids = [find_neuron_id(model, *place) for place in places]

    assert ids == list(range(model.first_neuron_id, model.first_neuron_id + model.n_neurons))
    assert [model.locate(key) for key in ids] == places
    assert [model.name_neuron(key) for key in ids] == [f"{layer}.{n}" for layer, n in places]
