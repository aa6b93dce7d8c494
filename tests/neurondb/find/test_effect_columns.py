"""`find` on what removing a neuron does: the same as plain SQL, and as the sample's rows."""

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import Engine

from neurondb import named_queries
from neurondb.errors import ExpressionError, UsageError
from neurondb.find import explain_empty, find
from neurondb.find.compiler import compile_find
from neurondb.find.grammar import parse
from neurondb.sql import open_engine
from tests.support.sample_database import build
from tests.support.sample_facts import Row, Sample

CASES: dict[str, Callable[[Row], bool]] = {
    "ablated.loss<-0.5": lambda n: below(n["ablated_loss"], -0.5),
    "ablated_loss<-0.5": lambda n: below(n["ablated_loss"], -0.5),
    "weakening ablated.loss<0": lambda n: n["class"] == "weakening" and below(n["ablated_loss"], 0),
    "|ablated.entropy|>1": lambda n: (
        n["ablated_entropy"] is not None and abs(n["ablated_entropy"]) > 1
    ),
    "ablated.rank=-0.5..0.5": lambda n: (
        n["ablated_rank"] is not None and -0.5 <= n["ablated_rank"] <= 0.5
    ),
    "not ablated.loss<0": lambda n: n["ablated_loss"] is not None and n["ablated_loss"] >= 0,
    "ablated.loss=null": lambda n: n["ablated_loss"] is None,
    "ablated.scale>0.5 or attribution.loss>1": lambda n: (
        (n["ablated_scale"] is not None and n["ablated_scale"] > 0.5) or n["attribution_loss"] > 1
    ),
    "attribution.entropy>0 ablated.entropy<0 layer=2": lambda n: (
        n["attribution_entropy"] > 0 and below(n["ablated_entropy"], 0) and n["layer"] == 2
    ),
    "model=sample-gpt ablated.loss<0": lambda n: (
        n["model"] == "sample-gpt" and below(n["ablated_loss"], 0)
    ),
}


def below(value: float | None, limit: float) -> bool:
    return value is not None and value < limit


@pytest.mark.parametrize("text", CASES)
def test_effects_are_compared_as_the_rows_say(
    text: str, sample: Sample, sample_engine: Engine
) -> None:
    rows = find(sample_engine, text, columns=("neuron_id",), limit=None).rows
    assert {key for (key,) in rows} == {n["neuron_id"] for n in sample.neurons if CASES[text](n)}


def test_the_first_question_of_the_docs_is_the_sql_it_stands_for(
    sample: Sample, sample_engine: Engine
) -> None:
    rows = find(
        sample_engine,
        "weakening ablated.loss<0",
        order=("ablated.loss",),
        columns=("name", "ablated.loss"),
    )
    with closing(sqlite3.connect(sample.path)) as connection:
        wanted = connection.execute(
            """SELECT n.layer || '.' || n.neuron, e.mean
               FROM neuron_effects e JOIN neurons n USING (neuron_id)
               JOIN classes q USING (neuron_id) JOIN rw_classes k USING (class_id)
               WHERE e.metric = 'loss' AND k.name = 'weakening' AND e.mean < 0
               ORDER BY e.mean, e.neuron_id"""
        ).fetchall()
    assert rows.columns == ("name", "ablated_loss")
    assert list(rows.rows) == wanted
    assert wanted


def test_what_is_unknown_comes_last_in_either_order(sample_engine: Engine) -> None:
    for key in ("ablated.loss", "-ablated.loss", "|ablated_loss|"):
        rows = find(sample_engine, "", order=(key,), columns=("ablated.loss",), limit=None)
        values = [value for (value,) in rows.rows]
        known = [value for value in values if value is not None]
        assert values[: len(known)] == known


def test_a_slip_names_near_columns(sample_engine: Engine) -> None:
    with pytest.raises(ExpressionError, match=r"'abalted\.loss'.*'ablated\.loss'"):
        find(sample_engine, "abalted.loss<0")
    with pytest.raises(UsageError, match=r"'ablated\.lost'.*'ablated_loss'"):
        find(sample_engine, "", order=("ablated.lost",))


def test_without_a_run_the_command_that_makes_one_is_named(tmp_path: Path) -> None:
    path = build(tmp_path / "sample.db").path
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("UPDATE models SET each_run_id = NULL WHERE model_id = 1")
        connection.execute("DELETE FROM neuron_attributions WHERE metric = 'entropy'")
        connection.commit()
    with open_engine(str(path)) as engine:
        (line,) = explain_empty(engine, "ablated.loss<-99")
        assert line.startswith("ablated.loss is not known of sample-llama: run `neurondb ablate-ea")
        (line,) = explain_empty(engine, "attribution.entropy<-99 model=sample-gpt")
        assert "--attribution --dataset TEXTS --metrics loss,entropy" in line
        assert explain_empty(engine, "ablated.loss<-99 model=sample-gpt") == []
        lines = named_queries.explain_empty(engine, "removal-effects", {"model": "sample-llama"})
        assert any("neurondb ablate-each sample-llama" in one for one in lines)


def test_an_effect_alone_is_answered_from_its_index(sample_engine: Engine) -> None:
    sql = compile_find(parse("ablated.loss<-1")).sql
    with sample_engine.connect() as connection:
        plan = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {sql}", {"p1": -1}).all()
    assert any("ix_neuron_effects_run_id_metric_mean" in str(row) for row in plan)


@pytest.mark.parametrize("class_", [None, "weakening"])
@pytest.mark.parametrize(("direction", "sign"), [("rises", 1), ("falls", -1)])
def test_removal_effects(
    direction: str, sign: int, class_: str | None, sample: Sample, sample_engine: Engine
) -> None:
    given = {"direction": direction, "metric": "entropy", "limit": "1000"}
    chosen = {} if class_ is None else {"class": class_}
    rows = list(named_queries.run(sample_engine, "removal-effects", given | chosen).rows)
    wanted = [
        n
        for n in sample.neurons
        if class_ in (None, n["class"]) and n["ablated_entropy"] is not None
    ]
    wanted.sort(key=lambda n: (sign * n["ablated_entropy"], n["neuron_id"]))
    assert [(row[0], row[1], row[4], row[8]) for row in rows] == [
        (n["model"], n["name"], n["ablated_entropy"], n["attribution_entropy"]) for n in wanted
    ]


def test_ablation_runs_stand_beside_their_random_neurons(
    sample: Sample, sample_engine: Engine
) -> None:
    with closing(sqlite3.connect(sample.path)) as connection:
        runs = connection.execute(
            "SELECT run_id, baseline_of FROM ablation_runs WHERE kind = 'together'"
        ).fetchall()
        means = dict(
            connection.execute(
                "SELECT run_id, mean FROM ablation_results WHERE metric = 'loss' AND filter = 'all'"
            ).fetchall()
        )
    beside = {of: means[run_id] for run_id, of in runs if of is not None}
    found = list(named_queries.run(sample_engine, "ablation-runs", {"metric": "loss"}).rows)
    assert [(row[0], row[2], *row[4:8]) for row in found] == [
        (run_id, "class='weakening'", "zero", "loss", means[run_id], beside[run_id])
        for run_id, of in sorted(runs, reverse=True)
        if of is None
    ]
