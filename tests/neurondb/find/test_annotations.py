"""`annotation~'…'` and `explanation~'…'` against what was put into a copy of the sample."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine, insert

from neurondb.database import connect, open_existing, parse_url
from neurondb.errors import ExpressionError
from neurondb.find import explain_empty, find
from neurondb.find.grammar import parse
from neurondb.schema import tables
from tests.support.sample_facts import Sample

SAID = (
    (5, "me", "label", "days of the week", None),
    (5, "p", "explanation", "fires on Monday", "sure"),
    (6, "p", "explanation", "fires on weekdays", None),
    (7, "me", "explanation", "nothing on Monday", None),
    (8, "me", "label", "Monday", "fires rarely"),
)
"""(neuron, source, key, value, note) of annotations."""


@pytest.fixture
def engine(sample: Sample, tmp_path: Path) -> Iterator[Engine]:
    path = str(shutil.copy(sample.path, tmp_path / "said.db"))
    writing = connect(parse_url(path), writing=True)
    with writing.begin() as connection:
        for neuron_id, source, key, value, note in SAID:
            row = {"neuron_id": neuron_id, "source": source, "key": key}
            connection.execute(insert(tables.annotations), row | {"value": value, "note": note})
    writing.dispose()
    reading = open_existing(path)
    yield reading
    reading.dispose()


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("annotation~Monday", [5, 7, 8]),
        ("explanation~monday", [5, 7]),
        ("explanation~'fires Monday'", [5]),
        ("annotation~'fires Monday'", [5, 8]),
        ("annotation~'\"days of the week\"'", [5]),
        ("annotation~'week*' explanation~fires", [5, 6]),
        ("annotation~Monday,weekdays not explanation~nothing", [5, 6, 8]),
        ("annotation~'of Monday'", []),
    ],
)
def test_the_neurons_are_those_of_which_it_was_said(
    engine: Engine, expression: str, expected: list[int]
) -> None:
    rows = find(engine, f"model=sample-llama {expression}", columns=("neuron_id",)).rows
    assert sorted(row[0] for row in rows) == expected


@pytest.mark.parametrize("text", ["annotation=dog", "explanation~''", "annotation>3"])
def test_what_makes_no_sense_is_refused(text: str) -> None:
    with pytest.raises(ExpressionError):
        parse(text)


def test_words_that_nobody_used_need_no_command(engine: Engine) -> None:
    assert explain_empty(engine, "model=sample-llama explanation~weekend") == []
    (line,) = explain_empty(engine, "model=sample-gpt explanation~weekend")
    assert "no neuron of sample-gpt has an explanation" in line
