"""Places of tokens in neurons' lists, against the sample's lists in Python."""

import pytest
from sqlalchemy import Engine, text

from neurondb.reading.models import Model, find_model
from neurondb.reading.token_neurons import (
    EFFECTS,
    ListFilter,
    Occurrence,
    count_by_layer,
    group_by_neuron,
    list_occurrences,
)
from neurondb.schema import codes
from tests.support.sample_facts import LAYERS, NEURONS, Sample

MODELS = ("sample-llama", "sample-gpt")


def look(
    engine: Engine,
    name: str,
    tokens: list[str],
    lists: ListFilter = ListFilter(),  # noqa: B008
) -> tuple[Model, list[Occurrence]]:
    with engine.connect() as connection:
        model = find_model(connection, name)
        sql = text("SELECT token_id FROM tokens WHERE model_id = :m AND token = :t")
        ids = [
            connection.execute(sql, {"m": model.model_id, "t": token}).scalar_one()
            for token in tokens
        ]
        return model, list_occurrences(connection, model, ids, lists)


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("token", [" dog", "\n", "", "\\xe2"])
def test_every_place_is_found_with_its_numbers(
    name: str, token: str, sample: Sample, sample_engine: Engine
) -> None:
    expected = {
        (n["neuron_id"], vector, basis, direction): sample.top[n["neuron_id"], code].index(token)
        for n in sample.neurons
        if n["model"] == name
        for code, vector, basis, direction in codes.TOKEN_LISTS
        if token in sample.top[n["neuron_id"], code]
    }
    _, found = look(sample_engine, name, [token])
    places = {(o.neuron_id, o.vector, o.basis, o.direction): o.rank for o in found}
    assert places == expected
    by_id = {n["neuron_id"]: n for n in sample.neurons}
    for one in found:
        neuron = by_id[one.neuron_id]
        assert (one.name, one.class_name) == (neuron["name"], neuron["class"])
        norm = neuron[f"{one.vector}_norm"]
        token_norm = sample.norms[name, token, one.basis]
        expected_dot = None if norm is None else one.cosine * norm * token_norm
        assert one.dot == (None if expected_dot is None else pytest.approx(expected_dot))


def test_the_closest_come_first_and_ties_have_an_order(sample_engine: Engine) -> None:
    _, found = look(sample_engine, "sample-llama", [" dog", " cat"])
    keys = [(-abs(o.cosine), o.rank, o.neuron_id) for o in found]
    assert keys == sorted(keys)
    assert found == look(sample_engine, "sample-llama", [" cat", " dog"])[1]


def test_lists_narrow(sample_engine: Engine) -> None:
    _, every = look(sample_engine, "sample-llama", [" dog"])
    narrow = ListFilter(("in", "out"), ("embed",), (0, 3))
    _, found = look(sample_engine, "sample-llama", [" dog"], narrow)
    assert found == [
        o for o in every if o.vector != "gate" and o.basis == "embed" and o.layer in (0, 3)
    ]
    assert found


def test_neurons_with_most_of_the_tokens_come_first(sample: Sample, sample_engine: Engine) -> None:
    tokens = [" dog", " cat", "\n"]
    _, found = look(sample_engine, "sample-llama", tokens)
    for effect in ("reads", "avoids", "writes", "suppresses"):
        neurons = group_by_neuron(found, effect)
        counts = {
            n["neuron_id"]: sum(
                any(
                    token in sample.top[n["neuron_id"], code]
                    for code, vector, _, direction in codes.TOKEN_LISTS
                    if EFFECTS[vector, direction] == effect
                )
                for token in tokens
            )
            for n in sample.neurons[:NEURONS]
        }
        assert {n.neuron_id: n.n_tokens for n in neurons} == {k: v for k, v in counts.items() if v}
        keys = [(-n.n_tokens, -abs(n.occurrences[0].cosine)) for n in neurons]
        assert keys == sorted(keys)


def test_layers_count_neurons_not_places(sample: Sample, sample_engine: Engine) -> None:
    _, found = look(sample_engine, "sample-gpt", [" dog", " cat"])
    for one in count_by_layer(found, LAYERS):
        lists = [
            code for code, v, _, d in codes.TOKEN_LISTS if (v, d) == (one.vector, one.direction)
        ]
        expected = [0] * LAYERS
        for n in sample.neurons[NEURONS:]:
            there = {t for code in lists for t in sample.top[n["neuron_id"], code]}
            expected[n["layer"]] += bool(there & {" dog", " cat"})
        assert list(one.counts) == expected


@pytest.mark.parametrize("name", MODELS)
def test_places_are_found_by_an_index(name: str, sample_engine: Engine) -> None:
    from neurondb.reading.token_neurons import select_occurrences

    with sample_engine.connect() as connection:
        query = select_occurrences(find_model(connection, name), [1, 2], ListFilter())
        sql = query.compile(connection, compile_kwargs={"literal_binds": True})
        plan = [row[3] for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {sql}")]
    assert any(
        "top_token_rows USING INDEX ix_top_token_rows_token (token_id=? AND list_id=?" in step
        for step in plan
    )
    assert not any("SCAN top_token_rows" in step or "SCAN neurons" in step for step in plan)
