"""The figures of neurons that were held, against the sample's rows."""

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine

from neurondb.database import open_existing
from neurondb.errors import UnknownNameError, UsageError
from neurondb.figures.concept_sweeps import LOWEST, RANDOM
from tests.neurondb.figures.specs import GATED, UNGATED, rows, specification
from tests.support.sample_concepts import CLAMP_RUN, CONCEPT, CONCEPT_RUN, N_SWEPT
from tests.support.sample_facts import Sample

MODELS = pytest.mark.parametrize(("model", "number"), [(GATED, 1), (UNGATED, 2)])


def asked(engine: Engine, sql: str, *values: Any) -> list[Any]:
    with engine.connect() as connection:
        return list(connection.exec_driver_sql(sql, values))


@MODELS
def test_every_neuron_of_a_run_is_a_point(model: str, number: int, sample_engine: Engine) -> None:
    drawn = rows(specification(sample_engine, "concept-effects", model), "near")
    wanted = asked(
        sample_engine,
        "SELECT name, change, rank, random, vector, best_value, low_change, high_change "
        "FROM concept_neurons WHERE run_id = ?",
        CONCEPT_RUN + number,
    )
    points = {row["name"]: row for row in drawn}
    assert len(points) == len(wanted)
    for name, change, rank, is_random, vector, value, low, high in wanted:
        row = points[name]
        assert row["change"] == pytest.approx(change, abs=1e-5)
        assert change == max(low, high)
        assert row["rank"] == rank + 1
        assert row["what"] == ("random" if is_random else vector)
        assert row["value"] == value == (2.0 if high >= low else -2.0)
        assert row["label"] in ("", name)


@MODELS
def test_the_line_is_the_best_random_neuron(model: str, number: int, sample_engine: Engine) -> None:
    spec = specification(sample_engine, "concept-effects", model)
    lines = [
        data[0]["change"]
        for data in spec["datasets"].values()
        if len(data) == 1 and set(data[0]) == {"change"}
    ]
    ((best,),) = asked(
        sample_engine,
        "SELECT MAX(change) FROM concept_candidates WHERE run_id = ? AND random = 1",
        CONCEPT_RUN + number,
    )
    assert sorted(lines) == pytest.approx(sorted([0, best]))


@MODELS
def test_a_sweeps_points_are_those_stored(model: str, number: int, sample_engine: Engine) -> None:
    drawn = rows(specification(sample_engine, "concept-sweeps", model), "line")
    wanted = asked(
        sample_engine,
        "SELECT name, random, value, change FROM concept_sweeps WHERE run_id = ?",
        CONCEPT_RUN + number,
    )
    assert len(drawn) == len(wanted) == 2 * N_SWEPT * 5
    found = {(row["name"], row["value"]): row for row in drawn}
    for name, is_random, value, change in wanted:
        row = found[name, value]
        assert row["change"] == change
        assert row["line"] == (RANDOM if is_random else name)
        # In multiples of the largest |value|, 4 of which are 2.0; or as it is.
        assert row["x"] == pytest.approx(value * 2 if model == GATED else value)
        assert row["y"] == max(row["p"], LOWEST * 0.001)


@MODELS
def test_a_clamp_sweeps_points_are_those_stored(
    model: str, number: int, sample_engine: Engine, sample: Sample
) -> None:
    run = CLAMP_RUN + 10 * number
    alone = specification(sample_engine, "clamp-sweeps", model, run=run)
    wanted = asked(
        sample_engine,
        "SELECT DISTINCT value, probability FROM clamp_sweeps WHERE run_id = ? "
        "AND value IS NOT NULL",
        run,
    )
    drawn = rows(alone, "probability")
    assert sorted((r["value"], r["probability"]) for r in drawn) == sorted(map(tuple, wanted))


def test_sweeps_of_another_range_or_prompt_have_panels_of_their_own(
    sample: Sample, tmp_path: Path
) -> None:
    path = shutil.copy(sample.path, tmp_path / "sweeps.db")
    runs = (CLAMP_RUN + 10, CLAMP_RUN + 11)
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(
            "INSERT OR IGNORE INTO clamp_run_neurons (run_id, neuron_id) "
            "SELECT ?, neuron_id FROM clamp_run_neurons WHERE run_id = ?",
            runs,
        )
        connection.execute("UPDATE clamp_results SET value = 50 * value WHERE run_id = ?", runs[:1])
    engine = open_existing(str(path))
    found = specification(engine, "clamp-sweeps", GATED, layer=1, neuron=6)
    engine.dispose()
    drawn = rows(found, "probability")
    panels = {row["run"]: row["panel"] for row in drawn}
    assert panels == {
        runs[0]: "−100 to 100 after “I live in <i>”",
        runs[1]: "−2 to 2 after “I live in <i>”",
    }
    assert found["resolve"]["scale"]["x"] == "independent"


def test_without_a_run_all_of_the_newest_prompt_are_drawn(sample_engine: Engine) -> None:
    drawn = rows(specification(sample_engine, "clamp-sweeps"), "probability")
    assert {row["run"] for row in drawn} == {CLAMP_RUN + 10, CLAMP_RUN + 11}
    assert len({row["line"] for row in drawn}) == 4
    of_neuron = specification(sample_engine, "clamp-sweeps", layer=1, neuron=6)
    assert {row["run"] for row in rows(of_neuron, "probability")} == {CLAMP_RUN + 11}


@pytest.mark.parametrize(
    ("name", "given", "said"),
    [
        ("concept-effects", {"concept": "nothing"}, "no concept 'nothing' of sample-llama"),
        ("concept-sweeps", {"run": 7}, "no concept run 7 of sample-llama"),
        ("clamp-sweeps", {"run": 7}, "no clamp sweep of sample-llama is stored"),
        ("clamp-sweeps", {"layer": 0, "neuron": 60}, "no clamp sweep of 0.60 of sample-llama"),
    ],
)
def test_what_is_not_stored(
    name: str, given: dict[str, Any], said: str, sample_engine: Engine
) -> None:
    with pytest.raises(UnknownNameError, match=said):
        specification(sample_engine, name, **given)


def test_half_a_neuron(sample_engine: Engine) -> None:
    with pytest.raises(UsageError, match="give both or neither"):
        specification(sample_engine, "clamp-sweeps", layer=0)


def test_a_concept_is_found_by_its_text(sample_engine: Engine) -> None:
    spec = specification(sample_engine, "concept-effects", concept=f"  {CONCEPT} ")
    assert CONCEPT in str(spec["title"]["subtitle"])
