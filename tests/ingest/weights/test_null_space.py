"""The share of `out` that the unembedding does not see: numpy's SVD in float64, closed forms."""

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from ingest.bundled import model_directory
from ingest.checkpoint.reader import Checkpoint
from ingest.weights.null_space import (
    NULL_DIRECTIONS,
    compute_null_share,
    find_null_directions,
    find_smallest_directions,
)
from ingest.weights.preprocess import preprocess_neurons, preprocess_unembedding
from neurondb.contracts.ingest import Preprocessing


def drawn(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def shares(unembed: torch.Tensor, out: torch.Tensor, k: int) -> NDArray[np.float64]:
    """‖out·U₀‖/‖out‖ with U₀ from a decomposition of U itself."""
    _, _, right = np.linalg.svd(unembed.double().numpy(), full_matrices=False)
    vectors = out.double().numpy()
    return np.asarray(
        np.linalg.norm(vectors @ right[-k:].T, axis=1) / np.linalg.norm(vectors, axis=1)
    )


def conditioned(n: int, d: int, smallest: float) -> torch.Tensor:
    """A matrix with singular values from 1 down to `smallest`, its directions random."""
    left, _ = torch.linalg.qr(drawn(n, d).double())
    right, _ = torch.linalg.qr(drawn(d, d, seed=1).double())
    values = torch.logspace(0, float(np.log10(smallest)), d, dtype=torch.float64)
    result: torch.Tensor = left * values @ right
    return result.float()


@pytest.mark.parametrize("smallest", [0.5, 1e-3, 1e-5])
@pytest.mark.parametrize("k", [1, 5, 40])
def test_share_is_that_of_a_decomposition_of_u_itself(smallest: float, k: int) -> None:
    unembed, out = conditioned(5000, 64, smallest), drawn(200, 64, seed=2)
    unembed = unembed - unembed.mean(0)
    found = compute_null_share(out, find_null_directions(unembed, k))
    np.testing.assert_allclose(found, shares(unembed, out, k), rtol=0, atol=1e-6)


def test_directions_are_orthonormal_the_smallest_singular_value_first() -> None:
    unembed = conditioned(3000, 32, 1e-2)
    found = find_null_directions(unembed, 6)
    assert found.shape == (32, 6)
    torch.testing.assert_close(found.T @ found, torch.eye(6, dtype=torch.float64))
    sizes = torch.linalg.vector_norm(unembed.double() @ found, dim=0).numpy()
    expected = np.linalg.svd(unembed.double().numpy(), compute_uv=False)[::-1][:6]
    np.testing.assert_allclose(sizes, expected, rtol=1e-6)


def test_a_vector_that_u_does_not_see_has_a_share_of_one() -> None:
    unembed = drawn(500, 8)
    unembed[:, 5:] = 0  # three directions without a logit
    out = torch.eye(8) * torch.logspace(-8, 8, 8)[:, None]
    out = torch.cat([out, torch.tensor([[3.0, 0, 0, 0, 0, 0, 0, 4.0]])])
    found = compute_null_share(out, find_null_directions(unembed, 3))
    np.testing.assert_allclose(found, [0, 0, 0, 0, 0, 1, 1, 1, 0.8], rtol=0, atol=1e-7)


def test_zero_vectors_have_no_share() -> None:
    found = compute_null_share(torch.zeros(2, 8), find_null_directions(drawn(100, 8), 3))
    assert np.isnan(found).all()


def test_no_direction_has_no_share_of_anything() -> None:
    assert (
        compute_null_share(drawn(4, 8), find_null_directions(drawn(100, 8), 0)).tolist() == [0] * 4
    )


@pytest.mark.parametrize("k", [8, 9, NULL_DIRECTIONS])
def test_where_all_directions_are_asked_for_every_vector_is_within(k: int) -> None:
    directions = find_null_directions(drawn(100, 8), k)
    assert directions.shape == (8, 8)
    np.testing.assert_allclose(compute_null_share(drawn(9, 8), directions), 1, rtol=1e-12)


def test_random_vectors_have_the_share_of_their_dimensions() -> None:
    found = compute_null_share(drawn(4000, 256, seed=3), find_null_directions(drawn(2000, 256)))
    assert np.mean(found**2) == pytest.approx(NULL_DIRECTIONS / 256, rel=0.01)


def test_a_gram_matrix_that_is_known_changes_nothing() -> None:
    unembed, out = conditioned(1000, 32, 1e-2), drawn(9, 32)
    gram = unembed.double().T @ unembed.double()
    expected = compute_null_share(out, find_null_directions(unembed, 4))
    np.testing.assert_allclose(
        compute_null_share(out, find_smallest_directions(gram, 4)), expected, rtol=1e-9
    )


def test_the_bundled_model_agrees_with_a_decomposition() -> None:
    checkpoint, choices = Checkpoint.open(model_directory()), Preprocessing()
    unembed = preprocess_unembedding(checkpoint, choices)
    directions = find_null_directions(unembed)
    for layer in (0, 5):
        out = preprocess_neurons(checkpoint.read_layer(layer), checkpoint.architecture, choices).out
        expected = shares(unembed, out, NULL_DIRECTIONS)
        np.testing.assert_allclose(compute_null_share(out, directions), expected, rtol=0, atol=1e-6)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_a_gpu_gives_the_same() -> None:
    unembed, out = conditioned(5000, 64, 1e-3), drawn(90, 64, seed=1)
    expected = compute_null_share(out, find_null_directions(unembed))
    found = compute_null_share(out.cuda(), find_null_directions(unembed.cuda()))
    np.testing.assert_allclose(found, expected, rtol=1e-6)
