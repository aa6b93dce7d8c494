"""`description~'…'` against brute force over the sample's lines."""

from pathlib import Path

import pytest
from sqlalchemy import Engine

from neurondb import migrate
from neurondb.errors import ExpressionError
from neurondb.find import find
from neurondb.find.grammar import parse
from neurondb.find.search import explain_empty, explain_nulls
from tests.support.sample_facts import Sample
from tests.support.word_reference import contains


@pytest.mark.parametrize(
    ("searched", "words"),
    [
        ("dog", ["dog"]),
        ("WEEKDAY Monday", ["weekday", "monday"]),
        ('"Monday Sunday" suppresses', ["Monday Sunday", "suppresses"]),
        ("été", ["été"]),
        ("Sunday Monday weekday été", ["sunday", "monday", "weekday", "été"]),
        ("nothing of this kind", ["nothing", "of", "this", "kind"]),
    ],
)
def test_the_neurons_are_those_of_brute_force(
    sample: Sample, sample_engine: Engine, searched: str, words: list[str]
) -> None:
    expected = {
        n["neuron_id"]
        for n in sample.neurons
        if n["class"] is not None and all(contains(n["description"], word) for word in words)
    }
    for key in ("description", "described"):
        rows = find(sample_engine, f"{key}~'{searched}'", columns=("neuron_id",)).rows
        assert {row[0] for row in rows} == expected


def test_it_combines_with_other_terms(sample: Sample, sample_engine: Engine) -> None:
    rows = find(
        sample_engine,
        "description~dog,weekday layer=2 not model=sample-gpt",
        columns=("description",),
    )
    expected = [
        n["description"]
        for n in sample.neurons
        if n["model"] == "sample-llama" and n["layer"] == 2
        and ("dog" in n["description"] or "weekday" in n["description"])
    ]  # fmt: skip
    assert [row[0] for row in rows.rows] == expected


@pytest.mark.parametrize("text", ["description=dog", "description~''", "described>3"])
def test_what_makes_no_sense_is_refused(text: str) -> None:
    with pytest.raises(ExpressionError):
        parse(text)


def test_an_empty_answer_says_how_to_describe(tmp_path: Path, sample: Sample) -> None:
    engine = migrate.create_or_open(str(tmp_path / "n.db"))
    with engine.begin() as connection:
        connection.exec_driver_sql(f"ATTACH '{sample.path}' AS sample")
        connection.exec_driver_sql("INSERT INTO models SELECT * FROM sample.models")
    lines = explain_empty(engine, "description~dog model=sample-gpt")
    assert lines[-1].endswith("are not described: run `neurondb describe sample-gpt`")
    assert explain_nulls(engine, "model=sample-gpt", ["description"])[-1] == lines[-1]
