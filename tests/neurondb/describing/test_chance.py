"""Bounds of chance against SciPy's distributions and against chance itself."""

import math

import numpy as np
import pytest
from scipy import stats

from neurondb.describing.chance import (
    find_largest_random_cosine,
    measure_one_surprise,
    measure_surprise,
)


@pytest.mark.parametrize(("width", "n"), [(64, 500), (576, 49_152), (4096, 128_256)])
@pytest.mark.parametrize("rare", [0.05, 0.001])
def test_the_bound_is_that_of_the_beta_distribution(width: int, n: int, rare: float) -> None:
    half = (width - 1) / 2
    expected = 2 * stats.beta.isf(-np.expm1(np.log1p(-rare) / n), half, half) - 1
    assert find_largest_random_cosine(width, n, rare) == pytest.approx(expected, abs=2e-5)


def test_random_directions_exceed_the_bound_as_rarely_as_it_says() -> None:
    draw = np.random.default_rng(0)
    rows = draw.normal(size=(400, 32))
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    directions = draw.normal(size=(8000, 32))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    largest = (directions @ rows.T).max(1)
    share = (largest > find_largest_random_cosine(32, 400, 0.05)).mean()
    assert share == pytest.approx(0.05, abs=0.01)


def test_a_model_too_narrow_for_chance_has_no_bound() -> None:
    assert find_largest_random_cosine(3, 100) == 1.0


@pytest.mark.parametrize(
    ("count", "n", "share"),
    [(9, 16, 0.001), (16, 16, 0.2), (4, 16, 0.1), (1, 16, 0.5), (0, 4, 0.1)],
)
def test_surprise_is_the_logarithm_of_a_ratio_of_likelihoods(
    count: int, n: int, share: float
) -> None:
    binomials = [stats.binom.logpmf(count, n, p) for p in (count / n, share)]
    expected = binomials[0] - binomials[1] if count / n > share else 0.0
    assert measure_one_surprise(count, n, share) == pytest.approx(expected)
    assert float(measure_surprise(np.array(count), n, share)) == pytest.approx(expected)
    assert math.isfinite(expected)
