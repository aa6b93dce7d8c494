"""Kept top tokens and ablation directions, of runs that are put into a database as such."""

from typing import Any

import pytest
from sqlalchemy import Connection, insert, update

from neurondb.published.comparison import Comparison
from neurondb.published.effects import compare_ablations, compare_kept_tokens
from neurondb.reading.models import Model, find_model
from neurondb.schema import tables
from tests.support.published_models import FIGURES, describe, put_dataset

OLMO = "olmo-7b-0424"
MEANS = FIGURES["ablations"]["means"]


def put_run(connection: Connection, model: Model, run_id: int, mean: float, **columns: Any) -> None:
    """Insert a zero ablation of the weakening neurons with this effect on the entropy."""
    baseline_of = columns.get("baseline_of")
    definition = "baseline of " if baseline_of else ""
    named = {"set_id": run_id, "definition": f"{definition}class='weakening'"}
    connection.execute(insert(tables.neuron_sets), named)
    run = {"run_id": run_id, "model_id": model.model_id, "dataset_id": 1, "set_id": run_id}
    connection.execute(insert(tables.ablation_runs), run | {"mode": "zero", "n_texts": 3} | columns)
    for filter_, n, scale in (("all", 200, 0.5), ("changed", 100, 1.0)):
        row = {"run_id": run_id, "metric": "entropy", "filter": filter_, "n": n, "std": 1.0}
        values = {"mean": scale * mean, "clean_mean": 2.0, "ablated_mean": 2 - scale * mean}
        connection.execute(insert(tables.ablation_results), row | values)


@pytest.fixture
def model(on_pythia: Connection) -> Model:
    model = describe(on_pythia, "small", (4, 20), first_neuron_id=10_000)
    return put_dataset(on_pythia, model, "sampler", 40_000)


@pytest.fixture
def ablated(on_pythia: Connection, model: Model) -> Connection:
    """A database whose runs have the published effects."""
    for run_id, (condition, mean) in enumerate(MEANS.items(), 1):
        put_run(on_pythia, model, run_id, mean, condition=condition or None)
    for run_id in (8, 9):
        put_run(on_pythia, model, run_id, FIGURES["ablations"]["baseline"], baseline_of=1)
    return on_pythia


def effects(connection: Connection) -> list[Comparison]:
    return list(compare_ablations(connection, OLMO, find_model(connection, "small")))


def test_published_ablations_agree(ablated: Connection) -> None:
    lines = effects(ablated)
    assert [c.item for c in lines][:2] == ["everywhere", "gate+_post+"]
    assert [c.ours for c in lines] == pytest.approx(
        [-0.527832, -0.0177917, 0.0359802, -2.2793, 0.0016737, 0.00440598]
    )
    assert {c.verdict for c in lines} == {"agrees"}


@pytest.mark.parametrize(
    ("run_id", "mean", "verdict"),
    [
        (1, -0.1, "agrees"),  # the direction is what is compared
        (1, 0.1, "differs"),
        (4, 0.2, "differs"),
        (2, -0.13, "agrees"),  # a quarter of what the whole class does
        (2, -0.14, "differs"),
        (3, 0.14, "differs"),
    ],
)
def test_directions(ablated: Connection, run_id: int, mean: float, verdict: str) -> None:
    x = tables.ablation_results
    ablated.execute(update(x).where(x.c.run_id == run_id).values(mean=mean))
    assert effects(ablated)[run_id - 1].verdict == verdict


def test_runs_that_are_missing_are_not_in_the_database(on_pythia: Connection, model: Model) -> None:
    assert [c.verdict for c in effects(on_pythia)] == ["not in this database"] * 6
    assert list(compare_ablations(on_pythia, "llama-3.2-3b", model)) == []


@pytest.mark.parametrize(
    ("share", "verdict"), [(0.754, "agrees"), (0.77, "agrees"), (0.73, "differs"), (None, "not in")]
)
def test_kept_tokens(on_pythia: Connection, share: float | None, verdict: str) -> None:
    """Of the comparison with the Instruct version, whichever of the two is asked for."""
    before = describe(on_pythia, "llama-3.1-8b", (32, 14336), first_neuron_id=10**6)
    after = describe(on_pythia, "mine", (32, 14336), first_neuron_id=10**7)
    other = describe(on_pythia, "other", (32, 14336), first_neuron_id=10**8)
    m = tables.models
    source = "meta-llama/Llama-3.1-8B-Instruct"
    on_pythia.execute(update(m).where(m.c.model_id == after.model_id).values(source=source))
    for model, kept in ((other, 0.1), (after, share)):
        ids = {"model_a": before.model_id, "model_b": model.model_id, "share_same_token": kept}
        row = ids | {"created_at": "2026-01-01", "tool_version": "0"}
        on_pythia.execute(insert(tables.comparisons), row)
    for name, model in (("llama-3.1-8b", before), ("llama-3.1-8b-instruct", after)):
        (line,) = compare_kept_tokens(on_pythia, name, model)
        assert line.published == 0.754
        assert line.ours == share
        assert line.verdict.startswith(verdict)
        assert "98.1%" in line.note, "the floor of rounding stands beside it"
    assert list(compare_kept_tokens(on_pythia, "llama-3.2-1b", other)) == []
