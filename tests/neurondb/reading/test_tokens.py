"""Places of tokens in neurons' lists, against the sample's lists in Python."""

from pathlib import Path

import numpy as np
import pytest
from sqlalchemy import Engine, text

from neurondb.database import connect, parse_url
from neurondb.reading.lm_head import Decoding, best_neurons, layer_peaks, stored_decoding
from neurondb.reading.models import Model, find_model
from neurondb.reading.tokens import (
    EFFECTS,
    Lists,
    Occurrence,
    by_layer,
    by_neuron,
    class_names,
    occurrences,
)
from neurondb.schema import codes
from tests.support.sample_database import (
    DECODED,
    LAYERS,
    NEURONS,
    WIDTH,
    Sample,
    build,
    sample,
    sample_engine,
)

__all__ = ["sample", "sample_engine"]

MODELS = ("sample-llama", "sample-gpt")


def look(
    engine: Engine,
    name: str,
    tokens: list[str],
    lists: Lists = Lists(),  # noqa: B008
) -> tuple[Model, list[Occurrence]]:
    with engine.connect() as connection:
        model = find_model(connection, name)
        sql = text("SELECT token_id FROM tokens WHERE model_id = :m AND token = :t")
        ids = [
            connection.execute(sql, {"m": model.model_id, "t": token}).scalar_one()
            for token in tokens
        ]
        return model, occurrences(connection, model, ids, lists)


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
    narrow = Lists(("in", "out"), ("embed",), (0, 3))
    _, found = look(sample_engine, "sample-llama", [" dog"], narrow)
    assert found == [
        o for o in every if o.vector != "gate" and o.basis == "embed" and o.layer in (0, 3)
    ]
    assert found


def test_neurons_with_most_of_the_tokens_come_first(sample: Sample, sample_engine: Engine) -> None:
    tokens = [" dog", " cat", "\n"]
    _, found = look(sample_engine, "sample-llama", tokens)
    for effect in ("reads", "avoids", "writes", "suppresses"):
        neurons = by_neuron(found, effect)
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
        keys = [(-n.n_tokens, -abs(n.found[0].cosine)) for n in neurons]
        assert keys == sorted(keys)


def test_layers_count_neurons_not_places(sample: Sample, sample_engine: Engine) -> None:
    _, found = look(sample_engine, "sample-gpt", [" dog", " cat"])
    for one in by_layer(found, LAYERS):
        lists = [
            code for code, v, _, d in codes.TOKEN_LISTS if (v, d) == (one.vector, one.direction)
        ]
        expected = [0] * LAYERS
        for n in sample.neurons[NEURONS:]:
            there = {t for code in lists for t in sample.top[n["neuron_id"], code]}
            expected[n["layer"]] += bool(there & {" dog", " cat"})
        assert list(one.counts) == expected


def test_classes_of_a_model(sample: Sample, sample_engine: Engine) -> None:
    with sample_engine.connect() as connection:
        found = class_names(connection, find_model(connection, "sample-gpt"))
    assert found == {n["neuron_id"]: n["class"] for n in sample.neurons[NEURONS:]}


@pytest.mark.parametrize("name", MODELS)
def test_places_are_found_by_an_index(name: str, sample_engine: Engine) -> None:
    from neurondb.reading.tokens import _query

    with sample_engine.connect() as connection:
        query = _query(find_model(connection, name), [1, 2], Lists())
        sql = query.compile(connection, compile_kwargs={"literal_binds": True})
        plan = [row[3] for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {sql}")]
    assert any(
        "top_token_rows USING INDEX ix_top_token_rows_token (token_id=? AND list_id=?" in step
        for step in plan
    )
    assert not any("SCAN top_token_rows" in step or "SCAN neurons" in step for step in plan)


# --- the LM head ---------------------------------------------------------------------------


def test_a_stored_decoding_is_read_back(sample: Sample, sample_engine: Engine) -> None:
    with sample_engine.connect() as connection:
        model = find_model(connection, "sample-llama")
        token_id = connection.execute(
            text("SELECT token_id FROM tokens WHERE model_id = 1 AND token = :t"), {"t": DECODED}
        ).scalar_one()
        found = stored_decoding(connection, model, token_id)
        assert stored_decoding(connection, model, token_id + 1) is None
    assert found is not None
    assert found.probability.shape == (2, LAYERS, WIDTH)
    assert found.sides == (1, -1)
    for i, expected in enumerate((sample.decoded, sample.decoded_turned)):
        assert [*found.probability[i].flat] == [expected[n] for n in range(NEURONS)]
        assert [*found.normalised[i].flat] == [100 * expected[n] for n in range(NEURONS)]


def test_an_ungated_model_has_one_side(sample_engine: Engine) -> None:
    with sample_engine.connect() as connection:
        model = find_model(connection, "sample-gpt")
        token_id = connection.execute(
            text("SELECT token_id FROM tokens WHERE model_id = 2 AND token = :t"), {"t": DECODED}
        ).scalar_one()
        found = stored_decoding(connection, model, token_id)
    assert found is not None
    assert found.sides == (1,)


def test_a_decoding_of_an_earlier_version_is_to_be_made_again(tmp_path: Path) -> None:
    path = build(tmp_path / "n.db").path
    engine = connect(parse_url(str(path)), writing=True)
    with engine.begin() as connection:
        connection.execute(text("DELETE FROM lm_head_rows WHERE side = -1"))
        model = find_model(connection, "sample-llama")
        assert stored_decoding(connection, model, 0) is None
    engine.dispose()


def test_a_neuron_without_a_decoding_is_not_a_number(tmp_path: Path) -> None:
    path = build(tmp_path / "n.db").path
    engine = connect(parse_url(str(path)), writing=True)
    with engine.begin() as connection:
        connection.execute(text("DELETE FROM lm_head_rows WHERE neuron_id = 70"))
        model = find_model(connection, "sample-llama")
        found = stored_decoding(connection, model, 0)
    engine.dispose()
    assert found is not None
    assert np.argwhere(np.isnan(found.normalised)).tolist() == [[0, 1, 6], [1, 1, 6]]


def decoding() -> Decoding:
    nan = np.nan
    normalised = np.array([[[1.0, 3.0, 3.0], [nan, nan, nan], [nan, 0.0, 9.0]]])
    return Decoding(0, normalised / 100, normalised)


def test_a_neuron_counts_at_each_of_its_sides() -> None:
    normalised = np.array([[[1.0, 3.0], [0.5, 0.0]], [[4.0, 3.0], [0.0, 6.0]]])
    both = Decoding(0, normalised / 100, normalised)
    found = [(one.name, one.side, one.normalised) for one in best_neurons(both, 4)]
    assert found == [("1.1", -1, 6.0), ("0.0", -1, 4.0), ("0.1", 1, 3.0), ("0.1", -1, 3.0)]
    assert [(one.name, one.side) for one in layer_peaks(both) if one] == [("0.0", -1), ("1.1", -1)]
    assert layer_peaks(both, [0])[1] is None


def test_best_neurons_leave_out_what_is_unknown() -> None:
    names = [one.name for one in best_neurons(decoding(), None)]
    assert names == ["2.2", "0.1", "0.2", "0.0", "2.1"]
    assert [one.name for one in best_neurons(decoding(), 2, [0])] == ["0.1", "0.2"]


def test_peaks_are_the_first_largest_of_each_layer() -> None:
    peaks = layer_peaks(decoding())
    assert [None if p is None else (p.name, p.normalised) for p in peaks] == [
        ("0.1", 3.0),
        None,
        ("2.2", 9.0),
    ]
    assert [p is None for p in layer_peaks(decoding(), [2])] == [True, True, False]
