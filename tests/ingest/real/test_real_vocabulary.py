"""Token lists, moments, roles and LM-head tokens of real models against float64."""

from functools import cache

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.ingest.real.real_ingests import GEMMA3, SMOLLM2, RealIngest, real_ingest
from tests.support.arrays import Array
from tests.support.real_models import need_real_models
from tests.support.vocabulary_reference import lm_head, moments, token_scores

need_real_models()
pytestmark = [pytest.mark.real, pytest.mark.slow]

PLACES = [(SMOLLM2, 20), (SMOLLM2, 29), (GEMMA3, 12)]
N_NEURONS = {SMOLLM2: 100, GEMMA3: 20}
"""Of each of these layers."""
K = 16
BLOCK = 32_768
"""Tokens at a time: Gemma has 262,144."""
NEAR = 2e-6
"""Two cosines that are nearer may change places; and how exact a moment is, relative to 1."""


@cache
def chosen(file: str, layer: int) -> NDArray[np.int64]:
    """Neurons of a layer, drawn at random."""
    n_neurons = len(real_ingest(file).reference.vectors(layer).gate)
    drawn = np.random.default_rng(layer).choice(n_neurons, N_NEURONS[file], replace=False)
    return np.sort(drawn)


@cache
def scores(file: str, layer: int, vector: str, basis: str) -> Array:
    """Cosines of the chosen neurons with every token: neurons × tokens."""
    reference = real_ingest(file).reference
    rows = reference.unembed if basis == "unembed" else reference.embed
    own = reference.vectors(layer).vector(vector)[chosen(file, layer)]
    starts = range(0, len(rows), BLOCK)
    return np.concatenate([token_scores(own, rows[i : i + BLOCK]) for i in starts], axis=1)


def some(model: RealIngest, layer: int) -> str:
    """The ids of the chosen neurons, as SQL takes them."""
    (first,) = model.rows("SELECT min(neuron_id) FROM neurons WHERE layer = ?", layer)
    return ", ".join(str(first[0] + neuron) for neuron in chosen(model.request.file, layer))


@pytest.mark.parametrize("basis", ["unembed", "embed"])
@pytest.mark.parametrize("vector", ["gate", "in", "out"])
@pytest.mark.parametrize(("file", "layer"), PLACES)
def test_the_top_and_bottom_tokens(file: str, layer: int, vector: str, basis: str) -> None:
    model, expected = real_ingest(file), scores(file, layer, vector, basis)
    for direction, sign in (("top", 1), ("bottom", -1)):
        rows = model.rows(
            f"SELECT token_id, cosine FROM top_tokens WHERE neuron_id IN ({some(model, layer)})"
            " AND vector = ? AND basis = ? AND direction = ? ORDER BY neuron_id, rank",
            *(vector, basis, direction),
        )
        stored = np.array(rows).reshape(N_NEURONS[file], K, 2)
        ids, cosines = stored[..., 0].astype(int), stored[..., 1]
        best = -np.sort(-sign * expected, axis=1)[:, :K] * sign
        np.testing.assert_allclose(cosines, best, rtol=0, atol=NEAR)
        own = np.take_along_axis(expected, ids, axis=1)
        np.testing.assert_allclose(cosines, own, rtol=0, atol=NEAR)
        assert all(len(set(row)) == K for row in ids.tolist())


@pytest.mark.parametrize(("file", "layer"), PLACES)
def test_the_moments_over_the_vocabulary(file: str, layer: int) -> None:
    model = real_ingest(file)
    for vector in ("gate", "in", "out"):
        mean, variance, skewness, kurtosis = moments(scores(file, layer, vector, "unembed"), axis=1)
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


@pytest.mark.parametrize(("file", "layer"), PLACES)
def test_the_roles(file: str, layer: int) -> None:
    """Every neuron of the layer: the rule on the stored moments, which the test above checks."""
    rows = real_ingest(file).rows(
        "SELECT n.name, n.role, v.variance, v.skewness, v.kurtosis FROM neuron_overview n"
        " JOIN vocab_stats v USING (neuron_id) WHERE n.layer = ? AND v.vector = 'out'",
        layer,
    )
    found = {name: stored for name, stored, *_ in rows}
    assert found == {name: role(*measured) for name, _, *measured in rows}
    counts = {kind: list(found.values()).count(kind) for kind in set(found.values())}
    assert counts.get("partition", 0) < 0.01 * len(found), counts
    if file == SMOLLM2:
        assert counts["partition"] > 0
        # Suppression stands at the end of a model (universal-neurons §5.1).
        assert (counts.get("suppression", 0) > 50) == (layer == 29)


@pytest.mark.parametrize(("file", "layer"), PLACES)
@pytest.mark.parametrize("side", [1, -1])
def test_the_lm_head_tokens(file: str, layer: int, side: int) -> None:
    """Both sides, matrices as they are stored: softmax(U_raw·±in_raw), in the model's own sign."""
    model = real_ingest(file)
    raw = model.reference.vectors(layer).raw_read[chosen(file, layer)]
    probabilities, mean_of_largest = lm_head(model.reference.embed, side * raw)
    rows = model.rows(
        "SELECT token_id, probability, normalised FROM lm_head_tokens"
        f" WHERE side = {side} AND neuron_id IN ({some(model, layer)}) ORDER BY neuron_id"
    )
    ids = np.array([row[0] for row in rows])
    own = probabilities[np.arange(len(ids)), ids]
    assert len(rows) == N_NEURONS[file]
    np.testing.assert_allclose(own, probabilities.max(1), rtol=1e-4)
    np.testing.assert_allclose([row[1] for row in rows], own, rtol=1e-4)
    np.testing.assert_allclose([row[2] for row in rows], own / mean_of_largest, rtol=1e-4)
