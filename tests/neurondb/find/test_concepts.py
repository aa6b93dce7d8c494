"""`concept=…`: neurons that were proven to be a word or phrase."""

import pytest
from sqlalchemy import Engine

from neurondb.errors import ExpressionError
from neurondb.find.columns import ResultShape
from neurondb.find.compiler import compile_find
from neurondb.find.empty_answers import explain_empty
from neurondb.find.grammar import parse
from neurondb.find.search import read_expression
from neurondb.find.terms import IsConcept, Not, Or
from neurondb.sql import run_sql
from tests.support.sample_concepts import CONCEPT

QUOTED = f"'{CONCEPT}'"


def found(engine: Engine, expression: str) -> set[int]:
    statement, values = compile_find(
        read_expression(engine, expression), ResultShape(("neuron_id",))
    )
    return {row[0] for row in run_sql(engine, statement, values).rows}


def wanted(engine: Engine, where: str) -> set[int]:
    sql = f"SELECT neuron_id FROM concept_neurons WHERE NOT random AND {where}"
    with engine.connect() as connection:
        return set(connection.exec_driver_sql(sql).scalars())


def test_how_it_is_read() -> None:
    assert parse("concept=dog") == IsConcept("dog")
    assert parse("concept='Sherlock Holmes' @3") == IsConcept("Sherlock Holmes", 3)
    assert parse("concept!=dog") == Not(IsConcept("dog"))
    assert parse("concept=dog,cat") == Or((IsConcept("dog"), IsConcept("cat")))


def test_neurons_that_few_random_ones_match(sample_engine: Engine) -> None:
    """Of nine random neurons none may be as strong for p to be .1: nothing is below .05."""
    assert wanted(sample_engine, "p_value <= .05") == set()
    assert found(sample_engine, f"concept={QUOTED}") == set()
    with sample_engine.connect() as connection:
        lines = explain_empty(connection, parse(f"concept={QUOTED} model=sample-llama"))
    assert any("of 9 random neurons" in line for line in lines)


def test_the_first_candidates(sample_engine: Engine) -> None:
    for n in (1, 5):
        first = wanted(sample_engine, f"rank < {n}")
        assert len(first) == 2 * n
        assert found(sample_engine, f"concept={QUOTED} @{n}") == first
    of_one = wanted(sample_engine, "rank < 5 AND model = 'sample-gpt'")
    assert found(sample_engine, f"concept={QUOTED} @5 model=sample-gpt") == of_one
    assert found(sample_engine, f"concept=other,{QUOTED} @5 model=sample-gpt") == of_one


def test_all_others(sample_engine: Engine) -> None:
    first = found(sample_engine, f"concept={QUOTED} @5")
    assert not first & found(sample_engine, f"not concept={QUOTED} @5")


def test_a_concept_that_was_not_looked_for(sample_engine: Engine) -> None:
    with sample_engine.connect() as connection:
        lines = explain_empty(connection, parse("concept=dog model=sample-llama"))
    (line,) = [line for line in lines if "concept" in line]
    assert "run `neurondb concept sample-llama dog`" in line
    assert CONCEPT in line


@pytest.mark.parametrize("text", ["concept>3", "concept<dog"])
def test_a_concept_has_no_order(text: str) -> None:
    with pytest.raises(ExpressionError, match="takes = or !="):
        parse(text)
