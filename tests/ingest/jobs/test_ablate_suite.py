"""The job `ablate-suite` on the bundled model: what it is made of, and that it goes on."""

from pathlib import Path
from typing import Any

import pytest

from ingest.interventions import ablation_session
from ingest.jobs import ablate_suite
from neurondb.contracts.ablate import AblationSuiteRequest
from neurondb.contracts.inputs import NeuronSelection, TextsRequest
from neurondb.interventions import Condition, Treatment
from neurondb.writing.ablations import store_run
from tests.ingest.jobs.ablation_requests import MODEL, N_TEXTS, copy_of, dataset, request, rows, run
from tests.support.ingested import Silent
from tests.support.real_models import BUNDLED

SUITE = tuple(Treatment("zero", condition) for condition in (Condition(), Condition(-1, 1)))


def suite(file: Path, **more: Any) -> AblationSuiteRequest:
    return AblationSuiteRequest(
        MODEL,
        TextsRequest(dataset(file), max_texts=N_TEXTS, max_len=60),
        **{"treatments": SUITE, "device": "cpu", "database": str(file), **more},
    )


def test_a_suite_is_every_class_and_condition_with_its_baseline(file: Path) -> None:
    report = ablate_suite.run(suite(file), Silent())
    present = rows(
        file,
        "SELECT class, COUNT(*) FROM neuron_overview WHERE class <> 'orthogonal output' GROUP BY 1",
    )
    assert report.n_new == len(present) * 2 * 2
    found = rows(
        file,
        "SELECT s.definition, r.condition, COUNT(DISTINCT m.neuron_id), COUNT(DISTINCT b.run_id) "
        "FROM ablation_runs r JOIN neuron_sets s USING (set_id) "
        "JOIN neuron_set_members m USING (set_id) "
        "JOIN ablation_runs b ON b.baseline_of = r.run_id GROUP BY r.run_id",
    )
    assert sorted(found, key=repr) == sorted(
        (
            (f"class='{name}'", condition, n, 1)
            for name, n in present
            for condition in (None, "gate-_post+")
        ),
        key=repr,
    )


def test_a_suite_gives_what_single_runs_do(file: Path, tmp_path: Path) -> None:
    ablate_suite.run(suite(file, classes=("cond-weak",)), Silent())
    (tmp_path / "alone").mkdir()
    other = copy_of(BUNDLED, tmp_path / "alone")
    for treatment in SUITE:
        run(request(other, NeuronSelection("class", "cond-weak"), baseline=1, treatment=treatment))
    results = "SELECT * FROM ablation_results ORDER BY 1, 2, 3"
    assert rows(file, results) == rows(other, results)


def test_a_suite_goes_on_where_it_was(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ablation_session, "RUNS_AT_A_TIME", 4)
    monkeypatch.setattr(ablation_session, "GROUP_SECONDS", 0.0)
    stored = store_run
    left = iter(range(6))

    def breaks(*args: Any) -> int:
        if next(left, None) is None:
            raise KeyboardInterrupt
        return stored(*args)

    monkeypatch.setattr(ablation_session, "store_run", breaks)
    with pytest.raises(KeyboardInterrupt):
        ablate_suite.run(suite(file), Silent())
    assert len(rows(file, "SELECT 1 FROM ablation_runs")) == 6
    monkeypatch.setattr(ablation_session, "store_run", stored)
    report = ablate_suite.run(suite(file), Silent())
    assert len(rows(file, "SELECT 1 FROM ablation_runs")) == report.n_new + 6
    again = ablate_suite.run(suite(file), Silent())
    assert (again.run_ids, again.n_new) == (report.run_ids, 0)
