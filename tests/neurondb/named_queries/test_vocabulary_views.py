"""The views of tokens, properties and comparisons say what the same rows say in plain Python."""

from typing import Any

import pytest
from sqlalchemy import Engine, text

from neurondb.taxonomy import CLASSES, UNDEFINED
from tests.support.sample_facts import DECODED, NEURONS, PROPERTIES, Sample


def ask(engine: Engine, sql: str, **given: Any) -> list[Any]:
    with engine.connect() as connection:
        return [*connection.execute(text(sql), given)]


def test_top_tokens_have_their_dot_products(sample: Sample, sample_engine: Engine) -> None:
    neuron = sample.named("sample-llama", "2.5")
    sql = "SELECT p.*, token FROM top_tokens p JOIN tokens USING (token_id) "
    rows = ask(
        sample_engine, sql + "WHERE model_id = 1 AND neuron_id = :id", id=neuron["neuron_id"]
    )
    assert len(rows) == 12 * 4
    for row in rows:
        norm = sample.norms["sample-llama", row.token, row.basis]
        assert row.dot == pytest.approx(row.cosine * neuron[f"{row.vector}_norm"] * norm)


@pytest.mark.parametrize(
    ("sql", "said"),
    [
        ("SELECT dot FROM top_tokens WHERE neuron_id = 5", "SEARCH r USING PRIMARY KEY"),
        (
            "SELECT neuron_id, dot FROM top_tokens WHERE token_id = 5 AND vector = 'in'",
            "SEARCH r USING INDEX ix_top_token_rows_token",
        ),
        (
            "SELECT p.neuron_id, p.dot FROM tokens t JOIN top_tokens p ON p.token_id = t.token_id "
            "WHERE t.token = ' dog'",
            "SEARCH r USING INDEX ix_top_token_rows_token",
        ),
    ],
)
def test_top_tokens_are_found_by_an_index(sample_engine: Engine, sql: str, said: str) -> None:
    plan = "\n".join(row.detail for row in ask(sample_engine, f"EXPLAIN QUERY PLAN {sql}"))
    assert said in plan
    assert "SCAN r" not in plan


def test_properties_of_tokens(sample_engine: Engine) -> None:
    rows = ask(sample_engine, "SELECT model, token, property FROM token_properties")
    vocabularies = {
        model: [
            r.token for r in ask(sample_engine, "SELECT token FROM tokens WHERE model_id = :m", m=m)
        ]
        for m, model in ((1, "sample-llama"), (2, "sample-gpt"))
    }
    expected = [
        (model, token, name)
        for model, tokens in vocabularies.items()
        for token in tokens
        for name, has in PROPERTIES.items()
        if has(token)
    ]
    assert sorted(map(tuple, rows)) == sorted(expected)


def test_effects_on_properties(sample: Sample, sample_engine: Engine) -> None:
    rows = ask(sample_engine, "SELECT * FROM neuron_property_effects")
    found = {(r.neuron_id, r.property): (r.effect, r.inside_mean, r.outside_mean) for r in rows}
    assert found == {
        (e["neuron_id"], e["property"]): (e["effect"], e["inside_mean"], e["outside_mean"])
        for e in sample.effects
    }
    names = {r.neuron_id: (r.model, r.layer, r.neuron, r.name) for r in rows}
    assert all(
        names[n["neuron_id"]] == (n["model"], n["layer"], n["neuron"], n["name"])
        for n in sample.neurons
    )


def test_one_token_decoded_for_all_neurons(sample: Sample, sample_engine: Engine) -> None:
    sql = (
        "SELECT r.neuron_id, r.side, r.probability "
        "FROM tokens t JOIN lm_head_rows r USING (token_id) "
        "JOIN neurons n ON n.neuron_id = r.neuron_id AND n.model_id = t.model_id "
        "WHERE t.token = :token"
    )
    rows = ask(sample_engine, sql, token=DECODED)
    assert {r.neuron_id: r.probability for r in rows if r.side == 1} == sample.decoded
    assert {r.neuron_id: r.probability for r in rows if r.side == -1} == sample.decoded_turned


def test_compared_neurons(sample: Sample, sample_engine: Engine) -> None:
    rows = ask(sample_engine, "SELECT * FROM compared_neurons ORDER BY layer, neuron")
    class_names = {c.class_id: c.name for c in (*CLASSES, UNDEFINED)}
    assert len(rows) == NEURONS
    for row, given in zip(rows, sample.compared, strict=True):
        assert (row.model_a, row.model_b) == ("sample-llama", "sample-gpt")
        assert row.name == f"{given['layer']}.{given['neuron']}"
        assert (row.gate_cosine, row.in_cosine) == (None, given["in_cosine"])
        assert (row.same_token, row.moved) == (given["same_token"], given["moved"])
        assert (row.class_a, row.class_b) == tuple(
            class_names[given[c]] for c in ("class_a", "class_b")
        )


def test_double_checking_rows(sample: Sample, sample_engine: Engine) -> None:
    rows = ask(sample_engine, "SELECT * FROM double_checking")
    assert {r.neuron_id: r._asdict() for r in rows} == {
        neuron_id: {"neuron_id": neuron_id, **row} for neuron_id, row in sample.double.items()
    }
