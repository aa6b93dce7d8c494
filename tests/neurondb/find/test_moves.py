"""`moved>…`: neurons that moved between their model and one that it was compared with."""

import pytest
from sqlalchemy import Engine

from neurondb.errors import ExpressionError, UnknownNameError
from neurondb.find.columns import ResultShape
from neurondb.find.compiler import compile_find
from neurondb.find.empty_answers import explain_empty
from neurondb.find.grammar import parse
from neurondb.find.search import read_expression
from neurondb.find.terms import Compare, HasMoved, Not, OneOf
from neurondb.sql import run_sql
from tests.support.sample_facts import Sample

LLAMA, GPT = "sample-llama", "sample-gpt"


def found(engine: Engine, expression: str) -> set[tuple[str, str]]:
    shape = ResultShape(("model", "name"))
    statement, values = compile_find(read_expression(engine, expression), shape)
    return {(row[0], row[1]) for row in run_sql(engine, statement, values).rows}


def moved_beyond(sample: Sample, least: float, *models: str) -> set[tuple[str, str]]:
    names = {f"{r['layer']}.{r['neuron']}" for r in sample.compared if r["moved"] > least}
    return {(model, name) for model in models for name in names}


def test_how_it_is_read() -> None:
    far = Compare("moved", ">", 0.2)
    assert parse("moved>0.2") == HasMoved(far)
    assert parse("moved.llama-3.1-8b>0.2") == HasMoved(far, "llama-3.1-8b")
    assert parse("'moved.my model'>20%") == HasMoved(far, "my model")
    assert parse("not moved>0.2") == Not(HasMoved(far))
    assert parse("moved!=0") == Not(HasMoved(OneOf("moved", (0,))))


def test_neurons_that_moved_so_far(sample_engine: Engine, sample: Sample) -> None:
    assert found(sample_engine, "moved>1.5") == moved_beyond(sample, 1.5, LLAMA, GPT)
    assert found(sample_engine, f"moved>1.5 model={GPT}") == moved_beyond(sample, 1.5, GPT)
    assert found(sample_engine, f"moved.{GPT.upper()}>1.5") == moved_beyond(sample, 1.5, LLAMA)
    both = found(sample_engine, f"moved.{GPT}>1.5 weakening")
    weakening = found(sample_engine, f"weakening model={LLAMA}")
    assert both == moved_beyond(sample, 1.5, LLAMA) & weakening
    without = found(sample_engine, f"not moved>1.5 model={LLAMA}")
    assert without == found(sample_engine, f"model={LLAMA}") - moved_beyond(sample, 1.5, LLAMA)


@pytest.mark.parametrize(
    ("expression", "said"),
    [("moved.>0.2", "lacks a model"), ("moved", "needs a comparison"), ("moved>far", "'far'")],
)
def test_what_is_no_comparison(expression: str, said: str) -> None:
    with pytest.raises(ExpressionError, match=said):
        parse(expression)


def test_a_model_that_is_not_there_is_an_error(sample_engine: Engine) -> None:
    with pytest.raises(UnknownNameError, match="sample-llama"):
        read_expression(sample_engine, "moved.sample-lama>0.2")


def test_why_nothing_moved(sample_engine: Engine) -> None:
    with sample_engine.connect() as connection:
        assert explain_empty(connection, parse(f"moved.{GPT}>1.99 model={LLAMA}")) == []
        (line,) = explain_empty(connection, parse(f"moved.absent>0.2 model={LLAMA}"))
    assert line == f"{LLAMA} was not compared with absent: run `neurondb compare {LLAMA} absent`"
