"""Summaries of parts of a dataset merge into that of the whole, in any order."""

from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ingest.activations.examples import score_at_random
from ingest.activations.summary import LayerSummary
from neurondb.contracts.activations import (
    ActivationsRecord,
    Examples,
    LabelStatistics,
    Moments,
    SignCase,
)
from tests.ingest.activations.summary_reference import (
    assert_controls_right,
    assert_labels_right,
    assert_right,
    list_rows,
)
from tests.support.random_layers import (
    EXTREME,
    NO_NUMBERS,
    NUMBERS,
    Layer,
    empty,
    random_layer,
    summarised,
)


def assert_same(one: ActivationsRecord, other: ActivationsRecord) -> None:
    """Counts, histograms and examples exactly, statistics to 1e-6."""
    for name in ("n_tokens", "n_nonfinite", "gate_positive", "post_positive"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name))
    assert_same_lists(one.examples, other.examples)
    assert_same_lists(one.controls, other.controls)
    for quantity, counts in one.histograms.items():
        np.testing.assert_array_equal(counts, other.histograms[quantity])
    for code, case in one.cases.items():
        assert_same_case(case, other.cases[code])
    for place, label in one.labels.items():
        assert_near(label, other.labels[place])
    assert_near(one.pre, other.pre)
    assert_near(one.post, other.post)


def assert_same_lists(one: Mapping[int, Examples], other: Mapping[int, Examples]) -> None:
    assert one.keys() == other.keys()
    for code, examples in one.items():
        for neuron in range(len(examples.ordinal)):
            assert list_rows(examples, neuron) == list_rows(other[code], neuron)


def assert_same_case(one: SignCase, other: SignCase) -> None:
    np.testing.assert_array_equal(one.count, other.count)
    for quantity in one.mean:
        np.testing.assert_array_equal(one.min[quantity], other.min[quantity])
        np.testing.assert_array_equal(one.max[quantity], other.max[quantity])
        np.testing.assert_allclose(one.mean[quantity], other.mean[quantity], rtol=1e-6)


def assert_near(one: Moments | LabelStatistics, other: Moments | LabelStatistics) -> None:
    for field in fields(one):
        mine, theirs = (getattr(x, field.name) for x in (one, other))
        if mine is not None:
            np.testing.assert_allclose(mine, theirs, rtol=1e-6, atol=1e-9)


def whole_of(layer: Layer) -> LayerSummary:
    return summarised(layer, [range(len(layer.texts))])


@given(
    data=st.data(),
    n=st.integers(1, 40),
    gated=st.booleans(),
    pool=st.sampled_from([NUMBERS, NUMBERS + NO_NUMBERS, (1.5,), None]),
    skip_bos=st.booleans(),
)
@settings(max_examples=40, deadline=None)
def test_any_split_in_any_order_merges_into_the_whole(
    data: Any, n: int, gated: bool, pool: Sequence[float] | None, skip_bos: bool
) -> None:
    layer = random_layer(
        data.draw(st.integers(0, 999)),
        n,
        gated=gated,
        pool=pool,
        n_labels=2,
        controls=True,
        skip_bos=skip_bos,
    )
    order = data.draw(st.permutations(range(n)))
    cuts = sorted(data.draw(st.lists(st.integers(0, n), max_size=5)))
    batches = [order[a:b] for a, b in zip([0, *cuts], [*cuts, n], strict=True) if a < b]
    dealt = data.draw(st.lists(st.integers(0, 3), min_size=len(batches), max_size=len(batches)))
    shards = [
        summarised(layer, [b for b, to in zip(batches, dealt, strict=True) if to == shard])
        for shard in range(4)
    ]
    first, *others = data.draw(st.permutations(shards))
    for other in others:
        first.merge(other)
    assert_same(first.record(), whole_of(layer).record())
    assert_right(first.record(), layer, swish_exact=True)


def test_extremes_far_apart_merge() -> None:
    for seed in range(5):
        layer = random_layer(seed, 30, pool=NUMBERS + EXTREME, n_labels=1)
        left, right = (summarised(layer, [part]) for part in (range(13), range(13, 30)))
        right.merge(left)
        assert_right(right.record(), layer, swish_exact=True)
        assert_labels_right(right.record(), layer)


@pytest.mark.parametrize("empty_first", [True, False])
def test_a_summary_of_nothing_changes_nothing(empty_first: bool) -> None:
    layer = random_layer(3, 20, pool=NUMBERS + NO_NUMBERS, n_labels=2, controls=True)
    whole, parts = whole_of(layer), [empty(layer), whole_of(layer)]
    one, other = parts if empty_first else parts[::-1]
    one.merge(other)
    for name, tensor in one.tensors().items():
        np.testing.assert_array_equal(tensor.numpy(), whole.tensors()[name].numpy(), name)


def test_a_merged_summary_goes_on() -> None:
    layer = random_layer(3, 30, pool=None, controls=True)
    one, other = (summarised(layer, [part]) for part in (range(10), range(10, 20)))
    one.merge(other)
    rest = summarised(layer, [range(20, 30)])
    one.merge(rest)
    assert_same(one.record(), whole_of(layer).record())


def test_the_controls_of_shards_are_those_of_the_whole() -> None:
    layer = random_layer(3, 200, pool=None, controls=True, seed=4, number=7)
    first, *others = (summarised(layer, [range(i, 200, 3)]) for i in range(3))
    for other in others:
        first.merge(other)
    scores = score_at_random(layer.seed, layer.number, torch.arange(200), len(layer.sign))
    assert_controls_right(first.record(), layer, scores.numpy())
