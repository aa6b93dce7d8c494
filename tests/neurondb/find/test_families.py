"""`family=…` and `score>…`: neurons by what explains them."""

from collections.abc import Callable

import pytest
from sqlalchemy import Engine

from neurondb.errors import ExpressionError, UnknownNameError
from neurondb.find.columns import ResultShape
from neurondb.find.compiler import compile_find
from neurondb.find.empty_answers import explain_empty
from neurondb.find.grammar import parse
from neurondb.find.search import read_expression
from neurondb.find.terms import Compare, InFamily, Not, Or
from neurondb.schema.codes import SIGN_CASES
from neurondb.sql import run_sql
from tests.support.sample_facts import Row, Sample

HALF = Compare("score", ">", 0.5)


def found(engine: Engine, expression: str) -> set[int]:
    statement, values = compile_find(
        read_expression(engine, expression), ResultShape(("neuron_id",))
    )
    return {row[0] for row in run_sql(engine, statement, values).rows}


@pytest.mark.parametrize(
    ("text", "meaning"),
    [
        ("family=unigram", InFamily("unigram", 1, -1)),
        ("family='word: the' @3", InFamily("word: the", 3, -1)),
        ("family=unigram score>0.5", InFamily("unigram", 1, -1, HALF)),
        ("score>0.5 family=unigram", InFamily("unigram", 1, -1, HALF)),
        ("score>0.5", InFamily(None, 1, -1, HALF)),
        ("family!=unigram", Not(InFamily("unigram", 1, -1))),
        ("gate-_in-.family=unigram", InFamily("unigram", 1, SIGN_CASES.index("gate-_in-"))),
        (
            "family=unigram,context score>0.5",
            Or((InFamily("unigram", 1, -1, HALF), InFamily("context", 1, -1, HALF))),
        ),
        (
            "(family=unigram score>0.5) or family=context",
            Or((InFamily("unigram", 1, -1, HALF), InFamily("context", 1, -1))),
        ),
    ],
)
def test_a_score_is_of_the_family_beside_it(text: str, meaning: object) -> None:
    assert parse(text) == meaning


@pytest.mark.parametrize(
    ("text", "holds"),
    [
        ("family=unigram", lambda f: f["rank"] == 0 and f["family"] == "unigram"),
        ("family=unigram @2", lambda f: f["rank"] < 2 and f["family"] == "unigram"),
        (
            "family=previous_token score>0.5",
            lambda f: f["rank"] == 0 and f["family"] == "previous_token" and f["score"] > 0.5,
        ),
        ("family=Previous-Token", lambda f: f["rank"] == 0 and f["family"] == "previous_token"),
        ("family=starts_with_space", lambda f: f["rank"] == 0 and f["name"] == "starts_with_space"),
        ("score=0.3..0.6", lambda f: f["rank"] == 0 and 0.3 <= f["score"] <= 0.6),
    ],
)
def test_neurons_are_those_of_a_plain_count(
    text: str, holds: Callable[[Row], bool], sample: Sample, sample_engine: Engine
) -> None:
    rows = [f for f in sample.families if f["sign_case"] == "all" and holds(f)]
    assert rows
    assert found(sample_engine, text) == {f["neuron_id"] for f in rows}
    of_one = {f["neuron_id"] for f in rows if f["model"] == "sample-gpt"}
    assert found(sample_engine, f"model=sample-gpt {text}") == of_one
    assert found(sample_engine, f"dataset=sample {text}") >= of_one


def test_a_sign_case_has_its_own(sample: Sample, sample_engine: Engine) -> None:
    expected = {
        f["neuron_id"]
        for f in sample.families
        if (f["sign_case"], f["family"], f["rank"]) == ("gate-_in+", "position", 0)
    }
    assert found(sample_engine, "gate-_in+.family=position") == expected != set()


def test_not_a_family(sample: Sample, sample_engine: Engine) -> None:
    every = {n["neuron_id"] for n in sample.neurons}
    assert found(sample_engine, "not family=unigram") == every - found(
        sample_engine, "family=unigram"
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("family>3", "takes = or !=, not >"),
        ("gate.family=unigram", "unknown sign case 'gate'"),
        ("score>much", "is not a number"),
        ("family", "needs a comparison"),
    ],
)
def test_what_means_nothing_is_refused(text: str, message: str) -> None:
    with pytest.raises(ExpressionError, match=message):
        parse(text)


def test_a_family_that_is_none_names_near_ones(sample_engine: Engine) -> None:
    with pytest.raises(UnknownNameError, match=r"no family or test 'unigrams'.*unigram"):
        read_expression(sample_engine, "family=unigrams")


def test_nothing_found_says_what_the_best_is(sample: Sample, sample_engine: Engine) -> None:
    best = max(
        f["score"]
        for f in sample.families
        if (f["sign_case"], f["rank"], f["family"], f["model"])
        == ("all", 0, "unigram", "sample-llama")
    )
    with sample_engine.connect() as connection:
        lines = explain_empty(connection, parse("model=sample-llama family=unigram score>1"))
    assert f"the best score of 'unigram' in sample-llama is {best:.3f}" in lines
