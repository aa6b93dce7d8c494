"""Quantiles from histograms, against closed forms."""

import numpy as np
import pytest

from neurondb import histogram
from neurondb.reading.histograms import Histogram, Histograms
from neurondb.reading.quantiles import quantile, quantiles

EDGES = (-1.0, 0.0, 1.0, 2.0)


def test_within_a_bin_values_are_taken_as_even() -> None:
    counts = (0, 0, 100, 0, 0)
    assert [quantile(EDGES, counts, share) for share in (0.25, 0.5, 1.0)] == [0.25, 0.5, 1.0]


def test_an_even_distribution_has_its_shares_for_quantiles() -> None:
    counts = (0, 100, 100, 100, 0)
    for share in np.linspace(0.01, 1, 50):
        assert quantile(EDGES, counts, float(share)) == pytest.approx(-1 + 3 * share)


def test_outer_bins_have_no_end() -> None:
    counts = (10, 0, 80, 0, 10)
    assert quantile(EDGES, counts, 0.05) is None
    assert quantile(EDGES, counts, 0.95) is None
    assert quantile(EDGES, counts, 0.5) == 0.5


def test_a_share_of_nothing_is_where_the_first_value_may_be() -> None:
    assert quantile(EDGES, (0, 0, 0, 7, 0), 0.0) == 1.0


def test_quantiles_are_within_half_an_octave_of_the_values() -> None:
    values = np.random.default_rng(0).normal(0, 2, 50_000)
    counts = np.bincount(histogram.bin_of(values), minlength=histogram.N_BINS)
    edges = tuple(histogram.edges().tolist())
    found = Histograms(edges, 8, (Histogram("hook_post", tuple(counts.tolist())),))
    (one,) = quantiles(found)
    for share, value in zip(one.shares, one.values, strict=True):
        exact = float(np.quantile(values, share))
        assert value is not None
        assert abs(value - exact) <= max(abs(exact) * 0.5, 2**-6)


def test_what_was_never_counted_has_no_quantiles() -> None:
    empty = Histograms(EDGES, 8, (Histogram("hook_post", (0,) * 5),))
    assert quantiles(empty) == ()
    assert quantiles(None) == ()
