"""Lists of neurons of any length, and expressions that are too long or too deep."""

import random
import time

import pytest
from sqlalchemy import Engine

from neurondb.errors import ExpressionError, NeuronDBError, UnknownNameError
from neurondb.find import count, find
from neurondb.find.columns import ResultShape
from neurondb.find.grammar import parse
from neurondb.find.search import explain_find
from neurondb.find.terms import OneOf, Or, Place, Places
from tests.support.sample_facts import LAYERS, WIDTH, Sample

EVERY = [f"{layer}.{neuron}" for layer in range(LAYERS) for neuron in range(WIDTH)]


def names(engine: Engine, text: str, **how: object) -> list[tuple[str, str]]:
    return [tuple(row) for row in find(engine, text, columns=("model", "name"), **how).rows]  # type: ignore[arg-type]


def named(sample: Sample, wanted: set[str]) -> set[tuple[str, str]]:
    return {(row["model"], row["name"]) for row in sample.neurons if row["name"] in wanted}


@pytest.mark.parametrize("joint", [",", ", ", " or "])
def test_a_long_list_finds_its_neurons(joint: str, sample_engine: Engine, sample: Sample) -> None:
    wanted = random.Random(0).sample(EVERY, len(EVERY) * 3 // 4)
    text = joint.join(wanted * 20)
    assert text.count(".") > 1_100
    expected = named(sample, set(wanted))

    assert set(names(sample_engine, text)) == expected
    assert count(sample_engine, text) == len(expected)
    assert len(names(sample_engine, f"not ({text})")) == len(sample.neurons) - len(expected)
    strong = {key for key in expected if (sample.named(*key)["in_out"] or 0) > 0}
    assert set(names(sample_engine, f"({text}) in_out>0", order=("-in_out",))) == strong
    (model, _) = next(iter(expected))
    assert {m for m, _ in names(sample_engine, f"model={model} ({text})", limit=5)} == {model}


def test_a_hundred_thousand_neurons_take_seconds(sample_engine: Engine, sample: Sample) -> None:
    text = ",".join(random.Random(1).choices(EVERY, k=100_000))
    started = time.monotonic()
    assert count(sample_engine, text) == len(sample.neurons)
    assert time.monotonic() - started < 60


@pytest.mark.parametrize("n", [101, 5_000, 100_000])
def test_long_lists_of_numbers(n: int, sample_engine: Engine, sample: Sample) -> None:
    text = "neuron_id=" + ",".join(map(str, range(1, 2 * n, 2)))
    expected = [row for row in sample.neurons if row["neuron_id"] % 2 and row["neuron_id"] < 2 * n]
    assert count(sample_engine, text) == len(expected)
    halves = "in_out=" + ",".join(f"{-1 + i / n:.6f}" for i in range(2 * n))
    assert count(sample_engine, f"{halves},{sample.neurons[5]['in_out']!r}") >= 1


def test_ten_thousand_conditions_joined_by_or(sample_engine: Engine, sample: Sample) -> None:
    text = " or ".join(f"in_out>{0.5 + i / 1e5}" for i in range(10_000))
    expected = sum(row["in_out"] is not None and row["in_out"] > 0.5 for row in sample.neurons)
    assert count(sample_engine, text) == expected
    with pytest.raises(ExpressionError, match="conditions"):
        count(sample_engine, " or ".join(f"in_out>{i / 1e5}" for i in range(40_000)))


@pytest.mark.parametrize(
    "text",
    [
        "(" * 5_000,
        "(" * 5_000 + "dead" + ")" * 5_000,
        "not " * 5_000 + "dead",
        "".join("not (dead or " for _ in range(90)) + "dead" + ")" * 90,
        "".join("(dead or (layer=1 " for _ in range(49)) + "dead" + "))" * 49,
    ],
)
def test_what_is_too_deep_is_a_users_error(text: str, sample_engine: Engine) -> None:
    with pytest.raises(ExpressionError, match="deep"):
        count(sample_engine, text)


@pytest.mark.parametrize(
    "shape", ["(freq>0.1 or (layer=1 {}))", "not (freq>0.1 or {})", "not (layer=1 {})", "({})"]
)
@pytest.mark.parametrize("leaf", ["dead", "0.1,0.2", "token=' dog',' cat'"])
def test_what_is_deep_is_refused_by_us_or_runs(
    shape: str, leaf: str, sample_engine: Engine
) -> None:
    text = leaf
    for _ in range(30):
        text = shape.format(text)
        try:
            n = count(sample_engine, text)
            shown = len(names(sample_engine, text, limit=3, order=("-freq",)))
        except ExpressionError as error:
            assert "deep" in str(error)  # noqa: PT017
        else:
            assert shown == min(n, 3)


def test_not_not_is_nothing(sample_engine: Engine) -> None:
    assert parse("not not dead") == parse("dead")
    assert count(sample_engine, "not " * 98 + "dead") == count(sample_engine, "dead")


def test_neurons_and_values_of_one_column_become_one_list() -> None:
    assert parse("1.2,3.4 or 1.2") == Places((Place(1, 2), Place(3, 4)))
    assert parse("1.2 or 1.2") == Place(1, 2)
    assert parse("layer=1 or 0.1 or layer=2,1") == Or((OneOf("layer", (1, 2)), Place(0, 1)))


@pytest.mark.parametrize(
    ("text", "error", "said"),
    [
        ("1.2,1.2.3.4", ExpressionError, r"'1\.2\.3\.4'.*character 5"),
        ("1.2,1.2.3", UnknownNameError, r"1\.2\.3: no model here is divided into experts"),
        ("1.2,-1.5", ExpressionError, r"'-1\.5'.*character 5"),
        ("1.2,١.٢", ExpressionError, r"'١\.٢'.*character 5"),
        ("١.٢", ExpressionError, r"'١\.٢'.*character 1"),
        ("name=1.2,²", ExpressionError, "'²'.*neuron"),
        ("freq>٠.٥", ExpressionError, r"'٠\.٥'.*number"),
        ("1.2,,1.3", ExpressionError, "name.*character 5"),
        ("1.3,4", ExpressionError, "'4'.*character 5"),
        ("1.2," + "9" * 30 + ".1", ExpressionError, "'9{20}.*neuron"),
        ("1.2,99.5", UnknownNameError, r"99\.5.*\b0 to 3\b.*\b0 to 63\b"),
        ("name=1.2,1.64", UnknownNameError, r"1\.64"),
        ("0.1 or 9999999999999999.0", UnknownNameError, r"9999999999999999\.0"),
    ],
)
def test_what_is_no_neuron_is_named(
    text: str, error: type[NeuronDBError], said: str, sample_engine: Engine
) -> None:
    with pytest.raises(error, match=said):
        count(sample_engine, text)


def test_the_explanation_of_a_list_runs(sample_engine: Engine) -> None:
    written = explain_find(sample_engine, "0.1,1.2", ResultShape())
    assert r"{\"0.1\": 1, \"1.2\": 1000000002}" in written
