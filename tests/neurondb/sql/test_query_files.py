"""Named queries as files: what their headers declare, and what is said of wrong parameters."""

import re
from typing import Any

import pytest
from sqlalchemy import Engine

from neurondb import named_queries
from neurondb.errors import UnknownNameError, UsageError
from neurondb.sql.query_files import Parameter, format_query, parse_query
from tests.support.sample_facts import Row

LLAMA, GPT = "sample-llama", "sample-gpt"


def ask(engine: Engine, name: str, **given: str) -> list[Row]:
    rows = named_queries.run(engine, name, given)
    return [dict(zip(rows.columns, row, strict=True)) for row in rows.rows]


@pytest.mark.parametrize("name", named_queries.list_names())
def test_every_parameter_is_declared_explained_and_used(name: str) -> None:
    query = named_queries.load(name)
    used = set(re.findall(r"(?<![:\w]):(\w+)", re.sub(r"--.*", "", query.sql)))
    assert used == {parameter.name for parameter in query.parameters}
    assert all(parameter.meaning for parameter in query.parameters)


@pytest.mark.parametrize(
    ("name", "given", "said"),
    [
        ("examples-of-neuron", {"model": LLAMA}, "layer=.*neuron="),
        ("dead-neurons", {"modle": LLAMA}, "'modle'.*'model'"),
        ("weakening-often", {"freq": "often"}, "freq.*'often'"),
        ("weakening-often", {"limit": "1.5"}, r"limit.*'1\.5'"),
        ("weakening-often", {"limit": "-5"}, "limit.*'-5'"),
        ("weakening-often", {"class": "orthogonl"}, "'orthogonl'.*'orthogonal output'"),
        (
            "weakening-often",
            {"class": "cond"},
            "'cond'.*conditional strengthening.*conditional weakening",
        ),
        ("weakening-often", {"class": "typical"}, "'typical'"),
        ("strongest-cosines", {"pair": "foo"}, "'foo'.*gate_in.*gate_out.*in_out"),
        ("neurons-for-token", {"token": " dog", "direction": "botom"}, "'botom'.*'bottom'"),
        (
            "examples-of-neuron",
            {"model": LLAMA, "layer": "1", "neuron": "1", "case": "gate-in+"},
            r"'gate-in\+'.*'gate-_in.'",
        ),
    ],
)
def test_wrong_parameters_are_told(
    sample_engine: Engine, name: str, given: dict[str, str], said: str
) -> None:
    with pytest.raises(UsageError, match=said):
        named_queries.run(sample_engine, name, given)


def test_a_class_may_be_abbreviated(sample_engine: Engine) -> None:
    for spelled in ("cond-weak", "Conditional Depletion", "conditional_weakening"):
        rows = ask(sample_engine, "weakening-often", freq="0", **{"class": spelled})
        assert {row["class"] for row in rows} == {"conditional weakening"}


def test_a_model_may_be_in_any_case(sample_engine: Engine) -> None:
    expected = ask(sample_engine, "kept-top-tokens", base=LLAMA, tuned=GPT)
    assert ask(sample_engine, "kept-top-tokens", base="Sample-Llama", tuned="SAMPLE-GPT") == (
        expected
    )


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"token": "DOG"}, "'dog', ' dog', ' Dog'"),
        ({"token": " only-gpt", "model": LLAMA}, "' only-gpt'.*sample-llama"),
    ],
)
def test_an_unknown_token_is_told(sample_engine: Engine, given: dict[str, str], said: str) -> None:
    for name in ("neurons-for-token", "neurons-encoding-token"):
        with pytest.raises(UnknownNameError, match=said):
            named_queries.run(sample_engine, name, given)


@pytest.mark.parametrize("spelled", ["is ascii", "IS-ascii", "is_ascii"])
def test_a_property_may_be_spelled_with_hyphens(sample_engine: Engine, spelled: str) -> None:
    rows = ask(sample_engine, "suppressed-properties", property=spelled)
    assert {row["property"] for row in rows} == {"is ascii"}


def test_an_unknown_property_is_told(sample_engine: Engine) -> None:
    with pytest.raises(UnknownNameError, match=r"'ascii'.*'is ascii'"):
        named_queries.run(sample_engine, "suppressed-properties", {"property": "ascii"})


def test_unknown_query_and_model_are_told(sample_engine: Engine) -> None:
    with pytest.raises(UsageError, match=r"'dead-neuron'.*'dead-neurons'"):
        named_queries.load("dead-neuron")
    with pytest.raises(UnknownNameError, match="sample-llama"):
        named_queries.run(sample_engine, "dead-neurons", {"model": "llama"})


SOURCE = """-- title: One
--   line
-- description: About it.
--   More.
-- needs: vocab, labels
-- param a = "x: y": text, an a, of sorts
-- param b = null: number, b
-- param c: integer, c
-- param d = "p": choice(p, q+_r), d, or so
-- param of life, which is no declaration
-- anything else
SELECT :a, :b, :c, :d
"""


def test_header_is_read_as_documented() -> None:
    query = parse_query(SOURCE, "it")
    assert (query.title, query.description) == ("One line", "About it. More.")
    assert query.needs == ("vocab", "labels")
    assert list(map(_fields, query.parameters)) == [
        ("a", "text", "x: y", False, "an a, of sorts"),
        ("b", "number", None, False, "b"),
        ("c", "integer", None, True, "c"),
        ("d", "choice", "p", False, "d, or so"),
    ]
    assert query.parameters[-1].choices == ("p", "q+_r")
    assert query.bindings({"c": "3"}) == {"a": "x: y", "b": None, "c": 3, "d": "p"}


@pytest.mark.parametrize("name", named_queries.list_names())
def test_every_declaration_is_read_and_its_default_allowed(name: str) -> None:
    query = named_queries.load(name)
    assert len(query.parameters) == len(re.findall(r"^-- param ", query.sql, re.MULTILINE))
    for parameter in query.parameters:
        if parameter.choices and parameter.default is not None:
            assert parameter.default in parameter.choices


def _fields(p: Parameter) -> tuple[Any, ...]:
    return (p.name, p.kind, p.default, p.required, p.meaning)


@pytest.mark.parametrize("value", [" dog", "\n", 'a "quoted": thing', 3, 0.25, "\u202e", "a: b"])
def test_what_is_written_is_read_back(value: str | int | float) -> None:
    query = parse_query(format_query("t", "SELECT :p1", {"p1": value}, ["plan:"]), "it")
    assert query.bindings({}) == {"p1": value}


@pytest.mark.parametrize(
    ("spelled", "value"),
    [("3", 3), ("0.5", 0.5), (" dog", " dog"), ('"3"', "3"), ("null", None), ("true", "true")],
)
def test_undeclared_values_are_guessed(spelled: str, value: object) -> None:
    assert parse_query("SELECT :x", "it").loose_bindings({"x": spelled}) == {"x": value}
