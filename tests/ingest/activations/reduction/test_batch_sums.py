"""A batch reduced: plain, in parts and compiled alike; few peaks as many; histograms as counted."""

import math
import os
import shutil
from collections.abc import Iterator
from itertools import product

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from ingest.activations.compiled import (
    PLAIN_KERNELS,
    WORTH_COMPILING,
    Kernels,
    compile_kernels,
    is_worth_compiling,
    make_compiled_kernels,
)
from ingest.activations.counted_batch import CountedBatch
from ingest.activations.reduction import (
    GATED,
    SWISH,
    UNGATED,
    NeuronKind,
    compute_batch_totals,
    find_histogram_bins,
    find_peak_positions,
    find_peak_positions_in_parts,
    gather_peak_positions,
    make_zero_counts,
    make_zero_sums,
    reduce_batch,
    reduce_batch_in_parts,
    sum_by_text,
    sum_by_text_in_parts,
)
from ingest.activations.reduction import parts as parts_module
from ingest.forward import Batch, MLPActivations
from neurondb import histogram
from tests.ingest.activations.reduction_inputs import (
    ACTIVATIONS,
    POOLS,
    Inputs,
    assert_alike,
    assert_same_sums,
)
from tests.ingest.activations.summary_reference import assert_right
from tests.support.random_layers import (
    CPU,
    NO_NUMBERS,
    NUMBERS,
    activations,
    counted,
    random_layer,
    summarised,
)

# --- plain and compiled -----------------------------------------------------------------------


@pytest.fixture
def compiled() -> Iterator[Kernels]:
    """Compiled functions, compiled anew for each test.

    As a process has one model; after another kind, torch takes codes of cases for sizes that
    change, and compiles for minutes.
    """
    if shutil.which("c++") is None and shutil.which("g++") is None:
        reason = "no C++ compiler here: this test compiles the reduction"
        if os.environ.get("NEURONDB_REQUIRE_ALL") == "1":
            pytest.fail(reason)
        pytest.skip(reason)
    yield make_compiled_kernels()
    torch._dynamo.reset()


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("gated", [True, False])
def test_compiled_equals_plain(compiled: Kernels, gated: bool) -> None:
    for pool in POOLS:
        for seed, n_texts, n_neurons, skip_bos in ((0, 9, 37, False), (1, 5, 64, True)):
            inputs = Inputs(
                seed,
                gated=gated,
                pool=pool,
                n_texts=n_texts,
                n_neurons=n_neurons,
                skip_bos=skip_bos,
            )
            assert_alike(compiled, inputs)
    assert_summary_right(compiled, gated=gated)


def assert_summary_right(kernels: Kernels, *, gated: bool) -> None:
    """Compare a compiled summary with brute force; the last batch has a text and no drawn token."""
    silu = ACTIVATIONS["silu"]
    pool = NUMBERS + NO_NUMBERS
    layer = random_layer(3, 40, gated=gated, pool=pool, longest=6, activation=silu)
    summary = summarised(layer, [])
    summary.use_kernels(kernels)
    for part in (range(20), range(20, 39), range(39, 40)):
        with torch.inference_mode():
            found, batch = activations(layer, part, math.nan), counted(layer, part)
        summary.add(batch, found, layer.sign, layer.activation)
    assert batch.drawn_tokens.shape == (2, 0)
    assert_right(summary.record(), layer)


ONE_CASE = NeuronKind(True, (2,), (0, 3), ((2, 0), (2, 3)), (0,))
"""Where the activation matters: a fourth of the code to compile."""


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("activation", ["gelu_pytorch_tanh", "relu"])
def test_compiled_equals_plain_for_other_activations(compiled: Kernels, activation: str) -> None:
    for pool in POOLS:
        inputs = Inputs(2, gated=True, pool=pool, activation=activation)
        inputs.kind = ONE_CASE
        assert_alike(compiled, inputs)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_compiled_equals_plain_in_half_precision(compiled: Kernels, dtype: torch.dtype) -> None:
    for pool in POOLS:
        inputs = Inputs(3, gated=True, pool=pool, dtype=dtype)
        inputs.kind = ONE_CASE
        assert_alike(compiled, inputs)


@pytest.mark.gpu
@pytest.mark.filterwarnings("ignore")
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_compiled_equals_plain_on_a_gpu() -> None:
    cases = product((True, False), ACTIVATIONS, (torch.float32, torch.bfloat16), POOLS)
    for gated, activation, dtype, pool in cases:
        inputs = Inputs(
            0,
            gated=gated,
            pool=pool,
            activation=activation,
            dtype=dtype,
            device=torch.device("cuda"),
        )
        assert_alike(make_compiled_kernels(), inputs)


def test_compiling_pays_for_large_jobs_on_known_devices() -> None:
    least = int(WORTH_COMPILING["cuda"])
    assert not is_worth_compiling(torch.device("cuda"), least - 1)
    assert is_worth_compiling(torch.device("cuda"), least)
    assert not is_worth_compiling(CPU, 10**15)
    assert not is_worth_compiling(torch.device("mps"), 10**15)


@pytest.mark.parametrize("kind", [GATED, UNGATED])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_every_function_is_tried_out(kind: NeuronKind, dtype: torch.dtype) -> None:
    silu = ACTIVATIONS["silu"]
    assert len(list(compile_kernels(PLAIN_KERNELS, kind, silu, 7, CPU, dtype))) == len(
        PLAIN_KERNELS
    )


# --- few peaks as many ------------------------------------------------------------------------


@given(
    seed=st.integers(0, 1000),
    gated=st.booleans(),
    pool=st.sampled_from(sorted(POOLS)),
    activation=st.sampled_from(sorted(ACTIVATIONS)),
    skip_bos=st.booleans(),
)
@settings(max_examples=30, deadline=None)
def test_the_positions_of_a_few_peaks_are_those_of_all(
    seed: int, gated: bool, pool: str, activation: str, skip_bos: bool
) -> None:
    inputs = Inputs(
        seed, gated=gated, pool=pool, activation=activation, n_neurons=4, skip_bos=skip_bos
    )
    _, peaks = inputs.reduce_batch(PLAIN_KERNELS)
    there = torch.stack((peaks != 0).nonzero(as_tuple=True))
    counts = inputs.batch.counted
    arguments = (inputs.kind, inputs.activation, inputs.found, inputs.sign, counts, peaks)
    exact = torch.tensor([quantity != 3 for _, quantity in inputs.kind.peaks])[there[0]]
    few, every = (
        gather_peak_positions(*arguments, there),
        find_peak_positions(*arguments)[tuple(there)],
    )
    torch.testing.assert_close(few[exact].int(), every[exact].int(), rtol=0, atol=0)
    assert_near_swish(inputs, peaks, there[:, ~exact], few[~exact])
    assert_near_swish(inputs, peaks, there[:, ~exact], every[~exact])


def assert_near_swish(inputs: Inputs, peaks: Tensor, where: Tensor, positions: Tensor) -> None:
    """A position of a swish peak may be one with all but the same value."""
    if where.shape[1] == 0:
        return
    assert inputs.found.gate is not None
    lists, texts, neurons = where
    gate = inputs.found.gate[texts, positions.long(), neurons].float()
    wanted = peaks[lists, texts, neurons]
    torch.testing.assert_close(inputs.activation(gate), wanted, rtol=2e-6, atol=0)


def test_no_peaks_have_no_positions() -> None:
    inputs = Inputs(0, gated=True)
    _, peaks = inputs.reduce_batch(PLAIN_KERNELS)
    counts, nothing = inputs.batch.counted, torch.zeros(3, 0, dtype=torch.int64)
    arguments = (inputs.kind, inputs.activation, inputs.found, inputs.sign, counts, peaks)
    assert gather_peak_positions(*arguments, nothing).shape == (0,)


# --- histograms -------------------------------------------------------------------------------


@pytest.mark.parametrize("gated", [True, False])
@pytest.mark.parametrize("pool", POOLS)
def test_a_place_is_that_of_the_fixed_bins(pool: str, gated: bool) -> None:
    inputs = Inputs(1, gated=gated, pool=pool, n_neurons=5)
    tokens = inputs.batch.counted.nonzero().T
    places = find_histogram_bins(inputs.kind, inputs.found, inputs.sign, tokens).numpy()
    gate, in_, post = (
        None if part is None else part[tokens[0], tokens[1]].double().numpy()
        for part in (inputs.found.gate, inputs.found.in_, inputs.found.post)
    )
    assert in_ is not None
    assert post is not None
    finite = np.isfinite(in_) & np.isfinite(post) & (True if gate is None else np.isfinite(gate))
    sign = inputs.sign.numpy()
    values = [post, in_] if gate is None else [post * sign, in_ * sign, gate]
    last = len(values) * 5 * histogram.N_BINS
    for row, value in enumerate(values):
        of_value = histogram.find_bins(np.where(finite, value, 0.0).ravel()).reshape(value.shape)
        expected = (row * 5 + np.arange(5)) * histogram.N_BINS + of_value
        np.testing.assert_array_equal(places[row], np.where(finite, expected, last))


def test_every_edge_and_its_neighbours_are_in_the_bins_of_numpy() -> None:
    edges = histogram.compute_edges().astype(np.float32)
    near = [np.nextafter(edges, np.float32(d), dtype=np.float32) for d in (-np.inf, np.inf)]
    values = np.concatenate([edges, *near, [np.float32(-0.0), np.float32(3e38)]])
    column = torch.from_numpy(values)[None, :, None]
    found = MLPActivations(None, column, column)
    tokens = torch.stack([torch.zeros(len(values), dtype=torch.int64), torch.arange(len(values))])
    places = find_histogram_bins(UNGATED, found, torch.ones(1), tokens)[0, :, 0].numpy()
    np.testing.assert_array_equal(places, histogram.find_bins(values.astype(np.float64)))


@pytest.mark.parametrize("skip_bos", [True, False])
def test_each_eighth_position_is_counted_beginning_at_the_ordinal(skip_bos: bool) -> None:
    lengths, ordinals = torch.tensor([20, 3, 9, 1]), torch.tensor([0, 5, 9, 16])
    batch = Batch(torch.zeros(4, 20, dtype=torch.int64), lengths, ordinals)
    drawn = CountedBatch.from_batch(batch, skip_bos=skip_bos).drawn_tokens
    expected = [
        [row, position]
        for row, (length, ordinal) in enumerate(
            zip(lengths.tolist(), ordinals.tolist(), strict=True)
        )
        for position in range(int(skip_bos), length)
        if position % 8 == ordinal % 8
    ]
    assert drawn.T.tolist() == expected


# --- kinds ------------------------------------------------------------------------------------


def test_lists_are_those_of_the_definitions() -> None:
    """METHODS §5: hook_post, hook_pre_linear, hook_pre for every case; swish for gate−."""
    gated = [(case, quantity) for case in range(4) for quantity in range(3)]
    gated += [(2, 3), (3, 3)]
    assert sorted(GATED.peaks) == sorted(gated)
    assert sorted(UNGATED.peaks) == [(4, 0), (4, 2), (5, 0), (5, 2)]
    assert (GATED.histograms, UNGATED.histograms) == ((0, 1, 2), (0, 2))


def test_a_batch_of_which_nothing_counts_adds_nothing() -> None:
    inputs = Inputs(0, gated=True, n_neurons=3)
    nothing = torch.zeros_like(inputs.batch.counted)
    sums, peaks = reduce_batch(
        GATED, inputs.activation, inputs.found, inputs.sign, nothing, inputs.about
    )
    counts, float_sums = compute_batch_totals(GATED, sums, inputs.about)
    assert not peaks.any()
    found = counts._asdict() | float_sums._asdict()
    expected = (
        make_zero_counts(GATED, 3, CPU)._asdict() | make_zero_sums(GATED, 3, 0, CPU)._asdict()
    )
    for name in found.keys() - {"mean"}:  # of no tokens, which says nothing
        torch.testing.assert_close(found[name], expected[name])


@pytest.mark.parametrize("gated", [True, False])
@pytest.mark.parametrize("pool", POOLS)
@pytest.mark.parametrize("n_values", [1, 900, 2_000, 10**6])
def test_parts_give_what_the_whole_does(
    gated: bool, pool: str, n_values: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    for sizes in (parts_module.VALUES_AT_ONCE, parts_module._ON_GPUS):
        monkeypatch.setitem(sizes, "cpu", n_values)
    inputs = Inputs(4, gated=gated, pool=pool, skip_bos=True)
    arguments = (
        *(inputs.kind, inputs.activation, inputs.found, inputs.sign),
        *(inputs.batch.counted, inputs.about),
    )
    (whole, peaks), (parts, peaks_of_parts) = (
        reduce_batch(*arguments),
        reduce_batch_in_parts(*arguments),
    )
    assert_same_sums(inputs.kind, whole, parts, inputs.about)
    of_batch = (*arguments[:5], peaks)
    assert torch.equal(find_peak_positions(*of_batch), find_peak_positions_in_parts(*of_batch))
    values = (inputs.found, inputs.sign, inputs.batch.counted)
    torch.testing.assert_close(
        sum_by_text_in_parts(*values), sum_by_text(*values), rtol=1e-12, atol=1e-12, equal_nan=True
    )
    swish = torch.tensor([quantity == SWISH for _, quantity in inputs.kind.peaks])
    assert torch.equal(peaks[~swish], peaks_of_parts[~swish])
    # Where in a tensor a value stands decides how torch rounds the activation function.
    torch.testing.assert_close(peaks_of_parts[swish], peaks[swish], rtol=1e-6, atol=1e-7)
    for name in ("usable", "counted"):
        one, other = getattr(whole, name), getattr(parts, name)
        assert torch.equal(one, other)
        assert one.dtype == other.dtype
