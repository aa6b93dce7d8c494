"""Histograms of classes under conditions, against runs whose rows a test writes itself."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, insert

from neurondb.database import connect, parse_url
from neurondb.errors import UnknownNameError, UsageError
from neurondb.figures.ablation_histogram import scale_to_axis
from neurondb.figures.change_histograms import format_runs
from neurondb.reading.class_runs import find_class_suite
from neurondb.reading.models import find_model
from neurondb.schema import tables
from tests.neurondb.figures.specs import GATED, UNGATED, rows, specification, values
from tests.neurondb.figures.test_statements import ask
from tests.support.sample_facts import CLASS_RUN, DATASET, RANDOM_RUN, Sample

BINS = ((-2.0, -1.5, 3), (-0.5, -0.25, 7), (0.25, 0.375, 40))
FIRST = 2000


class Runs:
    """Runs that a test adds to a copy of the sample database, numbered from FIRST."""

    def __init__(self, file: str) -> None:
        self.engine, self.next = connect(parse_url(file)), FIRST
        self.writer = connect(parse_url(file), writing=True)

    def add(self, definition: str, size: int = 3, factor: int = 1, **options: Any) -> int:
        """Add a run on so many neurons, each bin of BINS `factor` times; return its number."""
        run_id = self.next
        self.next += 1
        run: dict[str, Any] = {
            "run_id": run_id,
            "set_id": run_id,
            "model_id": 1,
            "dataset_id": DATASET,
        }
        run |= {"mode": "zero", "kind": "together", "n_texts": 5, "n_tokens": 60, "max_len": 64}
        with self.writer.begin() as connection:
            connection.execute(
                insert(tables.neuron_sets), {"set_id": run_id, "definition": definition}
            )
            members = [{"set_id": run_id, "neuron_id": 1 + i} for i in range(size)]
            connection.execute(insert(tables.neuron_set_members), members)
            connection.execute(insert(tables.ablation_runs), run | options)
            for filter_, n in (("all", 60), ("changed", 50 * factor)):
                row = {"run_id": run_id, "metric": "entropy", "filter": filter_, "n": n}
                connection.execute(
                    insert(tables.ablation_results), row | {"mean": (run_id - FIRST + 1) / 10}
                )
            bins = [
                {"run_id": run_id, "metric": "entropy", "low": a, "high": b, "n": n * factor}
                for a, b, n in BINS
            ]
            connection.execute(insert(tables.ablation_histograms), bins)
        return run_id


@pytest.fixture
def runs(sample: Sample, tmp_path: Path) -> Iterator[Runs]:
    added = Runs(str(shutil.copy(sample.path, tmp_path / "runs.db")))
    yield added
    added.engine.dispose()
    added.writer.dispose()


def bars(spec: Any) -> list[dict[str, Any]]:
    return [row for data in spec["datasets"].values() for row in data if "low" in row]


def headings(spec: Any) -> list[str]:
    return [part["title"]["text"] for part in spec["concat"]]


def subtitle(spec: Any) -> str:
    return " ".join(spec["title"]["subtitle"])


# --- the six histograms ----------------------------------------------------------------------


def test_panels_are_the_class_random_neurons_and_each_condition(runs: Runs) -> None:
    numbers = {
        condition: runs.add("class='weakening'", condition=condition, factor=i + 1)
        for i, condition in enumerate((None, "gate+_post+", "gate+_post-", "gate-_post+"))
    }
    random = [runs.add("baseline of it", baseline_of=numbers[None], factor=n) for n in (1, 4)]
    spec = specification(runs.engine, "ablation-histograms")
    assert headings(spec) == [
        *("weakening", "random neurons of the same layers, mean of 2 sets"),
        *("gate+_post+", "gate+_post-", "gate-_post+", "gate-_post-"),
    ]
    for panel, factor in zip(spec["concat"], (1, 2.5, 2, 3, 4, None), strict=True):
        names = {layer["data"]["name"] for layer in panel["layer"]}
        drawn = [row for name in names for row in spec["datasets"][name] if "low" in row]
        expected = [] if factor is None else [(a, b, n * factor) for a, b, n in BINS]
        assert [(row["low"], row["high"], row["tokens"]) for row in drawn] == expected
        assert all(row["x"] == pytest.approx(scale_to_axis(row["low"]), abs=1e-4) for row in drawn)
    assert "no run: gate-_post-" in subtitle(spec)
    shown = [*(n for c, n in numbers.items()), *random]
    assert format_runs(shown) in subtitle(spec)
    means = [panel["title"]["subtitle"][0] for panel in spec["concat"]]
    assert means == [f"mean +{mean}" for mean in (0.1, 0.55, 0.2, 0.3, 0.4)] + [" "]


def test_the_sample_has_what_its_runs_have(sample_engine: Engine) -> None:
    for model, number, n_conditions in ((GATED, 1, 4), (UNGATED, 2, 2)):
        spec = specification(sample_engine, "ablation-histograms", model)
        assert len(spec["concat"]) == 2 + n_conditions
        assert format_runs([CLASS_RUN + number, RANDOM_RUN + number]) in subtitle(spec)
        assert {(row["low"], row["tokens"]) for row in bars(spec)} == {(-0.5, 10), (0.25, 30)}


def test_the_newest_run_over_the_newest_texts_is_drawn(runs: Runs) -> None:
    old = runs.add("class='weakening'", n_texts=9)
    before = runs.add("class='weakening'")
    newest = runs.add("class='weakening'")
    lone = runs.add("class='weakening'", condition="gate+_post+")
    assert format_runs([newest, lone]) in subtitle(
        specification(runs.engine, "ablation-histograms")
    )
    asked = {row["run_id"] for row in ask(runs.engine, "ablation-histograms")}
    assert asked == {newest, lone}
    assert not asked & {old, before}


def test_a_class_without_a_run_is_one_line(sample_engine: Engine) -> None:
    with pytest.raises(UnknownNameError, match=r"conditional weakening.*ablate-suite sample-llama"):
        specification(sample_engine, "ablation-histograms", rw_class="cond-weak")
    with pytest.raises(UsageError, match="nonsense"):
        specification(sample_engine, "ablation-histograms", rw_class="nonsense")
    with pytest.raises(UnknownNameError, match="--modes mean"):
        specification(sample_engine, "ablation-histograms", mode="mean")


# --- the grid --------------------------------------------------------------------------------


def test_a_grid_has_every_class_and_condition(runs: Runs) -> None:
    first = runs.add("class='weakening'", factor=2)
    runs.add("baseline of it", baseline_of=first, factor=3)
    runs.add("class='proportional change'", condition="gate-_post+")
    spec = specification(runs.engine, "ablation-grid")
    (data,) = (d for d in spec["datasets"].values() if d)
    cells = {(row["class"], row["condition"]) for row in data}
    assert cells == {
        (name, condition)
        for name in ("weakening", "proportional change")
        for condition in ("at every token", "gate-_post+")
    }
    by_what: dict[tuple[str, str], list[Any]] = {}
    for row in data:
        by_what.setdefault((row["class"], row["what"]), []).append(row)
    removed = by_what["weakening", "removed"]
    assert [(row["low"], row["tokens"]) for row in removed] == [(a, 2 * n) for a, _, n in BINS]
    corners = by_what["weakening", "random"]
    assert [row["tokens"] for row in corners] == [9, 0.5, 21, 0.5, 120, 0.5]  # gaps are empty
    assert [row["word"] for row in by_what["weakening", "word"]] == ["no run"]
    assert "no run: proportional change at every token, weakening gate-_post+" in subtitle(spec)
    order = next(values(spec["facet"]["row"], "sort"))
    assert order == ["proportional change", "weakening"]  # the published one


def test_the_grids_sql_has_its_bars(runs: Runs) -> None:
    first = runs.add("class='weakening'", condition="gate+_post-")
    runs.add("baseline of it", baseline_of=first, factor=3)
    runs.add("class='weakening'")
    data = bars(specification(runs.engine, "ablation-grid"))
    asked = [row for row in ask(runs.engine, "ablation-grid") if not row["random"]]
    assert {(r["class"], r["condition"] or "at every token", r["low"], r["n"]) for r in asked} == {
        (r["class"], r["condition"], r["low"], r["tokens"]) for r in data
    }


def test_as_many_neurons_of_each_class(runs: Runs) -> None:
    many = runs.add("class='weakening'", size=30)
    drawn = runs.add("5 of class='weakening', seed 0", size=5)
    few = runs.add("class='proportional change'", size=4)
    runs.add("6 of class='weakening', seed 0", size=6)
    with runs.engine.connect() as connection:
        model = find_model(connection, GATED)
        for n, expected in ((None, {many, few}), (5, {drawn, few})):
            suite = find_class_suite(connection, model, "zero", n)
            assert suite is not None
            assert suite.sizes == (5, 6, None)
            found = {one.run.run.run_id for one in suite.runs}
            assert found == expected
            asked = ask(runs.engine, "ablation-grid", drawn=n)
            assert {row["run_id"] for row in asked} == expected
    assert "5 of each class" in subtitle(specification(runs.engine, "ablation-grid", drawn=5))
    with pytest.raises(UnknownNameError, match=r"no 3 neurons.*only 5, 6.*--draw 3"):
        specification(runs.engine, "ablation-grid", drawn=3)


def test_runs_are_named_in_spans() -> None:
    assert format_runs([7]) == "run 7"
    assert format_runs([9, 7, 8]) == "runs 7–9"
    assert format_runs([1, 3, 4, 9]) == "runs 1, 3–4 and 9"
    assert format_runs(range(1, 44, 3)) == "15 runs, 1 to 43"


def test_no_run_of_a_class_is_one_line(runs: Runs) -> None:
    with runs.writer.begin() as connection:
        connection.execute(tables.ablation_runs.delete().where(tables.ablation_runs.c.model_id > 1))
    with pytest.raises(UnknownNameError, match="ablate-suite sample-gpt --dataset TEXTS"):
        specification(runs.engine, "ablation-grid", UNGATED)


def test_numbers_stand_in_one_dataset(sample_engine: Engine) -> None:
    assert rows(specification(sample_engine, "ablation-grid"), "class", "what")
