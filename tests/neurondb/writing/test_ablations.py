"""Runs and their sets in the database: whole or not at all, found again."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from sqlalchemy import Engine, func, select, update

from neurondb import migrate
from neurondb.contracts.ablate import (
    AblationBin,
    AblationRecord,
    AblationResult,
    AblationSettings,
    NeuronSetRecord,
)
from neurondb.errors import DatabaseError, IngestError, UnknownNameError
from neurondb.interventions import Condition, Treatment
from neurondb.reading.runs import (
    find_ablation_run,
    find_stored_run,
    list_baselines,
    read_ablation_histogram,
)
from neurondb.schema import tables
from neurondb.writing.ablations import store_run

IDS = np.array([3, 5])
SETTINGS = AblationSettings(1, 1, 2, 64, True, "float32", "cpu", "f")
NUMBERS = (0.5, 1.0, 0.1, 0.2, 0.3, -1.0, 2.0, 4.0, 3.5)
RECORD = AblationRecord(
    settings=SETTINGS,
    neurons=NeuronSetRecord("layer=1", IDS, "mine"),
    treatment=Treatment("fix", Condition(-1, 1), "hook_post", 2.5),
    seed=None,
    means_dataset_id=None,
    n_tokens=9,
    torch_version="2",
    results=[
        AblationResult("loss", "all", 7, *NUMBERS),
        AblationResult("loss", "changed", 0, *(np.nan,) * 9),
    ],
    bins=[AblationBin("loss", -1.5, -1.0, 2), AblationBin("loss", 0.0, 2.0**-16, 5)],
)


@pytest.fixture
def engine(tmp_path: Path) -> Engine:
    found = migrate.create_or_open(str(tmp_path / "n.db"))
    with found.begin() as connection:
        connection.exec_driver_sql("INSERT INTO dataset_rows VALUES (1, 'tales', 't', 'f', 2)")
        connection.exec_driver_sql(
            "INSERT INTO models (model_id, name, source, architecture, gated, activation, "
            "n_layers, d_model, d_mlp, d_vocab, fingerprint, first_neuron_id, threshold) "
            "VALUES (1, 'm', 's', 'llama', 1, 'silu', 1, 8, 8, 3, 'f', 1, 0.5)"
        )
    return found


def test_a_run_comes_back_as_it_was_stored(engine: Engine) -> None:
    run_id = store_run(engine, RECORD)
    with engine.connect() as connection:
        found = find_ablation_run(connection, run_id)
        assert read_ablation_histogram(connection, run_id, "loss") == RECORD.bins
    assert found.run.treatment == RECORD.treatment
    assert (found.run.set_name, found.run.definition, found.run.n_neurons) == ("mine", "layer=1", 2)
    assert (found.run.n_texts, found.run.max_len, found.run.skip_bos) == (2, 64, True)
    assert found.results["loss", "all"] == RECORD.results[0]
    assert found.results["loss", "changed"].n == 0
    assert np.isnan(found.results["loss", "changed"].mean)
    assert found.metrics == ["loss"]
    assert found.n_zero("loss") == 7


def test_the_same_set_is_stored_once_and_found_by_its_members(engine: Engine) -> None:
    first, second = store_run(engine, RECORD), store_run(engine, RECORD)
    nameless = replace(RECORD, neurons=NeuronSetRecord("layer=1", IDS))
    other = replace(RECORD, neurons=NeuronSetRecord("layer=1", np.array([3])))
    store_run(engine, nameless)
    store_run(engine, other)
    with engine.connect() as connection:
        n_sets = select(func.count()).select_from(tables.neuron_sets)
        assert connection.scalar(n_sets) == 2
        same = find_stored_run(connection, SETTINGS, RECORD.treatment, IDS)
        assert same is not None
        assert first < second < same
        assert find_stored_run(connection, SETTINGS, Treatment(), IDS) is None
        more = replace(SETTINGS, n_texts=3)
        assert find_stored_run(connection, more, RECORD.treatment, IDS) is None


def test_baselines_come_in_the_order_of_their_seeds(engine: Engine) -> None:
    run_id = store_run(engine, RECORD)
    nameless = replace(RECORD, neurons=NeuronSetRecord("random", np.array([1])))
    for seed in (4, 2):
        store_run(engine, replace(nameless, seed=seed), run_id)
    with engine.connect() as connection:
        assert [one.run.seed for one in list_baselines(connection, run_id)] == [2, 4]
        assert find_stored_run(connection, SETTINGS, RECORD.treatment, np.array([1])) is None
        same = find_stored_run(connection, SETTINGS, RECORD.treatment, np.array([1]), run_id)
        assert same is not None


def test_runs_of_one_neuron_at_a_time_are_others(engine: Engine) -> None:
    run_id = store_run(engine, RECORD)
    with engine.begin() as connection:
        connection.execute(update(tables.ablation_runs).values(kind="each"))
    with engine.connect() as connection:
        assert find_stored_run(connection, SETTINGS, RECORD.treatment, IDS) is None
        with pytest.raises(UnknownNameError, match=rf"{run_id}\b.*\b0\b"):
            find_ablation_run(connection, run_id)


def test_a_name_is_of_one_set(engine: Engine) -> None:
    store_run(engine, RECORD)
    with pytest.raises(IngestError, match=r"'mine'.*save_set"):
        store_run(engine, replace(RECORD, neurons=NeuronSetRecord("x", np.array([1]), "mine")))


def test_a_run_that_fails_leaves_nothing(engine: Engine) -> None:
    twice = replace(RECORD, results=[RECORD.results[0]] * 2)
    with pytest.raises(DatabaseError):
        store_run(engine, twice)
    with engine.connect() as connection:
        for table in (tables.ablation_runs, tables.neuron_sets, tables.neuron_set_members):
            assert connection.scalar(select(func.count()).select_from(table)) == 0
