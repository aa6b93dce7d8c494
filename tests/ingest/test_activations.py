"""Summaries are reductions: parts merge into the whole, in any order, exactly where they can."""

from dataclasses import fields
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ingest.activations import HOOK_POST, HOOK_PRE, HOOK_PRE_LINEAR, SWISH, LayerBatch, LayerSummary
from ingest.moments import StreamingMoments
from neurondb.records import ActivationsRecord

N_NEURONS = 3
CPU = torch.device("cpu")


def texts(seed: int, n: int, *, coarse: bool) -> list[torch.Tensor]:
    """Random gate and in of n texts; coarse ones have many ties and zeros."""
    generator = torch.Generator().manual_seed(seed)
    lengths = torch.randint(1, 6, (n,), generator=generator).tolist()
    values = [torch.randn(2, length, N_NEURONS, generator=generator) for length in lengths]
    return [v.mul(1.5).round() if coarse else v for v in values]


def batch(chosen: list[int], of: list[torch.Tensor], gated: bool) -> LayerBatch:
    width = max(of[i].shape[1] for i in chosen)
    padded = torch.full((3, len(chosen), width, N_NEURONS), 99.0)
    counted = torch.zeros(len(chosen), width, dtype=torch.bool)
    for row, i in enumerate(chosen):
        padded[:2, row, : of[i].shape[1]] = of[i]
        # text by text: torch rounds a value differently beside other neighbours
        padded[2, row, : of[i].shape[1]] = torch.nn.functional.silu(of[i][0])
        counted[row, : of[i].shape[1]] = True
    gate, in_, swish = padded
    quantities = {HOOK_POST: swish, HOOK_PRE: gate}
    if gated:
        quantities |= {HOOK_POST: swish * in_, HOOK_PRE_LINEAR: in_, SWISH: swish}
    return LayerBatch(quantities, counted, torch.tensor(chosen), gated)


def summary(parts: list[list[int]], of: list[torch.Tensor], gated: bool = True) -> LayerSummary:
    result = LayerSummary(N_NEURONS, gated=gated, device=CPU)
    for part in parts:
        result.add(batch(part, of, gated))
    return result


def assert_same(one: ActivationsRecord, other: ActivationsRecord) -> None:
    assert one.n_tokens == other.n_tokens
    for code, examples in one.examples.items():
        for field in fields(examples):
            mine, theirs = (getattr(e, field.name) for e in (examples, other.examples[code]))
            np.testing.assert_array_equal(mine, theirs, err_msg=f"{code} {field.name}")
    for code, case in one.cases.items():
        np.testing.assert_array_equal(case.count, other.cases[code].count)
        for name in ("min", "max"):
            for quantity, values in getattr(case, name).items():
                np.testing.assert_array_equal(values, getattr(other.cases[code], name)[quantity])
        for quantity, values in case.mean.items():
            np.testing.assert_allclose(values, other.cases[code].mean[quantity], rtol=1e-6)
    for name in ("mean", "variance", "skewness", "kurtosis"):
        for mine, theirs in ((one.pre, other.pre), (one.post, other.post)):
            np.testing.assert_allclose(
                getattr(mine, name), getattr(theirs, name), rtol=1e-6, atol=1e-12
            )


@given(data=st.data(), n=st.integers(2, 40), coarse=st.booleans(), gated=st.booleans())
@settings(max_examples=40, deadline=None)
def test_any_split_in_any_order_merges_into_the_whole(
    data: Any, n: int, coarse: bool, gated: bool
) -> None:
    of = texts(data.draw(st.integers(0, 99)), n, coarse=coarse)
    order = data.draw(st.permutations(range(n)))
    cut = data.draw(st.integers(1, n - 1))
    whole = summary([list(range(n))], of, gated)
    left, right = summary([order[:cut]], of, gated), summary([order[cut:]], of, gated)
    left.merge(right)
    assert_same(left.record(), whole.record())


@given(n=st.integers(1, 30), size=st.integers(1, 7))
@settings(max_examples=20, deadline=None)
def test_batches_of_any_size_give_the_same(n: int, size: int) -> None:
    of = texts(n, n, coarse=True)
    parts = [list(range(i, min(i + size, n))) for i in range(0, n, size)]
    assert_same(summary(parts, of).record(), summary([list(range(n))], of).record())


def test_padding_is_never_seen() -> None:
    of = [torch.full((2, length, N_NEURONS), 1.0) for length in (1, 5)]
    record = summary([[0, 1]], of).record()
    assert record.n_tokens == 6
    assert max(v.max() for v in record.cases[0].max.values()) < 2


def test_equal_values_give_the_first_texts_and_positions() -> None:
    of = [torch.full((2, 3, N_NEURONS), 1.0) for _ in range(20)]
    record = summary([[19, 3, 7], list(set(range(20)) - {19, 3, 7})], of).record()
    examples = record.examples[0]
    assert examples.ordinal.tolist() == [list(range(16))] * N_NEURONS
    assert not examples.position.any()


def test_zeros_are_in_no_case_and_in_no_list() -> None:
    of = [torch.zeros(2, 4, N_NEURONS) for _ in range(3)]
    record = summary([[0, 1, 2]], of).record()
    assert all(not case.count.any() for case in record.cases.values())
    assert all((examples.ordinal == -1).all() for examples in record.examples.values())
    assert np.isnan(record.cases[0].mean[HOOK_POST]).all()


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_numbers_that_are_none_stay_out_of_the_other_cases(bad: float) -> None:
    of = [torch.full((2, 2, N_NEURONS), 1.0), torch.full((2, 2, N_NEURONS), -1.0)]
    of[1][:, 0, 0] = bad
    clean = summary([[0]], of).record()
    record = summary([[0, 1]], of).record()
    np.testing.assert_array_equal(
        record.cases[0].mean[HOOK_PRE][1:], clean.cases[0].mean[HOOK_PRE][1:]
    )
    assert np.isfinite(record.cases[3].mean[HOOK_PRE][1:]).all()
    assert np.isfinite(record.cases[3].mean[HOOK_PRE][0])


@given(
    values=st.lists(st.floats(-1e3, 1e3, width=32), min_size=2, max_size=60),
    cut=st.integers(1, 59),
)
@settings(max_examples=60, deadline=None)
def test_moments_equal_those_of_a_reference(values: list[float], cut: int) -> None:
    from scipy import stats

    data = torch.tensor(values)[:, None]
    cut = min(cut, len(values) - 1)
    merged = StreamingMoments.of(data[:cut]).merge(StreamingMoments.of(data[cut:])).record()
    exact = np.array(values, dtype=np.float64)
    np.testing.assert_allclose(merged.mean[0], exact.mean(), rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(merged.variance[0], exact.var(), rtol=1e-9, atol=1e-9)
    if exact.var() > 1e-6 * max(1.0, float(np.abs(exact).max()) ** 2):
        np.testing.assert_allclose(merged.skewness[0], stats.skew(exact), rtol=1e-6, atol=1e-6)
        kurtosis = stats.kurtosis(exact, fisher=False)
        np.testing.assert_allclose(merged.kurtosis[0], kurtosis, rtol=1e-6, atol=1e-6)
