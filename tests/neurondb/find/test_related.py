"""`downstream(L.N)` and its kin: how they are read, what they find, and why nothing is found."""

import shutil
from pathlib import Path

import pytest
from sqlalchemy import Engine

from neurondb.database import connect, parse_url
from neurondb.errors import ExpressionError, UnknownNameError
from neurondb.find.columns import ResultShape
from neurondb.find.compiler import compile_count, compile_find
from neurondb.find.empty_answers import explain_empty, explain_nulls
from neurondb.find.grammar import parse
from neurondb.find.search import read_expression
from neurondb.find.terms import And, IsRelated, Not, Or, Place
from neurondb.sql import run_sql
from tests.support.sample_facts import WIDTH, Sample
from tests.support.sample_neighbours import TWIN

LLAMA, GPT = "sample-llama", "sample-gpt"
KEY = 2 * WIDTH + 7
"""Neuron 2.7 of the gated model."""


def found(engine: Engine, expression: str) -> set[int]:
    statement, values = compile_find(
        read_expression(engine, expression), ResultShape(("neuron_id",))
    )
    ids = [row[0] for row in run_sql(engine, statement, values).rows]
    count = run_sql(engine, *compile_count(read_expression(engine, expression)))
    assert [tuple(row) for row in count.rows] == [(len(ids),)]
    return set(ids)


def wanted(engine: Engine, sql: str) -> set[int]:
    with engine.connect() as connection:
        return set(connection.exec_driver_sql(sql).scalars())


def test_how_they_are_read() -> None:
    assert parse("downstream(29.808)") == IsRelated("downstream", Place(29, 808))
    assert parse("Upstream( 2.7, gate - )") == IsRelated("upstream", Place(2, 7), ("gate",), -1)
    assert parse("neighbour(2.7 OUT in)") == IsRelated("neighbours", Place(2, 7), ("out", "in"))
    assert parse("neighbors(2.7 opposite)") == IsRelated("neighbours", Place(2, 7), (), -1)
    assert parse("upstream(2.7 + -)") == IsRelated("upstream", Place(2, 7), (), 0)
    both = Or((parse("downstream(0.1)"), parse("upstream(2.7)")))
    assert parse("downstream(0.1), upstream(2.7)") == both
    assert parse("not upstream(2.7)") == Not(parse("upstream(2.7)"))
    assert isinstance(parse("downstream(29.808) weakening"), And)


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("downstream(29)", "needs a neuron in its parentheses, as downstream(29.808)"),
        ("upstream()", "needs a neuron"),
        ("upstream(2.7 out)", "'out' is neither a vector (gate, in) nor a sign"),
        ("neighbours(2.7 otu)", "did you mean 'out'?"),
        ("downstream weakening", "needs a neuron in parentheses at once, as in downstream(29.808)"),
        ("downstream (2.7)", "needs a neuron in parentheses at once"),
    ],
)
def test_what_is_written_wrong_is_one_line(written: str, said: str) -> None:
    with pytest.raises(ExpressionError) as raised:
        parse(written)
    assert said in str(raised.value)


def test_connections_of_both_sides_are_found(sample_engine: Engine) -> None:
    down = f"SELECT reader_id FROM connection_rows WHERE writer_id = {KEY}"
    up = f"SELECT writer_id FROM connection_rows WHERE reader_id = {KEY}"
    assert found(sample_engine, f"downstream(2.7) model={LLAMA}") == wanted(sample_engine, down)
    assert found(sample_engine, f"upstream(2.7) model={LLAMA}") == wanted(sample_engine, up)
    gate = wanted(sample_engine, f"{up} AND vector_id = 0 AND cosine < 0")
    assert found(sample_engine, f"upstream(2.7 gate -) model={LLAMA}") == gate
    late = {i for i in wanted(sample_engine, up) if i >= WIDTH}
    assert found(sample_engine, f"upstream(2.7) layer>=1 model={LLAMA}") == late
    everyone = found(sample_engine, f"model={LLAMA}")
    assert found(sample_engine, f"not upstream(2.7) model={LLAMA}") == everyone - wanted(
        sample_engine, up
    )
    two = wanted(sample_engine, up) | wanted(sample_engine, down)
    assert found(sample_engine, f"(upstream(2.7), downstream(2.7)) model={LLAMA}") == two


def test_neighbours_are_found_in_every_model(sample_engine: Engine) -> None:
    both = f"neuron_id IN ({KEY}, {KEY + 4 * WIDTH})"
    sql = f"SELECT other_id FROM neighbour_rows WHERE {both}"
    assert found(sample_engine, "neighbours(2.7)") == wanted(sample_engine, sql)
    out = wanted(sample_engine, f"{sql} AND vector_id = 2 AND side = 1")
    assert found(sample_engine, "neighbours(2.7 out nearest)") == out


def test_how_near_the_nearest_is(sample: Sample, sample_engine: Engine) -> None:
    near = {n["neuron_id"] for n in sample.neurons if (n["nearest_out"] or 0) > 0.99}
    assert TWIN in near
    assert found(sample_engine, "nearest_out>0.99") == near
    opposite = {n["neuron_id"] for n in sample.neurons if (n["opposite_in"] or 0) < -0.8}
    assert found(sample_engine, "opposite_in<-0.8") == opposite
    assert found(sample_engine, f"nearest_gate=null model={GPT}") == found(
        sample_engine, f"model={GPT}"
    )


def test_a_neuron_that_no_model_has_is_refused(sample_engine: Engine) -> None:
    with pytest.raises(
        UnknownNameError, match=r"no neuron 9\.9: sample-gpt: its layers are 0 to 3"
    ):
        read_expression(sample_engine, "downstream(9.9)")


def test_why_nothing_is_found(sample_engine: Engine) -> None:
    with sample_engine.connect() as connection:
        last = explain_empty(connection, parse(f"downstream(3.1) model={LLAMA}"))
        first = explain_empty(connection, parse(f"upstream(0.1) model={LLAMA}"))
        ungated = explain_empty(connection, parse(f"nearest_gate>0.5 model={GPT}"))
    assert last == ["nobody is downstream of 3.1 in sample-llama: no layer is behind its own"]
    assert first == ["nobody is upstream of 0.1: no layer is before its own"]
    assert any("nearest_in" in line for line in ungated)


def test_what_computes_what_is_missing(sample: Sample, tmp_path: Path) -> None:
    file = Path(shutil.copy(sample.path, tmp_path / "bare.db"))
    engine = connect(parse_url(str(file)), writing=True)
    with engine.begin() as connection:
        connection.exec_driver_sql("DELETE FROM neighbour_runs")
        missing = explain_empty(connection, parse(f"neighbours(0.1) model={LLAMA}"))
        nulls = explain_nulls(connection, parse(f"model={LLAMA}"), ["nearest_out"])
    engine.dispose()
    for lines in (missing, nulls):
        assert any("run `neurondb neighbours sample-llama`" in line for line in lines)
