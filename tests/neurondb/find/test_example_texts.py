"""`text~'…'` against brute force over the sample's examples."""

from itertools import product

import pytest
from sqlalchemy import Engine

from neurondb.errors import ExpressionError
from neurondb.find import count, find
from neurondb.find.columns import ResultShape
from neurondb.find.grammar import parse
from neurondb.find.search import explain_empty, explain_find
from neurondb.find.terms import HasText
from neurondb.schema.codes import EXAMPLE_LISTS
from neurondb.sql import run_sql
from neurondb.sql.query_files import parse_query
from tests.support.sample_facts import TEXTS, Sample
from tests.support.word_reference import contains

PHRASES = ("dog", "a dog", "dog a", "été", "two lines", "UPON A", "a", "犬", "nothing of this")
LISTS = ("", "gate+_in+.", "gate-_in-.hook_post.", "in+.", "hook_pre_linear.", "gate+_in-.in-.")


def expected(sample: Sample, phrase: str, qualifiers: str) -> set[int]:
    """The neurons with such a text in one of the lists, by their definition."""
    words = qualifiers.split(".")
    cases = [w for w in words if "in" in w and "hook" not in w]
    quantities = [w for w in words if w.startswith("hook")]
    lists = {
        code
        for code, case, quantity in EXAMPLE_LISTS
        if case in (cases or [case]) and quantity in (quantities or [quantity])
    }
    fits = {
        place + 1
        for place, text in enumerate(TEXTS)
        if (phrase in text if phrase == "犬" else contains(text, phrase))
    }
    return {
        example["neuron_id"]
        for example in sample.examples
        if example["text_id"] in fits and example["list_id"] in lists
    }


def found(engine: Engine, expression: str) -> set[int]:
    return {row[0] for row in find(engine, expression, columns=("neuron_id",)).rows}


@pytest.mark.parametrize(("phrase", "qualifiers"), [*product(PHRASES, LISTS)])
def test_the_neurons_are_those_of_brute_force(
    sample: Sample, sample_engine: Engine, phrase: str, qualifiers: str
) -> None:
    classified = {n["neuron_id"] for n in sample.neurons if n["class"] is not None}
    term = f"{qualifiers}text~'{phrase}'"
    neurons = expected(sample, phrase, qualifiers) & classified
    assert found(sample_engine, term) == neurons
    assert found(sample_engine, f"not {term}") == classified - neurons
    assert count(sample_engine, term) == len(neurons)


def test_terms_combine(sample: Sample, sample_engine: Engine) -> None:
    dogs, tabs = expected(sample, "dog", "gate+_in+."), expected(sample, "tab", "in+.")
    layer = {n["neuron_id"] for n in sample.neurons if n["layer"] == 1}
    one, other = "gate+_in+.text~'dog'", "in+.text~'tab'"
    assert found(sample_engine, f"{one} or {other}") == dogs | tabs
    assert found(sample_engine, f"{one} layer=1") == dogs & layer
    assert found(sample_engine, f"({one} or {other}) and layer=1") == (dogs | tabs) & layer
    either = expected(sample, "dog", "") | expected(sample, "tab", "")
    assert found(sample_engine, "text~dog,tab") == either
    assert found(sample_engine, "dataset=sample text~'do*'") == expected(sample, "dog", "")
    limited = find(sample_engine, "text~'dog'", columns=("neuron_id",), limit=3).rows
    assert {row[0] for row in limited} <= expected(sample, "dog", "")


def test_what_explain_prints_gives_the_same(sample_engine: Engine) -> None:
    shape = ResultShape(("neuron_id",))
    written = explain_find(sample_engine, "text~'it\\'s \"a dog\"' or text~'a dog'", shape)
    values = parse_query(written, "the statement").loose_bindings({})
    rows = run_sql(sample_engine, written, values).rows
    assert {row[0] for row in rows} == found(sample_engine, "text~'a dog'")


def test_the_language_reads_it() -> None:
    assert isinstance(parse("text~'nobel prize'"), HasText)
    assert parse("text ~ nobel") == parse("text~'nobel'")
    assert parse("GATE−_IN+.Text~x") == parse("gate-_in+.text~x")
    assert parse("model=~/llama,a~b") == parse("model='~/llama','a~b'")


@pytest.mark.parametrize(
    ("expression", "said"),
    [
        ("freq~0.5", "takes no ~"),
        ("token~' dog'", "takes no ~"),
        ("text='dog'", "takes ~, not ="),
        ("gate+.text~dog", "unknown qualifier 'gate[+]'.*gate[+]_in[+]"),
        ("text~''", "nothing to look for"),
        ("text", "needs a comparison"),
        ("text~", "expected a value"),
        ("~dog", "expected a condition"),
        (f"text~'{'x' * 2000}'", "1,000 characters, not 2,000"),
    ],
)
def test_errors_say_what_to_write(expression: str, said: str) -> None:
    with pytest.raises(ExpressionError, match=said):
        parse(expression)


def test_no_text_is_why_nothing_is_found(sample_engine: Engine) -> None:
    assert explain_empty(sample_engine, "text~'quokka'") == [
        "no text of this database contains 'quokka'"
    ]
