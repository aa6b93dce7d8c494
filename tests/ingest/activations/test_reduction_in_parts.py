"""The reduction in parts is the reduction: counts and extremes exactly, sums to their rounding."""

import pytest
import torch

import ingest.activations.reduction.batch_sums
from ingest.activations.reduction import SWISH, reduce_batch, reduce_batch_in_parts
from tests.support.sweep_inputs import POOLS, Inputs, assert_same_sums


@pytest.mark.parametrize("gated", [True, False])
@pytest.mark.parametrize("pool", POOLS)
@pytest.mark.parametrize("n_values", [1, 900, 2_000, 10**6])
def test_parts_give_what_the_whole_does(
    gated: bool, pool: str, n_values: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ingest.activations.reduction.batch_sums, "VALUES_AT_ONCE", n_values)
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
    swish = torch.tensor([quantity == SWISH for _, quantity in inputs.kind.peaks])
    assert torch.equal(peaks[~swish], peaks_of_parts[~swish])
    # Where in a tensor a value stands decides how torch rounds the activation function.
    torch.testing.assert_close(peaks_of_parts[swish], peaks[swish], rtol=1e-6, atol=1e-7)
    for name in ("usable", "counted"):
        one, other = getattr(whole, name), getattr(parts, name)
        assert torch.equal(one, other)
        assert one.dtype == other.dtype
