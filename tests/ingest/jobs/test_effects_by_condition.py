"""`ablate-each` and `attribute` under several sign conditions: a run each, found by condition."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ingest.interventions.single_neuron import attribution as estimating
from ingest.jobs import ablate_each, attribution
from neurondb.contracts.inputs import NeuronSelection
from neurondb.contracts.single_neuron import EffectRequest
from neurondb.errors import LackingModelError
from neurondb.find import find
from neurondb.interventions import Condition, Treatment, expand_conditions
from neurondb.sql import open_engine
from neurondb.writing.effects import store_effects
from tests.ingest.jobs.ablation_requests import copy_of, rows
from tests.ingest.jobs.test_ablate_each import check, each, request, stored
from tests.support.ingested import Silent

CASES = ("gate+_post+", "gate+_post-", "gate-_post+", "gate-_post-")
FOUR = tuple(Treatment("zero", Condition.parse(case)) for case in CASES)
FIVE = (Treatment("zero"), *FOUR)


def estimate(asked: EffectRequest) -> Any:
    return attribution.run(asked, Silent())


def means(file: Path, run_id: int, metric: str = "loss") -> np.ndarray:
    found = rows(
        file,
        "SELECT mean FROM neuron_attributions WHERE run_id = ? AND metric = ? ORDER BY neuron_id",
        run_id,
        metric,
    )
    return np.array(found, dtype=np.float64)[:, 0]


def test_measured_effects_are_those_of_the_reference_under_each_condition(file: Path) -> None:
    report = each(request(file, treatments=FOUR))
    assert report.n_new == 4 * report.n_neurons
    for run_id, case in zip(report.run_ids, CASES, strict=True):
        for name in ("1.3", "3.100"):
            check(file, run_id, name, condition=case)
    again = each(request(file, treatments=FOUR))
    assert (again.run_ids, again.n_new) == (report.run_ids, 0)
    for run_id, treatment in zip(report.run_ids, FOUR, strict=True):
        alone = each(request(file, treatments=(treatment,), force=True))
        assert stored(file, alone.run_id) == stored(file, run_id)


def test_estimates_of_all_conditions_come_from_one_pass_and_add_up(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    passes = list[int]()
    real = estimating.Attributor.run

    def counted(self: Any, interventions: Any, advance: Any) -> Any:
        passes.append(len(interventions))
        return real(self, interventions, advance)

    monkeypatch.setattr(estimating.Attributor, "run", counted)
    asked = request(file, selection=None, metrics=("loss", "entropy"), treatments=FIVE)
    report = estimate(asked)
    assert passes == [5]
    assert report.n_new == 5 * report.n_neurons
    for metric in ("loss", "entropy"):
        always, *cases = (means(file, run_id, metric) for run_id in report.run_ids)
        np.testing.assert_allclose(np.sum(cases, axis=0), always, rtol=1e-3, atol=1e-9)
    assert estimate(asked).n_new == 0
    other = replace(asked, treatments=(Treatment("zero", Condition(gate=1)), *FOUR))
    assert estimate(other).n_new == report.n_neurons
    assert passes == [5, 1]
    first, second = (means(file, run_id) for run_id in report.run_ids[1:3])
    alone = means(file, estimate(other).run_ids[0])
    np.testing.assert_allclose(first + second, alone, rtol=1e-3, atol=1e-9)


def test_find_knows_the_last_run_of_each_condition(file: Path) -> None:
    report = each(request(file, treatments=FIVE, metrics=("entropy",)))
    assert rows(file, "SELECT each_run_id FROM models") == [(report.run_ids[0],)]
    with open_engine(str(file)) as engine:
        for run_id, case in zip(report.run_ids[1:], CASES, strict=True):
            column = f"ablated[{case}].entropy"
            found = dict(find(engine, f"{column}<0", columns=("name", column), limit=None).rows)
            wanted = {
                name: values[1]
                for (name, _), values in stored(file, run_id).items()
                if values[1] is not None and values[1] < 0
            }
            assert found == wanted
    forced = each(request(file, treatments=(FOUR[2],), metrics=("entropy",), force=True))
    shown = rows(file, "SELECT condition, run_id FROM shown_condition_runs WHERE kind = 'each'")
    assert dict(shown) == {
        **dict(zip(CASES, report.run_ids[1:], strict=True)),
        CASES[2]: forced.run_id,
    }


def test_an_interrupted_request_goes_on_with_the_condition_it_was_at(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, parts = store_effects, list[int]()

    def failing(*args: Any) -> None:
        if len(parts) == 2:
            raise KeyboardInterrupt
        real(*args)
        parts.append(1)

    monkeypatch.setattr(ablate_each, "store_effects", failing)
    chosen = NeuronSelection("neurons", "0.3,0.5")
    asked = request(file, treatments=FOUR, selection=chosen, metrics=("loss",))
    with pytest.raises(KeyboardInterrupt):
        each(asked)
    states = rows(file, "SELECT condition, finished FROM ablation_runs ORDER BY run_id")
    assert states == [(case, int(i < 2)) for i, case in enumerate(CASES)]
    shown = rows(file, "SELECT condition FROM shown_condition_runs ORDER BY run_id")
    assert shown == [(CASES[0],), (CASES[1],)]
    monkeypatch.setattr(ablate_each, "store_effects", real)
    assert each(asked).n_new == 4
    assert rows(file, "SELECT COUNT(*) FROM shown_condition_runs") == [(4,)]


def test_ungated_neurons_have_two_conditions(tmp_path: Path) -> None:
    path = copy_of("gpt2", tmp_path)
    ((name,),) = rows(path, "SELECT name FROM models")
    conditions = expand_conditions(["all"], gated=False)
    assert conditions == ("post+", "post-")
    treatments = (Treatment("zero"), *(Treatment("zero", Condition.parse(c)) for c in conditions))
    asked = replace(
        request(path, selection=None, metrics=("loss",), treatments=treatments), model=name
    )
    report = estimate(asked)
    always, plus, minus = (means(path, run_id) for run_id in report.run_ids)
    np.testing.assert_allclose(plus + minus, always, rtol=1e-3, atol=1e-9)
    gated = replace(asked, treatments=FOUR)
    with pytest.raises(LackingModelError, match=r"gate\+_post\+"):
        estimate(gated)
    assert rows(path, "SELECT COUNT(*) FROM ablation_runs") == [(3,)]
