"""Stored decodings of the LM head, and the neurons that are first in them."""

from pathlib import Path

import numpy as np
from sqlalchemy import Engine, text

from neurondb.database import connect, parse_url
from neurondb.reading.lm_head import Decoding, find_layer_peaks, rank_neurons, read_decoding
from neurondb.reading.models import find_model
from tests.support.sample_database import build
from tests.support.sample_facts import DECODED, LAYERS, NEURONS, WIDTH, Sample


def test_a_stored_decoding_is_read_back(sample: Sample, sample_engine: Engine) -> None:
    with sample_engine.connect() as connection:
        model = find_model(connection, "sample-llama")
        token_id = connection.execute(
            text("SELECT token_id FROM tokens WHERE model_id = 1 AND token = :t"), {"t": DECODED}
        ).scalar_one()
        found = read_decoding(connection, model, token_id)
        assert read_decoding(connection, model, token_id + 1) is None
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
        found = read_decoding(connection, model, token_id)
    assert found is not None
    assert found.sides == (1,)


def test_a_decoding_of_an_earlier_version_is_to_be_made_again(tmp_path: Path) -> None:
    path = build(tmp_path / "n.db").path
    engine = connect(parse_url(str(path)), writing=True)
    with engine.begin() as connection:
        connection.execute(text("DELETE FROM lm_head_rows WHERE side = -1"))
        model = find_model(connection, "sample-llama")
        assert read_decoding(connection, model, 0) is None
    engine.dispose()


def test_a_neuron_without_a_decoding_is_not_a_number(tmp_path: Path) -> None:
    path = build(tmp_path / "n.db").path
    engine = connect(parse_url(str(path)), writing=True)
    with engine.begin() as connection:
        connection.execute(text("DELETE FROM lm_head_rows WHERE neuron_id = 70"))
        model = find_model(connection, "sample-llama")
        found = read_decoding(connection, model, 0)
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
    found = [
        (f"{one.layer}.{one.neuron}", one.side, one.normalised) for one in rank_neurons(both, 4)
    ]
    assert found == [("1.1", -1, 6.0), ("0.0", -1, 4.0), ("0.1", 1, 3.0), ("0.1", -1, 3.0)]
    assert [(f"{one.layer}.{one.neuron}", one.side) for one in find_layer_peaks(both) if one] == [
        ("0.0", -1),
        ("1.1", -1),
    ]
    assert find_layer_peaks(both, [0])[1] is None


def test_best_neurons_leave_out_what_is_unknown() -> None:
    names = [f"{one.layer}.{one.neuron}" for one in rank_neurons(decoding(), None)]
    assert names == ["2.2", "0.1", "0.2", "0.0", "2.1"]
    assert [f"{one.layer}.{one.neuron}" for one in rank_neurons(decoding(), 2, [0])] == [
        "0.1",
        "0.2",
    ]


def test_peaks_are_the_first_largest_of_each_layer() -> None:
    peaks = find_layer_peaks(decoding())
    assert [None if p is None else (f"{p.layer}.{p.neuron}", p.normalised) for p in peaks] == [
        ("0.1", 3.0),
        None,
        ("2.2", 9.0),
    ]
    assert [p is None for p in find_layer_peaks(decoding(), [2])] == [True, True, False]
