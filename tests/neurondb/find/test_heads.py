"""`deactivates>=4`: neurons that turn attention heads on and off."""

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import Engine

from neurondb.errors import ExpressionError
from neurondb.find.columns import ResultShape
from neurondb.find.compiler import compile_find
from neurondb.find.empty_answers import explain_empty
from neurondb.find.grammar import list_keys, parse
from neurondb.find.search import read_expression
from neurondb.find.terms import MovesHead, Not, Or
from neurondb.sql import open_engine, run_sql
from tests.support.sample_facts import Sample


def found(engine: Engine, expression: str) -> set[int]:
    statement, values = compile_find(
        read_expression(engine, expression), ResultShape(("neuron_id",))
    )
    return {row[0] for row in run_sql(engine, statement, values).rows}


def wanted(engine: Engine, where: str) -> set[int]:
    with engine.connect() as connection:
        sql = f"SELECT neuron_id FROM neuron_heads WHERE {where}"
        return set(connection.exec_driver_sql(sql).scalars())


def test_how_it_is_read() -> None:
    assert parse("deactivates>=4") == MovesHead(1, ">=", 4)
    assert parse("Activates>5.5") == MovesHead(-1, ">", 5.5)
    assert parse("deactivates=5.0") == MovesHead(1, ">=", 4, (5, 0))
    assert parse("activates!=12.11") == Not(MovesHead(-1, ">=", 4, (12, 11)))
    assert parse("deactivates=1.0,2.0") == Or(
        (MovesHead(1, ">=", 4, (1, 0)), MovesHead(1, ">=", 4, (2, 0)))
    )
    assert {"deactivates", "activates"} <= list_keys()


@pytest.mark.parametrize(
    ("expression", "where"),
    [
        ("deactivates>=4", "standardised >= 4"),
        ("activates>3", "standardised < -3"),
        ("deactivates=3.0", "standardised >= 4 AND head_layer = 3 AND head = 0"),
        ("activates>=2 model=sample-gpt", "standardised <= -2 AND model = 'sample-gpt'"),
        ("deactivates>=5 or activates>=5", "ABS(standardised) >= 5"),
    ],
)
def test_neurons_of_stored_scores(expression: str, where: str, sample_engine: Engine) -> None:
    expected = wanted(sample_engine, where)
    assert expected
    # neuron_overview has the neurons with a class.
    with sample_engine.connect() as connection:
        known = set(connection.exec_driver_sql("SELECT neuron_id FROM neuron_overview").scalars())
    assert found(sample_engine, expression) == expected & known


def test_all_others(sample_engine: Engine) -> None:
    some = found(sample_engine, "deactivates>=4")
    others = found(sample_engine, "not deactivates>=4")
    assert not some & others
    assert some | others == found(sample_engine, "")


@pytest.mark.parametrize(
    ("expression", "said"),
    [
        ("deactivates<4", "takes > or >= and a number from 0"),
        ("activates>=-4", "takes > or >= and a number from 0"),
        ("deactivates=4", "'4' at character 13 is no head"),
        ("deactivates", "needs a comparison"),
        ("deactivate>=4", "deactivates"),
    ],
)
def test_what_is_wrong_is_said(expression: str, said: str) -> None:
    with pytest.raises(ExpressionError, match=said):
        parse(expression)


def test_an_empty_answer_says_what_computes_it(sample: Sample, tmp_path: Path) -> None:
    copy = shutil.copy(sample.path, tmp_path / "n.db")
    with closing(sqlite3.connect(copy)) as connection:
        for table in ("head_runs", "neuron_head_rows"):
            connection.execute(f"DELETE FROM {table}")
        connection.commit()
    with open_engine(str(copy)) as engine, engine.connect() as connection:
        lines = explain_empty(connection, parse("deactivates>=4 model=sample-llama"))
    assert any("run `neurondb heads sample-llama`" in line for line in lines)
