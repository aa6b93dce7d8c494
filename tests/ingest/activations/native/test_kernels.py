"""The library's functions against the plain ones: exactly, but for the rounding of sums."""

import math
import os
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from ingest.activations.compiled import PLAIN_KERNELS
from ingest.activations.examples import LAST_ORDINAL, BestTexts
from ingest.activations.native import NativeKernels, NotCompiledError, load_native_kernels
from ingest.activations.native import kernels as module
from ingest.activations.reduction import GATED, UNGATED, BatchSums, NeuronKind, sum_in_float64
from ingest.activations.summary import LayerSummary
from ingest.forward import MLPActivations
from neurondb import histogram
from tests.ingest.activations.reduction_inputs import POOLS, Inputs, assert_same_sums
from tests.ingest.activations.summary_reference import assert_labels_right, assert_right
from tests.support.random_layers import (
    CPU,
    NO_NUMBERS,
    NUMBERS,
    activations,
    counted,
    empty,
    random_layer,
)


@pytest.fixture(scope="module")
def library() -> NativeKernels:
    """The compiled functions."""
    try:
        return load_native_kernels()
    except NotCompiledError as error:
        if os.environ.get("NEURONDB_REQUIRE_ALL") == "1":
            pytest.fail(str(error))
        pytest.skip(str(error))


@pytest.fixture
def three_threads(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Three threads, which share out however little there is."""
    monkeypatch.setattr(module, "SMALLEST_SHARE", 1)
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    yield
    torch.set_num_threads(before)


@torch.inference_mode()
def assert_exact(library: NativeKernels, inputs: Inputs) -> None:
    """Compare a batch's sums, its peaks and where they are, histograms and sums by text."""
    (plain, peaks), (fast, fast_peaks) = (
        inputs.reduce_batch(PLAIN_KERNELS),
        inputs.reduce_batch(library),
    )
    assert_same_sums(inputs.kind, finite(inputs, plain), finite(inputs, fast), inputs.about)
    # Both take swish from the same tensor of the same function: nothing is rounded otherwise.
    for name in ("low", "high"):
        expected = torch.stack(list(getattr(plain, name)))
        torch.testing.assert_close(getattr(fast, name), expected, rtol=0, atol=0)
    torch.testing.assert_close(fast_peaks, peaks, rtol=0, atol=0)
    assert_first_positions(inputs, peaks, fast.positions)
    tokens = inputs.batch.counted.nonzero().T
    size = len(inputs.kind.histograms) * len(inputs.sign) * histogram.N_BINS
    counts = torch.ones(2, size, dtype=torch.int64)
    for kernels, of_kernels in zip((PLAIN_KERNELS, library), counts, strict=True):
        kernels.count_bins(inputs.kind, inputs.found, inputs.sign, tokens, of_kernels)
    assert (counts[0] == counts[1]).all()
    assert_centres(library, inputs, tokens)
    assert_moments(library, inputs, fast)
    assert_sums_by_text(library, inputs)


def assert_centres(library: NativeKernels, inputs: Inputs, tokens: Tensor) -> None:
    fast, plain = (
        kernels.compute_centres(inputs.found, inputs.sign, tokens)
        for kernels in (library, PLAIN_KERNELS)
    )
    parts = (inputs.found.gate, inputs.found.in_, inputs.found.post)
    sizes = [part.double().nan_to_num(0, 0, 0).abs() for part in parts if part is not None]
    scale = max(float(size.max()) for size in sizes)
    torch.testing.assert_close(fast, plain, rtol=1e-13, atol=1e-13 * scale)


def assert_moments(library: NativeKernels, inputs: Inputs, sums: BatchSums) -> None:
    """Compare with NumPy's moments, to a small part of what the largest deviation could make."""
    _, found = library.compute_totals(inputs.kind, sums, inputs.about)
    gate = inputs.found.in_ if inputs.found.gate is None else inputs.found.gate
    finite_parts = inputs.found.post.isfinite() & inputs.found.in_.isfinite() & gate.isfinite()
    usable = (inputs.batch.counted[:, :, None] & finite_parts).numpy()
    post = inputs.found.post if inputs.found.gate is None else inputs.found.post * inputs.sign
    n, there = np.maximum(usable.sum((0, 1)), 1), usable.any((0, 1))
    for row, values in enumerate((gate, post)):
        exact = np.where(usable, values.double().numpy(), 0)
        mean = exact.sum((0, 1)) / n
        far = np.where(usable, np.abs(exact - inputs.about[row].numpy()), 0).max((0, 1))
        gap = np.where(there, found.mean[row].numpy() - mean, 0)
        assert (np.abs(gap) <= 1e-11 * far).all()
        for power, of_power in enumerate((found.power2, found.power3, found.power4), start=2):
            expected = (np.where(usable, exact - mean, 0) ** power).sum((0, 1))
            assert (np.abs(of_power[row].numpy() - expected) <= 1e-11 * n * far**power).all()


def finite(inputs: Inputs, sums: BatchSums) -> BatchSums:
    """Add up again in float64 what float32 has no room for, as a summary does."""
    if torch.stack(list(sums.sum)).isfinite().all():
        return sums
    counts = inputs.batch.counted
    wide = sum_in_float64(inputs.kind, inputs.activation, inputs.found, inputs.sign, counts)
    return sums._replace(sum=wide)


def assert_first_positions(inputs: Inputs, peaks: Tensor, positions: Tensor) -> None:
    """Compare positions with the first at which a loop over the text sees the peak."""
    values = {0: inputs.found.post * inputs.sign, 1: inputs.found.in_ * inputs.sign}
    values[2] = inputs.found.in_ if inputs.found.gate is None else inputs.found.gate
    if inputs.found.gate is not None:
        values[3] = inputs.activation(inputs.found.gate.float())
    usable = inputs.batch.counted[:, :, None] & inputs.found.post.isfinite()
    usable &= inputs.found.in_.isfinite() & values[2].isfinite()
    for row, (case, quantity) in enumerate(inputs.kind.peaks):
        gate_sign = {0: 1, 1: 1, 2: -1, 3: -1, 4: 1, 5: -1}[case]
        inside = usable & (values[2] * gate_sign > 0)
        if inputs.kind.gated:
            inside &= values[1] * (1 if case in (0, 2) else -1) > 0
        here = inside & (values[quantity].float() == peaks[row][:, None])
        there = peaks[row] != 0
        first = here.byte().argmax(1)
        assert here.any(1)[there].all()
        assert (positions[row] == first)[there].all()


def assert_sums_by_text(library: NativeKernels, inputs: Inputs) -> None:
    plain = PLAIN_KERNELS.sum_by_text(inputs.found, inputs.sign, inputs.batch.counted)
    fast = library.sum_by_text(inputs.found, inputs.sign, inputs.batch.counted)
    assert (plain[:3] == fast[:3]).all()
    for row, square in ((3, 4), (4, 4), (5, 6), (6, 6)):
        scale = float(plain[square].abs().max())
        atol = 1e-13 * (scale if row == square else math.sqrt(scale))
        torch.testing.assert_close(fast[row], plain[row], rtol=1e-13, atol=atol)


@given(
    seed=st.integers(0, 10_000),
    gated=st.booleans(),
    pool=st.sampled_from(sorted(POOLS)),
    activation=st.sampled_from(("silu", "relu", "gelu_pytorch_tanh")),
    n_texts=st.integers(1, 9),
    n_neurons=st.sampled_from((1, 3, 15, 16, 17, 31, 37, 64, 255, 256, 300)),
    longest=st.sampled_from((1, 5, 12, 16, 17, 33, 50)),
    dtype=st.sampled_from((torch.float32, torch.bfloat16, torch.float16)),
    skip_bos=st.booleans(),
    free_post=st.booleans(),
)
@settings(max_examples=50, deadline=None)
def test_it_equals_the_plain_functions(
    library: NativeKernels,
    seed: int,
    gated: bool,
    pool: str,
    activation: str,
    n_texts: int,
    n_neurons: int,
    longest: int,
    dtype: torch.dtype,
    skip_bos: bool,
    free_post: bool,
) -> None:
    inputs = Inputs(
        seed,
        gated=gated,
        pool=pool,
        activation=activation,
        n_texts=n_texts,
        n_neurons=n_neurons,
        longest=longest,
        dtype=dtype,
        skip_bos=skip_bos,
        free_post=free_post,
    )
    assert_exact(library, inputs)


def long_texts(gated: bool, n_neurons: int = 300) -> Inputs:
    return Inputs(5, gated=gated, n_texts=6, n_neurons=n_neurons, longest=900)


@pytest.mark.parametrize("gated", [True, False])
def test_sums_within_a_text_are_good_to_a_ten_millionth(
    library: NativeKernels, gated: bool
) -> None:
    inputs = long_texts(gated)
    with torch.inference_mode():
        sums, _ = inputs.reduce_batch(library)
        counted = inputs.batch.counted[:, :, None]
        pre = (inputs.found.in_ if inputs.found.gate is None else inputs.found.gate).double()
        inside = counted & (pre > 0)
        if gated:
            inside &= inputs.found.in_ * inputs.sign > 0
        expected = torch.where(inside, pre, 0.0).sum((0, 1))
    row = 2 if gated else 1
    torch.testing.assert_close(sums.sum[row], expected, rtol=2e-7, atol=0)
    deviation = torch.where(counted, pre - inputs.about[0], 0.0)
    for power, found in enumerate(sums.powers[0], start=1):
        exact = (deviation**power).sum((0, 1))
        scale = float((deviation**power).abs().sum((0, 1)).max())
        torch.testing.assert_close(found, exact, rtol=1e-12, atol=1e-13 * scale)


@pytest.mark.parametrize("gated", [True, False])
def test_threads_change_no_bit(library: NativeKernels, gated: bool, three_threads: None) -> None:
    del three_threads
    for n_neurons in (1, 16, 100, 300):
        inputs = long_texts(gated, n_neurons)
        with torch.inference_mode():
            many, many_peaks = inputs.reduce_batch(library)
            torch.set_num_threads(1)
            one, peaks = inputs.reduce_batch(library)
            torch.set_num_threads(3)
        assert torch.equal(many_peaks, peaks)
        assert torch.equal(many.positions, one.positions)
        for name in ("sum", "low", "high", "in_case", "positive"):
            pairs = zip(getattr(many, name), getattr(one, name), strict=True)
            assert all(torch.equal(a, b) for a, b in pairs)
        for of_many, of_one in zip(many.powers, one.powers, strict=True):
            assert all(torch.equal(a, b) for a, b in zip(of_many, of_one, strict=True))
        assert_exact(library, inputs)


def test_views_of_a_fused_module_are_read_like_copies(library: NativeKernels) -> None:
    inputs = Inputs(3, gated=True, n_neurons=40)
    assert inputs.found.gate is not None
    with torch.inference_mode():
        whole = torch.cat([inputs.found.gate, inputs.found.in_], dim=2)
        gate, in_ = whole.chunk(2, dim=2)
        assert not gate.is_contiguous()
        inputs.found = MLPActivations(gate, in_, inputs.found.post)
    assert_exact(library, inputs)


# --- lists ------------------------------------------------------------------------------------


@given(
    seed=st.integers(0, 10_000),
    n_lists=st.integers(1, 3),
    n_neurons=st.integers(1, 20),
    k=st.sampled_from((1, 2, 16)),
    batches=st.lists(st.integers(1, 9), min_size=1, max_size=5),
    highest=st.sampled_from((3, 2**31)),
)
@settings(max_examples=30, deadline=None)
def test_lists_keep_the_largest_keys(
    library: NativeKernels,
    seed: int,
    n_lists: int,
    n_neurons: int,
    k: int,
    batches: list[int],
    highest: int,
) -> None:
    draw = np.random.default_rng(seed)
    ordinals = torch.from_numpy(draw.permutation(sum(batches)))
    lists = BestTexts(n_lists, n_neurons, k, CPU)
    offers = []
    for of_batch in ordinals.split(batches):  # type: ignore[no-untyped-call]
        shape = (n_lists, len(of_batch), n_neurons)
        scores = torch.from_numpy(draw.integers(0, highest, shape)).int()
        values, positions = torch.randn(shape), torch.from_numpy(draw.integers(0, 99, shape))
        library.insert(lists, scores, values, of_batch, positions)
        offers.append((scores, values, positions, of_batch))
    for where in np.ndindex(n_lists, n_neurons):
        at = (where[0], slice(None), where[1])
        rows = [
            (-int(score), int(ordinal), int(position), float(value))
            for scores, values, positions, of_batch in offers
            for score, value, position, ordinal in zip(
                scores[at], values[at], positions[at], of_batch, strict=True
            )
            if score > 0
        ]
        expected = sorted(rows)[:k]
        n = len(expected)
        assert not lists.key[where][n:].any()
        kept = (lists.key[where], lists.position[where], lists.value[where])
        found = [
            (-(int(key) >> 32), LAST_ORDINAL - (int(key) & LAST_ORDINAL), int(position), float(v))
            for key, position, v in zip(*(part[:n] for part in kept), strict=True)
        ]
        assert found == expected


# --- summaries --------------------------------------------------------------------------------


@given(
    seed=st.integers(0, 10_000),
    gated=st.booleans(),
    n_texts=st.integers(1, 40),
    n_batches=st.integers(1, 4),
    skip_bos=st.booleans(),
    pool=st.sampled_from((NUMBERS, NUMBERS + NO_NUMBERS, None)),
)
@settings(max_examples=40, deadline=None)
def test_a_summary_is_that_of_brute_force_and_of_the_plain_functions(
    library: NativeKernels,
    seed: int,
    gated: bool,
    n_texts: int,
    n_batches: int,
    skip_bos: bool,
    pool: tuple[float, ...] | None,
) -> None:
    layer = random_layer(
        seed,
        n_texts,
        gated=gated,
        pool=pool,
        longest=20,
        n_labels=2,
        controls=True,
        skip_bos=skip_bos,
    )
    parts = [range(first, n_texts, n_batches) for first in range(min(n_batches, n_texts))]

    def summary(fast: bool) -> LayerSummary:
        made = empty(layer)
        if fast:
            made.use_kernels(library)
        for part in parts:
            with torch.inference_mode():
                found = activations(layer, part, math.nan)
            made.add(counted(layer, part), found, layer.sign, layer.activation)
        return made

    fast, plain = summary(True), summary(False)
    assert_right(fast.record(), layer, swish_exact=True)
    assert_labels_right(fast.record(), layer)
    exact = {"finite", "nonfinite", "positive", "in_case", "low", "high", "counts"}
    exact |= {f"{n}.{part}" for n in ("best", "drawn") for part in ("key", "position", "value")}
    one, other = fast.tensors(), plain.tensors()
    for name in exact:
        filled = one[name]
        assert torch.equal(filled, other[name]), name


@pytest.mark.parametrize("kind", [GATED, UNGATED])
def test_a_batch_of_which_nothing_counts_adds_nothing(
    library: NativeKernels, kind: NeuronKind
) -> None:
    inputs = Inputs(0, gated=kind.gated, n_neurons=3)
    inputs.batch = replace(inputs.batch, counted=torch.zeros_like(inputs.batch.counted))
    with torch.inference_mode():
        sums, peaks = inputs.reduce_batch(library)
    assert not peaks.any()
    assert not sums.usable.any()
    assert not sums.sum.any()
    assert (sums.low == torch.inf).all()
    assert (sums.high == -torch.inf).all()
