"""Surprise: the two-sided tail share of a value in its neuron's own histogram."""

import math

import numpy as np
import pytest
from sqlalchemy import Engine

from neurondb import histogram
from neurondb.reading.models import find_model
from neurondb.reading.surprise import PostDistributions, read_post_distributions
from tests.support.sample_facts import Sample


def distributions(*counts: dict[int, int]) -> PostDistributions:
    """One neuron for each: bin → tokens."""
    before = np.zeros((len(counts), histogram.N_BINS + 1))
    for row, of_neuron in enumerate(counts):
        for place, n in of_neuron.items():
            before[row, place + 1 :] += n
    return PostDistributions(before)


def surprise(counts: dict[int, int], value: float) -> float:
    return float(distributions(counts).measure_surprise(np.array([value]))[0])


MIDDLE = histogram.BINS_A_SIDE
"""The bin of [0, 2⁻⁶)."""
ONE = int(histogram.find_bins(np.array([1.0]))[0])
"""That of [1, 1½)."""


def test_within_a_bin_tokens_are_evenly_spread() -> None:
    counts = {MIDDLE: 900, ONE: 100}
    assert surprise(counts, 1.25) == pytest.approx(-math.log10(2 * 50 / 1000))
    assert surprise(counts, 1.0) == pytest.approx(-math.log10(2 * 100 / 1000))
    assert surprise(counts, 2.0**-7) == pytest.approx(-math.log10(2 * 450 / 1000))
    assert surprise({MIDDLE: 500, ONE: 500}, 0.5) == 0.0


def test_both_sides_count_alike() -> None:
    counts = {MIDDLE: 900, ONE: 100}
    mirrored = {histogram.N_BINS - 1 - place: n for place, n in counts.items()}
    for value in (0.001, 1.1, 1.4, 3.0, 1e6):
        assert surprise(mirrored, -value) == pytest.approx(surprise(counts, value), abs=1e-9)


def test_beyond_all_tokens_it_is_one_of_them() -> None:
    counts = {MIDDLE: 900, ONE: 100}
    for value in (1.6, 1e9, np.inf, -0.5, -1e9, -np.inf):
        assert surprise(counts, value) == pytest.approx(3.0)


def test_an_open_bin_lies_beyond_a_value_in_it() -> None:
    top = histogram.N_BINS - 1
    assert surprise({MIDDLE: 990, top: 10}, 300.0) == pytest.approx(-math.log10(0.02))
    assert surprise({MIDDLE: 990, top: 10}, 1e30) == pytest.approx(-math.log10(0.02))
    assert surprise({MIDDLE: 990, 0: 10}, -1e30) == pytest.approx(-math.log10(0.02))


def test_what_is_not_known_is_no_number() -> None:
    known = distributions({MIDDLE: 5}, {})
    found = known.measure_surprise(np.array([[0.0, 1.0], [np.nan, 2.0]]))
    assert np.isnan(found).tolist() == [[False, True], [True, True]]


def test_values_of_the_stored_texts_are_as_far_out_as_their_share_says() -> None:
    """Of many values of one distribution, a share p has a tail share below p."""
    drawn = np.random.default_rng(0).standard_normal(20_000)
    bins, n = np.unique(histogram.find_bins(drawn), return_counts=True)
    known = distributions(dict(zip(bins.tolist(), n.tolist(), strict=True)))
    found = known.measure_surprise(drawn[:, None])[:, 0]
    for p in (0.5, 0.2, 0.05):  # but for the bins, within which the density is not even
        assert np.mean(found > -math.log10(p)) == pytest.approx(p, rel=0.2)


def test_histograms_are_read_in_the_order_asked_for(sample: Sample, sample_engine: Engine) -> None:
    with sample_engine.connect() as connection:
        model = find_model(connection, "sample-llama")
        assert model.dataset_id is not None
        whole = read_post_distributions(connection, model, model.dataset_id)
        ids = np.array([model.first_neuron_id + i for i in (9, 3, 9)])
        some = read_post_distributions(connection, model, model.dataset_id, ids)
        none = read_post_distributions(connection, model, 10**6, ids)
    assert whole.before.shape == (model.n_neurons, histogram.N_BINS + 1)
    np.testing.assert_array_equal(some.before, whole.before[[9, 3, 9]])
    assert not none.before.any()
