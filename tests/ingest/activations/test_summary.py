"""A layer's summary on inputs that are none, that tie, that are extreme: against brute force."""

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from tests.ingest.activations.summary_reference import (
    POST,
    PRE,
    PRE_LINEAR,
    SWISH,
    assert_labels_right,
    assert_right,
    list_rows,
)
from tests.support.random_layers import (
    CPU,
    EXTREME,
    N_NEURONS,
    NO_NUMBERS,
    NUMBERS,
    Activation,
    Layer,
    Text,
    empty,
    in_one_batch,
    leaky,
    random_layer,
    summarised,
    tanh_shifted,
)

POOLS = {
    "ties": NUMBERS,
    "extremes": NUMBERS + EXTREME,
    "zeros": (0.0, -0.0),
    "one value": (1.5,),
    "negative": (-1.0, -2.0),
    "no numbers": NUMBERS + NO_NUMBERS,
    "any": NUMBERS + EXTREME + NO_NUMBERS,
    "normal": None,
}


def layer_of(
    gate: Sequence[Sequence[float]] | None,
    in_: Sequence[Sequence[float]],
    post: Sequence[Sequence[float]] | None = None,
    sign: float = 1.0,
    activation: Activation = leaky,
) -> Layer:
    """Texts of one neuron, spelled out; without a `post` it is that of the activation."""

    def column(values: Sequence[float]) -> Tensor:
        return torch.tensor(values)[:, None]

    texts = []
    for i, values in enumerate(in_):
        read = column(values)
        opened = None if gate is None else column(gate[i])
        acted = activation(read) if opened is None else activation(opened) * read
        texts.append(Text(opened, read, acted if post is None else column(post[i])))
    return Layer(texts, torch.tensor([sign]), activation)


# --- everything, on adversarial numbers -----------------------------------------------------


@pytest.mark.parametrize("gated", [True, False])
@pytest.mark.parametrize("pool", POOLS)
def test_all_of_a_summary_equals_brute_force(pool: str, gated: bool) -> None:
    for seed in range(4):
        layer = random_layer(seed, 25, gated=gated, pool=POOLS[pool])
        assert_right(in_one_batch(layer), layer, swish_exact=True)


@given(
    seed=st.integers(0, 10_000),
    n_texts=st.integers(1, 40),
    longest=st.sampled_from([1, 3, 20]),
    pool=st.sampled_from(sorted(POOLS)),
    gated=st.booleans(),
    skip_bos=st.booleans(),
    free_post=st.booleans(),
    garbage=st.sampled_from([math.nan, math.inf, 7.0, 1e38]),
)
@settings(max_examples=40, deadline=None)
def test_any_texts_give_what_brute_force_gives(
    seed: int,
    n_texts: int,
    longest: int,
    pool: str,
    gated: bool,
    skip_bos: bool,
    free_post: bool,
    garbage: float,
) -> None:
    layer = random_layer(
        seed,
        n_texts,
        gated=gated,
        pool=POOLS[pool],
        longest=longest,
        free_post=free_post,
        skip_bos=skip_bos,
        n_labels=2,
    )
    if free_post:
        layer = without_opposite_ties(layer)
    every = [range(i, min(i + 7, n_texts)) for i in range(0, n_texts, 7)]
    record = summarised(layer, every, garbage=garbage).record()
    assert_right(record, layer, swish_exact=True)
    assert_labels_right(record, layer)


def without_opposite_ties(layer: Layer) -> Layer:
    """Make no text hold both v and −v: of these the positive one is kept, wherever it stands."""
    texts = []
    for text in layer.texts:
        places = torch.arange(len(text.post), dtype=torch.float32)[:, None]
        negative = (text.post < 0) & text.post.isfinite() & (text.post.abs() < 1e6)
        post = torch.where(negative, text.post * (1.125 + places), text.post)
        post = torch.where(text.post.abs() >= 1e6, text.post.abs(), post)
        post = torch.where(negative & (post.abs() < 1e-30), 0.0, post)
        texts.append(replace(text, post=torch.where(text.post.isfinite(), post, text.post)))
    return replace(layer, texts=texts)


@pytest.mark.parametrize("gated", [True, False])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_is_summed_in_full(dtype: torch.dtype, gated: bool) -> None:
    layer = random_layer(3, 30, gated=gated, pool=None, longest=40, dtype=dtype)
    assert_right(in_one_batch(layer), layer, swish_exact=True)


@pytest.mark.parametrize(
    "activation",
    [
        torch.nn.functional.silu,
        torch.nn.functional.relu,
        torch.nn.GELU("tanh"),
        tanh_shifted,
    ],
)
def test_any_activation_gives_what_brute_force_gives(activation: Activation) -> None:
    layer = random_layer(5, 30, pool=None, activation=activation)
    assert_right(in_one_batch(layer), layer)


# --- numbers that are none --------------------------------------------------------------------


@pytest.mark.parametrize("bad", NO_NUMBERS)
@pytest.mark.parametrize("part", ["gate", "in_", "post"])
def test_a_token_without_a_number_counts_as_that_and_nowhere_else(part: str, bad: float) -> None:
    """It is as if the text had been without this token, for this neuron alone."""
    layer = random_layer(1, 20, pool=None, longest=5)
    spoilt = list(layer.texts)
    values = getattr(spoilt[4], part).clone()
    values[-1, 1] = bad
    spoilt[4] = replace(spoilt[4], **{part: values})
    damaged = replace(layer, texts=spoilt)
    record, clean = in_one_batch(damaged), in_one_batch(layer)
    assert record.n_nonfinite.tolist() == [0, 1, 0]
    assert_right(record, damaged, swish_exact=True)
    for code, case in record.cases.items():
        assert case.count[[0, 2]].tolist() == clean.cases[code].count[[0, 2]].tolist()
    for code, examples in record.examples.items():
        for neuron in (0, 2):
            assert list_rows(examples, neuron) == list_rows(clean.examples[code], neuron)


def test_a_neuron_without_any_number_has_no_statistics() -> None:
    layer = random_layer(2, 5, pool=(math.nan,))
    record = in_one_batch(layer)
    assert not record.n_tokens.any()
    assert record.n_nonfinite.tolist() == [sum(len(t.in_) for t in layer.texts)] * N_NEURONS
    assert_right(record, layer, swish_exact=True)


@pytest.mark.parametrize("garbage", [*NO_NUMBERS, 1e38, 99.0])
def test_padding_is_never_seen(garbage: float) -> None:
    layer = random_layer(0, 12, pool=None, longest=9)
    record = summarised(layer, [range(12)], garbage=garbage).record()
    assert record.n_tokens[0] == sum(len(text.in_) for text in layer.texts)
    assert_right(record, layer, swish_exact=True)


# --- ties, zeros, signs -----------------------------------------------------------------------


def test_equal_values_give_the_first_texts_and_positions() -> None:
    layer = layer_of([[1.0, 1.0, 1.0]] * 20, [[1.0, 1.0, 1.0]] * 20)
    others = sorted(set(range(20)) - {19, 3, 7})
    examples = summarised(layer, [[19, 3, 7], others]).record().examples[0]
    assert list_rows(examples, 0) == [(text, 0, 1.0) for text in range(16)]


def test_larger_values_come_before_smaller_then_the_first_text() -> None:
    layer = layer_of([[1.0]] * 4, [[2.0], [-5.0], [3.0], [2.0]])
    record = in_one_batch(layer)
    assert list_rows(record.examples[0], 0) == [(2, 0, 3.0), (0, 0, 2.0), (3, 0, 2.0)]
    assert list_rows(record.examples[4], 0) == [(1, 0, -5.0)]


def test_extremes_of_either_sign_stand_in_one_list() -> None:
    layer = layer_of([[1.0, 2.0], [1.0, 2.0]], [[1.0, 1.0]] * 2, [[-3.0, 2.0], [-1.0, 2.5]])
    assert list_rows(in_one_batch(layer).examples[0], 0) == [(0, 0, -3.0), (1, 1, 2.5)]


def test_of_opposite_values_in_one_text_the_positive_is_kept() -> None:
    layer = layer_of([[1.0, 1.0]], [[1.0, 1.0]], [[-2.0, 2.0]])
    assert list_rows(in_one_batch(layer).examples[0], 0) == [(0, 1, 2.0)]


def test_a_negative_canonical_sign_turns_in_and_post_round() -> None:
    layer = layer_of([[1.0]], [[2.0]], sign=-1.0)
    record = in_one_batch(layer)
    assert [case.count[0] for case in record.cases.values()] == [0, 1, 0, 0]
    stored = {q: float(record.cases[1].mean[q][0]) for q in (POST, PRE_LINEAR, PRE, SWISH)}
    assert stored == {POST: -2.0, PRE_LINEAR: -2.0, PRE: 1.0, SWISH: 1.0}
    assert record.post_positive[0] == 0
    assert list_rows(record.examples[4], 0) == [(0, 0, -2.0)]


@pytest.mark.parametrize("zero", [0.0, -0.0])
def test_zeros_are_in_no_case_and_in_no_list(zero: float) -> None:
    record = in_one_batch(layer_of([[zero, 1.0]], [[1.0, zero]]))
    assert all(not case.count.any() for case in record.cases.values())
    assert all((examples.ordinal == -1).all() for examples in record.examples.values())
    assert np.isnan(record.cases[0].mean[POST]).all()
    assert record.n_tokens[0] == 2


@pytest.mark.parametrize("gated", [True, False])
def test_a_rectified_value_counts_but_is_no_example(gated: bool) -> None:
    relu = torch.nn.functional.relu
    layer = layer_of([[-1.0]] if gated else None, [[2.0 if gated else -2.0]], activation=relu)
    record = in_one_batch(layer)
    code = 2 if gated else 5
    case = record.cases[code]
    assert (case.count[0], case.min[POST][0], case.max[POST][0]) == (1, 0, 0)
    assert list_rows(record.examples[code * 4 + POST], 0) == []
    assert list_rows(record.examples[code * 4 + PRE], 0) == [(0, 0, -1.0 if gated else -2.0)]


def test_the_first_position_is_left_out_on_request() -> None:
    layer = replace(layer_of([[9.0], [9.0, 1.0]], [[9.0], [9.0, 1.0]]), skip_bos=True)
    record = in_one_batch(layer)
    assert record.n_tokens[0] == 1
    assert list_rows(record.examples[0], 0) == [(1, 1, 1.0)]


def test_the_summary_of_nothing_has_no_statistics() -> None:
    record = empty(random_layer(0, 1)).record()
    assert not record.n_tokens.any()
    assert np.isnan(record.pre.mean).all()
    assert all((examples.ordinal == -1).all() for examples in record.examples.values())


# --- precision --------------------------------------------------------------------------------


@pytest.mark.parametrize("first", [1e4, 0.0, math.nan])
def test_moments_do_not_suffer_from_a_first_position_that_is_skipped(first: float) -> None:
    """First positions are where the largest activations stand."""
    draw = torch.Generator().manual_seed(0)
    values = torch.randn(10, 50, generator=draw) + 3
    values[:, 0] = first
    layer = replace(layer_of(None, values.tolist()), skip_bos=True)
    assert_right(in_one_batch(layer), layer)


@pytest.mark.parametrize("value", [0.0, 0.1, 1000.1])
def test_equal_values_after_another_at_a_skipped_first_position_have_no_spread(
    value: float,
) -> None:
    layer = replace(layer_of(None, [[12345.6, value, value, value]] * 11), skip_bos=True)
    pre = in_one_batch(layer).pre
    assert (pre.mean[0], pre.variance[0]) == (np.float32(value), 0)
    assert np.isnan([pre.skewness[0], pre.kurtosis[0]]).all()


def test_moments_far_from_zero_keep_their_precision() -> None:
    draw = torch.Generator().manual_seed(0)
    values = torch.randn(10, 50, generator=draw) + 1e4
    layer = layer_of(None, values.tolist())
    assert_right(summarised(layer, [[i] for i in range(10)]).record(), layer)


def test_moments_after_a_first_token_without_a_number_keep_their_precision() -> None:
    values = torch.randn(10, 50, generator=torch.Generator().manual_seed(0)) + 1e5
    values[0, 0] = math.nan
    layer = layer_of(None, values.tolist())
    assert_right(in_one_batch(layer), layer)


def test_sums_beyond_float32_within_a_text_are_right() -> None:
    layer = layer_of(None, [[3e38] * 9, [-2e38, -3e38, 1.0], [1.0, 2.0]])
    assert_right(in_one_batch(layer), layer)


# --- labels -----------------------------------------------------------------------------------


@pytest.mark.parametrize("gated", [True, False])
@pytest.mark.parametrize("pool", ["normal", "no numbers"])
def test_statistics_by_label_equal_brute_force(pool: str, gated: bool) -> None:
    layer = random_layer(4, 30, gated=gated, pool=POOLS[pool], n_labels=3)
    record = summarised(layer, [range(11), range(11, 30)]).record()
    assert_labels_right(record, layer)
    of_labels = sum(stored.n_tokens for stored in record.labels.values())
    unlabelled = sum(len(t.in_) for t in layer.texts if t.label < 0)
    assert unlabelled > 0
    if pool == "normal":
        assert (record.n_tokens - of_labels).tolist() == [unlabelled] * N_NEURONS


def test_a_label_without_texts_has_no_tokens_and_no_statistics() -> None:
    layer = replace(random_layer(4, 3), n_labels=1)
    stored = in_one_batch(layer).labels[0]
    assert not stored.n_tokens.any()
    assert np.isnan([stored.pre_mean, stored.post_variance]).all()


def test_a_summary_stays_where_the_model_runs() -> None:
    layer = random_layer(0, 3, controls=True)
    tensors = summarised(layer, [range(3)]).tensors()
    assert {tensor.device for tensor in tensors.values()} == {CPU}
