"""Sign cases, histograms and labels as the rows have them; quantiles against closed forms."""

import numpy as np
import pytest
from sqlalchemy import Connection

from neurondb import histogram
from neurondb.errors import UnknownNameError
from neurondb.reading.activations import (
    Histogram,
    Histograms,
    interpolate_quantile,
    interpolate_quantiles,
)
from neurondb.reading.neuron import read_neuron_page
from neurondb.schema import tables
from tests.neurondb.reading.pages import page

EDGES = (-1.0, 0.0, 1.0, 2.0)


def test_within_a_bin_values_are_taken_as_even() -> None:
    counts = (0, 0, 100, 0, 0)
    assert [interpolate_quantile(EDGES, counts, share) for share in (0.25, 0.5, 1.0)] == [
        0.25,
        0.5,
        1.0,
    ]


def test_an_even_distribution_has_its_shares_for_quantiles() -> None:
    counts = (0, 100, 100, 100, 0)
    for share in np.linspace(0.01, 1, 50):
        assert interpolate_quantile(EDGES, counts, float(share)) == pytest.approx(-1 + 3 * share)


def test_outer_bins_have_no_end() -> None:
    counts = (10, 0, 80, 0, 10)
    assert interpolate_quantile(EDGES, counts, 0.05) is None
    assert interpolate_quantile(EDGES, counts, 0.95) is None
    assert interpolate_quantile(EDGES, counts, 0.5) == 0.5


def test_a_share_of_nothing_is_where_the_first_value_may_be() -> None:
    assert interpolate_quantile(EDGES, (0, 0, 0, 7, 0), 0.0) == 1.0


def test_quantiles_are_within_half_an_octave_of_the_values() -> None:
    values = np.random.default_rng(0).normal(0, 2, 50_000)
    counts = np.bincount(histogram.find_bins(values), minlength=histogram.N_BINS)
    edges = tuple(histogram.compute_edges().tolist())
    found = Histograms(edges, 8, (Histogram("hook_post", tuple(counts.tolist())),))
    (one,) = interpolate_quantiles(found)
    for share, value in zip(one.shares, one.values, strict=True):
        exact = float(np.quantile(values, share))
        assert value is not None
        assert abs(value - exact) <= max(abs(exact) * 0.5, 2**-6)


def test_what_was_never_counted_has_no_quantiles() -> None:
    empty = Histograms(EDGES, 8, (Histogram("hook_post", (0,) * 5),))
    assert interpolate_quantiles(empty) == ()
    assert interpolate_quantiles(None) == ()


def test_the_most_frequent_case_is_dominant(connection: Connection) -> None:
    found = page(connection).activations

    assert found is not None
    assert [(case.sign_case, case.count, case.dominant) for case in found.cases] == [
        ("gate+_in+", 150, False),
        ("gate+_in-", 670, True),
        ("gate-_in+", 0, False),
        ("gate-_in-", 180, False),
    ]
    assert (found.cases[1].post.mean, found.cases[1].post.min) == (-0.18, -5.12)
    assert found.cases[2].post.mean is None
    assert (found.fires, found.pre.mean, found.post.mean) == (0.82, 1.0, -1.0)


def test_a_neuron_whose_cases_are_all_empty_has_no_dominant_one(connection: Connection) -> None:
    cases = tables.sign_case_rows
    connection.execute(cases.update().values(count=0, freq=0.0))

    found = page(connection).activations

    assert found is not None
    assert found.dominant is None
    assert all(one.examples for one in page(connection).examples if one.sign_case != "gate-_in+")


def test_histograms_have_a_count_a_bin_and_the_edges_between(connection: Connection) -> None:
    found = page(connection).activations

    assert found is not None
    assert found.histograms is not None
    assert [one.quantity for one in found.histograms.quantities] == ["hook_post", "hook_pre"]
    first, second = (dict(enumerate(one.counts)) for one in found.histograms.quantities)
    assert {bin_: n for bin_, n in first.items() if n} == {0: 5, 29: 300}
    assert {bin_: n for bin_, n in second.items() if n} == {30: 1, 59: 70_000}
    assert len(first) == len(found.histograms.edges) + 1 == 60
    assert (found.histograms.edges[0], found.histograms.edges[29:32]) == (
        -256,
        (0, 2**-6, 1.5 / 64),
    )
    assert found.histograms.stride == 8


def test_labels_come_with_the_most_frequent_first(connection: Connection) -> None:
    found = page(connection).activations

    assert found is not None
    assert [(one.label, one.n_tokens, one.freq) for one in found.labels] == [
        ("code", 500, 0.75),
        ("news", 500, 0.25),
        ("none", 0, None),
    ]
    assert (found.labels[0].post_mean, found.labels[0].post_positive) == (-0.5, 0.375)


def test_labels_of_an_ungated_neuron_are_in_the_order_of_positive_posts(
    connection: Connection,
) -> None:
    key = {"neuron_id": 103, "dataset_id": 9, "n_tokens": 4}
    for label_id, share in ((1, 0.25), (2, None), (3, 0.75)):
        row = key | {"label_id": label_id, "post_positive": share}
        connection.execute(tables.label_stats.insert(), row)

    found = read_neuron_page(connection, "plain-model", 1, 1).activations

    assert found is not None
    assert [one.label for one in found.labels] == ["none", "news", "code"]


def test_an_unknown_dataset_is_answered_with_the_list(connection: Connection) -> None:
    with pytest.raises(UnknownNameError, match=r"'news'.*tales"):
        page(connection, dataset="news")


def test_a_dataset_can_be_named(connection: Connection) -> None:
    connection.execute(tables.models.update().values(dataset_id=None))

    assert page(connection).activations is None
    assert page(connection, dataset="tales").activations is not None
