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


def test_a_suite_of_drawn_neurons_has_as_many_of_each_class(file: Path) -> None:
    present = dict(rows(file, "SELECT class, COUNT(*) FROM neuron_overview GROUP BY 1"))
    del present["orthogonal output"]
    draw = sorted(present.values())[-2]
    told = Silent()
    asked = suite(file, draw=draw, seed=3, treatments=SUITE[:1])
    report = ablate_suite.run(asked, told)
    found = dict(
        rows(
            file,
            "SELECT s.definition, COUNT(*) FROM ablation_runs r JOIN neuron_sets s USING (set_id) "
            "JOIN neuron_set_members m USING (set_id) WHERE r.baseline_of IS NULL GROUP BY 1",
        )
    )
    fewer = {name for name, n in present.items() if n < draw}
    assert found == {
        f"class='{name}'" if n <= draw else f"{draw} of class='{name}', seed 3": min(n, draw)
        for name, n in present.items()
    }
    assert [any(f"'{name}'" in note for note in told.notes) for name in fewer] == [True] * len(
        fewer
    )
    assert sum("all of which are taken" in note for note in told.notes) == len(fewer)
    sizes = rows(
        file,
        "SELECT r.run_id, b.baseline_of, COUNT(*) FROM ablation_runs r "
        "JOIN neuron_set_members m USING (set_id) LEFT JOIN ablation_runs b USING (run_id) "
        "GROUP BY 1, 2",
    )
    by_run = {run_id: n for run_id, _, n in sizes}
    for run_id, of, n in sizes:
        assert of is None or n == by_run[of], run_id
    assert ablate_suite.run(asked, Silent()).n_new == 0
    assert report.n_new == 2 * len(present)
    other = ablate_suite.run(suite(file, draw=1, seed=4, treatments=SUITE[:1]), Silent())
    drawn = rows(
        file,
        "SELECT COUNT(*) FROM neuron_set_members m JOIN ablation_runs r USING (set_id) "
        f"WHERE r.run_id IN ({', '.join(map(str, other.run_ids))})",
    )
    assert drawn == [(len(present),)]
