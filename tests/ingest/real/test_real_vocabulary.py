"""Token lists, moments, roles and LM-head tokens of SmolLM2 against float64."""

from functools import cache

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.support.real_ingests import SMOLLM2, RealIngest, real_ingest
from tests.support.reference import Array, lm_head, moments, token_scores

pytestmark = [pytest.mark.real, pytest.mark.slow]

N_NEURONS = 100
"""Of each of the two layers."""
K = 16
LAYERS = (20, 29)
NEAR = 2e-6
"""Two cosines that are nearer may change places; and how exact a moment is, relative to 1."""


@pytest.fixture(scope="module")
def model() -> RealIngest:
    return real_ingest(SMOLLM2)


@cache
def chosen(layer: int) -> NDArray[np.int64]:
    """The neurons that have a role, by brute force over the layer, and others at random."""
    n_neurons = len(real_ingest(SMOLLM2).reference.vectors(layer).gate)
    return np.sort(np.random.default_rng(layer).choice(n_neurons, N_NEURONS, replace=False))


@cache
def scores(layer: int, vector: str, basis: str) -> Array:
    """Cosines of the chosen neurons with every token: neurons × tokens."""
    reference = real_ingest(SMOLLM2).reference
    rows = reference.unembed if basis == "unembed" else reference.embed
    return token_scores(reference.vectors(layer).vector(vector)[chosen(layer)], rows)


def some(model: RealIngest, layer: int) -> str:
    """The ids of the chosen neurons, as SQL takes them."""
    (first,) = model.rows("SELECT min(neuron_id) FROM neurons WHERE layer = ?", layer)
    return ", ".join(str(first[0] + neuron) for neuron in chosen(layer))


@pytest.mark.parametrize("basis", ["unembed", "embed"])
@pytest.mark.parametrize("vector", ["gate", "in", "out"])
@pytest.mark.parametrize("layer", LAYERS)
def test_the_top_and_bottom_tokens(model: RealIngest, layer: int, vector: str, basis: str) -> None:
    expected = scores(layer, vector, basis)
    for direction, sign in (("top", 1), ("bottom", -1)):
        rows = model.rows(
            f"SELECT token_id, cosine FROM top_tokens WHERE neuron_id IN ({some(model, layer)})"
            " AND vector = ? AND basis = ? AND direction = ? ORDER BY neuron_id, rank",
            *(vector, basis, direction),
        )
        stored = np.array(rows).reshape(N_NEURONS, K, 2)
        ids, cosines = stored[..., 0].astype(int), stored[..., 1]
        best = -np.sort(-sign * expected, axis=1)[:, :K] * sign
        np.testing.assert_allclose(cosines, best, rtol=0, atol=NEAR)
        own = np.take_along_axis(expected, ids, axis=1)
        np.testing.assert_allclose(cosines, own, rtol=0, atol=NEAR)
        assert all(len(set(row)) == K for row in ids.tolist())


@pytest.mark.parametrize("layer", LAYERS)
def test_the_moments_over_the_vocabulary(model: RealIngest, layer: int) -> None:
    for vector in ("gate", "in", "out"):
        mean, variance, skewness, kurtosis = moments(scores(layer, vector, "unembed"), axis=1)
        stored = np.array(
            model.rows(
                "SELECT mean, variance, skewness, kurtosis FROM vocab_stats"
                f" WHERE neuron_id IN ({some(model, layer)}) AND vector = ? ORDER BY neuron_id",
                vector,
            )
        )
        np.testing.assert_allclose(stored[:, 0], mean, rtol=0, atol=NEAR)
        np.testing.assert_allclose(stored[:, 1], variance, rtol=1e-4)
        np.testing.assert_allclose(stored[:, 2], skewness, rtol=1e-4, atol=1e-4)
        np.testing.assert_allclose(stored[:, 3], kurtosis, rtol=1e-4)


def role(variance: float, skewness: float, kurtosis: float) -> str | None:
    """METHODS §4."""
    if kurtosis > 10 and skewness != 0:
        return "prediction" if skewness > 0 else "suppression"
    return "partition" if variance > 0.005 else None


@pytest.mark.parametrize("layer", LAYERS)
def test_the_roles(model: RealIngest, layer: int) -> None:
    """Every neuron of the layer: the rule on the stored moments, which the test above checks."""
    rows = model.rows(
        "SELECT n.name, n.role, v.variance, v.skewness, v.kurtosis FROM neuron_overview n"
        " JOIN vocab_stats v USING (neuron_id) WHERE n.layer = ? AND v.vector = 'out'",
        layer,
    )
    found = {name: stored for name, stored, *_ in rows}
    assert found == {name: role(*measured) for name, _, *measured in rows}
    counts = {kind: list(found.values()).count(kind) for kind in set(found.values())}
    assert 0 < counts["partition"] < 0.01 * len(found), counts
    # Suppression and prediction stand at the end of the model (universal-neurons §5.1).
    assert (counts.get("suppression", 0) > 50) == (layer == LAYERS[1])


@pytest.mark.parametrize("layer", LAYERS)
def test_the_lm_head_tokens(model: RealIngest, layer: int) -> None:
    """+in, both matrices as they are stored: softmax(U_raw·in_raw), in the model's own sign."""
    reference = model.reference
    raw = reference.vectors(layer).raw_read[chosen(layer)]
    probabilities, mean_of_largest = lm_head(reference.embed, raw)
    rows = model.rows(
        "SELECT token_id, probability, normalised FROM lm_head_tokens"
        f" WHERE neuron_id IN ({some(model, layer)}) ORDER BY neuron_id"
    )
    ids = np.array([row[0] for row in rows])
    own = probabilities[np.arange(len(ids)), ids]
    assert len(rows) == N_NEURONS
    np.testing.assert_allclose(own, probabilities.max(1), rtol=1e-4)
    np.testing.assert_allclose([row[1] for row in rows], own, rtol=1e-4)
    np.testing.assert_allclose([row[2] for row in rows], own / mean_of_largest, rtol=1e-4)
