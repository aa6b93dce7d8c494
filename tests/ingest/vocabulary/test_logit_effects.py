"""Histograms of logit effects: every cosine once more in float64, closed forms, the stage."""

import sqlite3
from collections import defaultdict
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from ingest.bundled import model_directory
from ingest.checkpoint.reader import Checkpoint
from ingest.text.tokenizer import Tokenizer
from ingest.vocabulary.logit_effects import (
    MOST_BINS,
    MOST_EXPLAINED,
    OutMoments,
    choose_neurons,
    choose_scale,
    count_logit_effects,
)
from ingest.vocabulary.properties.catalogue import find_token_properties
from ingest.vocabulary.property_effects import MIN_TOKENS, BestProperties, PropertyEffects
from ingest.weights.preprocess import preprocess_neurons, preprocess_unembedding
from neurondb.contracts.ingest import IngestRequest, Preprocessing
from tests.support.rows import all_rows
from tests.support.tiny_requests import ask, run

Array = NDArray[np.float64]
NEAR = 1e-6
"""How far a float32 cosine may be from the exact one, so that either side of an edge is right."""


class Layer:
    """The last layer of the bundled model: its cosines in float64, its properties."""

    def __init__(self) -> None:
        checkpoint, choices = Checkpoint.open(model_directory()), Preprocessing()
        unembed = preprocess_unembedding(checkpoint, choices)
        self.rows = unembed / torch.linalg.vector_norm(unembed, dim=1, keepdim=True)
        tokens = Tokenizer(model_directory()).list_tokens(len(unembed))
        self.properties = find_token_properties(tokens)
        weights = checkpoint.read_layer(5)
        self.out = preprocess_neurons(weights, checkpoint.architecture, choices).out
        vectors = self.out.double().numpy()
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        rows = unembed.double().numpy()
        self.cosines: Array = vectors @ (rows / np.linalg.norm(rows, axis=1, keepdims=True)).T

    def explained(self, property_: int) -> Array:
        """METHODS §9: 1 − [(1−β)σ²(v|y=0) + βσ²(v|y=1)] / σ²(v)."""
        has = self.properties.members[:, property_]
        share = has.mean()
        within = share * self.cosines[:, has].var(1) + (1 - share) * self.cosines[:, ~has].var(1)
        explained: Array = 1 - within / self.cosines.var(1)
        return explained

    def third_moment(self, property_: int) -> Array:
        """That of the effects if every token had the mean of its group."""
        has = self.properties.members[:, property_]
        inside, outside = self.cosines[:, has].mean(1), self.cosines[:, ~has].mean(1)
        of_group = np.where(has, inside[:, None], outside[:, None])
        centred = of_group - of_group.mean(1, keepdims=True)
        third: Array = (centred**3).mean(1)
        return third


@pytest.fixture(scope="module")
def layer() -> Layer:
    return Layer()


def test_the_best_properties_are_those_of_brute_force(layer: Layer) -> None:
    members = layer.properties.members
    usable = [p for p in range(members.shape[1]) if members[:, p].sum() >= MIN_TOKENS]
    explained = np.stack([layer.explained(p) for p in usable], 1)
    third = np.stack([np.abs(layer.third_moment(p)) for p in usable], 1)
    best = PropertyEffects(layer.rows, members).find_best(layer.out)
    np.testing.assert_allclose(best.explained, explained.max(1), atol=1e-6)
    np.testing.assert_array_equal(best.by_variance, np.array(usable)[explained.argmax(1)])
    np.testing.assert_array_equal(best.by_skewness, np.array(usable)[third.argmax(1)])


def test_bins_hold_the_tokens_whose_cosine_is_in_them(layer: Layer) -> None:
    members = layer.properties.members
    best = PropertyEffects(layer.rows, members).find_best(layer.out)
    chosen = np.arange(0, len(layer.out), 11)
    record = count_logit_effects(layer.out, layer.rows, members, chosen, best)
    of_pair = defaultdict(list)
    for bin_ in zip(*vars(record).values(), strict=True):
        of_pair[tuple(map(int, bin_[:2]))].append(bin_[2:])
    pairs = {(n, int(p[n])) for n in chosen.tolist() for p in (best.by_variance, best.by_skewness)}
    assert of_pair.keys() == pairs
    for (neuron, property_), bins in of_pair.items():
        cosines, has = layer.cosines[neuron], members[:, property_]
        assert sum(b[2] for b in bins) == len(cosines)
        assert sum(b[3] for b in bins) == has.sum()
        assert all(b[2] > 0 and b[3] <= b[2] for b in bins)
        assert len(bins) <= MOST_BINS + 1
        for low, high, n, n_inside in bins:
            for found, values in ((n, cosines), (n_inside, cosines[has])):
                least = ((values >= low + NEAR) & (values < high - NEAR)).sum()
                most = ((values >= low - NEAR) & (values < high + NEAR)).sum()
                assert least <= found <= most


def test_bins_are_the_narrowest_round_ones_that_are_few_enough() -> None:
    assert choose_scale(-0.1, 0.1) == 200  # 40 of 0.005; 0.002 would be 100
    assert choose_scale(-0.64, 0.64) == 50  # exactly MOST_BINS of 0.02
    assert choose_scale(-0.01, 0.0) == 5000
    assert choose_scale(-1, 1) == 20
    assert choose_scale(0.5, 0.5) == 500_000


def test_edges_are_the_decimals_that_they_look_like(layer: Layer) -> None:
    best = PropertyEffects(layer.rows, layer.properties.members).find_best(layer.out)
    chosen = np.arange(4)
    record = count_logit_effects(layer.out, layer.rows, layer.properties.members, chosen, best)
    for edge in (*record.low.tolist(), *record.high.tolist()):
        assert edge == round(edge, 6)
        assert len(repr(edge)) < 10


def test_extreme_roles_and_well_explained_neurons_are_chosen() -> None:
    n, rng = 400, np.random.default_rng(0)
    explained = rng.random(n) / 10
    skewness, kurtosis, variance = np.ones(n), np.full(n, 3.0), np.full(n, 0.001)
    kurtosis[:100] = 11 + rng.permutation(100)  # prediction, of which the 64 most extreme
    kurtosis[100:120], skewness[100:120] = 20, -1  # suppression
    variance[110:140] = 0.01  # partition, but for those that are suppression neurons already
    kurtosis[399] = skewness[399] = variance[399] = np.nan  # a zero vector
    property_ = np.zeros(n, dtype=np.int64)
    property_[399], explained[399] = -1, np.nan
    best = BestProperties(property_, property_, explained)
    found = set(choose_neurons(OutMoments(skewness, kurtosis, variance), best).tolist())
    expected = set(np.argsort(-kurtosis[:100])[:64].tolist()) | set(range(100, 140))
    well = sorted(range(399), key=lambda i: -explained[i])[:MOST_EXPLAINED]
    assert found == expected | set(well)


def test_no_neuron_is_no_bin(layer: Layer) -> None:
    best = PropertyEffects(layer.rows, layer.properties.members).find_best(layer.out)
    record = count_logit_effects(
        layer.out, layer.rows, layer.properties.members, np.arange(0), best
    )
    assert {len(column) for column in vars(record).values()} == {0}


def test_a_zero_vector_has_no_best_property() -> None:
    rows = torch.eye(8).repeat(8, 1)
    out = torch.cat([torch.zeros(1, 8), torch.ones(1, 8) + torch.arange(8.0)])
    best = PropertyEffects(rows, np.arange(64)[:, None] < [20, 64]).find_best(out)
    assert best.by_variance.tolist() == best.by_skewness.tolist() == [-1, 0]
    assert np.isnan(best.explained[0])


# --- the stage -------------------------------------------------------------------------------


def test_an_older_database_gets_them_by_the_stage_alone(request_: IngestRequest) -> None:
    whole = replace(request_, stages=("weights", "vocab"))
    run(whole)
    before = all_rows(Path(str(request_.database)))
    assert ask(request_, "SELECT count(*) > 0, min(n) FROM logit_effect_rows") == [(1, 1)]
    with sqlite3.connect(str(request_.database)) as connection:
        connection.execute("DELETE FROM logit_effect_rows")
        connection.execute("DELETE FROM ingest_steps WHERE stage = 'logit_effects'")
    report = run(replace(request_, stages=("vocab",)))
    assert {stage for stage, n in report.rows.items() if n} == {"logit_effects"}
    assert all_rows(Path(str(request_.database))) == before
