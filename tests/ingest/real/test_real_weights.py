"""Cosines, norms, classes and random regions of real models against float64."""

import numpy as np
import pytest

from tests.ingest.real.real_ingests import GEMMA3, SMOLLM2, RealIngest, real_ingest
from tests.support.real_models import need_real_models
from tests.support.weights_reference import gated_class, mismatched, norms, row_cosines

need_real_models()
pytestmark = [pytest.mark.real, pytest.mark.slow]

LAYERS = {SMOLLM2: (0, 10, 20, 29), GEMMA3: (4, 17)}
PLACES = [(file, layer) for file, layers in LAYERS.items() for layer in layers]
MISMATCHED = {SMOLLM2: 10, GEMMA3: 4}
PAIRS = {"in_out": ("in", "out"), "gate_out": ("gate", "out"), "gate_in": ("gate", "in")}
WITH_COSINES = "neurons n JOIN cosines USING (neuron_id)"
ROUNDING = 1e-6
"""How near to a threshold a cosine must be for its class to be either."""


@pytest.fixture
def model(request: pytest.FixtureRequest) -> RealIngest:
    return real_ingest(request.param)


@pytest.mark.parametrize(("model", "layer"), PLACES, indirect=["model"])
def test_cosines_norms_and_signs_of_every_neuron(model: RealIngest, layer: int) -> None:
    vectors = model.reference.vectors(layer)
    stored = model.table("gate_in, gate_out, in_out", WITH_COSINES, "layer = ?", layer)
    expected = [row_cosines(*map(vectors.vector, pair)) for pair in (PAIRS["gate_in"],)]
    expected += [row_cosines(*map(vectors.vector, PAIRS[pair])) for pair in ("gate_out", "in_out")]
    np.testing.assert_allclose(stored, np.stack(expected, axis=1), rtol=0, atol=1e-6)
    lengths = np.stack([norms(vectors.vector(name)) for name in ("gate", "in", "out")], axis=1)
    stored = model.table(
        "gate_norm, in_norm, out_norm, penalty, sign", "neurons n", "layer = ?", layer
    )
    np.testing.assert_allclose(stored[:, :3], lengths, rtol=1e-6)
    np.testing.assert_allclose(stored[:, 3], (lengths**2).sum(1), rtol=1e-6)
    sure = np.abs(expected[0]) > ROUNDING
    np.testing.assert_array_equal(stored[sure, 4], vectors.sign[sure])


@pytest.mark.parametrize(("model", "layer"), PLACES, indirect=["model"])
def test_the_class_of_every_neuron(model: RealIngest, layer: int) -> None:
    vectors = model.reference.vectors(layer)
    cosines = np.stack([row_cosines(*map(vectors.vector, pair)) for pair in PAIRS.values()])
    in_out, gate_out, gate_in = cosines
    stored = model.rows(
        "SELECT class, neuron FROM neuron_overview WHERE layer = ? ORDER BY neuron", layer
    )
    assert len(stored) == cosines.shape[1]
    for name, neuron in stored:
        if np.abs(np.abs(cosines[:, neuron]) - 0.5).min() > ROUNDING:
            three = (float(gate_in[neuron]), float(gate_out[neuron]), float(in_out[neuron]))
            assert name == gated_class(*three, 0.5), f"{layer}.{neuron}"


@pytest.mark.parametrize("model", LAYERS, indirect=True)
def test_the_mismatched_regions_are_those_of_all_pairs(model: RealIngest) -> None:
    layer = MISMATCHED[model.request.file]
    vectors = model.reference.vectors(layer)
    stored = {
        pair: (low, high, n_pairs)
        for pair, low, high, n_pairs in model.rows(
            "SELECT pair, low, high, n_pairs FROM baselines"
            " WHERE layer = ? AND kind = 'mismatched'",
            layer,
        )
    }
    assert set(stored) == set(PAIRS)
    n_neurons = len(vectors.gate)
    for pair, (first, second) in PAIRS.items():
        cosines = mismatched(vectors.vector(first), vectors.vector(second))
        if pair == "gate_in":
            high = float(np.quantile(np.abs(cosines), 0.95))
            low = -high
        else:
            low, high = np.quantile(cosines, [0.025, 0.975])
        assert stored[pair][:2] == pytest.approx((low, high), abs=1e-6), pair
        assert stored[pair][2] == n_neurons * (n_neurons - 1)
